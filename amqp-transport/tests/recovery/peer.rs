//! A peer with queues: it notes what it gets, and gives what it is told to give.

use amqp_codec::messaging::{Message, Source, Target, TargetArchetype};
use amqp_codec::transport::{ErrorInfo, Role, conditions};
use amqp_codec::types::Value;
use amqp_transport::{
    Connection, Credit, Incoming, Limits, LinkRequest, ListenerOptions, Outcome, Receiver, Redirect, Sender,
    StaticCredentials,
};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// What outlives a restart.
#[derive(Default)]
pub(crate) struct Store {
    /// How often each message came.
    pub(crate) ledger: Mutex<BTreeMap<u64, usize>>,
    /// What is to be given to receivers.
    pub(crate) queue: Mutex<VecDeque<u64>>,
    /// What receivers accepted.
    pub(crate) accepted: Mutex<Vec<u64>>,
    /// Links that were asked for.
    pub(crate) asked: Mutex<usize>,
    /// Nodes that are not there.
    pub(crate) missing: Mutex<Vec<String>>,
    /// Where links to nodes are sent instead.
    pub(crate) elsewhere: Mutex<BTreeMap<String, Redirect>>,
    /// Messages are taken but not answered.
    pub(crate) is_mute: Mutex<bool>,
    receivers: Mutex<Vec<Receiver>>,
    changed: Notify,
}

impl Store {
    /// Waits until the ledger says so.
    pub(crate) async fn until(&self, mut is_so: impl FnMut(&Self) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if is_so(self) {
                return;
            }
            changed.await;
        }
    }

    pub(crate) fn count(&self, id: u64) -> usize {
        self.ledger.lock().unwrap().get(&id).copied().unwrap_or(0)
    }

    /// Queues messages for those who receive.
    pub(crate) fn put(&self, ids: impl IntoIterator<Item = u64>) {
        self.queue.lock().unwrap().extend(ids);
        self.changed.notify_waiters();
    }

    /// Ends the links of those who send; their connections stay.
    pub(crate) async fn detach_senders(&self) {
        let receivers = std::mem::take(&mut *self.receivers.lock().unwrap());
        for receiver in receivers {
            let error = ErrorInfo::new(conditions::DETACH_FORCED, "an operator wants it so");
            let _ = receiver.close_with(error).await;
        }
    }

    pub(crate) fn answer(&self) {
        *self.is_mute.lock().unwrap() = false;
        self.changed.notify_waiters();
    }
}

pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) store: Arc<Store>,
    connections: Arc<Mutex<Vec<Connection>>>,
    task: JoinHandle<()>,
}

impl Peer {
    /// Sends links to a node to another peer, another node or both.
    pub(crate) fn redirects(&self, node: &str, to: Option<SocketAddr>, address: Option<&str>) {
        let mut redirect = Redirect::default();
        redirect.network_host = to.map(|to| to.ip().to_string());
        (redirect.port, redirect.address) = (to.map(|to| to.port()), address.map(str::to_owned));
        self.store.elsewhere.lock().unwrap().insert(node.to_owned(), redirect);
    }

    pub(crate) async fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), Arc::default(), Limits::default()).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), Arc::default(), limits).await
    }

    pub(crate) async fn at(address: SocketAddr, store: Arc<Store>, limits: Limits) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(Mutex::new(Vec::new()));
        let users = vec![("guest".to_owned(), "guest".to_owned())];
        let options = ListenerOptions::new("peer")
            .authenticator(Arc::new(StaticCredentials { anonymous: false, users }))
            .limits(limits);
        let (kept, stores) = (Arc::clone(&connections), Arc::clone(&store));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (options, kept, store) = (options.clone(), Arc::clone(&kept), Arc::clone(&stores));
                tokio::spawn(async move {
                    if let Ok(incoming) = options.accept(stream).await {
                        kept.lock().unwrap().push(incoming.connection().clone());
                        serve(incoming, store).await;
                    }
                });
            }
        });
        Self { address, store, connections, task }
    }

    /// Stops listening and ends every connection.
    pub(crate) async fn stop(self) -> (SocketAddr, Arc<Store>) {
        self.task.abort();
        let _ = self.task.await;
        let connections = std::mem::take(&mut *self.connections.lock().unwrap());
        for connection in connections {
            let _ = connection.close().await;
        }
        (self.address, self.store)
    }

    /// The connections so far.
    pub(crate) fn connections(&self) -> Vec<Connection> {
        self.connections.lock().unwrap().clone()
    }
}

