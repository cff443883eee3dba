//! The one impure line between `plan` and `read`: look, plan, run, and again when something else was faster.

use super::bases::Bases;
use super::tree::tree_key;
use super::{Call, Stores};
use crate::error::{Code, Error, Result};
use crate::id::Tree;
use crate::txn::{Effect, Fields, Outcome, Query, Reply, Txn, Until};

/// How often a write is planned anew because another one was faster, before it gives up. Of n writers of
/// one record one wins each round, so this is also how many may collide again and again.
pub(super) const ATTEMPTS: u32 = 256;

/// A tree's fields as a plan sees them.
#[derive(Debug, Clone)]
pub(super) struct View {
    texts: Vec<Option<Box<str>>>,
    until: Until,
    /// Read for this call, not remembered: an answer other than a write may stand on it.
    fresh: bool,
}

impl View {
    fn of(fields: Fields) -> Self {
        Self { texts: fields.texts.into_iter().map(|text| text.map(Into::into)).collect(), until: fields.until, fresh: true }
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
    pub fields: Vec<String>,
    pub hoped_absent: Option<String>,
}

impl Look {
    pub fn new(tree: Tree, fields: Vec<String>) -> Self {
        Self { tree, fields, hoped_absent: None }
    }

    fn all(&self) -> Vec<String> {
        self.fields.iter().chain(&self.hoped_absent).cloned().collect()
    }

    fn query(&self) -> Query {
        Query::Record { key: tree_key(self.tree), fields: self.all() }
    }

    fn remembered(&self, bases: &Bases) -> Option<View> {
        let known = self.fields.iter().map(|field| bases.get(self.tree, field).map(|text| Some(Box::from(&*text))));
        let mut texts = known.collect::<Option<Vec<_>>>()?;
        texts.extend(self.hoped_absent.iter().map(|_| None));
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
        let remembered = if self.backend.info().immediate { None } else { look.remembered(&self.bases) };
        let mut view = match remembered {
            Some(view) => view,
            None => self.look(call, look).await?,
        };
        for _ in 0..ATTEMPTS {
            let mut txn = Txn::new(look.tree.partition(), call.deadline);
            txn.witness.push(look.query());
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
        let message = format!("another writer was faster {ATTEMPTS} times in a row");
        Err(Error { retryable: true, ..Error::new(Code::Conflict, message) })
    }

    async fn look(&self, call: Call, look: &Look) -> Result<View> {
        let replies = self.ask(look.tree.partition(), call, vec![look.query()]).await?;
        let view = View::of(record(replies.into_iter().next())?);
        self.remember(look, &view);
        Ok(view)
    }

    /// `Ok(Err(view))`: refused, and this is what is there.
    async fn commit(&self, look: &Look, txn: Txn) -> Result<std::result::Result<(Until, Option<u64>), View>> {
        let written = self.remember_written(look.tree, &txn);
        let outcome = self.backend.run(txn).await;
        match outcome {
            Ok(Outcome::Committed(replies)) => {
                let mut until = Until::Never;
                let mut position = None;
                for reply in replies {
                    match reply {
                        Reply::Until(now) => until = now,
                        Reply::Position(at) => position = Some(at),
                        _ => {}
                    }
                }
                Ok(Ok((until, position)))
            }
            Ok(Outcome::Refused(_, seen)) => {
                self.forget(look.tree, &written);
                let view = View::of(record(seen.into_iter().next())?);
                self.remember(look, &view);
                Ok(Err(view))
            }
            Err(error) => {
                self.forget(look.tree, &written);
                Err(error)
            }
        }
    }

    fn remember(&self, look: &Look, view: &View) {
        if self.backend.info().immediate {
            return;
        }
        for (field, text) in look.all().iter().zip(&view.texts) {
            match text {
                Some(text) => self.bases.put(look.tree, field, text),
                None => self.bases.forget(look.tree, field),
            }
        }
    }

    /// Remembers what is about to be written, so that calls of the same tick build on it: one connection
    /// keeps their order. Returns the fields, to be forgotten if it is not committed.
    fn remember_written(&self, tree: Tree, txn: &Txn) -> Vec<String> {
        if self.backend.info().immediate {
            return Vec::new();
        }
        let key = tree_key(tree);
        let mut written = Vec::new();
        for effect in &txn.effects {
            match effect {
                Effect::Put { key: at, field, text } if *at == key => {
                    self.bases.put(tree, field, text);
                    written.push(field.clone());
                }
                Effect::Drop { key: at, fields } if *at == key => {
                    fields.iter().for_each(|field| self.bases.forget(tree, field));
                }
                _ => {}
            }
        }
        written
    }

    fn forget(&self, tree: Tree, fields: &[String]) {
        fields.iter().for_each(|field| self.bases.forget(tree, field));
    }
}

/// The reply to a question for a record.
pub(super) fn record(reply: Option<Reply>) -> Result<Fields> {
    match reply {
        Some(Reply::Record(fields)) => Ok(fields),
        _ => Err(Error::internal("a question for a record was answered by something else")),
    }
}
