// SPDX-License-Identifier: GPL-2.0

//! The completion ring of a hardware queue: the answers that the device will give, in the order
//! of their times. And the completion table of one whose answers have no order.
//!
//! As with hardware, an answer is no more than the [`CommandId`] of the command; whoever drains
//! the ring or the table, the queue's timer or its poller, takes the request by it.

#![forbid(unsafe_code)]

use crate::{
    queue::HwQueueInfo,
    request::CommandId,
    tagset, //
};
use core::cmp::Ordering;
use kernel::{
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Relaxed,
        Release, //
    },
};

/// A ring of answers that any number of CPUs post to and drain at once, without a lock.
///
/// Think of the positions as running on for ever: `tail` is the next one to be written, `head` the
/// next one to be read, and a position's slot is its remainder by the ring's size. A slot's turn
/// says whose move it is: equal to the position, the writer's; one more, the reader's.
///
/// All answers of a ring take the same time, so posting them in order keeps their times in order.
/// When two CPUs post at the same moment an answer may wait for one that is due some nanoseconds
/// later; it is never early.
pub(crate) struct CompletionRing {
    slots: KVVec<Slot>,
    head: Atomic<u64>,
    tail: Atomic<u64>,
}

struct Slot {
    turn: Atomic<u64>,
    tag: Atomic<u32>,
    ticket: Atomic<u64>,
    /// When the answer is due, in nanoseconds of the ring's clock.
    due_nsec: Atomic<i64>,
}

impl CompletionRing {
    /// A ring for at least `answers` answers, on the NUMA node of the queue. May sleep.
    pub(crate) fn new(answers: u32, queue: &HwQueueInfo) -> Result<Self> {
        let size = answers.checked_next_power_of_two().ok_or(EINVAL)?;
        // CAST: `usize` is at least as wide as `u32`.
        let mut slots = queue.vec_with_capacity(size as usize)?;
        for position in 0..size {
            slots.push(
                Slot {
                    turn: Atomic::new(position.into()),
                    tag: Atomic::new(0),
                    ticket: Atomic::new(0),
                    due_nsec: Atomic::new(0),
                },
                GFP_KERNEL,
            )?;
        }
        Ok(Self {
            slots,
            head: Atomic::new(0),
            tail: Atomic::new(0),
        })
    }

    /// The NUMA node on which it lies.
    pub(crate) fn memory_node(&self) -> i32 {
        tagset::node_of_vec(&self.slots)
    }

    fn slot(&self, position: u64) -> Option<&Slot> {
        // CAST: The mask makes it smaller than the number of slots, which is a power of two.
        let index = position as usize & self.slots.len().wrapping_sub(1);
        self.slots.get(index)
    }

    /// Posts an answer that is due at `due_nsec`. `false` if the ring is full.
    pub(crate) fn post(&self, id: CommandId, due_nsec: i64) -> bool {
        let mut position = self.tail.load(Relaxed);
        loop {
            let Some(slot) = self.slot(position) else {
                return false;
            };
            let next = position.wrapping_add(1);
            match slot.turn.load(Acquire).cmp(&position) {
                // Not read since the last round: full.
                Ordering::Less => return false,
                // Another writer was faster.
                Ordering::Greater => position = self.tail.load(Relaxed),
                Ordering::Equal => match self.tail.cmpxchg(position, next, Relaxed) {
                    Ok(_) => {
                        slot.tag.store(id.tag, Relaxed);
                        slot.ticket.store(id.ticket, Relaxed);
                        slot.due_nsec.store(due_nsec, Relaxed);
                        slot.turn.store(next, Release);
                        return true;
                    }
                    Err(now) => position = now,
                },
            }
        }
    }

