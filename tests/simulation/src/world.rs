//! Two engines, their applications and the network between them, step by step under one clock.

use crate::app::{App, Desk};
use crate::honesty::check_connection_end;
use crate::ledger::Ledger;
use crate::monitor::Monitor;
use crate::plan::Plan;
use crate::queue::Store;
use crate::random::Random;
use crate::trace::{Trace, Who};
use amqp_codec::transport::{Open, conditions};
use amqp_transport::ConnectionError;
use amqp_transport::engine::{Engine, Side as End, StaticCredentials, Usage};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the clock of an end that cannot write waits before it looks again.
const STUCK_PAUSE: Duration = Duration::from_millis(500);

/// How long output is left to be taken later.
const LAZY_PAUSE: Duration = Duration::from_millis(5);

/// Rounds within which everything has to come to rest.
const ROUNDS: u32 = 20_000;

type Checked = Result<(), String>;

/// Octets on their way in one direction.
#[derive(Debug, Default)]
struct Pipe {
    chunks: VecDeque<(Instant, Bytes)>,
    len: usize,
    /// The sending side has ended the stream.
    is_shut: bool,
}

/// One end: an engine, its witness, and who uses it.
struct Place {
    engine: Engine,
    monitor: Monitor,
    app: App,
    input: BytesMut,
    /// Something was done since output was last taken.
    is_stale: bool,
    /// When octets last came.
    last_heard: Instant,
    /// When the engine is next to be asked by the clock.
    wake: Option<Instant>,
    /// The network is gone, and it is to be told then.
    lost_at: Option<Instant>,
    is_lost: bool,
}

/// What a run counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Report {
    /// Deliveries that arrived whole.
    pub deliveries: u64,
    /// Outcomes that senders were told.
    pub outcomes: u64,
    /// Frames with a performative.
    pub frames: u64,
    /// Transfer frames.
    pub transfers: u64,
    /// Connections that were made.
    pub connections: u64,
    /// Connections that the network cut.
    pub cuts: u64,
}

pub(crate) struct World {
    random: Random,
    plan: Plan,
    pub(crate) trace: Trace,
    now: Instant,
    ends: [Place; 2],
    /// The pipe at an index carries what that end sends.
    pipes: [Pipe; 2],
    ledger: Ledger,
    report: Report,
    /// The clock has jumped on this connection: time-outs may have passed.
    has_jumped: bool,
    /// No more deeds but those that bring everything home.
    is_resting: bool,
}

