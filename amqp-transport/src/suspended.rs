//! Links that are suspended, and resumed where the peer supports it (§2.6.13).

use crate::engine::credit::Credit;
use crate::engine::event::Token;
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
pub struct SuspendedSender {
    name: String,
    unsettled: Unsettled,
}

/// A link to receive on that ended with messages unsettled, from [`Receiver::suspend`].
#[derive(Debug, Clone)]
pub struct SuspendedReceiver {
    name: String,
    verdicts: Vec<(Bytes, Option<DeliveryState>)>,
}

/// A link was not resumed; what is unsettled comes back.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the link was not resumed: {error}")]
pub struct ResumeError<S> {
    /// As it was before.
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
#[non_exhaustive]
pub struct ResumedDelivery {
    /// Its tag, if it had left.
    pub tag: Option<Bytes>,
    /// What became of it.
    pub fate: Fate,
    /// Its outcome. With [`Fate::Unknown`] there is none on this link.
    pub outcome: Confirmation,
}

/// Places to wait for outcomes; given back if the link is not resumed.
struct Tokens {
    shared: Arc<Shared>,
    tokens: Vec<Token>,
}

impl Drop for Tokens {
    fn drop(&mut self) {
        let tokens = std::mem::take(&mut self.tokens);
        self.shared.look(|state| tokens.into_iter().for_each(|token| state.abandon_confirm(token)));
    }
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

    fn resumed(self, link: Arc<LinkHandle>, mut tokens: Tokens) -> ResumedSender {
        let mut fates: HashMap<_, _> = link
            .shared()
            .act(|state| state.engine.take_fates(link.key))
            .into_iter()
            .map(|(Token(token), _, fate)| (token, fate))
            .collect();
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
    /// # Errors
    /// [`ResumeError`] with the link's error, such as the peer's refusal. If the future is dropped, a clone can be resumed.
    pub async fn resume_sender(
        &self,
        suspended: SuspendedSender,
        options: SenderOptions,
    ) -> Result<ResumedSender, ResumeError<SuspendedSender>> {
        let (resumption, tokens) = suspended.resumption(self.handle.shared());
        let options = options.name(suspended.name.clone()).into_link();
        match self.attach(LinkOptions { resumption: Some(resumption), ..options }).await {
            Ok(link) => Ok(suspended.resumed(link, tokens)),
            Err(error) => Err(ResumeError { suspended, error: Box::new(error) }),
        }
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
        match self.attach(LinkOptions { resumption: Some(suspended.resumption()), ..options }).await {
            Ok(link) => Ok(Receiver::new(link)),
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
            Ok(link) => Ok(suspended.resumed(link, tokens)),
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
