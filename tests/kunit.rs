// SPDX-License-Identifier: GPL-2.0

//! KUnit suites of what needs no device: run when the module is loaded into a kernel with `CONFIG_KUNIT=y`, as the
//! debug kernel is. `tests/debug/kunit.sh` reads what came out.

use kernel::{
    macros::kunit_tests,
    prelude::*, //
};

/// Bytes that differ from their neighbours and from those a chunk further on.
fn pattern(len: usize) -> Result<KVVec<u8>> {
    let mut bytes = KVVec::with_capacity(len, GFP_KERNEL)?;
    for number in 0..len {
        // CAST: The lowest byte is meant.
        bytes.push((number.wrapping_mul(31) ^ (number >> 13)) as u8, GFP_KERNEL)?;
    }
    Ok(bytes)
}

#[kunit_tests(rnullblk_ramstore)]
mod ramstore {
    use super::*;
    use crate::{
        ramstore::RamStore,
        segment::Segment,
        tagset::NO_NODE, //
    };

    const MIB: u64 = 1 << 20;

    fn write(store: &RamStore, position: u64, bytes: &mut [u8]) -> Result {
        store.write(position, core::iter::once(Segment::of(bytes)))
    }

    fn read(store: &RamStore, position: u64, bytes: &mut [u8]) -> Result {
        store.read(position, core::iter::once(Segment::of(bytes)))
    }

    #[test]
    fn new_memory_is_zero() -> Result {
        let store = RamStore::new(2, NO_NODE)?;
        let mut bytes = pattern(4096)?;
        for position in [0, MIB - 2048, 2 * MIB - 4096] {
            bytes.iter_mut().for_each(|byte| *byte = 0xff);
            read(&store, position, &mut bytes)?;
            assert!(bytes.iter().all(|byte| *byte == 0));
        }
        Ok(())
    }

    #[test]
    fn what_is_written_is_read_across_chunks() -> Result {
        let store = RamStore::new(3, NO_NODE)?;
        let mut written = pattern(MIB as usize + 1024)?;
        write(&store, MIB - 512, &mut written)?;
        let mut found = pattern(written.len())?;
        found.iter_mut().for_each(|byte| *byte = 0);
        read(&store, MIB - 512, &mut found)?;
        assert!(*found == *written);
        // Nothing beside it.
        let mut beside = [1; 512];
        read(&store, MIB - 1024, &mut beside)?;
        assert!(beside == [0; 512]);
        read(&store, 2 * MIB + 512, &mut beside)?;
        assert!(beside == [0; 512]);
        Ok(())
    }

    #[test]
    fn segments_of_any_length_follow_each_other() -> Result {
        let store = RamStore::new(1, NO_NODE)?;
        let mut written = pattern(4096)?;
        let (first, rest) = written.split_at_mut(1);
        let (second, third) = rest.split_at_mut(2559);
        store.write(
            512,
            [Segment::of(first), Segment::of(second), Segment::of(third)].into_iter(),
        )?;
        let mut found = [0; 4096];
        read(&store, 512, &mut found)?;
        assert!(found[..] == written[..]);
        Ok(())
    }

    #[test]
    fn the_end_is_the_end() -> Result {
        let store = RamStore::new(1, NO_NODE)?;
        let mut bytes = [0x5a; 1024];
        assert!(write(&store, MIB, &mut bytes) == Err(EIO));
        assert!(write(&store, u64::MAX, &mut bytes) == Err(EIO));
        assert!(write(&store, u64::MAX - 511, &mut bytes) == Err(EIO));
        assert!(store.zero(MIB, 1) == Err(EIO));
        assert!(store.zero(0, usize::MAX) == Err(EIO));
        assert!(store.zero(MIB, 0) == Ok(()));
        // What lies before the end is written.
        assert!(write(&store, MIB - 512, &mut bytes) == Err(EIO));
        let mut found = [0; 512];
        read(&store, MIB - 512, &mut found)?;
        assert!(found == [0x5a; 512]);
        Ok(())
    }

    #[test]
    fn zeroed_is_what_was_named_only() -> Result {
        let store = RamStore::new(2, NO_NODE)?;
        let mut bytes = [0xa5; 3072];
        write(&store, MIB - 1536, &mut bytes)?;
        store.zero(MIB - 512, 1024)?;
        read(&store, MIB - 1536, &mut bytes)?;
        assert!(bytes[..1024].iter().all(|byte| *byte == 0xa5));
        assert!(bytes[1024..2048].iter().all(|byte| *byte == 0));
        assert!(bytes[2048..].iter().all(|byte| *byte == 0xa5));
        Ok(())
    }

