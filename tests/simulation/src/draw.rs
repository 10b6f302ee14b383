//! What an application draws when it is free to choose.

use crate::random::Random;
use amqp_codec::messaging::Modified;
use amqp_codec::transport::{ErrorInfo, conditions};
use amqp_transport::Outcome;
use amqp_transport::engine::Credit;

pub(crate) fn some<'a, T>(of: &'a [T], random: &mut Random) -> Option<&'a T> {
    of.get(random.index(of.len()))
}

pub(crate) const fn whole(credit: Credit) -> Option<u32> {
    match credit {
        Credit::Auto(whole @ 1..) | Credit::Bounded { messages: whole, .. } => Some(whole),
        _ => None,
    }
}

pub(crate) fn draw_credit(random: &mut Random) -> Credit {
    match random.below(8) {
        0..2 => Credit::Manual,
        2 => Credit::Bounded { messages: random.pick(&[1, 3, 100]), octets: random.pick(&[1, 500, 20_000]) },
        _ => Credit::Auto(random.pick(&[1, 2, 3, 10, 100, 1_000])),
    }
}

pub(crate) fn draw_outcome(random: &mut Random) -> Outcome {
    match random.below(10) {
        0..5 => Outcome::Accepted,
        5 => Outcome::Released,
        6 => Outcome::Rejected(None),
        7 => Outcome::Rejected(Some(ErrorInfo::new(conditions::DECODE_ERROR, "not a message"))),
        8 => {
            let (delivery_failed, undeliverable_here) = (random.percent(50), random.percent(50));
            let modified = Modified { delivery_failed, undeliverable_here, ..Modified::default() };
            Outcome::Modified(modified)
        }
        _ => Outcome::Unspecified,
    }
}

pub(crate) fn reason(random: &mut Random) -> Option<ErrorInfo> {
    random
        .percent(40)
        .then(|| ErrorInfo::new(conditions::DETACH_FORCED, format!("reason {}", random.below(100))))
}
