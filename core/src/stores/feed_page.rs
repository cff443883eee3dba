//! A page of the live feed in the making.

use super::cursor::Cursor;
use super::event_text::public_event;
use super::feed::{FeedQuery, Start};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::id::{Id, Tree};
use crate::schema::Event;
use crate::txn::Position;

/// Entries asked for first; how many next depends on their size.
const FIRST_CHUNK: u64 = 16;
pub(super) const LARGEST_CHUNK: u64 = 500;
/// What one page holds at the most: then it is given out, however much follows.
const PAGE_ITEMS: usize = 256;
const PAGE_BYTES: usize = 256 * 1024;

/// A page in the making.
pub(super) struct Follow<'a> {
    types: &'a [String],
    /// Everything up to the first event later than this is passed over.
    seek: Option<Timestamp>,
    /// The place is still to be found: the present end.
    pub from_now: bool,
    /// A trimmed range in front of what is read next.
    gap: Option<(String, String)>,
    items: Vec<String>,
    /// The place behind each item.
    marks: Vec<String>,
    bytes: usize,
    pub chunk: u64,
    /// The place was just found: it is told, though nothing follows it yet.
    pub found: bool,
    /// Nothing can follow.
    pub done: bool,
}

impl<'a> Follow<'a> {
    pub fn new(query: &'a FeedQuery) -> Self {
        Self {
            types: &query.types,
            seek: if let Start::At(at) = query.start { Some(at) } else { None },
            from_now: query.start == Start::Now,
            gap: None,
            items: Vec::new(),
            marks: Vec::new(),
            bytes: 0,
            chunk: FIRST_CHUNK,
            found: false,
            done: false,
        }
    }

    pub fn is_full(&self) -> bool {
        self.items.len() >= PAGE_ITEMS || self.bytes >= PAGE_BYTES
    }

    pub fn has_something(&self) -> bool {
        self.done || self.found || !self.items.is_empty()
    }

    /// Passes an entry on, unless it lies before the beginning or is of another type.
    pub fn take(&mut self, tree: Tree, position: u64, text: &str, behind: String) -> Result<()> {
        let id = Id::Event(tree, position).to_string();
        let event: Event = serde_json::from_str(text).map_err(|_| Error::corrupt(&id, "it is no event"))?;
        if self.seek.is_some_and(|seek| event.at <= seek) {
            self.gap = None;
            return Ok(());
        }
        self.seek = None;
        self.flush_gap();
        if self.types.is_empty() || self.types.contains(&event.kind) {
            let item = public_event(Id::Session(tree), position, text);
            self.bytes += item.len();
            self.give(item, &behind);
        }
        Ok(())
    }

    /// While the beginning is sought it is not known whether a trimmed range lies behind it.
    pub fn flush_gap(&mut self) {
        if self.seek.is_none()
            && let Some((gap, behind)) = self.gap.take()
        {
            self.give(gap, &behind);
        }
    }

    pub fn note_gap(&mut self, gap: String, behind: String) {
        self.gap = Some((gap, behind));
        self.flush_gap();
    }

    fn give(&mut self, item: String, behind: &str) {
        self.items.push(item);
        self.marks.push(format!("\"{behind}\""));
    }

    /// Large entries are asked for by few.
    pub fn note_sizes<'t>(&mut self, texts: impl Iterator<Item = &'t str>) {
        let (count, bytes) = texts.fold((0, 0), |(count, bytes), text| (count + 1, bytes + text.len()));
        let typical = (bytes / usize::max(count, 1)).max(1);
        self.chunk = ((PAGE_BYTES / typical) as u64).clamp(1, LARGEST_CHUNK);
    }

    pub fn page(self, start: &Cursor, cursor: &Cursor) -> String {
        let done = if self.done { ",\"done\":true" } else { "" };
        // Marks that are parts of a cursor change the one that the page begins with.
        let start =
            if let Cursor::All(_) = start { format!(",\"start\":\"{start}\"") } else { String::new() };
        let (items, marks) = (self.items.join(","), self.marks.join(","));
        format!("{{\"items\":[{items}],\"marks\":[{marks}],\"cursor\":\"{cursor}\"{start}{done}}}")
    }
}

/// A trimmed range of a log, both ends included.
pub(super) fn log_gap(tree: Tree, from: u64, to: u64) -> String {
    let (session, first, last) = (Id::Session(tree), Id::Event(tree, from), Id::Event(tree, to));
    let count = to - from + 1;
    format!(
        "{{\"type\":\"gap\",\"sessionId\":\"{session}\",\"from\":\"{first}\",\"to\":\"{last}\",\"count\":{count}}}"
    )
}

/// A trimmed range of a feed, neither end included.
pub(super) fn feed_gap(from: Position, to: Position) -> String {
    format!("{{\"type\":\"gap\",\"from\":\"{}\",\"to\":\"{}\"}}", Timestamp(from.0), Timestamp(to.0))
}
