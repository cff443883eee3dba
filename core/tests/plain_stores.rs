//! Random programs of calls on queues, the cache, tables and histories are answered alike on memory and on Redis.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

mod support;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use fastrand::Rng;
use flowkeep_core::error::Error;
use flowkeep_core::storage::Storage;
use serde_json::{Value, json};

const CALLS: usize = 40;

/// A call as text: its name, what it is about, its data, its options.
struct Planned {
    name: &'static str,
    about: Value,
    data: Option<Value>,
    options: Value,
}

/// One storage's names for what a program names by number: leases, tokens, ids.
#[derive(Default)]
struct Names {
    leases: Vec<(String, String)>,
    tokens: Vec<(String, String)>,
    entries: Vec<(String, String)>,
}

struct Programs {
    rng: Rng,
}

impl Programs {
    fn of(&mut self, texts: &[&'static str]) -> &'static str {
        texts[self.rng.usize(0..texts.len())]
    }

    fn value(&mut self) -> Value {
        let values = [
            json!(null),
            json!(1),
            json!("x"),
            json!({ "a": [] }),
            json!([{}, "é", "\u{1F600}"]),
            json!(9_007_199_254_740_993_u64),
            json!(true),
        ];
        values[self.rng.usize(0..values.len())].clone()
    }

    /// An end that never comes within a program, or none.
    fn life(&mut self) -> Value {
        if self.rng.bool() { json!({ "ttlSeconds": 3_600 }) } else { json!({}) }
    }

    fn plan(&mut self, names: &Names) -> Planned {
        match self.rng.u8(0..4) {
            0 => self.queue(names),
            1 => self.cache(names),
            2 => self.table(),
            _ => self.history(names),
        }
    }

    fn queue(&mut self, names: &Names) -> Planned {
        let queue = self.of(&["q", "q:{1}", "%7B"]);
        let planned = |name, data, options| Planned { name, about: json!(queue), data, options };
        let known = names.leases.len();
        let nth = if known == 0 { None } else { Some(json!({ "lease": self.rng.usize(0..known) })) };
        match (self.rng.u8(0..12), nth) {
            (0..=3, _) => {
                let most =
                    if self.rng.bool() { json!({ "maxLength": self.rng.u64(1..4) }) } else { json!({}) };
                planned("queue.push", Some(self.value()), most)
            }
            (4..=6, _) => planned("queue.take", None, json!({ "timeoutSeconds": 0, "leaseSeconds": 3_600 })),
            (7, lease @ Some(_)) => planned("queue.ack", lease, json!({})),
            (8, lease @ Some(_)) => planned("queue.nack", lease, json!({})),
            (9, lease @ Some(_)) => planned("queue.extend", lease, json!({ "leaseSeconds": 60 })),
            (10, _) => match self.rng.u8(0..4) {
                0 => planned("queue.close", Some(json!(true)), json!({})),
                1 => planned("queue.close", Some(json!(false)), json!({})),
                2 => planned("queue.deadLetters", None, json!({ "limit": 2 })),
                _ => planned("queue.requeue", None, json!({ "limit": 1 })),
            },
            _ => planned("queue.length", None, json!({})),
        }
    }

    fn cache(&mut self, names: &Names) -> Planned {
        let key = self.of(&["k", "k:{1}", "stale", "%7D"]);
        let planned = |name, data, options| Planned { name, about: json!(key), data, options };
        let known = names.tokens.len();
        match self.rng.u8(0..9) {
            0 | 1 => planned("cache.set", Some(self.value()), self.life()),
            2 => planned("cache.delete", None, json!({})),
            3 => planned("cache.exists", None, json!({})),
            4 | 5 => planned("cache.getOrSet", None, json!({ "leaseSeconds": 3_600 })),
            6 | 7 if known > 0 => {
                let token = self.rng.usize(0..known);
                let mut options = json!({ "token": token, "ttlSeconds": 3_600 });
                for (name, chance) in
                    [("staleSeconds", self.rng.bool()), ("negativeTtlSeconds", self.rng.bool())]
                {
                    if chance {
                        options[name] = json!(60);
                    }
                }
                planned("cache.land", Some(self.value()), options)
            }
            _ => planned("cache.get", None, json!({})),
        }
    }

    fn table(&mut self) -> Planned {
        let (service, table) = (self.of(&["a", "a/b", "%"]), self.of(&["b", "t", "/"]));
        let key = self.of(&["k", "x", "#", "e1", "{}:", "é"]);
        let (whole, one) = (
            json!({ "service": service, "table": table }),
            json!({ "service": service, "table": table, "key": key }),
        );
        let planned = |name, about, data, options| Planned { name, about, data, options };
        match self.rng.u8(0..12) {
            0..=3 => planned("table.set", one, Some(self.value()), self.life()),
            4 | 5 => planned("table.get", one, None, json!({})),
            6 => planned("table.has", one, None, json!({})),
            7 => planned("table.delete", one, None, json!({})),
            8 => planned("table.data", whole, None, json!({})),
            9 => planned("table.entries", whole, None, json!({ "limit": 2, "cursor": key })),
            10 => planned("table.entries", whole, None, json!({ "limit": 3 })),
            _ if self.rng.u8(0..4) == 0 => planned("table.clear", whole, None, json!({})),
            _ => planned("table.data", whole, None, json!({})),
        }
    }

    fn history(&mut self, names: &Names) -> Planned {
        let service = self.of(&["a", "a/b", "%"]);
        let url = self.of(&["/", "/a b", "/%2F"]);
        let whole = json!({ "service": service });
        let planned = |name, about, data, options| Planned { name, about, data, options };
        let known = names.entries.len();
        let nth = if known == 0 { 0 } else { self.rng.usize(0..known) };
        match self.rng.u8(0..9) {
            0..=2 => {
                let secret = json!({ "cookie": "12345678", "x": self.value() });
                let request =
                    json!({ "method": "get", "url": url, "headers": secret, "body": "y".repeat(900) });
                let most = if self.rng.bool() { 1_024 } else { 9_999 };
                let data = json!({ "request": request, "response": { "body": self.value() } });
                planned("history.record", whole, Some(data), json!({ "maxEntryBytes": most }))
            }
            3 => planned(
                "history.get",
                json!({ "service": service, "method": "GET", "url": url }),
                None,
                json!({}),
            ),
            4 if known > 0 => {
                planned("history.getById", json!({ "service": service, "id": nth }), None, json!({}))
            }
            5 if known > 0 => {
                let about = json!({ "service": service, "id": nth });
                planned("history.setResponse", about, Some(json!({ "status": self.rng.u8(..) })), json!({}))
            }
            6 => planned("history.length", whole, None, json!({})),
            7 if self.rng.u8(0..4) == 0 => planned("history.clear", whole, None, json!({})),
            _ => planned("history.data", whole, None, json!({})),
        }
    }
}

impl Names {
    /// The call in this storage's own names.
    fn own(&self, call: &Planned) -> (Value, Option<Value>, Value) {
        let (mut about, mut data, mut options) =
            (call.about.clone(), call.data.clone(), call.options.clone());
        if let Some(nth) = data.as_ref().and_then(|data| data.get("lease")).and_then(Value::as_u64) {
            data = Some(json!(self.leases[nth as usize].1));
        }
        if let Some(nth) = about.get("id").and_then(Value::as_u64) {
            about["id"] = json!(self.entries[nth as usize].1);
        }
        if let Some(nth) = options.get("token").and_then(Value::as_u64) {
            options["token"] = json!(self.tokens[nth as usize].1);
        }
        (about, data, options)
    }

    /// What a storage answered without what only it could say.
    fn seen(&mut self, call: &Planned, answer: Result<Value, Error>) -> Value {
        match answer {
            Err(error) => json!({ "error": error.code.as_str() }),
            Ok(mut value) => {
                let about = call.about.to_string();
                if call.name == "queue.take"
                    && let Some(lease) = value.get("lease").and_then(Value::as_str)
                {
                    self.leases.push((about, lease.to_owned()));
                } else if let Some(token) = value.get("token").and_then(Value::as_str) {
                    self.tokens.push((about, token.to_owned()));
                } else if call.name == "history.record" {
                    self.entries.push((about, value["id"].as_str().unwrap().to_owned()));
                }
                self.plain(&mut value);
                value
            }
        }
    }

    /// Ids by their number; times and secrets of one storage by a word.
    fn plain(&self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.plain(item)),
            Value::Object(fields) => {
                for (name, value) in fields.iter_mut() {
                    match (name.as_str(), value.as_str()) {
                        ("lease" | "token", Some(_)) => *value = json!("a name"),
                        ("id" | "cursor", Some(id)) if id.starts_with("req_") => {
                            *value = json!(self.entries.iter().position(|(_, known)| known == id));
                        }
                        ("at" | "expiresAt", _) if !value.is_null() => *value = json!("a time"),
                        _ => self.plain(value),
                    }
                }
            }
            _ => {}
        }
    }
}

