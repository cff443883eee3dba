//! What an update makes of a chain: pure.

use super::chains::{chain_json, step_order};
use super::record::{Record, Stored};
use super::rollup::{State, move_chain};
use super::unchanged::Unchanged;
use super::{is_version, no_transition};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::id::{Id, Tree};
use crate::schema::{Chain, ChainUpdate};

fn check_unchanged(tree: Tree, chain: u32, update: &ChainUpdate, before: &Stored<Chain>) -> Result<()> {
    let now = &before.record;
    Unchanged::default()
        .derived("chainId", update.chain_id.as_ref(), || Id::Chain(tree, chain).text())
        .derived("sessionId", update.session_id.as_ref(), || Id::Session(tree).text())
        .derived("stepOrder", update.step_order.as_ref(), || step_order(tree, chain, &before.aside))
        .field("stepCounts", update.step_counts.as_ref(), &now.step_counts)
        .optional("startedAt", update.started_at.as_ref(), now.started_at.as_ref())
        .optional("completedAt", update.completed_at.as_ref(), now.completed_at.as_ref())
        .optional("archivedAt", update.archived_at.as_ref(), now.archived_at.as_ref())
        .field("createdAt", update.created_at.as_ref(), &now.created_at)
        .field("updatedAt", update.updated_at.as_ref(), &now.updated_at)
        .field("version", update.version.as_ref(), &before.version)
        .check()
}

/// The record after an update; nothing where nothing would change.
pub(super) fn updated(
    tree: Tree,
    chain: u32,
    before: &Stored<Chain>,
    update: &ChainUpdate,
    if_version: Option<u64>,
    now: Timestamp,
) -> Result<Option<Chain>> {
    let current = || chain_json(tree, chain, before);
    is_version(before.version, if_version, current)?;
    check_unchanged(tree, chain, update, before)?;
    let mut record = merged(&before.record, update, now);
    let (from, to) = (before.record.status, update.status.unwrap_or(before.record.status));
    if from != to {
        if !from.may_become(to) {
            return Err(no_transition("chain", from.name(), to.name(), current()));
        }
        move_chain(&mut record, to, now);
    }
    Ok(record.body().differs_from(&before.record.body()).then_some(record))
}

fn merged(before: &Chain, update: &ChainUpdate, now: Timestamp) -> Chain {
    Chain {
        title: update.title.as_ref().unwrap_or(&before.title).clone(),
        source: update.source.merged(before.source.as_ref()),
        summary: update.summary.merged(before.summary.as_ref()),
        metadata: update.metadata.as_ref().unwrap_or(&before.metadata).clone(),
        updated_at: now,
        ..before.clone()
    }
}
