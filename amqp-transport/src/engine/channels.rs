//! The channels of one direction of a connection (§2.5.1), and the session that each of them is mapped to.

use super::SessionKey;

/// So many channels at least take turns, where there are as many. A channel that was just freed is thus the last to be used
/// again: RabbitMQ 4.0 now and then never answers a begin that comes right behind the end of the same channel's session.
const TURNS: usize = 16;

/// Sessions by channel.
#[derive(Debug, Default)]
pub(super) struct Channels {
    slots: Vec<Option<SessionKey>>,
    in_use: usize,
    /// Whose turn is next.
    next: usize,
}

impl Channels {
    /// How many channels have a session.
    pub(super) fn in_use(&self) -> usize {
        self.in_use
    }

    pub(super) fn session_on(&self, channel: u16) -> Option<SessionKey> {
        self.slots.get(usize::from(channel)).copied().flatten()
    }

    /// The free channel whose turn it is, none above `max`.
    pub(super) fn free_channel(&self, max: u16) -> Option<u16> {
        let turns = (self.in_use + TURNS).min(usize::from(max) + 1);
        let in_turn = (0..turns).map(|turn| (self.next + turn) % turns);
        in_turn
            .filter_map(|channel| u16::try_from(channel).ok())
            .find(|&channel| self.session_on(channel).is_none())
    }

    pub(super) fn map(&mut self, channel: u16, session: SessionKey) {
        let channel = usize::from(channel);
        if self.slots.len() <= channel {
            self.slots.resize(channel + 1, None);
        }
        if let Some(slot) = self.slots.get_mut(channel)
            && slot.replace(session).is_none()
        {
            self.in_use += 1;
        }
        self.next = channel + 1;
    }

    pub(super) fn unmap(&mut self, channel: u16) {
        if self.slots.get_mut(usize::from(channel)).and_then(Option::take).is_some() {
            self.in_use -= 1;
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
