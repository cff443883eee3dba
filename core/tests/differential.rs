//! Random programs of transactions give the same outcomes on memory and on Redis.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

mod support;

use std::sync::Arc;

use fastrand::Rng;
use flowkeep_core::backend::Backend;
use flowkeep_core::clock::{Clock, SystemClock, Timestamp};
use flowkeep_core::key::{Key, Name, Partition, Space};
use flowkeep_core::txn::{Check, Effect, Entry, Feed, Outcome, Position, Query, Reply, Txn, Until};

const STEPS: usize = 50;
const FIELDS: [&str; 5] = ["s", "c1", "c2", "p11", "k:{x}*"];

/// Generates programs over few keys, so that transactions meet.
struct Programs {
    rng: Rng,
    name: String,
    now: Timestamp,
}

impl Programs {
    fn key(&mut self, space: &'static str) -> Key {
        Key::new(
            Space(space),
            format!("{}-{}{}", self.name, self.rng.u8(0..3), self.rng.choice(["", ":", "{}", "%"]).unwrap()),
        )
    }

    fn field(&mut self) -> Name {
        (*self.rng.choice(FIELDS.iter()).unwrap()).into()
    }

    fn text(&mut self) -> String {
        let texts = ["", "1.a {}", "1.ab {\"x\":[]}", "2.a ü\u{1F600}\r\n", "2.b \0"];
        (*self.rng.choice(texts.iter()).unwrap()).to_owned()
    }

    fn until(&mut self) -> Until {
        match self.rng.u8(0..4) {
            0 => Until::Never,
            // Hours apart: no deadline falls into the run of a program.
            hours => Until::At(self.now.plus_ms(3_600_000 * u64::from(hours))),
        }
    }

    fn check(&mut self) -> Check {
        let (key, field) = (self.key("t"), self.field());
        match self.rng.u8(0..3) {
            0 => Check::Absent { key, field },
            1 => Check::Present { key, field },
            _ => Check::Begins { key, field, with: self.text().chars().take(self.rng.usize(0..4)).collect() },
        }
    }

    fn feed(&mut self) -> Feed {
        Feed { key: self.key("f"), keep: 1_000, until: self.now.plus_ms(3_600_000) }
    }

    /// Records are begun before they are written to: so a record's effects come with the check that it is there.
    fn on_record(&mut self, txn: &mut Txn) {
        let key = self.key("t");
        if self.rng.u8(0..4) == 0 {
            txn.effects.push(Effect::Delete { key: key.clone() });
            txn.effects.push(Effect::Open { key: key.clone(), until: self.until() });
            txn.effects.push(Effect::Put { key: key.clone(), field: "root".into(), text: "r".into() });
        } else {
            txn.checks.push(Check::Present { key: key.clone(), field: "root".into() });
        }
        for _ in 0..self.rng.usize(0..4) {
            let key = key.clone();
            txn.effects.push(match self.rng.u8(0..4) {
                0 => Effect::Put { key, field: self.field(), text: self.text().into() },
                1 => Effect::Drop { key, fields: vec![self.field(), self.field()] },
                2 => Effect::Slide { key, until: self.until() },
                _ => Effect::Append {
                    key,
                    text: self.text().into(),
                    keep: self.rng.u64(1..6),
                    feed: self.feed(),
                },
            });
        }
        if self.rng.u8(0..12) == 0 {
            txn.effects.push(Effect::Delete { key });
        }
    }

    fn query(&mut self) -> Query {
        match self.rng.u8(0..4) {
            0 => Query::Record {
                key: self.key("t"),
                fields: (0..self.rng.usize(1..4)).map(|_| self.field()).collect(),
            },
            1 => Query::Members {
                key: self.key("u"),
                descending: self.rng.bool(),
                skip: self.rng.u64(0..3),
                limit: self.rng.u64(1..5),
            },
            2 => Query::Log { key: self.key("t"), after: self.rng.u64(0..6), limit: self.rng.u64(1..6) },
            _ => Query::Entries { key: self.key("f"), after: Position::default(), limit: self.rng.u64(1..9) },
        }
    }

    fn txn(&mut self, partition: Partition) -> Txn {
        let mut txn = Txn::new(partition, SystemClock.now().plus_ms(60_000));
        for _ in 0..self.rng.usize(0..3) {
            let check = self.check();
            txn.checks.push(check);
        }
        if self.rng.u8(0..4) > 0 {
            self.on_record(&mut txn);
        }
        for _ in 0..self.rng.usize(0..2) {
            let (key, member) = (self.key("u"), Name::from(format!("m{}", self.rng.u8(0..5))));
            txn.effects.push(if self.rng.bool() {
                Effect::Add { key, member, score: self.rng.u64(0..4) }
            } else {
                Effect::Remove { key, member }
            });
        }
        txn.queries = (0..self.rng.usize(0..3)).map(|_| self.query()).collect();
        txn.witness = (0..self.rng.usize(0..3)).map(|_| self.query()).collect();
        txn
    }
}

/// A feed's positions come from each backend's clock: only their order is compared.
fn comparable(outcome: Outcome) -> Outcome {
    let replies = |replies: Vec<Reply>| {
        let plain = |reply| match reply {
            Reply::Entries(entries) => {
                assert!(entries.windows(2).all(|pair| pair[0].position < pair[1].position));
                Reply::Entries(
                    entries
                        .into_iter()
                        .map(|entry| Entry { position: Position::default(), ..entry })
                        .collect(),
                )
            }
            other => other,
        };
        replies.into_iter().map(plain).collect()
    };
    match outcome {
        Outcome::Committed(answered) => Outcome::Committed(replies(answered)),
        Outcome::Refused(check, seen) => Outcome::Refused(check, replies(seen)),
    }
}

async fn run(backend: &Arc<dyn Backend>, txn: Txn) -> Outcome {
    let shown = format!("{txn:?}");
    backend.run(txn).await.map(comparable).unwrap_or_else(|error| panic!("{error} for {shown}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_and_redis_agree() {
    let seed = support::seed();
    let (memory, redis) = (support::memory(), support::redis().await);
    let (mut committed, mut refused) = (0, 0);
    for number in 0..support::programs(2_000, 200) {
        let now = SystemClock.now();
        let mut programs =
            Programs { rng: Rng::with_seed(seed.wrapping_add(number)), name: number.to_string(), now };
        let partition = Partition::from_number((number % 1024) as u16);
        for step in 0..STEPS {
            let txn = programs.txn(partition);
            let (ours, theirs) = (run(&memory, txn.clone()).await, run(&redis, txn.clone()).await);
            assert_eq!(ours, theirs, "seed {seed} program {number} step {step}: {txn:#?}");
            match ours {
                Outcome::Committed(_) => committed += 1,
                Outcome::Refused(..) => refused += 1,
            }
        }
    }
    println!("{committed} committed, {refused} refused");
    assert!(committed > 1_000 && refused > 1_000, "a program must reach both: {committed} and {refused}");
}
