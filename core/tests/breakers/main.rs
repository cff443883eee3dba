//! Circuit breakers that several processes share, over every backend: what is stored, and what each process does.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

mod ahead;
mod crew;
#[path = "../support/hand.rs"]
mod hand;
mod order;
mod quorum;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crew::{Process, policy, processes};
use flowkeep_core::breaker::{
    Audit, Begun, BreakerId, BreakerStore, Cause, Command, KernelStore, Loaded, Mode, Note, Permit, Policy,
    Scope, State, Write, Written,
};
use flowkeep_core::clock::{Clock, SystemClock};

/// Asks until it is let through.
async fn probe(process: &Process) -> Permit {
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(permit) = process.begin().await {
            return permit;
        }
        assert!(Instant::now() < patience, "it was never let through");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_compares_and_sets() {
    for (name, backend) in support::backends().await {
        let store = KernelStore::new(backend);
        let deadline = SystemClock.now().plus_ms(5_000);
        let id = BreakerId { name: "a/b~".into(), boundary: Some("x".into()), context: Some("y/".into()) };
        assert_eq!(BreakerId::parse(&id.text()).as_ref(), Some(&id));
        let loaded = store.load(&id, deadline).await.unwrap();
        assert!(loaded.stored.is_none() && loaded.now.abs_diff(SystemClock.now().0) < 60_000, "{name}");
        let write = |expected, generation, stamp: &str| Write {
            stamp: stamp.to_owned(),
            expected,
            state: State { generation, at: SystemClock.now().0, ..State::default() },
            audit: vec![entry(generation)],
        };
        let Written::Done(first, _) = store.transition(&id, write(None, 1, "a"), deadline).await.unwrap()
        else {
            panic!("{name}: there was one")
        };
        let Written::Changed(seen) = store.transition(&id, write(None, 9, "b"), deadline).await.unwrap()
        else {
            panic!("{name}: it was made twice")
        };
        assert_eq!(seen.stored.as_ref(), Some(&first), "{name}");
        let mut last = first.clone();
        for generation in 2..=150 {
            let write = write(Some(last.clone()), generation, "c");
            match store.transition(&id, write, deadline).await.unwrap() {
                Written::Done(stored, _) => last = stored,
                Written::Changed(_) => panic!("{name}: nobody else writes"),
            }
        }
        let late = store.transition(&id, write(Some(first), 9, "d"), deadline).await.unwrap();
        assert!(
            matches!(late, Written::Changed(Loaded { stored: Some(stored), .. }) if stored == last),
            "{name}"
        );
        // The newest first, and no more than are kept.
        let generations =
            |entries: Vec<Audit>| entries.iter().map(|entry| entry.generation).collect::<Vec<_>>();
        assert_eq!(generations(store.history(&id, 3, deadline).await.unwrap()), [150, 149, 148], "{name}");
        assert_eq!(generations(store.history(&id, 1_000, deadline).await.unwrap()).len(), 100, "{name}");
        assert_eq!(store.ids(deadline).await.unwrap(), [id], "{name}");
    }
}

fn entry(generation: u64) -> Audit {
    Audit {
        event: "opened".to_owned(),
        from: Mode::Closed,
        to: Mode::Open,
        at: generation,
        generation,
        cause: Cause::Command,
        until: None,
        failures: 1,
        successes: 2,
        dropped: None,
        dropped_since: None,
        note: Note { reason: Some("ü\"".to_owned()), actor: None },
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_of_all_processes_count_together() {
    for (name, backend) in support::backends().await {
        let crew = processes(&backend, "together", &policy(), &[0, 0, 0]);
        for process in &crew {
            process.fail(1).await;
            process.sync().await;
        }
        assert_eq!(crew[2].mode(), Mode::Open, "{name}");
        assert_eq!(crew[0].mode(), Mode::Closed, "{name}: not heard yet");
        crew[0].sync().await;
        assert_eq!(crew[0].mode(), Mode::Open, "{name}");
        assert_eq!(crew[0].begin().await, None, "{name}");
        let told: Vec<_> = crew[0].breakers.take_told().iter().map(|told| told.transition.to).collect();
        assert_eq!(told, [Mode::Open], "{name}");
        let history = crew[1].breaker.history(10, crew[1].soon()).await;
        let events: Vec<_> = history.iter().map(|entry| (entry.event.as_str(), entry.failures)).collect();
        assert_eq!(events, [("opened", 3)], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_call_asks_nobody() {
    for (name, backend) in support::backends().await {
        let crew = processes(&backend, "healthy", &policy(), &[0]);
        crew[0].stand(0);
        crew[0].sync().await;
        crew[0].away.store(true, Ordering::SeqCst);
        let permit = match crew[0].breaker.begin() {
            Begun::Admitted(permit) => permit,
            other => panic!("{name}: {other:?}"),
        };
        crew[0].breaker.end(permit, false, 1.0);
        crew[0].stand(100);
        assert!(matches!(crew[0].breaker.begin(), Begun::Admitted(_)), "{name}: not too old");
        crew[0].stand(1);
        assert_eq!(crew[0].breaker.begin(), Begun::AskStore, "{name}: the copy is too old");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_results_are_told_at_once() {
    let policy = Policy { consecutive: Some(1_000.0), ..policy() };
    for (name, backend) in support::backends().await {
        let crew = processes(&backend, "fifty", &policy, &[0, 0]);
        crew[0].sync().await;
        crew[0].stand(0);
        for n in 1..=50 {
            let Begun::Admitted(permit) = crew[0].breaker.begin() else { panic!("{name}: it is healthy") };
            assert_eq!(crew[0].breaker.end(permit, true, 1.0).urgent, n == 50, "{name}: {n}");
            // Equal results of one ms are one entry of the batch.
            crew[0].stand(1);
        }
        crew[0].sync().await;
        crew[1].sync().await;
        assert_eq!(crew[1].breaker.standing().state.failures, 50, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_one_is_its_process_own() {
    for (name, backend) in support::backends().await {
        let crew = crew::scoped(&backend, "local", &policy(), &[0, 0], Scope::Local);
        crew[0].fail(3).await;
        for process in &crew {
            process.sync().await;
        }
        assert_eq!((crew[0].mode(), crew[1].mode()), (Mode::Open, Mode::Closed), "{name}");
        assert!(crew[1].begin().await.is_some(), "{name}");
        let history = crew[1].breaker.history(10, crew[1].soon()).await;
        assert!(history.is_empty(), "{name}: {history:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_ten_minutes_apart_make_no_difference() {
    for (name, backend) in support::backends().await {
        let crew = processes(&backend, "clocks", &policy(), &[0, 600_000]);
        crew[1].fail(3).await;
        crew[1].sync().await;
        crew[0].sync().await;
        let until = |process: &Process| process.breaker.standing().state.until.unwrap();
        assert_eq!(until(&crew[0]), until(&crew[1]), "{name}");
        let by_the_store = SystemClock.now().0 + 60_000;
        assert!(until(&crew[0]).abs_diff(by_the_store) < 30_000, "{name}: by the store's clock");
        for process in &crew {
            assert_eq!(process.begin().await, None, "{name}");
        }
        // The end of an opening is the same for both.
        crew[1].order(Command::Reset).await;
        crew[1].order(Command::Open { for_ms: Some(50) }).await;
        crew[0].sync().await;
        let permit = probe(&crew[0]).await;
        assert_eq!(crew[1].begin().await, None, "{name}: there is one probe");
        crew[0].breaker.end(permit, false, 1.0);
        crew[0].sync().await;
        crew[1].sync().await;
        assert_eq!(crew[1].mode(), Mode::Closed, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_most_so_many_probes_start_in_a_generation() {
    let policy = Policy { probes: 2.0, success_threshold: 1e6, ..policy() };
    for (name, backend) in support::backends().await {
        let crew: Vec<Arc<Process>> =
            processes(&backend, "probes", &policy, &[0; 4]).into_iter().map(Arc::new).collect();
        crew[0].order(Command::Open { for_ms: Some(0) }).await;
        // Who has not heard of the opening lets its calls through for as long as its copy counts.
        for process in &crew {
            process.sync().await;
        }
        for _ in 0..10 {
            let asks = (0..80).map(|caller| {
                let process = Arc::clone(&crew[caller % 4]);
                tokio::spawn(async move { (caller % 4, process.begin().await) })
            });
            let mut probes = Vec::new();
            for ask in asks.collect::<Vec<_>>() {
                if let (process, Some(permit)) = ask.await.unwrap() {
                    probes.push((process, permit));
                }
            }
            assert_eq!(probes.len(), 2, "{name}: {probes:?}");
            assert_eq!(probes[0].1.generation, probes[1].1.generation, "{name}");
            assert_ne!(probes[0].1.probe, probes[1].1.probe, "{name}");
            for (process, permit) in probes {
                crew[process].breaker.end(permit, false, 1.0);
                crew[process].sync().await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_it_for_earlier_than_it_is_starts_no_probe_unasked() {
    for (name, backend) in support::backends().await {
        let crew = processes(&backend, "behind", &policy(), &[0, 0]);
        crew[0].order(Command::Open { for_ms: Some(0) }).await;
        crew[1].sync().await;
        // The opening is over by the store's clock; by this one it has not begun.
        crew[1].stand_before(30);
        assert_eq!(crew[1].breaker.begin(), Begun::AskStore, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_reach_every_process_and_stay() {
    for (name, backend) in support::backends().await {
        let crew = processes(&backend, "orders", &policy(), &[0, 0]);
        crew[0].order(Command::Isolate { for_ms: None }).await;
        crew[1].sync().await;
        assert_eq!(crew[1].mode(), Mode::Isolated, "{name}");
        // A process that comes later finds it so: asking for a breaker resets nothing.
        let late = processes(&backend, "orders", &policy(), &[0]);
        assert_eq!(late[0].begin().await, None, "{name}");
        late[0].order(Command::Reset).await;
        probe(&crew[0]).await;
        let history = late[0].breaker.history(10, late[0].soon()).await;
        let events: Vec<_> =
            history.iter().map(|entry| (entry.event.as_str(), entry.note.actor.as_deref())).collect();
        assert_eq!(events, [("reset", Some("me")), ("isolated", Some("me"))], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_store_it_goes_on_and_the_later_generation_counts() {
    for (name, backend) in support::backends().await {
        let crew = processes(&backend, "away", &policy(), &[0, 0]);
        crew[0].fail(1).await;
        crew[0].sync().await;
        crew[0].stand(0);
        crew[0].away.store(true, Ordering::SeqCst);
        assert!(crew[0].breaker.sync(crew[0].soon()).await.is_err(), "{name}");
        // Alone it opens, tries, and opens again, with calls that never wait.
        crew[0].fail(2).await;
        assert!(matches!(crew[0].breaker.begin(), Begun::Rejected(_)), "{name}");
        // The opening began by the store's clock, which may be a little ahead of this one.
        crew[0].stand(120_000);
        let probe = crew[0].begin().await.unwrap();
        assert!(matches!(crew[0].breaker.begin(), Begun::Rejected(_)), "{name}");
        crew[0].breaker.end(probe, true, 1.0);
        let alone = crew[0].breaker.standing().state;
        assert_eq!((alone.mode, alone.generation), (Mode::Open, 3), "{name}");
        // Meanwhile the other one saw less: the later generation wins, its history too.
        crew[1].order(Command::Open { for_ms: None }).await;
        crew[0].away.store(false, Ordering::SeqCst);
        crew[0].sync().await;
        crew[1].sync().await;
        let there = crew[1].breaker.standing().state;
        assert_eq!((there.generation, there.until), (alone.generation, alone.until), "{name}");
        let history = crew[1].breaker.history(10, crew[1].soon()).await;
        assert_eq!(history.iter().filter(|entry| entry.generation == 3).count(), 1, "{name}: {history:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_others_did_meanwhile_counts_when_it_is_later() {
    for (name, backend) in support::backends().await {
        let crew = processes(&backend, "later", &policy(), &[0, 0]);
        crew[0].sync().await;
        crew[0].away.store(true, Ordering::SeqCst);
        assert!(crew[0].breaker.sync(crew[0].soon()).await.is_err(), "{name}");
        crew[0].fail(3).await;
        for command in [Command::Isolate { for_ms: None }, Command::Disable { for_ms: None }] {
            crew[1].order(command).await;
        }
        crew[0].away.store(false, Ordering::SeqCst);
        crew[0].sync().await;
        assert_eq!(crew[0].mode(), Mode::Disabled, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_not_counted_twice() {
    for (name, backend) in support::backends().await {
        let crew = processes(&backend, "lost", &policy(), &[0]);
        crew[0].sync().await;
        crew[0].fail(2).await;
        crew[0].deaf.store(true, Ordering::SeqCst);
        assert!(crew[0].breaker.sync(crew[0].soon()).await.is_err(), "{name}");
        crew[0].sync().await;
        let standing = crew[0].breaker.standing();
        assert_eq!((standing.state.failures, standing.state.mode), (2, Mode::Closed), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_without_an_end_outlive_everything_else() {
    let backend = support::redis().await;
    let crew = processes(&backend, "ttl", &policy(), &[0]);
    crew[0].order(Command::Isolate { for_ms: None }).await;
    crew[0].order(Command::Reset).await;
    // Written, made to stay, and made to go again: the history is whole.
    let history = crew[0].breaker.history(10, crew[0].soon()).await;
    assert_eq!(history.len(), 2, "{history:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_sure_that_the_store_is_away_starts_no_probe() {
    for (name, backend) in support::backends().await {
        let crew = processes(&backend, "unsure", &policy(), &[0]);
        crew[0].order(Command::Open { for_ms: Some(0) }).await;
        crew[0].away.store(true, Ordering::SeqCst);
        assert_eq!(crew[0].begin().await, None, "{name}: once may be a hiccup");
        assert!(crew[0].begin().await.is_some(), "{name}: twice is an outage");
        assert!(crew[0].breaker.standing().away, "{name}");
        // What is closed lets calls through all the same.
        let healthy = processes(&backend, "sure", &policy(), &[0]);
        healthy[0].away.store(true, Ordering::SeqCst);
        assert!(healthy[0].begin().await.is_some(), "{name}");
    }
}
