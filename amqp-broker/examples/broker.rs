//! Runs a broker until it is interrupted: `cargo run -p amqp-broker --example broker [ADDRESS]`.
//!
//! The address is `host:port` on the loopback interface, 127.0.0.1:5672 by default. Everybody may connect, and the user
//! `guest` with the password `guest`.

use amqp_broker::Broker;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a program that says where it listens")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5672".to_owned());
    let broker = Broker::builder().listen(address).user("guest", "guest").anonymous(true).start().await?;
    println!("{}", broker.address());
    tokio::signal::ctrl_c().await?;
    broker.shutdown().await;
    Ok(())
}
