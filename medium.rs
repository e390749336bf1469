// SPDX-License-Identifier: GPL-2.0

//! What a RAM disk has under its requests: how large it is, what it may do, its memory and its cache. And what
//! of that stays when the disk goes.

#![forbid(unsafe_code)]

use crate::{
    badblocks::BadBlocks,
    cache::{
        PowerCut,
        WriteCache, //
    },
    device::{
        Config,
        RamDiskOperations,
        SECTORS_PER_MIB, //
    },
    limits::SECTOR_SHIFT,
    ramstore::RamStore,
    request::{
        Operation,
        Request,
        Status, //
    },
    segment::{
        self,
        FromDevice,
        Segment,
        ToDevice, //
    },
    snapshots::Snapshots,
    store::{
        Data,
        Growth,
        Store,
        StoreKind, //
    },
    thinstore::Usage,
    writelog::{
        Write,
        WriteLog, //
    },
};
use core::ops::Range;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
};

/// What of a RAM disk stays while its power is off.
#[pin_data]
pub(crate) struct Kept {
    pub(crate) bad_blocks: BadBlocks,
    #[pin]
    pub(crate) snapshots: Snapshots,
    /// Also while the power is on.
    #[pin]
    usage: Mutex<Option<Usage>>,
    /// Also while the power is on.
    #[pin]
    log: Mutex<Option<Arc<WriteLog>>>,
    #[pin]
    store: Mutex<Option<Store>>,
}

impl Kept {
    /// Nothing yet.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let init = try_pin_init!(Self {
            bad_blocks: BadBlocks::new()?,
            snapshots <- Snapshots::new(),
            usage <- new_mutex!(None),
            log <- new_mutex!(None),
            store <- new_mutex!(None),
        }? Error);
        Arc::pin_init(init, GFP_KERNEL)
    }

    /// Gives the memory back.
    pub(crate) fn forget(&self) {
        self.snapshots.clear();
        let log = self.log.lock().take();
        drop(log);
        self.forget_store();
    }

    /// Gives the memory back, but for that of the snapshots.
    pub(crate) fn forget_store(&self) {
        *self.usage.lock() = None;
        let store = self.store.lock().take();
        drop(store);
    }

    /// Takes a snapshot while the power is off.
    ///
    /// # Errors
    ///
    /// `ENXIO` if nothing is kept; those of [`Store::try_clone`] and [`Snapshots::add`].
    pub(crate) fn take_snapshot(&self, name: &CStr) -> Result {
        self.with_store(|store| self.snapshots.add(name, || store.try_clone()))
    }

    /// Calls `f` with what is kept; without the lock, which is taken also where nobody may wait for memory. Not for two
    /// tasks at once.
    fn with_store(&self, f: impl FnOnce(&Store) -> Result) -> Result {
        let store = self.store.lock().take().ok_or(ENXIO)?;
        let done = f(&store);
        *self.store.lock() = Some(store);
        done
    }

    /// Calls `f`, which makes a disk. If it fails, and nothing was kept before, nothing is kept then, either.
    pub(crate) fn unless_it_fails<R>(&self, f: impl FnOnce() -> Result<R>) -> Result<R> {
        if !self.is_empty() {
            return f();
        }
        let usage = self.usage.lock().clone();
        f().inspect_err(|_| {
            self.forget_store();
            *self.usage.lock() = usage;
        })
    }

    /// Keeps the store for when the power comes on.
    pub(crate) fn keep(&self, store: Store) {
        *self.usage.lock() = store.usage();
        if let Some(log) = self.log() {
            log.clear();
        }
        let old = self.store.lock().replace(store);
        drop(old);
    }

    /// From now on this is how much memory the device has, and may have. Gives what it was.
    fn account(&self, usage: Option<Usage>, limit_mib: Option<usize>) -> Option<Usage> {
        if let Some(usage) = &usage {
            usage.set_limit(limit_mib, self);
        }
        core::mem::replace(&mut *self.usage.lock(), usage)
    }

    /// The log of what was written.
    pub(crate) fn log(&self) -> Option<Arc<WriteLog>> {
        self.log.lock().clone()
    }

    /// While the power is off, puts what is kept into the state after a write: see [`WriteLog::move_to`].
    ///
    /// # Errors
    ///
    /// `ENXIO` if there is no log, or nothing kept; those of [`WriteLog::move_to`].
    pub(crate) fn cut_at(&self, number: u64) -> Result {
        let log = self.log().ok_or(ENXIO)?;
        self.with_store(|store| log.move_to(store, number))
    }

    /// Whether there is something.
    pub(crate) fn is_empty(&self) -> bool {
        self.store.lock().is_none()
    }

    /// How much memory the device has for data, with its snapshots and what was made of them, in KiB; `None` if that
    /// is its size.
    pub(crate) fn memory_kib(&self) -> Option<usize> {
        self.usage.lock().as_ref().map(Usage::kib)
    }

    /// Whether what it has is also that of a disk whose power is on.
    pub(crate) fn is_shared(&self) -> bool {
        self.store.lock().as_ref().is_some_and(Store::is_shared)
    }

    /// How much memory a disk finds that wants a linear store, in MiB.
    pub(crate) fn linear_mib(&self) -> u64 {
        match &*self.store.lock() {
            // CAST: `u64` is as wide as `usize`.
            Some(Store::Linear(store)) => store.mib() as u64,
            _ => 0,
        }
    }

    /// How large it is.
    pub(crate) fn mib(&self) -> u64 {
        // CAST: `u64` is as wide as `usize`.
        self.store.lock().as_ref().map_or(0, Store::mib) as u64
    }
}

