//! A timing loop: rounds of the candidates take turns, so that what disturbs the machine disturbs them alike.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// How long a round of one candidate is meant to take.
const ROUND: Duration = Duration::from_millis(10);

/// Rounds of each candidate that count.
const ROUNDS: usize = 15;

/// Operations in a round at most.
const MOST: u32 = 100_000_000;

/// One implementation of the work.
pub struct Candidate {
    /// Whose it is.
    pub name: &'static str,
    run: Box<dyn FnMut(u32)>,
}

impl Candidate {
    /// Work to be done again and again. What it gives back is dropped within the time measured.
    pub fn new<T>(name: &'static str, mut work: impl FnMut() -> T + 'static) -> Self {
        let run = move |times| {
            for _ in 0..times {
                black_box(work());
            }
        };
        Self { name, run: Box::new(run) }
    }

    /// Does the work so many times.
    pub fn run(&mut self, times: u32) {
        (self.run)(times);
    }

    fn time(&mut self, times: u32) -> Duration {
        let start = Instant::now();
        self.run(times);
        start.elapsed()
    }

    /// Warms up, and finds out how many operations fill a round.
    fn calibrate(&mut self) -> u32 {
        let mut times = 1;
        while self.time(times) < ROUND && times < MOST {
            times *= 2;
        }
        times
    }
}

/// Nanoseconds that one operation takes.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    /// The median of the rounds.
    pub median: f64,
    /// The fastest round: nearest to what a quiet machine would show.
    pub fastest: f64,
}

/// Times candidates side by side.
pub fn compare(candidates: &mut [Candidate]) -> Vec<Time> {
    let times: Vec<u32> = candidates.iter_mut().map(Candidate::calibrate).collect();
    let mut rounds = vec![Vec::with_capacity(ROUNDS); candidates.len()];
    for _ in 0..ROUNDS {
        for ((candidate, &times), rounds) in candidates.iter_mut().zip(&times).zip(&mut rounds) {
            rounds.push(candidate.time(times).as_secs_f64() * 1e9 / f64::from(times));
        }
    }
    rounds.into_iter().map(summary).collect()
}

fn summary(mut rounds: Vec<f64>) -> Time {
    rounds.sort_by(f64::total_cmp);
    let median = rounds.get(rounds.len() / 2).copied().unwrap_or(f64::NAN);
    Time { median, fastest: rounds.first().copied().unwrap_or(f64::NAN) }
}
