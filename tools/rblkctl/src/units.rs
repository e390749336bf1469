// SPDX-License-Identifier: GPL-2.0

//! Sizes and times as people write them, and as the driver wants them.

const MIB: u64 = 1 << 20;

/// Units of sizes, powers of 1024. `iB` may follow; `B` may not, because for some that is a power of 1000.
const SIZES: [(&str, u64); 5] = [
    ("P", 1 << 50),
    ("T", 1 << 40),
    ("G", 1 << 30),
    ("M", MIB),
    ("K", 1 << 10),
];

/// Units of times, in nanoseconds.
const TIMES: [(&str, u64); 4] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
];

/// A size in MiB, which is what a number without unit means too.
pub fn mib(text: &str) -> Result<u64, String> {
    let bytes = size(text, MIB)?;
    if bytes % u128::from(MIB) != 0 {
        return Err(format!("{text} is not a whole number of MiB"));
    }
    in_64_bits(text, bytes / u128::from(MIB))
}

/// A size in bytes, which is what a number without unit means too.
pub fn bytes(text: &str) -> Result<u64, String> {
    in_64_bits(text, size(text, 1)?)
}

/// A time in nanoseconds, which is what a number without unit means too.
pub fn nanoseconds(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let factor = match unit {
        "" => Some(1),
        _ => find(&TIMES, unit),
    };
    match (number.parse::<u64>(), factor) {
        (Ok(number), Some(factor)) => in_64_bits(text, u128::from(number) * u128::from(factor)),
        _ => Err(format!("'{text}' is no time: write for example 20us, 1ms")),
    }
}

/// A size with the largest unit in which it is a whole number.
pub fn show_size(bytes: u64) -> String {
    for (unit, factor) in SIZES {
        if bytes != 0 && bytes % factor == 0 {
            return format!("{}{unit}", bytes / factor);
        }
    }
    bytes.to_string()
}

fn size(text: &str, without_unit: u64) -> Result<u128, String> {
    let (number, unit) = split(text);
    let unit = unit.to_ascii_uppercase();
    let factor = match unit.as_str() {
        "" => Some(without_unit),
        "B" => Some(1),
        _ => find(&SIZES, unit.strip_suffix("IB").unwrap_or(&unit)),
    };
    let letter = unit.strip_suffix('B').unwrap_or_default();
    if find(&SIZES, letter).is_some() {
        return Err(format!(
            "'{text}' may be powers of 1000 or of 1024: for 1024 write {letter} or {letter}iB"
        ));
    }
    match (number.parse::<u64>(), factor) {
        (Ok(number), Some(factor)) => Ok(u128::from(number) * u128::from(factor)),
        _ => Err(format!(
            "'{text}' is no size: write for example 4K, 512M, 1G"
        )),
    }
}

/// The digits that `text` begins with, and what follows.
fn split(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

fn find(units: &[(&str, u64)], unit: &str) -> Option<u64> {
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    Some(*factor)
}

fn in_64_bits(text: &str, number: u128) -> Result<u64, String> {
    u64::try_from(number).map_err(|_| format!("{text} is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each unit of a size is a power of 1024, in each spelling; without one it is MiB.
    #[test]
    fn sizes_become_mib() {
        for (text, expected) in [
            ("0", 0),
            ("64", 64),
            ("1024K", 1),
            ("1m", 1),
            ("1048576B", 1),
            ("1MiB", 1),
            ("3GiB", 3072),
            ("2T", 2 << 20),
            ("1P", 1 << 30),
        ] {
            assert_eq!(mib(text), Ok(expected), "{text}");
        }
    }

    /// What is no size is refused: fractions, signs, spaces, other units, nothing, too many digits.
    #[test]
    fn odd_sizes_are_refused() {
        for text in [
            "", "G", "-1", "+1", "1.5G", "1 G", " 1G", "1G ", "1X", "1iB", "1BB", "1KK", "0x10",
        ] {
            let message = mib(text).expect_err(text);
            assert!(message.contains("is no size"), "{message}");
        }
        assert!(mib("99999999999999999999").is_err());
        let message = bytes("4kB").expect_err("ambiguous");
        assert!(message.ends_with("write K or KiB"), "{message}");
    }

    /// A size that does not fit in 64 bits is refused and does not wrap.
    #[test]
    fn sizes_do_not_overflow() {
        assert_eq!(bytes("16777215T"), Ok(16_777_215 << 40));
        assert_eq!(
            bytes("16777216T"),
            Err("16777216T is too large".to_string())
        );
        assert_eq!(mib("18446744073709551615"), Ok(u64::MAX));
    }

    /// Times become nanoseconds, and overflow is refused.
    #[test]
    fn times_become_nanoseconds() {
        for (text, expected) in [
            ("7", 7),
            ("5ns", 5),
            ("1ms", 1_000_000),
            ("2s", 2_000_000_000),
        ] {
            assert_eq!(nanoseconds(text), Ok(expected), "{text}");
        }
        for text in ["", "us", "-1us", "1.5ms", "1 ms", "1min", "18446744074s"] {
            assert!(nanoseconds(text).is_err(), "{text}");
        }
    }

    /// A shown size is exact, and can be given back.
    #[test]
    fn shown_sizes_are_exact() {
        for (number, text) in [
            (0, "0"),
            (512, "512"),
            (4096, "4K"),
            (1536 * MIB, "1536M"),
            (1 << 30, "1G"),
        ] {
            assert_eq!(show_size(number), text);
            assert_eq!(bytes(text), Ok(number));
        }
    }
}
