//! Links that are suspended and resumed (§2.6.13): what is kept of one that ends, and how another goes on with it.

use super::event::{DeliveryNumber, Token};
use super::link::resume::{Fate, ReceiverResume, SenderResume, unsettled_map};
use super::link::{Kind, Link};
use super::options::{Resumption, Unsettled};
use super::{Engine, LinkKey};
use amqp_codec::Encode;
use amqp_codec::transport::Attach;
use bytes::Bytes;

/// Octets left for what is not known of an attach when its map is made: frame header, handle, sizes.
const MARGIN: usize = 64;

impl Engine {
    /// Takes what was unsettled on a link that can be resumed, once it has ended; none if it cannot be resumed or has not
    /// ended.
    pub fn take_unsettled(&mut self, key: LinkKey) -> Option<Unsettled> {
        let link = self.links.get_mut(key.0)?;
        link.end.as_ref()?;
        match &mut link.kind {
            Kind::Sender(sender) => {
                let next_tag = sender.next_tag();
                let resume = sender.resume.as_mut()?;
                let mut unsettled = std::mem::take(&mut resume.unsettled);
                // Of two with one number the first is one that the peer did not tell of.
                unsettled.sort_by_key(|(number, _)| *number);
                // It never came to a comparison.
                let wanted = std::mem::take(&mut resume.wanted).into_iter().map(|(delivery, _)| delivery);
                let deliveries = unsettled.into_iter().map(|(_, delivery)| delivery).chain(wanted).collect();
                Some(Unsettled { deliveries, verdicts: Vec::new(), next_tag })
            }
            Kind::Receiver(receiver) => {
                let resume = receiver.resume.as_mut()?;
                let mut verdicts = Vec::from(std::mem::take(&mut resume.wanted));
                verdicts.append(&mut resume.unsettled);
                Some(Unsettled { deliveries: Vec::new(), verdicts, next_tag: 0 })
            }
        }
    }

    /// Takes what became of the deliveries that a sender was resumed with, once it is attached.
    pub fn take_fates(&mut self, key: LinkKey) -> Vec<(Token, DeliveryNumber, Fate)> {
        let sender = self.links.get_mut(key.0).and_then(Link::sender);
        sender
            .and_then(|sender| sender.resume.as_mut())
            .map_or_else(Vec::new, |resume| std::mem::take(&mut resume.fates))
    }

    /// The deliveries that a receiver was resumed with and that the peer has not come back to yet. Those that it knows
    /// nothing of are settled and no longer among them.
    pub fn unresolved(&mut self, key: LinkKey) -> Vec<Bytes> {
        let receiver = self.links.get_mut(key.0).and_then(Link::receiver);
        receiver
            .and_then(|receiver| receiver.resume.as_ref())
            .map_or_else(Vec::new, |resume| resume.wanted.iter().map(|(tag, _)| tag.clone()).collect())
    }
}

/// Makes a link one that can be resumed, and tells in its attach what is unsettled.
pub(super) fn resume(link: &mut Link, resumption: Resumption, attach: &mut Attach, max_frame_size: usize) {
    let room = max_frame_size.saturating_sub(attach.encoded_len() + MARGIN);
    let (map, is_incomplete) = match &mut link.kind {
        Kind::Sender(sender) => {
            sender.start_tags_at(resumption.next_tag);
            // A sender that has all of a delivery has no state of its own.
            let tags = resumption.deliveries.iter().filter_map(|(delivery, _)| delivery.tag.as_ref());
            let map = unsettled_map(tags.map(|tag| (tag, None)), room);
            let resume = SenderResume { wanted: resumption.deliveries, ..SenderResume::default() };
            sender.resume = Some(Box::new(resume));
            map
        }
        Kind::Receiver(receiver) => {
            let verdicts = resumption.verdicts.iter();
            let map = unsettled_map(verdicts.map(|(tag, state)| (tag, state.as_ref())), room);
            let resume = ReceiverResume {
                wanted: resumption.verdicts.into(),
                is_incomplete: map.1,
                ..ReceiverResume::default()
            };
            receiver.resume = Some(Box::new(resume));
            map
        }
    };
    if resumption.is_resumed {
        (attach.unsettled, attach.incomplete_unsettled) = (Some(map), is_incomplete);
    }
}
