//! The client of `fe2o3-amqp`.

use crate::Result;
use crate::transport::meter::{Measured, Meter};
use crate::transport::work::{Way, Work};
use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::{Connection, Receiver, Sender, Session};
use fe2o3_amqp_types::messaging::{Data, Message};
use std::collections::VecDeque;
use std::hint::black_box;
use std::net::SocketAddr;
use tokio::net::TcpStream;

pub(crate) async fn run(address: SocketAddr, work: Work, meter: Meter) -> Result<Measured> {
    let (mut connection, mut session) = connect(address).await?;
    let measured = match work.way {
        Way::Send => send(&mut sender(&mut session).await?, work, meter).await?,
        Way::Receive => receive(&mut receiver(&mut session, work).await?, work, meter).await?,
    };
    // Deliveries are still coming: how it takes its leave is no part of the figures.
    drop(connection.close().await);
    Ok(measured)
}

pub(crate) async fn connect(address: SocketAddr) -> Result<(ConnectionHandle<()>, SessionHandle<()>)> {
    // It would leave Nagle's algorithm on, and a receiver would wait for 40 ms whenever its credit is used up.
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut connection = Connection::builder()
        .container_id("bench-client")
        .sasl_profile(SaslProfile::Anonymous)
        .open_with_stream(stream)
        .await?;
    let session = Session::begin(&mut connection).await?;
    Ok((connection, session))
}

pub(crate) async fn sender(session: &mut SessionHandle<()>) -> Result<Sender> {
    Ok(Sender::attach(session, "bench-sender", "sink").await?)
}

pub(crate) async fn receiver(session: &mut SessionHandle<()>, work: Work) -> Result<Receiver> {
    let receiver = Receiver::builder()
        .name("bench-receiver")
        .source(work.octets.to_string())
        .credit_mode(CreditMode::Auto(u32::try_from(work.in_flight)?))
        .attach(session)
        .await?;
    Ok(receiver)
}

pub(crate) async fn send(sender: &mut Sender, work: Work, mut meter: Meter) -> Result<Measured> {
    let body = vec![b'x'; work.octets];
    let mut outcomes = VecDeque::with_capacity(work.in_flight);
    loop {
        while outcomes.len() < work.in_flight {
            let message = Message::from(Data::from(body.as_slice()));
            outcomes.push_back(sender.send_batchable(message).await?);
        }
        let Some(oldest) = outcomes.pop_front() else { return Err("nothing in flight".into()) };
        oldest.await?.accepted_or("not accepted")?;
        if let Some(measured) = meter.tick() {
            for rest in outcomes {
                rest.await?.accepted_or("not accepted")?;
            }
            return Ok(measured);
        }
    }
}

pub(crate) async fn receive(receiver: &mut Receiver, work: Work, mut meter: Meter) -> Result<Measured> {
    loop {
        let delivery = receiver.recv::<Data>().await?;
        let message = black_box(delivery.message());
        if message.body.0.len() != work.octets {
            return Err("another body than expected".into());
        }
        receiver.accept(&delivery).await?;
        if let Some(measured) = meter.tick() {
            return Ok(measured);
        }
    }
}
