// SPDX-License-Identifier: GPL-2.0

//! What the devices of the module share: their numbers, a tag set for those that want one, their names where one wants
//! another's store, the directory below debugfs. Devices come through the module's parameters and through configfs, and nothing but this is common to
//! these two.

use crate::{
    bindings,
    control::ShownRamDisk,
    device::{
        RamDisk,
        RamDiskOperations, //
    },
    tagset::TagSet, //
};
use kernel::{
    debugfs,
    id_pool::IdPool,
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        global_lock,
        Arc,
        Mutex, //
    },
};

struct Registry {
    indices: IdPool,
    /// How many devices the parameters made: their names are `rblk0` and so on.
    made_at_load: usize,
    /// With the number of those who use it.
    shared: Option<(Arc<TagSet<RamDiskOperations>>, usize)>,
    /// The devices whose power is on.
    listed: KVec<Arc<Entry>>,
    debugfs: debugfs::Dir,
}

global_lock! {
    // SAFETY: `Opened::new`, which comes before all others, initialises it.
    unsafe(uninit) static REGISTRY: Mutex<Option<Registry>> = None;
}

/// The registry is there as long as this value. The module's own, and the last thing that goes.
pub(crate) struct Opened(());

impl Opened {
    /// Opens the registry. To be called once, when the module is loaded; all other functions here come after it.
    pub(crate) fn new() -> Self {
        // SAFETY: This is called once.
        unsafe { REGISTRY.init() };
        *REGISTRY.lock() = Some(Registry {
            indices: IdPool::new(),
            made_at_load: 0,
            shared: None,
            listed: KVec::new(),
            debugfs: debugfs::Dir::new(c"rnullblk"),
        });
        Self(())
    }
}

impl Opened {
    /// Waits until nobody has a file of the module open, nor a device. To be called while the module is loaded, by who has
    /// none left. May sleep.
    pub(crate) fn wait_for_users(&self) {
        // SAFETY: This may sleep.
        unsafe { bindings::rnullblk_wait_for_users() };
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let registry = REGISTRY.lock().take();
        drop(registry);
        // The pages of thin stores are freed by a function of the module.
        // SAFETY: This may sleep.
        unsafe { bindings::rcu_barrier() };
    }
}

/// Whether configfs is there: it is a module of its own on many kernels, which may not be loaded.
pub(crate) fn has_configfs() -> bool {
    // SAFETY: The function only looks.
    unsafe { bindings::rnullblk_has_configfs() }
}

/// Whether the current task may make and change devices. The files' modes alone would let a root user do so who has
/// no privilege, in a container say.
///
/// # Errors
///
/// `EPERM` without `CAP_SYS_ADMIN`.
pub(crate) fn check_privilege() -> Result {
    // CAST: A small number.
    // SAFETY: There is a current task.
    let has_it = unsafe { bindings::capable(bindings::CAP_SYS_ADMIN as c_int) };
    has_it.then_some(()).ok_or(EPERM)
}

/// The module's directory below debugfs.
pub(crate) fn debugfs() -> Result<debugfs::Dir> {
    match &*REGISTRY.lock() {
        Some(registry) => Ok(registry.debugfs.clone()),
        None => Err(ENODEV),
    }
}

/// Notes that the parameters make the devices `rblk0` to `rblkN` with N one less than `count`.
pub(crate) fn set_made_at_load(count: usize) {
    if let Some(registry) = &mut *REGISTRY.lock() {
        registry.made_at_load = count;
    }
}

/// Whether the parameters made a device of that name.
pub(crate) fn is_made_at_load(name: &CStr) -> bool {
    let made_at_load = match &*REGISTRY.lock() {
        Some(registry) => registry.made_at_load,
        None => 0,
    };
    let number = name
        .to_str()
        .ok()
        .and_then(|name| name.strip_prefix("rblk"));
    number.is_some_and(|digits| {
        let is_canonical = digits == "0" || !digits.starts_with(['0', '+']);
        is_canonical
            && digits
                .parse()
                .is_ok_and(|number: usize| number < made_at_load)
    })
}

/// The number of a device, which no other one has as long as this value is there.
pub(crate) struct Index(usize);

