// SPDX-License-Identifier: GPL-2.0

//! One RAM disk: what it is made of, and its answer to each callback of blk-mq.

#![forbid(unsafe_code)]

use crate::{
    cache::PowerCut,
    completion::{
        CompletionRing,
        CompletionTable,
        NEVER, //
    },
    counters::Counters,
    disk::{
        DiskOperations,
        DiskOptions,
        Frozen,
        GenDisk,
        NewDisk, //
    },
    faults::{
        Fault,
        FaultOptions, //
    },
    latency::{
        Latency,
        LatencyOptions, //
    },
    limits::{
        QueueLimits,
        SECTOR_SHIFT, //
    },
    medium::{
        Kept,
        Medium,
        Settlement,
        SizeChange, //
    },
    queue::{
        HwQueue,
        HwQueueInfo,
        HwQueueKind,
        Operations, //
    },
    ramstore,
    request::{
        Busy,
        CommandId,
        CompletionBatch,
        Incoming,
        Operation,
        Refused,
        Request,
        RequestList,
        Status,
        TimedOut,
        TimeoutVerdict, //
    },
    segment,
    silent::{
        self,
        SilentFault,
        SilentFaultOptions, //
    },
    store::{
        Store,
        StoreKind, //
    },
    tagset::{
        HwQueues,
        TagSet,
        TagSetOptions, //
    },
    thinstore,
    throttle::Throttle,
    writelog::WriteLog, //
};
use core::ops::Range;
use kernel::{
    fmt,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    },
    time::{
        Instant,
        Monotonic, //
    },
};

pub(crate) const SECTORS_PER_MIB: u64 = 1 << (20 - SECTOR_SHIFT);

/// The largest disk: its bytes have to fit into the kernel's signed file offset.
pub(crate) const MAX_SIZE_MIB: i64 = i64::MAX >> 20;

/// The longest request in sectors (32 MiB). Memory knows no limit; this one keeps a request, which
/// is served in one go, from holding its CPU for more than a few milliseconds.
const MAX_REQUEST_SECTORS: u32 = 32 << (20 - SECTOR_SHIFT);

/// The time after which a request that has no answer times out, as null_blk's.
const TIMEOUT_MSEC: u32 = 5000;

/// How long a change of a disk waits for what is in flight.
const FREEZE_MSEC: u32 = 20_000;

/// How long after its timeout a forgotten request is answered after all, in nanoseconds.
const LATE_ANSWER_NSEC: u64 = 1_000_000;

/// How often a device that hangs looks whether it still does, in nanoseconds.
const HANG_LOOK_NSEC: u64 = 10_000_000;

/// After what time a request that there was no memory for is tried again.
const MEMORY_RETRY_MSEC: u32 = 10;

const NSEC_PER_MSEC: i64 = 1_000_000;

/// How requests of queues that are not polled are completed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum IrqMode {
    /// Where they are queued.
    Inline,
    /// Through the block layer: on the submitting CPU, in softirq context where it chooses so.
    Softirq,
    /// By the hardware queue's timer, so many nanoseconds after they were queued.
    Timer { completion_nsec: u64 },
}

/// What a RAM disk shall be. All values are within the ranges of the settings of the same names.
pub(crate) struct Config {
    pub(crate) size_mib: u64,
    pub(crate) block_size: u32,
    pub(crate) home_node: i32,
    pub(crate) memory_backed: bool,
    pub(crate) store: StoreKind,
    /// For how long a request waits for memory that the store does not get, before it fails.
    pub(crate) memory_wait_msec: u32,
    /// How much old content is remembered for stale reads; 0: none.
    pub(crate) history_mib: u32,
    /// How much of what writes changed is remembered; 0: nothing.
    pub(crate) write_log_mib: u32,
    /// How much memory a thin store may take.
    pub(crate) memory_limit_mib: Option<usize>,
    pub(crate) discard: bool,
    pub(crate) write_zeroes: bool,
    /// Announce a volatile write cache, also if there is none.
    pub(crate) write_cache: bool,
    /// How much the volatile write cache takes; 0: there is none.
    pub(crate) cache_mib: u32,
    pub(crate) fua: bool,
    pub(crate) rotational: bool,
    pub(crate) virt_boundary: bool,
    pub(crate) read_only: bool,
    pub(crate) removable: bool,
    /// 0: as long as the driver likes.
    pub(crate) max_sectors: u32,
    pub(crate) irq_mode: IrqMode,
    /// With completion by timer, what it is instead of `completion_nsec`.
    pub(crate) latency: LatencyOptions,
    /// Nothing is completed by timer.
    pub(crate) hang: bool,
    /// The most that is read and written, in MiB per second; 0: no limit.
    pub(crate) mbps: u32,
    pub(crate) faults: FaultConfig,
}

/// Which faults a RAM disk shall have.
#[derive(Clone, Copy)]
pub(crate) struct FaultConfig {
    pub(crate) seed: u64,
    /// Requests that are never answered.
    pub(crate) timeout: FaultOptions,
    /// Requests that are given back instead of being served.
    pub(crate) requeue: FaultOptions,
    /// Hardware queues that cannot be made.
    pub(crate) init_hctx: FaultOptions,
    /// Writes that are not done, are done elsewhere, or not quite.
    pub(crate) drop_write: SilentFaultOptions,
    pub(crate) misdirect_write: SilentFaultOptions,
    pub(crate) flip_write: SilentFaultOptions,
    /// Reads that are not quite right, or of what was there before.
    pub(crate) flip_read: SilentFaultOptions,
    pub(crate) stale_read: SilentFaultOptions,
    /// What happens to a request that timed out: it is tried again, or fails.
    pub(crate) timeout_retry: bool,
    /// A flush is said to be done, and is not.
    pub(crate) lie_about_flush: bool,
    /// A bad block is none any more when it was met.
    pub(crate) bad_blocks_once: bool,
    /// What lies before a bad block is read or written.
    pub(crate) bad_blocks_partial_io: bool,
}

impl Config {
    fn has_write_cache(&self) -> bool {
        self.write_cache || self.cache_mib != 0
    }

