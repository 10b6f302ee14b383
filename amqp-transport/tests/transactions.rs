//! Transactions (part 4): a controller and a resource of this crate against each other.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use amqp_codec::messaging::{Message, Source, Target};
use amqp_codec::transport::{ErrorInfo, ReceiverSettleMode, conditions};
use amqp_transport::transaction::{
    ControlLink, Controller, Coordinator, CoordinatorLimits, Provisional, Transaction, TransactionError,
    TransactionId,
};
use amqp_transport::{
    Address, ConnectOptions, Connection, Credit, Incoming, Limits, LinkError, ListenerOptions, Outcome,
    Payload, Receiver, ReceiverOptions, Sender, SenderOptions, Session, StaticCredentials,
};
use std::sync::Arc;
use std::time::Duration;

async fn pair_with(limits: Limits) -> (Connection, Incoming) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let anyone = StaticCredentials { anonymous: true, users: Vec::new() };
    let mut client = Limits::default();
    client.answer = limits.answer;
    let listener = ListenerOptions::new("resource").authenticator(Arc::new(anyone)).limits(limits);
    let address: Address = "amqp://localhost".parse().unwrap();
    let (client, incoming) =
        tokio::join!(ConnectOptions::new(address).limits(client).connect_over(near), listener.accept(far));
    (client.unwrap(), incoming.unwrap())
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it takes too long")
}

/// A controller, and the resource's end of its link.
struct Pair {
    _client: Connection,
    incoming: Incoming,
    session: Session,
    coordinator: Coordinator,
    controller: Controller,
    control: ControlLink,
}

impl Pair {
    async fn new() -> Self {
        Self::with(Limits::default(), CoordinatorLimits::default()).await
    }

    async fn with(limits: Limits, transactions: CoordinatorLimits) -> Self {
        let (client, incoming) = pair_with(limits).await;
        let session = client.session().await.unwrap();
        let coordinator = Coordinator::with_limits(transactions);
        let (controller, control) = tokio::join!(session.controller(), async {
            let link = incoming.next_link().await.unwrap();
            assert!(Coordinator::is_wanted(link.attach().unwrap()));
            coordinator.accept(link).unwrap()
        });
        Self { _client: client, incoming, session, coordinator, controller: controller.unwrap(), control }
    }

    async fn declare(&mut self) -> Transaction {
        tokio::select! {
            transaction = self.controller.declare() => transaction.unwrap(),
            _ = self.control.next() => unreachable!("nothing is discharged"),
        }
    }

    /// A link to the resource.
    async fn posting(&self) -> (Sender, Receiver) {
        let (sender, receiver) = tokio::join!(self.session.sender(SenderOptions::new("q")), async {
            let link = self.incoming.next_link().await.unwrap();
            link.accept_as_receiver(Target::new("q"), Credit::Auto(100)).unwrap()
        });
        (sender.unwrap(), receiver)
    }

    /// A link from the resource.
    async fn consuming(&self, mode: ReceiverSettleMode) -> (Receiver, Sender) {
        let options = ReceiverOptions::new("q").settle_mode(mode);
        let (receiver, sender) = tokio::join!(self.session.receiver(options), async {
            self.incoming.next_link().await.unwrap().accept_as_sender(Source::new("q")).unwrap()
        });
        (receiver.unwrap(), sender)
    }

    /// A message from the resource, with a verdict within a transaction.
    async fn retiring(&mut self, mode: ReceiverSettleMode) -> Retired {
        let (receiver, sender) = self.consuming(mode).await;
        let transaction = self.declare().await;
        sender.credit_available().await.unwrap();
        sender.try_deliver(Message::data("x")).unwrap();
        transaction.settle(receiver.recv().await.unwrap(), Outcome::Accepted).unwrap();
        let told = retired(&sender).await;
        Retired { transaction, _receiver: receiver, sender, told }
    }
}

