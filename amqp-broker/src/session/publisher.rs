//! A link on which a peer publishes: message in, into a queue, outcome out.

use std::sync::Arc;

use amqp_codec::ByteString;
use amqp_codec::messaging::MessageSections;
use amqp_codec::transport::{ErrorInfo, conditions};
use amqp_transport::{Delivery, Receiver};

use crate::address::Address;
use crate::limits::PUBLISH_BATCH;
use crate::queue::{Message, undecodable};
use crate::store::{SharedQueue, Store};

/// The only message format here (§3.2.16).
const MESSAGE_FORMAT: u32 = 0;

/// The queue that a link publishes to.
#[derive(Debug)]
pub(crate) struct Route {
    name: ByteString,
    queue: Arc<SharedQueue>,
}

impl Route {
    /// The way to the queue of that name.
    pub(crate) fn to(store: &Store, name: ByteString) -> Result<Self, ErrorInfo> {
        store.open(&name).map(|queue| Self { name, queue })
    }

    /// Stores messages and says of each what became of it. If the queue was deleted, the next one of its name takes its
    /// place.
    fn publish(&mut self, store: &Store, messages: &mut Vec<Message>) -> Vec<Result<(), ErrorInfo>> {
        if let Some(results) = store.publish(&self.queue, messages) {
            return results;
        }
        let count = messages.len();
        match store.open(&self.name) {
            Ok(queue) => self.queue = queue,
            Err(error) => return vec![Err(error); count],
        }
        store.publish(&self.queue, messages).unwrap_or_else(|| {
            let error =
                ErrorInfo::new(conditions::RESOURCE_DELETED, format!("queue {} was deleted", self.name));
            vec![Err(error); count]
        })
    }
}

/// Serves the link until it ends.
pub(crate) async fn run(receiver: Receiver, mut route: Option<Route>, store: Arc<Store>) {
    let mut batch = Vec::new();
    let end = loop {
        match receiver.recv().await {
            Ok(delivery) => batch.push(delivery),
            Err(error) => break error,
        }
        while batch.len() < PUBLISH_BATCH
            && let Some(delivery) = receiver.try_recv()
        {
            batch.push(delivery);
        }
        match &mut route {
            Some(route) => publish(&store, route, &mut batch),
            None => batch.drain(..).for_each(|delivery| relay(&store, delivery)),
        }
    };
    tracing::debug!(link = receiver.name(), error = %end, "publisher left");
}

/// Stores a batch in one queue, under one lock.
fn publish(store: &Store, route: &mut Route, batch: &mut Vec<Delivery>) {
    let mut messages = Vec::with_capacity(batch.len());
    let mut understood = Vec::with_capacity(batch.len());
    for delivery in batch.drain(..) {
        match read(&delivery).and_then(|sections| arrived(store, &delivery, &sections)) {
            Ok(message) => {
                messages.push(message);
                understood.push(delivery);
            }
            Err(error) => finish(delivery, Err(error)),
        }
    }
    for (delivery, result) in understood.into_iter().zip(route.publish(store, &mut messages)) {
        finish(delivery, result);
    }
}

/// Stores one message where it says itself, by `properties.to` (anonymous terminus).
fn relay(store: &Store, delivery: Delivery) {
    let result = read(&delivery).and_then(|sections| {
        let to = sections.properties().map_err(undecodable)?.and_then(|properties| properties.to);
        let to = to.ok_or_else(|| {
            ErrorInfo::new(
                conditions::PRECONDITION_FAILED,
                "properties.to is missing, and the link names no target",
            )
        })?;
        let Address::Queue(name) = Address::parse(&to)? else {
            return Err(ErrorInfo::new(conditions::NOT_ALLOWED, format!("{to}: not a queue")));
        };
        let mut messages = vec![arrived(store, &delivery, &sections)?];
        Route::to(store, name)?.publish(store, &mut messages).pop().unwrap_or(Ok(()))
    });
    finish(delivery, result);
}

/// The sections of a delivery.
fn read(delivery: &Delivery) -> Result<MessageSections, ErrorInfo> {
    if delivery.message_format() != MESSAGE_FORMAT {
        return Err(ErrorInfo::new(
            conditions::NOT_IMPLEMENTED,
            format!("message-format {}: expected {MESSAGE_FORMAT}", delivery.message_format()),
        ));
    }
    delivery.sections().map_err(undecodable)
}

fn arrived(store: &Store, delivery: &Delivery, sections: &MessageSections) -> Result<Message, ErrorInfo> {
    Message::arrived(delivery.payload().clone(), sections, store.now())
}

/// Tells the publisher. A delivery that came settled wants no answer; that it was not stored only the log can tell.
fn finish(delivery: Delivery, result: Result<(), ErrorInfo>) {
    if delivery.is_settled() {
        if let Err(error) = result {
            tracing::debug!(?error, "message that came settled was not stored");
        }
        return;
    }
    let told = match result {
        Ok(()) => delivery.accept(),
        Err(error) => delivery.reject(Some(error)),
    };
    if let Err(error) = told {
        tracing::trace!(%error, "publisher left before it was told");
    }
}
