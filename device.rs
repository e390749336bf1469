// SPDX-License-Identifier: GPL-2.0

//! One RAM disk: what it is made of, and its answer to each callback of blk-mq.

#![forbid(unsafe_code)]

use crate::{
    counters::Counters,
    disk::{
        GenDisk,
        QueueLimits,
        SECTOR_SHIFT, //
    },
    queue::{
        HwQueueInfo,
        Operations, //
    },
    ramstore::RamStore,
    request::{
        Operation,
        Request,
        Status, //
    },
    tagset::{
        TagSet,
        TagSetOptions, //
    },
};
use kernel::{
    debugfs,
    fmt,
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow,
        Mutex, //
    }, //
};

const SECTORS_PER_MIB: u64 = 1 << (20 - SECTOR_SHIFT);

/// The longest request in sectors (32 MiB). Memory knows no limit; this one keeps a request, which
/// is served in one go, from holding its CPU for more than a few milliseconds.
const MAX_REQUEST_SECTORS: u32 = 32 << (20 - SECTOR_SHIFT);

/// What a RAM disk shall be. All values are within the ranges of the module's parameters of the
/// same names.
pub(crate) struct Config {
    pub(crate) size_mib: u64,
    pub(crate) block_size: u32,
    pub(crate) submit_queues: u32,
    pub(crate) hw_queue_depth: u32,
    pub(crate) home_node: i32,
    pub(crate) memory_backed: bool,
    pub(crate) discard: bool,
    pub(crate) write_cache: bool,
}

impl Config {
    /// The limits, each of them chosen: memory has no seek, no preferred size and no longest
    /// segment, so nothing is left at a default that was meant for a disk.
    fn limits(&self) -> Result<QueueLimits> {
        let max_discard_sectors = if self.discard { MAX_REQUEST_SECTORS } else { 0 };
        let limits = QueueLimits::new()
            .block_size(self.block_size)?
            .io_opt(0)
            .max_hw_sectors(MAX_REQUEST_SECTORS)?
            .segments(u16::MAX, u32::MAX)?
            .dma_alignment(2)?
            .max_discard_sectors(max_discard_sectors)
            .max_write_zeroes_sectors(MAX_REQUEST_SECTORS)
            .write_cache(self.write_cache);
        Ok(limits)
    }
}

/// The data of a disk, which its callbacks share.
#[pin_data]
struct Device {
    capacity_sectors: u64,
    discard: bool,
    /// `None` if the disk is not backed by memory: it completes requests and moves no data.
    store: Option<RamStore>,
    /// The hardware queues, for who wants to look at all of them. Not used on the I/O path.
    #[pin]
    queues: Mutex<KVec<Arc<HwQueue>>>,
}

/// The data of a hardware queue.
struct HwQueue {
    index: u32,
    numa_node: i32,
    counters: Counters,
}

impl Device {
    #[inline(always)]
    fn serve(&self, rq: &Request<RamDiskOperations>, operation: Operation) -> Status {
        match operation {
            // Each write is where it stays when it ends, so there is nothing to flush, and FUA
            // comes for free.
            Operation::Flush => return Status::OK,
            Operation::Discard if !self.discard => return Status::NOTSUPP,
            Operation::Other(_) => return Status::NOTSUPP,
            _ => (),
        }

        let Some(store) = &self.store else {
            return self.check_range(rq).into();
        };
        let position = rq.sector().saturating_mul(1 << SECTOR_SHIFT);
        // CAST: `usize` is at least as wide as `u32`.
        let len = rq.bytes() as usize;
        match operation {
            Operation::Read => store.read(position, len, rq.segments()),
            Operation::Write => store.write(position, len, rq.segments()),
            Operation::Discard => store.discard(position, len),
            _ => store.zero(position, len),
        }
        .into()
    }

    /// Where there is no store that would check.
    fn check_range(&self, rq: &Request<RamDiskOperations>) -> Result {
        let sectors = u64::from(rq.bytes()) >> SECTOR_SHIFT;
        match rq.sector().checked_add(sectors) {
            Some(end) if end <= self.capacity_sectors => Ok(()),
            _ => Err(EIO),
        }
    }

