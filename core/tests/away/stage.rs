//! A storage inside the resilient stack, over a server that can be told to misbehave, with a clock held by hand. Nothing
//! sleeps.

#[path = "../support/hand.rs"]
mod hand;

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use flowkeep_core::backend::{Backend, Info, Wait};
use flowkeep_core::clock::Clock;
use flowkeep_core::error::{Effect, Error, Result};
use flowkeep_core::id::RandomIds;
use flowkeep_core::journal::{Found, JournalFile};
use flowkeep_core::layers::resilient::{Policy, Standings};
use flowkeep_core::memory::Memory;
use flowkeep_core::operation::Operation;
use flowkeep_core::provenance;
use flowkeep_core::run::{Run, poll_now};
use flowkeep_core::schema::Input;
use flowkeep_core::storage::{Parts, Request, Settings, Storage, Text};
use flowkeep_core::timer::Timers;
use flowkeep_core::topic::{Subscription, Topic};
use flowkeep_core::txn::{Outcome, Txn};
use serde_json::Value;

use hand::Hand;

/// How the server treats what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// Nothing reaches it.
    Away,
    /// It does what it is asked, and no answer comes back: to every write the first so many times.
    Deaf(u32),
    /// It answers nothing until the deadline, and does nothing.
    Silent,
    /// It refuses writes.
    Full,
    /// Every third write does not reach it.
    Fickle(u32),
}

/// A server in memory.
pub struct Server {
    pub memory: Memory,
    clock: Arc<Hand>,
    timers: Arc<Timers>,
    mood: Mutex<Mood>,
    /// Everything that reached it.
    pub seen: Mutex<Vec<Txn>>,
}

impl Server {
    pub fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }
}

impl Backend for Server {
    fn run(&self, txn: Txn) -> Run<Result<Outcome>> {
        let mood = *self.mood.lock().unwrap();
        if mood == Mood::Away {
            return Run::now(Err(Error::unavailable("no connection", Effect::NotApplied)));
        }
        self.seen.lock().unwrap().push(txn.clone());
        match mood {
            Mood::Silent => {
                let (sleep, write) = (self.timers.sleep_until(txn.deadline), !txn.is_read());
                Run::later(async move {
                    sleep.await;
                    Err(Error::timeout(if write { Effect::Unknown } else { Effect::NotApplied }))
                })
            }
            Mood::Deaf(times) if !txn.is_read() => {
                let left = times.saturating_sub(1);
                self.be(if left == 0 { Mood::Well } else { Mood::Deaf(left) });
                drop(self.memory.run(txn));
                Run::now(Err(Error::unavailable("the connection was lost", Effect::Unknown)))
            }
            Mood::Fickle(n) if !txn.is_read() => {
                self.be(Mood::Fickle(n + 1));
                if n % 3 == 0 {
                    return Run::now(Err(Error::unavailable("not this one", Effect::NotApplied)));
                }
                self.memory.run(txn)
            }
            Mood::Full if !txn.is_read() => {
                let mut error = Error::unavailable("Redis answered OOM", Effect::NotApplied);
                error.detail.get_or_insert_default().only_writes = true;
                Run::now(Err(error))
            }
            _ => self.memory.run(txn),
        }
    }

    fn wait(&self, wait: Wait) -> Run<Result<bool>> {
        self.memory.wait(wait)
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        self.memory.subscribe(topic)
    }

    fn info(&self) -> Info {
        Info { kind: "scripted", immediate: false }
    }
}

/// A storage and all that is held by hand.
pub struct Stage {
    pub storage: Arc<Storage>,
    pub server: Arc<Server>,
    pub clock: Arc<Hand>,
    pub timers: Arc<Timers>,
}

/// A beat, as the owner of a connection gives it.
const BEAT_MS: u64 = 20;

impl Stage {
    pub fn new(policy: Policy) -> Self {
        let server = Self::server();
        Self::over(server, policy, None)
    }

    /// A storage on this server, with a journal that may hold something.
    pub fn over(server: Arc<Server>, policy: Policy, journal: Option<(JournalFile, Found)>) -> Self {
        let (clock, timers) = (Arc::clone(&server.clock), Arc::clone(&server.timers));
        let storage = Arc::new(Self::with(&server, policy, journal));
        Self { storage, server, clock, timers }
    }

