//! Completion at the prompt: commands, variables, attributes, files.

use std::path::Path;

use picnix_eval::{Entry, Value};
use rustyline::Context;
use rustyline::completion::Completer;

use super::Repl;
use super::commands::COMMANDS;
use super::input::Completing;

/// What ends the word before the cursor.
const SEPARATORS: &[char] =
    &[' ', '\n', '\r', '\t', '(', ')', '{', '}', '[', ']', ';', '='];

impl Completer for Completing<'_, '_, '_> {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.repl.complete(&line[..at]))
    }
}

impl Repl<'_, '_> {
    /// What the end of a line may become, and from which byte on. Whatever fails completes to nothing.
    pub(super) fn complete(&self, line: &str) -> (usize, Vec<String>) {
        if line.starts_with(':') && !line.contains(SEPARATORS) {
            let names = COMMANDS.iter().flat_map(|command| command.names);
            let found = names.filter(|name| name.starts_with(line));
            return (0, found.map(|name| (*name).to_owned()).collect());
        }
        let start = line.rfind(SEPARATORS).map_or(0, |at| at + 1);
        let word = &line[start..];
        let takes_file = [":l ", ":load ", ":lf ", ":load-flake ", ":e ", ":edit "];
        let found =
            if word.contains('/') || takes_file.iter().any(|c| line.starts_with(c)) {
                self.complete_file(word)
            } else if let Some((set, name)) = word.rsplit_once('.') {
                self.complete_attr(set, name)
            } else {
                self.complete_variable(word)
            };
        (start, found)
    }

    fn complete_variable(&self, prefix: &str) -> Vec<String> {
        let ev = self.session.ev;
        let scope = self.scope.borrow();
        let own = scope.names().iter().map(|name| ev.show_name(*name));
        let mut names: Vec<String> = own.chain(ev.base_names()).collect();
        names.retain(|name| name.starts_with(prefix));
        names.sort();
        names.dedup();
        names
    }

    fn complete_attr(&self, set: &str, prefix: &str) -> Vec<String> {
        let ev = self.session.ev;
        let scope = self.scope.borrow();
        let Ok(Entry::Expr(expr)) = scope.read_expr(ev, set) else { return Vec::new() };
        let Ok(Value::Attrs(attrs)) = scope.evaluate(ev, expr) else { return Vec::new() };
        let names = ev.sorted_by_name(attrs).into_iter();
        names
            .map(|attr| ev.show_name(attr.name))
            .filter(|name| name.trim_start_matches('"').starts_with(prefix))
            .map(|name| format!("{set}.{name}"))
            .collect()
    }

    fn complete_file(&self, prefix: &str) -> Vec<String> {
        let config = self.session.config();
        let (dir, name) = prefix.rsplit_once('/').map_or(("", prefix), |(dir, name)| {
            (if dir.is_empty() { "/" } else { dir }, name)
        });
        let real = match (dir.strip_prefix('~'), &config.home_dir) {
            (Some(rest), Some(home)) => home.join(rest.trim_start_matches('/')),
            _ => config.current_dir.join(dir),
        };
        let mut found = Vec::new();
        for entry in std::fs::read_dir(real).into_iter().flatten().flatten() {
            let Ok(file) = entry.file_name().into_string() else { continue };
            if !file.starts_with(name)
                || (file.starts_with('.') && !name.starts_with('.'))
            {
                continue;
            }
            let is_dir = Path::new(&entry.path()).is_dir();
            let shown_dir = &prefix[..prefix.len() - name.len()];
            found.push(format!("{shown_dir}{file}{}", if is_dir { "/" } else { "" }));
        }
        found.sort();
        found
    }
}
