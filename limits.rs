// SPDX-License-Identifier: GPL-2.0

//! What a disk tells the block layer about the requests it wants.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h), `struct queue_limits`.

use crate::bindings;
use kernel::{
    fmt,
    prelude::*, //
};

/// Log2 of the size of a sector, the unit of all positions and lengths of the block layer.
pub(crate) const SECTOR_SHIFT: u32 = bindings::SECTOR_SHIFT;

/// The size of a page, as wide as the limits are.
const PAGE_SIZE: u32 = 1 << bindings::PAGE_SHIFT;

/// The limits of a disk: `struct queue_limits`.
///
/// A limit that is not set has the block layer's default, which is often an old and small one.
/// Each setter refuses what the block layer would refuse or warn of: with `EINVAL`, and a
/// line in the log that names the limit, the value, and what is allowed. Limits that do not go
/// together are refused the same way when a [disk](crate::disk::NewDisk) is made with them. What the
/// block layer rounds is said at the setter.
///
/// Not here: what belongs to zones and to integrity data, which a driver could not reach yet; and
/// what blk-mq sets itself (polling, statistics, no waiting).
///
/// # Examples
///
/// ```ignore
/// let limits = QueueLimits::new()
///     .logical_block_size(4096)?
///     .max_hw_sectors(8192)?
///     .atomic_write_max_bytes(65536)?
///     .atomic_writes(true)
///     .rotational(false);
/// ```
pub(crate) struct QueueLimits(bindings::queue_limits);

/// Defines setters that take one number and check it.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty = |$value:ident| $check:expr, $allowed:literal
        => $($field:ident)|+ = $stored:expr;)*) => {$(
        $(#[$doc])*
        pub(crate) fn $name(mut self, $value: $type) -> Result<Self> {
            check(stringify!($name), $value, $check, $allowed)?;
            $(self.0.$field = $stored;)+
            Ok(self)
        }
    )*};
}

