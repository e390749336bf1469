// SPDX-License-Identifier: GPL-2.0

//! The settings of a RAM disk: one line declares one, as a module parameter, which is the default of new devices,
//! and as an attribute of a device below configfs. What it means is in [`Settings::config`] and its neighbours.

#![deny(unsafe_code)]

use crate::{
    compat,
    configfs::Description,
    device::{
        self,
        Config,
        FaultConfig,
        Faults,
        IrqMode,
        RamDisk, //
    },
    faults::FaultOptions,
    latency::{
        LatencyOptions,
        Shape, //
    },
    medium::Kept,
    params::{
        self,
        module_params,
        Param, //
    },
    ramstore,
    silent::SilentFaultOptions,
    store::{
        Store,
        StoreKind, //
    },
    tagset::{
        self,
        HwQueues,
        TagSetOptions, //
    },
    thinstore,
    values::{
        Allowed,
        Value, //
    },
};
use kernel::{
    configfs::{
        Group,
        ItemType, //
    },
    fmt,
    prelude::*,
    str::CString, //
};

/// When a setting of a device can change.
enum Change {
    /// While its power is off.
    Off,
    /// At any time. While the power is on this is how: with all settings, the changed one among them.
    Live(fn(&RamDisk, &Settings) -> Result),
    /// As `Live`, of the disk's faults.
    LiveFault(fn(&Faults, &Settings) -> Result),
    /// As `Live`; the user can insist, with the word "force" behind the value.
    Forcible(fn(&RamDisk, &Settings, is_forced: bool) -> Result),
}

use Change::*;

/// A setting; made by `settings!`.
pub(crate) struct Setting {
    param: &'static Param,
    change: Change,
}

impl Setting {
    /// The setting's name.
    pub(crate) fn name(&self) -> &'static CStr {
        self.param.name()
    }

    /// Writes a value of it as a user reads it.
    pub(crate) fn show(&self, value: Value, f: &mut dyn fmt::Write) -> fmt::Result {
        self.param.allowed().show(value, f)
    }
}

/// Declares the settings, numbered from 0 on: `NUMBER: NAME = DEFAULT, ALLOWED, CHANGE, "MEANING";`.
macro_rules! settings {
    ($($number:literal: $name:ident = $default:literal, $allowed:expr, $change:expr, $doc:literal;)*) => {
        /// The settings as module parameters.
        // They are put where the kernel looks for them.
        #[allow(unsafe_code)]
        pub(crate) mod parameters {
            use super::*;
            module_params! { $($name = $default, $allowed, $doc;)* }
        }

        /// The number of each setting.
        #[derive(Clone, Copy)]
        #[allow(non_camel_case_types)]
        pub(crate) enum Key { $($name = $number,)* }

        /// All settings.
        pub(crate) static SETTINGS: &[Setting] =
            &[$(Setting { param: &parameters::$name, change: $change },)*];

        const COUNT: usize = {
            let numbers = [$($number,)*];
            let mut i = 0;
            while i < numbers.len() {
                assert!(numbers[i] == i, "settings are numbered from 0 on");
                i += 1;
            }
            i
        };

        /// The attributes of a device below configfs: its settings, and a few of its own.
        pub(crate) fn attributes() -> &'static ItemType<Group<Description>, Description> {
            compat::configfs_attrs! {
                container: Group<Description>,
                data: Description,
                attributes: [
                    $($name: $number,)*
                    power: 100,
                    index: 101,
                    badblocks: 102,
                    queue_mode: 103,
                    power_cut: 104,
                    share_store: 105,
                    snapshot: 106,
                    rollback: 107,
                    drop: 108,
                    clone_of: 109,
                    memory_kib: 110,
                    cut_at: 111,
                ],
            }
        }
    };
}

/// The numbers of the attributes that are no settings.
pub(crate) const POWER: u64 = 100;
pub(crate) const INDEX: u64 = 101;
pub(crate) const BADBLOCKS: u64 = 102;
pub(crate) const QUEUE_MODE: u64 = 103;
pub(crate) const POWER_CUT: u64 = 104;
pub(crate) const SHARE_STORE: u64 = 105;
pub(crate) const SNAPSHOT: u64 = 106;
pub(crate) const ROLLBACK: u64 = 107;
pub(crate) const DROP: u64 = 108;
pub(crate) const CLONE_OF: u64 = 109;
pub(crate) const MEMORY_KIB: u64 = 110;
pub(crate) const CUT_AT: u64 = 111;

