// SPDX-License-Identifier: GPL-2.0

//! A disk: the block device that users see, and its queue.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h), `struct gendisk` and
//! `struct block_device_operations`.

use crate::{
    bindings,
    limits::QueueLimits,
    queue::{
        HwQueue,
        Operations,
        QueueContext, //
    },
    request::InFlight,
    tagset::TagSet, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    error::{
        from_err_ptr,
        from_result,
        to_result, //
    },
    prelude::*,
    sync::{
        Arc,
        MutexGuard, //
    },
};

/// What a disk answers to those who open it. All of it may sleep, and all of it is optional.
///
/// The data of the disk is there until the last one who opened it has closed it, also after the
/// disk is gone.
///
/// # Examples
///
/// ```ignore
/// #[vtable]
/// impl DiskOperations for MyDriver {
///     fn open(disk: &Disk, mode: OpenMode) -> Result {
///         if mode.write() && disk.is_locked() {
///             return Err(EROFS);
///         }
///         Ok(())
///     }
///
///     fn getgeo(_disk: &Disk) -> Result<Geometry> {
///         Ok(Geometry {
///             heads: 64,
///             sectors: 32,
///             cylinders: 512,
///         })
///     }
/// }
/// ```
#[vtable]
pub(crate) trait DiskOperations: Operations {
    /// Somebody opens the disk or a partition of it. An error keeps him out.
    fn open(_disk: &Self::QueueData, _mode: OpenMode) -> Result {
        Ok(())
    }

    /// Somebody who opened it closes it.
    fn release(_disk: &Self::QueueData) {}

