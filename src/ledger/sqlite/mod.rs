//! The ledger on SQLite: one writer thread with group commit, one reader thread.
//!
//! Whatever waits (at most 256 jobs) is committed together, with one `fdatasync`; each job
//! stands under a savepoint, so that one that fails takes nothing with it. A job is answered
//! only after its commit: what was answered survives a crash.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use chrono::{DateTime, Utc};
use rusqlite::Connection;
use tokio::sync::oneshot;

use self::open::Mark;
use crate::planted::planted;

use super::chain::{self, Hash};
use super::{LedgerError, Reply};

mod accept;
mod approve;
mod backup;
pub mod evidence;
mod implement;
mod memory;
mod notices;
mod open;
mod pages;
mod queue;
mod report;
mod rolling;
mod rows;
mod verify;

/// At most so many jobs share a commit.
const LARGEST_COMMIT: usize = 256;

/// A ledger in one SQLite database.
#[derive(Clone)]
pub struct SqliteLedger {
    path: PathBuf,
    opened_as: OpenAs,
    hands: Hands,
}

/// Who does the work.
#[derive(Clone)]
enum Hands {
    /// A thread that writes and one that reads.
    Threads {
        writes: mpsc::Sender<WriteJob>,
        reads: mpsc::Sender<ReadJob>,
    },
    /// Whoever waits for it.
    Callers(Arc<Mutex<Desk>>),
}

/// What lies where there are no threads.
struct Desk {
    writer: Writer,
    reader: Connection,
    waiting: Vec<WriteJob>,
}

type ReadJob = Box<dyn FnOnce(&Connection) + Send>;
type WriteJob = Box<dyn FnOnce(&mut Tx<'_>) -> Finish + Send>;
type Tell = Box<dyn FnOnce(Result<(), LedgerError>) + Send>;

/// What is left of a job once it ran: whether it stands, and whom to tell.
struct Finish {
    stands: bool,
    tell: Tell,
}

/// How a ledger is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenAs {
    /// The daemon: makes it where there is none, migrates it, holds its lock.
    Daemon,
    /// A command beside the daemon: reads, and appends to the inbox.
    Guest,
}

impl SqliteLedger {
    /// Opens the ledger at `path`.
    ///
    /// # Errors
    /// Named reasons: locked by another daemon, newer schema, corrupt, read-only, behind a
    /// symlink, missing (for a guest).
    pub fn open(path: &Path, open_as: OpenAs) -> Result<Self, LedgerError> {
        let (mut writer, reader) = Self::connect(path, open_as)?;
        let (writes, write_jobs) = mpsc::channel();
        let (reads, read_jobs) = mpsc::channel::<ReadJob>();
        spawn("ledger-writer", move || writer.run(&write_jobs))?;
        spawn("ledger-reader", move || {
            while let Ok(job) = read_jobs.recv() {
                job(&reader);
            }
        })?;
        Ok(Self {
            path: path.to_owned(),
            opened_as: open_as,
            hands: Hands::Threads { writes, reads },
        })
    }

    /// The same without threads, for a simulation in which one thread decides the order of
    /// everything: whoever waits for an answer does the work that waits, in one commit.
    ///
    /// # Errors
    /// As [`SqliteLedger::open`].
    pub fn open_without_threads(path: &Path, open_as: OpenAs) -> Result<Self, LedgerError> {
        let (writer, reader) = Self::connect(path, open_as)?;
        Ok(Self {
            path: path.to_owned(),
            opened_as: open_as,
            hands: Hands::Callers(Arc::new(Mutex::new(Desk {
                writer,
                reader,
                waiting: Vec::new(),
            }))),
        })
    }

    fn connect(path: &Path, open_as: OpenAs) -> Result<(Writer, Connection), LedgerError> {
        open::check_place(path)?;
        let (lock, conn, doubt) = match open_as {
            OpenAs::Daemon => {
                let lock = open::lock(path)?;
                let mut conn = open::writer(path, true)?;
                open::check_version(&conn, path)?;
                open::check_whole(&conn, path)?;
                open::migrate(&mut conn, path)?;
                open::check_indexes(&conn, path)?;
                let doubt = open::doubt(&conn, path)?;
                (Some(lock), conn, doubt)
            }
            OpenAs::Guest => {
                let conn = open::writer(path, false)?;
                let found = open::check_version(&conn, path)?;
                if found == 0 {
                    return Err(LedgerError::Missing {
                        path: path.display().to_string(),
                    });
                }
                (None, conn, None)
            }
        };
        if let Some(doubt) = &doubt {
            conn.execute(
                "INSERT INTO meta (key, value) VALUES ('doubt', ?1)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                [doubt],
            )
            .map_err(|error| open::unusable(path, &error))?;
        }
        let reader = open::reader(path)?;
        let mut writer = Writer::new(conn, path.to_owned(), lock)?;
        // In doubt, the old mark stays: it is the evidence.
        writer.keeps_mark = open_as == OpenAs::Daemon && doubt.is_none();
        writer.mark();
        Ok((writer, reader))
    }

