//! What an application does with sessions and links: it begins and ends them, attaches, answers, refuses, steals, detaches.

use super::{App, Checked, Desk, Link, State, Suspended};
use crate::draw::{draw_credit, reason, some, whole};
use crate::honesty::check_link_end;
use crate::trace::Who;
use amqp_codec::messaging::{Source, Target, TargetArchetype};
use amqp_codec::transport::{ErrorInfo, ReceiverSettleMode, Role, SenderSettleMode, conditions};
use amqp_codec::types::{Fields, Symbol, Value};
use amqp_transport::engine::{AbortPolicy, LinkAnswer, LinkKey, LinkOptions, SessionKey, Termini};
use amqp_transport::{LinkError, SessionError};

impl App {
    pub(super) fn begin(&mut self, desk: &mut Desk<'_>) -> Checked {
        // A listener begins sessions only where two that cross do not fight for the last channel.
        let room = desk.plan.limits.iter().all(|limits| limits.channel_max > 100);
        if self.sessions.len() >= desk.plan.sessions || (self.who == Who::Listener && !room) {
            return Ok(());
        }
        match desk.engine.begin() {
            Ok(key) => {
                desk.trace.note(Some(self.who), || format!("begins {key:?}"));
                self.sessions.push(key);
                Ok(())
            }
            Err(SessionError::TooMany(_) | SessionError::Connection(_)) => Ok(()),
            Err(error) => Err(format!("begin: {error}")),
        }
    }

    pub(super) fn end(&mut self, desk: &mut Desk<'_>) -> Checked {
        let Some(key) = some(&self.sessions, desk.random).copied() else { return Ok(()) };
        let error = reason(desk.random);
        desk.trace.note(Some(self.who), || format!("ends {key:?}: {error:?}"));
        self.give_up(desk, |link| link.session == key);
        if error.is_none() && desk.random.percent(30) {
            desk.engine.forget_session(key);
            self.sessions.retain(|session| *session != key);
        } else {
            desk.engine.end_session(key, error);
        }
        Ok(())
    }

    /// Asks for a session and a link before the peer has opened (§2.4.5).
    pub(crate) fn pipeline(&mut self, desk: &mut Desk<'_>) -> Checked {
        if !self.sessions.is_empty() {
            return Ok(());
        }
        match desk.engine.begin() {
            Ok(key) => {
                desk.trace.note(Some(self.who), || format!("begins {key:?} before the peer has opened"));
                self.sessions.push(key);
                self.attach(desk)
            }
            // It has not opened itself, or is over.
            Err(SessionError::Connection(_)) => Ok(()),
            Err(error) => Err(format!("begin: {error}")),
        }
    }

    /// The peer attaches a link of this name again: the first one is over (§2.6.1).
    pub(super) fn yield_to(&mut self, key: LinkKey, desk: &mut Desk<'_>) -> Checked {
        let Some(thief) = self.links.iter().find(|link| link.key == key) else { return Ok(()) };
        let (name, role) = (desk.ledger.stories[thief.story].name.clone(), thief.role);
        let is_stolen = |link: &Link| {
            link.key != key
                && link.role == role
                && link.is_attached()
                && desk.ledger.stories[link.story].name == name
        };
        let Some(index) = self.links.iter().position(is_stolen) else { return Ok(()) };
        let (stolen, story) = (self.links[index].key, self.links[index].story);
        desk.trace.note(Some(self.who), || format!("{name} is stolen: {stolen:?} by {key:?}"));
        self.give_up(desk, |link| link.key == stolen);
        let error = ErrorInfo::new(conditions::STOLEN, "the link was attached again elsewhere");
        desk.ledger.stories[story].parting[self.who.index()] = Some(Some(error));
        desk.engine.steal(stolen);
        self.look_at(index, desk)
    }

    /// Notes that links are given up here: verdicts may be lost from now on.
    pub(crate) fn give_up(&self, desk: &mut Desk<'_>, which: impl Fn(&Link) -> bool) {
        for link in self.links.iter().filter(|link| which(link)) {
            let story = &mut desk.ledger.stories[link.story];
            match link.role {
                Role::Sender => story.is_lossy = true,
                Role::Receiver => story.is_given_up = true,
            }
        }
    }