/// What a disk has under its requests. It changes while there are none.
pub(crate) struct Medium {
    capacity_sectors: u64,
    block_bytes: usize,
    read_only: bool,
    discard: bool,
    /// `None` if the disk is not backed by memory: it completes requests and moves no data.
    store: Option<Store>,
    /// The store is another disk's as well, and that one keeps it.
    is_borrowed: bool,
    /// What was kept and is not needed: but only when all has been made it can go.
    unused: Option<Store>,
    /// As large was what was kept, in MiB, if it grew; and room for what it grew by. It shrinks again unless all is made.
    grown_from: Option<(usize, RamStore)>,
    memory_limit_mib: Option<usize>,
    /// `None` if nobody wants to know what is written.
    log: Option<Arc<WriteLog>>,
    /// `None` if what is written is durable at once.
    cache: Option<Pin<KBox<WriteCache>>>,
    /// What was there before the last writes, if somebody may want to read that.
    history: Option<Pin<KBox<WriteCache>>>,
    /// How the power goes.
    power_cut: PowerCut,
    /// Where the store goes when the disk does.
    kept: Arc<Kept>,
}

/// What is needed to make a medium larger or smaller; allocated before requests have to wait, and what is left
/// is freed when they need not any more.
pub(crate) struct SizeChange {
    growth: Option<Growth>,
    /// Takes what is cut off.
    cut: RamStore,
}

impl SizeChange {
    /// Allocates it, for a store of `now_mib` that is to have `mib`. Errors as [`RamStore::new`].
    pub(crate) fn prepare(kind: StoreKind, now_mib: u64, mib: u64, node: i32) -> Result<Self> {
        let size = usize::try_from(mib)?;
        let cut_mib = match kind {
            StoreKind::Linear => usize::try_from(now_mib.saturating_sub(mib))?,
            StoreKind::Thin => 0,
        };
        Ok(Self {
            growth: match mib.checked_sub(now_mib) {
                None | Some(0) => None,
                Some(more) => Some(Store::prepare_growth(
                    kind,
                    usize::try_from(more)?,
                    size,
                    node,
                )?),
            },
            cut: RamStore::with_room(cut_mib)?,
        })
    }
}

/// What is kept changes when a disk is made: not before that, as everything up to there can fail. Dropping it gives back what
/// the disk has no place for.
pub(crate) struct Settlement {
    kept: Arc<Kept>,
    /// Whether [`Medium::give_up_surplus`] has something to do.
    pub(crate) has_surplus: bool,
    /// Takes what is too much.
    surplus: RamStore,
    /// Takes what is not needed at all.
    unused: Option<Store>,
    usage: Option<Usage>,
    memory_limit_mib: Option<usize>,
    log: Option<Arc<WriteLog>>,
}

impl Settlement {
    /// Says what is in force now.
    pub(crate) fn publish(&mut self) {
        self.usage = self.kept.account(self.usage.take(), self.memory_limit_mib);
        core::mem::swap(&mut *self.kept.log.lock(), &mut self.log);
    }
}

fn make_cache(mib: u32, node: i32) -> Result<Option<Pin<KBox<WriteCache>>>> {
    match usize::try_from(mib)? {
        0 => Ok(None),
        mib => WriteCache::new(mib, node).map(Some),
    }
}

