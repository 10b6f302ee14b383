//! Links to queues: what one connection does with this broker.
//!
//! One task takes the link requests of a connection; each link that is accepted has a task of its own, which works in
//! batches and ends with the link:
//!
//! | the peer attaches as | to | the task |
//! | --- | --- | --- |
//! | sender | a queue, or the anonymous terminus | [`publisher`] |
//! | receiver | a queue | [`consumer`] |
//! | sender | the coordinator | [`transactions`] |
//! | sender and receiver of one name on one session, paired | `/management` | [`RequestServer`]'s |

mod consumer;
mod outcome;
mod publisher;
mod transactions;

use std::sync::Arc;

use amqp_codec::ByteString;
use amqp_codec::messaging::{DeliveryState, Source, Target, TargetArchetype};
use amqp_codec::transport::{Attach, ErrorInfo, Role, SenderSettleMode, conditions};
use amqp_codec::types::{Symbol, Value};
use amqp_transport::management::{RequestServer, RequestServerLimits};
use amqp_transport::{Credit, Incoming, LinkError, LinkRequest};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::transactions::Transactions;
use crate::address::Address;
use crate::limits::{Limits, MANAGEMENT_CREDIT};
use crate::management::respond;
use crate::server::stopped;
use crate::store::Store;

/// Symbolic descriptors of the outcomes that consumers may use (§3.4).
const OUTCOMES: [&str; 4] =
    ["amqp:accepted:list", "amqp:rejected:list", "amqp:released:list", "amqp:modified:list"];

/// The only distribution mode: whoever gets a message has it alone (§3.5.7).
const MOVE: &str = "move";

/// The capability of a terminus that is a queue; told to those who ask for it.
const QUEUE_CAPABILITY: &str = "queue";

/// Serves one connection until it ends or the broker stops.
pub(crate) async fn serve(
    incoming: Incoming,
    store: Arc<Store>,
    limits: Limits,
    mut stopping: watch::Receiver<bool>,
) {
    let management = management_of(Arc::clone(&store));
    let transactions = Arc::new(Transactions::new(Arc::clone(&store), &limits));
    let mut session = Links { store, limits, management, transactions, tasks: JoinSet::new() };
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stopping) => {
                if let Err(error) = incoming.connection().close().await {
                    tracing::debug!(%error, "connection not closed in an orderly way");
                }
                break;
            }
            request = incoming.next_link() => match request {
                Some(request) => session.on_request(request),
                None => break,
            },
        }
        while session.tasks.try_join_next().is_some() {}
    }
    // Every link ends with its connection, and its task with it.
    while session.tasks.join_next().await.is_some() {}
    tracing::debug!("connection ended");
}

/// The management node as one connection sees it.
fn management_of(store: Arc<Store>) -> RequestServer {
    let mut limits = RequestServerLimits::default();
    limits.credit = MANAGEMENT_CREDIT;
    RequestServer::http(move |request| std::future::ready(respond(&store, &request))).limits(limits)
}

/// The links of one connection.
struct Links {
    store: Arc<Store>,
    limits: Limits,
    management: RequestServer,
    transactions: Arc<Transactions>,
    tasks: JoinSet<()>,
}

impl Links {
    /// Accepts a link, or refuses it and says why.
    fn on_request(&mut self, request: LinkRequest) {
        let Some(attach) = request.attach().cloned() else { return };
        let served = match Wish::of(&attach) {
            Ok(Wish::Consume(queue)) => self.consume(request, &attach, &queue),
            Ok(Wish::Publish(queue)) => self.publish(request, &attach, queue),
            Ok(Wish::Manage) => self.management.serve(request),
            Ok(Wish::Control) => self.control(request),
            Err(error) => {
                request.refuse(error);
                Ok(())
            }
        };
        if let Err(error) = served {
            tracing::debug!(link = %attach.name, %error, "link ended before it was attached");
        }
    }

