//! What the stores of plain values share.

use serde_json::value::RawValue;

use super::{Call, Stores};
use crate::command::{Command, Data};
use crate::error::{Error, Result};
use crate::key::Key;
use crate::run::Run;
use crate::txn::{Effect, Outcome, Reply, Txn};

impl Stores {
    /// Does one thing with one key. *Round trips*: one.
    pub(super) async fn command(&self, call: Call, key: Key, command: Command) -> Result<Data> {
        self.commands(call, vec![(key, command)]).await?.pop().ok_or_else(no_data)
    }

    /// Does several things with a key and its companions, as one step. *Round trips*: one.
    pub(super) async fn commands(&self, call: Call, commands: Vec<(Key, Command)>) -> Result<Vec<Data>> {
        self.commands_kept(call, commands, false).await
    }

    /// The same; with `deferrable` it may be done later, when the backend is away.
    pub(super) async fn commands_kept(
        &self,
        call: Call,
        commands: Vec<(Key, Command)>,
        deferrable: bool,
    ) -> Result<Vec<Data>> {
        let Some((first, _)) = commands.first() else { return Ok(Vec::new()) };
        let mut txn = Txn { deferrable, ..Txn::new(first.alone(), call.deadline) };
        txn.effects = commands.into_iter().map(|(key, command)| Effect::Do { key, command }).collect();
        self.answers(txn).await
    }

    /// What each of a transaction's commands answers; it has no checks. *Round trips*: one.
    pub(super) fn answers(&self, txn: Txn) -> Run<Result<Vec<Data>>> {
        self.backend.run(txn).map(|outcome| match outcome? {
            Outcome::Committed(replies) => replies.into_iter().map(data).collect(),
            Outcome::Refused(..) => Err(Error::internal("a transaction without a check was refused")),
        })
    }
}

fn data(reply: Reply) -> Result<Data> {
    match reply {
        Reply::Data(data) => Ok(data),
        _ => Err(no_data()),
    }
}

fn no_data() -> Error {
    Error::internal("a command was answered by something else")
}

/// The number that a command answered.
pub(super) fn int(data: &Data) -> Result<i64> {
    data.int().ok_or_else(no_data)
}

/// Stored bytes as the JSON text that they are, unless they are none.
pub(super) fn json(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    serde_json::from_str::<&RawValue>(text).is_ok().then_some(text)
}
