//! Random programs of commands on plain values give the same answers on memory and on Redis.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use flowkeep_core::backend::Backend;
use flowkeep_core::clock::{Clock, SystemClock};
use flowkeep_core::command::{Bytes, Command, Data, Fault, Score, When};
use flowkeep_core::key::{Key, Partition, Space};
use flowkeep_core::streaming::{LAST_PLACE, Place, Streaming, place_text, read_place};
use flowkeep_core::txn::{Check, Effect, Few, Outcome, Query, Reply, Txn, Until};

const STEPS: usize = 40;

struct Programs {
    rng: Rng,
    name: String,
}

fn bytes(text: &str) -> Bytes {
    text.as_bytes().into()
}

impl Programs {
    /// Few keys, so that kinds meet.
    fn key(&mut self) -> Key {
        Key::new(Space("x"), format!("{}-{}", self.name, self.rng.u8(0..4)))
    }

    fn text(&mut self) -> Bytes {
        let texts: [&[u8]; 9] =
            [b"", b"a", b"b", b"ab", b"7", b"-9223372036854775808", b"07", b"\xff\x00\r\n", "ü".as_bytes()];
        (*self.rng.choice(texts.iter()).unwrap()).into()
    }

    fn texts(&mut self) -> Vec<Bytes> {
        (0..self.rng.usize(1..4)).map(|_| self.text()).collect()
    }

    fn pairs(&mut self) -> Vec<(Bytes, Bytes)> {
        (0..self.rng.usize(1..4)).map(|_| (self.text(), self.text())).collect()
    }

    fn score(&mut self) -> Score {
        let scores = [0.0, -0.0, 1.0, -1.5, 0.1, 1e21, 9_007_199_254_740_993.0, 1e-7];
        Score(*self.rng.choice(scores.iter()).unwrap())
    }

    fn place(&mut self) -> Place {
        (self.rng.u64(0..4), self.rng.u64(0..3))
    }

    fn number(&mut self) -> i64 {
        *self.rng.choice([1, -1, 10, i64::MAX, i64::MIN].iter()).unwrap()
    }

    fn until(&mut self) -> Until {
        let later = SystemClock.now().plus_ms(3_600_000 * self.rng.u64(1..4));
        *self.rng.choice([Until::Never, Until::At(later)].iter()).unwrap()
    }

    fn command(&mut self) -> Command {
        let later = SystemClock.now().plus_ms(3_600_000 * self.rng.u64(1..4));
        match self.rng.u8(0..36) {
            0 => Command::Delete,
            1 => Command::Exists,
            2 => Command::Kind,
            3 => Command::Expire(later),
            4 => Command::Persist,
            5 => Command::Left,
            6 => Command::Get,
            7 => {
                let when = *self.rng.choice([When::Always, When::Absent, When::Present].iter()).unwrap();
                Command::Set { value: self.text(), until: self.until(), when }
            }
            8 if self.rng.bool() => Command::Replace(self.text()),
            8 => Command::Increase(self.number()),
            9 => Command::HashGet(self.text()),
            10 => Command::HashGets(self.texts()),
            11 => Command::HashPut(self.pairs()),
            12 => Command::HashDrop(self.texts()),
            13 => Command::HashAll,
            14 => Command::HashLen,
            15 => Command::HashIncrease(self.text(), self.number()),
            16 => Command::SetAdd(self.texts()),
            17 => Command::SetDrop(self.texts()),
            18 => Command::SetHas(self.text()),
            19 => Command::SetAll,
            20 => Command::SetLen,
            21 => Command::SortedAdd((0..3).map(|_| (self.score(), self.text())).collect()),
            22 => Command::SortedDrop(self.texts()),
            23 => Command::SortedScore(self.text()),
            24 => Command::SortedIncrease(self.text(), self.score()),
            25 => Command::SortedLen,
            26 => Command::SortedRanks {
                from: self.rng.u64(0..3),
                count: self.rng.u64(0..5),
                descending: self.rng.bool(),
            },
            27 => Command::SortedScores {
                least: self.score(),
                most: self.score(),
                skip: self.rng.u64(0..2),
                count: self.rng.u64(0..4),
                descending: self.rng.bool(),
            },
            _ => Command::Stream(self.streaming()),
        }
    }

