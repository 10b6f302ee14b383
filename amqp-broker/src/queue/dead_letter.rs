//! Messages that leave a queue because nobody could use them: why they go, and what is written on them.

use amqp_codec::ByteString;
use amqp_codec::transport::ErrorInfo;
use amqp_codec::types::{Symbol, Value};

use super::Message;
use crate::limits::{DEAD_LETTER_SUFFIX, DeadLetter};
use crate::own::own;

/// Message annotation: the queue that the message was in.
pub(crate) const SOURCE: &str = "x-opt-deadletter-source";
/// Message annotation: why it left, see [`Reason`].
pub(crate) const REASON: &str = "x-opt-deadletter-reason";
/// Message annotation: the error condition of the consumer that rejected it.
pub(crate) const CONDITION: &str = "x-opt-deadletter-condition";
/// Message annotation: the error description of the consumer that rejected it.
pub(crate) const DESCRIPTION: &str = "x-opt-deadletter-description";

/// Why a message is dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A consumer rejected it, with or without an error.
    Rejected(Option<ErrorInfo>),
    /// A consumer said that it cannot be delivered to it.
    UndeliverableHere,
    /// Its delivery count went over the limit.
    DeliveryLimit,
    /// Its time-to-live ran out.
    Expired,
}

impl Reason {
    /// The value of the annotation [`REASON`].
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Rejected(_) => "rejected",
            Self::UndeliverableHere => "undeliverable-here",
            Self::DeliveryLimit => "delivery-limit",
            Self::Expired => "expired",
        }
    }
}

/// A message on its way to the queue of the dead.
#[derive(Clone, Debug)]
pub(crate) struct Dead {
    /// The queue it goes to.
    pub(crate) target: ByteString,
    /// The message with its annotations; it does not expire any more.
    pub(crate) message: Message,
}

/// The name of the queue to which dead letters of the queue `source` go; none if they are dropped.
pub(crate) fn target(source: &str, rule: &DeadLetter) -> Option<ByteString> {
    match rule {
        DeadLetter::Default if source.ends_with(DEAD_LETTER_SUFFIX) => None,
        DeadLetter::Default => Some(ByteString::from(format!("{source}{DEAD_LETTER_SUFFIX}"))),
        DeadLetter::Queue(name) => Some(ByteString::from(name.as_str())),
        DeadLetter::Drop => None,
    }
}

/// Writes on a message where it comes from and why.
pub(crate) fn annotate(message: &mut Message, source: &ByteString, reason: &Reason) {
    let mut entries = vec![
        (Symbol::from_static(SOURCE), Value::String(source.clone())),
        (Symbol::from_static(REASON), Value::from(reason.name())),
    ];
    if let Reason::Rejected(Some(error)) = reason {
        entries.push((Symbol::from_static(CONDITION), Value::Symbol(own(error.condition.clone()))));
        if let Some(description) = &error.description {
            entries.push((Symbol::from_static(DESCRIPTION), Value::String(own(description.clone()))));
        }
    }
    message.merge_annotations(entries);
    message.stop_clocks();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_dead_letter_queue_is_named_after_its_source() {
        assert_eq!(target("jobs", &DeadLetter::Default).as_deref(), Some("jobs.dlq"));
    }

    #[test]
    fn a_dead_letter_queue_has_none_of_its_own() {
        assert_eq!(target("jobs.dlq", &DeadLetter::Default), None);
        assert_eq!(target("jobs", &DeadLetter::Drop), None);
    }
}
