//! The command line of the simulation; `tests/simulate` starts it.

use simulation::{Failure, Report, run, run_traced};
use std::io::{IsTerminal, Write, stderr};
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const HELP: &str = "\
tests/simulate [OPTIONS]

Runs two AMQP engines on a simulated hostile network, one run for each seed, and keeps an account of every delivery. With
every eighth seed (7, 15, 23, …) engines talk to the embedded broker instead of each other. A seed gives the same run
everywhere.

Options
  --seeds N    how many seeds (1000)
  --from S     the first one (0)
  --jobs J     how many at a time (as many as the machine has processors)
  --trace      print what happens in each run, frame by frame
  --json       print the result as one JSON object
  --help       this text

What is found is printed with its seed, the last steps before it, and the command that finds it again. The exit code is 0 if
nothing was found, 1 if something was, 2 if the command line is wrong.";

/// Faults after which it stops.
const ENOUGH: usize = 5;

/// Steps shown before a fault.
const STEPS_SHOWN: usize = 80;

struct Options {
    seeds: u64,
    from: u64,
    jobs: usize,
    is_traced: bool,
    is_json: bool,
}

fn options() -> Result<Option<Options>, String> {
    let jobs = std::thread::available_parallelism().map_or(1, NonZero::get);
    let mut options = Options { seeds: 1000, from: 0, jobs, is_traced: false, is_json: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let given = arguments.next().ok_or_else(|| format!("{argument} needs a number"))?;
            given.parse::<u64>().map_err(|_| format!("{argument} needs a number, not {given:?}"))
        };
        match argument.as_str() {
            "--seeds" => options.seeds = number()?,
            "--from" => options.from = number()?,
            "--jobs" => options.jobs = usize::try_from(number()?).unwrap_or(1).clamp(1, 1024),
            "--trace" => options.is_traced = true,
            "--json" => options.is_json = true,
            "-h" | "--help" => return Ok(None),
            other => return Err(format!("unknown argument {other} (see --help)")),
        }
    }
    Ok(Some(options))
}

/// What all runs together gave.
#[derive(Default)]
struct Sum {
    report: Report,
    failures: Vec<Failure>,
}

impl Sum {
    const fn add(&mut self, report: Report) {
        self.report.deliveries += report.deliveries;
        self.report.outcomes += report.outcomes;
        self.report.frames += report.frames;
        self.report.transfers += report.transfers;
        self.report.connections += report.connections;
        self.report.cuts += report.cuts;
    }
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("tests/simulate: {error}");
            return ExitCode::from(2);
        }
    };
    // A panic is reported with its seed; the usual lines would only stand in between.
    std::panic::set_hook(Box::new(|_| {}));
    let start = Instant::now();
    let (sum, done) = if options.is_traced { trace(&options) } else { simulate(&options, start) };
    tell(&options, &sum, done, start.elapsed());
    if sum.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs all seeds on as many threads as asked for.
fn simulate(options: &Options, start: Instant) -> (Sum, u64) {
    let next = AtomicU64::new(0);
    let done = AtomicU64::new(0);
    let is_over = AtomicBool::new(false);
    let sum = Mutex::new(Sum::default());
    std::thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= options.seeds {
                        break;
                    }
                    let result = run(options.from.wrapping_add(index));
                    let mut sum = sum.lock().unwrap_or_else(|broken| broken.into_inner());
                    done.fetch_add(1, Ordering::Relaxed);
                    match result {
                        Ok(report) => sum.add(report),
                        Err(failure) => {
                            sum.failures.push(failure);
                            if sum.failures.len() >= ENOUGH {
                                is_over.store(true, Ordering::Relaxed);
                            }
                        }
                    }
                }
            });
        }
        progress(options, &done, &is_over, start);
    });
    let mut sum = sum.into_inner().unwrap_or_else(|broken| broken.into_inner());
    sum.failures.sort_by_key(|failure| failure.seed);
    (sum, done.into_inner())
}

/// Shows how far it is: in place on a terminal, a line now and then elsewhere.
fn progress(options: &Options, done: &AtomicU64, is_over: &AtomicBool, start: Instant) {
    let is_terminal = stderr().is_terminal();
    let pause = Duration::from_millis(if is_terminal { 200 } else { 10_000 });
    let mut shown = Instant::now();
    while done.load(Ordering::Relaxed) < options.seeds && !is_over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(20));
        if shown.elapsed() >= pause && !options.is_json {
            shown = Instant::now();
            let done = done.load(Ordering::Relaxed);
            let line = format!("{done} of {} seeds, {} a second", options.seeds, rate(done, start.elapsed()));
            let _ =
                if is_terminal { write!(stderr(), "\r\x1b[K{line}") } else { writeln!(stderr(), "{line}") };
        }
    }
    if is_terminal && !options.is_json {
        let _ = write!(stderr(), "\r\x1b[K");
    }
}

/// Runs one seed after the other and prints what happens.
fn trace(options: &Options) -> (Sum, u64) {
    let mut sum = Sum::default();
    for index in 0..options.seeds {
        let seed = options.from.wrapping_add(index);
        println!("== seed {seed}");
        let (result, lines) = run_traced(seed);
        for line in lines {
            println!("{line}");
        }
        match result {
            Ok(report) => sum.add(report),
            Err(failure) => sum.failures.push(Failure { trace: Vec::new(), ..failure }),
        }
    }
    (sum, options.seeds)
}

fn rate(seeds: u64, elapsed: Duration) -> u64 {
    let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    seeds.saturating_mul(1000) / milliseconds
}

fn tell(options: &Options, sum: &Sum, done: u64, elapsed: Duration) {
    let report = sum.report;
    let rate = rate(done, elapsed);
    if options.is_json {
        let failures: Vec<_> = sum
            .failures
            .iter()
            .map(|failure| format!("{{\"seed\":{},\"what\":{:?}}}", failure.seed, ascii(&failure.what)))
            .collect();
        println!(
            "{{\"seeds\":{done},\"from\":{},\"seconds\":{:.3},\"seeds_per_second\":{rate},\"deliveries\":{},\
             \"outcomes\":{},\"frames\":{},\"transfers\":{},\"connections\":{},\"cuts\":{},\"failures\":[{}]}}",
            options.from,
            elapsed.as_secs_f64(),
            report.deliveries,
            report.outcomes,
            report.frames,
            report.transfers,
            report.connections,
            report.cuts,
            failures.join(",")
        );
        return;
    }
    for failure in &sum.failures {
        println!("== seed {}: {}", failure.seed, failure.what);
        let skipped = failure.trace.len().saturating_sub(STEPS_SHOWN);
        if skipped > 0 {
            println!("   ({skipped} lines before)");
        }
        for line in failure.trace.iter().skip(skipped) {
            println!("{line}");
        }
        println!("again: tests/simulate --seeds 1 --from {} --trace", failure.seed);
    }
    println!(
        "{done} seeds in {:.1} s ({rate} a second): {} connections, {} cuts, {} frames, {} of them transfers, {} deliveries, {} outcomes",
        elapsed.as_secs_f64(),
        report.connections,
        report.cuts,
        report.frames,
        report.transfers,
        report.deliveries,
        report.outcomes
    );
    println!(
        "{} found",
        if sum.failures.is_empty() { "nothing".to_owned() } else { format!("{} faults", sum.failures.len()) }
    );
}

/// Text that a JSON string can hold as it is.
fn ascii(text: &str) -> String {
    text.chars()
        .map(|character| if character.is_ascii() && !character.is_control() { character } else { '?' })
        .collect()
}