/// Their names.
pub(crate) const OTHER_ATTRIBUTES: &[&CStr] = &[
    c"power",
    c"index",
    c"badblocks",
    c"queue_mode",
    c"power_cut",
    c"share_store",
    c"snapshot",
    c"rollback",
    c"drop",
    c"clone_of",
    c"memory_kib",
    c"cut_at",
];

const MAX_DEPTH: i64 = TagSetOptions::MAX_QUEUE_DEPTH as i64;
const PAGE_SIZE: i64 = kernel::page::PAGE_SIZE as i64;
const MAX_COUNT: i64 = i32::MAX as i64;
/// Of memory that wants a table beside it, which the kernel gives up to 2 GiB.
const MAX_CACHE_MIB: i64 = 1 << 17;
const MAX_LANES: i64 = 1024;

settings! {
    0: size = 256, Allowed::Range(1, device::MAX_SIZE_MIB),
        Forcible(|disk, now, is_forced| disk.resize(now.unsigned(Key::size), is_forced)),
        "Capacity of each device in MiB";
    1: blocksize = 512, Allowed::PowerOfTwo(512, PAGE_SIZE), Off, "Logical block size in bytes";
    2: submit_queues = 0, Allowed::Range(0, MAX_COUNT),
        Live(|disk, now| now.change_hw_queues(disk, Key::submit_queues)),
        "Hardware queues of each device, at most one for each possible CPU; 0: one for each \
         online CPU";
    3: read_queues = 0, Allowed::Range(0, MAX_COUNT),
        Live(|disk, now| now.change_hw_queues(disk, Key::read_queues)),
        "Further hardware queues for reads alone";
    4: poll_queues = 0, Allowed::Range(0, MAX_COUNT),
        Live(|disk, now| now.change_hw_queues(disk, Key::poll_queues)),
        "Further hardware queues for polled I/O";
    5: use_per_node_hctx = 0, Allowed::Switch, Off,
        "One hardware queue for each NUMA node, whatever submit_queues says";
    6: hw_queue_depth = 128, Allowed::Range(1, MAX_DEPTH), Off, "Requests in flight on a queue";
    7: home_node = -1, Allowed::Node, Off, "NUMA node of data and queues; -1: any";
    8: memory_backed = 1, Allowed::Switch, Off,
        "Keep data; 0: complete requests and move no data";
    9: discard = 1, Allowed::Switch, Off, "Support discard";
    10: write_zeroes = 1, Allowed::Switch, Off, "Support write zeroes";
    11: cache_size = 0, Allowed::Range(0, MAX_CACHE_MIB), Off,
        "Volatile write cache in MiB, whose content is lost when the power goes; 0: none";
    12: write_cache = 0, Allowed::Switch, Off,
        "Announce a volatile write cache also without one, so that flushes and FUA writes reach the \
         device";
    13: fua = 1, Allowed::Switch, Off, "With a write cache, support FUA writes";
    14: rotational = 0, Allowed::Switch, Off, "Announce a disk that turns";
    15: read_only = 0, Allowed::Switch,
        Live(|disk, now| disk.set_read_only(now.is_on(Key::read_only))),
        "Refuse all that writes";
    16: removable = 0, Allowed::Switch, Off, "Announce a medium that can be taken out";
    17: virt_boundary = 0, Allowed::Switch, Off, "Take no segments with a gap within a page";
    18: max_sectors = 0, Allowed::Sectors, Off,
        "Longest request in sectors, at least a page; 0: as long as the driver likes";
    19: irqmode = 0, Allowed::Range(0, 2), Off,
        "Complete requests 0: inline, 1: by softirq, 2: by timer";
    20: completion_nsec = 10000, Allowed::Range(0, i64::MAX), Off,
        "With irqmode=2, time from queueing to completion in ns";
    21: mbps = 0, Allowed::Range(0, MAX_COUNT), Off,
        "Most MiB that are read and written in a second; 0: no limit";
    22: no_sched = 1, Allowed::Switch, Off,
        "Start without I/O scheduler, also with a single queue";
    23: blocking = 0, Allowed::Switch, Off, "Register as a driver that may sleep";
    24: shared_tags = 0, Allowed::Switch, Off, "All devices with it share one tag set";
    25: shared_tag_bitmap = 0, Allowed::Switch, Off,
        "All queues of a device share one set of tags";
    26: badblocks_once = 0, Allowed::Switch,
        LiveFault(|faults, now| { faults.set_bad_blocks_once(now.is_on(Key::badblocks_once)); Ok(()) }),
        "A bad block is none any more when it was met";
    27: badblocks_partial_io = 0, Allowed::Switch,
        LiveFault(|faults, now| { faults.set_bad_blocks_partial_io(now.is_on(Key::badblocks_partial_io)); Ok(()) }),
        "Read and write what lies before a bad block";
    28: timeout_inject = 0, Allowed::Fault,
        LiveFault(|faults, now| { faults.timeout.set(now.fault(Key::timeout_inject)?); Ok(()) }),
        "Forget requests, until they time out: interval,probability,space,times";
    29: timeout_retry = 0, Allowed::Switch,
        LiveFault(|faults, now| { faults.set_timeout_retry(now.is_on(Key::timeout_retry)); Ok(()) }),
        "Try a request that timed out again; 0: it fails";
    30: requeue_inject = 0, Allowed::Fault,
        LiveFault(|faults, now| { faults.requeue.set(now.fault(Key::requeue_inject)?); Ok(()) }),
        "Give requests back unserved: interval,probability,space,times";
    31: init_hctx_fault_inject = 0, Allowed::Fault,
        LiveFault(|faults, now| { faults.init_hctx.set(now.fault(Key::init_hctx_fault_inject)?); Ok(()) }),
        "Fail to make hardware queues: interval,probability,space,times";
    32: fault_seed = 0, Allowed::Range(0, i64::MAX),
        LiveFault(|faults, now| { faults.sow(now.unsigned(Key::fault_seed)); Ok(()) }),
        "Seed of the faults' chances";
    33: lie_about_flush = 0, Allowed::Switch,
        LiveFault(|faults, now| { faults.set_lie_about_flush(now.is_on(Key::lie_about_flush)); Ok(()) }),
        "Say that the volatile write cache is flushed, and leave it as it is";
    34: store = "linear", Allowed::Words(&["linear", "thin"]), Off,
        "linear: have all memory from the start; thin: take it when something is written, and give it \
         back when that is discarded";
    35: memory_wait_msec = 0, Allowed::Range(0, MAX_COUNT), Off,
        "With store=thin, for how many ms a write waits for memory before it fails with ENOSPC";
    36: memory_limit = 0, Allowed::Range(0, MAX_COUNT), Off,
        "With store=thin, most MiB of memory that the data takes, with its snapshots; 0: what there is";
    37: write_log = 0, Allowed::Range(0, MAX_CACHE_MIB), Off,
        "Remember so many MiB of what writes changed, for cut_at; 0: nothing";
    38: drop_write = 0, Allowed::SilentFault,
        LiveFault(|faults, now| { faults.drop_write.set(now.silent_fault(Key::drop_write)?); Ok(()) }),
        "Do not do writes that are said to be done: interval,probability,space,times[ FIRST-LAST]";
    39: misdirect_write = 0, Allowed::SilentFault,
        LiveFault(|faults, now| { faults.misdirect_write.set(now.silent_fault(Key::misdirect_write)?); Ok(()) }),
        "Do writes elsewhere in the range: interval,probability,space,times[ FIRST-LAST]";
    40: flip_write = 0, Allowed::SilentFault,
        LiveFault(|faults, now| { faults.flip_write.set(now.silent_fault(Key::flip_write)?); Ok(()) }),
        "Write one bit wrong: interval,probability,space,times[ FIRST-LAST]";
    41: flip_read = 0, Allowed::SilentFault,
        LiveFault(|faults, now| { faults.flip_read.set(now.silent_fault(Key::flip_read)?); Ok(()) }),
        "Read one bit wrong: interval,probability,space,times[ FIRST-LAST]";
    42: stale_read = 0, Allowed::SilentFault,
        LiveFault(|faults, now| { faults.stale_read.set(now.silent_fault(Key::stale_read)?); Ok(()) }),
        "Read what was there before the last write, as far as history_size reaches: interval,probability,space,times[ FIRST-LAST]";
    43: history_size = 0, Allowed::Range(0, MAX_CACHE_MIB), Off,
        "Remember so many MiB of what there was before the last writes, for stale_read; 0: none";
    44: read_latency = "default", Allowed::Shape, Off,
        "With irqmode=2, how long a read takes in ns; default: completion_nsec";
    45: write_latency = "default", Allowed::Shape, Off,
        "With irqmode=2, how long a write takes in ns; default: completion_nsec";
    46: flush_latency = "default", Allowed::Shape, Off,
        "With irqmode=2, how long a flush takes in ns; default: completion_nsec";
    47: discard_latency = "default", Allowed::Shape, Off,
        "With irqmode=2, how long a discard or a write of zeroes takes in ns; default: completion_nsec";
    48: lanes = 0, Allowed::Range(0, MAX_LANES), Off,
        "With irqmode=2, how many requests the device works on at once; 0: on all";
    49: hang = 0, Allowed::Switch,
        Live(|disk, now| { disk.set_hang(now.is_on(Key::hang)); Ok(()) }),
        "With irqmode=2 or polled, answer no request as long as this is on";
}