    /// The peer receives from a queue.
    fn consume(&mut self, request: LinkRequest, attach: &Attach, name: &ByteString) -> Result<(), LinkError> {
        let queue = match self.store.open(name) {
            Ok(queue) => queue,
            Err(error) => {
                request.refuse(error);
                return Ok(());
            }
        };
        let settled = attach.snd_settle_mode == SenderSettleMode::Settled;
        let wish = attach.source.clone().unwrap_or_default();
        let source = Source {
            address: wish.address,
            distribution_mode: Some(Symbol::from_static(MOVE)),
            default_outcome: Some(DeliveryState::Released),
            outcomes: OUTCOMES.into_iter().map(Symbol::from_static).collect(),
            capabilities: granted(&wish.capabilities),
            ..Source::default()
        };
        let transactions = (Arc::clone(&self.transactions), self.transactions.join());
        let sender = request.accept_as_sender(source)?;
        let subscription = self.store.subscribe(queue);
        self.tasks.spawn(consumer::run(sender, subscription, settled, transactions));
        Ok(())
    }

    /// The peer sends to a queue, or to whatever each message names.
    fn publish(
        &mut self,
        request: LinkRequest,
        attach: &Attach,
        queue: Option<ByteString>,
    ) -> Result<(), LinkError> {
        let queue = match queue.map(|name| self.store.open(&name)).transpose() {
            Ok(queue) => queue,
            Err(error) => {
                request.refuse(error);
                return Ok(());
            }
        };
        let wish = match &attach.target {
            Some(TargetArchetype::Target(target)) => target.clone(),
            _ => Target::default(),
        };
        let target =
            Target { address: wish.address, capabilities: granted(&wish.capabilities), ..Target::default() };
        let transactions = (Arc::clone(&self.transactions), self.transactions.join());
        let receiver = request.accept_as_receiver(target, Credit::Auto(self.limits.publisher_credit))?;
        self.tasks.spawn(publisher::run(receiver, queue, Arc::clone(&self.store), transactions));
        Ok(())
    }

    /// The peer controls transactions.
    fn control(&mut self, request: LinkRequest) -> Result<(), LinkError> {
        let control = self.transactions.accept(request)?;
        self.tasks.spawn(Arc::clone(&self.transactions).run(control));
        Ok(())
    }
}

/// What a peer wants of a link.
enum Wish {
    Consume(ByteString),
    /// `None` is the anonymous terminus.
    Publish(Option<ByteString>),
    Manage,
    /// The coordinator of transactions.
    Control,
}

impl Wish {
    /// Reads the peer's attach.
    fn of(attach: &Attach) -> Result<Self, ErrorInfo> {
        match attach.role {
            Role::Receiver => {
                let source = attach.source.as_ref().ok_or_else(|| invalid("attach.source is missing"))?;
                if source.dynamic {
                    return Err(not_implemented("dynamic sources are not supported"));
                }
                if source.distribution_mode.as_ref().is_some_and(|mode| mode.as_str() != MOVE) {
                    return Err(not_implemented("the only distribution mode here is move"));
                }
                let address = source.address.as_ref().ok_or_else(|| invalid("source.address is missing"))?;
                match Address::parse(address)? {
                    Address::Queue(name) => Ok(Self::Consume(name)),
                    Address::Management => paired(attach),
                }
            }
            Role::Sender => match &attach.target {
                None => Err(invalid("attach.target is missing")),
                Some(TargetArchetype::Coordinator(_)) => Ok(Self::Control),
                Some(TargetArchetype::Target(target)) if target.dynamic => {
                    Err(not_implemented("dynamic targets are not supported"))
                }
                Some(TargetArchetype::Target(target)) => match &target.address {
                    None => Ok(Self::Publish(None)),
                    Some(address) => match Address::parse(address)? {
                        Address::Queue(name) => Ok(Self::Publish(Some(name))),
                        Address::Management => paired(attach),
                    },
                },
            },
        }
    }
}

/// A link to the management node must be one of a pair.
fn paired(attach: &Attach) -> Result<Wish, ErrorInfo> {
    let says_so = attach.properties.as_ref().and_then(|properties| properties.get("paired"));
    if says_so.and_then(Value::as_bool) == Some(true) {
        Ok(Wish::Manage)
    } else {
        Err(invalid("a link to /management must be paired: expected the property paired = true"))
    }
}

/// Of the capabilities that a peer asks for, those that a queue has.
fn granted(wanted: &[Symbol]) -> Vec<Symbol> {
    wanted.iter().filter(|capability| capability.as_str() == QUEUE_CAPABILITY).cloned().collect()
}

#[cold]
fn invalid(description: &'static str) -> ErrorInfo {
    ErrorInfo::new(conditions::INVALID_FIELD, description)
}

#[cold]
fn not_implemented(description: &'static str) -> ErrorInfo {
    ErrorInfo::new(conditions::NOT_IMPLEMENTED, description)
}
