//! Prints figures: `codec`, `transport`, `jobs`, or all of them.

use benches::{Result, codec, jobs, machine, transport};
use clap::{Parser, Subcommand};
use serde_json::{Value, json};
use std::net::SocketAddr;
use transport::{Client, Options, Timing, Way, Work};

/// Benchmarks: programs that print figures, beside other implementations in the same run.
#[derive(Parser)]
#[command(name = "benches/run", version)]
struct Arguments {
    /// What to measure; everything unless told.
    #[command(subcommand)]
    what: Option<What>,
    /// One JSON object on standard output, in place of tables.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum What {
    /// Decoding and encoding: time for each operation, allocations, ratios to the others.
    Codec {
        /// Only the cases whose name holds this text.
        #[arg(long, default_value = "")]
        only: String,
        /// Only the implementations whose name begins with this text: for a profiler.
        #[arg(long, default_value = "")]
        of: String,
    },
    /// Clients against a minimal peer in another process: messages per second, and per second of the client's processor;
    /// allocations, writes, dispositions, idle connections; what is to be reached.
    Transport {
        /// A short run, to see that all works.
        #[arg(long)]
        quick: bool,
        /// Only the rows whose name holds this text.
        #[arg(long, default_value = "")]
        only: String,
        /// Only the client of this name, or else those whose names begin with this text: for a profiler.
        #[arg(long, default_value = "")]
        of: String,
    },
    /// Jobs through the driver on the embedded broker: jobs per second and latency.
    Jobs,
    /// The peer of `transport`.
    #[command(hide = true)]
    Peer,
    /// A client of `transport`.
    #[command(hide = true)]
    Client {
        client: Client,
        address: SocketAddr,
        way: Way,
        octets: usize,
        in_flight: usize,
        warm_up: f64,
        seconds: f64,
    },
    /// The listener of the idle connections.
    #[command(hide = true)]
    Listener,
    /// The client of the idle connections.
    #[command(hide = true)]
    Idle { address: SocketAddr, connections: u32 },
}

impl What {
    /// Is a part of a benchmark, if it is one of those.
    fn serve(&self) -> Option<Result<()>> {
        match *self {
            Self::Peer => Some(transport::serve_peer()),
            Self::Listener => Some(transport::serve_listener()),
            Self::Idle { address, connections } => Some(transport::hold_idle(address, connections)),
            Self::Client { client, address, way, octets, in_flight, warm_up, seconds } => {
                let timing = Timing::once(warm_up, seconds);
                Some(timing.and_then(|timing| client.be(address, Work { way, octets, in_flight }, timing)))
            }
            Self::Codec { .. } | Self::Transport { .. } | Self::Jobs => None,
        }
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(served) = arguments.what.as_ref().and_then(What::serve) {
        return served;
    }
    let machine = machine::describe();
    let mut figures = json!({ "machine": machine });
    if !arguments.json {
        println!("{}", machine::as_text(&machine));
    }
    let mut show = |name: &str, (value, text): (Value, String)| {
        if arguments.json {
            figures[name] = value;
        } else {
            println!("{text}");
        }
    };
    match arguments.what {
        Some(What::Codec { only, of }) => show("codec", codec::run(&only, &of)?),
        Some(What::Transport { quick, only, of }) => {
            show("transport", transport::run(&Options { is_quick: quick, only, of })?);
        }
        Some(What::Jobs) => show("jobs", jobs::run()?),
        Some(_) => {}
        None => {
            show("codec", codec::run("", "")?);
            show("transport", transport::run(&Options::default())?);
            show("jobs", jobs::run()?);
        }
    }
    if arguments.json {
        println!("{figures}");
    }
    Ok(())
}
