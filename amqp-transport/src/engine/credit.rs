//! Link credit (§2.6.7): how many deliveries the receiver has asked for. Arithmetic only.

use super::serial::Serial;

/// How a receiving link asks for deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credit {
    /// Keeps up to this many deliveries coming: those granted and still to arrive, those waiting to be taken
    /// and those taken but unsettled together never exceed the number. Topped up in steps, and always when
    /// nothing is granted any more, so that a slow consumer is never starved. 0 behaves as [`Credit::Manual`].
    /// A peer may thus fill memory with this many messages of [`Limits::max_message_size`](crate::Limits::max_message_size):
    /// where that is too much, lower one of the two or take [`Credit::Bounded`].
    Auto(u32),
    /// As [`Credit::Auto`] with `messages`, and no more is asked for while the deliveries that wait or are unsettled have
    /// `octets` together. Between, credit is for as many messages of the usual size as fit, and for one at least: what
    /// is held stays near the bound unless sizes change all at once. Messages that are read in parts do not count.
    Bounded {
        /// The most deliveries at a time.
        messages: u32,
        /// Octets of deliveries that wait to be taken or are unsettled.
        octets: u32,
    },
    /// Nothing arrives unless it is asked for with `set_credit`.
    Manual,
}

/// The peer's delivery-count is ahead of ours: it counts deliveries that were never sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CountAhead;

/// Credit as the sending side sees it.
#[derive(Debug, Clone)]
pub(crate) struct SenderCredit {
    initial: Serial,
    delivery_count: Serial,
    link_credit: u32,
    drain: bool,
}

impl SenderCredit {
    pub(crate) const fn new(initial: Serial) -> Self {
        Self { initial, delivery_count: initial, link_credit: 0, drain: false }
    }

    pub(crate) const fn delivery_count(&self) -> Serial {
        self.delivery_count
    }

    pub(crate) const fn link_credit(&self) -> u32 {
        self.link_credit
    }

    pub(crate) const fn is_draining(&self) -> bool {
        self.drain
    }

    /// The receiver's flow: link-credit := count(receiver) + credit(receiver) − count(sender), without going
    /// below 0 when the flow crossed deliveries.
    pub(crate) fn on_flow(
        &mut self,
        delivery_count: Option<Serial>,
        link_credit: u32,
        drain: bool,
    ) -> Result<(), CountAhead> {
        let seen = delivery_count.unwrap_or(self.initial);
        if seen.is_after(self.delivery_count) {
            return Err(CountAhead);
        }
        self.link_credit = link_credit.saturating_sub(self.delivery_count.since(seen));
        self.drain = drain;
        Ok(())
    }

    /// A delivery starts. Call only while there is credit.
    pub(crate) fn on_send(&mut self) {
        debug_assert!(self.link_credit > 0, "a delivery was sent without credit");
        self.delivery_count = self.delivery_count.plus(1);
        self.link_credit = self.link_credit.saturating_sub(1);
    }

    /// Nothing is left to send: the remaining credit is used up (§2.6.7, drain). Returns false if there was
    /// nothing to do.
    pub(crate) fn drain(&mut self) {
        self.delivery_count = self.delivery_count.plus(self.link_credit);
        self.link_credit = 0;
    }
}

/// Credit as the receiving side grants it.
#[derive(Debug, Clone)]
pub(crate) struct ReceiverCredit {
    policy: Credit,
    /// Known once the sender's attach has arrived.
    delivery_count: Option<Serial>,
    link_credit: u32,
    /// Deliveries that arrived and are neither settled nor, if they came settled, taken.
    held: u32,
    drain: bool,
    paused: bool,
    /// The largest credit ever announced.
    largest: u32,
    /// Deliveries that came without credit since the last grant.
    excess: u32,
    /// Octets of deliveries that are held, for [`Credit::Bounded`].
    held_octets: u64,
    /// The usual size of a message, for [`Credit::Bounded`].
    usual_octets: u64,
}

impl ReceiverCredit {
    pub(crate) const fn new(policy: Credit) -> Self {
        Self {
            policy,
            delivery_count: None,
            link_credit: 0,
            held: 0,
            drain: false,
            paused: false,
            largest: 0,
            excess: 0,
            held_octets: 0,
            usual_octets: 0,
        }
    }

    pub(crate) const fn delivery_count(&self) -> Option<Serial> {
        self.delivery_count
    }

    pub(crate) const fn link_credit(&self) -> u32 {
        self.link_credit
    }

    pub(crate) const fn is_draining(&self) -> bool {
        self.drain
    }

    /// The sender's attach fixes where its count starts (§2.6.7).
    pub(crate) const fn on_attach(&mut self, initial_delivery_count: Serial) {
        self.delivery_count = Some(initial_delivery_count);
    }

