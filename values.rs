// SPDX-License-Identifier: GPL-2.0

//! The values of settings: what one accepts, how it is written, and how it is shown. A module
//! parameter and an attribute below configfs of the same name have this in common.

use crate::{
    badblocks::MAX_SECTOR,
    bindings,
    faults::FaultOptions,
    latency::{
        self,
        Shape,
        Spread, //
    },
    ramstore,
    silent::SilentFaultOptions,
    tagset, //
};
use kernel::{
    error::to_result,
    fmt,
    prelude::*,
    str::BStr, //
};

const PAGE_SECTORS: i64 = kernel::page::PAGE_SIZE as i64 >> bindings::SECTOR_SHIFT;

/// What a setting accepts. Bounds are inclusive.
pub(crate) enum Allowed {
    /// `1`, `y`, `yes`, `on`, `t`, `true`; `0`, `n`, `no`, `off`, `f`, `false`; in letters of any size.
    Switch,
    /// A whole number.
    Range(i64, i64),
    /// A power of two.
    PowerOfTwo(i64, i64),
    /// The number of a NUMA node that has memory, or -1.
    Node,
    /// A number of sectors that is no less than a page, or 0.
    Sectors,
    /// One of these words; its value is its place among them.
    Words(&'static [&'static str]),
    /// How long requests take: see [`Shape`].
    Shape,
    /// A fault to inject, in the kernel's own form: `interval,probability,space,times`.
    Fault,
    /// A silent fault: the same, and perhaps a range of sectors behind it, `FIRST-LAST`.
    SilentFault,
}

/// How many numbers a value has.
pub(crate) const NUMBERS: usize = 6;

/// The value of a setting: of a fault its four numbers, of a silent one also the first sector and how many these are (0:
/// all); of a shape its spread, the two times of that, percent, every and the time of these; of others the first one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Value(pub(crate) [i64; NUMBERS]);

/// What a user wrote, as the log shows it: not more than the beginning of what is too long for a value.
pub(crate) struct Written<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, rest) = self.0.split_at(self.0.len().min(Self::MAX_SHOWN));
        let dots = if rest.is_empty() { "" } else { "..." };
        f.write_fmt(fmt!("{}{dots}", BStr::from_bytes(shown)))
    }
}

impl Written<'_> {
    const MAX_SHOWN: usize = 32;
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self([number, 0, 0, 0, 0, 0])
    }
}

impl Allowed {
    /// Reads a value that a user wrote.
    ///
    /// # Errors
    ///
    /// `EINVAL` for what has not the form of such a value, `ERANGE` for one out of range.
    pub(crate) fn parse(&self, text: &CStr) -> Result<Value> {
        let mut number = 0;
        match self {
            Self::Fault => return parse_fault(text.to_str().map_err(|_| EINVAL)?),
            Self::SilentFault => return parse_silent_fault(text),
            Self::Shape => return parse_shape(text),
            Self::Switch => number = parse_switch(text)?.into(),
            Self::Words(words) => {
                let word = text.to_str().map_err(|_| EINVAL)?;
                let place = words.iter().position(|known| *known == word);
                number = i64::try_from(place.ok_or(EINVAL)?)?;
            }
            // SAFETY: `text` is a string, and `number` is valid for writes.
            _ => to_result(unsafe { bindings::kstrtoll(text.as_char_ptr(), 0, &mut number) })?,
        }
        if self.accepts(number) {
            Ok(number.into())
        } else {
            Err(ERANGE)
        }
    }

    /// The number or the place of the word. Only for constants: it does not compile if there is no such value.
    pub(crate) const fn value_of(&self, text: &str) -> i64 {
        let words: &[&str] = match self {
            Self::Words(words) => words,
            Self::Shape => &["default"],
            _ => {
                let number = i64::from_str_radix(text, 10);
                assert!(number.is_ok(), "a default is a number");
                return match number {
                    Ok(number) => number,
                    Err(_) => 0,
                };
            }
        };
        let mut place = 0;
        while !is_same(words[place], text) {
            place += 1;
        }
        place as i64
    }

    fn accepts(&self, number: i64) -> bool {
        match *self {
            Self::Switch | Self::Fault | Self::SilentFault | Self::Shape | Self::Words(_) => true,
            Self::Range(min, max) => (min..=max).contains(&number),
            Self::PowerOfTwo(min, max) => {
                (min..=max).contains(&number) && number.unsigned_abs().is_power_of_two()
            }
            Self::Node => i32::try_from(number)
                .is_ok_and(|node| node == tagset::NO_NODE || ramstore::node_has_memory(node)),
            Self::Sectors => number == 0 || (PAGE_SECTORS..=i64::from(i32::MAX)).contains(&number),
        }
    }

