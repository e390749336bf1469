// SPDX-License-Identifier: GPL-2.0

//! A tag set: the hardware queues of a host, and the requests that can be in flight on each.
//!
//! C header: [`include/linux/blk-mq.h`](srctree/include/linux/blk-mq.h)

use crate::{
    bindings,
    queue::{
        HwQueueKind,
        Operations,
        OperationsVTable, //
    },
    request::Pdu, //
};
use kernel::{
    error::to_result,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Mutex, //
    },
    types::Opaque,
};

/// Memory from whatever NUMA node the kernel thinks best.
pub(crate) const NO_NODE: i32 = bindings::NUMA_NO_NODE;

/// The NUMA node on which the beginning of a vector really lies, or [`NO_NODE`] if it has no memory.
pub(crate) fn node_of_vec<S>(vec: &KVVec<S>) -> i32 {
    if vec.capacity() == 0 || size_of::<S>() == 0 {
        return NO_NODE;
    }
    // SAFETY: The memory of such a vector is from kmalloc or vmalloc.
    unsafe { bindings::rnullblk_node_of(vec.as_ptr().cast()) }
}

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

/// The number of NUMA nodes that are online.
pub(crate) fn online_nodes() -> u32 {
    // SAFETY: The function only counts nodes.
    unsafe { bindings::rnullblk_online_nodes() }
}

/// How many hardware queues there are of each kind. A kind with none is served by the default
/// queues; but without poll queues nothing is polled.
///
/// # Examples
///
/// ```ignore
/// let queues = HwQueues {
///     default: online_cpus(),
///     read: 0,
///     poll: 1,
/// };
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct HwQueues {
    /// For all that no other queue is for; at least 1.
    pub(crate) default: u32,
    /// For reads alone.
    pub(crate) read: u32,
    /// For requests whose submitter polls.
    pub(crate) poll: u32,
}

impl HwQueues {
    /// Only queues for everything.
    pub(crate) fn only(default: u32) -> Self {
        Self {
            default,
            read: 0,
            poll: 0,
        }
    }

    /// All of them.
    pub(crate) fn total(&self) -> u32 {
        self.default
            .saturating_add(self.read)
            .saturating_add(self.poll)
    }

    fn kinds(&self) -> [u32; 3] {
        [self.default, self.read, self.poll]
    }

    /// As one word, which is read and written at once; each count is below 2^16.
    fn pack(&self) -> u64 {
        u64::from(self.default) | u64::from(self.read) << 16 | u64::from(self.poll) << 32
    }

    fn unpack(word: u64) -> Self {
        let count = |shift: u32| u32::from((word >> shift & 0xffff) as u16);
        Self {
            default: count(0),
            read: count(16),
            poll: count(32),
        }
    }
}

/// What a tag set shall be. The set tells what it became, which can be less: see
/// [`TagSet::hw_queues`] and [`TagSet::queue_depth`].
pub(crate) struct TagSetOptions {
    /// The hardware queues. If there are only default ones, the kernel makes no more than
    /// [`max_hw_queues`].
    pub(crate) hw_queues: HwQueues,
    /// Requests in flight on each hardware queue, 1 to [`TagSetOptions::MAX_QUEUE_DEPTH`]. The
    /// kernel halves it until the requests fit into memory.
    pub(crate) queue_depth: u32,
    /// Of these, how many are kept for [internal requests](crate::admin::InternalRequest) that ask
    /// for a reserved one. Fewer than `queue_depth`.
    pub(crate) reserved_tags: u32,
    /// The NUMA node of the requests' memory; [`NO_NODE`]: of each queue's CPUs.
    pub(crate) numa_node: i32,
    /// The time in milliseconds after which [`Operations::timeout`] is called; 0: 30 seconds.
    /// Users change it in sysfs (`queue/io_timeout`).
    pub(crate) timeout_msec: u32,
    /// [`Operations::queue_rq`] may sleep.
    pub(crate) blocking: bool,
    /// Start without an I/O scheduler even with a single queue, where the kernel would pick
    /// mq-deadline. Users can still choose one in sysfs.
    pub(crate) no_sched_by_default: bool,
    /// All hardware queues draw from the same `queue_depth` tags, as those of a SCSI host do.
    pub(crate) shared_between_queues: bool,
}

impl TagSetOptions {
    /// The deepest queue that blk-mq has.
    pub(crate) const MAX_QUEUE_DEPTH: u32 = bindings::BLK_MQ_MAX_DEPTH;

