//! Steps whose worker has to be heard of: a lease is drawn out by heartbeats, and one that runs out is ended once.

use super::archive::Whereabouts;
use super::chains::chain_lying_in;
use super::record::{BEFORE_ARCHIVES, Lease, Stored};
use super::rollup::{State, is_terminal};
use super::settle::{ATTEMPTS, Look, Plan, too_fast};
use super::step_update::{is_attempt, moved};
use super::steps::{step_in, step_json};
use super::tree::{below_key, chain_field, step_field, tree_key};
use super::{Call, Stores, no_transition, step_id};
use crate::error::{Error, Result};
use crate::id::{Id, Tree};
use crate::schema::{Step, StepStatus};
use crate::txn::{Check, Effect, Txn, Until};

/// The error of a step whose worker fell silent.
const LOST: &str = "lost";

impl Stores {
    /// Whether the form in which records are written knows leases.
    #[must_use]
    pub fn leases(&self) -> bool {
        self.policy.keeping.schema > BEFORE_ARCHIVES
    }

    /// Draws out the lease of a step that is in progress: its worker may be silent for as long again, from now on.
    ///
    /// *Atomicity*: the step must still be in progress under its lease in the same step. The record stays as it is, and no
    /// event is appended; the session's deadline moves. *Round trips*: one when the step was seen before, else two.
    ///
    /// # Errors
    /// `STORAGE_NOT_FOUND`; `STORAGE_TRANSITION` from what the step is by now to `in_progress` when it is not in progress under a
    /// lease, or not in the attempt that the caller names.
    pub async fn heartbeat_step(&self, call: Call, id: &str, if_attempt: Option<u64>) -> Result<String> {
        let (tree, chain, step) = step_id(id)?;
        let place = Id::Step(tree, chain, step);
        let look = Look::new(tree, vec![chain_field(chain), step_field(chain, step)]);
        let late = |before: &Stored<Step>| {
            let from = before.record.status.name();
            no_transition("step", from, StepStatus::InProgress.name(), step_json(tree, chain, step, before))
        };
        for _ in 0..ATTEMPTS {
            let settled = self.settle(call, &look, |view, txn| {
                if chain_lying_in(tree, chain, view)?.is_none() {
                    return Ok(Plan::Answer(None));
                }
                let before = step_in(tree, chain, step, view)?;
                is_attempt((tree, chain, step), &before, if_attempt, StepStatus::InProgress)?;
                let Some(Lease { ms, .. }) = before.aside.lease else { return Err(late(&before)) };
                let (now, field) = (self.clock.now(), step_field(chain, step));
                txn.deferrable = false;
                txn.mark = None;
                txn.checks.push(Check::Begins {
                    key: tree_key(tree),
                    field: field.clone(),
                    with: before.prefix(),
                });
                // What is due of the tree is looked at no later than the lease would have ended: that is soon enough.
                txn.effects.push(Effect::Add {
                    key: below_key(tree),
                    member: field,
                    score: now.plus_ms(ms).0,
                });
                txn.effects.push(self.policy.keeping.slide(tree, now));
                Ok(Plan::Write(Some(before)))
            });
            if let Some(stored) = settled.await?.value {
                return Ok(stored.answer(place, Until::Never));
            }
            match self.whereabouts(call, tree, chain).await? {
                Whereabouts::Tree => {}
                Whereabouts::Nowhere => return Err(Error::not_found("step", id)),
                Whereabouts::Archive(archived) => {
                    let text = archived.step(step).ok_or_else(|| Error::not_found("step", id))?;
                    return Err(late(&Stored::read(place, text)?));
                }
            }
        }
        Err(too_fast())
    }

    /// Ends a lease that is due: the step fails as lost, or goes back to pending. True if it was this call that did it.
    ///
    /// What is not so any more (the step is done, or gone) only leaves the list of what is due.
    pub(super) async fn end_lease(&self, call: Call, tree: Tree, (chain, step): (u32, u32)) -> Result<bool> {
        let (place, field) = (Id::Step(tree, chain, step), step_field(chain, step));
        let look = Look::new(tree, vec![chain_field(chain), field.clone()]);
        let view = self.look(call, &look).await?;
        let now = self.clock.now();
        let mut txn = Txn::new(tree.partition(), call.deadline);
        txn.witness.push(look.query());
        txn.mark = Some(self.ids.mark());
        // A heartbeat may have come since, or another sweep.
        txn.checks.push(Check::Due { key: below_key(tree), member: field.clone(), by: now.0 });
        let of = chain_lying_in(tree, chain, &view)?;
        let before = if of.is_some() && view.text(1).is_some() {
            Some(step_in(tree, chain, step, &view)?)
        } else {
            None
        };
        let Some((of, before, lease)) =
            of.zip(before).and_then(|(of, before)| before.aside.lease.map(|lease| (of, before, lease)))
        else {
            txn.mark = None;
            txn.effects.push(Effect::Remove { key: below_key(tree), member: field });
            self.backend.run(txn).await?;
            return Ok(false);
        };
        let record = if lease.retry {
            let record = &before.record;
            let attempt = record.attempt + 1;
            Step { status: StepStatus::Pending, attempt, started_at: None, updated_at: now, ..record.clone() }
        } else {
            let failed = moved(&before.record, StepStatus::Failed, now);
            Step { error: Some(LOST.to_owned()), updated_at: now, ..failed }
        };
        self.change_step(&mut txn, place, &of, &before, record, None, now);
        Ok(self.commit(&look, txn).await?.is_ok())
    }

    /// Archives a chain whose time has come. True if it was this call that did it.
    pub(super) async fn archive_due(&self, call: Call, tree: Tree, chain: u32) -> Result<bool> {
        let look = Look::new(tree, vec![chain_field(chain)]);
        let view = self.look(call, &look).await?;
        let now = self.clock.now();
        let mut txn = Txn::new(tree.partition(), call.deadline);
        txn.witness.push(look.query());
        let (key, member) = (below_key(tree), chain_field(chain));
        txn.checks.push(Check::Due { key: key.clone(), member: member.clone(), by: now.0 });
        txn.effects.push(Effect::Remove { key, member });
        let ended = chain_lying_in(tree, chain, &view)?.filter(|stored| is_terminal(stored.record.status));
        let Some(before) = ended else {
            self.backend.run(txn).await?;
            return Ok(false);
        };
        txn.mark = Some(self.ids.mark());
        let stored = self.as_archived(&before, now);
        let (key, field) = (tree_key(tree), chain_field(chain));
        txn.checks.push(Check::Begins { key: key.clone(), field: field.clone(), with: before.prefix() });
        txn.effects.push(Effect::Put { key, field, text: stored.text(self.policy.keeping.schema) });
        self.plan_archive(&mut txn, tree, chain, &stored, now);
        Ok(self.commit(&look, txn).await?.is_ok())
    }
}