async fn serve(incoming: Incoming, store: Arc<Store>) {
    while let Some(request) = incoming.next_link().await {
        *store.asked.lock().unwrap() += 1;
        let node = node_of(&request);
        if store.missing.lock().unwrap().contains(&node) {
            request.refuse(ErrorInfo::new(conditions::NOT_FOUND, format!("there is no node {node}")));
            store.changed.notify_waiters();
            continue;
        }
        let elsewhere = store.elsewhere.lock().unwrap().get(&node).cloned();
        if let Some(elsewhere) = elsewhere {
            request.refuse(elsewhere.link_error());
            store.changed.notify_waiters();
            continue;
        }
        match request.role() {
            Role::Sender => {
                if let Ok(receiver) = request.accept_as_receiver(Target::new(node), Credit::Auto(200)) {
                    store.receivers.lock().unwrap().push(receiver.clone());
                    tokio::spawn(take(receiver, Arc::clone(&store)));
                }
            }
            Role::Receiver => {
                if let Ok(sender) = request.accept_as_sender(Source::new(node)) {
                    tokio::spawn(give(sender, Arc::clone(&store)));
                }
            }
        }
    }
}

fn node_of(request: &LinkRequest) -> String {
    let attach = request.attach().unwrap();
    let address = match (attach.role, &attach.target, &attach.source) {
        (Role::Sender, Some(TargetArchetype::Target(target)), _) => target.address.clone(),
        (Role::Receiver, _, Some(source)) => source.address.clone(),
        _ => None,
    };
    address.map(|address| address.to_string()).unwrap_or_default()
}

pub(crate) fn message(id: u64) -> Message {
    Message::value(id)
}

pub(crate) fn id_of(message: &Message) -> u64 {
    match &message.body {
        amqp_codec::messaging::Body::Value(Value::Ulong(id)) => *id,
        other => panic!("not a message of this test: {other:?}"),
    }
}

/// Notes each message, then accepts it.
async fn take(receiver: Receiver, store: Arc<Store>) {
    while let Ok(delivery) = receiver.recv().await {
        let id = id_of(&delivery.message().unwrap());
        *store.ledger.lock().unwrap().entry(id).or_default() += 1;
        store.changed.notify_waiters();
        tokio::select! {
            () = store.until(|store| !*store.is_mute.lock().unwrap()) => {}
            _ = receiver.detached() => return,
        }
        // The link may be gone: then the sender does not learn of it.
        let _ = delivery.accept();
    }
}

/// Gives what is queued; what is not accepted goes back.
async fn give(sender: Sender, store: Arc<Store>) {
    let mut given = VecDeque::new();
    loop {
        let changed = store.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        while sender.credit() > 0 {
            let Some(id) = store.queue.lock().unwrap().pop_front() else { break };
            match sender.try_deliver(message(id)) {
                Ok(number) => given.push_back((number, id)),
                Err(_) => store.queue.lock().unwrap().push_front(id),
            }
        }
        let is_stuck = !store.queue.lock().unwrap().is_empty();
        let told = tokio::select! {
            told = sender.next_outcome() => told,
            _ = sender.credit_available(), if is_stuck => continue,
            () = changed => continue,
        };
        match told {
            Ok((number, outcome)) => {
                let index = given.iter().position(|(given, _)| *given == number).unwrap();
                let (_, id) = given.remove(index).unwrap();
                match outcome {
                    Outcome::Accepted => store.accepted.lock().unwrap().push(id),
                    // It has left settled.
                    Outcome::Unspecified => {}
                    _ => store.queue.lock().unwrap().push_back(id),
                }
                store.changed.notify_waiters();
            }
            Err(_) => {
                // Everything that has no outcome is to be given again, in order.
                for (_, id) in given.into_iter().rev() {
                    store.queue.lock().unwrap().push_front(id);
                }
                store.changed.notify_waiters();
                return;
            }
        }
    }
}
