//! What a page of the request log costs, against what it has to find; how long things are kept; how indexes are mended.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

#[path = "support/hand.rs"]
mod hand;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flowkeep_core::backend::{Backend, Info, Wait};
use flowkeep_core::clock::{Clock, SystemClock, Timestamp};
use flowkeep_core::command::{Command, Data, Score};
use flowkeep_core::error::Result;
use flowkeep_core::id::RandomIds;
use flowkeep_core::key::{Key, Partition, Space};
use flowkeep_core::memory::Memory;
use flowkeep_core::run::Run;
use flowkeep_core::schema::Input;
use flowkeep_core::storage::{Parts, Settings, Storage};
use flowkeep_core::timer::Timers;
use flowkeep_core::topic::{Subscription, Topic};
use flowkeep_core::txn::{Effect, Outcome, Reply, Txn};
use serde_json::{Value, json};

use hand::Hand;

const HOUR_MS: u64 = 3_600_000;
/// What a look takes in at the most beyond what it has to.
const CHUNK: usize = 64;

/// Counts what is asked of a backend, and what it gives.
struct Counting {
    inner: Arc<dyn Backend>,
    runs: AtomicU64,
    commands: AtomicU64,
    elements: Arc<AtomicU64>,
}

impl Counting {
    fn over(inner: Arc<dyn Backend>) -> Arc<Self> {
        let [runs, commands] = [AtomicU64::new(0), AtomicU64::new(0)];
        Arc::new(Self { inner, runs, commands, elements: Arc::default() })
    }

    /// Runs, commands, elements since the last time.
    fn take(&self) -> [usize; 3] {
        [&self.runs, &self.commands, &self.elements].map(|count| count.swap(0, Ordering::SeqCst) as usize)
    }
}

fn elements(outcome: &Result<Outcome>) -> u64 {
    let Ok(Outcome::Committed(replies)) = outcome else { return 0 };
    let length = |reply: &Reply| match reply {
        Reply::Data(Data::List(items)) => items.len() as u64,
        _ => 0,
    };
    replies.iter().map(length).sum()
}

impl Backend for Counting {
    fn run(&self, txn: Txn) -> Run<Result<Outcome>> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        self.commands.fetch_add((txn.effects.len() + txn.queries.len()) as u64, Ordering::SeqCst);
        let counted = Arc::clone(&self.elements);
        self.inner.run(txn).map(move |outcome| {
            counted.fetch_add(elements(&outcome), Ordering::SeqCst);
            outcome
        })
    }

    fn wait(&self, wait: Wait) -> Run<Result<bool>> {
        self.inner.wait(wait)
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        self.inner.subscribe(topic)
    }

    fn info(&self) -> Info {
        self.inner.info()
    }
}

async fn call(storage: &Arc<Storage>, name: &str, data: &Value) -> Value {
    let answer = support::call_about(storage, name, "\"\"", &data.to_string(), "").await;
    answer.unwrap_or_else(|error| panic!("{name}: {error:?} for {data}"))
}

/// The n-th request: some in each filter, few in some.
fn request(n: usize, at: Timestamp) -> Value {
    let mut entry = json!({
        "ip": if n.is_multiple_of(997) { "10.9.9.9".to_owned() } else { format!("10.0.{}.{}", n % 7, n % 200) },
        "host": if n.is_multiple_of(4) { "a.example" } else { "b.example" },
        "method": if n.is_multiple_of(3) { "POST" } else { "GET" },
        "path": if n.is_multiple_of(211) { format!("/rare/{n}") } else { format!("/users/{n}/keys") },
        "status": if n.is_multiple_of(50) { 500 } else { 200 },
        "durationMs": if n.is_multiple_of(40) { 1_500.0 } else { 3.5 },
        "at": at.to_string(),
    });
    if n.is_multiple_of(1_013) {
        entry["user"] = json!("ada");
    }
    entry
}

/// What a filter finds among the first so many.
fn finds(name: &str, value: &Value, n: usize) -> bool {
    let entry = request(n, Timestamp(0));
    match name {
        "errors" => entry["status"].as_u64().unwrap() >= 400,
        "slow" => entry["durationMs"].as_f64().unwrap() > 1_000.0,
        "path" => entry["path"].as_str().unwrap().starts_with("/rare/"),
        "limit" | "cursor" => true,
        _ => entry[name] == *value,
    }
}

