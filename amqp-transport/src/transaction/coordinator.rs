//! The resource's side: takes the links of controllers, and tells the application what to do.

use super::{TransactionId, capability};
use crate::delivery::Delivery;
use crate::engine::credit::Credit;
use crate::error::{LinkError, Outcome, SettleError};
use crate::listener::LinkRequest;
use crate::receiver::Receiver;
use amqp_codec::messaging::{DeliveryState, TargetArchetype};
use amqp_codec::transactions::{Control, Coordinator as Target, Declared};
use amqp_codec::transport::{Attach, ErrorInfo, conditions};
use bytes::Bytes;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Requests of one controller that may wait.
const CREDIT: u32 = 16;

/// What one connection may have. Set fields on a default value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CoordinatorLimits {
    /// Transactions that may be declared at once. One more is rejected with `amqp:resource-limit-exceeded`. Default 100.
    pub transactions: usize,
    /// How long a transaction may be open. One that is not discharged by then is given as a rollback by
    /// [`ControlLink::next`], and a discharge that comes later is rejected with `amqp:transaction:timeout`. Default 5
    /// minutes; zero lets it be open for as long as its controller stays.
    pub time_out: Duration,
}

impl Default for CoordinatorLimits {
    fn default() -> Self {
        Self { transactions: 100, time_out: Duration::from_secs(300) }
    }
}

/// The transactions of one connection, at the side that has the messages. Clones are the same.
///
/// It knows which transactions are open. What is done within them is the application's to keep until the discharge:
///
/// - a message that arrives with a [`Delivery::transaction`] is stored only by the commit; answer it before the
///   discharge with an [`Outcome::Provisional`];
/// - an outcome that is [`Outcome::Provisional`] takes effect only by the commit; if it came unsettled, settle it then with
///   [`Sender::settle`](crate::Sender::settle), or after a rollback call [`Sender::revert`](crate::Sender::revert).
///
/// [`Coordinator::check`] tells whether such a transaction is open. Everything that the peer did before a discharge
/// waits at its links when [`ControlLink::next`] gives the discharge: take it from there first.
///
/// ```no_run
/// # async fn run(incoming: amqp_transport::Incoming) {
/// use amqp_transport::transaction::Coordinator;
///
/// let coordinator = Coordinator::new();
/// while let Some(link) = incoming.next_link().await {
///     if !link.attach().is_some_and(Coordinator::is_wanted) {
///         continue;
///     }
///     let Ok(mut control) = coordinator.accept(link) else { continue };
///     tokio::spawn(async move {
///         while let Some(discharge) = control.next().await {
///             // Apply or forget what was done within discharge.transaction().
///             println!("{}: {}", discharge.transaction(), !discharge.is_rollback());
///             discharge.done();
///         }
///     });
/// }
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Coordinator {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limits: CoordinatorLimits,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    ids: HashSet<TransactionId>,
    declared: u64,
}

impl Default for Coordinator {
    fn default() -> Self {
        Self::new()
    }
}

impl Coordinator {
    /// For one connection.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(CoordinatorLimits::default())
    }

    /// The same with these limits.
    #[must_use]
    pub fn with_limits(limits: CoordinatorLimits) -> Self {
        Self { shared: Arc::new(Shared { limits, open: Mutex::default() }) }
    }

    /// Whether a link is to a coordinator.
    #[must_use]
    pub const fn is_wanted(attach: &Attach) -> bool {
        matches!(attach.target, Some(TargetArchetype::Coordinator(_)))
    }

    /// Takes a link of a controller.
    ///
    /// # Errors
    /// If the link or its session ended meanwhile.
    pub fn accept(&self, request: LinkRequest) -> Result<ControlLink, LinkError> {
        let outcomes = request
            .attach()
            .and_then(|attach| attach.source.as_ref())
            .map(|source| source.outcomes.as_slice())
            .unwrap_or_default();
        let can_reject = outcomes.is_empty() || outcomes.iter().any(|it| it.as_str() == "amqp:rejected:list");
        let mut target = Target::new();
        target.capabilities =
            vec![capability::LOCAL, capability::MULTI_TXNS_PER_SESSION, capability::MULTI_SESSIONS_PER_TXN];
        let receiver = request.accept_as_coordinator(target, Credit::Auto(CREDIT))?;
        Ok(ControlLink {
            receiver,
            shared: Arc::clone(&self.shared),
            declared: HashMap::new(),
            late: VecDeque::new(),
            taken_late: 0,
            can_reject,
            end: None,
        })
    }

    /// Whether a transaction is open.
    ///
    /// # Errors
    /// `amqp:transaction:unknown-id` if not: reject the message, or detach the link whose verdict it was.
    pub fn check(&self, transaction: &TransactionId) -> Result<(), ErrorInfo> {
        if self.shared.lock().ids.contains(transaction) { Ok(()) } else { Err(unknown(transaction)) }
    }
}

