//! Git repositories, through the program `git`.
//!
//! A local repository is read where it is; any other is fetched into a bare one in the cache. Trees are read as
//! objects, never checked out: no filter, hook or line-ending setting of a repository has a say in them.

mod program;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use picnix_eval::flake::{Input, InputValue, Strictness, Url};
use picnix_store_core::Sha256;
use serde_json::json;

use super::unpack::TreeWriter;
use super::{Fetchers, Tree};
use crate::Error;
use program::{Git, cannot};

/// The commit of a repository that has none.
const NULL_REV: &str = "0000000000000000000000000000000000000000";
/// The branch of a repository that does not say.
const DEFAULT_BRANCH: &str = "master";
const SHORT_REV_LEN: usize = 7;

/// Where a repository is.
enum Place {
    /// A directory with a `.git`.
    Local(PathBuf),
    /// Anywhere else; a bare repository on this machine too.
    Remote(Url),
}

impl Place {
    fn of(input: &Input) -> Result<Self, Error> {
        let mut url = Url::parse(&input.required("url")?, Strictness::Strict)?;
        if url.scheme == "file" {
            let path = PathBuf::from(url.file_path()?);
            if path.is_relative() {
                let reason = "the path of the repository is relative";
                return Err(cannot(&input.show(), reason));
            }
            if path.join(".git").exists() {
                return Ok(Self::Local(path));
            }
            if !path.exists() {
                return Err(Error::NoRepository(path));
            }
            url.query.clear();
        }
        url.query.remove("dir");
        Ok(Self::Remote(url))
    }

    fn show(&self) -> String {
        match self {
            Self::Local(path) => path.display().to_string(),
            Self::Remote(url) => url.to_string(),
        }
    }
}

/// Fetches what an input names; the input gains what is known then.
pub(super) fn fetch(
    fetchers: &Fetchers<'_>,
    input: &Input,
) -> Result<(Tree, Input), Error> {
    let refused =
        |what| Err(cannot(&input.show(), &format!("picnix does not fetch {what}")));
    if input.flag("lfs") {
        return refused("Git LFS");
    }
    let place = Place::of(input)?;
    match &place {
        Place::Local(path)
            if input.git_ref().is_none() && input.text("rev").is_none() =>
        {
            working_tree(fetchers, path, input.clone())
        }
        // In a working tree they are there; of a commit they would have to be fetched.
        _ if input.flag("submodules") => refused("submodules"),
        _ => commit(fetchers, &place, input.clone()),
    }
}

/// Lets Git know a file of a working tree, unless it is to ignore it.
pub(super) fn add_intent(
    fetchers: &Fetchers<'_>,
    dir: &Path,
    file: &str,
) -> Result<(), Error> {
    let git = Git::new(fetchers, dir);
    // The answer is the exit status: success means ignored.
    if git.run(&["check-ignore", "--quiet", "--", file]).is_err() {
        git.run(&["add", "--intent-to-add", "--", file])?;
    }
    Ok(())
}

// ---- the files of a working tree ---------------------------------------------------------------

fn working_tree(
    fetchers: &Fetchers<'_>,
    path: &Path,
    mut input: Input,
) -> Result<(Tree, Input), Error> {
    let git = Git::new(fetchers, path);
    let head = git.try_run(&["rev-parse", "-q", "--verify", "HEAD^{commit}"])?;
    let status = [
        "status",
        "--porcelain",
        "-z",
        "--untracked-files=no",
        "--ignore-submodules=all",
    ];
    let is_dirty = !git.run(&status)?.is_empty();
    let files = tracked_files(&git, path, &input)?;
    let tree = fetchers.add_filtered(path, &files)?;
    if is_dirty {
        fetchers.warn(&format!("Git tree '{}' is dirty", path.display()));
        if let Some(rev) = &head {
            input.set_text("dirtyRev", format!("{rev}-dirty"));
            input.set_text("dirtyShortRev", format!("{}-dirty", &rev[..SHORT_REV_LEN]));
        }
    } else {
        if let Some(branch) = git.try_run(&["symbolic-ref", "-q", "HEAD"])? {
            input.set_text("ref", branch);
        }
        input.set_text("rev", head.as_deref().unwrap_or(NULL_REV));
        if !input.flag("shallow") {
            let count = match &head {
                Some(rev) => rev_count(fetchers, &git, rev)?,
                None => 0,
            };
            input.set_number("revCount", count);
        }
    }
    let time = head.as_deref().map(|rev| commit_time(&git, rev)).transpose()?;
    input.set_number("lastModified", time.unwrap_or(0));
    Ok((tree, input))
}

