//! What others do to a database: they lock, they get in the way, they say nothing; and what is written down twice.

use std::sync::Arc;
use std::time::Instant;

use flowkeep_core::breaker::{BreakerId, BreakerStore, Mode, State, Written};
use flowkeep_core::clock::{Clock, SystemClock};
use flowkeep_core::error::{Code, Effect};
use flowkeep_core::sql::{Change, EventFilter, RowFilter, SqlStore};
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _};

use super::{File, databases, entry, open, soon, unique, write};

/// Somebody else's connection.
pub async fn stranger(url: &str) -> AnyConnection {
    sqlx::any::install_default_drivers();
    AnyConnection::connect(url).await.unwrap()
}

pub async fn say(connection: &mut AnyConnection, text: String) {
    sqlx::raw_sql(AssertSqlSafe(text)).execute(connection).await.unwrap();
}

pub fn id(name: &str) -> BreakerId {
    BreakerId { name: name.to_owned(), ..BreakerId::default() }
}

pub fn opened(generation: u64) -> State {
    State { mode: Mode::Open, generation, at: SystemClock.now().0, ..State::default() }
}

/// What makes the first inserts of an event fail as if another transaction had got in their way: `code` so many times.
fn obstacle(database: &str, prefix: &str, code: &str, times: u32) -> Vec<String> {
    let events = format!("{prefix}circuit_breaker_events");
    if database == "postgres" {
        return vec![
            format!("CREATE SEQUENCE {prefix}tries"),
            format!(
                "CREATE FUNCTION {prefix}fail() RETURNS trigger AS $$ BEGIN \
                 IF nextval('{prefix}tries') <= {times} THEN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END IF; \
                 RETURN NEW; END $$ LANGUAGE plpgsql"
            ),
            format!(
                "CREATE TRIGGER {prefix}fail BEFORE INSERT ON {events} FOR EACH ROW EXECUTE FUNCTION {prefix}fail()"
            ),
        ];
    }
    // The table of this engine keeps its count where a transaction is rolled back.
    vec![
        format!("CREATE TABLE {prefix}tries (n INT) ENGINE = MyISAM"),
        format!("INSERT INTO {prefix}tries VALUES (0)"),
        format!(
            "CREATE TRIGGER {prefix}fail BEFORE INSERT ON {events} FOR EACH ROW BEGIN \
             UPDATE {prefix}tries SET n = n + 1; \
             IF (SELECT n FROM {prefix}tries) <= {times} THEN SIGNAL SQLSTATE '{code}'; END IF; END"
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_got_in_the_way_of_is_tried_again() {
    let file = File::new();
    let servers: Vec<_> = databases(&file).into_iter().skip(1).collect();
    for ((name, url), code) in servers.iter().flat_map(|server| [(server, "40001"), (server, "40P01")]) {
        let code = if *name == "mariadb" { "40001" } else { code };
        let (prefix, patient) = (unique(), id("upstream"));
        let store = open(url, &prefix, 2);
        assert_eq!(store.ids(soon()).await.unwrap(), []);
        let mut other = stranger(url).await;
        for text in obstacle(name, &prefix, code, 2) {
            say(&mut other, text).await;
        }
        let first = write(None, opened(1), "a", vec![entry("opened", 1, 1_000)]);
        let done = store.transition(&patient, first, soon()).await;
        assert!(matches!(done, Ok(Written::Done(..))), "{name}: {done:?}");
        assert_eq!(store.history(&patient, 10, soon()).await.unwrap().len(), 1, "{name}");
    }
    // What never gets through is told, and leaves nothing behind.
    for (name, url) in &servers {
        let prefix = unique();
        let store = open(url, &prefix, 2);
        assert_eq!(store.ids(soon()).await.unwrap(), []);
        let mut other = stranger(url).await;
        for text in obstacle(name, &prefix, "40001", 1_000) {
            say(&mut other, text).await;
        }
        let first = write(None, opened(1), "a", vec![entry("opened", 1, 1_000)]);
        let error = store.transition(&id("upstream"), first, soon()).await.unwrap_err();
        assert_eq!((error.code, error.retryable), (Code::Unavailable, true), "{name}: {error}");
        assert_eq!(store.ids(soon()).await.unwrap(), [], "{name}: a transaction is whole or not at all");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_without_a_free_connection_says_so_in_time() {
    let file = File::new();
    for (name, url) in databases(&file) {
        let prefix = unique();
        let store = open(&url, &prefix, 1);
        let first = write(None, opened(1), "a", vec![]);
        let Written::Done(stored, _) = store.transition(&id("upstream"), first, soon()).await.unwrap() else {
            panic!("{name}: there was one")
        };
        // Somebody holds what the next write needs, and the write holds the only connection.
        let mut other = stranger(&url).await;
        let lock = match name {
            "sqlite" => "BEGIN IMMEDIATE".to_owned(),
            _ => format!("BEGIN; SELECT id FROM {prefix}circuit_breakers FOR UPDATE"),
        };
        for text in lock.split("; ") {
            say(&mut other, text.to_owned()).await;
        }
        let next = write(Some(stored), opened(2), "b", vec![entry("opened", 2, 1_000)]);
        let waiting = store.transition(&id("upstream"), next, soon());
        let asked = Instant::now();
        let error = store.ids(SystemClock.now().plus_ms(300)).await.unwrap_err();
        assert!(asked.elapsed().as_secs() < 10, "{name}: in time");
        assert_eq!(
            (error.code, error.retryable, error.effect),
            (Code::Capacity, true, Effect::NotApplied),
            "{name}"
        );
        assert_eq!(error.detail.and_then(|detail| detail.limit), Some(1), "{name}");
        say(&mut other, "ROLLBACK".to_owned()).await;
        assert!(matches!(waiting.await.unwrap(), Written::Done(..)), "{name}");
        assert_eq!(store.ids(soon()).await.unwrap().len(), 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_nothing_is_away_when_the_time_is_over() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = silent.local_addr().unwrap();
    for scheme in ["postgres", "mysql"] {
        let store = open(&format!("{scheme}://u:hunter2secret@{place}/none"), &unique(), 1);
        let asked = Instant::now();
        let error = store.ids(SystemClock.now().plus_ms(300)).await.unwrap_err();
        assert!(asked.elapsed().as_secs() < 10, "{scheme}: in time");
        assert_eq!(error.code, Code::Unavailable, "{scheme}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{scheme}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_events_go_in_batches() {
    let file = File::new();
    for (name, url) in databases(&file) {
        let store = open(&url, &unique(), 2);
        let old = (0..2_100).map(|place| entry("opened", place, 1_000 + place)).collect();
        let write = write(None, opened(1), "a", old);
        store.transition(&id("upstream"), write, soon()).await.unwrap();
        assert_eq!(store.prune(1_000 + 2_050, soon()).await.unwrap(), 2_050, "{name}");
        assert_eq!(store.count(EventFilter::default(), soon()).await.unwrap(), 50, "{name}");
    }
}

fn change(name: &str, generation: u64) -> Change {
    let stamp = format!("{name}.{generation}");
    Change { stamp, id: id(name), entry: entry("opened", generation, 1_000 * generation) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_elsewhere_is_written_down_once() {
    let file = File::new();
    for (name, url) in databases(&file) {
        let prefix = unique();
        let stores: Vec<Arc<SqlStore>> = (0..4).map(|_| open(&url, &prefix, 2)).collect();
        // Several at the same time, none of which finds a row; each of them knows all of the changes.
        let changes: Vec<Change> =
            (1..=5).flat_map(|generation| [change("a", generation), change("b", generation)]).collect();
        let work: Vec<_> =
            stores.iter().map(|store| tokio::spawn(store.record(changes.clone(), soon()))).collect();
        for done in work {
            done.await.unwrap().unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        let filter = EventFilter { name: Some("a".to_owned()), limit: 100, ..EventFilter::default() };
        let page = stores[0].events(filter.clone(), soon()).await.unwrap();
        let generations: Vec<u64> = page.items.iter().map(|item| item.entry.generation).collect();
        assert_eq!(generations, [5, 4, 3, 2, 1], "{name}");
        // What is earlier than the row is an event, and moves the row nowhere.
        let mut late = change("a", 2);
        (late.stamp, late.entry.to) = ("late".to_owned(), Mode::Isolated);
        stores[0].record(vec![late], soon()).await.unwrap();
        assert_eq!(stores[0].count(filter, soon()).await.unwrap(), 6, "{name}");
        let rows = stores[0].rows(RowFilter { limit: 10, ..RowFilter::default() }, soon()).await.unwrap();
        let seen: Vec<_> = rows.iter().map(|row| (row.state.as_str(), row.opened_at)).collect();
        assert_eq!(seen, [("open", Some(5_000)), ("open", Some(5_000))], "{name}");
        // Who keeps breakers in the same tables reads them.
        let loaded = stores[1].load(&id("b"), soon()).await.unwrap().stored.unwrap();
        assert_eq!((loaded.state.mode, loaded.state.generation), (Mode::Open, 5), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_tables_get_what_they_lack() {
    let file = File::new();
    for (name, url) in databases(&file) {
        let prefix = unique();
        let store = open(&url, &prefix, 1);
        let first = write(None, opened(1), "a", vec![entry("opened", 1, 1_000)]);
        store.transition(&id("upstream"), first, soon()).await.unwrap();
        store.close();
        // As the first version made them.
        let events = format!("{prefix}circuit_breaker_events");
        let mut other = stranger(&url).await;
        let on = if name == "mariadb" { format!(" ON {events}") } else { String::new() };
        for text in [
            format!("DROP INDEX {events}_stamp{on}"),
            format!("ALTER TABLE {events} DROP COLUMN stamp"),
            format!("DELETE FROM {prefix}circuit_breakers_versions WHERE version = 2"),
        ] {
            say(&mut other, text).await;
        }
        let later = open(&url, &prefix, 1);
        later.record(vec![change("upstream", 2)], soon()).await.unwrap();
        let history = later.history(&id("upstream"), 10, soon()).await.unwrap();
        assert_eq!(history.iter().map(|entry| entry.generation).collect::<Vec<_>>(), [2, 1], "{name}");
    }
}
