//! What a helper writes down instead of acting, and the form in which notes travel.
//!
//! A helper owns no store and no terminal. Paths of sources and derivations it can compute; that they are to be
//! added goes into its notes. Where it would have to build, fetch, or ask the store, it ends.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use picnix_sandbox::worker::{self, Channel};
use picnix_store::AddRequest;
use picnix_store_core::{ContentAddressMethod, HashAlgo, StorePath};

use super::wire::{Reader, Report, Writer};

/// The notes of a helper.
pub(crate) struct Notes {
    channel: RefCell<Channel>,
    effects: RefCell<Vec<u8>>,
    spoke: Cell<bool>,
    /// The bytes of all texts so far; the helper keeps them.
    text_bytes: Cell<usize>,
}

/// A source that is to be added to the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Source {
    /// Where it lies.
    pub(crate) path: PathBuf,
    name: String,
    is_flat: bool,
    algo: &'static str,
    /// What a filter left out; none if there was no filter.
    pub(crate) excluded: Option<BTreeSet<PathBuf>>,
}

/// One thing that is to be done.
pub(super) enum Effect {
    Text(StorePath, Vec<u8>, Option<BTreeSet<StorePath>>),
    Source(Source),
}

impl Source {
    pub(crate) fn new(
        path: &Path,
        request: &AddRequest,
        excluded: Option<BTreeSet<PathBuf>>,
    ) -> Self {
        Self {
            path: path.to_owned(),
            name: request.name.clone(),
            is_flat: request.method == ContentAddressMethod::Flat,
            algo: request.algo.name(),
            excluded,
        }
    }

    pub(crate) fn request(&self) -> AddRequest {
        let algo = HashAlgo::parse(self.algo).unwrap_or(HashAlgo::Sha256);
        let method = if self.is_flat {
            ContentAddressMethod::Flat
        } else {
            ContentAddressMethod::Nar
        };
        AddRequest { method, algo, ..AddRequest::source(&self.name) }
    }
}

impl Notes {
    pub(super) fn new(channel: Channel) -> Self {
        Self {
            channel: RefCell::new(channel),
            effects: RefCell::default(),
            spoke: Cell::new(false),
            text_bytes: Cell::new(0),
        }
    }

    /// Notes that the language showed a message.
    pub(crate) fn message(&self) {
        self.spoke.set(true);
    }

    /// Notes a text object.
    pub(crate) fn text(
        &self,
        path: &StorePath,
        contents: &[u8],
        references: Option<&BTreeSet<StorePath>>,
    ) {
        self.text_bytes.set(self.text_bytes.get() + contents.len());
        let mut effects = self.effects.borrow_mut();
        let mut writer = Writer(&mut effects);
        writer.byte(b't');
        writer.bytes(path.to_string().as_bytes());
        writer.bytes(contents);
        writer.byte(u8::from(references.is_some()));
        let references = references.into_iter().flatten();
        let references: Vec<String> = references.map(ToString::to_string).collect();
        writer.number(references.len());
        for reference in references {
            writer.bytes(reference.as_bytes());
        }
    }

    /// Notes a source.
    pub(crate) fn source(&self, source: Source) {
        let mut effects = self.effects.borrow_mut();
        let mut writer = Writer(&mut effects);
        writer.byte(b's');
        writer.bytes(source.path.as_os_str().as_bytes());
        writer.bytes(source.name.as_bytes());
        writer.byte(u8::from(source.is_flat));
        writer.bytes(source.algo.as_bytes());
        writer.byte(u8::from(source.excluded.is_some()));
        let excluded: Vec<PathBuf> = source.excluded.into_iter().flatten().collect();
        writer.number(excluded.len());
        for path in excluded {
            writer.bytes(path.as_os_str().as_bytes());
        }
    }

    pub(super) fn text_bytes(&self) -> usize {
        self.text_bytes.get()
    }

    /// What was noted since the last time, and whether there was a message.
    pub(super) fn take(&self) -> (Vec<u8>, bool) {
        (self.effects.take(), self.spoke.replace(false))
    }

    /// Takes notes back to be told later.
    pub(super) fn put_back(&self, mut earlier: Vec<u8>) {
        let mut effects = self.effects.borrow_mut();
        earlier.append(&mut effects);
        *effects = earlier;
    }

    pub(super) fn channel(&self) -> std::cell::RefMut<'_, Channel> {
        self.channel.borrow_mut()
    }

    /// Ends this helper in the middle of a place, which is then not among those that are done.
    pub(crate) fn give_up(&self) -> ! {
        let mut channel = self.channel();
        let told = channel
            .post(&Report::NeedsUs.encode())
            .and_then(|()| channel.push_and_wait());
        worker::end(told.is_err())
    }
}

/// Reads notes.
pub(super) fn read_effects(bytes: &[u8]) -> Option<Vec<Effect>> {
    let mut reader = Reader(bytes);
    let mut effects = Vec::new();
    while !reader.0.is_empty() {
        effects.push(match reader.byte()? {
            b't' => {
                let path = store_path(reader.bytes()?)?;
                let contents = reader.bytes()?.to_vec();
                let has_references = reader.byte()? == 1;
                let mut references = BTreeSet::new();
                for _ in 0..reader.number()? {
                    references.insert(store_path(reader.bytes()?)?);
                }
                Effect::Text(path, contents, has_references.then_some(references))
            }
            b's' => {
                let path = path_buf(reader.bytes()?);
                let name = String::from_utf8(reader.bytes()?.to_vec()).ok()?;
                let is_flat = reader.byte()? == 1;
                let algo = std::str::from_utf8(reader.bytes()?).ok()?;
                let algo = HashAlgo::parse(algo).ok()?.name();
                let has_filter = reader.byte()? == 1;
                let mut excluded = BTreeSet::new();
                for _ in 0..reader.number()? {
                    excluded.insert(path_buf(reader.bytes()?));
                }
                let excluded = has_filter.then_some(excluded);
                Effect::Source(Source { path, name, is_flat, algo, excluded })
            }
            _ => return None,
        });
    }
    Some(effects)
}

fn store_path(bytes: &[u8]) -> Option<StorePath> {
    StorePath::parse(bytes).ok()
}

fn path_buf(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}
