//! Circuit breakers in databases: SQLite always, the servers that the test run provides.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

mod deadlock;
mod trouble;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use flowkeep_core::breaker::{
    Audit, Begun, Breaker, BreakerId, BreakerStore, Breakers, Cause, Command, Event, Loaded, Mode, Note,
    Policy, Scope, Settings, State, Write, Written,
};
use flowkeep_core::clock::{Clock, SystemClock, Timestamp};
use flowkeep_core::error::Code;
use flowkeep_core::id::RandomIds;
use flowkeep_core::sql::{EventFilter, RowFilter, SqlOptions, SqlStore, Tables};

fn soon() -> Timestamp {
    SystemClock.now().plus_ms(20_000)
}

/// Something that no other test has.
fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!(
        "t{}_{}_{}",
        std::process::id(),
        SystemClock.now().0 % 100_000_000,
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// A database file that goes with the test.
struct File(std::path::PathBuf);

impl File {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("flowkeep-{}.db", unique())))
    }

    fn url(&self) -> String {
        format!("sqlite://{}?mode=rwc", self.0.display())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{end}", self.0.display()));
        }
    }
}

/// Every database, by name. A server that is not provided makes the tests fail: they never pass unseen.
fn databases(file: &File) -> Vec<(&'static str, String)> {
    let server = |name: &str| {
        std::env::var(name).unwrap_or_else(|_| panic!("{name} must name a server: run `npm test`"))
    };
    vec![
        ("sqlite", file.url()),
        ("postgres", server("FLOWKEEP_TEST_POSTGRES_URL")),
        ("mariadb", server("FLOWKEEP_TEST_MARIADB_URL")),
    ]
}

fn open(url: &str, prefix: &str, connections: u32) -> Arc<SqlStore> {
    let options = SqlOptions {
        url: url.to_owned(),
        prefix: prefix.to_owned(),
        tables: Tables::default(),
        connections,
        timeout_ms: 10_000,
    };
    Arc::new(SqlStore::open(options, Arc::new(SystemClock)).unwrap())
}

fn entry(event: &str, generation: u64, at: u64) -> Audit {
    Audit {
        event: event.to_owned(),
        from: Mode::Closed,
        to: Mode::Open,
        at,
        generation,
        cause: Cause::Command,
        until: None,
        failures: 1,
        successes: 2,
        dropped: None,
        dropped_since: None,
        note: Note { reason: Some("ü\"'\u{1F600}".to_owned()), actor: None },
    }
}