    /// The limits, each of them chosen: memory has no seek, no preferred size and no longest
    /// segment, so nothing is left at a default that was meant for a disk.
    fn limits(&self) -> Result<QueueLimits> {
        let max_sectors = match self.max_sectors {
            0 => MAX_REQUEST_SECTORS,
            sectors => sectors.min(MAX_REQUEST_SECTORS),
        };
        let page_mask = kernel::page::PAGE_SIZE - 1;
        let limits = QueueLimits::new()
            .logical_block_size(self.block_size)?
            .physical_block_size(self.block_size)?
            .io_min(self.block_size)?
            .io_opt(0)?
            .max_hw_sectors(max_sectors)?
            .max_segments(u16::MAX)?
            .max_segment_size(u32::MAX)?
            .virt_boundary_mask(if self.virt_boundary { page_mask } else { 0 })?
            .dma_alignment(2)?
            .max_discard_sectors(if self.discard { MAX_REQUEST_SECTORS } else { 0 })?
            .max_write_zeroes_sectors(if self.write_zeroes {
                MAX_REQUEST_SECTORS
            } else {
                0
            })?
            .write_zeroes_unmaps(self.memory_backed && self.store == StoreKind::Thin)
            .rotational(self.rotational)
            .write_cache(self.has_write_cache())
            .fua(self.has_write_cache() && self.fua);
        Ok(limits)
    }
}

/// What a tag set of RAM disks shall be.
pub(crate) fn tag_set_options(
    hw_queues: HwQueues,
    queue_depth: u32,
    home_node: i32,
) -> TagSetOptions {
    TagSetOptions {
        numa_node: home_node,
        timeout_msec: TIMEOUT_MSEC,
        ..TagSetOptions::new(hw_queues, queue_depth)
    }
}

/// The data of a disk, which its callbacks share.
pub(crate) struct Device {
    memory_backed: bool,
    store: StoreKind,
    memory_wait_msec: u32,
    has_write_log: bool,
    history_mib: u32,
    home_node: i32,
    block_size: u32,
    cache_mib: u32,
    irq_mode: IrqMode,
    /// All requests of queues that are not polled end where they are queued, unless they take a detour.
    ends_inline: bool,
    /// There are requests that do not end where they are queued. Faults that come later find no rings, perhaps; then
    /// what is forgotten has no late answer.
    needs_rings: bool,
    /// 1 if something is to be looked at that a plain disk has not: see [`Device::detour`].
    takes_detours: Atomic<u32>,
    faults: Faults,
    throttle: Option<Throttle>,
    /// If requests that are completed by timer do not all take the same time.
    latency: Option<Latency>,
    /// 1 as long as no answers are given that wait for the timer or the poller.
    is_hung: Atomic<u32>,
    /// 1 if there are requests whose answers the ring had no room for, because late ones fill it in a hang.
    has_unposted: Atomic<u32>,
    /// What stays when the disk goes.
    kept: Arc<Kept>,
    /// 1 if the device was pulled out.
    is_gone: Atomic<u32>,
    /// 1 if the power is going off: whatever is to come later comes now.
    is_in_a_hurry: Atomic<u32>,
    common: Arc<CommonData>,
    /// The clock of the completion rings.
    epoch: Instant<Monotonic>,
}

/// The faults of a disk. All of them can be changed while it is used.
pub(crate) struct Faults {
    pub(crate) timeout: Fault,
    pub(crate) requeue: Fault,
    pub(crate) init_hctx: Fault,
    pub(crate) drop_write: SilentFault,
    pub(crate) misdirect_write: SilentFault,
    pub(crate) flip_write: SilentFault,
    pub(crate) flip_read: SilentFault,
    pub(crate) stale_read: SilentFault,
    /// Counts the requests that were given back, every other one in another way.
    given_back: Atomic<u32>,
    timeout_retry: Atomic<u32>,
    lie_about_flush: Atomic<u32>,
    bad_blocks_once: Atomic<u32>,
    bad_blocks_partial_io: Atomic<u32>,
}

/// What the disks of a tag set have in common.
pub(crate) struct CommonData {
    /// How many of them hang.
    hung: Atomic<usize>,
    /// How many tasks are changing the number of queues: the kernel waits for what is in flight, without an end.
    changing: Atomic<usize>,
}

impl CommonData {
    /// Of a tag set without disks.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let common = Self {
            hung: Atomic::new(0),
            changing: Atomic::new(0),
        };
        Ok(Arc::new(common, GFP_KERNEL)?)
    }
}

/// The data of a hardware queue.
#[pin_data]
pub(crate) struct HwData {
    pub(crate) counters: Counters,
    /// The answers to come, where requests wait for one.
    pub(crate) ring: Option<CompletionRing>,
    /// The same, where they take times of their own; then there is no ring.
    table: Option<CompletionTable>,
    /// With a table: when the timer expires, or an earlier time for which it is about to be started.
    timer_due_nsec: Atomic<i64>,
    /// 1 if the timer is started, or about to be.
    timer_is_on: Atomic<u32>,
}

/// The data of a request.
#[pin_data]
pub(crate) struct RequestData {
    /// How it is going to end, if it is not ended where it was queued.
    status: Atomic<u32>,
    /// 1 if the device has forgotten it.
    is_forgotten: Atomic<u32>,
    /// By when there has to be memory for it; 0: it does not wait for that.
    memory_deadline_nsec: Atomic<i64>,
}

impl Faults {
    fn new(config: &FaultConfig) -> Self {
        let faults = Self {
            timeout: Fault::new(config.timeout),
            requeue: Fault::new(config.requeue),
            init_hctx: Fault::new(config.init_hctx),
            drop_write: SilentFault::new(config.drop_write),
            misdirect_write: SilentFault::new(config.misdirect_write),
            flip_write: SilentFault::new(config.flip_write),
            flip_read: SilentFault::new(config.flip_read),
            stale_read: SilentFault::new(config.stale_read),
            given_back: Atomic::new(0),
            timeout_retry: Atomic::new(config.timeout_retry.into()),
            lie_about_flush: Atomic::new(config.lie_about_flush.into()),
            bad_blocks_once: Atomic::new(config.bad_blocks_once.into()),
            bad_blocks_partial_io: Atomic::new(config.bad_blocks_partial_io.into()),
        };
        faults.sow(config.seed);
        faults
    }

    /// What happens to a request that timed out: it is tried again, or fails.
    pub(crate) fn set_timeout_retry(&self, yes: bool) {
        self.timeout_retry.store(yes.into(), Relaxed);
    }

    /// Whether a flush is said to be done, and is not.
    pub(crate) fn set_lie_about_flush(&self, yes: bool) {
        self.lie_about_flush.store(yes.into(), Relaxed);
    }

    /// Whether a bad block is none any more when it was met.
    pub(crate) fn set_bad_blocks_once(&self, yes: bool) {
        self.bad_blocks_once.store(yes.into(), Relaxed);
    }

