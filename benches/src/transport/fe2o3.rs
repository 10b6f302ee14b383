//! The client of `fe2o3-amqp`.

use super::{CREDIT, Figures, Meter, Work};
use crate::Result;
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp::{Connection, Receiver, Sender, Session};
use fe2o3_amqp_types::messaging::{Data, Message};
use std::collections::VecDeque;
use std::hint::black_box;
use std::net::SocketAddr;
use tokio::net::TcpStream;

pub(super) async fn run(address: SocketAddr, work: Work) -> Result<Figures> {
    // It would leave Nagle's algorithm on, and a receiver would wait for 40 ms whenever its credit is used up.
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut connection = Connection::builder()
        .container_id("bench-client")
        .sasl_profile(SaslProfile::Anonymous)
        .open_with_stream(stream)
        .await?;
    let mut session = Session::begin(&mut connection).await?;
    let figures = match work {
        Work::Send { octets, in_flight } => {
            let mut sender = Sender::attach(&mut session, "bench-sender", "sink").await?;
            send(&mut sender, octets, in_flight).await?
        }
        Work::Receive { octets } => {
            let mut receiver = Receiver::builder()
                .name("bench-receiver")
                .source(octets.to_string())
                .credit_mode(CreditMode::Auto(CREDIT))
                .attach(&mut session)
                .await?;
            receive(&mut receiver, octets).await?
        }
    };
    // Deliveries are still coming: how it takes its leave is no part of the figures.
    drop(connection.close().await);
    Ok(figures)
}

async fn send(sender: &mut Sender, octets: usize, in_flight: usize) -> Result<Figures> {
    let body = vec![b'x'; octets];
    let mut meter = Meter::new();
    let mut outcomes = VecDeque::with_capacity(in_flight);
    loop {
        while outcomes.len() < in_flight {
            let message = Message::from(Data::from(body.as_slice()));
            outcomes.push_back(sender.send_batchable(message).await?);
        }
        let Some(oldest) = outcomes.pop_front() else { return Err("nothing in flight".into()) };
        oldest.await?.accepted_or("not accepted")?;
        if let Some(figures) = meter.tick() {
            for rest in outcomes {
                rest.await?.accepted_or("not accepted")?;
            }
            return Ok(figures);
        }
    }
}

async fn receive(receiver: &mut Receiver, octets: usize) -> Result<Figures> {
    let mut meter = Meter::new();
    loop {
        let delivery = receiver.recv::<Data>().await?;
        let message = black_box(delivery.message());
        if message.body.0.len() != octets {
            return Err("another body than expected".into());
        }
        receiver.accept(&delivery).await?;
        if let Some(figures) = meter.tick() {
            return Ok(figures);
        }
    }
}
