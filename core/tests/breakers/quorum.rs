//! `scope: 'quorum'`: each process counts for itself, and the circuit opens when most of those that call see it failing.

use std::sync::atomic::Ordering;
use std::time::Duration;

use flowkeep_core::breaker::{Cause, Mode, Scope};
use flowkeep_core::clock::{Clock, SystemClock};

use super::crew::{Process, policy, scoped};
use super::support;

/// Times that are less apart may be taken for the same by two processes.
const APART_MS: u64 = 400;

/// A call that ends well.
async fn succeed(process: &Process) {
    let permit = process.begin().await.unwrap();
    process.breaker.end(permit, false, 1.0);
    process.sync().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_alone_opens_nothing_and_most_of_them_do() {
    for (name, backend) in support::backends().await {
        let crew = scoped(&backend, "quorum", &policy(), &[0, 0, 0], Scope::Quorum);
        for process in &crew {
            succeed(process).await;
        }
        crew[0].fail(10).await;
        crew[0].sync().await;
        assert_eq!(crew[0].mode(), Mode::Closed, "{name}: one of three");
        let standing = crew[0].breaker.standing();
        assert_eq!((standing.state.failures, standing.counts.failures), (10, 10), "{name}: its own");
        crew[1].fail(2).await;
        crew[1].sync().await;
        assert_eq!(crew[1].mode(), Mode::Closed, "{name}: results do not count together");
        assert_eq!(crew[1].breaker.standing().state.failures, 2, "{name}");
        crew[1].fail(1).await;
        crew[1].sync().await;
        assert_eq!(crew[1].mode(), Mode::Open, "{name}: two of three");
        crew[2].sync().await;
        assert_eq!(crew[2].begin().await, None, "{name}: open for all");
        let history = crew[2].breaker.history(10, crew[2].soon()).await;
        assert_eq!(history.iter().map(|entry| entry.cause).collect::<Vec<_>>(), [Cause::Quorum], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_cut_off_decides_for_itself_only() {
    for (name, backend) in support::backends().await {
        let crew = scoped(&backend, "cut off", &policy(), &[0, 0], Scope::Quorum);
        for process in &crew {
            succeed(process).await;
        }
        crew[0].sync().await;
        crew[0].stand(0);
        let cut_off_at = SystemClock.now().0;
        crew[0].away.store(true, Ordering::SeqCst);
        for _ in 0..2 {
            assert!(crew[0].breaker.sync(crew[0].soon()).await.is_err(), "{name}");
        }
        crew[0].fail(3).await;
        assert_eq!(crew[0].mode(), Mode::Closed, "{name}: the other one was well when it was seen last");
        // Its vote is too old, by whichever clock: who is left is alone.
        crew[0].stand(10_000 + APART_MS / 2);
        crew[0].fail(1).await;
        assert_eq!(crew[0].mode(), Mode::Open, "{name}");
        // Somebody else is well at a later time.
        while SystemClock.now().0 < cut_off_at + APART_MS {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        succeed(&scoped(&backend, "cut off", &policy(), &[0], Scope::Quorum)[0]).await;
        crew[0].away.store(false, Ordering::SeqCst);
        crew[0].sync().await;
        assert_eq!(crew[0].mode(), Mode::Closed, "{name}: what it found alone holds for nobody else");
    }
}
