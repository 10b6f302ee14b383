//! What is declared over AMQP management: queues, exchanges and the bindings between them.

use std::time::Duration;

use amqp_codec::types::{Map, Value};

use crate::config::{PipelineConfig, QueueType};

/// A queue with its arguments.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct QueueDeclaration {
    pub(crate) name: String,
    pub(crate) durable: bool,
    pub(crate) exclusive: bool,
    pub(crate) arguments: Vec<(String, Value)>,
}

impl QueueDeclaration {
    /// The queue of a pipeline, with its dead-letter target and its limit.
    pub(crate) fn for_pipeline(queue: &str, config: &PipelineConfig) -> Self {
        let quorum = match config.queue_type {
            QueueType::Quorum => true,
            QueueType::Classic => false,
            QueueType::Auto => config.durable && !config.exclusive,
        };
        let mut arguments = vec![argument("x-queue-type", if quorum { "quorum" } else { "classic" })];
        if quorum {
            // The default of 20 drops the job where there is no dead-letter target.
            let limit = config.delivery_limit.map_or(-1, i64::from);
            arguments.push(("x-delivery-limit".to_owned(), Value::Long(limit)));
        }
        if let Some(target) = &config.dead_letter {
            arguments.push(argument("x-dead-letter-exchange", ""));
            arguments.push(argument("x-dead-letter-routing-key", target));
            if quorum {
                arguments.push(argument("x-dead-letter-strategy", "at-least-once"));
                arguments.push(argument("x-overflow", "reject-publish"));
            }
        }
        for (name, value) in &config.queue_headers {
            arguments.retain(|(known, _)| known != name);
            if let Some(value) = plain(value) {
                arguments.push((name.clone(), value));
            }
        }
        Self {
            name: queue.to_owned(),
            durable: config.durable || quorum,
            exclusive: config.exclusive,
            arguments,
        }
    }

    /// A queue that takes what others gave up.
    pub(crate) fn dead_letters(queue: &str) -> Self {
        let arguments = vec![argument("x-queue-type", "quorum")];
        Self { name: queue.to_owned(), durable: true, exclusive: false, arguments }
    }

    /// A queue in which messages wait for `wait` before they go on to `exchange` with `routing_key`.
    ///
    /// At-least-once dead-lettering, which needs `reject-publish`, so that no hop loses a job; no `x-expires`, which
    /// would delete the queue with the jobs in it.
    pub(crate) fn waiting_room(name: String, wait: Duration, exchange: &str, routing_key: &str) -> Self {
        let arguments = vec![
            argument("x-queue-type", "quorum"),
            ("x-message-ttl".to_owned(), Value::Ulong(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))),
            argument("x-dead-letter-exchange", exchange),
            argument("x-dead-letter-routing-key", routing_key),
            argument("x-dead-letter-strategy", "at-least-once"),
            argument("x-overflow", "reject-publish"),
        ];
        Self { name, durable: true, exclusive: false, arguments }
    }

    /// The body of the request.
    pub(crate) fn body(&self) -> Value {
        let arguments: Map =
            self.arguments.iter().map(|(k, v)| (Value::from(k.as_str()), v.clone())).collect();
        let mut body = Map::new();
        body.insert("durable", self.durable);
        body.insert("exclusive", self.exclusive);
        body.insert("auto_delete", false);
        body.insert("arguments", Value::Map(arguments));
        Value::Map(body)
    }
}

/// An exchange.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ExchangeDeclaration {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) durable: bool,
}

impl ExchangeDeclaration {
    /// The body of the request.
    pub(crate) fn body(&self) -> Value {
        let mut body = Map::new();
        body.insert("type", self.kind.as_str());
        body.insert("durable", self.durable);
        body.insert("auto_delete", false);
        body.insert("internal", false);
        body.insert("arguments", Value::Map(Map::new()));
        Value::Map(body)
    }
}

/// The body of a request that binds `queue` to `exchange`.
pub(crate) fn binding(exchange: &str, queue: &str, key: &str) -> Value {
    let mut body = Map::new();
    body.insert("source", exchange);
    body.insert("destination_queue", queue);
    body.insert("binding_key", key);
    body.insert("arguments", Value::Map(Map::new()));
    Value::Map(body)
}

fn argument(name: &str, value: &str) -> (String, Value) {
    (name.to_owned(), Value::from(value))
}

/// A configured argument as AMQP has it; `None` for what no broker understands.
fn plain(value: &serde_json::Value) -> Option<Value> {
    use serde_json::Value as Json;
    match value {
        Json::String(text) => Some(Value::from(text.as_str())),
        Json::Bool(value) => Some(Value::Bool(*value)),
        Json::Number(number) => {
            number.as_i64().map(Value::Long).or_else(|| number.as_u64().map(Value::Ulong))
        }
        _ => None,
    }
}
