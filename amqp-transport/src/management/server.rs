//! The listener's side: takes the links of those who ask, and answers one request after the other.

use super::requester::ME;
use super::{HttpRequest, Operation, Reply, http, operations};
use crate::engine::credit::Credit;
use crate::error::LinkError;
use crate::listener::{LinkRequest, SessionId};
use crate::receiver::Receiver;
use crate::sender::Sender;
use amqp_codec::messaging::{Message, MessageSections, Properties, Source, Target};
use amqp_codec::transport::{Attach, ErrorInfo, Role, conditions};
use amqp_codec::types::Value;
use amqp_codec::{ByteString, Decode, DecodeError};
use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use uuid::Uuid;

/// What one connection may use of a [`RequestServer`]. Set fields on a default value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestServerLimits {
    /// Requests of one link that may wait for their turn, 1 and up. Default 8, as on RabbitMQ.
    pub credit: u32,
    /// Links that may be attached at once. Default 64.
    pub links: usize,
}

impl Default for RequestServerLimits {
    fn default() -> Self {
        Self { credit: 8, links: 64 }
    }
}

type Answer = Pin<Box<dyn Future<Output = Option<Message>> + Send>>;
type Handler = dyn Fn(Result<Message, DecodeError>) -> Answer + Send + Sync;

/// Answers the requests of one connection. Give it the link requests that name its node; dropped, it detaches its links.
///
/// Two links with the same name, each with the property `paired`, belong together: requests come on one and answers go
/// out on the other. Otherwise an answer goes to the link whose target is the request's `reply-to`, or, where that is
/// missing, to the one that was attached last on the same session.
///
/// Requests of one link are handled one after the other, and an answer waits until its link has credit; so the limits
/// bound what a connection can have waiting.
///
/// ```no_run
/// # async fn run(incoming: amqp_transport::Incoming) {
/// use amqp_transport::management::{HttpRequest, Reply, RequestServer};
///
/// let mut server = RequestServer::http(|request: HttpRequest| async move {
///     match request.path.as_str() {
///         "/time" => Reply::new(200, "late"),
///         path => Reply::new(404, path),
///     }
/// });
/// while let Some(link) = incoming.next_link().await {
///     if let Err(error) = server.serve(link) {
///         println!("gone before it was attached: {error}");
///     }
/// }
/// # }
/// ```
#[must_use = "it serves only the links that it is given"]
pub struct RequestServer {
    handler: Arc<Handler>,
    limits: RequestServerLimits,
    halves: Halves,
    routes: Arc<Mutex<Routes>>,
    tasks: JoinSet<()>,
}

impl fmt::Debug for RequestServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestServer").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl RequestServer {
    /// Answers messages with messages. `correlation-id` and `to` of an answer are set here; what is no message is
    /// rejected.
    pub fn new<H, F>(handler: H) -> Self
    where
        H: Fn(Message) -> F + Send + Sync + 'static,
        F: Future<Output = Message> + Send + 'static,
    {
        Self::with(Arc::new(move |request| match request {
            Ok(request) => {
                let answer = handler(request);
                Box::pin(async move { Some(answer.await) })
            }
            Err(_) => Box::pin(std::future::ready(None)),
        }))
    }

    /// Answers requests in the manner of HTTP. What cannot be understood is answered with 400.
    pub fn http<H, F>(handler: H) -> Self
    where
        H: Fn(HttpRequest) -> F + Send + Sync + 'static,
        F: Future<Output = Reply> + Send + 'static,
    {
        Self::with(Arc::new(move |request| answer(request, HttpRequest::of, &handler, http::answer)))
    }

    /// Answers operations. What cannot be understood is answered with 400.
    pub fn operations<H, F>(handler: H) -> Self
    where
        H: Fn(Operation) -> F + Send + Sync + 'static,
        F: Future<Output = Reply> + Send + 'static,
    {
        Self::with(Arc::new(move |request| answer(request, Operation::of, &handler, operations::answer)))
    }

    fn with(handler: Arc<Handler>) -> Self {
        Self {
            handler,
            limits: RequestServerLimits::default(),
            halves: Halves::default(),
            routes: Arc::default(),
            tasks: JoinSet::new(),
        }
    }

    /// With these limits.
    pub const fn limits(mut self, limits: RequestServerLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Takes a link to the node. A link above the limit is refused with `amqp:resource-limit-exceeded`.
    ///
    /// # Errors
    /// If the link or its session ended meanwhile.
    pub fn serve(&mut self, request: LinkRequest) -> Result<(), LinkError> {
        while self.tasks.try_join_next().is_some() {}
        self.halves.prune();
        let Some(attach) = request.attach().cloned() else { return Ok(()) };
        let is_second = self.halves.is_awaited(&request, &attach);
        if self.tasks.len() >= self.limits.links && !is_second {
            let text = format!("more than {} links to this node", self.limits.links);
            request.refuse(ErrorInfo::new(conditions::RESOURCE_LIMIT_EXCEEDED, text));
            return Ok(());
        }
        if is_paired(&attach) {
            return self.serve_half(request, &attach);
        }
        let session = request.session_id();
        match attach.role {
            Role::Sender => {
                let requests = accept_requests(request, &attach)?;
                let service = self.service();
                self.tasks.spawn(service.run_routed(requests, Arc::clone(&self.routes), session));
            }
            Role::Receiver => {
                let (address, replies) = accept_replies(request, &attach)?;
                self.tasks.spawn(keep_route(replies, address, session, Arc::clone(&self.routes)));
            }
        }
        Ok(())
    }

    fn serve_half(&mut self, request: LinkRequest, attach: &Attach) -> Result<(), LinkError> {
        let key = (request.session_id(), attach.name.clone());
        let half = match attach.role {
            Role::Sender => Half::Requests(accept_requests(request, attach)?),
            Role::Receiver => Half::Replies(accept_replies(request, attach)?.1),
        };
        if let Some((first, second)) = self.halves.join(key, half) {
            self.tasks.spawn(self.service().run_pair(first, second));
        }
        Ok(())
    }

    fn service(&self) -> Service {
        Service { handler: Arc::clone(&self.handler), credit: self.limits.credit.max(1) }
    }
}