/// The files that Git knows and that are there, with the directories around them.
fn tracked_files(
    git: &Git<'_>,
    root: &Path,
    input: &Input,
) -> Result<BTreeSet<PathBuf>, Error> {
    let list = ["ls-files", "-z", "--stage", "--recurse-submodules"];
    let words = if input.flag("submodules") { &list[..] } else { &list[..3] };
    let listing = git.run(words)?;
    let mut files = BTreeSet::new();
    for entry in listing.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()) {
        let tab = entry.iter().position(|byte| *byte == b'\t');
        let Some(tab) = tab else { continue };
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(&entry[tab + 1..]));
        let is_module = entry.starts_with(b"160000");
        if !is_module && root.join(&path).symlink_metadata().is_ok() {
            files.insert(path);
        }
    }
    let has_rules = files.iter().any(|path| path.ends_with(".gitattributes"));
    let ignored = if input.flag("exportIgnore") && has_rules {
        ignored_paths(git, None, &files)?
    } else {
        BTreeSet::new()
    };
    let mut all = BTreeSet::new();
    for path in exported(&files, &ignored) {
        all.extend(path.ancestors().map(|path| root.join(path)));
    }
    Ok(all)
}

/// The files and directories that `.gitattributes` keeps out of exports.
fn ignored_paths(
    git: &Git<'_>,
    rev: Option<&str>,
    files: &BTreeSet<PathBuf>,
) -> Result<BTreeSet<PathBuf>, Error> {
    let mut asked = Vec::new();
    let mut directories = BTreeSet::new();
    for file in files {
        asked.extend(file.as_os_str().as_bytes());
        asked.push(0);
        directories.extend(file.ancestors().skip(1).filter(|dir| *dir != Path::new("")));
    }
    for directory in directories {
        // The slash says that it is a directory, for patterns that match only those.
        asked.extend(directory.as_os_str().as_bytes());
        asked.extend(b"/\0");
    }
    let source = rev.map(|rev| format!("--source={rev}"));
    let mut arguments = vec!["check-attr"];
    arguments.extend(source.as_deref());
    arguments.extend(["-z", "--stdin", "export-ignore"]);
    let answer = git.run_with_input(&arguments, asked)?;
    let fields: Vec<&[u8]> = answer.split(|byte| *byte == 0).collect();
    let set = fields.chunks_exact(3).filter(|field| field[2] == b"set").map(|field| {
        let path = field[0].strip_suffix(b"/").unwrap_or(field[0]);
        PathBuf::from(std::ffi::OsStr::from_bytes(path))
    });
    Ok(set.collect())
}

/// The files that are exported. Of one that is not, the directory around it is left.
fn exported<'f>(
    files: &'f BTreeSet<PathBuf>,
    ignored: &'f BTreeSet<PathBuf>,
) -> impl Iterator<Item = &'f Path> {
    let is_kept = |path: &Path| !path.ancestors().any(|path| ignored.contains(path));
    files.iter().filter_map(move |file| file.ancestors().find(|path| is_kept(path)))
}

// ---- a commit ----------------------------------------------------------------------------------

