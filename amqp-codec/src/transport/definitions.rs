//! Types that the performatives share (§2.8).

use crate::ByteString;
use crate::composite::{DecodeField, composite, restricted};
use crate::types::{Fields, Symbol};

restricted! {
    /// Which end of a link an endpoint is (§2.8.1).
    Role: bool {
        /// Sends messages.
        Sender = false => false;
        /// Receives messages.
        Receiver = true => true;
    }
}

restricted! {
    /// How a sender settles (§2.8.2).
    SenderSettleMode: u8 {
        /// Everything is sent unsettled.
        Unsettled = 0 => 0;
        /// Everything is sent settled.
        Settled = 1 => 1;
        /// Each message as it comes.
        Mixed = 2 => 2;
    }
}

restricted! {
    /// When a receiver settles (§2.8.3).
    ReceiverSettleMode: u8 {
        /// With its outcome, spontaneously.
        First = 0 => 0;
        /// After the sender has settled.
        Second = 1 => 1;
    }
}

composite! {
    /// What went wrong (§2.8.14, `error`).
    ErrorInfo = 0x1d "amqp:error:list" of(condition: Symbol) {
        /// What kind of error; see [`conditions`](super::conditions).
        mandatory condition: Symbol;
        /// A text for people.
        optional description: Option<ByteString>;
        /// More about it, by the kind of error.
        optional info: Option<Fields>;
    }
}

impl ErrorInfo {
    /// An error with a text that describes it.
    #[must_use]
    pub fn new(condition: Symbol, description: impl Into<ByteString>) -> Self {
        Self { condition, description: Some(description.into()), info: None }
    }
}
