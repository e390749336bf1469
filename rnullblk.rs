// SPDX-License-Identifier: GPL-2.0

//! rnullblk: RAM-backed block devices `/dev/rblk0`, `/dev/rblk1`, ...
//!
//! This file turns the module's parameters into devices; [`configfs`] makes them at run time. What a device
//! shall be is in [`settings`], what it does in [`device`]. The block layer in safe Rust, with no word about
//! RAM, is in [`tagset`], [`queue`], [`request`], [`disk`] and their helpers; the memory, with no word about the
//! block layer, is in [`ramstore`] and [`thinstore`].

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
mod badblocks;
mod cache;
mod completion;
mod configfs;
mod control;
mod counters;
mod device;
mod faults;
mod latency;
mod medium;
mod params;
mod power;
mod ramstore;
mod registry;
mod settings;
mod silent;
mod snapshots;
mod store;
mod thinstore;
mod throttle;
mod values;
mod writelog;

#[cfg(CONFIG_KUNIT = "y")]
#[path = "tests/kunit.rs"]
mod kunit;

use kernel::{
    prelude::*,
    str::CString, //
};
use medium::Kept;
use power::{
    Powered,
    Prepared, //
};
use registry::Index;
use settings::Settings;
use values::Allowed;

module! {
    type: RnullblkModule,
    name: "rnullblk",
    authors: ["The rnullblk authors"],
    description: "RAM-backed block devices in Rust",
    license: "GPL",
}

// All others are settings of a device.
params::module_params! {
    nr_devices = 1, Allowed::Range(0, 65535), "Devices to make at load";
}

/// Makes the devices that the parameters ask for. All of them are made before the first is added: see
/// [`NewDisk`](disk::NewDisk).
fn make_devices() -> Result<KVVec<Powered>> {
    settings::check_parameters()?;
    let count = usize::try_from(nr_devices.value().0[0])?;
    let mut settings = Settings::from_parameters();
    settings.check_memory(None, count.try_into()?, None)?;
    registry::set_made_at_load(count);

    let mut prepared = KVVec::with_capacity(count, GFP_KERNEL)?;
    let mut devices = KVVec::with_capacity(count, GFP_KERNEL)?;
    for _ in 0..count {
        let index = Index::take()?;
        let name = CString::try_from_fmt(fmt!("rblk{}", index.number()))?;
        let disk = Prepared::new(name, &settings, &Kept::new()?, index, None)?;
        prepared.push(disk, GFP_KERNEL)?;
    }
    for disk in prepared {
        devices.push(disk.add()?, GFP_KERNEL)?;
    }
    if let Some(device) = devices.first() {
        settings.look_at(device.disk());
        settings.show_as_parameters();
    }
    Ok(devices)
}

struct RnullblkModule {
    // Dropped from top to bottom.
    _configfs: Option<configfs::Registered>,
    _devices: KVVec<Powered>,
    _registry: registry::Opened,
}

impl kernel::Module for RnullblkModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let registry = registry::Opened::new();
        // If that fails the module goes, whoever still has one of the devices open.
        let devices = make_devices().inspect_err(|_| registry.wait_for_users())?;
        // There are disks by now, and somebody may have one open: this must not fail.
        let configfs = configfs::register().unwrap_or_else(|error| {
            pr_err!("no devices at run time: {error:?}\n");
            None
        });
        Ok(Self {
            _configfs: configfs,
            _devices: devices,
            _registry: registry,
        })
    }
}
