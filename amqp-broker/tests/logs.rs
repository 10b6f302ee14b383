//! What the broker writes to the log, and what it does not.

mod support;

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, PoisonError};

use amqp_broker::Broker;
use amqp_transport::{Address, ConnectOptions};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Keeps all that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{field}={value:?} ").unwrap_or_default();
    }
}

impl Log {
    fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        attributes.record(&mut Line(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Line(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Line(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

// All tasks run on the thread of the test, so the log of that thread is that of the broker.
#[tokio::test]
async fn the_log_says_that_a_user_came_and_not_who() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let broker = Broker::builder().user("quincy", "hunter2").start().await.unwrap();
    let address: Address = broker.address().parse().unwrap();
    let connection =
        ConnectOptions::new(address.with_credentials("quincy", "hunter2")).connect().await.unwrap();
    connection.session().await.unwrap();
    broker.shutdown().await;
    let text = log.text();
    assert!(text.contains("authenticated=true"), "{text}");
    assert!(!text.contains("quincy") && !text.contains("hunter2"), "{text}");
}
