// SPDX-License-Identifier: GPL-2.0

//! Module parameters: one line declares one, with what it accepts, its default and its meaning.
//!
//! The kernel crate's own parameters cannot be read in sysfs, know no negative default on every
//! kernel, and say nothing of a range; these can, do, and name the range when they refuse a value.
//!
//! C header: [`include/linux/moduleparam.h`](srctree/include/linux/moduleparam.h)

use crate::{
    bindings,
    values::{
        Allowed,
        Value,
        NUMBERS, //
    },
};
use kernel::{
    fmt::Write,
    prelude::*,
    str::Formatter,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// A parameter; made by [`module_params!`].
pub(crate) struct Param {
    name: &'static CStr,
    allowed: Allowed,
    values: [Atomic<i64>; NUMBERS],
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
    /// A parameter with this value until the user gives another one. To be made when the module is compiled.
    pub(crate) const fn new(name: &'static CStr, allowed: Allowed, default: &str) -> Self {
        let default = allowed.value_of(default);
        Self {
            name,
            allowed,
            values: [
                Atomic::new(default),
                Atomic::new(0),
                Atomic::new(0),
                Atomic::new(0),
                Atomic::new(0),
                Atomic::new(0),
            ],
        }
    }

    /// The parameter's name.
    pub(crate) fn name(&self) -> &'static CStr {
        self.name
    }

    /// What it accepts.
    pub(crate) fn allowed(&self) -> &Allowed {
        &self.allowed
    }

    /// The value that the user gave, or the default.
    pub(crate) fn value(&self) -> Value {
        Value(core::array::from_fn(|i| {
            self.values.get(i).map_or(0, |value| value.load(Relaxed))
        }))
    }

    /// Lets sysfs show what is in force, where that is not what was asked for.
    pub(crate) fn set_in_force(&self, value: Value) {
        for (stored, value) in self.values.iter().zip(value.0) {
            stored.store(value, Relaxed);
        }
    }

    fn set(&self, text: &CStr) {
        match self.allowed.parse(text) {
            Ok(value) => self.set_in_force(value),
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
    // SAFETY: The buffer has room for a page.
    let buffer = unsafe { core::slice::from_raw_parts_mut(buffer, kernel::page::PAGE_SIZE) };
    let mut text = Formatter::new(buffer);
    let value = param.value();
    let shown = match (&param.allowed, value.0[0]) {
        (Allowed::Switch, 0) => text.write_str("N"),
        (Allowed::Switch, _) => text.write_str("Y"),
        (allowed, _) => allowed.show(value, &mut text),
    };
    match shown.and_then(|()| text.write_str("\n")) {
        Ok(()) => c_int::try_from(text.bytes_written()).unwrap_or(0),
        Err(_) => 0,
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
            $crate::params::Param::new(
                ::kernel::c_str!(stringify!($name)), $allowed, concat!($default),
            );

        const _: () = {
            const PARM: &str =
                concat!("parm=", stringify!($name), ":", $doc, ". Default: ", $default, "\0");
            #[link_section = ".modinfo"]
            #[used(compiler)]
            static MODINFO: [u8; PARM.len()] = $crate::params::modinfo(PARM);

            #[link_section = "__param"]
            #[used(compiler)]
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
