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
        Geometry,
        NewDisk,
        OpenMode, //
    },
    limits::QueueLimits,
    queue::{
        HwQueue,
        HwQueueInfo,
        HwQueueKind,
        Operations, //
    },
    request::{
        Budget,
        CommandId,
        InFlight,
        Incoming,
        Operation,
        Refused,
        Status,
        TimedOut,
        TimeoutVerdict, //
    },
    tagset::{
        online_cpus,
        HwQueues,
        QueueMaps,
        TagSet,
        TagSetOptions, //
    },
};
use kernel::{
    debugfs,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    },
};

/// How many requests may be out at once.
const BUDGET: u32 = 4;
/// How long after the doorbell the interrupt comes.
const ANSWER_NSEC: u64 = 20_000;
/// The command that asks for the capacity.
const IDENTIFY: u32 = 1;
const CAPACITY_SECTORS: u64 = 1 << 21;

/// What the device has seen; shown in debugfs.
#[derive(Default)]
struct Device {
    out: Counter,
    commands: Counter,
    doorbells: Counter,
    late_doorbells: Counter,
    interrupts: Counter,
    opened: Counter,
    taken_back: Counter,
    busy_answers: Counter,
}

/// A number that starts at 0.
struct Counter(Atomic<u64>);

impl Default for Counter {
    fn default() -> Self {
        Self(Atomic::new(0))
    }
}