    /// The value as sysfs and configfs show it.
    pub(crate) fn show(&self, value: Value, f: &mut dyn fmt::Write) -> fmt::Result {
        let Value([first, second, third, fourth, fifth, sixth]) = value;
        match self {
            Self::Fault => f.write_fmt(fmt!("{first},{second},{third},{fourth}")),
            Self::SilentFault => {
                f.write_fmt(fmt!("{first},{second},{third},{fourth}"))?;
                let (sector, sectors) = (fifth, sixth);
                match sectors {
                    0 => Ok(()),
                    _ => {
                        let last = sector.saturating_add(sectors.saturating_sub(1));
                        f.write_fmt(fmt!(" {sector}-{last}"))
                    }
                }
            }
            Self::Shape => {
                let (every, nsec) = (fifth, sixth);
                let (word, times) = SPREADS
                    .get(usize::try_from(first).unwrap_or(0))
                    .unwrap_or(&("default", 0));
                f.write_str(word)?;
                for time in [second, third].iter().take(*times) {
                    f.write_fmt(fmt!(" {time}"))?;
                }
                if fourth != 0 {
                    f.write_fmt(fmt!(" percent {fourth} {nsec}"))?;
                }
                if every != 0 {
                    f.write_fmt(fmt!(" every {every} {nsec}"))?;
                }
                Ok(())
            }
            Self::Words(words) => {
                let word = usize::try_from(first)
                    .ok()
                    .and_then(|place| words.get(place));
                f.write_str(word.copied().unwrap_or(""))
            }
            _ => f.write_fmt(fmt!("{first}")),
        }
    }
}

/// `==`, also in constants.
const fn is_same(first: &str, second: &str) -> bool {
    let (first, second) = (first.as_bytes(), second.as_bytes());
    let mut i = 0;
    while i < first.len() && i < second.len() && first[i] == second[i] {
        i += 1;
    }
    i == first.len() && i == second.len()
}

/// The kernel's own function looks at the first letter alone.
fn parse_switch(text: &CStr) -> Result<bool> {
    let is_one_of = |words: [&str; 6]| {
        let mut words = words.iter();
        words.any(|word| text.to_bytes().eq_ignore_ascii_case(word.as_bytes()))
    };
    let is_on = is_one_of(["1", "y", "yes", "on", "t", "true"]);
    match (is_on, is_one_of(["0", "n", "no", "off", "f", "false"])) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => Err(EINVAL),
    }
}

fn parse_fault(text: &str) -> Result<Value> {
    let mut values = [0; NUMBERS];
    let mut numbers = text.split(',');
    for value in values.iter_mut().take(4) {
        let number = numbers.next().ok_or(EINVAL)?;
        *value = number.trim().parse().map_err(|_| EINVAL)?;
    }
    if numbers.next().is_some() {
        return Err(EINVAL);
    }
    let value = Value(values);
    FaultOptions::try_from(value).map(|_| value)
}

fn parse_silent_fault(text: &CStr) -> Result<Value> {
    let text = text.to_str().map_err(|_| EINVAL)?;
    let Some((fault, range)) = text.split_once(' ') else {
        return parse_fault(text);
    };
    let Value(mut values) = parse_fault(fault)?;
    let (first, last) = range.trim().split_once('-').ok_or(EINVAL)?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| EINVAL);
    let (first, last) = (number(first)?, number(last)?);
    if last > MAX_SECTOR || first > last {
        return Err(ERANGE);
    }
    let [.., sector, sectors] = &mut values;
    *sector = i64::try_from(first)?;
    *sectors = i64::try_from(last.wrapping_sub(first).wrapping_add(1))?;
    Ok(Value(values))
}

/// The spreads by their numbers: how each one is written, and how many times stand behind it.
const SPREADS: [(&str, usize); 5] = [
    ("default", 0),
    ("fixed", 1),
    ("uniform", 2),
    ("normal", 2),
    ("exponential", 1),
];

