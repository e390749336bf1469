// SPDX-License-Identifier: GPL-2.0

//! The memory that a RAM disk keeps its data in: bounds, copy in, copy out, zero.
//!
//! Several CPUs may copy to and from the same bytes at once, as they may on any disk: then any mix of the two is
//! right. It makes no difference whether they come through two hardware queues of one device, or through two devices
//! that share the store. So the bytes are never seen as a Rust slice. They are moved by the kernel's own `memcpy` and `memset`, which are C:
//! to the compiler these are calls out of the language, so two of them at once are the kernel
//! memory model's business and no data race in Rust.
//!
//! C header: [`include/linux/slab.h`](srctree/include/linux/slab.h)

use crate::{
    bindings,
    segment::{
        Direction,
        FromDevice,
        Segment,
        ToDevice, //
    }, //
};
use core::ptr::NonNull;
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        atomic::Acquire,
        Arc,
        Refcount, //
    },
};

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

/// The CRC-32C of `bytes`, beginning with `crc`: of a whole the result and its beginning are inverted.
pub(crate) fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    // SAFETY: The function reads these bytes.
    unsafe { bindings::crc32c(crc, bytes.as_ptr().cast(), bytes.len()) }
}

/// The unit in which a store has its memory, and which bounds its size.
const CHUNK_BYTES: usize = 1 << CHUNK_SHIFT;
const CHUNK_SHIFT: u32 = 20;

/// `CHUNK_BYTES` bytes of zeroes, contiguous in physical memory where the kernel has as much, and then
/// mapped in large pages.
///
/// # Invariants
///
/// It points to `CHUNK_BYTES` initialised bytes from kmalloc or vmalloc that this value owns, or that the chunks at its
/// place in all stores which share them own together: of these only the last one is dropped.
struct Chunk(NonNull<u8>);

impl Chunk {
    /// Looks for contiguous memory without much ado, and else for pages: for these the kernel tries hard,
    /// but kills no process.
    fn new(node: i32) -> Result<Self> {
        let flags = bindings::GFP_KERNEL | bindings::__GFP_ZERO | bindings::__GFP_NOWARN;
        let contiguous = flags | bindings::__GFP_NORETRY;
        let pages = flags | bindings::__GFP_RETRY_MAYFAIL;
        // SAFETY: The functions take any size and node that `node_has_memory` or `NO_NODE` allow.
        let start = unsafe {
            NonNull::new(bindings::rnullblk_kmalloc_node(
                CHUNK_BYTES,
                contiguous,
                node,
            ))
            .or_else(|| NonNull::new(bindings::rnullblk_vmalloc_node(CHUNK_BYTES, pages, node)))
        };
        // INVARIANT: The memory is fresh and zeroed, and the value made here owns it.
        Ok(Self(start.ok_or(ENOMEM)?.cast()))
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: By the type's invariant; the function frees either.
        unsafe { bindings::kvfree(self.0.as_ptr().cast()) };
    }
}

/// A store whose memory is all there from the start. So reading and writing cannot fail for want of
/// memory, allocate nothing, take no lock and never sleep.
///
/// It consists of chunks of 1 MiB. One region from vmalloc would need no table of them, but the kernel
/// keeps a pointer for each page of such a region: 0.2 % more memory. And it could not grow in its place.
pub(crate) struct RamStore {
    chunks: KVVec<Chunk>,
    /// The number of stores whose chunks these are, all of the same size; `None`: nobody else's ever.
    sharers: Option<Arc<Refcount>>,
}

// SAFETY: The memory may be used from any thread.
unsafe impl Send for RamStore {}
// SAFETY: Shared access copies through the kernel's `memcpy`, and may do so from several CPUs at
// once; see the module's page.
unsafe impl Sync for RamStore {}

/// The memory for a store to grow, and a table with room for all; see [`RamStore::prepare_growth`].
pub(crate) struct Growth {
    table: KVVec<Chunk>,
    more: RamStore,
}

impl RamStore {
    /// Allocates `mib` MiB of zeroes on the NUMA node `node` ([`NO_NODE`](crate::tagset::NO_NODE):
    /// any). Takes as long as zeroing takes.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINTR` if the task is to end.
    pub(crate) fn new(mib: usize, node: i32) -> Result<Self> {
        let mut chunks = KVVec::with_capacity(mib, GFP_KERNEL)?;
        for _ in 0..mib {
            // SAFETY: There is a current task.
            if unsafe { bindings::rnullblk_is_killed() } {
                return Err(EINTR);
            }
            chunks.push(Chunk::new(node)?, GFP_KERNEL)?;
        }
        Ok(Self {
            chunks,
            sharers: None,
        })
    }

