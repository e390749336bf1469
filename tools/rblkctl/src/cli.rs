// SPDX-License-Identifier: GPL-2.0

//! What can be typed. The help, the completions and the manual page are made from this.

use crate::{
    settings::{
        parse_name,
        parse_name_or_setting,
        parse_range,
        parse_seconds,
        parse_setting,
        NameOrSetting,
        Setting, //
    },
    units,
};
use clap::{
    Args,
    Parser,
    Subcommand,
    ValueEnum, //
};
use clap_complete::Shell;
use std::time::Duration;

/// Make, list, change and remove RAM disks of the kernel module rnullblk
///
/// RAM disks are described below configfs, in /sys/kernel/config/rnullblk. Without a command, they are listed.
/// A NAME may also be given as /dev/NAME. Sizes take the units K, M, G, T and P, which are powers of 1024.
#[derive(Parser)]
#[command(name = "rblkctl", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Subcommand)]
pub enum Command {
    /// Make a RAM disk and print its path
    Create(Create),
    /// List all RAM disks
    List {
        /// Print an array of objects with all attributes
        #[arg(long)]
        json: bool,
    },
    /// Show all attributes of a RAM disk
    Show {
        /// The RAM disk
        #[arg(value_parser = parse_name)]
        name: String,
        /// Print an object
        #[arg(long)]
        json: bool,
    },
    /// Change attributes of a RAM disk
    Set {
        /// The RAM disk
        #[arg(value_parser = parse_name)]
        name: String,
        /// Any attribute of the driver but power. size, cache_size and memory_limit take units (1G, 512M, powers of
        /// 1024; a plain number is MiB), so do blocksize (4k) and completion_nsec (20us)
        #[arg(value_name = "KEY=VALUE", required = true, value_parser = parse_setting)]
        settings: Vec<Setting>,
        /// Shrink a device that is in use: what lies beyond its new end is lost
        #[arg(long)]
        force: bool,
    },
    /// Switch a RAM disk on: /dev/NAME appears
    On {
        /// The RAM disk
        #[arg(value_parser = parse_name)]
        name: String,
    },
    /// Switch a RAM disk off: /dev/NAME goes; its description and data stay, what is only in the volatile cache is lost
    Off {
        /// The RAM disk
        #[arg(value_parser = parse_name)]
        name: String,
        /// Even if it is in use: mounted, swap, or held by another device
        #[arg(long)]
        force: bool,
    },
    /// Remove RAM disks with their data and descriptions
    Remove {
        /// The RAM disks
        #[arg(value_name = "NAME", required_unless_present = "all", value_parser = parse_name)]
        names: Vec<String>,
        /// All but those that were made when the module was loaded
        #[arg(long, conflicts_with = "names")]
        all: bool,
        /// Even if they are in use: mounted, swap, or held by other devices
        #[arg(long)]
        force: bool,
    },
    /// List, add or clear bad sectors
    Badblocks {
        /// The RAM disk
        #[arg(value_parser = parse_name)]
        name: String,
        #[command(subcommand)]
        action: Option<Badblocks>,
    },
    /// List, take, drop or go back to snapshots of a RAM disk with store=thin
    Snapshot {
        /// The RAM disk
        #[arg(value_parser = parse_name)]
        name: String,
        #[command(subcommand)]
        action: Option<Snapshot>,
    },
    /// Show what the hardware queues counted, in total and each
    Stats {
        /// The RAM disks
        #[arg(value_name = "NAME", required = true, value_parser = parse_name)]
        names: Vec<String>,
        /// Print rates per second, again and again, until the devices are off or gone
        #[arg(
            long,
            value_name = "SECONDS",
            num_args = 0..=1,
            require_equals = true,
            default_missing_value = "1",
            value_parser = parse_seconds
        )]
        watch: Option<Duration>,
        /// Print an array of objects; with --watch, one a line
        #[arg(long)]
        json: bool,
    },
    /// Print a shell's completions
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    Man,
}

#[derive(Args, Default)]
pub struct Create {
    /// A name (without one, the first free rblkN), and any attribute of the driver as with 'set'
    #[arg(value_name = "NAME|KEY=VALUE", value_parser = parse_name_or_setting)]
    pub name_and_settings: Vec<NameOrSetting>,
    /// Capacity: 1G, 512M (powers of 1024); a plain number is MiB
    #[arg(long, value_parser = units::mib)]
    pub size: Option<u64>,
    /// Logical block size: 512, 4k
    #[arg(long, value_name = "SIZE", value_parser = units::bytes)]
    pub blocksize: Option<u64>,
    /// Hardware queues
    #[arg(long, value_name = "N")]
    pub queues: Option<u64>,
    /// Further hardware queues for reads alone
    #[arg(long, value_name = "N")]
    pub read_queues: Option<u64>,
    /// Further hardware queues for polled I/O
    #[arg(long, value_name = "N")]
    pub poll_queues: Option<u64>,
    /// Requests in flight on each queue
    #[arg(long, value_name = "N")]
    pub depth: Option<u64>,
    /// NUMA node of data and queues; -1: any
    #[arg(long, value_name = "NODE", allow_negative_numbers = true)]
    pub home_node: Option<i64>,
    /// How requests are completed
    #[arg(long, value_name = "MODE", value_enum)]
    pub irqmode: Option<IrqMode>,
    /// Complete requests by timer after this time: 20us, 1ms; a plain number is ns
    #[arg(long, value_name = "TIME", value_parser = units::nanoseconds, conflicts_with = "irqmode")]
    pub latency: Option<u64>,
    /// Move at most so many MiB a second
    #[arg(long, value_name = "N")]
    pub mbps: Option<u64>,
    /// Size of the volatile write cache: 64M; a plain number is MiB
    #[arg(long, value_name = "SIZE", value_parser = units::mib)]
    pub cache: Option<u64>,
    /// Announce a volatile write cache
    #[arg(long)]
    pub write_cache: bool,
    /// Refuse all that writes
    #[arg(long)]
    pub read_only: bool,
    /// Announce a disk that turns
    #[arg(long)]
    pub rotational: bool,
    /// Announce a medium that can be taken out
    #[arg(long)]
    pub removable: bool,
    /// Do not support discard
    #[arg(long)]
    pub no_discard: bool,
    /// Keep no data: complete requests and do nothing
    #[arg(long)]
    pub no_memory: bool,
    /// Only describe it, and print its name: 'rblkctl on' switches it on
    #[arg(long)]
    pub no_power: bool,
}