fn parse_shape(text: &CStr) -> Result<Value> {
    let mut words = text.to_str().map_err(|_| EINVAL)?.split_ascii_whitespace();
    let word = words.next().ok_or(EINVAL)?;
    let spread = SPREADS.iter().position(|(known, _)| *known == word);
    let spread = spread.ok_or(EINVAL)?;
    let number = |word: Option<&str>, least: i64, most: i64| -> Result<i64> {
        let number = word.ok_or(EINVAL)?.parse().map_err(|_| EINVAL)?;
        (least..=most)
            .contains(&number)
            .then_some(number)
            .ok_or(ERANGE)
    };
    let mut times = [0; 2];
    let (_, count) = SPREADS.get(spread).ok_or(EINVAL)?;
    for time in times.iter_mut().take(*count) {
        *time = number(words.next(), 0, latency::MAX_NSEC)?;
    }
    let [first, second] = times;
    if word == "uniform" && first > second {
        return Err(ERANGE);
    }
    let (mut percent, mut every, mut nsec) = (0, 0, 0);
    if let Some(word) = words.next() {
        match word {
            "percent" => percent = number(words.next(), 1, 100)?,
            "every" => every = number(words.next(), 1, i32::MAX.into())?,
            _ => return Err(EINVAL),
        }
        nsec = number(words.next(), 0, latency::MAX_NSEC)?;
    }
    if words.next().is_some() {
        return Err(EINVAL);
    }
    let spread = i64::try_from(spread)?;
    Ok(Value([spread, first, second, percent, every, nsec]))
}

impl TryFrom<Value> for Shape {
    type Error = Error;

    fn try_from(value: Value) -> Result<Self> {
        let Value([spread, first, second, percent, every, exception_nsec]) = value;
        Ok(Self {
            spread: match spread {
                0 => Spread::Default,
                1 => Spread::Fixed { nsec: first },
                2 => Spread::Uniform {
                    min_nsec: first,
                    max_nsec: second,
                },
                3 => Spread::Normal {
                    mean_nsec: first,
                    deviation_nsec: second,
                },
                _ => Spread::Exponential { mean_nsec: first },
            },
            percent: percent.try_into()?,
            every: every.try_into()?,
            exception_nsec,
        })
    }
}

impl TryFrom<Value> for SilentFaultOptions {
    type Error = Error;

    fn try_from(value: Value) -> Result<Self> {
        let Value([.., sector, sectors]) = value;
        let (first, count) = (sector.unsigned_abs(), sectors.unsigned_abs());
        Ok(Self {
            fault: value.try_into()?,
            sectors: (count != 0).then(|| (first, first.saturating_add(count - 1))),
        })
    }
}

impl TryFrom<Value> for FaultOptions {
    type Error = Error;

    fn try_from(Value([interval, probability, space, times, ..]): Value) -> Result<Self> {
        let options = Self {
            interval: interval.try_into().map_err(|_| ERANGE)?,
            probability_percent: probability.try_into().map_err(|_| ERANGE)?,
            space_bytes: space.try_into().map_err(|_| ERANGE)?,
            times: times.try_into().map_err(|_| ERANGE)?,
        };
        let is_accepted = options.probability_percent <= 100
            && options.space_bytes <= i32::MAX.unsigned_abs()
            && options.times >= -1;
        is_accepted.then_some(options).ok_or(ERANGE)
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Switch => f.write_str("0 or 1"),
            Self::Range(min, max) => write!(f, "{min} to {max}"),
            Self::PowerOfTwo(min, max) => write!(f, "a power of two, {min} to {max}"),
            Self::Node => f.write_str("-1 (any), or a node that has memory"),
            Self::Sectors => write!(f, "0, or {PAGE_SECTORS} to {}", i32::MAX),
            Self::Words(words) => {
                for (i, word) in words.iter().enumerate() {
                    let or = if i == 0 { "" } else { " or " };
                    write!(f, "{or}{word}")?;
                }
                Ok(())
            }
            Self::Fault => f.write_str(
                "interval,probability,space,times: every so many-th chance, 0 to 100 percent, \
                 after so many bytes, so often (-1: always)",
            ),
            Self::Shape => f.write_str(
                "default, fixed NSEC, uniform MIN MAX, normal MEAN DEVIATION or exponential MEAN, and \
                 perhaps percent P NSEC or every N NSEC",
            ),
            Self::SilentFault => f.write_str(
                "interval,probability,space,times, or the same and FIRST-LAST, sectors from 0 to 2^54-1",
            ),
        }
    }
}
