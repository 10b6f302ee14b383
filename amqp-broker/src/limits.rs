//! How much the broker holds and how each queue behaves: all numbers in one place, with unit, range and reason.

use std::time::Duration;

/// Octets charged to every message beside its encoded length: the queue's own record of it.
pub(crate) const MESSAGE_OVERHEAD: u64 = 256;

/// Queues that a message may pass by expiring in one after the other, with no consumer in between; it bounds the list
/// that each message has of them.
pub(crate) const MAX_EXPIRIES: usize = 64;

/// Messages that a consumer takes under one lock of its queue; more would keep its competitors waiting.
pub(crate) const TAKE_BATCH: u32 = 256;

/// Messages that a publishing link puts into its queue under one lock.
pub(crate) const PUBLISH_BATCH: usize = 256;

/// Longest queue name, in octets of UTF-8; the same bound as elsewhere in the AMQP world, where names were short strings.
pub(crate) const MAX_QUEUE_NAME: usize = 255;

/// The end of the name of a dead-letter queue; a queue that is named so has no dead-letter queue of its own.
pub(crate) const DEAD_LETTER_SUFFIX: &str = ".dlq";

/// Credit of a `/management` request link: requests that may wait for their turn.
pub(crate) const MANAGEMENT_CREDIT: u32 = 8;

/// What the whole broker may hold.
///
/// ```
/// let mut limits = amqp_broker::Limits::default();
/// limits.max_queues = 100;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Queues that may exist at once. One more is refused with `amqp:resource-limit-exceeded`. Default 10,000: each
    /// costs a few hundred octets when empty, and names come from peers. Dead letters are not lost over it: the queues
    /// that they need may be as many again.
    pub max_queues: usize,
    /// Largest message that is taken, in octets of its encoded form. Default 16 MiB, RabbitMQ's.
    pub max_message_size: u64,
    /// Credit given to each publishing link, in messages. Default 1,000: enough to keep a publisher busy on loopback,
    /// little enough to bound what one link may have on the way.
    pub publisher_credit: u32,
    /// Connections that may be open at once; one more is closed as soon as it is accepted. Default 10,000.
    pub max_connections: usize,
    /// Handshakes that one peer (an IPv4 address, or an IPv6 network of 64 bits) may have under way at once; one more is
    /// closed as soon as it is accepted. Default 256: on loopback all clients are one peer, and many may start together.
    pub max_handshakes_per_peer: usize,
    /// Transactions that one connection may have open; one more is not declared. Default 100.
    pub max_transactions: usize,
    /// Messages that one transaction may post and settle together; one more is refused with
    /// `amqp:resource-limit-exceeded`. Default 10,000.
    pub max_transaction_messages: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_queues: 10_000,
            max_message_size: 16 * 1024 * 1024,
            publisher_credit: 1_000,
            max_connections: 10_000,
            max_handshakes_per_peer: 256,
            max_transactions: 100,
            max_transaction_messages: 10_000,
        }
    }
}

/// How one queue behaves.
///
/// Queues that are created on demand have the broker's defaults
/// ([`BrokerBuilder::queue_defaults`](crate::BrokerBuilder::queue_defaults)); others are declared, by
/// [`Broker::declare_queue`](crate::Broker::declare_queue) or through `/management`.
///
/// ```
/// let mut options = amqp_broker::QueueOptions::default();
/// options.delivery_limit = Some(5);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueOptions {
    /// Messages that the queue holds at most, wherever they are: ready, delayed or with a consumer. One more is rejected
    /// with `amqp:resource-limit-exceeded`. Default 10,000,000.
    pub max_length: u64,
    /// Octets that the queue holds at most: encoded messages and 256 octets for each. Default 4 GiB.
    pub max_bytes: u64,
    /// Failed deliveries after which a message is dead-lettered: it goes when its delivery count exceeds this number, so
    /// 0 allows one attempt. Default `None`, no limit.
    pub delivery_limit: Option<u32>,
    /// Where messages go that were rejected, failed too often or expired. Default [`DeadLetter::Default`]. A message
    /// that expired is dropped, and counted, if it would come back to a queue in which it expired before without a
    /// consumer having rejected it since: it would go round for ever.
    pub dead_letter: DeadLetter,
    /// Time-to-live of each message that names none or a longer one, counted from when it becomes available; whole
    /// milliseconds, and with 0 each message expires at once. Default `None`.
    pub message_ttl: Option<Duration>,
    /// What becomes of expired messages. Default [`Expired::DeadLetter`].
    pub expired: Expired,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self {
            max_length: 10_000_000,
            max_bytes: 4 * 1024 * 1024 * 1024,
            delivery_limit: None,
            dead_letter: DeadLetter::Default,
            message_ttl: None,
            expired: Expired::DeadLetter,
        }
    }
}

/// Where a queue's dead letters go.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeadLetter {
    /// To the queue `<name>.dlq`, created when the first one comes. A queue whose own name ends in `.dlq` has none:
    /// what is rejected there is gone.
    Default,
    /// To the queue of this name, created when the first one comes.
    Queue(String),
    /// Nowhere: they are dropped, and counted.
    Drop,
}

/// What becomes of a message whose time-to-live has run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expired {
    /// It goes where the queue's dead letters go.
    DeadLetter,
    /// It is dropped, and counted.
    Drop,
}
