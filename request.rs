// SPDX-License-Identifier: GPL-2.0

//! A request, and who owes it an end.
//!
//! # The life of a request
//!
//! ```text
//!  block layer          driver
//!  -----------          ------
//!  queued ------------> Incoming --start()--> Request
//!     ^                    |                   |  |  |
//!     |<----- refuse() ----+                   |  |  +-- park() --> parked, has a CommandId
//!     |<----- requeue() -----------------------+  |                  |       |
//!     |                                        |  |  <-- take(id) ---+       | no answer
//!     |            Request <-- on softirq or --+  |                          v
//!     |               |        submitting CPU     |  <------ claim() ----- TimedOut
//!     |               |           complete()      |                          |
//!     v               v                           v                          +--> wait_longer():
//!  ended <---------- end(status), end_batched(status, batch)                      parked again
//! ```
//!
//! Each of [`Incoming`], [`Request`] and [`TimedOut`] is a value that is moved, never copied, and
//! whoever holds it owes it its next step. One that is dropped takes a safe step by itself: the
//! first two end with an I/O error and a warning, so that a tag is never lost, and a timed-out
//! one waits longer.
//!
//! A parked request is owned by nobody: it waits in the device, as a command does in hardware.
//! One atomic exchange decides who gets it back: the completion that names its [`CommandId`], or
//! the timeout. The id holds a ticket that no other parking of any request has, so a late
//! completion finds nothing. A request that is ended where it was queued is never parked and pays
//! for none of this.
//!
//! C header: [`include/linux/blk-mq.h`](srctree/include/linux/blk-mq.h)

use crate::{
    bindings,
    compat,
    queue::{
        HwQueue,
        HwQueueInfo,
        Operations,
        QueueContext, //
    },
    segment::{
        Direction,
        Segment, //
    }, //
};
use core::{
    marker::PhantomData,
    mem,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Relaxed,
        Release, //
    },
};

/// What a request asks for.
///
/// C header: [`include/linux/blk_types.h`](srctree/include/linux/blk_types.h), `enum req_op`.
///
/// # Examples
///
/// ```ignore
/// let status = match rq.operation() {
///     Operation::Read | Operation::Write => transfer(&rq),
///     Operation::Flush => Status::OK,
///     _ => Status::NOTSUPP,
/// };
/// ```
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
    /// A command of the driver's own that brings data in; see [`InternalRequest`](crate::admin::InternalRequest).
    DriverIn,
    /// A command of the driver's own that sends data out or moves none.
    DriverOut,
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
            bindings::req_op_REQ_OP_DRV_IN => Self::DriverIn,
            bindings::req_op_REQ_OP_DRV_OUT => Self::DriverOut,
            other => Self::Other(other),
        }
    }
}

/// How a request ended.
///
/// C header: [`include/linux/blk_types.h`](srctree/include/linux/blk_types.h), `blk_status_t`.
///
/// # Examples
///
/// ```ignore
/// rq.end(Status::IOERR); // the submitter sees `EIO`
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status(bindings::blk_status_t);

impl Status {
    /// Done.
    pub(crate) const OK: Self = Self(bindings::BLK_STS_OK);
    /// The device does not know the operation. The submitter sees `EOPNOTSUPP`.
    pub(crate) const NOTSUPP: Self = Self(bindings::BLK_STS_NOTSUPP);
    /// The operation failed. The submitter sees `EIO`.
    pub(crate) const IOERR: Self = Self(bindings::BLK_STS_IOERR);
    /// There is no room for the data. The submitter sees `ENOSPC`.
    pub(crate) const NOSPC: Self = Self(bindings::BLK_STS_NOSPC);
    /// The device did not answer in time. The submitter sees `ETIMEDOUT`.
    pub(crate) const TIMEOUT: Self = Self(bindings::BLK_STS_TIMEOUT);

    #[inline(always)]
    pub(crate) fn as_raw(self) -> bindings::blk_status_t {
        self.0
    }

    /// The status with the number [`Status::as_raw`] gave.
    #[inline(always)]
    pub(crate) fn from_raw(raw: bindings::blk_status_t) -> Self {
        Self(raw)
    }
}

impl From<Result> for Status {
    /// Every error of a store is an I/O error to the block layer, but that it is full.
    #[inline(always)]
    fn from(result: Result) -> Self {
        match result {
            Ok(()) => Self::OK,
            Err(ENOSPC) => Self::NOSPC,
            Err(_) => Self::IOERR,
        }
    }
}

/// Names one parking of one request: what a device is given to name the command when it answers.
///
/// It may be kept and used at any time. Once the request was taken, the id names nothing.
///
/// # Examples
///
/// ```ignore
/// let id = rq.park();
/// device.send(id.tag, id.ticket);
/// // Later, in the interrupt, with what the device gave back:
/// if let Some(rq) = hw.take(CommandId { tag, ticket }) {
///     rq.end(Status::OK);
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct CommandId {
    /// The tag of the request in its hardware queue: below the queue's depth.
    pub(crate) tag: u32,
    /// A number that no other parking has.
    pub(crate) ticket: u64,
}

