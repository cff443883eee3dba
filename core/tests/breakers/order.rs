//! Answers of a store that come in another order than the questions left, orders behind what happened before them, and a store that
//! began anew.

use std::sync::atomic::Ordering;

use flowkeep_core::breaker::{Command, Mode, Policy, Span};

use crate::crew::{ARMED, HELD, policy, processes};
use crate::support;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_was_overtaken_changes_nothing() {
    for (name, backend) in support::backends().await {
        for known in [false, true] {
            let crew = processes(&backend, &format!("overtaken {known}"), &policy(), &[0]);
            let one = &crew[0];
            if known {
                // Something older is stored; else the store holds nothing of it yet.
                one.order(Command::Disable { for_ms: None }).await;
            }
            one.late.store(ARMED, Ordering::SeqCst);
            let isolate = async {
                while one.late.load(Ordering::SeqCst) != HELD {
                    tokio::task::yield_now().await;
                }
                one.order(Command::Isolate { for_ms: None }).await;
                assert_eq!(one.mode(), Mode::Isolated, "{name}");
                one.set_free();
            };
            tokio::join!(one.sync(), isolate);
            assert_eq!(one.mode(), Mode::Isolated, "{name}: what was asked before is no news");
            one.sync().await;
            assert_eq!(one.mode(), Mode::Isolated, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_began_anew_is_believed() {
    let before = support::backends().await;
    let after = support::backends().await;
    for ((name, backend), (_, anew)) in before.into_iter().zip(after) {
        let crew = processes(&backend, "anew", &policy(), &[0, 0]);
        for command in [Command::Isolate { for_ms: None }, Command::Reset, Command::Isolate { for_ms: None }]
        {
            crew[0].order(command).await;
        }
        crew.iter().for_each(|process| process.moves_to(&anew));
        crew[1].order(Command::Disable { for_ms: None }).await;
        crew[0].sync().await;
        assert_eq!(
            crew[0].mode(),
            Mode::Disabled,
            "{name}: the store's first version counts, not the third of the lost one"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_does_not_overtake_what_happened_before_it() {
    for (name, backend) in support::backends().await {
        let crew = processes(&backend, "behind results", &policy(), &[0]);
        let one = &crew[0];
        one.sync().await;
        one.fail(3).await;
        assert_eq!(one.mode(), Mode::Open, "{name}: callers see it open");
        one.order(Command::Reset).await;
        let history = one.breaker.history(10, one.soon()).await;
        let told: Vec<_> =
            history.iter().map(|entry| (entry.event.as_str(), entry.from, entry.failures)).collect();
        let opened = ("opened", Mode::Closed, 3);
        assert_eq!(told, [("reset", Mode::Open, 3), opened], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_counted_stays_when_time_seems_to_go_back() {
    for (name, backend) in support::backends().await {
        // Slots of 600 ms.
        let policy = Policy { span: Span::Time(60_000.0), ..policy() };
        let crew = processes(&backend, "back", &policy, &[0]);
        let one = &crew[0];
        one.sync().await;
        one.fail(2).await;
        // By more than a slot of the window is long, and by less than is taken for a clock that was set.
        one.stand_before(700);
        assert_eq!(one.breaker.standing().counts.calls, 2, "{name}");
    }
}
