//! Flakes that a user names: `.#hello`, `github:owner/repo#lib`; their lock files on disk.
//!
//! A path means the flake in it or above it; inside a Git repository it means the files that Git knows. A lock file
//! that is not as it should be is written, where the flake is a directory of this machine.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use picnix_eval::flake::{
    Authority, FlakeRef, LockFile, LockFlags, Locked, RefError, RefForm, Scheme,
    Strictness, Url, percent_decode, split_path,
};
use picnix_eval::pos::Pos;
use picnix_eval::{Value, World, err};

use crate::Error;
use crate::locking::{LockOptions, LockWriting};
use crate::session::{Session, WorkError};

/// A flake, and what of it.
#[derive(Clone, Debug)]
pub struct FlakeTarget {
    /// The flake.
    pub reference: FlakeRef,
    /// The attribute after the `#`; empty for the default.
    pub fragment: String,
}

/// Whether a path has to lead to a flake.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leads {
    /// To one, or into one.
    ToFlake,
    /// To any directory: an input need not be a flake.
    Anywhere,
}

impl FlakeTarget {
    /// Parses what a user typed, in a directory.
    ///
    /// # Errors
    /// It is no reference, or a path without a flake.
    pub fn parse(text: &str, current_dir: &Path) -> Result<Self, Error> {
        Self::parse_with(text, current_dir, Leads::ToFlake)
    }

    /// Parses what a user typed for an input, which need not be a flake.
    ///
    /// # Errors
    /// It is no reference, or has a fragment.
    pub fn parse_input(text: &str, current_dir: &Path) -> Result<FlakeRef, Error> {
        let Self { reference, fragment } =
            Self::parse_with(text, current_dir, Leads::Anywhere)?;
        if fragment.is_empty() {
            return Ok(reference);
        }
        Err(Error::Evaluation(format!(
            "error: unexpected fragment '{fragment}' in flake reference '{text}'"
        )))
    }

    fn parse_with(text: &str, current_dir: &Path, leads: Leads) -> Result<Self, Error> {
        let made = |(reference, fragment)| Self { reference, fragment };
        if let Some(found) = FlakeRef::parse_id(text, RefForm::ABSOLUTE)? {
            return Ok(made(found));
        }
        let parsed = Url::parse(text, Strictness::Lenient).and_then(|mut url| {
            let path = url.path_text();
            if ["path", "git+file"].contains(&url.scheme.as_str())
                && !path.starts_with('/')
            {
                url.set_file_path(&absolute(current_dir, &path));
            }
            FlakeRef::from_url(url, RefForm::ABSOLUTE)
        });
        match parsed {
            Ok(found) => Ok(made(found)),
            Err(RefError::BadUrl(_)) => Self::parse_path(text, current_dir, leads),
            Err(error) => Err(error.into()),
        }
    }

    fn parse_path(text: &str, current_dir: &Path, leads: Leads) -> Result<Self, Error> {
        let (path, query, fragment) = split_path(text);
        let fail = |reason: &str| Error::CannotFetch {
            what: format!("flake '{text}'"),
            reason: reason.to_owned(),
        };
        let mut dir = PathBuf::from(absolute(current_dir, path));
        if dir.is_file() && dir.ends_with("flake.nix") {
            dir.pop();
        }
        if !dir.is_dir() {
            return Err(fail("it is not a directory"));
        }
        let start = dir.clone();
        while leads == Leads::ToFlake && !dir.join("flake.nix").exists() {
            if dir.join(".git").exists() || !dir.pop() {
                let start = start.display();
                return Err(fail(&format!(
                    "neither '{start}' nor a directory above it contains a 'flake.nix' file"
                )));
            }
        }
        let mut url = Url::parse(&format!("path:?{query}"), Strictness::Lenient)?;
        url.authority = Some(Authority::default());
        url.fragment = percent_decode(fragment)?;
        match dir.ancestors().find(|parent| parent.join(".git").exists()) {
            Some(root) => {
                url.scheme = "git+file".to_owned();
                url.set_file_path(&root.to_string_lossy());
                let inside = dir.strip_prefix(root).unwrap_or(Path::new(""));
                if !inside.as_os_str().is_empty() {
                    let inside = inside.to_string_lossy().into_owned();
                    url.query.insert("dir".to_owned(), inside);
                }
                if root.join(".git/shallow").exists() {
                    url.query.insert("shallow".to_owned(), "1".to_owned());
                }
            }
            None => url.set_file_path(&dir.to_string_lossy()),
        }
        let (reference, fragment) = FlakeRef::from_url(url, RefForm::ABSOLUTE)?;
        Ok(Self { reference, fragment })
    }

