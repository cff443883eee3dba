//! A session's tree as it stands at one moment, with its place in the log.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::archive::archived_chain;
use super::chains::{chain_json, step_numbers};
use super::cursor::Cursor;
use super::record::Stored;
use super::sessions::public_session;
use super::settle::record;
use super::steps::step_json;
use super::tree::{CHAINS, SESSION, archive_key, chain_field, step_field, steps_field, tree_key};
use super::{Call, Stores, session_id};
use crate::error::{Code, Error, Result};
use crate::id::{Id, Tree};
use crate::key::Name;
use crate::schema::{Chain, Session, Step};
use crate::txn::{Bundle, Few, Query, Reply, Until};

/// How often the tree may outgrow what is asked of it.
const ATTEMPTS: u32 = 32;
/// Chains, and steps of each chain, that are asked for beyond those that were seen.
const MORE_CHAINS: u32 = 4;
const MORE_STEPS: u32 = 8;

/// How much of a tree is asked for: the steps of each chain, and chains that may be archived.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Extent {
    steps: Vec<u32>,
    archived: BTreeSet<u32>,
}

impl Extent {
    fn fields(&self) -> Vec<Name> {
        let mut fields = vec![SESSION.into(), CHAINS.into()];
        for (chain, steps) in (1..).zip(&self.steps) {
            fields.push(chain_field(chain));
            fields.extend((1..=*steps).map(|step| step_field(chain, step)));
        }
        fields
    }

    fn with_more(&self) -> Self {
        let mut steps: Vec<u32> = self.steps.iter().map(|steps| steps + MORE_STEPS).collect();
        steps.extend((0..MORE_CHAINS).map(|_| MORE_STEPS));
        Self { steps, archived: self.archived.clone() }
    }

    /// The fields of the archive: a chain and its steps each.
    fn archive_fields(&self) -> Vec<Name> {
        self.archived.iter().flat_map(|chain| [chain_field(*chain), steps_field(*chain)]).collect()
    }

    fn covers(&self, other: &Self) -> bool {
        let enough =
            |(place, steps): (usize, &u32)| self.steps.get(place).is_some_and(|asked| asked >= steps);
        other.steps.iter().enumerate().all(enough) && other.archived.is_subset(&self.archived)
    }
}

/// Fields of a tree, read at one moment.
struct Seen {
    tree: Tree,
    texts: HashMap<Name, Arc<str>>,
    /// Fields of the archive: bundles.
    archive: HashMap<Name, Arc<str>>,
    until: Until,
    /// The latest position of the log.
    last: u64,
}

impl Seen {
    fn stored<R: super::record::Record>(&self, id: Id, field: &Name) -> Result<Option<Stored<R>>> {
        self.texts.get(field).map(|text| Stored::read(id, text)).transpose()
    }

    fn archived(&self, chain: u32) -> Result<Option<Stored<Chain>>> {
        let bundle = self.archive.get(&chain_field(chain));
        bundle.map(|bundle| archived_chain(Id::Chain(self.tree, chain), bundle)).transpose()
    }

    fn chains(&self) -> u32 {
        let text = self.texts.get(CHAINS).map_or("", |text| text);
        match Id::parse(&format!("chn_{}{text}", self.tree)) {
            Some(Id::Chain(_, number)) => number,
            _ => 0,
        }
    }
}

impl Stores {
    /// A session with its chains and steps, all as they stand at one moment, and the cursor behind that moment:
    /// `{ session, chains, steps, cursor }`.
    ///
    /// *Atomicity*: one look at the whole tree. *Round trips*: two or three; more while the tree grows fast.
    ///
    /// # Errors
    /// `STORAGE_NOT_FOUND`, `STORAGE_CORRUPT` unless the policy skips it.
    pub async fn snapshot(&self, call: Call, id: &str) -> Result<String> {
        let tree = session_id(id)?;
        let mut extent = Extent::default();
        for _ in 0..ATTEMPTS {
            let asked = extent.with_more();
            let seen = self.look_at_tree(call, tree, &asked).await?;
            let (now, json) = self.tell(&seen)?;
            let now = Extent { archived: &now.archived | &extent.archived, ..now };
            if asked.covers(&now) {
                return Ok(json);
            }
            extent = now;
        }
        let message = format!("the session grew faster than it could be read, {ATTEMPTS} times in a row");
        Err(Error { retryable: true, ..Error::new(Code::Conflict, message) })
    }

    async fn look_at_tree(&self, call: Call, tree: Tree, asked: &Extent) -> Result<Seen> {
        let (key, names) = (tree_key(tree), asked.fields());
        let log = Query::Log { key: key.clone(), after: 0, limit: 0 };
        let mut queries = vec![log, Query::record(key, names.iter().cloned())];
        let archived = asked.archive_fields();
        if !archived.is_empty() {
            queries.push(Query::record(archive_key(tree), archived.iter().cloned()));
        }
        let mut replies = self.ask(tree.partition(), call, queries).await?.into_iter();
        let last = match replies.next() {
            Some(Reply::Log(log)) => log.last,
            _ => return Err(Error::internal("a question for a log was answered by something else")),
        };
        let fields = record(replies.next())?;
        let named = |names: Vec<Name>, texts: Few<Option<Arc<str>>>| {
            names.into_iter().zip(texts).filter_map(|(name, text)| Some((name, text?))).collect()
        };
        let archive = if archived.is_empty() { Few::new() } else { record(replies.next())?.texts };
        let (texts, archive) = (named(names, fields.texts), named(archived, archive));
        Ok(Seen { tree, texts, archive, until: fields.until, last })
    }

    /// How large the tree is, and what of it was seen as JSON.
    fn tell(&self, seen: &Seen) -> Result<(Extent, String)> {
        let (tree, id) = (seen.tree, Id::Session(seen.tree));
        let session: Stored<Session> =
            seen.stored(id, &SESSION.into())?.ok_or_else(|| Error::not_found("session", &id.to_string()))?;
        let (mut extent, mut chains, mut steps) = (Extent::default(), Vec::new(), Vec::new());
        for chain in 1..=seen.chains() {
            let in_tree = seen.texts.contains_key(&chain_field(chain));
            let read = if in_tree {
                seen.stored::<Chain>(Id::Chain(tree, chain), &chain_field(chain))
            } else {
                extent.archived.insert(chain);
                seen.archived(chain)
            };
            let Some(stored) = self.unless_corrupt(read)?.flatten() else {
                extent.steps.push(0);
                continue;
            };
            extent.steps.push(if in_tree { stored.aside.steps } else { 0 });
            chains.push(chain_json(tree, chain, &stored));
            let bundle = seen.archive.get(&steps_field(chain)).filter(|_| !in_tree);
            let bundle: HashMap<&str, &str> = bundle.map_or_else(HashMap::new, |text| Bundle(text).collect());
            for step in step_numbers(&stored.aside) {
                let (id, field) = (Id::Step(tree, chain, step), step_field(chain, step));
                let read = match bundle.get(field.as_str()) {
                    Some(text) => Stored::<Step>::read(id, text).map(Some),
                    None => seen.stored::<Step>(id, &field),
                };
                if let Some(stored) = self.unless_corrupt(read)?.flatten() {
                    steps.push(step_json(tree, chain, step, &stored));
                }
            }
        }
        let json = format!(
            "{{\"session\":{},\"chains\":[{}],\"steps\":[{}],\"cursor\":\"{}\"}}",
            public_session(tree, &session, seen.until),
            chains.join(","),
            steps.join(","),
            Cursor::Log(seen.last, Some(session.record.user_id)),
        );
        Ok((extent, json))
    }
}
