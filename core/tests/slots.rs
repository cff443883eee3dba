//! Every transaction that the stores make has one partition, and all its keys share one slot.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

mod support;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use flowkeep_core::backend::{Backend, Info, Wait};
use flowkeep_core::breaker::{
    Begun, BreakerId, BreakerStore, Breakers, Command as Order, Event, KernelStore, Note, Policy, Scope,
    Settings,
};
use flowkeep_core::clock::{Clock, SystemClock, Timestamp};
use flowkeep_core::command::{Command, Line};
use flowkeep_core::error::Result;
use flowkeep_core::id::RandomIds;
use flowkeep_core::key::{Key, Space};
use flowkeep_core::redis::{Call, Hints, Link, Redis, Replies};
use flowkeep_core::run::Run;
use flowkeep_core::topic::{Subscription, Topic};
use flowkeep_core::txn::{Check, Effect, Outcome, Txn};

/// Redis' hash slot: CRC-16/XMODEM of the tag, or of the whole key without one, modulo 16,384
/// (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>).
fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let inside = &key[open + 1..];
        inside.iter().position(|byte| *byte == b'}').map(|close| &inside[..close])
    });
    let crc = tag.filter(|tag| !tag.is_empty()).unwrap_or(key).iter().fold(0u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    });
    crc % 16_384
}

/// A link that only shows what would be sent.
struct Nowhere;

impl Link for Nowhere {
    fn call(&self, _: Call) -> Replies {
        panic!("nothing is sent")
    }

    fn now(&self) -> Timestamp {
        Timestamp(0)
    }

    fn sleep_until(&self, _: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::ready(()))
    }

    fn listen(&self, _: &Hints) {}

    fn hears(&self) -> bool {
        false
    }

    fn heed(&self, _: &str) {}

    fn is_sharded(&self) -> bool {
        false
    }
}

/// Runs on memory and keeps every transaction that passes.
struct Watched {
    inner: Arc<dyn Backend>,
    seen: Mutex<Vec<Txn>>,
}