    /// Whether a daemon holds the ledger just now.
    pub fn is_held(&self) -> bool {
        open::is_held(&self.path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    ) -> Reply<'_, T> {
        let reads = match &self.hands {
            Hands::Threads { reads, .. } => reads,
            Hands::Callers(desk) => return Box::pin(async move { ask(&locked(desk).reader) }),
        };
        let (answer, answered) = oneshot::channel();
        let sent = reads.send(Box::new(move |conn| {
            // Nobody waits any more if this fails, and then nobody needs the answer.
            let _ = answer.send(ask(conn));
        }));
        Box::pin(async move {
            sent.map_err(|_| LedgerError::Gone)?;
            answered.await.map_err(|_| LedgerError::Gone)?
        })
    }

    /// What only the daemon may do: states and the record are its own.
    fn write<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Tx<'_>) -> Result<T, LedgerError> + Send + 'static,
    ) -> Reply<'_, T> {
        match self.opened_as {
            OpenAs::Daemon => self.append(act),
            OpenAs::Guest => Box::pin(async move {
                Err(LedgerError::Unfit {
                    why: format!(
                        "only the daemon writes states and the record of {}; a command beside it may only append to the inbox",
                        self.path.display()
                    ),
                })
            }),
        }
    }

    /// What a guest may do as well.
    fn append<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Tx<'_>) -> Result<T, LedgerError> + Send + 'static,
    ) -> Reply<'_, T> {
        let (answer, answered) = oneshot::channel();
        let job: WriteJob = Box::new(move |tx| {
            let result = act(tx);
            Finish {
                stands: result.is_ok(),
                tell: Box::new(move |committed| {
                    let _ = answer.send(committed.and(result));
                }),
            }
        });
        let desk = match &self.hands {
            Hands::Threads { writes, .. } => {
                let sent = writes.send(job);
                return Box::pin(async move {
                    sent.map_err(|_| LedgerError::Gone)?;
                    answered.await.map_err(|_| LedgerError::Gone)?
                });
            }
            Hands::Callers(desk) => desk,
        };
        Box::pin(async move {
            locked(desk).waiting.push(job);
            // Others may come before the commit, and share it.
            tokio::task::yield_now().await;
            locked(desk).commit();
            answered.await.map_err(|_| LedgerError::Gone)?
        })
    }
}

fn locked(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    fn commit(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        while !waiting.is_empty() {
            let rest = waiting.split_off(waiting.len().min(LARGEST_COMMIT));
            self.writer.commit(waiting);
            waiting = rest;
        }
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), LedgerError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map(drop)
        .map_err(|error| LedgerError::Failed(error.to_string()))
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<serde_json::Error> for LedgerError {
    fn from(error: serde_json::Error) -> Self {
        Self::Failed(format!("a cell of the ledger cannot be read: {error}"))
    }
}

/// What writes.
struct Writer {
    conn: Connection,
    path: PathBuf,
    ledger_id: String,
    head: Hash,
    block: i64,
    rolling: rolling::Rolling,
    present: Present,
    keeps_mark: bool,
    marked: i64,
    _lock: Option<File>,
}

/// One transaction, as the jobs see it.
struct Tx<'w> {
    conn: &'w Connection,
    rolling: &'w mut rolling::Rolling,
    present: &'w mut Present,
    /// Hashes of the events of this commit, for its block.
    hashes: Vec<Hash>,
    /// The number that its block will have.
    block: i64,
    /// Set when a person trusts the ledger: the mark may be written from now on.
    trusted: bool,
    /// Set when a write that was counted turned out never to have been sent.
    recount: bool,
}

impl Writer {
    fn new(conn: Connection, path: PathBuf, lock: Option<File>) -> Result<Self, LedgerError> {
        let ledger_id = open::meta(&conn, "ledger_id")?.unwrap_or_default();
        let (block, head) = last_block(&conn)?;
        let rolling = rolling::Rolling::load(&conn)?;
        Ok(Self {
            conn,
            path,
            ledger_id,
            head,
            block,
            rolling,
            present: Present::default(),
            keeps_mark: false,
            marked: -1,
            _lock: lock,
        })
    }

    fn run(&mut self, jobs: &mpsc::Receiver<WriteJob>) {
        while let Ok(first) = jobs.recv() {
            let mut batch = vec![first];
            while batch.len() < LARGEST_COMMIT {
                match jobs.try_recv() {
                    Ok(job) => batch.push(job),
                    Err(_) => break,
                }
            }
            self.commit(batch);
        }
    }

