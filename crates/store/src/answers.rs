//! What binary caches said about paths, remembered for a while.
//!
//! A question to a cache costs a round trip, and most answers are "no such path"; they are kept in a
//! small database beside the store's own. It is a memory, not a truth: whatever goes wrong with it
//! amounts to having forgotten, and a damaged file is replaced by an empty one.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::config::Access;
use crate::store::{Store, lock};

/// The database's schema; a file of another version is replaced.
const SCHEMA: &str = "
    pragma user_version = 1;
    create table answer (
        cache text not null,
        question text not null,
        answer blob,
        until integer not null,
        primary key (cache, question)
    ) without rowid;
";
const SCHEMA_VERSION: i64 = 1;
/// How long one command waits for another's write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// What a cache said, as far as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// There is no such thing.
    Absent,
    /// This.
    Present(Vec<u8>),
}

/// The memory of what caches said; opened when it is first needed. Threads may share it.
pub struct Answers {
    /// The database's file, unless nothing may be written.
    path: Option<PathBuf>,
    connection: OnceLock<Option<Mutex<Connection>>>,
}

impl std::fmt::Debug for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answers")
    }
}

impl Answers {
    /// The memory of a store. One that cannot be opened remembers nothing.
    pub fn of(store: &Store) -> Self {
        let path = match store.config().access {
            Access::ReadWrite => {
                Some(store.layout.database.with_file_name("answers.sqlite"))
            }
            Access::ReadOnly => None,
        };
        Self { path, connection: OnceLock::new() }
    }

    /// What a cache said to a question, if that is remembered and not too old.
    pub fn look_up(&self, cache: &str, question: &str) -> Option<Answer> {
        let text = "select answer from answer
                    where cache = ?1 and question = ?2 and until > ?3";
        let found: Option<Option<Vec<u8>>> = self.with(|connection| {
            connection
                .prepare_cached(text)?
                .query_row(params![cache, question, now()], |row| row.get(0))
                .optional()
        })?;
        Some(found?.map_or(Answer::Absent, Answer::Present))
    }

    /// Remembers what a cache said.
    pub fn remember(
        &self,
        cache: &str,
        question: &str,
        answer: &Answer,
        lifetime: Duration,
    ) {
        let bytes = match answer {
            Answer::Absent => None,
            Answer::Present(bytes) => Some(bytes),
        };
        let until = now().saturating_add_unsigned(lifetime.as_secs());
        let text = "insert or replace into answer values (?1, ?2, ?3, ?4)";
        self.with(|connection| {
            let mut statement = connection.prepare_cached(text)?;
            statement.execute(params![cache, question, bytes, until])
        });
    }

    /// Forgets what a cache said, because it proved wrong.
    pub fn forget(&self, cache: &str, question: &str) {
        let text = "delete from answer where cache = ?1 and question = ?2";
        self.with(|connection| connection.execute(text, params![cache, question]));
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Option<T> {
        let open = || Some(Mutex::new(open_or_replace(self.path.as_deref()?)?));
        let connection = self.connection.get_or_init(open).as_ref()?;
        work(&lock(connection)).ok()
    }
}

/// Opens the database; one that is damaged or of another version is made anew.
fn open_or_replace(path: &Path) -> Option<Connection> {
    let opened = open(path).or_else(|_| {
        for suffix in ["", "-wal", "-shm"] {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            let _ = std::fs::remove_file(name);
        }
        open(path)
    });
    opened.ok()
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    // Losing the latest answers with the power does no harm.
    connection.pragma_update(None, "synchronous", "off")?;
    let version = |connection: &Connection| {
        connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))
    };
    if version(&connection)? == 0 {
        // Another process may have been first.
        let made =
            connection.execute_batch(&format!("begin immediate; {SCHEMA} commit;"));
        if made.is_err() {
            let _ = connection.execute_batch("rollback");
        }
    }
    if version(&connection)? != SCHEMA_VERSION {
        return Err(rusqlite::Error::InvalidQuery);
    }
    connection.execute("delete from answer where until <= ?1", [now()])?;
    Ok(connection)
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StoreConfig;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn answers_are_remembered_for_their_time() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(StoreConfig::new(dir.path())).unwrap();
        let answers = Answers::of(&store);
        assert_eq!(answers.look_up("c", "a"), None);
        answers.remember("c", "a", &Answer::Absent, HOUR);
        answers.remember("c", "b", &Answer::Present(b"x".into()), HOUR);
        answers.remember("c", "old", &Answer::Absent, Duration::ZERO);
        let again = Answers::of(&store);
        assert_eq!(again.look_up("c", "a"), Some(Answer::Absent));
        assert_eq!(again.look_up("c", "b"), Some(Answer::Present(b"x".into())));
        assert_eq!(again.look_up("d", "a"), None);
        assert_eq!(again.look_up("c", "old"), None);
        again.forget("c", "a");
        assert_eq!(answers.look_up("c", "a"), None);
    }

    #[test]
    fn a_damaged_memory_is_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(StoreConfig::new(dir.path())).unwrap();
        let path = store.layout.database.with_file_name("answers.sqlite");
        std::fs::write(&path, b"this is not a database, and long enough to be none")
            .unwrap();
        let answers = Answers::of(&store);
        answers.remember("c", "a", &Answer::Absent, HOUR);
        assert_eq!(answers.look_up("c", "a"), Some(Answer::Absent));
    }
}
