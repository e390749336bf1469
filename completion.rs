// SPDX-License-Identifier: GPL-2.0

//! The completion ring of a hardware queue: the answers that the device will give, in the order
//! of their times.
//!
//! As with hardware, an answer is no more than the [`CommandId`] of the command; whoever drains
//! the ring, the queue's timer or its poller, takes the request by it.

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