fn commit(
    fetchers: &Fetchers<'_>,
    place: &Place,
    mut input: Input,
) -> Result<(Tree, Input), Error> {
    let wanted = input.rev()?;
    let branch = match input.git_ref() {
        Some(branch) => branch.to_owned(),
        None => default_branch(fetchers, place)?,
    };
    input.set_text("ref", branch.as_str());
    let (dir, rev) = match place {
        Place::Local(path) => {
            let git = Git::new(fetchers, path);
            let rev = match wanted {
                Some(rev) => rev,
                None => git.resolve(&branch)?,
            };
            (path.clone(), rev)
        }
        Place::Remote(url) => download(fetchers, url, &branch, wanted, &input)?,
    };
    let git = Git::new(fetchers, &dir);
    if !git.has_commit(&rev)? {
        return Err(no_such_rev(&rev, &branch, place));
    }
    let is_shallow =
        git.run(&["rev-parse", "--is-shallow-repository"])?.starts_with(b"true");
    if is_shallow && !input.flag("shallow") {
        let reason = format!(
            "'{}' is a shallow Git repository, but shallow repositories are only allowed when \
             `shallow = true;` is specified",
            place.show()
        );
        return Err(cannot(&input.show(), &reason));
    }
    input.set_text("rev", rev.as_str());
    input.set_number("lastModified", commit_time(&git, &rev)?);
    if !input.flag("shallow") {
        input.set_number("revCount", rev_count(fetchers, &git, &rev)?);
    }
    let tree = commit_tree(fetchers, &git, &rev, input.flag("exportIgnore"))?;
    Ok((tree, input))
}

fn no_such_rev(rev: &str, branch: &str, place: &Place) -> Error {
    let place = place.show();
    let what = format!("git repository '{place}'");
    let reason = format!(
        "Cannot find Git revision '{rev}' in ref '{branch}' of repository '{place}'! Please make \
         sure that the rev exists on the ref you've specified or add allRefs = true; to fetchGit."
    );
    Error::CannotFetch { what, reason }
}

fn default_branch(fetchers: &Fetchers<'_>, place: &Place) -> Result<String, Error> {
    let found = match place {
        Place::Local(path) => {
            Git::new(fetchers, path).try_run(&["symbolic-ref", "-q", "HEAD"])?
        }
        Place::Remote(url) => remote_head(fetchers, url)?,
    };
    Ok(found.unwrap_or_else(|| {
        fetchers.warn(&format!(
            "could not read HEAD ref from repo at '{}', using '{DEFAULT_BRANCH}'",
            place.show()
        ));
        DEFAULT_BRANCH.to_owned()
    }))
}

/// The branch that a remote repository's `HEAD` names, or its commit.
fn remote_head(fetchers: &Fetchers<'_>, url: &Url) -> Result<Option<String>, Error> {
    let key = json!({ "url": url.to_string() });
    let cached = fetchers.cache.get("git-head", &key);
    if let Some(entry) = &cached
        && fetchers.is_fresh(entry.age)
        && let Some(head) = entry.value.as_str()
    {
        return Ok(Some(head.to_owned()));
    }
    let git = Git::new(fetchers, Path::new("/"));
    let text = url.to_string();
    let listing = match git.run(&["ls-remote", "--symref", "--", &text, "HEAD"]) {
        Ok(listing) => listing,
        Err(error) => {
            match cached.and_then(|entry| entry.value.as_str().map(str::to_owned)) {
                Some(head) => {
                    fetchers.warn(&format!(
                    "could not get HEAD ref for repository '{text}'; using expired cached ref '{head}'"
                ));
                    return Ok(Some(head));
                }
                None => return Err(error),
            }
        }
    };
    let listing = String::from_utf8_lossy(&listing);
    let head = listing.lines().next().and_then(|line| {
        let (target, name) = line.split_once('\t')?;
        let target = target.strip_prefix("ref:").unwrap_or(target).trim();
        (name == "HEAD").then(|| target.to_owned())
    });
    if let Some(head) = &head {
        fetchers.cache.put("git-head", &key, &json!(head));
    }
    Ok(head)
}

