// SPDX-License-Identifier: GPL-2.0

//! A thin store: memory is taken a page at a time where something is written, and given back where it is
//! discarded. So it can be larger than memory, and copies of it have all pages in common until one of them is written.
//!
//! It is a tree of tables, each of them a page, as a processor's page tables are. The slots of the root cover 1 GiB
//! each (with pages of 4 KiB), those of the next tables 2 MiB, and those of the last ones a page of data.
//!
//! A page, of data or a table, counts the slots that name it. A copy of a store is a copy of its root. From then on
//! the root's slots of either say that their table may be another's, too: whoever wants to change something below it has to
//! have a table of his own first. That one is a copy again, whose slots say the same. What was shared once is taken back
//! only when there is no other store any more.
//!
//! Whoever reads, or writes a page that is the store's alone, takes no lock: the tree is read under RCU, and a page that
//! leaves it is freed after a grace period. Whoever changes the tree holds a lock, which all copies of a store have in common.
//!
//! For the bytes themselves see [`ramstore`].

use crate::{
    bindings,
    ramstore::{
        self,
        for_each_page,
        RamStore, //
    },
    segment::{
        Direction,
        FromDevice,
        Segment,
        ToDevice, //
    }, //
};
use core::{
    iter,
    mem::size_of,
    ptr::{
        self,
        with_exposed_provenance_mut, //
    }, //
};
use kernel::{
    new_spinlock,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        rcu,
        Arc,
        SpinLock, //
    },
};

/// The largest store: 1 PiB, whose root takes 8 MiB.
pub(crate) const MAX_MIB: u64 = 1 << 30;

/// So much of the memory that is available is left to others.
const RESERVE_BYTES: u64 = 64 << 20;

/// After how many new pages a look is taken at the memory that is available.
const PAGES_PER_LOOK: usize = 256;

/// A place for a page: its address, or 0; and [`SHARED`].
///
/// # Invariants
///
/// The address is that of a page from [`Page::new`], whose count this slot is part of. The page is a table of
/// slots of the level below, or at level 0 one of data. It is not freed before an RCU grace period after the slot was
/// changed.
type Slot = Atomic<usize>;

/// Set in a slot whose page may be in another slot, too.
const SHARED: usize = 1;

const SLOT_BITS: u32 = bindings::PAGE_SHIFT - size_of::<Slot>().ilog2();
const SLOTS: usize = 1 << SLOT_BITS;

/// The level of the slots of the root.
const ROOT: u32 = 2;

/// How many bytes a slot of that level covers, as a power of two.
const fn shift_of(level: u32) -> u32 {
    bindings::PAGE_SHIFT.wrapping_add(level.wrapping_mul(SLOT_BITS))
}

/// How many bytes a slot of that level covers.
fn extent_of(level: u32) -> usize {
    1_usize.wrapping_shl(shift_of(level))
}

const MIB_PER_ROOT_SLOT: usize = 1 << (shift_of(ROOT) - 20);

/// The address of the page in a slot.
#[inline(always)]
fn page_in(entry: usize) -> usize {
    entry & !SHARED
}

/// The number of slots that name the page.
///
/// # Safety
///
/// `page` must be the address of a page from [`Page::new`], which is not freed in `'a`.
unsafe fn owners<'a>(page: usize) -> &'a Atomic<usize> {
    // SAFETY: By the requirement of this function: the page has the field, and nothing else uses it.
    unsafe { Atomic::from_ptr(bindings::rnullblk_page_owners(pointer_to(page)).cast()) }
}

#[inline(always)]
fn pointer_to<T>(address: usize) -> *mut T {
    with_exposed_provenance_mut(address)
}

/// The slot at `level` for `position`, in the table that is in a slot of the level above.
///
/// # Safety
///
/// `entry` must be what such a slot has or had, and not 0; and the table not be freed in `'a`.
#[inline(always)]
unsafe fn slot_in<'a>(entry: usize, level: u32, position: usize) -> &'a Slot {
    let table: *const [Slot; SLOTS] = pointer_to(page_in(entry));
    // SAFETY: By the requirement of this function and the invariant of `Slot`.
    unsafe { &(*table)[position.wrapping_shr(shift_of(level)) & (SLOTS - 1)] }
}

