//! The domain: sessions, chains, steps and their events, over any backend.
//!
//! Each operation is a pure plan (what is stored and what is asked become a transaction) and one impure
//! line that runs it. No store knows which backend it stands on.

mod bases;
mod chains;
mod event_text;
mod events;
mod lists;
mod record;
mod rollup;
mod sessions;
mod settle;
mod steps;
mod tree;
mod unchanged;

use std::sync::Arc;

pub use events::{Bound, EventsQuery};
pub use lists::Listing;
pub use record::SCHEMA_VERSION;
pub use tree::Keeping;

use crate::backend::{Backend, Info};
use crate::clock::{Clock, Timestamp};
use crate::error::{Code, Detail, Error, Result};
use crate::id::{Id, Ids, Tree};
use crate::key::Partition;
use crate::schema::{Guards, Issue, Issues, Limits, PathItem};
use crate::txn::{Outcome, Query, Reply, Txn};

use bases::Bases;

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
}

/// All stores of one storage.
pub struct Stores {
    backend: Arc<dyn Backend>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    policy: Policy,
    bases: Bases,
}

impl Stores {
    pub fn new(backend: Arc<dyn Backend>, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>, policy: Policy) -> Self {
        Self { backend, clock, ids, policy, bases: Bases::new() }
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
    async fn ask(&self, partition: Partition, call: Call, queries: Vec<Query>) -> Result<Vec<Reply>> {
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
