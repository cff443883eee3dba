//! Sorted sets.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use hashbrown::HashMap;

use super::{flag, int, size};
use crate::command::{Bytes, Command, Data, Fault, Score};

/// Members by score, then by their bytes.
#[derive(Debug, Default)]
pub(in crate::memory) struct Sorted {
    ordered: BTreeSet<(Score, Bytes)>,
    scores: HashMap<Bytes, Score>,
}

impl Sorted {
    pub fn len(&self) -> usize {
        self.scores.len()
    }

    fn add(&mut self, member: Bytes, score: Score) -> bool {
        let before = self.scores.insert(Arc::clone(&member), score);
        if let Some(before) = before {
            self.ordered.remove(&(before, Arc::clone(&member)));
        }
        self.ordered.insert((score, member));
        before.is_none()
    }

    fn remove(&mut self, member: &Bytes) -> bool {
        let Some(score) = self.scores.remove(member) else { return false };
        self.ordered.remove(&(score, Arc::clone(member)))
    }

    pub fn write(&mut self, command: Command) -> Data {
        match command {
            Command::SortedAdd(members) => {
                let new = members.into_iter().filter(|(score, member)| self.add(Arc::clone(member), *score));
                int(new.count())
            }
            Command::SortedDrop(members) => int(members.iter().filter(|member| self.remove(member)).count()),
            Command::SortedIncrease(member, by) => {
                let now = self.scores.get(&member).map_or(0.0, |score| score.0) + by.0;
                if now.is_nan() {
                    return Data::Fault(Fault::OutOfRange);
                }
                self.add(member, Score(now));
                Data::score(Score(now))
            }
            _ => super::WRONG,
        }
    }

    pub fn read(&self, command: &Command) -> Data {
        match command {
            Command::SortedScore(member) => {
                self.scores.get(member).map_or(Data::Nil, |score| Data::score(*score))
            }
            Command::SortedLen => int(self.len()),
            Command::SortedRanks { from, count, descending } => {
                let all = either(self.ordered.iter(), *descending);
                with_scores(all.skip(size(*from)).take(size(*count)))
            }
            Command::SortedScores { least, most, skip, count, descending } => {
                let between = self
                    .ordered
                    .range((Bound::Included((*least, Arc::from([]))), Bound::Unbounded))
                    .take_while(|(score, _)| score <= most);
                // Only as far as it is asked for, unless the order is the other one.
                if *descending {
                    let all: Vec<_> = between.collect();
                    return with_scores(all.into_iter().rev().skip(size(*skip)).take(size(*count)));
                }
                with_scores(between.skip(size(*skip)).take(size(*count)))
            }
            Command::SortedTexts { after, before, count, descending } => {
                let members = either(self.between(after, before), *descending);
                let named = |(_, member): &(Score, Bytes)| Data::Bytes(Arc::clone(member));
                Data::List(members.take(size(*count)).map(named).collect())
            }
            Command::SortedTextCount { after, before } => int(self.between(after, before).count()),
            _ => flag(false),
        }
    }

    /// The members between two texts, where all scores are equal.
    fn between(&self, after: &Bytes, before: &Bytes) -> impl DoubleEndedIterator<Item = &(Score, Bytes)> {
        let score = self.ordered.first().map_or(Score(0.0), |(score, _)| *score);
        let is_range = after < before;
        let from = Bound::Excluded((score, Arc::clone(after)));
        let to = Bound::Excluded((
            score,
            if is_range { Arc::clone(before) } else { [after, &[0][..]].concat().into() },
        ));
        self.ordered.range((from, to)).filter(move |_| is_range)
    }
}

fn either<'a>(
    items: impl DoubleEndedIterator<Item = &'a (Score, Bytes)> + 'a,
    descending: bool,
) -> Box<dyn Iterator<Item = &'a (Score, Bytes)> + 'a> {
    if descending { Box::new(items.rev()) } else { Box::new(items) }
}

fn with_scores<'a>(items: impl Iterator<Item = &'a (Score, Bytes)>) -> Data {
    let pair = |(score, member): &(Score, Bytes)| [Data::Bytes(Arc::clone(member)), Data::score(*score)];
    Data::List(items.flat_map(pair).collect())
}
