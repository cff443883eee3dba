//! Hints that something was appended. A hint tells where to look, never what is there: the log is the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Poll, Waker};

use crate::clock::Timestamp;
use crate::key::{Key, Partition};
use crate::txn::Effect;

/// What is listened to: appending to a log or to a feed gives a hint to both of their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topic {
    /// A log's or a feed's key.
    Key(Partition, Key),
    /// Every log and feed.
    Everything,
}

/// Hints since the last wake, as one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wake {
    /// Partitions in which something was appended: for a key its own.
    pub changed: BTreeSet<Partition>,
    /// Hints may have been lost: everything is to be looked at. So is the first wake of a subscription, which says that
    /// listening has begun: whatever was appended before it may not be told.
    pub missed: bool,
}

/// A key's digest in a hint. Two keys may share one: then a wake is in vain.
#[must_use]
pub fn digest(key: &Key) -> u64 {
    let bytes = key.space.0.bytes().chain([0]).chain(key.name.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// The digests of the keys that these effects append to: those of the hint that they give.
#[must_use]
pub fn digests(effects: &[Effect]) -> Vec<u64> {
    let mut digests = Vec::new();
    for effect in effects {
        let [log, feed] = match effect {
            Effect::Append { key, feed, .. } => [Some(key), Some(&feed.key)],
            Effect::Announce { feed, .. } => [None, Some(&feed.key)],
            _ => continue,
        };
        for digest in [log, feed].into_iter().flatten().map(digest) {
            if !digests.contains(&digest) {
                digests.push(digest);
            }
        }
    }
    digests
}

/// How long a topic that nobody listens to any more is kept: whoever comes back hears on.
const LINGER_MS: u64 = 10_000;

/// The subscriptions of one backend.
#[derive(Default)]
pub struct Topics {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ears: BTreeMap<u64, Ear>,
    latest: u64,
    /// How many listen to a partition; with none, until when it is kept. `None` is every partition.
    wanted: BTreeMap<Option<Partition>, (usize, Timestamp)>,
    /// Grows when `wanted` gets other keys.
    revision: u64,
}

struct Ear {
    partition: Option<Partition>,
    digest: u64,
    heard: Wake,
    waker: Option<Waker>,
}

impl Ear {
    fn hear(&mut self, wakers: &mut Vec<Waker>, hint: impl FnOnce(&mut Wake)) {
        hint(&mut self.heard);
        wakers.extend(self.waker.take());
    }
}

impl Topics {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens from now on. `listening`: whether its hints come already, so that the first wake is there at once; it is told
    /// whether somebody listens to the same.
    #[must_use]
    pub fn subscribe(self: &Arc<Self>, topic: &Topic, listening: impl FnOnce(bool) -> bool) -> Subscription {
        let (partition, digest) = match topic {
            Topic::Key(partition, key) => (Some(*partition), digest(key)),
            Topic::Everything => (None, 0),
        };
        let mut state = self.lock();
        state.latest += 1;
        let number = state.latest;
        let known = state.wanted.contains_key(&partition) || state.wanted.contains_key(&None);
        let missed = listening(known);
        if !state.wanted.contains_key(&partition) {
            state.revision += 1;
        }
        state.wanted.entry(partition).or_insert((0, Timestamp(0))).0 += 1;
        let heard = Wake { missed, ..Wake::default() };
        state.ears.insert(number, Ear { partition, digest, heard, waker: None });
        Subscription { topics: Arc::downgrade(self), number }
    }

    /// Something was appended to the keys with these digests.
    pub fn hint(&self, partition: Partition, digests: &[u64]) {
        if digests.is_empty() {
            return;
        }
        let mut wakers = Vec::new();
        for ear in self.lock().ears.values_mut() {
            if ear.partition.is_none() || (ear.partition == Some(partition) && digests.contains(&ear.digest))
            {
                ear.hear(&mut wakers, |wake| wake.changed.extend([partition]));
            }
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Hints of this partition, or of all of them, may have been lost, or begin to come.
    pub fn missed(&self, partition: Option<Partition>) {
        let mut wakers = Vec::new();
        for ear in self.lock().ears.values_mut() {
            if partition.is_none() || ear.partition == partition || ear.partition.is_none() {
                ear.hear(&mut wakers, |wake| wake.missed = true);
            }
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whether somebody listens.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        !self.lock().wanted.is_empty()
    }

    /// A number that changes with the answer of [`Topics::wanted`].
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.lock().revision
    }

    /// The partitions that are listened to, or were until a moment ago; `None` stands for all of them.
    #[must_use]
    pub fn wanted(&self, now: Timestamp) -> Vec<Option<Partition>> {
        let mut state = self.lock();
        let before = state.wanted.len();
        state.wanted.retain(|_, (count, until)| {
            if *count == 0 && until.0 == 0 {
                *until = now.plus_ms(LINGER_MS);
            }
            *count > 0 || *until > now
        });
        if state.wanted.len() != before {
            state.revision += 1;
        }
        state.wanted.keys().copied().collect()
    }

    fn leave(&self, number: u64) {
        let mut state = self.lock();
        let Some(ear) = state.ears.remove(&number) else { return };
        if let Some((count, until)) = state.wanted.get_mut(&ear.partition) {
            *count = count.saturating_sub(1);
            *until = Timestamp(0);
        }
    }
}

/// Hints to come. Dropped, it ends.
pub struct Subscription {
    topics: Weak<Topics>,
    number: u64,
}

impl Subscription {
    /// The hints since the last time, as one; waits when there are none. It has no deadline of its own, and stays pending
    /// while the server is away: race it with a [`crate::timer::Sleep`].
    pub fn wake(&mut self) -> impl Future<Output = Wake> + '_ {
        poll_fn(|cx| {
            let Some(topics) = self.topics.upgrade() else { return Poll::Pending };
            let mut state = topics.lock();
            let Some(ear) = state.ears.get_mut(&self.number) else { return Poll::Pending };
            if ear.heard == Wake::default() {
                ear.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(std::mem::take(&mut ear.heard))
        })
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(topics) = self.topics.upgrade() {
            topics.leave(self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;

    use super::{Topic, Topics, Wake, digest};
    use crate::clock::Timestamp;
    use crate::key::{Key, Partition, Space};
    use crate::run::poll_now;

    #[test]
    fn hints_reach_those_who_listen_to_the_key_and_come_as_one() {
        let (topics, seven) = (Arc::new(Topics::default()), Partition::from_number(7));
        let (mine, other) = (Key::new(Space("t"), "a"), Key::new(Space("t"), "b"));
        let mut ear = topics.subscribe(&Topic::Key(seven, mine.clone()), |known| known);
        let mut all = topics.subscribe(&Topic::Everything, |known| known);
        assert_eq!(poll_now(pin!(ear.wake())), None, "nobody listened before");
        topics.missed(Some(seven));
        assert!(poll_now(pin!(ear.wake())).unwrap().missed);
        assert!(poll_now(pin!(all.wake())).unwrap().missed);
        topics.hint(seven, &[digest(&other)]);
        assert_eq!(poll_now(pin!(ear.wake())), None);
        topics.hint(seven, &[digest(&other), digest(&mine)]);
        topics.hint(seven, &[digest(&mine)]);
        let wake = Wake { changed: [seven].into(), missed: false };
        assert_eq!(poll_now(pin!(ear.wake())), Some(wake.clone()));
        assert_eq!(poll_now(pin!(ear.wake())), None);
        assert_eq!(poll_now(pin!(all.wake())), Some(wake));
        topics.hint(seven, &[]);
        assert_eq!(poll_now(pin!(all.wake())), None, "nothing was appended");
        let mut late = topics.subscribe(&Topic::Key(seven, other), |known| known);
        assert!(poll_now(pin!(late.wake())).unwrap().missed, "the partition is heard already");
    }

    #[test]
    fn a_topic_lingers() {
        let topics = Arc::new(Topics::default());
        let topic = Topic::Key(Partition::from_number(1), Key::new(Space("t"), "a"));
        drop(topics.subscribe(&topic, |_| true));
        assert_eq!(topics.wanted(Timestamp(1)).len(), 1);
        drop(topics.subscribe(&topic, |_| true));
        assert_eq!(topics.wanted(Timestamp(9_000)).len(), 1);
        let revision = topics.revision();
        assert_eq!(topics.wanted(Timestamp(18_999)).len(), 1);
        assert_eq!(topics.wanted(Timestamp(19_000)).len(), 0);
        assert_ne!(topics.revision(), revision);
    }
}
