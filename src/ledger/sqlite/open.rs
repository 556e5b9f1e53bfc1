//! Opening a ledger: the lock, the settings that durability rests on, the migrations, the mark.

use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use serde::{Deserialize, Serialize};

use crate::ledger::{Head, LedgerError};
use crate::planted::planted;

/// The migrations, oldest first; `PRAGMA user_version` counts those that were applied.
const MIGRATIONS: [&str; 6] = [
    include_str!("0001_begin.sql"),
    include_str!("0002_windows.sql"),
    include_str!("0003_days.sql"),
    include_str!("0004_notices.sql"),
    include_str!("0005_counts.sql"),
    include_str!("0006_present.sql"),
];

/// How long one process waits while another one commits.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The mark that is kept beside the database, so that a restored or replaced one shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub ledger_id: String,
    pub head: Head,
}

/// Refuses places where a ledger would be lost or half protected.
pub(super) fn check_place(path: &Path) -> Result<(), LedgerError> {
    let unfit = |why: String| LedgerError::Unfit { why };
    let folder = folder_of(path);
    if !folder.is_dir() {
        return Err(unfit(format!(
            "the ledger's folder {} does not exist; make it, or name another with --ledger",
            folder.display()
        )));
    }
    let absolute = std::path::absolute(&folder).unwrap_or_else(|_| folder.clone());
    let real = folder
        .canonicalize()
        .map_err(|error| unfit(format!("the ledger's folder {}: {error}", folder.display())))?;
    let file_is_link = path.symlink_metadata().is_ok_and(|meta| meta.is_symlink());
    if real != normal(&absolute) || file_is_link {
        return Err(unfit(format!(
            "the ledger {} is reached through a symlink, so that its lock and its log could part; name the real place: {}",
            path.display(),
            path.canonicalize()
                .unwrap_or_else(|_| real.join(path.file_name().unwrap_or_default()))
                .display()
        )));
    }
    Ok(())
}

/// Without `.` and `..`, which are no symlinks.
fn normal(path: &Path) -> PathBuf {
    use std::path::Component;
    path.components().fold(PathBuf::new(), |mut normal, part| {
        match part {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            other => normal.push(other),
        }
        normal
    })
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// How often the lock is tried for, and how long apart.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// Takes the lock that only one daemon holds. It is given back when the process ends, however
/// that comes about.
pub(super) fn lock(path: &Path) -> Result<File, LedgerError> {
    let lock_path = beside(path, ".lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .map_err(|error| LedgerError::Unfit {
            why: format!(
                "cannot write {}: {error}; the ledger's folder must be writable, since nothing may be sent that cannot be remembered",
                lock_path.display()
            ),
        })?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            // Whoever only asks whether a daemon runs holds it for a moment.
            Err(std::fs::TryLockError::WouldBlock) => std::thread::park_timeout(LOCK_PAUSE),
            Err(std::fs::TryLockError::Error(error)) => {
                return Err(LedgerError::Unfit {
                    why: format!("cannot lock {}: {error}", lock_path.display()),
                });
            }
        }
    }
    Err(LedgerError::Locked {
        path: path.display().to_string(),
    })
}

/// Whether a daemon holds the ledger just now.
pub(super) fn is_held(path: &Path) -> bool {
    File::open(beside(path, ".lock")).is_ok_and(|file| {
        matches!(
            file.try_lock_shared(),
            Err(std::fs::TryLockError::WouldBlock)
        )
    })
}

/// Opens the connection that writes, and makes sure of what durability rests on.
pub(super) fn writer(path: &Path, create: bool) -> Result<Connection, LedgerError> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    } else if !path.exists() {
        return Err(LedgerError::Missing {
            path: path.display().to_string(),
        });
    }
    let conn = Connection::open_with_flags(path, flags).map_err(|error| unusable(path, &error))?;
    settle(&conn).map_err(|error| unusable(path, &error))?;
    let mode: String = conn
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .map_err(|error| unusable(path, &error))?;
    let synchronous: i64 = conn
        .query_row("PRAGMA synchronous", [], |row| row.get(0))
        .map_err(|error| unusable(path, &error))?;
    if mode != "wal" || synchronous != planted!(NotSynced, 0, 2) {
        return Err(LedgerError::Unfit {
            why: format!(
                "the ledger {} did not take journal_mode WAL and synchronous FULL (it has `{mode}` and {synchronous}); put it on a local file system",
                path.display()
            ),
        });
    }
    Ok(conn)
}

