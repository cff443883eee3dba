//! What really gets in the way of a transition: a deadlock with somebody who holds the same rows in the other order,
//! and a row that changed under a strict isolation. It is tried again, and done once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flowkeep_core::breaker::{BreakerStore, Stored, Written};
use flowkeep_core::sql::SqlStore;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

use super::trouble::{id, opened, say, stranger};
use super::{File, databases, entry, open, soon, unique, write};

/// How long the store's connections wait in PostgreSQL before they look for a deadlock. Who looks first is the one that
/// is given up, and the other one looks later.
const LOOKS_AFTER: Duration = Duration::from_secs(2);
/// What makes a transaction the heavier one for InnoDB, which gives up the lighter one.
const BALLAST: usize = 200;

/// A server's URL with a setting for each connection.
fn with_setting(url: &str, setting: &str) -> String {
    format!("{url}?options=-c%20{}", setting.replace('=', "%3D"))
}

/// Starts to move a breaker on.
fn move_on(
    store: &Arc<SqlStore>,
    stored: &Stored,
    generation: u64,
) -> tokio::task::JoinHandle<flowkeep_core::error::Result<Written>> {
    let next = write(
        Some(stored.clone()),
        opened(generation),
        &format!("s{generation}"),
        vec![entry("opened", generation, 1_000 * generation)],
    );
    let store = Arc::clone(store);
    tokio::spawn(async move { store.transition(&id("upstream"), next, soon()).await })
}

/// A breaker that is stored.
async fn first(store: &SqlStore) -> Stored {
    let first = write(None, opened(1), "a", vec![entry("opened", 1, 1_000)]);
    match store.transition(&id("upstream"), first, soon()).await.unwrap() {
        Written::Done(stored, _) => stored,
        Written::Changed(_) => panic!("there was one"),
    }
}

async fn code_of(connection: &mut AnyConnection, text: String) -> Option<String> {
    match sqlx::raw_sql(AssertSqlSafe(text)).execute(connection).await {
        Ok(_) => None,
        Err(error) => {
            Some(error.as_database_error().unwrap().code().map(|code| code.to_string()).unwrap_or_default())
        }
    }
}

