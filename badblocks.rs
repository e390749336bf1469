// SPDX-License-Identifier: GPL-2.0

//! A list of bad blocks: ranges of sectors that cannot be read or written. The list is the kernel's own, the
//! one that md and NVDIMMs use; any number of CPUs look into it at once.
//!
//! C header: [`include/linux/badblocks.h`](srctree/include/linux/badblocks.h)

use crate::bindings;
use core::{
    ops::RangeInclusive,
    ptr::NonNull, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

/// The highest sector that the list can name.
pub(crate) const MAX_SECTOR: u64 = (1 << 54) - 1;

/// How many sectors the list has room for at most: so many ranges, of so many sectors each.
const MAX_SECTORS: u64 = 512 * 512;

/// A list of bad blocks.
///
/// # Examples
///
/// ```ignore
/// let bad = BadBlocks::new()?;
/// bad.add(8..=15)?;
/// if let Some(range) = bad.first_in(0, 64) {
///     pr_info!("cannot read from sector {} on\n", range.start());
/// }
/// ```
///
/// # Invariants
///
/// It points to an initialised `struct badblocks` that this value owns.
pub(crate) struct BadBlocks(NonNull<bindings::badblocks>);

// SAFETY: The list is not bound to a thread.
unsafe impl Send for BadBlocks {}
// SAFETY: The list is guarded by a seqlock of its own.
unsafe impl Sync for BadBlocks {}

impl BadBlocks {
    /// An empty list. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: The function only allocates.
        let list = unsafe { bindings::rnullblk_badblocks_new() };
        // INVARIANT: The list was just made.
        NonNull::new(list).map(Self).ok_or(ENOMEM)
    }

    /// Whether there are any.
    pub(crate) fn are_there(&self) -> bool {
        // SAFETY: By the type's invariant.
        unsafe { bindings::rnullblk_badblocks_any(self.0.as_ptr()) }
    }

    /// The first range of bad sectors within the `sectors` sectors from `sector` on.
    pub(crate) fn first_in(&self, sector: u64, sectors: u64) -> Option<RangeInclusive<u64>> {
        let (mut first, mut count) = (0, 0);
        if sectors == 0 {
            return None;
        }
        // SAFETY: By the type's invariant; the results are valid for writes.
        let found = unsafe {
            bindings::badblocks_check(self.0.as_ptr(), sector, sectors, &mut first, &mut count)
        };
        let last = first.saturating_add(count.saturating_sub(1));
        (found != 0).then_some(first..=last)
    }

    /// Adds sectors to the list.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there are none or one is above [`MAX_SECTOR`], `ENOSPC` if the list is full.
    pub(crate) fn add(&self, sectors: RangeInclusive<u64>) -> Result {
        let (first, count) = Self::first_and_count(sectors)?;
        if count > MAX_SECTORS {
            return Err(ENOSPC);
        }
        // SAFETY: By the type's invariant.
        let done = unsafe { bindings::badblocks_set(self.0.as_ptr(), first, count, 1) };
        done.then_some(()).ok_or(ENOSPC)
    }

    /// Takes sectors from the list; those that are not in it are no error. Not in an interrupt, and not while
    /// interrupts are off.
    ///
    /// # Errors
    ///
    /// As [`BadBlocks::add`]: what is left of a range may need more room.
    pub(crate) fn clear(&self, sectors: RangeInclusive<u64>) -> Result {
        Self::first_and_count(sectors.clone())?;
        let (mut from, end) = sectors.into_inner();
        // Range by range: the kernel counts sectors in an `int`, and of 2^32 it would clear none, and never end (7.3:
        // `_badblocks_clear`).
        while let Some(bad) = self.next(from).filter(|bad| *bad.start() <= end) {
            let part = from.max(*bad.start())..=end.min(*bad.end());
            from = part.end().wrapping_add(1);
            let (first, count) = Self::first_and_count(part)?;
            // SAFETY: By the type's invariant.
            let done = unsafe { bindings::badblocks_clear(self.0.as_ptr(), first, count) };
            done.then_some(()).ok_or(ENOSPC)?;
            if from > end {
                break;
            }
        }
        Ok(())
    }

    /// The first range of the list that does not end before `sector`.
    fn next(&self, sector: u64) -> Option<RangeInclusive<u64>> {
        let (mut first, mut last) = (0, 0);
        // SAFETY: By the type's invariant; the results are valid for writes.
        let found = unsafe {
            bindings::rnullblk_badblocks_next(self.0.as_ptr(), sector, &mut first, &mut last)
        };
        found.then_some(first..=last)
    }

    fn first_and_count(sectors: RangeInclusive<u64>) -> Result<(u64, u64)> {
        let (first, last) = sectors.into_inner();
        if last > MAX_SECTOR {
            return Err(EINVAL);
        }
        let count = last.checked_sub(first).ok_or(EINVAL)?;
        Ok((first, count.wrapping_add(1)))
    }

    /// Writes the list, a line `FIRST COUNT` for each range, and gives the length: as many whole lines as fit.
    pub(crate) fn show(&self, page: &mut [u8; PAGE_SIZE]) -> usize {
        // SAFETY: By the type's invariant; the buffer has room for a page, and no more is written.
        let shown =
            unsafe { bindings::badblocks_show(self.0.as_ptr(), page.as_mut_ptr().cast(), 0) };
        // What the function gives is the length that there would be if the last line had room.
        let shown = usize::try_from(shown).unwrap_or(0).min(PAGE_SIZE);
        let text = page.get(..shown).unwrap_or(&[]);
        let end_of_last_line = text.iter().rposition(|byte| *byte == b'\n');
        end_of_last_line.map_or(0, |end| end.wrapping_add(1))
    }
}

impl Drop for BadBlocks {
    fn drop(&mut self) {
        // SAFETY: By the type's invariant.
        unsafe { bindings::rnullblk_badblocks_free(self.0.as_ptr()) };
    }
}
