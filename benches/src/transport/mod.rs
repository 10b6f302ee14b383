//! Clients against one and the same minimal peer in another process, on loopback TCP: one connection, one link.
//!
//! All clients do the same work, each in a process of its own: messages go out unsettled and are counted once their
//! outcome is accepted; received ones are decoded and accepted one by one. Beside them stands what plain sockets do
//! with as many octets.

mod clients;
mod counts;
mod idle;
mod listener;
mod meter;
mod peer;
mod targets;
mod work;

pub use clients::Client;
pub use counts::allocations;
pub use idle::hold as hold_idle;
pub use listener::serve as serve_listener;
pub use peer::serve as serve_peer;
pub use work::{Timing, Way, Work};

use crate::{Result, show};
use meter::Measured;
use serde_json::{Map, Value, json};
use std::fs;

/// What is to be measured.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Short, to see that all works: the figures say little.
    pub is_quick: bool,
    /// Only the rows whose name holds this text.
    pub only: String,
    /// Only the client of this name, or else those whose names begin with this text.
    pub of: String,
}

impl Options {
    fn wants(&self, client: Client) -> bool {
        let is_name = every_client().any(|client| client.name() == self.of);
        if is_name { client.name() == self.of } else { client.name().starts_with(&self.of) }
    }
}

/// Those who speak AMQP, and then the others.
fn every_client() -> impl Iterator<Item = Client> {
    Client::ALL.into_iter().chain(Client::FLOORS)
}

/// What was measured of one client in one row.
#[derive(Clone, Copy)]
struct Figures {
    per_second: f64,
    per_processor_second: f64,
}

impl Figures {
    fn of(measured: Measured) -> Self {
        Self {
            per_second: measured.messages / measured.seconds,
            per_processor_second: measured.messages / measured.processor_seconds,
        }
    }

    fn median(rounds: &[Self]) -> Option<Self> {
        let median = |figure: fn(&Self) -> f64| {
            let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            figures.get(figures.len() / 2).copied()
        };
        Some(Self {
            per_second: median(|round| round.per_second)?,
            per_processor_second: median(|round| round.per_processor_second)?,
        })
    }

    fn json(self) -> Value {
        json!({
            "messages_per_second": self.per_second.round(),
            "messages_per_processor_second": self.per_processor_second.round(),
        })
    }
}

/// All rows, with what was measured of each client.
#[derive(Default)]
struct Rows(Vec<(Work, Vec<(Client, Figures)>)>);

impl Rows {
    fn get(&self, work: Work, client: Client) -> Option<Figures> {
        let (_, clients) = self.0.iter().find(|(row, _)| *row == work)?;
        clients.iter().find(|(one, _)| *one == client).map(|(_, figures)| *figures)
    }

    fn json(&self) -> Value {
        let row = |(work, clients): &(Work, Vec<(Client, Figures)>)| {
            let ours = self.get(*work, Client::Ours);
            let figures: Map<String, Value> = clients
                .iter()
                .map(|(client, figures)| {
                    let mut value = figures.json();
                    if let Some(ours) = ours {
                        value["ours_times"] = json!(ours.per_second / figures.per_second);
                        value["ours_times_per_processor_second"] =
                            json!(ours.per_processor_second / figures.per_processor_second);
                    }
                    (client.name().to_owned(), value)
                })
                .collect();
            json!({ "work": work.name(), "clients": figures })
        };
        self.0.iter().map(row).collect()
    }

    /// One kind of figure of all rows.
    fn text(&self, title: &str, figure: fn(&Figures) -> f64) -> String {
        let columns = Client::ALL.into_iter().chain(Client::FLOORS);
        let columns: Vec<Client> = columns
            .filter(|&client| self.0.iter().any(|(work, _)| self.get(*work, client).is_some()))
            .collect();
        let header = std::iter::once(title).chain(columns.iter().map(|client| client.name()));
        let mut rows = vec![header.map(str::to_owned).collect()];
        for (work, _) in &self.0 {
            let cell = |&client: &Client| self.get(*work, client).as_ref().map_or(f64::NAN, figure);
            let cells = columns.iter().map(|client| show::number(cell(client)));
            rows.push(std::iter::once(work.name()).chain(cells).collect::<Vec<_>>());
        }
        show::table(&rows)
    }
}

