//! Steps. Whatever happens to a step happens to its chain in the same transaction.

use std::sync::Arc;

use super::chains::{chain_in, next_of, refuse_if_terminal, step_numbers};
use super::event_text::Happened;
use super::record::{Aside, Body, Record, Stored};
use super::rollup::{State, roll_up, step_event};
use super::settle::{Look, Plan, View};
use super::told::{Seen, public, push_number, push_public, push_version};
use super::tree::{chain_field, step_field, step_key_field, tree_key};
use super::unchanged::Unchanged;
use super::{Call, Stores, chain_id, invalid, is_version, no_transition, step_id};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::id::{Id, Tree};
use crate::key::Name;
use crate::schema::{Chain, Issue, PathItem, Step, StepData, StepStatus, StepUpdate};
use crate::txn::{Check, Effect, Txn, Until};

impl Record for Step {
    fn body(&self) -> Body {
        let mut body = Body::default();
        body.field("action", &self.action).optional("model", self.model.as_ref());
        body.raw("inputs", self.inputs.text())
            .field("waitsFor", &self.waits_for)
            .field("status", &self.status);
        if let Some(result) = &self.result {
            body.raw("result", result.text());
        }
        body.optional("error", self.error.as_ref()).field("attempt", &self.attempt);
        body.optional("startedAt", self.started_at.as_ref())
            .optional("completedAt", self.completed_at.as_ref());
        body.field("createdAt", &self.created_at).field("updatedAt", &self.updated_at);
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
fn step_in(tree: Tree, chain: u32, step: u32, view: &View) -> Result<Stored<Step>> {
    let id = Id::Step(tree, chain, step);
    let text = view.text(1).ok_or_else(|| Error::not_found("step", &id.to_string()))?;
    Stored::read(id, text)
}

/// Every step that is waited for must be one of the chain, and not the waiting one itself.
fn check_waits_for(tree: Tree, chain: u32, aside: &Aside, own: u32, waits_for: &[String]) -> Result<()> {
    let exists = |id: &str| match Id::parse(id) {
        Some(Id::Step(other, of, number)) => {
            other == tree
                && of == chain
                && number != own
                && number <= aside.steps
                && !aside.gone.contains(&number)
        }
        _ => false,
    };
    let bad = waits_for.iter().enumerate().filter(|(_, id)| !exists(id));
    let issues: Vec<_> = bad
        .map(|(index, _)| {
            Issue::custom(
                &[PathItem::from("waitsFor"), PathItem::from(index)],
                "Not a step of this chain that it could wait for",
            )
        })
        .collect();
    if issues.is_empty() { Ok(()) } else { Err(invalid(issues)) }
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
    /// `STORAGE_INVALID` when it is to wait for what is no step of the chain.
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
        let settled = self
            .settle(call, &look, |view, txn| {
                let before = chain_in(tree, chain, view)?;
                if let Some(earlier) = view.text(1) {
                    return Ok(Plan::Answer(Err(earlier.to_owned())));
                }
                refuse_if_terminal(tree, chain, &before)?;
                let number = next_of(before.aside.steps)?;
                check_waits_for(tree, chain, &before.aside, number, &data.waits_for)?;
                let stored = self.plan_step(txn, tree, (chain, number), &before, &data, key);
                Ok(Plan::Write(Ok((number, stored))))
            })
            .await?;
        match settled.value {
            Ok((number, stored)) => Ok(stored.answer(Id::Step(tree, chain, number), Until::Never)),
            Err(earlier) => match self.get_step(call, &earlier, None).await? {
                Some(step) => Ok(step),
                None => {
                    self.release_key(call, tree, &look).await?;
                    Box::pin(self.create_step(call, id, data, key)).await
                }
            },
        }
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
            text: stored.text(),
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
        if_version: Option<u64>,
    ) -> Result<String> {
        let (tree, chain, step) = step_id(id)?;
        let look = Look::new(tree, vec![chain_field(chain), step_field(chain, step)]);
        let settled = self
            .settle(call, &look, |view, txn| {
                let before = step_in(tree, chain, step, view)?;
                let of = chain_in(tree, chain, view)?;
                let current = || step_json(tree, chain, step, &before);
                is_version(before.version, if_version, current)?;
                check_unchanged(tree, (chain, step), update, &before)?;
                if let Some(waits_for) = &update.waits_for {
                    check_waits_for(tree, chain, &of.aside, step, waits_for)?;
                }
                let now = self.clock.now();
                let (from, to) = (before.record.status, update.status.unwrap_or(before.record.status));
                if from != to && !from.may_become(to) {
                    return Err(no_transition("step", from.name(), to.name(), current()));
                }
                let record = merged(&moved(&before.record, to, now), update, now);
                if !record.body().differs_from(&before.record.body()) {
                    return Ok(Plan::Answer(before));
                }
                Ok(Plan::Write(self.change_step(txn, Id::Step(tree, chain, step), &of, &before, record, now)))
            })
            .await?;
        Ok(settled.value.answer(Id::Step(tree, chain, step), Until::Never))
    }

    fn change_step(
        &self,
        txn: &mut Txn,
        id: Id,
        of: &Stored<Chain>,
        before: &Stored<Step>,
        record: Step,
        now: Timestamp,
    ) -> Stored<Step> {
        let (tree, (chain, step)) =
            (id.tree(), if let Id::Step(_, chain, step) = id { (chain, step) } else { (0, 0) });
        let (from, to) = (before.record.status, record.status);
        let (old, body) = (before.record.body(), record.body());
        let after = before.next(&self.operation(), &body, record, before.aside.clone());
        let field = step_field(chain, step);
        txn.checks.push(Check::Begins { key: tree_key(tree), field: field.clone(), with: before.prefix() });
        txn.effects.push(Effect::Put { key: tree_key(tree), field, text: after.text() });
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
    /// `STORAGE_INVALID` for what is no step's id.
    pub async fn delete_step(&self, call: Call, id: &str) -> Result<()> {
        let (tree, chain, step) = step_id(id)?;
        let look = Look::new(tree, vec![chain_field(chain), step_field(chain, step)]);
        self.settle(call, &look, |view, txn| {
            if view.text(1).is_none() {
                return Ok(Plan::Answer(()));
            }
            let (of, before) = (chain_in(tree, chain, view)?, step_in(tree, chain, step, view)?);
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
            Ok(Plan::Write(()))
        })
        .await
        .map(drop)
    }

    /// The fields of all steps of a chain, in order.
    pub(super) fn step_fields(chain: u32, aside: &Aside) -> Vec<(u32, Name)> {
        step_numbers(aside).map(|step| (step, step_field(chain, step))).collect()
    }
}

/// A step in another status, with the times that belong to it. A retry starts afresh.
fn moved(before: &Step, to: StepStatus, now: Timestamp) -> Step {
    let mut step = before.clone();
    if before.status == to {
        return step;
    }
    step.status = to;
    if to == StepStatus::InProgress {
        if before.status == StepStatus::Failed {
            step.attempt += 1;
            (step.result, step.error) = (None, None);
        }
        (step.started_at, step.completed_at) = (Some(now), None);
    } else {
        step.completed_at = Some(now);
    }
    step
}

fn check_unchanged(
    tree: Tree,
    (chain, number): (u32, u32),
    update: &StepUpdate,
    before: &Stored<Step>,
) -> Result<()> {
    let now = &before.record;
    Unchanged::default()
        .field("stepId", update.step_id.as_ref(), &Id::Step(tree, chain, number).to_string())
        .field("chainId", update.chain_id.as_ref(), &Id::Chain(tree, chain).to_string())
        .field("sessionId", update.session_id.as_ref(), &Id::Session(tree).to_string())
        .field("stepNumber", update.step_number.as_ref(), &u64::from(number))
        .field("attempt", update.attempt.as_ref(), &now.attempt)
        .optional("startedAt", update.started_at.as_ref(), now.started_at.as_ref())
        .optional("completedAt", update.completed_at.as_ref(), now.completed_at.as_ref())
        .field("createdAt", update.created_at.as_ref(), &now.created_at)
        .field("updatedAt", update.updated_at.as_ref(), &now.updated_at)
        .field("version", update.version.as_ref(), &before.version)
        .check()
}

fn merged(before: &Step, update: &StepUpdate, now: Timestamp) -> Step {
    Step {
        action: update.action.as_ref().unwrap_or(&before.action).clone(),
        model: update.model.merged(before.model.as_ref()),
        inputs: update.inputs.as_ref().unwrap_or(&before.inputs).clone(),
        waits_for: update.waits_for.as_ref().unwrap_or(&before.waits_for).clone(),
        result: update.result.as_ref().or(before.result.as_ref()).cloned(),
        error: update.error.merged(before.error.as_ref()),
        updated_at: now,
        ..before.clone()
    }
}
