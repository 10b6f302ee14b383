//! How much one connection may use. Everything that a peer can make grow has its number here.

use std::time::Duration;

/// Limits and time-outs of one connection, with safe defaults. Set fields on a default value:
///
/// ```
/// let mut limits = amqp_transport::Limits::default();
/// limits.max_frame_size = 16 * 1024;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Largest frame accepted, in octets, and announced in open; 512 and up. Default 128 KiB, so that a message of 64 KiB
    /// arrives in one frame: what is larger is spread over frames and has to be put together. A connection that is idle
    /// takes no room for it.
    pub max_frame_size: u32,
    /// Largest frame sent, in octets, if the peer accepts more. Default 256 KiB, so that one large message does
    /// not hold up the others.
    pub max_outgoing_frame_size: u32,
    /// Highest channel number accepted: one less than the number of sessions. Default 255.
    pub channel_max: u16,
    /// Highest handle accepted per session: one less than the number of links. Default 255.
    pub handle_max: u32,
    /// Announced idle time-out: the peer lets something be seen at least this often. After twice this time of
    /// silence the connection is given up. In whole milliseconds, at least one; many peers refuse less than a tenth of a
    /// second, or a second. Default 30 s; zero turns the check off.
    pub idle_time_out: Duration,
    /// From the first octet to the exchanged opens, SASL included; for a client from the connection attempt on.
    /// Default 30 s.
    pub handshake: Duration,
    /// How long an answer to close, end or detach is awaited. Default 5 s.
    pub close: Duration,
    /// How long an answer is awaited that a peer can give at once: to begin and attach, to a drain (counted from the last
    /// message that came), to the declaration and the discharge of a transaction. After it the caller is told, and what was
    /// asked for is taken back as if the caller had given up. Default 60 s, because some brokers elect a leader of a queue
    /// first; zero waits without end. Credit and outcomes of messages are no such answers: nothing here bounds the wait for
    /// them.
    pub answer: Duration,
    /// Transfer frames that the peer may have under way per session. Default 2048.
    pub incoming_window: u32,
    /// Largest message accepted, in octets, announced in attach. Default 16 MiB.
    pub max_message_size: u64,
    /// Octets accepted per frame before the open. Default 8192, because tokens make SASL frames larger than
    /// the 512 octets of the specification.
    pub max_sasl_frame_size: u32,
    /// Frames accepted before the SASL outcome. Default 16.
    pub max_sasl_frames: u32,
    /// Iterations of the hash function that a listener may ask for in SCRAM, 4096 and up. Default 600,000, what is
    /// advised for SHA-256 today and takes some tenths of a second: more would let a hostile peer burn time.
    pub max_scram_iterations: u32,
    /// Octets of outgoing messages and frames that may wait for the session's window or their turn before sends have to
    /// wait; as many again may wait for the socket, and a frame. Default 1 MiB.
    pub max_queued_bytes: usize,
    /// Deliveries sent and not settled, per session: beyond that sends wait as they do without credit. What is received
    /// unsettled is bounded by the credit that is granted. Default 100,000.
    pub max_unsettled: usize,
    /// Octets of messages received in parts that may wait to be read, per session: beyond that the session's window stays
    /// closed, for all of its links. At least one frame of [`Limits::max_frame_size`] is let through. Default 4 MiB.
    pub max_stream_bytes: usize,
    /// Largest WebSocket message accepted, in octets; it may hold many AMQP frames. Default 16 MiB. Without the feature
    /// `websocket` it has no meaning.
    pub max_websocket_message: usize,
    /// Octets of partly received messages per connection. Default 64 MiB.
    pub max_partial_bytes: usize,
    /// Octets of the peer's attaches that are kept for as long as their links are attached, per connection: a peer could
    /// fill each with properties, up to the largest frame. A session on which one more comes is ended. They are counted as
    /// they came; decoded they take more, up to some dozens of times as much where a peer writes only values of one octet.
    /// Default 16 MiB.
    pub max_attach_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_frame_size: 128 * 1024,
            max_outgoing_frame_size: 256 * 1024,
            channel_max: 255,
            handle_max: 255,
            idle_time_out: Duration::from_secs(30),
            handshake: Duration::from_secs(30),
            close: Duration::from_secs(5),
            answer: Duration::from_secs(60),
            incoming_window: 2048,
            max_message_size: 16 * 1024 * 1024,
            max_sasl_frame_size: 8192,
            max_sasl_frames: 16,
            max_scram_iterations: 600_000,
            max_queued_bytes: 1024 * 1024,
            max_unsettled: 100_000,
            max_stream_bytes: 4 * 1024 * 1024,
            max_websocket_message: 16 * 1024 * 1024,
            max_partial_bytes: 64 * 1024 * 1024,
            max_attach_bytes: 16 * 1024 * 1024,
        }
    }
}

/// The smallest max-frame-size that a peer may announce (§2.4.1).
pub(crate) const MIN_MAX_FRAME_SIZE: u32 = 512;

/// The shortest idle time-out of a peer that is honoured, in milliseconds: shorter ones would keep both sides busy with
/// nothing.
pub(crate) const MIN_IDLE_TIME_OUT: u32 = 100;