/// Measures: as JSON, and as text.
///
/// # Errors
/// If the peer cannot be started, or this project's client fails. Others that fail are left out, with a note.
pub fn run(options: &Options) -> Result<(Value, String)> {
    let timing = if options.is_quick { Timing::QUICK } else { Timing::FULL };
    let mut notes = Vec::new();
    let clients = present(options, &mut notes)?;
    let mut rows = Rows::default();
    let peer = peer::Process::start("peer")?;
    for work in work::ROWS.into_iter().filter(|work| work.name().contains(&options.only)) {
        rows.0.push((work, measure(&peer, work, &clients, timing, &mut notes)?));
    }
    drop(peer);
    let is_all = options.only.is_empty() && options.of.is_empty();
    let (mut counts, mut idle) = (Value::Null, Value::Null);
    if is_all {
        (counts, idle) = (counts::run()?, idle::run(options.is_quick)?);
    }
    let (targets, targets_text) = targets::compare(&rows, &counts, &idle);
    let legend = format!(
        "transport: each client a process of its own against the same minimal peer; medians of {} rounds of {} s; {}",
        timing.rounds,
        timing.measured,
        versions()
    );
    let mut parts = vec![
        legend,
        rows.text("messages a second of the client's processor time", |figures| figures.per_processor_second),
        rows.text("messages a second", |figures| figures.per_second),
    ];
    if is_all {
        parts.extend([counts::text(&counts), idle::text(&idle), targets_text]);
    }
    parts.extend(notes.iter().map(|note| format!("not measured: {note}")));
    let value = json!({
        "rivals": versions(),
        "rows": rows.json(),
        "counts": counts,
        "idle": idle,
        "targets": targets,
        "not_measured": notes,
    });
    Ok((value, parts.join("\n")))
}

/// The clients that are wanted and there.
fn present(options: &Options, notes: &mut Vec<String>) -> Result<Vec<Client>> {
    let mut clients = Vec::new();
    for client in every_client().filter(|&client| options.wants(client)) {
        match client.why_not()? {
            None => clients.push(client),
            Some(why) => notes.push(format!("{}: {why}", client.name())),
        }
    }
    Ok(clients)
}

/// Measures one row, the clients in turn.
fn measure(
    peer: &peer::Process,
    work: Work,
    clients: &[Client],
    timing: Timing,
    notes: &mut Vec<String>,
) -> Result<Vec<(Client, Figures)>> {
    let has_floor = work.is_one_at_a_time() || work.octets == work::LARGE;
    let clients = clients.iter().filter(|client| has_floor || !Client::FLOORS.contains(client));
    let mut measured: Vec<(Client, Vec<Figures>)> = clients.map(|&client| (client, Vec::new())).collect();
    for _ in 0..timing.rounds {
        for (client, rounds) in &mut measured {
            match client.measure(peer.address(), work, timing) {
                Ok(measured) => rounds.push(Figures::of(measured)),
                Err(error) if *client == Client::Ours => {
                    return Err(format!("{}: {error}", work.name()).into());
                }
                Err(error) => notes.push(format!("{} in {}: {error}", client.name(), work.name())),
            }
        }
    }
    let median = |(client, rounds): (Client, Vec<Figures>)| Some((client, Figures::median(&rounds)?));
    Ok(measured.into_iter().filter_map(median).collect())
}

/// The versions of the rivals that are no crates.
fn versions() -> String {
    let versions = clients::rivals().and_then(|folder| Ok(fs::read_to_string(folder.join("versions"))?));
    versions.unwrap_or_default().lines().collect::<Vec<_>>().join(", ")
}
