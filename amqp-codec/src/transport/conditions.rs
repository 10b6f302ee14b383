//! Error conditions (§2.8.15 to §2.8.18, §4.5.8).

use crate::types::Symbol;

macro_rules! conditions {
    ($($(#[$meta:meta])* $name:ident = $symbol:literal;)*) => {
        $($(#[$meta])* pub const $name: Symbol = Symbol::from_static($symbol);)*
    };
}

conditions! {
    /// An internal error; an operator may have to help.
    INTERNAL_ERROR = "amqp:internal-error";
    /// There is nothing at that address.
    NOT_FOUND = "amqp:not-found";
    /// The peer may not do that.
    UNAUTHORIZED_ACCESS = "amqp:unauthorized-access";
    /// Octets could not be decoded.
    DECODE_ERROR = "amqp:decode-error";
    /// The peer used more than it may.
    RESOURCE_LIMIT_EXCEEDED = "amqp:resource-limit-exceeded";
    /// A frame was used against the rules.
    NOT_ALLOWED = "amqp:not-allowed";
    /// A field has a value that it may not have.
    INVALID_FIELD = "amqp:invalid-field";
    /// The function is not there.
    NOT_IMPLEMENTED = "amqp:not-implemented";
    /// Somebody else has it.
    RESOURCE_LOCKED = "amqp:resource-locked";
    /// Something that had to be true before is not.
    PRECONDITION_FAILED = "amqp:precondition-failed";
    /// It was deleted while it was in use.
    RESOURCE_DELETED = "amqp:resource-deleted";
    /// The frame does not fit the state of the session.
    ILLEGAL_STATE = "amqp:illegal-state";
    /// The smallest form of the frame is larger than the peer takes.
    FRAME_SIZE_TOO_SMALL = "amqp:frame-size-too-small";
    /// An operator closed the connection.
    CONNECTION_FORCED = "amqp:connection:forced";
    /// The frames cannot be followed any more.
    FRAMING_ERROR = "amqp:connection:framing-error";
    /// Another host is to be used.
    CONNECTION_REDIRECT = "amqp:connection:redirect";
    /// More transfers came than the window allows.
    WINDOW_VIOLATION = "amqp:session:window-violation";
    /// A frame came for a link that was detached with an error.
    ERRANT_LINK = "amqp:session:errant-link";
    /// The handle is attached already.
    HANDLE_IN_USE = "amqp:session:handle-in-use";
    /// No link is attached at the handle.
    UNATTACHED_HANDLE = "amqp:session:unattached-handle";
    /// An operator detached the link.
    DETACH_FORCED = "amqp:link:detach-forced";
    /// More came than credit allows.
    TRANSFER_LIMIT_EXCEEDED = "amqp:link:transfer-limit-exceeded";
    /// The message is larger than the link takes.
    MESSAGE_SIZE_EXCEEDED = "amqp:link:message-size-exceeded";
    /// Another address is to be used.
    LINK_REDIRECT = "amqp:link:redirect";
    /// The link was attached elsewhere.
    STOLEN = "amqp:link:stolen";
    /// No such transaction.
    TRANSACTION_UNKNOWN_ID = "amqp:transaction:unknown-id";
    /// The transaction was rolled back.
    TRANSACTION_ROLLBACK = "amqp:transaction:rollback";
    /// The transaction took too long.
    TRANSACTION_TIMEOUT = "amqp:transaction:timeout";
}
