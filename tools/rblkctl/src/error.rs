// SPDX-License-Identifier: GPL-2.0

//! What went wrong, as one line for the user.

use std::{
    fmt,
    io, //
};

pub type Result<T = ()> = std::result::Result<T, Error>;

#[derive(Debug)]
pub enum Error {
    /// A line that says what to do.
    Message(String),
    /// Nobody reads what is printed any more, as with `rblkctl list | head -n 1`.
    OutputClosed,
}

impl Error {
    pub fn new(message: impl Into<String>) -> Self {
        Self::Message(message.into())
    }

    /// An operation on a file or directory failed.
    pub fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::PermissionDenied {
            return Self::new("needs root: try sudo");
        }
        Self::Message(format!("{what}: {}", cause(error)))
    }
}

/// The system's words for an error, without its number.
pub fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_string(),
        None => text,
    }
}

/// Only printing returns bare I/O errors; all others are given their context where they arise.
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Message(format!("cannot print: {}", cause(&error))),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(message) => f.write_str(message),
            Self::OutputClosed => f.write_str("nobody reads the output"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without permission the advice is sudo, whatever was tried; other errors name that, and the reason.
    #[test]
    fn errors_say_what_was_tried() {
        for (errno, expected) in [
            (1, "needs root: try sudo"),
            (13, "needs root: try sudo"),
            (12, "rblk3: Cannot allocate memory"),
        ] {
            let error = Error::io("rblk3", &io::Error::from_raw_os_error(errno));
            assert_eq!(error.to_string(), expected);
        }
    }

    /// A closed pipe is told apart from a full disk.
    #[test]
    fn closed_output_is_no_message() {
        let closed = Error::from(io::Error::from_raw_os_error(32));
        assert!(matches!(closed, Error::OutputClosed));
        let full = Error::from(io::Error::from_raw_os_error(28));
        assert_eq!(full.to_string(), "cannot print: No space left on device");
    }
}
