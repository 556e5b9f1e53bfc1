//! The C interface: SQLite's file methods over a [`Disk`].
//!
//! Every function here is called by SQLite alone, with a file that `open` has made and that
//! `close` has not yet unmade, from one thread at a time for each connection.

#![expect(
    unsafe_code,
    reason = "SQLite is written in C, and calls these functions"
)]

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once};

use rusqlite::ffi;

use crate::{Disk, Failed, File, lock};

/// What SQLite's own memory-mapped index uses.
const REGION: usize = 32 * 1024;

/// SQLite locks eight slots of the index.
const SLOTS: usize = 8;

/// Who holds what of one file.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    /// By handle: `SQLITE_LOCK_SHARED` and above.
    levels: BTreeMap<u64, c_int>,
    /// By slot: who shares it, and who has it alone.
    shared: [Vec<u64>; SLOTS],
    alone: [Option<u64>; SLOTS],
    /// The index that all connections share. Boxed, so that addresses stay.
    regions: Vec<Box<[u8]>>,
    /// Handles that have mapped it.
    mapped: Vec<u64>,
}

struct Handle {
    disk: Option<Disk>,
    file: Arc<Mutex<File>>,
    name: String,
    number: u64,
    delete_on_close: bool,
}

#[repr(C)]
struct Opened {
    base: ffi::sqlite3_file,
    handle: *mut Handle,
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock_file),
    xUnlock: Some(unlock_file),
    xCheckReservedLock: Some(check_reserved),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// Makes this the file system that SQLite uses, once.
pub(crate) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let vfs = Box::leak(Box::new(ffi::sqlite3_vfs {
            iVersion: 2,
            szOsFile: size_of::<Opened>() as c_int,
            mxPathname: 1024,
            pNext: std::ptr::null_mut(),
            zName: c"simulated".as_ptr(),
            pAppData: std::ptr::null_mut(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_path),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: Some(current_time),
            xGetLastError: Some(last_error),
            xCurrentTimeInt64: Some(current_time_int),
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        }));
        // SAFETY: `vfs` is leaked and so lives as long as the process; SQLite is threadsafe.
        let registered = unsafe { ffi::sqlite3_vfs_register(vfs, 1) };
        assert_eq!(registered, ffi::SQLITE_OK, "SQLite takes a file system");
    });
}

/// # Safety
/// `file` was filled by [`open`] and not yet closed.
unsafe fn handle<'h>(file: *mut ffi::sqlite3_file) -> &'h Handle {
    // SAFETY: `open` put a pointer from `Box::into_raw` there, which `close` alone takes back.
    unsafe { &*(*file.cast::<Opened>()).handle }
}

