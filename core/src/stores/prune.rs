//! Events that are too old: dropped from logs and feeds, but never from the log of a session in which a chain runs.

use super::rollup::is_terminal;
use super::settle::record;
use super::tree::{CHAINS, DueKind, SESSION, all_key, due_key, due_parts, feed_key, tree_key};
use super::{Call, Stores, invalid};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::id::{Id, Tree};
use crate::key::{Name, PARTITIONS, Partition};
use crate::schema::{Event, Issue, PathItem, PruneQuery, Shown};
use crate::txn::{Check, Effect, Log, Outcome, Query, Reply, Txn};

/// Entries that are looked at, and dropped, together.
const AT_ONCE: u64 = 500;
/// Sessions between two pauses.
const BATCH: u64 = 32;
/// Chains that are looked at together.
const CHAINS_AT_ONCE: usize = 500;

/// Where a walk over all sessions stands: a partition, and how many of its entries were looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    partition: u16,
    skip: u64,
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        let (partition, skip) = text.strip_prefix('p')?.split_once('.')?;
        let place = Self { partition: partition.parse().ok()?, skip: skip.parse().ok()? };
        (place.partition < PARTITIONS).then_some(place)
    }
}

/// What was dropped, or would be.
#[derive(Debug, Default, Clone, Copy)]
struct Pruned {
    sessions: u64,
    events: u64,
    /// Sessions that were left alone because a chain of theirs runs.
    running: u64,
}

impl Stores {
    /// Drops events from before a time: of each session's log, unless one of its chains is not at its end, since a replay of that
    /// needs the whole log; and of the feeds of their users. With `dry_run` it only counts.
    ///
    /// It looks at so many sessions a second at the most, and at `limit` of them; the cursor says where to go on, `null` that
    /// all were looked at. A session that is written to meanwhile may be left to the next walk.
    ///
    /// *Atomicity*: 500 entries of one log. *Round trips*: some for each session.
    ///
    /// # Errors
    /// `STORAGE_INVALID` for a cursor that is none; those of the backend: what was dropped stays dropped.
    pub async fn prune_events(&self, call: Call, query: &PruneQuery) -> Result<String> {
        let place =
            query.cursor.as_deref().map(|text| Place::parse(text).ok_or_else(bad_cursor)).transpose()?;
        let mut place = place.unwrap_or(Place { partition: 0, skip: 0 });
        let (mut pruned, mut looked, began) = (Pruned::default(), 0, self.clock.now());
        while place.partition < PARTITIONS {
            let partition = Partition::from_number(place.partition);
            let limit = BATCH.min(query.limit().saturating_sub(looked));
            let page = Query::Members { key: due_key(), descending: false, skip: place.skip, limit };
            let found = match self.ask(partition, call, vec![page]).await?.pop() {
                Some(Reply::Members(members)) => members,
                _ => return Err(Error::internal("a question for members was answered by something else")),
            };
            for member in &found {
                self.prune_member(call, partition, member, query, &mut pruned).await?;
            }
            looked += found.len() as u64;
            if (found.len() as u64) < limit {
                if self.policy.keeping.feed_of_all && !query.dry_run {
                    self.trim_feed(call, partition, all_key(), query.older_than).await?;
                }
                place = Place { partition: place.partition + 1, skip: 0 };
            } else {
                place.skip += limit;
            }
            if looked >= query.limit() {
                break;
            }
            // Paced by how many were looked at, not by how many calls were made.
            let due = began.plus_ms(looked * 1_000 / query.per_second());
            if due >= call.deadline || self.clock.now() >= call.deadline {
                break;
            }
            if due > self.clock.now() {
                self.timers.sleep_until(due).await;
            }
        }
        let Pruned { sessions, events, running } = pruned;
        let cursor = if place.partition < PARTITIONS {
            format!("\"p{}.{}\"", place.partition, place.skip)
        } else {
            "null".to_owned()
        };
        Ok(format!(
            "{{\"sessions\":{sessions},\"events\":{events},\"running\":{running},\"cursor\":{cursor}}}"
        ))
    }

