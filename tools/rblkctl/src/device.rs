// SPDX-License-Identifier: GPL-2.0

//! RAM disks, as configfs, sysfs and debugfs show them. Which attributes there are is read there.

use crate::{
    error::{
        cause,
        Error,
        Result, //
    },
    kernel_log::KernelLog, //
};
use std::{
    collections::BTreeMap,
    fs,
    io::{
        self,
        ErrorKind,
        Write, //
    },
    path::{
        Path,
        PathBuf, //
    },
};

const EPERM: i32 = 1;
const ENODEV: i32 = 19;
const ENAMETOOLONG: i32 = 36;
const AT_LOAD: &str = "was made when the module was loaded";

/// Below which directory the kernel shows itself: `/`, but for tests.
pub struct Root(pub PathBuf);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    On,
    Off,
    /// Its power is on, but the disk was pulled out.
    Gone,
}

/// A RAM disk, on or off.
pub struct Device<'a> {
    pub name: String,
    /// Module parameters describe it, not a directory below configfs.
    pub is_load_time: bool,
    root: &'a Root,
}

impl Root {
    pub fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    /// The directory with a directory for each description.
    fn descriptions(&self) -> PathBuf {
        self.path("sys/kernel/config/rnullblk")
    }

    fn parameters(&self) -> PathBuf {
        self.path("sys/module/rnullblk/parameters")
    }

    fn disk(&self, name: &str) -> PathBuf {
        self.path("sys/block").join(name)
    }

    fn check_loaded(&self) -> Result {
        match self.path("sys/module/rnullblk").exists() {
            true => Ok(()),
            false => Err(Error::new("rnullblk is not loaded: modprobe rnullblk")),
        }
    }

    /// Says what is missing before anything can be described.
    fn check_configfs(&self) -> Result {
        self.check_loaded()?;
        if self.descriptions().exists() {
            return Ok(());
        }
        let mounts = read_if_there(&self.path("proc/self/mountinfo"))?.unwrap_or_default();
        let is_mounted = mounts.contains(" - configfs ");
        Err(Error::new(
            if is_mounted || !self.path("sys/kernel/config").exists() {
                "rnullblk was loaded without configfs: rmmod rnullblk; modprobe configfs; modprobe rnullblk"
            } else {
                "configfs is not mounted: mount -t configfs configfs /sys/kernel/config"
            },
        ))
    }

    /// Who may not look below debugfs is told so later.
    pub fn check_debugfs(&self) -> Result {
        match self.path("sys/kernel/debug/rnullblk").try_exists() {
            Ok(false) => Err(Error::new(
                "debugfs is not mounted: mount -t debugfs debugfs /sys/kernel/debug",
            )),
            _ => Ok(()),
        }
    }

    /// All devices, those with a description first.
    pub fn devices(&self) -> Result<Vec<Device<'_>>> {
        self.check_loaded()?;
        let mut described = entries(&self.descriptions())?;
        described.retain(|name| self.descriptions().join(name).is_dir());
        described.sort_by_key(|name| (name.len(), name.clone())); // rblk2 comes before rblk10
        let described = described
            .into_iter()
            .map(|name| self.device_of(name, false));
        let at_load =
            (0..self.made_at_load()?).map(|number| self.device_of(format!("rblk{number}"), true));
        Ok(described.chain(at_load).collect())
    }

    pub fn device(&self, name: &str) -> Result<Device<'_>> {
        self.check_loaded()?;
        if self.descriptions().join(name).is_dir() {
            return Ok(self.device_of(name.into(), false));
        }
        let number = name
            .strip_prefix("rblk")
            .and_then(|digits| digits.parse().ok());
        let at_load = self.made_at_load()?;
        if number.is_some_and(|number: u64| number < at_load && name == format!("rblk{number}")) {
            return Ok(self.device_of(name.into(), true));
        }
        self.check_configfs()?;
        Err(Error::new(format!(
            "there is no device {name}: 'rblkctl list' shows all"
        )))
    }

    /// The parameters made `rblk0`, `rblk1`, and so on: so many.
    fn made_at_load(&self) -> Result<u64> {
        let count = read_if_there(&self.parameters().join("nr_devices"))?;
        Ok(count.and_then(|count| count.parse().ok()).unwrap_or(0))
    }

    /// Makes a description called `name`, or the first `rblkN` that neither a description nor a disk has.
    pub fn describe(&self, name: Option<&str>) -> Result<Device<'_>> {
        self.check_configfs()?;
        let mut number = 0;
        loop {
            let chosen = name.map_or_else(|| format!("rblk{number}"), String::from);
            number += 1;
            let directory = self.descriptions().join(&chosen);
            let is_disk = !directory.exists() && self.disk(&chosen).exists();
            let made = match is_disk {
                true => Err(ErrorKind::AlreadyExists.into()),
                false => fs::create_dir(directory),
            };
            return match made {
                Ok(()) => Ok(self.device_of(chosen, false)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => match name {
                    None => continue,
                    Some(_) => Err(Error::new(format!(
                        "there is a {} {chosen} already",
                        if is_disk { "disk" } else { "device" }
                    ))),
                },
                Err(error) if error.raw_os_error() == Some(ENAMETOOLONG) => Err(Error::new(
                    format!("the name {chosen} is too long: at most 31 bytes"),
                )),
                Err(error) => Err(Error::io(chosen, &error)),
            };
        }
    }

    fn device_of(&self, name: String, is_load_time: bool) -> Device<'_> {
        Device {
            name,
            is_load_time,
            root: self,
        }
    }
}