impl Counter {
    fn increment(&self) -> u64 {
        self.0.fetch_add(1, Full)
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A hardware queue: the slots, by tag. A slot is empty if it is 0, else it holds the ticket of a
/// command, plus one.
#[pin_data]
struct Slots {
    slots: KVVec<Atomic<u64>>,
}

/// A request: a command that may ask something, and the answer.
#[pin_data]
struct Command {
    opcode: Atomic<u32>,
    answer: Atomic<u64>,
}

struct Null;

impl Null {
    fn ring_doorbell(device: &Device, hw: &HwQueue<Self>) {
        device.doorbells.increment();
        hw.start_timer(ANSWER_NSEC);
    }
}

#[vtable]
impl Operations for Null {
    type TagSetData = Arc<Device>;
    type QueueData = Arc<Device>;
    type SteadyData = ();
    type HwData = Slots;
    type RequestData = Command;

    fn init_hctx(_device: &Self::QueueData, info: &HwQueueInfo) -> impl PinInit<Slots, Error> {
        // CAST: `usize` is at least as wide as `u32`.
        let slots = info
            .vec_with_capacity(info.depth as usize)
            .and_then(|mut slots| {
                (0..info.depth).try_for_each(|_| slots.push(Atomic::new(0), GFP_KERNEL))?;
                Ok(slots)
            });
        try_pin_init!(Slots { slots: slots? })
    }

    fn init_request(
        _device: &Self::TagSetData,
        _info: &HwQueueInfo,
    ) -> impl PinInit<Command, Error> {
        try_pin_init!(Command {
            opcode: Atomic::new(0),
            answer: Atomic::new(0),
        })
    }

    fn queue_rq(
        device: &Arc<Device>,
        hw: &HwQueue<Self>,
        rq: Incoming<Self>,
        is_last: bool,
    ) -> Result<(), Refused> {
        let rq = rq.start();
        device.commands.increment();
        if rq.operation() == Operation::DriverIn && rq.data().opcode.load(Relaxed) == IDENTIFY {
            rq.data().answer.store(CAPACITY_SECTORS, Relaxed);
        }
        let tag = rq.tag() as usize;
        let id = rq.park();
        if let Some(slot) = hw.slots.get(tag) {
            slot.store(id.ticket.wrapping_add(1), Relaxed);
        }
        if is_last {
            Self::ring_doorbell(device, hw);
        }
        Ok(())
    }

    fn commit_rqs(device: &Arc<Device>, hw: &HwQueue<Self>) {
        device.late_doorbells.increment();
        Self::ring_doorbell(device, hw);
    }

    fn timer(device: &Arc<Device>, hw: &HwQueue<Self>) {
        device.interrupts.increment();
        for (tag, slot) in (0..).zip(&hw.slots) {
            let ticket = match slot.xchg(0, Full) {
                0 => continue,
                filled => filled.wrapping_sub(1),
            };
            if let Some(rq) = hw.take(CommandId { tag, ticket }) {
                rq.end(Status::OK);
            }
        }
    }

    fn timeout(_device: &Arc<Device>, rq: TimedOut<'_, Self>) -> TimeoutVerdict {
        // The interrupt always comes.
        rq.wait_longer()
    }

    fn get_budget(device: &Arc<Device>) -> Option<Budget> {
        loop {
            let out = device.out.get();
            if out >= BUDGET.into() {
                return None;
            }
            if device.out.0.cmpxchg(out, out + 1, Full).is_ok() {
                return Budget::new(u32::try_from(out).ok()?);
            }
        }
    }

    fn put_budget(device: &Arc<Device>, _budget: Budget) {
        device.out.0.fetch_sub(1, Full);
    }

    fn busy(device: &Arc<Device>) -> bool {
        device.busy_answers.increment();
        device.out.get() >= BUDGET.into()
    }

    /// The other way round than others do it: the first CPU to the last queue.
    fn map_queues(_device: &Arc<Device>, maps: &mut QueueMaps<'_>) {
        let queues = online_cpus();
        for cpu in 0..queues {
            // There is no queue for it if the kernel made fewer; then it stays as it was.
            let _ = maps.assign(HwQueueKind::Default, cpu, queues - 1 - cpu);
        }
    }

    fn cleanup_rq(device: &Arc<Device>, _rq: InFlight<'_, Self>) {
        device.taken_back.increment();
    }

    fn show_rq(_device: &Arc<Device>, rq: InFlight<'_, Self>, m: &SeqFile) {
        seq_print!(m, ", opcode={}", rq.data().opcode.load(Relaxed));
    }
}

#[vtable]
impl DiskOperations for Null {
    fn open(device: &Arc<Device>, mode: OpenMode) -> Result {
        if mode.write() && mode.exclusive() {
            pr_info!("opened to write, by one alone\n");
        }
        device.opened.increment();
        Ok(())
    }

    fn release(device: &Arc<Device>) {
        device.opened.0.fetch_sub(1, Full);
    }

    /// Only the command number 0x7250 ("rP"), which gives how many are allowed to be out.
    fn ioctl(
        _device: &Arc<Device>,
        _mode: OpenMode,
        command: u32,
        _argument: usize,
    ) -> Result<i32> {
        match command {
            0x7250 => Ok(i32::try_from(BUDGET)?),
            _ => Err(ENOTTY),
        }
    }

    fn getgeo(_device: &Arc<Device>) -> Result<Geometry> {
        Ok(Geometry {
            heads: 64,
            sectors: 32,
            cylinders: u16::try_from(CAPACITY_SECTORS / (64 * 32))?,
        })
    }
}

/// Asks the device for its capacity, through a queue that no disk belongs to.
fn identify(device: &Arc<Device>) -> Result<u64> {
    let options = TagSetOptions {
        reserved_tags: 1,
        ..TagSetOptions::new(HwQueues::only(1), 2)
    };
    let tagset = Arc::pin_init(TagSet::<Null>::new(options, device.clone()), GFP_KERNEL)?;
    let admin = Queue::new(tagset, device.clone(), ())?;

    let command = admin.alloc_request(Direction::In, Tag::Reserved)?;
    command.data().opcode.store(IDENTIFY, Relaxed);
    command.execute(|status, command| {
        command.opcode.store(0, Relaxed);
        match status {
            Status::OK => Ok(command.answer.load(Relaxed)),
            _ => Err(EIO),
        }
    })
}

/// The loaded driver. Dropped from top to bottom.
pub(crate) struct NullModule {
    _state: Pin<KBox<debugfs::File<Arc<Device>>>>,
    _disk: GenDisk<Null>,
}

impl kernel::Module for NullModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let device = Arc::new(Device::default(), GFP_KERNEL)?;
        let capacity_sectors = identify(&device)?;
        pr_info!("the device says it has {capacity_sectors} sectors\n");

        let options = TagSetOptions {
            no_sched_by_default: true,
            ..TagSetOptions::new(HwQueues::only(online_cpus()), 32)
        };
        let tagset = Arc::pin_init(TagSet::new(options, device.clone()), GFP_KERNEL)?;
        let disk = NewDisk::new(
            DiskOptions {
                name: c"rblknull",
                capacity_sectors,
                limits: QueueLimits::new().logical_block_size(4096)?,
                read_only: false,
                removable: true,
                writeback_throttling: true,
            },
            tagset,
            device.clone(),
            (),
        )?
        .add()?;

        let dir = debugfs::Dir::new(c"rblk_null");
        let state = dir.read_callback_file(c"state", device, &|device, f| {
            writeln!(f, "out {}", device.out.get())?;
            writeln!(f, "commands {}", device.commands.get())?;
            writeln!(f, "doorbells {}", device.doorbells.get())?;
            writeln!(f, "late_doorbells {}", device.late_doorbells.get())?;
            writeln!(f, "interrupts {}", device.interrupts.get())?;
            writeln!(f, "opened {}", device.opened.get())?;
            writeln!(f, "taken_back {}", device.taken_back.get())?;
            writeln!(f, "busy_answers {}", device.busy_answers.get())
        });
        Ok(Self {
            _state: KBox::pin_init(state, GFP_KERNEL)?,
            _disk: disk,
        })
    }
}
