//! The pair of links to the management node: joins the two halves, and answers requests in their order.

use std::collections::HashMap;
use std::sync::Arc;

use amqp_codec::ByteString;
use amqp_codec::messaging::{Source, Target, TargetArchetype};
use amqp_codec::transport::{Attach, ErrorInfo, Role, conditions};
use amqp_transport::{Credit, LinkError, LinkRequest, Payload, Receiver, Sender, SessionId};
use tokio::sync::oneshot;

use crate::limits::MANAGEMENT_CREDIT;
use crate::management::answer;
use crate::store::Store;

/// Most halves that wait for the other one; whoever attaches more of them is in error.
const MAX_HALVES: usize = 64;

/// One link of a pair.
pub(crate) enum Half {
    Requests(Receiver),
    Replies(Sender),
}

/// Links to the management node whose other half has not come yet, by session and name (a name is unique on its session
/// only): where to hand it when it comes.
#[derive(Default)]
pub(crate) struct Halves {
    waiting: HashMap<(SessionId, ByteString), oneshot::Sender<Half>>,
}

impl Halves {
    /// Accepts one half. The first one starts to wait for the second, in a task that it gives; the second is handed to it.
    pub(crate) fn join(
        &mut self,
        request: LinkRequest,
        attach: &Attach,
        store: &Arc<Store>,
    ) -> Result<Option<impl Future<Output = ()> + Send + use<>>, LinkError> {
        self.waiting.retain(|_, other| !other.is_closed());
        let key = (request.session_id(), attach.name.clone());
        if self.waiting.len() >= MAX_HALVES && !self.waiting.contains_key(&key) {
            let text = "too many links to /management wait for their other half";
            request.refuse(ErrorInfo::new(conditions::RESOURCE_LIMIT_EXCEEDED, text));
            return Ok(None);
        }
        let mut half = accept(request, attach)?;
        if let Some(other) = self.waiting.remove(&key) {
            match other.send(half) {
                Ok(()) => return Ok(None),
                // The one that waited has been detached meanwhile: this one waits now.
                Err(back) => half = back,
            }
        }
        let (hand, second) = oneshot::channel();
        self.waiting.insert(key, hand);
        Ok(Some(pair(half, second, Arc::clone(store))))
    }
}

/// Waits for the other half, and serves the pair.
async fn pair(first: Half, second: oneshot::Receiver<Half>, store: Arc<Store>) {
    let second = tokio::select! {
        second = second => second,
        _ = first.detached() => return,
    };
    match (first, second) {
        (Half::Requests(requests), Ok(Half::Replies(replies)))
        | (Half::Replies(replies), Ok(Half::Requests(requests))) => run(requests, replies, store).await,
        _ => tracing::debug!("management link without its other half"),
    }
}

impl Half {
    async fn detached(&self) -> LinkError {
        match self {
            Self::Requests(receiver) => receiver.detached().await,
            Self::Replies(sender) => sender.detached().await,
        }
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
            // Nobody takes requests before the pair is complete: until then there is no credit.
            request.accept_as_receiver(target, Credit::Manual).map(Half::Requests)
        }
        Role::Receiver => {
            let address = attach.source.as_ref().and_then(|source| source.address.clone());
            request.accept_as_sender(Source { address, ..Source::default() }).map(Half::Replies)
        }
    }
}

/// Answers requests until either link ends. One reply at a time: the credit of the requests bounds what waits.
async fn run(requests: Receiver, replies: Sender, store: Arc<Store>) {
    let end = loop {
        // What waits already counts against the credit.
        let queued = u32::try_from(requests.queued()).unwrap_or(u32::MAX);
        if let Err(error) = requests.set_credit(MANAGEMENT_CREDIT.saturating_sub(queued)) {
            break error.to_string();
        }
        let request = match requests.recv().await {
            Ok(request) => request,
            Err(error) => break error.to_string(),
        };
        let reply = answer(&store, request.payload().clone());
        if !request.is_settled()
            && let Err(error) = request.accept()
        {
            break error.to_string();
        }
        if let Err(error) = replies.send_settled(Payload::from(reply)).await {
            break error.to_string();
        }
    };
    tracing::debug!(error = end, "management client left");
}