fn unknown(transaction: &TransactionId) -> ErrorInfo {
    ErrorInfo::new(conditions::TRANSACTION_UNKNOWN_ID, format!("no transaction {transaction} is open"))
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn declare(&self) -> Result<TransactionId, ErrorInfo> {
        let mut open = self.lock();
        if open.ids.len() >= self.limits.transactions {
            let text = format!("more than {} open transactions", self.limits.transactions);
            return Err(ErrorInfo::new(conditions::RESOURCE_LIMIT_EXCEEDED, text));
        }
        open.declared = open.declared.wrapping_add(1);
        let id = TransactionId::new(Bytes::copy_from_slice(&open.declared.to_be_bytes()));
        open.ids.insert(id.clone());
        Ok(id)
    }
}

/// A controller's link. Dropped, it is closed and its transactions are not open any more.
#[derive(Debug)]
#[must_use = "dropped, it is closed, and its transactions are rolled back"]
pub struct ControlLink {
    receiver: Receiver,
    shared: Arc<Shared>,
    /// The open transactions, and when each was declared.
    declared: HashMap<TransactionId, Instant>,
    /// Those that were open for too long, the newest last.
    late: VecDeque<TransactionId>,
    /// Requests taken in a row while a transaction was open for too long.
    taken_late: u32,
    can_reject: bool,
    end: Option<LinkError>,
}

impl ControlLink {
    /// The next discharge. Declarations are answered here. A transaction that was open for too long
    /// ([`CoordinatorLimits::time_out`]) is given as a rollback. Once the link has ended, so is each that is still open
    /// (§4.3), and then `None`. Cancel-safe.
    pub async fn next(&mut self) -> Option<Discharge> {
        while self.end.is_none() {
            let oldest = self.oldest();
            let late = oldest.clone().filter(|(_, deadline)| *deadline <= Instant::now());
            // A discharge that came in time but was not taken is one of those that wait, and they are no more than the
            // credit: they go first. After them a controller that never stops asking keeps no transaction open.
            if self.taken_late >= CREDIT
                && let Some((transaction, _)) = late
            {
                self.taken_late = 0;
                return Some(self.give_up(transaction));
            }
            let received = tokio::select! {
                biased;
                received = self.receiver.recv() => received,
                transaction = too_late(oldest) => {
                    self.taken_late = 0;
                    return Some(self.give_up(transaction));
                }
            };
            match received {
                Ok(request) => {
                    let discharge = self.on_request(request).await;
                    // The next that is late has as many turns again.
                    let is_open =
                        late.is_some_and(|(transaction, _)| self.declared.contains_key(&transaction));
                    self.taken_late = if is_open { self.taken_late.saturating_add(1) } else { 0 };
                    if discharge.is_some() {
                        return discharge;
                    }
                }
                Err(error) => self.end = Some(error),
            }
        }
        let transaction = self.declared.keys().next().cloned()?;
        self.declared.remove(&transaction);
        Some(self.rollback(transaction))
    }

