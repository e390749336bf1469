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
    os::unix::fs::PermissionsExt,
    path::{
        Path,
        PathBuf, //
    },
};

const EPERM: i32 = 1;
const ENAMETOOLONG: i32 = 36;
const AT_LOAD: &str = "was made when the module was loaded";

/// Where the kernel shows itself.
pub struct Roots {
    pub configfs: PathBuf,
    pub sysfs: PathBuf,
    pub debugfs: PathBuf,
    pub proc: PathBuf,
    pub kernel_log: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A directory below configfs describes it.
    Description,
    /// Module parameters describe it.
    LoadTime,
}

/// A RAM disk, on or off.
pub struct Device<'a> {
    pub name: String,
    pub origin: Origin,
    roots: &'a Roots,
}

impl Roots {
    pub fn real() -> Self {
        Self {
            configfs: "/sys/kernel/config".into(),
            sysfs: "/sys".into(),
            debugfs: "/sys/kernel/debug".into(),
            proc: "/proc".into(),
            kernel_log: "/dev/kmsg".into(),
        }
    }

    /// The directory with a directory for each description.
    fn descriptions(&self) -> PathBuf {
        self.configfs.join("rnullblk")
    }

    /// Says what is missing before anything can be done.
    pub fn check_ready(&self) -> Result {
        if self.descriptions().exists() {
            return Ok(());
        }
        let is_loaded = self.sysfs.join("module/rnullblk").exists();
        let mounts = fs::read_to_string(self.proc.join("self/mountinfo")).unwrap_or_default();
        Err(Error::new(if !is_loaded {
            "rnullblk is not loaded: modprobe rnullblk"
        } else if mounts.contains(" - configfs ") {
            "rnullblk was loaded before configfs: rmmod rnullblk, then modprobe rnullblk"
        } else {
            "configfs is not mounted: mount -t configfs configfs /sys/kernel/config"
        }))
    }

    /// The names of all attributes that this module has.
    fn features(&self) -> Result<Vec<String>> {
        let text = read(&self.descriptions().join("features"))?;
        Ok(text.split(',').map(|name| name.trim().into()).collect())
    }

    /// All devices, those with a description first.
    pub fn devices(&self) -> Result<Vec<Device<'_>>> {
        self.check_ready()?;
        let descriptions = entries(&self.descriptions())?;
        let described = descriptions
            .into_iter()
            .filter(|name| self.descriptions().join(name).is_dir());
        let mut devices: Vec<_> = described
            .map(|name| self.device_of(name, Origin::Description))
            .collect();
        for name in entries(&self.sysfs.join("block"))? {
            if is_load_time_name(&name) && devices.iter().all(|device| device.name != name) {
                devices.push(self.device_of(name, Origin::LoadTime));
            }
        }
        // rblk2 comes before rblk10.
        devices.sort_by_key(|device| (device.origin as u8, device.name.len(), device.name.clone()));
        Ok(devices)
    }

    pub fn device(&self, name: &str) -> Result<Device<'_>> {
        let found = self.devices()?.into_iter().find(|found| found.name == name);
        found.ok_or_else(|| {
            Error::new(format!(
                "there is no device {name}: 'rblkctl list' shows all"
            ))
        })
    }

    /// Makes a description called `name`, or the first free `rblkN`.
    pub fn describe(&self, name: Option<&str>) -> Result<Device<'_>> {
        self.check_ready()?;
        let mut numbers = 0..;
        loop {
            let chosen = name.map_or_else(|| self.free_name(&mut numbers), String::from);
            match fs::create_dir(self.descriptions().join(&chosen)) {
                Ok(()) => return Ok(self.device_of(chosen, Origin::Description)),
                // Somebody else was faster: the next one.
                Err(error) if error.kind() == ErrorKind::AlreadyExists && name.is_none() => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    return Err(Error::new(format!("there is a device {chosen} already")));
                }
                Err(error) if error.raw_os_error() == Some(ENAMETOOLONG) => {
                    return Err(Error::new(format!(
                        "the name {chosen} is too long: at most 31 bytes"
                    )));
                }
                Err(error) => return Err(Error::io(chosen, &error)),
            }
        }
    }

    /// The next `rblkN` that neither a description nor a block device has.
    fn free_name(&self, numbers: &mut impl Iterator<Item = u64>) -> String {
        let is_free = |name: &String| {
            !self.descriptions().join(name).exists()
                && !self.sysfs.join("block").join(name).exists()
        };
        let mut names = numbers.map(|number| format!("rblk{number}"));
        names.find(is_free).unwrap_or_default()
    }

    fn device_of(&self, name: String, origin: Origin) -> Device<'_> {
        Device {
            name,
            origin,
            roots: self,
        }
    }
}

