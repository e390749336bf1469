// SPDX-License-Identifier: GPL-2.0

//! rnullblk: RAM-backed block devices `/dev/rblk0`, `/dev/rblk1`, ...
//!
//! This file turns the module's parameters into devices. What a device does is in [`device`]; the
//! block layer in safe Rust, with no word about RAM, is in [`tagset`], [`queue`], [`request`] and
//! [`disk`]; the memory, with no word about the block layer, is in [`ramstore`].

mod bindings;
mod compat;
mod counters;
mod device;
mod disk;
mod params;
mod queue;
mod ramstore;
mod request;
mod segment;
mod tagset;

use device::{
    Config,
    RamDisk, //
};
use kernel::{
    debugfs,
    prelude::*,
    str::CString, //
};
use tagset::TagSetOptions;

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

    /// The most MiB of a device: its bytes have to fit into the kernel's signed file offset.
    const MAX_SIZE_MIB: i64 = i64::MAX >> 20;
    const MAX_DEPTH: i64 = TagSetOptions::MAX_QUEUE_DEPTH as i64;
    const PAGE_SIZE: i64 = 1 << bindings::PAGE_SHIFT;
    const MAX_NODE: i64 = bindings::MAX_NUMNODES as i64 - 1;

    module_params! {
        nr_devices = 1, Allowed::Range(0, 65535), "Devices to make at load";
        size = 256, Allowed::Range(1, MAX_SIZE_MIB), "Capacity of each device in MiB";
        blocksize = 512, Allowed::PowerOfTwo(512, PAGE_SIZE), "Logical block size in bytes";
        submit_queues = 0, Allowed::Range(0, i32::MAX as i64),
            "Hardware queues of each device, at most one for each possible CPU; 0: one for each \
             online CPU";
        hw_queue_depth = 128, Allowed::Range(1, MAX_DEPTH), "Requests in flight on a queue";
        home_node = -1, Allowed::Range(-1, MAX_NODE), "NUMA node of data and queues; -1: any";
        memory_backed = 1, Allowed::Switch, "Keep data; 0: complete requests and move no data";
        discard = 1, Allowed::Switch, "Support discard";
        write_cache = 0, Allowed::Switch,
            "Announce a volatile write cache, so that flushes and FUA writes reach the device";
    }
}

/// Checks what a single parameter's range cannot say, and settles what is in force.
fn config() -> Result<Config> {
    params::check_accepted()?;

    let home_node = i32::try_from(parameters::home_node.value())?;
    if home_node != tagset::NO_NODE && !ramstore::node_has_memory(home_node) {
        let allowed = fmt!("-1 (any), or a node that has memory");
        return Err(parameters::home_node.refuse(allowed, EINVAL));
    }

    let max_queues = tagset::max_hw_queues();
    let submit_queues = match u32::try_from(parameters::submit_queues.value())? {
        0 => tagset::online_cpus(),
        wanted if wanted > max_queues => {
            pr_info!("submit_queues={wanted} cut to {max_queues}, the number of possible CPUs\n");
            max_queues
        }
        wanted => wanted,
    };
    parameters::submit_queues.set_in_force(submit_queues);

    let config = Config {
        size_mib: u64::try_from(parameters::size.value())?,
        block_size: u32::try_from(parameters::blocksize.value())?,
        submit_queues,
        hw_queue_depth: u32::try_from(parameters::hw_queue_depth.value())?,
        home_node,
        memory_backed: parameters::memory_backed.is_on(),
        discard: parameters::discard.is_on(),
        write_cache: parameters::write_cache.is_on(),
    };

    let nr_devices = u64::try_from(parameters::nr_devices.value())?;
    let available_mib = ramstore::available_bytes() >> 20;
    if config.memory_backed && nr_devices.saturating_mul(config.size_mib) > available_mib {
        return Err(parameters::size.refuse(
            fmt!(
                "at most {available_mib} MiB for all {nr_devices} devices together, \
                 the memory that is available now"
            ),
            ENOMEM,
        ));
    }
    Ok(config)
}

struct RnullblkModule {
    _devices: KVec<RamDisk>,
}

impl kernel::Module for RnullblkModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let config = config()?;
        let debugfs = debugfs::Dir::new(c"rnullblk");
        let mut devices = KVec::new();

        for index in 0..parameters::nr_devices.value() {
            let name = CString::try_from_fmt(fmt!("rblk{index}"))?;
            let device = RamDisk::new(&name, &config, &debugfs)
                .inspect_err(|error| pr_err!("{}: not made: {:?}\n", &*name, error))?;
            devices.push(device, GFP_KERNEL)?;
        }
        Ok(Self { _devices: devices })
    }
}
