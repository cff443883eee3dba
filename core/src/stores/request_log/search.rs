//! Looking for logged requests.
//!
//! Of the filters that were given, the one that finds least in an hour is walked along, in the order of time; each record on
//! the way is looked at whether it fits the others. So a page costs what it shows and at most what the smallest filter
//! finds, however many records there are.

use super::super::marked::quoted;
use super::entry::{Logged, Wanted, id_from, time_of};
use super::{AHEAD_MS, RECORDS_MS, bytes, hour_of, index_key, instant, records_key};
use crate::clock::Timestamp;
use crate::command::{Command, Data};
use crate::error::{Error, Result};
use crate::schema::{Issue, LogQuery, Order, PathItem};
use crate::stores::{Call, Stores, invalid};

/// Records that one look takes in, where not all of them may fit.
const LEAST_CHUNK: usize = 64;
const MOST_CHUNK: usize = 500;
/// Behind every id.
const LAST: &str = "req_:";

/// A part of the log, by ids; neither end is part of it.
struct Span {
    after: String,
    before: String,
    descending: bool,
}

impl Span {
    fn of(query: &LogQuery, now: Timestamp) -> Result<Self> {
        let oldest = Timestamp(now.0.saturating_sub(RECORDS_MS) + 1);
        let since = instant(query.since.as_deref()).map_or(oldest, |since| since.max(oldest));
        let until = instant(query.until.as_deref()).map_or_else(|| LAST.to_owned(), id_from);
        let descending = query.order != Some(Order::Asc);
        let mut span = Self { after: id_from(since), before: until, descending };
        if let Some(cursor) = &query.cursor {
            if time_of(cursor).is_none() {
                let path = [PathItem::from("cursor")];
                return Err(invalid(vec![Issue::custom(&path, "Invalid cursor")]));
            }
            if descending {
                span.before = cursor.clone().min(span.before);
            } else {
                span.after = cursor.clone().max(span.after);
            }
        }
        Ok(span)
    }

    /// The hours that it touches, in its order.
    fn hours(&self, now: Timestamp) -> Vec<u64> {
        let newest = now.plus_ms(AHEAD_MS);
        let first = time_of(&self.after).map_or(0, hour_of);
        let last = hour_of(time_of(&self.before).map_or(newest, |before| before.min(newest)));
        let hours = first..=last;
        if self.descending { hours.rev().collect() } else { hours.collect() }
    }

    /// What is left of it behind an id.
    fn go_on(&mut self, id: &str) {
        if self.descending {
            id.clone_into(&mut self.before);
        } else {
            id.clone_into(&mut self.after);
        }
    }
}

impl Stores {
    /// A page of what fits all filters, the latest first unless it says otherwise.
    ///
    /// *Round trips*: one for the sizes of all filters in all hours, and two for each chunk of records that is looked at.
    pub async fn log_search(&self, call: Call, query: &LogQuery) -> Result<String> {
        let now = self.clock.now();
        let (mut span, wanted) = (Span::of(query, now)?, Wanted::new(query));
        let (hours, filters, limit) = (span.hours(now), wanted.filters(), query.limit());
        let mut found: Vec<String> = Vec::new();
        let mut cursor = None;
        for (hour, filter) in self.smallest(call, &hours, &filters).await? {
            let alone = filters.len() == 1 && query.path.is_none();
            let mut last = self.walk(call, hour, &filter, &mut span, limit - found.len(), alone).await?;
            while let Some((chunk, more)) = last.take() {
                for (id, logged, json) in chunk {
                    if wanted.fits(&logged) && found.len() < limit {
                        found.push(json);
                        cursor = Some(id);
                    }
                }
                if found.len() >= limit {
                    return Ok(page(&found, cursor.as_deref()));
                }
                if more {
                    last = self.walk(call, hour, &filter, &mut span, limit - found.len(), alone).await?;
                }
            }
        }
        Ok(page(&found, None))
    }

    /// For each hour in which every filter finds something, the one that finds least.
    async fn smallest(&self, call: Call, hours: &[u64], filters: &[String]) -> Result<Vec<(u64, String)>> {
        let pairs = hours.iter().flat_map(|hour| filters.iter().map(move |filter| (*hour, filter)));
        let ask = pairs.map(|(hour, filter)| (index_key(hour, filter), Command::SortedLen)).collect();
        let sizes = self.on_log(call, ask).await?;
        let mut smallest = Vec::new();
        for (hour, sizes) in hours.iter().zip(sizes.chunks(filters.len().max(1))) {
            let least = filters.iter().zip(sizes).min_by_key(|(_, size)| size.int().unwrap_or(i64::MAX));
            if let Some((filter, size)) = least
                && size.int() != Some(0)
            {
                smallest.push((*hour, filter.clone()));
            }
        }
        Ok(smallest)
    }

    /// The next records of a filter in an hour, and whether there may be more; nothing when there are none.
    async fn walk(
        &self,
        call: Call,
        hour: u64,
        filter: &str,
        span: &mut Span,
        wanted: usize,
        alone: bool,
    ) -> Result<Option<(Vec<(String, Logged, String)>, bool)>> {
        let count = if alone { wanted } else { wanted.clamp(LEAST_CHUNK, MOST_CHUNK) } as u64;
        let texts = Command::SortedTexts {
            after: bytes(&span.after),
            before: bytes(&span.before),
            count,
            descending: span.descending,
        };
        let Some(Data::List(ids)) = self.on_log(call, vec![(index_key(hour, filter), texts)]).await?.pop()
        else {
            return Err(Error::internal("ids were answered by something else"));
        };
        let more = ids.len() as u64 == count;
        let ids: Vec<String> = ids.iter().filter_map(text).collect();
        let Some(last) = ids.last() else { return Ok(None) };
        span.go_on(last);
        let records = self.log_records(call, hour, &ids).await?;
        let mut read = Vec::with_capacity(ids.len());
        for (id, json) in ids.into_iter().zip(records) {
            // The record went between the two looks.
            let Some(json) = json else { continue };
            let logged = Logged::read(&id, json.as_bytes());
            if let Some(logged) = self.unless_corrupt(logged)? {
                read.push((id, logged, json));
            }
        }
        Ok(Some((read, more)))
    }

    /// The stored records of these ids, as far as they are there.
    pub(super) async fn log_records(
        &self,
        call: Call,
        hour: u64,
        ids: &[String],
    ) -> Result<Vec<Option<String>>> {
        let fields = ids.iter().map(|id| bytes(id)).collect();
        let ask = vec![(records_key(hour), Command::HashGets(fields))];
        match self.on_log(call, ask).await?.pop() {
            Some(Data::List(texts)) => Ok(texts.iter().map(text).collect()),
            _ => Err(Error::internal("records were answered by something else")),
        }
    }
}

pub(super) fn text(data: &Data) -> Option<String> {
    match data {
        Data::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    }
}

fn page(found: &[String], cursor: Option<&str>) -> String {
    let cursor = cursor.map_or_else(|| "null".to_owned(), quoted);
    format!("{{\"items\":[{}],\"cursor\":{cursor}}}", found.join(","))
}
