// SPDX-License-Identifier: GPL-2.0

//! rblk_null: a whole driver on the abstractions of this repository that has nothing to do with
//! RAM. It keeps no data; what it shows is how a device with command slots, a doorbell and an
//! interrupt is driven.
//!
//! A request is written to the slot of its tag. The doorbell rings for the last one of a series;
//! some microseconds later the "interrupt", the hardware queue's timer, answers all slots.
//! No more than [`BUDGET`] requests are out at once, however many tags there are. Before there is
//! a disk, an admin queue asks the device for its capacity.

// blk-mq in safe Rust: the whole contract, of which each driver uses its part.
#[path = "../admin.rs"]
#[allow(dead_code)]
mod admin;
#[path = "../bindings.rs"]
mod bindings;
#[path = "../compat.rs"]
mod compat;
#[path = "../disk.rs"]
#[allow(dead_code)]
mod disk;
#[path = "../limits.rs"]
#[allow(dead_code)]
mod limits;
#[path = "../queue.rs"]
#[allow(dead_code)]
mod queue;
#[path = "../request.rs"]
#[allow(dead_code)]
mod request;
#[path = "../segment.rs"]
#[allow(dead_code)]
mod segment;
#[path = "../tagset.rs"]
#[allow(dead_code)]
mod tagset;

mod null;

use kernel::prelude::*;

module! {
    type: null::NullModule,
    name: "rblk_null",
    authors: ["The rnullblk authors"],
    description: "A sample driver on rnullblk's blk-mq abstractions",
    license: "GPL",
}