    pub(super) fn attach(&mut self, desk: &mut Desk<'_>) -> Checked {
        // A listener asks for links only where two requests that cross do not fight for the last handle.
        let room = desk.plan.limits.iter().all(|limits| limits.handle_max > 100);
        if self.links.iter().filter(|link| link.is_own).count() >= desk.plan.links
            || (self.who == Who::Listener && !(room && desk.random.percent(10)))
        {
            return Ok(());
        }
        let mut begun = self.sessions.clone();
        // One link may be asked for before the session is answered (§2.5.1).
        let is_hasty = desk.random.percent(20);
        begun.retain(|key| desk.engine.check_session(*key).is_ok_and(|is_begun| is_begun || is_hasty));
        let Some(session) = some(&begun, desk.random).copied() else { return Ok(()) };
        if desk.random.percent(80)
            && let Some(suspended) = self.own_suspended(desk)
        {
            return self.attach_again(session, suspended, desk);
        }
        let mut role = desk.random.pick(&[Role::Sender, Role::Receiver]);
        let stolen = self
            .some_link(desk.random, |link| link.is_own && link.is_attached() && link.resumable.is_none())
            .filter(|index| {
                // One thief at a time.
                let is_same = |other: &&Link| {
                    desk.ledger.stories[other.story].name
                        == desk.ledger.stories[self.links[*index].story].name
                };
                self.links.iter().filter(is_same).count() == 1
            });
        let free = self.free_names.iter().position(|(_, free)| *free == role);
        let name = match (stolen.filter(|_| desk.random.percent(10)), free) {
            (Some(index), _) => {
                role = self.links[index].role;
                desk.ledger.stories[self.links[index].story].name.clone()
            }
            (None, Some(index)) if desk.random.percent(50) => self.free_names.swap_remove(index).0,
            (None, _) => {
                format!("{}-{}", if self.who == Who::Client { 'c' } else { 'l' }, desk.ledger.stories.len())
            }
        };
        let snd = desk.random.pick(&[
            SenderSettleMode::Mixed,
            SenderSettleMode::Unsettled,
            SenderSettleMode::Settled,
        ]);
        let rcv = desk.random.pick(&[ReceiverSettleMode::First, ReceiverSettleMode::Second]);
        let is_stolen = self.links.iter().any(|link| desk.ledger.stories[link.story].name == name);
        let is_resumable = !is_stolen && !desk.plan.is_queue && desk.random.percent(desk.plan.resumes);
        self.attach_as((name, role, (snd, rcv)), session, is_resumable, None, desk)
    }

    /// Resumes a link.
    fn attach_again(&mut self, session: SessionKey, suspended: Suspended, desk: &mut Desk<'_>) -> Checked {
        let wish = (suspended.name.clone(), suspended.role, suspended.modes);
        self.attach_as(wish, session, true, Some(suspended), desk)
    }

    fn attach_as(
        &mut self,
        (name, role, (snd, rcv)): (String, Role, (SenderSettleMode, ReceiverSettleMode)),
        session: SessionKey,
        is_resumable: bool,
        suspended: Option<Suspended>,
        desk: &mut Desk<'_>,
    ) -> Checked {
        let credit = draw_credit(desk.random);
        let mut options = match role {
            Role::Sender => LinkOptions::sender(name.clone(), "node"),
            Role::Receiver => LinkOptions::receiver(name.clone(), "node", credit),
        };
        let sender = if role == Role::Sender { self.who } else { self.who.other() };
        let story = desk.ledger.open(name.clone(), sender, (snd, rcv));
        options.snd_settle_mode = snd;
        options.rcv_settle_mode = rcv;
        let mut resumable = None;
        if is_resumable {
            let (resumption, known) = Self::resumption(suspended.as_ref(), story, role, desk);
            (options.resumption, resumable) = (Some(resumption), Some(known));
        }
        options.streams = role == Role::Receiver && !is_resumable && desk.random.percent(desk.plan.streams);
        options.abort_policy = abort_policy(desk);
        let (streams, abort_policy) = (options.streams, options.abort_policy);
        let mut properties = Fields::default();
        properties.insert(Symbol::from_static("story"), Value::Ulong(u64::try_from(story).unwrap_or(0)));
        options.properties = Some(properties);
        desk.monitor.expect_credit(&name, whole(credit).filter(|_| role == Role::Receiver));
        match desk.engine.attach(session, options) {
            Ok(key) => {
                desk.trace.note(Some(self.who), || {
                    format!("attaches {name} as {role:?}, resumed {}, {snd:?}, {rcv:?}, {credit:?}, streams {streams}: {key:?}", suspended.is_some())
                });
                self.links.push(Link {
                    key,
                    session,
                    story,
                    role,
                    state: State::Pending,
                    is_own: true,
                    credit,
                    streams,
                    abort_policy,
                    resumable,
                    is_paused: false,
                    is_blocked: false,
                    is_empty: false,
                });
                Ok(())
            }
            Err(LinkError::TooMany(_)) => {
                self.suspended.extend(suspended);
                Ok(())
            }
            Err(error) => Err(format!("attach: {error}")),
        }
    }

