//! A whole copy of the ledger, while a daemon works with it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{SqliteLedger, open, verify};
use crate::ledger::{LedgerError, Verification};

impl SqliteLedger {
    /// Copies the ledger as it is at one moment to `to`, which must not be there, and checks the copy
    /// as [`crate::ledger::Ledger::verify`] does. Whoever writes meanwhile is not held up. The copy is
    /// there whole or not at all, and only its owner may read it.
    ///
    /// # Errors
    /// It is there already, it cannot be written, or it is not whole.
    pub async fn backup(&self, to: PathBuf) -> Result<Verification, LedgerError> {
        self.read(move |conn| backup(conn, &to)).await
    }
}

/// What compacting came to, in bytes on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Before.
    pub before: u64,
    /// Afterwards.
    pub after: u64,
}

impl SqliteLedger {
    /// Gives free room back to the disk, which needs as much again for a while. It blocks.
    ///
    /// # Errors
    /// There is no ledger, a daemon holds it, it is not whole, or there is no room.
    pub fn compact(path: &Path) -> Result<Compacted, LedgerError> {
        open::check_place(path)?;
        if !path.exists() {
            return Err(LedgerError::Missing {
                path: path.display().to_string(),
            });
        }
        let _lock = open::lock(path)?;
        let conn = open::writer(path, false)?;
        open::check_version(&conn, path)?;
        open::check_whole(&conn, path)?;
        let before = size(path);
        conn.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)")?;
        Ok(Compacted {
            before,
            after: size(path),
        })
    }
}

/// Of the database and of what it has not yet taken out of its log.
fn size(path: &Path) -> u64 {
    let of = |path: &Path| path.metadata().map_or(0, |it| it.len());
    of(path) + of(&open::beside(path, "-wal"))
}

fn backup(conn: &Connection, to: &Path) -> Result<Verification, LedgerError> {
    let unfit = |why: String| LedgerError::Unfit { why };
    let failed = |error: io::Error| unfit(format!("cannot write {}: {error}", to.display()));
    if to.symlink_metadata().is_ok() {
        return Err(unfit(format!(
            "{} is there already, and a backup replaces nothing; name another file",
            to.display()
        )));
    }
    let mut name = to.as_os_str().to_owned();
    name.push(".partial");
    let partial = Partial(PathBuf::from(name));
    // What a backup that was cut short has left.
    partial.remove();
    // SQLite writes into an empty file, which is nobody else's from the start.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial.0)
        .map_err(failed)?;
    conn.execute("VACUUM INTO ?1", [partial.0.to_string_lossy().as_ref()])?;
    let copy = open::reader(&partial.0)?;
    let verification = verify::verify(&copy)?;
    drop(copy);
    if let Some(fault) = verification.faults.first() {
        return Err(unfit(format!(
            "the copy is not whole ({fault}), and neither is the ledger; see `lapsed ledger verify`"
        )));
    }
    File::open(&partial.0)
        .and_then(|file| file.sync_all())
        .map_err(failed)?;
    // A link replaces nothing, should somebody else have put a file there meanwhile; some file systems
    // have none.
    match std::fs::hard_link(&partial.0, to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(failed(error)),
        Err(_) => std::fs::rename(&partial.0, to).map_err(failed)?,
        Ok(()) => {}
    }
    let folder = to.parent().filter(|it| *it != Path::new(""));
    File::open(folder.unwrap_or_else(|| Path::new(".")))
        .and_then(|folder| folder.sync_all())
        .map_err(failed)?;
    Ok(verification)
}

/// A copy that is not done; gone when it is let go of.
struct Partial(PathBuf);

impl Partial {
    fn remove(&self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        self.remove();
    }
}
