//! Before a pipeline is used over a connection: declare or check what it needs, and find its route.

use std::sync::Arc;

use amqp_codec::types::Value;
use amqp_transport::Credit;
use tokio::time::Instant;

use super::Pipeline;
use crate::broker::{Broker, ManagementError, close};
use crate::config::Declare;
use crate::fault::{Fault, is_missing, link_fault};
use crate::profile::{
    ExchangeDeclaration, QueueDeclaration, QueueFacts, binding, exchange_path, is_default_exchange,
    queue_path,
};

/// What a pipeline knows about its queue and its route.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) facts: QueueFacts,
    pub(crate) route: Route,
}

/// Where jobs are published to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Straight to a queue.
    Queue(String),
    /// To an exchange, with a routing key.
    Exchange { exchange: String, routing_key: String },
}

impl Route {
    /// Exchange and routing key in the words of AMQP 0-9-1, where the exchange without a name leads to queues.
    pub(crate) fn exchange_and_key(&self) -> (&str, &str) {
        match self {
            Self::Queue(queue) => ("", queue),
            Self::Exchange { exchange, routing_key } => (exchange, routing_key),
        }
    }

    /// The same route with another key.
    pub(crate) fn with_key(&self, key: &str) -> Self {
        match self {
            Self::Queue(_) => Self::Queue(key.to_owned()),
            Self::Exchange { exchange, .. } => {
                Self::Exchange { exchange: exchange.clone(), routing_key: key.to_owned() }
            }
        }
    }

    /// For messages.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Queue(queue) => format!("queue {queue:?}"),
            Self::Exchange { exchange, routing_key } => {
                format!("exchange {exchange:?} with routing key {routing_key:?}")
            }
        }
    }
}

/// Prepares the pipeline for this connection, once.
pub(crate) async fn prepare(broker: &Broker, pipeline: &Pipeline) -> Result<Arc<Prepared>, Fault> {
    if let Some(prepared) = pipeline.prepared(broker.epoch) {
        return Ok(prepared);
    }
    // While somebody asks, the rest waits for the answer.
    let _one_at_a_time = pipeline.preparing.lock().await;
    if let Some(prepared) = pipeline.prepared(broker.epoch) {
        return Ok(prepared);
    }
    if let Some(reason) = pipeline.refused(broker.epoch) {
        return Err(Fault::Lasting(reason));
    }
    match find_out(broker, pipeline).await {
        Ok(prepared) => {
            let prepared = Arc::new(prepared);
            pipeline.set_prepared(Some((broker.epoch, prepared.clone())));
            Ok(prepared)
        }
        Err(fault) => {
            if let Fault::Lasting(reason) = &fault {
                pipeline.set_refused(broker.epoch, reason);
            }
            Err(fault)
        }
    }
}

async fn find_out(broker: &Broker, pipeline: &Pipeline) -> Result<Prepared, Fault> {
    let facts = match pipeline.config.declare {
        Declare::Off => QueueFacts::default(),
        Declare::Check => check(broker, pipeline).await?,
        Declare::On if broker.profile().has_management() => {
            declare(broker, pipeline).await?;
            check(broker, pipeline).await?
        }
        Declare::On => {
            tracing::warn!(
                pipeline = %pipeline.name, profile = broker.profile().name(),
                "this broker declares nothing over AMQP 1.0: queue and exchange are only checked"
            );
            check(broker, pipeline).await?
        }
    };
    let route = find_route(broker, pipeline).await?;
    Ok(Prepared { facts, route })
}

/// Declares the queue, its dead-letter queue, and the exchange with its binding.
pub(crate) async fn declare(broker: &Broker, pipeline: &Pipeline) -> Result<(), Fault> {
    let config = &pipeline.config;
    let profile = broker.profile();
    if let Some(queue) = &config.queue {
        if let Some(target) = &config.dead_letter {
            let declaration = QueueDeclaration::dead_letters(target);
            put(broker, &queue_path(target), declaration.body(), &format!("queue {target:?}")).await?;
        }
        let declaration = profile.queue_declaration(queue, config);
        put(broker, &queue_path(queue), declaration.body(), &format!("queue {queue:?}")).await?;
    }
    let Some(exchange) = own_exchange(pipeline).filter(|x| profile.exchange_target(x, "").is_some()) else {
        return Ok(());
    };
    let declaration = ExchangeDeclaration {
        name: exchange.to_owned(),
        kind: config.exchange_type.clone(),
        durable: config.durable,
    };
    put(broker, &exchange_path(exchange), declaration.body(), &format!("exchange {exchange:?}")).await?;
    if let Some(queue) = &config.queue {
        let body = binding(exchange, queue, routing_key(pipeline));
        let reply = broker.manage("POST", "/bindings", body).await.map_err(passing)?;
        reply.success().map_err(ManagementError::from).map_err(|error| {
            Fault::Lasting(format!("queue {queue:?} cannot be bound to {exchange:?}: {error}"))
        })?;
    }
    Ok(())
}

