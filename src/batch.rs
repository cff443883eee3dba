//! The answers of calls that finished together, as one text that JavaScript parses once.
//!
//! A text each would be a string made, put into a list and parsed for each call; V8 also knows the fields of a record
//! again when the one before it in the same text had them.

use flowkeep_core::storage::UNCHANGED;

/// What an answer is, in the highest bits of its ticket. The face has the same numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A JSON value.
    Value = 0,
    /// A record to be held: a text of its size, a blank and its tag; behind it the record.
    Held = 1,
    /// The record that the caller holds. No text.
    Unchanged = 2,
    /// An error as JSON.
    Error = 3,
    /// No text at all.
    Nothing = 4,
}

/// Where a kind begins in a ticket.
const KIND_AT: u32 = 29;
/// So many bytes are enough for a batch: the rest is asked for again.
const ENOUGH: usize = 1 << 20;
/// In the first place of the tickets: not all that finished had room.
const MORE: u32 = 1 << 31;

/// A batch in the making. The first of its tickets is their number.
pub struct Batch<'a> {
    tickets: &'a mut [u32],
    most: usize,
    count: usize,
    text: String,
}

impl<'a> Batch<'a> {
    /// One of at most `most` answers, and of as many as there is room for.
    pub fn new(tickets: &'a mut [u32], most: u32) -> Self {
        let most = tickets.len().saturating_sub(1).min(most as usize);
        Self { tickets, most, count: 0, text: String::new() }
    }

    /// Whether there is room for another answer.
    pub fn has_room(&self) -> bool {
        self.count < self.most && self.text.len() < ENOUGH
    }

    /// Adds an answer as [`crate::tasks::text`] gives it: what it is shows in its first character.
    pub fn add(&mut self, ticket: u32, answer: &str) {
        let kind = match answer.as_bytes().first() {
            None => Kind::Nothing,
            Some(_) if answer == UNCHANGED => Kind::Unchanged,
            Some(b'!') => self.item(Kind::Error, answer.get(1..)),
            Some(b'0'..=b'9') => match answer.split_once('\n') {
                Some((tag, record)) if tag.starts_with('1') => {
                    let size = record.len().to_string();
                    for part in [self.mark(), "\"", &size, " ", tag, "\""] {
                        self.text.push_str(part);
                    }
                    self.item(Kind::Held, Some(record))
                }
                Some((_, record)) => self.item(Kind::Value, Some(record)),
                None => self.item(Kind::Value, Some(answer)),
            },
            Some(_) => self.item(Kind::Value, Some(answer)),
        };
        self.count += 1;
        if let Some(place) = self.tickets.get_mut(self.count) {
            *place = ticket | (kind as u32) << KIND_AT;
        }
    }

    fn mark(&self) -> &'static str {
        if self.text.is_empty() { "[" } else { "," }
    }

    fn item(&mut self, kind: Kind, json: Option<&str>) -> Kind {
        self.text.push_str(self.mark());
        self.text.push_str(json.unwrap_or("null"));
        kind
    }

    /// The JSON array of the texts; empty when there are none. `more`: others have finished as well.
    pub fn end(mut self, more: bool) -> String {
        if let Some(first) = self.tickets.first_mut() {
            *first = u32::try_from(self.count).unwrap_or_default() | if more { MORE } else { 0 };
        }
        if !self.text.is_empty() {
            self.text.push(']');
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::{Batch, ENOUGH, MORE};

    #[test]
    fn what_an_answer_is_shows_in_its_ticket() {
        let mut tickets = [0; 9];
        let mut batch = Batch::new(&mut tickets, 8);
        let answers = ["", "=", "!{\"a\":1}", "0abc\n{\"b\":2}", "1def\n{\"c\":3}", "[4]", "null"];
        for (ticket, answer) in (7..).zip(answers) {
            assert!(batch.has_room());
            batch.add(ticket, answer);
        }
        assert_eq!(batch.end(false), r#"[{"a":1},{"b":2},"7 1def",{"c":3},[4],null]"#);
        let told: Vec<_> = tickets.iter().map(|ticket| (ticket >> 29, ticket & 0x1FFF_FFFF)).collect();
        assert_eq!(told, [(0, 7), (4, 7), (2, 8), (3, 9), (0, 10), (1, 11), (0, 12), (0, 13), (0, 0)]);
    }

    #[test]
    fn a_batch_is_bounded() {
        let mut tickets = [0; 3];
        let mut batch = Batch::new(&mut tickets, 9);
        batch.add(1, "=");
        batch.add(2, "=");
        assert!(!batch.has_room());
        assert_eq!((batch.end(true).as_str(), tickets[0]), ("", MORE | 2));
        let mut tickets = [0; 9];
        let mut batch = Batch::new(&mut tickets, 1);
        batch.add(1, "=");
        assert!(!batch.has_room());
        let mut batch = Batch::new(&mut tickets, 9);
        batch.add(1, &format!("[{}]", "0,".repeat(ENOUGH / 2)));
        assert!(!batch.has_room());
    }
}
