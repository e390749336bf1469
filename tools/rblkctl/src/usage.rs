// SPDX-License-Identifier: GPL-2.0

//! Who uses a device or one of its partitions: mounts, swap, and other block devices on top.

use crate::{
    device::{
        entries,
        read,
        Device,
        Roots, //
    },
    error::{
        Error,
        Result, //
    },
};
use std::path::PathBuf;

#[derive(Debug, PartialEq, Eq)]
pub enum User {
    Mount(String),
    Swap,
    Holder(String),
}

/// Somebody uses `device`, which is a device of ours or a partition.
#[derive(Debug, PartialEq, Eq)]
pub struct Usage {
    pub device: String,
    pub user: User,
}

impl Usage {
    /// As lsblk shows it: a mount point, or something else in brackets.
    pub fn show(&self) -> String {
        match &self.user {
            User::Mount(path) => path.clone(),
            User::Swap => "[SWAP]".into(),
            User::Holder(name) => format!("[{name}]"),
        }
    }

    /// What to do before the device can go.
    fn advice(&self) -> String {
        let device = &self.device;
        match &self.user {
            User::Mount(path) => format!("{device} is mounted on {path}: unmount it first"),
            User::Swap => format!("{device} is used as swap: swapoff /dev/{device} first"),
            User::Holder(name) => format!("{device} is held by {name}: release it first"),
        }
    }
}

/// An error if somebody uses the device.
pub fn check_unused(roots: &Roots, device: &Device<'_>) -> Result {
    match usages(roots, device)?.first() {
        Some(usage) => Err(Error::Message(usage.advice())),
        None => Ok(()),
    }
}

/// Who uses the device and its partitions.
pub fn usages(roots: &Roots, device: &Device<'_>) -> Result<Vec<Usage>> {
    let mut found = Vec::new();
    if !device.is_on() {
        return Ok(found);
    }
    let mounts = read(&roots.proc.join("self/mountinfo"))?;
    let swaps = read(&roots.proc.join("swaps"))?;
    for (name, directory) in parts(device)? {
        let number = read(&directory.join("dev"))?;
        let mut users: Vec<_> = mounts
            .lines()
            .filter_map(|line| mount_point(line, &number, &name))
            .map(User::Mount)
            .collect();
        if swaps
            .lines()
            .any(|line| first_word(line) == format!("/dev/{name}"))
        {
            users.push(User::Swap);
        }
        let holders = entries(&directory.join("holders"))?;
        users.extend(holders.into_iter().map(User::Holder));
        found.extend(users.into_iter().map(|user| Usage {
            device: name.clone(),
            user,
        }));
    }
    Ok(found)
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

fn first_word(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    const ROOT: &str = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n";
    const SWAPS: &str = "Filename Type Size Used Priority\n";

    fn fake(mounts: &str, swaps: &str) -> Fake {
        let fake = Fake::new();
        fake.describe("rblk3", &[]);
        fake.write("sys/block/rblk3/dev", "259:0\n");
        fake.write("sys/block/rblk3/rblk3p1/partition", "1\n");
        fake.write("sys/block/rblk3/rblk3p1/dev", "259:1\n");
        fake.write("proc/self/mountinfo", &format!("{ROOT}{mounts}"));
        fake.write("proc/swaps", &format!("{SWAPS}{swaps}"));
        fake
    }

    fn refusal(fake: &Fake) -> String {
        let device = fake.roots.device("rblk3").expect("device");
        match check_unused(&fake.roots, &device) {
            Ok(()) => "unused".into(),
            Err(error) => error.to_string(),
        }
    }

    /// A device that nobody uses may go, whoever uses others.
    #[test]
    fn unused_device_may_go() {
        let others = "30 22 259:10 / /mnt rw - ext4 /dev/rblk33 rw\n";
        let fake = fake(others, "/dev/rblk33 partition 100 0 -2\n");
        assert_eq!(refusal(&fake), "unused");
    }

    /// A mounted device is found by its number, whatever name it was mounted by.
    #[test]
    fn mount_is_found_by_number() {
        let fake = fake(
            "30 22 259:0 / /my\\040disk rw shared:1 - ext4 /dev/disk/by-id/x rw\n",
            "",
        );
        let expected = "rblk3 is mounted on /my disk: unmount it first";
        assert_eq!(refusal(&fake), expected);
    }

    /// A partition that is mounted keeps its disk; so does btrfs, which has other numbers.
    #[test]
    fn mounted_partition_is_found() {
        let fake = fake("30 22 0:45 / /mnt rw - btrfs /dev/rblk3p1 rw\n", "");
        let expected = "rblk3p1 is mounted on /mnt: unmount it first";
        assert_eq!(refusal(&fake), expected);
    }

    /// Swap keeps the device.
    #[test]
    fn swap_is_found() {
        let fake = fake("", "/dev/rblk3\tpartition\t100\t0\t-2\n");
        let expected = "rblk3 is used as swap: swapoff /dev/rblk3 first";
        assert_eq!(refusal(&fake), expected);
    }

    /// A block device on top keeps what is below it.
    #[test]
    fn holder_is_found() {
        let fake = fake("", "");
        fake.write("sys/block/rblk3/rblk3p1/holders/dm-0", "");
        let expected = "rblk3p1 is held by dm-0: release it first";
        assert_eq!(refusal(&fake), expected);
    }
}
