// SPDX-License-Identifier: GPL-2.0

//! Silent faults: the disk says success, and the data is wrong. Each strikes as other [faults](crate::faults) do, within a
//! range of sectors.

#![forbid(unsafe_code)]

use crate::{
    faults::{
        Fault,
        FaultOptions, //
    },
    limits::SECTOR_SHIFT, //
};
use core::ops::Range;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// What a silent fault is to do.
#[derive(Clone, Copy)]
pub(crate) struct SilentFaultOptions {
    pub(crate) fault: FaultOptions,
    /// Where it strikes; `None`: anywhere.
    pub(crate) sectors: Option<(u64, u64)>,
}

/// A silent fault. It can be changed at any time; a request that is just being looked at may see half of the change.
pub(crate) struct SilentFault {
    pub(crate) fault: Fault,
    first: Atomic<u64>,
    end: Atomic<u64>,
}

impl SilentFault {
    pub(crate) fn new(options: SilentFaultOptions) -> Self {
        let range = Self::range_of(&options);
        Self {
            fault: Fault::new(options.fault),
            first: Atomic::new(range.start),
            end: Atomic::new(range.end),
        }
    }

    /// Begins anew with other options.
    pub(crate) fn set(&self, options: SilentFaultOptions) {
        let range = Self::range_of(&options);
        self.fault.turn_off();
        self.first.store(range.start, Relaxed);
        self.end.store(range.end, Relaxed);
        self.fault.set(options.fault);
    }

    fn range_of(options: &SilentFaultOptions) -> Range<u64> {
        match options.sectors {
            Some((first, last)) => first..last.saturating_add(1),
            None => 0..u64::MAX,
        }
    }

    /// Where it can strike, on a disk of so many sectors.
    pub(crate) fn range(&self, capacity_sectors: u64) -> Range<u64> {
        self.first.load(Relaxed)..self.end.load(Relaxed).min(capacity_sectors)
    }

    /// If it strikes on a request for these sectors: those of them where it may, and a number by chance.
    pub(crate) fn strikes(&self, sectors: &Range<u64>) -> Option<(Range<u64>, u64)> {
        let within = self.range(sectors.end);
        let within = within.start.max(sectors.start)..within.end;
        if within.is_empty() {
            return None;
        }
        let bytes = (sectors.end.wrapping_sub(sectors.start)) << SECTOR_SHIFT;
        let dice = self
            .fault
            .strikes_by(u32::try_from(bytes).unwrap_or(u32::MAX))?;
        Some((within, dice))
    }
}

/// Another place than `sectors` for as many, apart from them, within `range`, in blocks of `block_sectors`. `None` if there
/// is none.
pub(crate) fn elsewhere(
    sectors: &Range<u64>,
    range: Range<u64>,
    block_sectors: u64,
    dice: u64,
) -> Option<u64> {
    let len = sectors.end.checked_sub(sectors.start)?;
    let last = range.end.checked_sub(len)?;
    let places = |first: u64, last: Option<u64>| {
        let room = last.and_then(|last| last.checked_sub(first));
        room.map_or(0, |room| (room / block_sectors).saturating_add(1))
    };
    let first = range.start.checked_next_multiple_of(block_sectors)?;
    let before = places(
        first,
        sectors.start.checked_sub(len).map(|end| end.min(last)),
    );
    let behind = first.max(sectors.end.checked_next_multiple_of(block_sectors)?);
    let number = dice.checked_rem(before.saturating_add(places(behind, Some(last))))?;
    match number.checked_sub(before) {
        None => first.checked_add(number.checked_mul(block_sectors)?),
        Some(number) => behind.checked_add(number.checked_mul(block_sectors)?),
    }
}
