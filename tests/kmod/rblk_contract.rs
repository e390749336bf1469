// SPDX-License-Identifier: GPL-2.0

//! rblk_contract: a driver for the tests of the abstractions alone. It does what other drivers do by
//! mistake only, and sets what no other one sets.
//!
//! A write to block N of `/dev/rblkcontract` is the command number N; see [`contract::Command`].
//! `/dev/rblklimits` has limits that are all unusual. What is below
//! `/sys/kernel/debug/rblk_contract/` is said at [`contract::ContractModule`].

// Each driver uses its part.
#[path = "../../admin.rs"]
#[allow(dead_code)]
mod admin;
#[path = "../../bindings.rs"]
mod bindings;
#[path = "../../compat.rs"]
mod compat;
#[path = "../../disk.rs"]
#[allow(dead_code)]
mod disk;
#[path = "../../limits.rs"]
#[allow(dead_code)]
mod limits;
#[path = "../../queue.rs"]
#[allow(dead_code)]
mod queue;
#[path = "../../request.rs"]
#[allow(dead_code)]
mod request;
#[path = "../../segment.rs"]
#[allow(dead_code)]
mod segment;
#[path = "../../tagset.rs"]
#[allow(dead_code)]
mod tagset;

mod contract;

use kernel::prelude::*;

module! {
    type: contract::ContractModule,
    name: "rblk_contract",
    authors: ["The rnullblk authors"],
    description: "A driver for the tests of rnullblk's blk-mq abstractions",
    license: "GPL",
}
