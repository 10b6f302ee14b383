//! Support for the suites in `tests/tests`: real brokers, the `rr-jobs` program, the ledger of the fixture workers, waiting.
//!
//! A test that needs a real broker asks for it with [`Broker::required`], which fails (and says how to get one) when there is
//! none: nothing passes by being skipped. `tests/run` starts the shared brokers and tells of them in the environment
//! (`RABBITMQ_4_0`, `RABBITMQ_4_0_TLS`, `RABBITMQ_4_0_MANAGEMENT`, `RABBITMQ_4_0_DIR`, the same for 3.10 and 4.3, and
//! `RABBITMQ_SCRIPT`). A test that kills its broker starts one of its own with [`Broker::private`].
//!
//! Tests on real brokers live in modules named `on_rabbitmq_…`, made by [`on_every_rabbitmq!`]; `tests/run --no-brokers`
//! leaves them out by that name. Those on ActiveMQ Artemis are named `on_artemis…`, those on Apache Qpid
//! Broker-J `on_broker_j…`; they start their own ([`Artemis::start`], [`BrokerJ::start`]), and are left out in the same way.

mod broker;
mod foreground;
mod ledger;
mod network;
mod program;
mod wait;

pub use broker::{Broker, Exchange, Queue, RELEASES};
pub use foreground::{Artemis, BrokerJ};
pub use ledger::{Entry, Ledger};
pub use network::{Forwarder, free_port};
pub use program::{Config, Finished, RrJobs, Serving, Worker};
pub use wait::{eventually, eventually_async, within};

use std::path::PathBuf;

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The folder `tests/fixtures` of the sources.
pub fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// The root of the workspace's sources.
pub fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace's folder")
}

/// A name that no other test and no other run uses: `prefix-` and twelve hexadecimal digits.
pub fn unique(prefix: &str) -> String {
    let digits = uuid::Uuid::new_v4().simple().to_string();
    format!("{prefix}-{}", &digits[..12])
}

/// Runs each claim (a function that takes a [`Broker`]) against RabbitMQ 3.10, 4.0 and 4.3, each as a test of its own in a
/// module `on_rabbitmq_3_10`, `on_rabbitmq_4_0`, `on_rabbitmq_4_3`.
///
/// `async` before the list: the claims are async functions and get two minutes each. `private` before it: the broker is the
/// test's own, to be killed as it likes.
#[macro_export]
macro_rules! on_every_rabbitmq {
    (async $($claim:ident),+ $(,)?) => {
        $crate::on_every_rabbitmq!(@async on_rabbitmq_3_10 "3.10" $($claim)+);
        $crate::on_every_rabbitmq!(@async on_rabbitmq_4_0 "4.0" $($claim)+);
        $crate::on_every_rabbitmq!(@async on_rabbitmq_4_3 "4.3" $($claim)+);
    };
    (private $($claim:ident),+ $(,)?) => {
        $crate::on_every_rabbitmq!(@private on_rabbitmq_3_10 "3.10" $($claim)+);
        $crate::on_every_rabbitmq!(@private on_rabbitmq_4_0 "4.0" $($claim)+);
        $crate::on_every_rabbitmq!(@private on_rabbitmq_4_3 "4.3" $($claim)+);
    };
    (@async $module:ident $release:literal $($claim:ident)+) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $claim() {
                $crate::within(std::time::Duration::from_secs(120), super::$claim($crate::Broker::required($release))).await;
            })+
        }
    };
    (@private $module:ident $release:literal $($claim:ident)+) => {
        mod $module {
            $(#[test]
            fn $claim() {
                super::$claim($crate::Broker::private($release));
            })+
        }
    };
    (@shared $module:ident $release:literal $($claim:ident)+) => {
        mod $module {
            $(#[test]
            fn $claim() {
                super::$claim($crate::Broker::required($release));
            })+
        }
    };
    ($($claim:ident),+ $(,)?) => {
        $crate::on_every_rabbitmq!(@shared on_rabbitmq_3_10 "3.10" $($claim)+);
        $crate::on_every_rabbitmq!(@shared on_rabbitmq_4_0 "4.0" $($claim)+);
        $crate::on_every_rabbitmq!(@shared on_rabbitmq_4_3 "4.3" $($claim)+);
    };
}
