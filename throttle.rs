// SPDX-License-Identifier: GPL-2.0

//! A limit to the bandwidth. Like a slow device, it does not refuse requests but answers them later: the
//! hardware queue's timer ends each one when the bytes before it had their time.

#![forbid(unsafe_code)]

use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// For how long an idle device saves up: so much may then pass at once.
const BURST_NSEC: i64 = 20_000_000;

/// By how much the timer of a busy machine may be late.
const TIMER_LATE_NSEC: i64 = 1_000_000_000;

const NSEC_PER_SEC: u64 = 1_000_000_000;

/// A bucket of tokens, which all the queues of a device take from; kept as the time at which it will be empty
/// no more.
pub(crate) struct Throttle {
    bytes_per_sec: u64,
    /// When the last byte that was let through has had its time.
    free_at_nsec: Atomic<i64>,
}

impl Throttle {
    /// A limit of so many MiB per second; `None` for 0, no limit.
    pub(crate) fn new(mib_per_sec: u32) -> Option<Self> {
        (mib_per_sec != 0).then_some(Self {
            bytes_per_sec: u64::from(mib_per_sec) << 20,
            free_at_nsec: Atomic::new(0),
        })
    }

    /// Whether somebody may still wait at `now_nsec`, if only for a timer that is late.
    pub(crate) fn is_behind(&self, now_nsec: i64) -> bool {
        self.free_at_nsec.load(Relaxed) > now_nsec.saturating_sub(TIMER_LATE_NSEC)
    }

    /// Lets `bytes` bytes through, at `now_nsec`. Gives for how many nanoseconds they have to wait: the later they
    /// come the longer, so that answers keep their order.
    pub(crate) fn wait_nsec(&self, bytes: u32, now_nsec: i64) -> u64 {
        // 2^32 bytes times 10^9 is below 2^63.
        let cost = u64::from(bytes).wrapping_mul(NSEC_PER_SEC) / self.bytes_per_sec.max(1);
        let cost = i64::try_from(cost).unwrap_or(i64::MAX);
        let mut free_at = self.free_at_nsec.load(Relaxed);
        loop {
            let start = free_at.max(now_nsec.saturating_sub(BURST_NSEC));
            let end = start.saturating_add(cost);
            match self.free_at_nsec.cmpxchg(free_at, end, Relaxed) {
                Ok(_) => return u64::try_from(end.saturating_sub(now_nsec)).unwrap_or(0),
                Err(now) => free_at = now,
            }
        }
    }
}
