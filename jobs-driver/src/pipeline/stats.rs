//! How a pipeline is doing, as far as the broker tells and this process knows.

use amqp_codec::types::{Map, Value};

use super::{Phase, Pipeline};
use crate::broker::Broker;
use crate::profile::queue_path;

/// How a pipeline is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PipelineState {
    /// The pipeline's name.
    pub pipeline: String,
    /// Its driver.
    pub driver: String,
    /// Its queue; empty for a pipeline that only pushes.
    pub queue: String,
    /// Messages in the queue that are ready to be handed out; 0 where the broker does not tell over AMQP 1.0.
    pub active: u64,
    /// Messages that wait for their time; on RabbitMQ those in delay queues used over the present connection.
    pub delayed: u64,
    /// Messages handed out and not settled: all of the queue's where the broker tells, else those of this process.
    pub reserved: u64,
    /// Whether the pipeline consumes.
    pub ready: bool,
    /// Priority of jobs that bring none.
    pub priority: i64,
    /// Why it does not work, if it does not.
    pub error: Option<String>,
}

/// Asks the broker, if there is one, and adds what is known here.
pub(crate) async fn state(broker: Option<&Broker>, pipeline: &Pipeline) -> PipelineState {
    let phase = pipeline.phase.borrow().clone();
    let mut state = PipelineState {
        pipeline: pipeline.name.clone(),
        driver: pipeline.config.driver.clone(),
        queue: pipeline.queue().to_owned(),
        active: 0,
        delayed: 0,
        reserved: pipeline.held(),
        ready: phase == Phase::Running && broker.is_some(),
        priority: pipeline.config.priority,
        error: match phase {
            Phase::Failed(error) => Some(error),
            _ if broker.is_none() => Some("not connected to the broker".to_owned()),
            _ => pipeline.hindrance(),
        },
    };
    let Some(broker) = broker.filter(|broker| broker.profile().has_management()) else { return state };
    if state.queue.is_empty() {
        return state;
    }
    if let Some(facts) = look_up(broker, &state.queue).await {
        let count = |key: &str| facts.get(key).and_then(Value::as_u64);
        state.active = count("message_count").unwrap_or(0);
        state.delayed = count("messages_delayed").unwrap_or(0);
        state.reserved = count("messages_unacknowledged").unwrap_or(state.reserved);
    }
    for room in broker.rooms_of(&state.queue) {
        let waiting =
            look_up(broker, &room).await.and_then(|facts| facts.get("message_count").and_then(Value::as_u64));
        state.delayed = state.delayed.saturating_add(waiting.unwrap_or(0));
    }
    state
}

async fn look_up(broker: &Broker, queue: &str) -> Option<Map> {
    let reply = broker.manage("GET", &queue_path(queue), Value::Null).await.ok()?;
    match reply.success().ok()? {
        Value::Map(map) => Some(map),
        _ => None,
    }
}
