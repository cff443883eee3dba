//! What ends or becomes due by itself: found by a bounded sweep that every instance may make, done once.

use std::sync::Arc;

use super::archive::OWNER;
use super::event_text::Happened;
use super::settle::record;
use super::tree::{
    ARCHIVED, DueKind, SESSION, archive_key, below_key, chain_of_field, due_key, due_member, due_parts,
    feed_key, key_field, key_of_field, keys_key, session_member, sessions_key, step_of_field, tree_key,
    user_partition,
};
use super::users::leave_list;
use super::{Call, Stores};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::id::{LAST_POSITION, Tree};
use crate::key::{Key, Name, PARTITIONS, Partition};
use crate::txn::{Check, Effect, Fields, Outcome, Query, Reply, Txn, Until};

/// Trees of one partition that are looked at together.
const DUE_AT_ONCE: u64 = 32;
/// How often a tree is looked at, while something new becomes due below it, before it is left to the next sweep.
const LOOKS: u32 = 8;
/// Partitions that are asked together.
const PARTITIONS_AT_ONCE: u16 = 32;

/// What a sweep has done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Sessions whose end was noticed.
    pub expired: u64,
    /// Steps whose lease had run out.
    pub lost: u64,
    /// Chains that were archived some time after their end.
    pub archived: u64,
    /// Chains whose steps were made small in the archive.
    pub compacted: u64,
}

/// What is due of a user.
struct Due {
    kind: DueKind,
    tree: Tree,
    user: String,
}

impl Due {
    fn member(&self) -> Name {
        due_member(self.kind, self.tree, &self.user)
    }
}

/// The same, as it is.
struct Seen {
    due: Due,
    /// The session is there, until then.
    alive: Option<Until>,
    /// Its archive is there, until then.
    archive: Option<Until>,
    /// The idempotency key that it holds.
    key: Option<Arc<str>>,
}

impl Seen {
    fn is_over(&self) -> bool {
        match self.due.kind {
            DueKind::Session => self.alive.is_none(),
            DueKind::Archive => self.archive.is_none(),
        }
    }
}

impl Stores {
    /// Does what is due in the next `partitions` partitions: notes the end of expired sessions, ends leases that have run out,
    /// archives chains whose time has come. Makes small what this instance has archived.
    ///
    /// Any number of instances may sweep at once: each thing is done once. *Round trips*: one for each 32
    /// partitions, and some for each partition where something is due.
    ///
    /// # Errors
    /// Those of the backend; what is left is done by the next sweep.
    pub async fn sweep(&self, call: Call, partitions: u16) -> Result<Swept> {
        let mut swept = Swept::default();
        let mut left = partitions.min(PARTITIONS);
        while left > 0 && self.clock.now() < call.deadline {
            let some = left.min(PARTITIONS_AT_ONCE);
            left -= some;
            let now = self.clock.now();
            let partitions = self.sweeper.next(some, now).into_iter();
            // All are asked before the first answer is awaited.
            let asked: Vec<_> = partitions
                .map(|partition| {
                    let query = due(due_key(), now, DUE_AT_ONCE);
                    (partition, self.backend.run(Txn::read(partition, call.deadline, [query])))
                })
                .collect();
            for (partition, run) in asked {
                let Outcome::Committed(mut replies) = run.await? else { continue };
                let mut found = scored(replies.pop())?;
                while !found.is_empty() && self.clock.now() < call.deadline {
                    self.sweep_trees(call, partition, &found, &mut swept).await?;
                    if (found.len() as u64) < DUE_AT_ONCE {
                        break;
                    }
                    let query = due(due_key(), self.clock.now(), DUE_AT_ONCE);
                    let before = found;
                    found = scored(self.ask(partition, call, vec![query]).await?.pop())?;
                    if found == before {
                        break;
                    }
                }
            }
        }
        swept.compacted = self.compact(call).await?;
        Ok(swept)
    }

    async fn sweep_trees(
        &self,
        call: Call,
        partition: Partition,
        found: &[(Name, u64)],
        swept: &mut Swept,
    ) -> Result<()> {
        let due = found.iter().filter_map(|(member, _)| {
            let (kind, tree, user) = due_parts(member)?;
            Some(Due { kind, tree, user: user.to_owned() })
        });
        let seen = self.look_at_due(call, partition, due.collect()).await?;
        swept.expired += self.end(call, partition, &seen).await?;
        for seen in seen.iter().filter(|seen| !seen.is_over()) {
            if seen.due.kind == DueKind::Session {
                self.do_what_is_due_below(call, seen.due.tree, swept).await?;
                self.drop_what_is_too_old(call, seen).await?;
            }
            self.look_again(call, seen).await?;
        }
        Ok(())
    }