    /// Whether what lies before a bad block is read or written.
    pub(crate) fn set_bad_blocks_partial_io(&self, yes: bool) {
        self.bad_blocks_partial_io.store(yes.into(), Relaxed);
    }

    /// Begins their chances anew, as this seed has them.
    pub(crate) fn sow(&self, seed: u64) {
        self.timeout.sow(seed);
        self.requeue.sow(seed.wrapping_add(1));
        self.init_hctx.sow(seed.wrapping_add(2));
        for (fault, number) in self.silent().iter().zip(3..) {
            fault.fault.sow(seed.wrapping_add(number));
        }
    }

    /// All that are silent.
    fn silent(&self) -> [&SilentFault; 5] {
        [
            &self.drop_write,
            &self.misdirect_write,
            &self.flip_write,
            &self.flip_read,
            &self.stale_read,
        ]
    }
}

impl Device {
    fn new(
        config: &Config,
        hw_queues: HwQueues,
        common: Arc<CommonData>,
        kept: Arc<Kept>,
    ) -> Result<Self> {
        let faults = Faults::new(&config.faults);
        let throttle = Throttle::new(config.mbps);
        let ends_inline = config.irq_mode == IrqMode::Inline;
        let latency =
            match config.irq_mode {
                IrqMode::Timer { completion_nsec } if config.latency.are_any() => Some(
                    Latency::new(&config.latency, completion_nsec, config.faults.seed)?,
                ),
                _ => None,
            };
        let device = Self {
            memory_backed: config.memory_backed,
            store: config.store,
            memory_wait_msec: config.memory_wait_msec,
            has_write_log: config.write_log_mib != 0,
            history_mib: config.history_mib,
            home_node: config.home_node,
            block_size: config.block_size,
            cache_mib: config.cache_mib,
            irq_mode: config.irq_mode,
            ends_inline,
            needs_rings: !ends_inline
                || hw_queues.poll != 0
                || throttle.is_some()
                || faults.timeout.is_on(),
            takes_detours: Atomic::new(0),
            faults,
            throttle,
            latency,
            is_hung: Atomic::new(0),
            has_unposted: Atomic::new(0),
            kept,
            is_gone: Atomic::new(0),
            is_in_a_hurry: Atomic::new(0),
            common,
            epoch: Instant::now(),
        };
        device.look_for_detours();
        Ok(device)
    }

    /// Finds out whether requests have to take a detour; to be called when a reason for it was added.
    fn look_for_detours(&self) {
        let reasons = [
            self.is_gone(),
            self.faults.timeout.is_on(),
            self.faults.requeue.is_on(),
            self.kept.bad_blocks.are_there(),
            self.throttle.is_some(),
            self.cache_mib != 0,
            self.memory_wait_msec != 0,
            self.has_write_log,
            self.history_mib != 0,
            self.faults.silent().iter().any(|fault| fault.fault.is_on()),
        ];
        self.takes_detours
            .xchg(reasons.contains(&true).into(), Full);
        // It can have been pulled out meanwhile.
        if self.is_gone() {
            self.takes_detours.xchg(1, Full);
        }
    }

    fn takes_detours(&self) -> bool {
        self.takes_detours.load(Relaxed) != 0
    }

    fn is_gone(&self) -> bool {
        self.is_gone.load(Relaxed) != 0
    }

    /// Whether somebody waits for all requests to end who has no patience: then nothing waits for its time, but only for memory.
    fn ends_all_at_once(&self) -> bool {
        self.is_in_a_hurry.load(Relaxed) != 0 || self.common.changing.load(Relaxed) != 0
    }

    /// The time by which answers are due.
    fn now_nsec(&self) -> i64 {
        self.epoch.elapsed().as_nanos()
    }

    /// Serves a request and completes it the way the disk does that.
    #[inline(always)]
    fn handle(
        &self,
        hw: &HwQueue<RamDiskOperations>,
        rq: Request<RamDiskOperations>,
        batch: Option<&mut CompletionBatch<'_>>,
    ) {
        let operation = rq.operation();
        hw.counters.count_queued(operation, rq.is_fua());
        let status = rq.steady().serve(&rq, operation);
        if status != Status::OK {
            hw.counters.errors.add(1);
        }
        if self.needs_rings && (!self.ends_inline || hw.kind() == HwQueueKind::Poll) {
            return self.complete_later(hw, rq, status);
        }
        match batch {
            Some(batch) => rq.end_batched(status, batch),
            None => rq.end(status),
        }
    }

    /// The way of all requests of a disk that is not plain: one that injects faults, is throttled, has bad
    /// blocks or a cache, or is gone.
    #[inline(never)]
    fn detour(
        &self,
        hw: &HwQueue<RamDiskOperations>,
        rq: Incoming<RamDiskOperations>,
    ) -> Result<(), Refused> {
        if self.is_gone() {
            hw.counters.errors.add(1);
            let rq = rq.start();
            rq.data().memory_deadline_nsec.store(0, Relaxed);
            rq.end(Status::IOERR);
            return Ok(());
        }
        if !rq.is_awaited() && self.faults.requeue.strikes(rq.bytes()) {
            return self.give_back(rq, hw);
        }
        let rq = rq.start();
        let operation = rq.operation();
        hw.counters.count_queued(operation, rq.is_fua());
        let status = self.serve_around_bad_blocks(&rq, operation, &hw.counters);
        if self.waits_for_memory(rq.data(), status) {
            hw.counters.requeues.add(1);
            rq.requeue(MEMORY_RETRY_MSEC);
            return Ok(());
        }
        if status != Status::OK {
            hw.counters.errors.add(1);
        }
        if !self.ends_all_at_once() && self.faults.timeout.strikes(rq.bytes()) {
            rq.data().is_forgotten.store(1, Relaxed);
            rq.data().status.store(status.as_raw().into(), Relaxed);
            rq.park();
            return Ok(());
        }
        self.complete_later(hw, rq, status);
        Ok(())
    }

    /// Whether a request that ended that way is to be tried again, because there may be memory then.
    fn waits_for_memory(&self, data: &RequestData, status: Status) -> bool {
        if self.memory_wait_msec == 0 {
            return false;
        }
        let may_wait = status == Status::NOSPC && self.is_in_a_hurry.load(Relaxed) == 0;
        let deadline_nsec = may_wait.then(|| {
            let now_nsec = self.now_nsec();
            let deadline_nsec = match data.memory_deadline_nsec.load(Relaxed) {
                0 => now_nsec.saturating_add(self.memory_wait_nsec()),
                begun => begun,
            };
            (now_nsec < deadline_nsec).then_some(deadline_nsec)
        });
        let deadline_nsec = deadline_nsec.flatten();
        data.memory_deadline_nsec
            .store(deadline_nsec.unwrap_or(0), Relaxed);
        deadline_nsec.is_some()
    }

