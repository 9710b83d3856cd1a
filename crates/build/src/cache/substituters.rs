//! Several caches asked at once: who is asked for what, who is believed, who is disabled.
//!
//! A cache that fails is disabled for the rest of the process with one warning, and not asked again
//! by other processes for a minute, so that a machine without a network pays once and little. What
//! servers answered is remembered in the store's [`Answers`]; folders are simply asked again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use picnix_closure::{Graph, Node};
use picnix_fetch::Client;
use picnix_store::{Answer, Answers, Store};
use picnix_store_core::{Derivation, PublicKeys, StorePath};

use crate::cache::address::{CacheAddress, Scope};
use crate::cache::compression::Compression;
use crate::cache::download::{Download, download, read_nar};
use crate::cache::error::CacheError;
use crate::cache::offers::{Offer, Offers, Wanted};
use crate::cache::remote::{BinaryCache, narinfo_name};
use crate::cancel::Cancel;
use crate::lock::lock;
use crate::options::{allows_substitutes, is_only_ours};

/// The priority of a cache that names none, as in Nix.
const USUAL_PRIORITY: u32 = 50;
/// How long what a server says of itself is remembered, as in Nix.
const CACHE_INFO_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long a server that failed is left alone.
const UNREACHABLE_LIFETIME: Duration = Duration::from_secs(60);
/// The question that stands for "are you there?" in the memory.
const UNREACHABLE: &str = "unreachable";
/// The most paths of one closure that caches may make us follow: several times all of nixpkgs.
const MAX_PATHS: usize = 500_000;

/// Which caches are asked, and who is believed.
#[derive(Debug, Clone)]
pub struct CachePolicy {
    /// The caches.
    pub addresses: Vec<CacheAddress>,
    /// The keys whose signatures count.
    pub keys: PublicKeys,
    /// Whether an object must be signed by one of them, or prove itself.
    pub require_signatures: bool,
    /// How long it is remembered that a server lacks a path.
    pub negative_lifetime: Duration,
    /// How long it is remembered what a server has.
    pub positive_lifetime: Duration,
    /// Whether a cache is asked, though what it lacks, or that it cannot be reached, is remembered.
    pub asks_again: bool,
    /// How many questions are asked at a time.
    pub connections: usize,
    /// How patient the client is.
    pub fetch: picnix_fetch::Config,
}

impl Default for CachePolicy {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            keys: PublicKeys::default(),
            require_signatures: true,
            negative_lifetime: Duration::from_secs(3600),
            positive_lifetime: Duration::from_secs(30 * 24 * 3600),
            asks_again: false,
            connections: 16,
            fetch: picnix_fetch::Config::default(),
        }
    }
}

/// Somebody who is told what is wrong with a cache.
pub type Warn<'a> = &'a (dyn Fn(&str) + Sync);

/// The caches of a run. Threads may share it.
#[derive(Debug)]
pub struct Substituters {
    policy: CachePolicy,
    members: Vec<Member>,
    answers: Answers,
    known: Mutex<BTreeMap<StorePath, Arc<Offer>>>,
    /// What a cache offered and could not deliver.
    refused: Mutex<BTreeSet<(usize, StorePath)>>,
    origins: Mutex<BTreeMap<StorePath, Origin>>,
}

#[derive(Debug)]
struct Member {
    cache: BinaryCache,
    priority: OnceLock<u32>,
    is_disabled: AtomicBool,
}

/// What a path is the output of, as far as caches care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    /// A derivation that a public builder with Nix can build, or we do not know.
    Nix,
    /// A derivation that none can: it needs what only picnix has, or a builder outside the store.
    Private,
}

impl Substituters {
    /// The caches of a policy. None is asked anything yet.
    #[must_use]
    pub fn new(policy: CachePolicy, store: &Store) -> Self {
        let client = Arc::new(Client::new(policy.fetch.clone()));
        let member = |address: &CacheAddress| Member {
            cache: BinaryCache {
                address: address.clone(),
                client: client.clone(),
                store_dir: store.store_dir().clone(),
            },
            priority: OnceLock::new(),
            is_disabled: AtomicBool::new(false),
        };
        Self {
            members: policy.addresses.iter().map(member).collect(),
            policy,
            answers: Answers::of(store),
            known: Mutex::default(),
            refused: Mutex::default(),
            origins: Mutex::default(),
        }
    }

