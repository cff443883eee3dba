//! Sessions.

use std::sync::Arc;

use super::event_text::Happened;
use super::record::{Aside, Body, Head, Record, Stored, UNCHANGED, fingerprint, public, tagged};
use super::rollup::{State, session_event};
use super::settle::{Look, Plan, View};
use super::tree::{KEY_ID, SESSION, idempotency_key, sessions_key, tree_key, user_partition};
use super::unchanged::Unchanged;
use super::{Call, Stores, is_version, no_transition, session_id};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::id::{Id, Tree};
use crate::key::Name;
use crate::schema::{Patch, Session, SessionData, SessionUpdate};
use crate::txn::{Check, Effect, Outcome, Query, Txn, Until};

impl Record for Session {
    fn body(&self) -> Body {
        let mut body = Body::default();
        body.field("userId", &self.user_id).field("state", &self.state);
        body.optional("title", self.title.as_ref()).field("tags", &self.tags);
        body.raw("metadata", self.metadata.text());
        body.field("createdAt", &self.created_at).field("updatedAt", &self.updated_at);
        body
    }
}

/// A session's public JSON.
pub(super) fn public_session(tree: Tree, version: u64, body: &str, until: Until) -> String {
    let id = Id::Session(tree).to_string();
    let expires_at = match until {
        Until::Never => "null".to_owned(),
        Until::At(at) => at.0.to_string(),
    };
    public(&[("sessionId", &id)], body, &[("expiresAt", &expires_at), ("version", &version.to_string())])
}

fn answer(tree: Tree, stored: &Stored<Session>, until: Until) -> String {
    tagged(&fingerprint(&stored.stamp, until), &public_session(tree, stored.version, &stored.json, until))
}

/// The session as stored in a view whose first field it is.
pub(super) fn session_in(tree: Tree, view: &View) -> Result<Stored<Session>> {
    let id = Id::Session(tree).to_string();
    let text = view.text(0).ok_or_else(|| Error::not_found("session", &id))?;
    Stored::read(&id, text)
}

fn event(kind: &str, user: &str, now: Timestamp, data: &str) -> Arc<str> {
    Happened { kind, chain: None, step: None, user, at: now, data }.text()
}

