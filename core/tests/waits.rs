//! Waiting and listening, on every backend.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

#[path = "support/carrier.rs"]
mod carrier;
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use carrier::Carrier;
use flowkeep_core::backend::{Awaited, Backend, Wait};
use flowkeep_core::clock::{Clock, SystemClock, Timestamp};
use flowkeep_core::key::{Key, Partition, Space};
use flowkeep_core::memory::Memory;
use flowkeep_core::redis::Redis;
use flowkeep_core::topic::{Topic, Wake};
use flowkeep_core::txn::{Effect, Feed, Outcome, Position, Query, Reply, Txn, Until};

/// A backend, and what drives it.
struct Ground {
    backend: Arc<dyn Backend>,
    carrier: Option<Carrier>,
}

fn grounds() -> Vec<(&'static str, Ground)> {
    let memory = Memory::new(Arc::new(SystemClock));
    let timers = memory.timers();
    std::thread::spawn(move || {
        // Ends with the process.
        loop {
            timers.tick();
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let at = |url: &str| {
        let carrier = Carrier::new(url);
        let redis = Redis::new(Arc::clone(&carrier.net) as _, &support::unique_prefix()).unwrap();
        Ground { backend: Arc::new(redis), carrier: Some(carrier) }
    };
    let mut grounds = vec![("memory", Ground { backend: Arc::new(memory), carrier: None })];
    match std::env::var("FLOWKEEP_TEST_CLUSTER_URL") {
        Ok(url) => grounds.push(("cluster", at(&url))),
        Err(_) => println!("no Cluster is named by FLOWKEEP_TEST_CLUSTER_URL: `npm test` starts one"),
    }
    grounds.push(("redis", at(&support::redis_url())));
    grounds
}

fn soon(ms: u64) -> Timestamp {
    SystemClock.now().plus_ms(ms)
}

fn key(space: &'static str, name: &str) -> Key {
    Key::new(Space(space), name)
}

const PARTITION: u16 = 5;
/// Longer than any machine needs for what is waited for.
const PATIENCE_MS: u64 = 20_000;

fn append(log: &str, feed: &str) -> Txn {
    let until = soon(60_000);
    let mut txn = Txn::new(Partition::from_number(PARTITION), soon(2_000));
    txn.effects = vec![
        Effect::Open { key: key("t", log), until: Until::At(until) },
        Effect::Append {
            key: key("t", log),
            text: "x".into(),
            keep: 10,
            feed: Feed { key: key("f", feed), keep: 10, until, also: None },
        },
    ];
    txn
}

async fn last(backend: &dyn Backend, feed: &str) -> Position {
    let query = Query::Entries { key: key("f", feed), after: Position::default(), limit: 100 };
    let txn = Txn::read(Partition::from_number(PARTITION), soon(2_000), [query]);
    match backend.run(txn).await.unwrap() {
        Outcome::Committed(replies) => match &replies[..] {
            [Reply::Entries(entries)] => entries.last().map(|entry| entry.position).unwrap_or_default(),
            other => panic!("{other:?}"),
        },
        Outcome::Refused(..) => panic!("refused"),
    }
}

fn wait_for(feed: &str, after: Position, ms: u64) -> Wait {
    Wait {
        partition: Partition::from_number(PARTITION),
        key: key("f", feed),
        until: Awaited::Entries { after },
        deadline: soon(ms),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_ends_with_what_it_waits_for_and_not_before_its_deadline() {
    for (name, Ground { backend, carrier: _carrier }) in grounds() {
        // The first call also dials, and learns who has which slot: that is no part of a wait's time.
        assert_eq!(last(&*backend, "a").await, Position::default(), "{name}");
        let begun = Instant::now();
        assert!(!backend.wait(wait_for("a", Position::default(), 200)).await.unwrap(), "{name}");
        assert!(begun.elapsed() >= Duration::from_millis(195), "{name}");
        let waiting = tokio::spawn(backend.wait(wait_for("a", Position::default(), PATIENCE_MS)));
        let other = tokio::spawn(backend.wait(wait_for("b", Position::default(), 300)));
        tokio::time::sleep(Duration::from_millis(50)).await;
        backend.run(append("l", "a")).await.unwrap();
        assert!(waiting.await.unwrap().unwrap(), "{name}");
        assert!(begun.elapsed() < Duration::from_millis(PATIENCE_MS), "{name}: before its deadline");
        assert!(!other.await.unwrap().unwrap(), "{name}: another key wakes nobody");
        assert!(
            backend.wait(wait_for("a", Position::default(), PATIENCE_MS)).await.unwrap(),
            "{name}: it is there"
        );
        let last = last(&*backend, "a").await;
        assert!(!backend.wait(wait_for("a", last, 50)).await.unwrap(), "{name}: nothing behind the last");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_call_of_all_may_be_a_wait() {
    for (name, Ground { backend, carrier: _carrier }) in grounds() {
        // Nobody knows yet who has which slot: the first node that is asked may name another.
        backend.wait(wait_for("cold", Position::default(), 200)).await.unwrap();
        let waiting = tokio::spawn(backend.wait(wait_for("cold", Position::default(), 20_000)));
        backend.run(append("cold", "cold")).await.unwrap();
        assert!(waiting.await.unwrap().unwrap(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_waits_than_connections_all_end() {
    for (name, Ground { backend, carrier }) in grounds() {
        let waits: Vec<_> = (0..40)
            .map(|_| tokio::spawn(backend.wait(wait_for("a", Position::default(), PATIENCE_MS))))
            .collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let connections = carrier.as_ref().map_or(0, |carrier| carrier.net.connections());
        assert!(connections <= 16 + 3, "{connections}");
        backend.run(append("l", "a")).await.unwrap();
        for wait in waits {
            assert!(wait.await.unwrap().unwrap(), "{name}");
        }
        // Given up, a wait costs its connection, and the next one gets another.
        let given_up: Vec<_> =
            (0..16).map(|_| backend.wait(wait_for("b", Position::default(), PATIENCE_MS))).collect();
        let _ = tokio::time::timeout(Duration::from_millis(50), futures(given_up)).await;
        assert!(backend.wait(wait_for("a", Position::default(), PATIENCE_MS)).await.unwrap(), "{name}");
    }
}

async fn futures(waits: Vec<flowkeep_core::run::Run<flowkeep_core::error::Result<bool>>>) {
    for wait in waits {
        let _ = wait.await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appending_wakes_who_listens_to_the_log_or_the_feed() {
    for (name, Ground { backend, carrier: _carrier }) in grounds() {
        let partition = Partition::from_number(PARTITION);
        let mut ears = [
            backend.subscribe(Topic::Key(partition, key("t", "l"))),
            backend.subscribe(Topic::Key(partition, key("f", "a"))),
            backend.subscribe(Topic::Everything),
        ];
        // An operation drives the sockets of a face; here they are driven all the time.
        for ear in &mut ears {
            assert!(ear.wake().await.missed, "{name}: listening has begun");
        }
        let mut other = backend.subscribe(Topic::Key(partition, key("t", "other")));
        assert!(other.wake().await.missed, "{name}");
        backend.run(append("l", "a")).await.unwrap();
        for ear in &mut ears {
            // Everything is many channels, and the beginning of each may be told for itself, late.
            let told = async {
                loop {
                    let Wake { changed, missed } = ear.wake().await;
                    if !missed || !changed.is_empty() {
                        return changed;
                    }
                }
            };
            let changed = tokio::time::timeout(Duration::from_millis(PATIENCE_MS), told).await.unwrap();
            assert_eq!(changed, [partition].into(), "{name}");
        }
        assert!(tokio::time::timeout(Duration::from_millis(50), other.wake()).await.is_err(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_is_told_to_who_listens() {
    let (_, Ground { backend, carrier }) = grounds().pop().unwrap();
    let mut ear = backend.subscribe(Topic::Key(Partition::from_number(PARTITION), key("f", "a")));
    assert!(ear.wake().await.missed);
    let client = ::redis::Client::open(support::redis_url()).unwrap();
    let mut admin = client.get_multiplexed_async_connection().await.unwrap();
    let _: () =
        ::redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("pubsub").query_async(&mut admin).await.unwrap();
    let wake = tokio::time::timeout(Duration::from_millis(PATIENCE_MS), ear.wake()).await.unwrap();
    assert!(wake.missed);
    backend.run(append("l", "a")).await.unwrap();
    assert!(!ear.wake().await.changed.is_empty(), "it hears again");
    drop(carrier);
}
