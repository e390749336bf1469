// SPDX-License-Identifier: GPL-2.0

//! How long a device takes: shapes of latency, by operation, and how many requests it works on at once. What is by chance is
//! the same again for the same seed.

#![forbid(unsafe_code)]

use crate::{
    faults::mix,
    request::Operation, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// The longest latency that can be asked for: 1000 s.
pub(crate) const MAX_NSEC: i64 = 1_000_000_000_000;

/// How the latencies of requests are spread.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spread {
    /// As `completion_nsec` says.
    Default,
    Fixed {
        nsec: i64,
    },
    /// As likely the one as the other; both are included.
    Uniform {
        min_nsec: i64,
        max_nsec: i64,
    },
    /// A bell, cut off at 0 and at six deviations.
    Normal {
        mean_nsec: i64,
        deviation_nsec: i64,
    },
    Exponential {
        mean_nsec: i64,
    },
}

/// What the latencies of an operation are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) spread: Spread,
    /// In so many of 100 requests, and in every so many-th (0: none), it is `exception_nsec`.
    pub(crate) percent: u32,
    pub(crate) every: u32,
    pub(crate) exception_nsec: i64,
}

impl Shape {
    /// `completion_nsec`, for all requests.
    pub(crate) const DEFAULT: Self = Self {
        spread: Spread::Default,
        percent: 0,
        every: 0,
        exception_nsec: 0,
    };

    /// The latency of the request `number`, counted from 1 on; `dice` is by chance.
    pub(crate) fn nsec(&self, number: u64, dice: u64, default_nsec: i64) -> i64 {
        if self.every != 0 && number % u64::from(self.every) == 0 {
            return self.exception_nsec;
        }
        if mix(dice) % 100 < u64::from(self.percent) {
            return self.exception_nsec;
        }
        match self.spread {
            Spread::Default => default_nsec,
            Spread::Fixed { nsec } => nsec,
            Spread::Uniform { min_nsec, max_nsec } => {
                let width = max_nsec.abs_diff(min_nsec).saturating_add(1);
                min_nsec.saturating_add_unsigned(dice % width)
            }
            Spread::Normal {
                mean_nsec,
                deviation_nsec,
            } => {
                let deviated = deviation_nsec.saturating_mul(bell(dice)) >> 16;
                mean_nsec.saturating_add(deviated).max(0)
            }
            Spread::Exponential { mean_nsec } => mean_nsec.saturating_mul(minus_log(dice)) >> 16,
        }
    }
}

/// A number whose mean is 0 and whose deviation is 2^16: the sum of twelve that are as likely the one as the other.
pub(crate) fn bell(dice: u64) -> i64 {
    let mut sum = -6 * 0xffff;
    for number in 0..3 {
        let mut bits = mix(dice.wrapping_add(number));
        for _ in 0..4 {
            // CAST: 16 bits.
            sum = i64::wrapping_add(sum, (bits & 0xffff) as i64);
            bits >>= 16;
        }
    }
    sum
}

/// -ln(u) * 2^16 for a `u` in (0, 1], of which `dice` has the bits behind the point.
pub(crate) fn minus_log(dice: u64) -> i64 {
    const LN_2: i64 = 45426; // * 2^16
    let u = dice.max(1);
    let zeros = u.leading_zeros();
    // The binary logarithm of a number in [1, 2), here with 31 bits behind the point: a bit of it for each squaring.
    let mut x = (u << zeros) >> 32;
    let mut fraction = 0_i64;
    for _ in 0..16 {
        x = u64::wrapping_mul(x, x) >> 31;
        fraction <<= 1;
        if x >> 32 != 0 {
            x >>= 1;
            fraction |= 1;
        }
    }
    let log = (i64::from(zeros).wrapping_add(1) << 16).wrapping_sub(fraction);
    log.wrapping_mul(LN_2) >> 16
}

/// The latencies of a device.
pub(crate) struct Latency {
    seed: u64,
    default_nsec: i64,
    reads: Counted,
    writes: Counted,
    flushes: Counted,
    discards: Counted,
    /// When each lane is free; none: there is no limit.
    lanes: KVVec<Atomic<i64>>,
}

struct Counted {
    shape: Shape,
    count: Atomic<u64>,
}

impl Counted {
    fn new(shape: Shape) -> Self {
        Self {
            shape,
            count: Atomic::new(0),
        }
    }
}

/// What the latencies of a device shall be.
#[derive(Clone, Copy)]
pub(crate) struct LatencyOptions {
    pub(crate) read: Shape,
    pub(crate) write: Shape,
    pub(crate) flush: Shape,
    pub(crate) discard: Shape,
    /// 0: no limit.
    pub(crate) lanes: u32,
}

impl LatencyOptions {
    /// Whether there is more than one latency for all.
    pub(crate) fn are_any(&self) -> bool {
        let shapes = [self.read, self.write, self.flush, self.discard];
        self.lanes != 0 || shapes.iter().any(|shape| *shape != Shape::DEFAULT)
    }
}

impl Latency {
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(options: &LatencyOptions, default_nsec: u64, seed: u64) -> Result<Self> {
        let mut lanes = KVVec::new();
        for _ in 0..options.lanes {
            lanes.push(Atomic::new(0), GFP_KERNEL)?;
        }
        Ok(Self {
            seed,
            default_nsec: i64::try_from(default_nsec).unwrap_or(i64::MAX),
            reads: Counted::new(options.read),
            writes: Counted::new(options.write),
            flushes: Counted::new(options.flush),
            discards: Counted::new(options.discard),
            lanes,
        })
    }

    /// How long a request that comes at `now_nsec` takes, with the time that it waits for a lane.
    pub(crate) fn nsec(&self, operation: Operation, now_nsec: i64) -> u64 {
        let (counted, kind) = match operation {
            Operation::Read => (&self.reads, 0),
            Operation::Write => (&self.writes, 1),
            Operation::Flush => (&self.flushes, 2),
            _ => (&self.discards, 3),
        };
        let number = counted.count.fetch_add(1, Relaxed).wrapping_add(1);
        let dice = mix(mix(self.seed.wrapping_add(kind)).wrapping_add(number));
        let nsec = counted.shape.nsec(number, dice, self.default_nsec);
        let done = self.take_lane(now_nsec, nsec);
        u64::try_from(done.saturating_sub(now_nsec)).unwrap_or(0)
    }

    /// Takes the lane that is free first for `nsec`. Gives when that is over.
    fn take_lane(&self, now_nsec: i64, nsec: i64) -> i64 {
        loop {
            let free_at = |lane: &&Atomic<i64>| lane.load(Relaxed);
            let Some(lane) = self.lanes.iter().min_by_key(free_at) else {
                return now_nsec.saturating_add(nsec);
            };
            let free = lane.load(Relaxed);
            let done = free.max(now_nsec).saturating_add(nsec);
            if lane.cmpxchg(free, done, Relaxed).is_ok() {
                return done;
            }
        }
    }
}
