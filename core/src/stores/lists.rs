//! Lists: of a user's sessions, a session's chains, a chain's steps.

use hashbrown::HashMap;

use super::archive::{Whereabouts, archived_chain};
use super::bases::Text;
use super::chains::{chain_in, chain_json, step_numbers};
use super::record::Stored;
use super::settle::{ATTEMPTS, Look, Plan, too_fast};
use super::steps::step_json;
use super::tree::{CHAINS, SESSION, archive_key, chain_field, step_field, tree_key};
use super::{Call, Stores, chain_id, session_id};
use crate::error::{Code, Error, Result};
use crate::id::{Id, Tree};
use crate::schema::{Chain, Shown};
use crate::txn::{Few, Query};

/// Records asked for in one round trip.
pub(super) const PAGE: usize = 500;

/// How much of a list, and from which end. The order is that of creation.
#[derive(Debug, Clone, Copy)]
pub struct Listing {
    pub descending: bool,
    pub limit: usize,
}

impl Default for Listing {
    fn default() -> Self {
        Self { descending: false, limit: usize::MAX }
    }
}

impl Listing {
    fn order<T>(self, mut items: Vec<T>) -> Vec<T> {
        if self.descending {
            items.reverse();
        }
        items
    }
}

impl Shown {
    /// Whether a chain of this kind is shown.
    pub(super) fn shows(self, archived: bool) -> bool {
        self == Self::Include || archived == (self == Self::Only)
    }
}

impl Stores {
    /// A session's chains. *Round trips*: two; of an expired session, whose archive is left, three.
    ///
    /// # Errors
    /// `STORAGE_NOT_FOUND` when the session does not exist and nothing of it is archived that was asked for,
    /// `STORAGE_CORRUPT` as for sessions.
    pub async fn list_chains(
        &self,
        call: Call,
        id: &str,
        listing: Listing,
        shown: Shown,
    ) -> Result<Vec<String>> {
        let tree = session_id(id)?;
        let numbers = listing.order(self.chain_numbers(call, tree, shown).await?);
        let mut found = Vec::new();
        for page in numbers.chunks(PAGE.min(listing.limit.max(1))) {
            for (number, read) in page.iter().zip(self.chains_at(call, tree, page, shown).await?) {
                if found.len() == listing.limit {
                    return Ok(found);
                }
                if let Some(stored) = self.unless_corrupt(read)?.flatten() {
                    found.push(chain_json(tree, *number, &stored));
                }
            }
        }
        Ok(found)
    }

    /// The numbers that chains of a session may have, in their order.
    pub(super) async fn chain_numbers(&self, call: Call, tree: Tree, shown: Shown) -> Result<Vec<u32>> {
        let look = Look::new(tree, vec![SESSION.into(), CHAINS.into()]);
        let latest = self.settle_fresh(call, &look, |view| {
            if view.text(0).is_none() {
                return Ok(None);
            }
            Ok(Some(match view.text(1).map(|text| Id::parse(&format!("chn_{tree}{text}"))) {
                Some(Some(Id::Chain(_, number))) => number,
                _ => 0,
            }))
        });
        if let Some(latest) = latest.await? {
            return Ok((1..=latest).collect());
        }
        let archived = if shown == Shown::Exclude { None } else { self.archived_numbers(call, tree).await? };
        archived.ok_or_else(|| Error::not_found("session", &Id::Session(tree).to_string()))
    }

    /// The chains of these numbers. What is not in the tree is looked for in both places, as they are at one moment.
    pub(super) async fn chains_at(
        &self,
        call: Call,
        tree: Tree,
        numbers: &[u32],
        shown: Shown,
    ) -> Result<Vec<Result<Option<Stored<Chain>>>>> {
        let record = |key, numbers: &[u32]| {
            let fields = numbers.iter().map(|number| chain_field(*number)).collect();
            Query::Record { key, fields }
        };
        let mut found: HashMap<u32, Text> = HashMap::new();
        if shown != Shown::Only {
            let replies = self.ask(tree.partition(), call, vec![record(tree_key(tree), numbers)]).await?;
            let texts = super::settle::record(replies.into_iter().next())?.texts;
            found.extend(numbers.iter().copied().zip(texts).filter(|(_, text)| text.is_some()));
        }
        let missing: Vec<u32> =
            numbers.iter().copied().filter(|number| !found.contains_key(number)).collect();
        let mut archived: HashMap<u32, Text> = HashMap::new();
        if shown != Shown::Exclude && !missing.is_empty() {
            let queries = vec![record(tree_key(tree), &missing), record(archive_key(tree), &missing)];
            let mut replies = self.ask(tree.partition(), call, queries).await?.into_iter();
            let mut texts = || super::settle::record(replies.next()).map(|fields| fields.texts);
            found.extend(missing.iter().copied().zip(texts()?).filter(|(_, text)| text.is_some()));
            archived.extend(missing.iter().copied().zip(texts()?));
        }
        let read = |number: &u32| {
            let (id, text) =
                (Id::Chain(tree, *number), |texts: &HashMap<u32, Text>| texts.get(number).cloned());
            let stored = match (text(&found).flatten(), text(&archived).flatten()) {
                (Some(text), _) => Stored::<Chain>::read(id, &text)?,
                (None, Some(bundle)) => archived_chain(id, &bundle)?,
                (None, None) => return Ok(None),
            };
            Ok(Some(stored).filter(|stored| shown.shows(stored.record.archived_at.is_some())))
        };
        Ok(numbers.iter().map(read).collect())
    }

