//! When a client tries to connect: the clock is virtual, and every attempt fails.

use super::*;
use crate::recovery::Client;
use crate::recovery::client::Live;
use std::sync::Mutex;

/// Fails each attempt, and notes when it was and where to.
#[derive(Clone)]
struct Refusing {
    start: Instant,
    attempts: Arc<Mutex<Vec<(Duration, u16)>>>,
    error: ConnectError,
    takes: Duration,
}

impl Refusing {
    fn new(error: ConnectError) -> Self {
        Self { start: Instant::now(), attempts: Arc::default(), error, takes: Duration::ZERO }
    }

    fn attempts(&self) -> Vec<(Duration, u16)> {
        self.attempts.lock().unwrap().clone()
    }
}

impl Dial for Refusing {
    async fn dial(&mut self, address: Address) -> Result<Dialed, Trouble> {
        self.attempts.lock().unwrap().push((self.start.elapsed(), address.port()));
        tokio::time::sleep(self.takes).await;
        Err(self.error.clone().into())
    }
}

fn refused() -> ConnectError {
    let (host, why) = ("h".to_owned(), "refused".to_owned());
    ConnectError::Tcp { host, port: 1, kind: std::io::ErrorKind::ConnectionRefused, why }
}

fn bad_credentials() -> ConnectError {
    let code = Some(amqp_codec::security::SaslCode::Auth);
    ConnectError::Connection(crate::ConnectionError::Sasl { code, offered: Vec::new() })
}

fn addresses<const N: usize>(ports: [u16; N]) -> Vec<Address> {
    ports.map(|port| format!("amqp://h:{port}").parse().unwrap()).to_vec()
}

fn supervisor<const N: usize>(
    ports: [u16; N],
    patience: Patience,
    dialer: &Refusing,
) -> Supervisor<Refusing> {
    let core = Core::new(BackOff::default(), patience, None);
    Supervisor::new(core, addresses(ports), dialer.clone(), Arc::new(|_, _| false), BackOff::default())
}

fn patience(attempts: u32) -> Patience {
    Patience { attempts: Some(attempts), ..Patience::default() }
}

#[tokio::test(start_paused = true)]
async fn attempts_follow_the_back_off_within_its_bounds() {
    let dialer = Refusing::new(refused());
    supervisor([1], patience(12), &dialer).run().await;
    let at: Vec<_> = dialer.attempts().into_iter().map(|(at, _)| at).collect();
    assert_eq!(at.len(), 12);
    let mut limit = Duration::from_millis(250);
    for pair in at.windows(2) {
        let pause = pair[1] - pair[0];
        // The timer's resolution is a millisecond, upwards.
        assert!(pause <= limit + Duration::from_millis(2) && pause >= limit / 10, "{pause:?} of {limit:?}");
        limit = (limit * 2).min(Duration::from_secs(30));
    }
}

#[tokio::test(start_paused = true)]
async fn every_address_is_tried_before_there_is_a_pause() {
    let dialer = Refusing::new(refused());
    supervisor([1, 2, 3], patience(7), &dialer).run().await;
    let attempts = dialer.attempts();
    assert_eq!(attempts.iter().map(|(_, port)| *port).collect::<Vec<_>>(), [1, 2, 3, 1, 2, 3, 1]);
    assert!(attempts[0].0 == attempts[2].0 && attempts[2].0 < attempts[3].0);
    assert!(attempts[3].0 == attempts[5].0 && attempts[5].0 < attempts[6].0);
}

#[tokio::test(start_paused = true)]
async fn a_client_without_a_limit_tries_for_days() {
    let dialer = Refusing::new(refused());
    let running = tokio::spawn(supervisor([1], Patience::default(), &dialer).run());
    tokio::time::sleep(Duration::from_secs(3 * 24 * 3600)).await;
    assert!(!running.is_finished());
    // At most one attempt in three seconds once the longest pause is reached, and at least one in 30.
    let count = dialer.attempts().len();
    assert!((8_640..90_000).contains(&count), "{count}");
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn what_does_not_pass_by_itself_ends_after_a_few_rounds() {
    let dialer = Refusing::new(bad_credentials());
    let supervisor = supervisor([1, 2], Patience::default(), &dialer);
    let core = Arc::clone(&supervisor.core);
    supervisor.run().await;
    assert_eq!(dialer.attempts().len(), 6);
    assert!(matches!(&*core.live.borrow(), Live::Ended(ClientError::GaveUp { attempts: 6, .. })));
}

#[tokio::test(start_paused = true)]
async fn a_client_without_addresses_says_so() {
    let client = Client::builder([""; 0]).unwrap();
    let error = client.connect().await.unwrap_err();
    assert!(matches!(error, ClientError::NoAddress), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_state_tells_each_step() {
    let mut dialer = Refusing::new(refused());
    // Long enough for the watcher to see it.
    dialer.takes = Duration::from_secs(1);
    let supervisor = supervisor([7], patience(2), &dialer);
    let mut state = supervisor.core.state.subscribe();
    let running = tokio::spawn(supervisor.run());
    let mut steps = Vec::new();
    while !matches!(*state.borrow(), ClientState::Closed { .. }) {
        state.changed().await.unwrap();
        steps.push(match &*state.borrow_and_update() {
            ClientState::Connecting { address, attempt } => format!("connecting to {address}: {attempt}"),
            ClientState::Waiting { delay, reason } => {
                assert!(*delay <= Duration::from_millis(250));
                format!("waiting: {reason}")
            }
            ClientState::Connected { address } => format!("connected to {address}"),
            ClientState::Closed { reason } => format!("closed: {reason}"),
        });
    }
    assert_eq!(
        steps,
        [
            "connecting to amqp://h:7: 1",
            "waiting: cannot connect to h:1: refused",
            "connecting to amqp://h:7: 2",
            "closed: gave up after 2 attempts to connect: cannot connect to h:1: refused",
        ]
    );
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn peers_that_redirect_in_circles_are_given_up_and_not_followed_for_ever() {
    let mut elsewhere = Redirect::default();
    (elsewhere.network_host, elsewhere.port) = (Some("other".to_owned()), Some(9));
    let error = elsewhere.connection_error();
    let dialer =
        Refusing::new(ConnectError::Connection(crate::ConnectionError::ClosedByPeer(Some(error.clone()))));
    let mut supervisor = supervisor([1], Patience::default(), &dialer);
    supervisor.may_follow = Arc::new(|host, port| host == "other" && port == 9);
    let core = Arc::clone(&supervisor.core);
    supervisor.run().await;
    assert!(matches!(&*core.live.borrow(), Live::Ended(ClientError::GaveUp { .. })));
    let ports: Vec<_> = dialer.attempts().into_iter().map(|(_, port)| port).collect();
    assert_eq!(ports, [1, 9, 9, 9, 1, 9, 9, 9, 1, 9, 9, 9]);
}
