//! What is archived: chains at their end, with their steps, out of their tree, read-only and in one piece each.
//!
//! An archive is one record beside its tree, with a deadline of its own: `c<n>` is a chain and `p<n>` its steps, each a
//! [`Bundle`] of what lay in the tree; `u` is the user. A chain goes there with the write that ends it, by two moves
//! within the server: none of its steps has to be known here. A sweep makes the steps small (`compact.rs`). A chain comes
//! back with the write that revives it.

use std::borrow::Cow;
use std::sync::Arc;

use super::chains::{chain_happened, chain_json, step_numbers};
use super::press::plain;
use super::record::{Aside, BEFORE_ARCHIVES, Record, Stored};
use super::rollup::is_terminal;
use super::settle::{Look, record};
use super::tree::{
    ARCHIVED, DueKind, SESSION, archive_key, below_key, chain_field, chain_key_field, chain_of_field,
    due_key, due_member, session_member, sessions_key, step_field, step_of_field, steps_field, tree_key,
};
use super::{Call, Stores};
use crate::clock::Timestamp;
use crate::error::{Code, Detail, Error, Result};
use crate::id::{Id, LAST_POSITION, Tree};
use crate::key::Name;
use crate::schema::Chain;
use crate::txn::{Bundle, Check, Effect, Outcome, Query, Reply, Txn};

/// The field of an archive that names its user.
pub(super) const OWNER: &str = "u";

/// A chain as it lies in the archive.
#[derive(Debug, Clone)]
pub(super) struct Archived {
    tree: Tree,
    pub number: u32,
    pub chain: Stored<Chain>,
    /// The session is still there.
    pub session: bool,
    /// The texts of its steps, by their numbers and in their order.
    pub steps: Vec<(u32, Arc<str>)>,
    /// What the archive's field begins with as long as it holds this very version.
    begins: String,
}

/// Where a chain is.
pub(super) enum Whereabouts {
    Tree,
    Archive(Box<Archived>),
    Nowhere,
}

impl Archived {
    /// A step's text.
    pub fn step(&self, number: u32) -> Option<&Arc<str>> {
        self.steps.iter().find(|(known, _)| *known == number).map(|(_, text)| text)
    }

    /// A transaction that holds only as long as the chain lies there as it was seen.
    pub fn txn(&self, call: Call) -> Txn {
        let mut txn = Txn::new(self.tree.partition(), call.deadline);
        let (key, field) = (archive_key(self.tree), chain_field(self.number));
        txn.checks.push(Check::Begins { key, field, with: self.begins.clone() });
        let (key, field) = (tree_key(self.tree), SESSION.into());
        txn.checks.push(if self.session {
            Check::Present { key, field }
        } else {
            Check::Absent { key, field }
        });
        txn
    }

    fn fields(&self) -> Vec<Name> {
        vec![chain_field(self.number), steps_field(self.number)]
    }

    /// Takes it out of the archive, and puts its steps back into the tree.
    pub fn bring_back(&self, txn: &mut Txn) {
        txn.effects.push(Effect::Drop { key: archive_key(self.tree), fields: self.fields() });
        let put = |(step, text): &(u32, Arc<str>)| {
            let field = step_field(self.number, *step);
            Effect::Put { key: tree_key(self.tree), field, text: Arc::clone(text) }
        };
        txn.effects.extend(self.steps.iter().map(put));
    }

    /// That nothing of it can be changed; `current` is the record that was to be.
    pub fn refusal(&self, current: String) -> Error {
        let detail = Detail { current: Some(current), ..Detail::default() };
        let id = Id::Chain(self.tree, self.number);
        let message = format!("{id} is archived: it and its steps can only be read, or revived by a retry");
        Error::new(Code::Archived, message).with(detail)
    }

    pub fn json(&self) -> String {
        chain_json(self.tree, self.number, &self.chain)
    }
}

/// The one text of a bundle of one.
fn only(bundle: &str) -> Option<(&str, &str)> {
    Bundle(bundle).next()
}

/// What the bundle of a chain begins with as long as it is of this very version.
pub(super) fn begins(bundle: &str) -> Option<&str> {
    // `<name> <bytes>:<stamp> `, and the rest.
    let (end, _) = bundle.match_indices(' ').nth(1)?;
    bundle.get(..=end)
}

/// The steps of an archive's field.
pub(super) fn archived_steps(chain: Id, text: &str) -> Result<Cow<'_, str>> {
    plain(text).ok_or_else(|| Error::corrupt(&chain.to_string(), "the steps of its archive are damaged"))
}

