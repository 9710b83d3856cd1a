//! Runs a test: a fresh machine, its steps, and a report that says which one failed and why.

use crate::kvm::Accel;
use crate::machine::{Ending, Machine, StartOptions, Stdio};
use crate::ssh::Login;
use crate::text::KERNEL_PANIC;
use crate::{BootTest, Console, Protocol, Step, VmError, VmSpec, http};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What all tests of a run share.
#[derive(Debug, Clone, Copy)]
pub struct RunnerOptions<'a> {
    /// What runs the guest's instructions; nothing where `user_args` say it.
    pub accel: Option<Accel>,
    /// Arguments for QEMU after all others.
    pub user_args: &'a [String],
    /// Where transcripts of failed tests stay; it must exist.
    pub transcript_dir: &'a Path,
}

/// What became of a test.
#[derive(Debug)]
pub struct TestReport {
    /// Its name.
    pub name: String,
    /// How long it took.
    pub duration: Duration,
    /// Nothing if it passed.
    pub failure: Option<TestFailure>,
}

/// Why a test failed.
#[derive(Debug)]
pub struct TestFailure {
    /// Which step, counted from 1, and what it was; nothing if the machine did not start.
    pub step: Option<(usize, String)>,
    /// What went wrong.
    pub error: VmError,
    /// All that the guest said; nothing if it never could.
    pub transcript: Option<PathBuf>,
}

impl fmt::Display for TestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((number, step)) = &self.step {
            write!(f, "step {number} ({step}): ")?;
        }
        write!(f, "{}", self.error)?;
        let mut cause = std::error::Error::source(&self.error);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        if let Some(transcript) = &self.transcript {
            write!(f, "\ntranscript: {}", transcript.display())?;
        }
        Ok(())
    }
}

/// Boots a machine, runs a test in it and ends it.
pub fn run_test(
    spec: &VmSpec,
    name: &str,
    test: &BootTest,
    options: &RunnerOptions<'_>,
) -> TestReport {
    let start = Instant::now();
    let deadline = start + Duration::from_secs(test.timeout_seconds);
    let transcript = options.transcript_dir.join(transcript_name(name));
    let failure = match start_machine(spec, options, &transcript) {
        Err(error) => Some(TestFailure { step: None, error, transcript: None }),
        Ok((machine, console)) => {
            let mut run = Run { machine: Some(machine), console, deadline };
            let failure = run.steps(&test.steps);
            if let Some(machine) = run.machine.take() {
                machine.quit();
            }
            failure.map(|(step, error)| TestFailure {
                step: Some(step),
                error,
                transcript: Some(transcript.clone()),
            })
        }
    };
    if failure.is_none() {
        // Only failed tests leave something behind; one file too many hurts nobody.
        let _ = std::fs::remove_file(&transcript);
    }
    TestReport { name: name.to_owned(), duration: start.elapsed(), failure }
}

fn start_machine(
    spec: &VmSpec,
    options: &RunnerOptions<'_>,
    transcript: &Path,
) -> Result<(Machine, Console), VmError> {
    let start = StartOptions {
        accel: options.accel,
        console: Stdio::Pipes,
        user_args: options.user_args,
    };
    let mut machine = Machine::start(spec, &start)?;
    let console = machine.open_console(transcript)?;
    machine.resume()?;
    Ok((machine, console))
}

/// A test's name as a file name.
fn transcript_name(test: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let name: String = test.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    format!("{name}.log")
}

struct Run {
    /// Nothing once it is off.
    machine: Option<Machine>,
    console: Console,
    deadline: Instant,
}

impl Run {
    fn steps(&mut self, steps: &[Step]) -> Option<((usize, String), VmError)> {
        for (index, step) in steps.iter().enumerate() {
            if let Err(error) = self.step(step) {
                return Some(((index + 1, step.to_string()), error));
            }
        }
        None
    }

    fn step(&mut self, step: &Step) -> Result<(), VmError> {
        match step {
            Step::WaitFor { line } => self.console.wait_for(line, self.deadline),
            Step::Run { command, expect } => self.run(command, expect.as_deref()),
            Step::Fetch { port, path, expect } => {
                self.fetch(*port, path, expect.as_deref())
            }
            Step::Ssh { port, user, command, expect, client, identity } => {
                let port = self.host_port(*port)?;
                self.ssh(
                    &Login { client, identity, user, command, port },
                    expect.as_deref(),
                )
            }
            Step::PowerOff {} => self.power_off(),
        }
    }

    fn run(&mut self, command: &str, expect: Option<&str>) -> Result<(), VmError> {
        let done = self.console.run_command(command, self.deadline)?;
        if done.status != 0 {
            let output = done.output.trim().to_owned();
            return Err(VmError::CommandStatus { status: done.status, output });
        }
        let Some(expected) = expect.map(str::trim) else { return Ok(()) };
        // A command may itself print what looks like the kernel's.
        let found = [&done.output, &done.without_kernel];
        if found.iter().any(|output| output.trim() == expected) {
            return Ok(());
        }
        Err(VmError::Unexpected {
            expected: expected.to_owned(),
            actual: done.without_kernel.trim().to_owned(),
        })
    }

