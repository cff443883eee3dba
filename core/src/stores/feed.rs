//! The live feed: what follows a place, as soon as it is there.
//!
//! The log is the truth: it is read onwards from a cursor, in pages. Hints only say when to look, and without any the
//! log is looked at twice a second. Trouble that passes is waited out, so a reader sees neither a hole nor anything
//! twice, whatever the connection does.

use std::pin::pin;

use super::cursor::{Cursor, part};
use super::feed_all::AllPlaces;
use super::feed_page::{Follow, LARGEST_CHUNK, feed_gap, log_gap};
use super::settle::record;
use super::tree::{SESSION, feed_key, tree_key, user_partition};
use super::{Call, Stores, invalid, session_id};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::id::{Id, Tree};
use crate::key::{Key, Partition};
use crate::run::poll_now;
use crate::schema::{Issue, PathItem, Session};
use crate::timer::unless;
use crate::topic::Topic;
use crate::txn::{Entry, Log, Position, Query, Reply};

/// How long an idle reader waits for a hint before it looks by itself.
const POLL_MS: u64 = 500;
/// After trouble the first pause; it doubles up to the longest.
const FIRST_PAUSE_MS: u64 = 50;
const LONGEST_PAUSE_MS: u64 = 500;
/// How far the clocks of writers and servers may be apart.
const SKEW_MS: u64 = 3_600_000;

/// What is followed, and from where.
#[derive(Debug, Clone)]
pub struct FeedQuery {
    pub of: Of,
    pub start: Start,
    /// Only these types; empty is all.
    pub types: Vec<String>,
    /// How long one look may take.
    pub timeout_ms: u64,
}

/// Whose events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Of {
    Session(String),
    User(String),
    All,
}

/// Behind what a reader begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// The oldest event that is kept comes first.
    Oldest,
    /// Only what comes from now on.
    Now,
    /// The first event that is later comes first.
    At(Timestamp),
    /// An event's id or a cursor.
    Behind(String),
}

/// A reader's place in one session's log.
pub(super) struct LogPlace {
    pub tree: Tree,
    pub at: u64,
    /// Whose it is: the user's feed tells what came last when the log is gone.
    pub user: Option<String>,
}

/// A reader's place in a feed.
#[derive(Debug, Clone)]
pub(super) struct FeedPlace {
    pub partition: Partition,
    pub key: Key,
    pub at: Position,
    /// Whether `at` is an entry's place, or the very beginning: then what follows it has to be there.
    pub is_exact: bool,
    /// One of many: its marks are parts of a cursor.
    pub is_shared: bool,
}

impl FeedPlace {
    /// What a cursor says of this place, moved to `at`.
    fn mark(&self, at: Position) -> String {
        if self.is_shared { part(self.partition, at) } else { Cursor::Feed(at).to_string() }
    }
}

enum Place {
    Log(LogPlace),
    Feed(FeedPlace),
    All(AllPlaces),
}

