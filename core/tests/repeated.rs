//! Every write whose answer is lost is run again, and has one effect: on every backend.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

mod support;

use std::sync::Arc;

use flowkeep_core::backend::{Backend, Info, Wait};
use flowkeep_core::error::Result;
use flowkeep_core::run::Run;
use flowkeep_core::topic::{Subscription, Topic};
use flowkeep_core::txn::{Outcome, Txn};
use serde_json::{Value, json};
use support::call;

/// Runs every write, loses its answer, and runs it again as a repeat: twice.
struct Forgetful(Arc<dyn Backend>);

impl Backend for Forgetful {
    fn run(&self, txn: Txn) -> Run<Result<Outcome>> {
        let inner = Arc::clone(&self.0);
        Run::later(async move {
            if txn.is_read() {
                return inner.run(txn).await;
            }
            let lost = inner.run(txn.clone()).await;
            if matches!(lost, Ok(Outcome::Refused(..))) {
                return lost;
            }
            let again = Txn { repeated: true, ..txn };
            let first = inner.run(again.clone()).await;
            let second = inner.run(again).await;
            assert_eq!(
                first.as_ref().unwrap(),
                second.as_ref().unwrap(),
                "a repeat answers as the one before"
            );
            second
        })
    }

    fn wait(&self, wait: Wait) -> Run<Result<bool>> {
        self.0.wait(wait)
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        self.0.subscribe(topic)
    }

    fn info(&self) -> Info {
        self.0.info()
    }
}

fn id(record: &Value, name: &str) -> String {
    record[name].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_has_one_effect() {
    for (name, backend) in support::backends().await {
        let storage = support::storage(Arc::new(Forgetful(backend)), "{}");
        let run = |operation: &'static str, of: String, data: &'static str| {
            let storage = &storage;
            async move { call(storage, operation, &of, data, "").await.unwrap() }
        };
        let session = id(&run("createSession", "u".into(), r#"{"title":"t"}"#).await, "sessionId");
        let chain = id(&run("createChain", session.clone(), r#"{"title":"c"}"#).await, "chainId");
        let step = id(&run("createStep", chain.clone(), r#"{"action":"a"}"#).await, "stepId");
        let other = id(&run("createStep", chain.clone(), r#"{"action":"b"}"#).await, "stepId");
        run("updateStep", step.clone(), r#"{"status":"in_progress"}"#).await;
        let done = run("updateStep", step.clone(), r#"{"status":"completed","result":{"n":1}}"#).await;
        assert_eq!(done["version"], json!(3), "{name}");
        run("deleteStep", other, "").await;
        let custom = run("appendEvent", session.clone(), r#"{"type":"custom:x","data":{"n":1}}"#).await;
        let touched = run("touchSession", session.clone(), "").await;
        let updated = run("updateSession", session.clone(), r#"{"tags":["a"]}"#).await;
        assert_eq!((&touched["version"], &updated["version"]), (&json!(1), &json!(2)), "{name}");
        let read = run("getChain", chain.clone(), "").await;
        assert_eq!(
            (&read["stepOrder"], &read["stepCounts"]["total"], &read["status"]),
            (&json!([step]), &json!(1), &json!("completed")),
            "{name}"
        );
        let query = format!(r#"{{"sessionId":"{session}","limit":1000}}"#);
        let events = call(&storage, "events", "", &query, "").await.unwrap();
        let types: Vec<_> =
            events["items"].as_array().unwrap().iter().map(|event| id(event, "type")).collect();
        let expected = [
            "session:created",
            "chain:created",
            "step:created",
            "chain:updated",
            "step:created",
            "chain:updated",
            "step:started",
            "chain:started",
            "step:completed",
            "chain:updated",
            "step:deleted",
            "chain:completed",
            "chain:archived",
            "custom:x",
            "session:updated",
        ];
        assert_eq!(types, expected, "{name}");
        assert!(
            events["items"].as_array().unwrap().contains(&custom),
            "{name}: its id is the one in the log"
        );
        let feed = call(&storage, "events", "", r#"{"userId":"u","limit":1000}"#, "").await.unwrap();
        assert_eq!(feed["items"], events["items"], "{name}");
        let sessions = run("listSessions", "u".into(), "").await;
        assert_eq!(sessions.as_array().unwrap().len(), 1, "{name}");
    }
}
