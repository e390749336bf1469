// SPDX-License-Identifier: GPL-2.0

//! The driver: no line of it is unsafe.

#![forbid(unsafe_code)]

use crate::{
    admin::{
        Direction,
        Queue,
        Tag, //
    },
    disk::{
        DiskOperations,
        DiskOptions,
        GenDisk,
        NewDisk, //
    },
    limits::QueueLimits,
    queue::{
        HwQueue,
        HwQueueInfo,
        Operations, //
    },
    request::{
        Busy,
        CommandId,
        CompletionBatch,
        Incoming,
        Operation,
        Refused,
        Request,
        Status, //
    },
    tagset::{
        HwQueues,
        TagSet,
        TagSetOptions, //
    },
};
use kernel::{
    debugfs, fmt, new_spinlock,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        SpinLock, //
    },
};

const QUEUE_DEPTH: u32 = 4;
const SECTORS_PER_BLOCK: u64 = 8;

/// What a write to the block of this number does. Unless it says otherwise it ends well.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Command {
    /// Is parked, and its id remembered.
    Park = 1,
    /// Fails if the remembered id names a request here.
    FindNothing = 2,
    /// Ends the request of the remembered id, and fails if there is none.
    Take = 3,
    /// Is dropped after it was started.
    DropStarted = 4,
    /// Is dropped before that.
    DropIncoming = 5,
    /// Is parked, and taken by ids that are almost right; fails if one of these names it, or the right
    /// one does not, or does so twice.
    AlmostRight = 6,
    /// Is requeued, and ends the second time.
    Requeue = 7,
    /// Is parked and remembered, and ended by a timer that starts itself while it is started from here.
    StartTimers = 8,
    /// Is refused, and nobody says so; ends the second time.
    DropRefused = 9,
    /// Is refused, and kept as such; ends the second time.
    KeepRefused = 10,
    /// Ends, and then the one that was kept is said to be refused instead.
    GiveKept = 11,
}

impl Command {
    const ALL: [Self; 11] = [
        Self::Park,
        Self::FindNothing,
        Self::Take,
        Self::DropStarted,
        Self::DropIncoming,
        Self::AlmostRight,
        Self::Requeue,
        Self::StartTimers,
        Self::DropRefused,
        Self::KeepRefused,
        Self::GiveKept,
    ];

    fn of(rq: &Incoming<Contract>) -> Option<Self> {
        let is_a = |command: &&Self| rq.sector() == **command as u64 * SECTORS_PER_BLOCK;
        match rq.operation() {
            Operation::Write => Self::ALL.iter().find(is_a).copied(),
            _ => None,
        }
    }
}

/// How often the timer is started anew before it ends a request, and how often it is started meanwhile.
const TIMER_STARTS: u32 = 2000;

/// What the disk knows: the id that it remembers, how often it queued a request to be requeued or refused, how often the
/// timer is still to be started, and what it keeps.
struct Device {
    tag: Atomic<u32>,
    ticket: Atomic<u64>,
    requeues: Atomic<u32>,
    refusals: Atomic<u32>,
    timer_starts: Atomic<u32>,
    kept: Pin<KBox<SpinLock<Option<Refused>>>>,
}

impl Device {
    fn new() -> Result<Self> {
        Ok(Self {
            tag: Atomic::new(0),
            ticket: Atomic::new(0),
            requeues: Atomic::new(0),
            refusals: Atomic::new(0),
            timer_starts: Atomic::new(0),
            kept: KBox::pin_init(new_spinlock!(None), GFP_KERNEL)?,
        })
    }

    fn remember(&self, id: CommandId) {
        self.tag.store(id.tag, Relaxed);
        self.ticket.store(id.ticket, Relaxed);
    }

    fn remembered(&self) -> CommandId {
        CommandId {
            tag: self.tag.load(Relaxed),
            ticket: self.ticket.load(Relaxed),
        }
    }
}

struct Contract;

/// No data at all.
#[pin_data]
struct Nothing {}