/// The chain of an archive's field.
pub(super) fn archived_chain(id: Id, bundle: &str) -> Result<Stored<Chain>> {
    let (_, text) = only(bundle).ok_or_else(|| Error::corrupt(&id.to_string(), "its bundle is none"))?;
    Stored::read(id, text)
}

impl Stores {
    /// Where a chain is at one moment, with all that belongs to it if it is archived. *Round trips*: one.
    pub(super) async fn whereabouts(&self, call: Call, tree: Tree, number: u32) -> Result<Whereabouts> {
        let field = chain_field(number);
        let queries = vec![
            Query::record(tree_key(tree), [field.clone(), SESSION.into()]),
            Query::record(archive_key(tree), [field, steps_field(number)]),
        ];
        let mut replies = self.ask(tree.partition(), call, queries).await?.into_iter();
        let (here, there) = (record(replies.next())?.texts, record(replies.next())?.texts);
        let text = |texts: &[Option<Arc<str>>], place: usize| texts.get(place).cloned().flatten();
        if text(&here, 0).is_some() {
            return Ok(Whereabouts::Tree);
        }
        let Some(bundle) = text(&there, 0) else { return Ok(Whereabouts::Nowhere) };
        let chain = archived_chain(Id::Chain(tree, number), &bundle)?;
        let begins = begins(&bundle).map(ToOwned::to_owned);
        let steps = text(&there, 1).unwrap_or_default();
        let steps = archived_steps(Id::Chain(tree, number), &steps)?;
        let steps = Bundle(&steps).filter_map(|(name, text)| Some((step_of_field(name)?.1, Arc::from(text))));
        let (session, steps, begins) =
            (text(&here, 1).is_some(), steps.collect(), begins.unwrap_or_default());
        Ok(Whereabouts::Archive(Box::new(Archived { tree, number, chain, session, steps, begins })))
    }

    /// Whether a chain that ends is archived with the same write.
    pub(super) fn archives_at_once(&self, chain: &Chain) -> bool {
        let keeping = &self.policy.keeping;
        keeping.archive_after_ms == Some(0)
            && keeping.schema > BEFORE_ARCHIVES
            && is_terminal(chain.status)
            && chain.archived_at.is_none()
    }

    /// The next version of a chain, as it lies in the archive.
    pub(super) fn as_archived(&self, ended: &Stored<Chain>, now: Timestamp) -> Stored<Chain> {
        let archived = Chain { archived_at: Some(now), updated_at: now, ..ended.record.clone() };
        ended.next(&self.operation(), &archived.body(), archived, ended.aside.clone())
    }

    /// Moves a chain, whose field in the tree holds `stored` by then, and its steps to the archive, with the event.
    pub(super) fn plan_archive(
        &self,
        txn: &mut Txn,
        tree: Tree,
        number: u32,
        stored: &Stored<Chain>,
        now: Timestamp,
    ) {
        let (keeping, user) = (&self.policy.keeping, &stored.aside.user);
        let data = format!("{{\"archivedAt\":\"{now}\",\"version\":{}}}", stored.version);
        let happened = chain_happened("chain:archived", Id::Chain(tree, number), user, now, &data);
        txn.effects.push(keeping.append(tree, user, now, happened));
        let (key, to) = (tree_key(tree), archive_key(tree));
        let mut bundle = |fields: Vec<Name>, field| {
            txn.effects.push(Effect::Move { key: key.clone(), fields, to: to.clone(), field });
        };
        bundle(vec![chain_field(number)], chain_field(number));
        let steps: Vec<Name> = step_numbers(&stored.aside).map(|step| step_field(number, step)).collect();
        if !steps.is_empty() {
            bundle(steps, steps_field(number));
            self.plan_compact(tree, number, now);
        }
        let (key, field) = (to.clone(), OWNER.into());
        txn.effects.push(Effect::Put { key, field, text: user.as_str().into() });
        txn.effects.push(Effect::Hold { key: to, until: keeping.archive_until(now) });
    }

    /// Notes when a chain that has ended is to be archived, where that is not at once.
    pub(super) fn plan_archive_later(
        &self,
        txn: &mut Txn,
        tree: Tree,
        number: u32,
        aside: &Aside,
        now: Timestamp,
    ) {
        let keeping = &self.policy.keeping;
        if let Some(ms) = keeping.archive_after_ms.filter(|ms| *ms > 0 && keeping.schema > BEFORE_ARCHIVES) {
            self.plan_due(txn, tree, &aside.user, chain_field(number), now.plus_ms(ms));
        }
    }

