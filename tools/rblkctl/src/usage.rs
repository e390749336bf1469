// SPDX-License-Identifier: GPL-2.0

//! Who uses a device or one of its partitions: mounts, swap, and other block devices on top.

use crate::{
    device::{
        entries,
        read_if_there,
        Device,
        Root,
        State, //
    },
    error::{
        Error,
        Result, //
    },
};
use std::{
    fs::OpenOptions,
    io::ErrorKind,
    os::unix::fs::OpenOptionsExt,
    path::PathBuf, //
};

/// `O_EXCL` where rnullblk runs: a block device that somebody has claimed cannot be opened.
const O_EXCL: i32 = 0o200;

/// Somebody uses a device or one of its partitions.
pub struct Usage {
    /// As lsblk shows it: a mount point, or something else in brackets.
    pub shown: String,
    /// What to do before the device can go.
    advice: String,
}

/// What this mount namespace mounts, and what all use as swap.
pub struct Usages<'a> {
    root: &'a Root,
    mounts: String,
    swaps: String,
}

impl<'a> Usages<'a> {
    pub fn read(root: &'a Root) -> Result<Self> {
        let read = |file| read_if_there(&root.path("proc").join(file));
        Ok(Self {
            root,
            mounts: read("self/mountinfo")?.unwrap_or_default(),
            swaps: read("swaps")?.unwrap_or_default(),
        })
    }

    /// An error if somebody uses the device: with advice if we see who does.
    pub fn check_unused(&self, device: &Device<'_>) -> Result {
        if device.state()? == State::Off {
            return Ok(());
        }
        if let Some(usage) = self.of(device)?.into_iter().next() {
            return Err(Error::Message(usage.advice));
        }
        let mut options = OpenOptions::new();
        let node = self.root.path("dev").join(&device.name);
        match options.read(true).custom_flags(O_EXCL).open(node) {
            Err(error) if error.kind() == ErrorKind::ResourceBusy => {
                Err(Error::new(format!("{} is in use", device.name)))
            }
            _ => Ok(()),
        }
    }

    /// Who uses the device and its partitions.
    pub fn of(&self, device: &Device<'_>) -> Result<Vec<Usage>> {
        let mut found = Vec::new();
        if device.state()? == State::Off {
            return Ok(found);
        }
        for (name, directory) in parts(device)? {
            let Some(number) = read_if_there(&directory.join("dev"))? else {
                continue;
            };
            let mounts = self.mounts.lines();
            let mounts = mounts.filter_map(|line| mount_point(line, &number, &name));
            found.extend(mounts.map(|path| Usage {
                advice: format!("{name} is mounted on {path}: unmount it first"),
                shown: path,
            }));
            let path = format!("/dev/{name}");
            let mut swaps = self.swaps.lines();
            if swaps.any(|line| line.split_whitespace().next() == Some(&path)) {
                found.push(Usage {
                    shown: "[SWAP]".into(),
                    advice: format!("{name} is used as swap: swapoff {path} first"),
                });
            }
            let holders = entries(&directory.join("holders"))?.into_iter();
            found.extend(holders.map(|holder| Usage {
                shown: format!("[{holder}]"),
                advice: format!("{name} is held by {holder}: release it first"),
            }));
        }
        Ok(found)
    }
}

/// The device and its partitions, with their directories in sysfs.
fn parts(device: &Device<'_>) -> Result<Vec<(String, PathBuf)>> {
    let whole = device.sysfs();
    let names = entries(&whole)?.into_iter();
    let partitions = names
        .map(|name| (name.clone(), whole.join(name)))
        .filter(|(_, directory)| directory.join("partition").exists())
        .collect();
    Ok([vec![(device.name.clone(), whole)], partitions].concat())
}

/// Where a line of mountinfo says that the device is mounted: by its number, or, where a file
/// system has a number of its own as btrfs has, by its name.
fn mount_point(line: &str, number: &str, name: &str) -> Option<String> {
    let (mount, source) = line.split_once(" - ")?;
    let mut fields = mount.split(' ');
    let is_number = fields.nth(2)? == number;
    let is_name = source.split(' ').nth(1)? == format!("/dev/{name}");
    let path = fields.nth(1)?;
    (is_number || is_name).then(|| unescape(path))
}

/// The kernel writes blanks and backslashes in paths as `\040` and the like.
fn unescape(path: &str) -> String {
    let escapes = [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ];
    let replace = |path: String, (escape, plain)| path.replace(escape, plain);
    escapes.into_iter().fold(path.to_string(), replace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    /// What keeps a device with one partition, among others, from going.
    fn refusal(mounts: &str, swaps: &str, holders: &[&str]) -> String {
        let fake = Fake::new();
        fake.on("rblk3", &[]);
        fake.write("sys/block/rblk3/dev", "259:0\n");
        fake.write("sys/block/rblk3/rblk3p1/partition", "1\n");
        fake.write("sys/block/rblk3/rblk3p1/dev", "259:1\n");
        for holder in holders {
            fake.write(&format!("sys/block/rblk3/rblk3p1/holders/{holder}"), "");
        }
        let others = "22 1 259:10 / / rw - ext4 /dev/rblk33 rw\n";
        fake.write("proc/self/mountinfo", format!("{others}{mounts}"));
        let others = "Filename Type Size Used Priority\n/dev/rblk33 partition 100 0 -2\n";
        fake.write("proc/swaps", format!("{others}{swaps}"));
        let device = fake.root.device("rblk3").expect("device");
        let usages = Usages::read(&fake.root).expect("usages");
        let error = usages.check_unused(&device).err();
        error.map(|error| error.to_string()).unwrap_or_default()
    }

    /// A mount is found by its number, or by its name as of btrfs, which has other numbers; a partition that is used
    /// keeps its disk; who uses others is not asked.
    #[test]
    fn users_are_found() {
        assert_eq!(refusal("", "", &[]), "");
        let by_number = "30 22 259:0 / /my\\040disk rw shared:1 - ext4 /dev/disk/by-id/x rw\n";
        let expected = "rblk3 is mounted on /my disk: unmount it first";
        assert_eq!(refusal(by_number, "", &[]), expected);
        let btrfs = "30 22 0:45 / /mnt rw - btrfs /dev/rblk3p1 rw\n";
        let expected = "rblk3p1 is mounted on /mnt: unmount it first";
        assert_eq!(refusal(btrfs, "", &[]), expected);
        let swap = "/dev/rblk3\tpartition\t100\t0\t-2\n";
        let expected = "rblk3 is used as swap: swapoff /dev/rblk3 first";
        assert_eq!(refusal("", swap, &[]), expected);
        let expected = "rblk3p1 is held by dm-0: release it first";
        assert_eq!(refusal("", "", &["dm-0"]), expected);
    }
}