    fn fetch(
        &mut self,
        port: u16,
        path: &str,
        expect: Option<&str>,
    ) -> Result<(), VmError> {
        let host_port = self.host_port(port)?;
        let console = &self.console;
        let answer = http::get(host_port, path, self.deadline, || console.is_closed())
            .map_err(|error| match error {
                VmError::Fetch { .. } if console.is_closed() => VmError::Ended {
                    what: format!("answer on port {port}"),
                    last_lines: console.last_lines(),
                },
                error => error,
            })?;
        let body = String::from_utf8_lossy(&answer.body);
        if answer.status != 200 {
            return Err(VmError::Fetch {
                url: format!("http://127.0.0.1:{host_port}{path}"),
                reason: format!("status {}", answer.status),
            });
        }
        match expect.map(str::trim) {
            Some(expected) if !body.contains(expected) => Err(VmError::Unexpected {
                expected: expected.to_owned(),
                actual: body.trim().to_owned(),
            }),
            _ => Ok(()),
        }
    }

    fn ssh(&mut self, login: &Login<'_>, expect: Option<&str>) -> Result<(), VmError> {
        let console = &self.console;
        let done = login.run(self.deadline, || console.is_closed()).map_err(|error| {
            if console.is_closed() {
                let what = "let anybody in over SSH".to_owned();
                return VmError::Ended { what, last_lines: console.last_lines() };
            }
            error
        })?;
        if done.status != 0 {
            let output = format!("{}{}", done.stdout, done.stderr).trim().to_owned();
            return Err(VmError::CommandStatus { status: done.status, output });
        }
        match expect.map(str::trim) {
            Some(expected) if done.stdout.trim() != expected => {
                Err(VmError::Unexpected {
                    expected: expected.to_owned(),
                    actual: done.stdout.trim().to_owned(),
                })
            }
            _ => Ok(()),
        }
    }

    fn host_port(&self, port: u16) -> Result<u16, VmError> {
        let forwards = self.machine.as_ref().map_or(&[][..], Machine::forwards);
        let found = forwards
            .iter()
            .find(|one| one.guest_port == port && one.protocol == Protocol::Tcp);
        found.map(|forward| forward.host_port).ok_or_else(|| {
            let ports: Vec<_> =
                forwards.iter().map(|one| one.guest_port.to_string()).collect();
            VmError::NotForwarded { port, forwarded: ports.join(", ") }
        })
    }

    fn power_off(&mut self) -> Result<(), VmError> {
        let Some(machine) = &mut self.machine else { return Ok(()) };
        self.console.type_command("poweroff", self.deadline)?;
        let ending = machine.wait_until(self.deadline)?;
        let reason = match ending {
            None => {
                return Err(VmError::Timeout {
                    what: "power off".to_owned(),
                    last_lines: self.console.last_lines(),
                });
            }
            Some(Ending::PoweredOff) => None,
            // Kernels without a way to cut the power reset instead.
            Some(Ending::Reset) if !self.console.text().contains(KERNEL_PANIC) => None,
            Some(Ending::Reset) => Some("its kernel panicked".to_owned()),
            Some(Ending::Other(reason)) => Some(reason),
        };
        self.machine = None;
        reason.map_or(Ok(()), |reason| Err(VmError::NotPoweredOff { reason }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transcripts_stay_in_their_directory() {
        assert_eq!(transcript_name("boots-and_serves"), "boots-and_serves.log");
        assert_eq!(transcript_name("../a b/c"), "___a_b_c.log");
    }

    #[test]
    fn a_failure_names_step_cause_and_transcript() {
        let failure = TestFailure {
            step: Some((2, "run \"false\"".to_owned())),
            error: VmError::CommandStatus { status: 1, output: String::new() },
            transcript: Some("/t/boots.log".into()),
        };
        insta::assert_snapshot!(failure, @r#"
        step 2 (run "false"): the command exited with status 1, printing ""
        transcript: /t/boots.log
        "#);
    }

    #[test]
    fn a_machine_that_cannot_start_is_a_failed_test() {
        let spec = VmSpec::parse(
            r#"{"format": "initramfs", "qemu": "/nonexistent", "memoryMiB": 64,
                "image": "/i", "kernel": "k", "initramfs": "x"}"#,
        )
        .unwrap();
        let test = BootTest { timeout_seconds: 5, steps: Vec::new(), machine: None };
        let dir = tempfile::tempdir().unwrap();
        let options =
            RunnerOptions { accel: None, user_args: &[], transcript_dir: dir.path() };
        let failure = run_test(&spec, "t", &test, &options).failure.unwrap();
        insta::assert_snapshot!(failure, @r#"cannot boot: the emulator "/nonexistent/usr/bin/qemu-system-x86_64" is missing: No such file or directory (os error 2)"#);
    }
}
