// SPDX-License-Identifier: GPL-2.0

//! A directory that looks like what the kernel shows, for tests.

use crate::device::Roots;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::atomic::{
        AtomicU32,
        Ordering, //
    },
};

/// Removed when dropped.
pub struct Fake {
    top: PathBuf,
    pub roots: Roots,
}

impl Fake {
    /// The module is not loaded.
    pub fn empty() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("rblkctl-test-{}-{number}", std::process::id());
        let top = std::env::temp_dir().join(name);
        fs::create_dir(&top).expect("temporary directory");
        let roots = Roots {
            configfs: top.join("config"),
            sysfs: top.join("sys"),
            debugfs: top.join("debug"),
            proc: top.join("proc"),
            kernel_log: top.join("kmsg"),
        };
        Self { top, roots }
    }

    /// The module is loaded, without devices.
    pub fn new() -> Self {
        let fake = Self::empty();
        fake.write("config/rnullblk/features", "size,blocksize,submit_queues\n");
        fake
    }

    /// A file with the mode of one below debugfs that can be read and written.
    pub fn write(&self, path: &str, text: &str) {
        let file = self.top.join(path);
        if let Some(directory) = file.parent() {
            fs::create_dir_all(directory).expect("directory");
        }
        fs::write(&file, text).expect("file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("mode");
    }

    /// A description with these attributes.
    pub fn describe(&self, name: &str, attributes: &[(&str, &str)]) {
        let directory = format!("config/rnullblk/{name}");
        fs::create_dir_all(self.top.join(&directory)).expect("directory");
        for (attribute, value) in attributes {
            self.write(&format!("{directory}/{attribute}"), &format!("{value}\n"));
        }
    }

    /// A device that module parameters described, and that has grown to 512 MiB.
    pub fn load_time(&self, name: &str) {
        for (parameter, value) in [("nr_devices", "1"), ("size", "256"), ("blocksize", "4096")] {
            self.write(
                &format!("sys/module/rnullblk/parameters/{parameter}"),
                value,
            );
        }
        self.write(&format!("sys/block/{name}/size"), "1048576\n");
        self.write(&format!("sys/block/{name}/dev"), "259:0\n");
        self.write(&format!("debug/rnullblk/{name}/size"), "512\n");
        let queues = format!("debug/rnullblk/{name}/queues");
        self.write(&queues, "queue node memory ring reads\n0 0 0 0 7\n");
        let mode = fs::Permissions::from_mode(0o400);
        fs::set_permissions(self.top.join(queues), mode).expect("mode");
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        // What is left behind in a temporary directory harms no test.
        let _ = fs::remove_dir_all(&self.top);
    }
}
