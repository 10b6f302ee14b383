//! Engines against the embedded broker: its tasks run on a runtime whose clock stands still but when the simulation lets it go
//! on, and its connections are streams in memory that the simulation fills, empties and cuts.

mod books;
mod client;
mod plan;
mod wire;

use crate::random::Random;
use crate::trace::Trace;
use crate::world::Report;
use amqp_broker::Broker;
use books::Books;
use client::{Client, Desk, Purpose};
use plan::Plan;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use wire::Wire;

type Checked = Result<(), String>;

/// Rounds within which everything has to come to rest.
const ROUNDS: u32 = 20_000;

/// How long the broker has for what it does at once.
const MOMENT: Duration = Duration::from_millis(1);

pub(crate) struct Arena {
    random: Random,
    plan: Plan,
    trace: Trace,
    runtime: Runtime,
    broker: Broker,
    now: Instant,
    clients: Vec<Client>,
    books: Books,
    tokens: Vec<Purpose>,
    connections: u64,
    report: Report,
    has_jumped: bool,
}

impl Arena {
    pub(crate) fn new(seed: u64, is_traced: bool) -> Result<Self, String> {
        let mut random = Random::new(seed);
        let plan = Plan::draw(&mut random);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .map_err(|error| format!("no runtime: {error}"))?;
        let mut limits = amqp_broker::Limits::default();
        limits.publisher_credit = plan.publisher_credit;
        let (broker, now) = runtime.block_on(async {
            let broker = Broker::builder().limits(limits).start().await;
            (broker, tokio::time::Instant::now().into_std())
        });
        let broker = broker.map_err(|error| error.to_string())?;
        let mut trace = Trace::new(is_traced, now);
        trace.note(None, || format!("{plan:?}"));
        Ok(Self {
            random,
            plan,
            trace,
            runtime,
            broker,
            now,
            clients: Vec::new(),
            books: Books::default(),
            tokens: Vec::new(),
            connections: 0,
            report: Report::default(),
            has_jumped: false,
        })
    }

    /// What happened.
    pub(crate) fn into_trace(self) -> Vec<String> {
        self.trace.into_lines()
    }

    /// The whole run.
    pub(crate) fn run(&mut self) -> Result<Report, String> {
        for _ in 0..self.plan.clients {
            self.connect()?;
        }
        for step in 1..=self.plan.steps {
            self.trace.step = step;
            self.step()?;
        }
        self.trace.step += 1;
        self.quiesce(|_, _| Ok(false))?;
        self.check_quiet()?;
        self.quiesce(Client::finish)?;
        self.check_quiet()?;
        self.part()?;
        self.empty()?;
        self.books.check_home()?;
        self.report.deliveries = self.books.arrived;
        self.report.outcomes = self.books.told;
        Ok(self.report)
    }

    fn step(&mut self) -> Checked {
        let index = self.random.index(self.clients.len());
        if self.random.per_mille(self.plan.cuts) {
            return self.cut(index);
        }
        if self.random.per_mille(self.plan.jumps) {
            let jump = Duration::from_secs(self.random.pick(&[1, 20, 100, 5_000]));
            self.trace.note(None, || format!("the clock jumps by {jump:?}"));
            self.has_jumped = true;
            for client in self.clients.iter().filter(|client| !client.is_quiet()) {
                // The broker may give it up before it hears the last of what it said.
                self.books.lost(client.connection);
            }
            return self.pass(jump);
        }
        match self.random.below(10) {
            0..2 => {
                let most = self.some_octets();
                self.clients[index].write(most);
            }
            2..4 => {
                let most = self.some_octets();
                let has_jumped = self.has_jumped;
                self.with(index, |client, desk| client.read(most, has_jumped, desk))?;
            }
            4..6 => self.pass(MOMENT)?,
            6 if self.random.percent(3) => {
                self.quiesce(|_, _| Ok(false))?;
                self.check_quiet()?;
            }
            _ => {
                for _ in 0..self.random.between(1, 4) {
                    self.with(index, Client::act)?;
                    self.after(index)?;
                }
            }
        }
        let client = &self.clients[index];
        if client.engine.is_ended() && self.random.percent(30) {
            self.reconnect(index)?;
        }
        Ok(())
    }

    fn some_octets(&mut self) -> usize {
        let most = match self.random.below(8) {
            0 => self.random.between(1, 20),
            1..3 => self.random.between(1, 600),
            _ => 1 << 30,
        };
        usize::try_from(most).unwrap_or(usize::MAX)
    }

    // ---- clients ------------------------------------------------------------------------------------------

    fn connect(&mut self) -> Checked {
        let wire = Wire::new(self.plan.capacity);
        self.runtime.spawn(self.broker.serve(wire.clone()));
        self.connections += 1;
        self.report.connections += 1;
        let connection = self.connections;
        let mut desk = Desk {
            books: &mut self.books,
            random: &mut self.random,
            trace: &mut self.trace,
            plan: &self.plan,
            tokens: &mut self.tokens,
            now: self.now,
        };
        let client = Client::new(connection, wire, &mut desk);
        self.clients.push(client);
        self.after(self.clients.len() - 1)
    }