    /// For how long a request waits for memory, if it has to from now on.
    fn memory_wait_nsec(&self) -> i64 {
        let msec = match self.common.changing.load(Relaxed) {
            0 => self.memory_wait_msec,
            _ => self.memory_wait_msec.min(FREEZE_MSEC),
        };
        i64::from(msec) * NSEC_PER_MSEC
    }

    /// Moves the data, or what of it lies before a bad block.
    fn serve_around_bad_blocks(
        &self,
        rq: &Request<RamDiskOperations>,
        operation: Operation,
        counters: &Counters,
    ) -> Status {
        if operation == Operation::Flush && self.faults.lie_about_flush.load(Relaxed) != 0 {
            return Status::OK;
        }
        let medium = rq.steady();
        let sectors = u64::from(rq.bytes()) >> SECTOR_SHIFT;
        let bad_blocks = &self.kept.bad_blocks;
        let bad = match operation {
            Operation::Flush => None,
            _ if !bad_blocks.are_there() => None,
            _ => bad_blocks.first_in(rq.sector(), sectors),
        };
        let Some(bad) = bad else {
            return self.serve_with_silent_faults(rq, operation, counters);
        };
        if self.faults.bad_blocks_partial_io.load(Relaxed) != 0 {
            // Whole blocks are read and written.
            let block_sectors = u64::from(self.block_size) >> SECTOR_SHIFT;
            let end = *bad.start() & !(block_sectors.wrapping_sub(1));
            let good_bytes = end.saturating_sub(rq.sector()) << SECTOR_SHIFT;
            if let Ok(bytes @ 1..) = u32::try_from(good_bytes) {
                medium.serve_first(rq, operation, rq.sector(), bytes, None);
            }
        }
        if self.faults.bad_blocks_once.load(Relaxed) != 0 {
            // If that needs more room than the list has, the block stays bad.
            let _ = bad_blocks.clear(bad);
        }
        Status::IOERR
    }

    /// Moves the data, or not quite.
    fn serve_with_silent_faults(
        &self,
        rq: &Request<RamDiskOperations>,
        operation: Operation,
        counters: &Counters,
    ) -> Status {
        let (medium, faults) = (rq.steady(), &self.faults);
        let (sector, bytes) = (rq.sector(), rq.bytes());
        let sectors = sector..sector.saturating_add(u64::from(bytes) >> SECTOR_SHIFT);
        if !medium.has_data(operation) {
            return medium.serve_first(rq, operation, sector, bytes, None);
        }
        let (mut to_sector, mut wrong_bit) = (sector, None);
        if operation == Operation::Write {
            if faults.drop_write.strikes(&sectors).is_some() {
                counters.dropped_writes.add(1);
                return Status::OK;
            }
            if let Some((_, dice)) = faults.misdirect_write.strikes(&sectors) {
                let range = faults.misdirect_write.range(medium.capacity_sectors());
                let block_sectors = u64::from(self.block_size) >> SECTOR_SHIFT;
                let other = silent::elsewhere(&sectors, range, block_sectors, dice);
                to_sector = other.unwrap_or(sector);
            }
            if let Some((part, dice)) = faults.flip_write.strikes(&sectors) {
                let (position, bit) = bit_of(&part, dice);
                let moved = to_sector.wrapping_sub(sector) << SECTOR_SHIFT;
                wrong_bit = Some((position.wrapping_add(moved), bit));
            }
        }
        let status = medium.serve_first(rq, operation, to_sector, bytes, wrong_bit);
        if status != Status::OK {
            return status;
        }
        match operation {
            Operation::Write => {
                counters
                    .misdirected_writes
                    .add((to_sector != sector).into());
                counters.flipped_writes.add(wrong_bit.is_some().into());
            }
            Operation::Read => {
                if let Some((part, _)) = faults.stale_read.strikes(&sectors) {
                    counters
                        .stale_reads
                        .add(medium.make_stale(rq, &part).into());
                }
                if let Some((part, dice)) = faults.flip_read.strikes(&sectors) {
                    let (position, bit) = bit_of(&part, dice);
                    let offset = position.wrapping_sub(sector << SECTOR_SHIFT);
                    counters.flipped_reads.add(1);
                    segment::flip_bit(rq.segments(), usize::try_from(offset).unwrap_or(0), bit);
                }
            }
            _ => (),
        }
        status
    }

    /// Gives a request back unserved, by turns refused and requeued.
    fn give_back(&self, rq: Incoming<RamDiskOperations>, hw: &HwData) -> Result<(), Refused> {
        if self.faults.given_back.fetch_add(1, Relaxed) & 1 == 0 {
            hw.counters.refusals.add(1);
            return Err(rq.refuse(Busy::System));
        }
        hw.counters.requeues.add(1);
        rq.start().requeue(0);
        Ok(())
    }

    /// Completes a request that does not end where it is queued, or perhaps not.
    #[inline(never)]
    fn complete_later(
        &self,
        hw: &HwQueue<RamDiskOperations>,
        rq: Request<RamDiskOperations>,
        status: Status,
    ) {
        rq.data().status.store(status.as_raw().into(), Relaxed);
        rq.data().is_forgotten.store(0, Relaxed);
        let wait_nsec = self.throttle.as_ref().map_or(0, |throttle| {
            let bytes = match rq.operation() {
                Operation::Read | Operation::Write => rq.bytes(),
                _ => 0,
            };
            throttle.wait_nsec(bytes, self.now_nsec())
        });
        let completion_nsec = match (hw.kind(), self.irq_mode) {
            (HwQueueKind::Default | HwQueueKind::Read, IrqMode::Timer { completion_nsec }) => {
                match &self.latency {
                    None => completion_nsec,
                    Some(latency) => latency.nsec(rq.operation(), self.now_nsec()),
                }
            }
            _ => 0,
        };
        if wait_nsec > completion_nsec {
            return self.answer_after(hw, rq, wait_nsec);
        }
        match (hw.kind(), self.irq_mode) {
            (HwQueueKind::Poll, _) | (_, IrqMode::Timer { .. }) => {
                self.answer_after(hw, rq, completion_nsec)
            }
            (_, IrqMode::Softirq) => {
                hw.counters.softirq.add(1);
                rq.complete();
            }
            (_, IrqMode::Inline) => rq.end(status),
        }
    }

