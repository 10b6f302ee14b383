//! Waiting for conditions under a deadline, never for a time to pass.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

/// How long to pause between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(20);

/// Calls `look` until it answers `Ok` and returns what it found.
///
/// # Panics
/// When that has not happened within `limit`; the message has `what` was awaited and the last `Err`.
pub fn eventually<T, E: Debug>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match look() {
            Ok(found) => return found,
            Err(instead) if Instant::now() >= deadline => {
                panic!("{what}: not within {limit:?}; last seen: {instead:?}")
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// [`eventually`] for a test that runs on tokio: the pauses let other tasks run.
///
/// # Panics
/// As [`eventually`] does.
pub async fn eventually_async<T, E: Debug>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<T, E>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match look() {
            Ok(found) => return found,
            Err(instead) if Instant::now() >= deadline => {
                panic!("{what}: not within {limit:?}; last seen: {instead:?}")
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// The output of `future`, which must come within `limit`.
///
/// # Panics
/// When it does not.
pub async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, future).await {
        Ok(output) => output,
        Err(_) => panic!("not finished within {limit:?}"),
    }
}