    /// The transaction whose time is over first, and when; none if they have as much as they want.
    fn oldest(&self) -> Option<(TransactionId, Instant)> {
        let time_out = Some(self.shared.limits.time_out).filter(|time_out| !time_out.is_zero())?;
        let (transaction, declared) = self.declared.iter().min_by_key(|(_, declared)| **declared)?;
        Some((transaction.clone(), declared.checked_add(time_out)?))
    }

    /// The transaction was open for too long.
    fn give_up(&mut self, transaction: TransactionId) -> Discharge {
        tracing::debug!(%transaction, "a transaction was not discharged in time");
        self.declared.remove(&transaction);
        // A controller that never comes back to its transactions is not remembered for ever.
        if self.late.len() >= self.shared.limits.transactions.max(1) {
            self.late.pop_front();
        }
        self.late.push_back(transaction.clone());
        self.rollback(transaction)
    }

    fn rollback(&self, transaction: TransactionId) -> Discharge {
        Discharge { transaction, is_rollback: true, shared: Arc::clone(&self.shared), request: None }
    }

    /// Why the link ended, if it has.
    #[must_use]
    pub const fn end(&self) -> Option<&LinkError> {
        self.end.as_ref()
    }

    async fn on_request(&mut self, request: Delivery) -> Option<Discharge> {
        if request.is_settled() {
            let text = "declare and discharge must not come settled";
            self.close(ErrorInfo::new(conditions::NOT_ALLOWED, text)).await;
            return None;
        }
        let read = request.message().and_then(|message| Control::of(&message));
        let answered = match read {
            Ok(Control::Discharge(discharge)) => {
                let transaction = TransactionId::new(Bytes::copy_from_slice(&discharge.txn_id));
                let is_rollback = discharge.fail.unwrap_or(false);
                if !self.declared.contains_key(&transaction) {
                    Err(self.not_open(&transaction))
                } else if !is_rollback && self.is_partly_posted(&transaction) {
                    // §4.4.1; all of the link's transactions are rolled back. A rollback does no harm: what is missing of
                    // the delivery is refused when it comes.
                    let text = format!("a message posted within transaction {transaction} is not whole");
                    self.close(ErrorInfo::new(conditions::TRANSACTION_ROLLBACK, text)).await;
                    return None;
                } else {
                    self.declared.remove(&transaction);
                    let shared = Arc::clone(&self.shared);
                    return Some(Discharge { transaction, is_rollback, shared, request: Some(request) });
                }
            }
            Ok(Control::Declare(declare)) if declare.global_id.is_some() => {
                Err(ErrorInfo::new(conditions::NOT_IMPLEMENTED, "global transactions are not supported"))
            }
            Ok(Control::Declare(_)) => self.shared.declare(),
            Err(error) => Err(ErrorInfo::new(conditions::DECODE_ERROR, error.to_string())),
        };
        match answered {
            Ok(id) => {
                let declared = DeliveryState::Declared(Declared::new(id.octets().clone()));
                self.declared.insert(id, Instant::now());
                told(request.settle(Outcome::Other(declared)));
            }
            Err(error) if self.can_reject => told(request.reject(Some(error))),
            Err(error) => self.close(error).await,
        }
        None
    }

    /// Why a transaction cannot be discharged.
    fn not_open(&mut self, transaction: &TransactionId) -> ErrorInfo {
        match self.late.iter().position(|late| late == transaction) {
            Some(place) => {
                self.late.remove(place);
                let text = format!("transaction {transaction} took too long and was rolled back");
                ErrorInfo::new(conditions::TRANSACTION_TIMEOUT, text)
            }
            None => unknown(transaction),
        }
    }

    fn is_partly_posted(&self, transaction: &TransactionId) -> bool {
        self.receiver.link().shared().look(|state| state.engine.is_partly_posted(transaction.octets()))
    }

    async fn close(&mut self, error: ErrorInfo) {
        tracing::debug!(link = self.receiver.name(), ?error, "the link of a controller is closed");
        self.end = Some(LinkError::DetachedLocally);
        if let Err(error) = self.receiver.close_with(error).await {
            tracing::debug!(%error, "the link of a controller was not closed in an orderly way");
        }
    }
}

