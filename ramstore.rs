// SPDX-License-Identifier: GPL-2.0

//! The memory that a RAM disk keeps its data in: bounds, copy in, copy out, zero.
//!
//! The store is shared with nobody but its device, yet several CPUs may copy to and from the same
//! bytes at once, as they may on any disk: then any mix of the two is right. So the bytes are never
//! seen as a Rust slice. They are moved by the kernel's own `memcpy` and `memset`, which are C:
//! to the compiler these are calls out of the language, so two of them at once are the kernel
//! memory model's business and no data race in Rust.
//!
//! C header: [`include/linux/vmalloc.h`](srctree/include/linux/vmalloc.h)

use crate::{
    bindings,
    segment::Segment, //
};
use core::ptr::NonNull;
use kernel::prelude::*;

/// How much memory a new store can expect to get without pushing others out, in bytes.
pub(crate) fn available_bytes() -> u64 {
    // SAFETY: The function only adds counters up.
    let pages = unsafe { bindings::si_mem_available() };
    u64::try_from(pages).unwrap_or(0) << bindings::PAGE_SHIFT
}

/// Whether `node` is the number of a NUMA node that has memory.
pub(crate) fn node_has_memory(node: i32) -> bool {
    // SAFETY: The function takes any number.
    unsafe { bindings::rnullblk_node_has_memory(node) }
}

/// A linear store: one region of virtually contiguous memory, in huge pages where the kernel has
/// them, that is all there from the start. So reading and writing cannot fail for want of memory,
/// allocate nothing, take no lock and never sleep.
///
/// # Invariants
///
/// `start` is the start of `len` bytes from `vmalloc_huge_node` that this value owns. They are
/// initialised.
pub(crate) struct RamStore {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: The memory may be used from any thread.
unsafe impl Send for RamStore {}
// SAFETY: Shared access copies through the kernel's `memcpy`, and may do so from several CPUs at
// once; see the module's page.
unsafe impl Sync for RamStore {}

impl RamStore {
    /// Allocates `len` bytes of zeroes on the NUMA node `node`
    /// ([`NO_NODE`](crate::tagset::NO_NODE): any). Takes as long as zeroing takes.
    ///
    /// # Errors
    ///
    /// `ENOMEM`. The kernel tries hard, but kills no process for it.
    pub(crate) fn new(len: usize, node: i32) -> Result<Self> {
        let flags = bindings::GFP_KERNEL
            | bindings::__GFP_ZERO
            | bindings::__GFP_NOWARN
            | bindings::__GFP_RETRY_MAYFAIL;
        // SAFETY: The function takes any size and node that `node_has_memory` or `NO_NODE` allow;
        // the memory is owned by the value made here.
        let start = unsafe { bindings::vmalloc_huge_node_noprof(len, flags, node) };
        // INVARIANT: The memory is fresh, `len` bytes long, and zeroed.
        Ok(Self {
            start: NonNull::new(start.cast()).ok_or(ENOMEM)?,
            len,
        })
    }

    /// The address of the `len` bytes from `position` on: the one place where bounds are checked.
    #[inline(always)]
    fn locate(&self, position: u64, len: usize) -> Result<*mut u8> {
        let position = usize::try_from(position).map_err(|_| EIO)?;
        if position > self.len || len > self.len - position {
            return Err(EIO);
        }
        // SAFETY: `position` lies within the region or at its end.
        Ok(unsafe { self.start.as_ptr().add(position) })
    }

    /// Copies the `len` bytes from `position` on into `segments`, which are as long together.
    ///
    /// # Errors
    ///
    /// `EIO` if the range is not within the store; then no byte is copied.
    #[inline(always)]
    pub(crate) fn read<'a>(
        &self,
        position: u64,
        len: usize,
        segments: impl Iterator<Item = Segment<'a>>,
    ) -> Result {
        self.copy(position, len, segments, |at, segment| {
            // SAFETY: `copy` gives `segment.len()` bytes of the store; the segment is valid for
            // writes of as many by its invariant. A segment may overlap the store only if the
            // device is used as its own buffer, through no interface of the kernel.
            unsafe { bindings::memcpy(segment.as_ptr().cast(), at.cast(), segment.len()) };
        })
    }

    /// Copies `segments`, which are `len` bytes together, to the bytes from `position` on.
    ///
    /// # Errors
    ///
    /// As [`RamStore::read`].
    #[inline(always)]
    pub(crate) fn write<'a>(
        &self,
        position: u64,
        len: usize,
        segments: impl Iterator<Item = Segment<'a>>,
    ) -> Result {
        self.copy(position, len, segments, |at, segment| {
            // SAFETY: As in `read`, the other way round.
            unsafe { bindings::memcpy(at.cast(), segment.as_ptr().cast(), segment.len()) };
        })
    }

    /// Walks over the `len` bytes from `position` on, a segment's length at a time.
    #[inline(always)]
    fn copy<'a>(
        &self,
        position: u64,
        len: usize,
        segments: impl Iterator<Item = Segment<'a>>,
        copy_one: impl Fn(*mut u8, &Segment<'a>),
    ) -> Result {
        let mut at = self.locate(position, len)?;
        let mut left = len;
        for segment in segments {
            left = left.checked_sub(segment.len()).ok_or(EIO)?;
            copy_one(at, &segment);
            // SAFETY: `locate` found `len` bytes, and `left` says that they are not used up.
            at = unsafe { at.add(segment.len()) };
        }
        Ok(())
    }

    /// Copies all of another store to the beginning of this one.
    ///
    /// # Errors
    ///
    /// `EIO` if the other one is longer; then no byte is copied.
    pub(crate) fn copy_from(&mut self, other: &Self) -> Result {
        let at = self.locate(0, other.len)?;
        // SAFETY: `locate` found `other.len` bytes, and two stores do not overlap.
        unsafe { bindings::memcpy(at.cast(), other.start.as_ptr().cast(), other.len) };
        Ok(())
    }

    /// Makes the `len` bytes from `position` on read as zeroes.
    ///
    /// # Errors
    ///
    /// `EIO` if the range is not within the store; then no byte is changed.
    #[inline(always)]
    pub(crate) fn zero(&self, position: u64, len: usize) -> Result {
        let at = self.locate(position, len)?;
        // SAFETY: `locate` found `len` bytes of the store.
        unsafe { bindings::memset(at.cast(), 0, len) };
        Ok(())
    }

    /// Forgets the `len` bytes from `position` on; they read as zeroes. A linear store gives no
    /// memory back.
    ///
    /// # Errors
    ///
    /// As [`RamStore::zero`].
    #[inline(always)]
    pub(crate) fn discard(&self, position: u64, len: usize) -> Result {
        self.zero(position, len)
    }
}

impl Drop for RamStore {
    fn drop(&mut self) {
        // SAFETY: By the type's invariant the memory comes from vmalloc and is ours.
        unsafe { bindings::vfree(self.start.as_ptr().cast()) };
    }
}
