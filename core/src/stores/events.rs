//! Events: appended by every change; read here, and appended by the caller under `custom:`.

use super::cursor::Cursor;
use super::event_text::{Happened, public_event};
use super::sessions::session_in;
use super::settle::{Look, Plan, record};
use super::tree::{SESSION, feed_key, tree_key, user_partition};
use super::{Call, Stores, invalid, session_id};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::id::{Id, Tree};
use crate::schema::{CustomEvent, Event, Issue, PathItem};
use crate::txn::{Check, Entry, Log, Position, Query, Reply};

/// Entries looked at in one round trip.
const PAGE: u64 = 500;

/// Whose events, and which of them.
#[derive(Debug, Clone, Default)]
pub struct EventsQuery {
    pub session_id: Option<String>,
    pub user_id: Option<String>,
    /// Only events later than this.
    pub after: Option<Bound>,
    /// Only events earlier than this.
    pub before: Option<Bound>,
    /// Only these types; empty is all.
    pub types: Vec<String>,
    pub limit: usize,
    /// Where an earlier page ended.
    pub cursor: Option<String>,
}

/// An end of a range of events; not itself part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    At(Timestamp),
    /// An event's id; only in the events of its own session.
    Event(String),
}

/// A range of one session's log or of one user's feed.
struct Range {
    after: Option<Timestamp>,
    before: Option<Timestamp>,
    /// Positions of the log between which the range lies.
    from: u64,
    to: u64,
}

/// A page in the making.
struct Page<'a> {
    query: &'a EventsQuery,
    range: Range,
    items: Vec<String>,
}

impl Page<'_> {
    fn is_full(&self) -> bool {
        self.items.len() >= self.query.limit
    }

    /// Looks at one entry: false when it and all that follow lie behind the range.
    fn look_at(&mut self, origin: Id, position: u64, text: &str) -> Result<bool> {
        let id = Id::Event(origin.tree(), position).to_string();
        let event: Event = serde_json::from_str(text).map_err(|_| Error::corrupt(&id, "it is no event"))?;
        if position >= self.range.to {
            return Ok(false);
        }
        let wanted = self.query.types.is_empty() || self.query.types.contains(&event.kind);
        let inside = self.range.after.is_none_or(|after| event.at > after)
            && self.range.before.is_none_or(|before| event.at < before);
        if wanted && inside {
            self.items.push(public_event(origin, position, text));
        }
        Ok(true)
    }

    fn json(self, cursor: &Cursor) -> String {
        format!("{{\"items\":[{}],\"cursor\":\"{cursor}\"}}", self.items.join(","))
    }
}

impl Stores {
    /// Appends an event of the caller's own to a session's log.
    ///
    /// *Atomicity*: the session must exist in the same step. *Round trips*: one when the session was seen
    /// before, else two.
    ///
    /// # Errors
    /// `STORAGE_NOT_FOUND` when the session does not exist.
    pub async fn append_event(&self, call: Call, id: &str, event: &CustomEvent) -> Result<String> {
        let tree = session_id(id)?;
        let look = Look::new(tree, vec![SESSION.into()]);
        let settled = self
            .settle(call, &look, |view, txn| {
                let session = session_in(tree, view)?;
                let (now, user) = (self.clock.now(), session.record.user_id.as_str());
                let happened = Happened {
                    kind: &event.kind,
                    chain: None,
                    step: None,
                    user,
                    at: now,
                    data: event.data.text(),
                };
                let text = happened.text();
                txn.checks.push(Check::Present { key: tree_key(tree), field: SESSION.into() });
                txn.effects = vec![
                    self.policy.keeping.append(tree, user, now, text.clone()),
                    self.policy.keeping.slide(tree, now),
                ];
                Ok(Plan::Write(text))
            })
            .await?;
        let position =
            settled.position.ok_or_else(|| Error::internal("an appended event has no position"))?;
        Ok(public_event(Id::Session(tree), position, &settled.value))
    }

    /// A page of events, the oldest first, as `{ items, cursor }`. The cursor is always there: it stands
    /// behind the last event looked at, so it also serves to ask later for what has come since.
    ///
    /// *Round trips*: one for each 500 entries looked at.
    ///
    /// # Errors
    /// `STORAGE_INVALID`, `STORAGE_NOT_FOUND` when the session does not exist.
    pub async fn events(&self, call: Call, query: &EventsQuery) -> Result<String> {
        match (&query.session_id, &query.user_id) {
            (Some(session), None) => self.session_events(call, session_id(session)?, query).await,
            (None, Some(user)) => self.user_events(call, user, query).await,
            _ => Err(invalid(vec![Issue::custom(&[], "Either sessionId or userId is needed")])),
        }
    }

