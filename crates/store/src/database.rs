//! The database: which paths are valid, with their infos and references.
//!
//! SQLite in WAL mode, one file, one connection for each open store. A commit is atomic; when a
//! commit reaches the disk is another matter: registering may be forgotten after the loss of power
//! (the object is then unregistered, and nothing is lost but work), forgetting may not (the object
//! would be valid and missing), so only that waits for the disk.
//!
//! The schema's version is SQLite's `user_version`; [`MIGRATIONS`] leads from each version to the
//! next. A database of a later version is refused, not guessed at.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use picnix_store_core::{
    ContentAddress, DIGEST_CHARS, PathInfo, Sha256, Signature, StorePath,
};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, Row, params};

use crate::config::Access;
use crate::error::{Context, Error, Result};
use crate::store::lock;

/// Statements that lead from the version of their index to the next.
const MIGRATIONS: &[&str] = &[include_str!("schema.sql")];
/// Marks the file as ours: "picn".
const APPLICATION_ID: i64 = 0x7069_636e;
/// How long a writer waits for another; a transaction takes milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long it waits before it asks again.
const BUSY_PAUSE: Duration = Duration::from_millis(5);
/// How many compiled statements are kept: all there are.
const STATEMENTS: usize = 32;

const INFO_COLUMNS: &str = "id, base_name, nar_hash, nar_size, registration_time, deriver, \
                            content_address, signatures, ultimate";

/// An open database.
pub(crate) struct Database {
    path: PathBuf,
    connection: Mutex<Connection>,
}

/// One node of the graph of valid paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) path: StorePath,
    pub(crate) nar_size: u64,
    /// Indices of nodes that this one refers to, itself excluded.
    pub(crate) references: Vec<usize>,
    /// The index of the derivation that produced it, if that is valid.
    pub(crate) deriver: Option<usize>,
}

/// A transaction that only reads, so that the file is locked once. Its statements are compiled once, too.
struct Reading<'a>(&'a Connection);

impl<'a> Reading<'a> {
    fn start(connection: &'a Connection) -> rusqlite::Result<Self> {
        connection.prepare_cached("begin")?.execute([])?;
        Ok(Self(connection))
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        // Nothing was written; if this fails, the next transaction cannot start, and says so.
        let ended = self.0.prepare_cached("commit").and_then(|mut end| end.execute([]));
        if ended.is_err() {
            let _ = self.0.execute_batch("rollback");
        }
    }
}

impl Database {
    /// Opens the database and brings its schema up to date.
    pub(crate) fn open(path: &Path, access: Access) -> Result<Self> {
        let connection = match access {
            Access::ReadWrite => open_writable(path)?,
            Access::ReadOnly => open_read_only(path)?,
        };
        let database = Self { path: path.to_owned(), connection: Mutex::new(connection) };
        database.prepare(access)?;
        Ok(database)
    }

    fn prepare(&self, access: Access) -> Result<()> {
        let mut connection = self.lock();
        let wrap = |error| self.error(error);
        connection.busy_timeout(BUSY_TIMEOUT).map_err(wrap)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let known = i64::try_from(MIGRATIONS.len()).expect("migrations are few");
        let found = self.version(&connection)?;
        if found > known {
            return Err(Error::SchemaTooNew { path: self.path.clone(), found, known });
        }
        if access == Access::ReadOnly {
            return match found {
                0 => Err(Error::Missing(self.path.clone())),
                _ => Ok(()),
            };
        }
        if found < known {
            self.migrate(&mut connection)?;
        }
        connection.pragma_update(None, "foreign_keys", true).map_err(wrap)?;
        connection.pragma_update(None, "synchronous", "normal").map_err(wrap)
    }

    /// The schema's version; 0 is an empty file.
    fn version(&self, connection: &Connection) -> Result<i64> {
        let pragma = |name| {
            connection
                .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
                .map_err(|error| self.error(error))
        };
        let version = pragma("user_version")?;
        if version != 0 && pragma("application_id")? != APPLICATION_ID {
            let reason = "it is a database of another program".to_owned();
            return Err(Error::DatabaseCorrupt { path: self.path.clone(), reason });
        }
        Ok(version)
    }

