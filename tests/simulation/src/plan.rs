//! What is drawn once for a run: limits, network, habits.

use crate::random::Random;
use amqp_transport::Sasl;
use amqp_transport::engine::Limits;
use std::time::Duration;

/// The circumstances of one run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Limits of the client and of the listener.
    pub limits: [Limits; 2],
    /// Where the numbers of each side start: often just before they wrap.
    pub first_id: [u32; 2],
    /// How the client authenticates.
    pub sasl: Sasl,
    /// The listener does not know these credentials.
    pub is_stranger: bool,
    /// Steps before everything is brought to rest.
    pub steps: u32,
    /// The listener's application is a queue, not a random one.
    pub is_queue: bool,
    /// Octets take up to this long.
    pub max_delay: Duration,
    /// Octets that fit into the network; beyond that the sending side is not asked for more.
    pub capacity: usize,
    /// How often output is left for later, in percent.
    pub lazy: u64,
    /// How often the network is cut, in thousandths of the steps.
    pub cuts: u64,
    /// How often the clock jumps, in thousandths of the steps.
    pub jumps: u64,
    /// How often an application closes the connection, in thousandths of its actions.
    pub closes: u64,
    /// How often links and sessions come and go, in percent of the actions.
    pub churn: u64,
    /// Sessions that an application begins at most.
    pub sessions: usize,
    /// Links that an application attaches at most.
    pub links: usize,
    /// Largest message, in octets.
    pub message: u64,
    /// Deliveries of one burst, at most.
    pub burst: u32,
    /// How often messages are sent, and deliveries read, in parts, in percent.
    pub streams: u64,
    /// How often links can be resumed, in percent.
    pub resumes: u64,
    /// How often an application chooses the tag of a delivery, in percent.
    pub tags: u64,
    /// How often the client speaks before the listener has opened, in percent.
    pub pipelines: u64,
}

impl Plan {
    /// Draws a plan.
    #[must_use]
    pub fn draw(random: &mut Random) -> Self {
        let limits = [limits(random), limits(random)];
        let first_id = [first_id(random), first_id(random)];
        let plain = Sasl::Plain { user: "user".into(), password: "pencil".into() };
        let sasl = match random.below(4) {
            0 => plain.clone(),
            1 => Sasl::None,
            _ => Sasl::Anonymous,
        };
        let is_stranger = random.per_mille(10);
        Self {
            limits,
            first_id,
            sasl: if is_stranger { plain } else { sasl },
            is_stranger,
            steps: random.pick(&[100, 400, 1_000, 2_500]),
            is_queue: random.percent(25),
            max_delay: Duration::from_millis(random.pick(&[0, 1, 20, 150])),
            capacity: random.pick(&[600, 3_000, 20_000, 1_000_000]),
            lazy: random.pick(&[0, 0, 30, 80]),
            cuts: random.pick(&[0, 0, 0, 0, 1, 8]),
            jumps: random.pick(&[0, 0, 0, 3]),
            closes: random.pick(&[0, 0, 0, 1, 8]),
            churn: random.pick(&[1, 3, 10, 35]),
            sessions: random.pick(&[1, 2, 5]),
            links: random.pick(&[1, 2, 4, 12]),
            message: random.pick(&[10, 400, 1_200, 6_000, 40_000]),
            burst: random.pick(&[1, 3, 20, 60]),
            streams: random.pick(&[0, 0, 20, 80]),
            resumes: random.pick(&[0, 40, 90]),
            tags: random.pick(&[0, 10, 10, 90]),
            pipelines: random.pick(&[0, 50]),
        }
    }
}

pub(crate) fn limits(random: &mut Random) -> Limits {
    let mut limits = Limits::default();
    limits.max_frame_size = random.pick(&[512, 512, 513, 700, 1_024, 4_096, 65_536]);
    limits.max_outgoing_frame_size = random.pick(&[512, 600, 2_048, 262_144]);
    limits.channel_max = random.pick(&[0, 1, 3, 255]);
    limits.handle_max = random.pick(&[0, 1, 3, 255]);
    limits.incoming_window = random.pick(&[1, 2, 3, 7, 50, 2_048]);
    limits.idle_time_out = Duration::from_millis(random.pick(&[0, 500, 2_000, 30_000]));
    limits.max_queued_bytes = random.pick(&[1, 700, 5_000, 1_048_576]);
    limits.max_stream_bytes = random.pick(&[1, 700, 5_000, 4_194_304]);
    limits.max_message_size = random.pick(&[100, 1_000, 20_000, 16_777_216]);
    limits
}

pub(crate) fn first_id(random: &mut Random) -> u32 {
    match random.below(4) {
        0 => 0,
        1 => random.between_u32(0, u32::MAX),
        2 => (1 << 31) - random.between_u32(0, 20),
        _ => u32::MAX - random.between_u32(0, 20),
    }
}
