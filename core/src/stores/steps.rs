//! Steps. Whatever happens to a step happens to its chain in the same transaction.

use std::sync::Arc;

use super::archive::Whereabouts;
use super::chains::{chain_lying_in, next_of, refuse_if_terminal};
use super::event_text::Happened;
use super::record::{Aside, Body, Lease, Record, Stored};
use super::rollup::{State, is_terminal, roll_up, step_event};
use super::settle::{ATTEMPTS, Look, Plan, View, too_fast};
use super::step_update::{StepTerms, check_waits_for, updated};
use super::told::{Seen, if_there, public, push_number, push_public, push_version};
use super::tree::{below_key, chain_field, step_field, step_key_field, tree_key};
use super::{Call, Stores, chain_id, step_id};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::id::{Id, Tree};
use crate::schema::{Chain, Step, StepData, StepStatus, StepUpdate};
use crate::txn::{Check, Effect, Txn, Until};

impl Record for Step {
    const KIND: u64 = 3;

    fn body(&self) -> Body {
        let mut body = Body::default();
        body.text("action", &self.action).optional_text("model", self.model.as_ref());
        body.raw("inputs", self.inputs.text())
            .field("waitsFor", &self.waits_for)
            .text("status", self.status.name());
        if let Some(result) = &self.result {
            body.raw("result", result.text());
        }
        body.optional_text("error", self.error.as_ref()).number("attempt", self.attempt);
        body.optional_time("startedAt", self.started_at).optional_time("completedAt", self.completed_at);
        body.time("createdAt", self.created_at).time("updatedAt", self.updated_at);
        body
    }

    fn write(seen: &Seen<'_>, out: &mut String) {
        let Id::Step(tree, chain, step) = seen.id else { return };
        let (chain, session) = (Id::Chain(tree, chain), Id::Session(tree));
        push_public(out, &[("stepId", seen.id), ("chainId", chain), ("sessionId", session)], seen);
        out.push_str(",\"stepNumber\":");
        push_number(out, u64::from(step));
        push_version(out, seen.version);
    }
}

/// A step's public JSON.
pub(super) fn step_json(tree: Tree, chain: u32, step: u32, stored: &Stored<Step>) -> String {
    public::<Step>(&stored.seen(Id::Step(tree, chain, step), Until::Never))
}

/// The step as stored in a view whose second field it is.
pub(super) fn step_in(tree: Tree, chain: u32, step: u32, view: &View) -> Result<Stored<Step>> {
    let id = Id::Step(tree, chain, step);
    let text = view.text(1).ok_or_else(|| Error::not_found("step", &id.to_string()))?;
    Stored::read(id, text)
}

/// What became of a creation.
enum Made {
    Now(u32, Box<Stored<Step>>),
    /// A step was created with this idempotency key before.
    Before(String),
    /// Its chain is not in its tree.
    Elsewhere,
}

impl Stores {
    /// Creates a step at the end of a chain.
    ///
    /// *Atomicity*: the step, its chain's counts and order, both events and the deadline are one step.
    /// *Round trips*: one when the chain was seen before, else two; one more for each writer of the chain
    /// that was faster.
    ///
    /// # Errors
    /// `STORAGE_NOT_FOUND` when the chain does not exist, `STORAGE_TRANSITION` when it is at its end,
    /// `STORAGE_ARCHIVED` when it is archived by then, `STORAGE_INVALID` when it is to wait for what is no step of the chain.
    pub async fn create_step(
        self: &Arc<Self>,
        call: Call,
        id: &str,
        data: StepData,
        key: Option<&str>,
    ) -> Result<String> {
        let (tree, chain) = chain_id(id)?;
        let mut look = Look::new(tree, vec![chain_field(chain)]);
        look.hoped_absent = key.map(|key| step_key_field(chain, key));
        for _ in 0..ATTEMPTS {
            let settled = self.settle(call, &look, |view, txn| {
                if let Some(earlier) = view.text(1) {
                    return Ok(Plan::Answer(Made::Before(earlier.to_owned())));
                }
                let Some(before) = chain_lying_in(tree, chain, view)? else {
                    return Ok(Plan::Answer(Made::Elsewhere));
                };
                refuse_if_terminal(tree, chain, &before)?;
                let number = next_of(before.aside.steps)?;
                check_waits_for(tree, chain, &before.aside, number, &data.waits_for)?;
                let stored = self.plan_step(txn, tree, (chain, number), &before, &data, key);
                Ok(Plan::Write(Made::Now(number, Box::new(stored))))
            });
            match settled.await?.value {
                Made::Now(number, stored) => {
                    return Ok(stored.answer(Id::Step(tree, chain, number), Until::Never));
                }
                Made::Before(earlier) => match if_there(self.get_step(call, &earlier, None).await?) {
                    Some(step) => return Ok(step),
                    None => self.release_key(call, tree, &look).await?,
                },
                Made::Elsewhere => match self.whereabouts(call, tree, chain).await? {
                    Whereabouts::Tree => {}
                    Whereabouts::Nowhere => return Err(Error::not_found("chain", id)),
                    Whereabouts::Archive(archived) => return Err(archived.refusal(archived.json())),
                },
            }
        }
        Err(too_fast())
    }

