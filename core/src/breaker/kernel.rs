//! Breakers on a backend: one record for each, and an index of their names.

use std::sync::Arc;

use super::audit::Audit;
use super::id::BreakerId;
use super::state::State;
use super::store::{BreakerStore, Loaded, Stored, Write, Written};
use crate::backend::Backend;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::key::{Key, Name, Partition, Space};
use crate::run::Run;
use crate::txn::{Check, Effect, Few, Outcome, Query, Reply, Txn, Until};

const BREAKER: Space = Space("b");
const NAMES: Space = Space("bn");
/// The field of the state. Entries of the history are in `h0`, `h1`, ..., used in turn.
const STATE: &str = "s";
/// Entries of one breaker's history.
const KEPT: u64 = 100;
/// A breaker that nobody reports to goes after this.
const LIFE_MS: u64 = 7 * 86_400_000;
/// Names of one page of the index.
const PAGE: u64 = 1_000;

/// Keeps breakers on a backend.
///
/// *Round trips*: one for each load and each write; a write that ends an order without an end needs one more.
pub struct KernelStore {
    backend: Arc<dyn Backend>,
}

impl KernelStore {
    #[must_use]
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend }
    }
}

/// Where a breaker's record lies.
fn place(id: &BreakerId) -> (Partition, Key) {
    let text = id.text();
    (Partition::of(&text), Key::new(BREAKER, text))
}

/// The stored text: version, stamp, entries of the history so far, and the state as JSON.
fn text_of(stored: &Stored) -> Result<String> {
    let json = serde_json::to_string(&stored.state).map_err(|_| Error::internal("a state is no JSON"))?;
    Ok(format!("{} {} {json}", stored.stamp, stored.audited))
}

fn read(id: &BreakerId, text: &str) -> Result<Stored> {
    let corrupt = || Error::corrupt(&id.text(), "it is no state of a circuit breaker");
    let mut parts = text.splitn(3, ' ');
    let (stamp, audited, json) = parts
        .next()
        .zip(parts.next())
        .zip(parts.next())
        .map(|((stamp, audited), json)| (stamp, audited, json))
        .ok_or_else(corrupt)?;
    let version = stamp.split('.').next().and_then(|version| version.parse().ok()).ok_or_else(corrupt)?;
    let state: State = serde_json::from_str(json).map_err(|_| corrupt())?;
    let audited = audited.parse().map_err(|_| corrupt())?;
    Ok(Stored { version, stamp: stamp.to_owned(), audited, state })
}

/// What the two questions about a breaker were answered.
fn seen(id: &BreakerId, replies: &[Reply]) -> Result<Loaded> {
    let (mut stored, mut now) = (None, None);
    for reply in replies {
        match reply {
            Reply::Record(fields) => {
                let text = fields.texts.first().and_then(Option::as_ref);
                stored = text.map(|text| read(id, text)).transpose()?;
            }
            Reply::Now(time) => now = Some(time.0),
            _ => {}
        }
    }
    let now = now.ok_or_else(|| Error::internal("a backend did not say what time it is"))?;
    Ok(Loaded { stored, now })
}

fn questions(key: &Key) -> Few<Query> {
    Few::from_iter([Query::record(key.clone(), [STATE.into()]), Query::Now { key: key.clone() }])
}

fn history_field(entry: u64) -> Name {
    format!("h{}", entry % KEPT).into()
}

async fn fetch(
    backend: &dyn Backend,
    id: &BreakerId,
    deadline: Timestamp,
) -> Result<(Loaded, Vec<Option<Arc<str>>>)> {
    let (partition, key) = place(id);
    let fields = (0..KEPT).map(history_field).collect();
    let mut queries = questions(&key);
    queries.push(Query::Record { key, fields });
    let Outcome::Committed(mut replies) = backend.run(Txn::read(partition, deadline, queries)).await? else {
        return Err(Error::internal("a question was refused"));
    };
    let Some(Reply::Record(history)) = replies.pop() else {
        return Err(Error::internal("a question about a record was answered otherwise"));
    };
    Ok((seen(id, &replies)?, history.texts.into_vec()))
}

impl BreakerStore for KernelStore {
    fn load(&self, id: &BreakerId, deadline: Timestamp) -> Run<Result<Loaded>> {
        let (partition, key) = place(id);
        let id = id.clone();
        let asked = self.backend.run(Txn::read(partition, deadline, questions(&key)));
        Run::later(async move {
            match asked.await? {
                Outcome::Committed(replies) | Outcome::Refused(_, replies) => seen(&id, &replies),
            }
        })
    }

    fn transition(&self, id: &BreakerId, write: Write, deadline: Timestamp) -> Run<Result<Written>> {
        let version = write.expected.as_ref().map_or(1, |stored| stored.version + 1);
        let stored = Stored {
            version,
            stamp: format!("{version}.{}", write.stamp),
            audited: write.expected.as_ref().map_or(0, |stored| stored.audited) + write.audit.len() as u64,
            state: write.state.clone(),
        };
        let (backend, id) = (Arc::clone(&self.backend), id.clone());
        Run::later(async move { put(&*backend, &id, stored, write, deadline).await })
    }