/// Waits until somebody else holds the breaker's row.
async fn until_held(other: &mut AnyConnection, breakers: &str) {
    let patience = Instant::now() + Duration::from_secs(20);
    let ask = format!("SELECT id FROM {breakers} FOR UPDATE NOWAIT");
    loop {
        say(other, "BEGIN".to_owned()).await;
        let refused = code_of(other, ask.clone()).await.is_some();
        say(other, "ROLLBACK".to_owned()).await;
        if refused {
            return;
        }
        assert!(Instant::now() < patience, "the transition never began");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_deadlock_is_tried_again_and_done_once() {
    let file = File::new();
    for (name, url) in databases(&file).into_iter().skip(1) {
        let prefix = unique();
        let (breakers, events) =
            (format!("{prefix}circuit_breakers"), format!("{prefix}circuit_breaker_events"));
        let looks = format!("deadlock_timeout={}", LOOKS_AFTER.as_millis());
        let store =
            open(&if name == "postgres" { with_setting(&url, &looks) } else { url.clone() }, &prefix, 2);
        let mut stored = first(&store).await;
        let (mut raw, mut third) = (stranger(&url).await, stranger(&url).await);
        let begin = if name == "postgres" {
            vec![
                format!("SET deadlock_timeout = {}", LOOKS_AFTER.as_millis() * 2),
                "BEGIN".to_owned(),
                format!("LOCK TABLE {events} IN SHARE MODE"),
            ]
        } else {
            let rows = vec!["(1)"; BALLAST].join(",");
            say(&mut raw, format!("CREATE TABLE {prefix}ballast (n INT) ENGINE = InnoDB")).await;
            vec![
                "BEGIN".to_owned(),
                format!("INSERT INTO {prefix}ballast VALUES {rows}"),
                format!("SELECT id FROM {events} WHERE id > 0 FOR UPDATE"),
            ]
        };
        let (mut lost, mut generation) = (0, 1);
        // On a machine that is busy PostgreSQL may give up the other one: then there was no deadlock for us.
        while lost == 0 {
            generation += 1;
            assert!(generation < 12, "{name}: it was always the other one");
            for text in &begin {
                say(&mut raw, text.clone()).await;
            }
            // It holds the row, and waits for the events; the stranger holds the events, and asks for the row.
            let moving = move_on(&store, &stored, generation);
            until_held(&mut third, &breakers).await;
            let ask = format!("SELECT stamp FROM {breakers} FOR UPDATE");
            let got = sqlx::query(AssertSqlSafe(ask)).fetch_one(&mut raw).await;
            if let Ok(row) = got {
                // The row is as it was, though the transition had changed it: that one was given up.
                assert_eq!(row.try_get::<String, _>(0).unwrap(), stored.stamp, "{name}");
                assert!(!moving.is_finished(), "{name}: it is tried again");
                lost += 1;
            }
            say(&mut raw, "ROLLBACK".to_owned()).await;
            stored = match moving.await.unwrap() {
                Ok(Written::Done(stored, _)) => stored,
                other => panic!("{name}: {other:?}"),
            };
        }
        let history = store.history(&id("upstream"), 100, soon()).await.unwrap();
        let generations: Vec<u64> = history.iter().map(|entry| entry.generation).collect();
        assert_eq!(generations, (1..=generation).rev().collect::<Vec<_>>(), "{name}: each one once");
        let loaded = store.load(&id("upstream"), soon()).await.unwrap().stored.unwrap();
        assert_eq!((loaded.state.generation, loaded.version), (generation, generation), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_serialization_failure_is_tried_again_and_done_once() {
    let file = File::new();
    let (_, url) = databases(&file).into_iter().find(|(name, _)| *name == "postgres").unwrap();
    let strict = with_setting(&url, "default_transaction_isolation=serializable");
    let prefix = unique();
    let breakers = format!("{prefix}circuit_breakers");
    let (one, two) = (open(&strict, &prefix, 2), open(&strict, &prefix, 2));
    let stored = first(&one).await;
    let mut raw = stranger(&strict).await;
    let touch = format!("UPDATE {breakers} SET updated_at = updated_at");
    say(&mut raw, "BEGIN".to_owned()).await;
    say(&mut raw, touch.clone()).await;
    // Three wait for the row: one instance, the other one, and somebody who tries only once.
    let (mine, theirs) = (move_on(&one, &stored, 2), move_on(&two, &stored, 3));
    let mut control = stranger(&strict).await;
    let control = tokio::spawn(async move { code_of(&mut control, touch).await });
    let mut third = stranger(&url).await;
    let waiting = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE {breakers} %'"
    );
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        let row = sqlx::query(AssertSqlSafe(waiting.clone())).fetch_one(&mut third).await.unwrap();
        if row.try_get::<i64, _>(0).unwrap() >= 3 {
            break;
        }
        assert!(Instant::now() < patience, "they never waited");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    say(&mut raw, "COMMIT".to_owned()).await;
    assert_eq!(control.await.unwrap().as_deref(), Some("40001"), "who tries only once is told so");
    let done = [mine.await.unwrap().unwrap(), theirs.await.unwrap().unwrap()];
    // The row is what both expected: one of them moved it, and the other one saw that.
    let moved = done.iter().filter(|written| matches!(written, Written::Done(..))).count();
    assert_eq!(moved, 1, "{done:?}");
    let history = one.history(&id("upstream"), 100, soon()).await.unwrap();
    assert_eq!(history.len(), 2, "{history:?}");
    let loaded = one.load(&id("upstream"), soon()).await.unwrap().stored.unwrap();
    assert_eq!((loaded.version, loaded.state.generation), (2, history[0].generation));
}