/// What a store has in common with its copies.
#[pin_data]
struct Family {
    /// Held while a tree changes.
    #[pin]
    changing: SpinLock<()>,
    /// How many pages all of them have together.
    pages: Atomic<usize>,
    /// How many these may be.
    max_pages: Atomic<usize>,
    /// Who said so: see [`Usage::set_limit`].
    limited_by: Atomic<usize>,
    /// How many stores there are.
    stores: Atomic<usize>,
    /// 1 if the last look found no more than the reserve: then everyone looks.
    is_short: Atomic<u32>,
}

/// How many pages all stores have given back ever.
static FREED: Atomic<usize> = Atomic::new(0);
/// So many of them are free: the others may still wait for the end of a grace period.
static RECLAIMED: Atomic<usize> = Atomic::new(0);

/// Waits for the pages that stores have given back, until they are free, and so available. `false` if there are none. May
/// sleep.
pub(crate) fn reclaim() -> bool {
    let freed = FREED.load(Relaxed);
    if freed == RECLAIMED.load(Relaxed) {
        return false;
    }
    // SAFETY: This may sleep, and RCU waits for no I/O.
    unsafe { bindings::rcu_barrier() };
    RECLAIMED.store(freed, Relaxed);
    true
}

impl Family {
    /// Counts a page that is to be allocated.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if there may be no more.
    fn count_page(&self) -> Result {
        let pages = self.pages.fetch_add(1, Relaxed);
        let mut is_short = self.is_short.load(Relaxed) != 0;
        if is_short || pages % PAGES_PER_LOOK == 0 {
            is_short = ramstore::available_bytes() < RESERVE_BYTES;
            self.is_short.store(is_short.into(), Relaxed);
        }
        if is_short || !self.may_have(pages) {
            self.pages.fetch_sub(1, Relaxed);
            return Err(ENOSPC);
        }
        Ok(())
    }

    /// Whether there may be one more than so many.
    fn may_have(&self, pages: usize) -> bool {
        pages < self.max_pages.load(Relaxed)
    }

    /// As [`reclaim`]; also `false` if no more pages are allowed, as those that were given back are not counted any more.
    fn reclaim(&self) -> bool {
        self.may_have(self.pages.load(Relaxed)) && reclaim()
    }

    /// A slot leaves a tree, and with it all that nobody else has. `entry` is what was in the slot. May sleep, but for
    /// level 0.
    ///
    /// # Safety
    ///
    /// The slot must have been one of that level, and be of no tree any more, or have something else now.
    unsafe fn give_up(&self, entry: usize, level: u32) {
        let address = page_in(entry);
        // SAFETY: By the invariant of `Slot`.
        if address == 0 || unsafe { owners(address) }.fetch_sub(1, Full) != 1 {
            return;
        }
        // Whoever still has the table only reads it, so nobody else takes out what is in its slots.
        if let Some(below) = level.checked_sub(1) {
            // SAFETY: This may sleep.
            unsafe { bindings::rnullblk_cond_resched() };
            for number in 0..SLOTS {
                // SAFETY: The table is freed below, and its slots are in no other tree.
                unsafe {
                    let entry =
                        slot_in(address, below, number.wrapping_shl(shift_of(below))).load(Relaxed);
                    self.give_up(entry, below);
                }
            }
        }
        drop(Page {
            address,
            family: self,
        });
    }
}

/// A page that is in no slot. Its content is nobody's business: it has to be filled before it gets into one.
///
/// # Invariants
///
/// The address is that of a page from `rnullblk_alloc_page`, which this value owns, or will do after an RCU grace period.
struct Page<'a> {
    address: usize,
    family: &'a Family,
}