    /// A delivery begins. More than was granted is taken without harm and without wrapping: RabbitMQ 3.10
    /// adds up the credit of flows that arrive together.
    pub(crate) fn on_delivery(&mut self) {
        if let Some(count) = self.delivery_count {
            self.delivery_count = Some(count.plus(1));
        }
        self.excess = self.excess.saturating_add(u32::from(self.link_credit == 0));
        self.link_credit = self.link_credit.saturating_sub(1);
        self.held = self.held.saturating_add(1);
        // Used up is as good as given back: nothing more can come.
        self.drain &= self.link_credit > 0;
    }

    /// Whether this many deliveries waiting to be taken are beyond all that credit was ever granted for. Twice the
    /// largest grant is borne, because RabbitMQ 3.10 may count one twice; and what was asked for is none, however much
    /// waits.
    pub(crate) const fn is_overrun_by(&self, waiting: u32) -> bool {
        let is_beyond_grants = self.link_credit == 0 && self.excess > self.largest;
        is_beyond_grants && waiting > self.largest.saturating_mul(2).saturating_add(16)
    }

    /// A delivery that was held is settled, or was aborted, or came settled and has been taken.
    pub(crate) const fn on_done(&mut self) {
        self.held = self.held.saturating_sub(1);
    }

    /// The sender's flow: its count is authoritative. Returns true if this completes a drain.
    pub(crate) fn on_flow(&mut self, delivery_count: Option<Serial>) -> bool {
        if let (Some(theirs), Some(ours)) = (delivery_count, self.delivery_count)
            && theirs.is_after(ours)
        {
            self.link_credit = self.link_credit.saturating_sub(theirs.since(ours));
            self.delivery_count = Some(theirs);
        }
        let drained = self.drain && self.link_credit == 0;
        if drained {
            self.drain = false;
        }
        drained
    }

    pub(crate) const fn pause(&mut self) {
        self.paused = true;
        self.link_credit = 0;
    }

    pub(crate) const fn resume(&mut self) {
        self.paused = false;
    }

    /// Sets the total that may still arrive, for [`Credit::Manual`].
    pub(crate) fn set(&mut self, credit: u32) {
        self.link_credit = credit;
        self.largest = self.largest.max(credit);
        self.excess = 0;
    }

    /// Asks for the rest or for nothing more. Nothing is granted by itself until [`ReceiverCredit::resume`].
    pub(crate) const fn start_drain(&mut self) {
        self.paused = true;
        self.drain = self.link_credit > 0;
    }

    /// Whether the octets of deliveries are to be told.
    pub(crate) const fn counts_octets(&self) -> bool {
        matches!(self.policy, Credit::Bounded { .. })
    }

    /// A delivery of this size is whole. The usual size follows slowly, and grows at once.
    pub(crate) fn on_octets(&mut self, octets: u32) {
        let octets = u64::from(octets);
        self.held_octets = self.held_octets.saturating_add(octets);
        self.usual_octets = octets.max(self.usual_octets - self.usual_octets / 16 + octets / 16);
    }

    /// A delivery of this size is no longer held.
    pub(crate) fn on_octets_done(&mut self, octets: u32) {
        self.held_octets = self.held_octets.saturating_sub(u64::from(octets));
    }

    /// How many deliveries may be held or under way.
    fn whole(&self) -> Option<u32> {
        match self.policy {
            Credit::Auto(whole) => Some(whole),
            Credit::Manual => None,
            Credit::Bounded { messages, octets } => {
                let free = u64::from(octets).saturating_sub(self.held_octets);
                let fitting = free.checked_div(self.usual_octets).unwrap_or(1);
                // With nothing held, one is asked for, however large it may be.
                let fitting = if self.held == 0 { fitting.max(1) } else { fitting };
                let fitting = u32::try_from(fitting).unwrap_or(u32::MAX);
                Some(messages.min(self.held.saturating_add(fitting)))
            }
        }
    }

    /// Grants all that is free, for a flow that is sent anyway.
    pub(crate) fn fill(&mut self) {
        if let Some(whole) = self.whole()
            && !self.paused
            && !self.drain
        {
            let free = whole.saturating_sub(self.held).saturating_sub(self.link_credit);
            self.grant(free);
        }
    }

    fn grant(&mut self, more: u32) {
        if more > 0 {
            self.link_credit += more;
            self.largest = self.largest.max(self.link_credit);
            self.excess = 0;
        }
    }