/// What stands behind each `struct request`: the ticket, and the driver's data.
///
/// # Invariants
///
/// `ticket` is the serial number of the request (upper 32 bits; each request that was ever made
/// has another), how often it was parked (31 bits), and whether it is parked now (lowest bit). Who
/// turns that bit from 1 to 0 owns the request.
#[pin_data]
pub(crate) struct Pdu<T: Operations> {
    ticket: Atomic<u64>,
    /// The budget that the request holds, or -1.
    budget: Atomic<i32>,
    #[pin]
    data: T::RequestData,
}

const PARKED: u64 = 1;
const PARKINGS: u64 = u32::MAX as u64 & !PARKED;

/// The ticket of a request's next parking. Only after 2^31 of them it is an old one again; another request's never.
pub(crate) fn next_ticket(ticket: u64) -> u64 {
    let parkings = ticket.wrapping_add(2) & PARKINGS;
    (ticket & !(PARKINGS | PARKED)) | parkings
}

/// How many requests were ever made, which numbers them.
static REQUESTS_MADE: Atomic<u32> = Atomic::new(0);

impl<T: Operations> Pdu<T> {
    /// The bytes to be allocated behind each request.
    pub(crate) const SIZE: u32 = {
        // A PDU follows its request without a gap.
        assert!(align_of::<Self>() <= align_of::<bindings::request>());
        assert!(size_of::<Self>() <= u16::MAX as usize);
        // CAST: As asserted.
        size_of::<Self>() as u32
    };

    /// The PDU of a request.
    #[inline(always)]
    fn of(raw: *mut bindings::request) -> *mut Self {
        raw.wrapping_add(1).cast()
    }

    /// The driver's data of a request.
    ///
    /// # Safety
    ///
    /// `raw` must be a request of a tag set of `T` that is valid as long as `'a`.
    pub(crate) unsafe fn data_of<'a>(raw: *mut bindings::request) -> &'a T::RequestData {
        // SAFETY: By the requirement of this function.
        unsafe { &(*Self::of(raw)).data }
    }

    /// Makes the PDU of a request that was just allocated.
    ///
    /// # Safety
    ///
    /// `raw` must be a request of a tag set of `T`, whose PDU is not initialised.
    pub(crate) unsafe fn init(
        raw: *mut bindings::request,
        tagset: &T::TagSetData,
        info: &HwQueueInfo,
    ) -> Result {
        let serial = REQUESTS_MADE.fetch_add(1, Relaxed);
        let init = try_pin_init!(Self {
            ticket: Atomic::new(u64::from(serial) << 32),
            budget: Atomic::new(-1),
            data <- T::init_request(tagset, info),
        }? Error);
        // SAFETY: The room is there by the requirement of this function, and requests never move.
        unsafe { compat::pin_init_at(Self::of(raw), init) }
    }

    /// Drops the driver's data of a request that will be freed. The ticket stays readable as long
    /// as the memory: who looks for the request by a stale id finds it not parked.
    ///
    /// # Safety
    ///
    /// `raw` must be a request whose PDU is initialised, and which nobody owns.
    pub(crate) unsafe fn exit(raw: *mut bindings::request) {
        // SAFETY: By the requirement of this function.
        unsafe { core::ptr::drop_in_place(&raw mut (*Self::of(raw)).data) };
    }
}

/// Claims a request if it is parked under just this ticket.
///
/// # Safety
///
/// `raw` must be a request of a tag set of `T` whose memory is valid.
#[inline]
unsafe fn claim<T: Operations>(raw: NonNull<bindings::request>, ticket: u64) -> Option<Request<T>> {
    // SAFETY: By the requirement of this function.
    let pdu = unsafe { &*Pdu::<T>::of(raw.as_ptr()) };
    if ticket & PARKED != 0 {
        // Nobody was given such a ticket.
        return None;
    }
    pdu.ticket
        .cmpxchg(ticket | PARKED, ticket & !PARKED, Full)
        .ok()?;
    // INVARIANT: By the PDU's invariant we own the request.
    Some(Request {
        raw,
        _operations: PhantomData,
    })
}

/// Budgets: a limit that several queues share, as the queue depth of a SCSI device is. The block
/// layer asks for a piece before it hands a request out; it goes back by itself when the request
/// ends, is requeued, or was refused, so a driver cannot forget it.
///
/// # Examples
///
/// ```ignore
/// fn get_budget(disk: &Disk) -> Option<Budget> {
///     Budget::new(disk.free_slots.pop()?)
/// }
///
/// fn put_budget(disk: &Disk, budget: Budget) {
///     disk.free_slots.push(budget.number());
/// }
/// ```
pub(crate) struct Budget(u32);

