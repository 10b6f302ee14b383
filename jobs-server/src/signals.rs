//! Signals that end the program: the first one politely, the second one at once.

use std::future::Future;
use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::info;

use crate::output;

/// Whether somebody wants the program to end. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Listens to SIGINT, SIGTERM and SIGQUIT from now on. A second signal ends the program with exit code 1, after
    /// `at_once` has run.
    pub(crate) fn listen(at_once: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut quit = signal(SignalKind::quit())?;
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            let mut next = async || {
                tokio::select! {
                    _ = interrupt.recv() => "SIGINT",
                    _ = terminate.recv() => "SIGTERM",
                    _ = quit.recv() => "SIGQUIT",
                }
            };
            let name = next().await;
            info!(signal = name, "stopping; a second signal forces the exit");
            // Whoever listened may have ended already.
            let _ = sender.send(true);
            next().await;
            at_once();
            output::error_line("exit forced by a second signal");
            std::process::exit(1);
        });
        Ok(Self(receiver))
    }

    /// Resolves when the program is to end.
    pub(crate) async fn requested(&self) {
        // An error means that the listening task is gone, which happens only when the runtime ends.
        let _ = self.0.clone().wait_for(|requested| *requested).await;
    }

    /// Whether the program is to end.
    pub(crate) fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// The result of `work`, or `None` when the program is to end before it is there; `work` is then dropped.
    pub(crate) async fn or<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.requested() => None,
            result = work => Some(result),
        }
    }
}
