//! Every transaction that the stores make has one partition, and all its keys share one slot.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use flowkeep_core::backend::{Backend, Info};
use flowkeep_core::error::Result;
use flowkeep_core::redis::{Call, Link, Redis, Replies};
use flowkeep_core::run::Run;
use flowkeep_core::txn::{Outcome, Txn};

/// Redis' hash slot: CRC-16/XMODEM of the tag, modulo 16,384
/// (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>).
fn slot(key: &[u8]) -> u16 {
    let open = key.iter().position(|byte| *byte == b'{').unwrap();
    let close = open + key[open..].iter().position(|byte| *byte == b'}').unwrap();
    let crc = key[open + 1..close].iter().fold(0u16, |crc, byte| {
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

    fn info(&self) -> Info {
        self.inner.info()
    }
}

/// The requests' keys: for a command its first operand, for a script those that it declares.
fn keys(bytes: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let parts: Vec<&str> = text.split("\r\n").collect();
    let tagged = |part: &&&str| part.starts_with("flowkeep:");
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
        call("deleteStep", other, "", "").await;
        call("deleteChain", chain, "", "").await;
        call("deleteSession", session, "", "").await;
        call("deleteSession", id(&keyed, "sessionId"), "", "").await;
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
