// SPDX-License-Identifier: GPL-2.0

//! Requests of the driver's own, and a queue for them that no disk belongs to: as NVMe has its
//! admin queue.
//!
//! C header: [`include/linux/blk-mq.h`](srctree/include/linux/blk-mq.h)

use crate::{
    bindings,
    queue::{
        Operations,
        QueueContext, //
    },
    request::{
        Pdu,
        Status, //
    },
    tagset::TagSet, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    error::from_err_ptr,
    prelude::*,
    sync::Arc, //
};

/// A queue without a disk. Nothing but the driver submits to it.
///
/// # Examples
///
/// ```ignore
/// let admin = Queue::new(tagset, data)?;
/// let command = admin.alloc_request(Direction::Out, Tag::Reserved)?;
/// command.data().opcode.store(RESET, Relaxed);
/// let status = command.execute(|status, _data| status);
/// ```
///
/// # Invariants
///
/// `queue` was made by `blk_mq_alloc_queue` with the vtable of `T`; its `queuedata` points to
/// `context`.
pub(crate) struct Queue<T: Operations> {
    queue: NonNull<bindings::request_queue>,
    _context: Arc<QueueContext<T>>,
    tagset: Arc<TagSet<T>>,
}

// SAFETY: A queue is an object of the kernel that synchronises itself, and the driver's data can
// be sent and shared.
unsafe impl<T: Operations> Send for Queue<T> {}
// SAFETY: As above.
unsafe impl<T: Operations> Sync for Queue<T> {}

/// Which way the data of an internal request goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the device.
    In,
    /// To the device, or nowhere.
    Out,
}

/// Which tags an internal request may take.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    /// The same as all other requests.
    Any,
    /// One that was [set aside](crate::tagset::TagSetOptions::reserved_tags), so that it need not
    /// wait for the others.
    Reserved,
}

impl<T: Operations> Queue<T> {
    /// Makes a queue. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(
        tagset: Arc<TagSet<T>>,
        data: T::QueueData,
        steady: T::SteadyData,
    ) -> Result<Self> {
        let context = QueueContext::new(data, steady)?;
        // As for a disk: nothing else keeps a change of the tag set from meeting half a queue.
        let queue = tagset.with_steady_queues(|| {
            // SAFETY: The tag set is valid and has the vtable of `T`, whose queues want the context.
            from_err_ptr(unsafe {
                bindings::blk_mq_alloc_queue(
                    tagset.as_raw(),
                    core::ptr::null_mut(),
                    context.as_raw(),
                )
            })
        })?;
        // INVARIANT: It was made just now.
        Ok(Self {
            _context: context,
            // SAFETY: `from_err_ptr` let it pass, and the kernel returns no null here.
            queue: unsafe { NonNull::new_unchecked(queue) },
            tagset,
        })
    }

    /// Takes a request, and waits for a tag if there is none. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a reserved tag where none was set aside; `ENODEV` on a queue that dies.
    pub(crate) fn alloc_request(
        &self,
        direction: Direction,
        tag: Tag,
    ) -> Result<InternalRequest<'_, T>> {
        // SAFETY: By the type's invariant the queue is valid, and it has a tag set.
        let reserved_tags = unsafe { (*(*self.queue.as_ptr()).tag_set).reserved_tags };
        let operation = match direction {
            Direction::In => bindings::req_op_REQ_OP_DRV_IN,
            Direction::Out => bindings::req_op_REQ_OP_DRV_OUT,
        };
        let flags = match tag {
            Tag::Any => 0,
            Tag::Reserved if reserved_tags == 0 => return Err(EINVAL),
            Tag::Reserved => bindings::BLK_MQ_REQ_RESERVED,
        };
        // SAFETY: By the type's invariant the queue is valid.
        let raw = from_err_ptr(unsafe {
            bindings::blk_mq_alloc_request(self.queue.as_ptr(), operation, flags)
        })?;
        // INVARIANT: It was allocated just now.
        Ok(InternalRequest {
            // SAFETY: `from_err_ptr` let it pass, and the kernel returns no null here.
            raw: unsafe { NonNull::new_unchecked(raw) },
            _queue: PhantomData,
        })
    }
}

impl<T: Operations> Drop for Queue<T> {
    fn drop(&mut self) {
        let queue = self.queue.as_ptr();
        self.tagset.with_steady_queues(|| {
            // SAFETY: By the type's invariant. When the first call returns the hardware queues are
            // gone, and with them all that borrows the context.
            unsafe {
                bindings::blk_mq_destroy_queue(queue);
                bindings::blk_put_queue(queue);
            }
        });
    }
}

/// A request of the driver's own, not yet on its way. Dropping it gives the tag back.
///
/// What is to be done stands in its data, where [`Operations::queue_rq`] finds it, and the answer
/// comes back there.
///
/// # Examples
///
/// ```ignore
/// let command = admin.alloc_request(Direction::In, Tag::Any)?;
/// command.data().opcode.store(IDENTIFY, Relaxed);
/// let sectors = command.execute(|status, data| match status {
///     Status::OK => Ok(data.answer.load(Relaxed)),
///     _ => Err(EIO),
/// })?;
/// ```
///
/// # Invariants
///
/// `raw` is allocated from a queue of `T`, and is not on its way.
pub(crate) struct InternalRequest<'a, T: Operations> {
    raw: NonNull<bindings::request>,
    _queue: PhantomData<&'a Queue<T>>,
}

impl<T: Operations> InternalRequest<'_, T> {
    /// The driver's own data of the request.
    pub(crate) fn data(&self) -> &T::RequestData {
        // SAFETY: By the type's invariant the request is valid as long as this value.
        unsafe { Pdu::<T>::data_of(self.raw.as_ptr()) }
    }

    /// Sends the request to the driver, waits until it ended, looks at its data with `read`, and
    /// gives the tag back. May sleep.
    pub(crate) fn execute<R>(self, read: impl FnOnce(Status, &T::RequestData) -> R) -> R {
        // SAFETY: By the type's invariant the request is ready. It is the submitter's again when
        // the function returns.
        let status = unsafe { bindings::blk_execute_rq(self.raw.as_ptr(), false) };
        read(Status::from_raw(status), self.data())
    }
}

impl<T: Operations> Drop for InternalRequest<'_, T> {
    fn drop(&mut self) {
        // SAFETY: The request was never sent, or it ended: either way it is ours.
        unsafe { bindings::blk_mq_free_request(self.raw.as_ptr()) };
    }
}