impl Budget {
    /// A piece of the budget with a number of the driver's choice; `None` above `i32::MAX`.
    pub(crate) fn new(number: u32) -> Option<Self> {
        (number <= i32::MAX.unsigned_abs()).then_some(Self(number))
    }

    /// The number that was chosen.
    pub(crate) fn number(&self) -> u32 {
        self.0
    }

    /// As the block layer carries it.
    pub(crate) fn into_token(self) -> i32 {
        // Cannot fail by the check in `new`.
        i32::try_from(self.0).unwrap_or(0)
    }

    /// From what the block layer carried; `None` for "no budget".
    pub(crate) fn from_token(token: i32) -> Option<Self> {
        u32::try_from(token).ok().map(Self)
    }

    /// Notes that a request holds the budget `token`.
    ///
    /// # Safety
    ///
    /// `raw` must be a request of a queue of `T`.
    pub(crate) unsafe fn attach<T: Operations>(raw: *mut bindings::request, token: i32) {
        // SAFETY: By the requirement of this function.
        unsafe { (*Pdu::<T>::of(raw)).budget.store(token, Relaxed) };
    }

    /// The budget that a request holds, or -1.
    ///
    /// # Safety
    ///
    /// As [`Budget::attach`].
    pub(crate) unsafe fn token_of<T: Operations>(raw: *mut bindings::request) -> i32 {
        // SAFETY: By the requirement of this function.
        unsafe { (*Pdu::<T>::of(raw)).budget.load(Relaxed) }
    }
}

/// Gives back what budget the request holds.
///
/// # Safety
///
/// `raw` must be a request of a queue of `T` that the caller owns.
#[inline(always)]
unsafe fn release_budget<T: Operations>(raw: NonNull<bindings::request>) {
    if !T::HAS_PUT_BUDGET {
        return;
    }
    // SAFETY: By the requirement of this function.
    let pdu = unsafe { &*Pdu::<T>::of(raw.as_ptr()) };
    if let Some(budget) = Budget::from_token(pdu.budget.xchg(-1, Relaxed)) {
        // SAFETY: As above; the queue is there as long as it has requests.
        unsafe { HwQueue::<T>::put_budget(raw.as_ref().q, budget) };
    }
}

/// Why a driver cannot take a request now.
///
/// # Examples
///
/// ```ignore
/// match disk.pool.get() {
///     Some(buffer) => serve(rq.start(), buffer),
///     None => return Err(rq.refuse(Busy::System)),
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Busy {
    /// The device is busy with other requests of the same queue: the block layer tries again when
    /// one of them ends. If there is none, say [`Busy::System`].
    Device,
    /// Something that no request of this queue gives back is short, memory for one: the block
    /// layer tries again after a few milliseconds.
    System,
}

/// A request that is to go back to the block layer: what [`queue_rq`](Operations::queue_rq) returns for its own. Dropping it
/// gives it back, too: it is queued again.
///
/// # Invariants
///
/// `raw` was handed to the driver and is not started, and no other value stands for it.
pub(crate) struct Refused {
    raw: NonNull<bindings::request>,
    status: Status,
}

// SAFETY: The request is the value's alone.
unsafe impl Send for Refused {}

impl Refused {
    /// What the block layer is told that offered the request `raw`.
    #[inline(always)]
    pub(crate) fn status_of(self, raw: *mut bindings::request) -> Status {
        if self.raw.as_ptr() != raw {
            return self.of_another();
        }
        let status = self.status;
        mem::forget(self);
        status
    }

    /// A bug of the driver: the one that was offered was answered otherwise, and this one is queued again.
    #[inline(never)]
    fn of_another(self) -> Status {
        kernel::warn_on!(true);
        Status::OK
    }
}

impl Drop for Refused {
    #[cold]
    fn drop(&mut self) {
        // SAFETY: By the type's invariant.
        unsafe { bindings::rnullblk_requeue(self.raw.as_ptr(), 0) };
    }
}

/// A request that the block layer offers. The driver starts it, or refuses it for now.
///
/// # Examples
///
/// ```ignore
/// if hw.is_full() {
///     return Err(rq.refuse(Busy::Device));
/// }
/// rq.start().end(Status::OK);
/// Ok(())
/// ```
///
/// # Invariants
///
/// `raw` was handed to the driver and is not started, and no other value stands for it.
pub(crate) struct Incoming<T: Operations> {
    raw: NonNull<bindings::request>,
    _operations: PhantomData<T>,
}

