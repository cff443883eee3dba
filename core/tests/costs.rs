//! What an operation costs, counted instead of timed: allocations, bytes to the server and back, replies, round trips.
//!
//! The bounds are what was counted, with a little room. Who makes an operation cheaper lowers its bound; who has to raise one
//! says why. `COSTS_TIMES=10000 valgrind --tool=callgrind` on one of these tests counts instructions.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Waker;

use flowkeep_core::clock::{Clock, SystemClock};
use flowkeep_core::error::Result;
use flowkeep_core::id::RandomIds;
use flowkeep_core::layers::resilient::Policy;
use flowkeep_core::memory::Memory;
use flowkeep_core::operation::Operation;
use flowkeep_core::redis::{Errand, Net, Output, Redis, Target};
use flowkeep_core::run::{Run, poll_now};
use flowkeep_core::schema::Input;
use flowkeep_core::storage::{Parts, Request, Settings, Storage, Text, read_by};
use flowkeep_core::stores::Glimpse;
use flowkeep_core::timer::Timers;

/// What was counted, for each operation.
#[derive(Debug, Clone, Copy)]
struct Cost {
    allocations: f64,
    allocated: f64,
    sent: f64,
    received: f64,
    /// Writes to the socket for all calls of a tick together.
    writes: usize,
}

/// A storage on Redis, driven as a face drives it: what a tick asks for leaves as one write.
struct Stage {
    storage: Arc<Storage>,
    net: Arc<Net>,
    socket: TcpStream,
    room: Vec<u8>,
    sent: usize,
    received: usize,
    writes: usize,
}

fn parts(backend: Arc<dyn flowkeep_core::backend::Backend>, timers: Arc<Timers>) -> Parts {
    let settings = Settings::read(Input::json("{}"), "", "").unwrap();
    Parts { backend, clock: Arc::new(SystemClock), ids: Arc::new(RandomIds::default()), timers, settings }
}

impl Stage {
    fn new(resilient: bool) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let timers = Timers::new(Arc::clone(&clock));
        let target = Target::parse(&support::redis_url(), "url").unwrap();
        let ids = Arc::new(RandomIds::default());
        let net = Arc::new(Net::new(target, clock, ids, Arc::clone(&timers)));
        let backend = Arc::new(Redis::new(Arc::clone(&net) as _, &support::unique_prefix()).unwrap());
        let parts = parts(backend, timers);
        let storage =
            if resilient { Storage::resilient(parts, Policy::default(), None) } else { Storage::new(parts) };
        let url = support::redis_url();
        let socket = TcpStream::connect(url.trim_start_matches("redis://").trim_end_matches('/')).unwrap();
        let room = vec![0; 1 << 20];
        let mut stage =
            Self { storage: Arc::new(storage), net, socket, room, sent: 0, received: 0, writes: 0 };
        // The first call dials, greets and brings the script.
        let mut first = stage.begin(Operation::ListSessions, "\"nobody\"", None);
        assert!(poll_now(Pin::new(&mut first)).is_none());
        let number = match stage.net.tick().pop() {
            Some(Errand::Dial { number, .. }) => number,
            _ => panic!("nothing to dial"),
        };
        assert_eq!(number, flowkeep_core::redis::MAIN);
        stage.net.connected(number);
        stage.settle(vec![first]);
        stage
    }

    fn begin(&self, operation: Operation, id: &str, data: Option<&str>) -> Run<Result<String>> {
        let data = data.map(|text| Text { text: text.to_owned(), tagged: false });
        let (id, id_is_value) = (id.to_owned(), false);
        self.storage.perform(Request { operation, id, id_is_value, id_tagged: false, data, options: None })
    }

    /// Carries bytes until all calls are answered.
    fn settle(&mut self, calls: Vec<Run<Result<String>>>) -> Vec<String> {
        let mut waiting: Vec<_> = calls.into_iter().map(Some).collect();
        let mut answers = vec![String::new(); waiting.len()];
        let mut turned = false;
        loop {
            for (call, answer) in waiting.iter_mut().zip(&mut answers) {
                let done = call.as_mut().and_then(|call| poll_now(Pin::new(call)));
                if let Some(text) = done {
                    *answer = text.unwrap();
                    *call = None;
                }
            }
            if waiting.iter().all(Option::is_none) {
                return answers;
            }
            self.carry(&mut turned);
        }
    }

    /// Sends what is to be sent; where there is nothing more, takes what comes.
    fn carry(&mut self, turned: &mut bool) {
        match self.net.output(0, &mut self.room) {
            // Who lets others come first goes on now.
            Output::Written(0) if !std::mem::replace(turned, true) => return,
            Output::Written(0) => {}
            Output::Written(len) => {
                self.socket.write_all(&self.room[..len]).unwrap();
                (self.sent, self.writes) = (self.sent + len, self.writes + 1);
                return;
            }
            Output::Whole(bytes) => {
                self.socket.write_all(&bytes).unwrap();
                (self.sent, self.writes) = (self.sent + bytes.len(), self.writes + 1);
                return;
            }
        }
        let len = self.socket.read(&mut self.room).unwrap();
        assert!(len > 0, "the server hung up");
        (self.received, *turned) = (self.received + len, false);
        self.net.feed(0, &self.room[..len]);
    }

    /// Counts what 100 calls of a tick cost, after some that warm everything up; the median of a few ticks.
    fn cost(&mut self, mut make: impl FnMut(&Self, usize) -> Run<Result<String>>) -> Cost {
        self.cost_of(|stage, first| {
            let calls = (first..first + IN_FLIGHT).map(|n| make(stage, n)).collect();
            stage.settle(calls);
        })
    }

    /// The same of reads that are glances: each of a session, and of the tag that is held of it. Told into one room.
    fn cost_of_glances(&mut self, made: &[(String, String)], holds: bool) -> Cost {
        let (mut under_way, mut room) = (Vec::with_capacity(IN_FLIGHT), String::with_capacity(2_048));
        self.cost_of(|stage, first| {
            for n in first..first + IN_FLIGHT {
                let (id, tag) = &made[n % made.len()];
                let who = (u32::try_from(n % IN_FLIGHT).unwrap(), Waker::noop());
                let id = read_by(Operation::GetSession, id).unwrap();
                under_way.push(stage.storage.glance(id, holds.then_some(tag.as_str()), who).unwrap());
            }
            let mut turned = true;
            while !under_way.is_empty() {
                stage.carry(&mut turned);
                under_way.retain(|glancing| {
                    room.clear();
                    let glimpse = stage.storage.glimpse(glancing, &mut room);
                    assert!(
                        glimpse != Glimpse::Missed && (glimpse == Glimpse::Waits || holds == (room == "="))
                    );
                    glimpse == Glimpse::Waits
                });
            }
        })
    }

    fn cost_of(&mut self, mut round_of: impl FnMut(&mut Self, usize)) -> Cost {
        let mut costs = Vec::new();
        let mut next = 0;
        for round in 0..ROUNDS.max(times() / IN_FLIGHT as u64) {
            (self.sent, self.received, self.writes) = (0, 0, 0);
            let counted = allocation_counter::measure(|| {
                round_of(self, next);
                next += IN_FLIGHT;
            });
            if round >= 4 {
                let each = |count: u64| count as f64 / IN_FLIGHT as f64;
                costs.push(Cost {
                    allocations: each(counted.count_total),
                    allocated: each(counted.bytes_total),
                    sent: each(self.sent as u64),
                    received: each(self.received as u64),
                    writes: self.writes,
                });
            }
        }
        costs.sort_by(|one, other| one.allocations.total_cmp(&other.allocations));
        costs[costs.len() / 2]
    }
}

