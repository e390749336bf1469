// SPDX-License-Identifier: GPL-2.0

//! The control plane below `/sys/kernel/config/rnullblk`: `mkdir NAME` makes the description of a device, its
//! attributes say what the device shall be, `power` makes `/dev/NAME` and removes it, `rmdir NAME` ends all.
//!
//! Names and meanings are null_blk's where the thing is the same. Everything of the subsystem as a whole is in
//! [`registry`], because kernel 7.2 gives a subsystem's callbacks a wrong pointer to its data.

#![forbid(unsafe_code)]

use crate::{
    badblocks,
    cache::{
        Leaves,
        PowerCut, //
    },
    compat,
    device::RamDisk,
    medium::Kept,
    power::{
        Powered,
        Prepared, //
    },
    registry::{
        self,
        Index, //
    },
    settings::{
        self,
        Settings,
        BADBLOCKS,
        CLONE_OF,
        CUT_AT,
        DROP,
        INDEX,
        MEMORY_KIB,
        OTHER_ATTRIBUTES,
        POWER,
        POWER_CUT,
        QUEUE_MODE,
        ROLLBACK,
        SETTINGS,
        SHARE_STORE,
        SNAPSHOT, //
    },
    store::Store,
    values::{
        Allowed,
        Written, //
    }, //
};
use core::ops::RangeInclusive;
use kernel::{
    configfs::{
        AttributeOperations,
        Group,
        GroupOperations,
        Subsystem, //
    },
    fmt::{
        self,
        Write, //
    },
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    str::{
        CString,
        Formatter, //
    },
    sync::{
        Arc,
        Mutex, //
    },
};

/// The longest name of a disk in bytes.
const MAX_NAME_LEN: usize = 31;

/// The one mode that null_blk still has: blk-mq.
const QUEUE_MODE_MQ: i64 = 2;

/// The subsystem `rnullblk`. It has no data of its own, and must have none: before 7.3 the kernel crate does not find it.
pub(crate) struct Root;

/// The subsystem as it is registered. Dropping it removes it; there are no descriptions any more then, because
/// each one holds the module.
pub(crate) type Registered = Pin<KBox<Subsystem<Root>>>;

/// Registers the subsystem, if configfs is there; otherwise there are only the devices of the module's parameters.
///
/// # Errors
///
/// `ENOMEM`, `EEXIST`.
pub(crate) fn register() -> Result<Option<Registered>> {
    if !registry::has_configfs() {
        pr_info!(
            "without configfs: for devices at run time, modprobe configfs and load this again\n"
        );
        return Ok(None);
    }
    let root_attributes = compat::configfs_attrs! {
        container: Subsystem<Root>,
        data: Root,
        child: Description,
        attributes: [
            features: 0,
        ],
    };
    KBox::pin_init(
        Subsystem::new(c"rnullblk", root_attributes, Ok(Root)),
        GFP_KERNEL,
    )
    .map(Some)
}

#[vtable]
impl AttributeOperations<0> for Root {
    type Data = Root;

    fn show(_root: &Root, page: &mut [u8; PAGE_SIZE]) -> Result<usize> {
        let names = SETTINGS.iter().map(|setting| setting.name());
        write(page, |f| {
            let names = Iterator::chain(names, OTHER_ATTRIBUTES.iter().copied());
            for (i, name) in names.enumerate() {
                let comma = if i == 0 { "" } else { "," };
                f.write_fmt(fmt!("{comma}{name}"))?;
            }
            Ok(())
        })
    }
}

#[vtable]
impl GroupOperations for Root {
    type Child = Description;

    fn make_group(&self, name: &CStr) -> Result<impl PinInit<Group<Description>, Error>> {
        registry::check_privilege()?;
        if name.to_bytes().len() > MAX_NAME_LEN {
            return Err(compat::name_too_long());
        }
        if registry::is_made_at_load(name) {
            return Err(EEXIST);
        }
        Ok(Group::new(
            CString::try_from(name)?,
            settings::attributes(),
            Description::new(name)?,
        ))
    }
}

/// What a device shall be, and the device while its power is on.
#[pin_data]
pub(crate) struct Description {
    name: CString,
    #[pin]
    state: Mutex<State>,
}

