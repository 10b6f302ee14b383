//! A stream in memory between an engine and the broker: what is on it, and whether it still holds, is the simulation's to say.

use bytes::{Buf, BytesMut};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[derive(Debug, Default)]
struct State {
    /// Octets that the broker may read.
    to_broker: BytesMut,
    /// Octets that it has written.
    from_broker: BytesMut,
    /// Beyond these it has to wait.
    capacity: usize,
    /// Nothing more comes from the client.
    is_ended: bool,
    /// The broker writes no more.
    is_shut: bool,
    is_broken: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// Both ends hold one.
#[derive(Debug, Clone)]
pub(super) struct Wire(Arc<Mutex<State>>);

impl Wire {
    pub(super) fn new(capacity: usize) -> Self {
        Self(Arc::new(Mutex::new(State { capacity, ..State::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts octets where the broker reads.
    pub(super) fn put(&self, octets: &[u8]) {
        let mut state = self.lock();
        state.to_broker.extend_from_slice(octets);
        wake(&mut state.reader);
    }

    /// Takes octets that the broker has written, at most so many; and whether there will be more.
    pub(super) fn get(&self, most: usize) -> (BytesMut, bool) {
        let mut state = self.lock();
        let most = most.min(state.from_broker.len());
        let octets = state.from_broker.split_to(most);
        wake(&mut state.writer);
        (octets, !(state.from_broker.is_empty() && state.is_shut))
    }

    /// The client ends the stream in order.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.is_ended = true;
        wake(&mut state.reader);
    }

    /// The network breaks: the broker reads so many octets of what is under way, and then finds out.
    pub(super) fn cut(&self, kept: usize) {
        let mut state = self.lock();
        state.is_broken = true;
        state.to_broker.truncate(kept);
        state.from_broker.clear();
        wake(&mut state.reader);
        wake(&mut state.writer);
    }

    /// Nothing is under way in either direction.
    pub(super) fn is_empty(&self) -> bool {
        let state = self.lock();
        state.to_broker.is_empty() && state.from_broker.is_empty()
    }

    /// Octets that the broker has not read.
    pub(super) fn unread(&self) -> usize {
        self.lock().to_broker.len()
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        if !state.to_broker.is_empty() {
            let size = buffer.remaining().min(state.to_broker.len());
            buffer.put_slice(&state.to_broker[..size]);
            state.to_broker.advance(size);
            return Poll::Ready(Ok(()));
        }
        if state.is_broken {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if state.is_ended {
            return Poll::Ready(Ok(()));
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.lock();
        if state.is_broken {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let room = state.capacity.saturating_sub(state.from_broker.len());
        if room == 0 {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let size = room.min(octets.len());
        state.from_broker.extend_from_slice(&octets[..size]);
        Poll::Ready(Ok(size))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().is_shut = true;
        Poll::Ready(Ok(()))
    }
}
