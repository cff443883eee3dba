//! What the tests over every backend share: a real server, backends to run on, a way to drive a storage.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that can't go on fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use flowkeep_core::backend::Backend;
use flowkeep_core::clock::{Clock, SystemClock};
use flowkeep_core::error::Error;
use flowkeep_core::id::RandomIds;
use flowkeep_core::memory::Memory;
use flowkeep_core::operation::Operation;
use flowkeep_core::redis::{Redis, WithCrate};
use flowkeep_core::schema::Input;
use flowkeep_core::storage::{Parts, Request, Settings, Storage, Text};
use flowkeep_core::timer::Timers;

/// The server that the test run provides. Without one these tests fail: they never pass unseen.
pub fn redis_url() -> String {
    std::env::var("FLOWKEEP_TEST_REDIS_URL")
        .expect("FLOWKEEP_TEST_REDIS_URL must name a server: run `npm test`")
}

/// A prefix that no other test has.
pub fn unique_prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("test:{}:{}:{}:", std::process::id(), SystemClock.now().0, NEXT.fetch_add(1, Ordering::Relaxed))
}

pub async fn redis() -> Arc<dyn Backend> {
    Arc::new(Redis::new(Arc::new(WithCrate::connect(&redis_url()).await.unwrap()), &unique_prefix()).unwrap())
}

pub fn memory() -> Arc<dyn Backend> {
    Arc::new(Memory::new(Arc::new(SystemClock)))
}

/// Every backend, by name.
pub async fn backends() -> Vec<(&'static str, Arc<dyn Backend>)> {
    vec![("memory", memory()), ("redis", redis().await)]
}

pub fn storage(backend: Arc<dyn Backend>, options: &str) -> Arc<Storage> {
    let settings = Settings::read(Input::json(options), "", "").unwrap();
    Arc::new(Storage::new(Parts {
        backend,
        clock: Arc::new(SystemClock),
        ids: Arc::new(RandomIds::default()),
        timers: Timers::new(Arc::new(SystemClock)),
        settings,
    }))
}

/// A call with plain JSON: `data` and `options` are absent when empty.
pub async fn call(
    storage: &Arc<Storage>,
    name: &str,
    id: &str,
    data: &str,
    options: &str,
) -> Result<serde_json::Value, Error> {
    let operation = Operation::ALL.iter().find(|operation| operation.name() == name).expect("an operation");
    if operation.id_name() == "userId" {
        return call_about(storage, name, &serde_json::to_string(id).unwrap(), data, options).await;
    }
    call_about(storage, name, id, data, options).await
}

/// A call whose first argument is written as the face writes it: an id as it is, anything else as JSON.
pub async fn call_about(
    storage: &Arc<Storage>,
    name: &str,
    id: &str,
    data: &str,
    options: &str,
) -> Result<serde_json::Value, Error> {
    let operation = *Operation::ALL.iter().find(|operation| operation.name() == name).expect("an operation");
    let text = |text: &str| (!text.is_empty()).then(|| Text { text: text.to_owned(), tagged: false });
    let request = Request {
        operation,
        id: id.to_owned(),
        id_is_value: false,
        id_tagged: false,
        data: text(data),
        options: text(options),
    };
    let answer = storage.perform(request).await?;
    let json = answer.split_once('\n').map_or(answer.as_str(), |(_, json)| json);
    Ok(if json.is_empty() { serde_json::Value::Null } else { serde_json::from_str(json).unwrap() })
}

/// How many programs a property test runs: many in CI, a taste of them elsewhere.
pub fn programs(in_ci: u64, elsewhere: u64) -> u64 {
    if std::env::var("CI").is_ok_and(|ci| !ci.is_empty()) { in_ci } else { elsewhere }
}

/// The seed of this run: given by `FLOWKEEP_SEED`, else new, and always printed.
pub fn seed() -> u64 {
    let seed = std::env::var("FLOWKEEP_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    println!("FLOWKEEP_SEED={seed}");
    seed
}