struct State {
    kept: Arc<Kept>,
    settings: Settings,
    /// The device whose store this one has, too; empty: it has its own.
    share_store: CString,
    /// The snapshot whose content this device begins with, as `DEVICE/SNAPSHOT`; empty: none.
    clone_of: CString,
    powered: Option<Powered>,
    last_cut: Option<PowerCut>,
}

impl Description {
    fn new(name: &CStr) -> Result<impl PinInit<Self, Error>> {
        let (name, kept) = (CString::try_from(name)?, Kept::new()?);
        Ok(try_pin_init!(Self {
            name,
            state <- new_mutex!(State {
                kept,
                settings: Settings::from_parameters(),
                share_store: CString::try_from(c"")?,
                clone_of: CString::try_from(c"")?,
                powered: None,
                last_cut: None,
            }),
        }? Error))
    }

    fn set_power(&self, on: bool) -> Result {
        let mut state = self.state.lock();
        if !on {
            state.power_off();
            return Ok(());
        }
        if state.powered.is_some() {
            return Ok(());
        }
        let kept = state.kept.clone();
        kept.unless_it_fails(|| {
            if state.clone_of.is_empty() || !kept.is_empty() {
                return self.power_on(&mut state);
            }
            let store = self.copy_of(&state.clone_of)?;
            let settings = state.settings.clone();
            state.take_over(store);
            self.power_on(&mut state)
                .inspect_err(|_| state.settings = settings)
        })
    }

    fn power_on(&self, state: &mut State) -> Result {
        let name = CString::try_from(&*self.name)?;
        let mut settings = state.settings.clone();
        let borrowed = match state.share_store.is_empty() {
            true => None,
            false => {
                settings.check_shared(&name, None)?;
                Some(self.with_other(&state.share_store, RamDisk::share_store)?)
            }
        };
        match &borrowed {
            Some(store) => settings.take_size(u64::try_from(store.mib())?),
            None => {
                if state.kept.is_shared() && settings.is_memory_backed() {
                    settings.check_shared(&name, Some(state.kept.mib()))?;
                }
                settings.check_memory(Some(&name), 1, Some(&state.kept))?;
            }
        }
        let index = Index::take()?;
        let prepared = Prepared::new(name, &settings, &state.kept, index, borrowed)?;
        state.powered = Some(prepared.add()?);
        Ok(())
    }

    /// `SEED [nothing|blocks|torn]`: the power goes at once, under whoever uses the disk.
    fn cut_power(&self, text: &CStr) -> Result {
        let mut state = self.state.lock();
        let cut = parse_power_cut(text).inspect_err(|_| {
            settings::log_refused(
                Some(&self.name),
                c"power_cut",
                &text,
                fmt!("SEED, SEED nothing, SEED blocks, SEED torn"),
            )
        })?;
        state.powered.as_ref().ok_or(ENODEV)?.disk().cut_power(cut);
        state.power_off();
        state.last_cut = Some(cut);
        Ok(())
    }

    /// `NAME`: a snapshot of what there is.
    fn take_snapshot(&self, text: &CStr) -> Result {
        let state = self.state.lock();
        let bytes = text.to_bytes();
        let is_name = (1..=MAX_NAME_LEN).contains(&bytes.len())
            && bytes
                .iter()
                .all(|byte| byte.is_ascii_graphic() && *byte != b'/');
        let refuse = |allowed: &str| {
            settings::log_refused(Some(&self.name), c"snapshot", &text, fmt!("{allowed}"));
        };
        if !is_name {
            refuse("a name of 1 to 31 letters, digits and signs, without '/'");
            return Err(EINVAL);
        }
        let taken = match &state.powered {
            Some(powered) => powered.disk().take_snapshot(text),
            None => state.kept.take_snapshot(text),
        };
        taken.inspect_err(|error| match *error {
            EINVAL => refuse("what has store=thin and memory_backed=1"),
            EEXIST => refuse("a name that no snapshot has"),
            ENXIO => refuse("a device that was on"),
            _ => (),
        })
    }

    /// `NAME` or `NAME force`: what the snapshot has takes the place of what there is.
    fn roll_back(&self, text: &CStr) -> Result {
        let mut state = self.state.lock();
        let forced = settings::without_force(text)?;
        let name = forced.as_deref().unwrap_or(text);
        let done = match &state.powered {
            Some(powered) => powered.disk().roll_back(name, forced.is_some()),
            None => state
                .kept
                .snapshots
                .copy_of(name)
                .map(|store| state.take_over(store)),
        };
        done.inspect_err(|error| {
            let allowed = match *error {
                ENOENT => "the name of a snapshot",
                EBUSY => "nothing while it is open, unless with 'force', or while it has another size or store",
                _ => return,
            };
            settings::log_refused(Some(&self.name), c"rollback", &text, fmt!("{allowed}"));
        })
    }

