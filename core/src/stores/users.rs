//! A user as a whole: the sessions in their order, and their end.

use super::feed::entries;
use super::lists::{Listing, PAGE};
use super::record::Stored;
use super::sessions::public_session;
use super::settle::record;
use super::tree::{
    ARCHIVED, DueKind, LIVE, SESSION, all_key, archive_key, below_key, due_key, due_member, feed_key,
    keys_key, member_tree, session_member, sessions_key, tree_key, user_partition,
};
use super::{Call, Stores};
use crate::error::{Effect as Applied, Error, Result};
use crate::id::{Id, Tree};
use crate::key::{Name, Partition};
use crate::schema::{Event, Session};
use crate::txn::{Between, Check, Effect, Fields, Outcome, Position, Query, Reply, Txn};

/// Sessions that are erased in one transaction.
const ERASED_AT_ONCE: u64 = 64;

/// Entries of the feed over all users that are looked through together.
const STRUCK_AT_ONCE: u64 = 500;

/// A range of a user's sessions in the order of their creation; neither end is part of it.
#[derive(Debug, Clone)]
pub(super) struct Span<'a> {
    pub user: &'a str,
    /// The letters of the states.
    pub letters: &'a [char],
    /// Trees, or what trees begin with; empty is no bound.
    pub after: Name,
    pub before: Name,
    pub descending: bool,
}

/// Behind every tree.
const BEHIND: char = '~';

impl Span<'_> {
    fn queries(&self, limit: u64) -> Vec<Query> {
        let range = |letter: &char| {
            let before = if self.before.is_empty() { BEHIND.to_string() } else { self.before.to_string() };
            Between {
                after: format!("{letter}{}", self.after).into(),
                before: format!("{letter}{before}").into(),
            }
        };
        let query = |letter| Query::Between {
            key: sessions_key(self.user),
            range: range(letter),
            descending: self.descending,
            limit,
        };
        self.letters.iter().map(query).collect()
    }

    /// What follows `tree`, if that is less.
    pub fn narrow(&mut self, tree: Tree) {
        if self.descending {
            if self.before.is_empty() || tree.as_str() < self.before.as_str() {
                self.before = tree.as_str().into();
            }
        } else if tree.as_str() > self.after.as_str() {
            self.after = tree.as_str().into();
        }
    }

    /// What follows `tree`.
    pub fn go_on_behind(&mut self, tree: Tree) {
        let end = if self.descending { &mut self.before } else { &mut self.after };
        *end = tree.as_str().into();
    }
}

impl Stores {
    /// The first trees of a span, of all its states as they are at one moment.
    pub(super) async fn trees_in(&self, call: Call, span: &Span<'_>, limit: usize) -> Result<Vec<Tree>> {
        let replies = self.ask(user_partition(span.user), call, span.queries(limit as u64)).await?;
        let mut trees = Vec::new();
        for reply in replies {
            trees.extend(members(Some(reply))?.iter().filter_map(|member| member_tree(member)));
        }
        let mut trees = in_order(trees, span.descending);
        trees.truncate(limit);
        Ok(trees)
    }

    /// All trees of a user whose list is short, by one plain command. `None`: it is long.
    async fn few_trees(&self, call: Call, user: &str, descending: bool) -> Result<Option<Vec<Tree>>> {
        let query =
            Query::Members { key: sessions_key(user), descending: false, skip: 0, limit: PAGE as u64 + 1 };
        let found = members(self.ask(user_partition(user), call, vec![query]).await?.pop())?;
        if found.len() > PAGE {
            return Ok(None);
        }
        let live = found.iter().filter(|member| !member.starts_with(ARCHIVED));
        Ok(Some(in_order(live.filter_map(|member| member_tree(member)).collect(), descending)))
    }

    /// A user's sessions. *Round trips*: two for each 500 of them.
    ///
    /// A session that has expired is left out; if nobody else did, its end is announced now.
    ///
    /// # Errors
    /// `STORAGE_CORRUPT` when one can't be read, unless the policy skips it.
    pub async fn list_sessions(&self, call: Call, user: &str, listing: Listing) -> Result<Vec<String>> {
        let partition = user_partition(user);
        let (mut found, mut expired) = (Vec::new(), Vec::new());
        let page = PAGE.min(listing.limit.max(1));
        let mut span = Span {
            user,
            letters: &LIVE,
            after: Name::default(),
            before: Name::default(),
            descending: listing.descending,
        };
        let few = if page < PAGE { None } else { self.few_trees(call, user, listing.descending).await? };
        let all_at_once = few.is_some();
        let mut next = few;
        while found.len() < listing.limit {
            let trees = match next.take() {
                Some(trees) => trees,
                None => self.trees_in(call, &span, page).await?,
            };
            for (tree, fields) in trees.iter().zip(self.sessions_at(partition, call, &trees).await?) {
                match fields.texts.first().and_then(Option::as_ref) {
                    Some(text) if found.len() < listing.limit => {
                        let id = Id::Session(*tree).to_string();
                        let public = Stored::<Session>::read(&id, text)
                            .map(|stored| public_session(*tree, &stored, fields.until));
                        found.extend(self.unless_corrupt(public)?);
                    }
                    Some(_) => {}
                    None => expired.push(*tree),
                }
            }
            match trees.last() {
                Some(last) if trees.len() == page && !all_at_once => span.go_on_behind(*last),
                _ => break,
            }
        }
        self.forget_expired(call, user, &expired).await?;
        Ok(found)
    }

