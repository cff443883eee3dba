//! A session's tree as it was: rebuilt from its log.

use std::collections::BTreeMap;

use super::events::Bound;
use super::record::{Aside, Record};
use super::told::{Seen, public};
use super::{Call, Stores, invalid, session_id};
use crate::clock::Timestamp;
use crate::error::{Code, Error, Result};
use crate::id::{Id, Tree};
use crate::schema::{Chain, Event, Issue, Json, PathItem, Session, Step};
use crate::txn::Until;

/// The fields of each record in their order, without the times that stand at the end.
const SESSION_FIELDS: &[&str] = &["userId", "state", "title", "tags", "metadata"];
const CHAIN_FIELDS: &[&str] = &[
    "title",
    "source",
    "status",
    "stepCounts",
    "summary",
    "metadata",
    "startedAt",
    "completedAt",
    "archivedAt",
];
const STEP_FIELDS: &[&str] = &[
    "action",
    "model",
    "inputs",
    "waitsFor",
    "status",
    "result",
    "error",
    "attempt",
    "startedAt",
    "completedAt",
];

/// The field of a record whose value may itself be `null`: its end is told in [`CLEARED`].
pub(super) const NULLABLE: &str = "result";
/// Of an event's data: the names of fields that are gone and whose `null` would be a value.
pub(super) const CLEARED: &str = "cleared";

/// A record as far as its events have told it: values as JSON texts.
#[derive(Debug, Default)]
struct Told {
    fields: BTreeMap<String, String>,
    version: u64,
}

impl Told {
    fn created(event: &Event) -> Result<Self> {
        let mut told = Self::default();
        told.change(event)?;
        let text = |text: &str| serde_json::to_string(text).unwrap_or_default();
        told.fields.insert("createdAt".to_owned(), text(&event.at.to_string()));
        told.version = 1;
        Ok(told)
    }

    fn change(&mut self, event: &Event) -> Result<()> {
        let data: BTreeMap<String, Json> = serde_json::from_str(event.data.text())
            .map_err(|_| Error::corrupt(&event.event_id, "its data are no object"))?;
        for (name, value) in data {
            match (name.as_str(), value.text()) {
                ("version", version) => self.version = version.parse().unwrap_or_default(),
                (CLEARED, names) => {
                    for gone in serde_json::from_str::<Vec<String>>(names).unwrap_or_default() {
                        self.fields.remove(&gone);
                    }
                }
                (plain, "null") if plain != NULLABLE => drop(self.fields.remove(plain)),
                (_, text) => drop(self.fields.insert(name.clone(), text.to_owned())),
            }
        }
        self.fields.insert("updatedAt".to_owned(), format!("\"{}\"", event.at));
        Ok(())
    }

    /// The record's body, as it is stored.
    fn body(&self, names: &[&str]) -> String {
        let known = names.iter().chain(&["createdAt", "updatedAt"]);
        let field = |name: &&str| self.fields.get(*name).map(|value| format!("\"{name}\":{value}"));
        format!("{{{}}}", known.filter_map(field).collect::<Vec<_>>().join(","))
    }

    /// The record's public JSON; `steps` are the numbers of a chain's.
    fn json<R: Record>(&self, id: Id, names: &[&str], steps: &[u32], until: Until) -> String {
        let latest = steps.last().copied().unwrap_or_default();
        let gone = (1..=latest).filter(|number| steps.binary_search(number).is_err()).collect();
        let aside = Aside { steps: latest, gone, ..Aside::default() };
        let body = self.body(names);
        public::<R>(&Seen { id, version: self.version, body: &body, aside: &aside, until })
    }
}

#[derive(Debug, Default)]
struct ToldChain {
    chain: Told,
    steps: BTreeMap<u32, Told>,
}

/// A tree as far as its events have told it.
struct ToldTree {
    tree: Tree,
    session: Option<Told>,
    until: Until,
    chains: BTreeMap<u32, ToldChain>,
}

