// SPDX-License-Identifier: GPL-2.0

//! The callbacks of a blk-mq driver: the trait it implements, the table of functions through which
//! the kernel calls it, and the hardware queue as its callbacks see it.
//!
//! C header: [`include/linux/blk-mq.h`](srctree/include/linux/blk-mq.h), `struct blk_mq_ops`.

use crate::{
    bindings, compat,
    request::{
        Budget,
        CompletionBatch,
        InFlight,
        Incoming,
        Pdu,
        Refused,
        Request,
        RequestList,
        Status,
        TimedOut,
        TimeoutVerdict, //
    },
    tagset::{
        QueueMaps,
        TagSet, //
    },
};
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    alloc::{
        allocator::{
            KVmalloc,
            Kmalloc, //
        },
        Allocator,
        NumaNode, //
    },
    error::from_result,
    new_mutex,
    prelude::*,
    seq_file::SeqFile,
    sync::{
        atomic::{
            Atomic,
            Full, //
        },
        rcu,
        Arc,
        Mutex, //
    },
    types::Opaque,
};

/// What is known of a hardware queue, or of the requests for one, when they are made.
///
/// # Examples
///
/// ```ignore
/// fn init_hctx(_disk: &Disk, info: &HwQueueInfo) -> impl PinInit<Ring, Error> {
///     try_pin_init!(Ring {
///         slots: info.vec_with_capacity(info.depth as usize)?,
///     })
/// }
/// ```
pub(crate) struct HwQueueInfo {
    /// The queue's number within the tag set, from 0 on.
    pub(crate) index: u32,
    /// The NUMA node of the CPUs that it serves, or [`NO_NODE`](crate::tagset::NO_NODE). What is
    /// made by the initialiser lies there; for what that allocates see
    /// [`vec_with_capacity`](Self::vec_with_capacity).
    pub(crate) numa_node: i32,
    /// How many requests can be in flight on the queue. A tag is below that.
    pub(crate) depth: u32,
    /// It is new. When their number changes the kernel makes all queues of a disk anew; it survives that a new
    /// one cannot be made, but not that an old one cannot be made again (7.3: `blk_mq_map_swqueue` follows a null
    /// pointer).
    pub(crate) is_new: bool,
}

impl HwQueueInfo {
    fn node(&self) -> NumaNode {
        NumaNode::new(self.numa_node).unwrap_or(NumaNode::NO_NODE)
    }

    /// An empty vector with room for `capacity` values on the queue's node. One that has to grow
    /// moves, to whatever node. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn vec_with_capacity<S>(&self, capacity: usize) -> Result<KVVec<S>> {
        let layout = core::alloc::Layout::array::<S>(capacity).map_err(|_| ENOMEM)?;
        let room = KVmalloc::alloc(layout, GFP_KERNEL, self.node())?;
        // SAFETY: The room is fresh, from the vector's own allocator, and made for `capacity`
        // values; none of them is there yet.
        Ok(unsafe { KVVec::from_raw_parts(room.cast().as_ptr(), 0, capacity) })
    }
}