/// What a verdict within a transaction has come to.
struct Retired {
    transaction: Transaction,
    _receiver: Receiver,
    sender: Sender,
    /// What the resource was told.
    told: Provisional,
}

fn provisional(transaction: &TransactionId, outcome: Outcome) -> Outcome {
    Outcome::Provisional(Box::new(Provisional::new(transaction.clone(), outcome)))
}

/// The provisional outcome of the next delivery of a sender.
async fn retired(sender: &Sender) -> Provisional {
    match sender.next_outcome().await.unwrap().1 {
        Outcome::Provisional(provisional) => *provisional,
        outcome => unreachable!("{outcome}"),
    }
}

#[tokio::test]
async fn a_transaction_is_declared_and_committed() {
    within(async {
        let mut pair = Pair::new().await;
        assert!(pair.controller.offers("amqp:local-transactions"));
        let transaction = pair.declare().await;
        let id = transaction.id().clone();
        assert_eq!(pair.coordinator.check(&id), Ok(()));
        let (committed, ()) = tokio::join!(transaction.commit(), async {
            let discharge = pair.control.next().await.unwrap();
            assert_eq!((discharge.transaction(), discharge.is_rollback()), (&id, false));
            discharge.done();
        });
        committed.unwrap();
        assert_eq!(pair.coordinator.check(&id).unwrap_err().condition, conditions::TRANSACTION_UNKNOWN_ID);
    })
    .await;
}

#[tokio::test]
async fn several_transactions_are_open_at_once() {
    within(async {
        let mut pair = Pair::new().await;
        let (first, second) = (pair.declare().await, pair.declare().await);
        assert_ne!(first.id(), second.id());
        let (_, ids) = tokio::join!(
            async {
                second.rollback().await.unwrap();
                first.commit().await.unwrap();
            },
            async {
                let mut ends = Vec::new();
                for _ in 0..2 {
                    let discharge = pair.control.next().await.unwrap();
                    ends.push(discharge.is_rollback());
                    discharge.done();
                }
                ends
            }
        );
        assert_eq!(ids, [true, false]);
    })
    .await;
}