/// Defines setters that switch a feature on or off.
macro_rules! features {
    ($($(#[$doc:meta])* $name:ident = $feature:ident;)*) => {$(
        $(#[$doc])*
        pub(crate) fn $name(mut self, yes: bool) -> Self {
            if yes {
                self.0.features |= bindings::$feature;
            } else {
                self.0.features &= !bindings::$feature;
            }
            self
        }
    )*};
}

fn check(name: &str, value: impl fmt::Display, is_valid: bool, allowed: &str) -> Result {
    if !is_valid {
        pr_err!("limit {name}={value} refused: allowed is {allowed}\n");
        return Err(EINVAL);
    }
    Ok(())
}

fn is_block_size(bytes: u32) -> bool {
    (bindings::SECTOR_SIZE..=bindings::BLK_MAX_BLOCK_SIZE).contains(&bytes)
        && bytes.is_power_of_two()
}

/// 0, or one less than a power of two that is at least a page.
fn is_page_mask(mask: usize) -> bool {
    // CAST: A page's size fits.
    mask == 0 || (mask >= PAGE_SIZE as usize - 1 && mask & mask.wrapping_add(1) == 0)
}

impl QueueLimits {
    /// The block layer's defaults.
    pub(crate) fn new() -> Self {
        Self(pin_init::zeroed())
    }

    /// For the kernel's functions.
    ///
    /// # Errors
    ///
    /// `EINVAL` if limits do not go together.
    pub(crate) fn into_raw(mut self) -> Result<bindings::queue_limits> {
        let limits = &mut self.0;
        let block = limits.logical_block_size.max(bindings::SECTOR_SIZE);
        let max_hw_sectors = match limits.max_hw_sectors {
            0 => bindings::blk_default_limits_BLK_SAFE_MAX_SECTORS,
            sectors => sectors,
        };
        check(
            "max_hw_sectors",
            max_hw_sectors,
            max_hw_sectors >= block >> SECTOR_SHIFT,
            "at least a logical block",
        )?;
        if limits.max_hw_wzeroes_unmap_sectors != 0 {
            limits.max_hw_wzeroes_unmap_sectors = limits.max_write_zeroes_sectors;
        }
        if limits.features & bindings::BLK_FEAT_ATOMIC_WRITES != 0 {
            Self::check_atomic_writes(limits, block)?;
        } else {
            let most = limits.atomic_write_hw_max;
            check(
                "atomic_write_max_bytes",
                most,
                most == 0,
                "0 without atomic_writes",
            )?;
        }
        Ok(self.0)
    }

    /// Fills in what follows from the rest, and checks what the kernel would warn of.
    fn check_atomic_writes(limits: &mut bindings::queue_limits, block: u32) -> Result {
        let most = limits.atomic_write_hw_max;
        let boundary = limits.atomic_write_hw_boundary;
        let chunk = limits.chunk_sectors;
        let (min, max) = (
            &mut limits.atomic_write_hw_unit_min,
            &mut limits.atomic_write_hw_unit_max,
        );
        if *min == 0 {
            *min = block;
        }
        if *max == 0 {
            *max = most;
        }
        check(
            "atomic_write_unit_max_bytes",
            *max,
            (*min..=most).contains(max),
            "from atomic_write_unit_min_bytes to atomic_write_max_bytes",
        )?;
        check(
            "atomic_write_max_bytes",
            most,
            chunk == 0 || most >> SECTOR_SHIFT <= chunk,
            "no more than chunk_sectors",
        )?;
        let boundary_sectors = boundary >> SECTOR_SHIFT;
        let divides = |a: u32, b: u32| b.checked_rem(a) == Some(0);
        check(
            "atomic_write_boundary_bytes",
            boundary,
            boundary == 0
                || boundary >= most
                    && (chunk == 0
                        || divides(chunk, boundary_sectors)
                        || divides(boundary_sectors, chunk)),
            "at least atomic_write_max_bytes, and a multiple or a divisor of chunk_sectors",
        )
    }

    setters! {
        /// The size of a logical block in bytes: the smallest I/O. A power of two from 512 on.
        logical_block_size: u32 = |bytes| is_block_size(bytes),
            "a power of two from 512 to the largest block of the kernel"
            => logical_block_size = bytes;

        /// The size of a physical block in bytes: what a write changes at once. A power of two; a
        /// smaller one than the logical block has no effect.
        physical_block_size: u32 = |bytes| bytes >= 512 && bytes.is_power_of_two(),
            "a power of two from 512 on"
            => physical_block_size = bytes;

        /// How far the first physical block begins before the disk does, in bytes; what counts is the
        /// rest by a physical block.
        alignment_offset: u32 = |bytes| bytes % 512 == 0, "a multiple of 512"
            => alignment_offset = bytes;

        /// The smallest preferred I/O in bytes; at least a physical block in effect.
        io_min: u32 = |bytes| bytes % 512 == 0, "a multiple of 512" => io_min = bytes;

        /// The preferred size of an I/O in bytes; 0 if there is none. It sets the read-ahead, and
        /// file systems lay stripes out by it. Rounded down to a physical block.
        io_opt: u32 = |bytes| bytes % 512 == 0, "a multiple of 512" => io_opt = bytes;

        /// The longest read or write in sectors, at least a page: what users can raise
        /// `max_sectors_kb` to. Rounded down to a logical block.
        max_hw_sectors: u32 = |sectors| sectors >= PAGE_SIZE >> SECTOR_SHIFT,
            "at least a page" => max_hw_sectors = sectors;

        /// The longest read or write in sectors that the attached device takes, where that is less
        /// than its host does. 0: as the host.
        max_dev_sectors: u32 = |sectors| sectors == 0 || sectors >= PAGE_SIZE >> SECTOR_SHIFT,
            "0, or at least a page" => max_dev_sectors = sectors;

        /// The sectors of a chunk that no request may cross the end of; 0 if there is none.
        chunk_sectors: u32 = |_sectors| true, "any" => chunk_sectors = _sectors;

        /// The most segments of a request.
        max_segments: u16 = |count| count != 0, "1 to 65535" => max_segments = count;

        /// The longest segment in bytes, at least a page.
        max_segment_size: u32 = |bytes| bytes >= PAGE_SIZE, "at least a page"
            => max_segment_size = bytes;

        /// No segment crosses an address with these bits all zero; one less than a power of two.
        /// 0: the default, 4 GiB - 1.
        seg_boundary_mask: usize = |mask| is_page_mask(mask),
            "0, or a power of two from the size of a page on, less 1" => seg_boundary_mask = mask;

        /// Within a request only the first segment may begin, and only the last may end, off an
        /// address with these bits all zero. 0: no such rule.
        virt_boundary_mask: usize = |mask| mask == 0 || mask & mask.wrapping_add(1) == 0,
            "0, or a power of two less 1" => virt_boundary_mask = mask;

        /// What the address and the length of a segment must be a multiple of, in bytes: a power
        /// of two from 2 to a page.
        dma_alignment: u32 = |bytes| (2..=PAGE_SIZE).contains(&bytes) && bytes.is_power_of_two(),
            "a power of two from 2 to the size of a page" => dma_alignment = bytes - 1;

        /// The longest discard in sectors; 0 (the default): the disk cannot discard.
        max_discard_sectors: u32 = |_sectors| true, "any" => max_hw_discard_sectors = _sectors;

        /// The block in bytes that a discard should be aligned to; at least a physical block in
        /// effect.
        discard_granularity: u32 = |bytes| bytes % 512 == 0, "a multiple of 512"
            => discard_granularity = bytes;

        /// How far the first such block begins after the disk does, in bytes.
        discard_alignment: u32 = |bytes| bytes % 512 == 0, "a multiple of 512"
            => discard_alignment = bytes;

        /// The most ranges of a discard; 0: 1. A [`Request`](crate::request::Request) is one range, so there are no more.
        max_discard_segments: u16 = |count| count <= 1, "0 or 1" => max_discard_segments = count;

        /// The longest secure erase in sectors; 0 (the default): there is none.
        max_secure_erase_sectors: u32 = |_sectors| true, "any"
            => max_secure_erase_sectors = _sectors;

        /// The longest write-zeroes in sectors; 0 (the default): the block layer writes zeroes
        /// itself.
        max_write_zeroes_sectors: u32 = |_sectors| true, "any"
            => max_write_zeroes_sectors = _sectors;

        /// How many streams writes can be marked with; 0 (the default): none.
        max_write_streams: u16 = |_count| true, "any" => max_write_streams = _count;

        /// The bytes that a stream is released in; 0: not said.
        write_stream_granularity: u32 = |bytes| bytes % 512 == 0, "a multiple of 512"
            => write_stream_granularity = bytes;

        /// What the end of a request's data is filled up to, less 1: a power of two less 1.
        dma_pad_mask: u32 = |mask| mask & mask.wrapping_add(1) == 0, "a power of two less 1"
            => dma_pad_mask = mask;

        /// The most bytes that writes which happen as a whole or not at all may be merged to; 0 (the
        /// default): there are none. Cut to what the longest request is sure to take.
        atomic_write_max_bytes: u32 = |bytes| bytes == 0 || is_power_of_sectors(bytes),
            "0, or a power of two from 512 on" => atomic_write_hw_max = bytes;

        /// The shortest of such writes; without it: a logical block.
        atomic_write_unit_min_bytes: u32 = |bytes| is_power_of_sectors(bytes),
            "a power of two from 512 on" => atomic_write_hw_unit_min = bytes;

        /// The longest of such writes; without it: as `atomic_write_max_bytes`.
        atomic_write_unit_max_bytes: u32 = |bytes| is_power_of_sectors(bytes),
            "a power of two from 512 on" => atomic_write_hw_unit_max = bytes;

        /// No such write crosses a multiple of this; 0 (the default): they may.
        atomic_write_boundary_bytes: u32 = |bytes| bytes == 0 || is_power_of_sectors(bytes),
            "0, or a power of two from 512 on" => atomic_write_hw_boundary = bytes;
    }

    /// A write-zeroes may give the blocks back: it is quick, and what it zeroed takes no room.
    pub(crate) fn write_zeroes_unmaps(mut self, yes: bool) -> Self {
        // Its length is that of a write-zeroes, which may be set later.
        self.0.max_hw_wzeroes_unmap_sectors = if yes { u32::MAX } else { 0 };
        self
    }

    features! {
        /// The disk has a volatile write cache: the block layer sends flushes, which it otherwise
        /// keeps to itself.
        write_cache = BLK_FEAT_WRITE_CACHE;

        /// The disk knows forced unit access. Without a write cache it has no effect.
        fua = BLK_FEAT_FUA;

        /// The disk turns: seeks cost.
        rotational = BLK_FEAT_ROTATIONAL;

        /// The pages of a write must not change until it ends.
        stable_writes = BLK_FEAT_STABLE_WRITES;

        /// I/O ends in the call that submits it.
        synchronous = BLK_FEAT_SYNCHRONOUS;

        /// The times of its interrupts feed the random number generator.
        add_random = BLK_FEAT_ADD_RANDOM;

        /// The disk can write atomically; see
        /// [`atomic_write_max_bytes`](Self::atomic_write_max_bytes).
        atomic_writes = BLK_FEAT_ATOMIC_WRITES;
    }
}

fn is_power_of_sectors(bytes: u32) -> bool {
    bytes >= bindings::SECTOR_SIZE && bytes.is_power_of_two()
}