impl Backend for Watched {
    fn run(&self, txn: Txn) -> Run<Result<Outcome>> {
        self.seen.lock().unwrap().push(txn.clone());
        self.inner.run(txn)
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

/// The requests' keys: for a command its first operand, for a script those that it declares.
fn keys(bytes: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let parts: Vec<&str> = text.split("\r\n").collect();
    let tagged = |part: &&&str| part.starts_with("flowkeep:") || part.starts_with("{flowkeep:");
    parts.iter().filter(tagged).map(|key| key.as_bytes().to_vec()).collect()
}

#[tokio::test]
async fn every_transaction_has_one_slot() {
    let watched = Arc::new(Watched { inner: support::memory(), seen: Mutex::default() });
    let storage = support::storage(Arc::clone(&watched) as Arc<dyn Backend>, "{}");
    for user in ["u", "a:{b}", "{}", "%7B"] {
        let call = |name: &'static str, id: String, data: &'static str, options: &'static str| {
            let storage = &storage;
            async move { support::call(storage, name, &id, data, options).await.unwrap() }
        };
        let id = |value: &serde_json::Value, name: &str| value[name].as_str().unwrap().to_owned();
        let session = id(&call("createSession", user.into(), r#"{"title":"t"}"#, "").await, "sessionId");
        let keyed = call("createSession", user.into(), "{}", r#"{"idempotencyKey":"k}{"}"#).await;
        call("createSession", user.into(), "{}", r#"{"idempotencyKey":"k}{"}"#).await;
        let chain = id(
            &call("createChain", session.clone(), r#"{"title":"t"}"#, r#"{"idempotencyKey":"k"}"#).await,
            "chainId",
        );
        let step = id(
            &call("createStep", chain.clone(), r#"{"action":"a"}"#, r#"{"idempotencyKey":"k"}"#).await,
            "stepId",
        );
        let other = id(&call("createStep", chain.clone(), r#"{"action":"a"}"#, "").await, "stepId");
        for name in ["getSession", "touchSession", "listChains"] {
            call(name, session.clone(), "", "").await;
        }
        call("updateSession", session.clone(), r#"{"title":"v"}"#, "").await;
        call("updateChain", chain.clone(), r#"{"title":"v"}"#, "").await;
        call("updateStep", step.clone(), r#"{"status":"in_progress"}"#, "").await;
        call("getChain", chain.clone(), "", "").await;
        call("getStep", step.clone(), "", "").await;
        call("listSteps", chain.clone(), "", "").await;
        call("listSessions", user.into(), "", "").await;
        call("appendEvent", session.clone(), r#"{"type":"custom:x"}"#, "").await;
        let of_session = format!(r#"{{"sessionId":"{session}"}}"#);
        let of_user = serde_json::json!({ "userId": user }).to_string();
        for query in [of_session, of_user] {
            support::call(&storage, "events", "", &query, "").await.unwrap();
        }
        for (name, parent) in
            [("querySessions", user), ("queryChains", session.as_str()), ("querySteps", chain.as_str())]
        {
            let query = serde_json::json!({ "parent": parent }).to_string();
            support::call(&storage, name, "", &query, "").await.unwrap();
        }
        call("updateSession", session.clone(), r#"{"state":"paused"}"#, "").await;
        call("sessionCounts", user.into(), "", "").await;
        call("sweep", String::new(), "", r#"{"partitions":2}"#).await;
        call("updateStep", other.clone(), r#"{"status":"in_progress"}"#, r#"{"leaseSeconds":60}"#).await;
        call("heartbeatStep", other.clone(), "", "").await;
        call("deleteStep", other, "", "").await;
        // Archived with the chain, read there, revived, archived again.
        call("updateStep", step.clone(), r#"{"status":"failed"}"#, "").await;
        for (name, id) in
            [("getChain", &chain), ("getStep", &step), ("listSteps", &chain), ("listChains", &session)]
        {
            call(name, id.clone(), "", r#"{"timeoutMs":9000}"#).await;
        }
        call("updateStep", step.clone(), r#"{"status":"in_progress"}"#, "").await;
        call("updateStep", step, r#"{"status":"failed"}"#, "").await;
        call("deleteChain", chain, "", "").await;
        call("deleteSession", session.clone(), "", "").await;
        call("deleteSession", session, "", "").await;
        call("deleteSession", id(&keyed, "sessionId"), "", "").await;
        call("createSession", user.into(), "{}", r#"{"idempotencyKey":"k"}"#).await;
        call("eraseUser", user.into(), "", "").await;
    }

    let redis = Redis::new(Arc::new(Nowhere), "flowkeep:").unwrap();
    let seen = watched.seen.lock().unwrap();
    assert!(seen.len() > 80, "{}", seen.len());
    for txn in seen.iter() {
        let keys = keys(&redis.requests(txn).unwrap().bytes);
        let slots: BTreeSet<u16> = keys.iter().map(|key| slot(key)).collect();
        let tag = format!("{{{}}}", txn.partition.number());
        assert_eq!(slots, BTreeSet::from([slot(tag.as_bytes())]), "{txn:?}: {keys:?}");
    }
}

/// Plain keys and what stands beside them, whatever they are called.
#[test]
fn a_plain_key_and_its_companions_share_a_slot() {
    let redis = Redis::new(Arc::new(Nowhere), "flowkeep:").unwrap();
    let names = [
        "a",
        "a:b",
        "{",
        "}",
        "{}",
        "{a}",
        "a{b}c",
        "}{",
        "{{a}}",
        "%7B",
        "a%",
        "ü{\u{1F600}}",
        "{flowkeep:queue:a}:leases",
    ];
    let mut spelled = BTreeSet::new();
    for name in names {
        let key = Key::new(Space("queue:"), name);
        let mut txn = Txn::new(key.alone(), Timestamp(1));
        let beside = key.beside(Space("queue:more"));
        assert_eq!(beside.alone(), key.alone());
        txn.checks.push(Check::Holds { key: beside, text: Arc::from(&b"x"[..]) });
        txn.effects.push(Effect::Do { key: key.clone(), command: Command::Line(Line::Count) });
        let found = keys(&redis.requests(&txn).unwrap().bytes);
        assert_eq!(found.len(), 7, "{found:?}");
        let plain = found.iter().find(|key| key.starts_with(b"flowkeep:")).unwrap();
        assert!(!plain.contains(&b'{') && !plain.contains(&b'}'), "its whole text is hashed: {name}");
        let slots: BTreeSet<u16> = found.iter().map(|key| slot(key)).collect();
        assert_eq!(slots, BTreeSet::from([slot(plain)]), "{name}: {found:?}");
        spelled.extend(found);
    }
    assert_eq!(spelled.len(), names.len() * 7, "no two names meet");
}

#[tokio::test]
async fn every_transaction_of_a_collection_has_one_slot() {
    let watched = Arc::new(Watched { inner: support::memory(), seen: Mutex::default() });
    let storage = support::storage(Arc::clone(&watched) as Arc<dyn Backend>, "{}");
    for name in ["routes", "a:{b}", "{}"] {
        let definition = serde_json::json!({
            "name": name, "id": "id", "unique": [["path"]], "lookup": ["hash"], "orderBy": "n", "sets": ["kind"],
        });
        let call = async |operation: &str, more: serde_json::Value| {
            let mut args = serde_json::json!({ "definition": definition });
            args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            support::call(&storage, operation, "", &args.to_string(), "").await
        };
        let record = |id: &str| serde_json::json!({ "record": { "id": id, "path": id, "hash": "{h}", "n": 1, "kind": "}{" } });
        call("collection.create", record("a")).await.unwrap();
        // Refused: its key is held.
        call("collection.create", record("b")).await.unwrap_err();
        let update = serde_json::json!({ "id": "a", "record": { "hash": "{i}" } });
        call("collection.update", update).await.unwrap();
        call("collection.put", record("a")).await.unwrap();
        for (operation, by, value) in [("collection.getBy", "hash", "{h}"), ("collection.in", "kind", "}{")] {
            call(operation, serde_json::json!({ "by": by, "value": value })).await.unwrap();
        }
        for operation in ["collection.list", "collection.count", "collection.verify", "collection.repair"] {
            call(operation, serde_json::json!({})).await.unwrap();
        }
        call("collection.delete", serde_json::json!({ "id": "a" })).await.unwrap();
    }
    let redis = Redis::new(Arc::new(Nowhere), "flowkeep:").unwrap();
    let seen = watched.seen.lock().unwrap();
    assert!(seen.len() > 40, "{}", seen.len());
    for txn in seen.iter() {
        let keys = keys(&redis.requests(txn).unwrap().bytes);
        let slots: BTreeSet<u16> = keys.iter().map(|key| slot(key)).collect();
        let tag = format!("{{{}}}", txn.partition.number());
        assert_eq!(slots, BTreeSet::from([slot(tag.as_bytes())]), "{txn:?}: {keys:?}");
    }
}

/// Calls on plain values: each transaction has one slot, of its own or of its partition.
#[tokio::test]
async fn every_transaction_on_plain_values_has_one_slot() {
    let watched = Arc::new(Watched { inner: support::memory(), seen: Mutex::default() });
    let storage = support::storage(Arc::clone(&watched) as Arc<dyn Backend>, "{}");
    for name in ["a", "a:{b}", "{}", "}{", "%7B", "/"] {
        let text = serde_json::json!(name).to_string();
        let place = serde_json::json!({ "service": name, "table": name }).to_string();
        let one = serde_json::json!({ "service": name, "table": name, "key": name }).to_string();
        let service = serde_json::json!({ "service": name }).to_string();
        let request = r#"{"request":{"method":"GET","url":"/"}}"#;
        for (call, about, data, options) in [
            ("queue.push", &text, "1", r#"{"maxLength":5}"#),
            ("queue.push", &text, "2", ""),
            ("queue.take", &text, "", r#"{"timeoutSeconds":0}"#),
            ("queue.ack", &text, r#""lease""#, ""),
            ("queue.nack", &text, r#""lease""#, ""),
            ("queue.extend", &text, r#""lease""#, ""),
            ("queue.length", &text, "", ""),
            ("queue.deadLetters", &text, "", ""),
            ("queue.requeue", &text, "", ""),
            ("queue.close", &text, "true", ""),
            ("cache.set", &text, "1", r#"{"ttlSeconds":9}"#),
            ("cache.get", &text, "", ""),
            ("cache.exists", &text, "", ""),
            ("cache.delete", &text, "", ""),
            ("cache.getOrSet", &text, "", ""),
            ("cache.land", &text, "1", r#"{"token":"t","staleSeconds":9,"ttlSeconds":9}"#),
            ("cache.giveUp", &text, r#""t""#, ""),
            ("table.set", &one, "1", r#"{"ttlSeconds":0.001}"#),
            ("table.set", &one, "1", ""),
            ("table.get", &one, "", ""),
            ("table.delete", &one, "", ""),
            ("table.data", &place, "", ""),
            ("table.clear", &place, "", ""),
            ("history.record", &service, request, ""),
            ("history.data", &service, "", ""),
            ("history.length", &service, "", ""),
            ("history.clear", &service, "", ""),
        ] {
            support::call_about(&storage, call, about, data, options).await.unwrap();
        }
    }
    let redis = Redis::new(Arc::new(Nowhere), "flowkeep:").unwrap();
    let seen = watched.seen.lock().unwrap();
    assert!(seen.len() > 160, "{}", seen.len());
    for txn in seen.iter() {
        let keys = keys(&redis.requests(txn).unwrap().bytes);
        let slots: BTreeSet<u16> = keys.iter().map(|key| slot(key)).collect();
        assert_eq!(slots.len(), 1, "{txn:?}: {keys:?}");
    }
}

/// A breaker's record has its own partition; the index of their names another one.
#[tokio::test]
async fn every_transaction_of_a_breaker_has_one_slot() {
    let watched = Arc::new(Watched { inner: support::memory(), seen: Mutex::default() });
    let store: Arc<dyn BreakerStore> = Arc::new(KernelStore::new(Arc::clone(&watched) as Arc<dyn Backend>));
    let breakers = Breakers::new(Some(store), Arc::new(SystemClock), Arc::new(RandomIds::default()));
    let deadline = SystemClock.now().plus_ms(20_000);
    for name in ["a", "a:{b}", "{}", "}{", "a/b~"] {
        let own = |text: &str| Some(text.to_owned());
        let id = BreakerId { name: name.to_owned(), context: own("{c}"), boundary: own("}") };
        let settings = Settings { policy: Policy::default(), scope: Scope::Shared };
        let breaker = breakers.get(id, None, || settings);
        for command in [Order::Isolate { for_ms: None }, Order::Reset, Order::Open { for_ms: Some(0) }] {
            breaker.command(Event::Command(command), Note::default(), deadline).await;
        }
        let Begun::Admitted(probe) = breaker.acquire(deadline).await else { panic!("{name}: no probe") };
        breaker.end(probe, true, 1.0);
        breaker.sync(deadline).await.unwrap();
        assert_eq!(breaker.history(10, deadline).await.len(), 5, "{name}");
    }
    assert_eq!(breakers.ids(deadline).await.unwrap().len(), 5);
    let redis = Redis::new(Arc::new(Nowhere), "flowkeep:").unwrap();
    let seen = watched.seen.lock().unwrap();
    assert!(seen.len() > 40, "{}", seen.len());
    for txn in seen.iter() {
        let keys = keys(&redis.requests(txn).unwrap().bytes);
        let slots: BTreeSet<u16> = keys.iter().map(|key| slot(key)).collect();
        let tag = format!("{{{}}}", txn.partition.number());
        assert_eq!(slots, BTreeSet::from([slot(tag.as_bytes())]), "{txn:?}: {keys:?}");
    }
}