    /// The new total to announce, if a flow is due. See [`Credit::Auto`] for the rule; a step is a quarter of
    /// the whole, so that flows stay rare while deliveries keep coming.
    pub(crate) fn top_up(&mut self) -> Option<u32> {
        let whole = self.whole()?;
        if self.paused || self.drain || whole == 0 || self.link_credit > whole / 2 {
            return None;
        }
        let free = whole.saturating_sub(self.held).saturating_sub(self.link_credit);
        let step = whole / 4 + 1;
        if free >= step || (free > 0 && self.link_credit == 0) {
            self.grant(free);
            return Some(self.link_credit);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // §2.6.7
    #[test]
    fn credit_in_a_flow_is_the_new_total() {
        let mut sender = SenderCredit::new(Serial(u32::MAX));
        sender.on_flow(None, 5, false).unwrap();
        sender.on_send();
        sender.on_send();
        sender.on_flow(Some(Serial(0)), 5, false).unwrap();
        assert_eq!(sender.link_credit(), 4, "one of the two deliveries was still under way");
    }

    #[test]
    fn credit_of_the_largest_value_is_legal() {
        let mut sender = SenderCredit::new(Serial(7));
        sender.on_flow(Some(Serial(7)), u32::MAX, false).unwrap();
        assert_eq!(sender.link_credit(), u32::MAX);
    }

    #[test]
    fn a_count_ahead_of_the_sender_is_refused() {
        assert!(SenderCredit::new(Serial(0)).on_flow(Some(Serial(1)), 1, false).is_err());
    }

    #[test]
    fn draining_advances_the_count_by_the_unused_credit() {
        let mut sender = SenderCredit::new(Serial(3));
        sender.on_flow(Some(Serial(3)), 7, true).unwrap();
        sender.drain();
        assert_eq!((sender.delivery_count(), sender.link_credit()), (Serial(10), 0));
        let mut receiver = ReceiverCredit::new(Credit::Manual);
        receiver.on_attach(Serial(3));
        receiver.set(7);
        receiver.start_drain();
        assert!(receiver.on_flow(Some(Serial(10))));
        assert_eq!(receiver.link_credit(), 0);
    }

    #[test]
    fn unsettled_deliveries_count_against_automatic_credit() {
        let mut credit = ReceiverCredit::new(Credit::Auto(4));
        credit.on_attach(Serial(0));
        assert_eq!(credit.top_up(), Some(4));
        for _ in 0..4 {
            credit.on_delivery();
        }
        assert_eq!(credit.top_up(), None, "all four are held");
        credit.on_done();
        assert_eq!(credit.top_up(), Some(1), "one is free and nothing is granted");
    }

    #[test]
    fn a_flow_that_is_sent_anyway_grants_all_that_is_free() {
        let mut credit = ReceiverCredit::new(Credit::Auto(10));
        credit.on_attach(Serial(0));
        credit.top_up();
        (0..7).for_each(|_| credit.on_delivery());
        (0..3).for_each(|_| credit.on_done());
        assert_eq!(credit.top_up(), Some(6), "a step");
        (0..4).for_each(|_| credit.on_done());
        assert_eq!(credit.top_up(), None, "more than half is still granted");
        credit.fill();
        assert_eq!(credit.link_credit(), 10);
        credit.on_delivery();
        credit.pause();
        credit.fill();
        assert_eq!(credit.link_credit(), 0, "nothing while it is paused");
    }

    #[test]
    fn more_deliveries_than_credit_do_not_wrap() {
        let mut credit = ReceiverCredit::new(Credit::Auto(1));
        credit.on_attach(Serial(0));
        credit.top_up();
        credit.on_delivery();
        credit.on_delivery();
        assert_eq!(credit.link_credit(), 0);
        credit.on_done();
        credit.on_done();
        assert_eq!(credit.top_up(), Some(1));
    }

    #[test]
    fn credit_bounded_by_octets_follows_the_usual_size() {
        let mut credit = ReceiverCredit::new(Credit::Bounded { messages: 100, octets: 1000 });
        credit.on_attach(Serial(0));
        assert_eq!(credit.top_up(), Some(1), "no size is known yet");
        credit.on_delivery();
        credit.on_octets(100);
        assert_eq!(credit.top_up(), Some(9), "900 octets are free");
        for _ in 0..9 {
            credit.on_delivery();
            credit.on_octets(100);
            assert!(credit.top_up().is_none());
        }
        for _ in 0..5 {
            credit.on_octets_done(100);
            credit.on_done();
            credit.top_up();
        }
        assert_eq!(credit.link_credit(), 4, "in steps: the fifth waits for others");
    }

    #[test]
    fn a_message_larger_than_the_bound_comes_alone() {
        let mut credit = ReceiverCredit::new(Credit::Bounded { messages: 100, octets: 10 });
        credit.on_attach(Serial(0));
        for _ in 0..3 {
            assert_eq!(credit.top_up(), Some(1));
            credit.on_delivery();
            credit.on_octets(5000);
            assert_eq!(credit.top_up(), None);
            credit.on_octets_done(5000);
            credit.on_done();
        }
    }

    proptest! {
        #[test]
        fn automatic_credit_never_exceeds_its_whole_and_never_starves(
            whole in 1u32..50, steps in proptest::collection::vec(any::<bool>(), 1..400)
        ) {
            let mut credit = ReceiverCredit::new(Credit::Auto(whole));
            credit.on_attach(Serial(0));
            credit.top_up();
            for arrives in steps {
                if arrives && credit.link_credit() > 0 { credit.on_delivery() } else { credit.on_done() }
                credit.top_up();
                prop_assert!(credit.link_credit() + credit.held <= whole);
                prop_assert!(credit.link_credit() > 0 || credit.held == whole);
            }
        }
    }
}