#[tokio::test]
async fn a_message_is_posted_within_its_transaction_and_its_outcome_told_before_the_commit() {
    within(async {
        let mut pair = Pair::new().await;
        let (sender, receiver) = pair.posting().await;
        let transaction = pair.declare().await;
        let (outcome, ()) = tokio::join!(transaction.send(&sender, Message::data("x")), async {
            let delivery = receiver.recv().await.unwrap();
            let id = delivery.transaction().unwrap();
            assert_eq!(&id, transaction.id());
            delivery.settle(provisional(&id, Outcome::Accepted)).unwrap();
        });
        outcome.unwrap().accepted().unwrap();
        // Beside it, a message outside of it.
        let (outcome, ()) = tokio::join!(sender.send(Message::data("y")), async {
            let delivery = receiver.recv().await.unwrap();
            assert_eq!(delivery.transaction(), None);
            delivery.accept().unwrap();
        });
        outcome.unwrap().accepted().unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_discharge_does_not_overtake_what_was_posted() {
    within(async {
        // One frame at a time: a message of many frames takes a while.
        let mut limits = Limits::default();
        limits.incoming_window = 1;
        limits.max_frame_size = 512;
        let mut pair = Pair::with(limits, CoordinatorLimits::default()).await;
        let (sender, receiver) = pair.posting().await;
        let transaction = pair.declare().await;
        let post = transaction.deliver(&sender, Message::data(vec![7; 50_000])).await.unwrap();
        let (committed, ()) = tokio::join!(transaction.commit(), async {
            let discharge = pair.control.next().await.unwrap();
            let delivery = receiver.try_recv().expect("the message is here first");
            delivery.settle(provisional(discharge.transaction(), Outcome::Accepted)).unwrap();
            discharge.done();
        });
        committed.unwrap();
        post.await.unwrap().accepted().unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_message_in_parts_is_posted_and_a_discharge_does_not_overtake_it() {
    within(async {
        // One frame at a time: a message of many frames takes a while.
        let mut limits = Limits::default();
        (limits.incoming_window, limits.max_frame_size) = (1, 512);
        let mut pair = Pair::with(limits, CoordinatorLimits::default()).await;
        let (sender, receiver) = pair.posting().await;
        let transaction = pair.declare().await;
        let mut writer = transaction.stream(&sender, Payload::from(Vec::new())).await.unwrap();
        for _ in 0..10 {
            writer.write_data(vec![7; 5_000]).await.unwrap();
        }
        let post = writer.finish();
        let (committed, ()) = tokio::join!(transaction.commit(), async {
            let discharge = pair.control.next().await.unwrap();
            let delivery = receiver.try_recv().expect("the message is here first");
            assert_eq!(delivery.message().unwrap().body_bytes().unwrap(), vec![7; 50_000]);
            delivery.settle(provisional(discharge.transaction(), Outcome::Accepted)).unwrap();
            discharge.done();
        });
        committed.unwrap();
        assert_eq!(post.await.unwrap(), Outcome::Accepted);
    })
    .await;
}

#[tokio::test]
async fn a_message_in_parts_that_is_not_finished_fails_the_commit_and_one_given_up_does_not() {
    within(async {
        let mut pair = Pair::new().await;
        let (sender, _receiver) = pair.posting().await;
        let transaction = pair.declare().await;
        let mut writer = transaction.stream(&sender, Payload::from(Vec::new())).await.unwrap();
        writer.write_data("half").await.unwrap();
        assert_eq!(transaction.commit().await.unwrap_err(), TransactionError::Unfinished);
        assert!(pair.control.next().await.unwrap().is_rollback());
        // Its link goes with it.
        drop(writer);

        let (sender, _receiver) = pair.posting().await;
        let transaction = pair.declare().await;
        drop(transaction.stream(&sender, Payload::from(Vec::new())).await.unwrap());
        let (committed, ()) = tokio::join!(transaction.commit(), async {
            let discharge = pair.control.next().await.unwrap();
            assert!(!discharge.is_rollback());
            discharge.done();
        });
        committed.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_message_whose_link_ended_fails_the_commit() {
    within(async {
        let mut pair = Pair::new().await;
        let (sender, receiver) = pair.posting().await;
        let transaction = pair.declare().await;
        let post = transaction.deliver(&sender, Message::data("x")).await.unwrap();
        receiver.close().await.unwrap();
        assert!(post.await.is_err());
        let error = transaction.commit().await.unwrap_err();
        assert!(matches!(error, TransactionError::PostLost(LinkError::DetachedByPeer(None))), "{error}");
        assert!(pair.control.next().await.unwrap().is_rollback());
    })
    .await;
}

#[tokio::test]
async fn a_verdict_takes_effect_with_the_commit() {
    within(async {
        let mut pair = Pair::new().await;
        let Retired { transaction, sender, told, .. } = pair.retiring(ReceiverSettleMode::First).await;
        assert_eq!((&told.transaction, &told.outcome), (transaction.id(), &Outcome::Accepted));
        assert!(told.is_settled);
        assert!(sender.settle(&told, Outcome::Accepted).is_err(), "there is nothing left to settle");
        let (committed, ()) = tokio::join!(transaction.commit(), async {
            pair.control.next().await.unwrap().done();
        });
        committed.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_verdict_that_the_sender_settles_is_settled_by_the_commit() {
    within(async {
        let mut pair = Pair::new().await;
        let Retired { transaction, sender, told, .. } = pair.retiring(ReceiverSettleMode::Second).await;
        assert!(!told.is_settled);
        let (committed, ()) = tokio::join!(transaction.commit(), async {
            let discharge = pair.control.next().await.unwrap();
            sender.settle(&told, Outcome::Accepted).unwrap();
            discharge.done();
        });
        committed.unwrap();
    })
    .await;
}

// §4.4.2
#[tokio::test]
async fn what_follows_a_verdict_within_a_transaction_is_not_told_of_another_message() {
    within(async {
        let mut pair = Pair::new().await;
        let (receiver, sender) = pair.consuming(ReceiverSettleMode::Second).await;
        let transaction = pair.declare().await;
        let (told, ()) = tokio::join!(sender.send(Message::data("first")), async {
            transaction.settle(receiver.recv().await.unwrap(), Outcome::Accepted).unwrap();
        });
        let Outcome::Provisional(told) = told.unwrap() else { unreachable!() };
        let second = sender.deliver(Message::data("second")).await.unwrap();
        let delivery = receiver.recv().await.unwrap();
        let (rolled_back, ()) = tokio::join!(transaction.rollback(), async {
            let discharge = pair.control.next().await.unwrap();
            assert!(sender.revert(&told));
            discharge.done();
        });
        rolled_back.unwrap();
        // The first message is released by now; nothing was decided of the second.
        let (outcome, ()) = tokio::join!(second, async {
            let third = sender.deliver(Message::data("third")).await.unwrap();
            receiver.recv().await.unwrap().accept().unwrap();
            assert_eq!(third.await.unwrap(), Outcome::Accepted);
            delivery.accept().unwrap();
        });
        assert_eq!(outcome.unwrap(), Outcome::Accepted);
    })
    .await;
}

#[tokio::test]
async fn a_verdict_that_the_sender_settles_is_taken_back_by_a_rollback() {
    within(async {
        let mut pair = Pair::new().await;
        let Retired { transaction, sender, told, .. } = pair.retiring(ReceiverSettleMode::Second).await;
        let (rolled_back, ()) = tokio::join!(transaction.rollback(), async {
            let discharge = pair.control.next().await.unwrap();
            assert!(sender.revert(&told));
            discharge.done();
        });
        rolled_back.unwrap();
        assert_eq!(sender.next_outcome().await.unwrap().1, Outcome::Released);
    })
    .await;
}

// §4.4.2
#[tokio::test]
async fn a_rollback_that_is_given_up_gives_the_deliveries_back_all_the_same() {
    within(async {
        let mut pair = Pair::new().await;
        let Retired { transaction, sender, told, .. } = pair.retiring(ReceiverSettleMode::Second).await;
        {
            let rolling_back = transaction.rollback();
            tokio::pin!(rolling_back);
            assert!(is_pending(rolling_back.as_mut()).await);
        }
        let discharge = pair.control.next().await.unwrap();
        assert!(discharge.is_rollback());
        sender.revert(&told);
        discharge.done();
        assert_eq!(sender.next_outcome().await.unwrap().1, Outcome::Released);
    })
    .await;
}

// §4.4.2
#[tokio::test]
async fn a_rollback_that_nobody_answers_gives_the_deliveries_back() {
    within(async {
        let limits = with_answer(Duration::from_millis(200));
        let mut pair = Pair::with(limits, CoordinatorLimits::default()).await;
        let Retired { transaction, sender, .. } = pair.retiring(ReceiverSettleMode::Second).await;
        let error = transaction.rollback().await.unwrap_err();
        assert!(matches!(error, TransactionError::Timeout(_)) && error.is_retryable(), "{error}");
        assert_eq!(sender.next_outcome().await.unwrap().1, Outcome::Released);
    })
    .await;
}

// §4.4.2
#[tokio::test]
async fn a_commit_that_nobody_answers_gives_nothing_back() {
    within(async {
        let limits = with_answer(Duration::from_millis(200));
        let mut pair = Pair::with(limits, CoordinatorLimits::default()).await;
        let Retired { transaction, _receiver: receiver, sender, told } =
            pair.retiring(ReceiverSettleMode::Second).await;
        let error = transaction.commit().await.unwrap_err();
        assert!(matches!(error, TransactionError::Unknown(LinkError::Timeout(_))), "{error}");
        assert_eq!(receiver.stats().unsettled, 1, "it may be gone, and it may come again");
        // The coordinator was only slow.
        let discharge = pair.control.next().await.unwrap();
        assert!(!discharge.is_rollback());
        sender.settle(&told, Outcome::Accepted).unwrap();
        discharge.done();
        while receiver.stats().unsettled > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

// §4.4.3
#[tokio::test]
async fn a_commit_that_is_given_up_after_its_discharge_left_ends_the_acquisition() {
    within(async {
        let mut pair = Pair::new().await;
        let (receiver, sender) = pair.consuming(ReceiverSettleMode::First).await;
        let transaction = pair.declare().await;
        transaction.acquire(&receiver).unwrap();
        while sender.acquisition().is_none() {
            tokio::task::yield_now().await;
        }
        {
            let committing = transaction.commit();
            tokio::pin!(committing);
            assert!(is_pending(committing.as_mut()).await);
        }
        let discharge = pair.control.next().await.unwrap();
        sender.end_acquisition().unwrap();
        discharge.done();
        // The next flow says nothing of it any more.
        receiver.pause().unwrap();
        while sender.credit() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(sender.acquisition(), None);
    })
    .await;
}

#[tokio::test]
async fn a_delivery_is_acquired_within_a_transaction() {
    within(async {
        let mut pair = Pair::new().await;
        let (receiver, sender) = pair.consuming(ReceiverSettleMode::First).await;
        let transaction = pair.declare().await;
        assert_eq!(sender.acquisition(), None);
        transaction.acquire(&receiver).unwrap();
        while sender.acquisition().is_none() {
            tokio::task::yield_now().await;
        }
        let id = sender.acquisition().unwrap();
        assert_eq!(&id, transaction.id());
        sender.try_deliver(Payload::from(Message::data("x")).in_transaction(&id)).unwrap();
        let delivery = receiver.recv().await.unwrap();
        assert_eq!(delivery.transaction().as_ref(), Some(transaction.id()));
        transaction.settle(delivery, Outcome::Accepted).unwrap();
        let (committed, ()) = tokio::join!(transaction.commit(), async {
            let discharge = pair.control.next().await.unwrap();
            sender.end_acquisition().unwrap();
            discharge.done();
        });
        committed.unwrap();
        assert_eq!(sender.acquisition(), None);
    })
    .await;
}

#[tokio::test]
async fn a_transaction_that_is_dropped_is_rolled_back() {
    within(async {
        let mut pair = Pair::new().await;
        let transaction = pair.declare().await;
        let id = transaction.id().clone();
        drop(transaction);
        let discharge = pair.control.next().await.unwrap();
        assert_eq!((discharge.transaction(), discharge.is_rollback()), (&id, true));
    })
    .await;
}

#[tokio::test]
async fn a_transaction_whose_declaration_was_given_up_is_rolled_back() {
    within(async {
        let mut pair = Pair::new().await;
        let controller = pair.controller.clone();
        {
            let declaring = controller.declare();
            tokio::pin!(declaring);
            // Nobody has answered yet.
            assert!(is_pending(declaring.as_mut()).await);
        }
        assert!(pair.control.next().await.unwrap().is_rollback());
    })
    .await;
}

/// Polls once; whether it is pending.
async fn is_pending<F: Future>(mut future: std::pin::Pin<&mut F>) -> bool {
    std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

#[tokio::test]
async fn with_the_controllers_link_all_its_transactions_are_rolled_back() {
    within(async {
        let mut pair = Pair::new().await;
        let (first, second) = (pair.declare().await, pair.declare().await);
        let (closed, rollbacks) = tokio::join!(pair.controller.close(), async {
            let mut rollbacks = 0;
            while let Some(discharge) = pair.control.next().await {
                assert!(discharge.is_rollback());
                rollbacks += 1;
                discharge.done();
            }
            rollbacks
        });
        closed.unwrap();
        assert_eq!(rollbacks, 2);
        assert_eq!(pair.control.end(), Some(&LinkError::DetachedByPeer(None)));
        let error = first.commit().await.unwrap_err();
        assert!(matches!(error, TransactionError::Ended(_)), "{error}");
        second.rollback().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_commit_that_fails_says_why() {
    within(async {
        let mut pair = Pair::new().await;
        for (condition, expected) in [
            (conditions::TRANSACTION_ROLLBACK, "rolled back: "),
            (conditions::TRANSACTION_TIMEOUT, "rolled back, it took too long: "),
            (conditions::TRANSACTION_UNKNOWN_ID, "the coordinator does not know the transaction: "),
        ] {
            let transaction = pair.declare().await;
            let (committed, ()) = tokio::join!(transaction.commit(), async {
                let error = ErrorInfo::new(condition.clone(), "no");
                pair.control.next().await.unwrap().failed(error);
            });
            let error = committed.unwrap_err();
            assert_eq!(error.to_string(), format!("{expected}{condition}: no"));
            assert!(error.is_retryable());
        }
        // A resource that forgets to answer has not committed.
        let transaction = pair.declare().await;
        let (committed, ()) = tokio::join!(transaction.commit(), async {
            drop(pair.control.next().await.unwrap());
        });
        assert!(matches!(committed, Err(TransactionError::RolledBack(Some(_)))));
    })
    .await;
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_unknown() {
    within(async {
        let mut pair = Pair::new().await;
        let transaction = pair.declare().await;
        let (committed, ()) = tokio::join!(transaction.commit(), async {
            let _discharge = pair.control.next().await.unwrap();
            pair.incoming.connection().close().await.unwrap();
        });
        assert!(matches!(committed, Err(TransactionError::Unknown(_))), "{committed:?}");
    })
    .await;
}

#[tokio::test]
async fn more_transactions_than_the_limit_are_not_declared() {
    within(async {
        let mut limits = CoordinatorLimits::default();
        limits.transactions = 2;
        let mut pair = Pair::with(Limits::default(), limits).await;
        let (first, _second) = (pair.declare().await, pair.declare().await);
        let refused = tokio::select! {
            refused = pair.controller.declare() => refused.unwrap_err(),
            _ = pair.control.next() => unreachable!("nothing is discharged"),
        };
        let TransactionError::NotDeclared(Some(error)) = &refused else { unreachable!("{refused}") };
        assert_eq!(error.condition, conditions::RESOURCE_LIMIT_EXCEEDED);
        let (rolled_back, ()) =
            tokio::join!(first.rollback(), async { pair.control.next().await.unwrap().done() });
        rolled_back.unwrap();
        let _third = pair.declare().await;
    })
    .await;
}

#[tokio::test]
async fn a_peer_without_transactions_refuses_the_controller() {
    within(async {
        let (client, incoming) = pair_with(Limits::default()).await;
        let session = client.session().await.unwrap();
        let (controller, ()) = tokio::join!(session.controller(), async {
            let link = incoming.next_link().await.unwrap();
            link.refuse(ErrorInfo::new(conditions::NOT_IMPLEMENTED, "no transactions here"));
        });
        let LinkError::Refused(Some(error)) = controller.unwrap_err() else { unreachable!() };
        assert_eq!(error.condition, conditions::NOT_IMPLEMENTED);
    })
    .await;
}

#[tokio::test]
async fn a_link_of_another_connection_has_no_part_in_a_transaction() {
    within(async {
        let mut pair = Pair::new().await;
        let other = Pair::new().await;
        let (sender, _receiver) = other.posting().await;
        let transaction = pair.declare().await;
        let error = transaction.send(&sender, Message::data("x")).await.unwrap_err();
        assert_eq!(error, TransactionError::OtherSession);
    })
    .await;
}

fn with_answer(answer: Duration) -> Limits {
    let mut limits = Limits::default();
    limits.answer = answer;
    limits
}

// §4.4
#[tokio::test]
async fn a_transaction_that_is_open_for_too_long_is_rolled_back() {
    within(async {
        let mut limits = CoordinatorLimits::default();
        limits.time_out = Duration::from_millis(50);
        let mut pair = Pair::with(Limits::default(), limits).await;
        let transaction = pair.declare().await;
        let discharge = pair.control.next().await.unwrap();
        assert_eq!((discharge.transaction(), discharge.is_rollback()), (transaction.id(), true));
        discharge.done();
        assert!(pair.coordinator.check(transaction.id()).is_err());
        let error = tokio::select! {
            committed = transaction.commit() => committed.unwrap_err(),
            _ = pair.control.next() => unreachable!("it is discharged already"),
        };
        assert!(matches!(error, TransactionError::TimedOut(_)), "{error}");
    })
    .await;
}

// §4.4.1
#[tokio::test]
async fn a_commit_before_a_posted_message_is_whole_costs_the_controller_its_link() {
    within(async {
        let mut pair = Pair::new().await;
        let (transaction, other) = (pair.declare().await, pair.declare().await);
        let (sender, _receiver) = pair.posting().await;
        let head = Payload::head(&Message::default()).in_transaction(transaction.id());
        let mut writer = sender.stream(head).await.unwrap();
        writer.write_data(vec![7; 1000]).await.unwrap();
        while pair.incoming.connection().stats().partial_octets == 0 {
            tokio::task::yield_now().await;
        }
        let id = transaction.id().clone();
        let (committed, rolled_back) = tokio::join!(transaction.commit(), async {
            let mut rolled_back = Vec::new();
            while let Some(discharge) = pair.control.next().await {
                assert!(discharge.is_rollback());
                rolled_back.push(discharge.transaction().clone());
            }
            rolled_back
        });
        let Err(TransactionError::RolledBack(Some(error))) = committed else { unreachable!("{committed:?}") };
        assert_eq!(error.condition, conditions::TRANSACTION_ROLLBACK);
        assert!(rolled_back.contains(&id) && rolled_back.contains(other.id()));
    })
    .await;
}

#[tokio::test]
async fn a_coordinator_that_does_not_answer_is_not_waited_for_without_end() {
    within(async {
        let mut pair =
            Pair::with(with_answer(Duration::from_millis(200)), CoordinatorLimits::default()).await;
        let (first, second) = (pair.declare().await, pair.declare().await);
        // From here on nobody answers.
        let error = pair.controller.declare().await.unwrap_err();
        assert!(matches!(error, TransactionError::Timeout(_)) && error.is_retryable(), "{error}");
        let error = first.commit().await.unwrap_err();
        assert!(matches!(error, TransactionError::Unknown(LinkError::Timeout(_))), "{error}");
        // Whatever becomes of this one, it is not committed.
        let error = second.rollback().await.unwrap_err();
        assert!(matches!(error, TransactionError::Timeout("rolling back a transaction")), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_commit_does_not_wait_for_what_others_send_on_the_same_link() {
    within(async {
        let limits = with_answer(Duration::from_millis(500));
        let mut pair = Pair::with(limits, CoordinatorLimits::default()).await;
        let (sender, receiver) = pair.posting().await;
        let transaction = pair.declare().await;
        let post = transaction.deliver(&sender, Message::data("x")).await.unwrap();
        // It stays unfinished for as long as the commit takes.
        let mut writer = sender.stream(Payload::from(Vec::new())).await.unwrap();
        writer.write_data("half").await.unwrap();
        let (committed, ()) = tokio::join!(transaction.commit(), async {
            let discharge = pair.control.next().await.unwrap();
            assert!(!discharge.is_rollback());
            discharge.done();
        });
        committed.unwrap();
        drop((post, writer, receiver));
    })
    .await;
}
