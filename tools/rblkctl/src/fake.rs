// SPDX-License-Identifier: GPL-2.0

//! A directory that looks like what the kernel shows, for tests.

use crate::device::Root;
use std::{
    fs,
    sync::atomic::{
        AtomicU32,
        Ordering, //
    },
};

/// Removed when dropped.
pub struct Fake {
    pub root: Root,
}

impl Fake {
    /// The module is not loaded.
    pub fn empty() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("rblkctl-test-{}-{number}", std::process::id());
        let top = std::env::temp_dir().join(name);
        fs::create_dir(&top).expect("temporary directory");
        Self { root: Root(top) }
    }

    /// The module is loaded, without devices.
    pub fn new() -> Self {
        let fake = Self::empty();
        fake.write(
            "sys/kernel/config/rnullblk/features",
            "size,blocksize,submit_queues\n",
        );
        fake.write("sys/module/rnullblk/parameters/nr_devices", "0\n");
        fake
    }

    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let file = self.root.0.join(path);
        if let Some(directory) = file.parent() {
            fs::create_dir_all(directory).expect("directory");
        }
        fs::write(&file, text).expect("file");
    }

    /// A description with these attributes.
    pub fn describe(&self, name: &str, attributes: &[(&str, &str)]) {
        let directory = format!("sys/kernel/config/rnullblk/{name}");
        fs::create_dir_all(self.root.0.join(&directory)).expect("directory");
        for (attribute, value) in attributes {
            self.write(&format!("{directory}/{attribute}"), format!("{value}\n"));
        }
    }

    /// The same of a device that is on.
    pub fn on(&self, name: &str, attributes: &[(&str, &str)]) {
        self.describe(name, attributes);
        self.describe(name, &[("power", "1")]);
        self.write(&format!("sys/block/{name}/size"), "2048\n");
    }

    /// `rblk0` as module parameters described it, grown to 512 MiB.
    pub fn load_time(&self) {
        for (parameter, value) in [("nr_devices", "1"), ("size", "256"), ("blocksize", "4096")] {
            self.write(
                &format!("sys/module/rnullblk/parameters/{parameter}"),
                value,
            );
        }
        self.write("sys/block/rblk0/size", "1048576\n");
        self.write("sys/block/rblk0/dev", "259:0\n");
        self.write("sys/kernel/debug/rnullblk/rblk0/size", "512\n");
        let queues = "queue node memory ring reads\n0 0 0 0 7\n";
        self.write("sys/kernel/debug/rnullblk/rblk0/queues", queues);
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        // What is left behind in a temporary directory harms no test.
        let _ = fs::remove_dir_all(&self.root.0);
    }
}
