// SPDX-License-Identifier: GPL-2.0

//! A log of writes: what was written in which order, and how each write changed the disk. So the disk can be put into
//! any state that it was in between two of them.
//!
//! A change is kept as old exclusive-or new: that makes the new of the old, and the old of the new.

#![forbid(unsafe_code)]

use crate::{
    limits::SECTOR_SHIFT,
    ramstore::{
        self,
        RamStore, //
    },
    request::Operation,
    segment::Segment,
    store::{
        Data,
        Store, //
    },
};
use core::{
    iter,
    num::NonZero, //
};
use kernel::{
    fmt, new_mutex,
    prelude::*,
    sync::{
        lock::{
            mutex::MutexBackend,
            Guard, //
        },
        Arc,
        Mutex, //
    },
};

const SECTOR_BYTES: usize = 1 << SECTOR_SHIFT;
const NOTHING: [u8; SECTOR_BYTES] = [0; SECTOR_BYTES];

/// So many writes are remembered for each MiB that the log has: as many as there is room for of 4 KiB.
const ENTRIES_PER_MIB: usize = 256;

/// A write, by what it asked for.
#[derive(Clone, Copy)]
pub(crate) struct Write {
    pub(crate) operation: Operation,
    pub(crate) is_fua: bool,
    pub(crate) sector: u64,
    /// 0 for a flush.
    pub(crate) bytes: u32,
}

#[derive(Clone, Copy)]
struct Entry {
    write: Write,
    /// Where its change begins, of all bytes that the log ever took.
    start: u64,
    /// CRC-32C of what it left on the disk.
    checksum: u32,
}

/// The log of a disk. It is changed by one write at a time.
#[pin_data]
pub(crate) struct WriteLog {
    #[pin]
    state: Mutex<State>,
}

/// The log, with all other writes kept off.
pub(crate) type Recording<'a> = Guard<'a, State, MutexBackend>;

pub(crate) struct State {
    /// The changes, a ring.
    changes: RamStore,
    /// The entries, a ring: each one at its number.
    entries: KVVec<Entry>,
    /// The numbers of the first and behind the last write that can be taken back. The first ever is 1.
    first: u64,
    next: u64,
    /// The disk is as it was after this one.
    at: u64,
    /// How many bytes the log has taken.
    end: u64,
}

impl WriteLog {
    /// A log with room for `mib` MiB of changes. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINTR` if the task is to end.
    pub(crate) fn new(mib: usize, node: i32) -> Result<Arc<Self>> {
        let nothing = Entry {
            write: Write {
                operation: Operation::Flush,
                is_fua: false,
                sector: 0,
                bytes: 0,
            },
            start: 0,
            checksum: 0,
        };
        let count = mib.checked_mul(ENTRIES_PER_MIB).ok_or(EOVERFLOW)?;
        let state = State {
            changes: RamStore::new(mib, node)?,
            entries: KVVec::from_elem(nothing, count, GFP_KERNEL)?,
            first: 1,
            next: 1,
            at: 0,
            end: 0,
        };
        Arc::pin_init(
            pin_init!(Self {
                state <- new_mutex!(state),
            }),
            GFP_KERNEL,
        )
    }

    /// How many MiB of changes it has room for.
    pub(crate) fn mib(&self) -> usize {
        self.state.lock().changes.mib()
    }

    /// Begins to record; see [`State::before`]. May sleep.
    pub(crate) fn record(&self) -> Recording<'_> {
        self.state.lock()
    }

    /// Forgets all writes. Their numbers go on.
    pub(crate) fn clear(&self) {
        self.state.lock().clear();
    }

    /// Puts the disk into the state after the write `number`. Nobody uses it.
    ///
    /// # Errors
    ///
    /// `ERANGE` if the log does not reach so far. `ENOSPC` if the store has no memory for it; then the log is empty, and the
    /// disk is in no such state.
    pub(crate) fn move_to(&self, store: &Store, number: u64) -> Result {
        let mut state = self.state.lock();
        state.check(number)?;
        state.move_to(store, number).inspect_err(|_| state.clear())
    }

    /// Whether there is such a state.
    ///
    /// # Errors
    ///
    /// `ERANGE`.
    pub(crate) fn check(&self, number: u64) -> Result {
        self.state.lock().check(number)
    }

    /// Writes after which write the disk is, and which are the first and the last after which it can be.
    pub(crate) fn show_states(&self, f: &mut dyn fmt::Write) -> fmt::Result {
        let state = self.state.lock();
        let (at, first, last) = (state.at, state.first, state.next);
        f.write_fmt(fmt!(
            "{at} {} {}\n",
            first.wrapping_sub(1),
            last.wrapping_sub(1)
        ))
    }
}

/// A line for each write.
impl fmt::Display for WriteLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.write_str("number operation sector sectors flags crc32c\n")?;
        for number in state.first..state.next {
            let Some(entry) = state.entry(number) else {
                break;
            };
            let Write {
                operation,
                is_fua,
                sector,
                bytes,
            } = entry.write;
            let operation = match operation {
                Operation::Write => "write",
                Operation::Discard => "discard",
                Operation::WriteZeroes => "zeroes",
                _ => "flush",
            };
            let flags = if is_fua { "fua" } else { "-" };
            let (sectors, checksum) = (bytes >> SECTOR_SHIFT, entry.checksum);
            f.write_fmt(fmt!(
                "{number} {operation} {sector} {sectors} {flags} {checksum:08x}\n"
            ))?;
        }
        Ok(())
    }
}

