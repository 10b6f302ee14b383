//! The pair of links to the management node: joins the two halves, and answers requests in their order.

use std::collections::HashMap;
use std::sync::Arc;

use amqp_codec::ByteString;
use amqp_codec::messaging::{Source, Target, TargetArchetype};
use amqp_codec::transport::{Attach, ErrorInfo, Role, conditions};
use amqp_transport::{Credit, LinkError, LinkRequest, Payload, Receiver, Sender};

use crate::limits::MANAGEMENT_CREDIT;
use crate::management::answer;
use crate::store::Store;

/// Most halves that wait for the other one; whoever attaches more of them is in error.
const MAX_HALVES: usize = 64;

/// One link of a pair.
enum Half {
    Requests(Receiver),
    Replies(Sender),
}

/// Links to the management node whose other half has not come yet, by name.
#[derive(Default)]
pub(crate) struct Halves {
    waiting: HashMap<ByteString, Half>,
}

impl Halves {
    /// Accepts one half, and gives the pair if it is the second one.
    pub(crate) fn join(
        &mut self,
        request: LinkRequest,
        attach: &Attach,
    ) -> Result<Option<(Receiver, Sender)>, LinkError> {
        if self.waiting.len() >= MAX_HALVES {
            let text = "too many links to /management wait for their other half";
            request.refuse(ErrorInfo::new(conditions::RESOURCE_LIMIT_EXCEEDED, text));
            return Ok(None);
        }
        let half = accept(request, attach)?;
        Ok(match (half, self.waiting.remove(&attach.name)) {
            (Half::Requests(requests), Some(Half::Replies(replies)))
            | (Half::Replies(replies), Some(Half::Requests(requests))) => Some((requests, replies)),
            // A half that waited with the same role has been detached since: its name is free again.
            (half, _) => {
                self.waiting.insert(attach.name.clone(), half);
                None
            }
        })
    }
}

fn accept(request: LinkRequest, attach: &Attach) -> Result<Half, LinkError> {
    match attach.role {
        Role::Sender => {
            let address = match &attach.target {
                Some(TargetArchetype::Target(target)) => target.address.clone(),
                _ => None,
            };
            let target = Target { address, ..Target::default() };
            request.accept_as_receiver(target, Credit::Auto(MANAGEMENT_CREDIT)).map(Half::Requests)
        }
        Role::Receiver => {
            let address = attach.source.as_ref().and_then(|source| source.address.clone());
            request.accept_as_sender(Source { address, ..Source::default() }).map(Half::Replies)
        }
    }
}

/// Answers requests until either link ends. One reply at a time: the credit of the requests bounds what waits.
pub(crate) async fn run(requests: Receiver, replies: Sender, store: Arc<Store>) {
    let end = loop {
        let request = match requests.recv().await {
            Ok(request) => request,
            Err(error) => break error,
        };
        let reply = answer(&store, request.payload().clone());
        if !request.is_settled()
            && let Err(error) = request.accept()
        {
            break error;
        }
        if let Err(error) = replies.send_settled(Payload::from(reply)).await {
            tracing::debug!(%error, "management reply not sent");
            return;
        }
    };
    tracing::debug!(error = %end, "management client left");
}
