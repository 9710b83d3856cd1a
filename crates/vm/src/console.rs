//! The guest's console: what it says, and a shell typed at.
//!
//! A console carries one stream for all: the kernel's messages, programs' output, and the echo of
//! what we type. So a command is wrapped in markers that are typed in two quoted halves, which an
//! echo never joins; kernel messages are recognised by their time stamps and taken out where they
//! are in the way; and long commands are typed in short lines, since the shells of small systems
//! edit lines of limited length. The first line is typed again until a shell answers, because
//! nobody can see from outside when one starts to listen.

use crate::VmError;
use crate::text::{Cleaner, last_lines, without_kernel_messages};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Older text is dropped beyond this; the transcript keeps all of it.
const MAX_TEXT_BYTES: usize = 8 << 20;
/// The bytes of a command that are typed in one line.
const TYPED_LINE_BYTES: usize = 60;
/// After so many lines the shell is asked whether it kept up: a terminal's input queue holds
/// 4,096 bytes (termios(3)).
const LINES_PER_SYNC: usize = 16;
/// How long a shell may take to answer before it is asked again.
const SYNC_INTERVAL: Duration = Duration::from_secs(2);
/// How long a guest may be silent before something is typed.
const SILENCE: Duration = Duration::from_secs(if cfg!(test) { 3 } else { 10 });
/// How much of the console a message shows.
const SHOWN_LINES: usize = 12;

/// What a command in the guest did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandOutput {
    /// Its exit status.
    pub status: i32,
    /// What it printed on both streams, with whatever the kernel said meanwhile.
    pub output: String,
    /// The same without the lines that look like the kernel's.
    pub without_kernel: String,
}

/// The console of a machine.
#[derive(Debug)]
pub struct Console {
    writer: Box<dyn ConsoleWriter>,
    shared: Arc<Shared>,
    /// Where [`Console::wait_for`] looks next.
    position: u64,
    /// How many markers there have been.
    markers: u32,
    /// Whether a shell has answered.
    shell_answered: bool,
    transcript: PathBuf,
}

/// What we type goes here.
trait ConsoleWriter: Write + Send + std::fmt::Debug {}
impl<T: Write + Send + std::fmt::Debug> ConsoleWriter for T {}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    text: Vec<u8>,
    /// Bytes that came before `text` and are dropped.
    dropped: u64,
    closed: bool,
}

impl State {
    fn end(&self) -> u64 {
        self.dropped + self.text.len() as u64
    }

    fn bytes_from(&self, position: u64) -> &[u8] {
        let start = usize::try_from(position.saturating_sub(self.dropped))
            .map_or(self.text.len(), |start| start.min(self.text.len()));
        &self.text[start..]
    }

    fn text_from(&self, position: u64) -> String {
        String::from_utf8_lossy(self.bytes_from(position)).into_owned()
    }

    /// The position after the first occurrence of a text.
    fn end_of(&self, text: &str, from: u64) -> Option<u64> {
        let bytes = self.bytes_from(from);
        let at = bytes.windows(text.len().max(1)).position(|w| w == text.as_bytes())?;
        let after = bytes.len() - at - text.len();
        Some(self.end() - after as u64)
    }
}

impl Console {
    /// Reads from and types at a guest; all that comes is written to a transcript.
    pub fn open(
        from_guest: impl Read + Send + 'static,
        to_guest: impl Write + Send + std::fmt::Debug + 'static,
        transcript: &Path,
    ) -> Result<Self, VmError> {
        let file = File::create(transcript).map_err(|source| VmError::File {
            action: "write the transcript",
            path: transcript.to_owned(),
            source,
        })?;
        let shared = Arc::new(Shared::default());
        let reader_shared = Arc::clone(&shared);
        // Ends when the guest's end closes, which the machine's handle sees to.
        thread::Builder::new()
            .name("console".to_owned())
            .spawn(move || read_console(from_guest, file, &reader_shared))
            .map_err(|source| VmError::Io { action: "read the console", source })?;
        Ok(Self {
            writer: Box::new(to_guest),
            shared,
            position: 0,
            markers: 0,
            shell_answered: false,
            transcript: transcript.to_owned(),
        })
    }