const IN_FLIGHT: usize = 100;
const ROUNDS: u64 = 12;

fn times() -> u64 {
    std::env::var("COSTS_TIMES").ok().and_then(|times| times.parse().ok()).unwrap_or(0)
}

const DATA: &str = r#"{"title":"Nightly build of the atlas dashboard","tags":["nightly","atlas"],"metadata":{"project":"atlas-dashboard","branch":"release/2026-11","build":{"number":100000,"commit":"9f2c41d07ab3","clean":true},"owner":{"name":"Ada Byron","team":"platform"},"labels":["nightly","linux"],"retries":2,"progress":0.375,"note":"waits for its review"}}"#;

fn id_of(answer: &str) -> (String, String) {
    let (tag, json) = answer.split_once('\n').unwrap();
    let value: serde_json::Value = serde_json::from_str(json).unwrap();
    let name = ["stepId", "chainId", "sessionId"].into_iter().find(|name| value.get(name).is_some()).unwrap();
    (value[name].as_str().unwrap().to_owned(), tag.to_owned())
}

fn within(name: &str, cost: Cost, most: (f64, f64, f64)) {
    let Cost { allocations: count, allocated, sent: out, received: back, .. } = cost;
    println!(
        "{name}: {count:.1} allocations of {allocated:.0} bytes, {out:.0} bytes sent, {back:.0} received"
    );
    let (allocations, sent, received) = most;
    assert!(cost.allocations <= allocations, "{name}: {} allocations, not {allocations}", cost.allocations);
    assert!(cost.sent <= sent, "{name}: {} bytes sent, not {sent}", cost.sent);
    assert!(cost.received <= received, "{name}: {} bytes received, not {received}", cost.received);
    assert!(cost.writes <= 1, "{name}: {} writes for one tick", cost.writes);
}

fn sessions(stage: &mut Stage, count: usize) -> Vec<(String, String)> {
    let calls =
        (0..count).map(|n| stage.begin(Operation::CreateSession, &format!("\"user-{n}\""), Some(DATA)));
    let calls = calls.collect();
    stage.settle(calls).iter().map(|answer| id_of(answer)).collect()
}

#[test]
fn creating_a_session() {
    let mut stage = Stage::new(false);
    let cost = stage.cost(|stage, n| {
        stage.begin(Operation::CreateSession, &format!("\"user-{}\"", n % 1_000), Some(DATA))
    });
    within("createSession", cost, (41.0, 2_250.0, 130.0));
}

