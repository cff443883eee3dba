//! What a drawer is: texts by name, each with an end of its own, in one partition, listed by the bytes of their names.
//!
//! Three keys hold it: the texts, each behind its end; the names that are listed; the ends by time. Every write takes a few
//! texts out whose end has come, so what is over does not gather while the drawer is used.

use std::sync::Arc;

use super::{Call, Stores};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::key::{Key, Name, Partition, Space};
use crate::txn::{Between, Check, Effect, Outcome, Query, Reply, Txn, Until};

/// Texts that one write takes out at the most.
const SWEEP: u64 = 16;
/// Texts of one round trip.
const PAGE: u64 = 500;

/// A drawer's keys.
#[derive(Debug, Clone)]
pub(super) struct Drawer {
    partition: Partition,
    texts: Key,
    names: Key,
    ends: Key,
}

/// A text that is put into a drawer.
#[derive(Debug)]
pub(super) struct Sheet {
    pub name: Name,
    pub text: String,
    pub until: Until,
    pub listed: bool,
}

/// A text that is in a drawer.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub name: Name,
    pub until: Until,
    /// As it is stored.
    pub stored: Arc<str>,
}

impl Found {
    pub fn text(&self) -> &str {
        self.stored.split_once('.').map_or("", |(_, text)| text)
    }
}

impl Drawer {
    /// The drawer of this name; `spaces` are those of texts, names and ends.
    pub fn new(spaces: [&'static str; 3], name: &str) -> Self {
        let [texts, names, ends] = spaces.map(|space| Key::new(Space(space), name));
        Self { partition: Partition::of(name), texts, names, ends }
    }
}

/// One name of two, of which no other two make the same.
pub(super) fn joined(first: &str, second: &str) -> String {
    format!("{}/{second}", first.replace('%', "%25").replace('/', "%2F"))
}

fn stored(text: &str, until: Until) -> Arc<str> {
    match until {
        Until::Never => format!(".{text}").into(),
        Until::At(at) => format!("{}.{text}", at.0).into(),
    }
}

fn end(stored: &str) -> Result<Until> {
    match stored.split_once('.') {
        Some(("", _)) => Ok(Until::Never),
        Some((ms, _)) => ms.parse().map(|ms| Until::At(Timestamp(ms))).map_err(|_| unreadable()),
        None => Err(unreadable()),
    }
}

fn unreadable() -> Error {
    Error::corrupt("of a table", "it has no end in front")
}

impl Stores {
    /// Puts texts into a drawer, if the check holds. *Round trips*: one, and one more when something was over.
    pub(super) async fn drawer_put(
        &self,
        call: Call,
        drawer: &Drawer,
        sheets: Vec<Sheet>,
        check: Option<Check>,
    ) -> Result<bool> {
        let mut txn = Txn::new(drawer.partition, call.deadline);
        txn.checks.extend(check);
        for Sheet { name, text, until, listed } in sheets {
            let text = stored(&text, until);
            txn.effects.push(Effect::Put { key: drawer.texts.clone(), field: name.clone(), text });
            if listed {
                txn.effects.push(Effect::Add { key: drawer.names.clone(), member: name.clone(), score: 0 });
            }
            let key = drawer.ends.clone();
            txn.effects.push(match until {
                Until::Never => Effect::Remove { key, member: name },
                Until::At(at) => Effect::Add { key, member: name, score: at.0 },
            });
        }
        txn.queries.push(self.over(drawer, SWEEP));
        match self.backend.run(txn).await? {
            Outcome::Committed(mut replies) => {
                self.sweep_drawer(call, drawer, replies.pop()).await?;
                Ok(true)
            }
            Outcome::Refused(..) => Ok(false),
        }
    }

    fn over(&self, drawer: &Drawer, limit: u64) -> Query {
        Query::Due { key: drawer.ends.clone(), by: self.clock.now().0, limit }
    }

    /// Takes out what is over; if one of them was put anew meanwhile, none this time. Gives how many were looked at.
    async fn sweep_drawer(&self, call: Call, drawer: &Drawer, over: Option<Reply>) -> Result<usize> {
        let over = match over {
            Some(Reply::Scored(over)) => over,
            _ => return Err(Error::internal("a question for ends was answered by something else")),
        };
        if over.is_empty() {
            return Ok(0);
        }
        let mut txn = Txn::new(drawer.partition, call.deadline);
        for (name, at) in &over {
            let (key, with) = (drawer.texts.clone(), format!("{at}."));
            txn.checks.push(Check::Begins { key, field: name.clone(), with });
            txn.effects.push(Effect::Remove { key: drawer.names.clone(), member: name.clone() });
            txn.effects.push(Effect::Remove { key: drawer.ends.clone(), member: name.clone() });
        }
        let fields = over.iter().map(|(name, _)| name.clone()).collect();
        txn.effects.push(Effect::Drop { key: drawer.texts.clone(), fields });
        self.backend.run(txn).await?;
        Ok(over.len())
    }

