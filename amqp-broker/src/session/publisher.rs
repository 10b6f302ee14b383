//! A link on which a peer publishes: message in, into a queue, outcome out.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;

use amqp_codec::messaging::MessageSections;
use amqp_codec::transport::{ErrorInfo, conditions};
use amqp_transport::{Delivery, Receiver};
use tokio::sync::mpsc;

use crate::address::Address;
use crate::limits::PUBLISH_BATCH;
use crate::queue::{Message, undecodable};
use crate::store::{SharedQueue, Store};

use super::transactions::{SettleDown, Transactions};

/// The only message format here (§3.2.16).
const MESSAGE_FORMAT: u32 = 0;

/// Serves the link until it ends or its queue is deleted. Without a `queue` it is the anonymous terminus, which outlives
/// every queue.
pub(crate) async fn run(
    receiver: Receiver,
    queue: Option<Arc<SharedQueue>>,
    store: Arc<Store>,
    (transactions, mut asked): (Arc<Transactions>, mpsc::Receiver<SettleDown>),
) {
    let mut deleted = pin!(async {
        match &queue {
            Some(queue) => queue.deleted().await,
            None => pending().await,
        }
    });
    let mut batch = Vec::new();
    let reason = loop {
        let mut most = PUBLISH_BATCH;
        let mut settled_down = None;
        tokio::select! {
            biased;
            // A transaction is to end: all that came before goes first.
            Some(done) = asked.recv() => (most, settled_down) = (receiver.queued(), Some(done)),
            delivery = receiver.recv() => match delivery {
                Ok(delivery) => batch.push(delivery),
                Err(error) => {
                    tracing::debug!(link = receiver.name(), %error, "publisher left");
                    return;
                }
            },
            error = &mut deleted => break error,
        }
        while batch.len() < most
            && let Some(delivery) = receiver.try_recv()
        {
            batch.push(delivery);
        }
        match &queue {
            Some(queue) => {
                if let Err(error) = publish(&store, queue, &transactions, &mut batch) {
                    break error;
                }
            }
            None => batch.drain(..).for_each(|delivery| relay(&store, &transactions, delivery)),
        }
        drop(settled_down);
    };
    drop(asked);
    if let Err(error) = receiver.close_with(reason).await {
        tracing::debug!(%error, "link not closed in an orderly way");
    }
}

/// Stores a batch in one queue, under one lock.
///
/// # Errors
///
/// `amqp:resource-deleted` if the queue was deleted; the publisher has been told so of each message.
fn publish(
    store: &Store,
    queue: &Arc<SharedQueue>,
    transactions: &Transactions,
    batch: &mut Vec<Delivery>,
) -> Result<(), ErrorInfo> {
    let mut messages = Vec::with_capacity(batch.len());
    let mut understood = Vec::with_capacity(batch.len());
    for delivery in batch.drain(..) {
        if let Some(id) = delivery.transaction() {
            transactions.post(id, delivery, |delivery| {
                let message = arrived(store, delivery, &read(delivery)?)?;
                Ok((Arc::clone(queue), message))
            });
            continue;
        }
        match read(&delivery).and_then(|sections| arrived(store, &delivery, &sections)) {
            Ok(message) => {
                messages.push(message);
                understood.push(delivery);
            }
            Err(error) => finish(delivery, Err(error)),
        }
    }
    match store.publish(queue, &mut messages) {
        Ok(results) => {
            understood.into_iter().zip(results).for_each(|(delivery, result)| finish(delivery, result));
            Ok(())
        }
        Err(error) => {
            understood.into_iter().for_each(|delivery| finish(delivery, Err(error.clone())));
            Err(error)
        }
    }
}

/// Stores one message where it says itself, by `properties.to` (anonymous terminus).
fn relay(store: &Store, transactions: &Transactions, delivery: Delivery) {
    if let Some(id) = delivery.transaction() {
        return transactions.post(id, delivery, |delivery| route(store, delivery));
    }
    let result = route(store, &delivery)
        .and_then(|(queue, message)| store.publish(&queue, &mut vec![message])?.pop().unwrap_or(Ok(())));
    finish(delivery, result);
}

/// A message, and the queue that it names.
fn route(store: &Store, delivery: &Delivery) -> Result<(Arc<SharedQueue>, Message), ErrorInfo> {
    let sections = read(delivery)?;
    let to = sections.properties().map_err(undecodable)?.and_then(|properties| properties.to);
    let to = to.ok_or_else(|| {
        ErrorInfo::new(
            conditions::PRECONDITION_FAILED,
            "properties.to is missing, and the link names no target",
        )
    })?;
    let Address::Queue(name) = Address::parse(to)? else {
        return Err(ErrorInfo::new(conditions::NOT_ALLOWED, format!("{to}: not a queue")));
    };
    let message = arrived(store, delivery, &sections)?;
    Ok((store.open(&name)?, message))
}

/// The sections of a delivery.
fn read(delivery: &Delivery) -> Result<MessageSections<'_>, ErrorInfo> {
    if delivery.message_format() != MESSAGE_FORMAT {
        return Err(ErrorInfo::new(
            conditions::NOT_IMPLEMENTED,
            format!("message-format {}: expected {MESSAGE_FORMAT}", delivery.message_format()),
        ));
    }
    delivery.sections().map_err(undecodable)
}

fn arrived(store: &Store, delivery: &Delivery, sections: &MessageSections<'_>) -> Result<Message, ErrorInfo> {
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
