//! Random programs of calls on queues, the cache, streams, tables and histories are answered alike on memory, on Redis and
//! on a Cluster.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

#[path = "support/carrier.rs"]
mod carrier;
mod support;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use carrier::Carrier;
use fastrand::Rng;
use flowkeep_core::backend::Backend;
use flowkeep_core::error::Error;
use flowkeep_core::redis::Redis;
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
    /// The latest place that an entry of a stream was given.
    place: u64,
    /// The call that has to come next.
    next: Option<Planned>,
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

    fn of_seed(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed), place: 0, next: None }
    }

    fn plan(&mut self, names: &Names) -> Planned {
        if let Some(next) = self.next.take() {
            return next;
        }
        match self.rng.u8(0..6) {
            0 => self.queue(names),
            1 => self.cache(names),
            2 => self.table(),
            3 => self.history(names),
            _ => self.stream(),
        }
    }

    /// A place that an entry may have.
    fn id(&mut self) -> String {
        format!("{}-1", self.rng.u64(0..=self.place))
    }

    fn stream(&mut self) -> Planned {
        let (stream, group) = (self.of(&["s", "s:{1}", "%7D"]), self.of(&["g", "h:"]));
        let consumer = self.of(&["c", "d"]);
        let (id, limit) = (self.id(), self.rng.u64(1..4));
        let after = json!(*self.rng.choice([id.as_str(), "start", "end"].iter()).unwrap());
        let planned = |name, data| Planned { name, about: json!(""), data: Some(data), options: json!({}) };
        let of_group = || json!({ "stream": stream, "group": group });
        let of_consumer =
            |options| json!({ "stream": stream, "group": group, "consumer": consumer, "options": options });
        match self.rng.u8(0..18) {
            0..=4 => {
                self.place += 1;
                let own = if self.rng.u8(0..8) == 0 { id } else { format!("{}-1", self.place) };
                let bytes = self.of(&["tx", "t", "bAP8=", "t{\"a\":1}"]);
                let added = json!({ "stream": stream, "fields": ["n", "v"], "values": [format!("t{own}"), bytes], "options": { "id": own } });
                planned("streams.add", added)
            }
            5 => planned(
                "streams.read",
                json!({ "stream": stream, "options": { "after": after, "limit": limit, "bytes": self.rng.bool() } }),
            ),
            6 => planned("streams.length", json!({ "stream": stream })),
            7 | 8 => planned(
                "streams.createGroup",
                json!({ "stream": stream, "group": group, "options": { "after": after } }),
            ),
            9 | 10 => planned("streams.readGroup", of_consumer(json!({ "limit": limit }))),
            11 => planned("streams.ack", json!({ "stream": stream, "group": group, "ids": [id, self.id()] })),
            12 => planned(
                "streams.pending",
                json!({ "stream": stream, "group": group, "options": { "limit": limit } }),
            ),
            13 => planned(
                "streams.claim",
                json!({ "stream": stream, "group": group, "consumer": consumer, "ids": [id, self.id()] }),
            ),
            14 => match self.rng.u8(0..4) {
                0 => planned("streams.deleteGroup", of_group()),
                1 => planned("streams.delete", json!({ "stream": stream })),
                2 => planned("streams.deadLetters", json!({ "stream": stream })),
                _ => planned(
                    "streams.leave",
                    json!({ "stream": stream, "group": group, "consumer": consumer }),
                ),
            },
            15 => planned("streams.groups", json!({ "stream": stream })),
            // Behind an entry that no group has got, so that it has not to wait.
            _ => {
                self.place += 1;
                let options = json!({ "limit": limit, "claimAfterSeconds": 3_600 });
                self.next = Some(planned("streams.take", of_consumer(options)));
                let own = format!("{}-1", self.place);
                planned(
                    "streams.add",
                    json!({ "stream": stream, "fields": ["n"], "values": ["tx"], "options": { "id": own } }),
                )
            }
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
                        ("at" | "expiresAt" | "idleMs", _) if !value.is_null() => *value = json!("a time"),
                        // When a consumer looks for what others left behind.
                        ("cursor", Some(text)) if text.len() == 13 => *value = json!("a time"),
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

/// Runs so many programs on memory and on another backend.
async fn agree(programs: u64, other: impl AsyncFn() -> Arc<dyn Backend>) {
    let seed = support::seed();
    let mut met: BTreeMap<&'static str, HashSet<String>> = BTreeMap::new();
    for number in 0..programs {
        let memory = support::storage(support::memory(), "{}");
        let redis = support::storage(other().await, "{}");
        let (mut ours, mut theirs) = (Names::default(), Names::default());
        let mut programs = Programs::of_seed(seed.wrapping_add(number));
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
    if programs >= EVERY_CALL {
        assert!(met.len() >= 42, "every call is met: {:?}", met.keys());
        let refused = met.values().flatten().filter(|answer| answer.contains("error")).count();
        assert!(refused >= 3, "full and closed queues, entries that are gone: {refused}");
    }
}

/// So many programs meet every call.
const EVERY_CALL: u64 = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stores_of_plain_values_agree() {
    agree(support::programs(2_500, 60), support::redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_agree_on_a_cluster() {
    let Ok(url) = std::env::var("FLOWKEEP_TEST_CLUSTER_URL") else {
        println!("no Cluster is named by FLOWKEEP_TEST_CLUSTER_URL: `npm test` starts one");
        return;
    };
    let carrier = Carrier::new(&url);
    let net = Arc::clone(&carrier.net);
    let other = async || {
        let redis = Redis::new(Arc::clone(&net) as _, &support::unique_prefix()).unwrap();
        Arc::new(redis) as Arc<dyn Backend>
    };
    agree(support::programs(150, 5), other).await;
}
