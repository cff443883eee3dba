//! Records as the first version of this library wrote them are read by every later one; later ones are refused.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

mod support;

use flowkeep_core::backend::Backend;
use flowkeep_core::clock::{Clock, SystemClock};
use flowkeep_core::error::Code;
use flowkeep_core::id::Tree;
use flowkeep_core::key::{Key, Space};
use flowkeep_core::stores::SCHEMA_VERSION;
use flowkeep_core::txn::{Effect, Outcome, Txn, Until};
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