impl Drop for ControlLink {
    fn drop(&mut self) {
        let mut open = self.shared.lock();
        for transaction in self.declared.keys() {
            open.ids.remove(transaction);
        }
    }
}

/// Waits until a transaction has been open for too long.
async fn too_late(oldest: Option<(TransactionId, Instant)>) -> TransactionId {
    match oldest {
        Some((transaction, deadline)) => {
            tokio::time::sleep_until(deadline).await;
            transaction
        }
        None => std::future::pending().await,
    }
}

/// A transaction is to end. Dropped without an answer, it is told as rolled back.
#[derive(Debug)]
#[must_use = "a discharge that is dropped is answered with a rollback"]
pub struct Discharge {
    transaction: TransactionId,
    is_rollback: bool,
    shared: Arc<Shared>,
    /// None if the controller is gone.
    request: Option<Delivery>,
}

impl Discharge {
    /// The transaction.
    #[must_use]
    pub const fn transaction(&self) -> &TransactionId {
        &self.transaction
    }

    /// Whether it is to be rolled back; otherwise it is to be committed.
    #[must_use]
    pub const fn is_rollback(&self) -> bool {
        self.is_rollback
    }

    /// It was committed, or rolled back, as was asked.
    pub fn done(mut self) {
        if let Some(request) = self.request.take() {
            told(request.accept());
        }
    }

    /// It could not be committed, and was rolled back.
    pub fn failed(mut self, error: ErrorInfo) {
        if let Some(request) = self.request.take() {
            told(request.reject(Some(error)));
        }
    }
}

impl Drop for Discharge {
    fn drop(&mut self) {
        self.shared.lock().ids.remove(&self.transaction);
        if let Some(request) = self.request.take() {
            let error = ErrorInfo::new(conditions::TRANSACTION_ROLLBACK, "the transaction was not committed");
            told(request.reject(Some(error)));
        }
    }
}

