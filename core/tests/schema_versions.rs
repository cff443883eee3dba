//! Records as the first version of this library wrote them are read by every later one; later ones are refused.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

mod support;

use std::sync::Arc;

use flowkeep_core::backend::Backend;
use flowkeep_core::clock::{Clock, SystemClock};
use flowkeep_core::error::Code;
use flowkeep_core::id::Tree;
use flowkeep_core::key::{Key, Space};
use flowkeep_core::schema::Input;
use flowkeep_core::storage::Settings;
use flowkeep_core::stores::SCHEMA_VERSION;
use flowkeep_core::txn::{Effect, Outcome, Query, Reply, Txn, Until};
use serde_json::Value;

/// Never written again: what the first version stored, and what it answered. `fields` are those of one tree.
const FIRST: &str = include_str!("fixtures/schema-1.json");

/// Puts a tree's fields down as they are.
async fn put(backend: &dyn Backend, tree: Tree, fields: &[(String, String)]) {
    let now = SystemClock.now();
    let mut txn = Txn::new(tree.partition(), now.plus_ms(60_000));
    let key = || Key::new(Space("t"), tree.as_str());
    txn.effects.push(Effect::Open { key: key(), until: Until::Never });
    for (field, text) in fields {
        let (field, text) = (field.as_str().into(), text.as_str().into());
        txn.effects.push(Effect::Put { key: key(), field, text });
    }
    assert!(matches!(backend.run(txn).await.unwrap(), Outcome::Committed(_)));
}

fn fixture() -> (Value, Tree, Vec<(String, String)>) {
    let first: Value = serde_json::from_str(FIRST).unwrap();
    let tree = Tree::parse(first["tree"].as_str().unwrap()).unwrap();
    let fields = first["fields"].as_object().unwrap().iter();
    let fields = fields.map(|(name, text)| (name.clone(), text.as_str().unwrap().to_owned())).collect();
    (first, tree, fields)
}

#[tokio::test]
async fn records_of_the_first_version_are_read_and_written_on() {
    let (first, tree, fields) = fixture();
    for (name, backend) in support::backends().await {
        put(&*backend, tree, &fields).await;
        let storage = support::storage(backend, "{}");
        let answers = first["answers"].as_array().unwrap();
        assert!(answers.len() >= 7, "{name}");
        for answer in answers {
            let (operation, id) = (answer["operation"].as_str().unwrap(), answer["id"].as_str().unwrap());
            let read = support::call(&storage, operation, id, "", "").await.unwrap();
            assert_eq!(read, answer["is"], "{name}: {operation} {id}");
        }
        let session = format!("ses_{tree}");
        let before = support::call(&storage, "getSession", &session, "", "").await.unwrap();
        let after =
            support::call(&storage, "updateSession", &session, r#"{"title":"later"}"#, "").await.unwrap();
        assert_eq!(
            after["version"].as_u64(),
            before["version"].as_u64().map(|version| version + 1),
            "{name}"
        );
        assert_eq!(after["metadata"], before["metadata"], "{name}");
    }
}

/// What stands in a tree's fields.
async fn stored(backend: &dyn Backend, tree: Tree, fields: &[&str]) -> Vec<Option<String>> {
    let query = Query::Record {
        key: Key::new(Space("t"), tree.as_str()),
        fields: fields.iter().map(|field| (*field).into()).collect(),
    };
    let txn = Txn::read(tree.partition(), SystemClock.now().plus_ms(60_000), [query]);
    match backend.run(txn).await.unwrap() {
        Outcome::Committed(replies) => match &replies[0] {
            Reply::Record(fields) => {
                fields.texts.iter().map(|text| text.as_deref().map(str::to_owned)).collect()
            }
            other => panic!("{other:?}"),
        },
        refused => panic!("{refused:?}"),
    }
}

#[tokio::test]
async fn a_rolling_deployment_writes_the_old_form_until_it_is_done() {
    for (name, backend) in support::backends().await {
        let old = support::storage(Arc::clone(&backend), r#"{"writeSchemaVersion":1}"#);
        let new = support::storage(Arc::clone(&backend), "{}");
        let id = |value: &Value, name: &str| value[name].as_str().unwrap().to_owned();
        let session = id(&support::call(&old, "createSession", "u", "{}", "").await.unwrap(), "sessionId");
        let tree = Tree::parse(&session[4..]).unwrap();
        let mut chains = Vec::new();
        for _ in 0..2 {
            let chain = support::call(&old, "createChain", &session, r#"{"title":"t"}"#, "").await.unwrap();
            chains.push(id(&chain, "chainId"));
        }
        let step = support::call(&old, "createStep", &chains[0], r#"{"action":"a"}"#, "").await.unwrap();
        let step = id(&step, "stepId");
        // The old form knows no leases and no archive.
        let start = r#"{"status":"in_progress"}"#;
        let refused =
            support::call(&old, "updateStep", &step, start, r#"{"leaseSeconds":9}"#).await.unwrap_err();
        assert_eq!(refused.code, Code::Unsupported, "{name}");
        support::call(&old, "updateStep", &step, start, "").await.unwrap();
        support::call(&old, "updateStep", &step, r#"{"status":"completed"}"#, "").await.unwrap();
        let done = support::call(&old, "getChain", &chains[0], "", "").await.unwrap();
        assert_eq!((&done["status"], &done["archivedAt"]), (&"completed".into(), &Value::Null), "{name}");
        for text in stored(&*backend, tree, &["s", "c00001", "p0000100001"]).await {
            assert_eq!(text.unwrap().split(' ').nth(1), Some("1"), "{name}");
        }
        // Whoever writes the new form reads it, and writes it on.
        assert_eq!(support::call(&new, "getChain", &chains[0], "", "").await.unwrap(), done, "{name}");
        support::call(&new, "updateSession", &session, r#"{"title":"new"}"#, "").await.unwrap();
        support::call(&new, "updateChain", &chains[1], r#"{"status":"cancelled"}"#, "").await.unwrap();
        let texts = stored(&*backend, tree, &["s", "c00002"]).await;
        assert_eq!(texts[0].as_deref().and_then(|text| text.split(' ').nth(1)), Some("2"), "{name}");
        assert_eq!(texts[1], None, "{name}: archived");
    }
    let settings = Settings::read(Input::json(r#"{"writeSchemaVersion":3}"#), "", "");
    assert_eq!(settings.unwrap_err().code, Code::Config);
}

#[tokio::test]
async fn records_of_a_later_version_are_refused_by_name() {
    let (_, tree, fields) = fixture();
    let later = |text: &str| {
        let mut parts: Vec<String> = text.splitn(3, ' ').map(ToOwned::to_owned).collect();
        parts[1] = (SCHEMA_VERSION + 1).to_string();
        parts.join(" ")
    };
    let is_record = |name: &str| name == "s" || name.starts_with('c') || name.starts_with('p');
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(name, text)| if is_record(&name) { (name, later(&text)) } else { (name, text) })
        .collect();
    for (name, backend) in support::backends().await {
        put(&*backend, tree, &fields).await;
        let storage = support::storage(backend, "{}");
        let session = format!("ses_{tree}");
        for (operation, data) in [("updateSession", r#"{"title":"x"}"#), ("touchSession", "")] {
            let error = support::call(&storage, operation, &session, data, "").await.unwrap_err();
            assert_eq!(error.code, Code::Corrupt, "{name} {operation}");
            assert!(error.message.contains("schema version"), "{name} {operation}: {}", error.message);
        }
    }
}
