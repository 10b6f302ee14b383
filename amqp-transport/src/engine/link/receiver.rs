//! The receiving end of a link: credit granted, deliveries put together from frames (§2.6.14).

use super::super::copies::COPY_UP_TO;
use super::super::credit::{Credit, ReceiverCredit};
use super::super::serial::Serial;
use super::resume::ReceiverResume;
use super::stream_in::Streams;
use amqp_codec::messaging::DeliveryState;
use amqp_codec::transport::{Attach, ErrorInfo, ReceiverSettleMode, Transfer, conditions};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// A delivery that arrived whole.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Incoming {
    /// The delivery-id: names it to [`Engine::settle`](crate::engine::Engine::settle), on its session.
    pub id: Serial,
    /// The sender's tag.
    pub tag: Bytes,
    /// The message-format; 0 is the standard's.
    pub message_format: u32,
    /// It came settled: no outcome is wanted.
    pub settled: bool,
    /// The state the sender gave it, such as a transaction's.
    pub state: Option<DeliveryState>,
    /// The encoded message.
    pub payload: Bytes,
}

/// A delivery of which frames are still missing.
#[derive(Debug)]
pub(crate) struct Partial {
    delivery: Incoming,
    payload: BytesMut,
}

/// What a transfer frame did.
#[derive(Debug)]
pub(crate) enum Progress {
    /// More frames follow.
    Partial,
    /// The delivery is whole.
    Complete(Incoming),
    /// The sender took it back (§2.6.14, aborted): it is settled on both sides.
    Aborted(Serial),
}

#[derive(Debug)]
pub(crate) struct ReceiverLink {
    pub(crate) credit: ReceiverCredit,
    pub(crate) partial: Option<Partial>,
    /// Deliveries not yet taken by the application.
    pub(crate) inbox: VecDeque<Incoming>,
    /// The settle mode in force: this side's is.
    pub(crate) settle_mode: ReceiverSettleMode,
    pub(crate) max_message_size: u64,
    /// The transaction within which deliveries are acquired (§4.4.3).
    pub(crate) acquisition: Option<Box<Bytes>>,
    /// Deliveries that are read in parts, if the link hands them over with their first frame.
    pub(crate) streams: Option<Box<Streams>>,
    /// There if the link can be resumed.
    pub(crate) resume: Option<Box<ReceiverResume>>,
}

impl ReceiverLink {
    pub(crate) const fn new(credit: Credit, settle_mode: ReceiverSettleMode, max_message_size: u64) -> Self {
        Self {
            credit: ReceiverCredit::new(credit),
            partial: None,
            inbox: VecDeque::new(),
            settle_mode,
            max_message_size,
            acquisition: None,
            streams: None,
            resume: None,
        }
    }

    pub(crate) fn on_attach(&mut self, attach: &Attach) {
        // Mandatory for a sender (§2.7.3); those who leave it out mean 0.
        self.credit.on_attach(Serial(attach.initial_delivery_count.unwrap_or(0)));
    }

    /// Whether the next transfer frame starts a delivery.
    pub(crate) const fn starts_delivery(&self) -> bool {
        self.partial.is_none()
    }

    /// The first frame of a delivery.
    pub(crate) fn start(
        &mut self,
        id: Serial,
        transfer: Transfer,
        payload: Bytes,
    ) -> Result<Progress, ErrorInfo> {
        let Some(tag) = transfer.delivery_tag else {
            return Err(ErrorInfo::new(
                conditions::INVALID_FIELD,
                "transfer.delivery-tag is missing on the first frame of a delivery",
            ));
        };
        self.credit.on_delivery();
        if transfer.aborted {
            return Ok(Progress::Aborted(id));
        }
        self.check_size(payload.len())?;
        let mut delivery = Incoming {
            id,
            tag,
            message_format: transfer.message_format.unwrap_or(0),
            settled: transfer.settled.unwrap_or(false),
            state: transfer.state,
            payload: Bytes::new(),
        };
        if transfer.more {
            let payload = BytesMut::from(payload.as_ref());
            delivery.tag = Bytes::copy_from_slice(&delivery.tag);
            self.partial = Some(Partial { delivery, payload });
            return Ok(Progress::Partial);
        }
        if payload.len() > COPY_UP_TO / 2 {
            // The frame may be too large to have been copied: a tag that is kept must not keep the message.
            delivery.tag = Bytes::copy_from_slice(&delivery.tag);
        }
        delivery.payload = payload;
        Ok(Progress::Complete(delivery))
    }