    fn plan_step(
        &self,
        txn: &mut Txn,
        tree: Tree,
        (chain, number): (u32, u32),
        before: &Stored<Chain>,
        data: &StepData,
        key: Option<&str>,
    ) -> Stored<Step> {
        let now = self.clock.now();
        let record = Step {
            action: data.action.clone(),
            model: data.model.clone(),
            inputs: data.inputs.clone(),
            waits_for: data.waits_for.clone(),
            attempt: 1,
            created_at: now,
            updated_at: now,
            ..Step::default()
        };
        let aside = Aside { idempotency_key: key.map(ToOwned::to_owned), ..Aside::default() };
        let body = record.body();
        let created = body.as_created();
        let stored = Stored::first(&self.operation(), &body, record, aside);
        let id = Id::Step(tree, chain, number);
        txn.effects.push(Effect::Put {
            key: tree_key(tree),
            field: step_field(chain, number),
            text: stored.text(self.policy.keeping.schema),
        });
        self.append_step(txn, id, "step:created", &before.aside.user, now, &created);
        let aside = Aside { steps: number, ..before.aside.clone() };
        self.roll_into_chain(txn, tree, chain, before, aside, (None, Some(StepStatus::Pending)), now);
        if let Some(key) = key {
            let field = step_key_field(chain, key);
            txn.checks.push(Check::Absent { key: tree_key(tree), field: field.clone() });
            txn.effects.push(Effect::Put { key: tree_key(tree), field, text: id.to_string().into() });
        }
        stored
    }

    fn append_step(&self, txn: &mut Txn, id: Id, kind: &str, user: &str, now: Timestamp, data: &str) {
        let Id::Step(tree, chain, _) = id else { return };
        let chain = Some(Id::Chain(tree, chain));
        let text = Happened { kind, chain, step: Some(id), user, at: now, data }.text();
        txn.effects.push(self.policy.keeping.append(tree, user, now, text));
    }

    /// Rolls a step's change up into its chain, with the chain's event and the tree's deadline.
    #[expect(clippy::too_many_arguments, reason = "where, what it was, what changed")]
    fn roll_into_chain(
        &self,
        txn: &mut Txn,
        tree: Tree,
        chain: u32,
        before: &Stored<Chain>,
        aside: Aside,
        (from, to): (Option<StepStatus>, Option<StepStatus>),
        now: Timestamp,
    ) {
        let mut record = before.record.clone();
        roll_up(&mut record, aside.manual, from, to, now);
        self.change_chain(txn, tree, chain, before, record, aside, now);
        txn.effects.push(self.policy.keeping.slide(tree, now));
    }

    /// Merges an update, field by field, and rolls it up into the chain in the same step; otherwise as
    /// [`Stores::update_session`].
    ///
    /// # Errors
    /// As [`Stores::update_session`].
    pub async fn update_step(
        &self,
        call: Call,
        id: &str,
        update: &StepUpdate,
        terms: &StepTerms,
    ) -> Result<String> {
        let (tree, chain, step) = step_id(id)?;
        let place = Id::Step(tree, chain, step);
        let look = Look::new(tree, vec![chain_field(chain), step_field(chain, step)]);
        for _ in 0..ATTEMPTS {
            let settled = self.settle(call, &look, |view, txn| {
                let Some(of) = chain_lying_in(tree, chain, view)? else { return Ok(Plan::Answer(None)) };
                let before = step_in(tree, chain, step, view)?;
                let now = self.clock.now();
                let Some(record) = updated((tree, chain, step), &of.aside, &before, update, terms, now)?
                else {
                    return Ok(Plan::Answer(Some(before)));
                };
                if terms.lease.is_some() {
                    txn.deferrable = false;
                }
                Ok(Plan::Write(Some(self.change_step(txn, place, &of, &before, record, terms.lease, now))))
            });
            if let Some(stored) = settled.await?.value {
                return Ok(stored.answer(place, Until::Never));
            }
            let archived = match self.whereabouts(call, tree, chain).await? {
                Whereabouts::Tree => continue,
                Whereabouts::Nowhere => return Err(Error::not_found("step", id)),
                Whereabouts::Archive(archived) => archived,
            };
            let (of, now) = (&archived.chain, self.clock.now());
            let text = archived.step(step).ok_or_else(|| Error::not_found("step", id))?;
            let before = Stored::<Step>::read(place, text)?;
            let Some(record) = updated((tree, chain, step), &of.aside, &before, update, terms, now)? else {
                return Ok(before.answer(place, Until::Never));
            };
            let mut rolled = of.record.clone();
            roll_up(&mut rolled, of.aside.manual, Some(before.record.status), Some(record.status), now);
            if is_terminal(rolled.status) {
                return Err(archived.refusal(step_json(tree, chain, step, &before)));
            }
            let revived = self.revive(call, &look, &archived, |txn| {
                self.change_step(txn, place, of, &before, record, terms.lease, now)
            });
            if let Some(stored) = revived.await? {
                return Ok(stored.answer(place, Until::Never));
            }
        }
        Err(too_fast())
    }