    /// Where all that the guest said is written, byte for byte.
    pub fn transcript(&self) -> &Path {
        &self.transcript
    }

    /// Whether the machine's end of the console is closed: it has ended.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    /// All that the guest said, without control sequences.
    pub fn text(&self) -> String {
        self.shared.lock().text_from(0)
    }

    /// The end of what the guest said, for a message.
    pub fn last_lines(&self) -> String {
        last_lines(&self.text(), SHOWN_LINES)
    }

    /// Waits until the guest has said a line that contains this text.
    ///
    /// Looked at is all that came after the line that the last call found.
    pub fn wait_for(&mut self, line: &str, deadline: Instant) -> Result<(), VmError> {
        let from = self.position;
        let what = format!("say \"{line}\"");
        self.wait_until(from, deadline, &what, |text| {
            let said =
                text.contains(line) || without_kernel_messages(text).contains(line);
            said.then_some(())
        })?;
        let state = self.shared.lock();
        // Where a kernel message cuts the line, all that came is taken as read.
        self.position = state.end_of(line, from).unwrap_or_else(|| state.end());
        Ok(())
    }

    /// Types a command at the guest's shell and waits for its end.
    ///
    /// It runs in a subshell with an empty input, so it changes neither the shell's directory nor
    /// its variables, and `exit` ends only itself.
    pub fn run_command(
        &mut self,
        command: &str,
        deadline: Instant,
    ) -> Result<CommandOutput, VmError> {
        self.find_shell(deadline)?;
        for (count, line) in typed_lines(command).iter().enumerate() {
            if count > 0 && count % LINES_PER_SYNC == 0 {
                self.sync(deadline)?;
            }
            self.type_line(line)?;
        }
        let number = self.next_marker();
        let from = self.shared.lock().end();
        self.type_line(&format!(
            "echo 'PICNIX''-BEGIN-{number}'; (eval \"$picnix_command\") </dev/null 2>&1; \
             echo 'PICNIX''-END-{number}-'$?"
        ))?;
        let what = format!("finish the command \"{command}\"");
        self.wait_until(from, deadline, &what, |text| find_output(text, number))
    }

    /// Types a command that ends the machine, and waits for no answer.
    pub fn type_command(
        &mut self,
        command: &str,
        deadline: Instant,
    ) -> Result<(), VmError> {
        self.find_shell(deadline)?;
        self.type_line(command)
    }

    /// Types a line.
    pub fn type_line(&mut self, line: &str) -> Result<(), VmError> {
        let typed = format!("{line}\n");
        self.writer
            .write_all(typed.as_bytes())
            .and_then(|()| self.writer.flush())
            .map_err(|source| VmError::Io { action: "type at the console", source })
    }

    fn find_shell(&mut self, deadline: Instant) -> Result<(), VmError> {
        if self.shell_answered {
            return Ok(());
        }
        // QEMU's PL011 gives no interrupt any more if much was typed before the guest set it up.
        let silent_until = deadline.min(Instant::now() + SILENCE);
        let spoke = |text: &str| (!text.is_empty()).then_some(());
        match self.wait_until(0, silent_until, "say anything", spoke) {
            Ok(()) | Err(VmError::Timeout { .. }) => {}
            Err(error) => return Err(error),
        }
        // Some consoles want to be activated by a key.
        self.type_line("")?;
        self.sync(deadline)?;
        self.shell_answered = true;
        Ok(())
    }