    /// Takes the first answer out if it is due at `now_nsec`.
    pub(crate) fn pop_due(&self, now_nsec: i64) -> Option<CommandId> {
        loop {
            let position = self.head.load(Relaxed);
            let slot = self.slot(position)?;
            if slot.turn.load(Acquire) != position.wrapping_add(1) {
                // Empty, or the one that writes here is not done, or another reader was faster.
                if self.head.load(Relaxed) == position {
                    return None;
                }
                continue;
            }
            // Should another reader be faster, these may already be the next answer's; then the
            // exchange fails.
            let due_nsec = slot.due_nsec.load(Relaxed);
            let id = CommandId {
                tag: slot.tag.load(Relaxed),
                ticket: slot.ticket.load(Relaxed),
            };
            if due_nsec > now_nsec && self.head.load(Relaxed) == position {
                return None;
            }
            if self
                .head
                .cmpxchg(position, position.wrapping_add(1), Acquire)
                .is_ok()
            {
                // CAST: The number of slots, a power of two below 2^32.
                let next_round = position.wrapping_add(self.slots.len() as u64);
                slot.turn.store(next_round, Release);
                return Some(id);
            }
        }
    }

    /// When the first answer is due; `None` if there is none.
    pub(crate) fn next_due_nsec(&self) -> Option<i64> {
        let position = self.head.load(Relaxed);
        let slot = self.slot(position)?;
        let is_posted = slot.turn.load(Acquire) == position.wrapping_add(1);
        is_posted.then(|| slot.due_nsec.load(Relaxed))
    }
}

/// The answers of a queue whose requests take times of their own: a place for each tag. Any number of CPUs post to it and
/// drain it at once, without a lock; but for one tag only one posts at a time, who has the request.
pub(crate) struct CompletionTable {
    places: KVVec<Place>,
}

struct Place {
    ticket: Atomic<u64>,
    /// When the answer is due, in nanoseconds of the table's clock; [`NEVER`] if there is none.
    due_nsec: Atomic<i64>,
}

/// A time that does not come.
pub(crate) const NEVER: i64 = i64::MAX;

impl CompletionTable {
    /// A table for the tags of the queue, on its NUMA node. May sleep.
    pub(crate) fn new(queue: &HwQueueInfo) -> Result<Self> {
        // CAST: `usize` is at least as wide as `u32`.
        let mut places = queue.vec_with_capacity(queue.depth as usize)?;
        for _ in 0..queue.depth {
            places.push(
                Place {
                    ticket: Atomic::new(0),
                    due_nsec: Atomic::new(NEVER),
                },
                GFP_KERNEL,
            )?;
        }
        Ok(Self { places })
    }

    /// Posts an answer that is due at `due_nsec`. `false` if there is no such tag.
    pub(crate) fn post(&self, id: CommandId, due_nsec: i64) -> bool {
        // CAST: `usize` is at least as wide as `u32`.
        let Some(place) = self.places.get(id.tag as usize) else {
            return false;
        };
        place.ticket.store(id.ticket, Relaxed);
        // Full: who posts looks at the timer then, and the timer at what was posted.
        place.due_nsec.xchg(due_nsec.min(NEVER - 1), Full);
        true
    }

    /// Takes an answer out that is due at `now_nsec`; looks from the tag `from` on, which it moves on.
    pub(crate) fn pop_due(&self, now_nsec: i64, from: &mut usize) -> Option<CommandId> {
        while let Some(place) = self.places.get(*from) {
            let tag = u32::try_from(*from).ok()?;
            *from = from.wrapping_add(1);
            let due_nsec = place.due_nsec.load(Relaxed);
            let is_due = due_nsec != NEVER && due_nsec <= now_nsec;
            if is_due && place.due_nsec.cmpxchg(due_nsec, NEVER, Full).is_ok() {
                let ticket = place.ticket.load(Relaxed);
                return Some(CommandId { tag, ticket });
            }
        }
        None
    }

    /// When the first answer is due; [`NEVER`] if there is none.
    pub(crate) fn next_due_nsec(&self) -> i64 {
        let due = self.places.iter().map(|place| place.due_nsec.load(Relaxed));
        due.min().unwrap_or(NEVER)
    }
}
