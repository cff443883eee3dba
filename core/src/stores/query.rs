//! Queries: a page of records by what they are, and a cursor that stands behind the last one looked at.
//!
//! A page is read in the order of creation, which never changes: so a walk meets every record that is there from
//! its beginning to its end exactly once, whatever is made, changed or deleted meanwhile.

use serde_json::value::RawValue;

use super::chains::chain_json;
use super::lists::PAGE;
use super::record::Stored;
use super::rollup::State;
use super::sessions::public_session;
use super::steps::step_json;
use super::tree::{LIVE, letter, user_partition};
use super::users::Span;
use super::{Call, Stores, invalid};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::id::{Id, Tree, base32};
use crate::key::Name;
use crate::schema::{Issue, Order, PathItem, RecordsQuery, Session, SessionState, Step};

/// Characters of a tree's time.
const TIME_LEN: usize = 10;

/// A page in the making.
struct Page<'a> {
    query: &'a RecordsQuery,
    id_name: &'static str,
    items: Vec<String>,
}

impl<'a> Page<'a> {
    fn of(query: &'a RecordsQuery, id_name: &'static str) -> Self {
        Self { query, id_name, items: Vec::new() }
    }

    fn is_full(&self) -> bool {
        self.items.len() >= self.query.limit()
    }

    /// Numbered items in the order of the query, from where its cursor stands.
    fn ordered<T>(&self, mut items: Vec<T>, number: impl Fn(&T) -> u32) -> Result<Vec<T>> {
        let descending = self.query.order == Order::Desc;
        if let Some(behind) = cursor(self.query)? {
            let behind: u32 = behind.parse().map_err(|_| bad_cursor())?;
            items.retain(|item| if descending { number(item) < behind } else { number(item) > behind });
        }
        if descending {
            items.reverse();
        }
        Ok(items)
    }

    /// How many to look at next: no more than are missing, unless most may be left out.
    fn next(&self) -> usize {
        let chosen = self.query.tag.is_some() || self.query.status.is_some();
        if chosen { PAGE } else { (self.query.limit() - self.items.len()).min(PAGE) }
    }

    fn is_in_time(&self, created: Timestamp) -> bool {
        self.query.created_after.is_none_or(|after| created > after)
            && self.query.created_before.is_none_or(|before| created < before)
    }

    fn push(&mut self, public: String) {
        self.items.push(match &self.query.fields {
            Some(fields) => projected(&public, self.id_name, fields),
            None => public,
        });
    }

    /// The page's JSON; `behind` is where the next one begins.
    fn json(self, behind: Option<String>) -> String {
        let cursor = behind.map_or_else(|| "null".to_owned(), |place| format!("\"q{place}\""));
        format!("{{\"items\":[{}],\"cursor\":{cursor}}}", self.items.join(","))
    }
}

impl Stores {
    /// A page of a user's sessions, as `{ items, cursor }`; the cursor is null when nothing follows.
    ///
    /// *Round trips*: two, and two more for each 500 sessions that a tag leaves out. A state is looked up, not
    /// looked for: what is in other states costs nothing.
    ///
    /// # Errors
    /// `STORAGE_INVALID` for a cursor that is none.
    pub async fn query_sessions(&self, call: Call, query: &RecordsQuery) -> Result<String> {
        let state = query.state.as_deref().and_then(state_named);
        let letters = state.map_or_else(|| LIVE.to_vec(), |state| vec![letter(state)]);
        let mut span = Span {
            user: &query.parent,
            letters: &letters,
            after: query
                .created_after
                .map_or_else(Name::default, |at| format!("{}~", base32(at.0, TIME_LEN)).into()),
            before: query.created_before.map_or_else(Name::default, |at| base32(at.0, TIME_LEN).into()),
            descending: query.order == Order::Desc,
        };
        if let Some(place) = cursor(query)? {
            span.narrow(Tree::parse(place).ok_or_else(bad_cursor)?);
        }
        let mut page = Page::of(query, "sessionId");
        loop {
            let wanted = page.next();
            let trees = self.trees_in(call, &span, wanted).await?;
            let partition = user_partition(&query.parent);
            for (tree, fields) in trees.iter().zip(self.sessions_at(partition, call, &trees).await?) {
                if let Some(text) = fields.texts.first().and_then(Option::as_ref) {
                    let read = Stored::<Session>::read(Id::Session(*tree), text);
                    if let Some(stored) = self.unless_corrupt(read)? {
                        let tagged = query.tag.as_ref().is_none_or(|tag| stored.record.tags.contains(tag));
                        // It may have changed its state since the list was looked at.
                        if tagged && state.is_none_or(|state| stored.record.state == state) {
                            page.push(public_session(*tree, &stored, fields.until));
                        }
                    }
                }
                if page.is_full() {
                    return Ok(page.json(Some(tree.to_string())));
                }
            }
            match trees.last() {
                Some(last) if trees.len() == wanted => span.go_on_behind(*last),
                _ => return Ok(page.json(None)),
            }
        }
    }