impl Contract {
    /// `false` if an id that names nothing names something, or one that names the request does not.
    fn takes_by_the_right_id_only(hw: &HwQueue<Self>, rq: Request<Self>) -> bool {
        let mut ids = [rq.park(); 7];
        for (id, tag) in ids.iter_mut().zip([QUEUE_DEPTH, QUEUE_DEPTH - 1, u32::MAX]) {
            id.tag = if tag == id.tag { 0 } else { tag };
        }
        for (id, difference) in ids.iter_mut().skip(3).zip([1, 2, 1 << 32, u64::MAX]) {
            id.ticket = id.ticket.wrapping_add(difference);
        }
        let right = CommandId {
            tag: ids[3].tag,
            ticket: ids[3].ticket.wrapping_sub(1),
        };
        let found = ids.into_iter().filter_map(|id| hw.take(id)).count();
        let taken = hw.take(right);
        let taken_twice = hw.take(right);
        let is_right = found == 0 && taken.is_some() && taken_twice.is_none();
        for rq in [taken, taken_twice].into_iter().flatten() {
            rq.end(if is_right { Status::OK } else { Status::IOERR });
        }
        is_right
    }
}

#[vtable]
impl Operations for Contract {
    type TagSetData = ();
    type QueueData = Device;
    type SteadyData = ();
    type HwData = Nothing;
    type RequestData = Nothing;

    fn init_hctx(_device: &Device, _info: &HwQueueInfo) -> impl PinInit<Nothing, Error> {
        try_pin_init!(Nothing {})
    }

    fn init_request(_tagset: &(), _info: &HwQueueInfo) -> impl PinInit<Nothing, Error> {
        try_pin_init!(Nothing {})
    }

    fn queue_rq(
        device: &Device,
        hw: &HwQueue<Self>,
        rq: Incoming<Self>,
        _is_last: bool,
    ) -> Result<(), Refused> {
        if rq.operation() == Operation::DriverOut {
            CompletionBatch::with(|batch| rq.start().end_batched(Status::IOERR, batch));
            return Ok(());
        }
        let Some(command) = Command::of(&rq) else {
            rq.start().end(Status::OK);
            return Ok(());
        };
        if command == Command::DropIncoming {
            drop(rq);
            return Ok(());
        }
        let is_to_be_refused = matches!(command, Command::DropRefused | Command::KeepRefused);
        if is_to_be_refused && device.refusals.fetch_add(1, Relaxed) % 2 == 0 {
            let refused = rq.refuse(Busy::System);
            if command == Command::KeepRefused {
                *device.kept.lock() = Some(refused);
            }
            return Ok(());
        }
        let rq = rq.start();
        let is_well = match command {
            Command::GiveKept => {
                rq.end(Status::OK);
                let kept = device.kept.lock().take();
                return kept.map_or(Ok(()), Err);
            }
            Command::DropRefused | Command::KeepRefused => true,
            Command::Park => {
                device.remember(rq.park());
                return Ok(());
            }
            Command::FindNothing => hw.take(device.remembered()).is_none(),
            Command::Take => match hw.take(device.remembered()) {
                Some(parked) => {
                    parked.end(Status::OK);
                    true
                }
                None => false,
            },
            Command::DropStarted | Command::DropIncoming => {
                drop(rq);
                return Ok(());
            }
            Command::AlmostRight => {
                if !Self::takes_by_the_right_id_only(hw, rq) {
                    pr_err!("an id named what it should not\n");
                }
                return Ok(());
            }
            Command::Requeue => {
                if device.requeues.fetch_add(1, Relaxed) % 2 == 0 {
                    rq.requeue(5);
                    return Ok(());
                }
                true
            }
            Command::StartTimers => {
                device.timer_starts.store(TIMER_STARTS, Relaxed);
                device.remember(rq.park());
                for _ in 0..TIMER_STARTS {
                    hw.start_timer(0);
                }
                return Ok(());
            }
        };
        rq.end(if is_well { Status::OK } else { Status::IOERR });
        Ok(())
    }

    fn timer(device: &Device, hw: &HwQueue<Self>) {
        let left = device.timer_starts.load(Relaxed);
        if left > 0 {
            device.timer_starts.store(left - 1, Relaxed);
            hw.start_timer(0);
            return hw.start_timer(1); // instead
        }
        if let Some(rq) = hw.take(device.remembered()) {
            rq.end(Status::OK);
        }
    }
}

#[vtable]
impl DiskOperations for Contract {}

/// A driver whose requests have much data, so that many of them are more than memory has.
struct Heavy;

#[pin_data]
struct HeavyData {
    _bytes: [u8; 60_000],
}

#[vtable]
impl Operations for Heavy {
    type TagSetData = ();
    type QueueData = ();
    type SteadyData = ();
    type HwData = Nothing;
    type RequestData = HeavyData;