    #[test]
    fn it_grows_with_zeroes_and_shrinks() -> Result {
        let mut store = RamStore::new(1, NO_NODE)?;
        let mut bytes = pattern(4096)?;
        write(&store, MIB - 4096, &mut bytes)?;
        // Meant for a store of another size.
        let mut too_little = RamStore::prepare_growth(2, 2, NO_NODE)?;
        assert!(store.grow(&mut too_little) == Err(EBUSY));
        assert!(store.mib() == 1);

        store.grow(&mut RamStore::prepare_growth(2, 3, NO_NODE)?)?;
        assert!(store.mib() == 3);
        let mut found = [0; 4096];
        read(&store, MIB - 4096, &mut found)?;
        assert!(found[..] == bytes[..]);
        read(&store, 3 * MIB - 4096, &mut found)?;
        assert!(found == [0; 4096]);

        let mut cut = RamStore::with_room(1)?;
        assert!(store.shrink(1, &mut cut) == Err(EBUSY));
        assert!(store.mib() == 3);
        let mut cut = RamStore::with_room(2)?;
        store.shrink(1, &mut cut)?;
        assert!((store.mib(), cut.mib()) == (1, 2));
        assert!(read(&store, MIB, &mut found) == Err(EIO));
        Ok(())
    }

    #[test]
    fn a_shared_one_keeps_its_size_and_its_memory_until_it_is_alone() -> Result {
        let mut store = RamStore::new(2, NO_NODE)?;
        let mut other = store.share()?;
        let third = other.share()?;
        let mut bytes = pattern(4096)?;
        write(&other, MIB - 2048, &mut bytes)?;
        drop(other);
        let mut found = [0; 4096];
        read(&store, MIB - 2048, &mut found)?;
        assert!(found[..] == bytes[..]);

        assert!(store.is_shared() && third.is_shared());
        let mut growth = RamStore::prepare_growth(1, 3, NO_NODE)?;
        assert!(store.grow(&mut growth) == Err(EBUSY));
        assert!(store.shrink(1, &mut RamStore::with_room(1)?) == Err(EBUSY));
        assert!(store.shrink(2, &mut RamStore::with_room(0)?) == Ok(()));
        drop(third);
        assert!(!store.is_shared());
        store.grow(&mut growth)?;
        assert!(store.mib() == 3);
        read(&store, MIB - 2048, &mut found)?;
        assert!(found[..] == bytes[..]);
        Ok(())
    }

    #[test]
    fn stores_are_copied_at_any_two_places() -> Result {
        let (from, to) = (RamStore::new(2, NO_NODE)?, RamStore::new(2, NO_NODE)?);
        let mut bytes = pattern(9000)?;
        write(&from, MIB - 4000, &mut bytes)?;
        to.copy_from(MIB - 7000, &from, MIB - 4000, 9000)?;
        let mut found = pattern(9000)?;
        read(&to, MIB - 7000, &mut found)?;
        assert!(*found == *bytes);
        assert!(to.copy_from(2 * MIB - 10, &from, 0, 11) == Err(EIO));
        assert!(to.copy_from(0, &from, 2 * MIB - 10, 11) == Err(EIO));
        Ok(())
    }
}

#[kunit_tests(rnullblk_latency)]
mod latency {
    use crate::{
        faults::mix,
        latency::{
            bell,
            minus_log,
            Shape,
            Spread, //
        },
    };

    const COUNT: u64 = 20_000;

    fn mean(f: impl Fn(u64) -> i64) -> i64 {
        let sum: i64 = (0..COUNT).map(|number| f(mix(number))).sum();
        sum / COUNT as i64
    }

    fn shape(spread: Spread) -> Shape {
        Shape {
            spread,
            ..Shape::DEFAULT
        }
    }

    /// Within 4 of 65536 of the right value.
    #[test]
    fn the_logarithm_is_right() {
        for (dice, expected) in [
            (u64::MAX, 0),
            (1 << 63, 45_426),
            (3 << 62, 18_854),
            (1 << 62, 90_852),
            (1 << 32, 1_453_635),
            (1, 2_907_270),
            (0, 2_907_270),
        ] {
            assert!(minus_log(dice).abs_diff(expected) <= 4 + expected as u64 / 10_000);
        }
        assert!(mean(minus_log).abs_diff(1 << 16) < 1500);
    }

    /// Mean 0, deviation 2^16, within 2 percent.
    #[test]
    fn the_bell_is_one() {
        assert!(mean(bell).unsigned_abs() < 1300);
        let square = |dice| (bell(dice) >> 8) * (bell(dice) >> 8);
        assert!(mean(square).abs_diff(1 << 16) < 2600);
    }