    /// Notes that something below a session is due then: the sweep looks at its tree.
    pub(super) fn plan_due(&self, txn: &mut Txn, tree: Tree, user: &str, member: Name, at: Timestamp) {
        txn.effects.push(Effect::Add { key: below_key(tree), member, score: at.0 });
        let member = due_member(DueKind::Session, tree, user);
        txn.effects.push(Effect::Lower { key: due_key(), member, score: at.0 });
        self.sweeper.expect(at, tree.partition());
    }

    /// Brings a chain back into its tree with the change that `change` plans; nothing when it lies in the archive no more.
    ///
    /// # Errors
    /// `STORAGE_NOT_FOUND` when the session is gone: what is left of it can only be read.
    pub(super) async fn revive<T>(
        &self,
        call: Call,
        look: &Look,
        archived: &Archived,
        change: impl FnOnce(&mut Txn) -> T,
    ) -> Result<Option<T>> {
        let tree = archived.tree;
        if !archived.session {
            return Err(Error::not_found("session", &Id::Session(tree).to_string()));
        }
        let mut txn = archived.txn(call);
        archived.bring_back(&mut txn);
        let checks = std::mem::take(&mut txn.checks);
        let value = change(&mut txn);
        // The change's own checks look for what it was in the tree, where it was not.
        txn.checks = checks;
        txn.witness.push(look.query());
        txn.mark = Some(self.ids.mark());
        Ok(self.commit(look, txn).await?.ok().map(|_| value))
    }

    /// Deletes an archived chain; false when it lies there no more.
    pub(super) async fn delete_archived(&self, call: Call, archived: &Archived) -> Result<bool> {
        let (tree, number, now) = (archived.tree, archived.number, self.clock.now());
        let (keeping, aside) = (&self.policy.keeping, &archived.chain.aside);
        let data = format!("{{\"steps\":{}}}", archived.chain.record.step_counts.total);
        let happened = chain_happened("chain:deleted", Id::Chain(tree, number), &aside.user, now, &data);
        let mut txn = archived.txn(call);
        txn.mark = archived.session.then(|| self.ids.mark());
        txn.effects.push(Effect::Drop { key: archive_key(tree), fields: archived.fields() });
        if archived.session {
            let key = aside.idempotency_key.as_deref().map(chain_key_field);
            txn.effects.push(Effect::Drop { key: tree_key(tree), fields: key.into_iter().collect() });
            txn.effects.push(keeping.append(tree, &aside.user, now, happened));
            txn.effects.push(keeping.slide(tree, now));
        } else {
            // The log is gone; only the feed is left to tell. No two chains have this position.
            let position = LAST_POSITION - u64::from(number);
            txn.effects.push(keeping.announce(tree, &aside.user, now, position, happened));
        }
        Ok(matches!(self.backend.run(txn).await?, Outcome::Committed(_)))
    }

    /// Deletes what a session that is gone has left archived.
    pub(super) async fn delete_archive(&self, call: Call, tree: Tree) -> Result<()> {
        let owner = Query::record(archive_key(tree), [OWNER.into()]);
        let replies = self.ask(tree.partition(), call, vec![owner]).await?;
        let Some(user) = record(replies.into_iter().next())?.texts.into_iter().next().flatten() else {
            return Ok(());
        };
        let mut txn = Txn::new(tree.partition(), call.deadline);
        txn.checks.push(Check::Absent { key: tree_key(tree), field: SESSION.into() });
        txn.effects = vec![
            Effect::Delete { key: archive_key(tree) },
            Effect::Remove { key: sessions_key(&user), member: session_member(ARCHIVED, tree) },
            Effect::Remove { key: due_key(), member: due_member(DueKind::Archive, tree, &user) },
        ];
        self.backend.run(txn).await.map(drop)
    }

    /// The numbers of the archived chains of a session that may be gone; `None` when there is no archive.
    pub(super) async fn archived_numbers(&self, call: Call, tree: Tree) -> Result<Option<Vec<u32>>> {
        let names = Query::Names { key: archive_key(tree) };
        match self.ask(tree.partition(), call, vec![names]).await?.pop() {
            Some(Reply::Members(names)) if names.iter().any(|name| name == OWNER) => {
                Ok(Some(names.iter().filter_map(|name| chain_of_field(name)).collect()))
            }
            Some(Reply::Members(_)) => Ok(None),
            _ => Err(Error::internal("a question for names was answered by something else")),
        }
    }
}
