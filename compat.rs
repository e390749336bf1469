// SPDX-License-Identifier: GPL-2.0

//! Where kernels differ: one item for each difference, and no other file knows of it. Kbuild says which kernel it is.

// Each driver uses its part.
#![allow(dead_code, unused_imports, unused_macros)]

use crate::bindings;
use kernel::prelude::*;

/// How many bytes of the iterator's current element are already done.
#[inline(always)]
pub(crate) fn bvec_iter_done(iter: &bindings::bvec_iter) -> u32 {
    #[cfg(KERNEL_BEFORE_7_3)]
    return iter.bi_bvec_done;
    #[cfg(not(KERNEL_BEFORE_7_3))]
    return iter.bi_offset;
}

/// Initialises the value at `slot`.
///
/// # Safety
///
/// `slot` must be valid for writes, and the value must not be moved until it is dropped.
pub(crate) unsafe fn pin_init_at<T>(slot: *mut T, init: impl PinInit<T, Error>) -> Result {
    // SAFETY: By the requirement of this function. On an error nobody uses the slot.
    unsafe {
        #[cfg(KERNEL_BEFORE_7_3)]
        return init.__pinned_init(slot);
        #[cfg(not(KERNEL_BEFORE_7_3))]
        return init.__init(slot);
    }
}

/// Makes a hardware queue that is used again forget that its last CPU went offline in its earlier life. Before 7.3 blk-mq
/// does not: who allocates a request there then tries again for ever, and so keeps the queue from being frozen.
///
/// # Safety
///
/// `hctx` must be a hardware queue that is being initialised.
pub(crate) unsafe fn forget_offline_cpu(hctx: *mut bindings::blk_mq_hw_ctx) {
    #[cfg(KERNEL_BEFORE_7_3)]
    // SAFETY: By the requirement of this function.
    unsafe {
        bindings::clear_bit(
            bindings::BLK_MQ_S_INACTIVE as usize,
            &raw mut (*hctx).__bindgen_anon_1.state,
        );
    }
    #[cfg(not(KERNEL_BEFORE_7_3))]
    let _ = hctx;
}

#[cfg(KERNEL_BEFORE_7_3)]
pub(crate) use bindings::hrtimer_restart_HRTIMER_NORESTART as HRTIMER_NORESTART;

#[cfg(not(KERNEL_BEFORE_7_3))]
mod timer {
    use crate::bindings::hrtimer_restart;

    /// What a timer's callback returns when the timer is not to expire again.
    pub(crate) const HRTIMER_NORESTART: hrtimer_restart = hrtimer_restart::HRTIMER_NORESTART;
}
#[cfg(not(KERNEL_BEFORE_7_3))]
pub(crate) use timer::*;

/// `ENAMETOOLONG`, for which the kernel crate has no name before 7.3.
pub(crate) fn name_too_long() -> Error {
    #[cfg(KERNEL_BEFORE_7_3)]
    return Error::from_errno(-(bindings::ENAMETOOLONG as kernel::ffi::c_int));
    #[cfg(not(KERNEL_BEFORE_7_3))]
    return ENAMETOOLONG;
}

/// The kernel crate's macro wants the crate's own `THIS_MODULE` in scope.
#[cfg(KERNEL_BEFORE_7_3)]
macro_rules! configfs_attrs {
    ($($attributes:tt)*) => {{
        use crate::THIS_MODULE;
        ::kernel::configfs_attrs! { $($attributes)* }
    }};
}
#[cfg(KERNEL_BEFORE_7_3)]
pub(crate) use configfs_attrs;

#[cfg(not(KERNEL_BEFORE_7_3))]
pub(crate) use kernel::configfs_attrs;