impl<T: Operations> Incoming<T> {
    /// # Safety
    ///
    /// `raw` must be a request that the block layer just handed to the driver through a callback
    /// of `T`'s vtable, which is not yet started, and which nothing else will start or end.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(raw: NonNull<bindings::request>) -> Self {
        // INVARIANT: This is the requirement of this function.
        Self {
            raw,
            _operations: PhantomData,
        }
    }

    /// The request without the value that stands for it: whoever gets it goes on with it.
    #[inline(always)]
    pub(crate) fn into_raw(self) -> NonNull<bindings::request> {
        let raw = self.raw;
        mem::forget(self);
        raw
    }

    /// Whether somebody waits for all requests of the disk to end, to change or remove it. Whoever gives a request back
    /// then, and again when it comes back, lets them wait.
    pub(crate) fn is_awaited(&self) -> bool {
        // SAFETY: The request is valid by the type's invariant, and so is its queue. The field may change meanwhile;
        // the kernel, too, reads it without a lock.
        unsafe { (&raw const (*(*self.raw.as_ptr()).q).mq_freeze_depth).read_volatile() != 0 }
    }

    /// The hardware queue that the request came through.
    #[inline(always)]
    pub(crate) fn hw_queue(&self) -> &HwQueue<T> {
        // SAFETY: The hardware queue of a request lives as long as the request is the driver's.
        unsafe { HwQueue::of_request(self.raw.as_ref()) }
    }

    /// What is to be done.
    #[inline(always)]
    pub(crate) fn operation(&self) -> Operation {
        // SAFETY: By the type's invariant the request is valid.
        Operation::from_raw(unsafe { self.raw.as_ref() }.cmd_flags)
    }

    /// The first sector of the range; see [`Request::sector`].
    #[inline(always)]
    pub(crate) fn sector(&self) -> u64 {
        // SAFETY: By the type's invariant the request is valid.
        unsafe { self.raw.as_ref() }.__sector
    }

    /// The length of the range in bytes; see [`Request::bytes`].
    #[inline(always)]
    pub(crate) fn bytes(&self) -> u32 {
        // SAFETY: By the type's invariant the request is valid.
        unsafe { self.raw.as_ref() }.__data_len
    }

    /// Takes the request on: the timeout begins to run.
    #[inline(always)]
    pub(crate) fn start(self) -> Request<T> {
        let raw = self.into_raw();
        // SAFETY: By the type's invariant the request is the driver's and not started.
        unsafe { bindings::blk_mq_start_request(raw.as_ptr()) };
        // INVARIANT: It is started now, and this is the only value for it.
        Request {
            raw,
            _operations: PhantomData,
        }
    }

    /// Gives the request back; it comes again later.
    #[inline]
    pub(crate) fn refuse(self, why: Busy) -> Refused {
        let raw = self.into_raw();
        // SAFETY: By the type's invariant.
        unsafe { release_budget::<T>(raw) };
        // INVARIANT: It was the driver's, and `self` is gone.
        Refused {
            raw,
            status: Status(match why {
                Busy::Device => bindings::BLK_STS_DEV_RESOURCE,
                Busy::System => bindings::BLK_STS_RESOURCE,
            }),
        }
    }
}

impl<T: Operations> Drop for Incoming<T> {
    /// Reached only by a bug in a driver.
    #[cold]
    fn drop(&mut self) {
        // SAFETY: As in `start`; a value that is dropped cannot be used again. The `Request` made
        // here is dropped at once, which ends and reports it.
        unsafe { bindings::blk_mq_start_request(self.raw.as_ptr()) };
        drop(Request::<T> {
            raw: self.raw,
            _operations: PhantomData,
        });
    }
}

/// A started request that the driver owns and has to end. See the [module's page](self).
///
/// # Examples
///
/// ```ignore
/// fn queue_rq(
///     _disk: &Disk,
///     _hw: &HwQueue<Self>,
///     rq: Incoming<Self>,
///     _is_last: bool,
/// ) -> Result<(), Refused> {
///     let rq = rq.start();
///     let status = match rq.operation() {
///         Operation::Read => rq.steady().store.read(rq.sector(), rq.segments()),
///         _ => Status::NOTSUPP,
///     };
///     rq.end(status);
///     Ok(())
/// }
/// ```
///
/// # Invariants
///
/// `raw` points to a request of a queue with the operations `T` that was started, has not ended
/// and is not parked, and no other value stands for it.
pub(crate) struct Request<T: Operations> {
    raw: NonNull<bindings::request>,
    _operations: PhantomData<T>,
}

// SAFETY: A request may be ended on any CPU and in any context; nothing of it is bound to the
// thread that queued it.
unsafe impl<T: Operations> Send for Request<T> {}

