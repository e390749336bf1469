// SPDX-License-Identifier: GPL-2.0

//! The kernel's C functions and types: the kernel crate's, and those that it lacks, which bindgen
//! makes of `bindings.h`.

#![allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn
)]

pub(crate) use kernel::bindings::*;

use kernel::ffi;

include!(concat!(env!("RNULLBLK_OBJ"), "/bindings_generated.rs"));