/// What a RAM disk shall be, or is.
#[derive(Clone)]
pub(crate) struct Settings([Value; COUNT]);

impl Settings {
    /// The module's parameters.
    pub(crate) fn from_parameters() -> Self {
        Self(core::array::from_fn(|i| {
            SETTINGS
                .get(i)
                .map_or(Value::from(0), |setting| setting.param.value())
        }))
    }

    /// Lets sysfs show them as the module's parameters.
    pub(crate) fn show_as_parameters(&self) {
        for (setting, value) in SETTINGS.iter().zip(self.0) {
            setting.param.set_in_force(value);
        }
    }

    /// The value of the setting with that number.
    pub(crate) fn value(&self, number: usize) -> Value {
        self.0.get(number).copied().unwrap_or(Value::from(0))
    }

    fn set_value(&mut self, number: usize, value: Value) {
        if let Some(stored) = self.0.get_mut(number) {
            *stored = value;
        }
    }

    fn number(&self, key: Key) -> i64 {
        let Value([number, ..]) = self.value(key as usize);
        number
    }

    fn set<N: Into<i64>>(&mut self, key: Key, number: N) {
        self.set_value(key as usize, Value::from(number.into()));
    }

    /// A number whose setting allows none below 0.
    fn unsigned(&self, key: Key) -> u64 {
        self.number(key).unsigned_abs()
    }