    fn streaming(&mut self) -> Streaming {
        let group = bytes(self.rng.choice(["g", "h"]).unwrap());
        let consumer = bytes(self.rng.choice(["c", "d"]).unwrap());
        match self.rng.u8(0..17) {
            // 0-0 is no place: the server says so before it looks at the key.
            0..=3 => {
                let (ms, number) = self.place();
                Streaming::Add { fields: self.pairs(), place: Some((ms, number + 1)), keep: None }
            }
            4 => Streaming::Range {
                from: self.place(),
                to: if self.rng.bool() { LAST_PLACE } else { self.place() },
                count: self.rng.u64(1..4),
                descending: self.rng.bool(),
            },
            5 => Streaming::Len,
            6 => Streaming::Drop(vec![self.place()]),
            7 => {
                let after = self.rng.bool().then(|| self.place());
                Streaming::GroupMake { group, after }
            }
            8 if self.rng.u8(0..4) == 0 => Streaming::GroupEnd { group },
            8 | 9 => Streaming::GroupRead { group, consumer, count: self.rng.u64(1..3) },
            10 => Streaming::Acknowledge { group, places: vec![self.place(), self.place()] },
            11 => Streaming::Pending {
                group,
                idle_ms: 0,
                from: self.place(),
                count: self.rng.u64(1..4),
                consumer: self.rng.bool().then_some(consumer),
            },
            14 | 15 => {
                let places = (0..self.rng.u8(0..3)).map(|_| self.place()).collect();
                Streaming::Settle { group, places, floors: self.floors() }
            }
            16 if self.rng.u8(0..3) == 0 => Streaming::Mend { group, floors: self.floors() },
            12 => Streaming::Claim { group, consumer, idle_ms: 0, places: vec![self.place(), self.place()] },
            _ if self.rng.bool() => Streaming::Groups,
            _ => Streaming::Consumers { group },
        }
    }

    fn txn(&mut self, partition: Partition) -> Txn {
        let mut txn = Txn::new(partition, SystemClock.now().plus_ms(60_000));
        for _ in 0..self.rng.usize(0..3) {
            let (key, field) = (self.key(), *self.rng.choice(["a", "b", "7"].iter()).unwrap());
            if self.rng.u8(0..3) > 0 {
                continue;
            }
            txn.checks.push(match self.rng.u8(0..4) {
                0 if self.rng.bool() => Check::Gone { key },
                0 => Check::Holds { key, text: self.text() },
                1 => Check::Idle { key, group: "g".into(), consumer: "c".into() },
                // Fields are looked at in hashes that the store made: a space of their own.
                2 => Check::Absent { key: self.hash(), field: field.into() },
                _ => Check::Begins { key: self.hash(), field: field.into(), with: "a".into() },
            });
        }
        for _ in 0..self.rng.usize(1..4) {
            let (key, command) = (self.key(), self.command());
            txn.effects.push(Effect::Try { key, command });
        }
        if self.rng.u8(0..4) == 0 {
            let command = Command::HashPut(self.pairs());
            txn.effects.push(Effect::Try { key: self.hash(), command });
        }
        txn.queries.push(Query::Ask { key: self.hash(), command: Command::HashAll });
        txn.witness.push(Query::Ask { key: self.hash(), command: Command::HashAll });
        txn
    }

    fn floors(&mut self) -> Key {
        if self.rng.u8(0..20) == 0 { self.key() } else { Key::new(Space("f"), self.name.clone()) }
    }

    fn hash(&self) -> Key {
        Key::new(Space("h"), self.name.clone())
    }
}