impl<T: Operations> Request<T> {
    /// Takes over a request in whose completion the block layer called the driver.
    ///
    /// # Safety
    ///
    /// `raw` must be a request that was given away by [`Request::complete`], and which nothing
    /// else will end.
    #[inline(always)]
    pub(crate) unsafe fn completed(raw: NonNull<bindings::request>) -> Self {
        // INVARIANT: This is the requirement of this function.
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

    #[inline(always)]
    fn pdu(&self) -> &Pdu<T> {
        // SAFETY: By the type's invariant the request and its PDU are valid.
        unsafe { &*Pdu::of(self.raw.as_ptr()) }
    }

    /// Takes the value away, and with it the duty: whoever gets the pointer does the next step.
    #[inline(always)]
    fn into_raw(self) -> NonNull<bindings::request> {
        let raw = self.raw;
        mem::forget(self);
        // SAFETY: The request is the caller's. All the ways out of the driver lead through here.
        unsafe { release_budget::<T>(raw) };
        raw
    }

    /// What of its disk changes under no request; see [`Operations::SteadyData`].
    #[inline(always)]
    pub(crate) fn steady(&self) -> &T::SteadyData {
        // SAFETY: By the type's invariant the request is in flight as long as this value is there. It
        // holds a count of `q_usage_counter` from its allocation to its end; a flush request holds
        // none, but those do that wait for it, and they end after it.
        unsafe { QueueContext::<T>::steady_of(self.raw().q) }
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

    /// The request's number in its hardware queue, below the queue's depth. Unique among the
    /// requests in flight there.
    #[inline(always)]
    pub(crate) fn tag(&self) -> u32 {
        // CAST: A request that was dispatched has a tag, which is not negative.
        self.raw().tag.unsigned_abs()
    }

    /// How long it may take before it times out, in nanoseconds.
    pub(crate) fn timeout_nsec(&self) -> u64 {
        // SAFETY: By the type's invariant the request is valid, and it was started.
        unsafe { bindings::rnullblk_timeout_nsec(self.raw()) }
    }

    /// The hardware queue that the request came through.
    #[inline(always)]
    pub(crate) fn hw_queue(&self) -> &HwQueue<T> {
        // SAFETY: The hardware queue of a request lives as long as the request is in flight.
        unsafe { HwQueue::of_request(self.raw()) }
    }

    /// The driver's own data of the request. It is made once and keeps what was last written to
    /// it, whatever the tag was used for since.
    #[inline(always)]
    pub(crate) fn data(&self) -> &T::RequestData {
        &self.pdu().data
    }

    /// The memory to copy to or from, in the order of the device's sectors: for a read, or for a write, as the direction
    /// says. Together the segments are as long as [`Request::bytes`]; a request that is something else has none.
    #[inline(always)]
    pub(crate) fn segments<D: Direction>(&self) -> Segments<'_, D> {
        match self.operation() {
            // INVARIANT: A read or write has a bio, its bios have data, and they live until the
            // request ends, which needs the `Request` that is borrowed here.
            Operation::Read if D::IS_READ => Segments::of(self.raw().bio),
            Operation::Write if !D::IS_READ => Segments::of(self.raw().bio),
            _ => Segments::of(core::ptr::null_mut()),
        }
    }

    /// Ends the request: its tag is free and its submitter is told.
    #[inline(always)]
    pub(crate) fn end(self, status: Status) {
        let raw = self.into_raw();
        // SAFETY: By the type's invariant the request is started and has not ended; `self` was
        // consumed, so nobody can end it again.
        unsafe { bindings::blk_mq_end_request(raw.as_ptr(), status.0) };
    }

    /// Ends the request together with the others of the batch, which saves work for each of them;
    /// or alone, where the block layer cannot batch it (an error, an I/O scheduler, a flush).
    #[inline(always)]
    pub(crate) fn end_batched(self, status: Status, batch: &mut CompletionBatch<'_>) {
        let raw = self.into_raw();
        // SAFETY: As in `end`: it ends with the batch or here. The batch's end lies within the
        // callback that owns the batch.
        unsafe {
            if !bindings::rnullblk_add_to_batch(raw.as_ptr(), batch.raw, status != Status::OK) {
                bindings::blk_mq_end_request(raw.as_ptr(), status.0);
            }
        }
    }

    /// Hands the request to [`Operations::complete`], which runs on the CPU that submitted it or
    /// one near to that: in softirq context, in an interrupt, or in this very call.
    #[inline(always)]
    pub(crate) fn complete(self) {
        const { assert!(T::HAS_COMPLETE, "`complete()` needs `Operations::complete`") };
        let raw = self.raw;
        // Still the driver's: the budget stays.
        mem::forget(self);
        // SAFETY: By the type's invariant; `complete` makes a new `Request` of it.
        unsafe { bindings::blk_mq_complete_request(raw.as_ptr()) };
    }

    /// Gives the request back to the block layer, which queues it again after `delay_msec`: with all others of the disk that
    /// were given back, whatever their delay was. The last one who does so moves the time for all, and flushes may make it
    /// shorter. So who waits for something looks at a clock.
    pub(crate) fn requeue(self, delay_msec: u32) {
        let raw = self.into_raw();
        // CAST: `unsigned long` is at least as wide as `u32`.
        // SAFETY: By the type's invariant.
        unsafe { bindings::rnullblk_requeue(raw.as_ptr(), delay_msec as c_ulong) };
    }

    /// Leaves the request to the device: nobody owns it until it is taken by the id, or times
    /// out. It times out once: one that its timeout [claimed](TimedOut::claim), or that was
    /// [completed](Request::complete), and is parked then, waits for its answer without an end, unless it was requeued.
    pub(crate) fn park(self) -> CommandId {
        let ticket = next_ticket(self.pdu().ticket.load(Relaxed));
        let id = CommandId {
            tag: self.tag(),
            ticket,
        };
        let pdu: *const Pdu<T> = self.pdu();
        // The budget stays with the request.
        mem::forget(self);
        // SAFETY: The request was owned until this very store, so its PDU is valid. The release
        // pairs with the exchange of who claims it.
        unsafe { (*pdu).ticket.store(ticket | PARKED, Release) };
        id
    }
}

impl<T: Operations> Drop for Request<T> {
    /// Reached only by a bug in a driver: a request that was neither ended nor handed on.
    #[cold]
    fn drop(&mut self) {
        kernel::warn_on!(true);
        // SAFETY: As in `end`; a value that is dropped cannot be used again.
        unsafe {
            release_budget::<T>(self.raw);
            bindings::blk_mq_end_request(self.raw.as_ptr(), Status::IOERR.0);
        }
    }
}

impl<T: Operations> HwQueue<T> {
    /// Takes a parked request back. `None` if the id names none: the request was taken before, by
    /// a timeout perhaps, or the id is that of a queue with other tags, or of no tag at all. (Queues that share their tags
    /// find each other's requests: the id names one, whoever asks.)
    ///
    /// May be called in any context but NMI.
    pub(crate) fn take(&self, id: CommandId) -> Option<Request<T>> {
        let hctx = self.as_raw();
        // SAFETY: The hardware queue is initialised as long as this value is there, and so are its
        // tags. The lock keeps the memory of every request that the table names until it is let
        // go; a request that we then own lives longer.
        unsafe {
            let lock = bindings::rnullblk_tags_read_lock(hctx);
            let rq = NonNull::new(bindings::rnullblk_tag_to_rq(hctx, id.tag))
                .and_then(|raw| claim(raw, id.ticket));
            bindings::rnullblk_tags_read_unlock(hctx, lock);
            rq
        }
    }
}

/// A parked request whose time is over. The driver claims it, or lets it wait longer.
///
/// # Examples
///
/// ```ignore
/// fn timeout(_disk: &Disk, rq: TimedOut<'_, Self>) -> TimeoutVerdict {
///     let (rq, verdict) = rq.claim();
///     if let Some(rq) = rq {
///         rq.end(Status::TIMEOUT);
///     }
///     verdict
/// }
/// ```
///
/// # Invariants
///
/// `raw` is in flight and will not be reused as long as `'a`, the time of the callback.
pub(crate) struct TimedOut<'a, T: Operations> {
    raw: NonNull<bindings::request>,
    _callback: PhantomData<(&'a (), T)>,
}

/// What a driver made of a timeout; see [`TimedOut`].
pub(crate) struct TimeoutVerdict(bindings::blk_eh_timer_return);

impl TimeoutVerdict {
    pub(crate) fn as_raw(&self) -> bindings::blk_eh_timer_return {
        self.0
    }
}

impl<'a, T: Operations> TimedOut<'a, T> {
    /// # Safety
    ///
    /// `raw` must be a request of a queue of `T` for which the block layer calls the timeout
    /// callback.
    pub(crate) unsafe fn from_raw(raw: NonNull<bindings::request>) -> Self {
        // INVARIANT: The block layer holds a reference to it during the callback.
        Self {
            raw,
            _callback: PhantomData,
        }
    }

