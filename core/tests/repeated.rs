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
use flowkeep_core::clock::{Clock, SystemClock};
use flowkeep_core::command::{Command, Line};
use flowkeep_core::error::Result;
use flowkeep_core::id::{Ids, RandomIds};
use flowkeep_core::key::{Key, Space};
use flowkeep_core::run::Run;
use flowkeep_core::streaming::Streaming;
use flowkeep_core::topic::{Subscription, Topic};
use flowkeep_core::txn::{Effect, Fate, Noted, Outcome, Txn};
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
            // As the layer does that repeats.
            let now = SystemClock.now();
            let noted = txn.needs_note().then(|| Noted::new(RandomIds::default().note(), now));
            let txn = Txn { noted, ..txn };
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

/// Each row: an operation, its first argument, its data, and what it answers.
type Row = (&'static str, &'static str, &'static str, Value);

#[tokio::test]
async fn a_write_that_no_log_remembers_has_one_effect_and_its_own_answer() {
    let kv = r#"{"key":"KEY","REST"}"#;
    let of = |rest: &str| kv.replace("\"REST\"", rest);
    for (name, backend) in support::backends().await {
        let storage = support::storage(Arc::new(Forgetful(backend)), "{}");
        let prefix = support::unique_prefix().replace(':', "-");
        let rows: [Row; 22] = [
            ("queue.push", "q", r#"{"n":1}"#, json!([1])),
            ("queue.push", "q", r#"{"n":2}"#, json!([2])),
            ("kv.increment", "i", r#""by":5"#, json!(5)),
            ("kv.increment", "i", r#""by":-2"#, json!(3)),
            ("kv.increment", "i", r#""by":9007199254740991"#, json!(9_007_199_254_740_994_u64)),
            ("kv.increment", "i", r#""by":2"#, json!(9_007_199_254_740_996_u64)),
            ("kv.hincrement", "h", r#""field":"f","by":2"#, json!(2)),
            ("kv.zincrement", "z", r#""value":"tm","by":2.5"#, json!(2.5)),
            ("kv.setIfNotExists", "n", r#""value":"t1""#, json!(true)),
            ("kv.setIfNotExists", "n", r#""value":"t2""#, json!(false)),
            ("kv.compareAndSet", "n", r#""expected":"t1","value":"t3""#, json!(true)),
            ("kv.compareAndSet", "n", r#""expected":"t1","value":"t4""#, json!(false)),
            ("kv.set", "j", r#""value":"t{\"n\":1}""#, Value::Null),
            ("kv.updateJson", "j", r#""updates":{"m":2}"#, json!(true)),
            ("streams.add", "s", r#""fields":["a"],"values":["t1"]"#, Value::Null),
            ("streams.add", "s", r#""fields":["a"],"values":["t2"]"#, Value::Null),
            ("streams.length", "s", "", json!(2)),
            ("kv.get", "i", "", json!("9007199254740996")),
            ("kv.hget", "h", r#""field":"f""#, json!("2")),
            ("kv.zscore", "z", r#""value":"tm""#, json!(2.5)),
            ("kv.get", "j", "", json!(r#"{"n":1,"m":2}"#)),
            ("queue.length", "q", "", json!({ "waiting": 2, "leased": 0, "dead": 0 })),
        ];
        for (operation, key, data, expected) in rows {
            let key = format!("{prefix}{key}");
            let answer = if operation.starts_with("queue") {
                support::call_about(&storage, operation, &json!(key).to_string(), data, "").await
            } else {
                let data = of(data).replace("KEY", &key).replace(",}", "}");
                let data = if operation.starts_with("streams") {
                    data.replace("\"key\"", "\"stream\"")
                } else {
                    data
                };
                call(&storage, operation, "", &data, "").await
            };
            let answer = answer.unwrap();
            assert!(expected.is_null() || answer == expected, "{name}: {operation} {data}: {answer}");
        }
        let record = r#"{"ip":"1.2.3.4","host":"h","method":"GET","path":"/x","status":200,"durationMs":5}"#;
        let logged = call(&storage, "requestLog.record", "", record, "").await.unwrap();
        let hours = call(&storage, "requestLog.hourly", "", "{}", "").await.unwrap();
        let found = call(&storage, "requestLog.search", "", "{}", "").await.unwrap();
        assert_eq!(found["items"], json!([logged]), "{name}");
        let counted: u64 =
            hours.as_array().unwrap().iter().map(|hour| hour["requests"].as_u64().unwrap()).sum();
        assert_eq!(counted, 1, "{name}: {hours}");
    }
}

#[tokio::test]
async fn an_answer_that_is_kept_is_given_to_whoever_comes_by_its_name() {
    let now = SystemClock.now();
    for (name, backend) in support::backends().await {
        let put = |n: usize| {
            let text = Arc::from(n.to_string().as_bytes());
            let key = Key::new(Space("queue:"), "together");
            Effect::Do { key, command: Command::Line(Line::Put { text, most: None }) }
        };
        let add = |n: usize| {
            let fields = vec![(Arc::from(*b"n"), Arc::from(n.to_string().as_bytes()))];
            let add = Streaming::Add { fields, place: Some((1, n as u64 + 1)), keep: None };
            Effect::Try { key: Key::new(Space("stream:"), "together"), command: Command::Stream(add) }
        };
        let makes: [&dyn Fn(usize) -> Effect; 2] = [&put, &add];
        for make in makes {
            let noted = Noted { fate: Fate::Kept, ..Noted::new(RandomIds::default().note(), now) };
            let mut answers = Vec::new();
            for count in [3, 5, 2] {
                let effects: Vec<Effect> = (0..count).map(make).collect();
                let Some(Effect::Do { key, .. } | Effect::Try { key, .. }) = effects.first() else {
                    panic!()
                };
                let txn = Txn::new(key.alone(), now.plus_ms(60_000));
                let txn = Txn { effects, noted: Some(noted), repeated: true, ..txn };
                let Outcome::Committed(replies) = backend.run(txn).await.unwrap() else { panic!() };
                answers.push(replies);
            }
            assert_eq!(answers[0].len(), 3, "{name}");
            assert!(answers.iter().all(|answer| *answer == answers[0]), "{name}: {answers:?}");
        }
    }
}
