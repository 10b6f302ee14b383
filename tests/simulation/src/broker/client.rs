//! A modelled client of the broker on one engine: it publishes, consumes, decides, controls transactions, and gives up.

use super::books::{Books, Connection, Standing, Told};
use super::plan::Plan;
use super::wire::Wire;
use crate::draw::{draw_credit, reason, some, whole};
use crate::honesty::{check_connection_end, check_link_end, check_session_end};
use crate::monitor::Monitor;
use crate::random::Random;
use crate::trace::{Trace, Who};
use amqp_codec::messaging::{DeliveryState, Modified, Source, TargetArchetype};
use amqp_codec::transactions::{Control, Coordinator, Declare, Discharge};
use amqp_codec::transport::{Open, ReceiverSettleMode, Role, conditions};
use amqp_transport::engine::{
    Credit, Engine, Event, LinkKey, LinkOptions, LinkStatus, OutgoingDelivery, Serial, SessionKey, Side,
    Termini, Token, Usage,
};
use amqp_transport::transaction::{Provisional, TransactionId};
use amqp_transport::{ConnectionError, LinkError, Outcome, Sasl, SessionError, SettleError};
use bytes::BytesMut;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

type Checked = Result<(), String>;

/// What a client works with.
pub(super) struct Desk<'a> {
    pub(super) books: &'a mut Books,
    pub(super) random: &'a mut Random,
    pub(super) trace: &'a mut Trace,
    pub(super) plan: &'a Plan,
    pub(super) tokens: &'a mut Vec<Purpose>,
    pub(super) now: Instant,
}

/// What an outcome is awaited for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    Message(usize),
    Declare(usize),
    Discharge(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Publisher { queue: usize },
    Consumer { queue: usize, is_dead: bool },
    Control,
}

#[derive(Debug)]
struct Link {
    key: LinkKey,
    session: SessionKey,
    kind: Kind,
    is_attached: bool,
    is_second: bool,
    is_paused: bool,
    credit: Credit,
}

/// A delivery taken and not decided, or accepted within a transaction.
#[derive(Debug, Clone, Copy)]
struct Held {
    link: LinkKey,
    id: Serial,
    number: usize,
    transaction: Option<usize>,
}

/// One end of one connection.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) connection: Connection,
    pub(super) engine: Engine,
    pub(super) monitor: Monitor,
    pub(super) wire: Wire,
    /// Octets that the engine wants written, and that are not on the wire yet.
    pub(super) output: BytesMut,
    input: BytesMut,
    sessions: Vec<SessionKey>,
    links: Vec<Link>,
    held: Vec<Held>,
    retired: Vec<Held>,
    /// Deliveries without an outcome yet.
    awaited: BTreeMap<usize, LinkKey>,
    /// Messages that were sent settled.
    unheard: Vec<(LinkKey, usize)>,
    next_name: u32,
    is_stale: bool,
    is_lost: bool,
    is_noted: bool,
}

impl Client {
    pub(super) fn new(connection: Connection, wire: Wire, desk: &mut Desk<'_>) -> Self {
        let sasl = if desk.random.percent(50) { Sasl::Anonymous } else { Sasl::None };
        let open = Open::new(format!("client {connection}"));
        let mut engine = Engine::new(Side::Client(sasl), open, desk.plan.limits.clone(), desk.now);
        engine.start_numbers_at(desk.plan.first_id);
        Self {
            connection,
            engine,
            monitor: Monitor::new(Who::Client),
            wire,
            output: BytesMut::new(),
            input: BytesMut::new(),
            sessions: Vec::new(),
            links: Vec::new(),
            held: Vec::new(),
            retired: Vec::new(),
            awaited: BTreeMap::new(),
            unheard: Vec::new(),
            next_name: 0,
            is_stale: false,
            is_lost: false,
            is_noted: false,
        }
    }

    fn note(&self, desk: &mut Desk<'_>, line: impl FnOnce() -> String) {
        desk.trace.now = desk.now;
        desk.trace.note(Some(Who::Client), || format!("[{}] {}", self.connection, line()));
    }

    // ---- octets -------------------------------------------------------------------------------------------