impl Medium {
    /// Makes the medium of a new disk, with the data that is in `kept`, or with the store of another disk, which has the
    /// same size.
    pub(crate) fn new(config: &Config, kept: &Arc<Kept>, borrowed: Option<Store>) -> Result<Self> {
        let (mib, node) = (usize::try_from(config.size_mib)?, config.home_node);
        let mut medium = Self {
            capacity_sectors: config.size_mib * SECTORS_PER_MIB,
            // CAST: `usize` is at least as wide as `u32`.
            block_bytes: config.block_size as usize,
            read_only: config.read_only,
            discard: config.discard,
            store: None,
            is_borrowed: borrowed.is_some(),
            unused: None,
            grown_from: None,
            memory_limit_mib: config.memory_limit_mib,
            log: None,
            cache: None,
            history: None,
            power_cut: PowerCut::CLEAN,
            kept: kept.clone(),
        };
        // From here on whatever fails puts the store back, as it was.
        medium.store = kept.store.lock().take();
        if borrowed.is_some() {
            medium.unused = core::mem::replace(&mut medium.store, borrowed);
            return Ok(medium);
        }
        if !config.memory_backed {
            medium.unused = medium.store.take();
            return Ok(medium);
        }
        medium.cache = make_cache(config.cache_mib, node)?;
        medium.history = make_cache(config.history_mib, node)?;
        let kind = config.store;
        let is_as_logged = |store: &Store| store.kind() == kind && store.mib() == mib;
        let kept_log = kept
            .log()
            .filter(|_| medium.store.as_ref().is_some_and(is_as_logged));
        medium.log = match usize::try_from(config.write_log_mib)? {
            0 => None,
            mib => Some(match kept_log {
                Some(log) if log.mib() == mib => log,
                _ => WriteLog::new(mib, node)?,
            }),
        };
        match &mut medium.store {
            Some(store) if store.kind() == kind => match mib.checked_sub(store.mib()) {
                // One that is too large stays so for now: see `give_up_surplus`.
                None | Some(0) => (),
                Some(more) => {
                    let room = match kind {
                        StoreKind::Linear => RamStore::with_room(more)?,
                        StoreKind::Thin => RamStore::with_room(0)?,
                    };
                    let mut growth = Store::prepare_growth(kind, more, mib, node)?;
                    medium.grown_from = Some((store.mib(), room));
                    store.grow(&mut growth)?;
                }
            },
            _ => {
                let store = Store::new(kind, mib, node)?;
                medium.unused = medium.store.replace(store);
            }
        }
        Ok(medium)
    }

