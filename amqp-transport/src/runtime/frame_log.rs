//! The frame log that the environment asks for: `AMQP_LOG=frames`.

use crate::engine::FrameLog;
use std::io::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Variable of the environment: words with commas between them.
const VARIABLE: &str = "AMQP_LOG";

/// The word that turns the frame log on.
const FRAMES: &str = "frames";

/// The log for a connection, with a name that no other one of this process has.
pub(crate) fn frame_log(chosen: Option<&FrameLog>, side: &str) -> FrameLog {
    static FROM_ENVIRONMENT: OnceLock<FrameLog> = OnceLock::new();
    static CONNECTIONS: AtomicU64 = AtomicU64::new(1);
    let log = chosen.unwrap_or_else(|| FROM_ENVIRONMENT.get_or_init(from_environment));
    log.clone().named(format!("{side}-{}", CONNECTIONS.fetch_add(1, Ordering::Relaxed)))
}

fn from_environment() -> FrameLog {
    match std::env::var(VARIABLE) {
        Ok(words) if asks_for_frames(&words) => FrameLog::to(|line| {
            // Who closed standard error does not want the log.
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        }),
        _ => FrameLog::off(),
    }
}

fn asks_for_frames(words: &str) -> bool {
    words.split(',').any(|word| word.trim().eq_ignore_ascii_case(FRAMES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_among_others_turns_the_log_on() {
        for (words, is_on) in [
            ("frames", true),
            ("FRAMES", true),
            ("other, frames", true),
            ("", false),
            ("frame", false),
            ("debug", false),
        ] {
            assert_eq!(asks_for_frames(words), is_on, "{words}");
        }
    }
}
