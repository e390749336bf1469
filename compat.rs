// SPDX-License-Identifier: GPL-2.0

//! Where kernels differ: one function for each difference, and no other file knows of it.

use crate::bindings;

/// How many bytes of the iterator's current element are already done.
#[inline(always)]
pub(crate) fn bvec_iter_done(iter: &bindings::bvec_iter) -> u32 {
    #[cfg(KERNEL_BEFORE_7_3)]
    return iter.bi_bvec_done;
    #[cfg(not(KERNEL_BEFORE_7_3))]
    return iter.bi_offset;
}
