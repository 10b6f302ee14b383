//! Links that are suspended, and resumed where the peer supports it (§2.6.13).

use crate::engine::credit::Credit;
use crate::engine::event::{DeliveryNumber, Token};
use crate::engine::{Fate, LinkAnswer, LinkOptions, Resumption, Unsettled, UnsettledDelivery};
use crate::error::{LinkError, Outcome};
use crate::link_options::{ReceiverOptions, SenderOptions};
use crate::listener::LinkRequest;
use crate::receiver::Receiver;
use crate::runtime::shared::Shared;
use crate::sender::{Confirmation, Sender};
use crate::session::{LinkHandle, Session};
use amqp_codec::messaging::{DeliveryState, Source, Target, TargetArchetype};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;

/// A link to send on that ended with messages unsettled, from [`Sender::suspend`]. It needs no connection: it may be kept
/// until there is one again.
#[derive(Debug, Clone)]
#[must_use = "messages without an outcome are lost with it"]
pub struct SuspendedSender {
    name: String,
    unsettled: Unsettled,
}

/// A link to receive on that ended with messages unsettled, from [`Receiver::suspend`].
#[derive(Debug, Clone)]
#[must_use = "verdicts on what was received are lost with it"]
pub struct SuspendedReceiver {
    name: String,
    verdicts: Vec<(Bytes, Option<DeliveryState>)>,
}

/// A link was not resumed; what is unsettled comes back.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the link was not resumed: {error}")]
pub struct ResumeError<S> {
    /// What is unsettled, to be resumed another time.
    pub suspended: S,
    /// Why not. Peers that do not know of resumption refuse it with `amqp:not-implemented`.
    pub error: Box<LinkError>,
}

/// A sender that was resumed, and what became of each message that was unsettled.
#[derive(Debug)]
#[must_use = "some messages may have been sent twice, or are still unknown"]
pub struct ResumedSender {
    /// The link.
    pub sender: Sender,
    /// One entry for each message, in the order in which they were handed over at first.
    pub deliveries: Vec<ResumedDelivery>,
}

/// What became of one message when its link was resumed.
#[derive(Debug)]
#[must_use = "the message may have been sent twice, or be unknown"]
#[non_exhaustive]
pub struct ResumedDelivery {
    /// Its tag, if it had left.
    pub tag: Option<Bytes>,
    /// What became of it.
    pub fate: Fate,
    /// Its outcome. With [`Fate::Unknown`] there is none on this link.
    pub outcome: Confirmation,
}

/// Places to wait for outcomes; given back if the link is not resumed. By then it is forgotten or was refused, so that nobody
/// will tell an outcome.
struct Tokens {
    shared: Arc<Shared>,
    tokens: Vec<Token>,
}

impl Drop for Tokens {
    fn drop(&mut self) {
        let tokens = std::mem::take(&mut self.tokens);
        self.shared.look(|state| tokens.into_iter().for_each(|token| state.cancel_confirm(token)));
    }
}

/// What the engine tells of the deliveries that a sender was resumed with.
type Fates = Vec<(Token, DeliveryNumber, Fate)>;

fn fates_on(link: &LinkHandle) -> Fates {
    link.shared().act(|state| state.engine.take_fates(link.key))
}

impl SuspendedSender {
    pub(crate) const fn new(name: String, unsettled: Unsettled) -> Self {
        Self { name, unsettled }
    }

    /// The link's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The messages without an outcome. Those without a tag have not left.
    #[must_use]
    pub fn unsettled(&self) -> &[UnsettledDelivery] {
        &self.unsettled.deliveries
    }

    fn resumption(&self, shared: &Arc<Shared>) -> (Resumption, Tokens) {
        let count = self.unsettled.deliveries.len();
        let tokens: Vec<_> = shared.look(|state| (0..count).map(|_| state.new_confirm()).collect());
        let mut resumption = Resumption::default();
        (resumption.is_resumed, resumption.next_tag) = (true, self.unsettled.next_tag);
        resumption.deliveries =
            self.unsettled.deliveries.iter().cloned().zip(tokens.iter().copied()).collect();
        (resumption, Tokens { shared: Arc::clone(shared), tokens })
    }