    /// A page of a session's chains; otherwise as [`Stores::query_sessions`]. *Round trips*: two, and one more for
    /// each 500 chains that are left out.
    ///
    /// # Errors
    /// `STORAGE_NOT_FOUND` when the session does not exist, `STORAGE_INVALID`.
    pub async fn query_chains(&self, call: Call, query: &RecordsQuery) -> Result<String> {
        let Some(Id::Session(tree)) = Id::parse(&query.parent) else { return Err(bad_parent("session")) };
        let mut page = Page::of(query, "chainId");
        let numbers =
            page.ordered(self.chain_numbers(call, tree, query.archived).await?, |number| *number)?;
        let mut rest = numbers.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(page.next().min(rest.len()));
            for (number, read) in now.iter().zip(self.chains_at(call, tree, now, query.archived).await?) {
                if let Some(stored) = self.unless_corrupt(read)?.flatten() {
                    let fits =
                        query.status.as_ref().is_none_or(|status| stored.record.status.name() == status);
                    if fits && page.is_in_time(stored.record.created_at) {
                        page.push(chain_json(tree, *number, &stored));
                    }
                }
                if page.is_full() {
                    let more = numbers.last() != Some(number);
                    return Ok(page.json(more.then(|| number.to_string())));
                }
            }
            rest = later;
        }
        Ok(page.json(None))
    }

    /// A page of a chain's steps; otherwise as [`Stores::query_chains`].
    ///
    /// # Errors
    /// `STORAGE_NOT_FOUND` when the chain does not exist, `STORAGE_INVALID`.
    pub async fn query_steps(&self, call: Call, query: &RecordsQuery) -> Result<String> {
        let Some(Id::Chain(tree, chain)) = Id::parse(&query.parent) else { return Err(bad_parent("chain")) };
        let mut page = Page::of(query, "stepId");
        let steps = page.ordered(self.steps_of(call, tree, chain).await?, |(number, _)| *number)?;
        let mut rest = steps.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(page.next().min(rest.len()));
            for ((number, _), text) in now.iter().zip(self.steps_at(call, tree, chain, now).await?) {
                if let Some(text) = text {
                    let read = Stored::<Step>::read(Id::Step(tree, chain, *number), &text);
                    if let Some(stored) = self.unless_corrupt(read)? {
                        let fits =
                            query.status.as_ref().is_none_or(|status| stored.record.status.name() == status);
                        if fits && page.is_in_time(stored.record.created_at) {
                            page.push(step_json(tree, chain, *number, &stored));
                        }
                    }
                }
                if page.is_full() {
                    let more = steps.last().is_some_and(|(last, _)| last != number);
                    return Ok(page.json(more.then(|| number.to_string())));
                }
            }
            rest = later;
        }
        Ok(page.json(None))
    }
}

fn state_named(name: &str) -> Option<SessionState> {
    [SessionState::Active, SessionState::Paused, SessionState::Completed]
        .into_iter()
        .find(|state| state.name() == name)
}

fn cursor(query: &RecordsQuery) -> Result<Option<&str>> {
    query.cursor.as_deref().map(|cursor| cursor.strip_prefix('q').ok_or_else(bad_cursor)).transpose()
}

fn bad_cursor() -> crate::error::Error {
    invalid(vec![Issue::custom(&[PathItem::from("cursor")], "Not a cursor of this query")])
}

fn bad_parent(what: &str) -> crate::error::Error {
    invalid(vec![Issue::custom(&[PathItem::from("parent")], format!("Invalid {what} id"))])
}

/// The wanted fields of a record's JSON, and its id.
fn projected(public: &str, id_name: &str, fields: &[String]) -> String {
    let whole: Parts<'_> = serde_json::from_str(public).unwrap_or_default();
    let mut out = String::from("{");
    for (name, value) in &whole.0 {
        if *name == id_name || fields.iter().any(|wanted| wanted == name) {
            out.push_str(if out.len() == 1 { "\"" } else { ",\"" });
            out.push_str(name);
            out.push_str("\":");
            out.push_str(value.get());
        }
    }
    out.push('}');
    out
}

/// The fields of a JSON object as they lie in its text.
#[derive(Default)]
struct Parts<'a>(Vec<(&'a str, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for Parts<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Fields;
        impl<'de> serde::de::Visitor<'de> for Fields {
            type Value = Parts<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Self::Value, A::Error> {
                let mut parts = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    parts.push(entry);
                }
                Ok(Parts(parts))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}
