//! The domain: sessions, chains, steps and their events, over any backend.
//!
//! Each operation is a pure plan (what is stored and what is asked become a transaction) and one impure
//! line that runs it. No store knows which backend it stands on.

mod archive;
mod bases;
mod body;
mod caches;
mod chain_update;
mod chains;
mod collections;
mod compact;
mod cursor;
mod drawer;
mod event_text;
mod events;
mod feed;
mod feed_all;
mod feed_page;
mod fields;
mod generations;
mod get;
mod glance;
mod glob;
mod history;
mod kv;
mod kv_answers;
mod leases;
mod life;
mod lists;
mod marked;
mod mask;
mod plain;
mod press;
mod prune;
mod query;
mod queues;
mod record;
mod redo;
mod replay;
mod request_log;
mod rollup;
mod sessions;
mod settle;
mod step_update;
mod steps;
mod streams;
mod sweeper;
mod tables;
mod together;
mod told;
mod tree;
mod unchanged;
mod users;
mod watch;

use std::sync::Arc;

pub use caches::{Landing, Sight};
pub use collections::{Write, collection_id};
pub use events::{Bound, EventsQuery};
pub use feed::{FeedQuery, Of, Start};
pub use glance::{Glancing, Glimpse};
pub use history::{Exchange, HistoryPolicy};
pub use kv::Pipeline;
pub use life::Swept;
pub use lists::Listing;
pub use mask::Masks;
pub use queues::{Taken, Taking};
pub use record::SCHEMA_VERSION;
pub use step_update::StepTerms;
pub use streams::{Blocking, StreamTaking};
pub use tables::{TableEntry, TableName};
pub use told::UNCHANGED;
pub use tree::Keeping;

use crate::backend::{Backend, Info};
use crate::clock::{Clock, Timestamp};
use crate::error::{Code, Detail, Error, Result};
use crate::id::{Id, Ids, Tree};
use crate::key::Partition;
use crate::near::Near;
use crate::schema::{Guards, Issue, Issues, Limits, PathItem};
use crate::timer::Timers;
use crate::txn::{Few, Outcome, Query, Reply, Txn};

use bases::Bases;
use sweeper::Sweeper;

/// What every call brings.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// When the caller stops waiting.
    pub deadline: Timestamp,
}

/// How the stores behave.
#[derive(Debug, Default)]
pub struct Policy {
    pub limits: Limits,
    pub keeping: Keeping,
    pub guards: Guards,
    /// A list leaves out what can't be read instead of failing.
    pub skips_corrupt: bool,
    /// Keys are those of a keyspace that belongs to others too.
    pub raw_keys: bool,
}

/// All stores of one storage.
pub struct Stores {
    backend: Arc<dyn Backend>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    timers: Arc<Timers>,
    policy: Policy,
    bases: Arc<Bases>,
    sweeper: Sweeper,
    queues: queues::Leases,
    streams: streams::Calls,
}

impl Stores {
    pub fn new(
        backend: Arc<dyn Backend>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        timers: Arc<Timers>,
        policy: Policy,
    ) -> Self {
        let sweeper = Sweeper::beginning_at(ids.random());
        let (bases, queues, streams) = (Arc::new(Bases::new()), Default::default(), Default::default());
        Self { backend, clock, ids, timers, policy, bases, sweeper, queues, streams }
    }

    /// What was seen of records, for those who can't ask the backend.
    #[must_use]
    pub fn near(&self) -> Arc<dyn Near> {
        Arc::clone(&self.bases) as Arc<dyn Near>
    }

    /// A call begins now.
    pub(crate) fn begin(&self, now: Timestamp) {
        self.bases.begin(now);
    }

    /// What the stores stand on.
    #[must_use]
    pub fn info(&self) -> Info {
        self.backend.info()
    }

    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.policy.limits
    }

    /// The caller's own schemas.
    #[must_use]
    pub fn guards(&self) -> &Guards {
        &self.policy.guards
    }

    /// Questions that nothing depends on: read-only, one round trip.
    async fn ask(&self, partition: Partition, call: Call, queries: Vec<Query>) -> Result<Few<Reply>> {
        match self.backend.run(Txn::read(partition, call.deadline, queries)).await? {
            Outcome::Committed(replies) => Ok(replies),
            Outcome::Refused(..) => Err(Error::internal("a question without a check was refused")),
        }
    }

    fn operation(&self) -> String {
        self.ids.operation()
    }
}

/// What is wrong with `text` as the id that the argument `name` takes.
#[must_use]
pub fn id_issue(name: &str, text: &str) -> Option<Issue> {
    let fits = matches!(
        (name, Id::parse(text)),
        ("sessionId", Some(Id::Session(_)))
            | ("chainId", Some(Id::Chain(..)))
            | ("stepId", Some(Id::Step(..)))
    );
    let kind = name.trim_end_matches("Id");
    (!fits).then(|| Issue::custom(&[PathItem::from(name)], format!("Invalid {kind} id")))
}

fn bad_id(name: &str, text: &str) -> Error {
    invalid(id_issue(name, text).into_iter().collect())
}

fn session_id(text: &str) -> Result<Tree> {
    match Id::parse(text) {
        Some(Id::Session(tree)) => Ok(tree),
        _ => Err(bad_id("sessionId", text)),
    }
}

fn chain_id(text: &str) -> Result<(Tree, u32)> {
    match Id::parse(text) {
        Some(Id::Chain(tree, chain)) => Ok((tree, chain)),
        _ => Err(bad_id("chainId", text)),
    }
}

fn step_id(text: &str) -> Result<(Tree, u32, u32)> {
    match Id::parse(text) {
        Some(Id::Step(tree, chain, step)) => Ok((tree, chain, step)),
        _ => Err(bad_id("stepId", text)),
    }
}

pub(crate) fn invalid(issues: Vec<Issue>) -> Error {
    let issues = Issues(issues);
    Error::invalid(issues.to_json(), &issues.places())
}

fn is_version(version: u64, wanted: Option<u64>, current: impl FnOnce() -> String) -> Result<()> {
    match wanted {
        Some(wanted) if wanted != version => {
            let detail = Detail { current: Some(current()), ..Detail::default() };
            Err(Error::new(Code::Conflict, format!("the record has version {version}, not {wanted}"))
                .with(detail))
        }
        _ => Ok(()),
    }
}

fn no_transition(what: &str, from: &'static str, to: &'static str, current: String) -> Error {
    let detail = Detail { current: Some(current), from: Some(from), to: Some(to), ..Detail::default() };
    Error::new(Code::Transition, format!("a {what} can't go from {from} to {to}")).with(detail)
}
