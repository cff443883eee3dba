//! The one impure line between `plan` and `read`: look, plan, run, and again when something else was faster.

use std::sync::Arc;

use super::bases::{Bases, Text};
use super::tree::tree_key;
use super::{Call, Stores};
use crate::error::{Code, Error, Result};
use crate::id::Tree;
use crate::key::Name;
use crate::txn::{Effect, Few, Fields, Outcome, Query, Reply, Txn, Until};

/// How often a write is planned anew because another one was faster, before it gives up. Of n writers of
/// one record one wins each round, so this is also how many may collide again and again.
pub(super) const ATTEMPTS: u32 = 256;

/// A tree's fields as a plan sees them.
#[derive(Debug, Clone)]
pub(super) struct View {
    texts: Few<Text>,
    until: Until,
    /// Read for this call, not remembered: an answer other than a write may stand on it.
    fresh: bool,
}

impl View {
    fn of(fields: Fields) -> Self {
        Self { texts: fields.texts, until: fields.until, fresh: true }
    }

    /// The text of the field that was asked for at this place.
    pub fn text(&self, place: usize) -> Option<&str> {
        self.texts.get(place).and_then(Option::as_deref)
    }

    pub fn until(&self) -> Until {
        self.until
    }
}

/// What a plan comes to.
pub(super) enum Plan<T> {
    /// Write what was put into the transaction; once it is committed this is the answer.
    Write(T),
    /// Nothing is to be written.
    Answer(T),
}

/// The answer of a settled call, with the replies of the effects that wrote it.
pub(super) struct Settled<T> {
    pub value: T,
    pub until: Until,
    pub position: Option<u64>,
}

/// Which fields a plan looks at. Those in `hoped_absent` are taken as absent without a look, since the
/// plan checks it.
pub(super) struct Look {
    pub tree: Tree,
    pub fields: Vec<Name>,
    pub hoped_absent: Option<Name>,
}

impl Look {
    pub fn new(tree: Tree, fields: Vec<Name>) -> Self {
        Self { tree, fields, hoped_absent: None }
    }

    fn all(&self) -> Few<Name> {
        self.fields.iter().chain(&self.hoped_absent).cloned().collect()
    }

    pub fn query(&self) -> Query {
        Query::Record { key: tree_key(self.tree), fields: self.all() }
    }

    fn remembered(&self, bases: &Bases) -> Option<View> {
        let known = self.fields.iter().map(|field| bases.get(self.tree, field));
        let mut texts = known.collect::<Option<Few<_>>>()?;
        texts.extend(self.hoped_absent.iter().map(|field| bases.get(self.tree, field).flatten()));
        Some(View { texts, until: Until::Never, fresh: false })
    }
}

impl Stores {
    /// Runs `plan` on what is stored until it is committed or answers.
    ///
    /// *Round trips*: one when the fields were seen before, two when not, one more for each time that
    /// another writer was faster. Whatever is not a write is answered on a fresh look.
    pub(super) async fn settle<T>(
        &self,
        call: Call,
        look: &Look,
        plan: impl Fn(&View, &mut Txn) -> Result<Plan<T>>,
    ) -> Result<Settled<T>> {
        let mut view = match self.remembered(look) {
            Some(view) => view,
            None => {
                let seen = self.look(call, look).await?;
                // Meanwhile another call may have planned on the same: what it writes is newer.
                self.remembered(look).filter(|known| known.texts != seen.texts).unwrap_or(seen)
            }
        };
        for _ in 0..ATTEMPTS {
            let mut txn = Txn::new(look.tree.partition(), call.deadline);
            txn.witness.push(look.query());
            (txn.mark, txn.deferrable) = (Some(self.ids.mark()), true);
            match plan(&view, &mut txn) {
                Ok(Plan::Write(value)) => match self.commit(look, txn).await? {
                    Ok((until, position)) => return Ok(Settled { value, until, position }),
                    Err(seen) => view = seen,
                },
                Ok(Plan::Answer(value)) if view.fresh => {
                    return Ok(Settled { value, until: view.until, position: None });
                }
                Err(error) if view.fresh => return Err(error),
                // It stands on what was remembered, which may be old.
                _ => view = self.look(call, look).await?,
            }
        }
        Err(too_fast())
    }