    /// The request, to look at.
    pub(crate) fn look(&self) -> InFlight<'_, T> {
        InFlight {
            raw: self.raw,
            _lifetime: PhantomData,
        }
    }

    /// Lets the device have as much time again.
    pub(crate) fn wait_longer(self) -> TimeoutVerdict {
        TimeoutVerdict(bindings::blk_eh_timer_return_BLK_EH_RESET_TIMER)
    }

    /// Takes the request away from the device, whose late answer then finds nothing. If the
    /// answer comes at this moment and wins, or the request is not the device's but in the
    /// driver's hands, there is no request, and the verdict says so.
    pub(crate) fn claim(self) -> (Option<Request<T>>, TimeoutVerdict) {
        match self.look().take() {
            Some(rq) => (
                Some(rq),
                TimeoutVerdict(bindings::blk_eh_timer_return_BLK_EH_DONE),
            ),
            None => (None, self.wait_longer()),
        }
    }
}

/// A request in flight that somebody else owns, to look at while nobody can reuse it: it may end
/// at any moment.
///
/// # Examples
///
/// ```ignore
/// // A reset: the device has forgotten all commands.
/// disk.for_each_in_flight(|rq| {
///     if let Some(rq) = rq.take() {
///         rq.requeue(0);
///     }
/// });
/// ```
///
/// # Invariants
///
/// `raw` is a request of a queue of `T`, to which the block layer holds a reference for the
/// lifetime `'a`.
pub(crate) struct InFlight<'a, T: Operations> {
    raw: NonNull<bindings::request>,
    _lifetime: PhantomData<(&'a (), T)>,
}