    /// A command that the block layer does not know itself, with its argument, which for most
    /// commands is an address in user space. `ENOTTY` if the driver does not know it either.
    fn ioctl(
        _disk: &Self::QueueData,
        _mode: OpenMode,
        _command: u32,
        _argument: usize,
    ) -> Result<i32> {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// The disk is removed: no request is in flight, and none will come. Somebody may still have it open, and
    /// keep its data alive; here what is worth more can be taken out. May sleep.
    fn removed(_disk: &Self::QueueData, _steady: &mut Self::SteadyData) {}

    /// The geometry that old partition tables want.
    fn getgeo(_disk: &Self::QueueData) -> Result<Geometry> {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// How a disk is opened.
#[derive(Clone, Copy)]
pub(crate) struct OpenMode(bindings::blk_mode_t);

impl OpenMode {
    /// To read.
    pub(crate) fn read(&self) -> bool {
        self.0 & bindings::BLK_OPEN_READ != 0
    }

    /// To write.
    pub(crate) fn write(&self) -> bool {
        self.0 & bindings::BLK_OPEN_WRITE != 0
    }

    /// For one user alone.
    pub(crate) fn exclusive(&self) -> bool {
        self.0 & bindings::BLK_OPEN_EXCL != 0
    }
}

/// The geometry of a disk that has heads, or pretends to.
pub(crate) struct Geometry {
    pub(crate) heads: u8,
    pub(crate) sectors: u8,
    pub(crate) cylinders: u16,
}

/// What a disk shall be.
pub(crate) struct DiskOptions<'a> {
    /// The name below `/dev`, at most 31 bytes.
    pub(crate) name: &'a CStr,
    /// The capacity in sectors of 512 bytes.
    pub(crate) capacity_sectors: u64,
    /// What requests it wants.
    pub(crate) limits: QueueLimits,
    /// It cannot be written to.
    pub(crate) read_only: bool,
    /// The medium can be taken out: the flag `removable` in sysfs.
    pub(crate) removable: bool,
    /// Buffered writes may be held back where they make reads wait. That is for disks on which requests
    /// queue: it costs each request time, and its state is one for all CPUs. Either way the user
    /// has the last word: `wbt_lat_usec` in sysfs.
    pub(crate) writeback_throttling: bool,
}

/// A disk that is made but that nobody knows yet. Dropping it undoes the making.
///
/// Everything that needs much memory is done by now. A module that makes several disks when it is
/// loaded should make them all before it [adds](NewDisk::add) the first: once a disk is known
/// somebody may open it, and if loading fails then, the module goes while the disk is still open.
///
/// # Examples
///
/// ```ignore
/// let options = DiskOptions {
///     name: c"mydisk0",
///     capacity_sectors: 1 << 21,
///     limits: QueueLimits::new().logical_block_size(4096)?,
///     read_only: false,
///     removable: false,
///     writeback_throttling: true,
/// };
/// let disk: GenDisk<MyDriver> = NewDisk::new(options, tagset, disk_data, steady_data)?.add()?;
/// ```
///
/// # Invariants
///
/// - `disk` was made by `__blk_mq_alloc_disk` with the vtable of `T`, and is not added.
/// - The `queuedata` of its queue and its `private_data` point to `context`, to which everybody who
///   opened the disk holds a count, too.
pub(crate) struct NewDisk<T: DiskOperations> {
    // Dropped from top to bottom: the disk goes before what it uses.
    disk: AllocatedDisk<T>,
    context: Arc<QueueContext<T>>,
}

/// The reference to a disk that was not added.
struct AllocatedDisk<T: Operations> {
    /// `None` when it was added.
    disk: Option<NonNull<bindings::gendisk>>,
    tagset: Arc<TagSet<T>>,
}

impl<T: Operations> Drop for AllocatedDisk<T> {
    fn drop(&mut self) {
        let Some(disk) = self.disk else {
            return;
        };
        // Nothing but this lock keeps a change of the tag set from ending the same hardware queues.
        self.tagset.with_steady_queues(|| {
            // SAFETY: This gives back the reference of `__blk_mq_alloc_disk`, and the hardware queues are gone when the
            // function returns.
            unsafe { bindings::rnullblk_put_new_disk(self.tagset.as_raw(), disk.as_ptr()) };
        });
    }
}

// SAFETY: The disk is the value's alone, and the driver's data can be sent.
unsafe impl<T: DiskOperations> Send for NewDisk<T> {}

impl<T: DiskOperations> NewDisk<T> {
    /// Makes a disk with the queues of `tagset` and the driver's data. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a name that is too long or limits that contradict each other, `ENOMEM`.
    pub(crate) fn new(
        options: DiskOptions<'_>,
        tagset: Arc<TagSet<T>>,
        data: T::QueueData,
        steady: T::SteadyData,
    ) -> Result<Self> {
        let context = QueueContext::new(data, steady)?;

        let mut limits = options.limits.into_raw()?;
        let lock_class = kernel::static_lock_class!();
        // The kernel reads the number of queues and their map without a lock, and a change of these knows the disk no sooner
        // than it is made.
        let raw = tagset.with_steady_queues(|| {
            // SAFETY: The tag set is valid and has the vtable of `T`, whose queues want the
            // context.
            from_err_ptr(unsafe {
                bindings::__blk_mq_alloc_disk(
                    tagset.as_raw(),
                    &mut limits,
                    context.as_raw(),
                    lock_class.as_ptr(),
                )
            })
        })?;
        let disk = AllocatedDisk {
            // SAFETY: `from_err_ptr` let it pass, and the kernel returns no null here.
            disk: Some(unsafe { NonNull::new_unchecked(raw) }),
            tagset,
        };

        // SAFETY: The disk is ours alone until it is added. The name is a string that ends in NUL,
        // and its room is as large as said.
        let copied = unsafe {
            (*raw).fops = &Fops::<T>::TABLE.0;
            (*raw).private_data = context.as_raw();
            if options.removable {
                (*raw).flags |= bindings::GENHD_FL_REMOVABLE as i32;
            }
            if !options.writeback_throttling {
                bindings::blk_queue_flag_set(bindings::QUEUE_FLAG_DISABLE_WBT_DEF, (*raw).queue);
            }
            bindings::set_disk_ro(raw, options.read_only);
            bindings::set_capacity(raw, options.capacity_sectors);
            bindings::sized_strscpy(
                (&raw mut (*raw).disk_name).cast(),
                options.name.as_char_ptr(),
                size_of_val(&(*raw).disk_name),
            )
        };
        if copied < 0 {
            return Err(EINVAL);
        }
        // INVARIANT: What the disk points to was set above.
        Ok(Self { disk, context })
    }

    /// Adds the disk to the system: the driver must be ready to serve requests. Partitions are
    /// looked for when somebody opens the disk. May sleep.
    ///
    /// # Errors
    ///
    /// `EEXIST` for a name that is taken, `ENOMEM`.
    pub(crate) fn add(mut self) -> Result<GenDisk<T>> {
        let raw = self.disk.disk.ok_or(EINVAL)?;
        // SAFETY: The disk is complete and not added.
        to_result(unsafe { bindings::rnullblk_add_disk(raw.as_ptr()) })?;
        self.disk.disk = None;
        // INVARIANT: The disk was added.
        Ok(GenDisk {
            disk: raw,
            context: self.context,
            tagset: self.disk.tagset.clone(),
        })
    }
}

/// A disk that is known to the system: `struct gendisk` with its queue; made by [`NewDisk::add`].
///
/// Dropping it removes the disk: file systems on it are written back as far as possible, requests
/// in flight are waited for, and open file descriptors get errors from then on. To see the disk
/// vanish instead, [`mark_dead`](GenDisk::mark_dead) it first.
///
/// # Examples
///
/// ```ignore
/// // Somebody pulled the cable.
/// disk.mark_dead();
/// disk.for_each_in_flight(|rq| {
///     if let Some(rq) = rq.take() {
///         rq.end(Status::IOERR);
///     }
/// });
/// ```
///
/// # Invariants
///
/// - `disk` was made with the vtable of `T`, and `device_add_disk` succeeded.
/// - The `queuedata` of its queue and its `private_data` point to `context`, to which everybody who
///   opened the disk holds a count, too.
pub(crate) struct GenDisk<T: DiskOperations> {
    disk: NonNull<bindings::gendisk>,
    context: Arc<QueueContext<T>>,
    tagset: Arc<TagSet<T>>,
}

// SAFETY: A disk is an object of the kernel that synchronises itself, and the driver's data can be
// sent and shared.
unsafe impl<T: DiskOperations> Send for GenDisk<T> {}
// SAFETY: As above.
unsafe impl<T: DiskOperations> Sync for GenDisk<T> {}

impl<T: DiskOperations> GenDisk<T> {
    /// The tag set that the disk uses.
    pub(crate) fn tagset(&self) -> &TagSet<T> {
        &self.tagset
    }

    /// The driver's data.
    pub(crate) fn data(&self) -> &T::QueueData {
        self.context.data()
    }

    /// The name below `/dev`.
    pub(crate) fn name(&self) -> &CStr {
        // SAFETY: By the type's invariant the disk is valid. Its name ends in NUL, and never changes.
        unsafe { CStr::from_char_ptr((&raw const (*self.disk.as_ptr()).disk_name).cast()) }
    }

    fn queue(&self) -> *mut bindings::request_queue {
        // SAFETY: By the type's invariant the disk is valid.
        unsafe { (*self.disk.as_ptr()).queue }
    }

    /// Changes the capacity, in sectors of 512 bytes, and tells user space (a uevent, a line in
    /// the log) if it is another than before. May sleep.
    pub(crate) fn set_capacity_sectors(&self, capacity_sectors: u64) {
        // SAFETY: By the type's invariant the disk is valid.
        unsafe { bindings::set_capacity_and_notify(self.disk.as_ptr(), capacity_sectors) };
    }

    /// Looks for partitions anew when the disk is opened next: its content is another one now.
    pub(crate) fn rescan_partitions(&self) {
        // SAFETY: By the type's invariant the disk is valid.
        unsafe { bindings::rnullblk_rescan_partitions(self.disk.as_ptr()) };
    }

    /// The capacity in sectors of 512 bytes.
    pub(crate) fn capacity_sectors(&self) -> u64 {
        // SAFETY: By the type's invariant the disk is valid, and so is its whole device.
        unsafe { (*(*self.disk.as_ptr()).part0).bd_nr_sectors }
    }

    /// Whether user space was told that it cannot be written to.
    pub(crate) fn is_read_only(&self) -> bool {
        // SAFETY: By the type's invariant the disk is valid.
        unsafe { bindings::rnullblk_is_read_only(self.disk.as_ptr()) }
    }

    /// Forbids or allows writing, and tells user space. The block layer refuses writes of
    /// user space; those of a mounted file system it lets through with a warning, so the driver has to refuse
    /// them. May sleep.
    pub(crate) fn set_read_only(&self, yes: bool) {
        // SAFETY: By the type's invariant the disk is valid.
        unsafe { bindings::set_disk_ro(self.disk.as_ptr(), yes) };
    }

    /// Keeps everybody from opening the disk until the guard is dropped; `None` if somebody has it open, or is just
    /// opening or closing it. Take it before [`freeze`](GenDisk::freeze).
    pub(crate) fn keep_closed(&self) -> Option<Closed<'_>> {
        // SAFETY: By the type's invariant the disk is valid.
        let is_closed = unsafe { bindings::rnullblk_lock_if_closed(self.disk.as_ptr()) };
        // INVARIANT: The function took the lock.
        is_closed.then(|| Closed {
            disk: self.disk,
            _disk: PhantomData,
        })
    }

    /// The disk was pulled out: everything that is submitted from now on fails, file systems are
    /// told and write nothing back. May wait for who waits for a request in flight: end these before. May sleep.
    pub(crate) fn mark_dead(&self) {
        // SAFETY: By the type's invariant the disk was added.
        unsafe { bindings::blk_mark_disk_dead(self.disk.as_ptr()) };
    }

    /// Waits until no request is in flight, and lets none in until the guard is dropped: whoever
    /// submits one waits so long. May sleep. A task that holds the guard must not do I/O to the disk, nor
    /// freeze it again; who freezes several disks drops the guards in reverse order. Not for the timeout
    /// callback, for which the freeze would wait.
    pub(crate) fn freeze(&self) -> Frozen<'_, T> {
        let freezing = self.context.freezing.lock();
        // SAFETY: By the type's invariant the queue is valid.
        let memflags = unsafe { bindings::rnullblk_freeze_queue(self.queue()) };
        // INVARIANT: The queue was frozen just now, with the lock.
        Frozen {
            queue: FrozenQueue {
                disk: self,
                memflags,
            },
            freezing,
        }
    }