/// Opens a connection that only reads.
pub(super) fn reader(path: &Path) -> Result<Connection, LedgerError> {
    if !path.exists() {
        return Err(LedgerError::Missing {
            path: path.display().to_string(),
        });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(|error| unusable(path, &error))?;
    conn.busy_timeout(BUSY_TIMEOUT)
        .map_err(|error| unusable(path, &error))?;
    statements(&conn).map_err(|error| unusable(path, &error))?;
    // The first question finds out whether this is a database at all.
    version(&conn).map_err(|error| unusable(path, &error))?;
    Ok(conn)
}

fn settle(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    let synchronous = planted!(NotSynced, "OFF", "FULL");
    conn.pragma_update(None, "synchronous", synchronous)?;
    conn.pragma_update(None, "foreign_keys", "ON")?;
    conn.pragma_update(None, "trusted_schema", "OFF")?;
    conn.pragma_update(None, "cell_size_check", "ON")?;
    statements(conn)
}

/// Every statement is prepared once, and goes the same way whatever it is asked for; else SQLite
/// would prepare those with a `LIMIT ?` anew each time.
fn statements(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_prepared_statement_cache_capacity(64);
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Looks for torn or flipped pages before anything is built on them.
pub(super) fn check_whole(conn: &Connection, path: &Path) -> Result<(), LedgerError> {
    let found: String = conn
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| unusable(path, &error))?;
    if found == "ok" {
        return Ok(());
    }
    Err(LedgerError::Unfit {
        why: format!(
            "the ledger {} is corrupt ({found}); restore the newest backup, then run `lapsed ledger trust`",
            path.display()
        ),
    })
}

/// Looks whether the indexes by which requests are found say what their rows say, which
/// `quick_check` leaves out: a key that is lost in its index would be taken for a new request and
/// sent again, and a row that is lost in the queue would be forgotten.
pub(super) fn check_indexes(conn: &Connection, path: &Path) -> Result<(), LedgerError> {
    for (index, columns, which) in [
        (
            "sqlite_autoindex_requests_1",
            "id, provider, subscription, again",
            "TRUE",
        ),
        (
            "requests_wake",
            "id, provider, lane, wake_at",
            "wake_at IS NOT NULL",
        ),
    ] {
        let sum_by = |way: &str| {
            let sql = format!("SELECT {columns} FROM requests {way} WHERE {which}");
            sum(conn, &sql).map_err(|error| unusable(path, &error))
        };
        let same = sum_by(&format!("INDEXED BY {index}"))? == sum_by("NOT INDEXED")?;
        if !same {
            return Err(LedgerError::Unfit {
                why: format!(
                    "the ledger {} is corrupt (the index {index} is not that of its rows); restore the newest backup, then run `lapsed ledger trust`",
                    path.display()
                ),
            });
        }
    }
    Ok(())
}

/// A sum over what is read, in whatever order it comes.
fn sum(conn: &Connection, sql: &str) -> rusqlite::Result<u64> {
    let mut rows = conn.prepare(sql)?;
    let columns = rows.column_count();
    let mut rows = rows.query([])?;
    let mut sum = 0_u64;
    while let Some(row) = rows.next()? {
        let mut hasher = DefaultHasher::new();
        for column in 0..columns {
            match row.get_ref(column)? {
                ValueRef::Null => hasher.write_u8(0),
                ValueRef::Integer(number) => hasher.write_i64(number),
                ValueRef::Real(number) => hasher.write_u64(number.to_bits()),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.hash(&mut hasher),
            }
        }
        sum = sum.wrapping_add(hasher.finish());
    }
    Ok(sum)
}

fn version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Refuses a schema that this version does not know.
pub(super) fn check_version(conn: &Connection, path: &Path) -> Result<i64, LedgerError> {
    let found = version(conn).map_err(|error| unusable(path, &error))?;
    let known = MIGRATIONS.len() as i64;
    if found > known {
        return Err(LedgerError::Newer {
            path: path.display().to_string(),
            found,
            known,
        });
    }
    Ok(found)
}

/// Brings the schema up to this version, each step in a transaction of its own.
pub(super) fn migrate(conn: &mut Connection, path: &Path) -> Result<(), LedgerError> {
    let found = check_version(conn, path)?;
    for (step, sql) in MIGRATIONS.iter().enumerate().skip(found as usize) {
        apply_migration(conn, step as i64 + 1, sql).map_err(|error| unusable(path, &error))?;
    }
    Ok(())
}

fn apply_migration(conn: &mut Connection, to: i64, sql: &str) -> rusqlite::Result<()> {
    let tx = conn.transaction()?;
    tx.execute_batch(sql)?;
    if to == 1 {
        tx.execute(
            "INSERT INTO meta (key, value) VALUES ('ledger_id', lower(hex(randomblob(16))))",
            [],
        )?;
        tx.execute(
            "INSERT INTO meta (key, value) VALUES ('pause_epoch', '0')",
            [],
        )?;
    }
    tx.pragma_update(None, "user_version", to)?;
    tx.commit()
}

/// One value of `meta`.
pub(super) fn meta(conn: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    conn.prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()
}

/// The newest block.
pub(super) fn head(conn: &Connection) -> rusqlite::Result<Head> {
    let found: Option<(i64, Vec<u8>)> = conn
        .prepare_cached("SELECT number, hash FROM blocks ORDER BY number DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(found.map_or_else(Head::default, |(block, hash)| Head {
        block,
        hash: crate::model::terms::hex(&hash),
    }))
}

