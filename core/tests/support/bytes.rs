//! What records take where they lie: counted by the allocator in this process, asked of the server.

#![allow(dead_code, reason = "the test and the measurement each use their part")]

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flowkeep_core::backend::Backend;
use flowkeep_core::clock::{Clock, SystemClock, Timestamp};
use flowkeep_core::id::RandomIds;
use flowkeep_core::key::{Key, Partition, Space};
use flowkeep_core::memory::Memory;
use flowkeep_core::redis::{Redis, WithCrate};
use flowkeep_core::run::poll_now;
use flowkeep_core::schema::Input;
use flowkeep_core::storage::{Parts, Settings, Storage};
use flowkeep_core::timer::Timers;
use flowkeep_core::txn::{Effect, Txn};
use serde_json::Value;

use crate::support::{call, redis_url, unique_prefix};

/// How far sessions get, each with one chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Nothing,
    Sessions,
    Chains,
    Steps,
    /// Every step is done, and nothing is archived.
    Live,
    /// The same, archived with the last write.
    Archived,
    /// The same, behind the next sweep.
    Compact,
}

impl Stage {
    pub const ALL: [Self; 7] =
        [Self::Nothing, Self::Sessions, Self::Chains, Self::Steps, Self::Live, Self::Archived, Self::Compact];
}

/// So many sessions, whose chains have so many steps.
#[derive(Debug, Clone, Copy)]
pub struct Plot {
    pub sessions: usize,
    pub steps: usize,
}

/// The system's clock, put forward by hand.
#[derive(Default)]
struct Ahead(AtomicU64);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus_ms(self.0.load(Ordering::Relaxed))
    }
}

const USER: &str = "one";

/// A storage with the clock that it goes by.
struct Stand {
    storage: Arc<Storage>,
    backend: Arc<dyn Backend>,
    clock: Arc<Ahead>,
}

impl Stand {
    fn new(backend: Arc<dyn Backend>, clock: Arc<Ahead>, stage: Stage) -> Self {
        // The first form of records knows no archive. Logs count alike in all stages: they are kept to one event.
        let options = if stage < Stage::Archived {
            r#"{"maxEvents":1,"writeSchemaVersion":1}"#
        } else {
            r#"{"maxEvents":1}"#
        };
        let storage = Arc::new(Storage::new(Parts {
            backend: Arc::clone(&backend),
            clock: Arc::clone(&clock) as _,
            ids: Arc::new(RandomIds::default()),
            timers: Timers::new(Arc::clone(&clock) as _),
            settings: Settings::read(Input::json(options), "", "").unwrap(),
        }));
        Self { storage, backend, clock }
    }

    async fn call(&self, operation: &str, id: &str, data: &str) -> Value {
        call(&self.storage, operation, id, data, "").await.unwrap()
    }

    async fn id(&self, operation: &str, parent: &str, data: &str, name: &str) -> String {
        self.call(operation, parent, data).await[name].as_str().unwrap().to_owned()
    }

    async fn plant(&self, stage: Stage, plot: Plot) {
        for n in 0..plot.sessions {
            if stage >= Stage::Sessions {
                let data = format!(r#"{{"title":"Session {n}","tags":["bench"]}}"#);
                let session = self.id("createSession", USER, &data, "sessionId").await;
                self.plant_chain(&session, n, stage, plot.steps).await;
            }
        }
        if stage >= Stage::Compact {
            self.clock.0.fetch_add(2_000, Ordering::Relaxed);
            let mut compacted = 0;
            while let more @ 1.. = self.call("sweep", "", "").await["compacted"].as_u64().unwrap() {
                compacted += more;
            }
            // One step alone does not repeat itself.
            assert!(plot.steps < 2 || compacted == plot.sessions as u64, "{compacted} were made small");
        }
        // The user's feed is the same at every stage but for its length.
        let mut txn = Txn::new(Partition::of(USER), self.clock.now().plus_ms(60_000));
        txn.effects.push(Effect::Delete { key: Key::new(Space("f"), USER) });
        self.backend.run(txn).await.unwrap();
    }

    async fn plant_chain(&self, session: &str, n: usize, stage: Stage, steps: usize) {
        if stage < Stage::Chains {
            return;
        }
        let data = format!(r#"{{"title":"Chain {n}","source":"flow"}}"#);
        let chain = self.id("createChain", session, &data, "chainId").await;
        let mut made = Vec::new();
        for step in 0..if stage >= Stage::Steps { steps } else { 0 } {
            let data = format!(
                r#"{{"action":"Step {step} of chain {n}","inputs":{{"file":"src/part-{step}.ts","lines":[{step},{n}],"strict":true}}}}"#
            );
            made.push(self.id("createStep", &chain, &data, "stepId").await);
        }
        if stage >= Stage::Live {
            for step in &made {
                self.call("updateStep", step, r#"{"status":"in_progress"}"#).await;
                let done = r#"{"status":"completed","result":{"ok":true,"warnings":0,"ms":12}}"#;
                self.call("updateStep", step, done).await;
            }
        }
    }
}

/// Bytes that memory holds more than before, as the allocator has given them out.
pub fn in_memory(stage: Stage, plot: Plot) -> u64 {
    let clock = Arc::new(Ahead::default());
    let memory = Arc::new(Memory::new(Arc::clone(&clock) as _));
    let stand = Stand::new(memory, clock, stage);
    let counted = allocation_counter::measure(|| {
        poll_now(pin!(stand.plant(stage, plot))).unwrap();
    });
    u64::try_from(counted.bytes_current).unwrap()
}

/// Bytes of all keys, as `MEMORY USAGE` tells them.
pub async fn in_redis(stage: Stage, plot: Plot) -> u64 {
    let prefix = unique_prefix();
    let link = WithCrate::connect(&redis_url()).await.unwrap();
    let backend = Arc::new(Redis::new(Arc::new(link), &prefix).unwrap());
    Stand::new(backend, Arc::default(), stage).plant(stage, plot).await;
    let client = redis::Client::open(redis_url()).unwrap();
    let mut server = client.get_multiplexed_async_connection().await.unwrap();
    let mut keys: Vec<String> = Vec::new();
    let mut cursor = 0_u64;
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(format!("{prefix}*")).arg("COUNT").arg(1_000);
        let (next, found): (u64, Vec<String>) = scan.query_async(&mut server).await.unwrap();
        keys.extend(found);
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    // A key may be told twice.
    keys.sort_unstable();
    keys.dedup();
    let mut bytes = 0;
    for key in keys {
        let usage =
            redis::cmd("MEMORY").arg("USAGE").arg(&key).arg("SAMPLES").arg(0).query_async(&mut server).await;
        bytes += usage.unwrap_or(0_u64);
        let () = redis::cmd("UNLINK").arg(&key).query_async(&mut server).await.unwrap();
    }
    bytes
}

/// Bytes for each session at every stage, `stages` of them, by both backends.
pub async fn table(stages: &[Stage], plot: Plot) -> Vec<(&'static str, Vec<u64>)> {
    let memory = stages.iter().map(|stage| in_memory(*stage, plot) / plot.sessions as u64).collect();
    let mut redis = Vec::new();
    for stage in stages {
        redis.push(in_redis(*stage, plot).await / plot.sessions as u64);
    }
    vec![("memory", memory), ("Redis", redis)]
}