fn write(
    expected: Option<flowkeep_core::breaker::Stored>,
    state: State,
    stamp: &str,
    audit: Vec<Audit>,
) -> Write {
    Write { stamp: stamp.to_owned(), expected, state, audit }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_compares_and_sets() {
    let file = File::new();
    for (name, url) in databases(&file) {
        let store = open(&url, &unique(), 5);
        let id = BreakerId { name: "Ünï/x".into(), boundary: Some("b".into()), context: None };
        let loaded = store.load(&id, soon()).await.unwrap();
        assert!(
            loaded.stored.is_none() && loaded.now.abs_diff(SystemClock.now().0) < 5_000,
            "{name}: {loaded:?}"
        );
        let now = SystemClock.now().0;
        let state = State {
            mode: Mode::Open,
            generation: 7,
            at: now,
            failures: 3,
            opened_at: Some(now),
            ..State::default()
        };
        let first = write(None, state.clone(), "a", vec![entry("opened", 7, now)]);
        let Written::Done(stored, _) = store.transition(&id, first, soon()).await.unwrap() else {
            panic!("{name}: there was one")
        };
        let again = store
            .transition(&id, write(None, State { at: now, ..State::default() }, "b", vec![]), soon())
            .await
            .unwrap();
        assert_eq!(
            again,
            match again.clone() {
                Written::Changed(Loaded { now, .. }) =>
                    Written::Changed(Loaded { stored: Some(stored.clone()), now }),
                other => panic!("{name}: {other:?}"),
            }
        );
        // What is not as expected changes nothing, its history included.
        let stale = flowkeep_core::breaker::Stored { stamp: "1.other".to_owned(), ..stored.clone() };
        let lost = write(Some(stale), State::default(), "c", vec![entry("closed", 8, now)]);
        assert!(matches!(store.transition(&id, lost, soon()).await.unwrap(), Written::Changed(_)), "{name}");
        let closed =
            State { mode: Mode::Closed, generation: 8, at: now, closed_at: Some(now), ..State::default() };
        let next =
            write(Some(stored), closed, "d", vec![entry("halfOpened", 8, now), entry("closed", 9, now + 1)]);
        assert!(matches!(store.transition(&id, next, soon()).await.unwrap(), Written::Done(..)), "{name}");
        let events: Vec<_> = store.history(&id, 10, soon()).await.unwrap();
        assert_eq!(
            events.iter().map(|entry| entry.event.as_str()).collect::<Vec<_>>(),
            ["closed", "halfOpened", "opened"]
        );
        assert_eq!(events[2], entry("opened", 7, now), "{name}");
        assert_eq!(store.ids(soon()).await.unwrap(), [id], "{name}");
        store.close();
        assert_eq!(store.ids(soon()).await.unwrap_err().code, Code::Closed, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_and_events_can_be_asked_for() {
    let file = File::new();
    for (name, url) in databases(&file) {
        let store = open(&url, &unique(), 5);
        let now = SystemClock.now().0;
        for (number, mode) in [(0, Mode::Open), (1, Mode::Closed), (2, Mode::Open)] {
            let id = BreakerId { name: format!("b{number}"), ..BreakerId::default() };
            let opened_at = Some(now - 10_000 * number);
            let state = State { mode, failures: 5 * number, at: now, opened_at, ..State::default() };
            let audit = (0..10).map(|place| entry("opened", place, now - 1_000 * place)).collect();
            store.transition(&id, write(None, state, "a", audit), soon()).await.unwrap();
        }
        let names = |filter: RowFilter| {
            let store = Arc::clone(&store);
            async move {
                let rows = store.rows(RowFilter { limit: 10, ..filter }, soon()).await.unwrap();
                rows.into_iter().map(|row| row.id.name).collect::<Vec<_>>()
            }
        };
        assert_eq!(names(RowFilter::default()).await, ["b0", "b1", "b2"], "{name}");
        assert_eq!(
            names(RowFilter { state: Some(Mode::Open), ..RowFilter::default() }).await,
            ["b0", "b2"],
            "{name}"
        );
        assert_eq!(
            names(RowFilter { failures_over: Some(4), ..RowFilter::default() }).await,
            ["b1", "b2"],
            "{name}"
        );
        let since = RowFilter { opened_since: Some(now - 10_000), ..RowFilter::default() };
        assert_eq!(names(since).await, ["b0", "b1"], "{name}");
        let row = store.rows(RowFilter { limit: 1, ..RowFilter::default() }, soon()).await.unwrap().remove(0);
        assert_eq!((row.opened_at, row.state.as_str(), row.closed_at), (Some(now), "open", None), "{name}");

        // Pages have no hole and no duplicate, and the filter counts before the limit.
        let mut filter = EventFilter { name: Some("b1".into()), limit: 4, ..EventFilter::default() };
        let mut seen = Vec::new();
        loop {
            let page = store.events(filter.clone(), soon()).await.unwrap();
            seen.extend(page.items.iter().map(|item| item.entry.generation));
            filter.cursor = page.cursor;
            if page.cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, (0..10).rev().collect::<Vec<_>>(), "{name}");
        let recent = EventFilter { since: Some(now - 3_500), limit: 100, ..EventFilter::default() };
        assert_eq!(store.count(recent.clone(), soon()).await.unwrap(), 12, "{name}");
        assert_eq!(store.events(recent, soon()).await.unwrap().items.len(), 12, "{name}");
        assert_eq!(store.prune(now - 3_500, soon()).await.unwrap(), 18, "{name}");
        assert_eq!(store.count(EventFilter::default(), soon()).await.unwrap(), 12, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_may_open_the_same_database_at_once() {
    let file = File::new();
    for (name, url) in databases(&file) {
        let prefix = unique();
        let stores: Vec<Arc<SqlStore>> = (0..6).map(|_| open(&url, &prefix, 2)).collect();
        let opened: Vec<_> = stores.iter().map(|store| tokio::spawn(store.ids(soon()))).collect();
        for ids in opened {
            assert_eq!(ids.await.unwrap().unwrap(), [], "{name}");
        }
    }
}

fn breaker(store: &Arc<SqlStore>) -> Arc<Breaker> {
    let store = Arc::clone(store) as Arc<dyn BreakerStore>;
    let breakers = Breakers::new(Some(store), Arc::new(SystemClock), Arc::new(RandomIds::default()));
    let policy = Policy { consecutive: Some(1.0), open_ms: 0.0, success_threshold: 1e6, ..Policy::default() };
    let settings = Settings { policy, scope: Scope::Shared };
    let id = BreakerId { name: "shared".into(), ..BreakerId::default() };
    breakers.get(id, Some(settings.clone()), || settings)
}

/// Every transition that was made is in the history once, however many make them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_transition_is_lost_between_many() {
    let file = File::new();
    for (name, url) in databases(&file) {
        let prefix = unique();
        let stores: Vec<Arc<SqlStore>> = (0..4).map(|_| open(&url, &prefix, 2)).collect();
        let crew: Vec<_> = stores.iter().map(breaker).collect();
        let work = crew.iter().cloned().map(|breaker| {
            tokio::spawn(async move {
                for round in 0..10 {
                    let command =
                        if round % 2 == 0 { Command::Isolate { for_ms: None } } else { Command::Reset };
                    breaker.command(Event::Command(command), Note::default(), soon()).await;
                }
            })
        });
        for done in work.collect::<Vec<_>>() {
            done.await.unwrap();
        }
        let id = crew[0].id.clone();
        let history = stores[0].history(&id, 1_000, soon()).await.unwrap();
        let generations: Vec<u64> = history.iter().map(|entry| entry.generation).collect();
        // Each change of the generation left one entry.
        let last = stores[0].load(&id, soon()).await.unwrap().stored.unwrap().state.generation;
        assert_eq!(generations, (1..=last).rev().collect::<Vec<_>>(), "{name}");
        assert!(crew.iter().all(|breaker| !breaker.standing().away), "{name}");
        // And of the probes that all of them ask for at once one is given.
        crew[0].command(Event::Command(Command::Reset), Note::default(), soon()).await;
        crew[0].command(Event::Command(Command::Open { for_ms: Some(0) }), Note::default(), soon()).await;
        for breaker in &crew {
            breaker.sync(soon()).await.unwrap();
        }
        let asks: Vec<_> = crew
            .iter()
            .cloned()
            .map(|breaker| tokio::spawn(async move { breaker.acquire(soon()).await }))
            .collect();
        let mut begun = Vec::new();
        for ask in asks {
            begun.push(ask.await.unwrap());
        }
        let probes = begun.iter().filter(|begun| matches!(begun, Begun::Admitted(_))).count();
        assert_eq!(probes, 1, "{name}: {begun:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_is_told_without_secrets() {
    let file = File::new();
    for (name, url) in databases(&file).into_iter().skip(1) {
        let (scheme, rest) = url.split_once("://").unwrap();
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        let wrong = format!("{scheme}://nobody:hunter2secret@{place}");
        let error = open(&wrong, &unique(), 1).ids(soon()).await.unwrap_err();
        assert_eq!((error.code, error.retryable), (Code::Config, false), "{name}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{name}: {error}");
        let nowhere = format!("{scheme}://u:hunter2secret@127.0.0.1:9/none");
        let deadline = SystemClock.now().plus_ms(3_000);
        let error = open(&nowhere, &unique(), 1).ids(deadline).await.unwrap_err();
        assert_eq!((error.code, error.retryable), (Code::Unavailable, true), "{name}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{name}: {error}");
    }
    let options = |url: &str, prefix: &str| SqlOptions {
        url: url.to_owned(),
        prefix: prefix.to_owned(),
        tables: Tables::default(),
        connections: 1,
        timeout_ms: 100,
    };
    for bad in [options("oracle://u:hunter2@h", ""), options("sqlite::memory:", "a; DROP")] {
        let error = SqlStore::open(bad, Arc::new(SystemClock)).err().expect("a refusal");
        assert_eq!(error.code, Code::Config);
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
