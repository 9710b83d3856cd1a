//! The flags that every command of Nix knows, and Nix's settings as far as they mean something here.

use std::path::PathBuf;

use picnix_build::Purpose;
use picnix_engine::session::EvalOptions;
use picnix_eval::Severity;
use picnix_eval::report::Layout;

use super::flags::Flag;
use super::{Stop, usage};
use crate::args::{JobArgs, LogFormat};
use crate::commands::Context;
use crate::error::CommandError;
use crate::output;

/// What every command of Nix can be told.
pub(crate) struct Common {
    pub(crate) options: EvalOptions,
    pub(crate) include: Vec<String>,
    pub(crate) jobs: JobArgs,
    /// What is done about what is valid already.
    pub(crate) purpose: Purpose,
    pub(crate) store: Option<PathBuf>,
    pub(crate) log_format: LogFormat,
    pub(crate) system: Option<String>,
    pub(crate) gc_warning: bool,
    /// Nothing is written to the store but what must be built on the way.
    pub(crate) read_only: bool,
    /// What takes the place of `NIX_PATH`.
    nix_path: Option<String>,
    /// What comes after everything else in the search path.
    extra_nix_path: Vec<String>,
    /// Pairs of `--override-flake`.
    flake_overrides: Vec<(String, String)>,
    /// Settings that picnix has too, under Nix's names: caches and keys.
    pub(crate) user_settings: Vec<(&'static str, String)>,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            // What scripts and suites look for in reports is where Nix has it.
            options: EvalOptions {
                collect: true,
                layout: Layout::Nix,
                ..EvalOptions::default()
            },
            include: Vec::new(),
            jobs: JobArgs::default(),
            purpose: Purpose::Realise,
            store: None,
            log_format: LogFormat::Auto,
            system: None,
            gc_warning: true,
            read_only: false,
            nix_path: None,
            extra_nix_path: Vec::new(),
            flake_overrides: Vec::new(),
            user_settings: Vec::new(),
        }
    }
}

impl Common {
    /// The context of picnix's own commands with these settings.
    pub(crate) fn context(&self) -> Result<Context, CommandError> {
        let mut config = picnix_engine::Config::from_env()?;
        let remote =
            config.var("NIX_REMOTE").filter(|_| config.var("PICNIX_STORE").is_none());
        if let Some(store) = self.store.clone().or(remote.map(PathBuf::from)) {
            config.choose_store(&store)?;
        }
        if let Some(system) = &self.system {
            config.system.clone_from(system);
        }
        if let Some(path) = &self.nix_path {
            config.search_path.clear();
            config.append_search_path(path.split_whitespace());
        }
        config.append_search_path(self.extra_nix_path.iter().map(String::as_str));
        config.prepend_search_path(&self.include);
        for (from, to) in &self.flake_overrides {
            crate::locking::override_flake(&mut config, from, to)?;
        }
        for (name, value) in &self.user_settings {
            config.settings.set(name, value);
        }
        Ok(Context {
            config,
            show_trace: self.options.show_trace,
            log_format: self.log_format,
        })
    }
}

