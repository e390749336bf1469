// SPDX-License-Identifier: GPL-2.0

//! rnullblk: RAM-backed block devices `/dev/rblk0`, `/dev/rblk1`, ...
//!
//! This file turns the module's parameters into devices. What a device does is in [`device`]. The
//! block layer in safe Rust, with no word about RAM, is in [`tagset`], [`queue`], [`request`],
//! [`disk`] and their helpers; the memory, with no word about the block layer, is in [`ramstore`].

// blk-mq in safe Rust: the whole contract, of which each driver uses its part.
#[allow(dead_code)]
mod admin;
mod bindings;
mod compat;
#[allow(dead_code)]
mod disk;
#[allow(dead_code)]
mod limits;
#[allow(dead_code)]
mod queue;
#[allow(dead_code)]
mod request;
mod segment;
#[allow(dead_code)]
mod tagset;

// The RAM disk.
mod completion;
mod control;
mod counters;
mod device;
mod faults;
mod params;
mod ramstore;

use control::ShownRamDisk;
use device::{
    Config,
    FaultConfig,
    IrqMode,
    NewRamDisk,
    RamDisk, //
};
use kernel::{
    debugfs,
    prelude::*,
    str::CString,
    sync::Arc, //
};
use tagset::{
    HwQueues,
    TagSet,
    TagSetOptions, //
};

module! {
    type: RnullblkModule,
    name: "rnullblk",
    authors: ["The rnullblk authors"],
    description: "RAM-backed block devices in Rust",
    license: "GPL",
}

/// The parameters. Names, units and defaults are null_blk's where the thing is the same.
mod parameters {
    use super::*;
    use params::{
        module_params,
        Allowed, //
    };

    const MAX_DEPTH: i64 = TagSetOptions::MAX_QUEUE_DEPTH as i64;
    const PAGE_SIZE: i64 = 1 << bindings::PAGE_SHIFT;
    const MAX_NODE: i64 = bindings::MAX_NUMNODES as i64 - 1;
    const MAX_COUNT: i64 = i32::MAX as i64;
    pub(crate) const PAGE_SECTORS: i64 = PAGE_SIZE >> limits::SECTOR_SHIFT;

    module_params! {
        nr_devices = 1, Allowed::Range(0, 65535), "Devices to make at load";
        size = 256, Allowed::Range(1, device::MAX_SIZE_MIB), "Capacity of each device in MiB";
        blocksize = 512, Allowed::PowerOfTwo(512, PAGE_SIZE), "Logical block size in bytes";
        submit_queues = 0, Allowed::Range(0, MAX_COUNT),
            "Hardware queues of each device, at most one for each possible CPU; 0: one for each \
             online CPU";
        read_queues = 0, Allowed::Range(0, MAX_COUNT), "Further hardware queues for reads alone";
        poll_queues = 0, Allowed::Range(0, MAX_COUNT), "Further hardware queues for polled I/O";
        hw_queue_depth = 128, Allowed::Range(1, MAX_DEPTH), "Requests in flight on a queue";
        home_node = -1, Allowed::Range(-1, MAX_NODE), "NUMA node of data and queues; -1: any";
        memory_backed = 1, Allowed::Switch, "Keep data; 0: complete requests and move no data";
        discard = 1, Allowed::Switch, "Support discard";
        write_cache = 0, Allowed::Switch,
            "Announce a volatile write cache, so that flushes and FUA writes reach the device";
        rotational = 0, Allowed::Switch, "Announce a disk that turns";
        read_only = 0, Allowed::Switch, "Refuse all that writes";
        removable = 0, Allowed::Switch, "Announce a medium that can be taken out";
        virt_boundary = 0, Allowed::Switch, "Take no segments with a gap within a page";
        max_sectors = 0, Allowed::Range(0, MAX_COUNT),
            "Longest request in sectors, at least a page; 0: as long as the driver likes";
        irqmode = 0, Allowed::Range(0, 2), "Complete requests 0: inline, 1: by softirq, 2: by timer";
        completion_nsec = 10000, Allowed::Range(0, i64::MAX),
            "With irqmode=2, time from queueing to completion in ns";
        no_sched = 1, Allowed::Switch, "Start without I/O scheduler, also with a single queue";
        blocking = 0, Allowed::Switch, "Register as a driver that may sleep";
        shared_tags = 0, Allowed::Switch, "All devices share one tag set";
        shared_tag_bitmap = 0, Allowed::Switch, "All queues of a device share one set of tags";
        timeout_inject = 0, Allowed::Fault,
            "Forget requests, until they time out: interval,probability,space,times";
        timeout_retry = 0, Allowed::Switch, "Try a request that timed out again; 0: it fails";
        requeue_inject = 0, Allowed::Fault,
            "Give requests back unserved: interval,probability,space,times";
        init_hctx_fault_inject = 0, Allowed::Fault,
            "Fail to make hardware queues: interval,probability,space,times";
        fault_seed = 0, Allowed::Range(0, i64::MAX), "Seed of the faults' chances";
    }
}

/// How many hardware queues are in force, and what sysfs is to show of them.
fn hw_queues() -> Result<HwQueues> {
    let most = tagset::max_hw_queues();
    let cut = |param: &params::Param, name: &str| -> Result<u32> {
        let wanted = u32::try_from(param.value())?;
        if wanted > most {
            pr_info!("{name}={wanted} cut to {most}, the number of possible CPUs\n");
        }
        let in_force = wanted.min(most);
        param.set_in_force(in_force);
        Ok(in_force)
    };
    if parameters::submit_queues.value() == 0 {
        parameters::submit_queues.set_in_force(tagset::online_cpus());
    }
    Ok(HwQueues {
        default: cut(&parameters::submit_queues, "submit_queues")?,
        read: cut(&parameters::read_queues, "read_queues")?,
        poll: cut(&parameters::poll_queues, "poll_queues")?,
    })
}

