//! The I/O task of a connection. It reads as a list of steps: write what waits, read what came, look at the clock.

use super::clock::now;
use super::input::Input;
use super::shared::Shared;
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::Sleep;

/// Buffers handed to one vectored write.
const WRITE_SLICES: usize = 64;

/// Unsent output beyond which the engine keeps the rest, if fewer octets may not wait anyway. Well below [`MAX_UNSENT`]: two peers that send as much as they can
/// must not both stop reading.
const STUCK_AT: usize = 1024 * 1024;

/// Unsent output beyond which no more input is taken, so that a peer that never reads cannot make us grow.
const MAX_UNSENT: usize = 8 * 1024 * 1024;

/// Octets that are read before others on the same thread have their turn. They take what has come while it is in the
/// processor's cache, and the room that it is in can be used again.
const TURN: usize = 512 * 1024;

/// How often the clock is looked at while the peer does not read.
const STUCK_PAUSE: Duration = Duration::from_millis(500);

/// How long the last octets, and the peer's end of stream, may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// Nobody waits for a task that is gone: because the runtime is, or because code of the application panicked in it.
struct Alive<'a>(&'a Shared);

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        // Nothing, if the connection is over.
        self.0.drive(|engine| engine.handle_lost("the task of the connection is gone"));
    }
}

/// Carries octets between the transport and the engine until the connection is over.
pub(crate) async fn drive<T: AsyncRead + AsyncWrite + Unpin>(shared: Arc<Shared>, mut transport: T) {
    let _alive = Alive(&shared);
    let mut driver = Driver {
        input: Input::new(),
        missing: 0,
        turn: 0,
        has_read: false,
        output: VecDeque::new(),
        unsent: 0,
        stuck_at: shared.look(|state| state.engine.limits().max_queued_bytes).clamp(1, STUCK_AT),
        backlog: 0,
        has_deadline: false,
        needs_flush: false,
        shared: &shared,
    };
    let mut timer = pin!(tokio::time::sleep(Duration::ZERO));
    while !driver.collect(timer.as_mut()) {
        driver.step(&mut transport, false, timer.as_mut()).await;
        if driver.turn >= TURN {
            driver.turn = 0;
            tokio::task::yield_now().await;
        }
    }
    if let Some(reason) = shared.look(|state| state.engine.end().cloned()) {
        tracing::debug!(%reason, "connection ended");
    }
    // It comes once, at the end: no connection is to hold room for it all the time.
    Box::pin(driver.leave(&mut transport, timer)).await;
}

struct Driver<'a> {
    input: Input,
    /// Octets that are known to be missing of the frame that is arriving.
    missing: usize,
    /// Octets read since others had their turn.
    turn: usize,
    /// Something came since the timer fired last.
    has_read: bool,
    output: VecDeque<Bytes>,
    unsent: usize,
    /// Unsent octets beyond which the engine keeps the rest.
    stuck_at: usize,
    /// Octets that wait in the engine.
    backlog: usize,
    has_deadline: bool,
    needs_flush: bool,
    shared: &'a Shared,
}

