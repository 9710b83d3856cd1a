//! The tests that a configuration declares, as JSON.

use crate::VmError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

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
        serde_json::from_str(json).map_err(VmError::Plan)
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
        power off
        "#);
        let printed = serde_json::to_string(&plan).unwrap();
        assert_eq!(TestPlan::parse(&printed).unwrap(), plan);
    }

    #[test]
    fn what_nobody_knows_is_refused() {
        for bad in [
            r#"{"t": {"steps": [{"type": "dance"}]}}"#,
            r#"{"t": {"steps": [{"type": "waitFor"}]}}"#,
            r#"{"t": {"steps": [{"type": "waitFor", "line": "x", "lines": "y"}]}}"#,
            r#"{"t": {"steps": [{"type": "powerOff", "now": true}]}}"#,
            r#"{"t": {"steps": [], "timeout": 3}}"#,
        ] {
            assert!(TestPlan::parse(bad).is_err(), "{bad}");
        }
    }
}
