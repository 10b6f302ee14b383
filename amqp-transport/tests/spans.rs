//! What connections, sessions and links write to the log.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use amqp_codec::messaging::{Message, Target};
use amqp_codec::transport::{ErrorInfo, conditions};
use amqp_transport::{Address, ConnectOptions, Credit, ListenerOptions, SenderOptions, StaticCredentials};
use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Keeps spans and events: for each event, the names of the spans that it is in, and its fields.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    /// Name with fields, and the parent.
    spans: Vec<(String, Option<u64>)>,
    entered: Vec<u64>,
    events: Vec<String>,
}

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Kept {
    fn span(&self, id: u64) -> &(String, Option<u64>) {
        &self.spans[usize::try_from(id).unwrap() - 1]
    }

    /// The names of a span and those around it, outermost first.
    fn path(&self, mut id: Option<u64>) -> String {
        let mut names = Vec::new();
        while let Some(span) = id {
            let (name, parent) = self.span(span);
            names.insert(0, name.split(' ').next().unwrap().to_owned());
            id = *parent;
        }
        names.join("/")
    }
}

impl Log {
    fn events(&self) -> Vec<String> {
        self.0.lock().unwrap().events.clone()
    }

    fn spans(&self) -> Vec<String> {
        self.0.lock().unwrap().spans.iter().map(|(span, _)| span.clone()).collect()
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::DEBUG && metadata.target().starts_with("amqp_transport")
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut kept = self.0.lock().unwrap();
        let mut span = attributes.metadata().name().to_owned();
        attributes.record(&mut Fields(&mut span));
        let parent = attributes.parent().map(Id::into_u64).or_else(|| {
            let is_inner = attributes.is_contextual();
            is_inner.then(|| kept.entered.last().copied()).flatten()
        });
        kept.spans.push((span, parent));
        Id::from_u64(u64::try_from(kept.spans.len()).unwrap())
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        let index = usize::try_from(id.into_u64()).unwrap() - 1;
        values.record(&mut Fields(&mut self.0.lock().unwrap().spans[index].0));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut kept = self.0.lock().unwrap();
        let parent = event.parent().map(Id::into_u64).or_else(|| kept.entered.last().copied());
        let mut line = format!("{}:", kept.path(parent));
        event.record(&mut Fields(&mut line));
        kept.events.push(line);
    }

    fn enter(&self, id: &Id) {
        self.0.lock().unwrap().entered.push(id.into_u64());
    }

    fn exit(&self, id: &Id) {
        let mut kept = self.0.lock().unwrap();
        if let Some(place) = kept.entered.iter().rposition(|entered| *entered == id.into_u64()) {
            kept.entered.remove(place);
        }
    }
}

// All tasks run on the thread of the test, so the log of that thread is that of both ends.
#[tokio::test]
async fn connections_sessions_and_links_are_spans_within_each_other_and_tell_their_beginning_and_end() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let talk = async {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let users = vec![("guest".to_owned(), "hunter2".to_owned())];
        let listener = ListenerOptions::new("the-server")
            .authenticator(Arc::new(StaticCredentials { anonymous: false, users }));
        let address: Address = "amqp://guest:hunter2@localhost".parse().unwrap();
        let client = ConnectOptions::new(address).container_id("the-client");
        let (client, incoming) = tokio::join!(client.connect_over(near), listener.accept(far));
        let (client, incoming) = (client.unwrap(), incoming.unwrap());
        let session = client.session().await.unwrap();
        let (sender, receiver) =
            tokio::join!(session.sender(SenderOptions::new("the-node").name("the-link")), async {
                let request = incoming.next_link().await.unwrap();
                request.accept_as_receiver(Target::new("the-node"), Credit::Auto(10)).unwrap()
            });
        let sender = sender.unwrap();
        let (sent, ()) = tokio::join!(sender.send(Message::data("hunter2 in a body")), async {
            receiver.recv().await.unwrap().accept().unwrap();
        });
        sent.unwrap().accepted().unwrap();
        receiver.close_with(ErrorInfo::new(conditions::DETACH_FORCED, "enough")).await.unwrap();
        sender.detached().await;
        drop(sender);
        drop(session);
        client.close().await.unwrap();
        incoming.connection().closed().await;
    };
    tokio::time::timeout(Duration::from_secs(20), talk).await.expect("it takes too long");

    let (events, spans) = (log.events().join("\n"), log.spans().join("\n"));
    for wanted in [
        "connection: message=connection opened max_frame_size=131072 channel_max=255",
        "connection/session: message=session begun",
        "connection/session/link: message=link attached",
        "connection/session/link: message=link accepted",
        "reason=the peer detached the link: amqp:link:detach-forced: enough",
        "connection/session/link: message=link let go stats=LinkStats { deliveries: 1,",
        "connection/session: message=session let go",
        "connection: message=connection ended reason=the connection was closed here",
        "connection: message=connection ended reason=the peer closed the connection",
    ] {
        assert!(events.contains(wanted), "no {wanted:?} in\n{events}");
    }
    for wanted in [
        "connection side=\"client\" address=amqp://localhost:5672 container=the-server",
        "connection side=\"listener\" container=the-client",
        "session channel=0",
        "link name=\"the-link\" role=Sender address=\"the-node\"",
        "link name=\"the-link\" role=Receiver address=\"the-node\"",
    ] {
        assert!(spans.contains(wanted), "no {wanted:?} in\n{spans}");
    }
    assert!(!events.contains("hunter2") && !spans.contains("hunter2"));
}
