//! Prints figures: `codec`, `transport`, `jobs`, or all of them.

use benches::{Result, codec, jobs, machine, transport};
use clap::{Parser, Subcommand};
use serde_json::{Value, json};

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

#[derive(Subcommand, Clone, Copy, PartialEq, Eq)]
enum What {
    /// Decoding and encoding: time for each operation, allocations, ratios to the others.
    Codec,
    /// A client against a listener in another process: messages per second, and per second of the client's processor.
    Transport,
    /// Jobs through the driver on the embedded broker: jobs per second and latency.
    Jobs,
    /// The listener of `transport`.
    #[command(hide = true)]
    Listener,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.what == Some(What::Listener) {
        return transport::serve();
    }
    let machine = machine::describe();
    let mut figures = json!({ "machine": machine });
    if !arguments.json {
        println!("{}", machine::as_text(&machine));
    }
    let wanted = |what| arguments.what.is_none_or(|wanted| wanted == what);
    let mut show = |name: &str, (value, text): (Value, String)| {
        if arguments.json {
            figures[name] = value;
        } else {
            println!("{text}");
        }
    };
    if wanted(What::Codec) {
        show("codec", codec::run()?);
    }
    if wanted(What::Transport) {
        show("transport", transport::run()?);
    }
    if wanted(What::Jobs) {
        show("jobs", jobs::run()?);
    }
    if arguments.json {
        println!("{figures}");
    }
    Ok(())
}