    fn migrate(&self, connection: &mut Connection) -> Result<()> {
        let wrap = |error| self.error(error);
        // The mode stays with the file. It cannot be changed inside a transaction.
        patiently(|| {
            connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))
        })
        .map_err(wrap)?;
        let transaction = connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive)
            .map_err(wrap)?;
        // Another process may have been first.
        let found = usize::try_from(self.version(&transaction)?).unwrap_or(0);
        for statements in MIGRATIONS.iter().skip(found) {
            transaction.execute_batch(statements).map_err(wrap)?;
        }
        transaction
            .pragma_update(None, "application_id", APPLICATION_ID)
            .map_err(wrap)?;
        transaction
            .pragma_update(None, "user_version", MIGRATIONS.len().max(found))
            .map_err(wrap)?;
        transaction.commit().map_err(wrap)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic in another thread rolled its transaction back.
        lock(&self.connection)
    }

    /// Names the database in an error, and tells damage from other trouble.
    fn error(&self, source: rusqlite::Error) -> Error {
        let path = self.path.clone();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Error::DatabaseCorrupt { path, reason: source.to_string() }
            }
            _ => Error::Database { path, source },
        }
    }

    fn corrupt(&self, reason: impl ToString) -> Error {
        Error::DatabaseCorrupt { path: self.path.clone(), reason: reason.to_string() }
    }

    /// Is the path valid?
    pub(crate) fn is_valid(&self, path: &StorePath) -> Result<bool> {
        let connection = self.lock();
        let found = self.id(&connection, path)?;
        Ok(found.is_some())
    }

    /// Those of some paths that are valid.
    pub(crate) fn valid_among<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<BTreeSet<StorePath>> {
        let connection = self.lock();
        // One transaction, so that the file is locked once and not for every path.
        let _reading = Reading::start(&connection).map_err(|error| self.error(error))?;
        let mut valid = BTreeSet::new();
        for path in paths {
            if self.id(&connection, path)?.is_some() {
                valid.insert(path.clone());
            }
        }
        Ok(valid)
    }

    fn id(&self, connection: &Connection, path: &StorePath) -> Result<Option<i64>> {
        connection
            .prepare_cached("select id from paths where base_name = ?")
            .and_then(|mut statement| {
                statement.query_row([path.to_string()], |row| row.get(0)).optional()
            })
            .map_err(|error| self.error(error))
    }

    /// What is known of a valid path.
    pub(crate) fn info(&self, path: &StorePath) -> Result<Option<PathInfo>> {
        let connection = self.lock();
        let sql = format!("select {INFO_COLUMNS} from paths where base_name = ?");
        let raw = connection
            .prepare_cached(&sql)
            .and_then(|mut statement| {
                statement.query_row([path.to_string()], RawInfo::read).optional()
            })
            .map_err(|error| self.error(error))?;
        let Some(raw) = raw else { return Ok(None) };
        let references = self.linked(
            &connection,
            "select base_name from refs join paths on paths.id = refs.reference \
             where referrer = ?",
            raw.id,
        )?;
        raw.parse(references).map(Some).map_err(|reason| self.corrupt(reason))
    }

    fn linked(
        &self,
        connection: &Connection,
        sql: &str,
        id: i64,
    ) -> Result<BTreeSet<StorePath>> {
        let names: Vec<String> = connection
            .prepare_cached(sql)
            .and_then(|mut statement| {
                statement.query_map([id], |row| row.get(0))?.collect()
            })
            .map_err(|error| self.error(error))?;
        self.parse_paths(names)
    }

    fn parse_paths<C: FromIterator<StorePath>>(
        &self,
        names: impl IntoIterator<Item = String>,
    ) -> Result<C> {
        let parse = |name: String| {
            StorePath::parse(name.as_bytes()).map_err(|error| self.corrupt(error))
        };
        names.into_iter().map(parse).collect()
    }

    /// The valid paths that refer to a path, possibly itself.
    pub(crate) fn referrers(&self, path: &StorePath) -> Result<BTreeSet<StorePath>> {
        let connection = self.lock();
        let Some(id) = self.id(&connection, path)? else { return Ok(BTreeSet::new()) };
        self.linked(
            &connection,
            "select base_name from refs join paths on paths.id = refs.referrer \
             where reference = ?",
            id,
        )
    }

    /// The valid paths that a derivation produced.
    pub(crate) fn outputs_of(&self, deriver: &StorePath) -> Result<BTreeSet<StorePath>> {
        self.paths_where("deriver = ?", &deriver.to_string())
    }

    /// The valid path with this digest.
    pub(crate) fn by_digest(
        &self,
        digest: &[u8; DIGEST_CHARS],
    ) -> Result<Option<StorePath>> {
        // Digits and the dash, and then the least name that is larger than both.
        let from = format!("{}-", String::from_utf8_lossy(digest));
        let found =
            self.paths_where("base_name >= ?1 and base_name < ?1 || '~'", &from)?;
        Ok(found.into_iter().next())
    }

    /// Is a path of this name valid, whatever its digest?
    pub(crate) fn has_name(&self, name: &str) -> Result<bool> {
        let connection = self.lock();
        let found = connection
            .prepare_cached(
                "select exists (select 1 from paths where substr(base_name, ?) = ?)",
            )
            .and_then(|mut statement| {
                // After the digest and the dash; SQLite counts from 1.
                statement.query_row(params![DIGEST_CHARS + 2, name], |row| row.get(0))
            });
        found.map_err(|error| self.error(error))
    }

    fn paths_where(&self, condition: &str, value: &str) -> Result<BTreeSet<StorePath>> {
        let connection = self.lock();
        let sql = format!("select base_name from paths where {condition}");
        let names: Vec<String> = connection
            .prepare_cached(&sql)
            .and_then(|mut statement| {
                statement.query_map([value], |row| row.get(0))?.collect()
            })
            .map_err(|error| self.error(error))?;
        self.parse_paths(names)
    }

    /// Every valid path.
    pub(crate) fn all(&self) -> Result<BTreeSet<StorePath>> {
        self.paths_where("?1 = ''", "")
    }

    /// Everything that the given valid paths reach, themselves included.
    pub(crate) fn closure<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<BTreeSet<StorePath>> {
        let connection = self.lock();
        let wrap = |error| self.error(error);
        let _reading = Reading::start(&connection).map_err(wrap)?;
        let mut statement = connection
            .prepare_cached("select reference from refs where referrer = ?")
            .map_err(wrap)?;
        let mut seen = BTreeSet::new();
        let mut queue = Vec::new();
        for path in paths {
            let id = self.id(&connection, path)?;
            let id = id.ok_or_else(|| Error::NotValid(path.to_string()))?;
            if seen.insert(id) {
                queue.push(id);
            }
        }
        while let Some(id) = queue.pop() {
            let rows = statement.query_map([id], |row| row.get(0)).map_err(wrap)?;
            for id in rows {
                let id: i64 = id.map_err(wrap)?;
                if seen.insert(id) {
                    queue.push(id);
                }
            }
        }
        let mut names = connection
            .prepare_cached("select base_name from paths where id = ?")
            .map_err(wrap)?;
        let mut closure = Vec::with_capacity(seen.len());
        for id in seen {
            closure.push(names.query_row([id], |row| row.get(0)).map_err(wrap)?);
        }
        self.parse_paths(closure)
    }

    /// All valid paths with their references, for the collector and for graphs of whole stores.
    pub(crate) fn graph(&self) -> Result<Vec<Node>> {
        let connection = self.lock();
        let wrap = |error| self.error(error);
        let mut indices = BTreeMap::new();
        let mut nodes = Vec::new();
        let mut derivers = Vec::new();
        let mut statement = connection
            .prepare_cached(
                "select id, base_name, nar_size, deriver from paths order by base_name",
            )
            .map_err(wrap)?;
        let mut rows = statement.query([]).map_err(wrap)?;
        while let Some(row) = rows.next().map_err(wrap)? {
            let id: i64 = row.get(0).map_err(wrap)?;
            let name: String = row.get(1).map_err(wrap)?;
            let size: i64 = row.get(2).map_err(wrap)?;
            let deriver: Option<String> = row.get(3).map_err(wrap)?;
            let path = StorePath::parse(name.as_bytes());
            let path = path.map_err(|error| self.corrupt(error))?;
            let nar_size = u64::try_from(size).unwrap_or(0);
            indices.insert(id, nodes.len());
            derivers.push(deriver);
            nodes.push(Node { path, nar_size, references: Vec::new(), deriver: None });
        }
        link_derivers(&mut nodes, &derivers);
        let mut statement = connection
            .prepare_cached(
                "select referrer, reference from refs where referrer != reference",
            )
            .map_err(wrap)?;
        let rows = statement
            .query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
            .map_err(wrap)?;
        for row in rows {
            let (referrer, reference) = row.map_err(wrap)?;
            if let (Some(from), Some(to)) =
                (indices.get(&referrer), indices.get(&reference))
            {
                nodes[*from].references.push(*to);
            }
        }
        Ok(nodes)
    }

    /// Makes paths valid, all or none. References must be valid or among them.
    ///
    /// A path that is valid already gets the new info.
    pub(crate) fn register(&self, infos: &[PathInfo]) -> Result<()> {
        let mut connection = self.lock();
        let wrap = |error| self.error(error);
        let transaction = connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .map_err(wrap)?;
        let mut ids = BTreeMap::new();
        for info in infos {
            let id = insert_path(&transaction, info).map_err(wrap)?;
            ids.insert(&info.path, id);
        }
        for info in infos {
            let referrer = ids[&info.path];
            let mut statement = transaction
                .prepare_cached("insert or ignore into refs values (?, ?)")
                .map_err(wrap)?;
            for reference in &info.references {
                let id = match ids.get(reference) {
                    Some(id) => Some(*id),
                    None => self.id(&transaction, reference)?,
                };
                let id = id.ok_or_else(|| Error::ReferenceNotValid {
                    path: info.path.clone(),
                    reference: reference.clone(),
                })?;
                statement.execute([referrer, id]).map_err(wrap)?;
            }
        }
        transaction.commit().map_err(wrap)
    }

    /// Makes paths invalid, all or none, and waits until that is on the disk.
    ///
    /// No valid path outside the set may refer into it.
    pub(crate) fn forget<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<()> {
        let mut connection = self.lock();
        let wrap = |error| self.error(error);
        connection.pragma_update(None, "synchronous", "full").map_err(wrap)?;
        let forget = || {
            let transaction = connection
                .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            // Referrers and references may go in any order.
            transaction.pragma_update(None, "defer_foreign_keys", true)?;
            {
                let mut refs = transaction.prepare_cached(
                    "delete from refs where referrer = (select id from paths where base_name = ?)",
                )?;
                let mut own = transaction
                    .prepare_cached("delete from paths where base_name = ?")?;
                let names: Vec<String> =
                    paths.into_iter().map(ToString::to_string).collect();
                for name in &names {
                    refs.execute([name])?;
                }
                for name in &names {
                    own.execute([name])?;
                }
            }
            transaction.commit()
        };
        let forgotten = forget().map_err(wrap);
        connection.pragma_update(None, "synchronous", "normal").map_err(wrap)?;
        forgotten
    }

    /// Replaces the signatures of a valid path.
    pub(crate) fn set_signatures(
        &self,
        path: &StorePath,
        signatures: &BTreeSet<Signature>,
    ) -> Result<()> {
        let connection = self.lock();
        let changed = connection
            .execute(
                "update paths set signatures = ? where base_name = ?",
                params![join_signatures(signatures), path.to_string()],
            )
            .map_err(|error| self.error(error))?;
        if changed == 0 { Err(Error::NotValid(path.to_string())) } else { Ok(()) }
    }

    /// Lets SQLite check the file; a reason for each thing it finds.
    pub(crate) fn check(&self) -> Result<Vec<String>> {
        let connection = self.lock();
        let reasons: Vec<String> = connection
            .prepare("pragma integrity_check")
            .and_then(|mut statement| {
                statement.query_map([], |row| row.get(0))?.collect()
            })
            .map_err(|error| self.error(error))?;
        Ok(reasons.into_iter().filter(|reason| reason != "ok").collect())
    }
}