    /// Leaves the request to the device, which answers after `delay_nsec`.
    fn answer_after(
        &self,
        hw: &HwQueue<RamDiskOperations>,
        rq: Request<RamDiskOperations>,
        delay_nsec: u64,
    ) {
        if self.ends_all_at_once() {
            let status = rq.data().status();
            return rq.end(status);
        }
        let id = rq.park();
        if self.post_answer(hw, id, delay_nsec) {
            return;
        }
        if self.is_hung.load(Relaxed) != 0 {
            // Late answers fill the ring, which nobody drains. When the hang ends, this one is looked for.
            self.has_unposted.store(1, Relaxed);
            return;
        }
        // There is no ring, or late answers fill it.
        if let Some(rq) = hw.take(id) {
            if delay_nsec >= rq.timeout_nsec() {
                // Like those whose answers fill it: it times out.
                rq.park();
                return;
            }
            // So the device is quick.
            let status = rq.data().status();
            rq.end(status);
        }
    }

    /// Posts an answer and sees to it that somebody drains the ring in time. `false` if there is
    /// no room.
    fn post_answer(&self, hw: &HwQueue<RamDiskOperations>, id: CommandId, delay_nsec: u64) -> bool {
        let delay = i64::try_from(delay_nsec).unwrap_or(i64::MAX);
        let due_nsec = self.now_nsec().saturating_add(delay);
        let is_posted = match (&hw.ring, &hw.table) {
            (Some(ring), _) => ring.post(id, due_nsec),
            (None, Some(table)) => table.post(id, due_nsec),
            (None, None) => false,
        };
        let is_polled = hw.kind() == HwQueueKind::Poll;
        if !is_posted || is_polled {
            return is_posted;
        }
        if hw.table.is_some() {
            self.start_timer_by(hw, due_nsec);
            return true;
        }
        if hw.timer_is_on.xchg(1, Full) == 0 {
            // Another one can have been posted before; or is just being posted, then the timer has to look.
            let first = hw.ring.as_ref().and_then(CompletionRing::next_due_nsec);
            let first = first.map_or(0, |due| due.saturating_sub(self.now_nsec()));
            hw.start_timer(u64::try_from(first).unwrap_or(0).min(delay_nsec));
        }
        true
    }

    /// Lets the timer of a queue with a table expire at that time, if it does not do so earlier.
    fn start_timer_by(&self, hw: &HwQueue<RamDiskOperations>, due_nsec: i64) {
        let mut timer_due_nsec = hw.timer_due_nsec.load(Relaxed);
        while due_nsec < timer_due_nsec {
            match hw.timer_due_nsec.cmpxchg(timer_due_nsec, due_nsec, Full) {
                Ok(_) => break,
                Err(now) => timer_due_nsec = now,
            }
        }
        if due_nsec >= timer_due_nsec {
            return;
        }
        let mut due_nsec = due_nsec;
        loop {
            let left = due_nsec.saturating_sub(self.now_nsec());
            hw.start_timer(u64::try_from(left).unwrap_or(0));
            // Who wanted it earlier may have started it just before.
            match hw.timer_due_nsec.load(Relaxed) {
                earlier if earlier < due_nsec => due_nsec = earlier,
                _ => return,
            }
        }
    }

    /// Ends the requests whose answers are due. Gives how many these were.
    fn drain(
        &self,
        hw: &HwQueue<RamDiskOperations>,
        now_nsec: i64,
        batch: &mut CompletionBatch<'_>,
    ) -> u32 {
        if self.is_hung.load(Relaxed) != 0 {
            return 0;
        }
        let (mut found, mut from) = (0, 0);
        let mut pop = || match (&hw.ring, &hw.table) {
            (Some(ring), _) => ring.pop_due(now_nsec),
            (None, Some(table)) => table.pop_due(now_nsec, &mut from),
            (None, None) => None,
        };
        while let Some(id) = pop() {
            match hw.take(id) {
                Some(rq) => {
                    found = u32::wrapping_add(found, 1);
                    let status = rq.data().status();
                    rq.end_batched(status, batch);
                }
                None => hw.counters.late_answers.add(1),
            }
        }
        found
    }
}

/// A bit of these sectors: the position of its byte, and its number there.
fn bit_of(sectors: &Range<u64>, dice: u64) -> (u64, u32) {
    let bits = sectors.end.wrapping_sub(sectors.start) << (SECTOR_SHIFT + 3);
    let bit = dice % bits.max(1);
    // CAST: The lowest three bits are meant.
    (
        (sectors.start << SECTOR_SHIFT).wrapping_add(bit >> 3),
        bit as u32 & 7,
    )
}

impl RequestData {
    fn status(&self) -> Status {
        // It was a status when it was stored.
        u8::try_from(self.status.load(Relaxed)).map_or(Status::IOERR, Status::from_raw)
    }
}

/// The blk-mq driver of a RAM disk.
pub(crate) struct RamDiskOperations;

#[vtable]
impl Operations for RamDiskOperations {
    type TagSetData = Arc<CommonData>;
    type QueueData = Device;
    type SteadyData = Medium;
    type HwData = HwData;
    type RequestData = RequestData;

    fn init_hctx(device: &Device, info: &HwQueueInfo) -> impl PinInit<HwData, Error> {
        // Twice the depth: beside the answers there may be late ones that nobody waits for.
        // A queue has no bytes: each one counts as one.
        let ring = if info.is_new && device.faults.init_hctx.strikes(1) {
            Err(EFAULT)
        } else if !device.needs_rings || device.latency.is_some() {
            Ok(None)
        } else {
            CompletionRing::new(info.depth.saturating_mul(2), info).map(Some)
        };
        let make_table = || match device.latency {
            None => Ok(None),
            Some(_) => CompletionTable::new(info).map(Some),
        };
        try_pin_init!(HwData {
            counters: Counters::new(),
            ring: ring?,
            table: make_table()?,
            timer_due_nsec: Atomic::new(NEVER),
            timer_is_on: Atomic::new(0),
        })
    }

    fn init_request(
        _tagset: &Arc<CommonData>,
        _info: &HwQueueInfo,
    ) -> impl PinInit<RequestData, Error> {
        try_pin_init!(RequestData {
            status: Atomic::new(0),
            is_forgotten: Atomic::new(0),
            memory_deadline_nsec: Atomic::new(0),
        })
    }