/// Brings a commit into the repository in the cache that stands for a URL.
fn download(
    fetchers: &Fetchers<'_>,
    url: &Url,
    branch: &str,
    wanted: Option<String>,
    input: &Input,
) -> Result<(PathBuf, String), Error> {
    let is_shallow = input.flag("shallow");
    let text = url.to_string();
    let name = Sha256::of(text.as_bytes()).nix32();
    let suffix = if is_shallow { "-shallow" } else { "" };
    let dir = fetchers.cache.dir("git").join(format!("{name}{suffix}"));
    let _lock = lock_repository(&dir)?;
    let git = Git::new(fetchers, &dir);
    if !dir.join("HEAD").exists() {
        git.run(&["init", "--quiet", "--bare"])?;
    }
    let key = json!({ "url": text, "ref": branch, "shallow": is_shallow });
    let cached = fetchers.cache.get("git-ref", &key);
    let known = match &cached {
        Some(entry) => entry.value.as_str().map(str::to_owned),
        None => None,
    };
    if let Some(rev) = &wanted {
        if git.has_commit(rev)? {
            return Ok((dir, rev.clone()));
        }
    } else if !matches!(input.attrs.get("allRefs"), Some(InputValue::Bool(true)))
        && cached.is_some_and(|entry| fetchers.is_fresh(entry.age))
        && let Some(rev) = &known
        && git.has_commit(rev)?
    {
        return Ok((dir, rev.clone()));
    }
    let full = if branch.starts_with("refs/") || branch == "HEAD" {
        branch.to_owned()
    } else {
        format!("refs/heads/{branch}")
    };
    let spec = if input.flag("allRefs") {
        "refs/*:refs/*".to_owned()
    } else if let Some(rev) = &wanted {
        rev.clone()
    } else if branch == "HEAD" || picnix_eval::flake::is_rev(branch) {
        full.clone()
    } else {
        format!("{full}:{full}")
    };
    let mut arguments = vec!["fetch", "--quiet", "--force", "--no-write-fetch-head"];
    let by_head = !spec.contains(':') && wanted.is_none();
    if by_head {
        arguments.pop();
    }
    if is_shallow {
        arguments.extend(["--depth", "1"]);
    }
    arguments.extend(["--", &text, &spec]);
    if let Err(error) = git.run(&arguments) {
        let Some(rev) = known.filter(|_| wanted.is_none()) else { return Err(error) };
        fetchers.warn(&format!(
            "could not update local clone of Git repository '{text}'; continuing with the most \
             recent version"
        ));
        return Ok((dir, rev));
    }
    let rev = match wanted {
        Some(rev) => rev,
        None => {
            let rev = git.resolve(if by_head { "FETCH_HEAD" } else { &full })?;
            fetchers.cache.put("git-ref", &key, &json!(rev));
            rev
        }
    };
    Ok((dir, rev))
}

/// Makes the directory of a repository, and waits until nobody else writes to it.
fn lock_repository(dir: &Path) -> Result<fs::File, Error> {
    let fail =
        |action| move |source| Error::File { action, path: dir.to_owned(), source };
    fs::create_dir_all(dir).map_err(fail("make"))?;
    let lock = fs::File::create(dir.with_extension("lock")).map_err(fail("lock"))?;
    lock.lock().map_err(fail("lock"))?;
    Ok(lock)
}

fn commit_time(git: &Git<'_>, rev: &str) -> Result<u64, Error> {
    let arguments = ["log", "-1", "--no-show-signature", "--format=%ct", rev, "--"];
    git.number(&arguments)
}

fn rev_count(fetchers: &Fetchers<'_>, git: &Git<'_>, rev: &str) -> Result<u64, Error> {
    let key = json!(rev);
    let cached = fetchers.cache.get("git-rev-count", &key);
    if let Some(count) = cached.and_then(|entry| entry.value.as_u64()) {
        return Ok(count);
    }
    let count = git.number(&["rev-list", "--count", rev, "--"])?;
    fetchers.cache.put("git-rev-count", &key, &json!(count));
    Ok(count)
}

// ---- the tree of a commit ----------------------------------------------------------------------

/// An entry of a Git tree.
struct TreeEntry {
    mode: u32,
    object: String,
    path: PathBuf,
}

const MODE_EXECUTABLE: u32 = 0o100_755;
const MODE_LINK: u32 = 0o120_000;
const MODE_MODULE: u32 = 0o160_000;