/// A blk-mq driver: its data, and what it does when the kernel calls.
///
/// Only [`init_hctx`](Self::init_hctx), [`init_request`](Self::init_request) and
/// [`queue_rq`](Self::queue_rq) must be there. What else is not implemented is absent from the
/// kernel's table, and the block layer does what it does without.
///
/// Callbacks are called on any CPU, on several at once, and also for one hardware queue. Unless it
/// says otherwise, a callback must not sleep.
///
/// # Examples
///
/// `samples/rblk_null.rs` is a whole driver.
///
/// ```ignore
/// struct Null;
///
/// #[pin_data]
/// struct Nothing {}
///
/// #[vtable]
/// impl Operations for Null {
///     type TagSetData = ();
///     type QueueData = ();
///     type SteadyData = ();
///     type HwData = Nothing;
///     type RequestData = Nothing;
///
///     fn init_hctx(_disk: &(), _info: &HwQueueInfo) -> impl PinInit<Nothing, Error> {
///         try_pin_init!(Nothing {})
///     }
///
///     fn init_request(_tagset: &(), _info: &HwQueueInfo) -> impl PinInit<Nothing, Error> {
///         try_pin_init!(Nothing {})
///     }
///
///     fn queue_rq(
///         _disk: &(),
///         _hw: &HwQueue<Self>,
///         rq: Incoming<Self>,
///         _is_last: bool,
///     ) -> Result<(), Refused> {
///         rq.start().end(Status::OK);
///         Ok(())
///     }
/// }
/// ```
#[vtable]
pub(crate) trait Operations: Sized + 'static {
    /// The data of a tag set, which its disks share.
    type TagSetData: Send + Sync;

    /// The data of a disk, or of a queue without one: made with it, dropped after its last
    /// callback.
    type QueueData: Send + Sync;

    /// What of it changes in the life of a disk, but not under a request: every request sees it
    /// ([`Request::steady`]), and who [freezes](crate::disk::GenDisk::freeze) the disk may change it.
    /// That costs the requests nothing: no lock, no counting.
    type SteadyData: Send + Sync;

    /// The data of one hardware queue of one disk, on the queue's NUMA node.
    type HwData: Send + Sync;

    /// The data of a request. It belongs to the tag set: it is made before the first disk, and
    /// whatever disk uses the request finds what was last written to it.
    type RequestData: Send + Sync;

    /// Makes the data of a hardware queue. May sleep. Called for each queue before its first
    /// request, when a disk is made or their number changes: then all are made anew. An error fails the whole; the kernel
    /// reports it as `ENOMEM` whatever it was.
    fn init_hctx(disk: &Self::QueueData, info: &HwQueueInfo) -> impl PinInit<Self::HwData, Error>;

    /// Looks at the data of a hardware queue after its last request, before it is dropped. May
    /// sleep.
    fn exit_hctx(_disk: &Self::QueueData, _hw: &HwQueue<Self>) {}

    /// Makes the data of a request, on allocation of the tag set and of more requests for it, and
    /// for the request that carries a hardware queue's flushes. May sleep.
    fn init_request(
        tagset: &Self::TagSetData,
        info: &HwQueueInfo,
    ) -> impl PinInit<Self::RequestData, Error>;

    /// Serves a request, or refuses it for now. The hardware queue may be looked at until the
    /// callback returns, also when the request has ended. `is_last` is false if another one follows at once,
    /// so that a driver with a doorbell can wait for that one, or for
    /// [`commit_rqs`](Self::commit_rqs). May sleep if the tag set is
    /// [blocking](crate::tagset::TagSetOptions::blocking).
    fn queue_rq(
        disk: &Self::QueueData,
        hw: &HwQueue<Self>,
        rq: Incoming<Self>,
        is_last: bool,
    ) -> Result<(), Refused>;

    /// Serves all the requests that a task collected, in one call. They belong to one disk, but
    /// perhaps to several hardware queues. What is left in the list is queued one by one.
    fn queue_rqs(_disk: &Self::QueueData, _list: &mut RequestList<'_, Self>) {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// The request that `queue_rq` said would follow does not: time to ring the doorbell.
    fn commit_rqs(_disk: &Self::QueueData, _hw: &HwQueue<Self>) {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// A piece of the disk's budget for a request, or `None` if there is none left: then it is
    /// asked again when a piece came back. Goes together with [`put_budget`](Self::put_budget),
    /// and not with [`queue_rqs`](Self::queue_rqs), for which the block layer takes no budget.
    fn get_budget(_disk: &Self::QueueData) -> Option<Budget> {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// A piece of budget comes back.
    fn put_budget(_disk: &Self::QueueData, _budget: Budget) {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// A request given to [`Request::complete`] arrives. May be called in an interrupt.
    fn complete(_disk: &Self::QueueData, _rq: Request<Self>) {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// A request is not ended in its time. Called in process context; may sleep.
    fn timeout(_disk: &Self::QueueData, _rq: TimedOut<'_, Self>) -> TimeoutVerdict {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Looks for completions of a poll queue, whose requests nothing else completes. Gives their
    /// number.
    fn poll(_disk: &Self::QueueData, _hw: &HwQueue<Self>, _batch: &mut CompletionBatch<'_>) -> u32 {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// The timer of a hardware queue, started by [`HwQueue::start_timer`], expired. Called in
    /// interrupt context, never twice at once for a queue. May start it again.
    ///
    /// This is no member of `struct blk_mq_ops`, but stands for a device's interrupt: it ends with
    /// the queue, so it can name it.
    fn timer(_disk: &Self::QueueData, _hw: &HwQueue<Self>) {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Spreads the CPUs over the hardware queues otherwise than evenly and by NUMA node. May sleep.
    fn map_queues(_tagset: &Self::TagSetData, _maps: &mut QueueMaps<'_>) {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// A request that was taken but not ended is taken back by a driver on top of this one (as
    /// request-based device mapper does): lets go of what its data holds.
    fn cleanup_rq(_disk: &Self::QueueData, _rq: InFlight<'_, Self>) {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Whether the disk has so much to do that a driver on top should hold requests back.
    fn busy(_disk: &Self::QueueData) -> bool {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Says something of a request in the block layer's debugfs files (`busy` and others), in the
    /// form `, name=value`.
    fn show_rq(_disk: &Self::QueueData, _rq: InFlight<'_, Self>, _m: &SeqFile) {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// The driver's data of a queue, as the queue's `queuedata` points to it.
#[pin_data]
pub(crate) struct QueueContext<T: Operations> {
    data: T::QueueData,
    /// Shared by all requests in flight, or changed by who holds `freezing` and froze the queue.
    steady: UnsafeCell<T::SteadyData>,
    #[pin]
    pub(crate) freezing: Mutex<()>,
}

// SAFETY: All of the driver's data can be sent.
unsafe impl<T: Operations> Send for QueueContext<T> {}
// SAFETY: All of the driver's data can be shared, and where `steady` is not shared, one task has
// it, which may be another than that which made it: it can be sent.
unsafe impl<T: Operations> Sync for QueueContext<T> {}

impl<T: Operations> QueueContext<T> {
    /// Makes the data of a queue.
    pub(crate) fn new(data: T::QueueData, steady: T::SteadyData) -> Result<Arc<Self>> {
        let init = try_pin_init!(Self {
            data,
            steady: UnsafeCell::new(steady),
            freezing <- new_mutex!(()),
        }? Error);
        Arc::pin_init(init, GFP_KERNEL)
    }

    /// What a queue's `queuedata` is to be.
    pub(crate) fn as_raw(self: &Arc<Self>) -> *mut c_void {
        Arc::as_ptr(self).cast_mut().cast()
    }

    /// The driver's data.
    #[inline(always)]
    pub(crate) fn data(&self) -> &T::QueueData {
        &self.data
    }

    /// The data of a queue.
    ///
    /// # Safety
    ///
    /// `queue` must have the vtable of `T` and its data, which lives as long as `'a`.
    #[inline(always)]
    unsafe fn of<'a>(queue: *mut bindings::request_queue) -> &'a Self {
        // SAFETY: By the requirement of this function and the vtable's invariant.
        unsafe { &*(*queue).queuedata.cast::<Self>() }
    }

    /// The steady data, for a request of the queue.
    ///
    /// # Safety
    ///
    /// As [`QueueContext::of`]; and the queue's `q_usage_counter` must not reach 0 before the end of
    /// `'a`.
    #[inline(always)]
    pub(crate) unsafe fn steady_of<'a>(queue: *mut bindings::request_queue) -> &'a T::SteadyData {
        // SAFETY: By the requirement of this function; nobody changes it, because no freezing of the
        // queue is over before the counter reaches 0.
        unsafe { &*Self::of(queue).steady.get() }
    }

    /// The steady data, for who may change it.
    pub(crate) fn steady_cell(&self) -> *mut T::SteadyData {
        self.steady.get()
    }
}

/// What a hardware queue is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum HwQueueKind {
    /// All that no other queue is for.
    Default,
    /// Reads.
    Read,
    /// Requests whose submitter polls for them.
    Poll,
}

/// A hardware queue of a disk, with the driver's data, to which it dereferences.
///
/// # Examples
///
/// ```ignore
/// fn queue_rq(_disk: &Disk, hw: &HwQueue<Self>, rq: Incoming<Self>, is_last: bool) -> Result<(), Refused> {
///     hw.ring.post(rq.start().park()); // `ring` is a field of `HwData`
///     if is_last {
///         hw.start_timer(20_000);
///     }
///     Ok(())
/// }
/// ```
///
/// # Invariants
///
/// `hctx` is initialised and its `driver_data` points to this value.
// What CPUs of one queue write shares no cache line with what those of another use.
#[repr(align(64))]
#[pin_data(PinnedDrop)]
pub(crate) struct HwQueue<T: Operations> {
    hctx: NonNull<bindings::blk_mq_hw_ctx>,
    /// Of a disk's first queue: 1 if the disk was refused a budget since one came back.
    starved: Atomic<u32>,
    #[pin]
    timer: Opaque<bindings::hrtimer>,
    #[pin]
    data: T::HwData,
}

// SAFETY: A hardware queue is an object of the kernel that synchronises itself, and so is a timer;
// the driver's data is `Send`.
unsafe impl<T: Operations> Send for HwQueue<T> {}
// SAFETY: As above; the driver's data is `Sync`.
unsafe impl<T: Operations> Sync for HwQueue<T> {}

impl<T: Operations> HwQueue<T> {
    /// Makes the value for `hctx`, on its NUMA node, and gives it to it.
    ///
    /// # Safety
    ///
    /// `hctx` must be a hardware queue of a queue of `T` that is being initialised.
    unsafe fn init(hctx: NonNull<bindings::blk_mq_hw_ctx>, info: &HwQueueInfo) -> Result {
        // SAFETY: By the requirement of this function.
        let disk = unsafe { OperationsVTable::<T>::disk_data(hctx.as_ptr()) };
        let init = try_pin_init!(Self {
            hctx,
            starved: Atomic::new(0),
            timer <- Opaque::ffi_init(|timer| {
                // SAFETY: The timer is valid for writes and pinned with this value.
                unsafe {
                    bindings::hrtimer_setup(
                        timer,
                        Some(Self::timer_callback),
                        bindings::CLOCK_MONOTONIC as bindings::clockid_t,
                        bindings::hrtimer_mode_HRTIMER_MODE_REL,
                    )
                }
            }),
            data <- T::init_hctx(disk, info),
        }? Error);

        let layout = core::alloc::Layout::new::<Self>();
        let room = Kmalloc::alloc(layout, GFP_KERNEL, info.node())?;
        // SAFETY: The room is fresh and large enough; the box owns it.
        let room = unsafe { KBox::from_raw(room.cast::<core::mem::MaybeUninit<Self>>().as_ptr()) };
        let hw = room.write_pin_init(init)?;
        // SAFETY: The field is the driver's. The value is only moved as a pointer.
        unsafe {
            (*hctx.as_ptr()).driver_data = KBox::into_raw(Pin::into_inner_unchecked(hw)).cast()
        };
        Ok(())
    }

    /// The value of an initialised hardware queue.
    ///
    /// # Safety
    ///
    /// `hctx` must be a hardware queue of a queue of `T`, initialised as long as `'a`.
    #[inline(always)]
    pub(crate) unsafe fn of<'a>(hctx: *mut bindings::blk_mq_hw_ctx) -> &'a Self {
        // SAFETY: By the requirement of this function and the type's invariant.
        unsafe { &*(*hctx).driver_data.cast::<Self>() }
    }

    /// The first hardware queue of a disk.
    ///
    /// # Safety
    ///
    /// `queue` must be a queue of `T` whose hardware queues stay as long as `'a`.
    unsafe fn first<'a>(queue: *mut bindings::request_queue) -> &'a Self {
        // SAFETY: By the requirement of this function; each queue has a first hardware queue.
        unsafe { Self::of(bindings::rnullblk_queue_hctx(queue, 0)) }
    }

    /// Gives a piece of budget back, and has the block layer try again if it was refused one: it
    /// does not do so by itself.
    ///
    /// # Safety
    ///
    /// As [`HwQueue::first`].
    pub(crate) unsafe fn put_budget(queue: *mut bindings::request_queue, budget: Budget) {
        // SAFETY: By the requirement of this function.
        unsafe {
            T::put_budget(OperationsVTable::<T>::queue_data(queue), budget);
            if Self::first(queue).starved.xchg(0, Full) != 0 {
                bindings::blk_mq_run_hw_queues(queue, true);
            }
        }
    }

    /// The hardware queue of a request that is the driver's.
    ///
    /// # Safety
    ///
    /// `rq` must be a request of a queue of `T` that has a hardware queue, which stays initialised
    /// as long as the request is borrowed.
    #[inline(always)]
    pub(crate) unsafe fn of_request(rq: &bindings::request) -> &Self {
        // SAFETY: By the requirement of this function.
        unsafe { Self::of(rq.mq_hctx) }
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::blk_mq_hw_ctx {
        self.hctx.as_ptr()
    }

    /// The queue's number within the tag set.
    pub(crate) fn index(&self) -> u32 {
        // SAFETY: By the type's invariant.
        unsafe { (*self.as_raw()).queue_num }
    }

    /// The NUMA node of the CPUs that it serves, or [`NO_NODE`](crate::tagset::NO_NODE).
    pub(crate) fn numa_node(&self) -> i32 {
        // SAFETY: By the type's invariant.
        unsafe { (*self.as_raw()).numa_node }
    }

    /// The NUMA node on which the queue's data really lies.
    pub(crate) fn memory_node(&self) -> i32 {
        // SAFETY: The value was allocated by `Kmalloc`.
        unsafe { bindings::rnullblk_node_of(core::ptr::from_ref(self).cast()) }
    }

    /// What the queue is for.
    #[inline(always)]
    pub(crate) fn kind(&self) -> HwQueueKind {
        // SAFETY: By the type's invariant.
        match u32::from(unsafe { (*self.as_raw()).type_ }) {
            bindings::hctx_type_HCTX_TYPE_READ => HwQueueKind::Read,
            bindings::hctx_type_HCTX_TYPE_POLL => HwQueueKind::Poll,
            _ => HwQueueKind::Default,
        }
    }

    /// Lets [`Operations::timer`] be called once, `nsec` nanoseconds from now. If the timer was
    /// started before and has not expired, it expires at the new time only. May be called by
    /// anybody at any time, also while that function runs.
    pub(crate) fn start_timer(&self, nsec: u64) {
        const { assert!(T::HAS_TIMER, "`start_timer()` needs `Operations::timer`") };
        let nsec = i64::try_from(nsec).unwrap_or(i64::MAX);
        // SAFETY: The timer was set up with this value, and is cancelled before it is dropped.
        unsafe {
            bindings::hrtimer_start_range_ns(
                self.timer.get(),
                nsec,
                0,
                bindings::hrtimer_mode_HRTIMER_MODE_REL,
            )
        };
    }

    /// # Safety
    ///
    /// To be called by the timer of a `HwQueue<T>` only.
    unsafe extern "C" fn timer_callback(
        timer: *mut bindings::hrtimer,
    ) -> bindings::hrtimer_restart {
        if !T::HAS_TIMER {
            return compat::HRTIMER_NORESTART;
        }
        // SAFETY: The timer lies in a `HwQueue<T>`, which is valid until the timer is cancelled.
        let hw = unsafe { &*kernel::container_of!(Opaque::cast_from(timer), Self, timer) };
        // SAFETY: The hardware queue is initialised as long as `hw` is valid.
        let disk = unsafe { OperationsVTable::<T>::disk_data(hw.as_raw()) };
        T::timer(disk, hw);
        // Whoever starts it meanwhile, here or on another CPU, does so under its lock, as `hrtimer_forward()`
        // would not.
        compat::HRTIMER_NORESTART
    }
}

impl<T: Operations> Deref for HwQueue<T> {
    type Target = T::HwData;

    #[inline(always)]
    fn deref(&self) -> &T::HwData {
        &self.data
    }
}

#[pinned_drop]
impl<T: Operations> PinnedDrop for HwQueue<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The timer was set up. When this returns the callback is not running any more.
        unsafe { bindings::hrtimer_cancel(self.timer.get()) };
    }
}

/// The functions that the kernel calls for a driver `T`, and the `struct blk_mq_ops` of them.
///
/// # Invariants
///
/// - In each queue that uses this vtable, `queuedata` points to a [`QueueContext<T>`] that is valid
///   until the queue's hardware queues are gone ([`GenDisk`](crate::disk::GenDisk) and
///   [`Queue`](crate::admin::Queue) see to that).
/// - `driver_data` of each hardware queue points to a [`HwQueue<T>`] between `init_hctx` and
///   `exit_hctx`.
/// - Each tag set that uses it is the first field of a [`TagSet<T>`].
///
/// All functions are to be called by blk-mq only, as the documentation of `struct blk_mq_ops` says:
/// this is the safety requirement of each of them.
pub(crate) struct OperationsVTable<T: Operations>(PhantomData<T>);

impl<T: Operations> OperationsVTable<T> {
    const VTABLE: bindings::blk_mq_ops = {
        assert!(
            T::HAS_GET_BUDGET == T::HAS_PUT_BUDGET,
            "`get_budget` and `put_budget` go together"
        );
        assert!(
            !(T::HAS_GET_BUDGET && T::HAS_QUEUE_RQS),
            "`queue_rqs` goes round the budget"
        );
        bindings::blk_mq_ops {
            queue_rq: Some(Self::queue_rq_callback),
            commit_rqs: if T::HAS_COMMIT_RQS {
                Some(Self::commit_rqs_callback)
            } else {
                None
            },
            queue_rqs: if T::HAS_QUEUE_RQS {
                Some(Self::queue_rqs_callback)
            } else {
                None
            },
            get_budget: if T::HAS_GET_BUDGET {
                Some(Self::get_budget_callback)
            } else {
                None
            },
            put_budget: if T::HAS_PUT_BUDGET {
                Some(Self::put_budget_callback)
            } else {
                None
            },
            set_rq_budget_token: if T::HAS_GET_BUDGET {
                Some(Self::set_rq_budget_token_callback)
            } else {
                None
            },
            get_rq_budget_token: if T::HAS_GET_BUDGET {
                Some(Self::get_rq_budget_token_callback)
            } else {
                None
            },
            timeout: if T::HAS_TIMEOUT {
                Some(Self::timeout_callback)
            } else {
                None
            },
            poll: if T::HAS_POLL {
                Some(Self::poll_callback)
            } else {
                None
            },
            complete: if T::HAS_COMPLETE {
                Some(Self::complete_callback)
            } else {
                None
            },
            init_hctx: Some(Self::init_hctx_callback),
            exit_hctx: Some(Self::exit_hctx_callback),
            init_request: Some(Self::init_request_callback),
            exit_request: Some(Self::exit_request_callback),
            cleanup_rq: if T::HAS_CLEANUP_RQ {
                Some(Self::cleanup_rq_callback)
            } else {
                None
            },
            busy: if T::HAS_BUSY {
                Some(Self::busy_callback)
            } else {
                None
            },
            // Always: the queues of each kind are mapped by the abstraction.
            map_queues: Some(Self::map_queues_callback),
            #[cfg(CONFIG_BLK_DEBUG_FS)]
            show_rq: if T::HAS_SHOW_RQ {
                Some(Self::show_rq_callback)
            } else {
                None
            },
        }
    };

    pub(crate) const fn build() -> &'static bindings::blk_mq_ops {
        &Self::VTABLE
    }

    /// # Safety
    ///
    /// `hctx` must be a hardware queue of a queue with this vtable, which is initialised or being
    /// initialised.
    #[inline(always)]
    unsafe fn disk_data<'a>(hctx: *mut bindings::blk_mq_hw_ctx) -> &'a T::QueueData {
        // SAFETY: By the requirement of this function; the borrow ends with the callback.
        unsafe { Self::queue_data((*hctx).queue) }
    }

    /// # Safety
    ///
    /// `queue` must be a queue with this vtable.
    #[inline(always)]
    unsafe fn queue_data<'a>(queue: *mut bindings::request_queue) -> &'a T::QueueData {
        // SAFETY: By the vtable's invariant; the borrow ends with the callback.
        unsafe { QueueContext::<T>::of(queue) }.data()
    }

    /// # Safety
    ///
    /// See [`OperationsVTable`].
    unsafe extern "C" fn queue_rq_callback(
        hctx: *mut bindings::blk_mq_hw_ctx,
        bd: *const bindings::blk_mq_queue_data,
    ) -> bindings::blk_status_t {
        // SAFETY: All of it is valid by the requirement of this function; the request is the
        // driver's until it says otherwise in the status.
        let (disk, hw, rq, is_last) = unsafe {
            (
                Self::disk_data(hctx),
                HwQueue::of(hctx),
                Incoming::from_raw(NonNull::new_unchecked((*bd).rq)),
                (*bd).last,
            )
        };
        match T::queue_rq(disk, hw, rq, is_last) {
            Ok(()) => Status::OK,
            // SAFETY: By the requirement of this function.
            Err(refused) => refused.status_of(unsafe { (*bd).rq }),
        }
        .as_raw()
    }

    /// # Safety
    ///
    /// See [`OperationsVTable`].
    unsafe extern "C" fn commit_rqs_callback(hctx: *mut bindings::blk_mq_hw_ctx) {
        // SAFETY: By the requirement of this function.
        unsafe { T::commit_rqs(Self::disk_data(hctx), HwQueue::of(hctx)) };
    }

    /// # Safety
    ///
    /// See [`OperationsVTable`].
    unsafe extern "C" fn queue_rqs_callback(list: *mut bindings::rq_list) {
        // SAFETY: By the requirement of this function the list is valid and not empty, and all its
        // requests are of one queue.
        let (disk, mut list) = unsafe {
            (
                Self::queue_data((*(*list).head).q),
                RequestList::from_raw(&mut *list),
            )
        };
        T::queue_rqs(disk, &mut list);
    }

    /// # Safety
    ///
    /// See [`OperationsVTable`].
    unsafe extern "C" fn get_budget_callback(queue: *mut bindings::request_queue) -> c_int {
        // SAFETY: By the requirement of this function.
        let get = || T::get_budget(unsafe { Self::queue_data(queue) });
        get()
            .or_else(|| {
                // SAFETY: As above.
                unsafe { HwQueue::<T>::first(queue) }.starved.xchg(1, Full);
                // What came back before that nobody knew to be wanted.
                get()
            })
            .map_or(-1, Budget::into_token)
    }

    /// # Safety
    ///
    /// See [`OperationsVTable`].
    unsafe extern "C" fn put_budget_callback(queue: *mut bindings::request_queue, token: c_int) {
        if let Some(budget) = Budget::from_token(token) {
            // SAFETY: By the requirement of this function.
            unsafe { HwQueue::<T>::put_budget(queue, budget) };
        }
    }

    /// # Safety
    ///
    /// See [`OperationsVTable`].
    unsafe extern "C" fn set_rq_budget_token_callback(rq: *mut bindings::request, token: c_int) {
        // SAFETY: By the requirement of this function.
        unsafe { Budget::attach::<T>(rq, token) };
    }

    /// # Safety
    ///
    /// See [`OperationsVTable`].
    unsafe extern "C" fn get_rq_budget_token_callback(rq: *mut bindings::request) -> c_int {
        // SAFETY: By the requirement of this function.
        unsafe { Budget::token_of::<T>(rq) }
    }

    /// # Safety
    ///
    /// See [`OperationsVTable`].
    unsafe extern "C" fn timeout_callback(
        rq: *mut bindings::request,
    ) -> bindings::blk_eh_timer_return {
        // SAFETY: By the requirement of this function.
        let (disk, rq) = unsafe {
            (
                Self::queue_data((*rq).q),
                TimedOut::from_raw(NonNull::new_unchecked(rq)),
            )
        };
        T::timeout(disk, rq).as_raw()
    }

    /// # Safety
    ///
    /// See [`OperationsVTable`].
    unsafe extern "C" fn poll_callback(
        hctx: *mut bindings::blk_mq_hw_ctx,
        batch: *mut bindings::io_comp_batch,
    ) -> c_int {
        // SAFETY: By the requirement of this function; its caller ends the batch, if there is one.
        let (disk, hw, mut batch) = unsafe {
            (
                Self::disk_data(hctx),
                HwQueue::of(hctx),
                CompletionBatch::from_raw(batch),
            )
        };
        c_int::try_from(T::poll(disk, hw, &mut batch)).unwrap_or(c_int::MAX)
    }

    /// # Safety
    ///
    /// See [`OperationsVTable`].
    unsafe extern "C" fn complete_callback(rq: *mut bindings::request) {
        // Who completes a request can be a task. The disk's data stays to the end, see `wait_for_callbacks`.
        let _reading = rcu::read_lock();
        // SAFETY: By the requirement of this function; `Request::complete` gave it away.
        let (disk, rq) = unsafe {
            (
                Self::queue_data((*rq).q),
                Request::completed(NonNull::new_unchecked(rq)),
            )
        };
        T::complete(disk, rq);
    }

    /// Says of a hardware queue that is made in a change of their number whether its disk shares its tags. blk-mq does so
    /// when a disk comes to a tag set or leaves it. A queue that does not know waits for a tag until another one of its
    /// own disk comes back, for ever if another disk has them all.
    ///
    /// # Safety
    ///
    /// `hctx` must be a hardware queue that is being initialised.
    unsafe fn share_tags_as_before(hctx: *mut bindings::blk_mq_hw_ctx) {
        const SHARED: u32 = bindings::BLK_MQ_F_TAG_QUEUE_SHARED;
        // SAFETY: By the requirement of this function. A disk that has queues already is one of the set's, and who changes
        // their number holds the lock under which the set's flag changes.
        unsafe {
            let queue = (*hctx).queue;
            if (*queue).nr_hw_queues != 0 {
                (*hctx).flags &= !(SHARED as usize);
                (*hctx).flags |= ((*(*queue).tag_set).flags & SHARED) as usize;
            }
        }
    }

    /// # Safety
    ///
    /// See [`OperationsVTable`].
    unsafe extern "C" fn init_hctx_callback(
        hctx: *mut bindings::blk_mq_hw_ctx,
        _driver_data: *mut c_void,
        index: c_uint,
    ) -> c_int {
        from_result(|| {
            // SAFETY: By the requirement of this function.
            unsafe {
                compat::forget_offline_cpu(hctx);
                Self::share_tags_as_before(hctx);
                let info = HwQueueInfo {
                    index,
                    numa_node: (*hctx).numa_node,
                    depth: (*(*(*hctx).queue).tag_set).queue_depth,
                    // It counts those that were there before the change.
                    is_new: index >= (*(*hctx).queue).nr_hw_queues,
                };
                HwQueue::<T>::init(NonNull::new_unchecked(hctx), &info)?;
            }
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// See [`OperationsVTable`].
    unsafe extern "C" fn exit_hctx_callback(hctx: *mut bindings::blk_mq_hw_ctx, index: c_uint) {
        // When a disk goes this is the first of its queues to go. When the number of queues changes
        // `map_queues` has waited.
        if index == 0 {
            // SAFETY: By the requirement of this function and the vtable's invariant.
            unsafe { TagSet::<T>::from_raw((*(*hctx).queue).tag_set).wait_for_callbacks() };
        }
        // SAFETY: By the requirement of this function; no other callback is running any more, but
        // for the timer, which the drop waits for.
        unsafe {
            T::exit_hctx(Self::disk_data(hctx), HwQueue::of(hctx));
            drop(Pin::new_unchecked(KBox::from_raw(
                (*hctx).driver_data.cast::<HwQueue<T>>(),
            )));
            (*hctx).driver_data = core::ptr::null_mut();
        }
    }

    /// # Safety
    ///
    /// See [`OperationsVTable`].
    unsafe extern "C" fn init_request_callback(
        set: *mut bindings::blk_mq_tag_set,
        rq: *mut bindings::request,
        index: c_uint,
        numa_node: c_int,
    ) -> c_int {
        from_result(|| {
            // SAFETY: By the requirement of this function and the vtable's invariant.
            unsafe {
                let info = HwQueueInfo {
                    index,
                    numa_node,
                    depth: (*set).queue_depth,
                    is_new: true,
                };
                Pdu::<T>::init(rq, TagSet::<T>::from_raw(set).data(), &info)?;
            }
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// See [`OperationsVTable`].
    unsafe extern "C" fn exit_request_callback(
        _set: *mut bindings::blk_mq_tag_set,
        rq: *mut bindings::request,
        _index: c_uint,
    ) {
        // SAFETY: By the requirement of this function.
        unsafe { Pdu::<T>::exit(rq) };
    }

    /// # Safety
    ///
    /// See [`OperationsVTable`].
    unsafe extern "C" fn cleanup_rq_callback(rq: *mut bindings::request) {
        // SAFETY: By the requirement of this function.
        let (disk, rq) = unsafe {
            (
                Self::queue_data((*rq).q),
                InFlight::from_raw(NonNull::new_unchecked(rq)),
            )
        };
        T::cleanup_rq(disk, rq);
    }

    /// # Safety
    ///
    /// See [`OperationsVTable`].
    unsafe extern "C" fn busy_callback(queue: *mut bindings::request_queue) -> bool {
        // SAFETY: By the requirement of this function.
        T::busy(unsafe { Self::queue_data(queue) })
    }

    /// # Safety
    ///
    /// See [`OperationsVTable`].
    unsafe extern "C" fn map_queues_callback(set: *mut bindings::blk_mq_tag_set) {
        // SAFETY: By the requirement of this function and the vtable's invariant.
        let tagset = unsafe { TagSet::<T>::from_raw(set) };
        if tagset.is_changing() {
            // The next thing that the kernel does is to remove hardware queues.
            tagset.wait_for_callbacks();
        }
        // SAFETY: This is the callback.
        let mut maps = unsafe { tagset.maps() };
        if T::HAS_MAP_QUEUES {
            T::map_queues(tagset.data(), &mut maps);
        }
    }

    /// # Safety
    ///
    /// See [`OperationsVTable`].
    #[cfg(CONFIG_BLK_DEBUG_FS)]
    unsafe extern "C" fn show_rq_callback(m: *mut bindings::seq_file, rq: *mut bindings::request) {
        // SAFETY: By the requirement of this function.
        let (disk, rq, m) = unsafe {
            (
                Self::queue_data((*rq).q),
                InFlight::from_raw(NonNull::new_unchecked(rq)),
                SeqFile::from_raw(m),
            )
        };
        T::show_rq(disk, rq, m);
    }
}