    fn resumed(self, link: Arc<LinkHandle>, mut tokens: Tokens, fates: Fates) -> ResumedSender {
        let mut fates: HashMap<_, _> =
            fates.into_iter().map(|(Token(token), _, fate)| (token, fate)).collect();
        let deliveries = self
            .unsettled
            .deliveries
            .into_iter()
            .zip(std::mem::take(&mut tokens.tokens))
            .map(|(delivery, token)| {
                let fate = fates.remove(&token.0).unwrap_or(Fate::Unknown);
                let is_awaited = fate != Fate::Unknown;
                if !is_awaited {
                    link.shared().look(|state| state.cancel_confirm(token));
                }
                let outcome = Confirmation::new(Arc::clone(&link), is_awaited.then_some(token));
                ResumedDelivery { tag: delivery.tag, fate, outcome }
            })
            .collect();
        ResumedSender { sender: Sender::new(link), deliveries }
    }
}

impl SuspendedReceiver {
    pub(crate) fn new(name: String, unsettled: Unsettled) -> Self {
        Self { name, verdicts: unsettled.verdicts }
    }

    /// The link's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tags of the messages that are not settled.
    pub fn unsettled(&self) -> impl Iterator<Item = &Bytes> {
        self.verdicts.iter().map(|(tag, _)| tag)
    }

    /// Gives the verdict on a message that was received whole before: it does not come once more, and the peer learns the
    /// verdict when the link is resumed. False if no unsettled message has this tag.
    pub fn decide(&mut self, tag: &[u8], outcome: Outcome) -> bool {
        match self.verdicts.iter_mut().find(|(known, _)| known == tag) {
            Some((_, verdict)) => {
                *verdict = outcome.into_state();
                true
            }
            None => false,
        }
    }

    fn resumption(&self) -> Resumption {
        let mut resumption = Resumption::default();
        (resumption.is_resumed, resumption.verdicts) = (true, self.verdicts.clone());
        resumption
    }
}

impl Session {
    /// Attaches a suspended link again, on this session or connection, and resolves what was unsettled by what the peer
    /// has of it: messages that it knows are finished or settled, others are sent again.
    ///
    /// The options are to be those of the link as it was first attached; its name is the suspended one's.
    ///
    /// ```no_run
    /// # async fn run(
    /// #     sender: amqp_transport::Sender, session: amqp_transport::Session,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// use amqp_transport::{Fate, SenderOptions};
    ///
    /// // `sender` was attached with `resumable()`, and its connection is gone.
    /// let suspended = sender.suspend().await.ok_or("it cannot be resumed")?;
    /// let resumed = session.resume_sender(suspended, SenderOptions::new("/queues/q")).await?;
    /// for delivery in resumed.deliveries {
    ///     if delivery.fate == Fate::Resent {
    ///         println!("{:?} may come twice", delivery.tag);
    ///     }
    ///     delivery.outcome.await?.accepted()?;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// A link that was resumed and has ended before this future was polled again is given nevertheless: what became of its
    /// messages is told, its sender can only be suspended.
    ///
    /// # Errors
    /// [`ResumeError`] with the link's error, such as the peer's refusal. If the future is dropped, a clone can be resumed;
    /// what was settled meanwhile comes twice then.
    pub async fn resume_sender(
        &self,
        suspended: SuspendedSender,
        options: SenderOptions,
    ) -> Result<ResumedSender, ResumeError<SuspendedSender>> {
        let (resumption, tokens) = suspended.resumption(self.handle.shared());
        let options = options.name(suspended.name.clone()).into_link();
        let error = match self.attach_or_end(LinkOptions { resumption: Some(resumption), ..options }).await {
            Err(error) => error,
            Ok((link, end)) => {
                let fates = fates_on(&link);
                match end {
                    // It was resumed and has ended since: some may be settled, and must not be sent again.
                    Some(error) if fates.is_empty() => error,
                    _ => return Ok(suspended.resumed(link, tokens, fates)),
                }
            }
        };
        Err(ResumeError { suspended, error: Box::new(error) })
    }

    /// Attaches a suspended link to receive on again. Messages with a [verdict](SuspendedReceiver::decide) are settled by
    /// it, those that the peer does not know any more are settled, the others come once more, whole:
    /// [`Receiver::unresolved`] tells which have not yet.
    ///
    /// # Errors
    /// As [`Session::resume_sender`].
    pub async fn resume_receiver(
        &self,
        suspended: SuspendedReceiver,
        options: ReceiverOptions,
    ) -> Result<Receiver, ResumeError<SuspendedReceiver>> {
        let options = options.name(suspended.name.clone()).into_link();
        let resumption = Some(suspended.resumption());
        match self.attach_or_end(LinkOptions { resumption, ..options }).await {
            Ok((link, None)) => Ok(Receiver::new(link)),
            Ok((link, Some(error))) => {
                // It may have been resumed before it ended.
                let rest = link.shared().act(|state| state.engine.take_unsettled(link.key));
                let suspended = match rest {
                    Some(unsettled) => SuspendedReceiver::new(suspended.name, unsettled),
                    None => suspended,
                };
                Err(ResumeError { suspended, error: Box::new(error) })
            }
            Err(error) => Err(ResumeError { suspended, error: Box::new(error) }),
        }
    }
}

