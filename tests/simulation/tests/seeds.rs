//! The simulation as part of every test run; `tests/simulate` runs many more seeds, faster.

use simulation::run;

const SEEDS: u64 = 300;

#[test]
fn no_seed_finds_a_fault() {
    let mut deliveries = 0;
    for seed in 0..SEEDS {
        match run(seed) {
            Ok(report) => deliveries += report.deliveries,
            Err(failure) => {
                let trace = failure.trace.join("\n");
                panic!(
                    "{trace}\nseed {seed}: {}\nagain: tests/simulate --seeds 1 --from {seed} --trace",
                    failure.what
                );
            }
        }
    }
    assert!(deliveries > SEEDS, "only {deliveries} deliveries: too little happens");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [3, 17, 99] {
        let (_, first) = simulation::run_traced(seed);
        let (_, second) = simulation::run_traced(seed);
        assert!(first.len() > 10 && first == second, "seed {seed} runs differently the second time");
    }
}
