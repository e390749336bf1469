// SPDX-License-Identifier: GPL-2.0

//! rblkctl: the control plane of rnullblk for people and scripts. All it does is read and write
//! files below configfs, sysfs and debugfs.

#![forbid(unsafe_code)]

mod cli;
mod commands;
mod device;
mod error;
#[cfg(test)]
mod fake;
mod kernel_log;
mod pages;
mod settings;
mod stats;
mod table;
mod units;
mod usage;

use clap::Parser;
use error::Error;
use std::{
    io::{
        self,
        Write, //
    },
    process::ExitCode,
};

fn main() -> ExitCode {
    let command = cli::Cli::parse().command;
    let command = command.unwrap_or(cli::Command::List { json: false });
    let mut out = io::stdout().lock();
    let done = commands::run(command, &device::Root("/".into()), &mut out);
    match done.and_then(|()| Ok(out.flush()?)) {
        Ok(()) | Err(Error::OutputClosed) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rblkctl: {error}");
            ExitCode::FAILURE
        }
    }
}