    /// The least that a driver has to say; the rest is off, or left to the kernel.
    pub(crate) fn new(hw_queues: HwQueues, queue_depth: u32) -> Self {
        Self {
            hw_queues,
            queue_depth,
            reserved_tags: 0,
            numa_node: NO_NODE,
            timeout_msec: 0,
            blocking: false,
            no_sched_by_default: false,
            shared_between_queues: false,
        }
    }

    fn flags(&self) -> u32 {
        let mut flags = 0;
        if self.blocking {
            flags |= bindings::BLK_MQ_F_BLOCKING;
        }
        if self.no_sched_by_default {
            flags |= bindings::BLK_MQ_F_NO_SCHED_BY_DEFAULT;
        }
        if self.shared_between_queues {
            flags |= bindings::BLK_MQ_F_TAG_HCTX_SHARED;
        }
        flags
    }

    /// What the kernel would cut, or take without a word, is refused.
    fn check(&self) -> Result {
        let depth = 1..=Self::MAX_QUEUE_DEPTH;
        let queues = 1..=u32::from(u16::MAX);
        let is_valid = depth.contains(&self.queue_depth)
            && self.reserved_tags < self.queue_depth
            && self.hw_queues.default != 0
            && queues.contains(&self.hw_queues.total());
        is_valid.then_some(()).ok_or(EINVAL)
    }
}

/// The hardware queues of a host with their tags, the driver's callbacks, and its data: `struct
/// blk_mq_tag_set`.
///
/// A disk keeps its tag set alive, so a tag set is made in an [`Arc`](kernel::sync::Arc). Several
/// disks may use it, as the logical units of one host do: then they share its tags.
///
/// # Examples
///
/// ```ignore
/// let options = TagSetOptions {
///     no_sched_by_default: true,
///     ..TagSetOptions::new(HwQueues::only(online_cpus()), 128)
/// };
/// let tagset = Arc::pin_init(TagSet::<MyDriver>::new(options, host_data), GFP_KERNEL)?;
/// ```
///
/// # Invariants
///
/// `inner`, the first field, was set up by `blk_mq_alloc_tag_set` with `T`'s vtable.
#[pin_data(PinnedDrop)]
#[repr(C)]
pub(crate) struct TagSet<T: Operations> {
    #[pin]
    inner: Opaque<bindings::blk_mq_tag_set>,
    data: T::TagSetData,
    /// The queues that are mapped when the kernel has made so many; packed.
    wanted: Atomic<u64>,
    /// The queues that are mapped otherwise: those before a change, which may fail. Packed.
    fallback: Atomic<u64>,
    /// Held while hardware queues are added or removed, and while somebody looks at all of them.
    #[pin]
    change: Mutex<()>,
}

// SAFETY: The tag set is an object of the kernel that synchronises itself; nothing of it is bound
// to a thread, and the driver's data is `Send`.
unsafe impl<T: Operations> Send for TagSet<T> {}
// SAFETY: As above, and the driver's data is `Sync`.
unsafe impl<T: Operations> Sync for TagSet<T> {}

impl<T: Operations> TagSet<T> {
    /// An initialiser for a tag set.
    ///
    /// # Errors
    ///
    /// `EINVAL` for no queue, a depth out of range, as many reserved tags as there are, or poll queues without
    /// [`Operations::poll`]; `ENOMEM`; what [`Operations::init_request`] returns, as `ENOMEM`.
    pub(crate) fn new(options: TagSetOptions, data: T::TagSetData) -> impl PinInit<Self, Error> {
        let queues = options.hw_queues;
        let nr_maps = match (queues.read, queues.poll) {
            (0, 0) => 1,
            (_, 0) => 2,
            _ => 3,
        };
        // The kernel does not look whether it is there.
        let can_poll = T::HAS_POLL || queues.poll == 0;
        let checked = options
            .check()
            .and_then(|()| can_poll.then_some(()).ok_or(EINVAL));
        let set = checked.map(|()| bindings::blk_mq_tag_set {
            ops: OperationsVTable::<T>::build(),
            nr_maps,
            nr_hw_queues: queues.total(),
            queue_depth: options.queue_depth,
            reserved_tags: options.reserved_tags,
            cmd_size: Pdu::<T>::SIZE,
            numa_node: options.numa_node,
            // SAFETY: The function converts a number.
            timeout: unsafe { bindings::rnullblk_msecs_to_jiffies(options.timeout_msec) },
            flags: options.flags(),
            ..pin_init::zeroed()
        });

        // The set comes last: its making calls the driver, which may look at all the rest.
        try_pin_init!(Self {
            data,
            wanted: Atomic::new(queues.pack()),
            fallback: Atomic::new(queues.pack()),
            change <- new_mutex!(()),
            inner <- Opaque::try_ffi_init(move |slot: *mut bindings::blk_mq_tag_set| {
                // SAFETY: `slot` is valid for writes.
                unsafe { slot.write(set?) };
                // SAFETY: `slot` is pinned and holds a set with a vtable; all that it does not
                // name is zero, as the function wants it.
                to_result(unsafe { bindings::blk_mq_alloc_tag_set(slot) })
            }),
        }? Error)
    }