    /// Lets a client work.
    fn with<R>(
        &mut self,
        index: usize,
        work: impl FnOnce(&mut Client, &mut Desk<'_>) -> Result<R, String>,
    ) -> Result<R, String> {
        let mut desk = Desk {
            books: &mut self.books,
            random: &mut self.random,
            trace: &mut self.trace,
            plan: &self.plan,
            tokens: &mut self.tokens,
            now: self.now,
        };
        work(&mut self.clients[index], &mut desk)
    }

    fn after(&mut self, index: usize) -> Checked {
        let has_jumped = self.has_jumped;
        self.with(index, |client, desk| client.after(has_jumped, desk))
    }

    fn cut(&mut self, index: usize) -> Checked {
        let client = &mut self.clients[index];
        if client.engine.is_ended() {
            return Ok(());
        }
        self.report.cuts += 1;
        let most = self.random.index(client.output.len() + 1);
        client.write(most);
        let kept = self.random.index(client.wire.unread() + 1);
        client.wire.cut(kept);
        let has_jumped = self.has_jumped;
        self.with(index, |client, desk| client.lose("connection reset", has_jumped, desk))
    }

    /// Another connection takes the place of one that is over.
    fn reconnect(&mut self, index: usize) -> Checked {
        self.with(index, Client::leave)?;
        let client = self.clients.remove(index);
        if !client.is_quiet() {
            // The last of what it said is not heard.
            self.books.lost(client.connection);
            client.wire.cut(0);
        }
        client.wire.end();
        self.report.frames += client.monitor.frames;
        self.report.transfers += client.monitor.transfers;
        self.connect()
    }

    // ---- clock --------------------------------------------------------------------------------------------

    /// The broker does what it has to do, and time passes.
    fn pass(&mut self, pause: Duration) -> Checked {
        self.now = self.runtime.block_on(async {
            tokio::time::sleep(pause).await;
            tokio::time::Instant::now().into_std()
        });
        for index in 0..self.clients.len() {
            self.after(index)?;
        }
        Ok(())
    }

    // ---- rest ---------------------------------------------------------------------------------------------

    /// Everything that is under way arrives, and so does what follows from it; `act` is done in between, as long as it does
    /// anything.
    fn quiesce(&mut self, act: impl Fn(&mut Client, &mut Desk<'_>) -> Result<bool, String>) -> Checked {
        let mut quiet = 0;
        for _ in 0..ROUNDS {
            let mut has_moved = false;
            for index in 0..self.clients.len() {
                has_moved |= self.clients[index].write(usize::MAX);
            }
            self.pass(MOMENT)?;
            for index in 0..self.clients.len() {
                let has_jumped = self.has_jumped;
                has_moved |= self.with(index, |client, desk| client.read(usize::MAX, has_jumped, desk))?;
                has_moved |= self.with(index, &act)?;
                self.after(index)?;
                let client = &self.clients[index];
                has_moved |= client.engine.end().is_some() && !client.engine.is_ended();
            }
            quiet = if has_moved { 0 } else { quiet + 1 };
            if quiet == 3 {
                self.books.all_heard();
                return Ok(());
            }
        }
        Err("it does not come to rest".into())
    }

    fn check_quiet(&mut self) -> Checked {
        for index in 0..self.clients.len() {
            self.with(index, Client::check_quiet)?;
        }
        for queue in 0..self.plan.queues {
            for is_dead in [false, true] {
                let ready = self.stats(queue, is_dead).map_or(0, |stats| stats.ready);
                if ready > 0 && self.clients.iter().any(|client| client.is_hungry(queue, is_dead)) {
                    return Err(format!("q{queue} has {ready} messages, and a consumer starves"));
                }
            }
        }
        Ok(())
    }

    fn stats(&self, queue: usize, is_dead: bool) -> Option<amqp_broker::QueueStats> {
        let name = if is_dead { format!("q{queue}.dlq") } else { format!("q{queue}") };
        self.broker.queue_stats(&name)
    }

    /// The clients go, in order or not.
    fn part(&mut self) -> Checked {
        for index in 0..self.clients.len() {
            if self.random.percent(40) {
                self.cut(index)?;
            } else {
                self.with(index, |client, desk| {
                    client.close(desk);
                    Ok(())
                })?;
                self.after(index)?;
            }
        }
        self.quiesce(|_, _| Ok(false))?;
        for index in 0..self.clients.len() {
            if !self.clients[index].engine.is_ended() {
                return Err("a connection does not end".into());
            }
            self.with(index, Client::leave)?;
            let client = &self.clients[index];
            client.wire.end();
            self.report.frames += client.monitor.frames;
            self.report.transfers += client.monitor.transfers;
        }
        self.clients.clear();
        Ok(())
    }

    /// A last client takes everything that is left.
    fn empty(&mut self) -> Checked {
        self.trace.note(None, || "what is left is taken".into());
        self.plan.limits = amqp_transport::engine::Limits::default();
        self.plan.sessions = 1;
        self.connect()?;
        self.quiesce(|_, _| Ok(false))?;
        self.with(0, Client::open_session)?;
        self.quiesce(|_, _| Ok(false))?;
        for queue in 0..self.plan.queues {
            self.with(0, |client, desk| client.drain(queue, false, desk))?;
            self.with(0, |client, desk| client.drain(queue, true, desk))?;
        }
        self.quiesce(Client::accept_all)?;
        self.check_quiet()?;
        for queue in 0..self.plan.queues {
            for is_dead in [false, true] {
                let Some(stats) = self.stats(queue, is_dead) else { continue };
                if (stats.ready, stats.delayed, stats.unacknowledged, stats.bytes) != (0, 0, 0, 0) {
                    return Err(format!("q{queue}, dead letters {is_dead}, is not empty: {stats:?}"));
                }
            }
        }
        self.with(0, |client, desk| {
            client.close(desk);
            Ok(())
        })?;
        self.after(0)?;
        self.quiesce(|_, _| Ok(false))?;
        self.with(0, Client::leave)
    }
}