    #[test]
    fn shapes() {
        let uniform = shape(Spread::Uniform {
            min_nsec: 100,
            max_nsec: 103,
        });
        let mut seen = [0; 4];
        for number in 0..1000 {
            let nsec = uniform.nsec(number, mix(number), 7);
            assert!((100..=103).contains(&nsec));
            seen[(nsec - 100) as usize] += 1;
        }
        assert!(seen.iter().all(|count| *count > 150));
        assert!(shape(Spread::Fixed { nsec: 5 }).nsec(1, 2, 7) == 5);
        assert!(Shape::DEFAULT.nsec(1, 2, 7) == 7);
        let bell = shape(Spread::Normal {
            mean_nsec: 10,
            deviation_nsec: 1_000_000_000_000,
        });
        assert!((0..1000).all(|number| bell.nsec(number, mix(number), 7) >= 0));
        let longest = shape(Spread::Exponential {
            mean_nsec: 1_000_000_000_000,
        });
        assert!(longest.nsec(1, 0, 7) > 44_000_000_000_000);
    }

    #[test]
    fn exceptions() {
        let every = Shape {
            every: 3,
            exception_nsec: 9,
            ..Shape::DEFAULT
        };
        for (number, expected) in [(1, 7), (2, 7), (3, 9), (4, 7), (6, 9)] {
            assert!(every.nsec(number, mix(number), 7) == expected);
        }
        let percent = Shape {
            percent: 20,
            exception_nsec: 9,
            ..Shape::DEFAULT
        };
        let struck = (0..10_000).filter(|number| percent.nsec(*number, mix(*number), 7) == 9);
        assert!((1800..2200).contains(&struck.count()));
    }
}

#[kunit_tests(rnullblk_silent)]
mod silent {
    use crate::silent::elsewhere;

    #[test]
    fn elsewhere_is_another_place_within_the_range() {
        for (sectors, range, block, places) in [
            (8..17, 0..64, 8, 4),
            (8..17, 3..64, 8, 4),
            (8..17, 0..17, 1, 0),
            (8..17, 0..30, 1, 5),
            (20..29, 0..64, 1, 39),
            (20..29, 15..64, 1, 27),
        ] {
            let mut seen = 0;
            for dice in 0..1000 {
                let Some(place) = elsewhere(&sectors, range.clone(), block, dice) else {
                    continue;
                };
                assert!(place >= range.start && place + 9 <= range.end);
                assert!(place + 9 <= sectors.start || place >= sectors.end);
                assert!(place % block == 0);
                seen |= 1_u64 << place;
            }
            assert!(seen.count_ones() == places);
        }
        // No other place, or none at all.
        for range in [8..16, 8..15, 9..16, 16..8, u64::MAX - 4..u64::MAX] {
            assert!(elsewhere(&(8..16), range, 8, 5).is_none());
        }
        assert!(elsewhere(&(8..16), 0..16, 8, 1) == Some(0));
    }
}

#[kunit_tests(rnullblk_thinstore)]
mod thinstore {
    use super::*;
    use crate::{
        faults::mix,
        segment::Segment,
        tagset::NO_NODE,
        thinstore::ThinStore, //
    };
    use kernel::page::PAGE_SIZE;

    const MIB: usize = 1 << 20;

    fn write(store: &ThinStore, position: usize, bytes: &mut [u8]) -> Result {
        store.write(position as u64, core::iter::once(Segment::of(bytes)))
    }

    fn read(store: &ThinStore, position: usize, bytes: &mut [u8]) -> Result {
        store.read(position as u64, core::iter::once(Segment::of(bytes)))
    }

    /// A store, and what it should have in the `WINDOW` bytes from `start` on, across the end of a table.
    struct Modelled {
        store: ThinStore,
        model: KVVec<u8>,
    }

    const WINDOW: usize = 64 * PAGE_SIZE;

    impl Modelled {
        fn new(mib: usize) -> Result<Self> {
            Ok(Self {
                store: ThinStore::new(mib, NO_NODE)?,
                model: KVVec::from_elem(0, WINDOW, GFP_KERNEL)?,
            })
        }

        fn try_clone(&self) -> Result<Self> {
            let mut model = KVVec::with_capacity(WINDOW, GFP_KERNEL)?;
            model.extend_from_slice(&self.model, GFP_KERNEL)?;
            Ok(Self {
                store: self.store.try_clone()?,
                model,
            })
        }

        fn change(&mut self, start: usize, dice: u64) -> Result {
            // CAST: What is cut off is not needed.
            let at = (mix(dice) as usize % WINDOW) & !511;
            let len = ((mix(dice ^ 1) as usize % (9 * PAGE_SIZE)) & !511).min(WINDOW - at);
            let part = &mut self.model[at..at + len];
            if dice % 3 == 0 {
                part.fill(0);
                self.store.zero((start + at) as u64, len)
            } else {
                part.fill(dice as u8);
                write(&self.store, start + at, part)
            }
        }

        fn is_right(&self, start: usize) -> Result<bool> {
            let mut found = KVVec::from_elem(1, WINDOW, GFP_KERNEL)?;
            read(&self.store, start, &mut found)?;
            Ok(*found == *self.model)
        }
    }

