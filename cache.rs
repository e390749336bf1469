// SPDX-License-Identifier: GPL-2.0

//! A volatile write cache: what is written can be read at once, but it is lost with the power, unless it was
//! flushed, written with FUA, or pushed out by later writes.
//!
//! It is kept the other way round: the store has what was written last, so that reading costs nothing, and
//! the cache has what the store would be without power. Power off puts that back, and a power cut some of it.

#![forbid(unsafe_code)]

use crate::{
    faults::mix,
    limits::SECTOR_SHIFT,
    ramstore::{
        for_each_page,
        RamStore, //
    },
    segment::Segment,
    store::{
        Data,
        Store, //
    }, //
};
use core::iter;
use kernel::{
    fmt,
    new_spinlock,
    page::PAGE_SIZE,
    prelude::*,
    sync::SpinLock, //
};

const SECTOR_BYTES: usize = 1 << SECTOR_SHIFT;
const PAGES_PER_MIB: usize = (1 << 20) / PAGE_SIZE;

/// The cache of a disk.
///
/// A writer that notes a page and writes it does so in two steps. A flush between these makes the page durable
/// before it is written, which a cache may do at any time. But then another writer may note the page again, with half of what
/// the first one writes; so that one looks for it in the end.
#[pin_data]
pub(crate) struct WriteCache {
    /// The durable content of the pages in the cache, a slot for each.
    durable: RamStore,
    #[pin]
    pages: SpinLock<Pages>,
}

struct Pages {
    /// A hash table of the pages that have slots, each page once: for each hash the slot that was taken last, or
    /// [`NO_SLOT`]. As many as there are slots or more, a power of two.
    last_of: KVVec<u32>,
    slots: KVVec<Slot>,
    /// Counts the notes. They take the slots in turn, so the one that was taken first is the next one.
    notes: u64,
    /// Counts the flushes. What was noted before the last one is durable.
    flushes: u64,
}

#[derive(Clone, Copy)]
struct Slot {
    page: usize,
    /// The flushes before it was noted, and one; 0: it is in no chain.
    noted: u64,
    /// The one that was taken before it, of those whose pages have the same hash, or [`NO_SLOT`].
    before: u32,
}

const NO_SLOT: u32 = u32::MAX;

/// How the power goes, and what it leaves of what was not durable.
#[derive(Clone, Copy)]
pub(crate) struct PowerCut {
    pub(crate) seed: u64,
    pub(crate) leaves: Leaves,
}

/// What a power cut leaves of what was not durable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaves {
    /// Nothing: all of it is as at the last flush.
    Nothing,
    /// Each logical block is old or new, by chance.
    Blocks,
    /// Of each page of 4 KiB the first sectors are new, so many as chance has it, and the others old: also within a
    /// logical block.
    Torn,
}

impl PowerCut {
    /// What is done where nobody said how: nothing is left.
    pub(crate) const CLEAN: Self = Self {
        seed: 0,
        leaves: Leaves::Nothing,
    };

    /// Whether the part of a page that begins at `offset` is as it was at the last flush. The same again for the
    /// same seed.
    fn loses(&self, page: usize, offset: usize) -> bool {
        // CAST: `u64` is as wide as `usize`.
        let dice = |place: usize| mix(mix(self.seed) ^ place as u64);
        match self.leaves {
            Leaves::Nothing => true,
            Leaves::Blocks => {
                dice(page.wrapping_mul(PAGE_SIZE).wrapping_add(offset) / SECTOR_BYTES) % 2 == 0
            }
            Leaves::Torn => {
                // CAST: As above.
                let (sector, sectors) = (offset / SECTOR_BYTES, PAGE_SIZE / SECTOR_BYTES);
                sector as u64 >= dice(page) % (sectors as u64 + 1)
            }
        }
    }
}

impl fmt::Display for PowerCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leaves = match self.leaves {
            Leaves::Nothing => "nothing",
            Leaves::Blocks => "blocks",
            Leaves::Torn => "torn",
        };
        write!(f, "{} {leaves}", self.seed)
    }
}

impl Pages {
    fn slot(&self, number: u32) -> Option<&Slot> {
        // CAST: `usize` is at least as wide as `u32`.
        self.slots.get(number as usize)
    }

    fn slot_mut(&mut self, number: u32) -> Option<&mut Slot> {
        // CAST: As above.
        self.slots.get_mut(number as usize)
    }

