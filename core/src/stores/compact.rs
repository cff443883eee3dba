//! What is archived becomes small, a little after it was archived.
//!
//! A chain goes to the archive by moves within the server, so whoever ends it need not know its steps; they are pressed by a
//! sweep, which reads them once. Whoever archived a chain remembers to do so. What was forgotten, because that process
//! ended, is done by whoever notes the end of the session.

use std::sync::Arc;

use super::archive::begins;
use super::press::pressed;
use super::settle::record;
use super::tree::{archive_key, chain_field, steps_field};
use super::{Call, Stores};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::id::Tree;
use crate::txn::{Check, Effect, Fields, Outcome, Query, Txn};

/// For how long an archived chain is left as it is, in ms: one that failed is often retried at once.
const SETTLES: u64 = 1_000;
/// Chains that are looked at together.
const AT_ONCE: usize = 32;
/// Bytes of steps that a sweep reads before it leaves the rest to the next one, so that no other call waits for long.
const A_SWEEP: usize = 4 << 20;
/// Steps that are larger stay as they are: each of their readers would wait for them to become plain again.
const LARGEST: usize = 8 << 20;

impl Stores {
    /// Notes that a chain which is archived now is to be made small.
    pub(super) fn plan_compact(&self, tree: Tree, chain: u32, now: Timestamp) {
        self.sweeper.expect_archived(now.plus_ms(SETTLES), tree, chain);
    }

    /// Notes the same for all that a session has left behind.
    pub(super) async fn expect_to_compact(&self, call: Call, tree: Tree, left: bool) -> Result<()> {
        let numbers = if left { self.archived_numbers(call, tree).await? } else { None };
        let now = self.clock.now();
        numbers.into_iter().flatten().for_each(|chain| self.sweeper.expect_archived(now, tree, chain));
        Ok(())
    }

    /// Makes small what this instance has archived: how many chains that were. *Round trips*: two for each 32.
    pub(super) async fn compact(&self, call: Call) -> Result<u64> {
        let (mut compacted, mut read) = (0, 0);
        while read < A_SWEEP && self.clock.now() < call.deadline {
            let chains = self.sweeper.next_archived(AT_ONCE, self.clock.now());
            if chains.is_empty() {
                break;
            }
            let done = self.compact_some(call, &chains, &mut read).await;
            if done.is_err() {
                // Not answered: the next sweep looks at them again.
                chains.into_iter().for_each(|(tree, chain)| self.plan_compact(tree, chain, self.clock.now()));
            }
            compacted += done?;
        }
        Ok(compacted)
    }

    async fn compact_some(&self, call: Call, chains: &[(Tree, u32)], read: &mut usize) -> Result<u64> {
        let look = |(tree, chain): &(Tree, u32)| {
            let fields = vec![chain_field(*chain), steps_field(*chain)];
            let query = Query::record(archive_key(*tree), fields);
            self.backend.run(Txn::read(tree.partition(), call.deadline, [query]))
        };
        // All are asked before the first answer is awaited, and so are the writes.
        let looks: Vec<_> = chains.iter().map(look).collect();
        let mut writes = Vec::new();
        for ((tree, chain), look) in chains.iter().zip(looks) {
            let Outcome::Committed(replies) = look.await? else { continue };
            let seen = record(replies.into_iter().next())?;
            *read += seen.texts.iter().flatten().map(|text| text.len()).sum::<usize>();
            writes.extend(plan_press(call, *tree, *chain, &seen).map(|txn| self.backend.run(txn)));
        }
        let mut compacted = 0;
        for write in writes {
            compacted += u64::from(matches!(write.await?, Outcome::Committed(_)));
        }
        Ok(compacted)
    }
}

/// Puts the steps down pressed, if they still lie there with the very chain that they were seen with; nothing where they
/// are as small as they will be.
fn plan_press(call: Call, tree: Tree, chain: u32, seen: &Fields) -> Option<Txn> {
    let [Some(bundle), Some(steps)] = seen.texts.as_slice() else { return None };
    let (with, text) = (begins(bundle)?, Some(steps).filter(|steps| steps.len() <= LARGEST)?);
    let mut txn = Txn::new(tree.partition(), call.deadline);
    txn.checks.push(Check::Begins {
        key: archive_key(tree),
        field: chain_field(chain),
        with: with.to_owned(),
    });
    let text: Arc<str> = pressed(text)?.into();
    txn.effects.push(Effect::Put { key: archive_key(tree), field: steps_field(chain), text });
    Some(txn)
}