impl Device<'_> {
    pub fn path(&self) -> String {
        format!("/dev/{}", self.name)
    }

    /// The directory of the block device, there while it is on and not gone.
    pub fn sysfs(&self) -> PathBuf {
        self.root.disk(&self.name)
    }

    pub fn debugfs(&self) -> PathBuf {
        self.root.path("sys/kernel/debug/rnullblk").join(&self.name)
    }

    fn description(&self) -> PathBuf {
        self.root.descriptions().join(&self.name)
    }

    pub fn state(&self) -> Result<State> {
        if !self.is_load_time {
            let power = read_if_there(&self.description().join("power"))?;
            if power.as_deref() != Some("1") {
                return Ok(State::Off);
            }
        }
        let sectors = read_if_there(&self.sysfs().join("size"))?;
        Ok(match sectors.as_deref() {
            None | Some("0") => State::Gone,
            Some(_) => State::On,
        })
    }

    /// An error that says how to switch it on, if it is not.
    pub fn check_on(&self) -> Result {
        let name = &self.name;
        Err(Error::new(match (self.state()?, self.is_load_time) {
            (State::On, _) => return Ok(()),
            (State::Off, _) => format!("{name} is off: rblkctl on {name}"),
            (State::Gone, false) => {
                format!("{name} is gone: rblkctl off {name}, then rblkctl on {name}")
            }
            (State::Gone, true) => {
                format!("{name} is gone: rmmod rnullblk, then modprobe rnullblk")
            }
        }))
    }

    /// An error for what lives as long as the module.
    pub fn check_described(&self) -> Result {
        match self.is_load_time {
            false => Ok(()),
            true => Err(Error::new(format!(
                "{} {AT_LOAD} and goes with it: rmmod rnullblk",
                self.name
            ))),
        }
    }

    /// All attributes with their values. Empty if the device vanishes meanwhile.
    pub fn attributes(&self) -> Result<BTreeMap<String, String>> {
        let directory = match self.is_load_time {
            true => self.root.parameters(),
            false => self.description(),
        };
        let mut values = BTreeMap::new();
        for name in entries(&directory)? {
            if let Some(value) = read_if_there(&directory.join(&name))? {
                values.insert(name, value);
            }
        }
        if self.is_load_time {
            values.remove("nr_devices");
            // It may have changed since, which others than root do not see below debugfs.
            if let Some(sectors) = read_if_there(&self.sysfs().join("size"))? {
                let mib = sectors.parse::<u64>().unwrap_or(0) >> 11;
                values.insert("size".into(), mib.to_string());
            }
            for (name, value) in &mut values {
                if let Ok(Some(now)) = read_if_there(&self.debugfs().join(name)) {
                    *value = now;
                }
            }
        }
        Ok(values)
    }

    /// The file that sets an attribute: of a device made at load, below debugfs.
    fn file(&self, attribute: &str) -> PathBuf {
        match self.is_load_time {
            true => self.debugfs().join(attribute),
            false => self.description().join(attribute),
        }
    }

    pub fn check_has(&self, attribute: &str) -> Result {
        let mut is_parameter = true;
        if self.is_load_time {
            self.root.check_debugfs()?;
            is_parameter = self.root.parameters().join(attribute).exists();
        }
        match self.file(attribute).try_exists() {
            Ok(true) if is_parameter => Ok(()),
            Ok(_) => Err(self.unknown(attribute)),
            Err(error) => Err(Error::io(&self.name, &error)),
        }
    }

    /// Sets an attribute. If the driver refuses, the error says why.
    pub fn set(&self, attribute: &str, value: &str) -> Result {
        let log = KernelLog::from_now_on(&self.root.path("dev/kmsg"));
        write(&self.file(attribute), value).map_err(|error| {
            let reason = log.and_then(|log| log.last_about(&self.name));
            self.refused(attribute, value, &error, reason)
        })
    }

    fn unknown(&self, attribute: &str) -> Error {
        let mut known = self.attributes().unwrap_or_default();
        known.retain(|name, _| self.file(name).exists());
        let known = known.into_keys().collect::<Vec<_>>().join(", ");
        let name = &self.name;
        Error::new(match self.is_load_time {
            true => format!("{name} {AT_LOAD}: {attribute} cannot be set; what can: {known}"),
            false => format!("{name} has no attribute {attribute}; there are: {known}"),
        })
    }

    /// What it means that an attribute cannot be written.
    fn refused(
        &self,
        attribute: &str,
        value: &str,
        error: &io::Error,
        reason: Option<String>,
    ) -> Error {
        let name = &self.name;
        let is_on = || self.state().is_ok_and(|state| state != State::Off);
        let shares = |reason: &str| reason.contains("shares the store");
        let is_shared = reason.as_deref().is_some_and(shares);
        match error.kind() {
            ErrorKind::NotFound if reason.is_none() => self.unknown(attribute),
            _ if error.raw_os_error() == Some(EPERM) => {
                Error::new(format!("{name}: {attribute} can only be read"))
            }
            ErrorKind::PermissionDenied => Error::io(name, error),
            ErrorKind::ResourceBusy if attribute == "size" && !is_shared => Error::new(format!(
                "{name}: the device is in use and would shrink: close it first, or add --force"
            )),
            ErrorKind::ResourceBusy if attribute != "power" && reason.is_none() && is_on() => {
                Error::new(format!(
                    "{name}: {attribute} cannot change while the device is on: rblkctl off {name}"
                ))
            }
            _ => Error::Message(reason.unwrap_or_else(|| {
                let cause = cause(error);
                format!("{name}: {attribute}={value}: {cause}; the kernel log may say why: dmesg | tail -n 1")
            })),
        }
    }

    /// Removes the description, and with it the block device if it is on. That somebody else did is as good.
    pub fn remove(&self) -> Result {
        match fs::remove_dir(self.description()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io(&self.name, &error)),
            _ => Ok(()),
        }
    }
}