    /// The sessions of these trees, as far as they are there.
    pub(super) async fn sessions_at(
        &self,
        partition: Partition,
        call: Call,
        trees: &[Tree],
    ) -> Result<Vec<Fields>> {
        if trees.is_empty() {
            return Ok(Vec::new());
        }
        let query = |tree: &Tree| Query::record(tree_key(*tree), [SESSION.into()]);
        let replies = self.ask(partition, call, trees.iter().map(query).collect()).await?;
        replies.into_iter().map(|reply| record(Some(reply))).collect()
    }

    /// How many sessions a user has in each state. One that has expired counts until it is swept.
    ///
    /// *Round trips*: one, whatever their number.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn session_counts(&self, call: Call, user: &str) -> Result<String> {
        let query = |first| Query::Count { key: sessions_key(user), first };
        let replies = self.ask(user_partition(user), call, LIVE.into_iter().map(query).collect()).await?;
        let counts: Vec<u64> = replies
            .iter()
            .map(|reply| match reply {
                Reply::Count(count) => Ok(*count),
                _ => Err(Error::internal("a question for a count was answered by something else")),
            })
            .collect::<Result<_>>()?;
        let [active, paused, completed] = counts.as_slice() else {
            return Err(Error::internal("another number of answers than questions"));
        };
        let total = active + paused + completed;
        Ok(format!("{{\"total\":{total},\"active\":{active},\"paused\":{paused},\"completed\":{completed}}}"))
    }

    /// Removes everything of a user: sessions, chains, steps, logs, archives, lists, keys, the feed, and what the user did from
    /// the feed over all users.
    ///
    /// *Atomicity*: 64 sessions at a time; one that is created meanwhile is erased as well. *Round trips*: two
    /// for each 64. A call that ends early has erased a part: another one goes on with the rest.
    ///
    /// # Errors
    /// `STORAGE_TIMEOUT` when the deadline passed before all was done.
    pub async fn erase_user(&self, call: Call, user: &str) -> Result<String> {
        let partition = user_partition(user);
        let mut sessions = 0;
        while self.clock.now() < call.deadline {
            let range = Between::default();
            let all =
                Query::Between { key: sessions_key(user), range, descending: false, limit: ERASED_AT_ONCE };
            let found = members(self.ask(partition, call, vec![all]).await?.pop())?;
            let mut txn = Txn::new(partition, call.deadline);
            for member in &found {
                sessions += u64::from(!member.starts_with(ARCHIVED));
                erase_tree(&mut txn, user, member);
            }
            if found.is_empty() {
                self.strike_from_all(call, partition, user).await?;
                // Every member has the score 0: nobody has come since.
                txn.checks.push(Check::Clear { key: sessions_key(user), below: 1 });
                txn.effects = [keys_key(user), feed_key(user)].map(|key| Effect::Delete { key }).into();
            }
            if let Outcome::Committed(_) = self.backend.run(txn).await?
                && found.is_empty()
            {
                return Ok(format!("{{\"sessions\":{sessions}}}"));
            }
        }
        Err(Error::timeout(Applied::Unknown))
    }

    /// Takes what a user did out of the feed over all users, where one is kept.
    async fn strike_from_all(&self, call: Call, partition: Partition, user: &str) -> Result<()> {
        let mut at = Position::default();
        while self.clock.now() < call.deadline {
            let query = Query::Entries { key: all_key(), after: at, limit: STRUCK_AT_ONCE };
            let found = entries(self.ask(partition, call, vec![query]).await?.pop())?;
            let is_of_user = |text: &str| {
                // What can't be read may be anybody's.
                serde_json::from_str::<Event>(text).map_or(true, |event| event.user_id == user)
            };
            let of_user = found.iter().filter(|entry| is_of_user(&entry.text));
            let positions: Vec<Position> = of_user.map(|entry| entry.position).collect();
            if !positions.is_empty() {
                let mut txn = Txn::new(partition, call.deadline);
                txn.effects.push(Effect::Strike { key: all_key(), positions });
                self.backend.run(txn).await?;
            }
            match found.last() {
                Some(last) if found.len() as u64 == STRUCK_AT_ONCE => at = last.position,
                _ => return Ok(()),
            }
        }
        Err(Error::timeout(Applied::Unknown))
    }
}

/// In the order of creation, or the other way: a tree's name begins with its time.
fn in_order(mut trees: Vec<Tree>, descending: bool) -> Vec<Tree> {
    trees.sort_unstable_by(|a, b| if descending { b.cmp(a) } else { a.cmp(b) });
    trees
}

/// Everything of a tree, and its place among the user's.
fn erase_tree(txn: &mut Txn, user: &str, member: &Name) {
    if let Some(tree) = member_tree(member) {
        let kind = if member.starts_with(ARCHIVED) { DueKind::Archive } else { DueKind::Session };
        let keys = [tree_key(tree), archive_key(tree), below_key(tree)];
        txn.effects.extend(keys.map(|key| Effect::Delete { key }));
        txn.effects.push(Effect::Remove { key: due_key(), member: due_member(kind, tree, user) });
    }
    txn.effects.push(Effect::Remove { key: sessions_key(user), member: member.clone() });
}

/// Takes a session out of its user's list, whatever its state was.
pub(super) fn leave_list(txn: &mut Txn, user: &str, tree: Tree) {
    let member = |letter| session_member(letter, tree);
    let remove = |letter| Effect::Remove { key: sessions_key(user), member: member(letter) };
    txn.effects.extend(LIVE.into_iter().map(remove));
}

fn members(reply: Option<Reply>) -> Result<Vec<Name>> {
    match reply {
        Some(Reply::Members(members)) => Ok(members),
        _ => Err(Error::internal("a question for members was answered by something else")),
    }
}
