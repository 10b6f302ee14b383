//! `rr-jobs`: runs RoadRunner job workers on any AMQP 1.0 broker.
//!
//! Only the wiring is here: read the command line, run the command, turn an error into one line and an exit code.

mod cli;
mod demo;
mod driver;
mod embedded;
mod failure;
mod goridge;
mod logging;
mod output;
mod progress;
mod pusher;
mod signals;
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| failure::Failure::new(format!("cannot start the runtime: {error}")))
        .and_then(|runtime| runtime.block_on(cli.run()));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::error_line(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}