/// The names in a directory, sorted; none if it is not there.
pub fn entries(directory: &Path) -> Result<Vec<String>> {
    let failed = |error| Error::io(directory.display(), &error);
    let mut names = Vec::new();
    let found = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(names),
        found => found.map_err(failed)?,
    };
    for entry in found {
        names.push(entry.map_err(failed)?.file_name().to_string_lossy().into());
    }
    names.sort();
    Ok(names)
}

/// A file's text without the last line end. Nothing if it is not there, or goes while it is read.
pub fn read_if_there(file: &Path) -> Result<Option<String>> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim_end().into())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(ENODEV) => Ok(None),
        Err(error) => Err(Error::io(file.display(), &error)),
    }
}

/// One write, because the driver takes each as a value of its own.
fn write(file: &Path, value: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(file)?;
    file.write_all(format!("{value}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    fn message<T>(result: Result<T>) -> String {
        result
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    /// What is missing is told apart: the module, the mount, or configfs when the module was loaded.
    #[test]
    fn what_is_missing_is_named() {
        let fake = Fake::empty();
        let loading = "rnullblk is not loaded: modprobe rnullblk";
        assert_eq!(message(fake.root.describe(None)), loading);
        fake.write("sys/module/rnullblk/parameters/size", "256\n");
        let again = "rnullblk was loaded without configfs: rmmod rnullblk; modprobe configfs; modprobe rnullblk";
        assert_eq!(message(fake.root.describe(None)), again);
        fs::create_dir_all(fake.root.path("sys/kernel/config")).expect("directory");
        let mounting = "configfs is not mounted: mount -t configfs configfs /sys/kernel/config";
        assert_eq!(message(fake.root.device("rblk0")), mounting);
        let mount = "30 22 0:23 / /sys/kernel/config rw - configfs configfs rw\n";
        fake.write("proc/self/mountinfo", mount);
        assert_eq!(message(fake.root.describe(None)), again);
    }

    /// A name that is taken, and one that is too long, are errors that say so.
    #[test]
    fn bad_names_are_explained() {
        let fake = Fake::new();
        fake.on("disk", &[]);
        fake.write("sys/block/sda/size", "2048\n");
        let taken = |name| message(fake.root.describe(Some(name)));
        assert_eq!(taken("disk"), "there is a device disk already");
        assert_eq!(taken("sda"), "there is a disk sda already");
        let long = taken(&"x".repeat(300));
        assert!(long.ends_with("too long: at most 31 bytes"), "{long}");
    }

    /// Devices come in the order of their numbers; those of others are not ours, whatever their names.
    #[test]
    fn devices_are_found_in_order() {
        let fake = Fake::new();
        fake.load_time();
        fake.describe("rblk10", &[("power", "0")]);
        fake.on("rblk2", &[]);
        for name in ["rblk1", "rblk10", "sda"] {
            fake.write(&format!("sys/block/{name}/size"), "2048\n");
        }
        let devices = fake.root.devices().expect("devices");
        let found: Vec<_> = devices
            .iter()
            .map(|d| (d.name.as_str(), d.is_load_time, d.state().expect("state")))
            .collect();
        let expected = [
            ("rblk2", false, State::On),
            ("rblk10", false, State::Off),
            ("rblk0", true, State::On),
        ];
        assert_eq!(found, expected);
        for (name, ..) in expected {
            assert!(fake.root.device(name).is_ok());
        }
        for name in ["rblk1", "rblk00", "sda"] {
            let unknown = format!("there is no device {name}: 'rblkctl list' shows all");
            assert_eq!(message(fake.root.device(name)), unknown);
        }
    }

    /// A device made at load shows parameters and what changed since, and takes what debugfs takes.
    #[test]
    fn load_time_device_works_without_description() {
        let fake = Fake::new();
        fake.load_time();
        let device = fake.root.device("rblk0").expect("device");
        let values = device.attributes().expect("values");
        assert_eq!((&*values["size"], &*values["blocksize"]), ("512", "4096"));
        assert!(!values.contains_key("nr_devices"));
        for attribute in ["blocksize", "queues"] {
            let expected = format!(
                "rblk0 was made when the module was loaded: {attribute} cannot be set; what can: size"
            );
            assert_eq!(message(device.check_has(attribute)), expected);
        }
        fs::remove_dir_all(fake.root.path("sys/kernel/debug")).expect("removed");
        let mounting = "debugfs is not mounted: mount -t debugfs debugfs /sys/kernel/debug";
        assert_eq!(message(device.check_has("size")), mounting);
    }

    /// Each refusal says what to do; the driver's own reason goes before the system's.
    #[test]
    fn refusals_say_what_to_do() {
        let fake = Fake::new();
        fake.on("rblk3", &[]);
        let device = fake.root.device("rblk3").expect("device");
        let refused = |attribute, errno, reason: Option<&str>| {
            let error = io::Error::from_raw_os_error(errno);
            let refused = device.refused(attribute, "0", &error, reason.map(String::from));
            refused.to_string()
        };
        let off = "rblk3: blocksize cannot change while the device is on: rblkctl off rblk3";
        assert_eq!(refused("blocksize", 16, None), off);
        assert!(refused("size", 16, None).ends_with("close it first, or add --force"));
        assert_eq!(refused("size", 13, None), "needs root: try sudo");
        assert_eq!(refused("index", 1, None), "rblk3: index can only be read");
        let open = "rblk3: rollback=a refused: allowed is nothing while it is open";
        assert_eq!(refused("rollback", 16, Some(open)), open);
        let reason = "rblk3: size=0 refused: allowed is 1 to 9";
        assert_eq!(refused("size", 34, Some(reason)), reason);
        assert_eq!(
            refused("size", 34, None),
            "rblk3: size=0: Numerical result out of range; the kernel log may say why: dmesg | tail -n 1"
        );
    }
}