    /// Events that have come of age go from the log, unless a chain runs, and from the feed.
    async fn drop_what_is_too_old(&self, call: Call, seen: &Seen) -> Result<()> {
        let (tree, before) =
            (seen.due.tree, Timestamp(self.clock.now().0.saturating_sub(self.policy.keeping.feed_ms)));
        if tree.created_at() < before {
            self.prune_tree(call, tree, before, false).await?;
            self.trim_feed(call, tree.partition(), feed_key(&seen.due.user), before).await?;
        }
        Ok(())
    }

    /// At most 32 things of a tree at a time: one that has more is looked at again by the next sweep.
    async fn do_what_is_due_below(&self, call: Call, tree: Tree, swept: &mut Swept) -> Result<()> {
        let query = due(below_key(tree), self.clock.now(), DUE_AT_ONCE);
        for (member, _) in scored(self.ask(tree.partition(), call, vec![query]).await?.pop())? {
            if let Some(step) = step_of_field(&member) {
                swept.lost += u64::from(self.end_lease(call, tree, step).await?);
            } else if let Some(chain) = chain_of_field(&member) {
                swept.archived += u64::from(self.archive_due(call, tree, chain).await?);
            }
        }
        Ok(())
    }

    async fn look_at_due(&self, call: Call, partition: Partition, due: Vec<Due>) -> Result<Vec<Seen>> {
        if due.is_empty() {
            return Ok(Vec::new());
        }
        let queries = due.iter().flat_map(|Due { tree, user, .. }| {
            let record = |key: Key, field: Name| Query::record(key, [field]);
            [
                record(tree_key(*tree), SESSION.into()),
                record(archive_key(*tree), OWNER.into()),
                record(keys_key(user), key_of_field(*tree)),
            ]
        });
        let mut replies = self.ask(partition, call, queries.collect()).await?.into_iter();
        let mut seen = Vec::with_capacity(due.len());
        for due in due {
            let mut next = || record(replies.next());
            let (session, archive, key) = (next()?, next()?, next()?);
            let there =
                |fields: &Fields| fields.texts.first().is_some_and(Option::is_some).then_some(fields.until);
            let (alive, archive) = (there(&session), there(&archive));
            seen.push(Seen { due, alive, archive, key: key.texts.into_iter().next().flatten() });
        }
        Ok(seen)
    }

    /// Notes the end of what is gone, once each: how many sessions it was this time.
    async fn end(&self, call: Call, partition: Partition, seen: &[Seen]) -> Result<u64> {
        let plan = |seen: &Seen| match seen.due.kind {
            DueKind::Session => self.plan_end(call, partition, seen),
            DueKind::Archive => plan_archive_end(call, partition, &seen.due, self.clock.now()),
        };
        // All leave before the first answer is awaited.
        let gone = seen.iter().filter(|seen| seen.is_over());
        let runs: Vec<_> = gone.map(|seen| (seen, self.backend.run(plan(seen)))).collect();
        let mut ended = 0;
        for (seen, run) in runs {
            let committed = matches!(run.await?, Outcome::Committed(_));
            if committed && seen.due.kind == DueKind::Session {
                ended += 1;
                self.expect_to_compact(call, seen.due.tree, seen.archive.is_some()).await?;
            }
        }
        Ok(ended)
    }

    fn plan_end(&self, call: Call, partition: Partition, seen: &Seen) -> Txn {
        let Seen { due, archive, key, .. } = seen;
        let (tree, user, now) = (due.tree, &due.user, self.clock.now());
        let mut txn = Txn::new(partition, call.deadline);
        txn.checks = vec![
            Check::Absent { key: tree_key(tree), field: SESSION.into() },
            Check::Due { key: due_key(), member: due.member(), by: now.0 },
        ];
        leave_list(&mut txn, user, tree);
        txn.effects.push(Effect::Delete { key: below_key(tree) });
        txn.effects.push(Effect::Remove { key: due_key(), member: due.member() });
        if let Some(key) = key {
            txn.checks.push(Check::Present { key: keys_key(user), field: key_of_field(tree) });
            let fields = vec![key_field(key), key_of_field(tree)];
            txn.effects.push(Effect::Drop { key: keys_key(user), fields });
        }
        let happened =
            Happened { kind: "session:expired", chain: None, step: None, user, at: now, data: "{}" }.text();
        txn.effects.push(self.policy.keeping.announce(tree, user, now, LAST_POSITION, happened));
        if let Some(until) = archive {
            let member = session_member(ARCHIVED, tree);
            txn.effects.push(Effect::Add { key: sessions_key(user), member, score: 0 });
            let member = due_member(DueKind::Archive, tree, user);
            txn.effects.extend(score(*until).map(|score| Effect::Add { key: due_key(), member, score }));
        }
        txn
    }

