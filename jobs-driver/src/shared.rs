//! What all parts of a driver share, and the task that keeps it connected.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rand::Rng;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use crate::broker::{Broker, connect};
use crate::config::{ConnectionConfig, known_pipelines, resolve, without_credentials};
use crate::driver::BrokerInfo;
use crate::error::DriverError;
use crate::event::Event;
use crate::pipeline::Pipeline;
use crate::pipeline::settle::Taken;
use crate::queue::JobQueue;

/// Events that a slow watcher may fall behind before it misses some.
const EVENT_BACKLOG: usize = 256;
/// What lived this long was a good connection, or a good link: the pauses start anew after it.
const GOOD_LIFE: Duration = Duration::from_secs(60);

/// The shared state of a driver.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) connection: ConnectionConfig,
    pub(crate) timeout: Duration,
    pub(crate) pipelines: RwLock<BTreeMap<String, Arc<Pipeline>>>,
    /// Consumed jobs of all pipelines.
    pub(crate) queue: JobQueue<Taken>,
    /// The live connection, if there is one.
    pub(crate) broker: watch::Sender<Option<Arc<Broker>>>,
    pub(crate) info: Mutex<BrokerInfo>,
    pub(crate) events: broadcast::Sender<Event>,
    /// Set once: nothing is connected or started any more.
    pub(crate) closing: watch::Sender<bool>,
}

impl Core {
    pub(crate) fn new(
        connection: ConnectionConfig,
        timeout: Duration,
        pipelines: BTreeMap<String, Arc<Pipeline>>,
        size: usize,
        first: Broker,
    ) -> Self {
        let info = first.recognised.info.clone();
        Self {
            connection,
            timeout,
            pipelines: RwLock::new(pipelines),
            queue: JobQueue::new(size),
            broker: watch::Sender::new(Some(Arc::new(first))),
            info: Mutex::new(info),
            events: broadcast::Sender::new(EVENT_BACKLOG),
            closing: watch::Sender::new(false),
        }
    }

    /// The pipeline of this name (or the one whose lower-case name this is).
    pub(crate) fn pipeline(&self, name: &str) -> Option<Arc<Pipeline>> {
        let pipelines = self.pipelines.read().unwrap_or_else(PoisonError::into_inner);
        let name = resolve(&pipelines, name)?;
        pipelines.get(name).cloned()
    }