    /// A table with a line for each hardware queue.
    fn show_queues(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_fmt(fmt!("queue node {}\n", Counters::heading()))?;
        for hw in self.queues.lock().iter() {
            f.write_fmt(fmt!(
                "{:>5} {:>4} {}\n",
                hw.index,
                hw.numa_node,
                hw.counters
            ))?;
        }
        Ok(())
    }
}

/// The blk-mq driver of a RAM disk.
struct RamDiskOperations;

#[vtable]
impl Operations for RamDiskOperations {
    type QueueData = Arc<Device>;
    type HwData = Arc<HwQueue>;

    fn init_hctx(device: ArcBorrow<'_, Device>, info: &HwQueueInfo) -> Result<Arc<HwQueue>> {
        let hw = HwQueue {
            index: info.index,
            numa_node: info.numa_node,
            counters: Counters::new(),
        };
        let hw = Arc::new(hw, GFP_KERNEL)?;
        device.queues.lock().push(hw.clone(), GFP_KERNEL)?;
        Ok(hw)
    }

    fn exit_hctx(device: ArcBorrow<'_, Device>, hw: Arc<HwQueue>) {
        device
            .queues
            .lock()
            .retain(|known| !Arc::ptr_eq(known, &hw));
    }

    #[inline(always)]
    fn queue_rq(
        device: ArcBorrow<'_, Device>,
        hw: ArcBorrow<'_, HwQueue>,
        rq: Request<Self>,
        _is_last: bool,
    ) {
        let operation = rq.operation();
        let status = device.serve(&rq, operation);
        hw.counters.count(operation, rq.is_fua(), status);
        rq.end(status);
    }
}

/// A RAM disk that the system knows. Dropping it removes it, with all its data.
pub(crate) struct RamDisk {
    // Dropped from top to bottom: first nobody can look any more, then the disk goes, and with it
    // the store.
    _counters: Pin<KBox<debugfs::File<Arc<Device>>>>,
    _debugfs: debugfs::Dir,
    _disk: GenDisk<RamDiskOperations>,
}

impl RamDisk {
    /// Makes the RAM disk `name`, and a directory of that name below `debugfs`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and what [`TagSet::new`] and [`GenDisk::new`] return.
    pub(crate) fn new(name: &CStr, config: &Config, debugfs: &debugfs::Dir) -> Result<Self> {
        let store = if config.memory_backed {
            let bytes = usize::try_from(config.size_mib << 20)?;
            Some(RamStore::new(bytes, config.home_node)?)
        } else {
            None
        };
        let capacity_sectors = config.size_mib * SECTORS_PER_MIB;
        let device = Arc::pin_init(
            pin_init!(Device {
                capacity_sectors,
                discard: config.discard,
                store,
                queues <- new_mutex!(KVec::new()),
            }),
            GFP_KERNEL,
        )?;
        let tagset = Arc::pin_init(
            TagSet::new(TagSetOptions {
                hw_queues: config.submit_queues,
                queue_depth: config.hw_queue_depth,
                numa_node: config.home_node,
                no_sched_by_default: true,
            }),
            GFP_KERNEL,
        )?;
        let disk = GenDisk::new(
            name,
            capacity_sectors,
            config.limits()?,
            tagset,
            device.clone(),
        )?;

        let dir = debugfs.subdir(name);
        let counters = KBox::pin_init(
            dir.read_callback_file(c"queues", device, &|device, f| device.show_queues(f)),
            GFP_KERNEL,
        )?;

        pr_info!(
            "{}: {} MiB in blocks of {} bytes, {} hardware queues of depth {}\n",
            name,
            config.size_mib,
            config.block_size,
            disk.tagset().hw_queues(),
            disk.tagset().queue_depth(),
        );
        Ok(Self {
            _counters: counters,
            _debugfs: dir,
            _disk: disk,
        })
    }
}