    /// Sets when to look at a living tree again: at its deadline, or before at what is due below it.
    async fn look_again(&self, call: Call, seen: &Seen) -> Result<()> {
        let (due, below) = (&seen.due, below_key(seen.due.tree));
        let (key, field) = match due.kind {
            DueKind::Session => (tree_key(due.tree), SESSION),
            DueKind::Archive => (archive_key(due.tree), OWNER),
        };
        for _ in 0..LOOKS {
            let record = Query::record(key.clone(), [field.into()]);
            let lowest = Query::Due { key: below.clone(), by: u64::MAX, limit: 1 };
            let mut replies = self.ask(due.tree.partition(), call, vec![record, lowest]).await?.into_iter();
            let (until, lowest) = (super::settle::record(replies.next())?.until, scored(replies.next())?);
            let lowest = lowest.first().map(|(_, score)| *score).filter(|_| due.kind == DueKind::Session);
            let mut txn = Txn::new(due.tree.partition(), call.deadline);
            txn.checks.push(Check::Present { key: key.clone(), field: field.into() });
            let until = match due.kind {
                DueKind::Session => Until::At(self.policy.keeping.look_at(until, self.clock.now())),
                DueKind::Archive => until,
            };
            let next = lowest.into_iter().chain(score(until)).min();
            txn.effects.push(match next {
                Some(score) => Effect::Add { key: due_key(), member: due.member(), score },
                None => Effect::Remove { key: due_key(), member: due.member() },
            });
            // What somebody has put below it meanwhile would be forgotten.
            txn.checks.push(Check::Clear { key: below.clone(), below: next.unwrap_or(u64::MAX) });
            match self.backend.run(txn).await? {
                Outcome::Refused(1, _) => {}
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// Gives back the places of sessions that a list found expired.
    pub(super) async fn forget_expired(&self, call: Call, user: &str, expired: &[Tree]) -> Result<()> {
        let partition = user_partition(user);
        for trees in expired.chunks(DUE_AT_ONCE as usize) {
            let due = |tree: &Tree| Due { kind: DueKind::Session, tree: *tree, user: user.to_owned() };
            let seen = self.look_at_due(call, partition, trees.iter().map(due).collect()).await?;
            self.end(call, partition, &seen).await?;
            // Whose end is not due by this clock, or was never to come: out of the list at least.
            let mut txn = Txn::new(partition, call.deadline);
            for Seen { due, archive, .. } in seen.iter().filter(|seen| seen.is_over()) {
                txn.checks.push(Check::Absent { key: tree_key(due.tree), field: SESSION.into() });
                leave_list(&mut txn, user, due.tree);
                if archive.is_some() {
                    let member = session_member(ARCHIVED, due.tree);
                    txn.effects.push(Effect::Add { key: sessions_key(user), member, score: 0 });
                }
            }
            if !txn.effects.is_empty() {
                self.backend.run(txn).await?;
            }
        }
        Ok(())
    }
}

/// Gives back the place of an archive that is gone.
fn plan_archive_end(call: Call, partition: Partition, due: &Due, now: Timestamp) -> Txn {
    let mut txn = Txn::new(partition, call.deadline);
    txn.checks = vec![
        Check::Absent { key: archive_key(due.tree), field: OWNER.into() },
        Check::Due { key: due_key(), member: due.member(), by: now.0 },
    ];
    let member = session_member(ARCHIVED, due.tree);
    txn.effects = vec![
        Effect::Remove { key: sessions_key(&due.user), member },
        Effect::Remove { key: due_key(), member: due.member() },
    ];
    txn
}

/// The score of a deadline.
fn score(until: Until) -> Option<u64> {
    match until {
        Until::At(at) => Some(at.0),
        Until::Never => None,
    }
}

/// What is due by now.
fn due(key: Key, now: Timestamp, limit: u64) -> Query {
    Query::Due { key, by: now.0, limit }
}

fn scored(reply: Option<Reply>) -> Result<Vec<(Name, u64)>> {
    match reply {
        Some(Reply::Scored(members)) => Ok(members),
        _ => Err(Error::internal("a question for what is due was answered by something else")),
    }
}
