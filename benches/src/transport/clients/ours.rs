//! This project's client.

use crate::Result;
use crate::transport::meter::{Measured, Meter};
use crate::transport::work::{Way, Work};
use amqp_codec::Bytes;
use amqp_codec::messaging::Message;
use amqp_transport::{Connection, Credit, Receiver, ReceiverOptions, Sender, SenderOptions};
use std::collections::VecDeque;
use std::hint::black_box;
use std::net::SocketAddr;

pub(crate) async fn run(address: SocketAddr, work: Work, meter: Meter) -> Result<Measured> {
    let connection = connect(address).await?;
    let measured = match work.way {
        Way::Send => send(&sender(&connection).await?, work, meter).await?,
        Way::Receive => receive(&receiver(&connection, work).await?, work, meter).await?,
    };
    connection.close().await?;
    Ok(measured)
}

pub(crate) async fn connect(address: SocketAddr) -> Result<Connection> {
    Ok(Connection::connect(&format!("amqp://{address}")).await?)
}

pub(crate) async fn sender(connection: &Connection) -> Result<Sender> {
    Ok(connection.session().await?.sender(SenderOptions::new("sink")).await?)
}

pub(crate) async fn receiver(connection: &Connection, work: Work) -> Result<Receiver> {
    let credit = Credit::Auto(u32::try_from(work.in_flight)?);
    let options = ReceiverOptions::new(work.octets.to_string()).credit(credit);
    Ok(connection.session().await?.receiver(options).await?)
}

pub(crate) async fn send(sender: &Sender, work: Work, mut meter: Meter) -> Result<Measured> {
    let body = Bytes::from(vec![b'x'; work.octets]);
    let mut confirmations = VecDeque::with_capacity(work.in_flight);
    loop {
        while confirmations.len() < work.in_flight {
            confirmations.push_back(sender.deliver(Message::data(body.clone())).await?);
        }
        let Some(oldest) = confirmations.pop_front() else { return Err("nothing in flight".into()) };
        oldest.await?.accepted()?;
        if let Some(measured) = meter.tick() {
            for rest in confirmations {
                rest.await?.accepted()?;
            }
            return Ok(measured);
        }
    }
}

pub(crate) async fn receive(receiver: &Receiver, work: Work, mut meter: Meter) -> Result<Measured> {
    loop {
        let delivery = receiver.recv().await?;
        let message = black_box(delivery.message()?);
        if message.body_bytes().is_none_or(|body| body.len() != work.octets) {
            return Err("another body than expected".into());
        }
        delivery.accept()?;
        if let Some(measured) = meter.tick() {
            return Ok(measured);
        }
    }
}
