// SPDX-License-Identifier: GPL-2.0

//! rblk_planted: bugs on demand, one of each class that the debug kernel is to report. A kernel that says nothing
//! of one of them would say nothing of ours: `tests/debug/planted.sh`.
//!
//! Writing anything to `/sys/kernel/debug/rblk_planted/plant/NAME` plants the bug of that name.

use core::{
    hint::black_box,
    ptr, //
};
use kernel::{
    bindings,
    debugfs,
    macros::kunit_tests,
    new_mutex,
    new_spinlock,
    prelude::*,
    sync::{
        Mutex,
        SpinLock, //
    },
    types::Opaque,
    uaccess::UserSliceReader, //
};

module! {
    type: PlantedModule,
    name: "rblk_planted",
    authors: ["The rnullblk authors"],
    description: "Bugs that a debug kernel has to report",
    license: "GPL",
}

extern "C" {
    fn rblk_planted_shift(by: c_int) -> c_int;
    fn rblk_planted_index(number: c_int) -> c_int;
}

#[pin_data]
struct Locks {
    #[pin]
    one: SpinLock<u32>,
    #[pin]
    other: SpinLock<u32>,
    #[pin]
    sleeping: Mutex<u32>,
}

/// Reads the byte just beyond what was allocated.
fn read_beyond(start: *const u8, len: usize) {
    // SAFETY: None: it is the bug.
    black_box(unsafe { ptr::read_volatile(black_box(start).add(black_box(len))) });
}

fn slab_bounds(_: &Locks, _: &mut UserSliceReader) -> Result {
    let bytes = KVec::from_elem(1u8, 100, GFP_KERNEL)?;
    read_beyond(bytes.as_ptr(), bytes.len());
    Ok(())
}

fn vmalloc_bounds(_: &Locks, _: &mut UserSliceReader) -> Result {
    let bytes = VVec::from_elem(1u8, 4096, GFP_KERNEL)?;
    read_beyond(bytes.as_ptr(), bytes.len());
    Ok(())
}

fn stack_bounds(_: &Locks, _: &mut UserSliceReader) -> Result {
    let bytes = black_box([1u8; 100]);
    read_beyond(bytes.as_ptr(), bytes.len());
    Ok(())
}

fn use_after_free(_: &Locks, _: &mut UserSliceReader) -> Result {
    let value = KBox::new(1u8, GFP_KERNEL)?;
    let pointer: *const u8 = &*value;
    drop(value);
    read_beyond(pointer, 0);
    Ok(())
}

fn sleep_in_atomic(locks: &Locks, _: &mut UserSliceReader) -> Result {
    let _guard = locks.one.lock();
    *locks.sleeping.lock() += 1;
    Ok(())
}

fn lock_order(locks: &Locks, _: &mut UserSliceReader) -> Result {
    for (first, second) in [(&locks.one, &locks.other), (&locks.other, &locks.one)] {
        let mut guard = first.lock();
        *guard += *second.lock();
    }
    Ok(())
}

fn active_timer(_: &Locks, _: &mut UserSliceReader) -> Result {
    let timer = KBox::new(Opaque::<bindings::hrtimer>::uninit(), GFP_KERNEL)?;
    unsafe extern "C" fn expired(_timer: *mut bindings::hrtimer) -> bindings::hrtimer_restart {
        bindings::hrtimer_restart::HRTIMER_NORESTART
    }
    // SAFETY: The memory is there; that it is freed while the timer runs is the bug, which the kernel mends.
    unsafe {
        bindings::hrtimer_setup(
            timer.get(),
            Some(expired),
            bindings::CLOCK_MONOTONIC as bindings::clockid_t,
            bindings::hrtimer_mode_HRTIMER_MODE_REL,
        );
        bindings::hrtimer_start_range_ns(
            timer.get(),
            60_000_000_000,
            0,
            bindings::hrtimer_mode_HRTIMER_MODE_REL,
        );
    }
    Ok(())
}

fn leak(_: &Locks, _: &mut UserSliceReader) -> Result {
    for _ in 0..32 {
        black_box(KBox::into_raw(KBox::new([1u8; 200], GFP_KERNEL)?));
    }
    Ok(())
}

fn c_shift(_: &Locks, _: &mut UserSliceReader) -> Result {
    // SAFETY: What it does with 32 is the bug.
    black_box(unsafe { rblk_planted_shift(black_box(32)) });
    Ok(())
}

fn c_index(_: &Locks, _: &mut UserSliceReader) -> Result {
    // SAFETY: What it does with 4 is the bug.
    black_box(unsafe { rblk_planted_index(black_box(4)) });
    Ok(())
}

fn overflow(_: &Locks, text: &mut UserSliceReader) -> Result {
    let most = black_box(usize::MAX);
    black_box(most + text.len());
    Ok(())
}

fn debug_assertion(_: &Locks, text: &mut UserSliceReader) -> Result {
    debug_assert!(text.len() == black_box(usize::MAX));
    Ok(())
}

/// No bug: fails if there is no memory.
fn allocate(_: &Locks, _: &mut UserSliceReader) -> Result {
    KBox::new([1u8; 200], GFP_KERNEL)?;
    Ok(())
}

struct PlantedModule {
    _files: Pin<KBox<debugfs::Scope<Locks>>>,
}

impl kernel::Module for PlantedModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let locks = try_pin_init!(Locks {
            one <- new_spinlock!(0, "planted_one"),
            other <- new_spinlock!(0, "planted_other"),
            sleeping <- new_mutex!(0, "planted_sleeping"),
        });
        let debugfs = debugfs::Dir::new(c"rblk_planted");
        let files = debugfs.scope(locks, c"plant", |locks, dir| {
            dir.write_only_callback_file(c"slab_bounds", locks, &slab_bounds);
            dir.write_only_callback_file(c"vmalloc_bounds", locks, &vmalloc_bounds);
            dir.write_only_callback_file(c"stack_bounds", locks, &stack_bounds);
            dir.write_only_callback_file(c"use_after_free", locks, &use_after_free);
            dir.write_only_callback_file(c"sleep_in_atomic", locks, &sleep_in_atomic);
            dir.write_only_callback_file(c"lock_order", locks, &lock_order);
            dir.write_only_callback_file(c"active_timer", locks, &active_timer);
            dir.write_only_callback_file(c"leak", locks, &leak);
            dir.write_only_callback_file(c"c_shift", locks, &c_shift);
            dir.write_only_callback_file(c"c_index", locks, &c_index);
            dir.write_only_callback_file(c"overflow", locks, &overflow);
            dir.write_only_callback_file(c"debug_assertion", locks, &debug_assertion);
            dir.write_only_callback_file(c"allocate", locks, &allocate);
        });
        Ok(Self {
            _files: KBox::pin_init(files, GFP_KERNEL)?,
        })
    }
}

#[kunit_tests(rblk_planted)]
mod kunit {
    #[test]
    fn it_passes() {
        assert!(true);
    }

    #[test]
    fn it_fails() {
        assert!(core::hint::black_box(false));
    }
}
