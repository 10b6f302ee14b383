//! Which queues were seen on the broker a while ago, so that not every job has to look for its queue.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// How long a queue that was there is taken to be there.
const THERE: Duration = Duration::from_secs(30);
/// How long a queue that was not there is not looked for again.
const MISSING: Duration = Duration::from_secs(1);
/// Queues that are remembered at most; their names come from jobs.
const MOST: usize = 1024;

/// Queues, when they were looked for, and why they could not be used, if so.
#[derive(Debug, Default)]
pub(crate) struct Sightings {
    by_queue: HashMap<String, (Instant, Result<(), String>)>,
}

impl Sightings {
    /// What was seen of a queue, if that was not too long ago.
    pub(crate) fn get(&self, queue: &str, now: Instant) -> Option<Result<(), String>> {
        self.by_queue.get(queue).filter(|seen| is_fresh(seen, now)).map(|(_, found)| found.clone())
    }

    /// Remembers what was seen of a queue.
    pub(crate) fn keep(&mut self, queue: &str, found: Result<(), String>, now: Instant) {
        if self.by_queue.len() >= MOST {
            self.by_queue.retain(|_, seen| is_fresh(seen, now));
        }
        if self.by_queue.len() < MOST {
            self.by_queue.insert(queue.to_owned(), (now, found));
        }
    }

    /// Looks again at the next question.
    pub(crate) fn forget(&mut self, queue: &str) {
        self.by_queue.remove(queue);
    }
}

fn is_fresh((since, found): &(Instant, Result<(), String>), now: Instant) -> bool {
    now.duration_since(*since) < if found.is_ok() { THERE } else { MISSING }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_kept_for_a_while_and_is_bounded() {
        let (mut seen, start) = (Sightings::default(), Instant::now());
        assert_eq!(seen.get("q", start), None);
        seen.keep("q", Ok(()), start);
        seen.keep("none", Err("no".to_owned()), start);
        assert_eq!(seen.get("q", start), Some(Ok(())));
        assert_eq!(seen.get("none", start), Some(Err("no".to_owned())));
        let later = start + MISSING;
        assert_eq!((seen.get("q", later), seen.get("none", later)), (Some(Ok(())), None));
        seen.forget("q");
        assert_eq!(seen.get("q", later), None);
        for n in 0..2 * MOST {
            seen.keep(&n.to_string(), Ok(()), later);
        }
        assert!(seen.by_queue.len() <= MOST);
        seen.keep("q", Ok(()), later + THERE);
        assert_eq!(seen.by_queue.len(), 1);
    }
}
