//! A kept write as bytes, and back. Numbers as in LEB128, texts behind their length, lists behind their count.
//!
//! Each kind of check and effect has a number of its own that never changes its meaning; what is not in the list can't
//! be kept by a file.

use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::Timestamp;
use crate::command::{Command, Line};
use crate::key::{Key, Name, Partition, Space};
use crate::txn::{Check, Effect, Feed, Txn, Until};

use super::plain::names;

/// Spaces of one program at the most, and the bytes of a space's word.
const SPACES: usize = 128;
const LONGEST_SPACE: usize = 32;

/// Bytes that are being written.
#[derive(Default)]
pub(super) struct Out(pub Vec<u8>);

impl Out {
    pub fn number(&mut self, mut number: u64) -> &mut Self {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
        self
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64).0.extend_from_slice(bytes);
        self
    }

    fn key(&mut self, key: &Key) -> &mut Self {
        self.bytes(key.space.0.as_bytes()).bytes(key.name.as_bytes())
    }

    fn until(&mut self, until: Until) -> &mut Self {
        match until {
            Until::Never => self.number(0),
            Until::At(at) => self.number(1).number(at.0),
        }
    }

    fn names(&mut self, names: &[Name]) -> &mut Self {
        self.number(names.len() as u64);
        names.iter().fold(self, |out, name| out.bytes(name.as_bytes()))
    }

    fn feed(&mut self, feed: &Feed) -> &mut Self {
        self.key(&feed.key).number(feed.keep).number(feed.until.0);
        match &feed.also {
            None => self.number(0),
            Some(also) => self.number(1).key(also),
        }
    }

    fn check(&mut self, check: &Check) -> Option<()> {
        match check {
            Check::Absent { key, field } => self.number(1).key(key).bytes(field.as_bytes()),
            Check::Present { key, field } => self.number(2).key(key).bytes(field.as_bytes()),
            Check::Begins { key, field, with } => {
                self.number(3).key(key).bytes(field.as_bytes()).bytes(with.as_bytes())
            }
            Check::Due { key, member, by } => self.number(4).key(key).bytes(member.as_bytes()).number(*by),
            Check::Clear { key, below } => self.number(5).key(key).number(*below),
            Check::Holds { .. } | Check::Gone { .. } | Check::Idle { .. } | Check::Last { .. } => {
                return None;
            }
        };
        Some(())
    }

    fn effect(&mut self, effect: &Effect) -> Option<()> {
        match effect {
            Effect::Open { key, until } => self.number(1).key(key).until(*until),
            Effect::Put { key, field, text } => {
                self.number(2).key(key).bytes(field.as_bytes()).bytes(text.as_bytes())
            }
            Effect::Drop { key, fields } => self.number(3).key(key).names(fields),
            Effect::Delete { key } => self.number(4).key(key),
            Effect::Slide { key, until } => self.number(5).key(key).until(*until),
            Effect::Hold { key, until } => self.number(6).key(key).until(*until),
            Effect::Move { key, fields, to, field } => {
                self.number(7).key(key).names(fields).key(to).bytes(field.as_bytes())
            }
            Effect::Add { key, member, score } => {
                self.number(8).key(key).bytes(member.as_bytes()).number(*score)
            }
            Effect::Lower { key, member, score } => {
                self.number(9).key(key).bytes(member.as_bytes()).number(*score)
            }
            Effect::Remove { key, member } => self.number(10).key(key).bytes(member.as_bytes()),
            Effect::Append { key, text, keep, feed } => {
                self.number(11).key(key).bytes(text.as_bytes()).number(*keep).feed(feed)
            }
            Effect::Announce { feed, origin, position, text } => {
                self.number(12).feed(feed).bytes(origin.as_bytes()).number(*position).bytes(text.as_bytes())
            }
            Effect::Do { key, command: Command::Line(Line::Put { text, most }) } => {
                self.number(13).key(key).bytes(text).number(most.map_or(0, |most| most.saturating_add(1)))
            }
            Effect::Do { key, command: Command::Delete } => self.number(14).key(key),
            Effect::Try { key, command } => return self.number(15).key(key).command(command),
            Effect::Do { .. } | Effect::Trim { .. } | Effect::TrimFeed { .. } | Effect::Strike { .. } => {
                return None;
            }
        };
        Some(())
    }

    /// Adds a write; nothing when a file can't keep it.
    pub fn txn(&mut self, txn: &Txn) -> Option<()> {
        self.number(txn.partition.number().into());
        self.name(txn);
        self.number(txn.checks.len() as u64);
        txn.checks.iter().try_for_each(|check| self.check(check))?;
        self.number(txn.effects.len() as u64);
        txn.effects.iter().try_for_each(|effect| self.effect(effect))
    }
}