    /// After anything that the engine was given or asked: time-outs, events, output.
    pub(super) fn after(&mut self, has_jumped: bool, desk: &mut Desk<'_>) -> Checked {
        self.engine.handle_timeout(desk.now);
        self.hear(desk)?;
        let mut output = VecDeque::new();
        self.engine.poll_output(&mut output, desk.now);
        desk.trace.now = desk.now;
        for chunk in output {
            self.monitor.sent(&chunk, desk.trace)?;
            if !self.is_lost {
                self.output.extend_from_slice(&chunk);
            }
        }
        self.monitor.settled_down();
        self.is_stale = false;
        self.hear(desk)?;
        if let Some(end) = self.engine.end().cloned()
            && !std::mem::replace(&mut self.is_noted, true)
        {
            self.note(desk, || format!("its connection ends: {end}"));
            if !matches!(end, ConnectionError::ClosedLocally) {
                desk.books.lost(self.connection);
            }
            match &end {
                ConnectionError::IdleTimeout | ConnectionError::Timeout(_) if has_jumped => {}
                ConnectionError::IdleTimeout | ConnectionError::Timeout(_) => {
                    return Err(format!("a time-out although nothing is held back: {end}"));
                }
                ConnectionError::ClosedByPeer(Some(said))
                    if said.condition == conditions::RESOURCE_LIMIT_EXCEEDED && !has_jumped =>
                {
                    return Err(format!("the broker closes: {end}"));
                }
                end => check_connection_end(end)?,
            }
        }
        Ok(())
    }

    /// Puts octets on the wire, at most so many. True if there were any.
    pub(super) fn write(&mut self, most: usize) -> bool {
        let octets = self.output.split_to(most.min(self.output.len()));
        self.wire.put(&octets);
        if self.engine.is_ended() && self.output.is_empty() && !self.is_lost {
            self.wire.end();
        }
        !octets.is_empty()
    }

    /// Takes octets from the wire, at most so many. True if there were any.
    pub(super) fn read(
        &mut self,
        most: usize,
        has_jumped: bool,
        desk: &mut Desk<'_>,
    ) -> Result<bool, String> {
        let (octets, is_open) = self.wire.get(most);
        if self.is_lost || self.engine.is_ended() {
            return Ok(!octets.is_empty());
        }
        if octets.is_empty() {
            if !is_open {
                self.lose("the peer ended the stream", has_jumped, desk)?;
                return Ok(true);
            }
            return Ok(false);
        }
        desk.trace.now = desk.now;
        self.monitor.received(&octets, self.is_stale, desk.trace)?;
        self.input.extend_from_slice(&octets);
        self.engine.handle_input(&mut self.input, desk.now);
        self.after(has_jumped, desk)?;
        Ok(true)
    }

    pub(super) fn lose(&mut self, why: &str, has_jumped: bool, desk: &mut Desk<'_>) -> Checked {
        self.note(desk, || format!("loses its connection: {why}"));
        self.is_lost = true;
        self.output.clear();
        desk.books.lost(self.connection);
        self.engine.handle_lost(why);
        self.after(has_jumped, desk)
    }

    /// Whether nothing of this connection is under way, and nothing waits.
    pub(super) fn is_quiet(&self) -> bool {
        self.output.is_empty() && self.wire.is_empty()
    }

    // ---- events -------------------------------------------------------------------------------------------

