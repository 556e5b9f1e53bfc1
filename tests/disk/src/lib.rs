//! A disk in memory under SQLite, for the simulation: what was not synced is lost at a crash,
//! or half of it is; every operation can fail; and the power can go at any write or sync.
//!
//! [`Disk::mount`] makes SQLite keep every database below a folder on that disk. Once the power
//! has gone, whatever still holds the disk gets I/O errors, as from a machine that is off;
//! [`Disk::power_on`] gives it back with what survived.
//!
//! The C interface is in `vfs`, and only there is anything unsafe.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

mod vfs;

/// What a write may tear: a disk writes a sector whole or not at all.
const SECTOR: usize = 512;

/// What files hold, by their paths; shared until one of them is written to.
pub type Image = BTreeMap<String, Arc<Vec<u8>>>;

/// A folder's disk.
#[derive(Clone)]
pub struct Disk {
    folder: PathBuf,
    state: Arc<Mutex<State>>,
}

/// What goes wrong on the disk until it is told otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    #[default]
    None,
    /// No room: a file cannot grow.
    Full,
    /// Every write and sync fails.
    Broken,
}

/// Where the power goes: before or after the n-th sync, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerCut {
    /// What this sync would have made durable may be lost.
    BeforeSync(u64),
    /// It is durable, and nobody hears of it.
    AfterSync(u64),
}

/// What else happens at one sync, counted from 1.
#[derive(Clone)]
pub enum AtSync {
    /// It fails, once, and what it would have made durable is not.
    Fails(u64),
    /// Something takes place while it lasts, such as hours that go by.
    Meanwhile(u64, Arc<dyn Fn() + Send + Sync>),
}

/// Which of the unsynced sectors survive a power cut.
#[derive(Clone, Debug)]
pub enum Survives {
    /// None: the cache is gone.
    Nothing,
    /// All: only the process died.
    Everything,
    /// Each by the toss of a coin, so that writes are torn.
    ByChance(fastrand::Rng),
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Arc<Mutex<File>>>,
    trouble: Trouble,
    cut: Option<PowerCut>,
    at_sync: Option<AtSync>,
    syncs: u64,
    off: bool,
}

/// One file: as the process sees it, and as the platter has it.
#[derive(Debug, Default)]
pub(crate) struct File {
    live: Arc<Vec<u8>>,
    durable: Arc<Vec<u8>>,
    /// What was done since the last sync, in order.
    pending: Vec<Change>,
    locks: vfs::Locks,
}

#[derive(Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate(usize),
}

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    Full,
    Broken,
}

