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
use flowkeep_core::command::{Command, Data, Line, When};
use flowkeep_core::id::Mark;
use flowkeep_core::key::{Key, Name, Partition, Space};
use flowkeep_core::txn::{
    Between, Bundle, Check, Effect, Entry, Feed, Few, Outcome, Position, Query, Reply, Txn, Until,
};

const STEPS: usize = 50;
/// How often a line lends a text.
const LIMIT: u64 = 3;
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
        match self.rng.u8(0..6) {
            5 => Check::Last { key, position: self.rng.u64(0..4) },
            0 => Check::Absent { key, field },
            1 => Check::Present { key, field },
            2 => Check::Due { key: self.key("u"), member: self.member(), by: self.rng.u64(0..4) },
            3 => Check::Clear { key: self.key("u"), below: self.rng.u64(0..4) },
            _ => Check::Begins { key, field, with: self.text().chars().take(self.rng.usize(0..4)).collect() },
        }
    }

    fn member(&mut self) -> Name {
        format!("m{}", self.rng.u8(0..5)).into()
    }

    /// A member of an index whose scores are all the same.
    fn letter(&mut self) -> Name {
        (*self.rng.choice(["a", "a1", "ab", "b", "b\u{e9}", "c"].iter()).unwrap()).into()
    }

    fn feed(&mut self) -> Feed {
        let also = self.rng.bool().then(|| self.key("f"));
        Feed { key: self.key("f"), keep: 1_000, until: self.now.plus_ms(3_600_000), also }
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
            txn.effects.push(match self.rng.u8(0..7) {
                6 => Effect::Trim { key, below: self.rng.u64(0..9) },
                0 => Effect::Put { key, field: self.field(), text: self.text().into() },
                1 => Effect::Drop { key, fields: vec![self.field(), self.field()] },
                2 => Effect::Slide { key, until: self.until() },
                3 => Effect::Hold { key, until: self.until() },
                4 => {
                    let fields = (0..self.rng.usize(1..4)).map(|_| self.field()).collect();
                    Effect::Move { key, fields, to: self.key("a"), field: self.field() }
                }
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

    /// A text or a line, each in a space of its own. Leases are over at once, or last longer than the program.
    fn command(&mut self) -> Effect {
        let value = |text: String| text.into_bytes().into();
        if self.rng.bool() {
            let command = match self.rng.u8(0..6) {
                0 => Command::Delete,
                1 => Command::Exists,
                2 | 3 => Command::Get,
                _ => Command::Set {
                    value: value(self.text()),
                    until: self.until(),
                    when: *self.rng.choice([When::Always, When::Absent, When::Present].iter()).unwrap(),
                },
            };
            return Effect::Do { key: self.key("cache:"), command };
        }
        let lease = self.lease();
        let ms = if self.rng.bool() { 0 } else { 3_600_000 };
        let limit = LIMIT;
        let line = match self.rng.u8(0..20) {
            0..=5 => {
                Line::Put { text: value(self.text()), most: self.rng.bool().then(|| self.rng.u64(0..5)) }
            }
            6..=10 => Line::Take { leases: self.leases(lease), ms, limit },
            11 => Line::Settle { leases: self.leases(lease) },
            12 | 13 => Line::GiveBack { lease, counts: self.rng.bool(), limit },
            14 => Line::Bury { lease },
            15 => Line::Extend { lease, ms },
            16 => Line::Count,
            17 => Line::Close { closed: self.rng.u8(0..4) == 0 },
            18 => Line::Dead { skip: self.rng.u64(0..3), limit: self.rng.u64(0..4) },
            _ => Line::Revive { count: self.rng.u64(0..3) },
        };
        Effect::Do { key: self.key("queue:"), command: Command::Line(line) }
    }

    fn lease(&mut self) -> Name {
        Name::from(format!("l{}", self.rng.u8(0..5)))
    }

    /// One more often than not; the same one twice now and then.
    fn leases(&mut self, first: Name) -> Vec<Name> {
        let more = self.rng.u8(0..6).saturating_sub(3);
        std::iter::once(first).chain((0..more).map(|_| self.lease())).collect()
    }

    /// Only commands: alone they are sent in other ways than among other effects.
    fn commands(&mut self, partition: Partition) -> Txn {
        let mut txn = Txn::new(partition, SystemClock.now().plus_ms(60_000));
        if self.rng.u8(0..4) == 0 {
            let (key, text) = (self.key("cache:"), self.text().into_bytes().into());
            txn.checks.push(Check::Holds { key, text });
        }
        txn.effects = (0..self.rng.usize(1..4)).map(|_| self.command()).collect();
        txn
    }

    fn query(&mut self) -> Query {
        match self.rng.u8(0..11) {
            10 => Query::Names { key: self.key("t") },
            9 => Query::Newest { key: self.key("f") },
            8 => Query::Now { key: self.key("t") },
            4 => {
                let (after, before) = (self.letter(), self.letter());
                let bounds = [Name::default(), after];
                let range = Between { after: self.rng.choice(bounds).unwrap(), before };
                Query::Between {
                    key: self.key("l"),
                    range,
                    descending: self.rng.bool(),
                    limit: self.rng.u64(1..5),
                }
            }
            5 => Query::Count { key: self.key("l"), first: self.rng.choice(['a', 'b', 'z']).unwrap() },
            6 => Query::Due { key: self.key("u"), by: self.rng.u64(0..4), limit: self.rng.u64(1..4) },
            7 => Query::Between {
                key: self.key("l"),
                range: Between::default(),
                descending: self.rng.bool(),
                limit: self.rng.u64(1..5),
            },
            0 => Query::Record {
                key: if self.rng.bool() { self.key("t") } else { self.key("a") },
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
        if self.rng.bool() {
            return self.commands(partition);
        }
        let mut txn = Txn::new(partition, SystemClock.now().plus_ms(60_000));
        for _ in 0..self.rng.usize(0..3) {
            let check = self.check();
            txn.checks.push(check);
        }
        if self.rng.u8(0..4) > 0 {
            self.on_record(&mut txn);
        }
        for _ in 0..self.rng.usize(0..2) {
            let (key, member, score) = (self.key("u"), self.member(), self.rng.u64(0..4));
            txn.effects.push(match self.rng.u8(0..9) {
                8 => {
                    // All of it, or nothing: no entry is as old as the program.
                    let ms =
                        if self.rng.u8(0..4) == 0 { self.now.0 + 3_600_000 } else { self.now.0 - 3_600_000 };
                    Effect::TrimFeed { key: self.key("f"), before: Timestamp(ms) }
                }
                0 => Effect::Lower { key, member, score },
                1 => Effect::Add { key: self.key("l"), member: self.letter(), score: 0 },
                2 => Effect::Remove { key: self.key("l"), member: self.letter() },
                3 => Effect::Announce {
                    feed: self.feed(),
                    origin: member,
                    position: score,
                    text: self.text().into(),
                },
                // Fields of a record that nobody begins: it goes with its last field.
                4 => Effect::Put { key: self.key("k"), field: self.field(), text: self.text().into() },
                5 => Effect::Drop { key: self.key("k"), fields: vec![self.field()] },
                6 => Effect::Remove { key, member },
                _ => Effect::Add { key, member, score },
            });
        }
        if self.rng.u8(0..4) == 0 {
            let command = self.command();
            txn.effects.push(command);
        }
        txn.queries = (0..self.rng.usize(0..3)).map(|_| self.query()).collect();
        txn.witness = (0..self.rng.usize(0..3)).map(|_| self.query()).collect();
        // Few marks, so that a repeat finds one of an earlier transaction now and then.
        txn.mark = self.rng.bool().then(|| Mark::new(self.rng.u64(0..6)));
        txn.repeated = self.rng.u8(0..4) == 0;
        txn
    }
}

#[test]
fn a_bundle_reads_back_as_it_was_made() {
    let fields = [("p1", "1.a - 0:{}"), ("", ""), ("p2", "\u{fc} 3:x\r\n"), ("k:{x}*", "p 1:")];
    let mut text = String::new();
    fields.iter().for_each(|(name, field)| Bundle::push(&mut text, name, field));
    assert_eq!(Bundle(&text).collect::<Vec<_>>(), fields);
    assert_eq!(Bundle("p1 9:short").count(), 0);
}

/// A feed's positions come from each backend's clock: only their order is compared. So does what is left of a lease.
fn comparable(outcome: Outcome) -> Outcome {
    let replies = |replies: Few<Reply>| {
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
            Reply::Now(at) => {
                assert!(at.0.abs_diff(SystemClock.now().0) < 60_000, "the clocks of one machine agree");
                Reply::Now(Timestamp(0))
            }
            Reply::Data(Data::List(mut items)) => {
                // How long until a text comes back is about the same.
                for at in 1..items.len() {
                    if let [Data::Nil, Data::Int(left @ 1..)] = &mut items[at - 1..=at] {
                        *left = 1;
                    }
                }
                Reply::Data(Data::List(items))
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