impl State {
    /// In bytes; there are some.
    fn capacity(&self) -> NonZero<u64> {
        // CAST: `u64` is as wide as `usize`.
        NonZero::new((self.changes.mib() as u64) << 20).unwrap_or(NonZero::<u64>::MIN)
    }

    fn place_of(&self, number: u64) -> usize {
        // CAST: `u64` is as wide as `usize`; the remainder fits.
        (number % (self.entries.len() as u64).max(1)) as usize
    }

    fn entry(&self, number: u64) -> Option<&Entry> {
        self.entries.get(self.place_of(number))
    }

    fn clear(&mut self) {
        self.next = self.at.wrapping_add(1);
        self.first = self.next;
    }

    fn check(&self, number: u64) -> Result {
        // There is a state before the first write, too.
        let is_there = (self.first..=self.next).contains(&number.wrapping_add(1));
        is_there.then_some(()).ok_or(ERANGE)
    }

    /// A write is about to be done. What was taken back is forgotten, and the oldest ones for which there is no room.
    ///
    /// # Errors
    ///
    /// `EIO` where the disk ends.
    pub(crate) fn before(&mut self, store: &Store, write: Write) -> Result {
        let (capacity, len) = (self.capacity(), u64::from(write.bytes));
        let number = self.next_number();
        let start = self.end;
        self.end = start.wrapping_add(len);
        if len > capacity.get() {
            // Neither it nor what came before can be taken back.
            self.first = self.next;
            return Ok(());
        }
        // CAST: `u64` is as wide as `usize`.
        let most = self.entries.len() as u64;
        while self.first < number {
            let oldest = self.entry(self.first).ok_or(EIO)?;
            if number.wrapping_sub(self.first) < most
                && self.end.wrapping_sub(oldest.start) <= capacity.get()
            {
                break;
            }
            self.first = self.first.wrapping_add(1);
        }
        let place = self.place_of(number);
        *self.entries.get_mut(place).ok_or(EIO)? = Entry {
            write,
            start,
            checksum: 0,
        };
        for_each_sector(&write, |position, offset| {
            let at = start.wrapping_add(offset) % capacity;
            store.copy_to(position, &self.changes, at, SECTOR_BYTES)
        })
    }

    /// The number of the next write.
    fn next_number(&mut self) -> u64 {
        let number = self.at.wrapping_add(1);
        if number < self.next {
            self.end = self.entry(number).map_or(self.end, |entry| entry.start);
        }
        self.at = number;
        self.next = number.wrapping_add(1);
        number
    }

    /// The write is done, or it failed: then it counts only if it changed something.
    ///
    /// # Errors
    ///
    /// `EIO` where the disk ends.
    pub(crate) fn after(&mut self, store: &Store, is_done: bool) -> Result {
        if self.at < self.first {
            return Ok(());
        }
        let Entry { write, start, .. } = *self.entry(self.at).ok_or(EIO)?;
        let capacity = self.capacity();
        let (mut checksum, mut counts) = (!0, is_done);
        for_each_sector(&write, |position, offset| {
            let at = start.wrapping_add(offset) % capacity;
            let (mut new, mut change) = (NOTHING, NOTHING);
            store.read(position, iter::once(Segment::of(&mut new)))?;
            self.changes
                .read(at, iter::once(Segment::of(&mut change)))?;
            checksum = ramstore::crc32c(checksum, &new);
            exclusive_or(&mut change, &new);
            counts |= change != NOTHING;
            self.changes.write(at, iter::once(Segment::of(&mut change)))
        })?;
        if !counts {
            self.next = self.at;
            self.at = self.at.wrapping_sub(1);
            self.end = start;
            return Ok(());
        }
        let place = self.place_of(self.at);
        self.entries.get_mut(place).ok_or(EIO)?.checksum = !checksum;
        Ok(())
    }

    fn move_to(&mut self, store: &Store, number: u64) -> Result {
        while self.at > number {
            self.change(store, self.at)?;
            self.at = self.at.wrapping_sub(1);
        }
        while self.at < number {
            let next = self.at.wrapping_add(1);
            self.change(store, next)?;
            self.at = next;
        }
        Ok(())
    }

    /// Does a write, or takes it back.
    fn change(&self, store: &Store, number: u64) -> Result {
        let Entry { write, start, .. } = *self.entry(number).ok_or(EIO)?;
        let capacity = self.capacity();
        for_each_sector(&write, |position, offset| {
            let at = start.wrapping_add(offset) % capacity;
            let (mut data, mut change) = (NOTHING, NOTHING);
            self.changes
                .read(at, iter::once(Segment::of(&mut change)))?;
            if change == NOTHING {
                // Writing may take memory that the store has not.
                return Ok(());
            }
            store.read(position, iter::once(Segment::of(&mut data)))?;
            exclusive_or(&mut data, &change);
            store.write(position, iter::once(Segment::of(&mut data)))
        })
    }
}

fn exclusive_or(to: &mut [u8; SECTOR_BYTES], from: &[u8; SECTOR_BYTES]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to ^= from);
}

/// Calls `f` with the position of each sector that was written, in bytes, on the disk and within the write.
fn for_each_sector(write: &Write, mut f: impl FnMut(u64, u64) -> Result) -> Result {
    let start = write.sector << SECTOR_SHIFT;
    for offset in (0..u64::from(write.bytes)).step_by(SECTOR_BYTES) {
        f(start.wrapping_add(offset), offset)?;
    }
    Ok(())
}
