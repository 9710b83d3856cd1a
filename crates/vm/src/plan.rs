//! The tests that a configuration declares, as JSON.

use crate::{VmError, VmSpec};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Long enough for a small system under emulation on a busy machine.
const DEFAULT_TIMEOUT_SECONDS: u64 = 300;

/// All tests of a configuration, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TestPlan {
    /// The tests.
    pub tests: BTreeMap<String, BootTest>,
}

impl TestPlan {
    /// Parses a plan.
    pub fn parse(json: &str) -> Result<Self, VmError> {
        let plan: Self = serde_json::from_str(json).map_err(VmError::Plan)?;
        for machine in plan.tests.values().filter_map(|test| test.machine.as_ref()) {
            machine.check()?;
        }
        Ok(plan)
    }

    /// Replaces the store paths by where they physically are.
    #[must_use]
    pub fn map_paths(mut self, physical: impl Fn(&Path) -> PathBuf) -> Self {
        for test in self.tests.values_mut() {
            test.machine =
                test.machine.take().map(|machine| machine.map_paths(&physical));
            for step in &mut test.steps {
                if let Step::Ssh { client, identity, .. } = step {
                    *client = physical(client);
                    *identity = physical(identity);
                }
            }
        }
        self
    }
}

/// A machine that is booted and a sequence of steps that must all succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BootTest {
    /// The time for all steps together, boot included.
    #[serde(default = "default_timeout")]
    pub timeout_seconds: u64,
    /// What to do, in this order.
    pub steps: Vec<Step>,
    /// The machine, where it is another one than the configuration's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<VmSpec>,
}

const fn default_timeout() -> u64 {
    DEFAULT_TIMEOUT_SECONDS
}

/// One step of a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Step {
    /// Wait until a line of the console contains a text.
    WaitFor {
        /// The text.
        line: String,
    },
    /// Run a command at the guest's shell; it must exit with status 0.
    Run {
        /// The command, for `sh`.
        command: String,
        /// What it must print, white space at both ends aside.
        #[serde(default)]
        expect: Option<String>,
    },
    /// Fetch a page from the guest; its status must be 200.
    Fetch {
        /// The port in the guest; it must be forwarded.
        port: u16,
        /// The path of the URL.
        #[serde(default = "default_path")]
        path: String,
        /// What the page must contain.
        #[serde(default)]
        expect: Option<String>,
    },
    /// Log in over SSH and run a command; it must exit with status 0.
    Ssh {
        /// The port in the guest; it must be forwarded.
        port: u16,
        /// Who logs in.
        user: String,
        /// The command, for the user's shell.
        command: String,
        /// What it must print, white space at both ends aside.
        #[serde(default)]
        expect: Option<String>,
        /// The program `dbclient`.
        client: PathBuf,
        /// The user's secret key, in dropbear's format.
        identity: PathBuf,
    },
    /// Type `poweroff` and wait until the machine is off.
    PowerOff {},
}

fn default_path() -> String {
    "/".to_owned()
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WaitFor { line } => write!(f, "wait for \"{line}\""),
            Self::Run { command, .. } => write!(f, "run \"{command}\""),
            Self::Fetch { port, path, .. } => {
                write!(f, "fetch \"{path}\" from port {port}")
            }
            Self::Ssh { user, command, .. } => {
                write!(f, "run \"{command}\" as {user} over SSH")
            }
            Self::PowerOff {} => write!(f, "power off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_and_printed() {
        let plan = TestPlan::parse(
            r#"{"boots": {"timeoutSeconds": 60, "steps": [
                {"type": "waitFor", "line": "hello"},
                {"type": "run", "command": "hostname", "expect": "hello"},
                {"type": "run", "command": "true", "expect": null},
                {"type": "fetch", "port": 80, "path": "/", "expect": "page"},
                {"type": "ssh", "port": 22, "user": "root", "command": "id",
                    "client": "/s/dbclient", "identity": "/s/key"},
                {"type": "powerOff"}]}}"#,
        )
        .unwrap();
        let test = &plan.tests["boots"];
        let shown: Vec<_> = test.steps.iter().map(Step::to_string).collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
        wait for "hello"
        run "hostname"
        run "true"
        fetch "/" from port 80
        run "id" as root over SSH
        power off
        "#);
        let printed = serde_json::to_string(&plan).unwrap();
        assert_eq!(TestPlan::parse(&printed).unwrap(), plan);
        let mapped = plan.map_paths(|path| {
            Path::new("/elsewhere").join(path.strip_prefix("/").unwrap())
        });
        let Step::Ssh { client, identity, .. } = &mapped.tests["boots"].steps[4] else {
            panic!("the fifth step is another one");
        };
        assert_eq!(
            (client.as_path(), identity.as_path()),
            (Path::new("/elsewhere/s/dbclient"), Path::new("/elsewhere/s/key"))
        );
    }

    #[test]
    fn what_nobody_knows_is_refused() {
        for bad in [
            r#"{"t": {"steps": [{"type": "dance"}]}}"#,
            r#"{"t": {"steps": [{"type": "waitFor"}]}}"#,
            r#"{"t": {"steps": [{"type": "waitFor", "line": "x", "lines": "y"}]}}"#,
            r#"{"t": {"steps": [{"type": "powerOff", "now": true}]}}"#,
            r#"{"t": {"steps": [], "timeout": 3}}"#,
            r#"{"t": {"steps": [], "machine": {"format": "floppy", "qemu": "/q",
                "memoryMiB": 16, "image": "/i"}}}"#,
        ] {
            assert!(TestPlan::parse(bad).is_err(), "{bad}");
        }
    }
}