    /// `NAME`: the snapshot goes.
    fn drop_snapshot(&self, text: &CStr) -> Result {
        let state = self.state.lock();
        state.kept.snapshots.remove(text).inspect_err(|_| {
            settings::log_refused(
                Some(&self.name),
                c"drop",
                &text,
                fmt!("the name of a snapshot"),
            );
        })
    }

    /// `NUMBER`: the power goes, and the disk is as after that write.
    fn cut_at(&self, text: &CStr) -> Result {
        let mut state = self.state.lock();
        let mut cut = || {
            let number = parse_number(text.to_str().map_err(|_| EINVAL)?)?;
            state.kept.log().ok_or(ENXIO)?.check(number)?;
            if let Some(powered) = &state.powered {
                powered.disk().cut_power(PowerCut::CLEAN);
                state.power_off();
            }
            state.kept.cut_at(number)
        };
        cut().inspect_err(|error| {
            let allowed = match *error {
                EINVAL | ERANGE => {
                    "the number of a write that is in the log, or the one before the first"
                }
                ENXIO => "what was on with write_log",
                _ => return,
            };
            settings::log_refused(Some(&self.name), c"cut_at", &text, fmt!("{allowed}"));
        })
    }

    /// A copy of the snapshot `DEVICE/SNAPSHOT`.
    fn copy_of(&self, text: &CStr) -> Result<Store> {
        let find = || {
            let (device, snapshot) = split_once(text, b'/')?;
            match *device == *self.name {
                true => Err(EINVAL),
                false => registry::with_disk(&device, |disk| disk.copy_of_snapshot(&snapshot)),
            }
        };
        find().inspect_err(|error| {
            if [ENODEV, EINVAL, ENOENT].contains(error) {
                settings::log_refused(
                    Some(&self.name),
                    c"clone_of",
                    &text,
                    fmt!("nothing, or DEVICE/SNAPSHOT of another device whose power is on"),
                );
            }
        })
    }

    /// Takes the name of the snapshot that this device is to begin with.
    fn set_clone_of(&self, text: &CStr) -> Result {
        let mut state = self.state.lock();
        if state.powered.is_some() {
            return Err(EBUSY);
        }
        if !text.is_empty() {
            drop(self.copy_of(text)?);
        }
        state.clone_of = CString::try_from(text)?;
        Ok(())
    }

    /// Calls `f` with the disk of another device.
    ///
    /// # Errors
    ///
    /// `ENODEV` if there is none whose power is on, `EINVAL` for the device itself, and what `f` returns; with a line
    /// in the log.
    fn with_other<R>(&self, other: &CStr, f: impl FnOnce(&RamDisk) -> Result<R>) -> Result<R> {
        let found = match *other == *self.name {
            true => Err(EINVAL),
            false => registry::with_disk(other, f),
        };
        found.inspect_err(|error| {
            if [ENODEV, EINVAL].contains(error) {
                settings::log_refused(
                    Some(&self.name),
                    c"share_store",
                    &other,
                    fmt!(
                        "nothing, or the name of another device whose power is on, with memory and \
                         without cache_size"
                    ),
                );
            }
        })
    }

    /// Takes the name of the device whose store this one is to have.
    fn set_share_store(&self, text: &CStr) -> Result {
        let mut state = self.state.lock();
        if state.powered.is_some() {
            return Err(EBUSY);
        }
        if !text.is_empty() {
            self.with_other(text, RamDisk::can_share)?;
        }
        state.share_store = CString::try_from(text)?;
        Ok(())
    }