impl Create {
    pub fn name(&self) -> Result<Option<&str>, String> {
        let mut names = self
            .name_and_settings
            .iter()
            .filter_map(|given| match given {
                NameOrSetting::Name(name) => Some(name.as_str()),
                NameOrSetting::Setting(_) => None,
            });
        match (names.next(), names.next()) {
            (Some(first), Some(second)) => Err(format!("two names: {first} and {second}")),
            (name, _) => Ok(name),
        }
    }

    /// What is to be set, in this order: options, then `key=value`.
    pub fn settings(&self) -> Vec<Setting> {
        let numbers = [
            ("size", self.size),
            ("blocksize", self.blocksize),
            ("submit_queues", self.queues),
            ("read_queues", self.read_queues),
            ("poll_queues", self.poll_queues),
            ("hw_queue_depth", self.depth),
            ("irqmode", self.irqmode.map(|mode| mode as u64)),
            ("irqmode", self.latency.map(|_| IrqMode::Timer as u64)),
            ("completion_nsec", self.latency),
            ("mbps", self.mbps),
            ("cache_size", self.cache),
        ];
        let switches = [
            ("write_cache", self.write_cache, 1),
            ("read_only", self.read_only, 1),
            ("rotational", self.rotational, 1),
            ("removable", self.removable, 1),
            ("discard", self.no_discard, 0),
            ("memory_backed", self.no_memory, 0),
        ];
        let mut settings = Vec::new();
        settings.extend(self.home_node.map(|node| Setting::new("home_node", node)));
        for (attribute, number) in numbers {
            settings.extend(number.map(|number| Setting::new(attribute, number)));
        }
        for (attribute, given, value) in switches {
            settings.extend(given.then(|| Setting::new(attribute, value)));
        }
        for given in &self.name_and_settings {
            if let NameOrSetting::Setting(setting) = given {
                settings.push(setting.clone());
            }
        }
        settings
    }
}

#[derive(Subcommand)]
pub enum Badblocks {
    /// Make sectors bad
    Add {
        /// The first and the last sector, of 512 bytes
        #[arg(value_name = "START-END", value_parser = parse_range)]
        range: String,
    },
    /// Make sectors good again
    Clear {
        /// The first and the last sector, of 512 bytes
        #[arg(value_name = "START-END", value_parser = parse_range)]
        range: String,
    },
}

#[derive(Subcommand)]
pub enum Snapshot {
    /// Take a snapshot of what the disk has now
    Take {
        /// A name for it
        snapshot: String,
    },
    /// Put what a snapshot has in the place of what the disk has
    Rollback {
        /// Its name
        snapshot: String,
        /// Even if the disk is in use
        #[arg(long)]
        force: bool,
    },
    /// Give a snapshot and its memory up
    Drop {
        /// Its name
        snapshot: String,
    },
}

/// Values are the driver's.
#[derive(Clone, Copy, ValueEnum)]
pub enum IrqMode {
    None = 0,
    Softirq = 1,
    Timer = 2,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// The definitions do not contradict each other.
    #[test]
    fn definitions_are_sound() {
        Cli::command().debug_assert();
    }

    fn create(line: &str) -> Create {
        match Cli::try_parse_from(line.split(' ')).map(|cli| cli.command) {
            Ok(Some(Command::Create(create))) => create,
            _ => panic!("not understood: {line}"),
        }
    }

    /// Options become the driver's attributes, and `key=value` comes after them, with a name or without.
    #[test]
    fn options_become_attributes() {
        let line = "rblkctl create d0 zoned=1 --size 1G --queues 4 --latency 20us --no-discard --home-node -1";
        let create = create(line);
        assert_eq!(create.name(), Ok(Some("d0")));
        let settings = create.settings();
        let shown = settings
            .iter()
            .map(|setting| format!("{}={}", setting.attribute, setting.value));
        assert_eq!(
            shown.collect::<Vec<_>>().join(" "),
            "home_node=-1 size=1024 submit_queues=4 irqmode=2 completion_nsec=20000 discard=0 zoned=1"
        );
    }

    /// --watch takes an interval or one second, and no name for an interval.
    #[test]
    fn watch_needs_no_interval() {
        for (line, expected) in [
            ("rblkctl stats --watch rblk0", Duration::from_secs(1)),
            ("rblkctl stats rblk0 --watch=2", Duration::from_secs(2)),
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).map(|cli| cli.command);
            assert!(
                matches!(cli, Ok(Some(Command::Stats { watch: Some(time), .. })) if time == expected)
            );
        }
    }
}
