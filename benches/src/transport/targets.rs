//! What is to be reached, beside what was.

use super::Rows;
use super::clients::Client;
use super::work::{CREDIT, LARGE, Work};
use crate::show;
use serde_json::{Value, json};

/// A figure that is to be reached.
struct Target {
    name: String,
    wanted: Wanted,
    measured: Option<f64>,
}

enum Wanted {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    fn is_reached(&self) -> Option<bool> {
        let measured = self.measured.filter(|measured| measured.is_finite())?;
        Some(match self.wanted {
            Wanted::AtLeast(least) => measured >= least,
            Wanted::AtMost(most) => measured <= most,
        })
    }

    fn wanted(&self) -> String {
        match self.wanted {
            Wanted::AtLeast(least) => format!("at least {}", show::number(least)),
            Wanted::AtMost(most) => format!("at most {}", show::number(most)),
        }
    }
}

/// All targets for which something was measured: as JSON, and as text.
pub(super) fn compare(rows: &Rows, counts: &Value, idle: &Value) -> (Value, String) {
    let mut targets = beside_others(rows);
    targets.extend(beside_sockets(rows));
    targets.extend(beside_time(counts, idle));
    let value = targets.iter().map(|target| {
        json!({
            "target": target.name,
            "wanted": target.wanted(),
            "measured": target.measured,
            "reached": target.is_reached(),
        })
    });
    let header = ["targets", "wanted", "measured", "reached"].map(str::to_owned).to_vec();
    let lines = targets.iter().map(|target| {
        let reached =
            target.is_reached().map_or("not measured", |reached| if reached { "yes" } else { "NO" });
        let measured = show::number(target.measured.unwrap_or(f64::NAN));
        vec![target.name.clone(), target.wanted(), measured, reached.to_owned()]
    });
    let text = show::table(&std::iter::once(header).chain(lines).collect::<Vec<_>>());
    (value.collect(), text)
}

/// Ratios of messages per second of processor time.
fn beside_others(rows: &Rows) -> Vec<Target> {
    let mut targets = Vec::new();
    let mut add = |work: Work, ours: Client, other: Client, times: f64| {
        let processor = |client| rows.get(work, client).map(|figures| figures.per_processor_second);
        targets.push(Target {
            name: format!("{}: {} over {}, per processor second", work.name(), ours.name(), other.name()),
            wanted: Wanted::AtLeast(times),
            measured: processor(ours).zip(processor(other)).map(|(ours, other)| ours / other),
        });
    };
    for octets in [100, 1024] {
        for work in [Work::send(octets, 1000), Work::receive(octets, CREDIT)] {
            add(work, Client::Ours, Client::Proton, 1.5);
            add(work, Client::OursMultiThread, Client::Proton, 1.5);
            add(work, Client::Ours, Client::Fe2o3, 10.0);
            add(work, Client::Ours, Client::GoAmqp, 20.0);
        }
        for work in [Work::send(octets, 10), Work::receive(octets, 10)] {
            add(work, Client::Ours, Client::Proton, 1.0);
            add(work, Client::OursMultiThread, Client::Proton, 1.0);
        }
    }
    targets
}

/// Ratios of messages per second to what octets alone take.
fn beside_sockets(rows: &Rows) -> Vec<Target> {
    let speed = |work, client| rows.get(work, client).map(|figures| figures.per_second);
    let both = |work, client| speed(work, client).zip(speed(work, Client::Socket));
    let mut targets = Vec::new();
    for client in [Client::Ours, Client::OursMultiThread] {
        for octets in [100, 1024] {
            let work = Work::send(octets, 1);
            targets.push(Target {
                name: format!("{}: {}, time over that of a ping-pong", work.name(), client.name()),
                wanted: Wanted::AtMost(1.3),
                measured: both(work, client).map(|(client, socket)| socket / client),
            });
        }
        for work in [Work::send(LARGE, 100), Work::receive(LARGE, 100)] {
            targets.push(Target {
                name: format!("{}: {}, % of a plain copy", work.name(), client.name()),
                wanted: Wanted::AtLeast(70.0),
                measured: both(work, client).map(|(client, socket)| client / socket * 100.0),
            });
        }
    }
    targets
}

fn beside_time(counts: &Value, idle: &Value) -> Vec<Target> {
    let target = |name: &str, most: f64, of: &Value, path: &str, unit: f64| Target {
        name: name.to_owned(),
        wanted: Wanted::AtMost(most),
        measured: of.pointer(path).and_then(Value::as_f64).map(|measured| measured / unit),
    };
    vec![
        target("allocations a message, send", 2.0, counts, "/allocations_per_message/ours/send", 1.0),
        target("allocations a message, receive", 2.0, counts, "/allocations_per_message/ours/receive", 1.0),
        target(
            "writes per 1,000 queued sends",
            20.0,
            counts,
            "/writes_per_1000_queued_sends/one thread",
            1.0,
        ),
        target(
            "writes per 1,000 queued sends, multi-thread",
            20.0,
            counts,
            "/writes_per_1000_queued_sends/many threads",
            1.0,
        ),
        target("dispositions per 1,000 accepts", 20.0, counts, "/dispositions_per_1000_accepts", 1.0),
        target("KiB of an idle connection, client", 10.0, idle, "/client_octets_each", 1024.0),
        target("KiB of an idle connection, listener", 10.0, idle, "/listener_octets_each", 1024.0),
    ]
}