impl<T: Operations> InFlight<'_, T> {
    /// # Safety
    ///
    /// `raw` must be a request of a queue of `T`, to which the block layer holds a reference for
    /// the lifetime of the result.
    pub(crate) unsafe fn from_raw(raw: NonNull<bindings::request>) -> Self {
        // INVARIANT: This is the requirement of this function.
        Self {
            raw,
            _lifetime: PhantomData,
        }
    }

    /// What is to be done.
    pub(crate) fn operation(&self) -> Operation {
        // SAFETY: By the type's invariant; the field does not change while the reference is held.
        Operation::from_raw(unsafe { (*self.raw.as_ptr()).cmd_flags })
    }

    /// The request's number in its hardware queue, or `None` if it has none at this moment.
    pub(crate) fn tag(&self) -> Option<u32> {
        // SAFETY: By the type's invariant. The block layer may change the field at any time.
        let tag = unsafe { (&raw const (*self.raw.as_ptr()).tag).read_volatile() };
        u32::try_from(tag).ok()
    }

    /// The driver's own data of the request.
    pub(crate) fn data(&self) -> &T::RequestData {
        // SAFETY: By the type's invariant.
        unsafe { &(*Pdu::<T>::of(self.raw.as_ptr())).data }
    }

    /// The id under which it waits in the device, if it does.
    pub(crate) fn command_id(&self) -> Option<CommandId> {
        let ticket = self.ticket();
        (ticket & PARKED != 0).then_some(CommandId {
            tag: self.tag()?,
            ticket: ticket & !PARKED,
        })
    }

    /// The queue that it belongs to: several disks may share a tag set.
    pub(crate) fn is_of_queue(&self, queue: *const bindings::request_queue) -> bool {
        // SAFETY: By the type's invariant; the field does not change while the reference is held.
        core::ptr::eq(unsafe { (*self.raw.as_ptr()).q }, queue)
    }

    /// Takes the request from the device, if it is parked: to end what a reset threw away.
    pub(crate) fn take(&self) -> Option<Request<T>> {
        // SAFETY: By the type's invariant the memory is valid.
        unsafe { claim(self.raw, self.ticket() & !PARKED) }
    }

    fn ticket(&self) -> u64 {
        // SAFETY: By the type's invariant the memory is valid.
        unsafe { (*Pdu::<T>::of(self.raw.as_ptr())).ticket.load(Acquire) }
    }
}

/// Requests that end together; see [`Request::end_batched`].
///
/// # Examples
///
/// ```ignore
/// CompletionBatch::with(|batch| {
///     while let Some(id) = hw.answers.pop() {
///         if let Some(rq) = hw.take(id) {
///             rq.end_batched(Status::OK, batch);
///         }
///     }
/// });
/// ```
///
/// # Invariants
///
/// `raw` is valid for the lifetime `'a`, and its owner ends the requests in it.
pub(crate) struct CompletionBatch<'a> {
    raw: *mut bindings::io_comp_batch,
    _owner: PhantomData<&'a mut ()>,
}

impl CompletionBatch<'_> {
    /// # Safety
    ///
    /// `raw` must be null or valid for the lifetime of the result, and its owner must then end
    /// what is in it.
    pub(crate) unsafe fn from_raw(raw: *mut bindings::io_comp_batch) -> Self {
        // INVARIANT: This is the requirement of this function.
        Self {
            raw,
            _owner: PhantomData,
        }
    }

    /// Runs `f` with a batch, and then ends what `f` put into it.
    #[inline(always)]
    pub(crate) fn with<R>(f: impl FnOnce(&mut CompletionBatch<'_>) -> R) -> R {
        let mut raw: bindings::io_comp_batch = pin_init::zeroed();
        // INVARIANT: It is valid until the end of this function, which ends the requests.
        let result = f(&mut CompletionBatch {
            raw: &mut raw,
            _owner: PhantomData,
        });
        if !raw.req_list.head.is_null() {
            // SAFETY: The batch has requests that were added by `end_batched`.
            unsafe { bindings::blk_mq_end_request_batch(&mut raw) };
        }
        result
    }
}