/// Bytes that are being read.
pub(super) struct In<'a>(pub &'a [u8]);

impl<'a> In<'a> {
    pub fn number(&mut self) -> Option<u64> {
        let (mut number, mut shift) = (0u64, 0);
        loop {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
            shift += 7;
        }
    }

    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn name(&mut self) -> Option<Name> {
        self.text().map(Name::from)
    }

    fn key(&mut self) -> Option<Key> {
        let space = space(self.text()?)?;
        Some(Key { space, name: self.name()? })
    }

    fn until(&mut self) -> Option<Until> {
        match self.number()? {
            0 => Some(Until::Never),
            1 => Some(Until::At(Timestamp(self.number()?))),
            _ => None,
        }
    }

    pub fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.number()?;
        (0..count).map(|_| item(self)).collect()
    }

    fn feed(&mut self) -> Option<Feed> {
        let (key, keep, until) = (self.key()?, self.number()?, Timestamp(self.number()?));
        let also = if self.number()? == 0 { None } else { Some(self.key()?) };
        Some(Feed { key, keep, until, also })
    }

    fn check(&mut self) -> Option<Check> {
        let (kind, key) = (self.number()?, self.key()?);
        Some(match kind {
            1 => Check::Absent { key, field: self.name()? },
            2 => Check::Present { key, field: self.name()? },
            3 => Check::Begins { key, field: self.name()?, with: self.text()?.to_owned() },
            4 => Check::Due { key, member: self.name()?, by: self.number()? },
            5 => Check::Clear { key, below: self.number()? },
            _ => return None,
        })
    }

    fn effect(&mut self) -> Option<Effect> {
        let kind = self.number()?;
        if kind == 12 {
            let (feed, origin) = (self.feed()?, self.name()?);
            return Some(Effect::Announce {
                feed,
                origin,
                position: self.number()?,
                text: self.text()?.into(),
            });
        }
        let key = self.key()?;
        Some(match kind {
            1 => Effect::Open { key, until: self.until()? },
            2 => Effect::Put { key, field: self.name()?, text: self.text()?.into() },
            3 => Effect::Drop { key, fields: self.list(Self::name)? },
            4 => Effect::Delete { key },
            5 => Effect::Slide { key, until: self.until()? },
            6 => Effect::Hold { key, until: self.until()? },
            7 => Effect::Move { key, fields: self.list(Self::name)?, to: self.key()?, field: self.name()? },
            8 => Effect::Add { key, member: self.name()?, score: self.number()? },
            9 => Effect::Lower { key, member: self.name()?, score: self.number()? },
            10 => Effect::Remove { key, member: self.name()? },
            11 => Effect::Append { key, text: self.text()?.into(), keep: self.number()?, feed: self.feed()? },
            13 => {
                let text = Arc::from(self.bytes()?);
                let most = self.number()?.checked_sub(1);
                Effect::Do { key, command: Command::Line(Line::Put { text, most }) }
            }
            14 => Effect::Do { key, command: Command::Delete },
            15 => Effect::Try { key, command: self.command()? },
            _ => return None,
        })
    }

    /// A write that may be brought to the backend; nothing for what is none.
    pub fn txn(&mut self) -> Option<Txn> {
        let partition = Partition::from_number(u16::try_from(self.number()?).ok()?);
        let (mark, noted) = names(self.text()?)?;
        let (checks, effects) = (self.list(Self::check)?, self.list(Self::effect)?);
        let txn = Txn::new(partition, Timestamp(0));
        self.0.is_empty().then_some(Txn {
            checks,
            effects,
            mark,
            noted,
            repeated: true,
            deferrable: true,
            ..txn
        })
    }
}