/// The flags that every command knows.
pub(crate) const FLAGS: &[Flag<Common>] = &[
    Flag {
        names: &["--arg"],
        operands: &["NAME", "EXPR"],
        help: "pass the value of an expression to functions that take an argument of this name",
        apply: |common, operands| {
            let pair = (operands[0].clone(), operands[1].clone());
            common.options.arguments.push(pair);
            Ok(())
        },
    },
    Flag {
        names: &["--argstr"],
        operands: &["NAME", "STRING"],
        help: "pass a string to functions that take an argument of this name",
        apply: |common, operands| {
            let pair = (operands[0].clone(), operands[1].clone());
            common.options.string_arguments.push(pair);
            Ok(())
        },
    },
    Flag {
        names: &["--arg-from-file"],
        operands: &["NAME", "FILE"],
        help: "pass the contents of a file as a string",
        apply: |common, operands| {
            let text = std::fs::read_to_string(&operands[1]).map_err(|error| {
                CommandError::user(format!("cannot read '{}': {error}", operands[1]))
            })?;
            common.options.string_arguments.push((operands[0].clone(), text));
            Ok(())
        },
    },
    Flag {
        names: &["--arg-from-stdin"],
        operands: &["NAME"],
        help: "pass the contents of standard input as a string",
        apply: |common, operands| {
            let text = std::io::read_to_string(std::io::stdin()).map_err(|error| {
                CommandError::user(format!("cannot read standard input: {error}"))
            })?;
            common.options.string_arguments.push((operands[0].clone(), text));
            Ok(())
        },
    },
    Flag {
        names: &["-I", "--include"],
        operands: &["PATH"],
        help: "add a path to those that <...> is searched in",
        apply: |common, operands| {
            common.include.push(operands[0].clone());
            Ok(())
        },
    },
    Flag {
        names: &["--impure"],
        operands: &[],
        help: "let expressions see the machine (the default)",
        apply: |common, _| {
            common.options.pure = false;
            Ok(())
        },
    },
    Flag {
        names: &["--option"],
        operands: &["NAME", "VALUE"],
        help: "give a setting of Nix a value",
        apply: |common, operands| match find(&operands[0]) {
            Some(setting) => (setting.apply)(common, &operands[1]),
            None => {
                output::error(&format!("warning: unknown setting '{}'", operands[0]));
                Ok(())
            }
        },
    },
    Flag {
        names: &["-j"],
        operands: &["N"],
        help: "build that many derivations at a time",
        apply: |common, operands| set_jobs(common, &operands[0]),
    },
    Flag {
        names: &["-K"],
        operands: &[],
        help: "keep the build directory of a build that fails",
        apply: |common, _| set_bool(&mut common.jobs.keep_failed, "true"),
    },
    Flag {
        names: &["-k"],
        operands: &[],
        help: "build everything that does not depend on what failed",
        apply: |common, _| set_bool(&mut common.jobs.keep_going, "true"),
    },
    Flag {
        names: &["--no-gc-warning"],
        operands: &[],
        help: "do not warn that a result may be collected",
        apply: |common, _| {
            common.gc_warning = false;
            Ok(())
        },
    },
    Flag {
        names: &["-Q", "--no-build-output", "--quiet"],
        operands: &[],
        help: "show nothing but errors",
        apply: |common, _| {
            common.log_format = LogFormat::Quiet;
            Ok(())
        },
    },
    Flag {
        names: &["--override-flake"],
        operands: &["FLAKE", "OTHER"],
        help: "let a reference lead to another one, whatever the registries say",
        apply: |common, operands| {
            let pair = (operands[0].clone(), operands[1].clone());
            common.flake_overrides.push(pair);
            Ok(())
        },
    },
    Flag {
        names: &["--readonly-mode"],
        operands: &[],
        help: "write nothing to the store",
        apply: |common, _| {
            common.read_only = true;
            Ok(())
        },
    },
    Flag {
        names: &["--eval-store"],
        operands: &["URL"],
        help: "accepted where it changes nothing: 'auto', or 'dummy://' for --eval",
        apply: |_, operands| match operands[0].as_str() {
            "" | "auto" | "dummy://" => Ok(()),
            other => usage(format!(
                "evaluation has no store of its own here; '--eval-store {other}' is not supported"
            )),
        },
    },
    Flag {
        names: &["--log-format"],
        operands: &["FORMAT"],
        help: "how progress is shown: raw, bar, multiline",
        apply: |common, operands| {
            common.log_format = match operands[0].as_str() {
                "raw" | "raw-with-logs" => LogFormat::Plain,
                "bar" | "bar-with-logs" | "multiline" | "multiline-with-logs" => {
                    LogFormat::Auto
                }
                other => {
                    return usage(format!("log format '{other}' is not supported"));
                }
            };
            Ok(())
        },
    },
    Flag {
        names: &["--repair"],
        operands: &[],
        help: "replace what is valid but damaged",
        apply: |common, _| {
            common.purpose = Purpose::Repair;
            Ok(())
        },
    },
    Flag {
        names: &["-v", "--verbose", "--debug"],
        operands: &[],
        help: "",
        apply: |_, _| Ok(()),
    },
];

/// A setting of Nix: `--NAME`, `--no-NAME`, `--NAME VALUE`, or `--option NAME VALUE`.
pub(crate) struct Setting {
    name: &'static str,
    kind: Kind,
    pub(crate) apply: fn(&mut Common, &str) -> Result<(), Stop>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// On or off: as a flag it has no operand.
    Switch,
    /// As a flag it is followed by its value.
    Valued,
}

const fn switch(
    name: &'static str,
    apply: fn(&mut Common, &str) -> Result<(), Stop>,
) -> Setting {
    Setting { name, kind: Kind::Switch, apply }
}

const fn valued(
    name: &'static str,
    apply: fn(&mut Common, &str) -> Result<(), Stop>,
) -> Setting {
    Setting { name, kind: Kind::Valued, apply }
}

