//! Reading one record: one question, one answer.

use std::pin::pin;
use std::sync::Arc;

use super::archive::archived_steps;
use super::record::{Head, Record, Stored};
use super::told::{NOTHING, Seen, Tag, UNCHANGED, fingerprint, tagged};
use super::tree::{SESSION, archive_key, chain_field, step_field, steps_field, tree_key};
use super::{Call, Stores, chain_id, session_id, settle, step_id};
use crate::error::Result;
use crate::id::{Id, Tree};
use crate::key::Name;
use crate::provenance::{self, Provenance};
use crate::run::{Run, poll_now};
use crate::schema::{Chain, Session, Step};
use crate::txn::{Bundle, Few, Outcome, Query, Txn, Until};

/// A record's text, or that there is none.
type Found = Result<Option<String>>;

/// A record's tag, by what it is told from.
pub(super) fn tag_of<R: Record>(head: &Head<'_>, until: Until) -> Tag {
    fingerprint(head.stamp, if R::TELLS_DEADLINE { until } else { Until::Never })
}

fn told(found: Found) -> Result<String> {
    found.map(|text| text.unwrap_or_else(|| NOTHING.to_owned()))
}

impl Stores {
    /// The session, or `null`; only that it is unchanged to a caller that holds the one of the tag `known`.
    /// *Round trips*: one.
    ///
    /// *Errors*: `STORAGE_INVALID` for what is no session's id, `STORAGE_CORRUPT` when it can't be read.
    pub fn get_session(self: &Arc<Self>, call: Call, id: &str, known: Option<&str>) -> Run<Result<String>> {
        match session_id(id) {
            Ok(tree) => self.get::<Session>(call, Id::Session(tree), SESSION.into(), known, None),
            Err(error) => Run::now(Err(error)),
        }
    }

    /// The chain, or `null`; otherwise as [`Stores::get_session`]. *Round trips*: one; two for what is archived or not there.
    pub fn get_chain(self: &Arc<Self>, call: Call, id: &str, known: Option<&str>) -> Run<Result<String>> {
        match chain_id(id) {
            Ok((tree, chain)) => {
                let field = chain_field(chain);
                self.get::<Chain>(call, Id::Chain(tree, chain), field.clone(), known, Some(field))
            }
            Err(error) => Run::now(Err(error)),
        }
    }

    /// The step, or `null`; otherwise as [`Stores::get_chain`]. An archived one brings its chain's other steps to this process.
    pub fn get_step(self: &Arc<Self>, call: Call, id: &str, known: Option<&str>) -> Run<Result<String>> {
        match step_id(id) {
            Ok((tree, chain, step)) => {
                let (field, archived) = (step_field(chain, step), Some(steps_field(chain)));
                self.get::<Step>(call, Id::Step(tree, chain, step), field, known, archived)
            }
            Err(error) => Run::now(Err(error)),
        }
    }

    /// `archived` is the field of the archive where it may be, too.
    fn get<R: Record>(
        self: &Arc<Self>,
        call: Call,
        id: Id,
        field: Name,
        known: Option<&str>,
        archived: Option<Name>,
    ) -> Run<Result<String>> {
        let query = Query::record(tree_key(id.tree()), [field.clone()]);
        let txn = Txn::read(id.tree().partition(), call.deadline, [query]);
        let (stores, known) = (Arc::clone(self), known.map(Tag::told));
        let first = move |stores: &Self, outcome: Result<Outcome>, field: &Name, known: Option<&Tag>| {
            match outcome? {
                Outcome::Committed(replies) => {
                    let fields = settle::record(replies.into_iter().next())?;
                    let text = fields.texts.into_iter().next().flatten();
                    stores.found::<R>(id, field, text, fields.until, known)
                }
                Outcome::Refused(..) => Err(crate::error::Error::internal("a question was refused")),
            }
        };
        let rest = move |found: Found, stores: Arc<Self>, field: Name, known: Option<Tag>| async move {
            match (found, archived) {
                (Ok(None), Some(place)) => {
                    told(stores.get_anywhere::<R>(call, id, &field, &place, known).await)
                }
                (found, _) => told(found),
            }
        };
        match self.backend.run(txn) {
            Run::Ready(ready) => {
                let found = first(&stores, ready.into_inner(), &field, known.as_ref());
                if !matches!(found, Ok(None)) {
                    return Run::now(told(found));
                }
                let looked = poll_now(pin!(rest(found, stores, field, known)));
                Run::now(looked.unwrap_or_else(|| Err(crate::error::Error::internal("memory had to wait"))))
            }
            Run::Pending(pending) => Run::later(async move {
                let found = first(&stores, pending.await, &field, known.as_ref());
                rest(found, stores, field, known).await
            }),
        }
    }

    /// In its tree or in the archive, as both are at one moment.
    async fn get_anywhere<R: Record>(
        &self,
        call: Call,
        id: Id,
        field: &Name,
        place: &Name,
        known: Option<Tag>,
    ) -> Found {
        let one = |key, field: &Name| Query::record(key, [field.clone()]);
        let queries = vec![one(tree_key(id.tree()), field), one(archive_key(id.tree()), place)];
        let mut replies = self.ask(id.tree().partition(), call, queries).await?.into_iter();
        let (tree, archive) = (settle::record(replies.next())?, settle::record(replies.next())?);
        let text = |texts: Few<Option<Arc<str>>>| texts.into_iter().next().flatten();
        if let Some(text) = text(tree.texts) {
            return self.found::<R>(id, field, Some(text), tree.until, known.as_ref());
        }
        let bundle = text(archive.texts).unwrap_or_default();
        let bundle = archived_steps(id, &bundle)?;
        let text = Bundle(&bundle).find(|(name, _)| name == field).map(|(_, text)| Arc::from(text));
        self.found::<R>(id, field, text, archive.until, known.as_ref())
    }

    fn found<R: Record>(
        &self,
        id: Id,
        field: &Name,
        text: Option<Arc<str>>,
        until: Until,
        known: Option<&Tag>,
    ) -> Found {
        let Some(text) = text else { return Ok(None) };
        let head = Head::read(&id, &text)?;
        let tag = tag_of::<R>(&head, until);
        // What does not come from the backend itself has to say so.
        if known.is_some_and(|known| known.same_as(&tag)) && provenance::latest() == Provenance::Backend {
            return Ok(Some(UNCHANGED.to_owned()));
        }
        self.checked::<R>(id, &text, &head)?;
        let aside = head.aside(&id)?;
        let seen = Seen { id, version: head.version, body: head.body, aside: &aside, until };
        let again = self.seen(id.tree(), field, &text, until);
        Ok(Some(tagged::<R>(&if again { tag.of_more() } else { tag }, &seen)))
    }

    /// Checks a text that comes from outside this process: what memory holds was written by us.
    fn checked<R: Record>(&self, id: Id, text: &str, head: &Head<'_>) -> Result<()> {
        let is_right = self.backend.info().immediate || head.is_whole::<R>();
        if is_right { Ok(()) } else { Stored::<R>::read(id, text).map(drop) }
    }

    /// Whether a caller does well to hold the record: it was seen like this before, or is at hand anyway.
    pub(super) fn seen(&self, tree: Tree, field: &Name, text: &Arc<str>, until: Until) -> bool {
        self.backend.info().immediate || self.bases.seen(tree, field, Some(Arc::clone(text)), Some(until))
    }
}
