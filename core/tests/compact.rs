//! What is archived is small, on every backend: bytes before and after, counted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

#[path = "support/bytes.rs"]
mod bytes;
mod support;

use std::sync::{Arc, Mutex};

use flowkeep_core::backend::{Backend, Info, Wait};
use flowkeep_core::clock::{Clock, SystemClock};
use flowkeep_core::error::{Code, Result};
use flowkeep_core::id::Tree;
use flowkeep_core::key::{Key, Space};
use flowkeep_core::run::Run;
use flowkeep_core::storage::Storage;
use flowkeep_core::topic::{Subscription, Topic};
use flowkeep_core::txn::{Effect, Outcome, Txn};
use serde_json::{Value, json};

use bytes::{Plot, Stage, table};
use support::call;

/// Percent of what a chain takes while it is live, that it takes in the archive at the most.
async fn takes_at_most(steps: usize, sessions: usize, percent: u64) {
    let stages = [Stage::Sessions, Stage::Live, Stage::Archived, Stage::Compact];
    for (name, each) in table(&stages, Plot { sessions, steps }).await {
        let chain = |stage: usize| each[stage] - each[0];
        let (live, archived, compact) = (chain(1), chain(2), chain(3));
        println!(
            "{name}: a chain of {steps} steps takes {live} bytes, archived {archived}, made small {compact}"
        );
        assert!(compact * 100 <= live * percent, "{name}: {compact} of {live} bytes for {steps} steps");
        assert!(compact < archived, "{name}: {compact} of {archived} bytes");
    }
}

#[tokio::test]
async fn a_chain_of_ten_done_steps_takes_half_in_the_archive() {
    takes_at_most(10, 20, 50).await;
}

#[tokio::test]
async fn a_chain_of_a_hundred_done_steps_takes_a_third() {
    takes_at_most(100, 4, 35).await;
}

/// A chain whose second step failed, archived by that.
struct Failed {
    session: String,
    chain: String,
    steps: Vec<String>,
}

impl Failed {
    async fn plant(storage: &Arc<Storage>) -> Self {
        let id = |record: Value, name: &str| record[name].as_str().unwrap().to_owned();
        let session = id(call(storage, "createSession", "u", "{}", "").await.unwrap(), "sessionId");
        let chain = call(storage, "createChain", &session, r#"{"title":"c"}"#, "").await.unwrap();
        let (chain, mut steps) = (id(chain, "chainId"), Vec::new());
        for _ in 0..2 {
            let data = json!({ "action": "a", "inputs": { "text": "the same, ".repeat(40) } }).to_string();
            steps.push(id(call(storage, "createStep", &chain, &data, "").await.unwrap(), "stepId"));
        }
        for (step, status) in steps.iter().zip(["skipped", "failed"]) {
            let update = json!({ "status": status }).to_string();
            call(storage, "updateStep", step, &update, "").await.unwrap();
        }
        Self { session, chain, steps }
    }

    /// Everything that can be read of it.
    async fn read(&self, storage: &Arc<Storage>) -> Vec<Value> {
        let mut read = vec![
            call(storage, "getChain", &self.chain, "", "").await.unwrap(),
            call(storage, "listSteps", &self.chain, "", "").await.unwrap(),
        ];
        for step in &self.steps {
            read.push(call(storage, "getStep", step, "", "").await.unwrap());
        }
        read
    }
}

/// Sweeps until a chain was made small.
async fn until_small(storage: &Arc<Storage>) {
    let begun = SystemClock.now();
    while call(storage, "sweep", "", "", "").await.unwrap()["compacted"] != json!(1) {
        assert!(SystemClock.now() < begun.plus_ms(20_000), "nothing was made small");
        tokio::task::yield_now().await;
    }
}

/// Does something before the first write of what is made small, and remembers the write that archives.
struct Meanwhile {
    inner: Arc<dyn Backend>,
    archiving: Mutex<Option<Txn>>,
    first: Mutex<Option<Run<()>>>,
}

impl Meanwhile {
    fn new(inner: Arc<dyn Backend>, first: Option<Run<()>>) -> Arc<Self> {
        Arc::new(Self { inner, archiving: Mutex::default(), first: Mutex::new(first) })
    }
}

impl Backend for Meanwhile {
    fn run(&self, txn: Txn) -> Run<Result<Outcome>> {
        let is = |found: fn(&Effect) -> bool| txn.effects.iter().any(found);
        if is(|effect| matches!(effect, Effect::Move { .. })) {
            *self.archiving.lock().unwrap() = Some(txn.clone());
        }
        let presses = is(
            |effect| matches!(effect, Effect::Put { key, text, .. } if key.space == Space("a") && text.starts_with('z')),
        );
        let first = if presses { self.first.lock().unwrap().take() } else { None };
        let inner = Arc::clone(&self.inner);
        Run::later(async move {
            if let Some(first) = first {
                first.await;
            }
            inner.run(txn).await
        })
    }

    fn wait(&self, wait: Wait) -> Run<Result<bool>> {
        self.inner.wait(wait)
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        self.inner.subscribe(topic)
    }