    /// Writes, zeroes, copies, and the end of copies, in random order.
    #[test]
    fn copies_have_a_life_of_their_own() -> Result {
        for seed in 0..4 {
            // Within a table, and across the ends of tables of both levels.
            for start in [0, 2 * MIB - WINDOW / 2, 1024 * MIB - WINDOW / 2] {
                let mut stores = KVec::new();
                stores.push(Modelled::new(2048)?, GFP_KERNEL)?;
                for step in 0..150 {
                    let dice = mix(seed << 32 | step);
                    // CAST: What is cut off is not needed.
                    let which = (dice >> 32) as usize % stores.len();
                    match dice % 16 {
                        0 if stores.len() < 5 => {
                            let copy = stores[which].try_clone()?;
                            stores.push(copy, GFP_KERNEL)?;
                        }
                        1 if stores.len() > 1 => {
                            let _ = stores.remove(which);
                        }
                        _ => stores[which].change(start, dice)?,
                    }
                }
                for store in &stores {
                    assert!(store.is_right(start)?);
                }
                let usage = stores[0].store.usage();
                assert!(usage.kib() != 0);
                drop(stores);
                assert!(usage.kib() == 0);
            }
        }
        Ok(())
    }

    #[test]
    fn memory_is_that_of_what_was_written() -> Result {
        let store = ThinStore::new(1 << 30, NO_NODE)?;
        let usage = store.usage();
        let kib = |pages: usize| pages * PAGE_SIZE >> 10;
        let mut bytes = [1; 512];
        read(&store, MIB, &mut bytes)?;
        assert!(bytes == [0; 512] && usage.kib() == 0);
        // A page, and two tables.
        write(&store, (1 << 50) - 512, &mut [1; 512])?;
        assert!(usage.kib() == kib(3));
        let copy = store.try_clone()?;
        assert!(usage.kib() == kib(3));
        // Each of them again.
        write(&copy, (1 << 50) - 512, &mut [2; 512])?;
        assert!(usage.kib() == kib(6));
        copy.zero((1 << 50) - PAGE_SIZE as u64, PAGE_SIZE)?;
        assert!(usage.kib() == kib(5));
        // The whole of a table goes at once.
        copy.zero((1 << 50) - (2 << 20), 2 << 20)?;
        assert!(usage.kib() == kib(4));
        drop(copy);
        assert!(usage.kib() == kib(3));
        read(&store, (1 << 50) - 512, &mut bytes)?;
        assert!(bytes == [1; 512]);
        Ok(())
    }

    #[test]
    fn its_end_is_the_end() -> Result {
        let store = ThinStore::new(1, NO_NODE)?;
        let mut bytes = [1; 1024];
        assert!(write(&store, MIB - 512, &mut bytes) == Err(EIO));
        assert!(read(&store, MIB - 512, &mut bytes) == Err(EIO));
        assert!(store.zero((MIB - 512) as u64, 1024) == Err(EIO));
        assert!(read(&store, usize::MAX, &mut bytes) == Err(EIO));
        assert!(store.usage().kib() == 0);
        Ok(())
    }

    #[test]
    fn no_more_than_its_limit() -> Result {
        let store = ThinStore::new(64, NO_NODE)?;
        store.usage().set_limit(Some(1), &());
        let mut bytes = pattern(MIB)?;
        assert!(write(&store, 0, &mut bytes) == Err(ENOSPC));
        assert!(store.usage().kib() == MIB >> 10);
        // What is there can be written.
        write(&store, 0, &mut [3; 512])?;
        store.zero(0, MIB)?;
        assert!(store.usage().kib() < 16);
        write(&store, 32 << 20, &mut bytes[..MIB / 2])?;
        Ok(())
    }
}

#[kunit_tests(rnullblk_cache)]
mod cache {
    use super::*;
    use crate::{
        cache::{
            PowerCut,
            WriteCache, //
        },
        faults::mix,
        segment::Segment,
        store::{
            Data,
            Store,
            StoreKind, //
        },
        tagset::NO_NODE, //
    };
    use kernel::page::PAGE_SIZE;

    const SLOTS: usize = (1 << 20) / PAGE_SIZE;
    const PAGES: usize = 3 * SLOTS;

    /// A page somewhere on a disk of 1 TiB, each number another one.
    fn position_of(page: usize) -> u64 {
        (page as u64 * 77_777) % (1 << 28) * PAGE_SIZE as u64
    }

    fn fill(store: &Store, position: u64, bytes: &mut [u8]) -> Result {
        // SAFETY: The bytes stay as long as the segment.
        let segment = unsafe { Segment::from_raw(bytes.as_mut_ptr(), bytes.len()) };
        store.write(position, core::iter::once(segment))
    }

    fn write(store: &Store, page: usize, byte: u8) -> Result {
        fill(store, position_of(page) + 512, &mut [byte; 512])
    }