    async fn prune_member(
        &self,
        call: Call,
        partition: Partition,
        member: &Name,
        query: &PruneQuery,
        pruned: &mut Pruned,
    ) -> Result<()> {
        let Some((DueKind::Session, tree, user)) = due_parts(member) else { return Ok(()) };
        match self.prune_tree(call, tree, query.older_than, query.dry_run).await? {
            Some(0) => {}
            Some(events) => {
                pruned.sessions += 1;
                pruned.events += events;
            }
            None => pruned.running += 1,
        }
        if query.dry_run {
            Ok(())
        } else {
            self.trim_feed(call, partition, feed_key(user), query.older_than).await
        }
    }

    pub(super) async fn trim_feed(
        &self,
        call: Call,
        partition: Partition,
        key: crate::key::Key,
        before: Timestamp,
    ) -> Result<()> {
        let mut txn = Txn::new(partition, call.deadline);
        txn.effects.push(Effect::TrimFeed { key, before });
        self.backend.run(txn).await.map(drop)
    }

    /// How many events of a session's log are from before a time; they are dropped unless it is only to be counted. `None`: a chain
    /// of the session is not at its end, so nothing is dropped.
    pub(super) async fn prune_tree(
        &self,
        call: Call,
        tree: Tree,
        before: Timestamp,
        dry_run: bool,
    ) -> Result<Option<u64>> {
        let log = self.log_page(call, tree, 0, 0).await?;
        let mut keep_from = log.first;
        while keep_from <= log.last {
            let page = self.log_page(call, tree, keep_from - 1, AT_ONCE).await?;
            let old = page.entries.iter().take_while(|(position, text)| {
                *position <= log.last
                    && serde_json::from_str::<Event>(text).is_ok_and(|event| event.at < before)
            });
            let old = old.count() as u64;
            keep_from += old;
            if old < AT_ONCE {
                break;
            }
        }
        let events = keep_from - log.first;
        if events == 0 {
            return Ok(Some(0));
        }
        if self.runs(call, tree).await? {
            return Ok(None);
        }
        if dry_run {
            return Ok(Some(events));
        }
        let mut below = log.first;
        while below < keep_from {
            below = keep_from.min(below + AT_ONCE);
            let mut txn = Txn::new(tree.partition(), call.deadline);
            // Whatever has happened since is told by an entry: a chain that was made or revived, for one.
            txn.checks.push(Check::Last { key: tree_key(tree), position: log.last });
            txn.effects.push(Effect::Trim { key: tree_key(tree), below });
            if let Outcome::Refused(..) = self.backend.run(txn).await? {
                return Ok(Some(below.saturating_sub(log.first + AT_ONCE)));
            }
        }
        Ok(Some(events))
    }

    async fn log_page(&self, call: Call, tree: Tree, after: u64, limit: u64) -> Result<Log> {
        let query = Query::Log { key: tree_key(tree), after, limit };
        match self.ask(tree.partition(), call, vec![query]).await?.pop() {
            Some(Reply::Log(log)) => Ok(log),
            _ => Err(Error::internal("a question for a log was answered by something else")),
        }
    }

    /// Whether a chain of the session is not at its end. What is archived is.
    async fn runs(&self, call: Call, tree: Tree) -> Result<bool> {
        let query = Query::record(tree_key(tree), [SESSION.into(), CHAINS.into()]);
        let texts = record(self.ask(tree.partition(), call, vec![query]).await?.into_iter().next())?.texts;
        let latest = texts.get(1).cloned().flatten().unwrap_or_default();
        let Some(Id::Chain(_, latest)) = Id::parse(&format!("chn_{tree}{latest}")) else { return Ok(false) };
        let numbers: Vec<u32> = (1..=latest).collect();
        for page in numbers.chunks(CHAINS_AT_ONCE) {
            for read in self.chains_at(call, tree, page, Shown::Exclude).await? {
                // One that can't be read may be running.
                if read.map_or(true, |chain| chain.is_some_and(|chain| !is_terminal(chain.record.status))) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

fn bad_cursor() -> Error {
    invalid(vec![Issue::custom(&[PathItem::from("cursor")], "Not a cursor of pruneEvents")])
}
