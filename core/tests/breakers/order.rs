//! Answers of a store that come in another order than the questions left, and a store that began anew.

use std::sync::atomic::Ordering;

use flowkeep_core::breaker::{Command, Mode};

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