    pub fn server() -> Arc<Server> {
        let clock = Arc::new(Hand(AtomicU64::new(1_700_000_000_000)));
        let timers = Timers::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let memory = Memory::new(Arc::clone(&clock) as Arc<dyn Clock>);
        Arc::new(Server { memory, clock, timers, mood: Mutex::new(Mood::Well), seen: Mutex::default() })
    }

    /// One more storage on the same server, as another process would have it.
    pub fn another(server: &Arc<Server>, policy: Policy) -> Storage {
        Self::with(server, policy, None)
    }

    fn with(server: &Arc<Server>, policy: Policy, journal: Option<(JournalFile, Found)>) -> Storage {
        let parts = Parts {
            backend: Arc::clone(server) as Arc<dyn Backend>,
            clock: Arc::clone(&server.clock) as Arc<dyn Clock>,
            ids: Arc::new(RandomIds::default()),
            timers: Arc::clone(&server.timers),
            settings: Settings::read(Input::json("{}"), "", "").unwrap(),
        };
        Storage::resilient(parts, policy, journal)
    }

    /// Time passes: a beat.
    pub fn beat(&self) {
        self.clock.0.fetch_add(BEAT_MS, Ordering::SeqCst);
        self.timers.tick();
        self.storage.stack().unwrap().tick();
    }

    pub fn now(&self) -> u64 {
        self.clock.now().0
    }

    /// Beats until it is so.
    pub fn until(&self, what: &str, mut so: impl FnMut(&Standings) -> bool) {
        for _ in 0..10_000 {
            if so(&self.standings()) {
                return;
            }
            self.beat();
        }
        panic!("never {what}: {:?}", self.standings());
    }

    pub fn standings(&self) -> Standings {
        self.storage.stack().unwrap().standings()
    }

    pub fn state(&self) -> &'static str {
        self.standings().standing.as_str()
    }

    /// Makes the server go away, and the stack notice.
    pub fn lose(&self) {
        self.server.be(Mood::Away);
        for _ in 0..5 {
            let _ = self.call("getSession", "ses_00000000000000000000", "");
        }
        assert_eq!(self.state(), "degraded");
    }

    /// The server is back, and everything kept is brought to it.
    pub fn recover(&self) {
        self.server.be(Mood::Well);
        self.until("healthy again", |standings| standings.standing.as_str() == "healthy");
    }

    pub fn call(&self, name: &str, id: &str, data: &str) -> Result<Value> {
        self.call_on(&self.storage, name, id, data).0
    }

    /// Makes a call; also how many beats it took.
    pub fn call_on(&self, storage: &Arc<Storage>, name: &str, id: &str, data: &str) -> (Result<Value>, u64) {
        let _ = provenance::take();
        let mut answer = pin!(start(storage, name, id, data));
        for beats in 0..1_000 {
            if let Some(answer) = poll_now(answer.as_mut()) {
                return (answer.map(json), beats);
            }
            self.beat();
            let _ = provenance::take();
        }
        panic!("{name} never ended");
    }
}

fn json(answer: String) -> Value {
    let answer = provenance::dressed(answer, provenance::take());
    let json = answer.split_once('\n').map_or(answer.as_str(), |(_, json)| json);
    if json.is_empty() { Value::Null } else { serde_json::from_str(json).unwrap() }
}

/// A call that is not polled yet.
pub fn start(storage: &Arc<Storage>, name: &str, id: &str, data: &str) -> Run<Result<String>> {
    let operation = *Operation::ALL.iter().find(|operation| operation.name() == name).unwrap();
    let id = if operation.id_name() == "userId" { serde_json::to_string(id).unwrap() } else { id.to_owned() };
    let data = (!data.is_empty()).then(|| Text { text: data.to_owned(), tagged: false });
    let request = Request { operation, id, id_is_value: false, id_tagged: false, data, options: None };
    storage.perform(request)
}

pub fn id(record: &Value, name: &str) -> String {
    record[name].as_str().unwrap_or_default().to_owned()
}
