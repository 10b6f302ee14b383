//! A wire that can be cut: it forwards connections to a peer and breaks them where it is told to.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Where one connection breaks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// After so many octets from the client have gone through.
    ToPeer(usize),
    /// After so many octets from the peer have gone through.
    ToClient(usize),
}

pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    cuts_left: Arc<Mutex<VecDeque<Cut>>>,
    /// Changes break all connections.
    broken: watch::Sender<usize>,
    connections: Arc<AtomicUsize>,
}

impl Wire {
    /// Forwards to a peer; each cut is for one connection, and those after the last are left alone.
    pub(crate) async fn to(peer: SocketAddr, cuts: impl IntoIterator<Item = Cut>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cuts_left = Arc::new(Mutex::new(cuts.into_iter().collect::<VecDeque<_>>()));
        let broken = watch::Sender::new(0);
        let connections = Arc::new(AtomicUsize::new(0));
        let (cuts, breaks, count) = (Arc::clone(&cuts_left), broken.clone(), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let cut = cuts.lock().unwrap().pop_front();
                let mut broken = breaks.subscribe();
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(peer).await else { return };
                    let (near_in, near_out) = near.into_split();
                    let (far_in, far_out) = far.into_split();
                    let (to_peer, to_client) = match cut {
                        None => (usize::MAX, usize::MAX),
                        Some(Cut::ToPeer(octets)) => (octets, usize::MAX),
                        Some(Cut::ToClient(octets)) => (usize::MAX, octets),
                    };
                    tokio::select! {
                        () = forward(near_in, far_out, to_peer) => {}
                        () = forward(far_in, near_out, to_client) => {}
                        _ = broken.changed() => {}
                    }
                });
            }
        });
        Self { address, cuts_left, broken, connections }
    }

    /// Breaks all connections now.
    pub(crate) fn cut(&self) {
        self.broken.send_modify(|times| *times += 1);
    }

    /// Whether every cut has been made.
    pub(crate) fn is_calm(&self) -> bool {
        self.cuts_left.lock().unwrap().is_empty()
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Forwards until an end, or until so many octets have gone through.
async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut octets: usize) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let through = read.min(octets);
        octets -= through;
        if to.write_all(&buffer[..through]).await.is_err() || octets == 0 {
            return;
        }
    }
}