#[test]
fn glancing_at_a_session_that_is_unchanged() {
    let mut stage = Stage::new(false);
    let made = sessions(&mut stage, 200);
    let cost = stage.cost_of_glances(&made, true);
    within("getSession by a glance, unchanged", cost, (0.3, 120.0, 560.0));
}

#[test]
fn glancing_at_a_session_that_is_new_here() {
    let mut stage = Stage::new(false);
    let made = sessions(&mut stage, 200);
    let cost = stage.cost_of_glances(&made, false);
    within("getSession by a glance, changed", cost, (1.4, 120.0, 560.0));
}

#[test]
fn reading_a_session_that_is_unchanged() {
    let mut stage = Stage::new(false);
    let made = sessions(&mut stage, 200);
    let cost = stage.cost(|stage, n| {
        let (id, tag) = &made[n % made.len()];
        stage.begin(Operation::GetSession, id, Some(tag))
    });
    within("getSession, unchanged", cost, (9.0, 120.0, 560.0));
}

#[test]
fn reading_a_session_that_is_new_here() {
    let mut stage = Stage::new(false);
    let made = sessions(&mut stage, 200);
    let cost = stage.cost(|stage, n| stage.begin(Operation::GetSession, &made[n % made.len()].0, None));
    within("getSession, changed", cost, (8.0, 120.0, 560.0));
}

#[test]
fn updating_a_session() {
    let mut stage = Stage::new(false);
    let made = sessions(&mut stage, 200);
    let cost = stage.cost(|stage, n| {
        let update = format!("{{\"title\":\"{n}\"}}");
        stage.begin(Operation::UpdateSession, &made[n % made.len()].0, Some(&update))
    });
    within("updateSession", cost, (57.0, 960.0, 40.0));
}

#[test]
fn starting_a_step() {
    let mut stage = Stage::new(false);
    let made = sessions(&mut stage, 100);
    let calls = made.iter().map(|(id, _)| stage.begin(Operation::CreateChain, id, Some("{\"title\":\"t\"}")));
    let calls = calls.collect();
    let chains: Vec<_> = stage.settle(calls).iter().map(|answer| id_of(answer).0).collect();
    let cost = stage.cost(|stage, n| {
        stage.begin(
            Operation::CreateStep,
            &chains[n % chains.len()],
            Some("{\"action\":\"a\",\"inputs\":{}}"),
        )
    });
    within("createStep", cost, (64.0, 1_380.0, 45.0));
}

#[test]
fn pushing_and_taking_at_the_same_moment() {
    let mut stage = Stage::new(true);
    let cost = stage.cost(|stage, _| stage.begin(Operation::QueuePush, "\"q\"", Some(r#"{"n":1}"#)));
    within("queue.push", cost, (14.0, 20.0, 7.0));
    let cost = stage.cost(|stage, _| stage.begin(Operation::QueueTake, "\"q\"", None));
    within("queue.take", cost, (16.0, 42.0, 19.0));
}

#[test]
fn the_resilient_stack_on_the_healthy_path() {
    let (mut plain, mut stack) = (Stage::new(false), Stage::new(true));
    let (of_plain, of_stack) = (sessions(&mut plain, 200), sessions(&mut stack, 200));
    let bare = plain.cost(|stage, n| stage.begin(Operation::GetSession, &of_plain[n % 200].0, None));
    let wrapped = stack.cost(|stage, n| stage.begin(Operation::GetSession, &of_stack[n % 200].0, None));
    assert!(
        wrapped.allocations <= bare.allocations + 1.0,
        "{} and {}",
        wrapped.allocations,
        bare.allocations
    );
}

#[test]
fn memory() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let timers = Timers::new(Arc::clone(&clock));
    let storage = Arc::new(Storage::new(parts(Arc::new(Memory::new(clock)), timers)));
    let call = |operation, id: &str, data: Option<&str>| {
        let data = data.map(|text| Text { text: text.to_owned(), tagged: false });
        let request = Request {
            operation,
            id: id.to_owned(),
            id_is_value: false,
            id_tagged: false,
            data,
            options: None,
        };
        match storage.perform(request) {
            Run::Ready(answer) => answer.into_inner().unwrap(),
            Run::Pending(_) => panic!("memory had to wait"),
        }
    };
    let (id, tag) = id_of(&call(Operation::CreateSession, "\"u\"", Some(DATA)));
    let count = |work: &dyn Fn()| allocation_counter::measure(work).count_total;
    let get = count(&|| drop(call(Operation::GetSession, &id, Some(&tag))));
    let create = count(&|| drop(call(Operation::CreateSession, "\"v\"", Some(DATA))));
    println!("memory: get {get}, create {create}");
    // Four of a creation are the boxes of its record, a new user's index and feed, and a partition's first deadlines: they
    // keep the table of keys small (`memory/value.rs`).
    assert!(get <= 4 && create <= 43, "get {get}, create {create}");
}