impl Stores {
    /// The next events behind a place, as `{ items, cursor, done? }`: as soon as there is one, however long that takes.
    /// `done`: the session is gone, and nothing can follow. A trimmed range is one item `{ type: 'gap', from, to }`.
    ///
    /// *Round trips*: one for each look. Errors that pass are waited out.
    ///
    /// # Errors
    /// `STORAGE_INVALID`, `STORAGE_NOT_FOUND` when the session does not exist, `STORAGE_UNSUPPORTED`.
    pub async fn next_events(&self, query: &FeedQuery) -> Result<String> {
        if query.of == Of::All {
            self.check_feed_of_all()?;
        }
        let mut place = begin(query)?;
        let start = place.cursor();
        let mut ear = self.backend.subscribe(match &place {
            Place::Log(place) => Topic::Key(place.tree.partition(), tree_key(place.tree)),
            Place::Feed(place) => Topic::Key(place.partition, place.key.clone()),
            Place::All(_) => Topic::Everything,
        });
        // What it has heard already is seen by the first look.
        let _ = poll_now(pin!(ear.wake()));
        let mut follow = Follow::new(query);
        let mut pause = FIRST_PAUSE_MS;
        loop {
            let call = Call { deadline: self.clock.now().plus_ms(query.timeout_ms) };
            let looked = match &mut place {
                Place::Log(place) => self.follow_log(call, &mut follow, place).await,
                Place::Feed(place) => self.follow_feed(call, &mut follow, place).await,
                Place::All(all) => self.follow_all(call, &mut follow, all).await,
            };
            match looked {
                _ if follow.has_something() => {
                    return Ok(follow.page(&start, &place.cursor()));
                }
                Ok(()) => {
                    pause = FIRST_PAUSE_MS;
                    let wake = unless(self.timers.sleep_ms(POLL_MS), ear.wake()).await;
                    if let Place::All(all) = &mut place {
                        all.note(wake);
                    }
                }
                Err(error) if error.retryable => {
                    self.timers.sleep_ms(pause).await;
                    pause = LONGEST_PAUSE_MS.min(pause * 2);
                    if let Place::All(all) = &mut place {
                        all.note(None);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn follow_log(&self, call: Call, follow: &mut Follow<'_>, place: &mut LogPlace) -> Result<()> {
        while !follow.is_full() {
            let limit = if follow.from_now { 0 } else { follow.chunk };
            let Some(log) = self.log_of(call, place, limit).await? else {
                return self.last_words(call, follow, place).await;
            };
            if std::mem::take(&mut follow.from_now) {
                (place.at, follow.found) = (log.last, true);
            }
            // A server that took over may not have what its predecessor told last.
            place.at = place.at.min(log.last);
            if place.at + 1 < log.first {
                let gap = log_gap(place.tree, place.at + 1, log.first - 1);
                place.at = log.first - 1;
                follow.note_gap(gap, place.cursor().to_string());
            }
            follow.note_sizes(log.entries.iter().map(|(_, text)| &**text));
            for (position, text) in &log.entries {
                if follow.is_full() {
                    break;
                }
                let behind = Cursor::Log(*position, place.user.clone()).to_string();
                self.pass(follow.take(place.tree, *position, text, behind))?;
                place.at = *position;
            }
            if place.at >= log.last {
                break;
            }
        }
        Ok(())
    }

    /// `None`: there is no such session. The first look also learns whose it is.
    async fn log_of(&self, call: Call, place: &mut LogPlace, limit: u64) -> Result<Option<Log>> {
        let key = tree_key(place.tree);
        let mut queries = vec![Query::Log { key: key.clone(), after: place.at, limit }];
        if place.user.is_none() {
            queries.push(Query::record(key, [SESSION.into()]));
        }
        let mut replies = self.ask(place.tree.partition(), call, queries).await?.into_iter();
        let log = match replies.next() {
            Some(Reply::Log(log)) => log,
            _ => return Err(Error::internal("a question for a log was answered by something else")),
        };
        if log.last > 0 && place.user.is_none() {
            let id = Id::Session(place.tree).to_string();
            if let Some(text) = record(replies.next())?.texts.into_iter().next().flatten() {
                let stored = super::record::Stored::<Session>::read(&id, &text)?;
                place.user = Some(stored.record.user_id);
            }
        }
        Ok((log.last > 0).then_some(log))
    }

    /// The log is gone with its session. What came behind the place is still in the user's feed.
    async fn last_words(&self, call: Call, follow: &mut Follow<'_>, place: &mut LogPlace) -> Result<()> {
        let Some(user) = place.user.clone() else {
            return Err(Error::not_found("session", &Id::Session(place.tree).to_string()));
        };
        follow.from_now = false;
        let mut at = Position(place.tree.created_at().0.saturating_sub(SKEW_MS), 0);
        while !follow.is_full() {
            let query = Query::Entries { key: feed_key(&user), after: at, limit: LARGEST_CHUNK };
            let entries = entries(self.ask(user_partition(&user), call, vec![query]).await?.pop())?;
            for entry in &entries {
                at = entry.position;
                if entry.origin != place.tree.as_str() || entry.origin_position <= place.at {
                    continue;
                }
                if follow.is_full() {
                    return Ok(());
                }
                let position = entry.origin_position;
                let behind = Cursor::Log(position, place.user.clone()).to_string();
                self.pass(follow.take(place.tree, position, &entry.text, behind))?;
                place.at = position;
            }
            if (entries.len() as u64) < LARGEST_CHUNK {
                follow.done = true;
                return Ok(());
            }
        }
        Ok(())
    }

    pub(super) async fn follow_feed(
        &self,
        call: Call,
        follow: &mut Follow<'_>,
        place: &mut FeedPlace,
    ) -> Result<()> {
        if follow.from_now {
            place.at = self.end_of(call, place).await?.unwrap_or_default();
            (follow.from_now, follow.found, place.is_exact) = (false, true, true);
        }
        while !follow.is_full() {
            let (before, limit) = (before(place.at), follow.chunk + 1);
            let query = Query::Entries { key: place.key.clone(), after: before, limit };
            let mut found = entries(self.ask(place.partition, call, vec![query]).await?.pop())?;
            let read = found.len() as u64;
            match found.first() {
                Some(first) if first.position == place.at => drop(found.remove(0)),
                Some(first) if is_gap(place, first) => {
                    follow.note_gap(feed_gap(place.at, first.position), place.mark(place.at));
                }
                None if place.is_exact && place.at != Position::default() => {
                    // A server that took over may not have what its predecessor told last.
                    let end = self.end_of(call, place).await?;
                    place.at = end.map_or(place.at, |end| end.min(place.at));
                }
                _ => {}
            }
            follow.note_sizes(found.iter().map(|entry| &*entry.text));
            for entry in &found {
                if follow.is_full() {
                    break;
                }
                let tree = Tree::parse(&entry.origin)
                    .ok_or_else(|| Error::corrupt(&entry.origin, "it names no session"))?;
                let behind = place.mark(entry.position);
                self.pass(follow.take(tree, entry.origin_position, &entry.text, behind))?;
                (place.at, place.is_exact) = (entry.position, true);
            }
            if read < limit {
                break;
            }
        }
        Ok(())
    }

    /// An event that can't be read is left out where the policy says so.
    fn pass(&self, taken: Result<()>) -> Result<()> {
        self.unless_corrupt(taken).map(drop)
    }

    async fn end_of(&self, call: Call, place: &FeedPlace) -> Result<Option<Position>> {
        let query = Query::Newest { key: place.key.clone() };
        let newest = entries(self.ask(place.partition, call, vec![query]).await?.pop())?;
        Ok(newest.first().map(|entry| entry.position))
    }
}

impl LogPlace {
    fn cursor(&self) -> Cursor {
        Cursor::Log(self.at, self.user.clone())
    }
}

impl Place {
    fn cursor(&self) -> Cursor {
        match self {
            Self::Log(place) => place.cursor(),
            Self::Feed(place) => Cursor::Feed(place.at),
            Self::All(all) => all.cursor(),
        }
    }
}

/// Where a reader begins.
fn begin(query: &FeedQuery) -> Result<Place> {
    match &query.of {
        Of::Session(id) => {
            let tree = session_id(id)?;
            let (at, user) = match &query.start {
                Start::Behind(text) => match (Id::parse(text), Cursor::parse(text)) {
                    (Some(Id::Event(other, position)), _) if other == tree => (position, None),
                    (_, Some(Cursor::Log(position, user))) => (position, user),
                    _ => return Err(bad_after("Neither an event of this session nor a cursor in its log")),
                },
                _ => (0, None),
            };
            Ok(Place::Log(LogPlace { tree, at, user }))
        }
        Of::User(user) => {
            let (at, is_exact) = match &query.start {
                Start::Behind(text) => match Cursor::parse(text) {
                    Some(Cursor::Feed(position)) => (position, true),
                    _ => return Err(bad_after("Not a cursor in a user's feed")),
                },
                Start::At(at) => (Position(at.0.saturating_sub(SKEW_MS), 0), false),
                Start::Oldest | Start::Now => (Position::default(), true),
            };
            let (partition, key) = (user_partition(user), feed_key(user));
            Ok(Place::Feed(FeedPlace { partition, key, at, is_exact, is_shared: false }))
        }
        Of::All => AllPlaces::begin(query).map(Place::All),
    }
}

pub(super) fn bad_after(message: &str) -> Error {
    invalid(vec![Issue::custom(&[PathItem::from("after")], message)])
}

/// The place right before `position`, so that its own entry is read again and shows that nothing behind it was trimmed.
fn before(position: Position) -> Position {
    match position {
        Position(ms, 0) => Position(ms.saturating_sub(1), if ms > 0 { u64::MAX } else { 0 }),
        Position(ms, n) => Position(ms, n - 1),
    }
}

/// Whether something between a place and the first entry behind it is gone: the place's own entry is; or, where the
/// reader stands at the very beginning, the first entry is not the first one of its session.
fn is_gap(place: &FeedPlace, first: &Entry) -> bool {
    place.is_exact && (place.at != Position::default() || first.origin_position != 1)
}

pub(super) fn entries(reply: Option<Reply>) -> Result<Vec<Entry>> {
    match reply {
        Some(Reply::Entries(entries)) => Ok(entries),
        _ => Err(Error::internal("a question for a feed was answered by something else")),
    }
}