    fn read(store: &Store, page: usize) -> Result<u8> {
        let mut bytes = [0xff; 512];
        // SAFETY: As above.
        let segment = unsafe { Segment::from_raw(bytes.as_mut_ptr(), bytes.len()) };
        store.read(position_of(page) + 512, core::iter::once(segment))?;
        Ok(bytes[511])
    }

    /// Writes with and without FUA, and flushes, in random order: what is left is what the pages were when they became
    /// durable, also those that were pushed out.
    #[test]
    fn what_is_durable_is_left() -> Result {
        for seed in 0..8_u64 {
            let store = Store::new(StoreKind::Thin, 1 << 20, NO_NODE)?;
            let cache = WriteCache::new(1, NO_NODE)?;
            // Of each page what it is, what it is without power, and the last slot that it had.
            let mut pages = KVVec::from_elem((0_u8, None, 0), PAGES, GFP_KERNEL)?;
            let mut slots = [0; SLOTS];
            let mut next = 0;
            for step in 0..4000 {
                let dice = mix(seed << 32 | step);
                // CAST: What is cut off is not needed.
                let (page, byte) = ((dice >> 32) as usize % PAGES, dice as u8);
                match dice % 1000 {
                    0 => {
                        cache.flush();
                        pages.iter_mut().for_each(|page| page.1 = None);
                    }
                    1..100 => {
                        write(&store, page, byte)?;
                        cache.after_write(&store, position_of(page) + 512, 512, 0)?;
                        let (now, durable, _) = &mut pages[page];
                        *now = byte;
                        *durable = durable.map(|_| byte);
                    }
                    _ => {
                        cache.before_write(&store, position_of(page) + 512, 512)?;
                        write(&store, page, byte)?;
                        if pages[page].1.is_none() {
                            let pushed_out: usize = core::mem::replace(&mut slots[next], page);
                            if pages[pushed_out].2 == next {
                                pages[pushed_out].1 = None;
                            }
                            pages[page].1 = Some(pages[page].0);
                            pages[page].2 = next;
                            next = (next + 1) % SLOTS;
                        }
                        pages[page].0 = byte;
                    }
                }
            }
            cache.lose(&store, PowerCut::CLEAN, 512)?;
            for (page, (now, durable, _)) in pages.iter().enumerate() {
                assert!(read(&store, page)? == durable.unwrap_or(*now));
            }
        }
        Ok(())
    }

    /// A flush comes while sector 0 is written, and then a write of sector 1: without power sector 0 is not half written. With
    /// other pages noted meanwhile, and more of them than there are slots.
    #[test]
    fn a_sector_is_not_torn_by_a_flush_and_another_write() -> Result {
        for others in [0, 1, SLOTS - 1, SLOTS, 3 * SLOTS] {
            let store = Store::new(StoreKind::Thin, 1 << 20, NO_NODE)?;
            let cache = WriteCache::new(1, NO_NODE)?;
            let at = |offset: usize| position_of(1) + offset as u64;
            let notes = cache.before_write(&store, at(0), 512)?;
            cache.flush();
            fill(&store, at(0), &mut [1; 256])?;
            for other in 0..others {
                cache.before_write(&store, position_of(2 + other), 512)?;
            }
            let their_notes = cache.before_write(&store, at(512), 512)?;
            fill(&store, at(256), &mut [1; 256])?;
            cache.after_write(&store, at(0), 512, notes)?;
            fill(&store, at(512), &mut [2; 512])?;
            cache.after_write(&store, at(512), 512, their_notes)?;
            cache.lose(&store, PowerCut::CLEAN, 512)?;
            let mut bytes = [0xff; 1024];
            // SAFETY: As above.
            let segment = unsafe { Segment::from_raw(bytes.as_mut_ptr(), bytes.len()) };
            store.read(at(0), core::iter::once(segment))?;
            assert!(bytes[..512] == [1; 512]);
            assert!(bytes[512..] == [0; 512]);
        }
        Ok(())
    }

    /// However often a page is noted: if each time lengthened what is to be searched, this would take long.
    #[test]
    fn a_page_that_is_written_again_and_again_is_there_once() -> Result {
        let store = Store::new(StoreKind::Thin, 1 << 20, NO_NODE)?;
        let cache = WriteCache::new(64, NO_NODE)?;
        for _ in 0..4 * 64 * SLOTS {
            cache.before_write(&store, position_of(1), 512)?;
            cache.flush();
        }
        cache.before_write(&store, position_of(1), 512)?;
        write(&store, 1, 1)?;
        cache.lose(&store, PowerCut::CLEAN, 512)?;
        assert!(read(&store, 1)? == 0);
        Ok(())
    }