    /// The last slot of all pages that have the same hash as this one.
    fn last_of(&mut self, page: usize) -> Option<&mut u32> {
        let mask = self.last_of.len().wrapping_sub(1);
        // CAST: `u64` is as wide as `usize`.
        self.last_of.get_mut(mix(page as u64) as usize & mask)
    }

    /// The slot of a page, which may be durable by now.
    fn find(&mut self, page: usize) -> Option<u32> {
        let mut number = *self.last_of(page)?;
        loop {
            let slot = self.slot(number)?;
            if slot.page == page {
                return Some(number);
            }
            number = slot.before;
        }
    }

    /// The slot of a page that is not durable.
    fn slot_of(&mut self, page: usize) -> Option<u32> {
        let number = self.find(page)?;
        let is_volatile = self.slot(number)?.noted == self.flushes.wrapping_add(1);
        is_volatile.then_some(number)
    }

    /// The slots, which are less than [`NO_SLOT`]; at least 1.
    fn count(&self) -> u64 {
        // CAST: `u64` is as wide as `usize`.
        (self.slots.len() as u64).max(1)
    }

    /// How many notes there were before that of this slot, which was taken.
    fn notes_before(&self, number: u32) -> u64 {
        let count = self.count();
        // Of the last notes, one for each slot, so many are later.
        let later = (self.notes % count)
            .wrapping_add(count)
            .wrapping_sub(u64::from(number) + 1)
            % count;
        self.notes.wrapping_sub(later).wrapping_sub(1)
    }

    /// Gives the page a slot. The page that had it becomes durable.
    fn note(&mut self, page: usize) -> Option<u32> {
        // Chains would become long where a page is noted again and again.
        if let Some(older) = self.find(page) {
            self.forget(older)?;
        }
        // CAST: There are no more slots than that.
        let number = (self.notes % self.count()) as u32;
        if self.slot(number)?.noted != 0 {
            self.forget(number)?;
        }
        let last = self.last_of(page)?;
        let before = core::mem::replace(last, number);
        *self.slot_mut(number)? = Slot {
            page,
            noted: self.flushes.wrapping_add(1),
            before,
        };
        self.notes = self.notes.wrapping_add(1);
        Some(number)
    }

    /// Takes a slot out of the hash table.
    fn forget(&mut self, number: u32) -> Option<()> {
        let slot = self.slot_mut(number)?;
        slot.noted = 0;
        let (page, before) = (slot.page, slot.before);
        let last = self.last_of(page)?;
        if *last == number {
            *last = before;
            return Some(());
        }
        let mut later = *last;
        loop {
            let link = &mut self.slot_mut(later)?.before;
            if *link == number {
                *link = before;
                return Some(());
            }
            later = *link;
        }
    }
}

impl WriteCache {
    /// A cache of `mib` MiB (at least 1). May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINTR` if the task is to end; `EOVERFLOW` for more than the numbers of slots can count.
    pub(crate) fn new(mib: usize, node: i32) -> Result<Pin<KBox<Self>>> {
        let count = mib.checked_mul(PAGES_PER_MIB).ok_or(EOVERFLOW)?;
        if u32::try_from(count)? == NO_SLOT {
            return Err(EOVERFLOW);
        }
        let nothing = Slot {
            page: 0,
            noted: 0,
            before: NO_SLOT,
        };
        let pages = Pages {
            last_of: KVVec::from_elem(NO_SLOT, count.next_power_of_two(), GFP_KERNEL)?,
            slots: KVVec::from_elem(nothing, count, GFP_KERNEL)?,
            notes: 0,
            flushes: 0,
        };
        let durable = RamStore::new(mib, node)?;
        let init = try_pin_init!(Self {
            durable,
            pages <- new_spinlock!(pages),
        }? Error);
        KBox::pin_init(init, GFP_KERNEL)
    }

    /// The `len` bytes from `position` on are about to be written. Gives what [`WriteCache::after_write`] needs.
    pub(crate) fn before_write(&self, store: &Store, position: u64, len: usize) -> Result<u64> {
        for_each_page(position, len, |page, _, _| {
            let mut pages = self.pages.lock();
            if pages.slot_of(page).is_some() {
                return Ok(());
            }
            let slot = pages.note(page).ok_or(EIO)?;
            store.copy_to(
                start_of(page),
                &self.durable,
                start_of_slot(slot),
                PAGE_SIZE,
            )
        })?;
        Ok(self.pages.lock().notes)
    }

