// SPDX-License-Identifier: GPL-2.0

//! What debugfs shows of a RAM disk, and what can be done to it there.
//!
//! Below `/sys/kernel/debug/rnullblk/NAME/`:
//!
//! | file | read | write |
//! |---|---|---|
//! | `queues` | a line a hardware queue: the NUMA node of its CPUs, those where its data and its completion ring lie, its counters | |
//! | `in_flight` | how many requests are started, and how many of these wait in the device | |
//! | `write_log` | a line for each write that `cut_at` can take back | |
//! | `submit_queues` | how many queues there are for what is not polled | how many there shall be |
//! | `poll_queues` | how many poll queues there are | how many there shall be |
//! | `size` | how large the disk is, in MiB | how large it shall be; with `force` behind it smaller also while it is open |
//! | `read_only` | whether it cannot be written to | whether it shall be so, 1 or 0 |
//! | `pull_out` | | anything: the device is gone, as if pulled |

#![forbid(unsafe_code)]

use crate::{
    counters::Counters,
    device::RamDisk,
    registry,
    settings,
    tagset::HwQueues,
    values::Written, //
};
use core::{
    convert::Infallible,
    mem::MaybeUninit,
    str::FromStr, //
};
use kernel::{
    debugfs,
    fmt,
    prelude::*,
    sync::{
        Arc,
        UniqueArc, //
    },
    uaccess::UserSliceReader, //
};

/// A RAM disk with its directory. Dropping the last of it first removes the directory, then the disk.
pub(crate) type ShownRamDisk = Arc<debugfs::Scope<RamDisk>>;

const QUEUES: &str = "1 to the number of possible CPUs";
const POLL_QUEUES: &str =
    "0 to the number of possible CPUs, 0 if there were none when the power came on";

/// A place for a disk that will be shown.
pub(crate) struct Place(UniqueArc<MaybeUninit<debugfs::Scope<RamDisk>>>);

impl Place {
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(UniqueArc::new_uninit(GFP_KERNEL)?))
    }
}

/// Puts `disk` into its place, and makes the directory `name` for it in `parent`. That a directory cannot be made is no error.
pub(crate) fn show(
    disk: RamDisk,
    place: Place,
    name: &CStr,
    parent: &debugfs::Dir,
) -> ShownRamDisk {
    let scope = parent.scope(disk, name, |disk, dir| {
        dir.read_callback_file(c"queues", disk, &show_queues);
        dir.read_callback_file(c"in_flight", disk, &show_in_flight);
        dir.read_write_callback_file(
            c"submit_queues",
            disk,
            &|disk, f| writeln!(f, "{}", hw_queues(disk).default),
            &|disk, text| {
                write(disk, c"submit_queues", text, QUEUES, |text| {
                    let default = parse(text)?;
                    disk.change_hw_queues(|now| HwQueues { default, ..now })
                })
            },
        );
        dir.read_write_callback_file(
            c"poll_queues",
            disk,
            &|disk, f| writeln!(f, "{}", hw_queues(disk).poll),
            &|disk, text| {
                write(disk, c"poll_queues", text, POLL_QUEUES, |text| {
                    let poll = parse(text)?;
                    disk.change_hw_queues(|now| HwQueues { poll, ..now })
                })
            },
        );
        dir.read_write_callback_file(
            c"size",
            disk,
            &|disk, f| writeln!(f, "{}", disk.size_mib()),
            &|disk, text| {
                write(disk, c"size", text, "MIB or MIB force", |text| {
                    let forced = text.strip_suffix(" force");
                    disk.resize(parse(forced.unwrap_or(text))?, forced.is_some())
                })
            },
        );
        dir.read_write_callback_file(
            c"read_only",
            disk,
            &|disk, f| writeln!(f, "{}", u8::from(disk.is_read_only())),
            &|disk, text| {
                write(disk, c"read_only", text, "0 or 1", |text| match text {
                    "0" => disk.set_read_only(false),
                    "1" => disk.set_read_only(true),
                    _ => Err(EINVAL),
                })
            },
        );
        dir.read_callback_file(c"write_log", disk, &|disk, f| match disk.write_log() {
            Some(log) => f.write_fmt(fmt!("{}", *log)),
            None => Ok(()),
        });
        dir.write_only_callback_file(c"pull_out", disk, &|disk, _text| {
            registry::check_privilege()?;
            disk.pull_out();
            Ok(())
        });
    });
    let shown: Result<_, Infallible> = place.0.write_pin_init(scope);
    match shown {
        Ok(shown) => shown.into(),
    }
}

fn show_queues(disk: &RamDisk, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "queue node memory ring")?;
    Counters::show_names(f)?;
    writeln!(f)?;

    let mut result = Ok(());
    disk.disk().for_each_hw_queue(|hw| {
        if result.is_ok() {
            let (index, node, memory) = (hw.index(), hw.numa_node(), hw.memory_node());
            // Where there is no ring nothing of it is elsewhere.
            let ring = hw.ring.as_ref().map_or(memory, |ring| ring.memory_node());
            result = f.write_fmt(fmt!(
                "{index:>5} {node:>4} {memory:>6} {ring:>4}{}\n",
                hw.counters
            ));
        }
    });
    result
}

fn show_in_flight(disk: &RamDisk, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (mut started, mut waiting) = (0, 0);
    disk.disk().for_each_in_flight(|rq| {
        started += 1;
        waiting += u32::from(rq.command_id().is_some());
    });
    writeln!(f, "{started} started, {waiting} of them wait in the device")
}

fn hw_queues(disk: &RamDisk) -> HwQueues {
    disk.disk().tagset().hw_queues()
}

/// Calls `f` with what a user wrote who may, without the space around it. What is refused stands in the log.
fn write(
    disk: &RamDisk,
    file: &CStr,
    text: &mut UserSliceReader,
    allowed: &str,
    f: impl FnOnce(&str) -> Result,
) -> Result {
    registry::check_privilege()?;
    // One more than is allowed, so that the log shows that there was more.
    let mut buffer = [0; 33];
    let is_whole = text.len() < buffer.len();
    let bytes = match buffer.get_mut(..text.len()) {
        Some(bytes) => bytes,
        None => &mut buffer,
    };
    text.read_slice(bytes)?;
    let done = match core::str::from_utf8(bytes) {
        Ok(text) if is_whole => f(text.trim()),
        _ => Err(EINVAL),
    };
    done.inspect_err(|error| {
        if *error == EINVAL {
            let name = Some(disk.disk().name());
            settings::log_refused(name, file, &Written(bytes.trim_ascii()), fmt!("{allowed}"));
        }
    })
}

fn parse<N: FromStr>(number: &str) -> Result<N> {
    number.trim().parse().map_err(|_| EINVAL)
}
