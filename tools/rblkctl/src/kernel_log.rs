// SPDX-License-Identifier: GPL-2.0

//! The driver's own words: the line that it writes into the kernel log when it refuses something.

use std::{
    fs::{
        File,
        OpenOptions, //
    },
    io::{
        ErrorKind,
        Read,
        Seek,
        SeekFrom, //
    },
    os::unix::fs::OpenOptionsExt,
    path::Path, //
};

/// `O_NONBLOCK` where rnullblk runs (x86, arm64, riscv): at its end the log does not make us wait.
const O_NONBLOCK: i32 = 0o4000;

/// What the kernel logs from now on.
pub struct KernelLog(File);

impl KernelLog {
    /// Nothing if it cannot be read.
    pub fn from_now_on(path: &Path) -> Option<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(O_NONBLOCK)
            .open(path)
            .ok()?;
        file.seek(SeekFrom::End(0)).ok()?;
        Some(Self(file))
    }

    /// The last thing that the driver said about the device `name`, beginning with that name.
    pub fn last_about(mut self, name: &str) -> Option<String> {
        let prefix = format!("rnullblk: {name}: ");
        let text = self.read();
        // A line is `level,sequence,time,flags;message`.
        let message = |line: &str| Some(line.split_once(';')?.1.strip_prefix(&prefix)?.to_string());
        let last = text.lines().rev().find_map(message)?;
        Some(format!("{name}: {last}"))
    }

    /// Each read returns one line, and fails at the end.
    fn read(&mut self) -> String {
        let mut text = String::new();
        let mut line = [0; 8192];
        loop {
            match self.0.read(&mut line) {
                Ok(0) => return text,
                Ok(length) => text.push_str(&String::from_utf8_lossy(&line[..length])),
                // Lines were overwritten before we came, or a signal arrived.
                Err(error)
                    if [ErrorKind::BrokenPipe, ErrorKind::Interrupted].contains(&error.kind()) => {}
                Err(_) => return text,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    /// Of the lines written later, the last about this device counts.
    #[test]
    fn reason_is_the_last_new_line_about_the_device() {
        let fake = Fake::new();
        let old = "6,1,1,-;rnullblk: rblk3: size=0 refused: an old story\n";
        fake.write("dev/kmsg", old);
        let log = KernelLog::from_now_on(&fake.root.path("dev/kmsg")).expect("log");
        let new = "6,2,2,-;rnullblk: rblk3: size=x refused: no number\n\
                   6,3,3,-;rnullblk: rblk3: size=0 refused: allowed is 1 to 9\n\
                   6,4,4,-;rnullblk: rblk33: size=1 refused: another device\n";
        fake.write("dev/kmsg", format!("{old}{new}"));
        assert_eq!(
            log.last_about("rblk3").as_deref(),
            Some("rblk3: size=0 refused: allowed is 1 to 9")
        );
    }

    /// A log that says nothing new gives no reason, nor does one that cannot be read.
    #[test]
    fn no_news_is_no_reason() {
        let fake = Fake::new();
        assert!(KernelLog::from_now_on(&fake.root.path("dev/kmsg")).is_none());
        fake.write("dev/kmsg", "6,1,1,-;rnullblk: rblk3: size=0 refused: old\n");
        let log = KernelLog::from_now_on(&fake.root.path("dev/kmsg")).expect("log");
        assert_eq!(log.last_about("rblk3"), None);
    }
}