    fn info(&self) -> Info {
        Info { immediate: false, ..self.inner.info() }
    }
}

#[tokio::test]
async fn what_was_made_small_reads_as_before_and_is_written_once() {
    for (name, backend) in support::backends().await {
        let watched = Meanwhile::new(backend, None);
        let storage = support::storage(Arc::clone(&watched) as _, "{}");
        let failed = Failed::plant(&storage).await;
        let before = failed.read(&storage).await;
        assert!(before[0]["archivedAt"].is_string(), "{name}: {}", before[0]);
        until_small(&storage).await;
        assert_eq!(failed.read(&storage).await, before, "{name}");
        // The write that ended the chain is run again, as if its answer had been lost.
        let query = json!({ "sessionId": failed.session, "limit": 1000 }).to_string();
        let events = call(&storage, "events", "", &query, "").await.unwrap();
        let again = watched.archiving.lock().unwrap().clone().unwrap();
        let again = watched.inner.run(Txn { repeated: true, ..again }).await.unwrap();
        assert!(matches!(again, Outcome::Committed(_)), "{name}");
        assert_eq!(call(&storage, "events", "", &query, "").await.unwrap(), events, "{name}");
        assert_eq!(failed.read(&storage).await, before, "{name}");
        // What is small already is not read for nothing again.
        assert_eq!(call(&storage, "sweep", "", "", "").await.unwrap()["compacted"], json!(0), "{name}");
    }
}

#[tokio::test]
async fn a_chain_that_is_revived_meanwhile_is_left_alone() {
    for (name, backend) in support::backends().await {
        let own = support::storage(Arc::clone(&backend), "{}");
        let failed = Arc::new(Mutex::new(None::<Failed>));
        let revive = {
            let (own, failed) = (Arc::clone(&own), Arc::clone(&failed));
            Run::later(async move {
                let step = failed.lock().unwrap().as_ref().unwrap().steps[1].clone();
                call(&own, "updateStep", &step, r#"{"status":"in_progress"}"#, "").await.unwrap();
            })
        };
        let sweeping = support::storage(Meanwhile::new(backend, Some(revive)), "{}");
        *failed.lock().unwrap() = Some(Failed::plant(&sweeping).await);
        let failed_chain = failed.lock().unwrap().as_ref().unwrap().chain.clone();
        let begun = SystemClock.now();
        loop {
            assert_eq!(call(&sweeping, "sweep", "", "", "").await.unwrap()["compacted"], json!(0), "{name}");
            let chain = call(&own, "getChain", &failed_chain, "", "").await.unwrap();
            if chain["status"] == json!("in_progress") {
                assert_eq!(chain["archivedAt"], Value::Null, "{name}");
                break;
            }
            assert!(SystemClock.now() < begun.plus_ms(20_000), "{name}: it was never looked at");
            tokio::task::yield_now().await;
        }
        let failed = failed.lock().unwrap().take().unwrap();
        call(&own, "updateStep", &failed.steps[1], r#"{"status":"completed"}"#, "").await.unwrap();
        until_small(&own).await;
        let steps = call(&own, "listSteps", &failed.chain, "", "").await.unwrap();
        assert_eq!(
            (&steps[0]["status"], &steps[1]["status"]),
            (&json!("skipped"), &json!("completed")),
            "{name}"
        );
    }
}

#[tokio::test]
async fn what_its_process_forgot_is_made_small_at_the_end_of_its_session() {
    for (name, backend) in support::backends().await {
        let options = r#"{"sessionTtlSeconds":0.2}"#;
        let failed = Failed::plant(&support::storage(Arc::clone(&backend), options)).await;
        // Another process, which knows of nothing.
        let storage = support::storage(Arc::clone(&backend), options);
        let before = failed.read(&storage).await;
        until_small(&storage).await;
        assert_eq!(
            call(&storage, "getSession", &failed.session, "", "").await.unwrap(),
            Value::Null,
            "{name}"
        );
        assert_eq!(failed.read(&storage).await, before, "{name}");
    }
}

#[tokio::test]
async fn damaged_steps_of_an_archive_are_told_from_absent_ones() {
    for (name, backend) in support::backends().await {
        let storage = support::storage(Arc::clone(&backend), "{}");
        let failed = Failed::plant(&storage).await;
        until_small(&storage).await;
        let tree = Tree::parse(&failed.session[4..]).unwrap();
        let mut txn = Txn::new(tree.partition(), SystemClock.now().plus_ms(20_000));
        let key = Key::new(Space("a"), tree.as_str());
        txn.effects.push(Effect::Put { key, field: "p00001".into(), text: "z999 torn".into() });
        backend.run(txn).await.unwrap();
        for (operation, id) in [("getStep", &failed.steps[0]), ("listSteps", &failed.chain)] {
            let error = call(&storage, operation, id, "", "").await.unwrap_err();
            assert_eq!(error.code, Code::Corrupt, "{name} {operation}: {}", error.message);
        }
        assert_eq!(
            call(&storage, "getChain", &failed.chain, "", "").await.unwrap()["status"],
            json!("failed"),
            "{name}"
        );
    }
}