impl LinkRequest {
    /// Whether the peer resumes the link: then its [attach](LinkRequest::attach) tells what it holds unsettled. Without
    /// anything of one's own the link can be accepted as any other: then nothing is unsettled here.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.attach().is_some_and(|attach| attach.unsettled.is_some())
    }

    /// Accepts a peer that receives, on a link that can be resumed later.
    ///
    /// # Errors
    /// As [`LinkRequest::accept_as_sender`].
    pub fn accept_as_resumable_sender(self, source: Source) -> Result<Sender, LinkError> {
        Ok(Sender::new(self.accept_resumption(Some(source), None, Credit::Manual, Resumption::default())?))
    }

    /// Accepts a peer that sends, on a link that can be resumed later.
    ///
    /// # Errors
    /// As [`LinkRequest::accept_as_receiver`].
    pub fn accept_as_resumable_receiver(self, target: Target, credit: Credit) -> Result<Receiver, LinkError> {
        Ok(Receiver::new(self.accept_resumption(None, Some(target), credit, Resumption::default())?))
    }

    /// Accepts a peer that resumes a link to receive on, with what is unsettled here.
    ///
    /// # Errors
    /// As [`Session::resume_sender`].
    pub fn resume_as_sender(
        self,
        suspended: SuspendedSender,
        source: Source,
    ) -> Result<ResumedSender, ResumeError<SuspendedSender>> {
        let (resumption, tokens) = suspended.resumption(self.shared());
        match self.accept_resumption(Some(source), None, Credit::Manual, resumption) {
            Ok(link) => {
                let fates = fates_on(&link);
                Ok(suspended.resumed(link, tokens, fates))
            }
            Err(error) => Err(ResumeError { suspended, error: Box::new(error) }),
        }
    }

    /// Accepts a peer that resumes a link to send on, with what is unsettled here.
    ///
    /// # Errors
    /// As [`Session::resume_sender`].
    pub fn resume_as_receiver(
        self,
        suspended: SuspendedReceiver,
        target: Target,
        credit: Credit,
    ) -> Result<Receiver, ResumeError<SuspendedReceiver>> {
        match self.accept_resumption(None, Some(target), credit, suspended.resumption()) {
            Ok(link) => Ok(Receiver::new(link)),
            Err(error) => Err(ResumeError { suspended, error: Box::new(error) }),
        }
    }

    fn accept_resumption(
        self,
        source: Option<Source>,
        target: Option<Target>,
        credit: Credit,
        resumption: Resumption,
    ) -> Result<Arc<LinkHandle>, LinkError> {
        let mut answer = LinkAnswer::default();
        answer.termini.source = source;
        answer.termini.target = target.map(TargetArchetype::Target);
        (answer.credit, answer.resumption) = (credit, Some(resumption));
        self.accept_with(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::StaticCredentials;
    use crate::{ConnectOptions, Connection, Incoming, ListenerOptions};
    use amqp_codec::Encode;
    use amqp_codec::messaging::Message;
    use amqp_codec::transport::{ErrorInfo, conditions};
    use std::pin::{Pin, pin};
    use std::task::Poll;

    async fn connected() -> (Connection, Incoming) {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let users = StaticCredentials { anonymous: true, users: Vec::new() };
        let listener = ListenerOptions::new("server").authenticator(Arc::new(users));
        let client = ConnectOptions::new("amqp://localhost".parse().unwrap()).container_id("app");
        let (client, incoming) = tokio::join!(client.connect_over(near), listener.accept(far));
        (client.unwrap(), incoming.unwrap())
    }

    /// A link to send on that was suspended with so many messages unsettled, and what its receiver holds.
    async fn suspended(session: &Session, incoming: &Incoming) -> (SuspendedSender, SuspendedReceiver) {
        let (sender, receiver) = tokio::join!(session.sender(SenderOptions::new("q").resumable()), async {
            let request = incoming.next_link().await.unwrap();
            request.accept_as_resumable_receiver(Target::new("q"), Credit::Auto(10)).unwrap()
        });
        let sender = sender.unwrap();
        let _unknown = (
            sender.deliver(Message::data("first")).await.unwrap(),
            sender.deliver(Message::data("second")).await.unwrap(),
        );
        let held = (receiver.recv().await.unwrap(), receiver.recv().await.unwrap());
        let suspended = sender.suspend().await.unwrap();
        let receiver = receiver.suspend().await.unwrap();
        drop(held);
        assert_eq!((suspended.unsettled().len(), receiver.unsettled().count()), (2, 2));
        (suspended, receiver)
    }

    /// Polls a future once.
    async fn is_pending<F: Future>(future: &mut Pin<&mut F>) -> bool {
        std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
    }

    // §2.6.13
    #[tokio::test]
    async fn what_became_of_messages_is_told_although_the_resumed_link_has_ended_already() {
        let (client, incoming) = connected().await;
        let session = client.session().await.unwrap();
        let (sender, receiver) = suspended(&session, &incoming).await;
        let mut resuming = pin!(session.resume_sender(sender, SenderOptions::new("q")));
        // It asks, and looks again only when all is over.
        assert!(is_pending(&mut resuming).await);
        let request = incoming.next_link().await.unwrap();
        let receiver = request.resume_as_receiver(receiver, Target::new("q"), Credit::Auto(10)).unwrap();
        receiver.recv().await.unwrap().accept().unwrap();
        let undecided = receiver.recv().await.unwrap();
        receiver.detach().await.unwrap();
        drop(undecided);
        let resumed = resuming.await.unwrap();
        let fates: Vec<_> = resumed.deliveries.iter().map(|delivery| delivery.fate.clone()).collect();
        assert_eq!(fates, [Fate::Resumed, Fate::Resumed]);
        let mut deliveries = resumed.deliveries.into_iter().map(|delivery| delivery.outcome);
        deliveries.next().unwrap().await.unwrap().accepted().unwrap();
        deliveries.next().unwrap().await.unwrap_err();
        let rest = resumed.sender.suspend().await.unwrap();
        assert_eq!(rest.unsettled().len(), 1, "the first one is not sent again");
        assert_eq!(rest.unsettled()[0].payload, Message::data("second").to_bytes());
    }

    // §2.6.13
    #[tokio::test]
    async fn a_receiver_whose_resumed_link_has_ended_already_gives_back_what_is_unsettled_then() {
        let (client, incoming) = connected().await;
        let session = client.session().await.unwrap();
        let mut wanted = SuspendedReceiver { name: "link".into(), verdicts: Vec::new() };
        for tag in [&b"done"[..], b"open"] {
            wanted.verdicts.push((Bytes::copy_from_slice(tag), None));
        }
        assert!(wanted.decide(b"done", Outcome::Accepted));
        let mut resuming = pin!(session.resume_receiver(wanted, ReceiverOptions::new("q")));
        assert!(is_pending(&mut resuming).await);
        let request = incoming.next_link().await.unwrap();
        let delivery = UnsettledDelivery {
            tag: Some(Bytes::from_static(b"open")),
            payload: Message::data("open").to_bytes(),
            message_format: 0,
        };
        let unsettled = Unsettled { deliveries: vec![delivery], ..Unsettled::default() };
        let resumed = request
            .resume_as_sender(SuspendedSender::new("link".into(), unsettled), Source::new("q"))
            .unwrap();
        resumed.sender.detach().await.unwrap();
        let rest = resuming.await.unwrap_err().suspended;
        assert_eq!(
            rest.unsettled().collect::<Vec<_>>(),
            [&b"open"[..]],
            "the sender does not know the other"
        );
    }

    // §2.6.13
    #[tokio::test]
    async fn a_resumption_that_comes_to_nothing_leaves_no_place_taken() {
        let (client, incoming) = connected().await;
        let session = client.session().await.unwrap();
        let (sender, _) = suspended(&session, &incoming).await;
        // The lowest that are free.
        let free = || {
            session.handle.shared().look(|state| {
                let mut tokens: Vec<_> = (0..4).map(|_| state.new_confirm().0).collect();
                tokens.iter().for_each(|token| state.cancel_confirm(Token(*token)));
                tokens.sort_unstable();
                tokens
            })
        };
        let before = free();
        let (refused, ()) = tokio::join!(session.resume_sender(sender, SenderOptions::new("q")), async {
            let request = incoming.next_link().await.unwrap();
            request.refuse(ErrorInfo::new(conditions::NOT_IMPLEMENTED, "no"));
        });
        let sender = refused.unwrap_err().suspended;
        assert_eq!(free(), before, "after a refusal");
        {
            let mut dropped = pin!(session.resume_sender(sender, SenderOptions::new("q")));
            assert!(is_pending(&mut dropped).await);
        }
        assert_eq!(free(), before, "after the future was dropped");
    }
}
