//! Programs of calls, drawn by chance.

use fastrand::Rng;
use flowkeep_core::clock::{Clock, SystemClock, Timestamp};
use serde_json::{Value, json};

use super::{Names, Planned};

/// Makes calls by chance.
pub struct Programs {
    rng: Rng,
    /// The latest place that an entry of a stream was given.
    place: u64,
    /// The call that has to come next.
    next: Option<Planned>,
    /// When the program began.
    began: Timestamp,
    /// How many requests were logged.
    logged: u64,
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

    pub fn of_seed(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed), place: 0, next: None, began: SystemClock.now(), logged: 0 }
    }

    pub fn plan(&mut self, names: &Names) -> Planned {
        if let Some(next) = self.next.take() {
            return next;
        }
        match self.rng.u8(0..8) {
            0 => self.queue(names),
            1 => self.cache(names),
            2 => self.table(),
            3 => self.history(names),
            4 | 5 => self.request_log(names),
            _ => self.stream(),
        }
    }

    /// Some hours ago.
    fn ago(&mut self) -> u64 {
        self.began.0 - self.rng.u64(0..20) * 3_600_000
    }

    fn request_log(&mut self, names: &Names) -> Planned {
        let planned = |name, data| Planned { name, about: json!(""), data: Some(data), options: json!({}) };
        let (ip, host) = (self.of(&["10.0.0.1", "10.0.0.2", "::1"]), self.of(&["a.example", "B.example"]));
        let (user, method) = (self.of(&["ada", "bob/"]), self.of(&["GET", "post"]));
        let (since, until) = (Timestamp(self.ago() - 3_600_000), Timestamp(self.ago() + 3_600_000));
        let span = json!({ "since": since.to_string(), "until": Timestamp(self.began.0).to_string() });
        match self.rng.u8(0..10) {
            0..=4 => {
                self.logged += 1;
                // No two at one instant: their order would be one of chance.
                let at = Timestamp(self.ago() - self.logged * 7);
                let path =
                    self.of(&["/", "/users/42?x=1", "/users/ada", "/users/ada/keys/7", "/v1/a/b/c", "//v1/"]);
                let status = *self.rng.choice([200, 301, 404, 500].iter()).unwrap();
                let took = *self.rng.choice([0.0, 0.4, 12.5, 1_000.0, 1_000.5, 60_000.0].iter()).unwrap();
                let mut entry = json!({ "ip": ip, "host": host, "method": method, "path": path, "status": status, "durationMs": took, "at": at.to_string() });
                if self.rng.bool() {
                    entry["user"] = json!(user);
                    entry["details"] = json!({ "a": [] });
                }
                planned("requestLog.record", entry)
            }
            5 => {
                let mut span = span;
                span["host"] = json!(host);
                planned("requestLog.hourly", span)
            }
            6 => planned("requestLog.percentiles", json!({ "until": span["until"] })),
            7 if self.rng.u8(0..4) == 0 => planned("requestLog.rebuild", json!({})),
            _ => {
                let path = self.of(&[
                    "/",
                    "/users/*",
                    "/users/**",
                    "/users/7",
                    "/*/ada",
                    "/v1/a/:x/c",
                    "/v1/a/b/c",
                    "/**",
                ]);
                let mut query = json!({ "limit": self.rng.u64(1..5), "order": self.of(&["asc", "desc"]) });
                let filters = [
                    ("ip", json!(ip)),
                    ("host", json!(host)),
                    ("user", json!(user)),
                    ("method", json!(method)),
                    ("path", json!(path)),
                    ("status", json!(404)),
                    ("errors", json!(true)),
                    ("slow", json!(true)),
                    ("since", json!(since.to_string())),
                    ("until", json!(until.to_string())),
                ];
                for (name, value) in filters {
                    if self.rng.u8(0..5) == 0 {
                        query[name] = value;
                    }
                }
                if !names.logged.is_empty() && self.rng.bool() {
                    query["cursor"] = json!(self.rng.usize(0..names.logged.len()));
                }
                planned("requestLog.search", query)
            }
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