    fn is_on(&self, key: Key) -> bool {
        self.number(key) != 0
    }

    fn fault(&self, key: Key) -> Result<FaultOptions> {
        self.value(key as usize).try_into()
    }

    fn silent_fault(&self, key: Key) -> Result<SilentFaultOptions> {
        self.value(key as usize).try_into()
    }

    fn shape(&self, key: Key) -> Result<Shape> {
        self.value(key as usize).try_into()
    }

    /// Changes the setting with that number to what a user wrote, for the device `name`, and for `disk` if its
    /// power is on.
    ///
    /// # Errors
    ///
    /// `EINVAL` or `ERANGE` for a bad value, with a line in the log; `EBUSY` if it cannot change while the power is
    /// on; what the change returns. Then nothing has changed.
    pub(crate) fn change(
        &mut self,
        number: usize,
        text: &CStr,
        name: &CStr,
        disk: Option<&RamDisk>,
    ) -> Result {
        let setting = SETTINGS.get(number).ok_or(ENOENT)?;
        let forced = match setting.change {
            Forcible(_) => without_force(text)?,
            _ => None,
        };
        let allowed = setting.param.allowed();
        let value = allowed
            .parse(forced.as_deref().unwrap_or(text))
            .inspect_err(|_| log_refused(Some(name), setting.name(), &text, fmt!("{allowed}")))?;

        let mut changed = self.clone();
        changed.set_value(number, value);
        match (&setting.change, disk) {
            (_, None) => (),
            (Off, Some(_)) => return Err(EBUSY),
            (Live(apply), Some(disk)) => apply(disk, &changed)?,
            (LiveFault(apply), Some(disk)) => {
                disk.change_faults(|faults| apply(faults, &changed))?;
            }
            (Forcible(apply), Some(disk)) => apply(disk, &changed, forced.is_some())?,
        }
        *self = changed;
        Ok(())
    }