    pub(crate) fn all_pipelines(&self) -> Vec<Arc<Pipeline>> {
        self.pipelines.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// For messages about an unknown name.
    pub(crate) fn known(&self) -> String {
        known_pipelines(&self.pipelines.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn tell(&self, event: Event) {
        // Nobody has to listen.
        let _ = self.events.send(event);
    }

    pub(crate) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// The live connection; waits for one. `None` once the driver has been shut down.
    pub(crate) async fn connected(&self) -> Option<Arc<Broker>> {
        let mut broker = self.broker.subscribe();
        let mut closing = self.closing.subscribe();
        loop {
            if *closing.borrow_and_update() {
                return None;
            }
            if let Some(broker) = broker.borrow_and_update().clone().filter(|broker| !broker.is_closed()) {
                return Some(broker);
            }
            tokio::select! {
                changed = broker.changed() => changed.ok()?,
                changed = closing.changed() => changed.ok()?,
            }
        }
    }

    /// Whether there is a connection at the moment.
    pub(crate) fn is_connected(&self) -> bool {
        self.broker.borrow().as_ref().is_some_and(|broker| !broker.is_closed())
    }

    fn became(&self, broker: Broker, again: bool) -> Arc<Broker> {
        let broker = Arc::new(broker);
        *self.info.lock().unwrap_or_else(PoisonError::into_inner) = broker.recognised.info.clone();
        self.broker.send_replace(Some(broker.clone()));
        self.announce(&broker, again);
        broker
    }

    /// Logs and tells that there is a connection.
    pub(crate) fn announce(&self, broker: &Broker, again: bool) {
        let info = broker.recognised.info.clone();
        let address = self.shown_address();
        tracing::info!(
            %address, product = %info.product, version = %info.version, profile = %info.profile, again, "connected"
        );
        self.tell(Event::Connected { address, broker: info, again });
    }

    fn shown_address(&self) -> String {
        self.connection.addr.parse().map(|address| without_credentials(&address)).unwrap_or_default()
    }
}

/// Keeps the driver connected until it is shut down.
pub(crate) async fn supervise(core: Arc<Core>) {
    let Some(mut broker) = core.broker.borrow().clone() else { return };
    let mut closing = core.closing.subscribe();
    let mut pauses = Pauses::new(core.connection.redial.min, core.connection.redial.max);
    loop {
        let since = Instant::now();
        let error = tokio::select! {
            // A connection that this driver closes is not lost.
            biased;
            () = reached(&mut closing, |closing| *closing) => {
                core.broker.send_replace(None);
                broker.close().await;
                return;
            }
            error = broker.closed() => error.to_string(),
        };
        core.broker.send_replace(None);
        pauses.ended_after(since.elapsed());
        let Some(next) = reconnect(&core, &mut closing, &mut pauses, broker.epoch + 1, error).await else {
            break;
        };
        broker = core.became(next, true);
    }
}

async fn reconnect(
    core: &Core,
    closing: &mut watch::Receiver<bool>,
    pauses: &mut Pauses,
    epoch: u64,
    mut error: String,
) -> Option<Broker> {
    loop {
        let retry_in = pauses.next();
        tracing::warn!(%error, ?retry_in, "not connected");
        core.tell(Event::ConnectionLost { error, retry_in });
        let attempt = async {
            tokio::time::sleep(retry_in).await;
            connect(&core.connection, epoch).await
        };
        let attempt = tokio::select! {
            attempt = attempt => attempt,
            () = reached(closing, |closing| *closing) => return None,
        };
        match attempt {
            Ok(broker) => return Some(broker),
            Err(failure) => {
                if !failure.is_retryable() {
                    // Wrong credentials do not become right by asking often.
                    pauses.longest();
                }
                error = match failure {
                    DriverError::Connect { reason, .. } => reason,
                    other => other.to_string(),
                };
            }
        }
    }
}

/// Waits until the watched value passes the test, or nobody can change it any more.
pub(crate) async fn reached<T>(watched: &mut watch::Receiver<T>, test: impl FnMut(&T) -> bool) {
    // What was seen is of no interest, and must not be held across an await.
    drop(watched.wait_for(test).await);
}

/// Exponential back-off with full jitter.
#[derive(Debug)]
pub(crate) struct Pauses {
    min: Duration,
    max: Duration,
    limit: Duration,
}

impl Pauses {
    pub(crate) const fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, limit: min }
    }

    /// The next pause: random, at most the limit, which then doubles.
    pub(crate) fn next(&mut self) -> Duration {
        let limit = self.limit;
        self.limit = limit.saturating_mul(2).min(self.max);
        limit.mul_f64(rand::rng().random_range(0.1..=1.0))
    }

    /// Starts anew after something that lasted long enough to have been good.
    pub(crate) fn ended_after(&mut self, lived: Duration) {
        if lived >= GOOD_LIFE {
            self.limit = self.min;
        }
    }

    pub(crate) const fn longest(&mut self) {
        self.limit = self.max;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_maximum_and_start_anew() {
        let (min, max) = (Duration::from_millis(200), Duration::from_secs(30));
        let mut pauses = Pauses::new(min, max);
        let mut limit = min;
        for _ in 0..20 {
            let pause = pauses.next();
            assert!(pause <= limit && pause >= limit / 11, "{pause:?} of {limit:?}");
            limit = (limit * 2).min(max);
        }
        assert_eq!(pauses.limit, max);
        pauses.ended_after(GOOD_LIFE - Duration::from_millis(1));
        assert_eq!(pauses.limit, max);
        pauses.ended_after(GOOD_LIFE);
        assert!(pauses.next() <= min);
        pauses.longest();
        assert_eq!(pauses.limit, max);
    }
}