/// The settings that mean something here.
const SETTINGS: &[Setting] = &[
    switch("abort-on-warn", |common, value| {
        set_bool(&mut common.options.abort_on_warn, value)
    }),
    switch("allow-import-from-derivation", |common, value| {
        let mut allowed = true;
        set_bool(&mut allowed, value)?;
        common.options.no_import_from_derivation = !allowed;
        Ok(())
    }),
    switch("auto-optimise-store", |common, value| {
        keep(common, "auto-optimise-store", value)
    }),
    switch("builders-use-substitutes", |common, value| {
        keep(common, "builders-use-substitutes", value)
    }),
    switch("keep-derivations", |common, value| keep(common, "keep-derivations", value)),
    switch("keep-failed", |common, value| set_bool(&mut common.jobs.keep_failed, value)),
    switch("keep-going", |common, value| set_bool(&mut common.jobs.keep_going, value)),
    switch("pure-eval", |common, value| set_bool(&mut common.options.pure, value)),
    switch("restrict-eval", |common, value| {
        set_bool(&mut common.options.restricted, value)
    }),
    switch("require-sigs", |common, value| keep(common, "require-sigs", value)),
    switch("show-trace", |common, value| set_bool(&mut common.options.show_trace, value)),
    switch("substitute", |common, value| keep(common, "substitute", value)),
    switch("trace-verbose", |common, value| {
        set_bool(&mut common.options.trace_verbose, value)
    }),
    switch("warn-short-path-literals", |common, value| {
        let mut warn = false;
        set_bool(&mut warn, value)?;
        common.options.lints.short_paths =
            if warn { Severity::Warn } else { Severity::Ignore };
        Ok(())
    }),
    valued("builders", |common, value| keep(common, "builders", value)),
    valued("allowed-uris", |common, value| {
        let uris = value.split_whitespace().map(str::to_owned).collect();
        common.options.allowed_uris = Some(uris);
        Ok(())
    }),
    valued("flake-registry", |common, value| keep(common, "flake-registry", value)),
    valued("build-cores", |common, value| keep(common, "cores", value)),
    valued("cores", |common, value| keep(common, "cores", value)),
    valued("extra-sandbox-paths", |common, value| {
        keep(common, "extra-sandbox-paths", value)
    }),
    valued("max-build-log-size", |common, value| {
        keep(common, "max-build-log-size", value)
    }),
    valued("max-free", |common, value| keep(common, "max-free", value)),
    valued("min-free", |common, value| keep(common, "min-free", value)),
    valued("post-build-hook", |common, value| keep(common, "post-build-hook", value)),
    valued("secret-key-files", |common, value| keep(common, "secret-key-files", value)),
    valued("max-silent-time", |common, value| keep(common, "max-silent-time", value)),
    valued("sandbox-paths", |common, value| keep(common, "sandbox-paths", value)),
    valued("timeout", |common, value| keep(common, "timeout", value)),
    valued("connect-timeout", |common, value| keep(common, "connect-timeout", value)),
    valued("eval-cores", |common, value| keep(common, "eval-cores", value)),
    valued("extra-substituters", |common, value| {
        keep(common, "extra-substituters", value)
    }),
    valued("extra-trusted-public-keys", |common, value| {
        keep(common, "extra-trusted-public-keys", value)
    }),
    valued("http-connections", |common, value| keep(common, "http-connections", value)),
    valued("narinfo-cache-negative-ttl", |common, value| {
        keep(common, "narinfo-cache-negative-ttl", value)
    }),
    valued("narinfo-cache-positive-ttl", |common, value| {
        keep(common, "narinfo-cache-positive-ttl", value)
    }),
    valued("substituters", |common, value| keep(common, "substituters", value)),
    valued("trusted-public-keys", |common, value| {
        keep(common, "trusted-public-keys", value)
    }),
    valued("experimental-features", |common, value| {
        common.options.features = picnix_eval::Features::default();
        common.options.pipe_operators = false;
        add_features(common, value)
    }),
    valued("extra-experimental-features", add_features),
    valued("lint-absolute-path-literals", |common, value| {
        set_lint(&mut common.options.lints.absolute_paths, value)
    }),
    valued("lint-short-path-literals", |common, value| {
        set_lint(&mut common.options.lints.short_paths, value)
    }),
    valued("lint-url-literals", |common, value| {
        set_lint(&mut common.options.lints.urls, value)
    }),
    valued("max-call-depth", |common, value| {
        match value.parse() {
            Ok(depth) => common.options.max_call_depth = Some(depth),
            Err(_) => {
                return usage(format!(
                    "setting 'max-call-depth' has invalid value '{value}'"
                ));
            }
        }
        Ok(())
    }),
    valued("max-jobs", set_jobs),
    valued("nix-path", |common, value| {
        common.nix_path = Some(value.to_owned());
        common.extra_nix_path.clear();
        Ok(())
    }),
    valued("extra-nix-path", |common, value| {
        common.extra_nix_path.extend(value.split_whitespace().map(str::to_owned));
        Ok(())
    }),
    valued("store", |common, value| {
        common.store = Some(PathBuf::from(value));
        Ok(())
    }),
    valued("system", |common, value| {
        common.system = Some(value.to_owned());
        Ok(())
    }),
];