    /// Looks what a disk is, where it can have changed or could be had otherwise than asked for.
    pub(crate) fn look_at(&mut self, disk: &RamDisk) {
        let queues = disk.disk().tagset().hw_queues();
        self.take_size(disk.size_mib());
        self.set(Key::read_only, disk.is_read_only());
        self.set(Key::submit_queues, queues.default);
        self.set(Key::read_queues, queues.read);
        self.set(Key::poll_queues, queues.poll);
        self.set(Key::hw_queue_depth, disk.disk().tagset().queue_depth());
    }

    /// Takes over the size of a disk, or of what is kept of it, unless there is none: it was pulled out, and comes
    /// back as it was.
    pub(crate) fn take_size(&mut self, size_mib: u64) {
        if let Ok(size_mib @ 1..) = i64::try_from(size_mib) {
            self.set(Key::size, size_mib);
        }
    }

    /// Takes over a store that is kept.
    pub(crate) fn take_store(&mut self, store: &Store) {
        // CAST: `u64` is as wide as `usize`.
        self.take_size(store.mib() as u64);
        self.set(
            Key::store,
            match store.kind() {
                StoreKind::Linear => 0,
                StoreKind::Thin => 1,
            },
        );
    }

    /// Whether the disk shares its tag set with others.
    pub(crate) fn shared_tags(&self) -> bool {
        self.is_on(Key::shared_tags)
    }

    /// Checks whether there is memory for `devices` such disks, those that have `kept` counted by what they lack.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, with a line in the log.
    pub(crate) fn check_memory(
        &self,
        name: Option<&CStr>,
        devices: u64,
        kept: Option<&Kept>,
    ) -> Result {
        if !self.is_memory_backed() {
            return Ok(());
        }
        let available_mib =
            || (ramstore::available_bytes() >> 20).saturating_add(kept.map_or(0, Kept::linear_mib));
        let size_mib = match self.store() {
            StoreKind::Linear => self.unsigned(Key::size),
            StoreKind::Thin => 0,
        };
        let size_mib = size_mib
            .saturating_add(self.unsigned(Key::cache_size))
            .saturating_add(self.unsigned(Key::write_log))
            .saturating_add(self.unsigned(Key::history_size));
        let is_enough = || devices.saturating_mul(size_mib) <= available_mib();
        if is_enough() || (thinstore::reclaim() && is_enough()) {
            return Ok(());
        }
        let available_mib = available_mib();
        let size = self.unsigned(Key::size);
        match devices {
            1 => log_refused(
                name,
                c"size",
                &size,
                fmt!("at most {available_mib} MiB, the memory that is available now"),
            ),
            _ => log_refused(
                name,
                c"size",
                &size,
                fmt!(
                    "at most {available_mib} MiB for all {devices} devices together, \
                     the memory that is available now"
                ),
            ),
        }
        Err(ENOMEM)
    }

