// SPDX-License-Identifier: GPL-2.0

//! A request, and who owes it an end.
//!
//! # The life of a request
//!
//! ```text
//!   block layer                       driver
//!   -----------                       ------
//!   allocated, tag taken
//!        | queue_rq: started
//!        +-------------------------> Request<T>   (owned: nobody else may touch it)
//!                                        | end(status)
//!   tag freed, submitter told <----------+
//! ```
//!
//! Between the two arrows the driver owns the request, and a [`Request`] is that ownership: it
//! can be moved but not copied, and [`Request::end`] consumes it. A request that is dropped is
//! ended with an I/O error and a warning, so that a tag is never lost.
//!
//! C header: [`include/linux/blk-mq.h`](srctree/include/linux/blk-mq.h)

use crate::{
    bindings,
    compat,
    queue::Operations,
    segment::Segment, //
};
use core::{
    marker::PhantomData,
    mem,
    ptr::NonNull, //
};
use kernel::prelude::*;

/// What a request asks for.
///
/// C header: [`include/linux/blk_types.h`](srctree/include/linux/blk_types.h), `enum req_op`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Copy from the device into the segments.
    Read,
    /// Copy from the segments to the device.
    Write,
    /// Make all completed writes durable. Has no segments and no range.
    Flush,
    /// The range is no longer needed. Has no segments.
    Discard,
    /// The range is to read as zeroes. Has no segments.
    WriteZeroes,
    /// Anything else, by its number in `enum req_op`.
    Other(u32),
}

impl Operation {
    #[inline(always)]
    fn from_raw(cmd_flags: bindings::blk_opf_t) -> Self {
        match cmd_flags & bindings::REQ_OP_MASK {
            bindings::req_op_REQ_OP_READ => Self::Read,
            bindings::req_op_REQ_OP_WRITE => Self::Write,
            bindings::req_op_REQ_OP_FLUSH => Self::Flush,
            bindings::req_op_REQ_OP_DISCARD => Self::Discard,
            bindings::req_op_REQ_OP_WRITE_ZEROES => Self::WriteZeroes,
            other => Self::Other(other),
        }
    }
}

/// How a request ended.
///
/// C header: [`include/linux/blk_types.h`](srctree/include/linux/blk_types.h), `blk_status_t`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status(bindings::blk_status_t);

impl Status {
    /// Done.
    pub(crate) const OK: Self = Self(bindings::BLK_STS_OK);
    /// The device does not know the operation. The submitter sees `EOPNOTSUPP`.
    pub(crate) const NOTSUPP: Self = Self(bindings::BLK_STS_NOTSUPP);
    /// The operation failed. The submitter sees `EIO`.
    pub(crate) const IOERR: Self = Self(bindings::BLK_STS_IOERR);

    #[inline(always)]
    pub(crate) fn as_raw(self) -> bindings::blk_status_t {
        self.0
    }
}

impl From<Result> for Status {
    /// Every error of a store is an I/O error to the block layer.
    #[inline(always)]
    fn from(result: Result) -> Self {
        match result {
            Ok(()) => Self::OK,
            Err(_) => Self::IOERR,
        }
    }
}

/// A started request that the driver owns and has to end. See the [module's page](self).
///
/// # Examples
///
/// ```ignore
/// fn queue_rq(disk: ArcBorrow<'_, Disk>, _: (), rq: Request<Self>, _is_last: bool) {
///     let status = match rq.operation() {
///         Operation::Read => disk.read(rq.sector(), rq.segments()),
///         _ => Status::NOTSUPP,
///     };
///     rq.end(status);
/// }
/// ```
///
/// # Invariants
///
/// `raw` points to a request of a queue with the operations `T` that was started and has not
/// ended, and no other `Request` points to it.
pub(crate) struct Request<T: Operations> {
    raw: NonNull<bindings::request>,
    _operations: PhantomData<T>,
}

// SAFETY: A request may be ended on any CPU and in any context; nothing of it is bound to the
// thread that queued it.
unsafe impl<T: Operations> Send for Request<T> {}

impl<T: Operations> Request<T> {
    /// Starts a request and takes it over: the timeout begins to run.
    ///
    /// # Safety
    ///
    /// `raw` must be a request that the block layer just handed to the driver through a callback
    /// of `T`'s vtable, which is not yet started, and which nothing else will end.
    #[inline(always)]
    pub(crate) unsafe fn start(raw: NonNull<bindings::request>) -> Self {
        // SAFETY: By the requirement of this function the request is valid and the driver's.
        unsafe { bindings::blk_mq_start_request(raw.as_ptr()) };

        // INVARIANT: It is started now, and this is the only `Request` for it.
        Self {
            raw,
            _operations: PhantomData,
        }
    }

    #[inline(always)]
    fn raw(&self) -> &bindings::request {
        // SAFETY: By the type's invariant the pointer is valid, and while the driver owns the
        // request the block layer writes none of the fields that are read here.
        unsafe { self.raw.as_ref() }
    }

    /// What is to be done.
    #[inline(always)]
    pub(crate) fn operation(&self) -> Operation {
        Operation::from_raw(self.raw().cmd_flags)
    }

    /// Whether a write must be durable when it ends (forced unit access).
    #[inline(always)]
    pub(crate) fn is_fua(&self) -> bool {
        self.raw().cmd_flags & bindings::REQ_FUA != 0
    }

