//! A change made anew on what is stored by now, from the event that told it.

use serde_json::{Map, Value};

use super::{Call, StepTerms, Stores};
use crate::error::{Code, Error, Result};
use crate::id::{Id, Tree};
use crate::schema::{Input, Validated, parse};

/// What an update may set, by the first part of its event's type. The rest of a change follows from it.
const OF_SESSION: &[&str] = &["title", "tags", "metadata", "state"];
const OF_CHAIN: &[&str] = &["title", "source", "summary", "metadata", "status"];
const OF_STEP: &[&str] = &["action", "model", "inputs", "waitsFor", "status", "result", "error"];

impl Stores {
    /// Makes the change that `event` told of in the log of this name, on what is stored by now: its fields win, the others
    /// stay. What was created is not created again: another record has its number by now.
    ///
    /// # Errors
    /// As the update itself, and `STORAGE_CONFLICT` for what is no update.
    pub async fn redo(&self, call: Call, log: &str, event: &str) -> Result<()> {
        let refused = || Error::new(Code::Conflict, "this change can't be made anew");
        let tree = Tree::parse(log).ok_or_else(refused)?;
        let event: Map<String, Value> = serde_json::from_str(event).map_err(|_| refused())?;
        let text = |name: &str| event.get(name).and_then(Value::as_str);
        let data = event.get("data").and_then(Value::as_object).ok_or_else(refused)?;
        let (of, what) = text("type").and_then(|kind| kind.split_once(':')).ok_or_else(refused)?;
        if what == "created" {
            return Err(refused());
        }
        match of {
            "session" => {
                let id = Id::Session(tree).to_string();
                self.update_session(call, &id, &self.update_of(data, OF_SESSION)?, None).await.map(drop)
            }
            "chain" => {
                let id = text("chainId").ok_or_else(refused)?;
                self.update_chain(call, id, &self.update_of(data, OF_CHAIN)?, None).await.map(drop)
            }
            "step" => {
                let id = text("stepId").ok_or_else(refused)?;
                self.update_step(call, id, &self.update_of(data, OF_STEP)?, &StepTerms::default())
                    .await
                    .map(drop)
            }
            _ => Err(refused()),
        }
    }

    fn update_of<T: Validated>(&self, data: &Map<String, Value>, fields: &[&str]) -> Result<T> {
        let known = data.iter().filter(|(name, _)| fields.contains(&name.as_str()));
        let update: Map<String, Value> = known.map(|(name, value)| (name.clone(), value.clone())).collect();
        let json = Value::Object(update).to_string();
        parse(Input::json(&json), self.limits())
            .map_err(|_| Error::new(Code::Conflict, "this change can't be made anew"))
    }
}
