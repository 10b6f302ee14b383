//! What is going to happen to each job of the demo, known from its number alone.

use std::time::Duration;

use super::Abilities;

/// One job of this many is delayed, and one fails for good.
const RARE: u64 = 100;

/// The first delayed and the first failing job: early, so that a small demo has both.
const FIRST_DELAYED: u64 = 2;
const FIRST_DEAD: u64 = 4;

/// How long delayed jobs wait: three different times, so that they do not all come at once. Whole tenths of a second,
/// which brokers that delay by means of queues need not round.
pub(super) const DELAYS: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_millis(700), Duration::from_millis(900)];

/// What happens to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It runs once.
    Plain,
    /// It fails once, goes back with a header, and runs again.
    Retried,
    /// It runs once, not before this time has passed.
    Delayed(Duration),
    /// It fails for good and becomes a dead letter.
    Dead,
}

/// The fates of all jobs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fates {
    fail_rate: f64,
    abilities: Abilities,
}

impl Fates {
    pub(super) fn new(fail_rate: f64, abilities: Abilities) -> Self {
        Self { fail_rate, abilities }
    }

    /// The fate of the job with this number, from 0.
    pub(super) fn of(&self, number: u64) -> Fate {
        match number % RARE {
            FIRST_DELAYED if self.abilities.delay => Fate::Delayed(delay_of(number / RARE)),
            FIRST_DEAD if self.abilities.dead_letter => Fate::Dead,
            _ if self.fails_once(number) => Fate::Retried,
            _ => Fate::Plain,
        }
    }

    /// What the broker cannot do.
    pub(super) fn left_out(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        if !self.abilities.delay {
            missing.push("delayed jobs");
        }
        if !self.abilities.dead_letter {
            missing.push("dead letters");
        }
        missing
    }

    /// Spreads the share evenly: true where the number of failures that are due makes a step.
    fn fails_once(&self, number: u64) -> bool {
        let due =
            |number: u64| (f64::from(u32::try_from(number).unwrap_or(u32::MAX)) * self.fail_rate).ceil();
        due(number + 1) > due(number)
    }
}

/// One of the delays after the other.
fn delay_of(turn: u64) -> Duration {
    let [first, second, third] = DELAYS;
    match turn % 3 {
        0 => first,
        1 => second,
        _ => third,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(fail_rate: f64, able: bool) -> Vec<Fate> {
        let fates = Fates::new(fail_rate, Abilities { declare: able, delay: able, dead_letter: able });
        (0..1000).map(|number| fates.of(number)).collect()
    }

    #[test]
    fn shares_are_as_asked_for() {
        let all = fates(0.05, true);
        assert_eq!(all.iter().filter(|fate| matches!(fate, Fate::Delayed(_))).count(), 10);
        assert_eq!(all.iter().filter(|fate| **fate == Fate::Dead).count(), 10);
        assert_eq!(all.iter().filter(|fate| **fate == Fate::Retried).count(), 50);
    }

    #[test]
    fn the_first_ten_jobs_show_everything() {
        let all = fates(0.05, true);
        let first = &all[..10];
        assert!(
            first.contains(&Fate::Retried) && first.contains(&Fate::Dead) && first.contains(&Fate::Plain)
        );
        assert!(first.iter().any(|fate| matches!(fate, Fate::Delayed(_))));
    }

    #[test]
    fn what_the_broker_cannot_do_is_left_out() {
        assert!(fates(0.0, false).iter().all(|fate| *fate == Fate::Plain));
        assert!(fates(1.0, false).iter().all(|fate| *fate == Fate::Retried));
    }
}