    /// As [`freeze`](GenDisk::freeze), for a device that may leave requests without an answer: waits `msec` milliseconds at
    /// most.
    ///
    /// # Errors
    ///
    /// `ETIMEDOUT` if there are requests in flight then; whoever submits one meanwhile has waited, and goes on.
    pub(crate) fn freeze_within(&self, msec: u32) -> Result<Frozen<'_, T>> {
        let freezing = self.context.freezing.lock();
        let mut memflags = 0;
        // SAFETY: By the type's invariant the queue is valid.
        match unsafe { bindings::rnullblk_freeze_queue_within(self.queue(), msec, &mut memflags) } {
            false => Err(ETIMEDOUT),
            // INVARIANT: The queue was frozen just now, with the lock.
            true => Ok(Frozen {
                queue: FrozenQueue {
                    disk: self,
                    memflags,
                },
                freezing,
            }),
        }
    }

    /// Waits until no callback that queues requests is running, and lets none run until the guard
    /// is dropped. Requests in flight stay so. May sleep.
    pub(crate) fn quiesce(&self) -> Quiesced<'_> {
        let queue = self.queue();
        // SAFETY: By the type's invariant the queue is valid.
        unsafe { bindings::blk_mq_quiesce_queue(queue) };
        Quiesced {
            queue,
            _disk: PhantomData,
        }
    }

    /// Looks at each request of the disk that is started and not ended; for statistics, or to take from the device what a
    /// reset threw away. `f` must not sleep.
    pub(crate) fn for_each_in_flight<F: FnMut(InFlight<'_, T>)>(&self, f: F) {
        /// # Safety
        ///
        /// `looking` must point to a queue and an `F`, and `rq` be a request of a tag set of `T`.
        unsafe extern "C" fn look<T: Operations, F: FnMut(InFlight<'_, T>)>(
            rq: *mut bindings::request,
            looking: *mut c_void,
        ) -> bool {
            // SAFETY: By the requirement of this function; the block layer holds a reference to
            // the request during the call.
            unsafe {
                let (queue, f) = &mut *looking.cast::<(*mut bindings::request_queue, F)>();
                let rq = InFlight::from_raw(NonNull::new_unchecked(rq));
                if rq.is_of_queue(*queue) {
                    f(rq);
                }
            }
            true
        }

        let queue = self.queue();
        let mut looking = (queue, f);
        // SAFETY: By the type's invariant the queue is valid, and `looking` lives until the function returns.
        unsafe {
            bindings::rnullblk_for_each_busy(queue, Some(look::<T, F>), (&raw mut looking).cast())
        };
    }

    /// Looks at each hardware queue. May sleep: none comes or goes meanwhile.
    pub(crate) fn for_each_hw_queue(&self, mut f: impl FnMut(&HwQueue<T>)) {
        let queue = self.queue();
        self.tagset.with_steady_queues(|| {
            // SAFETY: By the type's invariant the queue is valid. Its hardware queues come and go
            // with the disk, which is here, and with changes of the tag set, which wait.
            unsafe {
                for index in 0..(*queue).nr_hw_queues {
                    let hctx = bindings::rnullblk_queue_hctx(queue, index);
                    if !hctx.is_null() && !(*hctx).driver_data.is_null() {
                        f(HwQueue::of(hctx));
                    }
                }
            }
        });
    }
}