    /// What the caches have of some outputs of derivations, with their closures.
    pub(crate) fn offers(
        &self,
        store: &Store,
        wanted: &[Wanted<'_>],
        warn: Warn<'_>,
    ) -> Result<Offers, CacheError> {
        let mut questions = BTreeMap::new();
        for Wanted { drv_path, derivation, paths } in wanted {
            if !self.members.is_empty() && allows_substitutes(derivation) {
                let origin = self.origin(store, drv_path, derivation);
                questions.extend(paths.iter().map(|path| (path.clone(), origin)));
            }
        }
        self.follow(store, questions, warn)
    }

    /// What the caches have of some paths, with their closures.
    pub(crate) fn offers_of_paths(
        &self,
        store: &Store,
        paths: &BTreeSet<StorePath>,
        warn: Warn<'_>,
    ) -> Result<Offers, CacheError> {
        let questions = paths.iter().map(|path| (path.clone(), Origin::Nix)).collect();
        self.follow(store, questions, warn)
    }

    /// Makes an offered path valid, or replaces it, from another cache if the first fails.
    pub(crate) fn copy(
        &self,
        store: &Store,
        offer: &Arc<Offer>,
        replaces: bool,
        cancel: &Cancel,
        progress: &dyn Fn(u64, Option<u64>),
        warn: Warn<'_>,
    ) -> Result<(), CacheError> {
        let mut offer = offer.clone();
        loop {
            let cache = &self.members[offer.cache].cache;
            let job =
                Download { store, cache, offer: &offer, cancel, replaces, progress };
            let Err(failed) = download(&job) else { return Ok(()) };
            if failed.error.is_local() && !failed.is_transport {
                return Err(failed.error);
            }
            if cancel.is_cancelled() {
                return Err(CacheError::Interrupted);
            }
            let path = &offer.info.path;
            if failed.is_transport {
                self.disable(offer.cache, &failed.error.to_string(), warn);
            }
            lock(&self.refused).insert((offer.cache, path.clone()));
            lock(&self.known).remove(path);
            self.answers.forget(&cache.address.url, &narinfo_name(path));
            match self.ask(path, &self.order(Origin::Nix, warn), warn) {
                Some(other) => {
                    warn(&failed.error.to_string());
                    offer = other;
                }
                None => return Err(failed.error),
            }
        }
    }

    /// The NAR of an offered path, in memory.
    pub(crate) fn read_nar(
        &self,
        store: &Store,
        offer: &Offer,
        cancel: &Cancel,
    ) -> Result<Vec<u8>, CacheError> {
        let cache = &self.members[offer.cache].cache;
        let (replaces, progress) = (false, &|_, _| ());
        read_nar(&Download { store, cache, offer, cancel, replaces, progress })
    }

    /// Asks for paths, what they refer to, and so on; keeps what is complete.
    fn follow(
        &self,
        store: &Store,
        mut questions: BTreeMap<StorePath, Origin>,
        warn: Warn<'_>,
    ) -> Result<Offers, CacheError> {
        let mut found = Offers::new();
        let mut valid = BTreeSet::new();
        let mut seen: BTreeSet<StorePath> = questions.keys().cloned().collect();
        while !questions.is_empty() {
            let mut references = BTreeMap::new();
            for (path, origin, offer) in self.ask_all(&questions, warn) {
                for reference in &offer.info.references {
                    if seen.insert(reference.clone()) {
                        references.insert(reference.clone(), origin);
                    }
                }
                found.insert(path, offer);
            }
            if seen.len() > MAX_PATHS {
                warn(
                    "the closures that binary caches offer are too large; they are not used",
                );
                return Ok(Offers::new());
            }
            // In this order, so that what is valid stays so.
            store.add_temp_roots(references.keys())?;
            let now_valid = store.valid_among(references.keys())?;
            references.retain(|path, _| !now_valid.contains(path));
            valid.extend(now_valid);
            questions = references;
        }
        Ok(complete(found, &valid, warn))
    }

    /// Asks the caches for many paths at a time.
    fn ask_all(
        &self,
        questions: &BTreeMap<StorePath, Origin>,
        warn: Warn<'_>,
    ) -> Vec<(StorePath, Origin, Arc<Offer>)> {
        let has = |origin: Origin| questions.values().any(|o| *o == origin);
        let order = |origin: Origin| match has(origin) {
            true => self.order(origin, warn),
            false => Vec::new(),
        };
        let (nix, private) = (order(Origin::Nix), order(Origin::Private));
        if nix.is_empty() && private.is_empty() {
            return Vec::new();
        }
        let list: Vec<(&StorePath, Origin)> =
            questions.iter().map(|(path, origin)| (path, *origin)).collect();
        let next = AtomicUsize::new(0);
        let found = Mutex::new(Vec::new());
        let work = || {
            while let Some((path, origin)) =
                list.get(next.fetch_add(1, Ordering::Relaxed))
            {
                let order = if *origin == Origin::Nix { &nix } else { &private };
                if let Some(offer) = self.ask(path, order, warn) {
                    lock(&found).push(((*path).clone(), *origin, offer));
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.policy.connections.min(list.len()) {
                scope.spawn(work);
            }
            work();
        });
        let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        found
    }

    /// Asks caches for a path, one after the other.
    fn ask(
        &self,
        path: &StorePath,
        order: &[usize],
        warn: Warn<'_>,
    ) -> Option<Arc<Offer>> {
        if let Some(offer) = lock(&self.known).get(path) {
            return Some(offer.clone());
        }
        for &index in order {
            let member = &self.members[index];
            let is_out = member.is_disabled.load(Ordering::Relaxed)
                || lock(&self.refused).contains(&(index, path.clone()));
            if let Some(text) =
                (!is_out).then(|| self.narinfo(index, path, warn)).flatten()
            {
                match self.judge(index, path, &text) {
                    Ok(offer) => {
                        let offer = Arc::new(offer);
                        lock(&self.known).insert(path.clone(), offer.clone());
                        return Some(offer);
                    }
                    Err(error) => {
                        self.answers
                            .forget(&member.cache.address.url, &narinfo_name(path));
                        lock(&self.refused).insert((index, path.clone()));
                        warn(&error.to_string());
                    }
                }
            }
        }
        None
    }

    /// A cache's narinfo of a path, remembered or asked for.
    fn narinfo(&self, index: usize, path: &StorePath, warn: Warn<'_>) -> Option<Vec<u8>> {
        let cache = &self.members[index].cache;
        let (url, question) = (&cache.address.url, narinfo_name(path));
        let is_remembered = is_server(url);
        match is_remembered.then(|| self.answers.look_up(url, &question)).flatten() {
            Some(Answer::Present(text)) => return Some(text),
            Some(Answer::Absent) if !self.policy.asks_again => return None,
            Some(Answer::Absent) | None => {}
        }
        let text = match cache.narinfo_text(path) {
            Ok(text) => text,
            Err(error) => {
                self.disable(index, &error.to_string(), warn);
                return None;
            }
        };
        if is_remembered {
            let (answer, lifetime) = match &text {
                Some(text) => {
                    (Answer::Present(text.clone()), self.policy.positive_lifetime)
                }
                None => (Answer::Absent, self.policy.negative_lifetime),
            };
            self.answers.remember(url, &question, &answer, lifetime);
        }
        text
    }

    /// Makes an offer of a narinfo that may be believed.
    fn judge(
        &self,
        index: usize,
        path: &StorePath,
        text: &[u8],
    ) -> Result<Offer, CacheError> {
        let cache = &self.members[index].cache;
        let narinfo = cache.parse_narinfo(path, text)?;
        let compression = Compression::parse(&narinfo.compression)?;
        let is_believed = !self.policy.require_signatures
            || cache.address.is_trusted
            || narinfo.info.is_trusted(&cache.store_dir, &self.policy.keys);
        if !is_believed {
            let (url, path) = (cache.address.url.clone(), path.clone());
            return Err(CacheError::Untrusted { url, path });
        }
        let (info, download_bytes) = (narinfo.info.clone(), narinfo.file_size);
        Ok(Offer { info, download_bytes, cache: index, compression, narinfo })
    }

    /// The caches to ask, first things first; those that are new say who they are.
    fn order(&self, origin: Origin, warn: Warn<'_>) -> Vec<usize> {
        let is_eligible = |index: &usize| {
            let member = &self.members[*index];
            !member.is_disabled.load(Ordering::Relaxed)
                && (member.cache.address.scope == Scope::All || origin == Origin::Nix)
        };
        let eligible: Vec<usize> = (0..self.members.len()).filter(is_eligible).collect();
        std::thread::scope(|scope| {
            let mut strangers = eligible
                .iter()
                .filter(|index| self.members[**index].priority.get().is_none());
            let first = strangers.next();
            for index in strangers {
                scope.spawn(move || self.introduce(*index, warn));
            }
            if let Some(index) = first {
                self.introduce(*index, warn);
            }
        });
        let mut order: Vec<usize> = eligible.into_iter().filter(is_eligible).collect();
        let priority = |index: &usize| self.members[*index].priority.get().copied();
        order.sort_by_key(|index| (priority(index), *index));
        order
    }

    /// Lets a cache say who it is, or disables it.
    fn introduce(&self, index: usize, warn: Warn<'_>) {
        let Member { cache, priority, .. } = &self.members[index];
        let url = &cache.address.url;
        let own = cache.address.priority;
        let mut info = None;
        if is_server(url) {
            let was_unreachable = self.answers.look_up(url, UNREACHABLE).is_some();
            if was_unreachable && !self.policy.asks_again {
                let reason = "it could not be reached a moment ago";
                return self.disable(index, reason, warn);
            }
            if let Some(Answer::Present(text)) =
                self.answers.look_up(url, "nix-cache-info")
            {
                info = cache.check_info(&text).ok();
            }
        }
        let info = match info.map_or_else(|| self.info(cache), Ok) {
            Ok(info) => info,
            Err(error) => return self.disable(index, &error.to_string(), warn),
        };
        // Another thread may have been first, with the same result.
        let _ = priority.set(own.or(info.priority).unwrap_or(USUAL_PRIORITY));
    }

    fn info(
        &self,
        cache: &BinaryCache,
    ) -> Result<picnix_store_core::CacheInfo, CacheError> {
        let info = cache.info()?;
        if is_server(&cache.address.url) {
            let answer = Answer::Present(info.print().into_bytes());
            let url = &cache.address.url;
            self.answers.remember(url, "nix-cache-info", &answer, CACHE_INFO_LIFETIME);
        }
        Ok(info)
    }

    fn disable(&self, index: usize, reason: &str, warn: Warn<'_>) {
        let Member { cache, is_disabled, .. } = &self.members[index];
        if is_disabled.swap(true, Ordering::Relaxed) {
            return;
        }
        let url = &cache.address.url;
        if is_server(url) && self.answers.look_up(url, UNREACHABLE).is_none() {
            let answer = Answer::Present(Vec::new());
            self.answers.remember(url, UNREACHABLE, &answer, UNREACHABLE_LIFETIME);
        }
        warn(&format!("binary cache '{url}' is not used: {reason}"));
    }

    /// Can Nix build it, elsewhere? Looks at the derivation and at everything that it is built from.
    fn origin(
        &self,
        store: &Store,
        drv_path: &StorePath,
        derivation: &Derivation,
    ) -> Origin {
        let store_dir = store.store_dir().as_str().as_bytes();
        if !derivation.builder.starts_with(store_dir) || is_only_ours(derivation) {
            return Origin::Private;
        }
        let mut origins = lock(&self.origins);
        let mut seen = BTreeSet::new();
        let mut stack = vec![drv_path.clone()];
        while let Some(path) = stack.pop() {
            match origins.get(&path) {
                Some(Origin::Nix) => continue,
                Some(Origin::Private) => {
                    origins.insert(drv_path.clone(), Origin::Private);
                    return Origin::Private;
                }
                None => {}
            }
            // A derivation that is gone says nothing; caches may have its outputs all the same.
            let Ok(derivation) = store.read_derivation(&path) else { continue };
            if is_only_ours(&derivation) {
                origins.insert(path, Origin::Private);
                origins.insert(drv_path.clone(), Origin::Private);
                return Origin::Private;
            }
            let inputs = derivation.input_drvs.keys();
            stack.extend(inputs.filter(|input| !seen.contains(*input)).cloned());
            seen.insert(path);
        }
        origins.extend(seen.into_iter().map(|path| (path, Origin::Nix)));
        Origin::Nix
    }
}

/// Drops offers that refer to what is neither valid nor offered, and so on.
fn complete(mut found: Offers, valid: &BTreeSet<StorePath>, warn: Warn<'_>) -> Offers {
    loop {
        let is_incomplete = |offer: &Offer| {
            let mut references = offer.info.references.iter();
            references.any(|path| !valid.contains(path) && !found.contains_key(path))
        };
        let incomplete: Vec<StorePath> = found
            .iter()
            .filter(|(_, offer)| is_incomplete(offer))
            .map(|(path, _)| path.clone())
            .collect();
        if incomplete.is_empty() {
            break;
        }
        for path in incomplete {
            found.remove(&path);
        }
    }
    match order_of(&found) {
        Ok(_) => found,
        Err(error) => {
            warn(&format!("the offers of binary caches are not used: {error}"));
            Offers::new()
        }
    }
}

/// The offers in an order in which each comes after what it refers to.
pub(crate) fn order_of(offers: &Offers) -> Result<Vec<StorePath>, picnix_closure::Error> {
    let node = |(path, offer): (&StorePath, &Arc<Offer>)| Node {
        path: path.clone(),
        nar_size: offer.info.nar_size,
        references: offer
            .info
            .references
            .iter()
            .filter(|reference| offers.contains_key(*reference))
            .cloned()
            .collect(),
    };
    Graph::new(offers.iter().map(node))?.topological_order()
}

/// Is it worth remembering what this cache says?
fn is_server(url: &str) -> bool {
    !url.starts_with("file:")
}
