//! Which history of writes a server goes on with: its replication id.
//!
//! A server that is made a master, or begins anew, gives its history a new id, and a replica that takes over tells the id of
//! the one before. Redis replicates after it has answered, and may save after it has answered: with a new id the latest
//! acknowledged writes may be missing. Nobody can say which; so that it happened is what is told.

use std::collections::{HashMap, HashSet};

use super::resp::Value;

/// Ids that are remembered.
const KNOWN: usize = 1_024;

/// A server's history, and the one that it went on from as a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct History {
    id: String,
    before: String,
}

impl History {
    /// Reads what a master answers to `INFO replication`; nothing of anybody else, who follows one.
    pub fn read(answer: &Value) -> Option<Self> {
        let text = answer.as_text().filter(|text| text.starts_with("# Replication"))?;
        let of = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .unwrap_or_default()
                .trim()
        };
        let id = of("master_replid");
        (of("role") == "master" && !id.is_empty())
            .then(|| Self { id: id.to_owned(), before: of("master_replid2").to_owned() })
    }
}

/// The histories that were seen behind one URL.
#[derive(Debug, Default)]
pub(super) struct Histories {
    known: HashSet<String>,
    /// The latest by place.
    latest: HashMap<String, String>,
}

impl Histories {
    /// Notes what a place says; why the latest writes may be missing there, if that is new.
    pub fn note(&mut self, place: &str, history: History) -> Option<&'static str> {
        if self.known.len() >= KNOWN {
            self.known.clear();
            self.latest.clear();
        }
        let replaced = self.latest.insert(place.to_owned(), history.id.clone());
        let took_over = self.known.contains(&history.before);
        if !self.known.insert(history.id.clone()) {
            return None;
        }
        // Of a place that was known before: with a history in front of this one, which came and went unseen, it took over, too.
        let went_on = replaced.is_some() && history.before.bytes().any(|digit| digit != b'0');
        if took_over || went_on {
            return Some("a replica took over: what was acknowledged and not yet replicated is lost");
        }
        replaced.map(|_| "a server began anew: what was acknowledged and not yet saved is lost")
    }
}

#[cfg(test)]
mod tests {
    use super::{Histories, History, Value};

    fn history(role: &str, id: &str, before: &str) -> Option<History> {
        let text = format!(
            "# Replication\r\nrole:{role}\r\nconnected_slaves:0\r\nmaster_replid:{id}\r\nmaster_replid2:{before}\r\n"
        );
        History::read(&Value::Text(text.into()))
    }

    #[test]
    fn only_a_new_history_of_what_was_known_is_told() {
        let mut histories = Histories::default();
        let mut note = |place: &str, id: &str, before: &str| {
            let told = histories.note(place, history("master", id, before).unwrap());
            told.map(|why| why.split(' ').nth(1).unwrap())
        };
        assert_eq!(note("a", "1", "0"), None, "the first");
        assert_eq!(note("a", "1", "0"), None, "another connection");
        assert_eq!(note("b", "2", "0"), None, "another master");
        assert_eq!(note("c", "3", "2"), Some("replica"));
        assert_eq!(note("c", "3", "2"), None, "told once");
        assert_eq!(note("a", "4", "0"), Some("server"));
        assert_eq!(note("a", "6", "5"), Some("replica"), "two failovers, one behind the other");
    }

    #[test]
    fn who_follows_has_no_history_of_its_own() {
        assert_eq!(history("slave", "1", "0"), None);
        assert_eq!(history("master", "", ""), None);
        assert_eq!(History::read(&Value::Status("OK".into())), None);
        assert_eq!(History::read(&Value::bulk(b"hello")), None);
    }
}