fn link_derivers(nodes: &mut [Node], derivers: &[Option<String>]) {
    for (at, deriver) in derivers.iter().enumerate() {
        let path =
            deriver.as_ref().and_then(|name| StorePath::parse(name.as_bytes()).ok());
        let found = path.map(|path| nodes.binary_search_by(|node| node.path.cmp(&path)));
        nodes[at].deriver = found.and_then(Result::ok);
    }
}

/// Does something anew while the database is locked. SQLite itself waits for a lock, but not for that of the journal's
/// mode, which several processes may want that open a new store.
fn patiently<T>(work: impl Fn() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let end = Instant::now() + BUSY_TIMEOUT;
    loop {
        match work() {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && Instant::now() < end =>
            {
                std::thread::sleep(BUSY_PAUSE);
            }
            result => return result,
        }
    }
}

fn open_writable(path: &Path) -> Result<Connection> {
    // SQLite says only "unable to open"; the system's own reason is better.
    let mut options = std::fs::OpenOptions::new();
    let opened = options.read(true).write(true).create(true).truncate(false).open(path);
    drop(opened.context("open the store database", path)?);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags)
        .map_err(|source| Error::Database { path: path.to_owned(), source })
}

fn open_read_only(path: &Path) -> Result<Connection> {
    match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::Missing(path.to_owned()));
        }
        other => drop(other.context("open the store database", path)?),
    }
    let wrap = |source| Error::Database { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(wrap)?;
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0));
    if version.map(|_: i64| ()).is_ok() {
        return Ok(connection);
    }
    // On a medium that takes no `-shm` file, SQLite must be told that nobody writes.
    let text = path.to_string_lossy();
    let escaped = text.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let uri = format!("file:{escaped}?immutable=1");
    Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI).map_err(wrap)
}