/// A space of this word. Words are made once and stay, as those of the program itself do: there are few of them.
fn space(word: &str) -> Option<Space> {
    static KNOWN: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = known.iter().find(|known| **known == word) {
        return Some(Space(known));
    }
    if known.len() >= SPACES || word.len() > LONGEST_SPACE {
        return None;
    }
    let word: &'static str = Box::leak(Box::from(word));
    known.push(word);
    Some(Space(word))
}

#[cfg(test)]
mod tests {
    use super::{In, Out};
    use crate::clock::Timestamp;
    use crate::command::{Command, Line};
    use crate::id::Mark;
    use crate::key::{Key, Partition, Space};
    use crate::txn::{Check, Effect, Feed, Txn, Until};

    fn of_everything() -> Txn {
        let key = Key::new(Space("t"), "0abc");
        let feed =
            |also| Feed { key: Key::new(Space("f"), "ü\n"), keep: 300, until: Timestamp(u64::MAX), also };
        let until = Until::At(Timestamp(1_700_000_000_000));
        let field = "p1".into();
        Txn {
            checks: vec![
                Check::Absent { key: key.clone(), field: "s".into() },
                Check::Present { key: key.clone(), field: "s".into() },
                Check::Begins { key: key.clone(), field: "s".into(), with: "12.abcdefgh".into() },
                Check::Due { key: key.clone(), member: "m".into(), by: 0 },
                Check::Clear { key: key.clone(), below: 127 },
            ],
            effects: vec![
                Effect::Open { key: key.clone(), until: Until::Never },
                Effect::Put { key: key.clone(), field, text: "\u{1}{\"a\":\"é\"}".into() },
                Effect::Drop { key: key.clone(), fields: vec!["a".into(), "".into()] },
                Effect::Delete { key: key.clone() },
                Effect::Slide { key: key.clone(), until },
                Effect::Hold { key: key.clone(), until },
                Effect::Move { key: key.clone(), fields: vec![], to: key.clone(), field: "b".into() },
                Effect::Add { key: key.clone(), member: "m".into(), score: 128 },
                Effect::Lower { key: key.clone(), member: "m".into(), score: 16_384 },
                Effect::Remove { key: key.clone(), member: "m".into() },
                Effect::Append { key: key.clone(), text: "e".into(), keep: 1, feed: feed(None) },
                Effect::Announce {
                    feed: feed(Some(key.clone())),
                    origin: "o".into(),
                    position: 7,
                    text: "x".into(),
                },
                Effect::Do {
                    key: Key::new(Space("queue:"), "q"),
                    command: Command::Line(Line::Put { text: (*b"\xff[1]").into(), most: Some(0) }),
                },
                Effect::Do { key: Key::new(Space("cache:"), "c"), command: Command::Delete },
            ],
            mark: Some(Mark::new(77)),
            ..Txn::new(Partition::from_number(1_023), Timestamp(5))
        }
    }

    #[test]
    fn a_write_reads_back_whole() {
        let txn = of_everything();
        let mut out = Out::default();
        out.txn(&txn).unwrap();
        let read = In(&out.0).txn().unwrap();
        assert_eq!((&read.checks, &read.effects), (&txn.checks, &txn.effects));
        assert_eq!((read.mark, read.partition), (txn.mark, txn.partition));
        assert!(read.repeated && read.deferrable);
        for length in 0..out.0.len() {
            assert!(In(out.0.get(..length).unwrap()).txn().is_none(), "cut at {length}");
        }
    }

    #[test]
    fn what_has_no_number_is_not_kept() {
        let key = Key::new(Space("kv:{}"), "k");
        let txn = Txn {
            effects: vec![Effect::Do { key, command: Command::Increase(1) }],
            ..Txn::new(Partition::from_number(1), Timestamp(5))
        };
        assert!(Out::default().txn(&txn).is_none());
    }
}
