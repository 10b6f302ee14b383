//! The queue against a model of it: a plain list of messages, each with the place where it ought to be. After every step
//! each message is in exactly one place, the same in both, and what is taken comes in the same order.

use std::collections::BTreeMap;

use amqp_codec::messaging::{Annotations, Header, Message as Encoded, MessageSections, Modified};
use amqp_codec::types::{Symbol, Value};
use amqp_codec::{Decode, Encode};
use bytes::Bytes;
use proptest::prelude::*;

use super::*;

const LIMIT: u32 = 2;
const CONSUMERS: u64 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Ready,
    Delayed(u64),
    Held(ConsumerId),
    Accepted,
    Dead,
    Purged,
}

#[derive(Clone, Copy, Debug)]
struct Model {
    place: Place,
    priority: u8,
    count: u32,
    expires: Option<u64>,
}

#[derive(Clone, Debug)]
enum Step {
    Publish { priority: u8, delay: u64, ttl: Option<u32> },
    Take { consumer: u64, credit: u32 },
    Settle { consumer: u64, which: prop::sample::Index, verdict: u8, delay: u64 },
    Wait(u64),
    Leave { consumer: u64, lost: bool },
    Purge,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..10, prop_oneof![Just(0), 1_u64..50], prop::option::of(0_u32..60))
            .prop_map(|(priority, delay, ttl)| Step::Publish { priority, delay, ttl }),
        4 => (0..CONSUMERS, 0_u32..6).prop_map(|(consumer, credit)| Step::Take { consumer, credit }),
        6 => (0..CONSUMERS, any::<prop::sample::Index>(), 0_u8..6, 0_u64..40)
            .prop_map(|(consumer, which, verdict, delay)| Step::Settle { consumer, which, verdict, delay }),
        2 => (1_u64..30).prop_map(Step::Wait),
        1 => (0..CONSUMERS, any::<bool>()).prop_map(|(consumer, lost)| Step::Leave { consumer, lost }),
        1 => Just(Step::Purge),
    ]
}

/// Both, side by side. Messages are known by their number in the order of arrival, which is their body as well.
struct Pair {
    queue: Queue,
    model: Vec<Model>,
    now: u64,
    dead: Vec<Dead>,
}

impl Pair {
    fn new() -> Self {
        let options = QueueOptions { delivery_limit: Some(LIMIT), ..QueueOptions::default() };
        let mut queue = Queue::new("jobs".into(), options);
        for consumer in 0..CONSUMERS {
            queue.add_consumer(ConsumerId(consumer));
        }
        Self { queue, model: Vec::new(), now: 1_000, dead: Vec::new() }
    }

    fn moment(&self) -> Moment {
        Moment::from_millis(i64::try_from(self.now).unwrap())
    }

    fn publish(&mut self, priority: u8, delay: u64, ttl: Option<u32>) {
        let number = self.model.len().to_string();
        let mut annotations = Annotations::default();
        annotations.insert(Symbol::from_static("x-opt-delivery-delay"), Value::Ulong(delay));
        let encoded = Encoded {
            header: Some(Header { priority: Some(priority), ttl, ..Header::default() }),
            message_annotations: Some(annotations),
            ..Encoded::data(Bytes::from(number))
        }
        .to_bytes();
        let sections = MessageSections::parse(&encoded).unwrap();
        let message = Message::arrived(encoded.clone(), &sections, self.moment()).unwrap();
        self.queue.publish(message, self.moment(), &mut self.dead).unwrap();
        let due = self.now + delay;
        let place = if delay > 0 { Place::Delayed(due) } else { Place::Ready };
        let expires = ttl.map(|ttl| due + u64::from(ttl));
        self.model.push(Model { place, priority, count: 0, expires });
        if delay == 0 {
            self.expire_model();
        }
    }

    /// What is due in the model.
    fn expire_model(&mut self) {
        for entry in &mut self.model {
            if matches!(entry.place, Place::Delayed(due) if due <= self.now) {
                entry.place = Place::Ready;
            }
            if entry.place == Place::Ready && entry.expires.is_some_and(|at| at <= self.now) {
                entry.place = Place::Dead;
            }
        }
    }

    fn take(&mut self, consumer: ConsumerId, credit: u32) {
        let mut taken = Vec::new();
        let moment = self.moment();
        self.queue.take(consumer, credit, moment, &mut taken, &mut self.dead);
        self.expire_model();
        let mut ready: Vec<usize> =
            (0..self.model.len()).filter(|number| self.model[*number].place == Place::Ready).collect();
        ready.sort_by_key(|number| (u8::MAX - self.model[*number].priority, *number));
        if credit > 0 && !ready.is_empty() {
            assert!(!taken.is_empty(), "credit and messages, and nothing taken");
        }
        assert!(taken.len() <= usize::try_from(credit).unwrap());
        for (taken, expected) in taken.iter().zip(ready) {
            let message = Encoded::from_bytes(taken.payload.clone()).unwrap();
            assert_eq!(message.body_bytes().unwrap(), expected.to_string().as_bytes());
            assert_eq!(message.header.unwrap_or_default().delivery_count, self.model[expected].count);
            self.model[expected].place = Place::Held(consumer);
        }
    }