impl Index {
    /// The lowest number that is free. May sleep.
    pub(crate) fn take() -> Result<Self> {
        let mut guard = REGISTRY.lock();
        let indices = &mut guard.as_mut().ok_or(ENODEV)?.indices;
        loop {
            if let Some(free) = indices.find_unused_id(0) {
                return Ok(Self(free.acquire()));
            }
            let more = indices.grow_request().ok_or(ENOSPC)?;
            indices.grow(more.realloc(GFP_KERNEL)?);
        }
    }

    pub(crate) fn number(&self) -> usize {
        self.0
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        if let Some(registry) = &mut *REGISTRY.lock() {
            registry.indices.release_id(self.0);
        }
    }
}

/// One use of the tag set that all devices with `shared_tags` share. The first one makes it as it needs it, and it
/// goes with the last one.
pub(crate) struct SharedTagSet(Arc<TagSet<RamDiskOperations>>);

impl SharedTagSet {
    /// Takes part in the tag set, and makes it if it is not there. May sleep.
    ///
    /// # Errors
    ///
    /// What `make` returns.
    pub(crate) fn get(
        make: impl FnOnce() -> Result<Arc<TagSet<RamDiskOperations>>>,
    ) -> Result<Self> {
        let mut guard = REGISTRY.lock();
        let registry = guard.as_mut().ok_or(ENODEV)?;
        let (tagset, users) = match registry.shared.take() {
            Some(shared) => shared,
            None => (make()?, 0),
        };
        registry.shared = Some((tagset.clone(), users.saturating_add(1)));
        Ok(Self(tagset))
    }

    pub(crate) fn tagset(&self) -> Arc<TagSet<RamDiskOperations>> {
        self.0.clone()
    }
}

impl Drop for SharedTagSet {
    fn drop(&mut self) {
        if let Some(registry) = &mut *REGISTRY.lock() {
            registry.shared = match registry.shared.take() {
                Some((tagset, users @ 2..)) => Some((tagset, users.wrapping_sub(1))),
                _ => None,
            };
        }
    }
}

/// A device that others find by its name.
#[pin_data]
struct Entry {
    name: CString,
    /// `None` when it is not ready yet, or about to go.
    #[pin]
    disk: Mutex<Option<ShownRamDisk>>,
}

/// A device can be found by its name as long as this value is there. Drop it before the device.
pub(crate) struct Listed(Arc<Entry>);

impl Listed {
    /// Makes an entry for the device `name`. It is not found yet.
    pub(crate) fn new(name: &CStr) -> Result<Self> {
        let name = CString::try_from(name)?;
        let init = try_pin_init!(Entry {
            name,
            disk <- new_mutex!(None),
        }? Error);
        let entry = Arc::pin_init(init, GFP_KERNEL)?;
        let mut guard = REGISTRY.lock();
        let listed = &mut guard.as_mut().ok_or(ENODEV)?.listed;
        listed.push(entry.clone(), GFP_KERNEL)?;
        Ok(Self(entry))
    }

    /// From here on the device is found.
    pub(crate) fn publish(&self, disk: ShownRamDisk) {
        *self.0.disk.lock() = Some(disk);
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        if let Some(registry) = &mut *REGISTRY.lock() {
            registry.listed.retain(|entry| !Arc::ptr_eq(entry, &self.0));
        }
        // Waits for whoever is just using it.
        let disk = self.0.disk.lock().take();
        drop(disk);
    }
}

/// Calls `f` with the disk of that name, if its power is on; it stays so meanwhile. May sleep.
///
/// # Errors
///
/// `ENODEV` if there is none; what `f` returns.
pub(crate) fn with_disk<R>(name: &CStr, f: impl FnOnce(&RamDisk) -> Result<R>) -> Result<R> {
    let is_it = |entry: &&Arc<Entry>| *entry.name == *name;
    let entry = match &*REGISTRY.lock() {
        Some(registry) => registry.listed.iter().find(is_it).cloned(),
        None => None,
    };
    let entry = entry.ok_or(ENODEV)?;
    let disk = entry.disk.lock();
    f(disk.as_ref().ok_or(ENODEV)?)
}