    #[test]
    fn a_history_has_what_was_there_before_the_last_write() -> Result {
        let store = Store::new(StoreKind::Linear, 4, NO_NODE)?;
        let history = WriteCache::new(1, NO_NODE)?;
        for byte in 1..4 {
            history.remember(&store, PAGE_SIZE as u64, PAGE_SIZE)?;
            let mut bytes = [byte; 512];
            // SAFETY: As above.
            let segment = unsafe { Segment::from_raw(bytes.as_mut_ptr(), bytes.len()) };
            store.write(PAGE_SIZE as u64, core::iter::once(segment))?;
        }
        let old_byte = || {
            let mut old_byte = None;
            history.for_each_old(PAGE_SIZE as u64, 512, |_, old, at, _| {
                let mut bytes = [0xff; 512];
                // SAFETY: As above.
                let segment = unsafe { Segment::from_raw(bytes.as_mut_ptr(), bytes.len()) };
                old.read(at, core::iter::once(segment))?;
                old_byte = Some(bytes[0]);
                Ok(())
            })?;
            Ok::<_, Error>(old_byte)
        };
        assert!(old_byte()? == Some(2));
        // Nor does it find another page's.
        assert!(!history.for_each_old(0, 512, |_, _, _, _| Ok(()))?);
        // It is as long as it is.
        for page in 0..SLOTS - 1 {
            let page = 2 + page as u64;
            history.remember(&store, page * PAGE_SIZE as u64, PAGE_SIZE)?;
        }
        assert!(old_byte()? == Some(2));
        history.remember(&store, 0, PAGE_SIZE)?;
        assert!(old_byte()?.is_none());
        Ok(())
    }
}

#[kunit_tests(rnullblk_segment)]
mod segment {
    use crate::segment::{
        first_bytes,
        Segment,
        ToDevice, //
    };

    #[test]
    fn the_first_bytes_of_segments() {
        let mut bytes = [0; 100];
        let start = bytes.as_mut_ptr();
        let lengths = |len| {
            // SAFETY: They are never looked into.
            let all = [30, 20, 50].map(|len| unsafe { Segment::<ToDevice>::from_raw(start, len) });
            let mut lengths = [0; 3];
            for (found, segment) in lengths.iter_mut().zip(first_bytes(all.into_iter(), len)) {
                *found = segment.len();
            }
            lengths
        };
        assert!(lengths(0) == [0, 0, 0]);
        assert!(lengths(30) == [30, 0, 0]);
        assert!(lengths(31) == [30, 1, 0]);
        assert!(lengths(100) == [30, 20, 50]);
        assert!(lengths(usize::MAX) == [30, 20, 50]);
    }
}

#[kunit_tests(rnullblk_ticket)]
mod ticket {
    use crate::request::next_ticket;

    #[test]
    fn it_is_never_the_same_and_never_odd() {
        let mut ticket = 7 << 32;
        for parking in 1..1000 {
            ticket = next_ticket(ticket);
            assert!(ticket == (7 << 32) + 2 * parking);
        }
    }

    #[test]
    fn after_the_last_comes_the_first_of_the_same_request() {
        assert!(next_ticket((7 << 32) | 0xffff_fffe) == 7 << 32);
        assert!(next_ticket(u64::MAX - 1) == 0xffff_ffff_0000_0000);
    }

    #[test]
    fn a_parked_one_gives_the_same_as_before() {
        assert!(next_ticket((7 << 32) | 1) == (7 << 32) | 2);
    }
}

#[kunit_tests(rnullblk_completion_ring)]
mod completion_ring {
    use super::*;
    use crate::{
        completion::CompletionRing,
        queue::HwQueueInfo,
        request::CommandId,
        tagset::NO_NODE, //
    };

    fn ring(answers: u32) -> Result<CompletionRing> {
        let queue = HwQueueInfo {
            index: 0,
            numa_node: NO_NODE,
            depth: answers,
            is_new: true,
        };
        CompletionRing::new(answers, &queue)
    }

    fn id(number: u32) -> CommandId {
        CommandId {
            tag: number,
            ticket: u64::from(number) << 33,
        }
    }

    #[test]
    fn answers_come_when_they_are_due_and_in_order() -> Result {
        let ring = ring(4)?;
        assert!(ring.pop_due(i64::MAX).is_none());
        assert!(ring.next_due_nsec().is_none());
        assert!(ring.post(id(1), 100));
        assert!(ring.post(id(2), 200));
        assert!(ring.next_due_nsec() == Some(100));
        assert!(ring.pop_due(99).is_none());
        assert!(ring.pop_due(100) == Some(id(1)));
        assert!(ring.next_due_nsec() == Some(200));
        assert!(ring.pop_due(199).is_none());
        assert!(ring.pop_due(i64::MAX) == Some(id(2)));
        assert!(ring.pop_due(i64::MAX).is_none());
        Ok(())
    }