impl ToldTree {
    fn take(&mut self, event: &Event) -> Result<()> {
        let id = |text: &Option<String>| text.as_deref().and_then(Id::parse);
        match (event.kind.split_once(':'), id(&event.chain_id), id(&event.step_id)) {
            (Some(("session", what)), ..) => match (&mut self.session, what) {
                (_, "created") => {
                    let mut session = Told::created(event)?;
                    let user = serde_json::to_string(&event.user_id).unwrap_or_default();
                    session.fields.insert("userId".to_owned(), user);
                    self.session = Some(session);
                }
                (Some(session), _) => session.change(event)?,
                (None, _) => {}
            },
            (Some(("chain", what)), Some(Id::Chain(_, chain)), _) => match what {
                "created" => {
                    let told = ToldChain { chain: Told::created(event)?, steps: BTreeMap::new() };
                    self.chains.insert(chain, told);
                }
                "deleted" => drop(self.chains.remove(&chain)),
                _ => {
                    if let Some(told) = self.chains.get_mut(&chain) {
                        told.chain.change(event)?;
                    }
                }
            },
            (Some(("step", what)), _, Some(Id::Step(_, chain, step))) => {
                let Some(told) = self.chains.get_mut(&chain) else { return Ok(()) };
                match what {
                    "created" => drop(told.steps.insert(step, Told::created(event)?)),
                    "deleted" => drop(told.steps.remove(&step)),
                    _ => {
                        if let Some(step) = told.steps.get_mut(&step) {
                            step.change(event)?;
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn json(&self) -> String {
        let session =
            |told: &Told| told.json::<Session>(Id::Session(self.tree), SESSION_FIELDS, &[], self.until);
        let session = self.session.as_ref().map_or_else(|| "null".to_owned(), session);
        let (mut chains, mut steps) = (Vec::new(), Vec::new());
        for (number, told) in &self.chains {
            let numbers: Vec<u32> = told.steps.keys().copied().collect();
            let id = Id::Chain(self.tree, *number);
            chains.push(told.chain.json::<Chain>(id, CHAIN_FIELDS, &numbers, Until::Never));
            for (step, told) in &told.steps {
                let id = Id::Step(self.tree, *number, *step);
                steps.push(told.json::<Step>(id, STEP_FIELDS, &[], Until::Never));
            }
        }
        let (chains, steps) = (chains.join(","), steps.join(","));
        format!("{{\"session\":{session},\"chains\":[{chains}],\"steps\":[{steps}]}}")
    }
}

impl Stores {
    /// The tree of a session as it was: behind an event, or at a time; without either as it is. `{ session, chains, steps }`;
    /// before its first event there was no session: `null`. The deadline is the one that the writes gave it by this
    /// storage's options: touching a session leaves no event.
    ///
    /// *Round trips*: one for each 500 events.
    ///
    /// # Errors
    /// `STORAGE_NOT_FOUND`, `STORAGE_UNSUPPORTED` when the beginning of its log was trimmed, `STORAGE_INVALID` for an event
    /// of another session.
    pub async fn replay(&self, call: Call, id: &str, at: Option<Bound>) -> Result<String> {
        let tree = session_id(id)?;
        let end = match &at {
            Some(Bound::Event(event)) => match Id::parse(event) {
                Some(Id::Event(other, position)) if other == tree => position,
                _ => return Err(not_of_this()),
            },
            _ => u64::MAX,
        };
        let latest = if let Some(Bound::At(at)) = at { at } else { Timestamp::MAX };
        let mut told = ToldTree { tree, session: None, until: Until::Never, chains: BTreeMap::new() };
        let mut position = 0;
        loop {
            let log = self.log(call, tree, position).await?;
            if log.first > 1 {
                return Err(trimmed(tree, log.first));
            }
            for (next, text) in &log.entries {
                let event: Event = serde_json::from_str(text)
                    .map_err(|_| Error::corrupt(&Id::Event(tree, *next).to_string(), "it is no event"))?;
                if *next > end || event.at > latest {
                    return Ok(told.json());
                }
                told.take(&event)?;
                told.until = later(told.until, self.policy.keeping.until(tree, event.at));
                position = *next;
            }
            if position >= log.last || log.entries.is_empty() {
                return Ok(told.json());
            }
        }
    }
}

/// The later of two deadlines; before the first event there is none.
fn later(before: Until, now: Until) -> Until {
    match (before, now) {
        (Until::At(before), Until::At(now)) => Until::At(before.max(now)),
        (Until::Never, now) => now,
        (_, Until::Never) => Until::Never,
    }
}

fn trimmed(tree: Tree, first: u64) -> Error {
    let (session, first) = (Id::Session(tree), Id::Event(tree, first));
    let message =
        format!("the log of {session} begins with {first}: what came before it is needed and was trimmed");
    Error::new(Code::Unsupported, message)
}

fn not_of_this() -> Error {
    let path = [PathItem::from("options"), PathItem::from("at")];
    invalid(vec![Issue::custom(&path, "Not an event of this session")])
}
