//! Chains.

use std::sync::Arc;

use super::archive::Whereabouts;
use super::chain_update::updated;
use super::event_text::Happened;
use super::record::{Aside, Body, Record, Stored};
use super::rollup::{State, chain_event, is_terminal};
use super::sessions::session_in;
use super::settle::{ATTEMPTS, Look, Plan, View, too_fast};
use super::told::{Seen, if_there, public, push_public, push_version};
use super::tree::{CHAINS, SESSION, chain_field, chain_key_field, chain_number, step_field, tree_key};
use super::{Call, Stores, chain_id, no_transition, session_id};
use crate::clock::Timestamp;
use crate::error::{Code, Error, Result};
use crate::id::{Id, Tree};
use crate::key::Name;
use crate::schema::{Chain, ChainData, ChainStatus, ChainUpdate};
use crate::txn::{Check, Effect, Txn, Until};

impl Record for Chain {
    const KIND: u64 = 2;

    fn body(&self) -> Body {
        let mut body = Body::default();
        body.text("title", &self.title).optional("source", self.source.as_ref());
        body.text("status", self.status.name()).field("stepCounts", &self.step_counts);
        body.optional_text("summary", self.summary.as_ref()).raw("metadata", self.metadata.text());
        body.optional_time("startedAt", self.started_at).optional_time("completedAt", self.completed_at);
        body.optional_time("archivedAt", self.archived_at);
        body.time("createdAt", self.created_at).time("updatedAt", self.updated_at);
        body
    }

    fn write(seen: &Seen<'_>, out: &mut String) {
        let Id::Chain(tree, chain) = seen.id else { return };
        push_public(out, &[("chainId", seen.id), ("sessionId", Id::Session(tree))], seen);
        out.push_str(",\"stepOrder\":[");
        for (place, step) in step_numbers(seen.aside).enumerate() {
            out.push_str(if place == 0 { "\"" } else { ",\"" });
            Id::Step(tree, chain, step).push_to(out);
            out.push('"');
        }
        out.push(']');
        push_version(out, seen.version);
    }
}

/// The numbers of a chain's steps, in order.
pub(super) fn step_numbers(aside: &Aside) -> impl Iterator<Item = u32> {
    (1..=aside.steps).filter(|number| !aside.gone.contains(number))
}

pub(super) fn step_order(tree: Tree, chain: u32, aside: &Aside) -> Vec<String> {
    step_numbers(aside).map(|step| Id::Step(tree, chain, step).to_string()).collect()
}

/// A chain's public JSON.
pub(super) fn chain_json(tree: Tree, chain: u32, stored: &Stored<Chain>) -> String {
    public::<Chain>(&stored.seen(Id::Chain(tree, chain), Until::Never))
}

/// The chain as stored in a view whose first field it is.
pub(super) fn chain_in(tree: Tree, chain: u32, view: &View) -> Result<Stored<Chain>> {
    let id = Id::Chain(tree, chain);
    let text = view.text(0).ok_or_else(|| Error::not_found("chain", &id.to_string()))?;
    Stored::read(id, text)
}

/// The chain in a view, if it is really there: one that a write of this process has archived is still remembered.
pub(super) fn chain_lying_in(tree: Tree, chain: u32, view: &View) -> Result<Option<Stored<Chain>>> {
    if view.text(0).is_none() {
        return Ok(None);
    }
    chain_in(tree, chain, view)
        .map(|stored| Some(stored).filter(|stored| stored.record.archived_at.is_none()))
}

/// The event of a chain's change.
pub(super) fn chain_happened(kind: &str, id: Id, user: &str, now: Timestamp, data: &str) -> Arc<str> {
    Happened { kind, chain: Some(id), step: None, user, at: now, data }.text()
}