    /// The tag set that `set` is part of.
    ///
    /// # Safety
    ///
    /// `set` must be the first field of a `TagSet<T>`, all of whose other fields are initialised,
    /// and which lives as long as `'a`.
    pub(crate) unsafe fn from_raw<'a>(set: *mut bindings::blk_mq_tag_set) -> &'a Self {
        // SAFETY: By the requirement of this function and the layout of the type.
        unsafe { &*set.cast() }
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::blk_mq_tag_set {
        self.inner.get()
    }

    /// The driver's data.
    pub(crate) fn data(&self) -> &T::TagSetData {
        &self.data
    }

    /// How many hardware queues there are, of each kind.
    pub(crate) fn hw_queues(&self) -> HwQueues {
        let mut queues = HwQueues::unpack(self.wanted.load(Relaxed));
        // SAFETY: By the type's invariant the set is valid.
        let total = unsafe { (*self.as_raw()).nr_hw_queues };
        if queues.total() != total {
            queues = HwQueues::unpack(self.fallback.load(Relaxed));
        }
        if queues.total() != total {
            // The kernel cut the number; it does so only where all are of one kind.
            queues = HwQueues::only(total);
        }
        queues
    }

    /// How many requests each of them can have in flight, reserved ones included.
    pub(crate) fn queue_depth(&self) -> u32 {
        // SAFETY: By the type's invariant the set is valid.
        unsafe { (*self.as_raw()).queue_depth }
    }

    /// Whether the number of hardware queues is being changed, or was ever.
    pub(crate) fn is_changing(&self) -> bool {
        self.wanted.load(Relaxed) != self.fallback.load(Relaxed)
    }

    /// Waits until each callback that has begun has returned. To be called before hardware queues
    /// go, when the disk is frozen: its requests have ended then and no callback begins, but one
    /// that ended the last request may still be looking at its queue.
    pub(crate) fn wait_for_callbacks(&self) {
        // SAFETY: By the type's invariant the set is valid. Callbacks run as readers of RCU or, if
        // the set is blocking, of its SRCU, those that complete requests always of the first.
        unsafe {
            bindings::synchronize_rcu();
            if (*self.as_raw()).flags & bindings::BLK_MQ_F_BLOCKING != 0 {
                bindings::blk_mq_wait_quiesce_done(self.as_raw());
            }
        }
    }

    /// The maps of CPUs to hardware queues, for the `map_queues` callback: by default each kind's
    /// CPUs are spread evenly over its queues, those of a NUMA node together.
    ///
    /// # Safety
    ///
    /// To be called within the `map_queues` callback only, once.
    pub(crate) unsafe fn maps(&self) -> QueueMaps<'_> {
        let queues = self.hw_queues();
        // SAFETY: By the type's invariant the set is valid, and by the requirement of this function the kernel leaves its
        // maps to the driver alone.
        let maps = unsafe { &mut (*self.as_raw()).map };
        let mut maps = QueueMaps { maps };
        let mut offset = 0;
        for (kind, count) in queues.kinds().into_iter().enumerate() {
            maps.spread(kind, offset, count);
            offset += count;
        }
        maps
    }