    fn hear(&mut self, desk: &mut Desk<'_>) -> Checked {
        while let Some(event) = self.engine.poll_event() {
            match event {
                Event::Session(key) => {
                    if let Err(error) = self.engine.check_session(key) {
                        check_session_end(&error)?;
                        self.sessions.retain(|session| *session != key);
                        self.engine.forget_session(key);
                    }
                }
                Event::Link(key) => self.look_at(key, desk)?,
                Event::LinkRequested(_) => return Err("the broker asks for a link".into()),
                Event::Outcome { token, outcome, .. } => self.on_outcome(token, outcome, desk)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn look_at(&mut self, key: LinkKey, desk: &mut Desk<'_>) -> Checked {
        let Some(index) = self.links.iter().position(|link| link.key == key) else { return Ok(()) };
        match self.engine.link_status(key) {
            LinkStatus::Attached => self.links[index].is_attached = true,
            LinkStatus::Ended(error) => {
                self.note(desk, || format!("{key:?} ended: {error}"));
                check_link_end(&error)?;
                self.links.remove(index);
                self.held.retain(|held| held.link != key);
                self.retired.retain(|held| held.link != key);
                self.unheard.retain(|(link, _)| *link != key);
                desk.books.link_ended(self.connection, key);
                self.engine.forget_link(key);
            }
            _ => {}
        }
        Ok(())
    }

    fn on_outcome(&mut self, token: Token, outcome: Option<Outcome>, desk: &mut Desk<'_>) -> Checked {
        self.awaited.remove(&token.0);
        let purpose = *desk.tokens.get(token.0).ok_or("an outcome of nothing")?;
        self.note(desk, || format!("is told of {purpose:?}: {outcome:?}"));
        match purpose {
            Purpose::Message(number) => {
                let told = match outcome {
                    None => Told::Nothing,
                    Some(Outcome::Accepted) => Told::Accepted,
                    Some(Outcome::Rejected(_)) => Told::Rejected,
                    Some(Outcome::Provisional(provisional)) => match provisional.outcome {
                        Outcome::Accepted => Told::Provisional,
                        Outcome::Rejected(_) => Told::Rejected,
                        other => return Err(format!("message {number} is told as {other:?}")),
                    },
                    Some(other) => return Err(format!("message {number} is told as {other:?}")),
                };
                desk.books.told(number, told)
            }
            Purpose::Declare(index) => {
                let transaction = &mut desk.books.transactions[index];
                if transaction.standing != Standing::Declaring {
                    return Ok(());
                }
                transaction.standing = match outcome {
                    Some(Outcome::Other(DeliveryState::Declared(declared))) => {
                        transaction.id = Some(TransactionId::new(declared.txn_id));
                        Standing::Open
                    }
                    None | Some(Outcome::Rejected(_)) => Standing::RolledBack,
                    Some(other) => return Err(format!("a transaction is declared with {other:?}")),
                };
                Ok(())
            }
            Purpose::Discharge(index) => self.on_discharged(index, outcome.as_ref(), desk),
        }
    }

    fn on_discharged(&mut self, index: usize, outcome: Option<&Outcome>, desk: &mut Desk<'_>) -> Checked {
        let transaction = &mut desk.books.transactions[index];
        transaction.standing = match (outcome, transaction.standing) {
            (Some(Outcome::Accepted), Standing::Committing | Standing::Unknown) => Standing::Committed,
            (None, Standing::Committing | Standing::Unknown) => Standing::Unknown,
            (Some(Outcome::Accepted) | None, _) => Standing::RolledBack,
            (Some(Outcome::Rejected(_)), _) => Standing::RolledBack,
            (Some(other), _) => return Err(format!("a transaction is discharged with {other:?}")),
        };
        let standing = transaction.standing;
        let (ended, others) = self.retired.drain(..).partition(|held| held.transaction == Some(index));
        self.retired = others;
        let ended: Vec<Held> = ended;
        if standing != Standing::RolledBack {
            return Ok(());
        }
        for held in ended {
            let link = self.links.iter().find(|link| link.key == held.link);
            // One that has ended is still to be heard of.
            let is_alive = self.engine.link_status(held.link) == LinkStatus::Attached;
            let Some(link) = link.filter(|link| link.is_second && is_alive) else { continue };
            if !self.engine.revert(held.link, held.id) {
                return Err(format!("message {} is not its consumer's after a rollback", held.number));
            }
            self.monitor.reverted(self.engine.channel(link.session), held.id);
            desk.books.reverted(held.number, self.connection, held.link);
            self.held.push(Held { transaction: None, ..held });
        }
        Ok(())
    }

    // ---- deeds --------------------------------------------------------------------------------------------

    /// Does something, by chance.
    pub(super) fn act(&mut self, desk: &mut Desk<'_>) -> Checked {
        self.is_stale = true;
        if self.engine.end().is_some() {
            return Ok(());
        }
        if desk.random.per_mille(desk.plan.closes) {
            let error = reason(desk.random);
            self.note(desk, || format!("closes: {error:?}"));
            self.engine.close(error, desk.now);
            return Ok(());
        }
        if self.sessions.is_empty() {
            return self.begin(desk);
        }
        if self.links.len() < desk.plan.links && desk.random.percent(30) {
            return self.attach(desk);
        }
        if desk.random.percent(desk.plan.churn) {
            return self.give_up(desk);
        }
        match desk.random.below(16) {
            0..5 => self.publish(desk),
            5..8 => self.take(8, desk),
            8..12 => self.settle(desk),
            12..14 => self.control(desk),
            14 => self.change_credit(desk),
            _ => self.begin(desk),
        }
    }

    fn begin(&mut self, desk: &mut Desk<'_>) -> Checked {
        if self.sessions.len() >= desk.plan.sessions {
            return Ok(());
        }
        match self.engine.begin() {
            Ok(key) => {
                self.sessions.push(key);
                Ok(())
            }
            Err(SessionError::TooMany(_) | SessionError::Connection(_)) => Ok(()),
            Err(error) => Err(format!("begin: {error}")),
        }
    }

    fn attach(&mut self, desk: &mut Desk<'_>) -> Checked {
        let queue = desk.random.index(desk.plan.queues);
        let has_control = self.links.iter().any(|link| link.kind == Kind::Control);
        let kind = match desk.random.below(10) {
            0..4 => Kind::Publisher { queue },
            4..8 => Kind::Consumer { queue, is_dead: desk.random.percent(20) },
            _ if has_control || !desk.plan.has_transactions => return Ok(()),
            _ => Kind::Control,
        };
        let credit = draw_credit(desk.random);
        self.attach_as(kind, credit, desk)
    }

    fn attach_as(&mut self, kind: Kind, credit: Credit, desk: &mut Desk<'_>) -> Checked {
        let Some(session) = some(&self.sessions, desk.random).copied() else { return Ok(()) };
        self.next_name += 1;
        let name = format!("link {}", self.next_name);
        let mut options = match kind {
            Kind::Publisher { queue } => LinkOptions::sender(name.clone(), format!("q{queue}")),
            Kind::Consumer { queue, is_dead } => {
                let address = if is_dead { format!("q{queue}.dlq") } else { format!("q{queue}") };
                LinkOptions::receiver(name.clone(), address, credit)
            }
            Kind::Control => {
                let mut options = LinkOptions::sender(name.clone(), "");
                let target = Some(TargetArchetype::Coordinator(Coordinator::new()));
                options.termini = Termini { source: Some(Source::default()), target };
                options
            }
        };
        let is_receiver = options.role == Role::Receiver;
        let is_second = desk.random.percent(40);
        if is_second {
            options.rcv_settle_mode = ReceiverSettleMode::Second;
        }
        self.monitor.expect_credit(&name, whole(credit).filter(|_| is_receiver));
        match self.engine.attach(session, options) {
            Ok(key) => {
                self.note(desk, || {
                    format!("attaches {name} as {kind:?}, second {is_second}, {credit:?}: {key:?}")
                });
                self.links.push(Link {
                    key,
                    session,
                    kind,
                    is_attached: false,
                    is_second: is_second && is_receiver,
                    is_paused: false,
                    credit,
                });
                Ok(())
            }
            Err(LinkError::TooMany(_) | LinkError::Session(_)) => Ok(()),
            Err(error) => Err(format!("attach: {error}")),
        }
    }

    fn give_up(&mut self, desk: &mut Desk<'_>) -> Checked {
        if desk.random.percent(20) {
            let Some(key) = some(&self.sessions, desk.random).copied() else { return Ok(()) };
            self.note(desk, || format!("ends {key:?}"));
            self.engine.end_session(key, None);
            return Ok(());
        }
        let keys: Vec<_> = self.links.iter().map(|link| link.key).collect();
        let Some(key) = some(&keys, desk.random).copied() else { return Ok(()) };
        self.note(desk, || format!("detaches {key:?}"));
        self.engine.detach(key, desk.random.percent(70), None);
        Ok(())
    }

    fn some_link(&self, random: &mut Random, which: impl Fn(&Link) -> bool) -> Option<usize> {
        let fitting: Vec<_> = (0..self.links.len())
            .filter(|index| self.links[*index].is_attached && which(&self.links[*index]))
            .collect();
        some(&fitting, random).copied()
    }

    /// An open transaction of this connection.
    fn transaction(&self, desk: &mut Desk<'_>) -> Option<(usize, TransactionId)> {
        let open: Vec<_> = desk
            .books
            .transactions
            .iter()
            .enumerate()
            .filter(|(_, known)| known.connection == self.connection && known.standing == Standing::Open)
            .filter_map(|(index, known)| Some((index, known.id.clone()?)))
            .collect();
        some(&open, desk.random).cloned()
    }

    fn token(&mut self, purpose: Purpose, link: LinkKey, desk: &mut Desk<'_>) -> Token {
        let token = desk.tokens.len();
        desk.tokens.push(purpose);
        self.awaited.insert(token, link);
        Token(token)
    }

    fn publish(&mut self, desk: &mut Desk<'_>) -> Checked {
        let publisher = self.some_link(desk.random, |link| matches!(link.kind, Kind::Publisher { .. }));
        let Some(index) = publisher else { return Ok(()) };
        let Link { key, kind: Kind::Publisher { queue }, .. } = self.links[index] else { return Ok(()) };
        for _ in 0..desk.random.between(1, desk.plan.burst) {
            if self.engine.credit(key).map_err(|error| error.to_string())? == 0 {
                break;
            }
            let transaction = self.transaction(desk).filter(|_| desk.random.percent(60));
            let settled = transaction.is_none() && desk.random.percent(15);
            let most = if desk.random.percent(20) { desk.plan.message } else { 40 };
            let len = desk.random.index(most);
            let within = transaction.as_ref().map(|(index, _)| *index);
            let (number, payload) = desk.books.post(queue, len, settled, within);
            let token =
                if settled { Token(usize::MAX) } else { self.token(Purpose::Message(number), key, desk) };
            let mut delivery = OutgoingDelivery::new(payload, token);
            delivery.settled = settled;
            delivery.state = transaction.map(|(_, id)| Box::new(id.state(None)));
            self.note(desk, || {
                format!("publishes {number} of {len} to q{queue}, settled {settled}, {within:?}")
            });
            self.engine.send(key, delivery).map_err(|error| format!("not sent: {error}"))?;
            if settled {
                self.unheard.push((key, number));
            }
        }
        Ok(())
    }

    fn take(&mut self, most: u32, desk: &mut Desk<'_>) -> Checked {
        let consumer = self.some_link(desk.random, |link| matches!(link.kind, Kind::Consumer { .. }));
        match consumer {
            Some(index) => self.take_from(index, most, desk).map(|_| ()),
            None => Ok(()),
        }
    }

    fn take_from(&mut self, index: usize, most: u32, desk: &mut Desk<'_>) -> Result<bool, String> {
        let Link { key, kind: Kind::Consumer { queue, is_dead }, .. } = self.links[index] else {
            return Ok(false);
        };
        let mut has_taken = false;
        for _ in 0..most {
            let taken = self.engine.take(key).map_err(|error| format!("nothing to take: {error}"))?;
            let Some(delivery) = taken else { break };
            has_taken = true;
            if delivery.settled {
                return Err("a message comes settled".into());
            }
            let number = desk.books.arrived(&delivery.payload, queue, is_dead, (self.connection, key))?;
            self.note(desk, || format!("takes {number} from {key:?}, delivery {}", delivery.id.value()));
            if !self.engine.is_unsettled(key, delivery.id) {
                return Err(format!("message {number} is settled before its verdict"));
            }
            self.held.push(Held { link: key, id: delivery.id, number, transaction: None });
        }
        Ok(has_taken)
    }

    fn settle(&mut self, desk: &mut Desk<'_>) -> Checked {
        for _ in 0..desk.random.between(1, 10) {
            if self.held.is_empty() {
                break;
            }
            let index = if desk.random.percent(60) { 0 } else { desk.random.index(self.held.len()) };
            let held = self.held.remove(index);
            self.decide(held, desk)?;
        }
        Ok(())
    }

    fn decide(&mut self, held: Held, desk: &mut Desk<'_>) -> Checked {
        let modified = |delivery_failed, undeliverable_here| {
            Outcome::Modified(Modified { delivery_failed, undeliverable_here, ..Modified::default() })
        };
        let (outcome, is_dead) = match desk.random.below(100) {
            0..55 => (Outcome::Accepted, false),
            55..62 => (Outcome::Released, false),
            62..70 => (Outcome::Rejected(None), true),
            70..75 => (modified(true, false), false),
            75..79 => (modified(false, true), true),
            79..82 => (Outcome::Unspecified, false),
            _ => match self.transaction(desk) {
                Some((index, id)) => return self.retire(held, index, id, desk),
                None => (Outcome::Accepted, false),
            },
        };
        self.note(desk, || format!("decides on {}: {outcome}", held.number));
        let is_accepted = outcome == Outcome::Accepted;
        self.engine
            .settle(held.link, held.id, outcome)
            .map_err(|error| format!("message {} cannot be settled: {error}", held.number))?;
        if is_accepted {
            desk.books.accepted(held.number, self.connection);
        } else {
            desk.books.returned(held.number, self.connection, is_dead);
        }
        Ok(())
    }

    /// Accepts a message within a transaction.
    fn retire(&mut self, held: Held, index: usize, id: TransactionId, desk: &mut Desk<'_>) -> Checked {
        self.note(desk, || format!("accepts {} within transaction {index}", held.number));
        let outcome = Outcome::Provisional(Box::new(Provisional::new(id, Outcome::Accepted)));
        self.engine
            .settle(held.link, held.id, outcome)
            .map_err(|error| format!("message {} cannot be retired: {error}", held.number))?;
        if self.engine.settle(held.link, held.id, Outcome::Accepted) != Err(SettleError::Revoked) {
            return Err(format!("message {} could be settled within a transaction and outside", held.number));
        }
        desk.books.retired(held.number, index);
        self.retired.push(Held { transaction: Some(index), ..held });
        Ok(())
    }

    /// Declares a transaction, or discharges one.
    fn control(&mut self, desk: &mut Desk<'_>) -> Checked {
        let control = self.some_link(desk.random, |link| link.kind == Kind::Control);
        let Some(index) = control else { return Ok(()) };
        let key = self.links[index].key;
        if self.engine.credit(key).map_err(|error| error.to_string())? == 0 {
            return Ok(());
        }
        let open = self.transaction(desk).filter(|_| desk.random.percent(60));
        if let Some((index, id)) = open {
            return self.discharge(key, index, &id, desk.random.percent(30), desk);
        }
        let index = desk.books.declare(self.connection, key);
        self.note(desk, || format!("declares transaction {index}"));
        let token = self.token(Purpose::Declare(index), key, desk);
        let message = Control::Declare(Declare::new()).to_message();
        self.engine.send(key, OutgoingDelivery::new(message, token)).map_err(|error| error.to_string())?;
        Ok(())
    }

    fn discharge(
        &mut self,
        control: LinkKey,
        index: usize,
        id: &TransactionId,
        is_rollback: bool,
        desk: &mut Desk<'_>,
    ) -> Checked {
        self.note(desk, || format!("discharges transaction {index}, rollback {is_rollback}"));
        desk.books.transactions[index].standing =
            if is_rollback { Standing::RollingBack } else { Standing::Committing };
        let mut discharge = Discharge::new(id.octets().clone());
        discharge.fail = Some(is_rollback);
        let token = self.token(Purpose::Discharge(index), control, desk);
        let message = Control::Discharge(discharge).to_message();
        self.engine
            .send(control, OutgoingDelivery::new(message, token))
            .map_err(|error| error.to_string())?;
        Ok(())
    }

    fn change_credit(&mut self, desk: &mut Desk<'_>) -> Checked {
        let consumer = self.some_link(desk.random, |link| matches!(link.kind, Kind::Consumer { .. }));
        let Some(index) = consumer else { return Ok(()) };
        let link = &mut self.links[index];
        let changed = match (link.credit, desk.random.below(4)) {
            (Credit::Manual, 0..3) => self.engine.set_credit(link.key, desk.random.pick(&[0, 1, 5, 300])),
            (_, 3) => {
                link.is_paused = true;
                self.engine.drain(link.key)
            }
            _ if link.is_paused => {
                link.is_paused = false;
                self.engine.resume(link.key)
            }
            _ => {
                link.is_paused = true;
                self.engine.pause(link.key)
            }
        };
        changed.map_err(|error| format!("credit cannot be changed: {error}"))
    }

    // ---- the end ------------------------------------------------------------------------------------------

    /// Takes and decides everything, and discharges every transaction. True if there was anything to do.
    pub(super) fn finish(&mut self, desk: &mut Desk<'_>) -> Result<bool, String> {
        let mut has_acted = false;
        for index in 0..self.links.len() {
            if self.links[index].is_attached {
                has_acted |= self.take_from(index, u32::MAX, desk)?;
            }
        }
        for held in std::mem::take(&mut self.held) {
            has_acted = true;
            self.decide(held, desk)?;
        }
        let control = self.some_link(desk.random, |link| link.kind == Kind::Control);
        let key = control.map(|index| self.links[index].key);
        while let Some(key) = key
            && self.engine.credit(key).is_ok_and(|credit| credit > 0)
            && let Some((index, id)) = self.transaction(desk)
        {
            has_acted = true;
            let is_rollback = desk.random.percent(30);
            self.discharge(key, index, &id, is_rollback, desk)?;
        }
        self.is_stale = true;
        Ok(has_acted)
    }

    /// A consumer of everything that is left in a queue.
    pub(super) fn drain(&mut self, queue: usize, is_dead: bool, desk: &mut Desk<'_>) -> Checked {
        self.attach_as(Kind::Consumer { queue, is_dead }, Credit::Auto(200), desk)
    }

    /// Accepts everything that comes. True if anything came.
    pub(super) fn accept_all(&mut self, desk: &mut Desk<'_>) -> Result<bool, String> {
        let mut has_acted = false;
        for index in 0..self.links.len() {
            if self.links[index].is_attached {
                has_acted |= self.take_from(index, u32::MAX, desk)?;
            }
        }
        for held in std::mem::take(&mut self.held) {
            self.engine.settle(held.link, held.id, Outcome::Accepted).map_err(|error| error.to_string())?;
            desk.books.accepted(held.number, self.connection);
        }
        self.is_stale = true;
        Ok(has_acted)
    }

    pub(super) fn open_session(&mut self, desk: &mut Desk<'_>) -> Checked {
        self.is_stale = true;
        self.begin(desk)
    }

    pub(super) fn close(&mut self, desk: &mut Desk<'_>) {
        self.is_stale = true;
        self.engine.close(None, desk.now);
    }

    // ---- judgement ----------------------------------------------------------------------------------------

    /// Nothing is under way: what was asked is answered, what was sent is decided.
    pub(super) fn check_quiet(&mut self, desk: &mut Desk<'_>) -> Checked {
        if self.engine.end().is_some() {
            return Ok(());
        }
        self.monitor.check_rest()?;
        for link in &self.links {
            if !link.is_attached {
                return Err(format!("{:?} is never attached", link.key));
            }
            if self.engine.is_drain_pending(link.key) != Ok(false) {
                return Err(format!("the drain of {:?} does not end", link.key));
            }
        }
        for (token, link) in &self.awaited {
            if self.engine.is_sent(*link) {
                return Err(format!("nothing is told of {:?}", desk.tokens[*token]));
            }
        }
        let engine = &self.engine;
        for (_, number) in self.unheard.extract_if(.., |(link, _)| {
            engine.link_status(*link) == LinkStatus::Attached && engine.is_sent(*link)
        }) {
            desk.books.heard(number);
        }
        Ok(())
    }

    /// Whether a consumer of a queue has asked for messages that do not come.
    pub(super) fn is_hungry(&self, of: usize, of_dead: bool) -> bool {
        self.engine.end().is_none()
            && self.links.iter().any(|link| {
                link.kind == Kind::Consumer { queue: of, is_dead: of_dead }
                    && self.engine.link_stats(link.key).credit > 0
            })
    }

    /// The connection is over: nothing is held.
    pub(super) fn leave(&mut self, desk: &mut Desk<'_>) -> Checked {
        self.hear(desk)?;
        if let Some(link) = self.links.first() {
            return Err(format!("{:?} was never heard to end", link.key));
        }
        if !self.awaited.is_empty() {
            return Err(format!("the connection is over, and nothing is told of {:?}", self.awaited));
        }
        let usage = self.engine.usage();
        if usage != Usage::default() {
            return Err(format!("it is over and holds {usage:?}"));
        }
        Ok(())
    }
}