impl Stores {
    /// Creates a chain in a session. `rollup: false` keeps its status from following its steps.
    ///
    /// *Atomicity*: record, number, event and deadline are one step; the session must exist in it. *Round
    /// trips*: one when the session was seen before, else two.
    ///
    /// # Errors
    /// `STORAGE_NOT_FOUND` when the session does not exist.
    pub async fn create_chain(
        self: &Arc<Self>,
        call: Call,
        id: &str,
        data: ChainData,
        key: Option<&str>,
        rollup: bool,
    ) -> Result<String> {
        let tree = session_id(id)?;
        let mut look = Look::new(tree, vec![SESSION.into(), CHAINS.into()]);
        look.hoped_absent = key.map(chain_key_field);
        let settled = self
            .settle(call, &look, |view, txn| {
                let session = session_in(tree, view)?;
                if let Some(earlier) = view.text(2) {
                    txn.checks.clear();
                    return Ok(Plan::Answer(Err(earlier.to_owned())));
                }
                let latest = view.text(1).unwrap_or_default();
                let number = next_number(tree, latest)?;
                txn.checks.push(match latest {
                    "" => Check::Absent { key: tree_key(tree), field: CHAINS.into() },
                    _ => Check::Begins { key: tree_key(tree), field: CHAINS.into(), with: latest.to_owned() },
                });
                txn.checks.push(Check::Present { key: tree_key(tree), field: SESSION.into() });
                let user = session.record.user_id;
                let stored = self.plan_chain(txn, tree, number, &user, &data, key, rollup);
                Ok(Plan::Write(Ok((number, stored))))
            })
            .await?;
        match settled.value {
            Ok((number, stored)) => Ok(stored.answer(Id::Chain(tree, number), Until::Never)),
            Err(earlier) => match if_there(self.get_chain(call, &earlier, None).await?) {
                Some(chain) => Ok(chain),
                None => self.recreate_chain(call, tree, &look, data, rollup).await,
            },
        }
    }

    /// The chain that this idempotency key stood for was deleted: the key is free again.
    async fn recreate_chain(
        self: &Arc<Self>,
        call: Call,
        tree: Tree,
        look: &Look,
        data: ChainData,
        rollup: bool,
    ) -> Result<String> {
        self.release_key(call, tree, look).await?;
        let key = look.hoped_absent.as_deref().and_then(|field| field.strip_prefix("kc"));
        Box::pin(self.create_chain(call, &Id::Session(tree).to_string(), data, key, rollup)).await
    }

    /// Forgets an idempotency key.
    pub(super) async fn release_key(&self, call: Call, tree: Tree, look: &Look) -> Result<()> {
        let mut txn = Txn::new(tree.partition(), call.deadline);
        txn.checks.push(Check::Present { key: tree_key(tree), field: SESSION.into() });
        let fields = look.hoped_absent.iter().cloned().collect();
        txn.effects.push(Effect::Drop { key: tree_key(tree), fields });
        self.backend.run(txn).await.map(drop)
    }

    #[expect(clippy::too_many_arguments, reason = "what a new chain consists of")]
    fn plan_chain(
        &self,
        txn: &mut Txn,
        tree: Tree,
        number: u32,
        user: &str,
        data: &ChainData,
        key: Option<&str>,
        rollup: bool,
    ) -> Stored<Chain> {
        let now = self.clock.now();
        let record = Chain {
            title: data.title.clone(),
            source: data.source,
            summary: data.summary.clone(),
            metadata: data.metadata.clone(),
            created_at: now,
            updated_at: now,
            ..Chain::default()
        };
        let aside = Aside {
            user: user.to_owned(),
            manual: !rollup,
            idempotency_key: key.map(ToOwned::to_owned),
            ..Aside::default()
        };
        let (body, id) = (record.body(), Id::Chain(tree, number));
        let created = body.as_created();
        let stored = Stored::first(&self.operation(), &body, record, aside);
        let put = |field: Name, text: Arc<str>| Effect::Put { key: tree_key(tree), field, text };
        txn.effects = vec![
            put(chain_field(number), stored.text(self.policy.keeping.schema)),
            put(CHAINS.into(), chain_number(number).into()),
            self.policy.keeping.append(
                tree,
                user,
                now,
                chain_happened("chain:created", id, user, now, &created),
            ),
            self.policy.keeping.slide(tree, now),
        ];
        if let Some(key) = key {
            txn.checks.push(Check::Absent { key: tree_key(tree), field: chain_key_field(key) });
            txn.effects.push(put(chain_key_field(key), id.to_string().into()));
        }
        stored
    }

