//! Random programs of calls on queues, the cache, streams, tables, histories and the request log are answered alike on memory, on Redis and
//! on a Cluster.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

#[path = "../support/carrier.rs"]
mod carrier;
mod plans;
#[path = "../support/mod.rs"]
mod support;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use carrier::Carrier;
use flowkeep_core::backend::Backend;
use flowkeep_core::error::Error;
use flowkeep_core::redis::Redis;
use flowkeep_core::storage::Storage;
use plans::Programs;
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
    logged: Vec<String>,
}

impl Names {
    /// The call in this storage's own names.
    fn own(&self, call: &Planned) -> (Value, Option<Value>, Value) {
        let (mut about, mut data, mut options) =
            (call.about.clone(), call.data.clone(), call.options.clone());
        if let Some(nth) = data.as_ref().and_then(|data| data.get("lease")).and_then(Value::as_u64) {
            data = Some(json!(self.leases[nth as usize].1));
        }
        if let Some(nth) = data.as_ref().and_then(|data| data["cursor"].as_u64()) {
            data.as_mut().unwrap()["cursor"] = json!(self.logged[nth as usize]);
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
                } else if call.name == "requestLog.record" {
                    self.logged.push(value["id"].as_str().unwrap().to_owned());
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
                            let logged = self.logged.iter().position(|known| known == id);
                            let entry = self.entries.iter().position(|(_, known)| known == id);
                            *value = json!([logged, entry]);
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
        assert!(met.len() >= 46, "every call is met: {:?}", met.keys());
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
