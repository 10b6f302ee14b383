//! The I/O task of a connection. It reads as a list of steps: write what waits, read what came, look at the clock.

use super::shared::Shared;
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Sleep;

/// Room for one read at most. Large enough for many small frames, small enough to stay in the cache.
const READ_BUFFER: usize = 64 * 1024;

/// Room for the first reads: a connection that is idle, or that has one small message under way at a time, needs no more.
const FIRST_READ_BUFFER: usize = 2 * 1024;

/// Buffers handed to one vectored write.
const WRITE_SLICES: usize = 64;

/// Unsent output beyond which no more input is taken, so that a peer that never reads cannot make us grow.
const MAX_UNSENT: usize = 8 * 1024 * 1024;

/// How often the clock is looked at while the peer does not read.
const STUCK_PAUSE: Duration = Duration::from_millis(500);

/// How long the last octets, and the peer's end of stream, may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// Carries octets between the transport and the engine until the connection is over.
pub(crate) async fn drive<T: AsyncRead + AsyncWrite + Unpin>(shared: Arc<Shared>, mut transport: T) {
    let mut driver = Driver {
        input: BytesMut::with_capacity(FIRST_READ_BUFFER),
        read_size: FIRST_READ_BUFFER,
        output: VecDeque::new(),
        unsent: 0,
        backlog: 0,
        has_deadline: false,
        needs_flush: false,
        shared: &shared,
    };
    let mut timer = pin!(tokio::time::sleep(Duration::ZERO));
    while !driver.collect(timer.as_mut()) {
        driver.step(&mut transport, false, timer.as_mut()).await;
    }
    if let Some(reason) = shared.look(|state| state.engine.end().cloned()) {
        tracing::debug!(%reason, "connection ended");
    }
    let farewell = async {
        while !driver.output.is_empty() || driver.needs_flush {
            driver.step(&mut transport, true, timer.as_mut()).await;
        }
    };
    if tokio::time::timeout(GOODBYE, farewell).await.is_err() {
        tracing::debug!("the peer did not read the last octets in time");
    }
    // The write side first: a reset could destroy what the peer has not read yet.
    let _ = tokio::time::timeout(GOODBYE, async {
        transport.shutdown().await?;
        while transport.read_buf(&mut driver.input).await? > 0 {
            driver.input.clear();
        }
        io::Result::Ok(())
    })
    .await;
}

struct Driver<'a> {
    input: BytesMut,
    /// Room for one read, as far as reads so far have needed it.
    read_size: usize,
    output: VecDeque<Bytes>,
    unsent: usize,
    /// Octets that wait in the engine.
    backlog: usize,
    has_deadline: bool,
    needs_flush: bool,
    shared: &'a Shared,
}

impl Driver<'_> {
    /// Takes what the engine wants written and sets the timer. True once the connection is over.
    fn collect(&mut self, timer: Pin<&mut Sleep>) -> bool {
        let now = Instant::now();
        let output = &mut self.output;
        let before = output.len();
        // While much waits for the socket the engine keeps the rest: its queues are the ones that push back.
        let is_stuck = output.len() >= WRITE_SLICES;
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
            if timer.deadline() != deadline {
                timer.reset(deadline);
            }
        }
        is_ended
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
                progress |= self.has_deadline && timer.as_mut().poll(cx).is_ready();
            }
            if progress { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
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
        if self.input.capacity() - self.input.len() < self.read_size / 4 {
            self.input.reserve(self.read_size);
        }
        let room = self.input.capacity() - self.input.len();
        let read = ready!(pin!(transport.read_buf(&mut self.input)).poll(cx))?;
        if read == 0 {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the peer ended the stream",
            )));
        }
        if read == room {
            // More waits, so the next read may take more.
            self.read_size = READ_BUFFER.min(self.read_size * 4);
        }
        let input = &mut self.input;
        let now = Instant::now();
        self.shared.drive(|engine| engine.handle_input(input, now));
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