impl<T: DiskOperations> Drop for GenDisk<T> {
    fn drop(&mut self) {
        let disk = self.disk.as_ptr();
        // SAFETY: The disk was added. When the function returns no request is in flight, none can
        // come, and the hardware queues are gone.
        unsafe { bindings::del_gendisk(disk) };
        // SAFETY: So no request looks at it any more, and nobody can freeze the disk.
        T::removed(self.data(), unsafe { &mut *self.context.steady_cell() });
        // SAFETY: This gives back the reference of `__blk_mq_alloc_disk`.
        unsafe { bindings::put_disk(disk) };
    }
}

/// A disk without requests in flight; see [`GenDisk::freeze`]. Dropping it lets requests in again.
///
/// # Examples
///
/// ```ignore
/// let mut frozen = disk.freeze();
/// frozen.steady().capacity_sectors = capacity_sectors;
/// let changing = frozen.thaw();
/// disk.set_capacity_sectors(capacity_sectors);
/// drop(changing);
/// ```
///
/// # Invariants
///
/// The disk's queue is frozen, by this task, and `freezing` is the lock of its context.
pub(crate) struct Frozen<'a, T: DiskOperations> {
    // Dropped from top to bottom.
    queue: FrozenQueue<'a, T>,
    /// It also binds the value to its task, as the flags are.
    freezing: MutexGuard<'a, ()>,
}