/// Times differ by what the run takes; a consumer that got nothing is known to some versions of the server only.
fn comparable(command: &Command, data: Data) -> Data {
    let list = |data: Data| match data {
        Data::List(items) => items,
        other => panic!("{other:?}"),
    };
    match (command, data) {
        (Command::Left, Data::Int(left)) if left > 0 => Data::Int((left + 1_800_000) / 3_600_000),
        (Command::Stream(Streaming::Pending { .. }), Data::List(entries)) => {
            let plain = |entry| {
                let mut parts = list(entry);
                parts[2] = Data::Nil;
                Data::List(parts)
            };
            Data::List(entries.into_iter().map(plain).collect())
        }
        (Command::Stream(Streaming::Consumers { .. }), Data::List(consumers)) => {
            let busy = |consumer| {
                let mut parts = list(consumer);
                parts[2] = Data::Nil;
                (parts[1] != Data::Int(0)).then_some(Data::List(parts))
            };
            Data::List(consumers.into_iter().filter_map(busy).collect())
        }
        (_, data) => data,
    }
}

fn shown(txn: &Txn, outcome: Outcome) -> Outcome {
    let Outcome::Committed(replies) = outcome else { return outcome };
    let commands = txn.effects.iter().map(|effect| match effect {
        Effect::Try { command, .. } => command,
        other => panic!("{other:?}"),
    });
    let mut replies = replies.into_iter();
    let mut told: Few<Reply> = commands
        .map(|command| match replies.next() {
            Some(Reply::Data(data)) => Reply::Data(comparable(command, data)),
            other => panic!("{other:?}"),
        })
        .collect();
    told.extend(replies);
    Outcome::Committed(told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_and_redis_agree_on_commands() {
    let seed = support::seed();
    let (memory, redis) = (support::memory(), support::redis().await);
    let (mut answers, mut refused) = (BTreeMap::<String, u32>::new(), 0);
    for number in 0..support::programs(1_000, 400) {
        let mut programs =
            Programs { rng: Rng::with_seed(seed.wrapping_add(number)), name: number.to_string() };
        let partition = Partition::from_number((number % 1024) as u16);
        for step in 0..STEPS {
            let txn = programs.txn(partition);
            let run = async |backend: &Arc<dyn Backend>| {
                let outcome = backend.run(txn.clone()).await;
                shown(&txn, outcome.unwrap_or_else(|error| panic!("{error} for {txn:#?}")))
            };
            let (ours, theirs) = (run(&memory).await, run(&redis).await);
            assert_eq!(ours, theirs, "seed {seed} program {number} step {step}: {txn:#?}");
            match ours {
                Outcome::Committed(replies) => {
                    for reply in replies {
                        let Reply::Data(data) = reply else { continue };
                        let kind = match data {
                            Data::Fault(fault) => format!("{fault:?}"),
                            Data::List(items) if items.is_empty() => "empty".to_owned(),
                            other => format!("{other:?}").chars().take_while(|c| c.is_alphabetic()).collect(),
                        };
                        *answers.entry(kind).or_default() += 1;
                    }
                }
                Outcome::Refused(..) => refused += 1,
            }
        }
    }
    println!("{answers:?}, {refused} refused");
    let faults = [
        Fault::WrongKind,
        Fault::NoNumber,
        Fault::OutOfRange,
        Fault::NoGroup,
        Fault::GroupExists,
        Fault::NoStream,
        Fault::NotBehind,
    ];
    for fault in faults {
        assert!(answers.contains_key(&format!("{fault:?}")), "no program reached {fault:?}: {answers:?}");
    }
    assert!(refused > 100, "{refused}");
}

async fn ask(backend: &Arc<dyn Backend>, key: &Key, command: Command) -> Data {
    let mut txn = Txn::new(Partition::from_number(1), SystemClock.now().plus_ms(10_000));
    txn.effects.push(Effect::Try { key: key.clone(), command });
    match backend.run(txn).await.unwrap() {
        Outcome::Committed(replies) => match replies.into_iter().next() {
            Some(Reply::Data(data)) => data,
            other => panic!("{other:?}"),
        },
        other @ Outcome::Refused(..) => panic!("{other:?}"),
    }
}

fn texts(data: Data) -> Vec<String> {
    let Data::List(items) = data else { panic!("{data:?}") };
    items
        .into_iter()
        .map(|item| match item {
            Data::Bytes(text) => String::from_utf8(text.to_vec()).unwrap(),
            other => format!("{other:?}"),
        })
        .collect()
}

#[tokio::test]
async fn a_scan_sees_everything_in_bounded_pages() {
    for (name, backend) in support::backends().await {
        let key = Key::new(Space("x"), "scan");
        let fields: Vec<(Bytes, Bytes)> =
            (0..2_000).map(|n| (bytes(&format!("f{n:04}")), bytes(&n.to_string()))).collect();
        ask(&backend, &key, Command::HashPut(fields)).await;
        let (mut cursor, mut seen, mut pages) = (bytes("0"), BTreeMap::new(), 0);
        loop {
            let Data::List(page) = ask(&backend, &key, Command::HashScan { cursor, count: 100 }).await else {
                panic!("{name}")
            };
            let [Data::Bytes(next), Data::List(_)] = page.as_slice() else { panic!("{name}: {page:?}") };
            let items = texts(page[1].clone());
            assert!(items.len() < 1_000, "{name}: {}", items.len());
            seen.extend(items.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())));
            (cursor, pages) = (next.clone(), pages + 1);
            if &*cursor == b"0" {
                break;
            }
        }
        assert_eq!((seen.len(), seen["f0007"].as_str()), (2_000, "7"), "{name}");
        assert!(pages >= 10, "{name}: {pages}");
    }
}