impl Stores {
    /// Creates a session.
    ///
    /// *Atomicity*: the record, its place among the user's sessions and its event are one step. *Round
    /// trips*: one; two more for a repeated idempotency key.
    ///
    /// # Errors
    /// `STORAGE_INVALID` from the caller's guard.
    pub async fn create_session(
        &self,
        call: Call,
        user: &str,
        data: SessionData,
        key: Option<&str>,
    ) -> Result<String> {
        let now = self.clock.now();
        let partition = user_partition(user);
        let tree = self.ids.tree(now, partition);
        let mut txn = Txn::new(partition, call.deadline);
        let answer = self.plan_session(&mut txn, tree, now, user, data, key);
        let mut taken = None;
        let Some(key) = key else {
            self.remember_made(tree, &txn);
            return self.backend.run(txn).await.map(|_| answer);
        };
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
                    let earlier = self.get_session(call, &id, None).await?;
                    if let Some(earlier) = earlier {
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
        let created = record.body().as_created();
        let stored = Stored::first(&self.operation(), record, aside);
        let keeping = &self.policy.keeping;
        let until = keeping.until(tree, now);
        txn.effects = vec![
            Effect::Open { key: tree_key(tree), until },
            Effect::Put { key: tree_key(tree), field: SESSION.into(), text: stored.text() },
            Effect::Add { key: sessions_key(user), member: tree.as_str().into(), score: now.0 },
            keeping.append(tree, user, now, event("session:created", user, now, &created)),
        ];
        if let Some(key) = key {
            let at = idempotency_key(user, key);
            txn.effects.push(Effect::Delete { key: at.clone() });
            txn.effects.push(Effect::Open { key: at.clone(), until });
            txn.effects.push(Effect::Put {
                key: at,
                field: KEY_ID.into(),
                text: Id::Session(tree).to_string().into(),
            });
        }
        answer(tree, &stored, until)
    }

    /// The key must be free, or still stand for the session that was found to be gone.
    fn claim(&self, txn: &mut Txn, user: &str, key: &str, taken: Option<&Arc<str>>) {
        let (key, field) = (idempotency_key(user, key), Name::from(KEY_ID));
        txn.witness = vec![Query::Record { key: key.clone(), fields: vec![field.clone()] }];
        txn.checks = vec![match taken {
            None => Check::Absent { key, field },
            Some(id) => Check::Begins { key, field, with: id.to_string() },
        }];
    }

    /// The session, or `None`; only that it is unchanged to a caller that holds the one of the tag `known`.
    /// *Round trips*: one.
    ///
    /// # Errors
    /// `STORAGE_INVALID` for what is no session's id, `STORAGE_CORRUPT` when it can't be read.
    pub async fn get_session(&self, call: Call, id: &str, known: Option<&str>) -> Result<Option<String>> {
        let tree = session_id(id)?;
        let query = Query::Record { key: tree_key(tree), fields: vec![SESSION.into()] };
        let replies = self.ask(tree.partition(), call, vec![query]).await?;
        let fields = super::settle::record(replies.into_iter().next())?;
        let Some(text) = fields.texts.into_iter().next().flatten() else { return Ok(None) };
        let head = Head::read(id, &text)?;
        let tag = fingerprint(head.stamp, fields.until);
        if known == Some(tag.as_str()) {
            return Ok(Some(UNCHANGED.to_owned()));
        }
        let json = public_session(tree, head.version, head.body, fields.until);
        self.checked::<Session>(id, &text)?;
        self.seen(tree, &SESSION.into(), Some(text));
        Ok(Some(tagged(&tag, &json)))
    }

    /// Checks a text that comes from outside this process: what memory holds was written by us.
    pub(super) fn checked<R: Record>(&self, id: &str, text: &str) -> Result<()> {
        if self.backend.info().immediate { Ok(()) } else { Stored::<R>::read(id, text).map(drop) }
    }

    pub(super) fn seen(&self, tree: Tree, field: &Name, text: Option<Arc<str>>) {
        if !self.backend.info().immediate {
            self.bases.seen(tree, field, text);
        }
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
                let current = || public_session(tree, before.version, &before.json, view.until());
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
                let after = before.next(&self.operation(), record, before.aside.clone());
                let data = body.changes_since(&old, after.version);
                txn.checks.push(Check::Begins {
                    key: tree_key(tree),
                    field: SESSION.into(),
                    with: before.prefix(),
                });
                txn.effects = vec![
                    Effect::Put { key: tree_key(tree), field: SESSION.into(), text: after.text() },
                    self.policy.keeping.append(
                        tree,
                        &user,
                        now,
                        event(session_event(from, to), &user, now, &data),
                    ),
                    self.policy.keeping.slide(tree, now),
                ];
                Ok(Plan::Write(after))
            })
            .await?;
        Ok(answer(tree, &settled.value, settled.until))
    }

    /// Deletes a session and all below it; its event stays in the user's feed. A missing one is no error.
    /// *Atomicity*: one step. *Round trips*: one when the session was seen before, else two.
    ///
    /// # Errors
    /// `STORAGE_INVALID` for what is no session's id.
    pub async fn delete_session(&self, call: Call, id: &str) -> Result<()> {
        let tree = session_id(id)?;
        let look = Look::new(tree, vec![SESSION.into()]);
        self.settle(call, &look, |view, txn| {
            if view.text(0).is_none() {
                return Ok(Plan::Answer(()));
            }
            let before = session_in(tree, view)?;
            let (now, user) = (self.clock.now(), &before.record.user_id);
            txn.checks.push(Check::Begins {
                key: tree_key(tree),
                field: SESSION.into(),
                with: before.prefix(),
            });
            txn.effects = vec![
                self.policy.keeping.append(tree, user, now, event("session:deleted", user, now, "{}")),
                Effect::Delete { key: tree_key(tree) },
                Effect::Remove { key: sessions_key(user), member: tree.as_str().into() },
            ];
            if let Some(key) = &before.aside.idempotency_key {
                txn.effects.push(Effect::Delete { key: idempotency_key(user, key) });
            }
            Ok(Plan::Write(()))
        })
        .await
        .map(drop)
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
        Ok(answer(tree, &settled.value, settled.until))
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
        .field("sessionId", update.session_id.as_ref(), &Id::Session(tree).to_string())
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
