//! Lists: of a user's sessions, a session's chains, a chain's steps.

use super::chains::{chain_in, chain_json};
use super::record::Stored;
use super::sessions::session_in;
use super::settle::{Look, Plan, record};
use super::steps::step_json;
use super::tree::{CHAINS, SESSION, chain_field, tree_key};
use super::{Call, Stores, chain_id, session_id};
use crate::error::{Code, Result};
use crate::id::{Id, Tree};
use crate::key::Name;
use crate::txn::Query;

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

impl Stores {
    /// A session's chains. *Round trips*: two.
    ///
    /// # Errors
    /// `STORAGE_NOT_FOUND` when the session does not exist, `STORAGE_CORRUPT` as for sessions.
    pub async fn list_chains(&self, call: Call, id: &str, listing: Listing) -> Result<Vec<String>> {
        let tree = session_id(id)?;
        let look = Look::new(tree, vec![SESSION.into(), CHAINS.into()]);
        let latest = self
            .settle_fresh(call, &look, |view| {
                session_in(tree, view)?;
                Ok(view.text(1).map_or(0, |text| match Id::parse(&format!("chn_{tree}{text}")) {
                    Some(Id::Chain(_, number)) => number,
                    _ => 0,
                }))
            })
            .await?;
        let numbered = (1..=latest).map(|number| (number, chain_field(number))).collect();
        let read = |number, text: &str| {
            let id = Id::Chain(tree, number).to_string();
            Stored::read(&id, text).map(|stored| chain_json(tree, number, &stored))
        };
        self.list_fields(call, tree, listing.order(numbered), listing.limit, read).await
    }

    /// A chain's steps. *Round trips*: two.
    ///
    /// # Errors
    /// `STORAGE_NOT_FOUND` when the chain does not exist, `STORAGE_CORRUPT` as for sessions.
    pub async fn list_steps(&self, call: Call, id: &str, listing: Listing) -> Result<Vec<String>> {
        let (tree, chain) = chain_id(id)?;
        let look = Look::new(tree, vec![chain_field(chain)]);
        let numbered = self
            .settle_fresh(call, &look, |view| {
                Ok(Self::step_fields(chain, &chain_in(tree, chain, view)?.aside))
            })
            .await?;
        let read = |step, text: &str| {
            let id = Id::Step(tree, chain, step).to_string();
            Stored::read(&id, text).map(|stored| step_json(tree, chain, step, &stored))
        };
        self.list_fields(call, tree, listing.order(numbered), listing.limit, read).await
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

    /// The records in these fields, as far as they are there.
    async fn list_fields(
        &self,
        call: Call,
        tree: Tree,
        numbered: Vec<(u32, Name)>,
        limit: usize,
        read: impl Fn(u32, &str) -> Result<String>,
    ) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for page in numbered.chunks(PAGE.min(limit.max(1))) {
            let fields = page.iter().map(|(_, field)| field.clone()).collect();
            let replies =
                self.ask(tree.partition(), call, vec![Query::Record { key: tree_key(tree), fields }]).await?;
            let texts = record(replies.into_iter().next())?.texts;
            for ((number, _), text) in page.iter().zip(texts) {
                if found.len() == limit {
                    return Ok(found);
                }
                if let Some(text) = text {
                    found.extend(self.unless_corrupt(read(*number, &text))?);
                }
            }
        }
        Ok(found)
    }

    pub(super) fn unless_corrupt<T>(&self, item: Result<T>) -> Result<Option<T>> {
        match item {
            Err(error) if error.code == Code::Corrupt && self.policy.skips_corrupt => Ok(None),
            other => other.map(Some),
        }
    }
}
