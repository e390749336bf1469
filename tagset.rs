// SPDX-License-Identifier: GPL-2.0

//! A tag set: the hardware queues of a host, and the requests that can be in flight on each.
//!
//! C header: [`include/linux/blk-mq.h`](srctree/include/linux/blk-mq.h)

use crate::{
    bindings,
    queue::{
        Operations,
        OperationsVTable, //
    },
};
use core::marker::PhantomData;
use kernel::{
    error::to_result,
    prelude::*,
    types::Opaque, //
};

/// Memory from whatever NUMA node the kernel thinks best.
pub(crate) const NO_NODE: i32 = bindings::NUMA_NO_NODE;

/// The number of hardware queues above which one more has no CPU to serve: the possible CPUs.
pub(crate) fn max_hw_queues() -> u32 {
    // SAFETY: The function only counts CPUs. 0 is "no limit".
    unsafe { bindings::blk_mq_num_possible_queues(0) }
}

/// The number of CPUs that are online, for a driver that wants a hardware queue for each.
pub(crate) fn online_cpus() -> u32 {
    // SAFETY: As in `max_hw_queues`.
    unsafe { bindings::blk_mq_num_online_queues(0) }
}

/// What a tag set shall be. The set tells what it became, which can be less: see
/// [`TagSet::hw_queues`] and [`TagSet::queue_depth`].
pub(crate) struct TagSetOptions {
    /// Hardware queues, at least 1. The kernel makes no more than [`max_hw_queues`].
    pub(crate) hw_queues: u32,
    /// Requests in flight on each hardware queue, 1 to [`TagSetOptions::MAX_QUEUE_DEPTH`]. The
    /// kernel halves it until the requests fit into memory.
    pub(crate) queue_depth: u32,
    /// The NUMA node of the requests' memory, or [`NO_NODE`].
    pub(crate) numa_node: i32,
    /// Start without an I/O scheduler even with a single queue, where the kernel would pick
    /// mq-deadline. Users can still choose one in sysfs.
    pub(crate) no_sched_by_default: bool,
}

impl TagSetOptions {
    /// The deepest queue that blk-mq has.
    pub(crate) const MAX_QUEUE_DEPTH: u32 = bindings::BLK_MQ_MAX_DEPTH;
}

/// The hardware queues of a host with their tags, and the driver's callbacks: `struct
/// blk_mq_tag_set`.
///
/// A disk keeps its tag set alive, so a tag set is made in an [`Arc`](kernel::sync::Arc).
///
/// # Examples
///
/// ```ignore
/// let options = TagSetOptions {
///     hw_queues: online_cpus(),
///     queue_depth: 128,
///     numa_node: NO_NODE,
///     no_sched_by_default: true,
/// };
/// let tagset = Arc::pin_init(TagSet::<MyDriver>::new(options), GFP_KERNEL)?;
/// ```
///
/// # Invariants
///
/// `inner` was set up by `blk_mq_alloc_tag_set` with `T`'s vtable.
#[pin_data(PinnedDrop)]
pub(crate) struct TagSet<T: Operations> {
    #[pin]
    inner: Opaque<bindings::blk_mq_tag_set>,
    _operations: PhantomData<T>,
}

// SAFETY: The tag set is an object of the kernel that synchronises itself; nothing of it is bound
// to a thread.
unsafe impl<T: Operations> Send for TagSet<T> {}
// SAFETY: As above; through a shared reference it can only be read or given to the kernel.
unsafe impl<T: Operations> Sync for TagSet<T> {}

impl<T: Operations> TagSet<T> {
    /// An initialiser for a tag set.
    ///
    /// # Errors
    ///
    /// `EINVAL` for no queue or a depth out of range, `ENOMEM`.
    pub(crate) fn new(options: TagSetOptions) -> impl PinInit<Self, Error> {
        let flags = if options.no_sched_by_default {
            bindings::BLK_MQ_F_NO_SCHED_BY_DEFAULT
        } else {
            0
        };
        let set = bindings::blk_mq_tag_set {
            ops: OperationsVTable::<T>::build(),
            nr_maps: 1,
            nr_hw_queues: options.hw_queues,
            queue_depth: options.queue_depth,
            numa_node: options.numa_node,
            flags,
            ..pin_init::zeroed()
        };
        let depth_is_valid = (1..=TagSetOptions::MAX_QUEUE_DEPTH).contains(&options.queue_depth);

        try_pin_init!(Self {
            _: {
                // The kernel would cut a depth that is too large with no more than a log line.
                if !depth_is_valid {
                    return Err(EINVAL);
                }
            },
            inner <- Opaque::try_ffi_init(move |slot: *mut bindings::blk_mq_tag_set| {
                // SAFETY: `slot` is valid for writes.
                unsafe { slot.write(set) };
                // SAFETY: `slot` is pinned and holds a set with a vtable; all that it does not
                // name is zero, as the function wants it.
                to_result(unsafe { bindings::blk_mq_alloc_tag_set(slot) })
            }),
            _operations: PhantomData,
        })
    }

    /// How many hardware queues there are.
    pub(crate) fn hw_queues(&self) -> u32 {
        // SAFETY: By the type's invariant the set is valid.
        unsafe { (*self.as_raw()).nr_hw_queues }
    }

    /// How many requests each of them can have in flight.
    pub(crate) fn queue_depth(&self) -> u32 {
        // SAFETY: By the type's invariant the set is valid.
        unsafe { (*self.as_raw()).queue_depth }
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::blk_mq_tag_set {
        self.inner.get()
    }
}

#[pinned_drop]
impl<T: Operations> PinnedDrop for TagSet<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type's invariant the set is valid. Its disks each hold a reference to
        // it, so there is none any more.
        unsafe { bindings::blk_mq_free_tag_set(self.as_raw()) };
    }
}
