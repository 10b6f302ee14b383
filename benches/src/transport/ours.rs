//! This project's client.

use super::{CREDIT, Figures, Meter, Work};
use crate::Result;
use amqp_codec::Bytes;
use amqp_codec::messaging::Message;
use amqp_transport::{Connection, Credit, Receiver, ReceiverOptions, Sender, SenderOptions};
use std::collections::VecDeque;
use std::hint::black_box;
use std::net::SocketAddr;

pub(super) async fn run(address: SocketAddr, work: Work) -> Result<Figures> {
    let connection = Connection::connect(&format!("amqp://{address}")).await?;
    let session = connection.session().await?;
    let figures = match work {
        Work::Send { octets, in_flight } => {
            let sender = session.sender(SenderOptions::new("sink")).await?;
            send(&sender, octets, in_flight).await?
        }
        Work::Receive { octets } => {
            let options = ReceiverOptions::new(octets.to_string()).credit(Credit::Auto(CREDIT));
            receive(&session.receiver(options).await?, octets).await?
        }
    };
    connection.close().await?;
    Ok(figures)
}

async fn send(sender: &Sender, octets: usize, in_flight: usize) -> Result<Figures> {
    let body = Bytes::from(vec![b'x'; octets]);
    let mut meter = Meter::new();
    let mut confirmations = VecDeque::with_capacity(in_flight);
    loop {
        while confirmations.len() < in_flight {
            confirmations.push_back(sender.deliver(Message::data(body.clone())).await?);
        }
        let Some(oldest) = confirmations.pop_front() else { return Err("nothing in flight".into()) };
        oldest.await?.accepted()?;
        if let Some(figures) = meter.tick() {
            for rest in confirmations {
                rest.await?.accepted()?;
            }
            return Ok(figures);
        }
    }
}

async fn receive(receiver: &Receiver, octets: usize) -> Result<Figures> {
    let mut meter = Meter::new();
    loop {
        let delivery = receiver.recv().await?;
        let message = black_box(delivery.message()?);
        if message.body_bytes().is_none_or(|body| body.len() != octets) {
            return Err("another body than expected".into());
        }
        delivery.accept()?;
        if let Some(figures) = meter.tick() {
            return Ok(figures);
        }
    }
}
