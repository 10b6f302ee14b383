//! What this project's client costs beside time: allocations, write system calls, disposition frames.

use super::clients::{self, fe2o3, ours};
use super::meter::Meter;
use super::peer::Process;
use super::work::{CREDIT, Work};
use crate::{Result, show};
use allocation_counter::measure;
use amqp_codec::messaging::Message;
use amqp_transport::{ConnectOptions, Credit, ReceiverOptions};
use serde_json::{Map, Value, json};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

/// Messages whose allocations are counted, behind as many for a warm-up.
const COUNTED: u32 = 20_000;

/// Messages that are queued, and accepted, at once.
const BATCH: u32 = 1000;

/// Bodies.
const OCTETS: usize = 100;

/// All of it.
pub(super) fn run() -> Result<Value> {
    let allocations = count_allocations()?;
    let peer = Process::start("peer")?;
    let writes = clients::one_thread(queue(peer.address()))?;
    let writes_of_many = clients::many_threads(queue(peer.address()))?;
    // Both have told their counts, which say nothing of writes.
    for _ in 0..2 {
        peer.counts()?;
    }
    clients::one_thread(accept(peer.address()))?;
    let (counts, per_batch) = (peer.counts()?, f64::from(BATCH));
    let number = |key: &str| counts.get(key).and_then(Value::as_f64).unwrap_or(f64::NAN);
    Ok(json!({
        "allocations_per_message": allocations,
        "writes_per_1000_queued_sends": { "one thread": writes, "many threads": writes_of_many },
        "dispositions_per_1000_accepts": number("dispositions") * per_batch / number("settled"),
    }))
}

/// The same as text.
pub(super) fn text(counts: &Value) -> String {
    let number =
        |path: &str| counts.pointer(path).and_then(Value::as_f64).map_or("-".to_owned(), show::number);
    let mut rows = vec![["", "ours", "fe2o3-amqp"].map(str::to_owned).to_vec()];
    for way in ["send", "receive"] {
        let of = |client: &str| number(&format!("/allocations_per_message/{client}/{way}"));
        rows.push(vec![format!("allocations a message, {way}"), of("ours"), of("fe2o3-amqp")]);
    }
    let writes = |threads: &str| number(&format!("/writes_per_1000_queued_sends/{threads}"));
    rows.push(vec!["writes per 1,000 queued sends".into(), writes("one thread")]);
    rows.push(vec!["the same, multi-thread runtime".into(), writes("many threads")]);
    rows.push(vec!["dispositions per 1,000 accepts".into(), number("/dispositions_per_1000_accepts")]);
    show::table(&rows)
}

/// The program beside this one counts, against a peer of its own.
fn count_allocations() -> Result<Value> {
    let peer = Process::start("peer")?;
    let program = std::env::current_exe()?.with_file_name("allocations");
    let output = Command::new(program)
        .args(["transport", &peer.address().to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Allocations of a message, of ours and of `fe2o3-amqp`, all on this thread.
///
/// # Errors
/// If a client fails.
pub fn allocations(peer: SocketAddr) -> Result<Value> {
    let (send, receive) = (Work::send(OCTETS, CREDIT), Work::receive(OCTETS, CREDIT));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let connection = runtime.block_on(ours::connect(peer))?;
    let sender = runtime.block_on(ours::sender(&connection))?;
    let sent = count(&runtime, async |meter| ours::send(&sender, send, meter).await.map(drop))?;
    let receiver = runtime.block_on(ours::receiver(&connection, receive))?;
    let received = count(&runtime, async |meter| ours::receive(&receiver, receive, meter).await.map(drop))?;
    drop((sender, receiver));
    let mut all = Map::new();
    all.insert("ours".into(), json!({ "send": sent, "receive": received }));

    let (_connection, mut session) = runtime.block_on(fe2o3::connect(peer))?;
    let mut sender = runtime.block_on(fe2o3::sender(&mut session))?;
    let sent = count(&runtime, async |meter| fe2o3::send(&mut sender, send, meter).await.map(drop))?;
    let mut receiver = runtime.block_on(fe2o3::receiver(&mut session, receive))?;
    let received =
        count(&runtime, async |meter| fe2o3::receive(&mut receiver, receive, meter).await.map(drop))?;
    all.insert("fe2o3-amqp".into(), json!({ "send": sent, "receive": received }));
    runtime.shutdown_background();
    Ok(Value::Object(all))
}

/// Allocations of a message, the second time: at first buffers and tables grow.
fn count(runtime: &Runtime, mut work: impl AsyncFnMut(Meter) -> Result<()>) -> Result<f64> {
    runtime.block_on(work(Meter::counted(COUNTED)))?;
    let mut done = Ok(());
    let info = measure(|| done = runtime.block_on(work(Meter::counted(COUNTED))));
    done?;
    Ok(f64::from(u32::try_from(info.count_total)?) / f64::from(COUNTED))
}

/// Queues messages one behind the other, and counts the writes until all are confirmed.
async fn queue(peer: SocketAddr) -> Result<u32> {
    let writes = Arc::new(AtomicU32::new(0));
    let stream = TcpStream::connect(peer).await?;
    stream.set_nodelay(true)?;
    let stream = Counted { stream, writes: Arc::clone(&writes) };
    let address = format!("amqp://{peer}").parse()?;
    let connection = ConnectOptions::new(address).connect_over(stream).await?;
    let sender = ours::sender(&connection).await?;
    while sender.credit() < BATCH {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let before = writes.load(Ordering::Relaxed);
    let mut confirmations = Vec::new();
    for _ in 0..BATCH {
        confirmations.push(sender.deliver(Message::data(vec![b'x'; OCTETS])).await?);
    }
    for confirmation in confirmations {
        confirmation.await?.accepted()?;
    }
    let written = writes.load(Ordering::Relaxed) - before;
    connection.close().await?;
    Ok(written)
}

/// Holds messages, and accepts them one behind the other.
async fn accept(peer: SocketAddr) -> Result<()> {
    let connection = ours::connect(peer).await?;
    let options = ReceiverOptions::new(OCTETS.to_string()).credit(Credit::Manual);
    let receiver = connection.session().await?.receiver(options).await?;
    receiver.set_credit(BATCH)?;
    let mut deliveries = Vec::new();
    for _ in 0..BATCH {
        deliveries.push(receiver.recv().await?);
    }
    for delivery in deliveries {
        delivery.accept()?;
    }
    connection.close().await?;
    Ok(())
}

/// A stream that counts writes.
struct Counted {
    stream: TcpStream,
    writes: Arc<AtomicU32>,
}

impl Counted {
    fn count(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.writes.fetch_add(1, Ordering::Relaxed);
        }
        written
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, octets);
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
