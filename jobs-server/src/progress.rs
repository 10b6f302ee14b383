//! How far a long command is: a bar on a terminal, a plain line every second elsewhere.

use std::fmt;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::output;

/// Pause between two plain lines.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// Where plain lines go. A bar is always drawn on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lines {
    /// People read standard output.
    Stdout,
    /// A machine reads standard output.
    Stderr,
}

/// A bar or lines.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    lines: Lines,
    total: u64,
    started: Instant,
    last_line: Instant,
}

impl Progress {
    /// For `total` steps.
    pub(crate) fn new(total: u64, lines: Lines) -> Self {
        let bar = std::io::IsTerminal::is_terminal(&std::io::stderr()).then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos}/{len} {rate} {msg}") {
                // The bar's own figure has four digits behind the point.
                let rate = |state: &ProgressState, text: &mut dyn fmt::Write| {
                    // A line that cannot be written is not worth an error.
                    let _ = write!(text, "{:.0}/s", state.per_sec());
                };
                bar.set_style(style.with_key("rate", rate));
            }
            bar
        });
        let now = Instant::now();
        Self { bar, lines, total, started: now, last_line: now }
    }

    /// `done` steps of the total are done; `message` says more. To be called several times a second.
    pub(crate) fn show(&mut self, done: u64, message: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_message(message.to_owned());
                bar.set_position(done);
            }
            None if self.last_line.elapsed() >= LINE_INTERVAL => {
                self.last_line = Instant::now();
                let text = format!(
                    "{:>4} s  {done} of {}{}{message}",
                    self.started.elapsed().as_secs(),
                    self.total,
                    if message.is_empty() { "" } else { ", " }
                );
                match self.lines {
                    Lines::Stdout => output::line(&text),
                    Lines::Stderr => output::note(&text),
                }
            }
            None => {}
        }
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
