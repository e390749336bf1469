// SPDX-License-Identifier: GPL-2.0

//! A disk: the block device that users see, and what it tells the block layer of its limits.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use crate::{
    bindings,
    queue::Operations,
    tagset::TagSet, //
};
use core::ptr::NonNull;
use kernel::{
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*,
    sync::Arc,
    types::{
        ForeignOwnable,
        ScopeGuard, //
    },
};

/// Log2 of the size of a sector, the unit of all positions and lengths of the block layer.
pub(crate) const SECTOR_SHIFT: u32 = bindings::SECTOR_SHIFT;

/// What a disk tells the block layer about the requests it wants: `struct queue_limits`.
///
/// A limit that is not set has the block layer's default, which is often an old and small one.
/// Each setter refuses what the block layer would refuse, or warn of, with `EINVAL`.
///
/// # Examples
///
/// ```ignore
/// let limits = QueueLimits::new()
///     .block_size(4096)?
///     .max_hw_sectors(8192)?
///     .dma_alignment(4)?;
/// ```
pub(crate) struct QueueLimits(bindings::queue_limits);

impl QueueLimits {
    /// The block layer's defaults.
    pub(crate) fn new() -> Self {
        Self(pin_init::zeroed())
    }

    /// The size of a logical and physical block in bytes: the smallest I/O, and what a write
    /// changes at once. A power of two, 512 to the size of a page. It is also the smallest
    /// preferred I/O (`io_min`).
    pub(crate) fn block_size(mut self, bytes: u32) -> Result<Self> {
        if !(bindings::SECTOR_SIZE..=page_size()).contains(&bytes) || !bytes.is_power_of_two() {
            return Err(EINVAL);
        }
        self.0.logical_block_size = bytes;
        self.0.physical_block_size = bytes;
        self.0.io_min = bytes;
        Ok(self)
    }

    /// The preferred size of an I/O in bytes; 0 if there is none. It sets the read-ahead, and
    /// file systems lay stripes out by it.
    pub(crate) fn io_opt(mut self, bytes: u32) -> Self {
        self.0.io_opt = bytes;
        self
    }

    /// The longest read or write in sectors, at least a page. What users can raise `max_sectors_kb`
    /// to.
    pub(crate) fn max_hw_sectors(mut self, sectors: u32) -> Result<Self> {
        if sectors < page_size() >> SECTOR_SHIFT {
            return Err(EINVAL);
        }
        self.0.max_hw_sectors = sectors;
        Ok(self)
    }

    /// The most segments of a request, and the longest one in bytes (at least a page).
    pub(crate) fn segments(mut self, max: u16, max_bytes: u32) -> Result<Self> {
        if max == 0 || max_bytes < page_size() {
            return Err(EINVAL);
        }
        self.0.max_segments = max;
        self.0.max_segment_size = max_bytes;
        Ok(self)
    }

    /// What the address and the length of a segment must be a multiple of, in bytes: a power of
    /// two from 2 to a page.
    pub(crate) fn dma_alignment(mut self, bytes: u32) -> Result<Self> {
        if !(2..=page_size()).contains(&bytes) || !bytes.is_power_of_two() {
            return Err(EINVAL);
        }
        self.0.dma_alignment = bytes - 1;
        Ok(self)
    }

    /// The longest discard in sectors; it can begin and end at any logical block. 0 (the default):
    /// the disk cannot discard.
    pub(crate) fn max_discard_sectors(mut self, sectors: u32) -> Self {
        self.0.max_hw_discard_sectors = sectors;
        self
    }

    /// The longest write-zeroes in sectors. 0 (the default): the block layer writes zeroes itself.
    pub(crate) fn max_write_zeroes_sectors(mut self, sectors: u32) -> Self {
        self.0.max_write_zeroes_sectors = sectors;
        self
    }

    /// The disk has a volatile write cache and knows FUA: the block layer sends flushes and
    /// forced writes, which it otherwise keeps to itself.
    pub(crate) fn write_cache(mut self, yes: bool) -> Self {
        let feature = bindings::BLK_FEAT_WRITE_CACHE | bindings::BLK_FEAT_FUA;
        if yes {
            self.0.features |= feature;
        } else {
            self.0.features &= !feature;
        }
        self
    }
}

/// The size of a page, as wide as the limits are.
const fn page_size() -> u32 {
    1 << bindings::PAGE_SHIFT
}

