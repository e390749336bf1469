// SPDX-License-Identifier: GPL-2.0

//! A segment: one contiguous piece of the memory that a request moves data to or from.
//!
//! This is all that the block layer's side ([`crate::request`]) and the memory's side
//! ([`crate::ramstore`]) know of each other: the one makes segments, the other copies them.
//!
//! C header: [`include/linux/bvec.h`](srctree/include/linux/bvec.h)

use core::marker::PhantomData;

/// Which way the data of a request goes: [`FromDevice`] or [`ToDevice`].
pub(crate) trait Direction {
    /// It is that of a read.
    const IS_READ: bool;
}

/// From the device into the memory, as for a read.
pub(crate) enum FromDevice {}

/// From the memory to the device, as for a write. Nobody may write to that memory: it can be the page of zeroes that all
/// have in common, or of a file that somebody may only read.
pub(crate) enum ToDevice {}

impl Direction for FromDevice {
    const IS_READ: bool = true;
}

impl Direction for ToDevice {
    const IS_READ: bool = false;
}

/// A contiguous piece of a request's data, as large as the block layer could make it: a segment
/// may span many pages.
///
/// The memory belongs to whoever submitted the I/O and may change under the driver's hands (a
/// page cache page that is written to a disk can be dirtied meanwhile), so it is never seen as a
/// slice; it can only be copied.
///
/// # Examples
///
/// ```ignore
/// let mut at = start;
/// for segment in rq.segments() {
///     // SAFETY: What lies at `at` is as long as the request, and not its own buffer.
///     unsafe { copy_nonoverlapping(segment.as_ptr(), at, segment.len()) };
///     at = at.wrapping_add(segment.len());
/// }
/// ```
///
/// # Invariants
///
/// `start` is valid for reads of `len` bytes for the lifetime `'rq`, from any CPU; and for writes if the direction is
/// [`FromDevice`].
pub(crate) struct Segment<'rq, D: Direction> {
    start: *mut u8,
    len: usize,
    _request: PhantomData<(&'rq (), D)>,
}

impl<D: Direction> Segment<'_, D> {
    /// Names the `len` bytes from `start` on as a segment.
    ///
    /// # Safety
    ///
    /// `start` must be valid for reads of `len` bytes for the lifetime of the result; and for writes if the direction is
    /// [`FromDevice`].
    #[inline(always)]
    pub(crate) unsafe fn from_raw(start: *mut u8, len: usize) -> Self {
        // INVARIANT: This is the requirement of this function.
        Self {
            start,
            len,
            _request: PhantomData,
        }
    }

    /// The bytes of a slice.
    pub(crate) fn of(bytes: &mut [u8]) -> Segment<'_, D> {
        // SAFETY: They are borrowed as long as the result.
        unsafe { Segment::from_raw(bytes.as_mut_ptr(), bytes.len()) }
    }

    /// The length in bytes.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Its first `len` bytes, or all if it has no more.
    pub(crate) fn first(self, len: usize) -> Self {
        // INVARIANT: They are part of what was valid.
        Self {
            len: self.len.min(len),
            ..self
        }
    }

    /// What comes after its first `len` bytes; nothing if it has no more.
    fn after(self, len: usize) -> Self {
        let len = len.min(self.len);
        // INVARIANT: They are part of what was valid.
        Self {
            // SAFETY: The segment has `len` bytes.
            start: unsafe { self.start.add(len) },
            len: self.len - len,
            ..self
        }
    }

    /// The first byte; valid for reads of [`Segment::len`] bytes.
    #[inline(always)]
    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.start
    }
}

impl Segment<'_, FromDevice> {
    /// Turns a bit of its first byte over. An empty one has none.
    fn flip(&self, bit: u32) {
        if self.len != 0 {
            // SAFETY: By the type's invariant; volatile, because others may write there, too.
            unsafe {
                self.start
                    .write_volatile(self.start.read_volatile() ^ (1 << (bit & 7)))
            };
        }
    }
}

/// The first `len` bytes of a request's segments.
pub(crate) fn first_bytes<'rq, D: Direction>(
    segments: impl Iterator<Item = Segment<'rq, D>>,
    len: usize,
) -> impl Iterator<Item = Segment<'rq, D>> {
    segments.scan(len, |left, segment| {
        let segment = segment.first(*left);
        *left -= segment.len();
        (segment.len() != 0).then_some(segment)
    })
}

/// What comes after the first `len` bytes of a request's segments.
pub(crate) fn after_bytes<'rq, D: Direction>(
    segments: impl Iterator<Item = Segment<'rq, D>>,
    len: usize,
) -> impl Iterator<Item = Segment<'rq, D>> {
    let mut left = len;
    segments.filter_map(move |segment| {
        let skipped = left.min(segment.len());
        left -= skipped;
        let segment = segment.after(skipped);
        (segment.len() != 0).then_some(segment)
    })
}

/// Turns a bit over, in the byte number `at` of a request's segments.
pub(crate) fn flip_bit<'rq>(
    segments: impl Iterator<Item = Segment<'rq, FromDevice>>,
    at: usize,
    bit: u32,
) {
    if let Some(segment) = after_bytes(segments, at).next() {
        segment.flip(bit);
    }
}