    fn init_hctx(_disk: &(), _info: &HwQueueInfo) -> impl PinInit<Nothing, Error> {
        try_pin_init!(Nothing {})
    }

    fn init_request(_tagset: &(), _info: &HwQueueInfo) -> impl PinInit<HeavyData, Error> {
        try_pin_init!(HeavyData {
            _bytes <- pin_init::init_zeroed(),
        })
    }

    fn queue_rq(
        _disk: &(),
        _hw: &HwQueue<Self>,
        rq: Incoming<Self>,
        _is_last: bool,
    ) -> Result<(), Refused> {
        rq.start().end(Status::OK);
        Ok(())
    }
}

fn unusual_limits() -> Result<QueueLimits> {
    Ok(QueueLimits::new()
        .logical_block_size(1024)?
        .physical_block_size(8192)?
        .alignment_offset(1024)?
        .io_min(16384)?
        .io_opt(65536)?
        .max_hw_sectors(1024)?
        .max_dev_sectors(512)?
        .chunk_sectors(2048)?
        .max_segments(17)?
        .max_segment_size(12288)?
        .seg_boundary_mask(0xffff)?
        .dma_alignment(16)?
        .dma_pad_mask(7)?
        .max_discard_sectors(4096)?
        .discard_granularity(32768)?
        .discard_alignment(8192)?
        .max_discard_segments(1)?
        .max_secure_erase_sectors(64)?
        .max_write_zeroes_sectors(128)?
        .write_zeroes_unmaps(true)
        .max_write_streams(3)?
        .write_stream_granularity(1 << 20)?
        .atomic_write_max_bytes(32768)?
        .atomic_write_unit_min_bytes(2048)?
        .atomic_write_unit_max_bytes(16384)?
        .atomic_write_boundary_bytes(65536)?
        .atomic_writes(true)
        .write_cache(true)
        .fua(true)
        .rotational(true)
        .stable_writes(true)
        .synchronous(true)
        .add_random(true))
}

/// Values that each setter refuses, and limits that do not go together. Gives how many there are.
fn refused_limits() -> Result<usize> {
    type Setter = fn(QueueLimits) -> Result<QueueLimits>;
    const REFUSED: [Setter; 36] = [
        |l| l.logical_block_size(0),
        |l| l.logical_block_size(256),
        |l| l.logical_block_size(1000),
        |l| l.logical_block_size(1 << 31),
        |l| l.physical_block_size(0),
        |l| l.physical_block_size(3 << 10),
        |l| l.alignment_offset(1),
        |l| l.io_min(100),
        |l| l.io_opt(513),
        |l| l.max_hw_sectors(0),
        |l| l.max_hw_sectors(7),
        |l| l.max_dev_sectors(1),
        |l| l.max_segments(0),
        |l| l.max_segment_size(0),
        |l| l.max_segment_size(4095),
        |l| l.seg_boundary_mask(511),
        |l| l.seg_boundary_mask(0x1_0000),
        |l| l.virt_boundary_mask(5),
        |l| l.dma_alignment(0),
        |l| l.dma_alignment(1),
        |l| l.dma_alignment(3),
        |l| l.dma_alignment(8192),
        |l| l.dma_pad_mask(4),
        |l| l.discard_granularity(5),
        |l| l.discard_alignment(511),
        |l| l.max_discard_segments(2),
        |l| l.write_stream_granularity(1),
        |l| l.atomic_write_max_bytes(3 << 9),
        |l| l.atomic_write_unit_min_bytes(0),
        |l| l.atomic_write_unit_max_bytes(256),
        |l| l.atomic_write_boundary_bytes(1),
        // These do not go together, which shows at the end.
        |l| l.atomic_write_max_bytes(4096),
        |l| l.logical_block_size(65536)?.max_hw_sectors(64),
        |l| {
            l.atomic_writes(true)
                .atomic_write_max_bytes(4096)?
                .atomic_write_unit_max_bytes(8192)
        },
        |l| {
            l.atomic_writes(true)
                .atomic_write_max_bytes(8192)?
                .chunk_sectors(8)
        },
        |l| {
            l.atomic_writes(true)
                .atomic_write_max_bytes(8192)?
                .atomic_write_boundary_bytes(4096)
        },
    ];
    for (number, setter) in REFUSED.iter().enumerate() {
        if setter(QueueLimits::new())
            .and_then(QueueLimits::into_raw)
            .is_ok()
        {
            pr_err!("limits number {number} were not refused\n");
            return Err(EINVAL);
        }
    }
    Ok(REFUSED.len())
}