    /// The `len` bytes from `position` on are about to be written: remembers what they are now, whatever is remembered of
    /// them already. So a cache that is never flushed is a history.
    pub(crate) fn remember(&self, store: &Store, position: u64, len: usize) -> Result {
        for_each_page(position, len, |page, _, _| {
            let mut pages = self.pages.lock();
            let slot = pages.note(page).ok_or(EIO)?;
            store.copy_to(
                start_of(page),
                &self.durable,
                start_of_slot(slot),
                PAGE_SIZE,
            )
        })
    }

    /// Calls `f` for each part of the `len` bytes from `position` on of which there is old content: with its offset
    /// from `position`, and the store, position and length of that. Gives whether there was one.
    pub(crate) fn for_each_old(
        &self,
        position: u64,
        len: usize,
        mut f: impl FnMut(usize, &RamStore, u64, usize) -> Result,
    ) -> Result<bool> {
        let (mut done, mut found) = (0, false);
        for_each_page(position, len, |page, offset, len| {
            let mut pages = self.pages.lock();
            if let Some(slot) = pages.slot_of(page) {
                found = true;
                // CAST: `u64` is as wide as `usize`.
                let old = start_of_slot(slot).wrapping_add(offset as u64);
                f(done, &self.durable, old, len)?;
            }
            done = done.wrapping_add(len);
            Ok(())
        })?;
        Ok(found)
    }

    /// The `len` bytes from `position` on were written, and are to be durable in the pages that were noted since
    /// [`WriteCache::before_write`] gave that number; 0: in all.
    pub(crate) fn after_write(
        &self,
        store: &Store,
        position: u64,
        len: usize,
        notes_before: u64,
    ) -> Result {
        if self.pages.lock().notes == notes_before {
            return Ok(());
        }
        for_each_page(position, len, |page, offset, len| {
            let mut pages = self.pages.lock();
            let Some(slot) = pages.slot_of(page) else {
                return Ok(());
            };
            if pages.notes_before(slot) < notes_before {
                return Ok(());
            }
            // CAST: `u64` is as wide as `usize`.
            let place = |start: u64| start.wrapping_add(offset as u64);
            let (from, to) = (place(start_of(page)), place(start_of_slot(slot)));
            store.copy_to(from, &self.durable, to, len)
        })
    }

    /// All that was written is durable.
    pub(crate) fn flush(&self) {
        let mut pages = self.pages.lock();
        pages.flushes = pages.flushes.wrapping_add(1);
    }

    /// The power is off: puts into the store what is durable, where `cut` says so, for blocks of `block_bytes`, a power of two.
    /// Nobody uses the store. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if the store had no memory for a part of it.
    pub(crate) fn lose(&self, store: &Store, cut: PowerCut, block_bytes: usize) -> Result {
        let step = match cut.leaves {
            Leaves::Nothing => PAGE_SIZE,
            Leaves::Blocks => block_bytes,
            Leaves::Torn => SECTOR_BYTES,
        };
        let mut result = Ok(());
        for slot in 0..NO_SLOT {
            // Not over all of them: a cache can be large. And not over the copying, which may sleep.
            let page = {
                let mut pages = self.pages.lock();
                let Some(&Slot { page, .. }) = pages.slot(slot) else {
                    break;
                };
                if pages.slot_of(page) != Some(slot) {
                    continue;
                }
                page
            };
            for offset in (0..PAGE_SIZE).step_by(SECTOR_BYTES) {
                if cut.loses(page, offset & !step.wrapping_sub(1)) {
                    // CAST: `u64` is as wide as `usize`.
                    let place = |start: u64| start.wrapping_add(offset as u64);
                    let (to, from) = (place(start_of(page)), place(start_of_slot(slot)));
                    result = result.and(self.put_back(store, to, from));
                }
            }
        }
        result
    }

    /// Puts a sector of the durable content into the store, if that is another there: writing may take memory that the
    /// store has not.
    fn put_back(&self, store: &Store, to: u64, from: u64) -> Result {
        let (mut now, mut durable) = ([0; SECTOR_BYTES], [0; SECTOR_BYTES]);
        store.read(to, iter::once(Segment::of(&mut now)))?;
        self.durable
            .read(from, iter::once(Segment::of(&mut durable)))?;
        if now == durable {
            return Ok(());
        }
        store.write(to, iter::once(Segment::of(&mut durable)))
    }
}

fn start_of(page: usize) -> u64 {
    // CAST: `u64` is as wide as `usize`.
    (page as u64).wrapping_mul(PAGE_SIZE as u64)
}

/// Where the durable content of a slot begins in the cache.
fn start_of_slot(slot: u32) -> u64 {
    u64::from(slot).wrapping_mul(PAGE_SIZE as u64)
}
