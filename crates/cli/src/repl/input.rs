//! Where the lines come from: a terminal with editing, history and completion, or a pipe.

use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use rustyline::config::{CompletionType, Config};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{Editor, Helper};

use super::Repl;
use crate::output;

/// The prompt of Nix's repl, which people and scripts know.
const PROMPT: &str = "nix-repl> ";
const CONTINUATION: &str = "        > ";
/// The most lines of history that are kept.
const HISTORY_LINES: usize = 1000;
/// Where it is `1`, a pipe is answered with prompts and an echo, as on a terminal: the test suite of Nix reads
/// such transcripts.
const ECHO_VARIABLE: &str = "_NIX_TEST_REPL_ECHO";

/// One line, or why there is none.
pub(super) enum Line {
    /// A line, without its end.
    Text(String),
    /// Ctrl-C: what was typed so far is dropped.
    Interrupted,
    /// There are no more lines.
    End,
}

/// The source of lines.
pub(super) enum Input<'i, 'r, 'h> {
    /// A terminal.
    Terminal(Box<Editor<Completing<'i, 'r, 'h>, FileHistory>>, PathBuf),
    /// A pipe or file; and whether lines are echoed.
    Pipe(bool),
}

/// What completes at a prompt.
pub(super) struct Completing<'i, 'r, 'h> {
    pub(super) repl: &'i Repl<'r, 'h>,
}

impl Helper for Completing<'_, '_, '_> {}
impl Highlighter for Completing<'_, '_, '_> {}
impl Validator for Completing<'_, '_, '_> {}
impl Hinter for Completing<'_, '_, '_> {
    type Hint = String;
}

impl<'i, 'r, 'h> Input<'i, 'r, 'h> {
    /// Lines from standard input. History that cannot be read or written is no reason to fail.
    pub(super) fn new(repl: &'i Repl<'r, 'h>, on_terminal: bool, history: &Path) -> Self {
        let echo = repl.session.config().var(ECHO_VARIABLE);
        let pipe = Self::Pipe(echo.is_some_and(|value| value == "1"));
        if !on_terminal {
            return pipe;
        }
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .max_history_size(HISTORY_LINES)
            .map(|config| config.auto_add_history(false).build());
        let Ok(mut editor) =
            config.and_then(Editor::<Completing<'i, 'r, 'h>, FileHistory>::with_config)
        else {
            return pipe;
        };
        editor.set_helper(Some(Completing { repl }));
        // There is none the first time.
        let _ = editor.load_history(history);
        Self::Terminal(Box::new(editor), history.to_owned())
    }

    /// The next line; `is_continued` says whether it continues the one before it.
    pub(super) fn read(&mut self, is_continued: bool) -> io::Result<Line> {
        let prompt = if is_continued { CONTINUATION } else { PROMPT };
        match self {
            Self::Terminal(editor, _) => match editor.readline(prompt) {
                Ok(line) => Ok(Line::Text(line)),
                Err(ReadlineError::Interrupted) => Ok(Line::Interrupted),
                Err(ReadlineError::Eof) => Ok(Line::End),
                Err(ReadlineError::Io(error)) => Err(error),
                Err(error) => Err(io::Error::other(error)),
            },
            Self::Pipe(echo) => {
                let mut bytes = Vec::new();
                if io::stdin().lock().read_until(b'\n', &mut bytes)? == 0 {
                    return Ok(Line::End);
                }
                let line = String::from_utf8_lossy(&bytes);
                let line = line.strip_suffix('\n').unwrap_or(&line).to_owned();
                if *echo {
                    output::write(format!("{prompt}{line}\n").as_bytes())?;
                }
                Ok(Line::Text(line))
            }
        }
    }

    /// Adds what was typed to the history.
    pub(super) fn remember(&mut self, text: &str) {
        let Self::Terminal(editor, history) = self else { return };
        // A history that cannot be kept must not keep anybody from working.
        let _ = editor.add_history_entry(text);
        let _ = editor.save_history(history);
    }
}