    /// Allocates what a store needs to grow by `more_mib` to `mib` MiB. Errors as [`RamStore::new`].
    pub(crate) fn prepare_growth(more_mib: usize, mib: usize, node: i32) -> Result<Growth> {
        Ok(Growth {
            table: KVVec::with_capacity(mib, GFP_KERNEL)?,
            more: Self::new(more_mib, node)?,
        })
    }

    /// Grows. Allocates nothing, and no data moves; what is left in `growth` can go at any time.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the growth is not for a store of this size, or the store is shared; then it is as it was.
    pub(crate) fn grow(&mut self, growth: &mut Growth) -> Result {
        let Growth { table, more } = growth;
        let mib = self.chunks.len().saturating_add(more.chunks.len());
        if self.is_shared() || table.capacity() < mib {
            return Err(EBUSY);
        }
        for part in [&mut self.chunks, &mut more.chunks] {
            for chunk in part.drain_all() {
                table.push_within_capacity(chunk)?;
            }
        }
        core::mem::swap(&mut self.chunks, table);
        Ok(())
    }

    /// An empty store with room for `mib` MiB; see [`RamStore::shrink`].
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn with_room(mib: usize) -> Result<Self> {
        Ok(Self {
            chunks: KVVec::with_capacity(mib, GFP_KERNEL)?,
            sharers: None,
        })
    }

    /// Makes it smaller, in MiB, and moves the rest to `cut`, in no order: its memory can go at any time.
    /// Allocates nothing.
    ///
    /// # Errors
    ///
    /// `EBUSY` if `cut` has not the room, or the store is shared; then it is as it was.
    pub(crate) fn shrink(&mut self, mib: usize, cut: &mut Self) -> Result {
        let room = cut.chunks.capacity().saturating_sub(cut.chunks.len());
        let surplus = self.chunks.len().saturating_sub(mib);
        if room < surplus || (surplus != 0 && self.is_shared()) {
            return Err(EBUSY);
        }
        while self.chunks.len() > mib {
            let Some(chunk) = self.chunks.pop() else {
                break;
            };
            cut.chunks.push_within_capacity(chunk)?;
        }
        Ok(())
    }

    /// Another store with the same memory: what is written to one is read from the other. The memory is there as long
    /// as one of them is, and none changes its size while there is another.
    ///
    /// # Errors
    ///
    /// `ENOMEM` for the table of chunks.
    pub(crate) fn share(&mut self) -> Result<Self> {
        let chunks = KVVec::with_capacity(self.chunks.len(), GFP_KERNEL)?;
        let sharers = match &self.sharers {
            Some(sharers) => sharers.clone(),
            None => Arc::new(Refcount::new(1), GFP_KERNEL)?,
        };
        self.sharers = Some(sharers.clone());
        // From here on neither store frees a chunk that the other one has.
        sharers.inc();
        let mut other = Self {
            chunks,
            sharers: Some(sharers),
        };
        for chunk in &self.chunks {
            // INVARIANT: Both own it. There is room, so this does not fail.
            other.chunks.push_within_capacity(Chunk(chunk.0))?;
        }
        Ok(other)
    }

    /// Whether there is another store with the same memory. A store that has the answer no keeps it: only
    /// [`RamStore::share`] makes another.
    pub(crate) fn is_shared(&self) -> bool {
        // Acquire: what the others did to the memory is over.
        self.sharers
            .as_ref()
            .is_some_and(|sharers| sharers.as_atomic().load(Acquire) != 1)
    }

    /// The size in MiB.
    pub(crate) fn mib(&self) -> usize {
        self.chunks.len()
    }

    /// Copies `len` bytes from `other_position` of another store to `position` of this one.
    ///
    /// # Errors
    ///
    /// `EIO` where either ends; what comes before that is copied.
    pub(crate) fn copy_from(
        &self,
        position: u64,
        other: &Self,
        other_position: u64,
        len: usize,
    ) -> Result {
        let mut from = other_position;
        let mut result = Ok(());
        self.for_each_piece(position, len, |mut at, len| {
            let copied = other.for_each_piece(from, len, |source, len| {
                // SAFETY: Both have `len` bytes there; `memmove` takes any two. All pieces together are as long as
                // the outer one.
                unsafe {
                    bindings::memmove(at.cast(), source.cast(), len);
                    at = at.add(len);
                }
            });
            result = result.and(copied);
            // CAST: `u64` is as wide as `usize`.
            from = from.wrapping_add(len as u64);
        })?;
        result
    }