/// Checks what a single parameter's range cannot say.
fn check_together() -> Result {
    params::check_accepted()?;

    let home_node = i32::try_from(parameters::home_node.value())?;
    if home_node != tagset::NO_NODE && !ramstore::node_has_memory(home_node) {
        return Err(
            parameters::home_node.refuse(fmt!("-1 (any), or a node that has memory"), EINVAL)
        );
    }
    let max_sectors = parameters::max_sectors.value();
    if max_sectors != 0 && max_sectors < parameters::PAGE_SECTORS {
        return Err(parameters::max_sectors
            .refuse(fmt!("0, or at least {}", parameters::PAGE_SECTORS), EINVAL));
    }

    let nr_devices = u64::try_from(parameters::nr_devices.value())?;
    let size_mib = u64::try_from(parameters::size.value())?;
    let available_mib = ramstore::available_bytes() >> 20;
    if parameters::memory_backed.is_on() && nr_devices.saturating_mul(size_mib) > available_mib {
        return Err(parameters::size.refuse(
            fmt!(
                "at most {available_mib} MiB for all {nr_devices} devices together, \
                 the memory that is available now"
            ),
            ENOMEM,
        ));
    }
    Ok(())
}

fn config() -> Result<Config> {
    let irq_mode = match parameters::irqmode.value() {
        0 => IrqMode::Inline,
        1 => IrqMode::Softirq,
        _ => IrqMode::Timer {
            completion_nsec: u64::try_from(parameters::completion_nsec.value())?,
        },
    };
    Ok(Config {
        size_mib: u64::try_from(parameters::size.value())?,
        block_size: u32::try_from(parameters::blocksize.value())?,
        home_node: i32::try_from(parameters::home_node.value())?,
        memory_backed: parameters::memory_backed.is_on(),
        discard: parameters::discard.is_on(),
        write_cache: parameters::write_cache.is_on(),
        rotational: parameters::rotational.is_on(),
        read_only: parameters::read_only.is_on(),
        removable: parameters::removable.is_on(),
        virt_boundary: parameters::virt_boundary.is_on(),
        max_sectors: u32::try_from(parameters::max_sectors.value())?,
        irq_mode,
        faults: FaultConfig {
            seed: u64::try_from(parameters::fault_seed.value())?,
            timeout: parameters::timeout_inject.fault()?,
            requeue: parameters::requeue_inject.fault()?,
            init_hctx: parameters::init_hctx_fault_inject.fault()?,
            timeout_retry: parameters::timeout_retry.is_on(),
        },
    })
}

fn tag_set_options() -> Result<TagSetOptions> {
    let options = device::tag_set_options(
        hw_queues()?,
        u32::try_from(parameters::hw_queue_depth.value())?,
        i32::try_from(parameters::home_node.value())?,
    );
    Ok(TagSetOptions {
        blocking: parameters::blocking.is_on(),
        no_sched_by_default: parameters::no_sched.is_on(),
        shared_between_queues: parameters::shared_tag_bitmap.is_on(),
        ..options
    })
}

fn log_not_made(name: &CStr, error: &Error) {
    pr_err!("{name}: not made: {error:?}\n");
}

/// Says what became of the parameters.
fn log_made(name: &CStr, device: &RamDisk) {
    let tagset = device.disk().tagset();
    pr_info!(
        "{}: {} MiB in blocks of {} bytes, {} hardware queues of depth {}\n",
        name,
        parameters::size.value(),
        parameters::blocksize.value(),
        tagset.hw_queues().total(),
        tagset.queue_depth(),
    );
}

struct RnullblkModule {
    _devices: KVec<ShownRamDisk>,
}

impl kernel::Module for RnullblkModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        check_together()?;
        let config = config()?;
        let make_tag_set = || Arc::pin_init(TagSet::new(tag_set_options()?, ()), GFP_KERNEL);
        let debugfs = debugfs::Dir::new(c"rnullblk");

        // All of them are made before the first is added: see `NewDisk`.
        let mut made = KVec::new();
        let mut devices = KVec::new();
        let mut shared = None;
        for index in 0..parameters::nr_devices.value() {
            let name = CString::try_from_fmt(fmt!("rblk{index}"))?;
            let tagset = match &shared {
                Some(tagset) => Arc::clone(tagset),
                None => make_tag_set().inspect_err(|error| log_not_made(&name, error))?,
            };
            // The kernel halves it where memory is short.
            parameters::hw_queue_depth.set_in_force(tagset.queue_depth());
            if parameters::shared_tags.is_on() {
                shared = Some(tagset.clone());
            }
            let disk = NewRamDisk::new(&name, &config, tagset)
                .inspect_err(|error| log_not_made(&name, error))?;
            made.push((name, disk), GFP_KERNEL)?;
            devices.reserve(1, GFP_KERNEL)?;
        }
        for (name, disk) in made {
            let device = disk
                .add()
                .and_then(|disk| control::show(disk, &name, &debugfs))
                .inspect_err(|error| log_not_made(&name, error))?;
            log_made(&name, &device);
            devices.push(device, GFP_KERNEL)?;
        }
        Ok(Self { _devices: devices })
    }
}
