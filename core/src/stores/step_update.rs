//! What an update makes of a step: pure.

use super::record::{Aside, Lease, Record, Stored};
use super::rollup::State;
use super::steps::step_json;
use super::unchanged::Unchanged;
use super::{invalid, is_version, no_transition};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::id::{Id, Tree};
use crate::schema::{Issue, PathItem, Step, StepStatus, StepUpdate};

/// What an update of a step asks for beside its fields.
#[derive(Debug, Default, Clone, Copy)]
pub struct StepTerms {
    pub if_version: Option<u64>,
    /// The attempt whose worker calls: the step must be in progress in it.
    pub if_attempt: Option<u64>,
    pub(super) lease: Option<Lease>,
}

impl StepTerms {
    /// Without a lease.
    #[must_use]
    pub fn new(if_version: Option<u64>, if_attempt: Option<u64>) -> Self {
        Self { if_version, if_attempt, lease: None }
    }

    /// With a lease: the worker may be silent for so long. `retry`: then the step goes back to pending.
    #[must_use]
    pub fn leased(self, ms: u64, retry: bool) -> Self {
        Self { lease: Some(Lease { ms, retry }), ..self }
    }
}

/// Whoever says which attempt it works on must still be at work on it.
pub(super) fn is_attempt(
    place: (Tree, u32, u32),
    before: &Stored<Step>,
    wanted: Option<u64>,
    to: StepStatus,
) -> Result<()> {
    let (record, (tree, chain, step)) = (&before.record, place);
    let at_work = |attempt| record.status == StepStatus::InProgress && record.attempt == attempt;
    if wanted.is_none_or(at_work) {
        return Ok(());
    }
    Err(no_transition("step", record.status.name(), to.name(), step_json(tree, chain, step, before)))
}

/// The record after an update; nothing where nothing would change.
pub(super) fn updated(
    (tree, chain, step): (Tree, u32, u32),
    of: &Aside,
    before: &Stored<Step>,
    update: &StepUpdate,
    terms: &StepTerms,
    now: Timestamp,
) -> Result<Option<Step>> {
    let current = || step_json(tree, chain, step, before);
    is_version(before.version, terms.if_version, current)?;
    check_unchanged(tree, (chain, step), update, before)?;
    if let Some(waits_for) = &update.waits_for {
        check_waits_for(tree, chain, of, step, waits_for)?;
    }
    let (from, to) = (before.record.status, update.status.unwrap_or(before.record.status));
    is_attempt((tree, chain, step), before, terms.if_attempt, to)?;
    if from != to && !from.may_become(to) {
        return Err(no_transition("step", from.name(), to.name(), current()));
    }
    let record = merged(&moved(&before.record, to, now), update, now);
    let leased = terms.lease.is_some() && to == StepStatus::InProgress;
    Ok((leased || record.body().differs_from(&before.record.body())).then_some(record))
}

/// A step in another status, with the times that belong to it. A retry starts afresh.
pub(super) fn moved(before: &Step, to: StepStatus, now: Timestamp) -> Step {
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
        .derived("stepId", update.step_id.as_ref(), || Id::Step(tree, chain, number).text())
        .derived("chainId", update.chain_id.as_ref(), || Id::Chain(tree, chain).text())
        .derived("sessionId", update.session_id.as_ref(), || Id::Session(tree).text())
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

/// Every step that is waited for must be one of the chain, and not the waiting one itself.
pub(super) fn check_waits_for(
    tree: Tree,
    chain: u32,
    aside: &Aside,
    own: u32,
    waits_for: &[String],
) -> Result<()> {
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
