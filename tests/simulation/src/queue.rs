//! A queue as an application: it keeps what it accepts, hands it out, and takes back what is not accepted. Its books outlive the
//! connection: an accepted message is in exactly one place, whatever breaks.

use crate::app::{App, Desk};
use crate::ledger::{Ledger, Payload};
use crate::random::Random;
use amqp_codec::transport::{ErrorInfo, Role, conditions};
use amqp_transport::Outcome;
use amqp_transport::engine::Token;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A message: the link that brought it, and its number there.
type Message = (usize, usize);

/// The messages of a queue.
#[derive(Debug, Default)]
pub(crate) struct Store {
    /// All that were ever accepted.
    accepted: BTreeSet<Message>,
    ready: VecDeque<Message>,
    /// Handed out and not decided.
    out: BTreeMap<usize, Message>,
    consumed: BTreeSet<Message>,
    dead: BTreeSet<Message>,
}

impl Store {
    /// A message came; if it is settled, it is the queue's at once.
    pub(crate) fn on_delivery(&mut self, message: Message, is_settled: bool) {
        if is_settled {
            self.keep(message);
        }
    }

    fn keep(&mut self, message: Message) {
        self.accepted.insert(message);
        self.ready.push_back(message);
    }

    /// What becomes of a message: it is the queue's before its sender can know.
    pub(crate) fn decide(&mut self, message: Message, random: &mut Random) -> Outcome {
        if random.percent(10) {
            return Outcome::Rejected(Some(ErrorInfo::new(conditions::RESOURCE_LIMIT_EXCEEDED, "full")));
        }
        self.keep(message);
        Outcome::Accepted
    }

    /// The consumer, or the end of its link, decided.
    pub(crate) fn on_outcome(&mut self, token: Token, outcome: Option<&Outcome>) {
        let Some(message) = self.out.remove(&token.0) else { return };
        match outcome {
            Some(Outcome::Accepted | Outcome::Unspecified) => {
                self.consumed.insert(message);
            }
            Some(Outcome::Rejected(_)) => {
                self.dead.insert(message);
            }
            _ => self.ready.push_front(message),
        }
    }

    /// Hands messages to whoever has credit.
    pub(crate) fn serve(&mut self, app: &mut App, desk: &mut Desk<'_>) -> Result<(), String> {
        for index in 0..app.links.len() {
            if app.links[index].role != Role::Sender || !app.links[index].is_attached() {
                continue;
            }
            while let Some(message) = self.ready.pop_front() {
                let payload = Payload::draw(desk.random, desk.plan.message);
                let token = desk.ledger.next_token();
                if !app.send_on(index, payload, false, desk)? {
                    self.ready.push_front(message);
                    break;
                }
                self.out.insert(token.0, message);
            }
        }
        Ok(())
    }

    /// Every accepted message is in exactly one place.
    pub(crate) fn check(&self) -> Result<(), String> {
        let out: BTreeSet<_> = self.out.values().copied().collect();
        let ready: BTreeSet<_> = self.ready.iter().copied().collect();
        let places = [&ready, &out, &self.consumed, &self.dead];
        for message in &self.accepted {
            let found = places.iter().filter(|place| place.contains(message)).count();
            if found != 1 {
                return Err(format!("the queue's message {message:?} is in {found} places"));
            }
        }
        if ready.len() != self.ready.len() || out.len() != self.out.len() {
            return Err("a message is twice in the queue".into());
        }
        Ok(())
    }

    /// No connection is left: nothing is handed out any more, and what publishers were told is true.
    pub(crate) fn check_home(&self, ledger: &Ledger) -> Result<(), String> {
        if let Some(lost) = ledger.accepted_from_client().find(|message| !self.accepted.contains(message)) {
            return Err(format!("message {lost:?} was confirmed, and the queue does not know it"));
        }
        match self.out.values().next() {
            Some(message) => {
                Err(format!("the queue's message {message:?} was handed out, and its outcome never told"))
            }
            None => self.check(),
        }
    }
}
