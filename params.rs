// SPDX-License-Identifier: GPL-2.0

//! Module parameters: one line declares one, with what it accepts, its default and its meaning.
//!
//! The kernel crate's own parameters cannot be read in sysfs, know no negative default on every
//! kernel, and say nothing of a range; these can, do, and name the range when they refuse a value.
//!
//! C header: [`include/linux/moduleparam.h`](srctree/include/linux/moduleparam.h)

use crate::{
    bindings,
    faults::FaultOptions, //
};
use kernel::{
    error::to_result,
    fmt,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// What a parameter accepts. Bounds are inclusive.
pub(crate) enum Allowed {
    /// `1`, `y`, `on` or nothing at all; `0`, `n`, `off`.
    Switch,
    /// A whole number.
    Range(i64, i64),
    /// A power of two.
    PowerOfTwo(i64, i64),
    /// A fault to inject, in the kernel's own form: `interval,probability,space,times`.
    Fault,
}

impl Allowed {
    fn accepts(&self, value: i64) -> bool {
        match *self {
            Self::Switch => (0..=1).contains(&value),
            Self::Range(min, max) => (min..=max).contains(&value),
            Self::PowerOfTwo(min, max) => {
                (min..=max).contains(&value) && value.unsigned_abs().is_power_of_two()
            }
            Self::Fault => true,
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Switch => f.write_str("0 or 1"),
            Self::Range(min, max) => write!(f, "{min} to {max}"),
            Self::PowerOfTwo(min, max) => write!(f, "a power of two, {min} to {max}"),
            Self::Fault => f.write_str(
                "interval,probability,space,times: every so many-th chance, 0 to 100 percent, \
                 after so many bytes, so often (-1: always)",
            ),
        }
    }
}

/// A parameter; made by [`module_params!`].
pub(crate) struct Param {
    name: &'static CStr,
    allowed: Allowed,
    /// The value; of a fault its four numbers, of others the first one.
    values: [Atomic<i64>; 4],
}

/// Set when a value was refused: the module must not be loaded then.
static ANY_REFUSED: Atomic<i32> = Atomic::new(0);

/// Whether all values that the user gave were accepted.
///
/// A parameter does not refuse by itself, because the kernel would add a second and vaguer line
/// to the log.
///
/// # Errors
///
/// `EINVAL` if one was not; the log says which.
pub(crate) fn check_accepted() -> Result {
    if ANY_REFUSED.load(Relaxed) != 0 {
        return Err(EINVAL);
    }
    Ok(())
}

impl Param {
    pub(crate) const fn new(name: &'static CStr, allowed: Allowed, default: i64) -> Self {
        Self {
            name,
            allowed,
            values: [
                Atomic::new(default),
                Atomic::new(0),
                Atomic::new(0),
                Atomic::new(0),
            ],
        }
    }

    /// The value that the user gave, or the default.
    pub(crate) fn value(&self) -> i64 {
        self.values[0].load(Relaxed)
    }

    /// The value of an [`Allowed::Fault`].
    pub(crate) fn fault(&self) -> Result<FaultOptions> {
        let [interval, probability, space, times] = &self.values;
        Ok(FaultOptions {
            interval: interval.load(Relaxed).try_into()?,
            probability_percent: probability.load(Relaxed).try_into()?,
            space_bytes: space.load(Relaxed).try_into()?,
            times: times.load(Relaxed).try_into()?,
        })
    }

    /// The value of an [`Allowed::Switch`].
    pub(crate) fn is_on(&self) -> bool {
        self.value() != 0
    }

    /// Lets sysfs show what is in force, where that is not what was asked for.
    pub(crate) fn set_in_force(&self, value: u32) {
        self.values[0].store(value.into(), Relaxed);
    }

    /// Says in the log that the value is refused and what would not be; gives `error` back.
    pub(crate) fn refuse(&self, allowed: fmt::Arguments<'_>, error: Error) -> Error {
        pr_err!(
            "{}={} refused: allowed is {}\n",
            self.name,
            self.value(),
            allowed
        );
        error
    }

    fn parse(&self, text: &CStr) -> Result<i64> {
        let mut value = 0;
        match self.allowed {
            Allowed::Switch => {
                let mut on = false;
                // SAFETY: `text` is a string, and `on` is valid for writes.
                to_result(unsafe { bindings::kstrtobool(text.as_char_ptr(), &mut on) })?;
                value = on.into();
            }
            // SAFETY: `text` is a string, and `value` is valid for writes.
            _ => to_result(unsafe { bindings::kstrtoll(text.as_char_ptr(), 0, &mut value) })?,
        }
        if self.allowed.accepts(value) {
            Ok(value)
        } else {
            Err(EINVAL)
        }
    }

    fn parse_fault(text: &CStr) -> Result<[i64; 4]> {
        let mut values = [0; 4];
        let mut numbers = text.to_str().map_err(|_| EINVAL)?.split(',');
        for value in &mut values {
            let number = numbers.next().ok_or(EINVAL)?;
            *value = number.trim().parse().map_err(|_| EINVAL)?;
        }
        let [interval, probability, space, times] = values;
        let is_accepted = numbers.next().is_none()
            && u32::try_from(interval).is_ok()
            && (0..=100).contains(&probability)
            && i32::try_from(space).is_ok_and(|space| space >= 0)
            && i32::try_from(times).is_ok_and(|times| times >= -1);
        is_accepted.then_some(values).ok_or(EINVAL)
    }

    fn set(&self, text: &CStr) {
        let values = match self.allowed {
            Allowed::Fault => Self::parse_fault(text),
            _ => self.parse(text).map(|value| [value, 0, 0, 0]),
        };
        match values {
            Ok(values) => {
                for (stored, value) in self.values.iter().zip(values) {
                    stored.store(value, Relaxed);
                }
            }
            Err(_) => {
                pr_err!(
                    "{}={} refused: allowed is {}\n",
                    self.name,
                    text,
                    self.allowed
                );
                ANY_REFUSED.store(1, Relaxed);
            }
        }
    }
}

/// The functions through which the kernel sets and shows every parameter.
pub(crate) static PARAM_OPS: bindings::kernel_param_ops = bindings::kernel_param_ops {
    // A switch may be given by its name alone.
    flags: bindings::KERNEL_PARAM_OPS_FL_NOARG,
    set: Some(set_param),
    get: Some(get_param),
    free: None,
};

/// # Safety
///
/// To be called by the kernel only: `kp` is a parameter of [`module_params!`], `text` null or a
/// string.
unsafe extern "C" fn set_param(text: *const c_char, kp: *const bindings::kernel_param) -> c_int {
    // SAFETY: `module_params!` makes `arg` point to a static `Param`.
    let param = unsafe { &*(*kp).__bindgen_anon_1.arg.cast::<Param>() };
    let text = match (text.is_null(), &param.allowed) {
        (true, Allowed::Switch) => c"1",
        (true, _) => c"",
        // SAFETY: By the requirement of this function.
        (false, _) => unsafe { CStr::from_char_ptr(text) },
    };
    param.set(text);
    0
}

/// # Safety
///
/// To be called by the kernel only: `kp` is a parameter of [`module_params!`], `buffer` is a page.
unsafe extern "C" fn get_param(buffer: *mut c_char, kp: *const bindings::kernel_param) -> c_int {
    // SAFETY: `module_params!` makes `arg` point to a static `Param`.
    let param = unsafe { &*(*kp).__bindgen_anon_1.arg.cast::<Param>() };
    let value = param.value();
    let letter = c_int::from(if param.is_on() { b'Y' } else { b'N' });
    // SAFETY: The buffer has room for a page, and each format gets the arguments it names.
    unsafe {
        match param.allowed {
            Allowed::Switch => {
                bindings::scnprintf(buffer, bindings::PAGE_SIZE, c"%c\n".as_char_ptr(), letter)
            }
            Allowed::Fault => bindings::scnprintf(
                buffer,
                bindings::PAGE_SIZE,
                c"%lld,%lld,%lld,%lld\n".as_char_ptr(),
                value,
                param.values[1].load(Relaxed),
                param.values[2].load(Relaxed),
                param.values[3].load(Relaxed),
            ),
            _ => bindings::scnprintf(buffer, bindings::PAGE_SIZE, c"%lld\n".as_char_ptr(), value),
        }
    }
}

/// Makes the bytes of an entry in a module's information section.
pub(crate) const fn modinfo<const N: usize>(entry: &str) -> [u8; N] {
    let mut bytes = [0; N];
    let mut i = 0;
    while i < N {
        bytes[i] = entry.as_bytes()[i];
        i += 1;
    }
    bytes
}

/// Declares module parameters, each as a static [`Param`] of its name.
///
/// # Examples
///
/// ```ignore
/// module_params! {
///     lanes = 2, Allowed::Range(1, 8), "Lanes of the link";
/// }
///
/// let lanes = lanes.value();
/// ```
macro_rules! module_params {
    ($($name:ident = $default:literal, $allowed:expr, $doc:literal;)*) => {$(
        #[doc = $doc]
        #[allow(non_upper_case_globals)]
        pub(crate) static $name: $crate::params::Param =
            $crate::params::Param::new(::kernel::c_str!(stringify!($name)), $allowed, $default);

        const _: () = {
            const PARM: &str =
                concat!("parm=", stringify!($name), ":", $doc, ". Default: ", $default, "\0");
            #[link_section = ".modinfo"]
            #[used]
            static MODINFO: [u8; PARM.len()] = $crate::params::modinfo(PARM);

            #[link_section = "__param"]
            #[used]
            static KERNEL_PARAM: ::kernel::module_param::KernelParam =
                ::kernel::module_param::KernelParam::new(::kernel::bindings::kernel_param {
                    name: ::kernel::str::as_char_ptr_in_const_context(
                        ::kernel::c_str!(stringify!($name)),
                    ),
                    mod_: &raw mut ::kernel::bindings::__this_module,
                    ops: &raw const $crate::params::PARAM_OPS,
                    perm: 0o444,
                    level: -1,
                    flags: 0,
                    __bindgen_anon_1: ::kernel::bindings::kernel_param__bindgen_ty_1 {
                        arg: (&raw const $name).cast_mut().cast(),
                    },
                });
        };
    )*};
}
pub(crate) use module_params;