    /// Texts by name, as far as they are there. *Round trips*: one.
    pub(super) async fn drawer_get(
        &self,
        call: Call,
        drawer: &Drawer,
        names: Vec<Name>,
    ) -> Result<Vec<Option<Found>>> {
        let query = Query::record(drawer.texts.clone(), names.iter().cloned());
        let replies = self.ask(drawer.partition, call, vec![query]).await?;
        let Some(Reply::Record(fields)) = replies.into_iter().next() else {
            return Err(Error::internal("a question for texts was answered by something else"));
        };
        let now = self.clock.now();
        let found = |(name, stored): (Name, Option<Arc<str>>)| {
            let Some(stored) = stored else { return Ok(None) };
            let until = end(&stored)?;
            let over = matches!(until, Until::At(at) if at <= now);
            Ok((!over).then_some(Found { name, until, stored }))
        };
        names.into_iter().zip(fields.texts).map(found).collect()
    }

    /// The texts whose names are listed behind `after`, `limit` at the most, and whether there may be more.
    /// *Round trips*: two for each 500 of them.
    pub(super) async fn drawer_page(
        &self,
        call: Call,
        drawer: &Drawer,
        after: &str,
        limit: usize,
    ) -> Result<(Vec<Found>, bool)> {
        let (mut all, mut after) = (Vec::new(), Name::from(after));
        loop {
            let count = PAGE.min(u64::try_from(limit - all.len()).unwrap_or(PAGE)).max(1);
            let range = Between { after: after.clone(), before: Name::default() };
            let query = Query::Between { key: drawer.names.clone(), range, descending: false, limit: count };
            let names = match self.ask(drawer.partition, call, vec![query]).await?.pop() {
                Some(Reply::Members(names)) => names,
                _ => return Err(Error::internal("a question for names was answered by something else")),
            };
            let more = names.len() as u64 == count;
            if let Some(last) = names.last() {
                after = last.clone();
                all.extend(self.drawer_get(call, drawer, names).await?.into_iter().flatten());
            }
            if !more || all.len() >= limit {
                return Ok((all, more));
            }
        }
    }

    /// Takes a text out; false when it was not there. *Round trips*: one.
    pub(super) async fn drawer_take(&self, call: Call, drawer: &Drawer, name: Name) -> Result<bool> {
        let there = self.drawer_get(call, drawer, vec![name.clone()]).await?.into_iter().flatten().next();
        let mut txn = Txn::new(drawer.partition, call.deadline);
        for key in [&drawer.names, &drawer.ends] {
            txn.effects.push(Effect::Remove { key: key.clone(), member: name.clone() });
        }
        txn.effects.push(Effect::Drop { key: drawer.texts.clone(), fields: vec![name] });
        self.backend.run(txn).await?;
        Ok(there.is_some())
    }

    /// Takes everything out. *Round trips*: one.
    pub(super) async fn drawer_clear(&self, call: Call, drawer: &Drawer) -> Result<()> {
        let mut txn = Txn::new(drawer.partition, call.deadline);
        let keys = [&drawer.texts, &drawer.names, &drawer.ends];
        txn.effects = keys.map(|key| Effect::Delete { key: key.clone() }).into();
        self.backend.run(txn).await.map(|_| ())
    }

    /// How many texts are listed. *Round trips*: one, and two for each 500 that are over.
    pub(super) async fn drawer_len(&self, call: Call, drawer: &Drawer) -> Result<u64> {
        loop {
            let queries =
                vec![self.over(drawer, PAGE), Query::Count { key: drawer.names.clone(), first: LISTED }];
            let mut replies = self.ask(drawer.partition, call, queries).await?;
            let count = replies.pop();
            if self.sweep_drawer(call, drawer, replies.pop()).await? > 0 {
                continue;
            }
            return match count {
                Some(Reply::Count(count)) => Ok(count),
                _ => Err(Error::internal("a question for a number was answered by something else")),
            };
        }
    }

    /// That a text is still as it was found.
    pub(super) fn unchanged(drawer: &Drawer, found: &Found) -> Check {
        let (key, with) = (drawer.texts.clone(), found.stored.to_string());
        Check::Begins { key, field: found.name.clone(), with }
    }
}

/// What every listed name begins with.
pub(super) const LISTED: char = 'n';
