//! Performatives (part 2): what connections, sessions and links say to each other.

pub mod conditions;
mod definitions;
mod performatives;

pub use definitions::{ErrorInfo, ReceiverSettleMode, Role, SenderSettleMode};
pub use performatives::{
    Attach, Begin, Close, Detach, Disposition, End, Flow, Open, Performative, Transfer, TransferRef,
};
