//! Reading one record: one question, one answer.

use std::sync::Arc;

use super::fits::fits;
use super::record::{Head, Record, Stored};
use super::told::{Seen, Tag, UNCHANGED, fingerprint, tagged};
use super::tree::{SESSION, chain_field, step_field, tree_key};
use super::{Call, Stores, chain_id, session_id, settle, step_id};
use crate::error::Result;
use crate::id::{Id, Tree};
use crate::key::Name;
use crate::provenance::{self, Provenance};
use crate::run::Run;
use crate::schema::{Chain, Session, Step};
use crate::txn::{Outcome, Query, Txn, Until};

/// A record's text, or that there is none.
type Found = Result<Option<String>>;

impl Stores {
    /// The session, or `None`; only that it is unchanged to a caller that holds the one of the tag `known`.
    /// *Round trips*: one.
    ///
    /// *Errors*: `STORAGE_INVALID` for what is no session's id, `STORAGE_CORRUPT` when it can't be read.
    pub fn get_session(self: &Arc<Self>, call: Call, id: &str, known: Option<&str>) -> Run<Found> {
        match session_id(id) {
            Ok(tree) => self.get::<Session>(call, Id::Session(tree), SESSION.into(), known),
            Err(error) => Run::now(Err(error)),
        }
    }

    /// The chain, or `None`; otherwise as [`Stores::get_session`].
    pub fn get_chain(self: &Arc<Self>, call: Call, id: &str, known: Option<&str>) -> Run<Found> {
        match chain_id(id) {
            Ok((tree, chain)) => self.get::<Chain>(call, Id::Chain(tree, chain), chain_field(chain), known),
            Err(error) => Run::now(Err(error)),
        }
    }

    /// The step, or `None`; otherwise as [`Stores::get_session`].
    pub fn get_step(self: &Arc<Self>, call: Call, id: &str, known: Option<&str>) -> Run<Found> {
        match step_id(id) {
            Ok((tree, chain, step)) => {
                self.get::<Step>(call, Id::Step(tree, chain, step), step_field(chain, step), known)
            }
            Err(error) => Run::now(Err(error)),
        }
    }

    fn get<R: Record>(self: &Arc<Self>, call: Call, id: Id, field: Name, known: Option<&str>) -> Run<Found> {
        let query = Query::Record { key: tree_key(id.tree()), fields: vec![field.clone()] };
        let txn = Txn::read(id.tree().partition(), call.deadline, vec![query]);
        let (stores, known) = (Arc::clone(self), known.map(Tag::told));
        self.backend.run(txn).map(move |outcome| match outcome? {
            Outcome::Committed(replies) => {
                let fields = settle::record(replies.into_iter().next())?;
                let text = fields.texts.into_iter().next().flatten();
                stores.found::<R>(id, &field, text, fields.until, known.as_ref())
            }
            Outcome::Refused(..) => Err(crate::error::Error::internal("a question was refused")),
        })
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
        let deadline = if R::TELLS_DEADLINE { until } else { Until::Never };
        let tag = fingerprint(head.stamp, deadline);
        // What does not come from the backend itself has to say so.
        if known.is_some_and(|known| known.same_as(&tag)) && provenance::latest() == Provenance::Backend {
            return Ok(Some(UNCHANGED.to_owned()));
        }
        self.checked::<R>(id, &text, head.body)?;
        let aside = head.aside(&id)?;
        let seen = Seen { id, version: head.version, body: head.body, aside: &aside, until };
        let again = self.seen(id.tree(), field, &text, until);
        Ok(Some(tagged::<R>(&if again { tag.of_more() } else { tag }, &seen)))
    }

    /// Checks a text that comes from outside this process: what memory holds was written by us.
    fn checked<R: Record>(&self, id: Id, text: &str, body: &str) -> Result<()> {
        let is_right = self.backend.info().immediate || fits(body, R::FIELDS);
        if is_right { Ok(()) } else { Stored::<R>::read(id, text).map(drop) }
    }

    /// Whether a caller does well to hold the record: it was seen like this before, or is at hand anyway.
    fn seen(&self, tree: Tree, field: &Name, text: &Arc<str>, until: Until) -> bool {
        self.backend.info().immediate || self.bases.seen(tree, field, Some(Arc::clone(text)), Some(until))
    }
}