    /// Answers a request, usually with yes.
    pub(super) fn answer(&mut self, desk: &mut Desk<'_>) -> Checked {
        let Some(index) = self.links.iter().position(|link| link.state == State::Requested) else {
            return Ok(());
        };
        let (key, story) = (self.links[index].key, self.links[index].story);
        if desk.random.percent(15) {
            let error = ErrorInfo::new(conditions::NOT_FOUND, "no such node");
            desk.trace.note(Some(self.who), || format!("refuses {}", desk.ledger.stories[story].name));
            desk.ledger.stories[story].parting[self.who.index()] = Some(Some(error.clone()));
            desk.engine.refuse(key, error);
            return self.look_at(index, desk);
        }
        let credit = draw_credit(desk.random);
        let termini = match self.links[index].role {
            Role::Sender => Termini { source: Some(Source::new("real")), target: None },
            Role::Receiver => {
                Termini { source: None, target: Some(TargetArchetype::Target(Target::new("real"))) }
            }
        };
        let name = desk.ledger.stories[story].name.clone();
        desk.trace.note(Some(self.who), || format!("accepts {name} with {credit:?}"));
        if self.links[index].role == Role::Receiver {
            desk.monitor.expect_credit(&name, whole(credit));
        }
        let mut answer = LinkAnswer::default();
        (answer.termini, answer.credit) = (termini, credit);
        // A queue answers for what it has whole.
        answer.streams = self.store.is_none() && desk.random.percent(desk.plan.streams);
        answer.abort_policy = abort_policy(desk);
        let role = self.links[index].role;
        let kept = self.kept(&name, role);
        if desk.ledger.stories[story].is_resumable {
            let is_resumed = desk.engine.remote_attach(key).is_some_and(|attach| attach.unsettled.is_some());
            let kept = kept.filter(|_| is_resumed);
            let (resumption, known) = Self::resumption(kept.as_ref(), story, role, desk);
            answer.streams = false;
            answer.resumption = Some(resumption);
            self.links[index].resumable = Some(known);
        }
        let (streams, abort_policy) = (answer.streams, answer.abort_policy);
        match desk.engine.accept_with(key, answer) {
            Ok(()) => {
                desk.ledger.stories[story].is_accepted = true;
                self.resolve(index, desk)?;
                let link = &mut self.links[index];
                (link.state, link.credit) = (State::Attached, credit);
                link.streams = streams && link.role == Role::Receiver;
                link.abort_policy = abort_policy;
                Ok(())
            }
            Err(error) => check_link_end(&error).and_then(|()| self.look_at(index, desk)),
        }
    }

    pub(super) fn detach(&mut self, desk: &mut Desk<'_>) -> Checked {
        let Some(index) =
            self.some_link(desk.random, |link| matches!(link.state, State::Attached | State::Pending))
        else {
            return Ok(());
        };
        let (key, story) = (self.links[index].key, self.links[index].story);
        let error = reason(desk.random);
        let closed = desk.random.percent(70);
        let name = desk.ledger.stories[story].name.clone();
        desk.trace.note(Some(self.who), || format!("detaches {name}, closed {closed}: {error:?}"));
        self.give_up(desk, |link| link.key == key);
        desk.ledger.stories[story].parting[self.who.index()] = Some(error.clone());
        desk.engine.detach(key, closed, error);
        self.look_at(index, desk)
    }

    /// Forgets all links that are over.
    pub(super) fn forget(&mut self, desk: &mut Desk<'_>) -> Checked {
        let mut rest = Vec::new();
        for link in &self.links {
            let name = &desk.ledger.stories[link.story].name;
            let is_detached = desk.engine.is_link_detached(link.key);
            let is_kept = self.suspended.iter().any(|kept| kept.name == *name);
            // The name of one that can be resumed is taken until the peer has detached it too.
            if link.state != State::Ended || (is_kept && !is_detached) {
                rest.push(link.key);
                continue;
            }
            let is_stolen = self
                .links
                .iter()
                .any(|other| other.key != link.key && desk.ledger.stories[other.story].name == *name);
            if link.is_own && !is_stolen && !is_kept && is_detached {
                self.free_names.push((name.clone(), link.role));
            }
            desk.engine.forget_link(link.key);
        }
        self.links.retain(|link| rest.contains(&link.key));
        Ok(())
    }
}

fn abort_policy(desk: &mut Desk<'_>) -> AbortPolicy {
    if desk.random.percent(10) { AbortPolicy::Detach } else { AbortPolicy::Abort }
}