/// The freezing of a queue.
struct FrozenQueue<'a, T: DiskOperations> {
    disk: &'a GenDisk<T>,
    /// Which of the task's allocation flags the freezing has set: no allocation waits for I/O now.
    memflags: u32,
}

impl<T: DiskOperations> Frozen<'_, T> {
    /// What requests see of the disk, to change it.
    pub(crate) fn steady(&mut self) -> &mut T::SteadyData {
        // SAFETY: By the type's invariant no request looks at it, and no other task has it frozen.
        unsafe { &mut *self.queue.disk.context.steady_cell() }
    }
}

impl<'a, T: DiskOperations> Frozen<'a, T> {
    /// Lets requests in again, but nobody else freezes the disk before the guard is dropped: so that user
    /// space is told of changes in the order in which they were made. Telling it under the freeze could
    /// wait for memory, and that for I/O to this disk.
    pub(crate) fn thaw(self) -> MutexGuard<'a, ()> {
        drop(self.queue);
        self.freezing
    }
}

impl<T: DiskOperations> Drop for FrozenQueue<'_, T> {
    fn drop(&mut self) {
        // SAFETY: By the invariant of `Frozen`, whose field this is.
        unsafe { bindings::rnullblk_unfreeze_queue(self.disk.queue(), self.memflags) };
    }
}

/// A disk that nobody has open, nor can open; see [`GenDisk::keep_closed`].
///
/// # Examples
///
/// ```ignore
/// let closed = disk.keep_closed().ok_or(EBUSY)?;
/// disk.set_capacity_sectors(0);
/// drop(closed);
/// ```
///
/// # Invariants
///
/// `disk` is valid, and this task holds its `open_mutex`.
pub(crate) struct Closed<'a> {
    disk: NonNull<bindings::gendisk>,
    _disk: PhantomData<&'a ()>,
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type's invariant.
        unsafe { bindings::rnullblk_unlock_closed(self.disk.as_ptr()) };
    }
}