    /// Merges an update, field by field; otherwise as [`Stores::update_session`].
    ///
    /// # Errors
    /// As [`Stores::update_session`].
    pub async fn update_chain(
        &self,
        call: Call,
        id: &str,
        update: &ChainUpdate,
        if_version: Option<u64>,
    ) -> Result<String> {
        let (tree, chain) = chain_id(id)?;
        let look = Look::new(tree, vec![chain_field(chain)]);
        for _ in 0..ATTEMPTS {
            let settled = self.settle(call, &look, |view, txn| {
                let Some(before) = chain_lying_in(tree, chain, view)? else {
                    return Ok(Plan::Answer(None));
                };
                let now = self.clock.now();
                let Some(record) = updated(tree, chain, &before, update, if_version, now)? else {
                    return Ok(Plan::Answer(Some(before)));
                };
                let aside = before.aside.clone();
                let after = self.change_chain(txn, tree, chain, &before, record, aside, now);
                txn.effects.push(self.policy.keeping.slide(tree, now));
                Ok(Plan::Write(Some(after)))
            });
            if let Some(stored) = settled.await?.value {
                return Ok(stored.answer(Id::Chain(tree, chain), Until::Never));
            }
            let archived = match self.whereabouts(call, tree, chain).await? {
                Whereabouts::Tree => continue,
                Whereabouts::Nowhere => return Err(Error::not_found("chain", id)),
                Whereabouts::Archive(archived) => archived,
            };
            let (before, now) = (&archived.chain, self.clock.now());
            let Some(record) = updated(tree, chain, before, update, if_version, now)? else {
                return Ok(before.answer(Id::Chain(tree, chain), Until::Never));
            };
            if is_terminal(record.status) {
                return Err(archived.refusal(archived.json()));
            }
            let revived = self.revive(call, &look, &archived, |txn| {
                let after = self.change_chain(txn, tree, chain, before, record, before.aside.clone(), now);
                txn.effects.push(self.policy.keeping.slide(tree, now));
                after
            });
            if let Some(stored) = revived.await? {
                return Ok(stored.answer(Id::Chain(tree, chain), Until::Never));
            }
        }
        Err(too_fast())
    }

    /// Puts a changed chain and its event into a transaction that checks what it was.
    #[expect(clippy::too_many_arguments, reason = "where, what it was, what it is")]
    pub(super) fn change_chain(
        &self,
        txn: &mut Txn,
        tree: Tree,
        chain: u32,
        before: &Stored<Chain>,
        record: Chain,
        aside: Aside,
        now: Timestamp,
    ) -> Stored<Chain> {
        let kind = chain_event(before.record.status, record.status);
        let (old, body) = (before.record.body(), record.body());
        let (was_over, is_over) = (is_terminal(before.record.status), is_terminal(record.status));
        let data = body.changes_since(&old, before.version + 1);
        let archives = self.archives_at_once(&record);
        let (record, body) = if archives {
            let archived = Chain { archived_at: Some(now), ..record };
            let body = archived.body();
            (archived, body)
        } else {
            (record, body)
        };
        let after = before.next(&self.operation(), &body, record, aside);
        let user = after.aside.user.clone();
        txn.checks.push(Check::Begins {
            key: tree_key(tree),
            field: chain_field(chain),
            with: before.prefix(),
        });
        txn.effects.push(Effect::Put {
            key: tree_key(tree),
            field: chain_field(chain),
            text: after.text(self.policy.keeping.schema),
        });
        let happened = chain_happened(kind, Id::Chain(tree, chain), &user, now, &data);
        txn.effects.push(self.policy.keeping.append(tree, &user, now, happened));
        if archives {
            self.plan_archive(txn, tree, chain, &after, now);
        } else if is_over && !was_over {
            self.plan_archive_later(txn, tree, chain, &after.aside, now);
        }
        after
    }