    fn settle(&mut self, consumer: ConsumerId, which: &prop::sample::Index, verdict: u8, delay: u64) {
        let held: Vec<usize> = (0..self.model.len())
            .filter(|number| self.model[*number].place == Place::Held(consumer))
            .collect();
        if held.is_empty() {
            return;
        }
        let number = held[which.index(held.len())];
        let due = self.now + delay;
        let later =
            Some([(Symbol::from_static("x-opt-delivery-time"), Value::Ulong(due))].into_iter().collect());
        let modified = |delivery_failed, undeliverable_here, message_annotations| {
            Verdict::Modified(Modified { delivery_failed, undeliverable_here, message_annotations })
        };
        let (verdict, failed, back, dead) = match verdict {
            0 => (Verdict::Accepted, false, None, false),
            1 => (Verdict::Released, false, Some(self.now), false),
            2 => (Verdict::Rejected(None), true, None, true),
            3 => (modified(true, false, None), true, Some(self.now), false),
            4 => (modified(true, false, later), true, Some(due), false),
            _ => (modified(false, true, None), false, None, true),
        };
        let sequence = Sequence(u64::try_from(number).unwrap());
        let moment = self.moment();
        assert!(self.queue.settle(consumer, sequence, verdict, moment, &mut self.dead));
        self.model[number].count += u32::from(failed);
        match back {
            Some(due) => self.come_back(number, due),
            None if dead => self.model[number].place = Place::Dead,
            None => self.model[number].place = Place::Accepted,
        }
    }

    fn come_back(&mut self, number: usize, due: u64) {
        let now = self.now;
        let entry = &mut self.model[number];
        entry.place = if entry.count > LIMIT {
            Place::Dead
        } else if due > now {
            Place::Delayed(due)
        } else if entry.expires.is_some_and(|at| at <= now) {
            Place::Dead
        } else {
            Place::Ready
        };
    }

    fn leave(&mut self, consumer: ConsumerId, lost: bool) {
        let departure = if lost { Departure::Lost } else { Departure::Orderly };
        let moment = self.moment();
        self.queue.remove_consumer(consumer, departure, moment, &mut self.dead);
        self.queue.add_consumer(consumer);
        for number in 0..self.model.len() {
            if self.model[number].place == Place::Held(consumer) {
                self.model[number].count += u32::from(lost);
                self.come_back(number, self.now);
            }
        }
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Publish { priority, delay, ttl } => self.publish(*priority, *delay, *ttl),
            Step::Take { consumer, credit } => self.take(ConsumerId(*consumer), *credit),
            Step::Settle { consumer, which, verdict, delay } => {
                self.settle(ConsumerId(*consumer), which, *verdict, *delay);
            }
            Step::Wait(millis) => {
                self.now += millis;
                let moment = self.moment();
                self.queue.tick(moment, &mut self.dead);
                self.expire_model();
            }
            Step::Leave { consumer, lost } => self.leave(ConsumerId(*consumer), *lost),
            Step::Purge => {
                self.queue.purge();
                for entry in &mut self.model {
                    if matches!(entry.place, Place::Ready | Place::Delayed(_)) {
                        entry.place = Place::Purged;
                    }
                }
            }
        }
        self.check();
    }

    /// Every message of the queue, by number, with the place where the queue has it.
    fn places(&self) -> BTreeMap<usize, Place> {
        let number = |message: &Message| -> usize {
            let encoded = Encoded::from_bytes(message.forward(self.moment())).unwrap();
            String::from_utf8(encoded.body_bytes().unwrap().to_vec()).unwrap().parse().unwrap()
        };
        let mut places = BTreeMap::new();
        let mut put = |message: &Message, place| {
            let twice = places.insert(number(message), place);
            assert_eq!(twice, None, "a message in two places");
        };
        for message in self.queue.ready.messages() {
            put(message, Place::Ready);
        }
        for message in self.queue.delayed.messages() {
            put(message, Place::Delayed(message.not_before().expect("a due time").millis()));
        }
        for ((consumer, _), message) in &self.queue.acquired {
            put(message, Place::Held(*consumer));
        }
        for dead in &self.dead {
            put(&dead.message, Place::Dead);
        }
        places
    }

    fn check(&self) {
        let places = self.places();
        for (number, entry) in self.model.iter().enumerate() {
            let expected = match entry.place {
                Place::Accepted | Place::Purged => None,
                place => Some(place),
            };
            assert_eq!(places.get(&number).copied(), expected, "message {number}");
        }
        let bytes: u64 = self
            .queue
            .ready
            .messages()
            .chain(self.queue.delayed.messages())
            .chain(self.queue.acquired.values())
            .map(Message::size)
            .sum();
        assert_eq!(self.queue.stats().bytes, bytes, "octets held");
    }
}

proptest! {
    #[test]
    fn every_message_is_in_exactly_one_place(steps in prop::collection::vec(step(), 1..80)) {
        let mut pair = Pair::new();
        for step in &steps {
            pair.apply(step);
        }
    }

    /// Nobody is forgotten: as long as messages are ready and somebody waits for them, somebody is called or comes again.
    #[test]
    fn ready_messages_always_find_a_waiting_consumer(steps in prop::collection::vec(step(), 1..80)) {
        let mut pair = Pair::new();
        for step in &steps {
            pair.apply(step);
        }
        for consumer in 0..CONSUMERS {
            pair.queue.remove_consumer(ConsumerId(consumer), Departure::Orderly, pair.moment(), &mut pair.dead);
        }
        for consumer in 0..CONSUMERS {
            pair.queue.add_consumer(ConsumerId(consumer));
        }
        let mut coming: Vec<ConsumerId> = (0..CONSUMERS).map(ConsumerId).collect();
        while let Some(consumer) = coming.pop() {
            let mut taken = Vec::new();
            if pair.queue.take(consumer, 3, pair.moment(), &mut taken, &mut pair.dead) != Next::Wait {
                coming.push(consumer);
            }
            while let Some(called) = pair.queue.call() {
                coming.push(called);
            }
        }
        prop_assert_eq!(pair.queue.stats().ready, 0);
    }
}