async fn costs(backend: Arc<dyn Backend>, records: usize) {
    let counting = Counting::over(backend);
    let storage = support::storage(Arc::clone(&counting) as Arc<dyn Backend>, "{}");
    let began = SystemClock.now();
    // Spread over 20 hours, a bit apart from each other: the last one is the latest.
    let apart = 20 * HOUR_MS / records as u64;
    let at = |n: usize| Timestamp(began.0 - (records - n) as u64 * apart);
    let mut ids = Vec::with_capacity(records);
    for batch in (0..records).collect::<Vec<_>>().chunks(256) {
        let log = |n: &usize| {
            let (storage, entry) = (Arc::clone(&storage), request(*n, at(*n)));
            tokio::spawn(async move { call(&storage, "requestLog.record", &entry).await["id"].clone() })
        };
        for logged in batch.iter().map(log).collect::<Vec<_>>() {
            ids.push(logged.await.unwrap().as_str().unwrap().to_owned());
        }
    }
    let queries = [
        json!({ "limit": 50 }),
        json!({ "limit": 50, "cursor": ids[records / 2] }),
        json!({ "ip": "10.9.9.9" }),
        json!({ "ip": "10.9.9.9", "host": "a.example", "status": 200, "method": "GET" }),
        json!({ "user": "ada", "host": "b.example" }),
        json!({ "path": "/rare/*", "host": "b.example", "limit": 20 }),
        json!({ "errors": true, "status": 200 }),
        json!({ "errors": true, "slow": true, "limit": 30 }),
        json!({ "slow": true, "host": "a.example", "limit": 10, "cursor": ids[records / 3] }),
        json!({ "user": "nobody", "host": "b.example" }),
    ];
    for query in &queries {
        let filters: Vec<_> = query.as_object().unwrap().iter().collect();
        let named = filters.iter().filter(|(name, _)| !["limit", "cursor"].contains(&name.as_str()));
        let size =
            |(name, value): &&(&String, &Value)| (0..records).filter(|n| finds(name, value, *n)).count();
        let smallest = named.clone().map(|filter| size(&filter)).min().unwrap_or(0);
        let (limit, count) = (query["limit"].as_u64().unwrap_or(100) as usize, named.count());
        counting.take();
        let page = call(&storage, "requestLog.search", query).await;
        let [runs, commands, elements] = counting.take();
        let until = query["cursor"].as_str().and_then(|id| ids.iter().position(|known| known == id));
        let wanted = (0..until.unwrap_or(records)).rev();
        let wanted =
            wanted.filter(|n| filters.iter().all(|(name, value)| finds(name, value, *n))).take(limit);
        let wanted: Vec<&str> = wanted.map(|n| ids[n].as_str()).collect();
        let found: Vec<&str> =
            page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect();
        assert_eq!(found, wanted, "{query}");
        println!(
            "{query}: {} found, smallest filter {smallest} of {records}: {runs} round trips, {commands} commands, {elements} elements",
            found.len()
        );
        // Each id that is looked at is one element, and so is its record.
        let looked = if count == 0 { limit } else { smallest };
        assert!(elements <= 2 * looked.max(limit), "{query}: {elements} elements for {looked}");
        let (hours, chunks) = (26, looked / CHUNK + 26);
        assert!(commands <= hours * count.max(1) + 2 * chunks, "{query}: {commands} commands");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_costs_what_it_shows_and_at_most_the_smallest_filter() {
    costs(support::memory(), 100_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_redis_as_well() {
    let records = std::env::var("FLOWKEEP_LOG_RECORDS").ok().and_then(|count| count.parse().ok());
    costs(support::redis().await, records.unwrap_or(3_000)).await;
}

#[tokio::test]
async fn records_go_after_a_day_and_counts_after_two() {
    let clock = Arc::new(Hand(AtomicU64::new(1_700_000 * 1_000_000 + 17)));
    let memory = Arc::new(Memory::new(Arc::clone(&clock) as Arc<dyn Clock>));
    let storage = Arc::new(Storage::new(Parts {
        backend: Arc::clone(&memory) as Arc<dyn Backend>,
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        ids: Arc::new(RandomIds::default()),
        timers: Timers::new(Arc::clone(&clock) as Arc<dyn Clock>),
        settings: Settings::read(Input::json("{}"), "", "").unwrap(),
    }));
    let began = clock.now();
    call(&storage, "requestLog.record", &request(0, began)).await;
    let count = async |query: Value| {
        call(&storage, "requestLog.search", &query).await["items"].as_array().unwrap().len()
    };
    let requests = async || {
        let hours =
            call(&storage, "requestLog.hourly", &json!({ "since": began.to_string(), "host": "a.example" }))
                .await;
        let sum = |name: &str| {
            hours.as_array().unwrap().iter().map(|hour| hour[name].as_u64().unwrap()).sum::<u64>()
        };
        [sum("requests"), sum("errors"), sum("visitors")]
    };
    assert_eq!((count(json!({})).await, requests().await), (1, [1, 1, 1]));
    clock.0.store(began.0 + 24 * HOUR_MS - 1, Ordering::SeqCst);
    assert_eq!((count(json!({})).await, count(json!({ "errors": true })).await), (1, 1));
    clock.0.store(began.0 + 24 * HOUR_MS, Ordering::SeqCst);
    assert_eq!((count(json!({})).await, requests().await), (0, [1, 1, 1]));
    clock.0.store(began.0 + 49 * HOUR_MS, Ordering::SeqCst);
    assert_eq!(requests().await, [0, 0, 0]);
    // Each look sweeps a little: nothing is left, not even of the live stream.
    for _ in 0..10 {
        count(json!({})).await;
    }
    assert_eq!(memory.len(), 0);
    let late = request(1, Timestamp(began.0));
    let refused = support::call_about(&storage, "requestLog.record", "\"\"", &late.to_string(), "").await;
    assert_eq!(refused.unwrap_err().code.as_str(), "STORAGE_INVALID");
}

#[tokio::test]
async fn an_index_that_was_lost_is_made_again() {
    for (name, backend) in support::backends().await {
        let storage = support::storage(Arc::clone(&backend), "{}");
        let began = SystemClock.now();
        for n in 0..500 {
            let at = Timestamp(began.0 - n as u64 * 60_000);
            call(&storage, "requestLog.record", &request(n, at)).await;
        }
        let search = json!({ "host": "a.example", "limit": 1_000 });
        let found = call(&storage, "requestLog.search", &search).await;
        assert_eq!(found["items"].as_array().unwrap().len(), 125, "{name}");
        let mut txn = Txn::new(Partition::of("requestLog"), SystemClock.now().plus_ms(20_000));
        for hour in (began.0 / HOUR_MS - 9)..=began.0 / HOUR_MS {
            let key = |filter: &str| Key::new(Space("li"), format!("{hour}/{filter}"));
            txn.effects.push(Effect::Try { key: key("ha.example"), command: Command::Delete });
            // One that finds no record.
            let stray = vec![(Score(0.0), format!("req_{:013}stray", hour * HOUR_MS).as_bytes().into())];
            txn.effects.push(Effect::Try { key: key("hb.example"), command: Command::SortedAdd(stray) });
        }
        backend.run(txn).await.unwrap();
        let lost = call(&storage, "requestLog.search", &search).await;
        assert_eq!(lost["items"].as_array().unwrap().len(), 0, "{name}");
        let rebuilt = call(&storage, "requestLog.rebuild", &json!({})).await;
        assert_eq!(rebuilt["records"], 500, "{name}");
        assert!(rebuilt["mended"].as_u64().unwrap() >= 125 + 9, "{name}: {rebuilt}");
        assert_eq!(call(&storage, "requestLog.search", &search).await, found, "{name}");
        let again = call(&storage, "requestLog.rebuild", &json!({})).await;
        assert_eq!(again, json!({ "records": 500, "mended": 0 }), "{name}");
    }
}

/// Lets others come in between any two steps, also where memory would answer at once.
struct Yielding(Arc<dyn Backend>);

impl Backend for Yielding {
    fn run(&self, txn: Txn) -> Run<Result<Outcome>> {
        let inner = Arc::clone(&self.0);
        Run::later(async move {
            tokio::task::yield_now().await;
            inner.run(txn).await
        })
    }

    fn wait(&self, wait: Wait) -> Run<Result<bool>> {
        self.0.wait(wait)
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        self.0.subscribe(topic)
    }

    fn info(&self) -> Info {
        Info { immediate: false, ..self.0.info() }
    }
}

/// The ids that a search finds, page by page.
async fn search_all(storage: &Arc<Storage>, query: Value) -> Vec<String> {
    let (mut found, mut query) = (Vec::new(), query);
    loop {
        let page = call(storage, "requestLog.search", &query).await;
        let items = page["items"].as_array().unwrap();
        found.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        if page["cursor"].is_null() {
            return found;
        }
        query["cursor"] = page["cursor"].clone();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_among_writers_loses_nothing_and_doubles_nothing() {
    const EARLIER: usize = 300;
    const WRITERS: usize = 4;
    const AT_MOST: usize = 600;
    const REBUILDS: usize = 3;
    for (name, backend) in support::backends().await {
        let storage = support::storage(Arc::new(Yielding(Arc::clone(&backend))), "{}");
        let began = SystemClock.now();
        // All of them in the same few hours, so that writers and rebuilds meet.
        let at = move |n: usize| Timestamp(began.0 - (n as u64 * 61_000) % (4 * HOUR_MS));
        let mut earlier = Vec::new();
        for n in 0..EARLIER {
            let logged = call(&storage, "requestLog.record", &request(n, at(n))).await;
            earlier.push(logged["id"].as_str().unwrap().to_owned());
        }
        let mut txn = Txn::new(Partition::of("requestLog"), SystemClock.now().plus_ms(20_000));
        for hour in (began.0 / HOUR_MS - 4)..=began.0 / HOUR_MS {
            let key = Key::new(Space("li"), format!("{hour}/mPOST"));
            txn.effects.push(Effect::Try { key, command: Command::Delete });
            let stray = vec![(Score(0.0), format!("req_{:013}stray", hour * HOUR_MS).as_bytes().into())];
            let key = Key::new(Space("li"), format!("{hour}/ha.example"));
            txn.effects.push(Effect::Try { key, command: Command::SortedAdd(stray) });
        }
        backend.run(txn).await.unwrap();
        let rebuilt = Arc::new(AtomicU64::new(0));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (storage, rebuilt) = (Arc::clone(&storage), Arc::clone(&rebuilt));
                tokio::spawn(async move {
                    let mut made = Vec::new();
                    // For as long as somebody rebuilds.
                    while made.len() < AT_MOST && rebuilt.load(Ordering::SeqCst) < 2 {
                        let n = made.len();
                        let n = EARLIER + n * WRITERS + writer;
                        let logged = call(&storage, "requestLog.record", &request(n, at(n))).await;
                        made.push(logged["id"].as_str().unwrap().to_owned());
                    }
                    made
                })
            })
            .collect();
        // Two of them at once, again and again.
        let rebuilds = async || {
            for _ in 0..REBUILDS {
                call(&storage, "requestLog.rebuild", &json!({})).await;
                let found = search_all(&storage, json!({ "limit": 1_000 })).await;
                assert!(earlier.iter().all(|id| found.contains(id)), "{name}: lost meanwhile");
                assert!(found.windows(2).all(|pair| pair[0] > pair[1]), "{name}: twice, or out of order");
            }
            rebuilt.fetch_add(1, Ordering::SeqCst);
        };
        tokio::join!(rebuilds(), rebuilds());
        let mut all = earlier.clone();
        for writer in writers {
            all.extend(writer.await.unwrap());
        }
        println!("{name}: {} rebuilds among {} writes", 2 * REBUILDS, all.len() - EARLIER);
        assert!(all.len() > EARLIER + WRITERS * REBUILDS, "{name}: nobody wrote meanwhile");
        all.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(search_all(&storage, json!({ "limit": 1_000 })).await, all, "{name}");
        // Each filter finds what it should, once.
        let kinds = [("method", ["POST", "GET"]), ("host", ["a.example", "b.example"])];
        for (field, values) in kinds {
            let mut found = Vec::new();
            for value in values {
                found.extend(search_all(&storage, json!({ field: value, "limit": 1_000 })).await);
            }
            found.sort_unstable_by(|a, b| b.cmp(a));
            assert_eq!(found, all, "{name}: by {field}");
        }
        let again = call(&storage, "requestLog.rebuild", &json!({})).await;
        assert_eq!(again, json!({ "records": all.len(), "mended": 0 }), "{name}");
        // What was counted was counted by who wrote.
        let span =
            json!({ "since": Timestamp(began.0 - 5 * HOUR_MS).to_string(), "until": began.to_string() });
        let hours = call(&storage, "requestLog.hourly", &span).await;
        let counted: u64 =
            hours.as_array().unwrap().iter().map(|hour| hour["requests"].as_u64().unwrap()).sum();
        assert_eq!(counted as usize, all.len(), "{name}");
    }
}
