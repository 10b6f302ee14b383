//! Two engines of `amqp_transport` on a hostile network, in one thread and under a clock that is only a number: a seed gives the
//! same run on every machine.
//!
//! Each run draws its circumstances (limits down to the smallest that are legal, numbers just before they wrap, delays, cuts,
//! jumps of the clock) and lets a modelled application on each side do what applications do: begin and end sessions, attach,
//! refuse, steal and detach links, resume those that ended with deliveries unsettled, send messages of one frame or hundreds,
//! whole or part by part, give some up halfway, decide on them in any order and in every way, grant, pause, drain. Sometimes
//! the listener's application is a queue. The network cuts and joins octets, holds them back, and breaks.
//!
//! With every eighth seed several engines are clients of the embedded broker, which runs on a runtime under the same kind of
//! clock: they publish, consume, decide, control transactions, and break off. What was accepted comes out; once, if nothing
//! was cut; of a transaction all or nothing.
//!
//! Two judges watch. A `monitor` beside each engine decodes its octets and keeps books of its own: no frame goes beyond a
//! window, a credit, a frame size or a handle-max, no delivery is settled twice. A `ledger` knows what was handed over and
//! what came of it: everything sent arrives once, unchanged and in order while its link lives, and the sender is told the
//! verdict that was given, or that there is none because the link ended; what is unsettled then is kept, and goes on as both
//! sides' maps say when the link is resumed. At rest nothing is missing and nobody starves; at the
//! end nothing is held.

mod app;
mod broker;
mod draw;
mod honesty;
mod ledger;
mod monitor;
mod plan;
mod queue;
mod random;
mod stream;
mod trace;
mod world;

pub use world::Report;

use broker::Arena;
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::World;

/// A run that found a fault.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The seed that finds it again.
    pub seed: u64,
    /// What is wrong.
    pub what: String,
    /// What happened until then.
    pub trace: Vec<String>,
}

/// Runs one seed. A fault is run again, so that its trace can be told.
///
/// # Errors
/// What was found.
pub fn run(seed: u64) -> Result<Report, Failure> {
    run_once(seed, false).0.map_err(|what| Failure { seed, what, trace: run_once(seed, true).1 })
}

/// Runs one seed and tells what happened.
///
/// # Errors
/// What was found.
pub fn run_traced(seed: u64) -> (Result<Report, Failure>, Vec<String>) {
    match run_once(seed, true) {
        (Ok(report), trace) => (Ok(report), trace),
        (Err(what), trace) => (Err(Failure { seed, what, trace: trace.clone() }), trace),
    }
}

fn run_once(seed: u64, is_traced: bool) -> (Result<Report, String>, Vec<String>) {
    if !is_with_broker(seed) {
        let mut world = World::new(seed, is_traced);
        let done = guarded(|| world.run());
        return (done, world.trace.into_lines());
    }
    match Arena::new(seed, is_traced) {
        Ok(mut arena) => {
            let done = guarded(|| arena.run());
            (done, arena.into_trace())
        }
        Err(error) => (Err(error), Vec::new()),
    }
}

/// Every eighth seed is an engine against the broker, the others are two engines.
const fn is_with_broker(seed: u64) -> bool {
    seed % 8 == 7
}

/// A panic of the engine is a fault like any other.
fn guarded(run: impl FnOnce() -> Result<Report, String>) -> Result<Report, String> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("a panic: {}", text.unwrap_or_default()))
    })
}
