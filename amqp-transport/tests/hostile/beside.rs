//! Good clients beside hostile ones at one listener.

use crate::place::{Guest, Wire, entered, listener};
use crate::script::Step;
use crate::{limits, says, until, within};
use amqp_codec::messaging::{Message, Target};
use amqp_transport::{
    Authenticator, ConnectError, ConnectOptions, Connection, ConnectionError, Credit, Incoming, Limits,
    Listener, ListenerLimits, ListenerOptions, Sasl, SenderOptions,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::task::JoinHandle;

/// A listener that takes messages from everybody, and how many connections it has let in.
struct Place {
    port: u16,
    entered: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Place {
    async fn start(options: ListenerOptions, limits: ListenerLimits) -> Self {
        let mut listener = Listener::bind("127.0.0.1:0", options).await.unwrap().limits(limits);
        let port = listener.local_addr().unwrap().port();
        let entered = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&entered);
        let task = tokio::spawn(async move {
            loop {
                let (incoming, peer) = listener.accept().await;
                assert!(peer.ip().is_loopback() && listener.connections() > 0);
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(take(incoming));
            }
        });
        Self { port, entered, task }
    }

    async fn connect(&self) -> Result<Connection, ConnectError> {
        let address = format!("amqp://127.0.0.1:{}", self.port).parse().unwrap();
        within(ConnectOptions::new(address).connect()).await
    }

    /// Lets so many hostile clients come.
    async fn guests(&self, count: usize, script: &[Step]) -> Vec<Guest> {
        let mut guests = Vec::new();
        for _ in 0..count {
            guests.push(Guest::start(Wire::Tcp, self.port, script.to_vec()).await);
        }
        guests
    }
}

async fn take(incoming: Incoming) {
    while let Some(link) = incoming.next_link().await {
        let Ok(receiver) = link.accept_as_receiver(Target::new("q"), Credit::Auto(10)) else { continue };
        tokio::spawn(async move {
            while let Ok(delivery) = receiver.recv().await {
                let _ = delivery.accept();
            }
        });
    }
}

/// A message of a good client is taken.
async fn works(connection: &Connection) {
    let session = within(connection.session()).await.unwrap();
    let sender = within(session.sender(SenderOptions::new("q"))).await.unwrap();
    within(sender.send(Message::data("x"))).await.unwrap().accepted().unwrap();
}

fn many() -> ListenerLimits {
    let mut limits = ListenerLimits::default();
    limits.handshakes_per_peer = 1000;
    limits
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_clients_do_not_disturb_a_good_one_beside_them() {
    let place = Place::start(listener(Limits::default()), many()).await;
    let before = place.connect().await.unwrap();
    let mut guests = place.guests(50, &[Step::Listen]).await;
    guests.extend(place.guests(10, &[Step::Say(says::sasl_header()), Step::Sleep]).await);
    guests.extend(place.guests(10, &[Step::Say(says::by_lot(7, 300))]).await);
    guests.extend(place.guests(1, &entered([Step::Flood(says::empty_frame())])).await);
    guests.extend(
        place.guests(1, &entered([Step::FloodDeaf([says::begin(5, None), says::end(5)].concat())])).await,
    );
    guests.extend(
        place.guests(1, &entered([Step::Say(says::begin(0, None)), Step::Flood(says::echo())])).await,
    );
    let after = place.connect().await.unwrap();
    for _ in 0..5 {
        works(&before).await;
        works(&after).await;
    }
    assert_eq!(guests.len(), 73);
}

#[tokio::test]
async fn one_connection_more_than_the_limit_is_closed_until_another_has_gone() {
    let mut limits = many();
    limits.connections = 2;
    let place = Place::start(listener(crate::limits()), limits).await;
    let (first, _second) = (place.connect().await.unwrap(), place.connect().await.unwrap());
    let error = place.connect().await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Connection(ConnectionError::Lost(_))) && error.is_retryable(),
        "{error:?}"
    );
    within(first.close()).await.unwrap();
    drop(first);
    // A place is free once the socket is closed.
    let again = within(async {
        loop {
            if let Ok(connection) = place.connect().await {
                return connection;
            }
        }
    })
    .await;
    works(&again).await;
}

#[tokio::test]
async fn handshakes_of_one_peer_are_bounded_and_their_places_come_back() {
    let mut bounds = ListenerLimits::default();
    bounds.handshakes_per_peer = 3;
    let place = Place::start(listener(limits()), bounds).await;
    let stalled = place.guests(3, &[Step::Listen]).await;
    // Whoever comes while three stall is closed at once, without a word.
    let ear = Guest::start(Wire::Tcp, place.port, vec![Step::Listen]).await.heard().await;
    assert!(ear.heard.is_empty());
    for guest in stalled {
        guest.heard().await;
    }
    let connection = within(async {
        loop {
            if let Ok(connection) = place.connect().await {
                return connection;
            }
        }
    })
    .await;
    // Those whose handshake is over do not count.
    let others =
        [place.connect().await.unwrap(), place.connect().await.unwrap(), place.connect().await.unwrap()];
    works(&connection).await;
    works(&others[2]).await;
}

/// Panics over a name.
struct Fragile;

impl Authenticator for Fragile {
    fn anonymous(&self) -> bool {
        true
    }

    fn plain(&self, _authzid: &str, user: &str, _password: &str) -> bool {
        assert_ne!(user, "hostile", "this authenticator is broken");
        true
    }
}

#[tokio::test]
async fn the_listener_survives_everybody() {
    let options = ListenerOptions::new("listener").authenticator(Arc::new(Fragile)).limits(limits());
    let mut bounds = ListenerLimits::default();
    bounds.handshakes_per_peer = 2;
    let place = Place::start(options, bounds).await;
    for seed in 1..=20 {
        let address = format!("amqp://127.0.0.1:{}", place.port).parse().unwrap();
        let client = ConnectOptions::new(address).limits(limits()).sasl(Sasl::plain("hostile", "secret"));
        assert!(within(client.connect()).await.is_err());
        let guest =
            Guest::start(Wire::Tcp, place.port, vec![Step::Say(says::by_lot(seed, 100)), Step::Hang]).await;
        guest.heard().await;
    }
    let connection = within(async {
        loop {
            if let Ok(connection) = place.connect().await {
                return connection;
            }
        }
    })
    .await;
    works(&connection).await;
    within(until(|| place.entered.load(Ordering::SeqCst) >= 1)).await;
}