    /// Copies from `position` on into `segments`.
    ///
    /// # Errors
    ///
    /// `EIO` where the store ends; what comes before that is copied.
    #[inline(always)]
    pub(crate) fn read<'a>(
        &self,
        position: u64,
        segments: impl Iterator<Item = Segment<'a, FromDevice>>,
    ) -> Result {
        self.copy(position, segments, |at, buffer, len| {
            // SAFETY: `copy` gives `len` bytes of the store and as many of a segment, which is valid
            // for writes by its invariant and direction. A segment may overlap the store only if the device is
            // used as its own buffer, through no interface of the kernel.
            unsafe { bindings::memcpy(buffer.cast_mut().cast(), at.cast(), len) };
        })
    }

    /// Copies `segments` to the bytes from `position` on.
    ///
    /// # Errors
    ///
    /// As [`RamStore::read`].
    #[inline(always)]
    pub(crate) fn write<'a>(
        &self,
        position: u64,
        segments: impl Iterator<Item = Segment<'a, ToDevice>>,
    ) -> Result {
        self.copy(position, segments, |at, buffer, len| {
            // SAFETY: As in `read`, the other way round.
            unsafe { bindings::memcpy(at.cast(), buffer.cast(), len) };
        })
    }

    /// Makes the `len` bytes from `position` on read as zeroes.
    ///
    /// # Errors
    ///
    /// `EIO` where the store ends; what comes before that is zeroed.
    #[inline(always)]
    pub(crate) fn zero(&self, position: u64, len: usize) -> Result {
        self.for_each_piece(position, len, |at, len| {
            // SAFETY: These are `len` bytes of the store.
            unsafe { bindings::memset(at.cast(), 0, len) };
        })
    }

    /// Calls `copy_one` for each contiguous piece of the store and of a segment, with the address of
    /// either and the length of both.
    #[inline(always)]
    fn copy<'a, D: Direction>(
        &self,
        mut position: u64,
        segments: impl Iterator<Item = Segment<'a, D>>,
        copy_one: impl Fn(*mut u8, *const u8, usize),
    ) -> Result {
        for segment in segments {
            let mut buffer = segment.as_ptr();
            self.for_each_piece(position, segment.len(), |at, len| {
                copy_one(at, buffer, len);
                // SAFETY: All pieces together are as long as the segment.
                buffer = unsafe { buffer.add(len) };
            })?;
            // CAST: `u64` is as wide as `usize`.
            position = position.wrapping_add(segment.len() as u64);
        }
        Ok(())
    }

    /// Calls `f` for each contiguous piece of the `len` bytes from `position` on, with its address and
    /// length. No byte beyond the store is touched, whatever the caller has checked.
    ///
    /// # Errors
    ///
    /// `EIO` where the store ends.
    #[inline(always)]
    pub(crate) fn for_each_piece(
        &self,
        position: u64,
        len: usize,
        mut f: impl FnMut(*mut u8, usize),
    ) -> Result {
        let mut position = usize::try_from(position).map_err(|_| EIO)?;
        let mut left = len;
        while left != 0 {
            let chunk = self.chunks.get(position >> CHUNK_SHIFT).ok_or(EIO)?;
            let offset = position & (CHUNK_BYTES - 1);
            let piece = left.min(CHUNK_BYTES - offset);
            // SAFETY: The chunk has `offset + piece` bytes.
            f(unsafe { chunk.0.as_ptr().add(offset) }, piece);
            left -= piece;
            position = position.wrapping_add(piece);
        }
        Ok(())
    }
}

impl Drop for RamStore {
    fn drop(&mut self) {
        let Some(sharers) = &self.sharers else {
            return;
        };
        if !sharers.dec_and_test() {
            // The chunks are the others'.
            self.chunks.drain_all().for_each(core::mem::forget);
        }
    }
}

/// Calls `f` with the number of each page that the range touches, and the part of it, by offset and length.
#[inline(always)]
pub(crate) fn for_each_page(
    position: u64,
    len: usize,
    mut f: impl FnMut(usize, usize, usize) -> Result,
) -> Result {
    let mut position = usize::try_from(position)?;
    let mut left = len;
    while left != 0 {
        let offset = position % PAGE_SIZE;
        let part = left.min(PAGE_SIZE - offset);
        f(position / PAGE_SIZE, offset, part)?;
        left -= part;
        position = position.wrapping_add(part);
    }
    Ok(())
}