    /// What is to be done when the disk is made.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn settlement(&self) -> Result<Settlement> {
        let surplus_mib = match &self.store {
            Some(store) => store.mib().saturating_sub(self.mib()?),
            None => 0,
        };
        let usage = match &self.store {
            Some(store) if !self.is_borrowed => store.usage(),
            _ => self.kept.usage.lock().clone(),
        };
        Ok(Settlement {
            kept: self.kept.clone(),
            has_surplus: surplus_mib != 0 || self.unused.is_some() || self.grown_from.is_some(),
            surplus: match &self.store {
                Some(Store::Linear(_)) => RamStore::with_room(surplus_mib)?,
                _ => RamStore::with_room(0)?,
            },
            unused: None,
            usage,
            memory_limit_mib: self.memory_limit_mib,
            log: self.log.clone(),
        })
    }

    /// The disk is made: gives what it has no place for.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the settlement is not for such a store, `ENOSPC` as [`Store::shrink`]; then nothing has changed.
    pub(crate) fn give_up_surplus(&mut self, settlement: &mut Settlement) -> Result {
        let mib = self.mib()?;
        if let Some(store) = &mut self.store {
            store.shrink(mib, &mut settlement.surplus)?;
        }
        self.grown_from = None;
        settlement.unused = self.unused.take();
        Ok(())
    }

    fn mib(&self) -> Result<usize> {
        Ok(usize::try_from(self.capacity_sectors / SECTORS_PER_MIB)?)
    }

    /// The capacity in sectors of 512 bytes.
    pub(crate) fn capacity_sectors(&self) -> u64 {
        self.capacity_sectors
    }

    /// A copy of the store with its own life: see [`Store::try_clone`].
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is not thin, `ENOMEM`.
    pub(crate) fn clone_store(&self) -> Result<Store> {
        self.store.as_ref().ok_or(EINVAL)?.try_clone()
    }

    /// Puts another store in the place of the one there is; gives that one. All that was written is durable.
    ///
    /// # Errors
    ///
    /// `EBUSY` if it has another size, or another store is there; then all is as it was.
    pub(crate) fn exchange_store(&mut self, new: Store) -> Result<Store> {
        let mib = self.mib()?;
        match &mut self.store {
            Some(store) if store.kind() == new.kind() && new.mib() == mib => {
                // It can have other copies than this one.
                self.kept.account(new.usage(), self.memory_limit_mib);
                let old = core::mem::replace(store, new);
                self.forget_the_past();
                Ok(old)
            }
            _ => Err(EBUSY),
        }
    }

    /// All that was written is durable, and nothing of what was before can come back.
    fn forget_the_past(&self) {
        for cache in [&self.cache, &self.history].into_iter().flatten() {
            cache.flush();
        }
        if let Some(log) = &self.log {
            log.clear();
        }
    }

    /// Another store with the same memory, for another disk.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is not backed by memory, `ENOMEM`.
    pub(crate) fn share_store(&mut self) -> Result<Store> {
        self.store.as_mut().ok_or(EINVAL)?.share()
    }

    /// Whether another disk has the same memory.
    pub(crate) fn is_shared(&self) -> bool {
        self.store.as_ref().is_some_and(Store::is_shared)
    }

    /// Forbids or allows writing.
    pub(crate) fn set_read_only(&mut self, yes: bool) {
        self.read_only = yes;
    }

    /// When the power goes, it shall go this way.
    pub(crate) fn set_power_cut(&mut self, cut: PowerCut) {
        self.power_cut = cut;
    }

    /// Makes it larger or smaller, from `now_mib` to `mib`. All that was written becomes durable.
    ///
    /// # Errors
    ///
    /// `EBUSY` if it has not `now_mib` MiB any more; then it is as it was.
    pub(crate) fn resize(
        &mut self,
        now_mib: u64,
        mib: u64,
        change: Option<&mut SizeChange>,
    ) -> Result {
        let is_as_large = |store: &Store| usize::try_from(now_mib) == Ok(store.mib());
        let is_so_large = self.capacity_sectors == now_mib * SECTORS_PER_MIB
            && self.store.as_ref().is_none_or(is_as_large);
        if !is_so_large {
            return Err(EBUSY);
        }
        if let (Some(store), Some(change)) = (&mut self.store, change) {
            match &mut change.growth {
                Some(growth) => store.grow(growth)?,
                None => store.shrink(usize::try_from(mib)?, &mut change.cut)?,
            }
            self.forget_the_past();
        }
        self.capacity_sectors = mib * SECTORS_PER_MIB;
        Ok(())
    }

    /// Moves the data of a request.
    #[inline(always)]
    pub(crate) fn serve(&self, rq: &Request<RamDiskOperations>, operation: Operation) -> Status {
        let linear = || match &self.store {
            Some(Store::Linear(store)) => Ok(store),
            Some(Store::Thin(_)) => Err(self.serve_thin(rq, operation)),
            None => Err(Status::OK),
        };
        let (sector, bytes) = (rq.sector(), rq.bytes());
        let (into, from) = (|| rq.segments(), || rq.segments());
        self.move_data(linear, operation, sector, bytes, into, from)
    }

    /// As [`Medium::serve`], apart, so that the linear store pays nothing for it.
    #[inline(never)]
    fn serve_thin(&self, rq: &Request<RamDiskOperations>, operation: Operation) -> Status {
        let any = || self.any_store();
        let (sector, bytes) = (rq.sector(), rq.bytes());
        let (into, from) = (|| rq.segments(), || rq.segments());
        self.move_data(any, operation, sector, bytes, into, from)
    }

    /// Whatever store there is, or how requests end without one.
    fn any_store(&self) -> Result<&Store, Status> {
        self.store.as_ref().ok_or(Status::OK)
    }

    /// Moves the data to or from the store that `store` gives, or ends as it says: a read `into` these segments, a write
    /// `from` those.
    #[inline(always)]
    fn move_data<'a, 'rq, S, I, F>(
        &self,
        store: impl FnOnce() -> Result<&'a S, Status>,
        operation: Operation,
        sector: u64,
        bytes: u32,
        into: impl FnOnce() -> I,
        from: impl FnOnce() -> F,
    ) -> Status
    where
        S: Data + 'a,
        I: Iterator<Item = Segment<'rq, FromDevice>>,
        F: Iterator<Item = Segment<'rq, ToDevice>>,
    {
        match operation {
            Operation::Read => self.with_range(store, sector, bytes, |store, position, _| {
                store.read(position, into())
            }),
            // Without a cache each write is where it stays when it ends, so there is nothing to flush, and FUA
            // comes for free.
            Operation::Flush => Status::OK,
            Operation::Write | Operation::Discard | Operation::WriteZeroes if self.read_only => {
                Status::IOERR
            }
            Operation::Write => self.with_range(store, sector, bytes, |store, position, _| {
                store.write(position, from())
            }),
            // What was discarded reads as zeroes.
            Operation::Discard if self.discard => self.with_range(store, sector, bytes, S::zero),
            Operation::WriteZeroes => self.with_range(store, sector, bytes, S::zero),
            _ => Status::NOTSUPP,
        }
    }

    /// Does it to the range of the store, given in bytes. A range that is not within the disk is refused before
    /// the store is asked for.
    #[inline(always)]
    fn with_range<'a, S: 'a>(
        &self,
        store: impl FnOnce() -> Result<&'a S, Status>,
        sector: u64,
        bytes: u32,
        f: impl FnOnce(&S, u64, usize) -> Result,
    ) -> Status {
        let sectors = u64::from(bytes) >> SECTOR_SHIFT;
        match sector.checked_add(sectors) {
            Some(end) if end <= self.capacity_sectors => (),
            _ => return Status::IOERR,
        }
        match store() {
            // CAST: `usize` is at least as wide as `u32`.
            Ok(store) => f(store, sector << SECTOR_SHIFT, bytes as usize).into(),
            Err(status) => status,
        }
    }

    /// As [`Medium::with_range`], of whatever store there is.
    fn with_store(
        &self,
        sector: u64,
        bytes: u32,
        f: impl FnOnce(&Store, u64, usize) -> Result,
    ) -> Status {
        self.with_range(|| self.any_store(), sector, bytes, f)
    }

    /// Moves the first `bytes` bytes of a request's data, through the cache and the log if there are such.
    ///
    /// A write may be one that goes to the wrong `sector`, or that has a bit wrong then: the position of its byte, and its
    /// number there.
    pub(crate) fn serve_first(
        &self,
        rq: &Request<RamDiskOperations>,
        operation: Operation,
        sector: u64,
        bytes: u32,
        wrong_bit: Option<(u64, u32)>,
    ) -> Status {
        let is_logged = operation == Operation::Flush || self.is_change(operation);
        let (Some(log), true) = (&self.log, is_logged) else {
            return self.serve_cached(rq, operation, sector, bytes, wrong_bit);
        };
        // A flush has no place.
        let sector = if operation == Operation::Flush {
            0
        } else {
            sector
        };
        let write = Write {
            operation,
            is_fua: rq.is_fua(),
            sector,
            bytes,
        };
        let mut recording = log.record();
        let begun = self.with_store(sector, bytes, |store, _, _| recording.before(store, write));
        if begun != Status::OK {
            return begun;
        }
        let status = self.serve_cached(rq, operation, sector, bytes, wrong_bit);
        let recorded = self.with_store(sector, bytes, |store, _, _| {
            recording.after(store, status == Status::OK)
        });
        if status != Status::OK {
            return status;
        }
        recorded
    }

    /// As [`Medium::serve_first`], without the log.
    fn serve_cached(
        &self,
        rq: &Request<RamDiskOperations>,
        operation: Operation,
        sector: u64,
        bytes: u32,
        wrong_bit: Option<(u64, u32)>,
    ) -> Status {
        let cache = self.cache.as_ref();
        let is_change = self.is_change(operation);
        if let (Some(history), true) = (&self.history, is_change) {
            let remembered = self.with_store(sector, bytes, |store, position, len| {
                history.remember(store, position, len)
            });
            if remembered != Status::OK {
                return remembered;
            }
        }
        let is_volatile = is_change && operation == Operation::Write && !rq.is_fua();
        let mut noted_before = 0;
        if let (Some(cache), true) = (cache, is_volatile) {
            let noted = self.with_store(sector, bytes, |store, position, len| {
                noted_before = cache.before_write(store, position, len)?;
                Ok(())
            });
            if noted != Status::OK {
                return noted;
            }
        }
        let any = || self.any_store();
        // CAST: `usize` is at least as wide as `u32`.
        let len = bytes as usize;
        let into = || segment::first_bytes(rq.segments(), len);
        let from = || segment::first_bytes(rq.segments(), len);
        let status = self.move_data(any, operation, sector, bytes, into, from);
        if let (Some((position, bit)), true) = (wrong_bit, status == Status::OK) {
            self.flip_bit(position, bit);
        }
        match (cache, operation) {
            (Some(cache), Operation::Flush) => cache.flush(),
            // Also of what failed: some of it was done.
            (Some(cache), _) if is_change => {
                let kept = self.with_store(sector, bytes, |store, position, len| {
                    cache.after_write(store, position, len, noted_before)
                });
                return if status == Status::OK { kept } else { status };
            }
            _ => (),
        }
        status
    }

    /// Turns a bit of the data over, in the byte at `position`.
    fn flip_bit(&self, position: u64, bit: u32) {
        if let Some(store) = &self.store {
            let mut sector = [0; 1 << SECTOR_SHIFT];
            let start = position >> SECTOR_SHIFT << SECTOR_SHIFT;
            let read = store.read(start, core::iter::once(Segment::of(&mut sector)));
            // CAST: Less than a sector.
            let place = position.wrapping_sub(start) as usize;
            if let (Ok(()), Some(byte)) = (read, sector.get_mut(place)) {
                *byte ^= 1 << (bit & 7);
                // It was written just now, so there is memory for it.
                let _ = store.write(start, core::iter::once(Segment::of(&mut sector)));
            }
        }
    }

    /// Gives a request that has read these sectors the content that they had before they were written last, as far as
    /// that is remembered. `false` if none of it is.
    pub(crate) fn make_stale(&self, rq: &Request<RamDiskOperations>, sectors: &Range<u64>) -> bool {
        let Some(history) = &self.history else {
            return false;
        };
        let position = sectors.start << SECTOR_SHIFT;
        let bytes = |sectors: u64| usize::try_from(sectors << SECTOR_SHIFT).unwrap_or(0);
        let skipped = bytes(sectors.start.wrapping_sub(rq.sector()));
        let len = bytes(sectors.end.wrapping_sub(sectors.start));
        let made = history.for_each_old(position, len, |offset, old, at, len| {
            let part = segment::after_bytes(rq.segments(), skipped.wrapping_add(offset));
            old.read(at, segment::first_bytes(part, len))
        });
        made.unwrap_or(false)
    }

    /// Whether the operation changes data, and is not refused.
    fn is_change(&self, operation: Operation) -> bool {
        match operation {
            Operation::Write | Operation::WriteZeroes => !self.read_only,
            Operation::Discard => self.discard && !self.read_only,
            _ => false,
        }
    }

    /// Whether there is data that can be changed, or read.
    pub(crate) fn has_data(&self, operation: Operation) -> bool {
        self.store.is_some() && !(self.read_only && operation == Operation::Write)
    }

    /// The disk is gone: as [`Medium::power_off`]. If something failed before it was settled, there can have been writes that
    /// the log did not see which is kept.
    pub(crate) fn removed(&mut self) {
        let kept_log = self.kept.log();
        let is_kept = match (&kept_log, &self.log) {
            (Some(kept), Some(log)) => Arc::ptr_eq(kept, log),
            _ => false,
        };
        if let (Some(log), None, false) = (kept_log, &self.unused, is_kept || self.is_borrowed) {
            log.clear();
        }
        self.power_off();
    }

    /// The power is off: what is durable stays, for the next time. The disk may stay open for a while, and has nothing.
    fn power_off(&mut self) {
        self.history = None;
        self.log = None;
        if let (Some(store), Some(cache)) = (&self.store, self.cache.take()) {
            if cache.lose(store, self.power_cut, self.block_bytes).is_err() {
                pr_err!("no memory for what a snapshot has, too: some of what was not durable is left\n");
            }
        }
        let mut store = self.store.take().filter(|_| !self.is_borrowed);
        if let (Some(store), Some((mib, mut room))) = (&mut store, self.grown_from.take()) {
            // There is room, and nothing that a snapshot has, too: so this does not fail.
            let _ = store.shrink(mib, &mut room);
        }
        // If there still is what was not needed, the disk was never settled.
        if let Some(store) = self.unused.take().or(store) {
            *self.kept.usage.lock() = store.usage();
            *self.kept.store.lock() = Some(store);
        }
    }
}

/// For a disk that was never added.
impl Drop for Medium {
    fn drop(&mut self) {
        self.power_off();
    }
}