    /// `+FIRST-LAST` adds bad sectors, `-FIRST-LAST` clears them.
    fn change_bad_blocks(&self, text: &CStr) -> Result {
        let state = self.state.lock();
        let change = |text: &CStr| -> Result {
            let text = text.to_str().map_err(|_| EINVAL)?;
            match text.split_at_checked(1) {
                Some(("+", range)) => state.kept.bad_blocks.add(parse_range(range)?),
                Some(("-", range)) => state.kept.bad_blocks.clear(parse_range(range)?),
                _ => Err(EINVAL),
            }
        };
        let changed = change(text);
        // Also of a change that failed something can be there.
        if let Some(powered) = &state.powered {
            powered.disk().look_for_detours();
        }
        changed.inspect_err(|error| {
            let what = match *error {
                ENOSPC => "what fits into a list of 512 ranges",
                _ => "+FIRST-LAST or -FIRST-LAST, sectors from 0 to 2^54-1",
            };
            settings::log_refused(Some(&self.name), c"badblocks", &text, fmt!("{what}"));
        })
    }
}

/// With the description all goes.
impl Drop for State {
    fn drop(&mut self) {
        self.powered = None;
        // Somebody may still have the disk open, and so hold the rest.
        self.kept.forget();
    }
}

impl State {
    /// The settings as they are in force.
    fn in_force(&self) -> Settings {
        let mut settings = self.settings.clone();
        if let Some(powered) = &self.powered {
            settings.look_at(powered.disk());
        }
        settings
    }

    /// How much memory the data takes, with the snapshots.
    fn memory_kib(&self) -> u64 {
        match self.kept.memory_kib() {
            // CAST: `u64` is as wide as `usize`.
            Some(kib) => kib as u64,
            None => match &self.powered {
                Some(powered) => powered.disk().memory_mib() << 10,
                None => self.kept.mib() << 10,
            },
        }
    }

    /// While the power is off: this is what the device has when it comes on.
    fn take_over(&mut self, store: Store) {
        self.settings.take_store(&store);
        self.kept.keep(store);
    }

    /// Other ways of changing a disk are forgotten, but not its size: with that goes its data.
    fn power_off(&mut self) {
        if let Some(powered) = self.powered.take() {
            self.settings.take_size(powered.disk().size_mib());
            drop(powered);
            self.settings.take_size(self.kept.mib());
        }
    }
}

/// What stands before and after the first `separator`.
fn split_once(text: &CStr, separator: u8) -> Result<(CString, CString)> {
    let text = text.to_str().map_err(|_| EINVAL)?;
    let (first, second) = text.split_once(char::from(separator)).ok_or(EINVAL)?;
    Ok((
        CString::try_from_fmt(fmt!("{first}"))?,
        CString::try_from_fmt(fmt!("{second}"))?,
    ))
}