    /// What makes a disk sleep: a thin store to get memory, a log to write one write after the other.
    fn why_it_sleeps(&self) -> Option<&'static str> {
        match self.store() {
            _ if !self.is_memory_backed() => None,
            StoreKind::Thin => Some("store=thin"),
            StoreKind::Linear => self.is_on(Key::write_log).then_some("write_log"),
        }
    }

    /// Checks what does not go together: a driver that may sleep needs a tag set of its own; a thin store is not endless;
    /// and a cache changes what is on the disk when the power goes, behind the log's back.
    ///
    /// # Errors
    ///
    /// `EINVAL`, with a line in the log.
    fn check_together(&self, name: &CStr) -> Result {
        let Some(why) = self.why_it_sleeps() else {
            return Ok(());
        };
        let refuse = |key: Key, most: u64, with: &str| -> Result {
            let (setting, value) = (
                SETTINGS.get(key as usize).ok_or(ENOENT)?,
                self.unsigned(key),
            );
            if value <= most {
                return Ok(());
            }
            log_refused(
                Some(name),
                setting.name(),
                &value,
                fmt!("at most {most} with {with}"),
            );
            Err(EINVAL)
        };
        refuse(Key::shared_tags, 0, why)?;
        if self.store() == StoreKind::Thin {
            refuse(Key::size, thinstore::MAX_MIB, why)?;
        }
        if self.is_on(Key::write_log) {
            refuse(Key::cache_size, 0, "write_log")?;
        }
        Ok(())
    }

    /// Checks what a disk has to be whose store is another one's, too: linear, of `size_mib` if that is given, with memory,
    /// and without what knows only its own writes, and puts back what the other one has written over.
    ///
    /// # Errors
    ///
    /// `EINVAL`, with a line in the log.
    pub(crate) fn check_shared(&self, name: &CStr, size_mib: Option<u64>) -> Result {
        let size = self.unsigned(Key::size);
        let wanted = [
            (Key::size, size_mib.unwrap_or(size)),
            (Key::memory_backed, 1),
            (Key::store, 0),
            (Key::write_log, 0),
            (Key::cache_size, 0),
            (Key::history_size, 0),
        ];
        for (key, wanted) in wanted {
            let value = self.unsigned(key);
            if value != wanted {
                let setting = SETTINGS.get(key as usize).ok_or(ENOENT)?;
                log_refused(
                    Some(name),
                    setting.name(),
                    &value,
                    fmt!("{wanted} while the store is shared"),
                );
                return Err(EINVAL);
            }
        }
        Ok(())
    }

    /// Whether the disk keeps data.
    pub(crate) fn is_memory_backed(&self) -> bool {
        self.is_on(Key::memory_backed)
    }

    /// Which kind of store it has, if it keeps data.
    pub(crate) fn store(&self) -> StoreKind {
        match self.number(Key::store) {
            0 => StoreKind::Linear,
            _ => StoreKind::Thin,
        }
    }

    /// How many hardware queues there shall be.
    fn hw_queues(&self, name: Option<&CStr>) -> Result<HwQueues> {
        let most = tagset::max_hw_queues();
        let cut = |key: Key, setting: &str| -> Result<u32> {
            let wanted = u32::try_from(self.number(key))?;
            if wanted > most {
                let name = Prefix(name);
                pr_info!("{name}{setting}={wanted} cut to {most}, the number of possible CPUs\n");
            }
            Ok(wanted.min(most))
        };
        let default = match cut(Key::submit_queues, "submit_queues")? {
            _ if self.is_on(Key::use_per_node_hctx) => tagset::online_nodes(),
            0 => tagset::online_cpus(),
            wanted => wanted,
        };
        Ok(HwQueues {
            default,
            read: cut(Key::read_queues, "read_queues")?,
            poll: cut(Key::poll_queues, "poll_queues")?,
        })
    }

    /// Changes the number of hardware queues of one kind.
    fn change_hw_queues(&self, disk: &RamDisk, key: Key) -> Result {
        let setting = SETTINGS.get(key as usize).ok_or(ENOENT)?;
        let wanted = u32::try_from(self.number(key))?;
        disk.change_hw_queues(|mut queues| {
            match key {
                Key::read_queues => queues.read = wanted,
                Key::poll_queues => queues.poll = wanted,
                _ => queues.default = wanted,
            }
            queues
        })
        .inspect_err(|error| {
            let most = tagset::max_hw_queues();
            if *error == EINVAL {
                let (least, limit) = match key {
                    Key::submit_queues => (1, ""),
                    _ => (0, ", if there was one when the power came on"),
                };
                log_refused(
                    Some(disk.disk().name()),
                    setting.name(),
                    &wanted,
                    fmt!("{least} to {most}{limit}"),
                );
            }
        })
    }

    /// What the tag set shall be.
    pub(crate) fn tag_set_options(&self, name: Option<&CStr>) -> Result<TagSetOptions> {
        let options = device::tag_set_options(
            self.hw_queues(name)?,
            u32::try_from(self.number(Key::hw_queue_depth))?,
            i32::try_from(self.number(Key::home_node))?,
        );
        Ok(TagSetOptions {
            blocking: self.is_on(Key::blocking) || self.why_it_sleeps().is_some(),
            no_sched_by_default: self.is_on(Key::no_sched),
            shared_between_queues: self.is_on(Key::shared_tag_bitmap),
            ..options
        })
    }

    /// What the disk `name` shall be.
    ///
    /// # Errors
    ///
    /// `EINVAL` for what cannot be, with a line in the log.
    pub(crate) fn config(&self, name: &CStr) -> Result<Config> {
        self.check_together(name)?;
        let latency = LatencyOptions {
            read: self.shape(Key::read_latency)?,
            write: self.shape(Key::write_latency)?,
            flush: self.shape(Key::flush_latency)?,
            discard: self.shape(Key::discard_latency)?,
            lanes: u32::try_from(self.number(Key::lanes))?,
        };
        let irq_mode = match self.number(Key::irqmode) {
            0 => IrqMode::Inline,
            1 => IrqMode::Softirq,
            _ => IrqMode::Timer {
                completion_nsec: self.unsigned(Key::completion_nsec),
            },
        };
        Ok(Config {
            size_mib: self.unsigned(Key::size),
            block_size: u32::try_from(self.number(Key::blocksize))?,
            home_node: i32::try_from(self.number(Key::home_node))?,
            memory_backed: self.is_memory_backed(),
            store: self.store(),
            memory_wait_msec: u32::try_from(self.number(Key::memory_wait_msec))?,
            history_mib: u32::try_from(self.number(Key::history_size))?,
            write_log_mib: u32::try_from(self.number(Key::write_log))?,
            memory_limit_mib: match usize::try_from(self.number(Key::memory_limit))? {
                0 => None,
                mib => Some(mib),
            },
            discard: self.is_on(Key::discard),
            write_zeroes: self.is_on(Key::write_zeroes),
            write_cache: self.is_on(Key::write_cache),
            cache_mib: u32::try_from(self.number(Key::cache_size))?,
            fua: self.is_on(Key::fua),
            rotational: self.is_on(Key::rotational),
            read_only: self.is_on(Key::read_only),
            removable: self.is_on(Key::removable),
            virt_boundary: self.is_on(Key::virt_boundary),
            max_sectors: u32::try_from(self.number(Key::max_sectors))?,
            irq_mode,
            latency,
            hang: self.is_on(Key::hang),
            mbps: u32::try_from(self.number(Key::mbps))?,
            faults: FaultConfig {
                seed: self.unsigned(Key::fault_seed),
                timeout: self.fault(Key::timeout_inject)?,
                requeue: self.fault(Key::requeue_inject)?,
                init_hctx: self.fault(Key::init_hctx_fault_inject)?,
                drop_write: self.silent_fault(Key::drop_write)?,
                misdirect_write: self.silent_fault(Key::misdirect_write)?,
                flip_write: self.silent_fault(Key::flip_write)?,
                flip_read: self.silent_fault(Key::flip_read)?,
                stale_read: self.silent_fault(Key::stale_read)?,
                timeout_retry: self.is_on(Key::timeout_retry),
                lie_about_flush: self.is_on(Key::lie_about_flush),
                bad_blocks_once: self.is_on(Key::badblocks_once),
                bad_blocks_partial_io: self.is_on(Key::badblocks_partial_io),
            },
        })
    }
}