    /// Asks the shell for an answer until it gives one.
    fn sync(&mut self, deadline: Instant) -> Result<(), VmError> {
        let from = self.shared.lock().end();
        loop {
            let number = self.next_marker();
            // Serial ports lose what comes while the kernel sets them up. What is left of this
            // line is a line all the same: it has no quotes that could stay open.
            self.type_line(&format!("echo PICNIX\\-READY-{number}"))?;
            let try_until = deadline.min(Instant::now() + SYNC_INTERVAL);
            let what = "show a shell on its console";
            let answer = self.wait_until(from, try_until, what, |text| {
                let seen = |text: &str| text.contains("PICNIX-READY-").then_some(());
                seen(text).or_else(|| seen(&without_kernel_messages(text)))
            });
            match answer {
                Err(VmError::Timeout { .. }) if Instant::now() < deadline => {}
                answer => return answer,
            }
        }
    }

    fn next_marker(&mut self) -> u32 {
        self.markers += 1;
        self.markers
    }

    /// Waits until `find` finds what it wants in the text from a position.
    fn wait_until<T>(
        &self,
        from: u64,
        deadline: Instant,
        what: &str,
        find: impl Fn(&str) -> Option<T>,
    ) -> Result<T, VmError> {
        let mut state = self.shared.lock();
        loop {
            if let Some(found) = find(&state.text_from(from)) {
                return Ok(found);
            }
            let shown = |state: &State| last_lines(&state.text_from(0), SHOWN_LINES);
            let what = what.to_owned();
            if state.closed {
                return Err(VmError::Ended { what, last_lines: shown(&state) });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(VmError::Timeout { what, last_lines: shown(&state) });
            }
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole after every statement, whoever panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_console(mut from_guest: impl Read, mut transcript: File, shared: &Shared) {
    let mut cleaner = Cleaner::default();
    let mut buffer = [0; 4096];
    loop {
        let count = match from_guest.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        // A full disk must not end the test: the transcript is for people.
        let _ = transcript.write_all(&buffer[..count]);
        let mut state = shared.lock();
        cleaner.push(&buffer[..count], &mut state.text);
        if state.text.len() > MAX_TEXT_BYTES {
            let surplus = state.text.len() - MAX_TEXT_BYTES / 2;
            state.text.drain(..surplus);
            state.dropped += surplus as u64;
        }
        drop(state);
        shared.changed.notify_all();
    }
    shared.lock().closed = true;
    shared.changed.notify_all();
}

/// The lines that put a command into the shell's variable `picnix_command`.
fn typed_lines(command: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = "picnix_command=".to_owned();
    for quoted in quoted_pieces(command) {
        if line.len() + quoted.len() > TYPED_LINE_BYTES && line.contains('\'') {
            lines.push(line);
            line = "picnix_command=$picnix_command".to_owned();
        }
        line.push_str(&quoted);
    }
    lines.push(line);
    lines
}

/// A command in pieces of shell words that mean its characters and nothing else.
///
/// Control characters would act on the line editor, so the shell makes them itself. `$(...)`
/// drops newlines at its end, so a newline is typed as it is.
fn quoted_pieces(command: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let end_plain = |plain: &mut String, pieces: &mut Vec<String>| {
        if !plain.is_empty() {
            pieces.push(format!("'{plain}'"));
            plain.clear();
        }
    };
    for character in command.chars() {
        match character {
            '\'' => {
                end_plain(&mut plain, &mut pieces);
                pieces.push("\"'\"".to_owned());
            }
            c if c.is_ascii_control() && c != '\n' => {
                end_plain(&mut plain, &mut pieces);
                pieces.push(format!("\"$(printf '\\{:03o}')\"", u32::from(c)));
            }
            c => {
                plain.push(c);
                if plain.len() >= TYPED_LINE_BYTES / 2 {
                    end_plain(&mut plain, &mut pieces);
                }
            }
        }
    }
    end_plain(&mut plain, &mut pieces);
    pieces
}

/// Finds what a command printed between its markers, and its status.
fn find_output(text: &str, number: u32) -> Option<CommandOutput> {
    let parse = |text: &str| {
        let begin = format!("PICNIX-BEGIN-{number}\n");
        let end = format!("PICNIX-END-{number}-");
        let (_, after) = text.split_once(&begin)?;
        let (output, after) = after.split_once(&end)?;
        let (status, _) = after.split_once('\n')?;
        Some((status.parse().ok()?, output.to_owned()))
    };
    let (status, output) =
        parse(text).or_else(|| parse(&without_kernel_messages(text)))?;
    let without_kernel = without_kernel_messages(&output);
    Some(CommandOutput { status, output, without_kernel })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, PipeReader, PipeWriter};
    use std::process::{Command, Stdio};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;

    /// How the fake guest misbehaves.
    #[derive(Clone, Copy, PartialEq)]
    enum Habit {
        None,
        /// The kernel speaks in the middle of everything.
        NoisyKernel,
        /// Nobody reads what is typed first.
        SlowStart,
        /// The beginning of what is typed is lost, in the middle of a line.
        DeafAtFirst,
    }

    /// A console with a real shell behind it, which echoes, prompts and uses CRLF.
    fn fake_guest(habit: Habit) -> (Console, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let (typed, to_guest) = io::pipe().unwrap();
        let (from_guest, said) = io::pipe().unwrap();
        let cwd = dir.path().to_owned();
        thread::spawn(move || play_guest(typed, said, habit, &cwd));
        let transcript = dir.path().join("transcript");
        (Console::open(from_guest, to_guest, &transcript).unwrap(), dir)
    }

    fn play_guest(typed: PipeReader, said: PipeWriter, habit: Habit, cwd: &Path) {
        let mut typed = BufReader::new(typed);
        if habit == Habit::SlowStart {
            typed.read_line(&mut String::new()).unwrap();
            typed.read_line(&mut String::new()).unwrap();
        }
        if habit == Habit::DeafAtFirst {
            typed.read_exact(&mut [0; "\necho PIC".len()]).unwrap();
        }
        let (reader, writer) = io::pipe().unwrap();
        let mut shell = Command::new("sh")
            .current_dir(cwd)
            .stdin(Stdio::piped())
            .stdout(writer.try_clone().unwrap())
            .stderr(writer)
            .spawn()
            .unwrap();
        let mut stdin = shell.stdin.take().unwrap();
        let (say, sayings) = mpsc::channel::<Vec<u8>>();
        let printer = thread::spawn(move || print_all(&sayings, said, habit));
        let shell_says = say.clone();
        let copier = thread::spawn(move || {
            let mut reader = reader;
            let mut buffer = [0; 7];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                shell_says.send(buffer[..count].to_vec()).unwrap();
            }
        });
        say.send(b"~ # \x1b[6n".to_vec()).unwrap();
        let mut line = String::new();
        while typed.read_line(&mut line).is_ok_and(|count| count > 0) {
            say.send([line.as_bytes(), b"~ # \x1b[6n"].concat()).unwrap();
            if line == "poweroff\n" {
                break;
            }
            stdin.write_all(line.as_bytes()).unwrap();
            line.clear();
        }
        drop(stdin);
        shell.wait().unwrap();
        copier.join().unwrap();
        drop(say);
        printer.join().unwrap();
    }

    fn print_all(sayings: &mpsc::Receiver<Vec<u8>>, mut said: PipeWriter, habit: Habit) {
        // The console may be closed first.
        let mut put = |bytes: &[u8]| drop(said.write_all(bytes));
        for (count, saying) in sayings.iter().enumerate() {
            for &byte in &saying {
                match byte {
                    b'\n' => put(b"\r\n"),
                    byte => put(&[byte]),
                }
            }
            if habit == Habit::NoisyKernel {
                put(format!("[{count:5}.123456] usb 1-1: nonsense\r\n").as_bytes());
            }
        }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn commands_give_status_and_output_with_every_habit() {
        for habit in
            [Habit::None, Habit::NoisyKernel, Habit::SlowStart, Habit::DeafAtFirst]
        {
            let (mut console, _dir) = fake_guest(habit);
            let mut run = |command: &str| {
                let done = console.run_command(command, soon()).unwrap();
                (done.status, done.without_kernel)
            };
            assert_eq!(run("echo hello"), (0, "hello\n".to_owned()));
            assert_eq!(run("printf 'no newline'"), (0, "no newline".to_owned()));
            assert_eq!(run("echo bad >&2; exit 7"), (7, "bad\n".to_owned()));
            assert_eq!(run("cat"), (0, String::new()));
            assert_eq!(run(""), (0, String::new()));
        }
    }

    #[test]
    fn commands_arrive_as_they_are() {
        let (mut console, _dir) = fake_guest(Habit::None);
        let long = "x".repeat(3000);
        for text in
            ["it's \"$HOME\" `a` \\ !", "a\tb\u{1b}c", "ä\n  ö\n\nü", long.as_str()]
        {
            let quoted = text.replace('\'', "'\\''");
            let command = format!("printf %s '{quoted}' | od -An -v -tx1 | tr -d ' \\n'");
            let done = console.run_command(&command, soon()).unwrap();
            let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(done.output, hex, "{text:?}");
        }
    }

    #[test]
    fn output_that_looks_like_the_kernels_is_kept_too() {
        let (mut console, _dir) = fake_guest(Habit::None);
        let done =
            console.run_command("echo '[    1.000000] x'; echo y", soon()).unwrap();
        assert_eq!(done.output, "[    1.000000] x\ny\n");
        assert_eq!(done.without_kernel, "y\n");
    }

    #[test]
    fn lines_are_waited_for_in_turn() {
        let (mut console, _dir) = fake_guest(Habit::None);
        console.type_line("echo o''ne; echo t''wo; echo o''ne").unwrap();
        for line in ["one", "two", "one"] {
            console.wait_for(line, soon()).unwrap();
        }
        let error = console.wait_for("one", Instant::now()).unwrap_err();
        assert!(matches!(error, VmError::Timeout { .. }), "{error}");
        assert!(error.to_string().contains("say \"one\""), "{error}");
    }

    #[test]
    fn the_end_of_the_machine_ends_waiting() {
        let (mut console, _dir) = fake_guest(Habit::None);
        console.type_command("poweroff", soon()).unwrap();
        let error = console.wait_for("never", soon()).unwrap_err();
        assert!(matches!(error, VmError::Ended { .. }), "{error}");
        // On a busy machine the shell is asked more than once whether it is there, and its late answers come last.
        let transcript = std::fs::read(console.transcript()).unwrap();
        assert!(String::from_utf8_lossy(&transcript).contains("poweroff\r\n~ # \x1b[6n"));
    }

    #[test]
    fn nothing_is_typed_before_the_guest_has_spoken() {
        let dir = tempfile::tempdir().unwrap();
        let (from_guest, mut said) = io::pipe().unwrap();
        let (mut typed, to_guest) = io::pipe().unwrap();
        let mut console =
            Console::open(from_guest, to_guest, &dir.path().join("t")).unwrap();
        let has_spoken = Arc::new(AtomicBool::new(false));
        let listening = has_spoken.clone();
        let guest = thread::spawn(move || {
            typed.read_exact(&mut [0]).unwrap();
            listening.load(Ordering::SeqCst)
        });
        thread::sleep(Duration::from_millis(200));
        has_spoken.store(true, Ordering::SeqCst);
        said.write_all(b"booting\r\n").unwrap();
        console.run_command("true", Instant::now() + Duration::from_secs(1)).unwrap_err();
        assert!(guest.join().unwrap(), "it was typed before the guest spoke");
    }

    #[test]
    fn a_guest_without_shell_is_an_error_with_its_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let (from_guest, mut said) = io::pipe().unwrap();
        let (_typed, to_guest) = io::pipe().unwrap();
        let mut console =
            Console::open(from_guest, to_guest, &dir.path().join("t")).unwrap();
        said.write_all(b"booting\r\n").unwrap();
        console.wait_for("booting", soon()).unwrap();
        let error = console.run_command("true", Instant::now()).unwrap_err();
        insta::assert_snapshot!(error, @r"
        the guest did not show a shell on its console in time; its last lines were:
          booting
        ");
    }
}
