//! One suite over every backend.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

mod support;

use std::sync::Arc;

use flowkeep_core::clock::{Clock, SystemClock, Timestamp};
use flowkeep_core::error::Code;
use flowkeep_core::key::{Key, Partition, Space};
use flowkeep_core::storage::Storage;
use flowkeep_core::txn::{Effect, Feed, Few, Fields, Outcome, Query, Reply, Txn, Until};
use serde_json::{Value, json};
use support::call;

async fn storages() -> Vec<(&'static str, Arc<Storage>)> {
    let backends = support::backends().await;
    backends.into_iter().map(|(name, backend)| (name, support::storage(backend, "{}"))).collect()
}

fn id(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("{name} in {value}")).to_owned()
}

async fn chain_with_steps(storage: &Arc<Storage>, count: usize) -> (String, String, Vec<String>) {
    let session = id(&call(storage, "createSession", "u", "{}", "").await.unwrap(), "sessionId");
    let chain = id(&call(storage, "createChain", &session, r#"{"title":"c"}"#, "").await.unwrap(), "chainId");
    let mut steps = Vec::new();
    for _ in 0..count {
        steps
            .push(id(&call(storage, "createStep", &chain, r#"{"action":"a"}"#, "").await.unwrap(), "stepId"));
    }
    (session, chain, steps)
}

#[tokio::test]
async fn records_read_back_as_they_were_made() {
    for (name, storage) in storages().await {
        let made = call(
            &storage,
            "createSession",
            "u",
            r#"{"title":"t","tags":["a"],"metadata":{"n":[1.50,{}]}}"#,
            "",
        )
        .await
        .unwrap();
        assert_eq!(made["metadata"], json!({"n": [1.5, {}]}), "{name}");
        let read = call(&storage, "getSession", &id(&made, "sessionId"), "", "").await.unwrap();
        assert_eq!(read, made, "{name}");
        let listed = call(&storage, "listSessions", "u", "", "").await.unwrap();
        assert_eq!(listed, json!([made]), "{name}");
        let (_, chain, steps) = chain_with_steps(&storage, 3).await;
        let read = call(&storage, "getChain", &chain, "", "").await.unwrap();
        assert_eq!(read["stepOrder"], json!(steps), "{name}");
        let listed = call(&storage, "listSteps", &chain, "", r#"{"order":"desc","limit":2}"#).await.unwrap();
        let numbers: Vec<_> =
            listed.as_array().unwrap().iter().map(|step| step["stepNumber"].clone()).collect();
        assert_eq!(numbers, [json!(3), json!(2)], "{name}");
    }
}

#[tokio::test]
async fn a_chain_follows_its_steps() {
    for (name, storage) in storages().await {
        let (session, chain, steps) = chain_with_steps(&storage, 2).await;
        let step = |step: usize, update: &'static str| call(&storage, "updateStep", &steps[step], update, "");
        step(0, r#"{"status":"in_progress"}"#).await.unwrap();
        step(0, r#"{"status":"failed","error":"no"}"#).await.unwrap();
        let retried = step(0, r#"{"status":"in_progress"}"#).await.unwrap();
        assert_eq!((&retried["attempt"], &retried["error"]), (&json!(2), &Value::Null), "{name}");
        step(0, r#"{"status":"completed","result":{"x":1}}"#).await.unwrap();
        step(1, r#"{"status":"skipped"}"#).await.unwrap();
        let done = call(&storage, "getChain", &chain, "", "").await.unwrap();
        assert_eq!(done["status"], json!("completed"), "{name}");
        assert_eq!(
            done["stepCounts"],
            json!({"total":2,"pending":0,"inProgress":0,"completed":1,"failed":0,"skipped":1})
        );
        let error = call(&storage, "createStep", &chain, r#"{"action":"late"}"#, "").await.unwrap_err();
        assert_eq!(error.code, Code::Archived, "{name}");
        let query = format!(r#"{{"sessionId":"{session}"}}"#);
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
            "step:failed",
            "chain:updated",
            "step:retried",
            "chain:updated",
            "step:completed",
            "chain:updated",
            "step:skipped",
            "chain:completed",
            "chain:archived",
        ];
        assert_eq!(types, expected, "{name}");
        let of_user = call(&storage, "events", "", r#"{"userId":"u","limit":1000}"#, "").await.unwrap();
        assert_eq!(of_user["items"], events["items"], "{name}");
    }
}

#[tokio::test]
async fn sixty_four_steps_that_finish_at_once_are_all_counted() {
    for (name, storage) in storages().await {
        let (session, chain, steps) = chain_with_steps(&storage, 64).await;
        let starts =
            steps.iter().map(|step| call(&storage, "updateStep", step, r#"{"status":"in_progress"}"#, ""));
        for started in join_all(starts).await {
            started.unwrap();
        }
        let ends =
            steps.iter().map(|step| call(&storage, "updateStep", step, r#"{"status":"completed"}"#, ""));
        for ended in join_all(ends).await {
            ended.unwrap();
        }
        let done = call(&storage, "getChain", &chain, "", "").await.unwrap();
        assert_eq!(
            (&done["status"], &done["stepCounts"]["completed"]),
            (&json!("completed"), &json!(64)),
            "{name}"
        );
        let query = format!(r#"{{"sessionId":"{session}","types":["chain:completed"]}}"#);
        let events = call(&storage, "events", "", &query, "").await.unwrap();
        assert_eq!(events["items"].as_array().unwrap().len(), 1, "{name}");
    }
}

/// Polls all futures together, so that their calls are under way at the same time.
async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, output) in pending.iter_mut().filter(|(_, output)| output.is_none()) {
            if let std::task::Poll::Ready(value) = future.as_mut().poll(cx) {
                *output = Some(value);
            }
        }
        if pending.iter().all(|(_, output)| output.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    pending.into_iter().filter_map(|(_, output)| output).collect()
}

#[tokio::test]
async fn deleting_leaves_nothing_but_the_event() {
    for (name, storage) in storages().await {
        let (session, chain, steps) = chain_with_steps(&storage, 2).await;
        call(&storage, "deleteStep", &steps[0], "", "").await.unwrap();
        let left = call(&storage, "getChain", &chain, "", "").await.unwrap();
        assert_eq!(
            (&left["stepOrder"], &left["stepCounts"]["total"]),
            (&json!([steps[1]]), &json!(1)),
            "{name}"
        );
        call(&storage, "deleteChain", &chain, "", "").await.unwrap();
        assert_eq!(call(&storage, "getStep", &steps[1], "", "").await.unwrap(), Value::Null, "{name}");
        call(&storage, "deleteSession", &session, "", "").await.unwrap();
        call(&storage, "deleteSession", &session, "", "").await.unwrap();
        assert_eq!(call(&storage, "listSessions", "u", "", "").await.unwrap(), json!([]), "{name}");
        let feed =
            call(&storage, "events", "", r#"{"userId":"u","types":["session:deleted"]}"#, "").await.unwrap();
        assert_eq!(feed["items"].as_array().unwrap().len(), 1, "{name}");
        for (operation, data) in [
            ("createChain", r#"{"title":"x"}"#),
            ("appendEvent", r#"{"type":"custom:x"}"#),
            ("touchSession", ""),
        ] {
            let error = call(&storage, operation, &session, data, "").await.unwrap_err();
            assert_eq!(error.code, Code::NotFound, "{name} {operation}");
        }
    }
}

#[tokio::test]
async fn an_idempotency_key_makes_one_record() {
    for (name, storage) in storages().await {
        let key = r#"{"idempotencyKey":"k"}"#;
        let create = |operation: &'static str, parent: String, data: &'static str| {
            let storage = &storage;
            async move { call(storage, operation, &parent, data, key).await.unwrap() }
        };
        let session = create("createSession", "idem".into(), "{}").await;
        assert_eq!(create("createSession", "idem".into(), r#"{"title":"other"}"#).await, session, "{name}");
        let session = id(&session, "sessionId");
        let chain = create("createChain", session.clone(), r#"{"title":"a"}"#).await;
        assert_eq!(create("createChain", session.clone(), r#"{"title":"b"}"#).await, chain, "{name}");
        let chain = id(&chain, "chainId");
        let step = create("createStep", chain.clone(), r#"{"action":"a"}"#).await;
        assert_eq!(
            id(&create("createStep", chain.clone(), r#"{"action":"b"}"#).await, "stepId"),
            id(&step, "stepId"),
            "{name}"
        );
        for (operation, deleted) in
            [("deleteStep", id(&step, "stepId")), ("deleteChain", chain), ("deleteSession", session)]
        {
            call(&storage, operation, &deleted, "", "").await.unwrap();
        }
        let again = create("createSession", "idem".into(), r#"{"title":"again"}"#).await;
        assert_eq!(again["title"], json!("again"), "{name}");
    }
}

#[tokio::test]
async fn a_long_log_is_trimmed_with_a_marker() {
    for (name, storage) in storages().await {
        let session = id(&call(&storage, "createSession", "log", "{}", "").await.unwrap(), "sessionId");
        for _ in 0..10_010 {
            call(&storage, "appendEvent", &session, r#"{"type":"custom:x"}"#, "").await.unwrap();
        }
        let query = format!(r#"{{"sessionId":"{session}","limit":3}}"#);
        let page = call(&storage, "events", "", &query, "").await.unwrap();
        assert_eq!(id(&page["items"][0], "type"), "log:trimmed", "{name}");
        assert_eq!(page["items"][0]["data"]["count"], json!(11), "{name}");
        let (mut cursor, mut count) = (id(&page, "cursor"), 2);
        loop {
            let query = format!(r#"{{"sessionId":"{session}","limit":1000,"cursor":"{cursor}"}}"#);
            let page = call(&storage, "events", "", &query, "").await.unwrap();
            let items = page["items"].as_array().unwrap().len();
            if items == 0 {
                break;
            }
            (cursor, count) = (id(&page, "cursor"), count + items);
        }
        assert_eq!(count, 10_000, "{name}");
    }
}

#[tokio::test]
async fn a_session_whose_deadline_passed_on_its_way_is_gone() {
    for (name, backend) in support::backends().await {
        let now = SystemClock.now();
        let key = || Key::new(Space("t"), "late");
        let mut txn = Txn::new(Partition::of("late"), now.plus_ms(60_000));
        // The process stood still between planning this and running it.
        txn.effects.push(Effect::Open { key: key(), until: Until::At(Timestamp(now.0 - 5)) });
        txn.effects.push(Effect::Put { key: key(), field: "s".into(), text: "one".into() });
        let feed =
            Feed { key: Key::new(Space("f"), "late"), keep: 9, until: now.plus_ms(60_000), also: None };
        txn.effects.push(Effect::Append { key: key(), text: "event".into(), keep: 9, feed });
        backend.run(txn).await.unwrap();
        let record = || Query::record(key(), ["s".into()]);
        let look = || Txn::read(Partition::of("late"), now.plus_ms(60_000), [record()]);
        let gone = Few::from([Reply::Record(Fields { until: Until::Never, texts: [None].into() })]);
        while backend.run(look()).await.unwrap() != Outcome::Committed(gone.clone()) {
            assert!(SystemClock.now() < now.plus_ms(20_000), "{name}: it stays for ever");
            tokio::task::yield_now().await;
        }
    }
}