fn insert_path(connection: &Connection, info: &PathInfo) -> rusqlite::Result<i64> {
    let mut statement = connection.prepare_cached(
        "insert into paths (base_name, nar_hash, nar_size, registration_time, deriver, \
         content_address, signatures, ultimate) values (?, ?, ?, ?, ?, ?, ?, ?) \
         on conflict (base_name) do update set nar_hash = excluded.nar_hash, \
         nar_size = excluded.nar_size, deriver = coalesce(excluded.deriver, deriver), \
         content_address = excluded.content_address, signatures = excluded.signatures, \
         ultimate = excluded.ultimate returning id",
    )?;
    let id = statement.query_row(
        params![
            info.path.to_string(),
            info.nar_hash.0.as_slice(),
            i64::try_from(info.nar_size).unwrap_or(i64::MAX),
            i64::try_from(info.registration_time).unwrap_or(i64::MAX),
            info.deriver.as_ref().map(ToString::to_string),
            info.content_address.as_ref().map(ToString::to_string),
            join_signatures(&info.signatures),
            info.ultimate,
        ],
        |row| row.get(0),
    )?;
    connection.prepare_cached("delete from refs where referrer = ?")?.execute([id])?;
    Ok(id)
}

fn join_signatures(signatures: &BTreeSet<Signature>) -> String {
    let texts: Vec<String> = signatures.iter().map(ToString::to_string).collect();
    texts.join(" ")
}