    /// The attributes that the fragment may mean, in the order in which they are tried.
    fn candidates(&self, system: &str, roots: &[String]) -> Vec<String> {
        if self.fragment.is_empty() {
            return vec![
                format!("packages.{system}.default"),
                format!("defaultPackage.{system}"),
            ];
        }
        if let Some(exact) = self.fragment.strip_prefix('.') {
            return vec![exact.to_owned()];
        }
        let below = roots.iter().map(|root| format!("{root}.{}", self.fragment));
        below.chain([self.fragment.clone()]).collect()
    }
}

fn absolute(current_dir: &Path, path: &str) -> String {
    let path = current_dir.join(path);
    let path = picnix_eval::canonical_path(path.as_os_str().as_bytes());
    String::from_utf8_lossy(&path).into_owned()
}

/// The directory of this machine that a flake is read from.
fn source_dir(reference: &FlakeRef) -> Option<PathBuf> {
    let root = match reference.input.scheme? {
        Scheme::Path => PathBuf::from(reference.input.text("path")?),
        Scheme::Git => {
            let url =
                Url::parse(reference.input.text("url")?, Strictness::Strict).ok()?;
            let path = PathBuf::from(url.file_path().ok()?);
            let is_tree = url.scheme == "file" && path.join(".git").exists();
            path_of_working_tree(is_tree, reference, path)?
        }
        _ => return None,
    };
    Some(root.join(&reference.dir))
}

fn path_of_working_tree(
    is_tree: bool,
    reference: &FlakeRef,
    path: PathBuf,
) -> Option<PathBuf> {
    let is_commit =
        reference.input.text("rev").is_some() || reference.input.git_ref().is_some();
    (is_tree && !is_commit).then_some(path)
}

fn write_file(path: &Path, file: &LockFile) -> Result<(), Error> {
    std::fs::write(path, file.print()).map_err(|source| Error::File {
        action: "write",
        path: path.to_owned(),
        source,
    })
}

