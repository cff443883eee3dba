//! Kept writes on plain values as bytes: their commands, and the names that they are known by.

use std::sync::Arc;

use super::format::{In, Out};
use crate::clock::Timestamp;
use crate::command::{Bytes, Command, Score};
use crate::id::{Mark, NOTE_LEN, Note};
use crate::streaming::Streaming;
use crate::txn::{Fate, Noted, Txn};

/// What stands between a name and its time: nobody knows whether it was applied, or it was not sent before it was kept.
const LOST: char = '-';
const KEPT: char = '+';

impl Out {
    /// What a write is known by: its mark; or its note, a sign, and the time that it was made; or nothing.
    pub(super) fn name(&mut self, txn: &Txn) -> &mut Self {
        let name = match (&txn.mark, &txn.noted) {
            (Some(mark), _) => mark.as_str().to_owned(),
            (None, Some(Noted { note, at, fate })) => {
                let sign = if *fate == Fate::Kept { KEPT } else { LOST };
                format!("{}{sign}{}", note.as_str(), at.0)
            }
            (None, None) => String::new(),
        };
        self.bytes(name.as_bytes())
    }

    fn pairs(&mut self, pairs: &[(Bytes, Bytes)]) -> &mut Self {
        self.number(pairs.len() as u64);
        pairs.iter().fold(self, |out, (one, other)| out.bytes(one).bytes(other))
    }

    /// Adds a command; nothing when a file can't keep it.
    pub(super) fn command(&mut self, command: &Command) -> Option<()> {
        match command {
            Command::HashPut(fields) => self.number(1).pairs(fields),
            Command::Expire(at) => self.number(2).number(at.0),
            Command::HashIncrease(field, by) => self.number(3).bytes(field).number(by.cast_unsigned()),
            Command::SketchAdd(members) => {
                self.number(4).number(members.len() as u64);
                members.iter().fold(self, |out, member| out.bytes(member))
            }
            Command::SortedAdd(members) => {
                self.number(5).number(members.len() as u64);
                members.iter().fold(self, |out, (score, member)| out.number(score.0.to_bits()).bytes(member))
            }
            Command::Stream(Streaming::Add { fields, place: None, keep }) => {
                self.number(6).pairs(fields).number(keep.map_or(0, |keep| keep.saturating_add(1)))
            }
            _ => return None,
        };
        Some(())
    }
}

impl In<'_> {
    fn held(&mut self) -> Option<Bytes> {
        self.bytes().map(Arc::from)
    }

    fn pair(&mut self) -> Option<(Bytes, Bytes)> {
        Some((self.held()?, self.held()?))
    }

    pub(super) fn command(&mut self) -> Option<Command> {
        Some(match self.number()? {
            1 => Command::HashPut(self.list(Self::pair)?),
            2 => Command::Expire(Timestamp(self.number()?)),
            3 => Command::HashIncrease(self.held()?, self.number()?.cast_signed()),
            4 => Command::SketchAdd(self.list(Self::held)?),
            5 => {
                let member = |from: &mut Self| Some((Score(f64::from_bits(from.number()?)), from.held()?));
                Command::SortedAdd(self.list(member)?)
            }
            6 => {
                let (fields, keep) = (self.list(Self::pair)?, self.number()?.checked_sub(1));
                Command::Stream(Streaming::Add { fields, place: None, keep })
            }
            _ => return None,
        })
    }
}

/// What a write is known by.
pub(super) fn names(text: &str) -> Option<(Option<Mark>, Option<Noted>)> {
    if text.is_empty() {
        return Some((None, None));
    }
    let Some((note, rest)) = text.split_at_checked(NOTE_LEN) else {
        return Some((Some(Mark::parse(text)?), None));
    };
    let fate = if rest.starts_with(KEPT) { Fate::Kept } else { Fate::Lost };
    let at = Timestamp(rest.strip_prefix([KEPT, LOST])?.parse().ok()?);
    Some((None, Some(Noted { note: Note::parse(note)?, at, fate })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Key, Partition, Space};
    use crate::txn::Effect;

    #[test]
    fn writes_on_plain_values_read_back_whole() {
        let bytes = |text: &str| Bytes::from(text.as_bytes());
        let fields = vec![(bytes("a"), bytes("b"))];
        let commands = [
            Command::HashPut(vec![(bytes("f"), bytes("\u{ff}"))]),
            Command::Expire(Timestamp(1_700_000_000_000)),
            Command::HashIncrease(bytes("f"), -3),
            Command::SketchAdd(vec![bytes("a"), bytes("")]),
            Command::SortedAdd(vec![(Score(-1.5), bytes("m"))]),
            Command::Stream(Streaming::Add { fields, place: None, keep: Some(0) }),
        ];
        let key = Key::new(Space("lr"), "k");
        for fate in [Fate::Kept, Fate::Lost] {
            let noted = Noted { note: Note::parse("0123456789abcdef").unwrap(), at: Timestamp(5), fate };
            let effects = commands.clone().map(|command| Effect::Try { key: key.clone(), command }).to_vec();
            let txn =
                Txn { effects, noted: Some(noted), ..Txn::new(Partition::from_number(3), Timestamp(0)) };
            let mut out = Out::default();
            out.txn(&txn).unwrap();
            let read = In(&out.0).txn().unwrap();
            assert_eq!((&read.effects, read.noted, read.mark), (&txn.effects, txn.noted, None));
            for length in 0..out.0.len() {
                assert!(In(out.0.get(..length).unwrap()).txn().is_none(), "cut at {length}");
            }
        }
    }
}
