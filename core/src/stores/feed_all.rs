//! Following everybody: the feeds of all partitions, each with a place of its own.

use std::collections::{BTreeMap, BTreeSet};

use super::cursor::Cursor;
use super::feed::{FeedPlace, FeedQuery, Start, bad_after, entries};
use super::feed_page::{Follow, LARGEST_CHUNK};
use super::tree::all_key;
use super::{Call, Stores};
use crate::clock::Timestamp;
use crate::error::{Code, Error, Result};
use crate::key::{PARTITIONS, Partition};
use crate::schema::Event;
use crate::topic::Wake;
use crate::txn::{Position, Query, Txn};

/// How far the clocks of writers and servers may be apart.
const SKEW_MS: u64 = 3_600_000;
/// Marks a place that is no entry's: nothing has to be there.
const NO_ENTRY: u64 = u64::MAX;

/// A reader's places. A partition without one is read from its beginning.
pub(super) struct AllPlaces {
    places: BTreeMap<Partition, Position>,
    /// The places are still to be found: behind everything up to this time, or up to now.
    sought: Option<Timestamp>,
    /// What is to be looked at; `None` is everything.
    changed: Option<BTreeSet<Partition>>,
}

impl AllPlaces {
    pub fn begin(query: &FeedQuery) -> Result<Self> {
        let (places, sought) = match &query.start {
            Start::Behind(text) => match Cursor::parse(text) {
                Some(Cursor::All(places)) => (places.into_iter().collect(), None),
                _ => return Err(bad_after("Not a cursor over all users")),
            },
            Start::Oldest => (BTreeMap::new(), None),
            Start::Now => (BTreeMap::new(), Some(Timestamp::MAX)),
            Start::At(at) => (BTreeMap::new(), Some(*at)),
        };
        Ok(Self { places, sought, changed: None })
    }

    pub fn cursor(&self) -> Cursor {
        Cursor::All(self.places.iter().map(|(partition, position)| (*partition, *position)).collect())
    }

    /// What is to be looked at next: what a hint names, or everything.
    pub fn note(&mut self, wake: Option<Wake>) {
        self.changed = wake.filter(|wake| !wake.missed).map(|wake| wake.changed);
    }

    fn place(&self, partition: Partition) -> FeedPlace {
        let at = self.places.get(&partition).copied().unwrap_or_default();
        FeedPlace { partition, key: all_key(), at, is_exact: at.1 != NO_ENTRY, is_shared: true }
    }
}

impl Stores {
    /// That a feed over all users is kept.
    pub(super) fn check_feed_of_all(&self) -> Result<()> {
        if self.policy.keeping.feed_of_all {
            return Ok(());
        }
        let message = "no feed over all users is kept: open the storage with feedOfAll: true";
        Err(Error::new(Code::Unsupported, message))
    }

    pub(super) async fn follow_all(
        &self,
        call: Call,
        follow: &mut Follow<'_>,
        all: &mut AllPlaces,
    ) -> Result<()> {
        if let Some(sought) = all.sought {
            self.seek_all(call, all, sought).await?;
            (all.sought, follow.found) = (None, true);
            return Ok(());
        }
        for partition in self.news(call, all).await? {
            if follow.is_full() {
                return Ok(());
            }
            let mut place = all.place(partition);
            let read = self.follow_feed(call, follow, &mut place).await;
            if place.at != Position::default() {
                all.places.insert(partition, place.at);
            }
            read?;
        }
        Ok(())
    }

    /// The partitions with something behind the reader's place. All are asked at once.
    async fn news(&self, call: Call, all: &AllPlaces) -> Result<Vec<Partition>> {
        let asked: Vec<Partition> = match &all.changed {
            Some(changed) => changed.iter().copied().collect(),
            None => (0..PARTITIONS).map(Partition::from_number).collect(),
        };
        let query = |partition: &Partition| {
            let place = all.place(*partition);
            Query::Entries { key: place.key, after: place.at, limit: 1 }
        };
        let found = self.ask_each(call, &asked, query).await?;
        Ok(asked.into_iter().zip(found).filter(|(_, found)| !found.is_empty()).map(|(one, _)| one).collect())
    }

    /// Asks one question in each of many partitions, in one round trip.
    async fn ask_each(
        &self,
        call: Call,
        partitions: &[Partition],
        query: impl Fn(&Partition) -> Query,
    ) -> Result<Vec<Vec<crate::txn::Entry>>> {
        let run = |partition: &Partition| {
            self.backend.run(Txn::read(*partition, call.deadline, [query(partition)]))
        };
        let runs: Vec<_> = partitions.iter().map(run).collect();
        let mut answers = Vec::with_capacity(runs.len());
        for run in runs {
            match run.await? {
                crate::txn::Outcome::Committed(mut replies) => answers.push(entries(replies.pop())?),
                crate::txn::Outcome::Refused(..) => {
                    return Err(Error::internal("a question without a check was refused"));
                }
            }
        }
        Ok(answers)
    }

    /// Finds the places: in each partition behind its last entry that is not later than the time sought.
    async fn seek_all(&self, call: Call, all: &mut AllPlaces, sought: Timestamp) -> Result<()> {
        let partitions: Vec<Partition> = (0..PARTITIONS).map(Partition::from_number).collect();
        let newest = self.ask_each(call, &partitions, |_| Query::Newest { key: all_key() }).await?;
        for (partition, newest) in partitions.into_iter().zip(newest) {
            let Some(last) = newest.first() else { continue };
            let end = last.position;
            let place = if sought == Timestamp::MAX {
                end
            } else {
                self.seek_one(call, partition, sought, end).await?
            };
            if place != Position::default() {
                all.places.insert(partition, place);
            }
        }
        Ok(())
    }

    async fn seek_one(
        &self,
        call: Call,
        partition: Partition,
        sought: Timestamp,
        end: Position,
    ) -> Result<Position> {
        let mut at = Position(sought.0.saturating_sub(SKEW_MS), NO_ENTRY);
        while at < end {
            let query = Query::Entries { key: all_key(), after: at, limit: LARGEST_CHUNK };
            let found = entries(self.ask(partition, call, vec![query]).await?.pop())?;
            for entry in &found {
                let event = serde_json::from_str::<Event>(&entry.text);
                if event.is_ok_and(|event| event.at > sought) {
                    return Ok(at);
                }
                at = entry.position;
            }
            if found.is_empty() {
                break;
            }
        }
        Ok(at)
    }
}