impl Driver<'_> {
    /// Takes what the engine wants written and sets the timer. True once the connection is over.
    fn collect(&mut self, timer: Pin<&mut Sleep>) -> bool {
        let now = now();
        let output = &mut self.output;
        let before = output.len();
        // While much waits for the socket the engine keeps the rest: its queues are the ones that push back.
        let is_stuck = output.len() >= WRITE_SLICES || self.unsent >= self.stuck_at;
        let (deadline, is_ended, backlog) = self.shared.drive(|engine| {
            engine.handle_timeout(now);
            if !is_stuck || engine.is_ended() {
                engine.poll_output(output, now);
            }
            (engine.deadline(), engine.is_ended(), engine.queued_bytes())
        });
        self.backlog = backlog;
        self.has_deadline = deadline.is_some();
        self.unsent += output.iter().skip(before).map(Bytes::len).sum::<usize>();
        self.shared.unsent.store(self.unsent, Ordering::Relaxed);
        // A heartbeat that is due cannot leave either: it must not turn this task into a busy loop.
        let soonest = if is_stuck { now + STUCK_PAUSE } else { now };
        if let Some(deadline) = deadline.map(|deadline| deadline.max(soonest)) {
            let deadline = tokio::time::Instant::from_std(deadline);
            // Deadlines move with each octet that comes or goes. A timer that fires too early is cheaper than one that is
            // set again each time.
            if timer.is_elapsed() || deadline < timer.deadline() {
                timer.reset(deadline);
            }
        }
        is_ended
    }

    /// Writes the last octets, and waits until the peer has ended the stream too.
    async fn leave<T: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        transport: &mut T,
        mut timer: Pin<&mut Sleep>,
    ) {
        let farewell = async {
            while !self.output.is_empty() || self.needs_flush {
                self.step(transport, true, timer.as_mut()).await;
            }
        };
        if tokio::time::timeout(GOODBYE, farewell).await.is_err() {
            tracing::debug!("the peer did not read the last octets in time");
        }
        // The write side first: a reset could destroy what the peer has not read yet.
        let _ = tokio::time::timeout(GOODBYE, async {
            transport.shutdown().await?;
            tokio::io::copy(transport, &mut tokio::io::sink()).await
        })
        .await;
    }

    /// Waits until something can be done and does it.
    async fn step<T: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        transport: &mut T,
        is_ended: bool,
        mut timer: Pin<&mut Sleep>,
    ) {
        let mut told = pin!(self.shared.wake_driver.notified());
        poll_fn(|cx| {
            let mut progress = false;
            match self.poll_write(transport, cx) {
                Poll::Ready(Ok(written)) => progress |= written,
                Poll::Ready(Err(error)) => {
                    // What has arrived already may be the peer's close, which says more than a broken pipe.
                    self.forget_output();
                    if is_ended || !matches!(self.poll_read(transport, cx), Poll::Ready(Ok(()))) {
                        self.lost(&error);
                    }
                    return Poll::Ready(());
                }
                Poll::Pending => {}
            }
            if !is_ended && self.unsent + self.backlog < MAX_UNSENT {
                match self.poll_read(transport, cx) {
                    Poll::Ready(Ok(())) => progress = true,
                    Poll::Ready(Err(error)) => {
                        self.lost(&error);
                        return Poll::Ready(());
                    }
                    Poll::Pending => {}
                }
            }
            if !is_ended {
                progress |= told.as_mut().poll(cx).is_ready();
                // A timer that has fired stays ready: without a deadline it is not asked.
                if self.has_deadline && timer.as_mut().poll(cx).is_ready() {
                    progress = true;
                    self.on_deadline();
                }
            }
            if progress {
                return Poll::Ready(());
            }
            self.turn = 0;
            Poll::Pending
        })
        .await;
    }

    /// A connection to which nothing has come since the last time keeps no room.
    fn on_deadline(&mut self) {
        if !std::mem::take(&mut self.has_read) {
            self.input.rest();
        }
    }

    /// True if something was written.
    fn poll_write<T: AsyncWrite + Unpin>(
        &mut self,
        transport: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<bool>> {
        let mut wrote = false;
        while !self.output.is_empty() {
            let slices: Vec<_> =
                self.output.iter().take(WRITE_SLICES).map(|chunk| IoSlice::new(chunk)).collect();
            let written = match Pin::new(&mut *transport).poll_write_vectored(cx, &slices) {
                Poll::Ready(written) => written?,
                Poll::Pending => return if wrote { Poll::Ready(Ok(true)) } else { Poll::Pending },
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
            wrote = true;
            self.needs_flush = true;
        }
        if self.needs_flush {
            ready!(Pin::new(transport).poll_flush(cx))?;
            self.needs_flush = false;
            wrote = true;
        }
        Poll::Ready(Ok(wrote))
    }

    fn advance(&mut self, mut written: usize) {
        self.unsent = self.unsent.saturating_sub(written);
        while let Some(chunk) = self.output.front_mut() {
            if written < chunk.len() {
                chunk.advance(written);
                return;
            }
            written -= chunk.len();
            self.output.pop_front();
        }
    }

    fn poll_read<T: AsyncRead + Unpin>(
        &mut self,
        transport: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(self.input.poll_read(transport, self.missing, cx))?;
        if read == 0 {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the peer ended the stream",
            )));
        }
        self.turn += read;
        self.has_read = true;
        let input = self.input.octets();
        let now = now();
        self.missing = self.shared.drive(|engine| {
            engine.handle_input(input, now);
            engine.missing(input)
        });
        self.input.on_taken();
        Poll::Ready(Ok(()))
    }

    fn forget_output(&mut self) {
        self.output.clear();
        self.unsent = 0;
        self.needs_flush = false;
    }

    fn lost(&mut self, error: &io::Error) {
        self.forget_output();
        self.shared.drive(|engine| engine.handle_lost(&error.to_string()));
    }
}