fn disk(name: &CStr, limits: QueueLimits) -> Result<GenDisk<Contract>> {
    let options = TagSetOptions {
        no_sched_by_default: true,
        ..TagSetOptions::new(HwQueues::only(2), QUEUE_DEPTH)
    };
    let tagset = Arc::pin_init(TagSet::new(options, ()), GFP_KERNEL)?;
    let options = DiskOptions {
        name,
        capacity_sectors: 1 << 15,
        limits,
        read_only: false,
        removable: false,
        writeback_throttling: true,
    };
    NewDisk::new(options, tagset, Device::new()?, ())?.add()
}

/// Asks for more requests than fit into memory, and shows how many there were.
fn show_halved_depth(f: &mut fmt::Formatter<'_>) -> Result {
    let hw_queues = HwQueues {
        default: 2,
        read: 4,
        poll: 0,
    };
    let options = TagSetOptions::new(hw_queues, TagSetOptions::MAX_QUEUE_DEPTH);
    let tagset = KBox::pin_init(TagSet::<Heavy>::new(options, ()), GFP_KERNEL)?;
    writeln!(f, "{}", tagset.queue_depth()).map_err(|_| EINVAL)
}

/// Sends an internal request, which fails in a batch, and shows whether the submitter sees so.
fn show_internal_error(f: &mut fmt::Formatter<'_>) -> Result {
    let options = TagSetOptions::new(HwQueues::only(1), QUEUE_DEPTH);
    let tagset = Arc::pin_init(TagSet::<Contract>::new(options, ()), GFP_KERNEL)?;
    let admin = Queue::new(tagset, Device::new()?, ())?;
    let request = admin.alloc_request(Direction::Out, Tag::Any)?;
    let is_seen = request.execute(|status, _| status == Status::IOERR);
    writeln!(f, "{is_seen}").map_err(|_| EINVAL)
}

/// The loaded driver. In debugfs:
/// - `requeues`: how often a request that was to be requeued was queued
/// - `halved_depth`: asks for queues too deep for memory, and shows how deep they became
/// - `refused_limits`: how many limits are refused, each with a line in the log
/// - `internal_error`: sends a request of the driver's own that fails, and shows whether that was seen
pub(crate) struct ContractModule {
    _shown: Pin<KBox<debugfs::Scope<[GenDisk<Contract>; 2]>>>,
}

/// A function and no closure, as the names of functions made of this one are as long as the kernel's tools take them.
fn show<'data>(disks: &'data [GenDisk<Contract>; 2], dir: &debugfs::ScopedDir<'data, '_>) {
    dir.read_callback_file(c"requeues", disks, &|[disk, _], f| {
        writeln!(f, "{}", disk.data().requeues.load(Relaxed))
    });
    dir.read_callback_file(c"halved_depth", disks, &|_, f| {
        show_halved_depth(f).map_err(|_| fmt::Error)
    });
    dir.read_callback_file(c"internal_error", disks, &|_, f| {
        show_internal_error(f).map_err(|_| fmt::Error)
    });
    dir.read_callback_file(c"refused_limits", disks, &|_, f| {
        writeln!(f, "{}", refused_limits().map_err(|_| fmt::Error)?)
    });
}

impl kernel::Module for ContractModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let plain = QueueLimits::new().logical_block_size(4096)?;
        if disk(c"a_name_that_is_longer_than_31_bytes", QueueLimits::new()).err() != Some(EINVAL) {
            return Err(EDOM);
        }
        // The kernel would call the function that is not there.
        let polled = HwQueues {
            default: 1,
            read: 0,
            poll: 1,
        };
        let heavy = TagSet::<Heavy>::new(TagSetOptions::new(polled, QUEUE_DEPTH), ());
        if KBox::pin_init(heavy, GFP_KERNEL).err() != Some(EINVAL) {
            return Err(EDOM);
        }
        let disks = [
            disk(c"rblkcontract", plain)?,
            disk(c"rblklimits", unusual_limits()?)?,
        ];
        let debugfs = debugfs::Dir::new(c"rblk_contract");
        let shown = debugfs.scope(disks, c"shown", show);
        Ok(Self {
            _shown: KBox::pin_init(shown, GFP_KERNEL)?,
        })
    }
}