    /// Deletes a chain and its steps, with one event. A missing one is no error.
    /// *Atomicity*: one step. *Round trips*: one when the chain was seen before, else two.
    ///
    /// # Errors
    /// `STORAGE_INVALID` for what is no chain's id.
    pub async fn delete_chain(&self, call: Call, id: &str) -> Result<()> {
        let (tree, chain) = chain_id(id)?;
        let look = Look::new(tree, vec![chain_field(chain)]);
        for _ in 0..ATTEMPTS {
            if self.delete_in_tree(call, &look, chain).await? {
                return Ok(());
            }
            match self.whereabouts(call, tree, chain).await? {
                Whereabouts::Nowhere => return Ok(()),
                Whereabouts::Archive(archived) if self.delete_archived(call, &archived).await? => {
                    return Ok(());
                }
                _ => {}
            }
        }
        Err(too_fast())
    }

    /// False when the chain is not in its tree.
    async fn delete_in_tree(&self, call: Call, look: &Look, chain: u32) -> Result<bool> {
        let tree = look.tree;
        let deleted = self.settle(call, look, |view, txn| {
            let Some(before) = chain_lying_in(tree, chain, view)? else {
                return Ok(Plan::Answer(false));
            };
            txn.deferrable = false;
            let (now, user) = (self.clock.now(), &before.aside.user);
            let mut fields = vec![chain_field(chain)];
            fields.extend(step_numbers(&before.aside).map(|step| step_field(chain, step)));
            fields.extend(before.aside.idempotency_key.as_deref().map(chain_key_field));
            let data = format!("{{\"steps\":{}}}", before.record.step_counts.total);
            let happened = chain_happened("chain:deleted", Id::Chain(tree, chain), user, now, &data);
            txn.checks.push(Check::Begins {
                key: tree_key(tree),
                field: chain_field(chain),
                with: before.prefix(),
            });
            txn.effects = vec![
                Effect::Drop { key: tree_key(tree), fields },
                self.policy.keeping.append(tree, user, now, happened),
                self.policy.keeping.slide(tree, now),
            ];
            Ok(Plan::Write(true))
        });
        deleted.await.map(|settled| settled.value)
    }
}

/// A chain that takes no new steps.
pub(super) fn refuse_if_terminal(tree: Tree, chain: u32, stored: &Stored<Chain>) -> Result<()> {
    let status = stored.record.status;
    if is_terminal(status) {
        let current = chain_json(tree, chain, stored);
        return Err(no_transition("chain", status.name(), ChainStatus::InProgress.name(), current));
    }
    Ok(())
}

/// How many chains a session, and steps a chain, may ever have: the numbers of five characters.
const NUMBERS: u32 = (1 << 25) - 1;

fn next_number(tree: Tree, latest: &str) -> Result<u32> {
    let id = Id::Session(tree).to_string();
    let latest = match latest {
        "" => 0,
        text => match Id::parse(&format!("chn_{tree}{text}")) {
            Some(Id::Chain(_, number)) => number,
            _ => return Err(Error::corrupt(&id, "its latest chain's number is not one")),
        },
    };
    next_of(latest)
}

/// The number behind `latest`.
pub(super) fn next_of(latest: u32) -> Result<u32> {
    if latest < NUMBERS {
        Ok(latest + 1)
    } else {
        Err(Error::new(Code::Capacity, "no more numbers are left here"))
    }
}