impl<'h> Session<'_, 'h> {
    /// Locks a flake, and writes its lock file if that is not as it should be.
    ///
    /// # Errors
    /// The flake is wrong, an input cannot be had, or the lock file cannot be written.
    pub fn lock_flake(
        &self,
        reference: &FlakeRef,
        options: &LockOptions,
    ) -> Result<Locked, WorkError> {
        let mut locked = self.ev.lock_flake(reference, &options.flags()?)?;
        if !locked.needs_writing() && options.output_file.is_none() {
            return Ok(locked);
        }
        let shown = reference.show();
        let not_written = |locked: &mut Locked, because: &str| {
            let changes = locked.file.changes_since(&locked.old);
            self.world.message(&format!(
                "warning: not writing modified lock file of flake '{shown}'{because}:\n{}",
                changes.trim_end()
            ));
            locked.is_changed = true;
        };
        if options.writing == LockWriting::Never {
            not_written(&mut locked, "");
            return Ok(locked);
        }
        let Some(why_not) = self.write_lock_file(&shown, &locked, options)? else {
            return Ok(locked);
        };
        if options.writing == LockWriting::Required {
            let message = format!(
                "error: cannot write modified lock file of flake '{shown}': {why_not}"
            );
            return Err(Error::Evaluation(message).into());
        }
        not_written(&mut locked, &format!(" because {why_not}"));
        Ok(locked)
    }

    /// Writes a lock file that is not as it should be, or says why that cannot be.
    fn write_lock_file(
        &self,
        shown: &str,
        locked: &Locked,
        options: &LockOptions,
    ) -> Result<Option<String>, WorkError> {
        let unlocked = locked.file.unlocked().map(FlakeRef::show);
        if let Some(input) = unlocked {
            return Ok(Some(format!("it has an unlocked input ('{input}')")));
        }
        if options.writing == LockWriting::Refused {
            let message = format!(
                "error: flake '{shown}' requires lock file changes but they're not allowed due to \
                 '--no-update-lock-file'"
            );
            return Err(Error::Evaluation(message).into());
        }
        if let Some(file) = &options.output_file {
            write_file(file, &locked.file)?;
            return Ok(None);
        }
        let Some(dir) = source_dir(&locked.resolved) else {
            return Ok(Some("it is not a directory of this machine".to_owned()));
        };
        let changes = locked.file.changes_since(&locked.old);
        let file = dir.join("flake.lock");
        let action = if file.exists() { "updating" } else { "creating" };
        self.world.message(&format!(
            "warning: {action} lock file \"{}\":\n{}",
            file.display(),
            changes.trim_end()
        ));
        write_file(&file, &locked.file)?;
        if locked.resolved.input.scheme == Some(Scheme::Git) {
            self.world.show_to_git(&dir, "flake.lock")?;
        }
        // The directory is another tree now; this evaluation goes on with the one that it has, as Nix does.
        Ok(None)
    }

    /// The value of a flake: its outputs and what is known of it.
    ///
    /// # Errors
    /// See [`Self::lock_flake`].
    pub fn load_flake(&self, reference: &FlakeRef) -> Result<Value<'h>, WorkError> {
        let locked = self.lock_flake(reference, self.locking)?;
        Ok(self.ev.call_flake(&locked)?)
    }

    /// The value of a flake, whose lock file stays as it is.
    ///
    /// # Errors
    /// The flake is wrong, or an input cannot be had.
    pub fn peek_flake(&self, reference: &FlakeRef) -> Result<Value<'h>, WorkError> {
        let only_locked = self.ev.settings.pure;
        let flags = LockFlags { only_locked, ..LockFlags::default() };
        let mut locked = self.ev.lock_flake(reference, &flags)?;
        locked.is_changed = locked.needs_writing();
        Ok(self.ev.call_flake(&locked)?)
    }

    /// What a target means: the first of the attributes that it may stand for. `roots` are the sets in which a
    /// plain name is looked up first.
    ///
    /// # Errors
    /// The flake has none of them, or cannot be evaluated.
    pub fn load_target(
        &self,
        target: &FlakeTarget,
        roots: &[String],
    ) -> Result<Value<'h>, WorkError> {
        let flake = self.load_flake(&target.reference)?;
        let candidates = target.candidates(&self.config().system, roots);
        let mut suggestions = Vec::new();
        for candidate in &candidates {
            match self.missing_attr(flake, candidate)? {
                None => return Ok(self.select(flake, candidate)?),
                Some(similar) => suggestions.extend(similar),
            }
        }
        suggestions.sort();
        suggestions.dedup();
        let listed: Vec<String> =
            candidates.iter().map(|name| format!("'{name}'")).collect();
        let listed = match listed.as_slice() {
            [many @ .., last] if !many.is_empty() => {
                format!("{} or {last}", many.join(", "))
            }
            few => few.concat(),
        };
        let shown = target.reference.show();
        let error = err!(Missing, "flake '{shown}' does not provide attribute {listed}");
        Err(error.suggest(suggestions).into())
    }

    /// Nothing where there is something at an attribute path; else names that are like the one that is missing.
    fn missing_attr(
        &self,
        value: Value<'h>,
        path: &str,
    ) -> picnix_eval::Result<Option<Vec<String>>> {
        let mut value = value;
        for name in crate::session::parse_attr_path(path)? {
            let Value::Attrs(attrs) = self.ev.force(value)? else {
                return Ok(Some(Vec::new()));
            };
            let Some(slot) = attrs.get(self.ev.symbol(name.as_bytes())) else {
                let known = self.ev.sorted_by_name(attrs).into_iter();
                let known = known.map(|attr| self.ev.symbols.text(attr.name));
                return Ok(Some(picnix_eval::report::similar_names(&name, known)));
            };
            value = slot.get();
        }
        Ok(None)
    }

    /// The outputs of a flake as a tree: sets without derivations are descended into.
    ///
    /// # Errors
    /// An output cannot be evaluated.
    pub fn show_flake(&self, reference: &FlakeRef) -> Result<String, WorkError> {
        let flake = self.load_flake(reference)?;
        let outputs = self.select(flake, "outputs")?;
        let mut text = format!("{}\n", reference.show());
        self.show_outputs(outputs, "", 0, &mut text)?;
        Ok(text)
    }

    fn show_outputs(
        &self,
        value: Value<'h>,
        indent: &str,
        depth: usize,
        text: &mut String,
    ) -> picnix_eval::Result<()> {
        /// `packages.SYSTEM.NAME`; what lies deeper is no output of its own.
        const MAX_DEPTH: usize = 3;
        let Value::Attrs(attrs) = self.ev.force(value)? else { return Ok(()) };
        let members = self.ev.sorted_by_name(attrs);
        for (index, attr) in members.iter().enumerate() {
            let is_last = index + 1 == members.len();
            let branch = if is_last { "└───" } else { "├───" };
            let name = self.ev.symbols.text(attr.name);
            let member = self.ev.force_slot(attr.slot)?;
            let what = self.describe_output(member)?;
            let colon = if what.is_empty() { "" } else { ": " };
            text.push_str(&format!("{indent}{branch}{name}{colon}{what}\n"));
            // A set of everything there is would be long, and is not meant to be listed.
            if what.is_empty() && depth + 1 < MAX_DEPTH && name != "legacyPackages" {
                let indent = format!("{indent}{}", if is_last { "    " } else { "│   " });
                self.show_outputs(member, &indent, depth + 1, text)?;
            }
        }
        Ok(())
    }

    fn describe_output(&self, value: Value<'h>) -> picnix_eval::Result<String> {
        let Value::Attrs(attrs) = value else { return Ok(value.type_phrase()) };
        let text = |name: &str| -> picnix_eval::Result<Option<String>> {
            let Some(slot) = attrs.get(self.ev.symbol(name.as_bytes())) else {
                return Ok(None);
            };
            match self.ev.force_slot(slot)? {
                Value::String(string) => Ok(Some(string.to_string_lossy().into_owned())),
                _ => Ok(None),
            }
        };
        if text("type")?.as_deref() != Some("derivation") {
            return Ok(String::new());
        }
        let name = attrs.get(self.ev.symbol(b"name"));
        let doing = "while evaluating the name of a package";
        let name = match name {
            Some(slot) => {
                self.ev.expect_string(slot.get(), Pos::NONE, doing)?.to_string_lossy()
            }
            None => "unnamed".into(),
        };
        Ok(format!("package '{name}'"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_the_flake_around_them() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        assert!(FlakeTarget::parse("./a/b", &root).is_err());
        std::fs::write(root.join("a/flake.nix"), "{ }").unwrap();
        let found = FlakeTarget::parse("./a/b#x.y", &root).unwrap();
        assert_eq!(found.reference.show(), format!("path:{}/a", root.display()));
        assert_eq!(found.fragment, "x.y");
        assert_eq!(source_dir(&found.reference).unwrap(), root.join("a"));
        std::fs::create_dir(root.join(".git")).unwrap();
        let found = FlakeTarget::parse("a/#", &root.clone()).unwrap();
        let expected = format!("git+file://{}?dir=a", root.display());
        assert_eq!(found.reference.show(), expected);
        assert_eq!(source_dir(&found.reference).unwrap(), root.join("a"));
    }

    #[test]
    fn fragments_are_looked_for_in_packages_first() {
        let target = |text| FlakeTarget::parse(text, Path::new("/")).unwrap();
        let roots = ["packages.s".to_owned()];
        assert_eq!(target("nixpkgs#a").candidates("s", &roots), ["packages.s.a", "a"]);
        assert_eq!(target("nixpkgs#.a").candidates("s", &roots), ["a"]);
        assert_eq!(target("nixpkgs").candidates("s", &roots)[0], "packages.s.default");
    }
}