/// The table of functions of a block device, as a static.
struct Fops(bindings::block_device_operations);

// SAFETY: Nothing in it changes, and what it points to may be used from any thread.
unsafe impl Sync for Fops {}

/// No callbacks yet. The owner is what makes `rmmod` of a module with an open disk fail.
static FOPS: Fops = Fops(bindings::block_device_operations {
    owner: &raw mut bindings::__this_module,
    ..pin_init::zeroed()
});

/// A disk that is known to the system: `struct gendisk` with its queue.
///
/// Dropping it removes the disk: open file descriptors get errors from then on.
///
/// # Invariants
///
/// - `disk` was made with the vtable of `T` and `device_add_disk` succeeded.
/// - The `queuedata` of its queue comes from `T::QueueData::into_foreign`, and is this value's.
pub(crate) struct GenDisk<T: Operations> {
    disk: NonNull<bindings::gendisk>,
    tagset: Arc<TagSet<T>>,
}

// SAFETY: A disk is an object of the kernel that synchronises itself, and the driver's data can be
// sent and shared.
unsafe impl<T: Operations> Send for GenDisk<T> {}
// SAFETY: As above.
unsafe impl<T: Operations> Sync for GenDisk<T> {}

impl<T: Operations> GenDisk<T> {
    /// Makes a disk called `name` of `capacity_sectors` sectors and adds it to the system, which
    /// looks for partitions at once: it must be ready to serve requests.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a name longer than 31 bytes, `EEXIST` for one that is taken, `ENOMEM`.
    pub(crate) fn new(
        name: &CStr,
        capacity_sectors: u64,
        limits: QueueLimits,
        tagset: Arc<TagSet<T>>,
        data: T::QueueData,
    ) -> Result<Self> {
        let data = data.into_foreign();
        let data_guard = ScopeGuard::new(|| {
            // SAFETY: It comes from `into_foreign` above; the queue that used it is gone.
            drop(unsafe { T::QueueData::from_foreign(data) });
        });

        let mut limits = limits.0;
        // SAFETY: The tag set is valid and has the vtable of `T`, whose queues want `data`.
        let disk = from_err_ptr(unsafe {
            bindings::__blk_mq_alloc_disk(
                tagset.as_raw(),
                &mut limits,
                data,
                kernel::static_lock_class!().as_ptr(),
            )
        })?;
        let disk_guard = ScopeGuard::new(move || {
            // SAFETY: The disk was allocated above and not added, so this is its last reference;
            // its hardware queues are gone when the function returns.
            unsafe { bindings::put_disk(disk) };
        });

        // SAFETY: The disk is ours alone until it is added. The name is a string that ends in NUL,
        // and its room is as large as said.
        let copied = unsafe {
            (*disk).fops = &FOPS.0;
            bindings::set_capacity(disk, capacity_sectors);
            bindings::sized_strscpy(
                (&raw mut (*disk).disk_name).cast(),
                name.as_char_ptr(),
                size_of_val(&(*disk).disk_name),
            )
        };
        if copied < 0 {
            return Err(EINVAL);
        }

        // SAFETY: The disk is complete.
        to_result(unsafe {
            bindings::device_add_disk(core::ptr::null_mut(), disk, core::ptr::null_mut())
        })?;

        disk_guard.dismiss();
        data_guard.dismiss();
        // INVARIANT: The disk was added and owns `data`.
        Ok(Self {
            // SAFETY: `from_err_ptr` let it pass, and the kernel returns no null here.
            disk: unsafe { NonNull::new_unchecked(disk) },
            tagset,
        })
    }

    /// The tag set that the disk uses.
    pub(crate) fn tagset(&self) -> &TagSet<T> {
        &self.tagset
    }
}

impl<T: Operations> Drop for GenDisk<T> {
    fn drop(&mut self) {
        let disk = self.disk.as_ptr();
        // SAFETY: By the type's invariant the disk and its queue are valid.
        let data = unsafe { (*(*disk).queue).queuedata };
        // SAFETY: The disk was added. When this returns no request is in flight, none can come,
        // and the hardware queues are gone.
        unsafe { bindings::del_gendisk(disk) };
        // SAFETY: This gives back the reference of `__blk_mq_alloc_disk`.
        unsafe { bindings::put_disk(disk) };
        // SAFETY: By the type's invariant the data is ours, and no callback can borrow it any more.
        drop(unsafe { T::QueueData::from_foreign(data) });
    }
}
