//! The store on disk: layout, database, add, scan, roots, gc, verify.
//!
//! A store is one folder, and needs no root: the objects lie in `<root>/nix/store`, everything else
//! in `<root>/nix/var/picnix`. Builders see the objects at the logical store directory, normally
//! `/nix/store`.
//!
//! The one decision worth knowing: **an object is valid when the database says so, and the database
//! says so last.** An object is written under a temporary name, renamed to its place, synced, and
//! then registered, so that a process may be killed at any instant: what is not registered is
//! garbage, which the next writer of that path replaces and the collector removes. Deletion goes the
//! other way round: forgotten first, for good, then moved away, then deleted.
//!
//! Who holds what, in the order in which the locks may be taken: `place.lock` for the moment in
//! which objects get their place (or lose it); `gc.lock`, shared to add a temporary root, exclusive
//! to decide what is garbage. Locks on single paths ([`Store::lock_paths`]) are for builds and
//! downloads, which should not be done twice at once; they protect no invariant.
//!
//! A profile is a root with a past ([`Store::set_profile`]); equal files of objects may share their
//! blocks ([`Store::optimise`]), which changes nothing that can be seen of them.
//!
//! Not here: who may be trusted (a path info is checked against contents only), building, and the
//! network. What binary caches said is remembered here ([`Answers`]); who asks them is `build`.

mod add;
mod answers;
mod config;
mod database;
mod derivations;
mod error;
mod export;
mod gc;
mod incoming;
mod keepers;
mod lock;
mod optimise;
mod outputs;
mod pipe;
mod place;
mod profiles;
mod repair;
mod reserve;
mod roots;
mod runtime;
mod session;
mod store;
mod tree;
mod verify;

pub use add::{AddRequest, TextObject, source_path};
pub use answers::{Answer, Answers};
pub use config::{Access, Durability, StoreConfig};
pub use error::{Error, Result};
pub use export::{HashesFrom, Registration};
pub use gc::{GcOptions, GcReport};
pub use keepers::Keeper;
pub use lock::PathLocks;
pub use optimise::OptimiseReport;
pub use outputs::{OutputContents, OutputToRegister};
pub use pipe::{DumpSink, Room};
pub use profiles::{Generation, OldGenerations, SwitchTo};
pub use roots::Root;
pub use store::Store;
pub use tree::{EntryKind, Filter, FilterStopped, hash_tree, restore as restore_nar};
pub use verify::{Contents, VerifyReport};