/// The disks that are mounted.
static MOUNTED: Mutex<BTreeMap<PathBuf, Disk>> = Mutex::new(BTreeMap::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk {
    /// A new disk for a folder. From now on SQLite keeps what lies directly in the folder on it.
    pub fn mount(folder: &Path) -> Self {
        vfs::install();
        let disk = Self {
            folder: folder.to_owned(),
            state: Arc::default(),
        };
        lock(&MOUNTED).insert(folder.to_owned(), disk.clone());
        disk
    }

    /// Takes the disk out; what is open goes on.
    pub fn unmount(&self) {
        lock(&MOUNTED).remove(&self.folder);
    }

    /// The disk of a file's folder.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        lock(&MOUNTED).get(path.parent()?).cloned()
    }

    /// From now on this goes wrong.
    pub fn trouble(&self, trouble: Trouble) {
        lock(&self.state).trouble = trouble;
    }

    /// The power will go there.
    pub fn cut_power_at(&self, cut: PowerCut) {
        lock(&self.state).cut = Some(cut);
    }

    /// This will happen there.
    pub fn at_sync(&self, what: AtSync) {
        lock(&self.state).at_sync = Some(what);
    }

    /// The power goes now.
    pub fn cut_power(&self) {
        lock(&self.state).off = true;
    }

    /// Whether the power is gone.
    pub fn is_off(&self) -> bool {
        lock(&self.state).off
    }

    /// Syncs since the disk was made.
    pub fn syncs(&self) -> u64 {
        lock(&self.state).syncs
    }

    /// The power comes back. Whoever held the disk before holds one that is off for ever.
    #[must_use]
    pub fn power_on(&self, survives: &mut Survives) -> Self {
        let mut old = lock(&self.state);
        old.off = true;
        let files = old
            .files
            .iter()
            .map(|(name, file)| (name.clone(), lock(file).after_power_cut(survives)))
            .map(|(name, bytes)| (name, Arc::new(Mutex::new(File::of(bytes)))))
            .collect();
        let disk = Self {
            folder: self.folder.clone(),
            state: Arc::new(Mutex::new(State {
                files,
                syncs: old.syncs,
                ..State::default()
            })),
        };
        drop(old);
        lock(&MOUNTED).insert(self.folder.clone(), disk.clone());
        disk
    }

    /// What would be found of every file if the power went now and nothing unsynced survived.
    pub fn durable(&self) -> Image {
        let files = lock(&self.state).files.clone();
        let bytes = |file: &Arc<Mutex<File>>| Arc::clone(&lock(file).durable);
        files
            .iter()
            .map(|(name, file)| (name.clone(), bytes(file)))
            .collect()
    }

    /// Every byte as a process would read it now.
    pub fn live(&self) -> Image {
        let files = lock(&self.state).files.clone();
        let bytes = |file: &Arc<Mutex<File>>| Arc::clone(&lock(file).live);
        files
            .iter()
            .map(|(name, file)| (name.clone(), bytes(file)))
            .collect()
    }

    /// Puts files there, as a restore from a copy does. All others are gone.
    pub fn restore(&self, files: &Image) {
        let files = files.iter().map(|(name, bytes)| {
            let file = File::of(Arc::clone(bytes));
            (name.clone(), Arc::new(Mutex::new(file)))
        });
        lock(&self.state).files = files.collect();
    }

    pub(crate) fn open(&self, name: &str, create: bool) -> Option<Arc<Mutex<File>>> {
        let mut state = lock(&self.state);
        if state.off {
            return None;
        }
        if create {
            return Some(Arc::clone(state.files.entry(name.to_owned()).or_default()));
        }
        state.files.get(name).cloned()
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        lock(&self.state).files.contains_key(name)
    }

    pub(crate) fn delete(&self, name: &str) -> Result<(), Failed> {
        let mut state = lock(&self.state);
        state.may_change()?;
        state.files.remove(name);
        Ok(())
    }

    pub(crate) fn may_read(&self) -> Result<(), Failed> {
        if lock(&self.state).off {
            return Err(Failed::Broken);
        }
        Ok(())
    }

    pub(crate) fn write(&self, file: &Mutex<File>, at: usize, bytes: &[u8]) -> Result<(), Failed> {
        let state = lock(&self.state);
        state.may_change()?;
        let mut file = lock(file);
        if state.trouble == Trouble::Full && at + bytes.len() > file.live.len() {
            return Err(Failed::Full);
        }
        file.write(at, bytes);
        Ok(())
    }

    pub(crate) fn truncate(&self, file: &Mutex<File>, len: usize) -> Result<(), Failed> {
        lock(&self.state).may_change()?;
        lock(file).truncate(len);
        Ok(())
    }

    pub(crate) fn sync(&self, file: &Mutex<File>) -> Result<(), Failed> {
        let mut state = lock(&self.state);
        state.may_change()?;
        state.syncs += 1;
        if state.cut == Some(PowerCut::BeforeSync(state.syncs)) {
            state.off = true;
            return Err(Failed::Broken);
        }
        match &state.at_sync {
            Some(AtSync::Fails(at)) if *at == state.syncs => return Err(Failed::Broken),
            Some(AtSync::Meanwhile(at, what)) if *at == state.syncs => what(),
            _ => {}
        }
        lock(file).sync();
        if state.cut == Some(PowerCut::AfterSync(state.syncs)) {
            state.off = true;
            return Err(Failed::Broken);
        }
        Ok(())
    }
}

impl State {
    fn may_change(&self) -> Result<(), Failed> {
        if self.off || self.trouble == Trouble::Broken {
            return Err(Failed::Broken);
        }
        Ok(())
    }
}

impl File {
    fn of(bytes: Arc<Vec<u8>>) -> Self {
        Self {
            live: Arc::clone(&bytes),
            durable: bytes,
            ..Self::default()
        }
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        put(Arc::make_mut(&mut self.live), at, bytes);
        self.pending.push(Change::Write {
            at,
            bytes: bytes.to_owned(),
        });
    }

    fn truncate(&mut self, len: usize) {
        Arc::make_mut(&mut self.live).truncate(len);
        self.pending.push(Change::Truncate(len));
    }

    fn sync(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let durable = Arc::make_mut(&mut self.durable);
        for change in self.pending.drain(..) {
            match change {
                Change::Truncate(len) => durable.truncate(len),
                Change::Write { at, bytes } => put(durable, at, &bytes),
            }
        }
    }

    pub(crate) fn read(&self, at: usize, into: &mut [u8]) -> usize {
        let there = self.live.get(at..).unwrap_or_default();
        let count = there.len().min(into.len());
        into[..count].copy_from_slice(&there[..count]);
        into[count..].fill(0);
        count
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    pub(crate) fn locks(&mut self) -> &mut vfs::Locks {
        &mut self.locks
    }

    /// What is on the platter once the power has gone.
    fn after_power_cut(&self, survives: &mut Survives) -> Arc<Vec<u8>> {
        match survives {
            Survives::Nothing => Arc::clone(&self.durable),
            Survives::Everything => Arc::clone(&self.live),
            Survives::ByChance(random) => {
                let mut found = Vec::clone(&self.durable);
                for change in &self.pending {
                    match change {
                        Change::Truncate(len) if random.bool() => found.truncate(*len),
                        Change::Truncate(_) => {}
                        Change::Write { at, bytes } => {
                            for (number, sector) in bytes.chunks(SECTOR).enumerate() {
                                if random.bool() {
                                    put(&mut found, at + number * SECTOR, sector);
                                }
                            }
                        }
                    }
                }
                Arc::new(found)
            }
        }
    }
}

fn put(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[at..end].copy_from_slice(bytes);
}