/// A row of `paths` before its texts are parsed.
struct RawInfo {
    id: i64,
    base_name: String,
    nar_hash: Vec<u8>,
    nar_size: i64,
    registration_time: i64,
    deriver: Option<String>,
    content_address: Option<String>,
    signatures: String,
    ultimate: bool,
}

impl RawInfo {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            base_name: row.get(1)?,
            nar_hash: row.get(2)?,
            nar_size: row.get(3)?,
            registration_time: row.get(4)?,
            deriver: row.get(5)?,
            content_address: row.get(6)?,
            signatures: row.get(7)?,
            ultimate: row.get(8)?,
        })
    }

    fn parse(self, references: BTreeSet<StorePath>) -> Result<PathInfo, String> {
        let words = |error: picnix_store_core::Error| error.to_string();
        let parse_path = |name: String| StorePath::parse(name.as_bytes()).map_err(words);
        let nar_hash =
            self.nar_hash.try_into().map_err(|_| "a hash of a wrong length")?;
        let signatures = self.signatures.split_ascii_whitespace();
        Ok(PathInfo {
            path: parse_path(self.base_name)?,
            nar_hash: Sha256(nar_hash),
            nar_size: u64::try_from(self.nar_size).map_err(|_| "a negative size")?,
            references,
            deriver: self.deriver.map(parse_path).transpose()?,
            content_address: self
                .content_address
                .map(|text| ContentAddress::parse(&text).map_err(words))
                .transpose()?,
            signatures: signatures
                .map(|text| Signature::parse(text).map_err(words))
                .collect::<Result<_, _>>()?,
            registration_time: u64::try_from(self.registration_time).unwrap_or(0),
            ultimate: self.ultimate,
        })
    }
}