/// Reads `NAME = VALUE` lines, as in Nix's configuration files and the variable `NIX_CONFIG`.
pub(crate) fn read_config(common: &mut Common, text: &str) -> Result<(), Stop> {
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let Some((name, value)) = line.split_once('=') else {
            if line.trim().is_empty() {
                continue;
            }
            return usage(format!(
                "syntax error in configuration line '{line}' in NIX_CONFIG"
            ));
        };
        let (name, value) = (name.trim(), value.trim());
        match find(name) {
            Some(setting) => (setting.apply)(common, value)?,
            None => output::error(&format!("warning: unknown setting '{name}'")),
        }
    }
    // The variable of its own says more than a setting in a file.
    if std::env::var_os("NIX_PATH").is_some() {
        common.nix_path = None;
        common.extra_nix_path.clear();
    }
    Ok(())
}

/// Switches of Nix that are accepted and change nothing here.
const IGNORED_SWITCHES: &[&str] = &[
    "accept-flake-config",
    "allow-dirty",
    "compress-build-log",
    "eval-cache",
    "fallback",
    "fsync-metadata",
    "keep-build-log",
    "keep-outputs",
    "print-missing",
    "use-sqlite-wal",
    "warn-dirty",
];

/// Settings of Nix with a value that are accepted and change nothing here.
const IGNORED_VALUES: &[&str] = &[
    "allowed-users",
    "build-users-group",
    "extra-trusted-substituters",
    "log-lines",
    "max-substitution-jobs",
    "sandbox",
    "system-features",
    "tarball-ttl",
    "trusted-substituters",
    "trusted-users",
];

static IGNORED_SWITCH: Setting = switch("", |_, value| set_bool(&mut false, value));
static IGNORED_VALUE: Setting = valued("", |_, _| Ok(()));

fn find(name: &str) -> Option<&'static Setting> {
    if let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) {
        return Some(setting);
    }
    if IGNORED_SWITCHES.contains(&name) {
        return Some(&IGNORED_SWITCH);
    }
    IGNORED_VALUES.contains(&name).then_some(&IGNORED_VALUE)
}

/// The setting that a flag sets, and its value if the flag says it already.
pub(crate) fn as_flag(flag: &str) -> Option<(&'static Setting, Option<&'static str>)> {
    let name = flag.strip_prefix("--")?;
    if let Some(setting) = find(name) {
        return Some((setting, (setting.kind == Kind::Switch).then_some("true")));
    }
    let setting = find(name.strip_prefix("no-")?)?;
    (setting.kind == Kind::Switch).then_some((setting, Some("false")))
}

fn set_bool(target: &mut bool, value: &str) -> Result<(), Stop> {
    *target = match value {
        "true" | "yes" | "1" => true,
        "false" | "no" | "0" => false,
        _ => return usage(format!("Boolean setting has invalid value '{value}'")),
    };
    Ok(())
}

/// Notes a setting that the engine understands by itself.
fn keep(common: &mut Common, name: &'static str, value: &str) -> Result<(), Stop> {
    common.user_settings.push((name, value.to_owned()));
    Ok(())
}

fn set_lint(target: &mut Severity, value: &str) -> Result<(), Stop> {
    match Severity::parse(value) {
        Some(severity) => *target = severity,
        None => {
            return usage(format!(
                "setting has invalid value '{value}', expected one of: ignore, warn, fatal"
            ));
        }
    }
    Ok(())
}

fn set_jobs(common: &mut Common, value: &str) -> Result<(), Stop> {
    common.jobs.jobs = match value {
        "auto" => None,
        number => match number.parse() {
            Ok(jobs) => Some(jobs),
            Err(_) => {
                return usage(format!(
                    "configuration setting 'max-jobs' should have an integer value or 'auto', not '{value}'"
                ));
            }
        },
    };
    Ok(())
}

/// Unknown features are warned of, as in Nix.
fn add_features(common: &mut Common, value: &str) -> Result<(), Stop> {
    for name in value.split_whitespace() {
        if !crate::features::enable(&mut common.options, name) {
            output::error(&format!("warning: unknown experimental feature '{name}'"));
        }
    }
    Ok(())
}
