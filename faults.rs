// SPDX-License-Identifier: GPL-2.0

//! Faults on demand: when to strike. In the words of the kernel's fault injection
//! ([`Documentation/fault-injection`](srctree/Documentation/fault-injection/fault-injection.rst)),
//! but there on every kernel, and the same again for the same seed.

#![forbid(unsafe_code)]

use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// What a fault is to do: `interval,probability,space,times`.
#[derive(Clone, Copy)]
pub(crate) struct FaultOptions {
    /// Only every so many-th chance is one; 0 and 1: each.
    pub(crate) interval: u32,
    /// In how many of 100 chances it strikes. 0: never.
    pub(crate) probability_percent: u32,
    /// How many bytes go by before the first chance.
    pub(crate) space_bytes: u32,
    /// How often it may strike; -1: without end.
    pub(crate) times: i32,
}

/// A fault that strikes now and then. It can be changed at any time; a request that is just being looked at may
/// see half of the change.
pub(crate) struct Fault {
    interval: Atomic<u32>,
    probability_percent: Atomic<u32>,
    space_left_bytes: Atomic<i64>,
    times_left: Atomic<i32>,
    seed: Atomic<u64>,
    chances: Atomic<u64>,
}

impl Fault {
    pub(crate) fn new(options: FaultOptions) -> Self {
        Self {
            interval: Atomic::new(options.interval),
            probability_percent: Atomic::new(options.probability_percent),
            space_left_bytes: Atomic::new(options.space_bytes.into()),
            times_left: Atomic::new(options.times),
            seed: Atomic::new(0),
            chances: Atomic::new(0),
        }
    }

    /// Begins anew with other options.
    pub(crate) fn set(&self, options: FaultOptions) {
        self.probability_percent.store(0, Relaxed);
        self.interval.store(options.interval, Relaxed);
        self.space_left_bytes
            .store(options.space_bytes.into(), Relaxed);
        self.times_left.store(options.times, Relaxed);
        self.chances.store(0, Relaxed);
        self.probability_percent
            .store(options.probability_percent, Relaxed);
    }

    /// It strikes no more.
    pub(crate) fn turn_off(&self) {
        self.probability_percent.store(0, Relaxed);
    }

    /// Begins its chances anew, as this seed has them.
    pub(crate) fn sow(&self, seed: u64) {
        self.seed.store(seed, Relaxed);
        self.chances.store(0, Relaxed);
    }

    /// Whether it can strike at all.
    pub(crate) fn is_on(&self) -> bool {
        self.probability_percent.load(Relaxed) != 0 && self.times_left.load(Relaxed) != 0
    }

    /// Whether it strikes at this chance, on a request of `bytes` bytes.
    pub(crate) fn strikes(&self, bytes: u32) -> bool {
        self.strikes_by(bytes).is_some()
    }

    /// As [`Fault::strikes`]; if so with a number by chance, for how.
    pub(crate) fn strikes_by(&self, bytes: u32) -> Option<u64> {
        if !self.is_on() {
            return None;
        }
        if self.space_left_bytes.load(Relaxed) > 0 {
            self.space_left_bytes.add(-i64::from(bytes), Relaxed);
            return None;
        }
        let chance = self.chances.fetch_add(1, Relaxed).wrapping_add(1);
        let interval = u64::from(self.interval.load(Relaxed).max(1));
        if chance % interval != 0 {
            return None;
        }
        let dice = mix(mix(self.seed.load(Relaxed)).wrapping_add(chance));
        let is_hit = dice % 100 < u64::from(self.probability_percent.load(Relaxed));
        (is_hit && self.take_one()).then_some(mix(dice))
    }

    /// One time less, if there is one left.
    fn take_one(&self) -> bool {
        loop {
            let left = self.times_left.load(Relaxed);
            if left < 0 {
                return true;
            }
            if left == 0 {
                return false;
            }
            if self
                .times_left
                .cmpxchg(left, left.wrapping_sub(1), Relaxed)
                .is_ok()
            {
                return true;
            }
        }
    }
}

/// A number that looks like chance, for each number (the mixer of SplitMix64).
pub(crate) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