impl<'a> Page<'a> {
    /// May sleep, and tries hard; but takes no reserve, and kills no process.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if there is no memory.
    fn new(family: &'a Family, node: i32) -> Result<Self> {
        Self::try_new(family, node).or_else(|error| match family.reclaim() {
            true => Self::try_new(family, node),
            false => Err(error),
        })
    }

    fn try_new(family: &'a Family, node: i32) -> Result<Self> {
        let flags = bindings::GFP_NOIO
            | bindings::__GFP_RETRY_MAYFAIL
            | bindings::__GFP_NOMEMALLOC
            | bindings::__GFP_NOWARN;
        family.count_page()?;
        // SAFETY: The function takes any flags, and any node that has memory, or `NO_NODE`.
        let page = unsafe { bindings::rnullblk_alloc_page(flags, node) };
        if page.is_null() {
            family.pages.fetch_sub(1, Relaxed);
            return Err(ENOSPC);
        }
        // INVARIANT: It was allocated just now.
        Ok(Self {
            address: page.expose_provenance(),
            family,
        })
    }

    fn zero(&self) {
        // SAFETY: By the type's invariant.
        unsafe { bindings::memset(pointer_to(self.address), 0, PAGE_SIZE) };
    }

    /// Puts it into a slot, in the place of what was there. Gives its address.
    fn put_into(self, slot: &Slot) -> usize {
        let address = self.address;
        core::mem::forget(self);
        // Release: with its content. INVARIANT: The count of a new page is 1.
        slot.store(address, Release);
        address
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        self.family.pages.fetch_sub(1, Relaxed);
        // SAFETY: By the type's invariant.
        unsafe { bindings::rnullblk_free_page_rcu(pointer_to(self.address)) };
        FREED.add(1, Relaxed);
    }
}

/// What another slot is to have, for it to have the same page as `slot`. The caller holds the lock.
fn share(slot: &Slot) -> usize {
    let entry = slot.load(Relaxed);
    if entry == 0 {
        return 0;
    }
    // SAFETY: By the invariant of `Slot`; with the lock held the slot keeps it.
    unsafe { owners(page_in(entry)) }.fetch_add(1, Relaxed);
    // Release: whoever finds the page by this store finds its content, too, as by that of `put_into`.
    slot.store(entry | SHARED, Release);
    // INVARIANT: It was counted just now.
    entry | SHARED
}

/// A thin store. Writing, also zeroes, may sleep to get memory.
pub(crate) struct ThinStore {
    root: KVVec<Slot>,
    mib: usize,
    node: i32,
    family: Arc<Family>,
}

/// What a store needs to grow; see [`ThinStore::prepare_growth`].
pub(crate) struct Growth {
    root: KVVec<Slot>,
    mib: usize,
}

/// How much memory a store has with all its copies, at any time, and may have.
#[derive(Clone)]
pub(crate) struct Usage(Arc<Family>);

impl Usage {
    /// Of data and tables together, in KiB.
    pub(crate) fn kib(&self) -> usize {
        self.0.pages.load(Relaxed) * (PAGE_SIZE >> 10)
    }

    /// Limits it to so many MiB, for `whom`, who has an address; `None`: to what there is, unless the store has copies and
    /// the limit is somebody else's. What is there stays.
    pub(crate) fn set_limit<T>(&self, mib: Option<usize>, whom: &T) {
        let whom = ptr::from_ref(whom).addr();
        let is_alone = self.0.stores.load(Relaxed) == 1;
        if mib.is_none() && !is_alone && self.0.limited_by.load(Relaxed) != whom {
            return;
        }
        let max_pages = mib.map_or(usize::MAX, |mib| mib << (20 - bindings::PAGE_SHIFT));
        self.0.max_pages.store(max_pages, Relaxed);
        self.0.limited_by.store(whom, Relaxed);
    }
}

impl Growth {
    fn new(mib: usize) -> Result<Self> {
        let slots = mib.div_ceil(MIB_PER_ROOT_SLOT);
        let mut root = KVVec::with_capacity(slots, GFP_KERNEL)?;
        for _ in 0..slots {
            root.push(Slot::new(0), GFP_KERNEL)?;
        }
        Ok(Self { root, mib })
    }
}

