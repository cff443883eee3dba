//! Sessions.

use std::sync::Arc;

use super::event_text::Happened;
use super::record::{Aside, Body, Record, Stored};
use super::rollup::{State, session_event};
use super::settle::{Look, Plan, View};
use super::told::{Seen, if_there, public, push_number, push_public, push_version};
use super::tree::{
    DueKind, SESSION, archive_key, below_key, due_key, due_member, key_field, key_of_field, keys_key, letter,
    session_member, sessions_key, tree_key, user_partition,
};
use super::unchanged::Unchanged;
use super::{Call, Stores, is_version, no_transition, session_id};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::id::{Id, Tree};
use crate::run::Run;
use crate::schema::{Patch, Session, SessionData, SessionState, SessionUpdate};
use crate::txn::{Check, Effect, Outcome, Query, Txn, Until};

impl Record for Session {
    const KIND: u64 = 1;
    const TELLS_DEADLINE: bool = true;

    fn body(&self) -> Body {
        let mut body = Body::default();
        body.text("userId", &self.user_id).text("state", self.state.name());
        body.optional_text("title", self.title.as_ref()).field("tags", &self.tags);
        body.raw("metadata", self.metadata.text());
        body.time("createdAt", self.created_at).time("updatedAt", self.updated_at);
        body
    }

    fn write(seen: &Seen<'_>, out: &mut String) {
        push_public(out, &[("sessionId", seen.id)], seen);
        out.push_str(",\"expiresAt\":");
        match seen.until {
            Until::Never => out.push_str("null"),
            Until::At(at) => push_number(out, at.0),
        }
        push_version(out, seen.version);
    }
}

/// A session's public JSON.
pub(super) fn public_session(tree: Tree, stored: &Stored<Session>, until: Until) -> String {
    public::<Session>(&stored.seen(Id::Session(tree), until))
}

/// The session as stored in a view whose first field it is.
pub(super) fn session_in(tree: Tree, view: &View) -> Result<Stored<Session>> {
    let id = Id::Session(tree);
    let text = view.text(0).ok_or_else(|| Error::not_found("session", &id.to_string()))?;
    Stored::read(id, text)
}

fn event(kind: &str, user: &str, now: Timestamp, data: &str) -> Arc<str> {
    Happened { kind, chain: None, step: None, user, at: now, data }.text()
}

impl Stores {
    /// Creates a session.
    ///
    /// *Atomicity*: the record, its place among the user's sessions and its event are one step. *Round
    /// trips*: one.
    pub fn create_session(
        self: &Arc<Self>,
        call: Call,
        user: &str,
        data: SessionData,
    ) -> Run<Result<String>> {
        let (tree, mut txn, now) = self.new_tree(call, user);
        let answer = self.plan_session(&mut txn, tree, now, user, data, None);
        self.remember_made(tree, &txn);
        self.backend.run(txn).map(|outcome| outcome.map(|_| answer))
    }

    fn new_tree(&self, call: Call, user: &str) -> (Tree, Txn, Timestamp) {
        let partition = user_partition(user);
        let tree = self.ids.tree(self.clock.now(), partition);
        let mut txn = Txn::new(partition, call.deadline);
        (txn.mark, txn.deferrable) = (Some(self.ids.mark()), true);
        // The tree's own time, so that sessions are ordered by it in every list and bound.
        (tree, txn, tree.created_at())
    }

    /// Creates a session, unless one was created with this idempotency key: then it is the answer.
    ///
    /// *Atomicity*: as [`Stores::create_session`], the key included. *Round trips*: one; two more for a
    /// repeated key.
    pub async fn create_session_once(
        self: &Arc<Self>,
        call: Call,
        user: &str,
        data: SessionData,
        key: &str,
    ) -> Result<String> {
        let (tree, mut txn, now) = self.new_tree(call, user);
        let answer = self.plan_session(&mut txn, tree, now, user, data, Some(key));
        let mut taken = None;
        loop {
            let mut attempt = txn.clone();
            self.claim(&mut attempt, user, key, taken.as_ref());
            match self.backend.run(attempt).await? {
                Outcome::Committed(_) => {
                    self.remember_made(tree, &txn);
                    return Ok(answer);
                }
                Outcome::Refused(_, seen) => {
                    let fields = super::settle::record(seen.into_iter().next())?;
                    let Some(id) = fields.texts.into_iter().next().flatten() else { continue };
                    if let Some(earlier) = if_there(self.get_session(call, &id, None).await?) {
                        return Ok(earlier);
                    }
                    // That session is gone: its key is free again, unless somebody else takes it first.
                    taken = Some(id);
                }
            }
        }
    }

