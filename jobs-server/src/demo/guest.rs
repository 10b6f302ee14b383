//! The demo as a guest on a broker that goes on living: it makes what the driver cannot make there, and takes its queues
//! away afterwards.

use std::time::Duration;

use amqp_codec::types::Value;
use amqp_transport::management::HttpManagement;
use amqp_transport::{Address, ConnectOptions, Connection, SenderOptions};
use tokio::time::timeout;

use super::Queues;
use super::fate::DELAYS;

/// How long making or removing the queues may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// The error of anything here: only shown.
type Error = Box<dyn std::error::Error + Send + Sync>;

/// What the demo does to somebody's broker.
#[derive(Debug)]
pub(super) struct Guest {
    address: Address,
    profile: String,
    queues: Queues,
}

impl Guest {
    pub(super) fn new(address: Address, profile: &str, queues: Queues) -> Self {
        Self { address, profile: profile.to_owned(), queues }
    }

    /// Makes the queue where the driver cannot. RabbitMQ 3 makes one for whoever names it in this old form of address.
    pub(super) async fn make_queue(&self) -> Result<(), Error> {
        if self.profile != "rabbitmq3" {
            return Ok(());
        }
        timeout(PATIENCE, async {
            let connection = self.connect().await?;
            let session = connection.session().await?;
            let sender = session.sender(SenderOptions::new(format!("/queue/{}", self.queues.work))).await?;
            sender.close().await?;
            connection.close().await?;
            Ok(())
        })
        .await?
    }

    /// Removes the queues of the demo. What stays behind, if anything, is in the answer.
    pub(super) async fn remove_queues(&self) -> Option<String> {
        if self.profile == "rabbitmq3" {
            let queue = &self.queues.work;
            return Some(format!(
                "the empty queue {queue} stays until RabbitMQ restarts: version 3 cannot remove it over AMQP 1.0"
            ));
        }
        if self.profile == "generic" {
            return Some(format!(
                "the queues {} and {} stay on the broker",
                self.queues.work, self.queues.dead
            ));
        }
        match timeout(PATIENCE, self.delete_all()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("the queues {}* stay on the broker: {error}", self.queues.work)),
            Err(_) => Some(format!("the queues {}* stay on the broker: it did not answer", self.queues.work)),
        }
    }

    async fn delete_all(&self) -> Result<(), Error> {
        let connection = self.connect().await?;
        let management = HttpManagement::new(&connection);
        // The driver keeps delayed jobs in queues of these names.
        let rooms = DELAYS.iter().map(|delay| format!("{}.delay.{}", self.queues.work, delay.as_millis()));
        for queue in [self.queues.work.clone(), self.queues.dead.clone()].into_iter().chain(rooms) {
            let reply = management.request("DELETE", &format!("/queues/{queue}"), Value::Null).await?;
            // A queue that is not there is what we want.
            if reply.status != 404 {
                reply.success()?;
            }
        }
        connection.close().await?;
        Ok(())
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let name = format!("{}-keeper", self.queues.work);
        Ok(ConnectOptions::new(self.address.clone()).container_id(name).connect().await?)
    }
}
