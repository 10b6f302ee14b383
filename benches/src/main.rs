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
    if let Some(What::Listener) = arguments.what {
        return transport::serve();
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
        Some(What::Transport) => show("transport", transport::run()?),
        Some(What::Jobs) => show("jobs", jobs::run()?),
        Some(What::Listener) => {}
        None => {
            show("codec", codec::run("", "")?);
            show("transport", transport::run()?);
            show("jobs", jobs::run()?);
        }
    }
    if arguments.json {
        println!("{figures}");
    }
    Ok(())
}