fn code(result: Result<(), Failed>, broken: c_int) -> c_int {
    match result {
        Ok(()) => ffi::SQLITE_OK,
        Err(Failed::Full) => ffi::SQLITE_FULL,
        Err(Failed::Broken) => broken,
    }
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    // SAFETY: SQLite gives `szOsFile` bytes; without methods it calls nothing on them.
    unsafe { (*file).pMethods = std::ptr::null() };
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    let opened = if name.is_null() {
        // A temporary file: nobody else's, and gone when it is closed.
        Some((None, Arc::default(), String::new()))
    } else {
        // SAFETY: SQLite's names are C strings.
        let name = unsafe { CStr::from_ptr(name) }
            .to_string_lossy()
            .into_owned();
        let disk = Disk::of(Path::new(&name));
        let create = flags & ffi::SQLITE_OPEN_CREATE != 0;
        disk.and_then(|disk| Some((disk.open(&name, create)?, disk)))
            .map(|(file, disk)| (Some(disk), file, name))
    };
    let Some((disk, inner, name)) = opened else {
        return ffi::SQLITE_CANTOPEN;
    };
    let boxed = Box::new(Handle {
        disk,
        file: inner,
        name,
        number,
        delete_on_close: flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0,
    });
    // SAFETY: as above, the memory is ours to fill.
    unsafe {
        (*file.cast::<Opened>()).handle = Box::into_raw(boxed);
        (*file).pMethods = &raw const METHODS;
        if !out_flags.is_null() {
            *out_flags = flags;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: `open` made it with `Box::into_raw`, and SQLite closes once.
    let handle = unsafe { Box::from_raw((*file.cast::<Opened>()).handle) };
    let mut inner = lock(&handle.file);
    inner.locks().let_go(handle.number);
    drop(inner);
    if handle.delete_on_close
        && let Some(disk) = &handle.disk
    {
        let _ = disk.delete(&handle.name);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    into: *mut c_void,
    amount: c_int,
    at: i64,
) -> c_int {
    // SAFETY: an open file, and a buffer of `amount` bytes.
    let (handle, into) = unsafe {
        (
            handle(file),
            std::slice::from_raw_parts_mut(into.cast::<u8>(), amount as usize),
        )
    };
    if let Some(disk) = &handle.disk
        && disk.may_read().is_err()
    {
        return ffi::SQLITE_IOERR_READ;
    }
    let count = lock(&handle.file).read(at as usize, into);
    if count == into.len() {
        ffi::SQLITE_OK
    } else {
        ffi::SQLITE_IOERR_SHORT_READ
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    amount: c_int,
    at: i64,
) -> c_int {
    // SAFETY: an open file, and a buffer of `amount` bytes.
    let (handle, from) = unsafe {
        (
            handle(file),
            std::slice::from_raw_parts(from.cast::<u8>(), amount as usize),
        )
    };
    match &handle.disk {
        Some(disk) => code(
            disk.write(&handle.file, at as usize, from),
            ffi::SQLITE_IOERR_WRITE,
        ),
        None => {
            lock(&handle.file).write(at as usize, from);
            ffi::SQLITE_OK
        }
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    match &handle.disk {
        Some(disk) => code(
            disk.truncate(&handle.file, size as usize),
            ffi::SQLITE_IOERR_TRUNCATE,
        ),
        None => {
            lock(&handle.file).truncate(size as usize);
            ffi::SQLITE_OK
        }
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    handle.disk.as_ref().map_or(ffi::SQLITE_OK, |disk| {
        code(disk.sync(&handle.file), ffi::SQLITE_IOERR_FSYNC)
    })
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, size: *mut i64) -> c_int {
    // SAFETY: an open file, and a place for the answer.
    unsafe { *size = lock(&handle(file).file).len() as i64 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn lock_file(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    lock(&handle.file).locks().raise(handle.number, level)
}

unsafe extern "C" fn unlock_file(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    lock(&handle.file).locks().lower(handle.number, level);
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved(file: *mut ffi::sqlite3_file, result: *mut c_int) -> c_int {
    // SAFETY: an open file, and a place for the answer.
    unsafe {
        let handle = handle(file);
        *result = c_int::from(lock(&handle.file).locks().reserved());
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(_: *mut ffi::sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_: *mut ffi::sqlite3_file) -> c_int {
    crate::SECTOR as c_int
}

/// Nothing is promised: neither that a page is written whole nor in what order.
unsafe extern "C" fn characteristics(_: *mut ffi::sqlite3_file) -> c_int {
    0
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    debug_assert_eq!(size as usize, REGION);
    // SAFETY: an open file, and a place for the answer. The address stays good, since a
    // region is boxed and let go only when nobody has it mapped.
    unsafe {
        let handle = handle(file);
        let mut inner = lock(&handle.file);
        let found = inner
            .locks()
            .map(handle.number, region as usize, extend != 0);
        *out = found.map_or(std::ptr::null_mut(), |region| {
            region.as_mut_ptr().cast::<c_void>()
        });
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn shm_lock(
    file: *mut ffi::sqlite3_file,
    offset: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    let slots = offset as usize..(offset + count) as usize;
    let mut inner = lock(&handle.file);
    let locks = inner.locks();
    if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
        locks.unlock_slots(handle.number, slots);
        ffi::SQLITE_OK
    } else if flags & ffi::SQLITE_SHM_EXCLUSIVE != 0 {
        locks.take_slots(handle.number, slots)
    } else {
        locks.share_slots(handle.number, slots)
    }
}

unsafe extern "C" fn shm_barrier(_: *mut ffi::sqlite3_file) {
    std::sync::atomic::fence(Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    lock(&handle.file).locks().unmap(handle.number);
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, name: *const c_char, _: c_int) -> c_int {
    // SAFETY: SQLite's names are C strings.
    let name = unsafe { CStr::from_ptr(name) }
        .to_string_lossy()
        .into_owned();
    match Disk::of(Path::new(&name)) {
        Some(disk) if !disk.exists(&name) => ffi::SQLITE_IOERR_DELETE_NOENT,
        Some(disk) => code(disk.delete(&name), ffi::SQLITE_IOERR_DELETE),
        None => ffi::SQLITE_IOERR_DELETE,
    }
}

unsafe extern "C" fn access(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    _: c_int,
    result: *mut c_int,
) -> c_int {
    // SAFETY: SQLite's names are C strings, and there is a place for the answer.
    unsafe {
        let name = CStr::from_ptr(name).to_string_lossy().into_owned();
        let there = Disk::of(Path::new(&name)).is_some_and(|disk| disk.exists(&name));
        *result = c_int::from(there);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_path(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: a C string, and `room` bytes to copy it to.
    unsafe {
        let bytes = CStr::from_ptr(name).to_bytes_with_nul();
        if bytes.len() > room as usize {
            return ffi::SQLITE_CANTOPEN;
        }
        std::ptr::copy_nonoverlapping(bytes.as_ptr().cast(), out, bytes.len());
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn randomness(_: *mut ffi::sqlite3_vfs, count: c_int, out: *mut c_char) -> c_int {
    // SAFETY: `count` bytes to fill.
    let out = unsafe { std::slice::from_raw_parts_mut(out.cast::<u8>(), count as usize) };
    fastrand::fill(out);
    count
}

unsafe extern "C" fn sleep(_: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    std::thread::yield_now();
    microseconds
}

unsafe extern "C" fn current_time(_: *mut ffi::sqlite3_vfs, now: *mut f64) -> c_int {
    // SAFETY: a place for the answer.
    unsafe { *now = 2_461_000.0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn current_time_int(_: *mut ffi::sqlite3_vfs, now: *mut i64) -> c_int {
    // SAFETY: a place for the answer.
    unsafe { *now = 2_461_000 * 86_400_000 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn last_error(_: *mut ffi::sqlite3_vfs, _: c_int, _: *mut c_char) -> c_int {
    0
}

impl Locks {
    fn others(&self, number: u64) -> impl Iterator<Item = c_int> {
        self.levels
            .iter()
            .filter(move |(other, _)| **other != number)
            .map(|(_, level)| *level)
    }

    fn raise(&mut self, number: u64, level: c_int) -> c_int {
        let highest = self.others(number).max().unwrap_or(ffi::SQLITE_LOCK_NONE);
        let free = match level {
            ffi::SQLITE_LOCK_SHARED => highest < ffi::SQLITE_LOCK_PENDING,
            ffi::SQLITE_LOCK_RESERVED | ffi::SQLITE_LOCK_PENDING => {
                highest < ffi::SQLITE_LOCK_RESERVED
            }
            _ => highest == ffi::SQLITE_LOCK_NONE,
        };
        if !free {
            return ffi::SQLITE_BUSY;
        }
        let held = self.levels.entry(number).or_default();
        *held = level.max(*held);
        ffi::SQLITE_OK
    }

    fn lower(&mut self, number: u64, level: c_int) {
        if level == ffi::SQLITE_LOCK_NONE {
            self.levels.remove(&number);
        } else if let Some(held) = self.levels.get_mut(&number) {
            *held = level.min(*held);
        }
    }

    fn reserved(&self) -> bool {
        self.levels
            .values()
            .any(|level| *level >= ffi::SQLITE_LOCK_RESERVED)
    }

    fn map(&mut self, number: u64, region: usize, extend: bool) -> Option<&mut Box<[u8]>> {
        if !self.mapped.contains(&number) {
            self.mapped.push(number);
        }
        while extend && self.regions.len() <= region {
            self.regions.push(vec![0; REGION].into_boxed_slice());
        }
        self.regions.get_mut(region)
    }

    fn unmap(&mut self, number: u64) {
        self.unlock_slots(number, 0..SLOTS);
        self.mapped.retain(|other| *other != number);
        if self.mapped.is_empty() {
            self.regions.clear();
        }
    }

    fn unlock_slots(&mut self, number: u64, slots: std::ops::Range<usize>) {
        for slot in slots {
            self.shared[slot].retain(|other| *other != number);
            self.alone[slot] = self.alone[slot].filter(|other| *other != number);
        }
    }

    fn share_slots(&mut self, number: u64, slots: std::ops::Range<usize>) -> c_int {
        let taken = |slot: usize| self.alone[slot].is_some_and(|other| other != number);
        if slots.clone().any(taken) {
            return ffi::SQLITE_BUSY;
        }
        for slot in slots {
            self.shared[slot].push(number);
        }
        ffi::SQLITE_OK
    }

    fn take_slots(&mut self, number: u64, slots: std::ops::Range<usize>) -> c_int {
        let taken = |slot: usize| {
            self.alone[slot].is_some_and(|other| other != number)
                || self.shared[slot].iter().any(|other| *other != number)
        };
        if slots.clone().any(taken) {
            return ffi::SQLITE_BUSY;
        }
        for slot in slots {
            self.alone[slot] = Some(number);
        }
        ffi::SQLITE_OK
    }

    fn let_go(&mut self, number: u64) {
        self.levels.remove(&number);
        self.unmap(number);
    }
}