    /// The first sector of the range, in units of 512 bytes whatever the logical block size.
    #[inline(always)]
    pub(crate) fn sector(&self) -> u64 {
        self.raw().__sector
    }

    /// The length of the range in bytes. Without data (discard, write zeroes) it is the range
    /// that is meant; for a flush it is 0.
    #[inline(always)]
    pub(crate) fn bytes(&self) -> u32 {
        self.raw().__data_len
    }

    /// The memory to copy to or from, in the order of the device's sectors. Only for operations
    /// that carry data (read, write): together the segments are as long as [`Request::bytes`].
    #[inline(always)]
    pub(crate) fn segments(&self) -> Segments<'_> {
        match self.operation() {
            // INVARIANT: A read or write has a bio, its bios have data, and they live until the
            // request ends, which needs the `Request` that is borrowed here.
            Operation::Read | Operation::Write => Segments::of(self.raw().bio),
            _ => Segments::of(core::ptr::null_mut()),
        }
    }

    /// Ends the request: its tag is free and its submitter is told.
    #[inline(always)]
    pub(crate) fn end(self, status: Status) {
        let raw = self.raw.as_ptr();
        mem::forget(self);
        // SAFETY: By the type's invariant the request is started and has not ended; `self` was
        // consumed, so nobody can end it again.
        unsafe { bindings::blk_mq_end_request(raw, status.0) };
    }
}

impl<T: Operations> Drop for Request<T> {
    /// Reached only by a bug in a driver: a request that was neither ended nor handed on.
    #[cold]
    fn drop(&mut self) {
        kernel::warn_on!(true);
        // SAFETY: As in `end`; a value that is dropped cannot be used again.
        unsafe { bindings::blk_mq_end_request(self.raw.as_ptr(), Status::IOERR.0) };
    }
}

/// The segments of a request, first to last; made by [`Request::segments`].
///
/// # Invariants
///
/// `bio` is null, or a bio with data in a list of such that lives as long as `'rq`, and `index`,
/// `offset` and `left` are the position in it and the bytes that follow: while `left` is not 0,
/// `index` is that of an element, and `offset` lies within it.
pub(crate) struct Segments<'rq> {
    bio: *const bindings::bio,
    /// The element of the bio's vector that is next.
    index: usize,
    /// How many bytes of that element are already done.
    offset: u32,
    /// How many bytes of the bio are to come.
    left: u32,
    _request: PhantomData<&'rq ()>,
}

impl Segments<'_> {
    /// Starts at the beginning of `bio`, which fulfils the type's invariant.
    #[inline(always)]
    fn of(bio: *const bindings::bio) -> Self {
        let mut segments = Self {
            bio,
            index: 0,
            offset: 0,
            left: 0,
            _request: PhantomData,
        };
        segments.enter(bio);
        segments
    }

    /// Moves to the start of `bio`, which is null or fulfils the type's invariant.
    #[inline(always)]
    fn enter(&mut self, bio: *const bindings::bio) {
        self.bio = bio;
        if bio.is_null() {
            self.left = 0;
            return;
        }
        // SAFETY: By the type's invariant `bio` is valid. The fields are copied out, because
        // `struct bvec_iter` is packed.
        let iter = unsafe { (*bio).bi_iter };
        // CAST: An unsigned index of an array in memory; `usize` is at least 32 bits wide.
        self.index = iter.bi_idx as usize;
        self.offset = compat::bvec_iter_done(&iter);
        self.left = iter.bi_size;
    }
}

impl<'rq> Iterator for Segments<'rq> {
    type Item = Segment<'rq>;

    #[inline(always)]
    fn next(&mut self) -> Option<Segment<'rq>> {
        while self.left == 0 {
            if self.bio.is_null() {
                return None;
            }
            // SAFETY: By the type's invariant `bio` is valid, and so is its successor.
            let next = unsafe { (*self.bio).bi_next };
            self.enter(next);
        }

        // SAFETY: `left` is not 0, so by the type's invariant the vector of `bio` has an element
        // at `index`.
        let bvec = unsafe { &*(*self.bio).bi_io_vec.add(self.index) };
        // By the type's invariant neither of these can wrap; to say so spares a panic.
        let len = bvec.bv_len.wrapping_sub(self.offset).min(self.left);
        let start = bvec.bv_offset.wrapping_add(self.offset);
        // CAST: `usize` is at least as wide as `u32`.
        let (start, bytes) = (start as usize, len as usize);

        // SAFETY: The page of a bio's element is valid, and without high memory (see helpers.c)
        // each page has an address.
        let page = unsafe { bindings::rnullblk_page_address(bvec.bv_page) };
        // SAFETY: An element is contiguous in physical memory and so in the kernel's linear map;
        // the address lies within the element.
        let start = unsafe { page.cast::<u8>().add(start) };

        self.left -= len;
        self.offset = 0;
        self.index = self.index.wrapping_add(1);

        // SAFETY: An address within a mapped page is not null. The `bytes` bytes from there on
        // belong to the element, which is the driver's to read or write until the request ends.
        Some(unsafe { Segment::from_raw(NonNull::new_unchecked(start), bytes) })
    }
}