    /// Puts a changed step, its event and what follows for its chain into a transaction that checks what it was.
    #[expect(clippy::too_many_arguments, reason = "where, what it was, what it is")]
    pub(super) fn change_step(
        &self,
        txn: &mut Txn,
        id: Id,
        of: &Stored<Chain>,
        before: &Stored<Step>,
        record: Step,
        lease: Option<Lease>,
        now: Timestamp,
    ) -> Stored<Step> {
        let (tree, (chain, step)) =
            (id.tree(), if let Id::Step(_, chain, step) = id { (chain, step) } else { (0, 0) });
        let (from, to) = (before.record.status, record.status);
        let (old, body) = (before.record.body(), record.body());
        let held = before.aside.lease.filter(|_| to == StepStatus::InProgress && from == to);
        let lease = lease.filter(|_| to == StepStatus::InProgress);
        let aside = Aside { lease: lease.or(held), ..before.aside.clone() };
        let field = step_field(chain, step);
        if let Some(Lease { ms, .. }) = lease {
            self.plan_due(txn, tree, &of.aside.user, field.clone(), now.plus_ms(ms));
        } else if before.aside.lease.is_some() && aside.lease.is_none() {
            txn.effects.push(Effect::Remove { key: below_key(tree), member: field.clone() });
        }
        let after = before.next(&self.operation(), &body, record, aside);
        txn.checks.push(Check::Begins { key: tree_key(tree), field: field.clone(), with: before.prefix() });
        txn.effects.push(Effect::Put {
            key: tree_key(tree),
            field,
            text: after.text(self.policy.keeping.schema),
        });
        self.append_step(
            txn,
            id,
            step_event(from, to),
            &of.aside.user,
            now,
            &body.changes_since(&old, after.version),
        );
        if from == to {
            txn.effects.push(self.policy.keeping.slide(tree, now));
        } else {
            self.roll_into_chain(txn, tree, chain, of, of.aside.clone(), (Some(from), Some(to)), now);
        }
        after
    }

    /// Deletes a step; its number is not given again. A missing one is no error.
    /// *Atomicity*: the step, its chain and both events are one step. *Round trips*: one when both were
    /// seen before, else two.
    ///
    /// # Errors
    /// `STORAGE_INVALID` for what is no step's id, `STORAGE_ARCHIVED` when its chain is archived.
    pub async fn delete_step(&self, call: Call, id: &str) -> Result<()> {
        let (tree, chain, step) = step_id(id)?;
        let look = Look::new(tree, vec![chain_field(chain), step_field(chain, step)]);
        for _ in 0..ATTEMPTS {
            if self.delete_in_its_tree(call, &look, (chain, step)).await? {
                return Ok(());
            }
            match self.whereabouts(call, tree, chain).await? {
                Whereabouts::Tree => {}
                Whereabouts::Nowhere => return Ok(()),
                Whereabouts::Archive(archived) => {
                    let Some(text) = archived.step(step) else { return Ok(()) };
                    let stored = Stored::<Step>::read(Id::Step(tree, chain, step), text)?;
                    return Err(archived.refusal(step_json(tree, chain, step, &stored)));
                }
            }
        }
        Err(too_fast())
    }

    /// False when its chain is not in its tree.
    async fn delete_in_its_tree(&self, call: Call, look: &Look, (chain, step): (u32, u32)) -> Result<bool> {
        let tree = look.tree;
        let deleted = self.settle(call, look, |view, txn| {
            let Some(of) = chain_lying_in(tree, chain, view)? else { return Ok(Plan::Answer(false)) };
            if view.text(1).is_none() {
                return Ok(Plan::Answer(true));
            }
            let before = step_in(tree, chain, step, view)?;
            txn.deferrable = false;
            let now = self.clock.now();
            let mut fields = vec![step_field(chain, step)];
            fields.extend(before.aside.idempotency_key.as_deref().map(|key| step_key_field(chain, key)));
            txn.checks.push(Check::Begins {
                key: tree_key(tree),
                field: step_field(chain, step),
                with: before.prefix(),
            });
            txn.effects.push(Effect::Drop { key: tree_key(tree), fields });
            self.append_step(txn, Id::Step(tree, chain, step), "step:deleted", &of.aside.user, now, "{}");
            let mut aside = of.aside.clone();
            aside.gone.push(step);
            self.roll_into_chain(txn, tree, chain, &of, aside, (Some(before.record.status), None), now);
            Ok(Plan::Write(true))
        });
        deleted.await.map(|settled| settled.value)
    }
}