/// As the kernel reads numbers: decimal, 0x and hexadecimal, 0 and octal.
fn parse_number(text: &str) -> Result<u64> {
    let text = text.trim();
    let (digits, radix) = match (text.strip_prefix("0x"), text.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (_, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (text, 10),
    };
    u64::from_str_radix(digits, radix).map_err(|_| EINVAL)
}

fn parse_power_cut(text: &CStr) -> Result<PowerCut> {
    let text = text.to_str().map_err(|_| EINVAL)?;
    let (seed, leaves) = text.split_once(' ').unwrap_or((text, "blocks"));
    Ok(PowerCut {
        seed: parse_number(seed)?,
        leaves: match leaves.trim() {
            "nothing" => Leaves::Nothing,
            "blocks" => Leaves::Blocks,
            "torn" => Leaves::Torn,
            _ => return Err(EINVAL),
        },
    })
}

fn parse_range(text: &str) -> Result<RangeInclusive<u64>> {
    let (first, last) = text.split_once('-').ok_or(EINVAL)?;
    let (first, last) = (parse_number(first)?, parse_number(last)?);
    if last > badblocks::MAX_SECTOR {
        return Err(ERANGE);
    }
    Ok(first..=last)
}

/// The attributes: the settings by their numbers, and the others.
#[vtable]
impl<const NUMBER: u64> AttributeOperations<NUMBER> for Description {
    type Data = Description;

    fn show(description: &Description, page: &mut [u8; PAGE_SIZE]) -> Result<usize> {
        let state = description.state.lock();
        match NUMBER {
            POWER => write(page, |f| {
                f.write_fmt(fmt!("{}", u8::from(state.powered.is_some())))
            }),
            INDEX => write(page, |f| {
                let index = state.powered.as_ref().map_or(0, Powered::index);
                f.write_fmt(fmt!("{index}"))
            }),
            BADBLOCKS => Ok(state.kept.bad_blocks.show(page)),
            QUEUE_MODE => write(page, |f| f.write_fmt(fmt!("{QUEUE_MODE_MQ}"))),
            POWER_CUT => match &state.last_cut {
                Some(cut) => write(page, |f| f.write_fmt(fmt!("{cut}"))),
                None => Ok(0),
            },
            SHARE_STORE => write(page, |f| {
                let other = &*state.share_store;
                f.write_fmt(fmt!("{other}"))
            }),
            SNAPSHOT => write_lines(page, |f| state.kept.snapshots.show(f)),
            ROLLBACK | DROP => Ok(0),
            CUT_AT => match state.kept.log() {
                Some(log) => write_lines(page, |f| log.show_states(f)),
                None => Ok(0),
            },
            CLONE_OF => write(page, |f| {
                let snapshot = &*state.clone_of;
                f.write_fmt(fmt!("{snapshot}"))
            }),
            MEMORY_KIB => write(page, |f| {
                let kib = state.memory_kib();
                f.write_fmt(fmt!("{kib}"))
            }),
            _ => {
                let number = usize::try_from(NUMBER)?;
                let setting = SETTINGS.get(number).ok_or(ENOENT)?;
                let value = state.in_force().value(number);
                write(page, |f| setting.show(value, f))
            }
        }
    }

    fn store(description: &Description, page: &[u8]) -> Result {
        registry::check_privilege()?;
        let mut buffer = [0; 128];
        let name = &description.name;
        let text = copy_text(page, &mut buffer).inspect_err(|_| {
            let setting = settings::attribute_name(NUMBER);
            let allowed = fmt!("a text of 127 bytes at most, without NUL");
            settings::log_refused(Some(name), setting, &Written(page), allowed)
        })?;
        let parse = |setting: &CStr, allowed: Allowed| {
            allowed.parse(text).inspect_err(|_| {
                settings::log_refused(Some(name), setting, &text, fmt!("{allowed}"))
            })
        };
        match NUMBER {
            POWER => {
                let on = parse(c"power", Allowed::Switch)?;
                description.set_power(on != 0.into())
            }
            // The driver counts.
            INDEX | MEMORY_KIB => Err(EPERM),
            BADBLOCKS => description.change_bad_blocks(text),
            POWER_CUT => description.cut_power(text),
            SHARE_STORE => description.set_share_store(text),
            SNAPSHOT => description.take_snapshot(text),
            ROLLBACK => description.roll_back(text),
            DROP => description.drop_snapshot(text),
            CUT_AT => description.cut_at(text),
            CLONE_OF => description.set_clone_of(text),
            QUEUE_MODE => {
                parse(c"queue_mode", Allowed::Range(QUEUE_MODE_MQ, QUEUE_MODE_MQ)).map(|_| ())
            }
            _ => {
                let State {
                    settings, powered, ..
                } = &mut *description.state.lock();
                let disk = powered.as_ref().map(Powered::disk);
                settings.change(usize::try_from(NUMBER)?, text, name, disk)
            }
        }
    }
}

/// Writes a line, and gives its length.
fn write(
    page: &mut [u8; PAGE_SIZE],
    f: impl FnOnce(&mut Formatter<'_>) -> fmt::Result,
) -> Result<usize> {
    let mut line = Formatter::new(page);
    f(&mut line)
        .and_then(|()| line.write_str("\n"))
        .map_err(|_| EMSGSIZE)?;
    Ok(line.bytes_written())
}

/// Writes lines, as many as there is room for, and gives their length.
fn write_lines(
    page: &mut [u8; PAGE_SIZE],
    f: impl FnOnce(&mut Formatter<'_>) -> fmt::Result,
) -> Result<usize> {
    let mut lines = Formatter::new(page);
    // The only error is that there is no more room. It counts what it had no room for, too.
    let (written, len) = (f(&mut lines), lines.bytes_written());
    match written {
        Ok(()) => Ok(len),
        Err(_) => Ok(page
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1)),
    }
}

/// What a user wrote, without the space around it.
fn copy_text<'a>(page: &[u8], buffer: &'a mut [u8; 128]) -> Result<&'a CStr> {
    let text = page.trim_ascii();
    let end = text.len();
    buffer.get_mut(..end).ok_or(EINVAL)?.copy_from_slice(text);
    let with_nul = buffer.get(..=end).ok_or(EINVAL)?;
    CStr::from_bytes_with_nul(with_nul).map_err(|_| EINVAL)
}
