// SPDX-License-Identifier: GPL-2.0

//! What a person types about attributes: `key=value`, names of devices, ranges of sectors.

use crate::units;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub attribute: String,
    pub value: String,
}

impl Setting {
    pub fn new(attribute: &str, value: impl ToString) -> Self {
        Self {
            attribute: attribute.into(),
            value: value.to_string(),
        }
    }
}

/// `create` takes both, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameOrSetting {
    Name(String),
    Setting(Setting),
}

pub fn parse_name_or_setting(text: &str) -> Result<NameOrSetting, String> {
    if text.contains('=') {
        parse_setting(text).map(NameOrSetting::Setting)
    } else {
        parse_name(text).map(NameOrSetting::Name)
    }
}

/// `rblk3`, or `/dev/rblk3`.
pub fn parse_name(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("/dev/").unwrap_or(text);
    if name.contains('/') || ["", ".", "..", "features"].contains(&name) {
        return Err(format!("'{text}' is no name of a device"));
    }
    Ok(name.into())
}

/// `key=value`, with the value as the driver wants it.
pub fn parse_setting(text: &str) -> Result<Setting, String> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    match text.split_once('=') {
        Some(("power", _)) => Err("use rblkctl on or rblkctl off".into()),
        Some((attribute, value)) if !attribute.is_empty() && attribute.bytes().all(is_letter) => {
            Ok(Setting::new(attribute, in_driver_units(attribute, value)?))
        }
        _ => Err("write it as key=value, for example size=1G".into()),
    }
}

/// Values that people write with units; all others go to the driver as they are.
fn in_driver_units(attribute: &str, value: &str) -> Result<String, String> {
    let number = match attribute {
        "size" | "cache_size" | "memory_limit" => units::mib(value)?,
        "blocksize" => units::bytes(value)?,
        "completion_nsec" => units::nanoseconds(value)?,
        _ => return Ok(value.into()),
    };
    Ok(number.to_string())
}

/// `START-END` in sectors, both included.
pub fn parse_range(text: &str) -> Result<String, String> {
    let numbers = text.split_once('-').and_then(|(start, end)| {
        let (start, end): (u64, u64) = (start.parse().ok()?, end.parse().ok()?);
        (start <= end).then_some((start, end))
    });
    let (start, end) = numbers
        .ok_or_else(|| format!("'{text}' is no range of sectors: write for example 8-15"))?;
    Ok(format!("{start}-{end}"))
}

pub fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text
        .parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds
        .filter(|seconds| !seconds.is_zero())
        .ok_or_else(|| format!("'{text}' is no number of seconds above 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes and times come in the driver's units, everything else untouched.
    #[test]
    fn settings_are_in_driver_units() {
        for (text, value) in [
            ("size=1G", "1024"),
            ("cache_size=64", "64"),
            ("blocksize=4k", "4096"),
            ("completion_nsec=20us", "20000"),
            ("requeue_inject=1,1,0,-1", "1,1,0,-1"),
            ("brand_new=a=b", "a=b"),
        ] {
            assert_eq!(
                parse_setting(text).map(|setting| setting.value),
                Ok(value.into())
            );
        }
        assert!(parse_setting("size=1025K").is_err());
    }

    /// A key cannot lead out of the device's directory, and must be there.
    #[test]
    fn odd_settings_are_refused() {
        for text in ["size", "=1", "../rblk1/size=1", "a b=1", "power=0"] {
            assert!(parse_setting(text).is_err(), "{text}");
        }
    }

    /// A name may be given as a path below /dev, and no other.
    #[test]
    fn names_are_names() {
        assert_eq!(parse_name("/dev/rblk3"), Ok("rblk3".into()));
        assert_eq!(parse_name("my-disk"), Ok("my-disk".into()));
        for text in ["/dev/", ".", "..", "/dev/mapper/x", "a/b", "features"] {
            assert!(parse_name(text).is_err(), "{text}");
        }
    }

    /// A range is two numbers that do not run backwards.
    #[test]
    fn ranges_do_not_run_backwards() {
        assert_eq!(parse_range("8-8"), Ok("8-8".into()));
        for text in ["", "8", "8-", "-8", "15-8", "8-x", "1-2-3"] {
            assert!(parse_range(text).is_err(), "{text}");
        }
    }

    /// An interval is a time that passes.
    #[test]
    fn seconds_are_above_zero() {
        assert_eq!(parse_seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "-1", "nan", "inf", "1s", ""] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
    }
}