    async fn session_events(&self, call: Call, tree: Tree, query: &EventsQuery) -> Result<String> {
        let bound = |name: &'static str, bound: &Option<Bound>| match bound {
            Some(Bound::Event(id)) => position_in(tree, name, id).map(Some),
            _ => Ok(None),
        };
        let from = match &query.cursor {
            Some(cursor) => match Cursor::parse(cursor) {
                Some(Cursor::Log(position, _)) => position,
                _ => return Err(bad_cursor()),
            },
            None => bound("after", &query.after)?.unwrap_or(0),
        };
        let to = bound("before", &query.before)?.unwrap_or(u64::MAX);
        let range = Range { after: instant(&query.after), before: instant(&query.before), from, to };
        let mut page = Page { query, range, items: Vec::new() };
        let mut at = page.range.from;
        loop {
            let log = self.log(call, tree, at).await?;
            if at + 1 < log.first {
                if query.types.is_empty() || query.types.iter().any(|kind| kind == TRIMMED) {
                    page.items.push(trimmed(tree, at + 1, log.first - 1, &self.user_of(call, tree).await?));
                }
                at = log.first - 1;
                if log.entries.is_empty() && at < log.last && !page.is_full() {
                    continue;
                }
            }
            for (position, text) in &log.entries {
                if page.is_full() || !page.look_at(Id::Session(tree), *position, text)? {
                    return Ok(page.json(&Cursor::Log(at, None)));
                }
                at = *position;
            }
            if page.is_full() || at >= log.last {
                return Ok(page.json(&Cursor::Log(at, None)));
            }
        }
    }

    pub(super) async fn log(&self, call: Call, tree: Tree, after: u64) -> Result<Log> {
        let query = Query::Log { key: tree_key(tree), after, limit: PAGE };
        match self.ask(tree.partition(), call, vec![query]).await?.pop() {
            Some(Reply::Log(log)) if log.last == 0 => {
                Err(Error::not_found("session", &Id::Session(tree).to_string()))
            }
            Some(Reply::Log(log)) => Ok(log),
            _ => Err(Error::internal("a question for a log was answered by something else")),
        }
    }

    pub(super) async fn user_of(&self, call: Call, tree: Tree) -> Result<String> {
        let query = Query::record(tree_key(tree), [SESSION.into()]);
        let replies = self.ask(tree.partition(), call, vec![query]).await?;
        let id = Id::Session(tree).to_string();
        let text = record(replies.into_iter().next())?.texts.into_iter().next().flatten();
        let text = text.ok_or_else(|| Error::not_found("session", &id))?;
        super::record::Stored::<crate::schema::Session>::read(&id, &text).map(|stored| stored.record.user_id)
    }

    async fn user_events(&self, call: Call, user: &str, query: &EventsQuery) -> Result<String> {
        for (name, bound) in [("after", &query.after), ("before", &query.before)] {
            if let Some(Bound::Event(_)) = bound {
                let message = "An event's id orders the events of one session: with userId give a Date";
                return Err(invalid(vec![Issue::custom(&[PathItem::from(name)], message)]));
            }
        }
        let mut at = match &query.cursor {
            Some(cursor) => match Cursor::parse(cursor) {
                Some(Cursor::Feed(position)) => position,
                _ => return Err(bad_cursor()),
            },
            None => Position::default(),
        };
        let range =
            Range { after: instant(&query.after), before: instant(&query.before), from: 0, to: u64::MAX };
        let mut page = Page { query, range, items: Vec::new() };
        loop {
            let entries = self.feed(call, user, at).await?;
            for entry in &entries {
                if page.is_full() {
                    break;
                }
                let tree = Tree::parse(&entry.origin)
                    .ok_or_else(|| Error::corrupt(&entry.origin, "it names no session"))?;
                page.look_at(Id::Session(tree), entry.origin_position, &entry.text)?;
                at = entry.position;
            }
            if page.is_full() || (entries.len() as u64) < PAGE {
                return Ok(page.json(&Cursor::Feed(at)));
            }
        }
    }

    async fn feed(&self, call: Call, user: &str, after: Position) -> Result<Vec<Entry>> {
        let query = Query::Entries { key: feed_key(user), after, limit: PAGE };
        match self.ask(user_partition(user), call, vec![query]).await?.pop() {
            Some(Reply::Entries(entries)) => Ok(entries),
            _ => Err(Error::internal("a question for a feed was answered by something else")),
        }
    }
}

/// Stands in a page where a log no longer has what was asked for.
const TRIMMED: &str = "log:trimmed";

/// The marker of a trimmed range; its id is that of the last event that is gone.
fn trimmed(tree: Tree, from: u64, to: u64, user: &str) -> String {
    let (first, last) = (Id::Event(tree, from), Id::Event(tree, to));
    let data = format!("{{\"from\":\"{first}\",\"to\":\"{last}\",\"count\":{}}}", to - from + 1);
    let at = tree.created_at();
    let happened = Happened { kind: TRIMMED, chain: None, step: None, user, at, data: &data };
    public_event(Id::Session(tree), to, &happened.text())
}

fn instant(bound: &Option<Bound>) -> Option<Timestamp> {
    match bound {
        Some(Bound::At(at)) => Some(*at),
        _ => None,
    }
}

fn position_in(tree: Tree, name: &'static str, id: &str) -> Result<u64> {
    match Id::parse(id) {
        Some(Id::Event(other, position)) if other == tree => Ok(position),
        _ => Err(invalid(vec![Issue::custom(&[PathItem::from(name)], "Not an event of this session")])),
    }
}

fn bad_cursor() -> Error {
    invalid(vec![Issue::custom(&[PathItem::from("cursor")], "Not a cursor of these events")])
}