    fn history(&self, id: &BreakerId, limit: usize, deadline: Timestamp) -> Run<Result<Vec<Audit>>> {
        let (backend, id) = (Arc::clone(&self.backend), id.clone());
        Run::later(async move {
            let (loaded, texts) = fetch(&*backend, &id, deadline).await?;
            let audited = loaded.stored.map_or(0, |stored| stored.audited);
            let newest_first =
                (0..audited).rev().take(usize::try_from(KEPT).unwrap_or(usize::MAX).min(limit));
            let entry = |number: u64| {
                let place = usize::try_from(number % KEPT).ok()?;
                serde_json::from_str(texts.get(place)?.as_ref()?).ok()
            };
            Ok(newest_first.filter_map(entry).collect())
        })
    }

    fn ids(&self, deadline: Timestamp) -> Run<Result<Vec<BreakerId>>> {
        let backend = Arc::clone(&self.backend);
        Run::later(async move { ids(&*backend, deadline).await })
    }
}

/// The names in the index, without those of breakers that are gone.
async fn ids(backend: &dyn Backend, deadline: Timestamp) -> Result<Vec<BreakerId>> {
    let (partition, index) = index();
    let (mut ids, mut skip) = (Vec::new(), 0);
    loop {
        let query = Query::Members { key: index.clone(), descending: false, skip, limit: PAGE };
        let Outcome::Committed(replies) = backend.run(Txn::read(partition, deadline, [query])).await? else {
            return Err(Error::internal("a question was refused"));
        };
        let Some(Reply::Members(names)) = replies.into_iter().next() else { return Ok(ids) };
        if names.is_empty() {
            break;
        }
        skip += PAGE;
        ids.extend(names.iter().filter_map(|name| BreakerId::parse(name)));
    }
    let mut there = Vec::new();
    for id in ids {
        let (of_breaker, key) = place(&id);
        let Outcome::Committed(replies) =
            backend.run(Txn::read(of_breaker, deadline, questions(&key))).await?
        else {
            continue;
        };
        let gone = matches!(seen(&id, &replies), Ok(Loaded { stored: None, .. }));
        if gone {
            let mut txn = Txn::new(partition, deadline);
            txn.effects.push(Effect::Remove { key: index.clone(), member: id.text().into() });
            backend.run(txn).await?;
        } else {
            there.push(id);
        }
    }
    Ok(there)
}

fn index() -> (Partition, Key) {
    (Partition::of("breakers"), Key::new(NAMES, "all"))
}

/// When a breaker in this state goes: what somebody ordered for ever stays.
fn life(state: &State, now: u64) -> Until {
    use super::state::Mode;
    match (state.mode, state.until) {
        (Mode::Isolated | Mode::Disabled, None) => Until::Never,
        (_, until) => {
            Until::At(Timestamp(until.unwrap_or(0).max(now).saturating_add(LIFE_MS)).min(Timestamp::MAX))
        }
    }
}

async fn put(
    backend: &dyn Backend,
    id: &BreakerId,
    stored: Stored,
    write: Write,
    deadline: Timestamp,
) -> Result<Written> {
    let (partition, key) = place(id);
    let until = life(&stored.state, stored.state.at);
    let mut txn = Txn::new(partition, deadline);
    txn.witness = questions(&key);
    txn.queries = [Query::Now { key: key.clone() }].into();
    let field: Name = STATE.into();
    if let Some(before) = &write.expected {
        let with = format!("{} ", before.stamp);
        txn.checks.push(Check::Begins { key: key.clone(), field: field.clone(), with });
        let was_for_ever = life(&before.state, before.state.at) == Until::Never;
        if was_for_ever && until != Until::Never {
            // A deadline only moves forward, and never is the end: the record is made anew.
            let (_, texts) = fetch(backend, id, deadline).await?;
            txn.effects.push(Effect::Delete { key: key.clone() });
            txn.effects.push(Effect::Open { key: key.clone(), until });
            for (place, text) in (0..).zip(texts) {
                let put = |text| Effect::Put { key: key.clone(), field: history_field(place), text };
                txn.effects.extend(text.map(put));
            }
        } else {
            txn.effects.push(Effect::Slide { key: key.clone(), until });
        }
    } else {
        txn.checks.push(Check::Absent { key: key.clone(), field: field.clone() });
        txn.effects.push(Effect::Open { key: key.clone(), until });
    }
    let first = stored.audited - write.audit.len() as u64;
    for (number, entry) in (first..).zip(&write.audit) {
        let text = serde_json::to_string(entry).map_err(|_| Error::internal("an entry is no JSON"))?;
        txn.effects.push(Effect::Put { key: key.clone(), field: history_field(number), text: text.into() });
    }
    txn.effects.push(Effect::Put { key, field, text: text_of(&stored)?.into() });
    match backend.run(txn).await? {
        Outcome::Refused(_, replies) => seen(id, &replies).map(Written::Changed),
        Outcome::Committed(replies) => {
            let now = seen(id, &replies)?.now;
            if write.expected.is_none() {
                let (partition, key) = index();
                let mut txn = Txn::new(partition, deadline);
                txn.effects.push(Effect::Add { key, member: id.text().into(), score: stored.state.at });
                // Without its name in the index it is not listed; its next life puts it there.
                let _ = backend.run(txn).await;
            }
            Ok(Written::Done(stored, now))
        }
    }
}