#[tokio::test]
async fn members_of_one_score_are_found_between_two_texts() {
    for (name, backend) in support::backends().await {
        let key = Key::new(Space("x"), "lex");
        let members = ["a\0", "a\x001", "a\x002", "a\x003", "ab", "b\x001"];
        let scored = members.iter().map(|member| (Score(0.0), bytes(member))).collect();
        ask(&backend, &key, Command::SortedAdd(scored)).await;
        for (descending, count, expected) in [
            (false, 9, vec!["a\x001", "a\x002", "a\x003"]),
            (true, 2, vec!["a\x003", "a\x002"]),
            (false, 0, vec![]),
        ] {
            let command =
                Command::SortedTexts { after: bytes("a\0"), before: bytes("a\x01"), count, descending };
            assert_eq!(texts(ask(&backend, &key, command).await), expected, "{name}");
        }
        let count = Command::SortedTextCount { after: bytes("a\0"), before: bytes("a\x01") };
        assert_eq!(ask(&backend, &key, count).await, Data::Int(3), "{name}");
        let empty =
            Command::SortedTexts { after: bytes("b"), before: bytes("a"), count: 5, descending: false };
        assert_eq!(texts(ask(&backend, &key, empty).await), Vec::<String>::new(), "{name}");
    }
}

#[tokio::test]
async fn a_sketch_counts_within_two_percent() {
    for (name, backend) in support::backends().await {
        let key = Key::new(Space("x"), "sketch");
        for chunk in 0..100 {
            let members = (0..100).map(|n| bytes(&format!("10.0.{chunk}.{n}"))).collect();
            ask(&backend, &key, Command::SketchAdd(members)).await;
        }
        let Data::Int(count) = ask(&backend, &key, Command::SketchCount).await else { panic!("{name}") };
        assert!((9_800..=10_200).contains(&count), "{name}: {count}");
    }
}

#[tokio::test]
async fn a_stream_keeps_its_last_entries_and_gives_places_in_order() {
    for (name, backend) in support::backends().await {
        let (key, mut places) = (Key::new(Space("x"), "capped"), Vec::new());
        for n in 0..500 {
            let fields = vec![(bytes("n"), bytes(&n.to_string()))];
            let add = Streaming::Add { fields, place: None, keep: Some(100) };
            let Data::Bytes(place) = ask(&backend, &key, Command::Stream(add)).await else {
                panic!("{name}")
            };
            let text = String::from_utf8(place.to_vec()).unwrap();
            places.push(read_place(&text).unwrap());
            assert_eq!(place_text(*places.last().unwrap()), text);
        }
        assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "{name}");
        let len = ask(&backend, &key, Command::Stream(Streaming::Len)).await;
        // The server drops whole nodes of 100.
        assert!(matches!(len, Data::Int(100..=200)), "{name}: {len:?}");
    }
}