/// The controller may be gone before it is told.
fn told(result: Result<(), SettleError>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a controller left before it was answered");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::{ConnectOptions, Connection};
    use crate::engine::sasl::StaticCredentials;
    use crate::engine::{LinkOptions, Termini};
    use crate::listener::ListenerOptions;
    use crate::sender::Sender;
    use amqp_codec::messaging::{Message, Source};
    use amqp_codec::transactions::{Declare, Discharge};
    use amqp_codec::transport::SenderSettleMode;
    use amqp_codec::types::{Symbol, Value};

    /// A link to a coordinator that is not as a [`Controller`](super::super::Controller) makes it.
    async fn controlled(
        mode: SenderSettleMode,
        outcomes: &[&'static str],
    ) -> (Connection, Sender, ControlLink) {
        controlled_within(CoordinatorLimits::default(), mode, outcomes).await
    }

    async fn controlled_within(
        limits: CoordinatorLimits,
        mode: SenderSettleMode,
        outcomes: &[&'static str],
    ) -> (Connection, Sender, ControlLink) {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let anyone = StaticCredentials { anonymous: true, users: Vec::new() };
        let listener = ListenerOptions::new("resource").authenticator(Arc::new(anyone));
        let client = ConnectOptions::new("amqp://localhost".parse().unwrap());
        let (client, incoming) = tokio::join!(client.connect_over(near), listener.accept(far));
        let (client, incoming) = (client.unwrap(), incoming.unwrap());
        let session = client.session().await.unwrap();
        let mut link = LinkOptions::sender("control", "");
        let outcomes = outcomes.iter().map(|outcome| Symbol::from_static(outcome)).collect();
        let source = Source { outcomes, ..Source::default() };
        let target = Some(TargetArchetype::Coordinator(Target::new()));
        link.termini = Termini { source: Some(source), target };
        link.snd_settle_mode = mode;
        let (link, control) = tokio::join!(session.attach(link), async {
            Coordinator::with_limits(limits).accept(incoming.next_link().await.unwrap()).unwrap()
        });
        (client, Sender::new(link.unwrap()), control)
    }

    async fn refused(
        control: &mut ControlLink,
        sender: &Sender,
        message: impl Into<crate::Payload>,
    ) -> Symbol {
        tokio::select! {
            outcome = sender.send(message) => match outcome.unwrap() {
                Outcome::Rejected(Some(error)) => error.condition,
                outcome => unreachable!("{outcome}"),
            },
            discharge = control.next() => unreachable!("{discharge:?}"),
        }
    }

    // §4.4
    #[tokio::test(start_paused = true)]
    async fn a_controller_that_never_stops_asking_keeps_no_transaction_open_beyond_its_time() {
        let limits = CoordinatorLimits { time_out: Duration::from_secs(1), ..CoordinatorLimits::default() };
        let (_client, sender, mut control) =
            controlled_within(limits, SenderSettleMode::Unsettled, &[]).await;
        let declare = || Control::Declare(Declare::new()).to_message();
        let declared = tokio::select! {
            declared = sender.send(declare()) => declared.unwrap(),
            discharge = control.next() => unreachable!("{discharge:?}"),
        };
        let Outcome::Other(DeliveryState::Declared(declared)) = declared else { unreachable!("{declared}") };
        for _ in 0..3 {
            sender.try_deliver(declare()).unwrap();
        }
        while control.receiver.queued() < 3 {
            tokio::task::yield_now().await;
        }
        tokio::time::advance(Duration::from_secs(2)).await;
        // As many as may wait have been taken since the time was over, but for one.
        control.taken_late = CREDIT - 1;
        let late = control.next().await.unwrap();
        assert!(late.is_rollback());
        assert_eq!(*late.transaction(), TransactionId::new(Bytes::copy_from_slice(&declared.txn_id)));
        assert_eq!(control.receiver.queued(), 2, "the next request waits");
    }

    // §4.3
    #[tokio::test]
    async fn a_declaration_that_comes_settled_costs_the_controller_its_link() {
        let (_client, sender, mut control) = controlled(SenderSettleMode::Settled, &[]).await;
        let declare = Control::Declare(Declare::new()).to_message();
        let (end, (), none) = tokio::join!(
            sender.detached(),
            async { sender.send_settled(declare).await.unwrap() },
            control.next()
        );
        assert!(none.is_none());
        let LinkError::DetachedByPeer(Some(error)) = end else { unreachable!("{end}") };
        assert_eq!(error.condition, conditions::NOT_ALLOWED);
    }

    // §4.5
    #[tokio::test]
    async fn what_is_neither_declaration_nor_discharge_is_rejected() {
        let (_client, sender, mut control) = controlled(SenderSettleMode::Unsettled, &[]).await;
        let mut global = Declare::new();
        global.global_id = Some(Value::from("elsewhere"));
        let unknown = Discharge::new(Bytes::from_static(b"unknown"));
        for (message, condition) in [
            (crate::Payload::from(Message::data("x")), conditions::DECODE_ERROR),
            (Message::value("x").into(), conditions::DECODE_ERROR),
            (b"nothing".to_vec().into(), conditions::DECODE_ERROR),
            (Control::Declare(global).to_message().into(), conditions::NOT_IMPLEMENTED),
            (Control::Discharge(unknown).to_message().into(), conditions::TRANSACTION_UNKNOWN_ID),
        ] {
            assert_eq!(refused(&mut control, &sender, message).await, condition);
        }
    }

    // §4.3
    #[tokio::test]
    async fn a_controller_whose_source_knows_no_rejection_is_detached_instead() {
        let outcomes = ["amqp:accepted:list", "amqp:declared:list"];
        let (_client, sender, mut control) = controlled(SenderSettleMode::Unsettled, &outcomes).await;
        let unknown = Control::Discharge(Discharge::new(Bytes::from_static(b"unknown"))).to_message();
        let (end, sent, none) = tokio::join!(sender.detached(), sender.send(unknown), control.next());
        assert!(sent.is_err() && none.is_none());
        let LinkError::DetachedByPeer(Some(error)) = end else { unreachable!("{end}") };
        assert_eq!(error.condition, conditions::TRANSACTION_UNKNOWN_ID);
    }
}