    /// Runs a batch in one transaction and tells everybody how it went.
    fn commit(&mut self, batch: Vec<WriteJob>) {
        let mut tells = Vec::with_capacity(batch.len());
        let result = self.transact(batch, &mut tells);
        let failure = result.err().map(|error| error.to_string());
        if failure.is_some() {
            // Leaving a transaction open would make every later batch fail with it.
            let _ = self.conn.execute_batch("ROLLBACK");
            if let Ok(rolling) = rolling::Rolling::load(&self.conn) {
                self.rolling = rolling;
            }
            if let Ok((block, head)) = last_block(&self.conn) {
                (self.block, self.head) = (block, head);
            }
        } else {
            self.mark();
        }
        let told = planted!(CommitFailureHidden, None, failure);
        for tell in tells {
            tell(
                told.clone()
                    .map_or(Ok(()), |why| Err(LedgerError::Failed(why))),
            );
        }
    }

    fn transact(&mut self, batch: Vec<WriteJob>, tells: &mut Vec<Tell>) -> Result<(), LedgerError> {
        let begun = self.conn.execute_batch("BEGIN IMMEDIATE");
        let mut tx = Tx {
            conn: &self.conn,
            rolling: &mut self.rolling,
            present: &mut self.present,
            hashes: Vec::new(),
            block: self.block + 1,
            trusted: false,
            recount: false,
        };
        let mut failed = begun.err();
        for job in batch {
            if failed.is_none() {
                failed = tx.run(job, tells).err();
            } else {
                // The job still has somebody to tell; it runs into the same failure.
                tells.push(job(&mut tx).tell);
            }
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
        let Tx {
            hashes,
            trusted,
            recount,
            ..
        } = tx;
        if !hashes.is_empty() {
            let head = chain::block_hash(&self.head, &hashes);
            self.conn
                .prepare_cached("INSERT INTO blocks (number, hash) VALUES (?1, ?2)")?
                .execute((self.block + 1, head.as_slice()))?;
            self.conn.execute_batch("COMMIT")?;
            self.block += 1;
            self.head = head;
        } else {
            self.conn.execute_batch("COMMIT")?;
        }
        self.rolling.keep();
        if recount && let Ok(rolling) = rolling::Rolling::load(&self.conn) {
            self.rolling = rolling;
        }
        self.keeps_mark |= trusted;
        Ok(())
    }

    /// Writes down beside the database how far it has come.
    fn mark(&mut self) {
        if !self.keeps_mark || self.marked == self.block {
            return;
        }
        let mark = Mark {
            ledger_id: self.ledger_id.clone(),
            head: super::Head {
                block: self.block,
                hash: crate::model::terms::hex(&self.head),
            },
        };
        match open::write_mark(&self.path, &mark) {
            Ok(()) => self.marked = self.block,
            Err(error) => tracing::warn!(
                %error,
                "cannot write the mark beside the ledger; a restored copy would not be noticed"
            ),
        }
    }
}

/// Rows of what a revision that is being accepted has, as far as it was taken in: what of the others
/// is open has gone from the file. A revision is taken in whole by one process, or again from its
/// beginning, so that this needs no room on the disk; what a failed batch left here comes again too.
#[derive(Default)]
struct Present {
    revision: i64,
    /// A bit for each row.
    rows: Vec<u64>,
}

impl Present {
    fn note(&mut self, revision: i64, row: i64) {
        if self.revision != revision {
            self.revision = revision;
            self.rows.clear();
        }
        let (word, bit) = Self::place(row);
        if self.rows.len() <= word {
            self.rows.resize(word + 1, 0);
        }
        self.rows[word] |= bit;
    }

    fn has(&self, revision: i64, row: i64) -> bool {
        let (word, bit) = Self::place(row);
        let of_word = self.rows.get(word).copied().unwrap_or(0);
        self.revision == revision && of_word & bit != 0
    }

    const fn place(row: i64) -> (usize, u64) {
        (row.unsigned_abs() as usize / 64, 1 << (row % 64))
    }
}

fn last_block(conn: &Connection) -> Result<(i64, Hash), LedgerError> {
    use rusqlite::OptionalExtension as _;
    let found: Option<(i64, Vec<u8>)> = conn
        .query_row(
            "SELECT number, hash FROM blocks ORDER BY number DESC LIMIT 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    match found {
        None => Ok((0, chain::GENESIS)),
        Some((number, hash)) => Ok((number, rows::hash(&hash)?)),
    }
}

impl Tx<'_> {
    /// Runs one job under a savepoint: what fails leaves nothing behind.
    fn run(&mut self, job: WriteJob, tells: &mut Vec<Tell>) -> rusqlite::Result<()> {
        self.conn.execute_batch("SAVEPOINT job")?;
        let (hashes, pending) = (self.hashes.len(), self.rolling.pending());
        let Finish { stands, tell } = job(self);
        tells.push(tell);
        if !stands {
            self.conn.execute_batch("ROLLBACK TO job")?;
            self.hashes.truncate(hashes);
            self.rolling.forget_from(pending);
        }
        self.conn.execute_batch("RELEASE job")
    }
}

/// The length of a day of UTC, in milliseconds.
const DAY: i64 = 24 * 60 * 60 * 1000;

/// Milliseconds since 1970.
fn millis(at: DateTime<Utc>) -> i64 {
    at.timestamp_millis()
}