impl Device<'_> {
    pub fn path(&self) -> String {
        format!("/dev/{}", self.name)
    }

    /// The directory of the block device, there while it is on.
    pub fn sysfs(&self) -> PathBuf {
        self.roots.sysfs.join("block").join(&self.name)
    }

    pub fn debugfs(&self) -> PathBuf {
        self.roots.debugfs.join("rnullblk").join(&self.name)
    }

    pub fn is_on(&self) -> bool {
        self.sysfs().exists()
    }

    pub fn state(&self) -> &'static str {
        match self.origin {
            Origin::LoadTime => "load-time",
            Origin::Description if self.is_on() => "on",
            Origin::Description => "off",
        }
    }

    /// The directory with a file for each attribute that can be set.
    fn directory(&self) -> PathBuf {
        match self.origin {
            Origin::Description => self.roots.descriptions().join(&self.name),
            Origin::LoadTime => self.debugfs(),
        }
    }

    /// All attributes with their values. Empty if the device vanishes meanwhile.
    pub fn attributes(&self) -> Result<BTreeMap<String, String>> {
        let mut values = match self.origin {
            Origin::Description => BTreeMap::new(),
            Origin::LoadTime => self.parameters()?,
        };
        for name in self.settable()? {
            if let Some(value) = read_if_there(&self.directory().join(&name))? {
                values.insert(name, value);
            }
        }
        Ok(values)
    }

    /// What the module's parameters say of a device that was made from them.
    fn parameters(&self) -> Result<BTreeMap<String, String>> {
        let parameters = self.roots.sysfs.join("module/rnullblk/parameters");
        let mut values = BTreeMap::new();
        for name in self.roots.features()? {
            if let Some(value) = read_if_there(&parameters.join(&name))? {
                values.insert(name, value);
            }
        }
        // It may have grown since.
        if let Some(sectors) = read_if_there(&self.sysfs().join("size"))? {
            let mib = sectors.parse::<u64>().unwrap_or(0) >> 11;
            values.insert("size".into(), mib.to_string());
        }
        Ok(values)
    }

    /// The attributes that have a file: below debugfs, the files that can be read and written.
    fn settable(&self) -> Result<Vec<String>> {
        let is_attribute = |name: &String| {
            let Ok(file) = fs::metadata(self.directory().join(name)) else {
                return false;
            };
            let mode = file.permissions().mode();
            file.is_file() && (self.origin == Origin::Description || mode & 0o600 == 0o600)
        };
        Ok(entries(&self.directory())?
            .into_iter()
            .filter(is_attribute)
            .collect())
    }

    /// Sets an attribute. If the driver refuses, the error says why.
    pub fn set(&self, attribute: &str, value: &str) -> Result {
        let file = self.directory().join(attribute);
        let known = self.settable()?;
        if !known.iter().any(|name| name == attribute) {
            return Err(self.unknown(attribute, &known));
        }
        let log = KernelLog::from_now_on(&self.roots.kernel_log);
        write(&file, value).map_err(|error| {
            let reason = log.and_then(|log| log.last_about(&self.name));
            self.refused(attribute, value, &error, reason)
        })
    }

    fn unknown(&self, attribute: &str, known: &[String]) -> Error {
        let (name, known) = (&self.name, known.join(", "));
        Error::Message(match self.origin {
            Origin::Description => {
                format!("{name} has no attribute {attribute}; there are: {known}")
            }
            Origin::LoadTime => {
                format!("{name} {AT_LOAD}: {attribute} cannot be set; what can: {known}")
            }
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
        match error.kind() {
            _ if error.raw_os_error() == Some(EPERM) => {
                Error::new(format!("{name}: {attribute} can only be read"))
            }
            ErrorKind::PermissionDenied => Error::io(name, error),
            ErrorKind::ResourceBusy if attribute == "size" => Error::new(format!(
                "{name}: the device is in use and would shrink: close it first, or add --force"
            )),
            ErrorKind::ResourceBusy if attribute != "power" && self.is_on() => Error::new(format!(
                "{name}: {attribute} cannot change while the device is on: rblkctl off {name}"
            )),
            _ => Error::Message(reason.unwrap_or_else(|| {
                let cause = cause(error);
                format!("{name}: {attribute}={value}: {cause}; the kernel log may say why: dmesg | tail -n 1")
            })),
        }
    }

    /// Removes the description, and with it the block device if it is on.
    pub fn remove(&self) -> Result {
        if self.origin == Origin::LoadTime {
            let name = &self.name;
            return Err(Error::new(format!(
                "{name} {AT_LOAD} and goes with it: rmmod rnullblk"
            )));
        }
        fs::remove_dir(self.directory()).map_err(|error| Error::io(&self.name, &error))
    }
}

/// Devices made at load are called `rblk0`, `rblk1`, and so on.
fn is_load_time_name(name: &str) -> bool {
    let number = name.strip_prefix("rblk").unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
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

/// A file's text without the last line end.
pub fn read(file: &Path) -> Result<String> {
    let text = fs::read_to_string(file).map_err(|error| Error::io(file.display(), &error))?;
    Ok(text.trim_end().into())
}

fn read_if_there(file: &Path) -> Result<Option<String>> {
    if file.exists() {
        read(file).map(Some)
    } else {
        Ok(None)
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
        assert_eq!(message(fake.roots.devices()), loading);
        fake.write("sys/module/rnullblk/parameters/size", "256\n");
        let mounting = "configfs is not mounted: mount -t configfs configfs /sys/kernel/config";
        assert_eq!(message(fake.roots.devices()), mounting);
        let mount = "30 22 0:23 / /sys/kernel/config rw - configfs configfs rw\n";
        fake.write("proc/self/mountinfo", mount);
        let again = "rnullblk was loaded before configfs: rmmod rnullblk, then modprobe rnullblk";
        assert_eq!(message(fake.roots.devices()), again);
    }

    /// A free name is one that neither a description nor a block device has.
    #[test]
    fn first_free_name_is_taken() {
        let fake = Fake::new();
        fake.describe("rblk0", &[]);
        fake.write("sys/block/rblk1/size", "2048\n");
        let made = fake.roots.describe(None).expect("made");
        assert_eq!(made.name, "rblk2");
        let next = fake.roots.describe(None).expect("made");
        assert_eq!(next.name, "rblk3");
    }

    /// A name that another process took after we looked is skipped.
    #[test]
    fn race_for_a_name_takes_the_next() {
        let fake = Fake::new();
        // A link to nowhere does not exist for those who look, but is in the way of a directory.
        let link = fake.roots.descriptions().join("rblk0");
        std::os::unix::fs::symlink("nowhere", link).expect("link");
        let made = fake.roots.describe(None).expect("made");
        assert_eq!(made.name, "rblk1");
    }

    /// A name that is taken, and one that is too long, are errors that say so.
    #[test]
    fn bad_names_are_explained() {
        let fake = Fake::new();
        fake.describe("disk", &[]);
        let taken = message(fake.roots.describe(Some("disk")));
        assert_eq!(taken, "there is a device disk already");
        let long = message(fake.roots.describe(Some(&"x".repeat(300))));
        assert!(long.ends_with("too long: at most 31 bytes"), "{long}");
    }

    /// Devices come in the order of their numbers, each with its origin; other disks are not ours.
    #[test]
    fn devices_are_found_in_order() {
        let fake = Fake::new();
        for name in ["rblk10", "rblk2"] {
            fake.describe(name, &[]);
        }
        for name in ["rblk2", "rblk0", "sda", "rblkx"] {
            fake.write(&format!("sys/block/{name}/size"), "2048\n");
        }
        let devices = fake.roots.devices().expect("devices");
        let found: Vec<_> = devices
            .iter()
            .map(|d| (d.name.as_str(), d.state()))
            .collect();
        let expected = [("rblk2", "on"), ("rblk10", "off"), ("rblk0", "load-time")];
        assert_eq!(found, expected);
    }

    /// Whatever attribute the kernel has can be set; another one is refused with a list of those.
    #[test]
    fn attributes_are_those_of_the_kernel() {
        let fake = Fake::new();
        fake.describe("rblk3", &[("brand_new", "1"), ("size", "64")]);
        let device = fake.roots.device("rblk3").expect("device");
        device.set("brand_new", "2").expect("set");
        assert_eq!(device.attributes().expect("values")["brand_new"], "2");
        assert_eq!(
            message(device.set("old", "1")),
            "rblk3 has no attribute old; there are: brand_new, size"
        );
    }

    /// A device made at load shows parameters and what changed since, and takes what debugfs takes.
    #[test]
    fn load_time_device_works_without_description() {
        let fake = Fake::new();
        fake.load_time("rblk0");
        let device = fake.roots.device("rblk0").expect("device");
        let values = device.attributes().expect("values");
        assert_eq!((&*values["size"], &*values["blocksize"]), ("512", "4096"));
        assert!(!values.contains_key("nr_devices") && !values.contains_key("queues"));
        device.set("size", "1024").expect("set");
        assert_eq!(device.attributes().expect("values")["size"], "1024");
        assert_eq!(
            message(device.set("blocksize", "512")),
            "rblk0 was made when the module was loaded: blocksize cannot be set; what can: size"
        );
        assert_eq!(
            message(device.remove()),
            "rblk0 was made when the module was loaded and goes with it: rmmod rnullblk"
        );
    }

    /// Each refusal says what to do; the driver's own reason goes before the system's.
    #[test]
    fn refusals_say_what_to_do() {
        let fake = Fake::new();
        fake.describe("rblk3", &[]);
        fake.write("sys/block/rblk3/size", "2048\n");
        let device = fake.roots.device("rblk3").expect("device");
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
        let reason = "rblk3: size=0 refused: allowed is 1 to 9";
        assert_eq!(refused("size", 34, Some(reason)), reason);
        assert_eq!(
            refused("size", 34, None),
            "rblk3: size=0: Numerical result out of range; the kernel log may say why: dmesg | tail -n 1"
        );
    }
}
