//! Command lines in the way of Nix's older commands: tables of flags, and settings as flags.

use std::collections::VecDeque;
use std::fmt::Write;

use super::settings::{self, Common};
use super::{Stop, usage};

/// A flag of a command whose arguments are gathered in a `T`.
pub(crate) struct Flag<T: 'static> {
    /// Its spellings.
    pub(crate) names: &'static [&'static str],
    /// The names of what follows it.
    pub(crate) operands: &'static [&'static str],
    /// What it does, for `--help`; none for a flag that is only accepted.
    pub(crate) help: &'static str,
    /// Notes it. As many operands are given as it takes.
    pub(crate) apply: fn(&mut T, &[String]) -> Result<(), Stop>,
}

/// Where the arguments of a command are gathered.
pub(crate) trait Arguments: Sized + 'static {
    /// The flags of this command, which go before those that all commands know.
    const FLAGS: &'static [Flag<Self>];

    /// What all commands know.
    fn common(&mut self) -> &mut Common;

    /// Notes an argument that is no flag.
    fn positional(&mut self, arg: String);

    /// Notes a flag that no table has; says whether it is one after all.
    fn other_flag(&mut self, _flag: &str) -> bool {
        false
    }
}

/// Reads a command line, and before it the settings in `NIX_CONFIG`.
pub(crate) fn parse<T: Arguments>(parsed: &mut T, args: Vec<String>) -> Result<(), Stop> {
    if let Ok(text) = std::env::var("NIX_CONFIG") {
        settings::read_config(parsed.common(), &text)?;
    }
    let mut args: VecDeque<String> = args.into();
    let mut only_positional = false;
    while let Some(arg) = args.pop_front() {
        if only_positional || arg == "-" || !arg.starts_with('-') {
            parsed.positional(arg);
        } else if arg == "--" {
            only_positional = true;
        } else {
            let arg = split_short(arg, &mut args);
            one_flag(parsed, &arg, &mut args)?;
        }
    }
    Ok(())
}

/// `-qR` is `-q -R`, and `-j4` is `-j 4`.
fn split_short(arg: String, rest: &mut VecDeque<String>) -> String {
    let bytes = arg.as_bytes();
    if bytes.len() <= 2 || bytes[1] == b'-' || !bytes[1].is_ascii_alphabetic() {
        return arg;
    }
    let letters = bytes[1..].iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let (flags, operand) = arg[1..].split_at(letters);
    if !operand.is_empty() {
        rest.push_front(operand.to_owned());
    }
    for letter in flags[1..].chars().rev() {
        rest.push_front(format!("-{letter}"));
    }
    format!("-{}", &flags[..1])
}

fn one_flag<T: Arguments>(
    parsed: &mut T,
    arg: &str,
    rest: &mut VecDeque<String>,
) -> Result<(), Stop> {
    if let Some(flag) = T::FLAGS.iter().find(|flag| flag.names.contains(&arg)) {
        let operands = take(arg, flag.operands.len(), rest)?;
        return (flag.apply)(parsed, &operands);
    }
    if let Some(flag) = settings::FLAGS.iter().find(|flag| flag.names.contains(&arg)) {
        let operands = take(arg, flag.operands.len(), rest)?;
        return (flag.apply)(parsed.common(), &operands);
    }
    if let Some((setting, value)) = settings::as_flag(arg) {
        let value = match value {
            Some(value) => value.to_owned(),
            None => take(arg, 1, rest)?.remove(0),
        };
        return (setting.apply)(parsed.common(), &value);
    }
    if parsed.other_flag(arg) {
        return Ok(());
    }
    usage(format!("unrecognised flag '{arg}'"))
}

fn take(
    flag: &str,
    count: usize,
    rest: &mut VecDeque<String>,
) -> Result<Vec<String>, Stop> {
    if rest.len() < count {
        return match count {
            1 => usage(format!("'{flag}' requires an argument")),
            _ => usage(format!("flag '{flag}' requires {count} argument(s)")),
        };
    }
    Ok(rest.drain(..count).collect())
}

/// The lines of `--help` about a table's flags.
pub(crate) fn describe<T>(flags: &[Flag<T>]) -> String {
    let mut out = String::new();
    for flag in flags.iter().filter(|flag| !flag.help.is_empty()) {
        let mut names = flag.names.join(", ");
        for operand in flag.operands {
            names.push(' ');
            names.push_str(operand);
        }
        let _ = writeln!(out, "  {names:<34} {}", flag.help);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(arg: &str) -> Vec<String> {
        let mut rest = VecDeque::new();
        let first = split_short(arg.to_owned(), &mut rest);
        std::iter::once(first).chain(rest).collect()
    }

    #[test]
    fn short_flags_may_be_joined_and_followed_by_a_number() {
        assert_eq!(split("-q"), ["-q"]);
        assert_eq!(split("-qR"), ["-q", "-R"]);
        assert_eq!(split("-j4"), ["-j", "4"]);
        assert_eq!(split("--eval"), ["--eval"]);
    }
}