fn commit_tree(
    fetchers: &Fetchers<'_>,
    git: &Git<'_>,
    rev: &str,
    export_ignore: bool,
) -> Result<Tree, Error> {
    let key = json!({ "rev": rev, "exportIgnore": export_ignore });
    if let Some(tree) = fetchers.cached_tree("git-tree", &key)? {
        return Ok(tree);
    }
    let entries = list_tree(git, rev)?;
    let files: BTreeSet<PathBuf> =
        entries.iter().map(|entry| entry.path.clone()).collect();
    let has_rules = files.iter().any(|path| path.ends_with(".gitattributes"));
    let ignored = if export_ignore && has_rules {
        ignored_paths(git, Some(rev), &files)?
    } else {
        BTreeSet::new()
    };
    let kept: BTreeSet<&Path> = exported(&files, &ignored).collect();
    let (entries, left_out): (Vec<TreeEntry>, Vec<TreeEntry>) =
        entries.into_iter().partition(|entry| kept.contains(entry.path.as_path()));
    let directories = if left_out.is_empty() { BTreeSet::new() } else { kept };
    let to = fetchers.temp_path()?;
    write_tree(git, &entries, &directories, &to)?;
    let tree = fetchers.add_tree(&to)?;
    fetchers.remove(&to);
    fetchers.cache_tree("git-tree", &key, &tree, None);
    Ok(tree)
}

fn list_tree(git: &Git<'_>, rev: &str) -> Result<Vec<TreeEntry>, Error> {
    let listing = git.run(&["ls-tree", "-r", "-z", "--full-tree", rev])?;
    let entries = listing.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
    let parse = |entry: &[u8]| {
        let tab = entry.iter().position(|byte| *byte == b'\t')?;
        let head = std::str::from_utf8(&entry[..tab]).ok()?;
        let mut words = head.split(' ');
        let mode = u32::from_str_radix(words.next()?, 8).ok()?;
        let object = words.nth(1)?.to_owned();
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(&entry[tab + 1..]));
        Some(TreeEntry { mode, object, path })
    };
    entries
        .map(|entry| {
            parse(entry).ok_or_else(|| cannot("Git tree", "it has an unreadable entry"))
        })
        .collect()
}

/// Writes a tree out of the objects of a repository, and those of the paths kept that are no entries: directories.
fn write_tree(
    git: &Git<'_>,
    entries: &[TreeEntry],
    kept: &BTreeSet<&Path>,
    to: &Path,
) -> Result<(), Error> {
    let fail = |source| Error::File { action: "write", path: to.to_owned(), source };
    let mut writer = TreeWriter::create(to).map_err(fail)?;
    let files: BTreeSet<&Path> =
        entries.iter().map(|entry| entry.path.as_path()).collect();
    for directory in kept.difference(&files) {
        writer.directory(directory.as_os_str().as_bytes()).map_err(fail)?;
    }
    let wanted: String = entries
        .iter()
        .filter(|entry| entry.mode != MODE_MODULE)
        .map(|entry| format!("{}\n", entry.object))
        .collect();
    git.stream(&["cat-file", "--batch"], wanted.into_bytes(), |objects| {
        let mut objects = BufReader::new(objects);
        for entry in entries {
            let path = entry.path.as_os_str().as_bytes();
            if entry.mode == MODE_MODULE {
                writer.directory(path)?;
                continue;
            }
            let mut head = String::new();
            objects.read_line(&mut head)?;
            let size =
                head.trim_end().rsplit(' ').next().and_then(|size| size.parse().ok());
            let Some(size) = size else {
                return Err(std::io::Error::other(format!(
                    "no object: {}",
                    head.trim_end()
                )));
            };
            let mut contents = (&mut objects).take(size);
            if entry.mode == MODE_LINK {
                let mut target = Vec::new();
                contents.read_to_end(&mut target)?;
                writer.link(path, &target)?;
            } else {
                writer.file(path, entry.mode == MODE_EXECUTABLE, &mut contents)?;
            }
            let mut newline = [0];
            objects.read_exact(&mut newline)?;
        }
        Ok(())
    })
}
