//! Ports and a forwarder on loopback.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

/// A port of 127.0.0.1 that nobody listens on at the moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("the listener's address").port()
}

/// The first of ten ports in a row that nobody listens on, between 25000 and 31990: below the range from which the system
/// picks ports by itself and above the range of `tests/run`.
pub(crate) fn free_block() -> u16 {
    for _ in 0..1000 {
        let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
        let block = u16::try_from(random % 699).expect("less than 699");
        let base = 25_000 + block * 10;
        if (base..base + 10).all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()) {
            return base;
        }
    }
    panic!("no ten free ports in a row between 25000 and 31990");
}

/// Forwards TCP from 127.0.0.2 to a port of 127.0.0.1, so that a server whose certificate is for 127.0.0.1 and `localhost`
/// can be met under an address that the certificate does not have.
#[derive(Debug)]
pub struct Forwarder {
    address: SocketAddr,
}

impl Forwarder {
    /// Listens on 127.0.0.2 until the test program ends.
    ///
    /// # Panics
    /// When it cannot listen there.
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).expect("listen on 127.0.0.2");
        let address = listener.local_addr().expect("the listener's address");
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                if let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                    copy(&near, &far);
                    copy(&far, &near);
                }
            }
        });
        Self { address }
    }

    /// Where it listens: 127.0.0.2 and a port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn copy(from: &TcpStream, to: &TcpStream) {
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
    thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
