//! What is drawn once for a run against the broker.

use crate::plan::{first_id, limits};
use crate::random::Random;
use amqp_transport::engine::Limits;

/// The circumstances of one run.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Limits of every client.
    pub(super) limits: Limits,
    pub(super) first_id: u32,
    pub(super) clients: usize,
    pub(super) queues: usize,
    pub(super) steps: u32,
    /// Octets from the broker that fit on a wire.
    pub(super) capacity: usize,
    /// How often a connection is cut, in thousandths of the steps.
    pub(super) cuts: u64,
    /// How often the clock jumps, in thousandths of the steps.
    pub(super) jumps: u64,
    /// How often a client closes, in thousandths of its actions.
    pub(super) closes: u64,
    /// How often links and sessions are given up, in percent of the actions.
    pub(super) churn: u64,
    pub(super) sessions: usize,
    pub(super) links: usize,
    pub(super) message: usize,
    pub(super) burst: u64,
    pub(super) has_transactions: bool,
    pub(super) publisher_credit: u32,
}

impl Plan {
    pub(super) fn draw(random: &mut Random) -> Self {
        let mut limits = limits(random);
        // A consumer that takes no message of a queue's size cannot have that queue.
        limits.max_message_size = Limits::default().max_message_size;
        Self {
            limits,
            first_id: first_id(random),
            clients: random.pick(&[1, 2, 3]),
            queues: random.pick(&[1, 2, 3]),
            steps: random.pick(&[60, 200, 500]),
            capacity: random.pick(&[600, 20_000, 1_000_000]),
            cuts: random.pick(&[0, 0, 4, 15]),
            jumps: random.pick(&[0, 0, 4]),
            closes: random.pick(&[0, 2]),
            churn: random.pick(&[0, 2, 8]),
            sessions: random.pick(&[1, 2]),
            links: random.pick(&[2, 4, 8]),
            message: random.pick(&[41, 700, 5_000]),
            burst: random.pick(&[1, 5, 25]),
            has_transactions: random.percent(60),
            publisher_credit: random.pick(&[1, 3, 50, 1_000]),
        }
    }
}