    /// Changes the number of hardware queues of all the disks of the set to what `choose` makes of
    /// those there are, while they are in use: requests wait meanwhile. May sleep.
    ///
    /// The block layer waits for all that is in flight, without an end. So this waits before, for a device that may leave
    /// requests without an answer; and calls `when_idle` when there are none: what comes from then on has to end by itself.
    /// That must neither sleep nor allocate.
    ///
    /// # Errors
    ///
    /// `EINVAL` for no default queue, more than there are CPUs, or a kind that the set was not
    /// made with; `ETIMEDOUT` if there is something in flight after `msec` milliseconds, `ENOMEM`; then everything is as it
    /// was.
    pub(crate) fn change_hw_queues(
        &self,
        msec: u32,
        choose: impl FnOnce(HwQueues) -> HwQueues,
        when_idle: impl FnOnce(),
    ) -> Result {
        let _change = self.change.lock();
        let before = self.hw_queues();
        let queues = choose(before);
        // SAFETY: By the type's invariant the set is valid.
        let maps = unsafe { (*self.as_raw()).nr_maps };
        let most = max_hw_queues();
        if queues == before {
            return Ok(());
        }
        let is_valid = queues.default != 0
            && queues.kinds().iter().all(|count| *count <= most)
            && (maps > 2 || queues.poll == 0)
            && (maps > 1 || queues.read == 0);
        let total = i32::try_from(queues.total())?;
        if !is_valid {
            return Err(EINVAL);
        }
        // SAFETY: By the type's invariant the set is valid. The function takes the lock it needs.
        if !unsafe { bindings::rnullblk_freeze_set_within(self.as_raw(), msec) } {
            return Err(ETIMEDOUT);
        }
        when_idle();
        // SAFETY: It is frozen.
        unsafe { bindings::rnullblk_unfreeze_set(self.as_raw()) };

        self.fallback.store(before.pack(), Relaxed);
        self.wanted.store(queues.pack(), Relaxed);
        // SAFETY: By the type's invariant the set is valid. The function takes the locks it needs.
        unsafe { bindings::blk_mq_update_nr_hw_queues(self.as_raw(), total) };

        // Without memory the kernel does nothing, or maps the queues as they were, and says no word.
        // SAFETY: As above; nobody changes it but who holds the lock.
        let (now, maps) = unsafe { ((*self.as_raw()).nr_hw_queues, &(*self.as_raw()).map) };
        let is_mapped = maps.each_ref().map(|map| map.nr_queues) == queues.kinds();
        if now != queues.total() || !is_mapped {
            self.wanted.store(before.pack(), Relaxed);
            return Err(ENOMEM);
        }
        Ok(())
    }

    /// Runs `f` while no hardware queue comes or goes. `f`, and what it calls of the [`Operations`], must not ask for this
    /// again.
    pub(crate) fn with_steady_queues<R>(&self, f: impl FnOnce() -> R) -> R {
        let _change = self.change.lock();
        f()
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

/// Which hardware queue serves which CPU, for each kind of queue; see [`Operations::map_queues`].
///
/// # Examples
///
/// ```ignore
/// fn map_queues(_tagset: &Host, maps: &mut QueueMaps<'_>) {
///     // All CPUs that are not named go on as they are.
///     if maps.assign(HwQueueKind::Poll, 0, 0).is_err() {
///         pr_info!("no poll queue for CPU 0\n");
///     }
/// }
/// ```
pub(crate) struct QueueMaps<'a> {
    maps: &'a mut [bindings::blk_mq_queue_map; 3],
}

impl QueueMaps<'_> {
    /// Spreads the CPUs over the `count` queues from `offset` on.
    fn spread(&mut self, kind: usize, offset: u32, count: u32) {
        let Some(map) = self.maps.get_mut(kind) else {
            return;
        };
        map.queue_offset = offset;
        map.nr_queues = count;
        if count != 0 && !map.mq_map.is_null() {
            // SAFETY: The map has an entry for each CPU, and at least one queue.
            unsafe { bindings::blk_mq_map_queues(map) };
        }
    }

    /// Lets the queue number `index` of `kind`, counted from 0 within the kind, serve `cpu`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such queue, or no such CPU.
    pub(crate) fn assign(&mut self, kind: HwQueueKind, cpu: u32, index: u32) -> Result {
        let map = match kind {
            HwQueueKind::Default => &mut self.maps[0],
            HwQueueKind::Read => &mut self.maps[1],
            HwQueueKind::Poll => &mut self.maps[2],
        };
        // SAFETY: The variable is set once, at boot.
        let cpus = unsafe { bindings::nr_cpu_ids };
        if map.mq_map.is_null() || index >= map.nr_queues || cpu >= cpus {
            return Err(EINVAL);
        }
        // SAFETY: The map has an entry for each CPU.
        // CAST: `usize` is at least as wide as `u32`.
        unsafe { *map.mq_map.add(cpu as usize) = map.queue_offset + index };
        Ok(())
    }
}
