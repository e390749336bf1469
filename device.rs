// SPDX-License-Identifier: GPL-2.0

//! One RAM disk: what it is made of, and its answer to each callback of blk-mq.

#![forbid(unsafe_code)]

use crate::{
    completion::CompletionRing,
    counters::Counters,
    disk::{
        DiskOperations,
        DiskOptions,
        GenDisk,
        NewDisk, //
    },
    faults::{
        Fault,
        FaultOptions, //
    },
    limits::{
        QueueLimits,
        SECTOR_SHIFT, //
    },
    queue::{
        HwQueue,
        HwQueueInfo,
        HwQueueKind,
        Operations, //
    },
    ramstore::{
        self,
        RamStore, //
    },
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
    tagset::{
        HwQueues,
        TagSet,
        TagSetOptions, //
    },
};
use kernel::{
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

const SECTORS_PER_MIB: u64 = 1 << (20 - SECTOR_SHIFT);

/// The largest disk: its bytes have to fit into the kernel's signed file offset.
pub(crate) const MAX_SIZE_MIB: i64 = i64::MAX >> 20;

/// The longest request in sectors (32 MiB). Memory knows no limit; this one keeps a request, which
/// is served in one go, from holding its CPU for more than a few milliseconds.
const MAX_REQUEST_SECTORS: u32 = 32 << (20 - SECTOR_SHIFT);

/// The time after which a request that has no answer times out, as null_blk's.
const TIMEOUT_MSEC: u32 = 5000;

/// How long after its timeout a forgotten request is answered after all, in nanoseconds.
const LATE_ANSWER_NSEC: u64 = 1_000_000;

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

/// What a RAM disk shall be. All values are within the ranges of the module's parameters of the
/// same names.
pub(crate) struct Config {
    pub(crate) size_mib: u64,
    pub(crate) block_size: u32,
    pub(crate) home_node: i32,
    pub(crate) memory_backed: bool,
    pub(crate) discard: bool,
    pub(crate) write_cache: bool,
    pub(crate) rotational: bool,
    pub(crate) virt_boundary: bool,
    pub(crate) read_only: bool,
    pub(crate) removable: bool,
    /// 0: as long as the driver likes.
    pub(crate) max_sectors: u32,
    pub(crate) irq_mode: IrqMode,
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
    /// What happens to a request that timed out: it is tried again, or fails.
    pub(crate) timeout_retry: bool,
}

impl Config {
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
            .max_write_zeroes_sectors(MAX_REQUEST_SECTORS)?
            .rotational(self.rotational)
            .write_cache(self.write_cache)
            .fua(self.write_cache);
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

/// What a disk has under its requests. It changes while there are none.
pub(crate) struct Medium {
    capacity_sectors: u64,
    read_only: bool,
    discard: bool,
    /// `None` if the disk is not backed by memory: it completes requests and moves no data.
    store: Option<RamStore>,
}

/// The data of a disk, which its callbacks share.
pub(crate) struct Device {
    memory_backed: bool,
    home_node: i32,
    irq_mode: IrqMode,
    /// All requests of queues that are not polled end where they are queued.
    ends_inline: bool,
    /// There are requests that do not end where they are queued.
    needs_rings: bool,
    /// `None` if there are none on the I/O path.
    faults: Option<Faults>,
    init_hctx_fault: Fault,
    /// 1 if the device was pulled out.
    is_gone: Atomic<u32>,
    /// The clock of the completion rings.
    epoch: Instant<Monotonic>,
}

struct Faults {
    timeout: Fault,
    requeue: Fault,
    timeout_retry: bool,
    /// Counts the requests that were given back, every other one in another way.
    given_back: Atomic<u32>,
}

/// The data of a hardware queue.
#[pin_data]
pub(crate) struct HwData {
    pub(crate) counters: Counters,
    /// The answers to come, where requests wait for one.
    pub(crate) ring: Option<CompletionRing>,
    /// 1 if the timer is started, or about to be.
    timer_is_on: Atomic<u32>,
}

/// The data of a request.
#[pin_data]
pub(crate) struct RequestData {
    /// How it is going to end, if it is not ended where it was queued.
    status: Atomic<u32>,
}

impl Medium {
    fn new(config: &Config) -> Result<Self> {
        Ok(Self {
            capacity_sectors: config.size_mib * SECTORS_PER_MIB,
            read_only: config.read_only,
            discard: config.discard,
            store: make_store(config.memory_backed, config.size_mib, config.home_node)?,
        })
    }

    /// Moves the data.
    #[inline(always)]
    fn serve(&self, rq: &Request<RamDiskOperations>, operation: Operation) -> Status {
        match operation {
            Operation::Read => {
                self.with_store(rq, |store, position, _| store.read(position, rq.segments()))
            }
            // Each write is where it stays when it ends, so there is nothing to flush, and FUA
            // comes for free.
            Operation::Flush => Status::OK,
            Operation::Write | Operation::Discard | Operation::WriteZeroes if self.read_only => {
                Status::IOERR
            }
            Operation::Write => self.with_store(rq, |store, position, _| {
                store.write(position, rq.segments())
            }),
            Operation::Discard if self.discard => self.with_store(rq, RamStore::discard),
            Operation::WriteZeroes => self.with_store(rq, RamStore::zero),
            _ => Status::NOTSUPP,
        }
    }

    /// Does it to the request's range of the store, given in bytes. A range that is not within the disk is
    /// refused before any of it is touched; without a store that is all.
    #[inline(always)]
    fn with_store(
        &self,
        rq: &Request<RamDiskOperations>,
        f: impl FnOnce(&RamStore, u64, usize) -> Result,
    ) -> Status {
        let sectors = u64::from(rq.bytes()) >> SECTOR_SHIFT;
        match rq.sector().checked_add(sectors) {
            Some(end) if end <= self.capacity_sectors => (),
            _ => return Status::IOERR,
        }
        let Some(store) = &self.store else {
            return Status::OK;
        };
        // CAST: `usize` is at least as wide as `u32`.
        f(store, rq.sector() << SECTOR_SHIFT, rq.bytes() as usize).into()
    }
}

impl Device {
    fn new(config: &Config, hw_queues: HwQueues) -> Self {
        let seed = config.faults.seed;
        let faults = Faults {
            timeout: Fault::new(config.faults.timeout, seed),
            requeue: Fault::new(config.faults.requeue, seed.wrapping_add(1)),
            timeout_retry: config.faults.timeout_retry,
            given_back: Atomic::new(0),
        };
        let has_faults = faults.timeout.is_on() || faults.requeue.is_on();
        let ends_inline = config.irq_mode == IrqMode::Inline && !faults.timeout.is_on();
        Self {
            memory_backed: config.memory_backed,
            home_node: config.home_node,
            irq_mode: config.irq_mode,
            ends_inline,
            needs_rings: !ends_inline || hw_queues.poll != 0,
            faults: has_faults.then_some(faults),
            init_hctx_fault: Fault::new(config.faults.init_hctx, seed.wrapping_add(2)),
            is_gone: Atomic::new(0),
            epoch: Instant::now(),
        }
    }

    fn is_gone(&self) -> bool {
        self.is_gone.load(Relaxed) != 0
    }

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

    #[inline(never)]
    fn complete_later(
        &self,
        hw: &HwQueue<RamDiskOperations>,
        rq: Request<RamDiskOperations>,
        status: Status,
    ) {
        rq.data().status.store(status.as_raw().into(), Relaxed);
        if let Some(faults) = &self.faults {
            if faults.timeout.strikes(rq.bytes()) {
                // The device has the command, and forgets it.
                rq.park();
                return;
            }
        }
        match (hw.kind(), self.irq_mode) {
            (HwQueueKind::Poll, _) => self.answer_after(hw, rq, 0),
            (_, IrqMode::Timer { completion_nsec }) => self.answer_after(hw, rq, completion_nsec),
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
        let id = rq.park();
        if self.post_answer(hw, id, delay_nsec) {
            return;
        }
        // Cannot be: the ring has room for all requests that can be in flight.
        if let Some(rq) = hw.take(id) {
            rq.end(Status::IOERR);
        }
    }

    /// Posts an answer and sees to it that somebody drains the ring in time. `false` if there is
    /// no room.
    fn post_answer(&self, hw: &HwQueue<RamDiskOperations>, id: CommandId, delay_nsec: u64) -> bool {
        let delay = i64::try_from(delay_nsec).unwrap_or(i64::MAX);
        let due_nsec = self.now_nsec().saturating_add(delay);
        let is_posted = match &hw.ring {
            Some(ring) => ring.post(id, due_nsec),
            None => false,
        };
        let is_polled = hw.kind() == HwQueueKind::Poll;
        if is_posted && !is_polled && hw.timer_is_on.xchg(1, Full) == 0 {
            hw.start_timer(delay_nsec);
        }
        is_posted
    }

    /// Ends the requests whose answers are due. Gives how many these were.
    fn drain(
        &self,
        hw: &HwQueue<RamDiskOperations>,
        now_nsec: i64,
        batch: &mut CompletionBatch<'_>,
    ) -> u32 {
        let Some(ring) = &hw.ring else {
            return 0;
        };
        let mut found = 0;
        while let Some(id) = ring.pop_due(now_nsec) {
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

impl Faults {
    /// Whether the request is to be given back, and how.
    fn give_back(&self, rq: Incoming<RamDiskOperations>, hw: &HwData) -> Result<(), Refused> {
        if self.given_back.fetch_add(1, Relaxed) & 1 == 0 {
            hw.counters.refusals.add(1);
            return Err(rq.refuse(Busy::System));
        }
        hw.counters.requeues.add(1);
        rq.start().requeue(0);
        Ok(())
    }
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
    type TagSetData = ();
    type QueueData = Device;
    type SteadyData = Medium;
    type HwData = HwData;
    type RequestData = RequestData;

    fn init_hctx(device: &Device, info: &HwQueueInfo) -> impl PinInit<HwData, Error> {
        // Twice the depth: beside the answers there may be late ones that nobody waits for.
        // A queue has no bytes: each one counts as one.
        let ring = if device.init_hctx_fault.strikes(1) {
            Err(EFAULT)
        } else if !device.needs_rings {
            Ok(None)
        } else {
            CompletionRing::new(info.depth.saturating_mul(2), info).map(Some)
        };
        try_pin_init!(HwData {
            counters: Counters::new(),
            ring: ring?,
            timer_is_on: Atomic::new(0),
        })
    }

    fn init_request(_tagset: &(), _info: &HwQueueInfo) -> impl PinInit<RequestData, Error> {
        try_pin_init!(RequestData {
            status: Atomic::new(0),
        })
    }

    #[inline(always)]
    fn queue_rq(
        device: &Device,
        hw: &HwQueue<Self>,
        rq: Incoming<Self>,
        _is_last: bool,
    ) -> Result<(), Refused> {
        if device.is_gone() {
            hw.counters.errors.add(1);
            rq.start().end(Status::IOERR);
            return Ok(());
        }
        if let Some(faults) = &device.faults {
            if faults.requeue.strikes(rq.bytes()) {
                return faults.give_back(rq, hw);
            }
        }
        device.handle(hw, rq.start(), None);
        Ok(())
    }

    #[inline(always)]
    fn queue_rqs(device: &Device, list: &mut RequestList<'_, Self>) {
        if device.faults.is_some() || device.is_gone() {
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
        let id = rq.look().command_id();
        let (rq, verdict) = rq.claim();
        let (Some(rq), Some(id)) = (rq, id) else {
            return verdict;
        };
        let hw = rq.hw_queue();
        hw.counters.timeouts.add(1);
        if let Some(faults) = &device.faults {
            // What was forgotten is answered after all, when it is too late.
            device.post_answer(hw, id, LATE_ANSWER_NSEC);
            if faults.timeout_retry {
                hw.counters.requeues.add(1);
                rq.requeue(0);
                return verdict;
            }
        }
        hw.counters.errors.add(1);
        rq.end(Status::TIMEOUT);
        verdict
    }

    fn poll(device: &Device, hw: &HwQueue<Self>, batch: &mut CompletionBatch<'_>) -> u32 {
        let found = device.drain(hw, i64::MAX, batch);
        hw.counters.polled.add(found.into());
        found
    }

    fn timer(device: &Device, hw: &HwQueue<Self>) -> Option<u64> {
        loop {
            let now_nsec = device.now_nsec();
            let found = CompletionBatch::with(|batch| device.drain(hw, now_nsec, batch));
            hw.counters.timer.add(found.into());

            let next_due_nsec = || hw.ring.as_ref().and_then(CompletionRing::next_due_nsec);
            if let Some(due_nsec) = next_due_nsec() {
                let left = due_nsec.saturating_sub(device.now_nsec());
                return Some(u64::try_from(left).unwrap_or(0).max(1));
            }
            // Whoever posts from here on starts the timer, but one who posted between that look
            // and this store did not.
            hw.timer_is_on.xchg(0, Full);
            if next_due_nsec().is_none() || hw.timer_is_on.xchg(1, Full) != 0 {
                return None;
            }
        }
    }
}

#[vtable]
impl DiskOperations for RamDiskOperations {}

fn make_store(memory_backed: bool, size_mib: u64, home_node: i32) -> Result<Option<RamStore>> {
    if !memory_backed {
        return Ok(None);
    }
    Ok(Some(RamStore::new(usize::try_from(size_mib)?, home_node)?))
}

/// A RAM disk with all its memory and queues, which nobody knows yet.
pub(crate) struct NewRamDisk(NewDisk<RamDiskOperations>);

impl NewRamDisk {
    /// Makes the RAM disk `name` with the queues of `tagset`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and what [`NewDisk::new`] returns.
    pub(crate) fn new(
        name: &CStr,
        config: &Config,
        tagset: Arc<TagSet<RamDiskOperations>>,
    ) -> Result<Self> {
        let medium = Medium::new(config)?;
        let options = DiskOptions {
            name,
            capacity_sectors: medium.capacity_sectors,
            limits: config.limits()?,
            read_only: medium.read_only,
            removable: config.removable,
            writeback_throttling: false,
        };
        let device = Device::new(config, tagset.hw_queues());
        Ok(Self(NewDisk::new(options, tagset, device, medium)?))
    }

    /// Makes the RAM disk known to the system.
    ///
    /// # Errors
    ///
    /// What [`NewDisk::add`] returns.
    pub(crate) fn add(self) -> Result<RamDisk> {
        Ok(RamDisk {
            disk: self.0.add()?,
        })
    }
}

/// A RAM disk that the system knows. Dropping it removes it, with all its data.
pub(crate) struct RamDisk {
    disk: GenDisk<RamDiskOperations>,
}

impl RamDisk {
    /// The disk below.
    pub(crate) fn disk(&self) -> &GenDisk<RamDiskOperations> {
        &self.disk
    }

    /// The size in MiB.
    pub(crate) fn size_mib(&self) -> u64 {
        self.disk.capacity_sectors() / SECTORS_PER_MIB
    }

    /// Makes the disk larger, while it is in use. What it has it keeps, and the rest reads as zeroes.
    /// No data moves.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a smaller size or one that no disk can have, `ENOMEM` for more than there is memory, both with
    /// a line in the log; `EBUSY` if another task changes the size meanwhile; `EINTR` if this one is to
    /// end; `ENODEV` after the device was pulled out.
    pub(crate) fn grow(&self, size_mib: u64) -> Result {
        let device = self.disk.data();
        if device.is_gone() {
            return Err(ENODEV);
        }
        let now_mib = self.size_mib();
        let most_mib = match device.memory_backed {
            true => now_mib.saturating_add(ramstore::available_bytes() >> 20),
            false => MAX_SIZE_MIB.unsigned_abs(),
        };
        if !(now_mib..=most_mib).contains(&size_mib) {
            pr_err!("size={size_mib} refused: allowed is {now_mib} to {most_mib}\n");
            let is_too_much = device.memory_backed && size_mib > most_mib;
            return Err(if is_too_much { ENOMEM } else { EINVAL });
        }

        // All memory comes first: allocating it may need I/O, perhaps to this very disk.
        let mut growth = match device.memory_backed {
            true => Some(RamStore::prepare_growth(
                usize::try_from(size_mib - now_mib)?,
                usize::try_from(size_mib)?,
                device.home_node,
            )?),
            false => None,
        };
        let mut frozen = self.disk.freeze();
        if device.is_gone() {
            return Err(ENODEV);
        }
        let medium = frozen.steady();
        if medium.capacity_sectors != now_mib * SECTORS_PER_MIB {
            // Somebody else was faster.
            return Err(EBUSY);
        }
        if let (Some(store), Some(growth)) = (&mut medium.store, &mut growth) {
            store.grow(growth)?;
        }
        let capacity_sectors = size_mib * SECTORS_PER_MIB;
        medium.capacity_sectors = capacity_sectors;
        let _changing = frozen.thaw();
        self.disk.set_capacity_sectors(capacity_sectors);
        if device.is_gone() {
            // It was pulled out meanwhile, and has no sectors any more.
            self.disk.set_capacity_sectors(0);
            return Err(ENODEV);
        }
        Ok(())
    }

    /// Whether it cannot be written to.
    pub(crate) fn is_read_only(&self) -> bool {
        self.disk.is_read_only()
    }

    /// Forbids or allows writing. No write is under way any more when it is forbidden.
    pub(crate) fn set_read_only(&self, yes: bool) {
        let mut frozen = self.disk.freeze();
        frozen.steady().read_only = yes;
        let _changing = frozen.thaw();
        self.disk.set_read_only(yes);
    }

    /// The device is pulled out: whatever it was asked for fails, now and from now on. Some tasks
    /// have passed the block layer's gate by then and only wait for a tag: those meet the flag.
    pub(crate) fn pull_out(&self) {
        self.disk.data().is_gone.store(1, Relaxed);
        self.disk.mark_dead();
        // A callback that did not see the flag has left its request in the device when this returns.
        let _quiesced = self.disk.quiesce();
        self.disk.for_each_in_flight(|rq| {
            if let Some(rq) = rq.take() {
                rq.end(Status::IOERR);
            }
        });
    }
}
