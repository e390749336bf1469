// SPDX-License-Identifier: GPL-2.0

//! What a hardware queue did, in numbers. One addition a request on the plain path.

#![forbid(unsafe_code)]

use crate::request::Operation;
use kernel::{
    fmt,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// A number that only grows.
pub(crate) struct Counter(Atomic<u64>);

impl Counter {
    #[inline(always)]
    pub(crate) fn add(&self, count: u64) {
        self.0.add(count, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Declares the counters, which are shown in this order and under these names.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The counters of a hardware queue since it was made.
        pub(crate) struct Counters {
            $($(#[$doc])* pub(crate) $name: Counter,)*
        }

        impl Counters {
            pub(crate) fn new() -> Self {
                Self { $($name: Counter(Atomic::new(0)),)* }
            }

            /// The names, each over its column.
            pub(crate) fn show_names(f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(write!(f, " {:>12}", stringify!($name))?;)*
                Ok(())
            }
        }

        impl fmt::Display for Counters {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(write!(f, " {:>12}", self.$name.get())?;)*
                Ok(())
            }
        }
    };
}

counters! {
    /// Requests by what they asked for, counted each time they are queued.
    reads,
    writes,
    flushes,
    discards,
    write_zeroes,
    /// Of the writes, those with forced unit access.
    fua_writes,
    /// Requests that ended with an error.
    errors,
    /// Requests by the way they were completed; the others were ended where they were queued.
    softirq,
    timer,
    polled,
    /// Plugs that came as one list, and the requests in them.
    batches,
    batched,
    /// Requests that timed out; answers that came when nobody waited for them any more.
    timeouts,
    late_answers,
    /// Requests that were put back by a requeue, and that were refused.
    requeues,
    refusals,
    /// How often each silent fault struck.
    dropped_writes,
    misdirected_writes,
    flipped_writes,
    flipped_reads,
    stale_reads,
}

impl Counters {
    /// Counts a request that was queued.
    #[inline(always)]
    pub(crate) fn count_queued(&self, operation: Operation, is_fua: bool) {
        match operation {
            Operation::Read => self.reads.add(1),
            Operation::Write => {
                self.writes.add(1);
                if is_fua {
                    self.fua_writes.add(1);
                }
            }
            Operation::Flush => self.flushes.add(1),
            Operation::Discard => self.discards.add(1),
            Operation::WriteZeroes => self.write_zeroes.add(1),
            _ => (),
        }
    }
}