    /// A chain's steps. *Round trips*: two.
    ///
    /// # Errors
    /// `STORAGE_NOT_FOUND` when the chain does not exist, `STORAGE_CORRUPT` as for sessions.
    pub async fn list_steps(&self, call: Call, id: &str, listing: Listing) -> Result<Vec<String>> {
        let (tree, chain) = chain_id(id)?;
        let mut found = Vec::new();
        let numbers = listing.order(self.steps_of(call, tree, chain).await?);
        for page in numbers.chunks(PAGE.min(listing.limit.max(1))) {
            let texts = self.steps_at(call, tree, chain, page).await?;
            for ((number, _), text) in page.iter().zip(texts) {
                if found.len() == listing.limit {
                    return Ok(found);
                }
                if let Some(text) = text {
                    let read = Stored::read(Id::Step(tree, chain, *number), &text);
                    let read = read.map(|stored| step_json(tree, chain, *number, &stored));
                    found.extend(self.unless_corrupt(read)?);
                }
            }
        }
        Ok(found)
    }

    /// The numbers of a chain's steps in their order; of an archived chain, their texts.
    pub(super) async fn steps_of(&self, call: Call, tree: Tree, chain: u32) -> Result<Vec<(u32, Text)>> {
        let look = Look::new(tree, vec![chain_field(chain)]);
        for _ in 0..ATTEMPTS {
            let here = self.settle_fresh(call, &look, |view| {
                if view.text(0).is_none() { Ok(None) } else { chain_in(tree, chain, view).map(Some) }
            });
            if let Some(stored) = here.await? {
                return Ok(step_numbers(&stored.aside).map(|number| (number, None)).collect());
            }
            match self.whereabouts(call, tree, chain).await? {
                Whereabouts::Tree => {}
                Whereabouts::Nowhere => {
                    return Err(Error::not_found("chain", &Id::Chain(tree, chain).to_string()));
                }
                Whereabouts::Archive(archived) => {
                    return Ok(archived
                        .steps
                        .into_iter()
                        .map(|(number, text)| (number, Some(text)))
                        .collect());
                }
            }
        }
        Err(too_fast())
    }

    /// The texts of some steps, as far as they are there: those that are known already, or those in the tree. A chain that is
    /// archived between two pages takes its steps along: they are found where it is then.
    pub(super) async fn steps_at(
        &self,
        call: Call,
        tree: Tree,
        chain: u32,
        steps: &[(u32, Text)],
    ) -> Result<Few<Text>> {
        if steps.iter().all(|(_, text)| text.is_some()) {
            return Ok(steps.iter().map(|(_, text)| text.clone()).collect());
        }
        let fields = steps.iter().map(|(step, _)| step_field(chain, *step)).collect();
        let queries = vec![Query::Record { key: tree_key(tree), fields }];
        let replies = self.ask(tree.partition(), call, queries).await?;
        let texts = super::settle::record(replies.into_iter().next())?.texts;
        if texts.iter().all(Option::is_some) {
            return Ok(texts);
        }
        match self.whereabouts(call, tree, chain).await? {
            Whereabouts::Archive(archived) => {
                Ok(steps.iter().map(|(step, _)| archived.step(*step).cloned()).collect())
            }
            _ => Ok(texts),
        }
    }

    /// Answers from a look that is made for this call.
    async fn settle_fresh<T>(
        &self,
        call: Call,
        look: &Look,
        answer: impl Fn(&super::settle::View) -> Result<T>,
    ) -> Result<T> {
        self.settle(call, look, |view, _| answer(view).map(Plan::Answer)).await.map(|settled| settled.value)
    }

    pub(super) fn unless_corrupt<T>(&self, item: Result<T>) -> Result<Option<T>> {
        match item {
            Err(error) if error.code == Code::Corrupt && self.policy.skips_corrupt => Ok(None),
            other => other.map(Some),
        }
    }
}