    /// A frame that goes on with a delivery.
    pub(crate) fn go_on(&mut self, transfer: Transfer, payload: &Bytes) -> Result<Progress, ErrorInfo> {
        let Some(mut partial) = self.partial.take() else {
            return Err(ErrorInfo::new(conditions::ILLEGAL_STATE, "no delivery is under way on this link"));
        };
        if transfer.delivery_id.is_some_and(|id| Serial(id) != partial.delivery.id) {
            return Err(ErrorInfo::new(
                conditions::ILLEGAL_STATE,
                "another delivery began before the last frame of the one before it",
            ));
        }
        if transfer.aborted {
            return Ok(Progress::Aborted(partial.delivery.id));
        }
        self.check_size(partial.payload.len().saturating_add(payload.len()))?;
        partial.payload.extend_from_slice(payload);
        // Settled is sticky: absent means as so far (§2.7.5).
        partial.delivery.settled |= transfer.settled.unwrap_or(false);
        if let Some(state) = transfer.state {
            check_transaction(transaction_of(partial.delivery.state.as_ref()), &state)?;
            partial.delivery.state = Some(state);
        }
        if transfer.more {
            self.partial = Some(partial);
            return Ok(Progress::Partial);
        }
        let Partial { mut delivery, payload } = partial;
        delivery.payload = payload.freeze();
        Ok(Progress::Complete(delivery))
    }

    /// Where a delivery waits to be taken. They stand in the order of their ids.
    fn place(&self, id: Serial) -> Option<usize> {
        let first = self.inbox.front()?.id;
        self.inbox.binary_search_by_key(&id.since(first), |delivery| delivery.id.since(first)).ok()
    }

    /// A delivery is the sender's again. False if it does not wait any more.
    pub(crate) fn take_back(&mut self, id: Serial) -> bool {
        self.place(id).and_then(|place| self.inbox.remove(place)).is_some()
    }

    /// The sender wants no outcome of a delivery. False if it does not wait any more, here or for the rest of it.
    pub(crate) fn settle_waiting(&mut self, id: Serial) -> bool {
        if let Some(partial) = self.partial.as_mut().filter(|partial| partial.delivery.id == id) {
            partial.delivery.settled = true;
            return true;
        }
        let Some(delivery) = self.place(id).and_then(|place| self.inbox.get_mut(place)) else { return false };
        delivery.settled = true;
        if let Some(streams) = &mut self.streams {
            streams.settle(id);
        }
        true
    }

    /// Whether the sender ignores the credit that it was given.
    pub(crate) fn is_overrun(&self) -> bool {
        self.credit.is_overrun_by(u32::try_from(self.inbox.len()).unwrap_or(u32::MAX))
    }

    /// Whether part of a delivery has come that belongs to this transaction, and the rest has not.
    pub(crate) fn is_partly_within(&self, transaction: &[u8]) -> bool {
        let partial =
            self.partial.as_ref().and_then(|partial| transaction_of(partial.delivery.state.as_ref()));
        let stream = self.streams.as_ref().and_then(|streams| streams.transaction());
        partial == Some(transaction) || stream == Some(transaction)
    }

    /// Octets of the delivery that is being put together.
    pub(crate) fn partial_len(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.payload.len())
    }

    fn check_size(&self, size: usize) -> Result<(), ErrorInfo> {
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        if self.max_message_size > 0 && size > self.max_message_size {
            return Err(self.too_large());
        }
        Ok(())
    }

    #[cold]
    pub(crate) fn too_large(&self) -> ErrorInfo {
        ErrorInfo::new(
            conditions::MESSAGE_SIZE_EXCEEDED,
            format!("a message of more than {} octets, the limit of this link", self.max_message_size),
        )
    }
}

/// The transaction that a state names.
pub(crate) fn transaction_of(state: Option<&DeliveryState>) -> Option<&[u8]> {
    match state {
        Some(DeliveryState::Transactional(state)) => Some(&state.txn_id),
        _ => None,
    }
}

/// All frames of a delivery are of the transaction that the first one named, or of none (§4.4.1).
pub(crate) fn check_transaction(first: Option<&[u8]>, state: &DeliveryState) -> Result<(), ErrorInfo> {
    if transaction_of(Some(state)) == first {
        return Ok(());
    }
    Err(ErrorInfo::new(conditions::NOT_ALLOWED, "the frames of one delivery do not name one transaction"))
}
