// SPDX-License-Identifier: GPL-2.0

//! The callbacks of a blk-mq driver: the trait it implements, and the table of functions through
//! which the kernel calls it.
//!
//! C header: [`include/linux/blk-mq.h`](srctree/include/linux/blk-mq.h), `struct blk_mq_ops`.

use crate::{
    bindings,
    request::{
        Request,
        Status, //
    },
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    error::from_result,
    prelude::*,
    types::ForeignOwnable, //
};

/// Driver data as a callback sees it: borrowed for the time of the call.
pub(crate) type Borrowed<'a, D> = <D as ForeignOwnable>::Borrowed<'a>;

/// What is known of a hardware queue when it is set up.
pub(crate) struct HwQueueInfo {
    /// Its number within the tag set, from 0 on.
    pub(crate) index: u32,
    /// The NUMA node of the CPUs that it serves, or [`NO_NODE`](crate::tagset::NO_NODE).
    pub(crate) numa_node: i32,
}

/// A blk-mq driver: its data, and what it does when the kernel calls.
///
/// # Examples
///
/// ```ignore
/// struct Null;
///
/// #[vtable]
/// impl Operations for Null {
///     type QueueData = ();
///     type HwData = ();
///
///     fn init_hctx(_disk: (), _info: &HwQueueInfo) -> Result {
///         Ok(())
///     }
///
///     fn queue_rq(_disk: (), _hw: (), rq: Request<Self>, _is_last: bool) {
///         rq.end(Status::OK);
///     }
/// }
/// ```
#[vtable]
pub(crate) trait Operations: Sized + 'static {
    /// The data of a disk: given to it when it is made, dropped after its last callback.
    type QueueData: ForeignOwnable + Send + Sync;

    /// The data of one hardware queue of one disk: made by [`Operations::init_hctx`], given to
    /// [`Operations::exit_hctx`].
    type HwData: ForeignOwnable + Send + Sync;

    /// Makes the data of a hardware queue. Called in process context, once for each queue when
    /// a disk is made or gets more queues, and before the first request. An error fails the whole;
    /// the kernel reports it as `ENOMEM` whatever it was.
    fn init_hctx(disk: Borrowed<'_, Self::QueueData>, info: &HwQueueInfo) -> Result<Self::HwData>;

    /// Takes the data of a hardware queue back after its last request. Process context.
    fn exit_hctx(disk: Borrowed<'_, Self::QueueData>, hw: Self::HwData) {
        let _ = disk;
        drop(hw);
    }

    /// Serves a request. `is_last` is false if another one follows at once, so that a driver with
    /// a doorbell can wait for that one.
    ///
    /// The callback must not sleep, and runs on several CPUs at once, also for one hardware queue.
    fn queue_rq(
        disk: Borrowed<'_, Self::QueueData>,
        hw: Borrowed<'_, Self::HwData>,
        rq: Request<Self>,
        is_last: bool,
    );
}

/// The functions that the kernel calls for a driver `T`, and the `struct blk_mq_ops` of them.
///
/// # Invariants
///
/// In each queue that uses this vtable, `queuedata` comes from `T::QueueData::into_foreign` and is
/// valid until the queue's hardware queues are gone ([`GenDisk`](crate::disk::GenDisk) sees to
/// that), and `driver_data` of each hardware queue from `T::HwData::into_foreign`, valid between
/// `init_hctx` and `exit_hctx`.
pub(crate) struct OperationsVTable<T: Operations>(PhantomData<T>);

impl<T: Operations> OperationsVTable<T> {
    const VTABLE: bindings::blk_mq_ops = bindings::blk_mq_ops {
        queue_rq: Some(Self::queue_rq_callback),
        init_hctx: Some(Self::init_hctx_callback),
        exit_hctx: Some(Self::exit_hctx_callback),
        ..pin_init::zeroed()
    };

    pub(crate) const fn build() -> &'static bindings::blk_mq_ops {
        &Self::VTABLE
    }

    /// # Safety
    ///
    /// `hctx` must be a hardware queue of a queue with this vtable.
    #[inline(always)]
    unsafe fn disk_data<'a>(hctx: *mut bindings::blk_mq_hw_ctx) -> Borrowed<'a, T::QueueData> {
        // SAFETY: A hardware queue that is initialised or being initialised knows its queue.
        let data = unsafe { (*(*hctx).queue).queuedata };
        // SAFETY: By the vtable's invariant; the borrow ends with the callback.
        unsafe { T::QueueData::borrow(data) }
    }

    /// # Safety
    ///
    /// To be called by blk-mq only, with an initialised hardware queue and a request of it that it
    /// hands to the driver.
    unsafe extern "C" fn queue_rq_callback(
        hctx: *mut bindings::blk_mq_hw_ctx,
        bd: *const bindings::blk_mq_queue_data,
    ) -> bindings::blk_status_t {
        // SAFETY: By the requirement of this function.
        let disk = unsafe { Self::disk_data(hctx) };
        // SAFETY: By the vtable's invariant; the borrow ends with this callback.
        let hw = unsafe { T::HwData::borrow((*hctx).driver_data) };
        // SAFETY: `bd` and its request are valid by the requirement of this function.
        let (rq, is_last) = unsafe { (NonNull::new_unchecked((*bd).rq), (*bd).last) };
        // SAFETY: The request is the driver's from here on; the status below says so.
        let rq = unsafe { Request::start(rq) };

        T::queue_rq(disk, hw, rq, is_last);
        Status::OK.as_raw()
    }

    /// # Safety
    ///
    /// To be called by blk-mq only, once for a hardware queue before `exit_hctx`.
    unsafe extern "C" fn init_hctx_callback(
        hctx: *mut bindings::blk_mq_hw_ctx,
        _driver_data: *mut c_void,
        index: c_uint,
    ) -> c_int {
        from_result(|| {
            let info = HwQueueInfo {
                index,
                // SAFETY: `hctx` is valid by the requirement of this function.
                numa_node: unsafe { (*hctx).numa_node },
            };
            // SAFETY: By the requirement of this function.
            let disk = unsafe { Self::disk_data(hctx) };
            let hw = T::init_hctx(disk, &info)?;
            // SAFETY: The field is the driver's.
            unsafe { (*hctx).driver_data = hw.into_foreign() };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// To be called by blk-mq only, once after a successful `init_hctx`, when no request of the
    /// queue is left.
    unsafe extern "C" fn exit_hctx_callback(hctx: *mut bindings::blk_mq_hw_ctx, _index: c_uint) {
        // SAFETY: By the requirement of this function.
        let disk = unsafe { Self::disk_data(hctx) };
        // SAFETY: `init_hctx` put it there, and no callback that borrows it can run any more.
        let hw = unsafe { T::HwData::from_foreign((*hctx).driver_data) };
        T::exit_hctx(disk, hw);
    }
}