/// The requests of a plug, in order; see [`Operations::queue_rqs`]. Those that are left in it are
/// queued one by one afterwards.
///
/// # Examples
///
/// ```ignore
/// fn queue_rqs(disk: &Disk, list: &mut RequestList<'_, Self>) {
///     while let Some((rq, hw)) = list.pop() {
///         if hw.is_full() {
///             list.put_back(rq); // this one and the rest come one by one
///             break;
///         }
///         disk.send(hw, rq.start());
///     }
/// }
/// ```
///
/// # Invariants
///
/// `raw` is a valid list of requests that the block layer offers to the driver.
pub(crate) struct RequestList<'a, T: Operations> {
    raw: &'a mut bindings::rq_list,
    _operations: PhantomData<T>,
}

impl<'a, T: Operations> RequestList<'a, T> {
    /// # Safety
    ///
    /// `raw` must be a list that the block layer gave to the `queue_rqs` callback of `T`.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(raw: &'a mut bindings::rq_list) -> Self {
        // INVARIANT: This is the requirement of this function.
        Self {
            raw,
            _operations: PhantomData,
        }
    }

    /// Takes the first request out of the list, with the hardware queue it comes through.
    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<(Incoming<T>, &'a HwQueue<T>)> {
        let raw = NonNull::new(self.raw.head)?;
        // SAFETY: By the type's invariant the request is valid, and in a list this is the member
        // of the union that is in use.
        unsafe {
            let link = &raw mut (*raw.as_ptr()).__bindgen_anon_1.rq_next;
            self.raw.head = *link;
            *link = core::ptr::null_mut();
        }
        if self.raw.head.is_null() {
            self.raw.tail = core::ptr::null_mut();
        }
        // SAFETY: By the type's invariant, and the request is no longer in the list. Its hardware
        // queue stays until the callback that owns the list has returned: see
        // `TagSet::wait_for_callbacks`.
        Some(unsafe {
            (
                Incoming::from_raw(raw),
                HwQueue::of((*raw.as_ptr()).mq_hctx),
            )
        })
    }

    /// Puts a request back as the first one: it and those behind it are queued one by one.
    pub(crate) fn put_back(&mut self, rq: Incoming<T>) {
        let raw = rq.into_raw().as_ptr();
        // SAFETY: The request is the driver's and in no list.
        unsafe { (*raw).__bindgen_anon_1.rq_next = self.raw.head };
        self.raw.head = raw;
        if self.raw.tail.is_null() {
            self.raw.tail = raw;
        }
    }
}

/// The segments of a request, first to last; made by [`Request::segments`].
///
/// # Examples
///
/// ```ignore
/// let bytes: usize = rq.segments::<ToDevice>().map(|segment| segment.len()).sum();
/// ```
///
/// # Invariants
///
/// `next_bio` is null, or a bio with data for that direction in a list of such that lives as long as `'rq`. While `left` is not
/// 0, `element` is one of the vector of the bio before it, and `offset` lies within that.
pub(crate) struct Segments<'rq, D: Direction> {
    next_bio: *const bindings::bio,
    element: *const bindings::bio_vec,
    /// How many bytes of that element are already done.
    offset: u32,
    /// How many bytes of the bio are to come.
    left: u32,
    _request: PhantomData<(&'rq (), D)>,
}

impl<D: Direction> Segments<'_, D> {
    /// Starts at the beginning of `bio`, which fulfils the type's invariant.
    #[inline(always)]
    fn of(bio: *const bindings::bio) -> Self {
        Self {
            next_bio: bio,
            element: core::ptr::null(),
            offset: 0,
            left: 0,
            _request: PhantomData,
        }
    }
}

impl<'rq, D: Direction> Iterator for Segments<'rq, D> {
    type Item = Segment<'rq, D>;

    #[inline(always)]
    fn next(&mut self) -> Option<Segment<'rq, D>> {
        while self.left == 0 {
            if self.next_bio.is_null() {
                return None;
            }
            let bio = self.next_bio;
            // SAFETY: By the type's invariant the bio is valid, and so is its successor. There is no
            // reference to it: others may write to other fields of it meanwhile. These are copied
            // out, because `struct bvec_iter` is packed. With data there is an element of that index.
            // CAST: `usize` is at least 32 bits wide.
            unsafe {
                let iter = (*bio).bi_iter;
                self.element = (*bio).bi_io_vec.add(iter.bi_idx as usize);
                self.offset = compat::bvec_iter_done(&iter);
                self.left = iter.bi_size;
                self.next_bio = (*bio).bi_next;
            }
        }

        // SAFETY: `left` is not 0, so by the type's invariant there is this element.
        let bvec = unsafe { &*self.element };
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
        // Behind the last one when `left` is 0.
        self.element = self.element.wrapping_add(1);

        // SAFETY: The `bytes` bytes from there on belong to the element, which is the driver's to
        // read until the request ends, and to write if it is a read.
        Some(unsafe { Segment::from_raw(start, bytes) })
    }
}