async fn put(broker: &Broker, path: &str, body: Value, what: &str) -> Result<(), Fault> {
    let reply = broker.manage("PUT", path, body).await.map_err(passing)?;
    match reply.success().map_err(ManagementError::from) {
        Ok(_) => Ok(()),
        Err(error @ ManagementError::Refused { status: 400..500, .. }) => {
            Err(Fault::Lasting(format!("{what} cannot be declared as configured: {error}")))
        }
        Err(error) => Err(Fault::Passing(format!("{what} cannot be declared: {error}"))),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that map_err wants")]
fn passing(error: ManagementError) -> Fault {
    Fault::Passing(error.to_string())
}

/// Looks for the queue, by the means that this broker has.
async fn check(broker: &Broker, pipeline: &Pipeline) -> Result<QueueFacts, Fault> {
    let Some(queue) = &pipeline.config.queue else { return Ok(QueueFacts::default()) };
    let profile = broker.profile();
    if profile.creates_queues() {
        return Ok(QueueFacts::default());
    }
    if profile.has_management() {
        return match broker.manage("GET", &queue_path(queue), Value::Null).await {
            Ok(reply) if reply.status == 404 => Err(Fault::Lasting(profile.missing_queue(queue))),
            Ok(reply) => {
                let facts = facts(&reply.body);
                if let Some(warning) = profile.warning(&facts) {
                    tracing::warn!(pipeline = %pipeline.name, queue, "{warning}");
                }
                Ok(facts)
            }
            Err(error) if broker.is_closed() => Err(passing(error)),
            Err(error) => {
                // Perhaps this user may not ask; the links will tell whether the queue is there.
                tracing::debug!(pipeline = %pipeline.name, %error, "the queue could not be looked up");
                Ok(QueueFacts::default())
            }
        };
    }
    if !profile.checks_targets() {
        exists(broker, queue).await?;
    }
    Ok(QueueFacts::default())
}

/// Whether a queue can be consumed from, which is the one check that every broker makes. The answer is kept for a while.
pub(crate) async fn exists(broker: &Broker, queue: &str) -> Result<(), Fault> {
    if let Some(known) = broker.sightings().get(queue, Instant::now()) {
        return known.map_err(Fault::Lasting);
    }
    let profile = broker.profile();
    let found = match broker.attach_receiver(&profile.queue_source(queue), Credit::Manual).await {
        Ok(receiver) => {
            close(receiver).await;
            Ok(())
        }
        Err(error) => match link_fault(&error, || profile.missing_queue(queue)) {
            Fault::Lasting(reason) => Err(reason),
            passing @ Fault::Passing(_) => return Err(passing),
        },
    };
    broker.sightings().keep(queue, found.clone(), Instant::now());
    found.map_err(Fault::Lasting)
}

fn facts(body: &Value) -> QueueFacts {
    let get = |key: &str| body.as_map().and_then(|map| map.get(key));
    let argument = |key: &str| get("arguments").and_then(Value::as_map).and_then(|map| map.get(key));
    QueueFacts {
        kind: get("type").and_then(Value::as_str).map(str::to_owned),
        delivery_limit: argument("x-delivery-limit").and_then(Value::as_i64),
        has_dead_letters: argument("x-dead-letter-exchange").is_some(),
    }
}

/// The configured exchange, unless it is the default one.
fn configured_exchange(pipeline: &Pipeline) -> Option<&str> {
    pipeline.config.exchange.as_deref().filter(|exchange| !is_default_exchange(exchange))
}

/// The configured exchange, unless its name is only the queue's once more.
fn own_exchange(pipeline: &Pipeline) -> Option<&str> {
    configured_exchange(pipeline).filter(|exchange| Some(*exchange) != pipeline.config.queue.as_deref())
}

/// The configured routing key; the queue's name where there is none.
fn routing_key(pipeline: &Pipeline) -> &str {
    pipeline.config.routing_key.as_deref().unwrap_or_else(|| pipeline.queue())
}

/// To the exchange if it is there; straight to the queue if it is the default one, or is not there and has the queue's
/// name.
async fn find_route(broker: &Broker, pipeline: &Pipeline) -> Result<Route, Fault> {
    let queue_or_key = pipeline.config.queue.as_deref().or(pipeline.config.routing_key.as_deref());
    let queue = queue_or_key.map(|queue| Route::Queue(queue.to_owned()));
    let nowhere = || Fault::Lasting("neither a queue nor an exchange is configured".to_owned());
    let profile = broker.profile();
    let key = routing_key(pipeline);
    let Some((exchange, address)) =
        configured_exchange(pipeline).and_then(|x| Some((x, profile.exchange_target(x, key)?)))
    else {
        return queue.ok_or_else(nowhere);
    };
    let named_like_queue = own_exchange(pipeline).is_none();
    match broker.sender(&address).await {
        Ok(_) => Ok(Route::Exchange { exchange: exchange.to_owned(), routing_key: key.to_owned() }),
        Err(error) if is_missing(&error) && named_like_queue => queue.ok_or_else(nowhere),
        Err(error) => Err(link_fault(&error, || profile.missing_exchange(exchange))),
    }
}
