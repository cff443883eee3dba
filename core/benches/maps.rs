//! Why memory is a lock per partition with a plain map behind it: `cargo bench -p flowkeep-core --bench maps`.
//!
//! The same work, a put and a get of a record's text among 100,000, on 1,024 locked `HashMap`s and on a
//! `DashMap` of as many shards; by one thread, and by two. A `DashMap` alone would not do as a backend: a
//! transaction touches several keys of its partition as one step, so it would need the locks beside it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a measurement")]

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use flowkeep_core::key::{PARTITIONS, Partition};

const RECORDS: usize = 100_000;
const ROUNDS: usize = 7;

type Locked = Vec<Mutex<HashMap<String, Box<str>>>>;

fn keys() -> Vec<(usize, String)> {
    (0..RECORDS)
        .map(|n| (usize::from(Partition::of(&format!("user{n}")).number()), format!("t:{n:020}")))
        .collect()
}

fn on_locked(maps: &Locked, keys: &[(usize, String)]) {
    for (partition, key) in keys {
        maps[*partition].lock().unwrap().insert(key.clone(), "{\"title\":\"x\"}".into());
        assert!(maps[*partition].lock().unwrap().get(key).is_some());
    }
}

fn on_dashmap(map: &DashMap<String, Box<str>>, keys: &[(usize, String)]) {
    for (_, key) in keys {
        map.insert(key.clone(), "{\"title\":\"x\"}".into());
        assert!(map.get(key).is_some());
    }
}

fn timed(threads: usize, keys: &[(usize, String)], work: impl Fn(&[(usize, String)]) + Sync) -> Duration {
    let started = Instant::now();
    std::thread::scope(|scope| {
        for part in keys.chunks(keys.len().div_ceil(threads)) {
            scope.spawn(|| work(part));
        }
    });
    started.elapsed()
}

fn main() {
    let keys = keys();
    for threads in [1, 2] {
        let (mut locked, mut dashed) = (Vec::new(), Vec::new());
        // Interleaved, so that whatever else the machine does meets both.
        for _ in 0..ROUNDS {
            let maps: Locked = (0..PARTITIONS).map(|_| Mutex::default()).collect();
            locked.push(timed(threads, &keys, |part| on_locked(&maps, part)));
            let map = DashMap::with_shard_amount(usize::from(PARTITIONS));
            dashed.push(timed(threads, &keys, |part| on_dashmap(&map, part)));
        }
        locked.sort();
        dashed.sort();
        let each = |times: &[Duration]| times[ROUNDS / 2].as_nanos() / RECORDS as u128;
        println!(
            "{threads} thread(s): put + get, locked maps {} ns, dashmap {} ns",
            each(&locked),
            each(&dashed)
        );
    }
}
