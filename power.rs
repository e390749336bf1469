// SPDX-License-Identifier: GPL-2.0

//! Power on and power off: RAM disks are made of their settings, and go.

#![forbid(unsafe_code)]

use crate::{
    control::{
        self,
        ShownRamDisk, //
    },
    device::{
        CommonData,
        NewRamDisk,
        RamDisk,
        RamDiskOperations, //
    },
    medium::Kept,
    registry::{
        self,
        Index,
        Listed,
        SharedTagSet, //
    },
    settings::Settings,
    store::Store,
    tagset::TagSet,
};
use kernel::{
    prelude::*,
    str::CString,
    sync::Arc, //
};

/// A RAM disk that is made but not known yet: see [`NewDisk`](crate::disk::NewDisk).
pub(crate) struct Prepared {
    name: CString,
    index: Index,
    disk: NewRamDisk,
    /// See [`RamDisk::set_hang`].
    hang: bool,
    shared: Option<SharedTagSet>,
}

/// A RAM disk whose power is on. Dropping it turns the power off: the disk goes, and its data is kept.
pub(crate) struct Powered {
    // Dropped from top to bottom.
    _listed: Listed,
    disk: ShownRamDisk,
    _shared: Option<SharedTagSet>,
    index: Index,
}

impl Prepared {
    /// Makes the disk `name` as the settings say, with the data that is kept, or with the `borrowed` store of another
    /// one, whose size is the settings'.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EINTR` if the task is to end, and what [`NewRamDisk::new`] returns, with a line in the log.
    pub(crate) fn new(
        name: CString,
        settings: &Settings,
        kept: &Arc<Kept>,
        index: Index,
        borrowed: Option<Store>,
    ) -> Result<Self> {
        let make = || {
            let make_tag_set = || -> Result<Arc<TagSet<RamDiskOperations>>> {
                let options = settings.tag_set_options(Some(&name))?;
                Arc::pin_init(TagSet::new(options, CommonData::new()?), GFP_KERNEL)
            };
            let shared = match settings.shared_tags() {
                true => Some(SharedTagSet::get(make_tag_set)?),
                false => None,
            };
            let tagset = match &shared {
                Some(shared) => shared.tagset(),
                None => make_tag_set()?,
            };
            let config = settings.config(&name)?;
            let disk = NewRamDisk::new(&name, &config, tagset, kept.clone(), borrowed)?;
            Ok((disk, config.hang, shared))
        };
        match make() {
            Ok((disk, hang, shared)) => Ok(Self {
                name,
                index,
                disk,
                hang,
                shared,
            }),
            Err(error) => Err(log_not_made(&name, error)),
        }
    }

    /// Makes the disk known to the system.
    ///
    /// # Errors
    ///
    /// `ENOMEM` and what [`NewRamDisk::add`] returns, with a line in the log; then nobody has seen the disk. And what
    /// [`RamDisk::settle`] returns, but only if something was kept.
    pub(crate) fn add(self) -> Result<Powered> {
        let name = &*self.name;
        let add = || {
            // When the disk is known somebody can open it.
            let (place, debugfs) = (control::Place::new()?, registry::debugfs()?);
            let listed = Listed::new(name)?;
            let (disk, settlement) = self.disk.add()?;
            let disk = control::show(disk, place, name, &debugfs);
            disk.settle(settlement)?;
            disk.set_hang(self.hang);
            listed.publish(disk.clone());
            Ok((listed, disk))
        };
        let (listed, disk) = add().map_err(|error| log_not_made(name, error))?;
        let tagset = disk.disk().tagset();
        pr_info!(
            "{}: {} MiB in blocks of {} bytes, {} hardware queues of depth {}\n",
            name,
            disk.size_mib(),
            disk.block_size(),
            tagset.hw_queues().total(),
            tagset.queue_depth(),
        );
        Ok(Powered {
            _listed: listed,
            disk,
            _shared: self.shared,
            index: self.index,
        })
    }
}

impl Drop for Powered {
    fn drop(&mut self) {
        // Its entry and its directory go first, and wait for whoever is just using or changing the disk.
        self.disk.hurry();
    }
}

impl Powered {
    /// The disk.
    pub(crate) fn disk(&self) -> &RamDisk {
        &self.disk
    }

    /// Its number among all of them.
    pub(crate) fn index(&self) -> usize {
        self.index.number()
    }
}

fn log_not_made(name: &CStr, error: Error) -> Error {
    pr_err!("{name}: not made: {error:?}\n");
    error
}