async fn run(storage: &Arc<Storage>, names: &mut Names, call: &Planned) -> Value {
    let (about, data, options) = names.own(call);
    let text = |value: &Value| value.to_string();
    let data = data.as_ref().map(text).unwrap_or_default();
    // The first argument is written as the face writes it: as JSON.
    let answer =
        support::call_about(storage, call.name, &about.to_string(), &data, &options.to_string()).await;
    names.seen(call, answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_caches_tables_and_histories_agree() {
    let seed = support::seed();
    let mut met: BTreeMap<&'static str, HashSet<String>> = BTreeMap::new();
    for number in 0..support::programs(1_000, 60) {
        let memory = support::storage(support::memory(), "{}");
        let redis = support::storage(support::redis().await, "{}");
        let (mut ours, mut theirs) = (Names::default(), Names::default());
        let mut programs = Programs { rng: Rng::with_seed(seed.wrapping_add(number)) };
        for place in 0..CALLS {
            let call = programs.plan(&ours);
            let one = run(&memory, &mut ours, &call).await;
            let other = run(&redis, &mut theirs, &call).await;
            let Planned { name, about, data, options } = &call;
            assert_eq!(
                one, other,
                "seed {seed} program {number} call {place}: {name} {about} {data:?} {options}"
            );
            met.entry(name).or_default().insert(one.to_string());
        }
    }
    for (name, answers) in &met {
        println!("{name}: {} different answers", answers.len());
    }
    assert!(met.len() >= 28, "every call is met: {met:?}");
    let refused = met.values().flatten().filter(|answer| answer.contains("error")).count();
    assert!(refused >= 3, "full and closed queues, entries that are gone: {refused}");
}