    #[inline(always)]
    fn queue_rq(
        device: &Device,
        hw: &HwQueue<Self>,
        rq: Incoming<Self>,
        _is_last: bool,
    ) -> Result<(), Refused> {
        if device.takes_detours() {
            return device.detour(hw, rq);
        }
        device.handle(hw, rq.start(), None);
        Ok(())
    }

    #[inline(always)]
    fn queue_rqs(device: &Device, list: &mut RequestList<'_, Self>) {
        if device.takes_detours() {
            // Left to `queue_rq`, which can refuse.
            return;
        }
        CompletionBatch::with(|batch| {
            let mut count = 0;
            let mut last = None;
            while let Some((rq, hw)) = list.pop() {
                last = Some(hw);
                count = u64::wrapping_add(count, 1);
                device.handle(hw, rq.start(), Some(&mut *batch));
            }
            if let Some(hw) = last {
                hw.counters.batches.add(1);
                hw.counters.batched.add(count);
            }
        });
    }

    fn complete(_device: &Device, rq: Request<Self>) {
        let status = rq.data().status();
        rq.end(status);
    }

    fn timeout(device: &Device, rq: TimedOut<'_, Self>) -> TimeoutVerdict {
        let is_forgotten = rq.look().data().is_forgotten.load(Relaxed) != 0;
        let now_nsec = device.now_nsec();
        let is_behind = |throttle: &Throttle| throttle.is_behind(now_nsec);
        if !is_forgotten && device.throttle.as_ref().is_some_and(is_behind) {
            // It waits for its turn.
            return rq.wait_longer();
        }
        let id = rq.look().command_id();
        let (rq, verdict) = rq.claim();
        let (Some(rq), Some(id)) = (rq, id) else {
            return verdict;
        };
        let hw = rq.hw_queue();
        hw.counters.timeouts.add(1);
        if is_forgotten {
            rq.data().is_forgotten.store(0, Relaxed);
        }
        if is_forgotten && device.throttle.is_none() && hw.table.is_none() {
            // What was forgotten is answered after all, when it is too late.
            device.post_answer(hw, id, LATE_ANSWER_NSEC);
        }
        if device.faults.timeout_retry.load(Relaxed) != 0 {
            hw.counters.requeues.add(1);
            rq.requeue(0);
            return verdict;
        }
        hw.counters.errors.add(1);
        rq.end(Status::TIMEOUT);
        verdict
    }

    fn poll(device: &Device, hw: &HwQueue<Self>, batch: &mut CompletionBatch<'_>) -> u32 {
        // Who polls does not wait, unless it is for the throttle.
        let now_nsec = match device.throttle {
            Some(_) => device.now_nsec(),
            None => i64::MAX,
        };
        let found = device.drain(hw, now_nsec, batch);
        hw.counters.polled.add(found.into());
        found
    }

    fn timer(device: &Device, hw: &HwQueue<Self>) {
        if device.is_hung.load(Relaxed) != 0 {
            return hw.start_timer(HANG_LOOK_NSEC);
        }
        if let Some(table) = &hw.table {
            // Who posts from here on starts the timer, and what was posted before is seen.
            hw.timer_due_nsec.xchg(NEVER, Full);
            let now_nsec = device.now_nsec();
            let found = CompletionBatch::with(|batch| device.drain(hw, now_nsec, batch));
            hw.counters.timer.add(found.into());
            return device.start_timer_by(hw, table.next_due_nsec());
        }
        loop {
            let now_nsec = device.now_nsec();
            let found = CompletionBatch::with(|batch| device.drain(hw, now_nsec, batch));
            hw.counters.timer.add(found.into());

            let next_due_nsec = || hw.ring.as_ref().and_then(CompletionRing::next_due_nsec);
            if let Some(due_nsec) = next_due_nsec() {
                let left = due_nsec.saturating_sub(device.now_nsec());
                return hw.start_timer(u64::try_from(left).unwrap_or(0));
            }
            // Whoever posts from here on starts the timer, but one who posted between that look
            // and this store did not.
            hw.timer_is_on.xchg(0, Full);
            if next_due_nsec().is_none() || hw.timer_is_on.xchg(1, Full) != 0 {
                return;
            }
        }
    }
}

#[vtable]
impl DiskOperations for RamDiskOperations {
    fn removed(_device: &Device, medium: &mut Medium) {
        medium.removed();
    }
}

/// A RAM disk with all its memory and queues, which nobody knows yet.
pub(crate) struct NewRamDisk {
    disk: NewDisk<RamDiskOperations>,
    settlement: Settlement,
}

impl NewRamDisk {
    /// Makes the RAM disk `name` with the queues of `tagset` and the data that is in `kept`, or with the `borrowed`
    /// store of another one.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EINTR` if the task is to end, and what [`NewDisk::new`] returns. Then the data is in `kept`
    /// again.
    pub(crate) fn new(
        name: &CStr,
        config: &Config,
        tagset: Arc<TagSet<RamDiskOperations>>,
        kept: Arc<Kept>,
        borrowed: Option<Store>,
    ) -> Result<Self> {
        let medium = Medium::new(config, &kept, borrowed)?;
        let options = DiskOptions {
            name,
            capacity_sectors: medium.capacity_sectors(),
            limits: config.limits()?,
            read_only: config.read_only,
            removable: config.removable,
            writeback_throttling: false,
        };
        let settlement = medium.settlement()?;
        let common = tagset.data().clone();
        let device = Device::new(config, tagset.hw_queues(), common, kept)?;
        Ok(Self {
            disk: NewDisk::new(options, tagset, device, medium)?,
            settlement,
        })
    }

    /// Makes the RAM disk known to the system. What is kept changes with [`RamDisk::settle`].
    ///
    /// # Errors
    ///
    /// What [`NewDisk::add`] returns.
    pub(crate) fn add(self) -> Result<(RamDisk, Settlement)> {
        let disk = self.disk.add()?;
        Ok((RamDisk { disk }, self.settlement))
    }
}

/// A RAM disk that the system knows. Dropping it removes it; its data goes to where it was told to be kept.
pub(crate) struct RamDisk {
    disk: GenDisk<RamDiskOperations>,
}

impl Drop for RamDisk {
    fn drop(&mut self) {
        // What is in flight would be waited for.
        self.hurry();
        self.set_hang(false);
    }
}

impl RamDisk {
    /// The disk below.
    pub(crate) fn disk(&self) -> &GenDisk<RamDiskOperations> {
        &self.disk
    }