/// Reads a request, has it handled and writes the answer, in the words of one profile.
fn answer<R, H, F>(
    request: Result<Message, DecodeError>,
    read: fn(Message) -> Result<R, Reply>,
    handler: &H,
    write: fn(Reply) -> Message,
) -> Answer
where
    H: Fn(R) -> F,
    F: Future<Output = Reply> + Send + 'static,
{
    let request = request
        .map_err(|error| Reply::new(400, Value::Null).with_description(error.to_string()))
        .and_then(read);
    match request {
        Ok(request) => {
            let reply = handler(request);
            Box::pin(async move { Some(write(reply.await)) })
        }
        Err(reply) => Box::pin(std::future::ready(Some(write(reply)))),
    }
}

fn is_paired(attach: &Attach) -> bool {
    let says_so = attach.properties.as_ref().and_then(|properties| properties.get("paired"));
    says_so.and_then(Value::as_bool) == Some(true)
}

/// The peer sends requests. Credit comes when they can be answered.
fn accept_requests(request: LinkRequest, attach: &Attach) -> Result<Receiver, LinkError> {
    let address = attach.target.as_ref().and_then(|target| target.address().cloned());
    request.accept_as_receiver(Target { address, ..Target::default() }, Credit::Manual)
}

/// The peer receives answers: the address to which they go, and the link.
fn accept_replies(request: LinkRequest, attach: &Attach) -> Result<(Option<ByteString>, Sender), LinkError> {
    let wish = attach.source.clone().unwrap_or_default();
    if wish.dynamic {
        let address = ByteString::from(Uuid::new_v4().to_string());
        let source = Source { address: Some(address.clone()), dynamic: true, ..Source::default() };
        return Ok((Some(address), request.accept_as_sender(source)?));
    }
    let address = attach.target.as_ref().and_then(|target| target.address().cloned());
    let source = Source { address: wish.address, ..Source::default() };
    Ok((address, request.accept_as_sender(source)?))
}

/// One link of a pair.
enum Half {
    Requests(Receiver),
    Replies(Sender),
}

impl Half {
    /// Requests and replies; none if both are the same.
    fn with(self, other: Self) -> Option<(Receiver, Sender)> {
        match (self, other) {
            (Self::Requests(requests), Self::Replies(replies))
            | (Self::Replies(replies), Self::Requests(requests)) => Some((requests, replies)),
            _ => None,
        }
    }

    async fn detached(&self) -> LinkError {
        match self {
            Self::Requests(receiver) => receiver.detached().await,
            Self::Replies(sender) => sender.detached().await,
        }
    }
}

/// A name is unique on its session only.
type PairKey = (SessionId, ByteString);

/// Links whose other half has not come yet: where to hand it when it comes.
#[derive(Default)]
struct Halves {
    waiting: HashMap<PairKey, oneshot::Sender<Half>>,
}

impl Halves {
    /// Forgets those that were detached.
    fn prune(&mut self) {
        self.waiting.retain(|_, other| !other.is_closed());
    }

    /// Whether somebody waits for this very link.
    fn is_awaited(&self, request: &LinkRequest, attach: &Attach) -> bool {
        is_paired(attach) && self.waiting.contains_key(&(request.session_id(), attach.name.clone()))
    }

    /// Hands a second half to the first; gives a first half back, with the place where its second comes.
    fn join(&mut self, key: PairKey, mut half: Half) -> Option<(Half, oneshot::Receiver<Half>)> {
        if let Some(other) = self.waiting.remove(&key) {
            match other.send(half) {
                Ok(()) => return None,
                // The one that waited has been detached meanwhile: this one waits now.
                Err(back) => half = back,
            }
        }
        let (hand, second) = oneshot::channel();
        self.waiting.insert(key, hand);
        Some((half, second))
    }
}