impl ThinStore {
    /// A store of `mib` MiB (at most [`MAX_MIB`]) of zeroes, whose memory will be that of the NUMA node `node`
    /// ([`NO_NODE`](crate::tagset::NO_NODE): any).
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(mib: usize, node: i32) -> Result<Self> {
        let Growth { root, mib } = Growth::new(mib)?;
        let family = try_pin_init!(Family {
            changing <- new_spinlock!(()),
            pages: Atomic::new(0),
            max_pages: Atomic::new(usize::MAX),
            limited_by: Atomic::new(0),
            stores: Atomic::new(1),
            is_short: Atomic::new(0),
        }? Error);
        Ok(Self {
            root,
            mib,
            node,
            family: Arc::pin_init(family, GFP_KERNEL)?,
        })
    }

    /// A copy, which has all pages in common with this store. What is written to one of them is not read from the
    /// other. Takes a step for each GiB of the size; writes that are under way are in both, or in one.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn try_clone(&self) -> Result<Self> {
        let mut root = KVVec::with_capacity(self.root.len(), GFP_KERNEL)?;
        let mut copy = Self {
            root: KVVec::new(),
            mib: self.mib,
            node: self.node,
            family: self.family.clone(),
        };
        self.family.stores.add(1, Relaxed);
        let _changing = self.family.changing.lock();
        for slot in &self.root {
            // There is room, so this does not fail.
            root.push_within_capacity(Slot::new(share(slot)))?;
        }
        copy.root = root;
        Ok(copy)
    }

    /// Allocates what a store needs to grow to `mib` MiB.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn prepare_growth(mib: usize) -> Result<Growth> {
        Growth::new(mib)
    }

    /// Grows. Allocates nothing; what is left in `growth` can go at any time.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the growth is not for a store of this size; then it is as it was.
    pub(crate) fn grow(&mut self, growth: &mut Growth) -> Result {
        if growth.mib < self.mib || growth.root.len() < self.root.len() {
            return Err(EBUSY);
        }
        for (slot, new) in self.root.iter().zip(&growth.root) {
            // INVARIANT: It leaves the old slot.
            new.store(slot.xchg(0, Relaxed), Relaxed);
        }
        core::mem::swap(&mut self.root, &mut growth.root);
        self.mib = growth.mib;
        Ok(())
    }

    /// Makes it smaller, in MiB.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if there is no memory for tables of its own; then it is as it was.
    pub(crate) fn shrink(&mut self, mib: usize) -> Result {
        if mib < self.mib {
            // To the end of the last table, though there is nothing: so only its begin can need tables of its own, and that
            // comes first.
            let (start, end) = (mib << 20, self.root.len().saturating_mul(extent_of(ROOT)));
            self.zero_range(start, end.saturating_sub(start))?;
            self.mib = mib;
            self.root.truncate(mib.div_ceil(MIB_PER_ROOT_SLOT));
        }
        Ok(())
    }

    /// The size in MiB.
    pub(crate) fn mib(&self) -> usize {
        self.mib
    }

    /// How much memory it has, with all its copies.
    pub(crate) fn usage(&self) -> Usage {
        Usage(self.family.clone())
    }

    /// Copies from `position` on into `segments`.
    ///
    /// # Errors
    ///
    /// `EIO` where the store ends; what comes before that is copied.
    #[inline(never)]
    pub(crate) fn read<'a>(
        &self,
        position: u64,
        segments: impl Iterator<Item = Segment<'a, FromDevice>>,
    ) -> Result {
        self.copy(position, segments, |position, buffer, len| {
            let reading = rcu::read_lock();
            let entry = self.find(position, &reading)?;
            // SAFETY: The segment has `len` bytes there, to be written by its direction, and so has the page, which is not freed before `reading` goes.
            // A segment may overlap the store only if the device is used as its own buffer, through no interface of
            // the kernel.
            unsafe {
                match page_in(entry) {
                    0 => bindings::memset(buffer.cast_mut().cast(), 0, len),
                    page => bindings::memcpy(
                        buffer.cast_mut().cast(),
                        pointer_to(page | offset_of(position)),
                        len,
                    ),
                }
            };
            Ok(())
        })
    }

    /// Copies `segments` to the bytes from `position` on.
    ///
    /// # Errors
    ///
    /// `EIO` where the store ends, `ENOSPC` where memory does; what comes before that is copied.
    #[inline(never)]
    pub(crate) fn write<'a>(
        &self,
        position: u64,
        segments: impl Iterator<Item = Segment<'a, ToDevice>>,
    ) -> Result {
        self.copy(position, segments, |position, buffer, len| {
            // SAFETY: As in `read`, the other way round: `at` has `len` bytes.
            let fill = |at: *mut u8| unsafe {
                bindings::memcpy(at.cast(), buffer.cast(), len);
            };
            self.fill(position, len, fill)
        })
    }

    /// Makes the `len` bytes from `position` on read as zeroes, and gives the memory back that is not needed any more.
    ///
    /// # Errors
    ///
    /// `EIO` if the store ends before that. `ENOSPC` if there is no memory for what has to be the store's own then;
    /// what comes before that is zeroed.
    #[inline(never)]
    pub(crate) fn zero(&self, position: u64, len: usize) -> Result {
        self.zero_range(self.within(position, len)?, len)
    }

    fn zero_range(&self, mut position: usize, len: usize) -> Result {
        let mut left = len;
        while left != 0 {
            let (entry, level) = self.look(position)?;
            let to_the_end = |level| {
                let extent = extent_of(level);
                extent.wrapping_sub(position & extent.wrapping_sub(1))
            };
            // The largest that lies within the range.
            let is_within =
                |level: &u32| to_the_end(*level) == extent_of(*level) && left >= extent_of(*level);
            let done = match (0..=ROOT).rev().find(is_within) {
                // A table that has nothing here may have something further on.
                Some(larger) if entry != 0 || larger > level => {
                    self.clear(position, larger)?;
                    extent_of(larger)
                }
                _ if entry == 0 => to_the_end(level),
                _ => {
                    let part = left.min(to_the_end(0));
                    // SAFETY: There are as many bytes.
                    let fill = |at: *mut u8| unsafe {
                        bindings::memset(at.cast(), 0, part);
                    };
                    self.fill(position, part, fill)?;
                    part
                }
            };
            let done = done.min(left);
            left = left.wrapping_sub(done);
            position = position.wrapping_add(done);
        }
        Ok(())
    }

    /// Copies `len` bytes from `position` on to `to_position` of another store.
    ///
    /// # Errors
    ///
    /// `EIO` where either ends; what comes before that is copied.
    pub(crate) fn copy_to(
        &self,
        position: u64,
        to: &RamStore,
        to_position: u64,
        len: usize,
    ) -> Result {
        let mut from = position;
        let mut result = Ok(());
        to.for_each_piece(to_position, len, |at, len| {
            // SAFETY: These are `len` bytes of the other store.
            let piece = unsafe { Segment::from_raw(at, len) };
            result = result.and(self.read(from, iter::once(piece)));
            // CAST: `u64` is as wide as `usize`.
            from = from.wrapping_add(len as u64);
        })?;
        result
    }

    /// Calls `copy_one` for each piece of a page and a segment, with the position of the one, the address of the
    /// other, and the length.
    #[inline(always)]
    fn copy<'a, D: Direction>(
        &self,
        mut position: u64,
        segments: impl Iterator<Item = Segment<'a, D>>,
        copy_one: impl Fn(usize, *const u8, usize) -> Result,
    ) -> Result {
        for segment in segments {
            self.within(position, segment.len())?;
            let mut buffer = segment.as_ptr();
            for_each_page(position, segment.len(), |page, offset, len| {
                copy_one(
                    page.wrapping_mul(PAGE_SIZE).wrapping_add(offset),
                    buffer,
                    len,
                )?;
                // SAFETY: All pieces together are as long as the segment.
                buffer = unsafe { buffer.add(len) };
                Ok(())
            })?;
            // CAST: `u64` is as wide as `usize`.
            position = position.wrapping_add(segment.len() as u64);
        }
        Ok(())
    }

    /// The position, if the store has `len` bytes there; otherwise `EIO`.
    #[inline(always)]
    fn within(&self, position: u64, len: usize) -> Result<usize> {
        let position = usize::try_from(position).map_err(|_| EIO)?;
        match position.checked_add(len) {
            Some(end) if end <= self.mib << 20 => Ok(position),
            _ => Err(EIO),
        }
    }

    /// The page with the byte at `position`, or 0; and [`SHARED`] if the page or a table on the way to it may be
    /// another store's, too. The page is not freed as long as the guard is there.
    #[inline(always)]
    fn find(&self, position: usize, _reading: &rcu::Guard) -> Result<usize> {
        let slot = self.root.get(position >> shift_of(ROOT)).ok_or(EIO)?;
        let mut entry = slot.load(Acquire);
        let mut is_shared = entry;
        for level in (0..ROOT).rev() {
            if entry == 0 {
                return Ok(0);
            }
            // SAFETY: The slot above had it just now, and RCU keeps it.
            entry = unsafe { slot_in(entry, level, position) }.load(Acquire);
            is_shared |= entry;
        }
        Ok(page_in(entry) | (is_shared & SHARED))
    }

    /// What the last slot on the way to `position` has, and its level: where that is not 0, the slot is empty.
    fn look(&self, position: usize) -> Result<(usize, u32)> {
        let _reading = rcu::read_lock();
        let slot = self.root.get(position >> shift_of(ROOT)).ok_or(EIO)?;
        let mut entry = slot.load(Acquire);
        for level in (0..ROOT).rev() {
            if entry == 0 {
                return Ok((0, level.wrapping_add(1)));
            }
            // SAFETY: As in `find`.
            entry = unsafe { slot_in(entry, level, position) }.load(Acquire);
        }
        Ok((entry, 0))
    }

    /// Lets `fill` write the `len` bytes from `position` on, which are within a page.
    #[inline(always)]
    fn fill(&self, position: usize, len: usize, fill: impl Fn(*mut u8)) -> Result {
        {
            let reading = rcu::read_lock();
            let page = self.find(position, &reading)?;
            if page != 0 && page & SHARED == 0 {
                fill(pointer_to(page | offset_of(position)));
                return Ok(());
            }
        }
        self.fill_own(position, len, fill)
    }

    /// As [`ThinStore::fill`], where there is no page that is the store's own.
    #[inline(never)]
    fn fill_own(&self, position: usize, len: usize, fill: impl Fn(*mut u8)) -> Result {
        let spare = Page::new(&self.family, self.node).ok();
        self.change(position, 0, spare, |slot, spare| {
            let offset = offset_of(position);
            if let Some(page) = self.own_page(slot) {
                fill(pointer_to(page | offset));
                return Some(());
            }
            let page = spare.take()?;
            let old = slot.load(Relaxed);
            if len != PAGE_SIZE {
                match page_in(old) {
                    0 => page.zero(),
                    // SAFETY: Both are pages, and stay.
                    old => unsafe {
                        bindings::memcpy(pointer_to(page.address), pointer_to(old), PAGE_SIZE);
                    },
                }
            }
            fill(pointer_to(page.address | offset));
            page.put_into(slot);
            // SAFETY: It was in the slot, and is not now.
            unsafe { self.family.give_up(old, 0) };
            Some(())
        })
    }

    /// Empties the slot at `level` for `position`.
    fn clear(&self, position: usize, level: u32) -> Result {
        let entry = self.change(position, level, None, |slot, _| {
            let entry = slot.load(Relaxed);
            slot.store(0, Relaxed);
            Some(entry)
        })?;
        // SAFETY: It was in the slot, and is not now.
        unsafe { self.family.give_up(entry, level) };
        Ok(())
    }

    /// Calls `f` with the slot at `level` for `position`, in tables that are this store's own, and the lock held. It
    /// returns `None` if it needs a page and there is none; then it is called again with one.
    ///
    /// # Errors
    ///
    /// `ENOSPC`.
    fn change<'a, R>(
        &'a self,
        position: usize,
        level: u32,
        mut spare: Option<Page<'a>>,
        f: impl Fn(&Slot, &mut Option<Page<'a>>) -> Option<R>,
    ) -> Result<R> {
        loop {
            if let Some(result) = self.try_change(position, level, &mut spare, &f)? {
                return Ok(result);
            }
            // Without the lock: this may sleep.
            spare = Some(Page::new(&self.family, self.node)?);
        }
    }

    fn try_change<'a, R>(
        &'a self,
        position: usize,
        to_level: u32,
        spare: &mut Option<Page<'a>>,
        f: impl Fn(&Slot, &mut Option<Page<'a>>) -> Option<R>,
    ) -> Result<Option<R>> {
        // What the slots of each level above 0 had before.
        let mut replaced = [0; ROOT as usize];
        let mut change_locked = || {
            let _changing = self.family.changing.lock();
            let mut slot = self.root.get(position >> shift_of(ROOT)).ok_or(EIO)?;
            for (level, replaced) in (0..ROOT).zip(&mut replaced).rev() {
                if level < to_level {
                    break;
                }
                let Some(table) = self.own_table(slot, level, spare, replaced) else {
                    return Ok(None);
                };
                // SAFETY: The slot has it, as long as the lock is held.
                slot = unsafe { slot_in(table, level, position) };
            }
            Ok(f(slot, spare))
        };
        let done = change_locked();
        for (entry, level) in replaced.into_iter().zip(1..) {
            // SAFETY: It was in a slot of that level, and is not now. It goes only if its other owners have gone just now.
            unsafe { self.family.give_up(entry, level) };
        }
        done
    }

    /// The page in the slot, if it is this store's alone. The caller holds the lock.
    ///
    /// A page that another store had, too, is so only when there is no other store: a count of 1 does not say that nobody
    /// reads it any more who found it in the other one.
    fn own_page(&self, slot: &Slot) -> Option<usize> {
        let entry = slot.load(Relaxed);
        let page = page_in(entry);
        if entry != page {
            // Acquire: what the others did to the page is over.
            if self.family.stores.load(Acquire) != 1 {
                return None;
            }
            // Release: as in `share`.
            slot.store(page, Release);
        }
        (page != 0).then_some(page)
    }

    /// The table of slots of that level in `slot`, made this store's own. The caller holds the lock, and gives up what
    /// `replaced` has then.
    fn own_table(
        &self,
        slot: &Slot,
        level: u32,
        spare: &mut Option<Page<'_>>,
        replaced: &mut usize,
    ) -> Option<usize> {
        if let Some(table) = self.own_page(slot) {
            return Some(table);
        }
        let table = spare.take()?;
        let old = slot.load(Relaxed);
        if old == 0 {
            table.zero();
        } else {
            for position in (0..SLOTS).map(|number| number.wrapping_shl(shift_of(level))) {
                // SAFETY: The slot has the old table, and the new one is a page: of no slots yet, but any number is an
                // atomic one.
                unsafe {
                    let entry = share(slot_in(old, level, position));
                    slot_in(table.address, level, position).store(entry, Relaxed);
                }
            }
        }
        *replaced = old;
        Some(table.put_into(slot))
    }
}

impl Drop for ThinStore {
    fn drop(&mut self) {
        for slot in &self.root {
            // SAFETY: The tree goes.
            unsafe { self.family.give_up(slot.load(Relaxed), ROOT) };
        }
        self.family.stores.fetch_sub(1, Full);
    }
}

#[inline(always)]
fn offset_of(position: usize) -> usize {
    position & (PAGE_SIZE - 1)
}