/// Where the mark is kept.
pub(super) fn mark_path(path: &Path) -> PathBuf {
    beside(path, ".mark")
}

/// Writes the mark, whole or not at all.
pub(super) fn write_mark(path: &Path, mark: &Mark) -> std::io::Result<()> {
    let text = serde_json::to_vec(mark).map_err(std::io::Error::other)?;
    let place = mark_path(path);
    let new = beside(&place, ".new");
    std::fs::write(&new, text)?;
    std::fs::rename(new, place)
}

/// Compares the database with its mark: what a person should hear before it is acted on.
pub(super) fn doubt(conn: &Connection, path: &Path) -> Result<Option<String>, LedgerError> {
    if planted!(MarkIgnored, true, false) {
        return Ok(None);
    }
    let failed = |error: rusqlite::Error| unusable(path, &error);
    if let Some(kept) = meta(conn, "doubt").map_err(failed)? {
        return Ok(Some(kept));
    }
    let ledger_id = meta(conn, "ledger_id").map_err(failed)?.unwrap_or_default();
    let head = head(conn).map_err(failed)?;
    let mark: Option<Mark> = std::fs::read(mark_path(path))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let Some(mark) = mark else {
        return Ok((head.block > 0).then(|| {
            format!(
                "the mark {} is missing beside a ledger that has a history; was this one restored or moved?",
                mark_path(path).display()
            )
        }));
    };
    if mark.ledger_id != ledger_id {
        return Ok(Some(format!(
            "the mark beside the ledger names ledger {}, but this one is {ledger_id}; was it lost or replaced?",
            mark.ledger_id
        )));
    }
    if mark.head.block == 0 {
        return Ok(None);
    }
    let there: Option<Vec<u8>> = conn
        .query_row(
            "SELECT hash FROM blocks WHERE number = ?1",
            [mark.head.block],
            |row| row.get(0),
        )
        .optional()
        .map_err(failed)?;
    let same = there.is_some_and(|hash| crate::model::terms::hex(&hash) == mark.head.hash);
    Ok((!same).then(|| {
        format!(
            "the ledger ends at block {} but had come to block {}; was an older copy restored?",
            head.block, mark.head.block
        )
    }))
}

/// What SQLite says, with the cure where one is known.
pub(super) fn unusable(path: &Path, error: &rusqlite::Error) -> LedgerError {
    use rusqlite::ErrorCode;
    let path = path.display();
    let why = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => format!(
            "{path} is not a ledger ({error}); name the right file with --ledger, or move it away"
        ),
        Some(ErrorCode::DatabaseCorrupt) => format!(
            "the ledger {path} is corrupt ({error}); restore the newest backup, then run `lapsed ledger trust`"
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            format!(
                "the ledger {path} cannot be written ({error}); mend its permissions or its mount"
            )
        }
        Some(ErrorCode::DiskFull) => {
            format!(
                "the disk of the ledger {path} is full ({error}); nothing is sent until there is room"
            )
        }
        _ => format!("the ledger {path}: {error}"),
    };
    LedgerError::Unfit { why }
}