impl World {
    pub(crate) fn new(seed: u64, is_traced: bool) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::draw(&mut random);
        let now = Instant::now();
        let store = plan.is_queue.then(Store::default);
        let ends = [new_end(Who::Client, &plan, now, None), new_end(Who::Listener, &plan, now, store)];
        let mut trace = Trace::new(is_traced, now);
        trace.note(None, || format!("{plan:?}"));
        Self {
            random,
            plan,
            trace,
            now,
            ends,
            pipes: [Pipe::default(), Pipe::default()],
            ledger: Ledger::default(),
            report: Report { connections: 1, ..Report::default() },
            has_jumped: false,
            is_resting: false,
        }
    }

    /// The whole run.
    pub(crate) fn run(&mut self) -> Result<Report, String> {
        self.start()?;
        if self.random.percent(85) {
            self.come_to_rest()?;
        }
        for step in 1..=self.plan.steps {
            self.trace.step = step;
            self.step()?;
        }
        self.trace.step += 1;
        self.is_resting = true;
        self.come_to_rest()?;
        self.check_rest()?;
        self.part()?;
        self.report.deliveries = self.ledger.arrived;
        self.report.outcomes = self.ledger.told;
        Ok(self.report)
    }

    fn step(&mut self) -> Checked {
        if self.random.per_mille(self.plan.cuts) {
            self.cut();
        }
        if self.random.per_mille(self.plan.jumps) {
            self.jump()?;
        }
        match self.random.below(20) {
            0..5 => self.deliver(Who::Client)?,
            5..10 => self.deliver(Who::Listener)?,
            10 => {
                let pause = Duration::from_micros(self.random.pick(&[10, 500, 5_000, 40_000, 300_000]));
                self.pass(pause)?;
            }
            _ => {
                let who = self.random.pick(&Who::BOTH);
                if self.ends[who.index()].engine.peer().is_some() {
                    for _ in 0..self.random.between(1, 4) {
                        self.with(who, App::act)?;
                        self.with(who, App::hear)?;
                    }
                    let is_lazy = self.random.percent(self.plan.lazy);
                    self.after(who, is_lazy)?;
                } else if who == Who::Client {
                    self.pipeline()?;
                    self.after(who, false)?;
                }
            }
        }
        if self.is_over() && self.random.percent(30) {
            self.reconnect()?;
        }
        Ok(())
    }

    // ---- engines ------------------------------------------------------------------------------------------

    /// Lets an application work.
    fn with<R>(
        &mut self,
        who: Who,
        work: impl FnOnce(&mut App, &mut Desk<'_>) -> Result<R, String>,
    ) -> Result<R, String> {
        let end = &mut self.ends[who.index()];
        self.trace.now = self.now;
        end.is_stale = true;
        let mut desk = Desk {
            engine: &mut end.engine,
            monitor: &mut end.monitor,
            ledger: &mut self.ledger,
            random: &mut self.random,
            trace: &mut self.trace,
            plan: &self.plan,
            now: self.now,
        };
        work(&mut end.app, &mut desk)
    }

    /// After anything that an engine was given or asked: events, output, deadline, bounds.
    fn after(&mut self, who: Who, is_lazy: bool) -> Checked {
        if !is_lazy {
            self.look_at_clock(who)?;
        }
        self.with(who, App::hear)?;
        let is_stuck = self.pipes[who.index()].len >= self.plan.capacity;
        let end = &mut self.ends[who.index()];
        if end.engine.is_ended() || !(is_stuck || is_lazy) {
            self.take_output(who)?;
            // Taking output may have made room, and told so.
            self.with(who, App::hear)?;
            self.with(who, App::check_told)?;
            self.ends[who.index()].is_stale = false;
        }
        let end = &mut self.ends[who.index()];
        let deadline = end.engine.deadline();
        end.wake = match (is_lazy, is_stuck) {
            (true, _) => Some(self.now + LAZY_PAUSE),
            (_, true) => deadline.map(|deadline| deadline.max(self.now + STUCK_PAUSE)),
            _ => deadline,
        };
        self.check_bounds(who)
    }

    fn take_output(&mut self, who: Who) -> Checked {
        let end = &mut self.ends[who.index()];
        let mut output = VecDeque::new();
        end.engine.poll_output(&mut output, self.now);
        self.trace.now = self.now;
        let mut ready = self.now + delay(&mut self.random, &self.plan);
        let pipe = &mut self.pipes[who.index()];
        if let Some((last, _)) = pipe.chunks.back() {
            ready = ready.max(*last);
        }
        for chunk in output {
            end.monitor.sent(&chunk, &mut self.trace)?;
            if !end.is_lost && end.lost_at.is_none() && !chunk.is_empty() {
                pipe.len += chunk.len();
                pipe.chunks.push_back((ready, chunk));
            }
        }
        end.monitor.settled_down();
        let mut rest = VecDeque::new();
        end.engine.poll_output(&mut rest, self.now);
        let waits_for_window = rest.is_empty();
        for chunk in rest {
            end.monitor.sent(&chunk, &mut self.trace)?;
            if !end.is_lost && end.lost_at.is_none() {
                pipe.len += chunk.len();
                pipe.chunks.push_back((ready, chunk));
            }
        }
        if end.engine.is_ended() {
            if !waits_for_window {
                return Err("an engine that has ended has output twice".into());
            }
            pipe.is_shut = true;
        }
        Ok(())
    }

    fn check_bounds(&self, who: Who) -> Checked {
        let end = &self.ends[who.index()];
        let usage = end.engine.usage();
        let limits = &self.plan.limits[who.index()];
        let frame = usize::try_from(limits.max_outgoing_frame_size.max(limits.max_frame_size)).unwrap_or(0);
        // What is not a transfer is not held back: it answers what the peer sent, or what the application asked for.
        let answers = 200_000;
        if usage.queued_bytes > limits.max_queued_bytes + frame + answers {
            return Err(format!("{} octets are queued", usage.queued_bytes));
        }
        // Octets to be read in parts: as many as the limit says, or one frame.
        let unread = limits.max_stream_bytes.max(usize::try_from(limits.max_frame_size).unwrap_or(0));
        if usage.unread_bytes > usage.sessions * unread {
            return Err(format!(
                "{} octets wait to be read on {} sessions",
                usage.unread_bytes, usage.sessions
            ));
        }
        let unsettled = usage.unsettled_sent + usage.unsettled_received;
        if usage.unsettled_places > 4 * unsettled + 2 * 64 * (usage.sessions + 1) * 2 {
            return Err(format!("{} places for {unsettled} unsettled deliveries", usage.unsettled_places));
        }
        if end.input.len()
            > usize::try_from(limits.max_frame_size.max(limits.max_sasl_frame_size)).unwrap_or(0)
        {
            return Err(format!("{} octets of input stay unused", end.input.len()));
        }
        Ok(())
    }

    // ---- network ------------------------------------------------------------------------------------------

    /// Brings some octets to one end: any number of them, however they were cut before.
    fn deliver(&mut self, to: Who) -> Checked {
        let most = match self.random.below(12) {
            0 => 1,
            1 => self.random.between(1, 20),
            2..5 => self.random.between(1, 600),
            _ => u64::MAX,
        };
        // Half of the time somebody waits for what is on its way.
        let ready = self.pipes[to.other().index()].chunks.front().map(|(ready, _)| *ready);
        if let Some(pause) = ready.and_then(|ready| ready.checked_duration_since(self.now))
            && self.random.percent(50)
        {
            self.pass(pause)?;
        }
        self.deliver_up_to(to, usize::try_from(most).unwrap_or(usize::MAX)).map(|_| ())
    }

    /// True if anything came, be it the end of the stream.
    fn deliver_up_to(&mut self, to: Who, most: usize) -> Result<bool, String> {
        let from = to.other();
        let pipe = &mut self.pipes[from.index()];
        let end = &mut self.ends[to.index()];
        let mut octets = Vec::new();
        while let Some((ready, chunk)) = pipe.chunks.front_mut() {
            if *ready > self.now || octets.len() >= most {
                break;
            }
            let part = chunk.split_to(chunk.len().min(most - octets.len()));
            octets.extend_from_slice(&part);
            if chunk.is_empty() {
                pipe.chunks.pop_front();
            }
        }
        pipe.len -= octets.len();
        if octets.is_empty() {
            if pipe.is_shut && pipe.chunks.is_empty() && !end.is_lost && !end.engine.is_ended() {
                self.lose(to, "the peer ended the stream")?;
                return Ok(true);
            }
            return Ok(false);
        }
        self.trace.now = self.now;
        if end.engine.is_ended() || end.is_lost {
            return Ok(true);
        }
        end.monitor.received(&octets, end.is_stale, &mut self.trace)?;
        end.input.extend_from_slice(&octets);
        end.last_heard = self.now;
        end.engine.handle_input(&mut end.input, self.now);
        if let (Life::Over, Some(error)) = (state_of(&end.engine), end.engine.end()) {
            let error = error.clone();
            self.check_end(to, &error)?;
        }
        let is_lazy = !self.is_resting && self.random.percent(self.plan.lazy);
        self.after(to, is_lazy)?;
        Ok(true)
    }

    fn lose(&mut self, who: Who, why: &str) -> Checked {
        self.trace.now = self.now;
        self.trace.note(Some(who), || format!("loses the connection: {why}"));
        self.with(who, |app, desk| {
            app.give_up(desk, |_| true);
            Ok(())
        })?;
        let end = &mut self.ends[who.index()];
        end.is_lost = true;
        end.lost_at = None;
        end.engine.handle_lost(why);
        self.after(who, false)
    }

    /// The network breaks: what is on its way is lost, and each end hears of it when it hears of it.
    fn cut(&mut self) {
        if self.is_over() {
            return;
        }
        self.trace.now = self.now;
        self.trace.note(None, || "is cut".into());
        self.report.cuts += 1;
        for who in Who::BOTH {
            let kept = self.random.index(4);
            let pipe = &mut self.pipes[who.index()];
            pipe.chunks.truncate(kept);
            pipe.len = pipe.chunks.iter().map(|(_, chunk)| chunk.len()).sum();
            let end = &mut self.ends[who.index()];
            if !end.is_lost && !end.engine.is_ended() {
                let late = self.random.pick(&[0, 0, 10, 700]);
                end.lost_at = Some(self.now + Duration::from_millis(late));
            }
        }
        // Nobody can tell any more what the other one got.
        self.ledger.lose_everything();
    }

    fn is_over(&self) -> bool {
        self.ends.iter().all(|end| end.engine.is_ended())
            && self.pipes.iter().all(|pipe| pipe.chunks.is_empty())
    }

    fn reconnect(&mut self) -> Checked {
        self.take_leave()?;
        self.trace.note(None, || "is there again".into());
        self.report.connections += 1;
        self.has_jumped = false;
        for who in Who::BOTH {
            let app = &mut self.ends[who.index()].app;
            let (store, suspended) = (app.store.take(), std::mem::take(&mut app.suspended));
            self.count_frames(who);
            self.ends[who.index()] = new_end(who, &self.plan, self.now, store);
            self.ends[who.index()].app.suspended = suspended;
            self.pipes[who.index()] = Pipe::default();
        }
        self.start()
    }

    fn start(&mut self) -> Checked {
        self.pipeline()?;
        for who in Who::BOTH {
            self.after(who, false)?;
        }
        Ok(())
    }

    /// The client does not wait for the listener's open, at times.
    fn pipeline(&mut self) -> Checked {
        if self.random.percent(self.plan.pipelines) {
            self.with(Who::Client, App::pipeline)?;
        }
        Ok(())
    }

    fn count_frames(&mut self, who: Who) {
        let monitor = &self.ends[who.index()].monitor;
        self.report.frames += monitor.frames;
        self.report.transfers += monitor.transfers;
    }

    // ---- clock --------------------------------------------------------------------------------------------

    /// Time passes, and whoever asked to be woken is woken, a little late at times.
    fn pass(&mut self, pause: Duration) -> Checked {
        let until = self.now + pause;
        for _ in 0..ROUNDS {
            let next = Who::BOTH
                .into_iter()
                .filter_map(|who| {
                    let end = &self.ends[who.index()];
                    [end.wake, end.lost_at].into_iter().flatten().min().map(|wake| (wake, who))
                })
                .min();
            let Some((wake, who)) = next.filter(|(wake, _)| *wake <= until) else {
                self.now = self.now.max(until);
                return Ok(());
            };
            self.now = self.now.max(wake);
            self.wake(who)?;
        }
        Err("a clock asks for attention without end".into())
    }

    fn wake(&mut self, who: Who) -> Checked {
        if self.ends[who.index()].lost_at.is_some_and(|at| at <= self.now) {
            return self.lose(who, "connection reset");
        }
        let end = &mut self.ends[who.index()];
        if end.wake.is_none_or(|wake| wake > self.now) {
            return Ok(());
        }
        end.wake = None;
        self.after(who, false)?;
        let end = &self.ends[who.index()];
        let is_stuck = self.pipes[who.index()].len >= self.plan.capacity;
        if !is_stuck && end.engine.deadline().is_some_and(|deadline| deadline <= self.now) {
            return Err("a deadline stays in the past".into());
        }
        Ok(())
    }

    fn look_at_clock(&mut self, who: Who) -> Checked {
        let end = &mut self.ends[who.index()];
        let was_over = end.engine.end().is_some();
        end.engine.handle_timeout(self.now);
        match end.engine.end().cloned() {
            Some(error) if !was_over => {
                self.ledger.lose_everything();
                self.check_time_out(who, &error)
            }
            _ => Ok(()),
        }
    }

    /// The clock jumps, as after a suspended machine.
    fn jump(&mut self) -> Checked {
        let jump = Duration::from_secs(self.random.pick(&[1, 5, 70, 100_000]));
        self.trace.now = self.now;
        self.trace.note(None, || format!("the clock jumps by {jump:?}"));
        self.has_jumped = true;
        self.now += jump;
        for who in Who::BOTH {
            self.wake(who)?;
        }
        Ok(())
    }

    // ---- judgement ----------------------------------------------------------------------------------------

    fn check_end(&self, who: Who, error: &ConnectionError) -> Checked {
        match error {
            ConnectionError::Sasl { .. } if self.plan.is_stranger => Ok(()),
            ConnectionError::Sasl { .. } => Err(format!("{who:?}: {error}")),
            ConnectionError::ClosedByPeer(Some(said))
                if said.condition == conditions::RESOURCE_LIMIT_EXCEEDED
                    && !matches!(
                        self.ends[who.other().index()].engine.end(),
                        Some(ConnectionError::IdleTimeout)
                    ) =>
            {
                Err(format!("{who:?}: a protocol error: {error}"))
            }
            error => check_connection_end(error).map_err(|error| format!("{who:?}: {error}")),
        }
    }

    /// A time-out of an engine is right only if the time has passed.
    fn check_time_out(&self, who: Who, error: &ConnectionError) -> Checked {
        let end = &self.ends[who.index()];
        let limits = &self.plan.limits[who.index()];
        match error {
            ConnectionError::IdleTimeout => {
                let silence = self.now.saturating_duration_since(end.last_heard);
                if limits.idle_time_out.is_zero() || silence < limits.idle_time_out * 2 {
                    return Err(format!("{who:?}: an idle time-out after {silence:?}"));
                }
                // Nobody is silent that long unless the network was, or the clock jumped.
                let other = &self.ends[who.other().index()];
                let is_stuck = self.pipes.iter().any(|pipe| !pipe.chunks.is_empty()) || other.is_stale;
                if !self.has_jumped && !is_stuck && other.lost_at.is_none() && !other.engine.is_ended() {
                    return Err(format!("{who:?}: an idle time-out although nothing is held back"));
                }
                Ok(())
            }
            ConnectionError::Timeout(_) => Ok(()),
            error => Err(format!("{who:?}: a time-out says {error}")),
        }
    }

    // ---- rest ---------------------------------------------------------------------------------------------

    /// No more deeds but those that bring everything home. A connection that is over is replaced, so that what is checked is a
    /// living one, unless nobody is let in.
    fn come_to_rest(&mut self) -> Checked {
        self.trace.note(None, || "comes to rest".into());
        for round in 0..ROUNDS {
            let mut has_acted = false;
            for who in Who::BOTH {
                if self.ends[who.index()].lost_at.is_some() {
                    self.lose(who, "connection reset")?;
                    has_acted = true;
                }
                has_acted |= self.deliver_up_to(who, usize::MAX)?;
            }
            for who in Who::BOTH {
                if self.ends[who.index()].engine.peer().is_some() {
                    has_acted |= self.with(who, App::rest)?;
                }
                self.after(who, false)?;
            }
            if !self.pipes.iter().all(|pipe| pipe.chunks.is_empty()) {
                has_acted = true;
                self.pass(self.plan.max_delay)?;
            }
            if !has_acted && self.is_half_done() {
                // A handshake or an answer to a close is awaited from somebody who is gone.
                self.pass(Duration::from_millis(500))?;
                has_acted = true;
            }
            if !has_acted {
                self.trace.note(None, || format!("rests after {round} rounds"));
                return Ok(());
            }
        }
        Err("it does not come to rest".into())
    }

    /// One end lives while the other is gone or not there yet.
    fn is_half_done(&self) -> bool {
        let [client, listener] = &self.ends;
        let is_living = |end: &Place| end.engine.peer().is_some() && end.engine.end().is_none();
        let are_over = client.engine.is_ended() && listener.engine.is_ended();
        let are_living = is_living(client) && is_living(listener);
        !are_over && !are_living
    }

    fn check_rest(&mut self) -> Checked {
        if self.ends.iter().any(|end| end.engine.end().is_some()) {
            return Ok(());
        }
        for who in Who::BOTH {
            let end = &self.ends[who.index()];
            if !end.monitor.is_open() {
                return Err(format!("{who:?}: not open at rest"));
            }
            end.monitor.check_rest().map_err(|broken| format!("{who:?} at rest: {broken}"))?;
            let usage = end.engine.usage();
            if usage.unsettled_sent + usage.unsettled_received > 0 {
                return Err(format!("{who:?} at rest: something is unsettled, {usage:?}"));
            }
            self.with(who, App::check_rest)?;
        }
        self.check_credit()?;
        self.check_silence()
    }

    /// Where credit is kept coming, the sender has some.
    fn check_credit(&mut self) -> Checked {
        for who in Who::BOTH {
            let mut senders = Vec::new();
            let [client, listener] = &mut self.ends;
            let (end, other) = if who == Who::Client { (client, listener) } else { (listener, client) };
            for link in end.app.links.iter().filter(|link| link.is_attached() && !link.is_partial()) {
                if self.ledger.stories[link.story].sender == who && other.app.keeps_credit(link.story) {
                    senders.push((link.key, link.story));
                }
            }
            // What was resumed is there at once: as long as its receiver grants nothing it may take all the room that there is.
            let is_full =
                end.app.links.iter().any(|link| {
                    link.is_attached() && link.has_resumed() && !other.app.keeps_credit(link.story)
                });
            for (key, story) in senders {
                if end.engine.credit(key) == Ok(0) && !is_full {
                    return Err(format!("{}: it starves", self.ledger.stories[story].name));
                }
            }
            self.after(who, false)?;
        }
        Ok(())
    }

    /// At rest, nothing is said but that both are alive.
    fn check_silence(&mut self) -> Checked {
        let before: u64 = self.ends.iter().map(|end| end.monitor.frames).sum();
        for _ in 0..20 {
            self.pass(Duration::from_millis(250))?;
            for who in Who::BOTH {
                self.deliver_up_to(who, usize::MAX)?;
            }
        }
        let after: u64 = self.ends.iter().map(|end| end.monitor.frames).sum();
        if after != before {
            return Err(format!("{} frames are exchanged at rest", after - before));
        }
        if let Some(end) = self.ends.iter().find_map(|end| end.engine.end()) {
            return Err(format!("the connection ends at rest: {end}"));
        }
        Ok(())
    }

    /// The end: in order, or not.
    fn part(&mut self) -> Checked {
        match self.random.below(5) {
            0 => self.cut(),
            1 => {
                for who in Who::BOTH {
                    self.close(who)?;
                }
            }
            2 => self.close(Who::Listener)?,
            _ => self.close(Who::Client)?,
        }
        self.come_to_rest()?;
        for who in Who::BOTH {
            let end = &self.ends[who.index()];
            if !end.engine.is_ended() {
                return Err(format!("{who:?}: it does not end, {:?}", end.engine.end()));
            }
            if !self.plan.is_stranger
                && let Some(error) = end.engine.end()
            {
                self.check_end(who, error)?;
            }
        }
        self.take_leave()?;
        for who in Who::BOTH {
            self.count_frames(who);
            if let Some(store) = &self.ends[who.index()].app.store {
                store.check_home(&self.ledger)?;
            }
        }
        Ok(())
    }

    fn close(&mut self, who: Who) -> Checked {
        self.with(who, App::close)?;
        self.after(who, false)
    }

    /// Both engines are over: they are quiet, and hold nothing.
    fn take_leave(&mut self) -> Checked {
        for who in Who::BOTH {
            self.with(who, App::hear)?;
            self.with(who, App::leave)?;
            let end = &mut self.ends[who.index()];
            let mut output = VecDeque::new();
            end.engine.poll_output(&mut output, self.now);
            end.engine.handle_timeout(self.now + Duration::from_secs(1_000));
            end.engine.poll_output(&mut output, self.now + Duration::from_secs(1_000));
            if !output.is_empty() || end.engine.deadline().is_some() || end.engine.poll_event().is_some() {
                return Err(format!("{who:?}: it is over and not quiet"));
            }
            let usage = end.engine.usage();
            if usage != Usage::default() {
                return Err(format!("{who:?}: it is over and holds {usage:?}"));
            }
        }
        Ok(())
    }
}

enum Life {
    Living,
    Over,
}

fn state_of(engine: &Engine) -> Life {
    if engine.end().is_some() { Life::Over } else { Life::Living }
}

fn delay(random: &mut Random, plan: &Plan) -> Duration {
    let most = u64::try_from(plan.max_delay.as_micros()).unwrap_or(0);
    Duration::from_micros(random.between(0, most))
}

fn new_end(who: Who, plan: &Plan, now: Instant, store: Option<Store>) -> Place {
    let users = StaticCredentials {
        anonymous: true,
        users: if plan.is_stranger { Vec::new() } else { vec![("user".into(), "pencil".into())] },
    };
    let (side, name) = match who {
        Who::Client => (End::Client(plan.sasl.clone()), "client"),
        Who::Listener => (End::Listener(Arc::new(users)), "listener"),
    };
    let mut engine = Engine::new(side, Open::new(name), plan.limits[who.index()].clone(), now);
    engine.start_numbers_at(plan.first_id[who.index()]);
    Place {
        engine,
        monitor: Monitor::new(who),
        app: App::new(who, store),
        input: BytesMut::new(),
        is_stale: false,
        last_heard: now,
        wake: None,
        lost_at: None,
        is_lost: false,
    }
}