/// A disk whose queue callbacks do not run; see [`GenDisk::quiesce`].
///
/// # Examples
///
/// ```ignore
/// let quiesced = disk.quiesce();
/// disk.data().reload_firmware()?;
/// drop(quiesced);
/// ```
pub(crate) struct Quiesced<'a> {
    queue: *mut bindings::request_queue,
    _disk: PhantomData<&'a ()>,
}

impl Drop for Quiesced<'_> {
    fn drop(&mut self) {
        // SAFETY: The queue is valid as long as the disk is, and was quiesced.
        unsafe { bindings::blk_mq_unquiesce_queue(self.queue) };
    }
}

/// The functions that the kernel calls for a disk of `T`, and the `struct block_device_operations`
/// of them.
///
/// All functions are to be called by the block layer only, with a disk that was made by
/// [`NewDisk::new`]: this is the safety requirement of each of them.
struct Fops<T: DiskOperations>(bindings::block_device_operations, PhantomData<T>);

impl<T: DiskOperations> Fops<T> {
    const TABLE: &'static Self = &Self(
        bindings::block_device_operations {
            // Without it the module could be unloaded under an open disk.
            owner: &raw mut bindings::__this_module,
            open: Some(Self::open_callback),
            release: Some(Self::release_callback),
            ioctl: if T::HAS_IOCTL {
                Some(Self::ioctl_callback)
            } else {
                None
            },
            getgeo: if T::HAS_GETGEO {
                Some(Self::getgeo_callback)
            } else {
                None
            },
            ..pin_init::zeroed()
        },
        PhantomData,
    );

    /// # Safety
    ///
    /// See [`Fops`]; and the data must be there as long as `'a`.
    unsafe fn data<'a>(disk: *mut bindings::gendisk) -> &'a T::QueueData {
        // SAFETY: By the requirement of this function.
        unsafe { (*(*disk).private_data.cast::<QueueContext<T>>()).data() }
    }

    /// # Safety
    ///
    /// See [`Fops`].
    unsafe extern "C" fn open_callback(
        disk: *mut bindings::gendisk,
        mode: bindings::blk_mode_t,
    ) -> c_int {
        from_result(|| {
            // SAFETY: A disk that can be opened is not removed yet, so the data is there. The
            // count that is added here is taken back by `release_callback`.
            unsafe {
                T::open(Self::data(disk), OpenMode(mode))?;
                let context = (*disk).private_data.cast_const().cast::<QueueContext<T>>();
                let context = core::mem::ManuallyDrop::new(Arc::from_raw(context));
                core::mem::forget((*context).clone());
            }
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// See [`Fops`].
    unsafe extern "C" fn release_callback(disk: *mut bindings::gendisk) {
        // SAFETY: Each call follows a successful `open_callback`, which left a count.
        unsafe {
            let context = (*disk).private_data.cast_const().cast::<QueueContext<T>>();
            let count = Arc::from_raw(context);
            T::release(Self::data(disk));
            drop(count);
        }
    }

    /// # Safety
    ///
    /// See [`Fops`].
    unsafe extern "C" fn ioctl_callback(
        bdev: *mut bindings::block_device,
        mode: bindings::blk_mode_t,
        command: c_uint,
        argument: c_ulong,
    ) -> c_int {
        from_result(|| {
            // SAFETY: The disk is open, so the data is there.
            let disk = unsafe { Self::data((*bdev).bd_disk) };
            T::ioctl(disk, OpenMode(mode), command, argument)
        })
    }

    /// # Safety
    ///
    /// See [`Fops`].
    unsafe extern "C" fn getgeo_callback(
        disk: *mut bindings::gendisk,
        geometry: *mut bindings::hd_geometry,
    ) -> c_int {
        from_result(|| {
            // SAFETY: The disk is open, so the data is there.
            let answer = T::getgeo(unsafe { Self::data(disk) })?;
            // SAFETY: The structure is valid for writes.
            unsafe {
                bindings::rnullblk_set_geometry(
                    geometry,
                    answer.heads,
                    answer.sectors,
                    answer.cylinders,
                )
            };
            Ok(0)
        })
    }
}
