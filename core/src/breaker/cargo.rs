//! What a process brings its store: the log of what happened here, or, after an outage, what it decided alone.

use super::audit::Audit;
use super::held::Scope;
use super::inner::{Entry, Inner};
use super::machine::{Verdict, apply};
use super::policy::Policy;
use super::state::State;
use super::store::{Stored, Write};

/// A write that may have been done, though its answer never came.
#[derive(Debug, Clone)]
pub(super) struct Tried {
    pub stamp: String,
    /// Entries of the log before this one were in it.
    pub carried: u64,
    pub audit: Vec<Audit>,
}

/// What is to be carried.
pub(super) struct Cargo {
    entries: Vec<Entry>,
    /// Entries before this one are in it.
    pub carried: u64,
    /// What the store is thought to hold, if that is worth a try.
    pub base: Option<Option<Stored>>,
    policy: Policy,
    stamp: String,
    /// A write that may have been done after all.
    tried: Option<Tried>,
    /// Changes of that write, once it is known to have been done.
    pub settled: Vec<Audit>,
    /// The state here, where it may be the one that counts.
    fork: Option<(State, Vec<Audit>)>,
    /// Whether what this process decided alone may count for all.
    may_decide: bool,
    /// Whether the store held it once.
    stood: bool,
}

impl Inner {
    pub fn cargo(&self, stamp: String) -> Cargo {
        let entries: Vec<Entry> = self.log.iter().cloned().collect();
        let worth = self.known && !self.is_away() && !entries.is_empty();
        Cargo {
            carried: self.next,
            base: worth.then(|| self.base.clone()),
            policy: self.policy.clone(),
            stamp,
            tried: self.tried.clone(),
            settled: Vec::new(),
            fork: (self.is_away() || self.base.is_some()).then(|| (self.state.clone(), self.unsaved.clone())),
            may_decide: self.scope != Scope::Quorum,
            stood: !self.is_away(),
            entries,
        }
    }
}

impl Cargo {
    /// A write of this cargo leaves: what is remembered in case its answer is lost.
    pub fn send(&mut self, write: &Write) -> Tried {
        let (stamp, audit) = (write.stamp.clone(), write.audit.clone());
        let tried = Tried { stamp, carried: self.carried, audit };
        self.tried = Some(tried.clone());
        tried
    }

    /// The later generation counts: what went on here while the store was away, or what went on there.
    pub fn write(&mut self, seen: Option<Stored>) -> Option<Write> {
        let done = |stored: &Stored, stamp: &str| stored.stamp.rsplit('.').next() == Some(stamp);
        let tried =
            self.tried.take_if(|tried| seen.as_ref().is_some_and(|stored| done(stored, &tried.stamp)));
        if let Some(tried) = tried {
            // Its answer was lost, not the write.
            self.entries.retain(|entry| entry.number >= tried.carried);
            self.settled = tried.audit;
            self.stood = true;
        }
        if let Some((state, audit)) = &self.fork {
            let there = seen.as_ref().map_or(0, |stored| stored.state.generation);
            let lost = seen.is_none() && state.generation > 0;
            if lost || (self.may_decide && !self.stood && state.generation > there) {
                return Some(Write {
                    stamp: self.stamp.clone(),
                    expected: seen,
                    state: state.clone(),
                    audit: audit.clone(),
                });
            }
        }
        let mut state = seen.as_ref().map(|stored| stored.state.clone()).unwrap_or_default();
        let (mut audit, mut changed) = (Vec::new(), false);
        for entry in &self.entries {
            for _ in 0..entry.times {
                let counted = (state.failures, state.successes);
                let applied = apply(&self.policy, &mut state, entry.event, entry.at, entry.chance);
                changed |= applied.verdict != Verdict::Ignored || !applied.transitions.is_empty();
                audit.extend(Audit::entries(&applied, entry.event, counted, &state, &entry.note));
            }
        }
        changed.then(|| Write { stamp: self.stamp.clone(), expected: seen, state, audit })
    }
}