/// Where answers go, by their links' addresses.
#[derive(Debug, Default)]
struct Routes {
    links: Vec<Route>,
}

#[derive(Debug)]
struct Route {
    session: SessionId,
    address: Option<ByteString>,
    replies: Sender,
}

impl Routes {
    fn find(&self, reply_to: Option<&ByteString>, session: SessionId) -> Option<Sender> {
        let mut latest_first = self.links.iter().rev();
        let route = match reply_to {
            Some(reply_to) => latest_first.find(|route| route.address.as_ref() == Some(reply_to)),
            None => latest_first.find(|route| route.session == session),
        };
        route.map(|route| route.replies.clone())
    }
}

fn lock(routes: &Mutex<Routes>) -> MutexGuard<'_, Routes> {
    routes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a link for answers known as long as it is attached.
async fn keep_route(
    replies: Sender,
    address: Option<ByteString>,
    session: SessionId,
    routes: Arc<Mutex<Routes>>,
) {
    let name = replies.name().to_owned();
    lock(&routes).links.push(Route { session, address, replies: replies.clone() });
    let end = replies.detached().await;
    lock(&routes).links.retain(|route| route.session != session || route.replies.name() != name);
    tracing::debug!(link = name, %end, "a client of the node left");
}

/// What answers requests of one link.
struct Service {
    handler: Arc<Handler>,
    credit: u32,
}

impl Service {
    /// Waits for the other half, and serves the pair.
    async fn run_pair(self, first: Half, second: oneshot::Receiver<Half>) {
        let second = tokio::select! {
            second = second => second,
            _ = first.detached() => return,
        };
        let Some((requests, replies)) = second.ok().and_then(|second| first.with(second)) else {
            return tracing::debug!("a paired link without its other half");
        };
        let end = tokio::select! {
            end = self.run(&requests, |_| Some(replies.clone())) => end,
            end = replies.detached() => end,
        };
        tracing::debug!(%end, "a client of the node left");
    }

    /// Serves a link whose answers find their way by `reply-to`.
    async fn run_routed(self, requests: Receiver, routes: Arc<Mutex<Routes>>, session: SessionId) {
        let end = self.run(&requests, |reply_to| lock(&routes).find(reply_to, session)).await;
        tracing::debug!(%end, "a client of the node left");
    }

    /// Answers requests until their link ends.
    async fn run(
        &self,
        requests: &Receiver,
        route: impl Fn(Option<&ByteString>) -> Option<Sender>,
    ) -> LinkError {
        loop {
            // What waits already counts against the credit.
            let queued = u32::try_from(requests.queued()).unwrap_or(u32::MAX);
            if let Err(end) = requests.set_credit(self.credit.saturating_sub(queued)) {
                return end;
            }
            let request = match requests.recv().await {
                Ok(request) => request,
                Err(end) => return end,
            };
            let payload = request.payload().clone();
            let properties = MessageSections::parse(&payload)
                .and_then(|sections| sections.properties())
                .ok()
                .flatten()
                .map(Properties::from)
                .unwrap_or_default();
            let Some(replies) = route(properties.reply_to.as_ref()) else {
                let text = "no link for the answer: expected one whose target is the request's reply-to";
                refuse(request, ErrorInfo::new(conditions::PRECONDITION_FAILED, text));
                continue;
            };
            let Some(answer) = (self.handler)(Message::from_bytes(payload)).await else {
                refuse(request, ErrorInfo::new(conditions::DECODE_ERROR, "the request is no message"));
                continue;
            };
            if !request.is_settled()
                && let Err(error) = request.accept()
            {
                tracing::debug!(%error, "a request could not be settled");
            }
            // A client that takes no answers holds up only its own requests.
            let answer = addressed(answer, properties);
            let sent = tokio::select! {
                sent = replies.send_settled(answer) => sent,
                end = requests.detached() => return end,
            };
            if let Err(error) = sent {
                tracing::debug!(%error, "an answer could not be sent");
            }
        }
    }
}

/// Marks an answer with the request that it answers.
fn addressed(mut answer: Message, request: Properties) -> Message {
    let properties = answer.properties.get_or_insert_default();
    properties.correlation_id = request.correlation_id.or(request.message_id);
    properties.to = request.reply_to.filter(|to| **to != *ME);
    answer
}

/// Refuses a request. One that came settled wants no answer; what was wrong only the log can tell.
fn refuse(request: crate::delivery::Delivery, error: ErrorInfo) {
    tracing::debug!(?error, "a request was refused");
    if !request.is_settled()
        && let Err(error) = request.reject(Some(error))
    {
        tracing::debug!(%error, "a request could not be settled");
    }
}
