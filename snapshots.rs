// SPDX-License-Identifier: GPL-2.0

//! The snapshots of a device: copies of its store by their names. They have all memory in common with it that was not
//! written since.

#![forbid(unsafe_code)]

use crate::store::Store;
use kernel::{
    fmt,
    new_mutex,
    prelude::*,
    str::CString,
    sync::Mutex, //
};

struct Snapshot {
    name: CString,
    store: Store,
}

/// The snapshots of a device, in the order in which they were taken.
#[pin_data]
pub(crate) struct Snapshots {
    #[pin]
    list: Mutex<KVec<Snapshot>>,
}

impl Snapshots {
    /// None yet.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            list <- new_mutex!(KVec::new()),
        })
    }

    /// Adds what `copy` returns.
    ///
    /// # Errors
    ///
    /// `EEXIST` if there is one of that name, `ENOMEM`, and those of `copy`.
    pub(crate) fn add(&self, name: &CStr, copy: impl FnOnce() -> Result<Store>) -> Result {
        let mut list = self.list.lock();
        if position(&list, name).is_ok() {
            return Err(EEXIST);
        }
        list.reserve(1, GFP_KERNEL)?;
        let name = CString::try_from(name)?;
        let store = copy()?;
        list.push_within_capacity(Snapshot { name, store })?;
        Ok(())
    }

    /// A copy of a snapshot.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is none of that name, `ENOMEM`.
    pub(crate) fn copy_of(&self, name: &CStr) -> Result<Store> {
        let list = self.list.lock();
        let place = position(&list, name)?;
        list.get(place).ok_or(ENOENT)?.store.try_clone()
    }

    /// Drops a snapshot; its memory is given back as far as nobody else has it.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is none of that name.
    pub(crate) fn remove(&self, name: &CStr) -> Result {
        let removed = {
            let mut list = self.list.lock();
            let place = position(&list, name)?;
            list.remove(place).map_err(|_| ENOENT)?
        };
        drop(removed);
        Ok(())
    }

    /// Drops all of them.
    pub(crate) fn clear(&self) {
        let all = core::mem::replace(&mut *self.list.lock(), KVec::new());
        drop(all);
    }

    /// Writes the names, a line each.
    pub(crate) fn show(&self, f: &mut dyn fmt::Write) -> fmt::Result {
        for snapshot in &*self.list.lock() {
            let name = &*snapshot.name;
            f.write_fmt(fmt!("{name}\n"))?;
        }
        Ok(())
    }
}

fn position(list: &[Snapshot], name: &CStr) -> Result<usize> {
    list.iter()
        .position(|snapshot| *snapshot.name == *name)
        .ok_or(ENOENT)
}