    fn plan_session(
        &self,
        txn: &mut Txn,
        tree: Tree,
        now: Timestamp,
        user: &str,
        data: SessionData,
        key: Option<&str>,
    ) -> String {
        let record = Session {
            user_id: user.to_owned(),
            title: data.title,
            tags: data.tags,
            metadata: data.metadata,
            created_at: now,
            updated_at: now,
            ..Session::default()
        };
        let aside = Aside { idempotency_key: key.map(ToOwned::to_owned), ..Aside::default() };
        let body = record.body();
        let created = body.as_created();
        let stored = Stored::first(&self.operation(), &body, record, aside);
        let keeping = &self.policy.keeping;
        let until = keeping.until(tree, now);
        txn.effects = vec![
            Effect::Open { key: tree_key(tree), until },
            Effect::Put {
                key: tree_key(tree),
                field: SESSION.into(),
                text: stored.text(self.policy.keeping.schema),
            },
            Effect::Add {
                key: sessions_key(user),
                member: session_member(letter(SessionState::Active), tree),
                score: 0,
            },
            keeping.append(tree, user, now, event("session:created", user, now, &created)),
        ];
        // Where the deadline moves to later is seen when it is looked at: a write does not touch this.
        let (member, at) = (due_member(DueKind::Session, tree, user), keeping.look_at(until, now));
        txn.effects.push(Effect::Add { key: due_key(), member, score: at.0 });
        if let Some(key) = key {
            let put = |field, text| Effect::Put { key: keys_key(user), field, text };
            txn.effects.push(put(key_field(key), Id::Session(tree).to_string().into()));
            txn.effects.push(put(key_of_field(tree), key.into()));
        }
        stored.answer(Id::Session(tree), until)
    }

    /// The key must be free, or still stand for the session that was found to be gone.
    fn claim(&self, txn: &mut Txn, user: &str, key: &str, taken: Option<&Arc<str>>) {
        let (at, field) = (keys_key(user), key_field(key));
        txn.witness = [Query::record(at.clone(), [field.clone()])].into();
        txn.checks = vec![match taken {
            None => Check::Absent { key: at, field },
            Some(id) => {
                if let Some(gone) = Id::parse(id) {
                    txn.effects
                        .push(Effect::Drop { key: at.clone(), fields: vec![key_of_field(gone.tree())] });
                }
                Check::Begins { key: at, field, with: id.to_string() }
            }
        }];
    }

    /// Merges an update, field by field. *Atomicity*: compare and set; two updates of different fields
    /// both survive. *Round trips*: one when the session was seen before, else two.
    ///
    /// # Errors
    /// `STORAGE_NOT_FOUND`, `STORAGE_CONFLICT` for another version than `if_version`, `STORAGE_TRANSITION`,
    /// `STORAGE_INVALID` for a change of what can't be changed.
    pub async fn update_session(
        &self,
        call: Call,
        id: &str,
        update: &SessionUpdate,
        if_version: Option<u64>,
    ) -> Result<String> {
        let tree = session_id(id)?;
        let look = Look::new(tree, vec![SESSION.into()]);
        let settled = self
            .settle(call, &look, |view, txn| {
                let before = session_in(tree, view)?;
                let current = || public_session(tree, &before, view.until());
                is_version(before.version, if_version, current)?;
                check_unchanged(tree, update, &before, view.until())?;
                let now = self.clock.now();
                let record = merged(&before.record, update, now);
                let (from, to) = (before.record.state, record.state);
                if from != to && !from.may_become(to) {
                    return Err(no_transition("session", from.name(), to.name(), current()));
                }
                let (old, body) = (before.record.body(), record.body());
                if !body.differs_from(&old) {
                    return Ok(Plan::Answer(before));
                }
                let user = record.user_id.clone();
                let after = before.next(&self.operation(), &body, record, before.aside.clone());
                let data = body.changes_since(&old, after.version);
                txn.checks.push(Check::Begins {
                    key: tree_key(tree),
                    field: SESSION.into(),
                    with: before.prefix(),
                });
                txn.effects = vec![
                    Effect::Put {
                        key: tree_key(tree),
                        field: SESSION.into(),
                        text: after.text(self.policy.keeping.schema),
                    },
                    self.policy.keeping.append(
                        tree,
                        &user,
                        now,
                        event(session_event(from, to), &user, now, &data),
                    ),
                    self.policy.keeping.slide(tree, now),
                ];
                if from != to {
                    let key = || sessions_key(&user);
                    let member = |state| session_member(letter(state), tree);
                    txn.effects.push(Effect::Remove { key: key(), member: member(from) });
                    txn.effects.push(Effect::Add { key: key(), member: member(to), score: 0 });
                }
                Ok(Plan::Write(after))
            })
            .await?;
        Ok(settled.value.answer(Id::Session(tree), settled.until))
    }

