// SPDX-License-Identifier: GPL-2.0

//! Where a disk keeps its data: one of the two kinds of store.

#![forbid(unsafe_code)]

use crate::{
    ramstore::{
        self,
        RamStore, //
    },
    segment::{
        FromDevice,
        Segment,
        ToDevice, //
    },
    thinstore::{
        self,
        ThinStore, //
    },
};
use kernel::prelude::*;

/// Which kind of store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreKind {
    /// All memory is there from the start.
    Linear,
    /// Memory comes with the data.
    Thin,
}

/// What a disk does to its data. The plain I/O path does it to a store of a known kind.
pub(crate) trait Data {
    /// Copies from `position` on into `segments`. Errors as [`ThinStore::read`].
    fn read<'a>(
        &self,
        position: u64,
        segments: impl Iterator<Item = Segment<'a, FromDevice>>,
    ) -> Result;

    /// Copies `segments` to the bytes from `position` on. Errors as [`ThinStore::write`].
    fn write<'a>(
        &self,
        position: u64,
        segments: impl Iterator<Item = Segment<'a, ToDevice>>,
    ) -> Result;

    /// Makes the `len` bytes from `position` on read as zeroes. A thin store gives their memory back. Errors as
    /// [`ThinStore::zero`].
    fn zero(&self, position: u64, len: usize) -> Result;
}

impl Data for RamStore {
    #[inline(always)]
    fn read<'a>(
        &self,
        position: u64,
        segments: impl Iterator<Item = Segment<'a, FromDevice>>,
    ) -> Result {
        self.read(position, segments)
    }

    #[inline(always)]
    fn write<'a>(
        &self,
        position: u64,
        segments: impl Iterator<Item = Segment<'a, ToDevice>>,
    ) -> Result {
        self.write(position, segments)
    }

    #[inline(always)]
    fn zero(&self, position: u64, len: usize) -> Result {
        self.zero(position, len)
    }
}

impl Data for Store {
    fn read<'a>(
        &self,
        position: u64,
        segments: impl Iterator<Item = Segment<'a, FromDevice>>,
    ) -> Result {
        match self {
            Self::Linear(store) => store.read(position, segments),
            Self::Thin(store) => store.read(position, segments),
        }
    }

    fn write<'a>(
        &self,
        position: u64,
        segments: impl Iterator<Item = Segment<'a, ToDevice>>,
    ) -> Result {
        match self {
            Self::Linear(store) => store.write(position, segments),
            Self::Thin(store) => store.write(position, segments),
        }
    }

    fn zero(&self, position: u64, len: usize) -> Result {
        match self {
            Self::Linear(store) => store.zero(position, len),
            Self::Thin(store) => store.zero(position, len),
        }
    }
}

/// The data of a disk.
pub(crate) enum Store {
    Linear(RamStore),
    Thin(ThinStore),
}

/// What a store needs to grow; see [`Store::prepare_growth`].
pub(crate) enum Growth {
    Linear(ramstore::Growth),
    Thin(thinstore::Growth),
}

impl Store {
    /// A store of `mib` MiB of zeroes, on the NUMA node `node`. Errors as [`RamStore::new`].
    pub(crate) fn new(kind: StoreKind, mib: usize, node: i32) -> Result<Self> {
        match kind {
            StoreKind::Linear => RamStore::new(mib, node).map(Self::Linear),
            StoreKind::Thin => ThinStore::new(mib, node).map(Self::Thin),
        }
    }

    /// Which kind it is.
    pub(crate) fn kind(&self) -> StoreKind {
        match self {
            Self::Linear(_) => StoreKind::Linear,
            Self::Thin(_) => StoreKind::Thin,
        }
    }

    /// Allocates what a store needs to grow by `more_mib` to `mib` MiB. Errors as [`RamStore::new`].
    pub(crate) fn prepare_growth(
        kind: StoreKind,
        more_mib: usize,
        mib: usize,
        node: i32,
    ) -> Result<Growth> {
        match kind {
            StoreKind::Linear => RamStore::prepare_growth(more_mib, mib, node).map(Growth::Linear),
            StoreKind::Thin => ThinStore::prepare_growth(mib).map(Growth::Thin),
        }
    }

    /// Grows. Allocates nothing; what is left in `growth` can go at any time.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the growth is not for such a store, or it is shared; then it is as it was.
    pub(crate) fn grow(&mut self, growth: &mut Growth) -> Result {
        match (self, growth) {
            (Self::Linear(store), Growth::Linear(growth)) => store.grow(growth),
            (Self::Thin(store), Growth::Thin(growth)) => store.grow(growth),
            _ => Err(EBUSY),
        }
    }

    /// Makes it smaller, in MiB. What goes of a linear store goes to `cut`.
    ///
    /// # Errors
    ///
    /// As [`RamStore::shrink`] or [`ThinStore::shrink`]; then it is as it was.
    pub(crate) fn shrink(&mut self, mib: usize, cut: &mut RamStore) -> Result {
        match self {
            Self::Linear(store) => store.shrink(mib, cut),
            Self::Thin(store) => store.shrink(mib),
        }
    }

    /// The size in MiB.
    pub(crate) fn mib(&self) -> usize {
        match self {
            Self::Linear(store) => store.mib(),
            Self::Thin(store) => store.mib(),
        }
    }

    /// How much memory it has, if that is not the same all the time.
    pub(crate) fn usage(&self) -> Option<thinstore::Usage> {
        match self {
            Self::Linear(_) => None,
            Self::Thin(store) => Some(store.usage()),
        }
    }

    /// Another store with the same memory, see [`RamStore::share`].
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is not linear, `ENOMEM`.
    pub(crate) fn share(&mut self) -> Result<Self> {
        match self {
            Self::Linear(store) => store.share().map(Self::Linear),
            Self::Thin(_) => Err(EINVAL),
        }
    }

    /// Whether there is another store with the same memory.
    pub(crate) fn is_shared(&self) -> bool {
        match self {
            Self::Linear(store) => store.is_shared(),
            Self::Thin(_) => false,
        }
    }

    /// A copy with its own life, see [`ThinStore::try_clone`].
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is not thin, `ENOMEM`.
    pub(crate) fn try_clone(&self) -> Result<Self> {
        match self {
            Self::Linear(_) => Err(EINVAL),
            Self::Thin(store) => store.try_clone().map(Self::Thin),
        }
    }

    /// Copies `len` bytes from `position` on to `to_position` of a linear store.
    ///
    /// # Errors
    ///
    /// `EIO` where either ends; what comes before that is copied.
    pub(crate) fn copy_to(
        &self,
        position: u64,
        to: &RamStore,
        to_position: u64,
        len: usize,
    ) -> Result {
        match self {
            Self::Linear(store) => to.copy_from(to_position, store, position, len),
            Self::Thin(store) => store.copy_to(position, to, to_position, len),
        }
    }
}