    fn remembered(&self, look: &Look) -> Option<View> {
        if self.backend.info().immediate { None } else { look.remembered(&self.bases) }
    }

    pub(super) async fn look(&self, call: Call, look: &Look) -> Result<View> {
        let replies = self.ask(look.tree.partition(), call, vec![look.query()]).await?;
        let view = View::of(record(replies.into_iter().next())?);
        self.remember(look, &view);
        Ok(view)
    }

    /// `Ok(Err(view))`: refused, and this is what is there, or what other calls are making of it.
    pub(super) async fn commit(
        &self,
        look: &Look,
        txn: Txn,
    ) -> Result<std::result::Result<(Until, Option<u64>), View>> {
        let writing = self.remember_writing(look.tree, &txn);
        match self.backend.run(txn).await {
            Ok(Outcome::Committed(replies)) => {
                let mut until = Until::Never;
                let mut position = None;
                for reply in &replies {
                    match reply {
                        Reply::Until(now) => until = *now,
                        Reply::Position(at) => position = Some(*at),
                        _ => {}
                    }
                }
                for (field, text) in &writing.fields {
                    self.bases.written(look.tree, field, text.as_deref(), until);
                }
                Ok(Ok((until, position)))
            }
            Ok(Outcome::Refused(_, seen)) => {
                let view = View::of(record(seen.into_iter().next())?);
                if self.bases.end(look.tree, writing.epoch) {
                    self.remember(look, &view);
                    return Ok(Err(view));
                }
                // A call before this one was refused as well, and has planned anew: stand on that.
                Ok(Err(self.remembered(look).unwrap_or(view)))
            }
            Err(error) => {
                self.bases.end(look.tree, writing.epoch);
                Err(error)
            }
        }
    }

    fn remember(&self, look: &Look, view: &View) {
        if self.backend.info().immediate {
            return;
        }
        for (field, text) in look.all().iter().zip(&view.texts) {
            self.bases.seen(look.tree, field, text.clone(), Some(view.until));
        }
    }

    /// Remembers what is about to be written, so that calls of the same tick build on it: one connection
    /// keeps their order.
    fn remember_writing(&self, tree: Tree, txn: &Txn) -> Writing {
        let mut writing = Writing { epoch: self.bases.epoch(tree), fields: Vec::new() };
        if self.backend.info().immediate {
            return writing;
        }
        let key = tree_key(tree);
        for effect in &txn.effects {
            match effect {
                Effect::Put { key: at, field, text } if *at == key => {
                    writing.fields.push((field.clone(), Some(text.clone())));
                }
                Effect::Drop { key: at, fields } if *at == key => {
                    writing.fields.extend(fields.iter().map(|field| (field.clone(), None)));
                }
                _ => {}
            }
        }
        writing.fields.iter().for_each(|(field, text)| self.bases.writing(tree, field, text.clone()));
        writing
    }

    /// Remembers a tree that was just made.
    pub(super) fn remember_made(&self, tree: Tree, txn: &Txn) {
        if self.backend.info().immediate {
            return;
        }
        let mut until = None;
        for effect in &txn.effects {
            match effect {
                Effect::Open { key, until: at } if *key == tree_key(tree) => until = Some(*at),
                Effect::Put { key, field, text } if *key == tree_key(tree) => {
                    self.bases.made(tree, field, Some(Arc::clone(text)), until);
                }
                _ => {}
            }
        }
    }
}

/// That others wrote the same again and again.
pub(super) fn too_fast() -> Error {
    let message = format!("another writer was faster {ATTEMPTS} times in a row");
    Error { retryable: true, ..Error::new(Code::Conflict, message) }
}

/// What a transaction writes to its tree, and in which epoch.
struct Writing {
    epoch: u64,
    fields: Vec<(Name, Text)>,
}

/// The reply to a question for a record.
pub(super) fn record(reply: Option<Reply>) -> Result<Fields> {
    match reply {
        Some(Reply::Record(fields)) => Ok(fields),
        _ => Err(Error::internal("a question for a record was answered by something else")),
    }
}
