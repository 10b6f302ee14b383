//! Delays for which there is a queue each. A time-to-live only fires at the head of a queue, so one queue serves one
//! delay; rounding up keeps their number small.

use std::time::Duration;

/// Up to the first number (milliseconds), delays are rounded up to multiples of the second.
const STEPS: [(u64, u64); 8] = [
    (1_000, 100),
    (20_000, 1_000),
    (60_000, 5_000),
    (300_000, 15_000),
    (3_600_000, 60_000),
    (21_600_000, 600_000),
    (86_400_000, 1_800_000),
    (u64::MAX, 21_600_000),
];
/// Longest time-to-live that RabbitMQ takes, rounded down: about 49 days.
const LONGEST: u64 = 4_294_900_000;

/// The bucket for `delay`, in milliseconds: the next of `own` if there are any (the last for longer ones), else by steps.
pub(crate) fn bucket(delay: Duration, own: &[Duration]) -> u64 {
    let millis =
        |d: Duration| u64::try_from(d.as_micros().div_ceil(1000)).unwrap_or(u64::MAX).clamp(1, LONGEST);
    let wanted = millis(delay);
    if !own.is_empty() {
        let mut own: Vec<u64> = own.iter().copied().map(millis).collect();
        own.sort_unstable();
        return own
            .iter()
            .copied()
            .find(|bucket| *bucket >= wanted)
            .or(own.last().copied())
            .unwrap_or(wanted);
    }
    let step = STEPS.iter().find(|(upto, _)| wanted <= *upto).map_or(1, |(_, step)| *step);
    wanted.div_ceil(step).saturating_mul(step).min(LONGEST)
}