/// The value before the word "force", if that is there.
pub(crate) fn without_force(text: &CStr) -> Result<Option<CString>> {
    let Ok(text) = text.to_str() else {
        return Ok(None);
    };
    text.strip_suffix("force")
        .filter(|value| value.ends_with([' ', '\t']))
        .map(|value| CString::try_from_fmt(fmt!("{}", value.trim_end())))
        .transpose()
}

/// The name of the attribute with that number.
pub(crate) fn attribute_name(number: u64) -> &'static CStr {
    let other = number.checked_sub(POWER).map(usize::try_from);
    let name = match (other, usize::try_from(number)) {
        (Some(Ok(other)), _) => OTHER_ATTRIBUTES.get(other).copied(),
        (None, Ok(number)) => SETTINGS.get(number).map(Setting::name),
        _ => None,
    };
    name.unwrap_or(c"")
}

/// The name of a device before what is said of it in the log; nothing for what holds for all.
pub(crate) struct Prefix<'a>(pub(crate) Option<&'a CStr>);

impl fmt::Display for Prefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => f.write_fmt(fmt!("{name}: ")),
            None => Ok(()),
        }
    }
}

/// Says in the log that a value is refused, and what would not be.
pub(crate) fn log_refused(
    device: Option<&CStr>,
    setting: &CStr,
    value: &dyn fmt::Display,
    allowed: fmt::Arguments<'_>,
) {
    let prefix = Prefix(device);
    pr_err!("{prefix}{setting}={value} refused: allowed is {allowed}\n");
}

/// Whether all values that the user gave to the module were accepted; the log says which were not.
pub(crate) fn check_parameters() -> Result {
    params::check_accepted()
}
