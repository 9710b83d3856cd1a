//! The only network client: a URL and a hash in, bytes out.
//!
//! [`fetch`] tries every URL that it is given, resolves `mirror://` URLs to the places where they
//! can be had ([`Mirrors`]), continues what was interrupted, and lets only the right bytes through.
//! The decision worth knowing: the hash decides, nothing else. A partial file is continued from
//! wherever the rest can be had, and if the whole then has the wrong hash it is fetched once more
//! from its beginning before anything is called a mismatch.
//!
//! A [`Client`] speaks to one place often, such as a binary cache: it keeps connections, reads
//! without a file ([`Stream`] continues what breaks off), and uploads. Its callers check what comes.
//!
//! What it does not do: it knows no store, keeps no cache, and unpacks nothing.

mod apt;
mod config;
mod error;
mod mirrors;

mod client;
mod fetch;
mod http;
mod part;
mod s3;
mod s3_keys;
mod stream;

pub use apt::{debian_mirrors, read_apt_sources};
pub use client::{Client, Patience, Upload};
pub use config::{Config, Proxies};
pub use error::{Attempt, Error};
pub use fetch::{Fetched, Progress, Request, fetch, percent_decode};
pub use mirrors::{Mirrors, SNAPSHOT_KEY};
pub use s3_keys::{S3Access, S3Keys};
pub use stream::Stream;