    #[test]
    fn a_full_ring_takes_no_more() -> Result {
        // The next power of two: four.
        let ring = ring(3)?;
        for round in 0..100 {
            for number in 0..4 {
                assert!(ring.post(id(round * 4 + number), 0));
            }
            assert!(!ring.post(id(9999), 0));
            for number in 0..4 {
                assert!(ring.pop_due(0) == Some(id(round * 4 + number)));
            }
            assert!(ring.pop_due(0).is_none());
        }
        Ok(())
    }

    #[test]
    fn more_than_there_can_be_is_refused() {
        assert!(ring(u32::MAX).err() == Some(EINVAL));
    }
}

#[kunit_tests(rnullblk_throttle)]
mod throttle {
    use crate::throttle::Throttle;

    const MSEC: i64 = 1_000_000;

    #[test]
    fn no_limit_is_no_throttle() {
        assert!(Throttle::new(0).is_none());
    }

    #[test]
    fn an_idle_device_lets_a_burst_pass() {
        // 1 MiB in 10 ms.
        let throttle = Throttle::new(100);
        let wait = |bytes, at| {
            throttle
                .as_ref()
                .map(|throttle| throttle.wait_nsec(bytes, at))
        };
        let start = 1_000 * MSEC;
        // The burst is 20 ms.
        assert!(wait(1 << 20, start) == Some(0));
        assert!(wait(1 << 20, start) == Some(0));
        assert!(wait(1 << 20, start) == Some(10_000_000));
        assert!(wait(1 << 20, start) == Some(20_000_000));
        // Those who come later wait so much less.
        assert!(wait(1 << 20, start + 5 * MSEC) == Some(25_000_000));
        // What nobody used is not saved up.
        assert!(wait(1 << 20, start + 10_000 * MSEC) == Some(0));
        assert!(wait(2 << 20, start + 10_000 * MSEC) == Some(10_000_000));
    }

    #[test]
    fn who_waits_is_behind() {
        let throttle = Throttle::new(1);
        let Some(throttle) = &throttle else {
            assert!(false);
            return;
        };
        assert!(!throttle.is_behind(1_000 * MSEC));
        throttle.wait_nsec(1 << 20, 1_000 * MSEC);
        // It is ready at 1980 ms, and its timer may be a second late.
        assert!(throttle.is_behind(2_979 * MSEC));
        assert!(!throttle.is_behind(2_980 * MSEC));
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        for mib in [1, u32::MAX] {
            let throttle = Throttle::new(mib);
            for now in [0, i64::MAX / 2, i64::MAX] {
                for _ in 0..4 {
                    let wait = throttle
                        .as_ref()
                        .map(|limit| limit.wait_nsec(u32::MAX, now));
                    assert!(wait.is_some());
                }
            }
        }
    }
}

#[kunit_tests(rnullblk_faults)]
mod faults {
    use crate::faults::{
        Fault,
        FaultOptions, //
    };

    fn fault(interval: u32, probability_percent: u32, space_bytes: u32, times: i32) -> Fault {
        Fault::new(FaultOptions {
            interval,
            probability_percent,
            space_bytes,
            times,
        })
    }

    fn strikes(fault: &Fault, chances: usize) -> usize {
        (0..chances).filter(|_| fault.strikes(4096)).count()
    }

    #[test]
    fn it_strikes_as_often_as_it_may() {
        assert!(strikes(&fault(1, 0, 0, -1), 100) == 0);
        assert!(strikes(&fault(1, 100, 0, -1), 100) == 100);
        assert!(strikes(&fault(10, 100, 0, -1), 100) == 10);
        assert!(strikes(&fault(1, 100, 0, 3), 100) == 3);
        assert!(strikes(&fault(1, 100, 0, 0), 100) == 0);
        // So many bytes go by first.
        assert!(strikes(&fault(1, 100, 5 * 4096, -1), 100) == 95);
        let about_half = strikes(&fault(1, 50, 0, -1), 10_000);
        assert!((4_800..5_200).contains(&about_half));
    }

    #[test]
    fn the_same_seed_gives_the_same() {
        let (one, other) = (fault(1, 30, 0, -1), fault(1, 30, 0, -1));
        let mut differ = 0;
        for seed in [1, 2, u64::MAX] {
            one.sow(seed);
            other.sow(seed);
            for _ in 0..1000 {
                assert!(one.strikes(1) == other.strikes(1));
            }
            other.sow(seed.wrapping_add(1));
            differ += (0..1000)
                .filter(|_| one.strikes(1) != other.strikes(1))
                .count();
        }
        assert!(differ > 500);
    }

    /// What one seed does is not what the next one does a chance earlier, nor what another fault does.
    #[test]
    fn another_seed_is_no_shift() {
        let (one, other) = (fault(1, 50, 0, -1), fault(1, 50, 0, -1));
        for shift in 1..20 {
            one.sow(7);
            other.sow(7 + shift);
            for _ in 0..shift {
                let _ = one.strikes(1);
            }
            let same = (0..1000)
                .filter(|_| one.strikes(1) == other.strikes(1))
                .count();
            assert!(same < 700);
        }
    }
}