    /// Nothing else can fail: from here on there is no way back for what the disk has no place for.
    ///
    /// # Errors
    ///
    /// What [`RamDisk::freeze`] and [`Medium::give_up_surplus`] return; then it is to be dropped, and all is as it was.
    pub(crate) fn settle(&self, mut settlement: Settlement) -> Result {
        if settlement.has_surplus {
            let mut frozen = self.freeze()?;
            frozen.steady().give_up_surplus(&mut settlement)?;
        }
        settlement.publish();
        Ok(())
    }

    /// The size in MiB.
    pub(crate) fn size_mib(&self) -> u64 {
        self.disk.capacity_sectors() / SECTORS_PER_MIB
    }

    /// How much memory it has, if it has that from the start, in MiB.
    pub(crate) fn memory_mib(&self) -> u64 {
        match self.disk.data().memory_backed {
            true => self.size_mib(),
            false => 0,
        }
    }

    /// Makes the disk larger or smaller, while it is in use. What it has it keeps, and what is new reads as
    /// zeroes. No data moves. Everything that was written becomes durable.
    ///
    /// # Errors
    ///
    /// `EBUSY` for a smaller size while somebody has the disk open, unless it `is_forced`; `ERANGE` for a size that no
    /// disk can have, `ENOMEM` for more than there is memory, `EBUSY` for another size while another disk shares the
    /// store, all with a line in the log. `EBUSY` if another task changes the size meanwhile, `ENOMEM`, `EINTR` if this
    /// task is to end, `ENODEV` after the device was pulled out; `ENOSPC` as [`Store::shrink`]; those of
    /// [`RamDisk::freeze`].
    pub(crate) fn resize(&self, size_mib: u64, is_forced: bool) -> Result {
        let device = self.disk.data();
        if device.is_gone() {
            return Err(ENODEV);
        }
        let now_mib = self.size_mib();
        if size_mib == now_mib {
            return Ok(());
        }
        let most_now = || match (device.memory_backed, device.store) {
            (true, StoreKind::Linear) => now_mib.saturating_add(ramstore::available_bytes() >> 20),
            (true, StoreKind::Thin) => thinstore::MAX_MIB,
            (false, _) => MAX_SIZE_MIB.unsigned_abs(),
        };
        let mut most_mib = most_now();
        if size_mib > most_mib && thinstore::reclaim() {
            most_mib = most_now();
        }
        let refuse = |allowed: fmt::Arguments<'_>, error| {
            let name = self.disk.name();
            pr_err!("{name}: size={size_mib} refused: allowed is {allowed}\n");
            error
        };
        if !(1..=most_mib).contains(&size_mib) {
            let is_too_much =
                size_mib != 0 && device.memory_backed && device.store == StoreKind::Linear;
            let error = if is_too_much { ENOMEM } else { ERANGE };
            return Err(refuse(fmt!("1 to {most_mib}"), error));
        }
        let closed = match size_mib < now_mib && !is_forced {
            true => Some(self.disk.keep_closed().ok_or_else(|| {
                refuse(
                    fmt!("{now_mib} and more while it is open, or '{size_mib} force'"),
                    EBUSY,
                )
            })?),
            false => None,
        };

