// SPDX-License-Identifier: GPL-2.0

//! What a hardware queue did: a number for each kind of request. One addition a request.

#![forbid(unsafe_code)]

use crate::request::{
    Operation,
    Status, //
};
use kernel::{
    fmt,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// The numbers of requests that ended since the queue was made, by kind.
pub(crate) struct Counters {
    reads: Atomic<u64>,
    writes: Atomic<u64>,
    /// Of the writes, those with forced unit access.
    fua_writes: Atomic<u64>,
    flushes: Atomic<u64>,
    discards: Atomic<u64>,
    write_zeroes: Atomic<u64>,
    /// Of all, and of operations that the device does not know: those that failed.
    errors: Atomic<u64>,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            reads: Atomic::new(0),
            writes: Atomic::new(0),
            fua_writes: Atomic::new(0),
            flushes: Atomic::new(0),
            discards: Atomic::new(0),
            write_zeroes: Atomic::new(0),
            errors: Atomic::new(0),
        }
    }

    /// Counts a request that is about to end with `status`.
    #[inline(always)]
    pub(crate) fn count(&self, operation: Operation, is_fua: bool, status: Status) {
        match operation {
            Operation::Read => self.reads.add(1, Relaxed),
            Operation::Write => {
                self.writes.add(1, Relaxed);
                if is_fua {
                    self.fua_writes.add(1, Relaxed);
                }
            }
            Operation::Flush => self.flushes.add(1, Relaxed),
            Operation::Discard => self.discards.add(1, Relaxed),
            Operation::WriteZeroes => self.write_zeroes.add(1, Relaxed),
            Operation::Other(_) => (),
        }
        if status != Status::OK {
            self.errors.add(1, Relaxed);
        }
    }

    /// The names of the columns that a value is shown in.
    pub(crate) fn heading() -> &'static str {
        "     reads     writes fua_writes    flushes   discards write_zeroes     errors"
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>10} {:>10} {:>10} {:>10} {:>10} {:>12} {:>10}",
            self.reads.load(Relaxed),
            self.writes.load(Relaxed),
            self.fua_writes.load(Relaxed),
            self.flushes.load(Relaxed),
            self.discards.load(Relaxed),
            self.write_zeroes.load(Relaxed),
            self.errors.load(Relaxed),
        )
    }
}
