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

// configfs may be a module that is not loaded, and the block devices do without it. A weak symbol that is not
// there is no error but null; see `rnullblk_has_configfs`.
core::arch::global_asm!(
    ".weak configfs_register_subsystem",
    ".weak configfs_unregister_subsystem",
    ".weak config_group_init_type_name",
    ".weak config_item_put",
);

include!(concat!(env!("RNULLBLK_OBJ"), "/bindings_generated.rs"));