        // All memory comes first: allocating it may need I/O, perhaps to this very disk.
        let mut change = match device.memory_backed {
            true => Some(SizeChange::prepare(
                device.store,
                now_mib,
                size_mib,
                device.home_node,
            )?),
            false => None,
        };
        let mut frozen = self.freeze()?;
        if device.is_gone() {
            return Err(ENODEV);
        }
        if frozen.steady().is_shared() {
            return Err(refuse(
                fmt!("{now_mib} while another device shares the store"),
                EBUSY,
            ));
        }
        let capacity_sectors = size_mib * SECTORS_PER_MIB;
        frozen.steady().resize(now_mib, size_mib, change.as_mut())?;
        let _changing = frozen.thaw();
        self.disk.set_capacity_sectors(capacity_sectors);
        if device.is_gone() {
            // It was pulled out meanwhile, and has no sectors any more.
            self.disk.set_capacity_sectors(0);
            return Err(ENODEV);
        }
        drop(closed);
        Ok(())
    }

    /// Whether another disk can have the same store.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no memory, the store is thin, or there is a write log, a cache or a history: they put back what
    /// was there before, and would not know what another disk wrote. `ENODEV` after the device was pulled out.
    pub(crate) fn can_share(&self) -> Result {
        let device = self.disk.data();
        let is_plain = device.store == StoreKind::Linear
            && device.cache_mib == 0
            && device.history_mib == 0
            && !device.has_write_log;
        match device.memory_backed && is_plain {
            _ if device.is_gone() => Err(ENODEV),
            true => Ok(()),
            false => Err(EINVAL),
        }
    }

    /// Another store with the same memory, for another disk. What is in flight is waited for.
    ///
    /// # Errors
    ///
    /// As [`RamDisk::can_share`] and [`RamDisk::freeze`]; `ENOMEM`.
    pub(crate) fn share_store(&self) -> Result<Store> {
        let mut frozen = self.freeze()?;
        self.can_share()?;
        frozen.steady().share_store()
    }

    /// Takes a snapshot of what a read would find. What is in flight is waited for.
    ///
    /// # Errors
    ///
    /// Those of [`Medium::clone_store`], [`Snapshots::add`](crate::snapshots::Snapshots::add) and [`RamDisk::freeze`];
    /// `ENODEV` after the device was pulled out.
    pub(crate) fn take_snapshot(&self, name: &CStr) -> Result {
        let device = self.disk.data();
        // The list's lock comes first: who has it may wait for memory, and so for this disk.
        device.kept.snapshots.add(name, || {
            let mut frozen = self.freeze()?;
            if device.is_gone() {
                return Err(ENODEV);
            }
            frozen.steady().clone_store()
        })
    }

    /// Puts the content of a snapshot in the place of what there is. The snapshot stays. Everything is durable then.
    ///
    /// # Errors
    ///
    /// `EBUSY` while somebody has the disk open, unless it `is_forced`, or if its size is another one by now; `ENOENT`
    /// if there is no such snapshot, `ENOMEM`, `ENODEV` after the device was pulled out; those of [`RamDisk::freeze`].
    pub(crate) fn roll_back(&self, name: &CStr, is_forced: bool) -> Result {
        let device = self.disk.data();
        let store = device.kept.snapshots.copy_of(name)?;
        let closed = match is_forced {
            true => None,
            false => Some(self.disk.keep_closed().ok_or(EBUSY)?),
        };
        let mut frozen = self.freeze()?;
        if device.is_gone() {
            return Err(ENODEV);
        }
        let old = frozen.steady().exchange_store(store)?;
        drop(frozen);
        self.disk.rescan_partitions();
        drop(closed);
        drop(old);
        Ok(())
    }

    /// The log of what was written, if there is one.
    pub(crate) fn write_log(&self) -> Option<Arc<WriteLog>> {
        self.disk.data().kept.log()
    }

    /// A copy of a snapshot, for another disk.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is none of that name, `ENOMEM`.
    pub(crate) fn copy_of_snapshot(&self, name: &CStr) -> Result<Store> {
        self.disk.data().kept.snapshots.copy_of(name)
    }

    /// The logical block size in bytes.
    pub(crate) fn block_size(&self) -> u32 {
        self.disk.data().block_size
    }

    /// Changes the faults of the disk, which is in use.
    pub(crate) fn change_faults(&self, change: impl FnOnce(&Faults) -> Result) -> Result {
        change(&self.disk.data().faults)?;
        self.look_for_detours();
        Ok(())
    }

    /// Lets all requests end at once that are there or come: no fault strikes, and nothing waits. For whoever is
    /// about to drop the disk and before that waits for somebody who may wait for requests.
    pub(crate) fn hurry(&self) {
        let device = self.disk.data();
        if device.is_in_a_hurry.load(Relaxed) != 0 {
            return;
        }
        for fault in [&device.faults.timeout, &device.faults.requeue] {
            fault.turn_off();
        }
        device.faults.timeout_retry.store(0, Relaxed);
        device.is_in_a_hurry.store(1, Relaxed);
        // A callback that did not see all that has left its request in the device when this returns.
        let _quiesced = self.disk.quiesce();
        // What waits for its time, was forgotten, or nobody polls for.
        self.end_in_flight(|_| true);
    }

    /// Begins or ends a time in which nothing is completed by timer or poller.
    pub(crate) fn set_hang(&self, yes: bool) {
        let (device, hung) = (self.disk.data(), &self.disk.tagset().data().hung);
        let was_hung = device.is_hung.xchg(yes.into(), Full) != 0;
        match (was_hung, yes) {
            (false, true) => hung.add(1, Relaxed),
            (true, false) => {
                hung.fetch_sub(1, Relaxed);
                // Who still saw the hang has left its request in the device when this returns.
                let _quiesced = self.disk.quiesce();
                if device.has_unposted.xchg(0, Full) != 0 {
                    self.end_in_flight(|data| data.is_forgotten.load(Relaxed) == 0);
                }
            }
            _ => (),
        }
    }

    /// Ends the requests that the device has, of those that `f` chooses.
    fn end_in_flight(&self, f: impl Fn(&RequestData) -> bool) {
        self.disk.for_each_in_flight(|rq| {
            if !f(rq.data()) {
                return;
            }
            if let Some(rq) = rq.take() {
                let status = rq.data().status();
                rq.end(status);
            }
        });
    }

    /// Changes the number of hardware queues of the disk, and of all that share its tag set.
    ///
    /// # Errors
    ///
    /// `EBUSY`, with a line in the log, while the device hangs, or another one of the tag set; `ETIMEDOUT`, too, if
    /// something is in flight for too long. Those of [`TagSet::change_hw_queues`].
    pub(crate) fn change_hw_queues(&self, choose: impl FnOnce(HwQueues) -> HwQueues) -> Result {
        let common = self.disk.tagset().data();
        if common.hung.load(Relaxed) != 0 {
            let name = self.disk.name();
            pr_err!("{name}: not changed: it hangs, or one that it shares its tags with\n");
            return Err(EBUSY);
        }
        let mut is_changing = false;
        let when_idle = || {
            common.changing.add(1, Relaxed);
            is_changing = true;
        };
        let tagset = self.disk.tagset();
        let changed = tagset.change_hw_queues(FREEZE_MSEC, choose, when_idle);
        if is_changing {
            common.changing.fetch_sub(1, Relaxed);
        }
        changed.inspect_err(|error| self.log_if_late(*error))
    }

    /// To be called after bad blocks were added or cleared.
    pub(crate) fn look_for_detours(&self) {
        self.disk.data().look_for_detours();
    }

    /// Whether it cannot be written to.
    pub(crate) fn is_read_only(&self) -> bool {
        self.disk.is_read_only()
    }

    /// Forbids or allows writing. No write is under way any more when it is forbidden.
    ///
    /// # Errors
    ///
    /// As [`RamDisk::freeze`].
    pub(crate) fn set_read_only(&self, yes: bool) -> Result {
        let mut frozen = self.freeze()?;
        frozen.steady().set_read_only(yes);
        let _changing = frozen.thaw();
        self.disk.set_read_only(yes);
        Ok(())
    }

    /// Freezes the disk for a change; but requests can hang, or wait for memory.
    ///
    /// # Errors
    ///
    /// `ETIMEDOUT`, with a line in the log, if something is in flight for too long.
    fn freeze(&self) -> Result<Frozen<'_, RamDiskOperations>> {
        self.disk
            .freeze_within(FREEZE_MSEC)
            .inspect_err(|error| self.log_if_late(*error))
    }

    fn log_if_late(&self, error: Error) {
        if error == ETIMEDOUT {
            let name = self.disk.name();
            pr_err!("{name}: not changed: requests are in flight for more than {FREEZE_MSEC} ms\n");
        }
    }

    /// The device is pulled out: whatever it was asked for fails, now and from now on. Some tasks
    /// have passed the block layer's gate by then and only wait for a tag: those meet the flag.
    pub(crate) fn pull_out(&self) {
        self.disk.data().is_gone.store(1, Relaxed);
        self.disk.data().look_for_detours();
        // A callback that did not see the flag has left its request in the device when this returns.
        let quiesced = self.disk.quiesce();
        self.disk.for_each_in_flight(|rq| {
            if let Some(rq) = rq.take() {
                rq.end(Status::IOERR);
            }
        });
        drop(quiesced);
        // Last: this may wait for who waits for a request.
        self.disk.mark_dead();
    }

    /// The power is cut: the device is gone as if pulled out, and when it is dropped what is not durable is left as
    /// `cut` says.
    pub(crate) fn cut_power(&self, cut: PowerCut) {
        self.pull_out();
        self.disk.freeze().steady().set_power_cut(cut);
    }
}