    /// Deletes a session and all below it, its archive included, also one that has outlived it; its event stays in the
    /// user's feed. A missing one is no error. *Atomicity*: one step. *Round trips*: one when the session was seen before,
    /// else two; three for one that is gone.
    ///
    /// # Errors
    /// `STORAGE_INVALID` for what is no session's id.
    pub async fn delete_session(&self, call: Call, id: &str) -> Result<()> {
        let tree = session_id(id)?;
        let look = Look::new(tree, vec![SESSION.into()]);
        let deleted = self.settle(call, &look, |view, txn| {
            if view.text(0).is_none() {
                return Ok(Plan::Answer(false));
            }
            let before = session_in(tree, view)?;
            txn.deferrable = false;
            let (now, user) = (self.clock.now(), &before.record.user_id);
            txn.checks.push(Check::Begins {
                key: tree_key(tree),
                field: SESSION.into(),
                with: before.prefix(),
            });
            txn.effects = vec![
                self.policy.keeping.append(tree, user, now, event("session:deleted", user, now, "{}")),
                Effect::Delete { key: tree_key(tree) },
                Effect::Delete { key: archive_key(tree) },
                Effect::Delete { key: below_key(tree) },
                Effect::Remove {
                    key: sessions_key(user),
                    member: session_member(letter(before.record.state), tree),
                },
                Effect::Remove { key: due_key(), member: due_member(DueKind::Session, tree, user) },
            ];
            if let Some(key) = &before.aside.idempotency_key {
                let fields = vec![key_field(key), key_of_field(tree)];
                txn.effects.push(Effect::Drop { key: keys_key(user), fields });
            }
            Ok(Plan::Write(true))
        });
        if deleted.await?.value { Ok(()) } else { self.delete_archive(call, tree).await }
    }

    /// Moves the deadline of a session's tree forward. Changes nothing else and appends no event.
    ///
    /// # Errors
    /// `STORAGE_NOT_FOUND`.
    pub async fn touch_session(&self, call: Call, id: &str) -> Result<String> {
        let tree = session_id(id)?;
        let look = Look::new(tree, vec![SESSION.into()]);
        let settled = self
            .settle(call, &look, |view, txn| {
                let before = session_in(tree, view)?;
                txn.checks.push(Check::Begins {
                    key: tree_key(tree),
                    field: SESSION.into(),
                    with: before.prefix(),
                });
                txn.effects.push(self.policy.keeping.slide(tree, self.clock.now()));
                Ok(Plan::Write(before))
            })
            .await?;
        Ok(settled.value.answer(Id::Session(tree), settled.until))
    }
}

fn check_unchanged(tree: Tree, update: &SessionUpdate, before: &Stored<Session>, until: Until) -> Result<()> {
    let expires_at = match &update.expires_at {
        Patch::Keep => None,
        Patch::Clear => Some(Until::Never),
        Patch::Set(at) => Some(Until::At(*at)),
    };
    let session = &before.record;
    Unchanged::default()
        .derived("sessionId", update.session_id.as_ref(), || Id::Session(tree).text())
        .field("userId", update.user_id.as_ref(), &session.user_id)
        .field("createdAt", update.created_at.as_ref(), &session.created_at)
        .field("updatedAt", update.updated_at.as_ref(), &session.updated_at)
        .field("expiresAt", expires_at.as_ref(), &until)
        .field("version", update.version.as_ref(), &before.version)
        .check()
}

fn merged(before: &Session, update: &SessionUpdate, now: Timestamp) -> Session {
    Session {
        title: update.title.merged(before.title.as_ref()),
        tags: update.tags.as_ref().unwrap_or(&before.tags).clone(),
        metadata: update.metadata.as_ref().unwrap_or(&before.metadata).clone(),
        state: update.state.unwrap_or(before.state),
        updated_at: now,
        ..before.clone()
    }
}