#[kunit_tests(rnullblk_values)]
mod values {
    use super::*;
    use crate::values::{
        Allowed,
        Value, //
    };

    fn number(allowed: &Allowed, text: &CStr) -> Result<i64> {
        allowed.parse(text).map(|Value([number, ..])| number)
    }

    #[test]
    fn switches() {
        for on in [c"1", c"y", c"YES", c"On", c"t", c"TRUE"] {
            assert!(number(&Allowed::Switch, on) == Ok(1));
        }
        for off in [c"0", c"n", c"no", c"OFF", c"f", c"False"] {
            assert!(number(&Allowed::Switch, off) == Ok(0));
        }
        for neither in [c"", c"2", c"1.5", c" 1", c"yess", c"-1", c"\xff"] {
            assert!(number(&Allowed::Switch, neither) == Err(EINVAL));
        }
    }

    #[test]
    fn ranges() {
        let range = Allowed::Range(-5, 1000);
        for (text, value) in [
            (c"-5", -5),
            (c"0x10", 16),
            (c"010", 8),
            (c"1000", 1000),
            (c"+7", 7),
        ] {
            assert!(number(&range, text) == Ok(value));
        }
        for beyond in [
            c"-6",
            c"1001",
            c"9223372036854775808",
            c"-9223372036854775809",
        ] {
            assert!(number(&range, beyond) == Err(ERANGE));
        }
        for wrong in [c"", c"x", c"1k", c"1 2", c"0x", c"--1"] {
            assert!(number(&range, wrong) == Err(EINVAL));
        }
    }

    #[test]
    fn powers_of_two() {
        let power = Allowed::PowerOfTwo(512, 4096);
        assert!(number(&power, c"512") == Ok(512));
        assert!(number(&power, c"4096") == Ok(4096));
        for wrong in [
            c"0",
            c"256",
            c"513",
            c"8192",
            c"-512",
            c"-9223372036854775808",
        ] {
            assert!(number(&power, wrong) == Err(ERANGE));
        }
    }

    #[test]
    fn nodes_and_sectors() {
        assert!(number(&Allowed::Node, c"-1") == Ok(-1));
        assert!(number(&Allowed::Node, c"0") == Ok(0));
        for wrong in [c"-2", c"1023", c"99999", c"4294967296"] {
            assert!(number(&Allowed::Node, wrong) == Err(ERANGE));
        }
        assert!(number(&Allowed::Sectors, c"0") == Ok(0));
        assert!(number(&Allowed::Sectors, c"8") == Ok(8));
        assert!(number(&Allowed::Sectors, c"7") == Err(ERANGE));
    }

    #[test]
    fn words() {
        let words = Allowed::Words(&["linear", "thin"]);
        assert!(number(&words, c"linear") == Ok(0));
        assert!(number(&words, c"thin") == Ok(1));
        for wrong in [c"", c"thi", c"thinner", c"1", c"linear thin"] {
            assert!(number(&words, wrong) == Err(EINVAL));
        }
    }

    #[test]
    fn silent_faults() {
        let parse = |text| {
            Allowed::SilentFault
                .parse(text)
                .map(|Value(numbers)| numbers)
        };
        assert!(parse(c"1,100,0,-1") == Ok([1, 100, 0, -1, 0, 0]));
        assert!(parse(c"1,100,0,-1 8-15") == Ok([1, 100, 0, -1, 8, 8]));
        for wrong in [
            c"",
            c"1,2,3",
            c"8-15",
            c"1,1,0,-1 8",
            c"1,1,0,-1 8-15 r",
            c"1,1,0,-1 -8",
        ] {
            assert!(parse(wrong) == Err(EINVAL));
        }
        for beyond in [
            c"1,101,0,-1 8-15",
            c"1,1,0,-1 9-8",
            c"1,1,0,-1 0-18014398509481984",
        ] {
            assert!(parse(beyond) == Err(ERANGE));
        }
    }

    #[test]
    fn faults() {
        let parse = |text| Allowed::Fault.parse(text).map(|Value(numbers)| numbers);
        assert!(parse(c"1,100,0,-1") == Ok([1, 100, 0, -1, 0, 0]));
        assert!(parse(c" 1 , 2,3 ,4 ") == Ok([1, 2, 3, 4, 0, 0]));
        for wrong in [c"", c"1", c"1,2,3", c"1,2,3,4,5", c"1,2,3,x", c"1,,3,4"] {
            assert!(parse(wrong) == Err(EINVAL));
        }
        for beyond in [
            c"1,101,0,-1",
            c"-1,1,0,0",
            c"1,1,-1,0",
            c"1,1,0,-2",
            c"1,1,2147483648,0",
        ] {
            assert!(parse(beyond) == Err(ERANGE));
        }
    }
}
