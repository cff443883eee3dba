//! A cache: JSON texts under plain keys, which other programs can read and write.
//!
//! What is missing is computed by one caller at a time, on however many machines: whoever sets the flight's token first.
//! Beside a value may stand an older one, to be given out while a new one is computed.

use super::plain::json;
use super::{Call, Stores};
use crate::command::{Bytes, Command, Data, When};
use crate::error::{Error, Result};
use crate::key::{Key, Space};
use crate::schema::Json;
use crate::txn::{Check, Effect, Outcome, Txn, Until};

const CACHE: Space = Space("cache:");
const FLIGHT: Space = Space("cache:flight");
const STALE: Space = Space("cache:stale");

/// What is to be seen of a key.
#[derive(Debug)]
pub enum Sight {
    Value(String),
    /// Nothing: the caller is to compute it, under this token, and may give out what is stale meanwhile.
    Yours {
        token: String,
        stale: Option<String>,
    },
    /// Nothing: somebody computes it.
    Theirs {
        stale: Option<String>,
    },
}

/// How a computed value is kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct Landing {
    pub ttl_ms: Option<u64>,
    /// How long after its end it may still be given out while a new one is computed.
    pub stale_ms: Option<u64>,
    /// How long `null` is kept; it is not kept at all without.
    pub negative_ttl_ms: Option<u64>,
}

impl Stores {
    /// Sets a value. What is being computed meanwhile will not replace it. *Round trips*: one.
    pub async fn cache_set(&self, call: Call, key: &str, value: &Json, ttl_ms: Option<u64>) -> Result<()> {
        let key = Key::new(CACHE, key);
        let set = Command::set(value.text(), self.until(ttl_ms));
        let (flight, stale) = (key.beside(FLIGHT), key.beside(STALE));
        let commands = vec![(key, set), (flight, Command::Delete), (stale, Command::Delete)];
        self.commands(call, commands).await.map(|_| ())
    }

    fn until(&self, ttl_ms: Option<u64>) -> Until {
        ttl_ms.map_or(Until::Never, |ms| Until::At(self.clock.now().plus_ms(ms)))
    }

    /// A value's JSON, or nothing. *Round trips*: one.
    ///
    /// # Errors
    /// `STORAGE_CORRUPT` for what is no JSON.
    pub async fn cache_get(&self, call: Call, key: &str) -> Result<Option<String>> {
        read(key, &self.command(call, Key::new(CACHE, key), Command::Get).await?)
    }

    /// Removes a value, and forbids what is being computed meanwhile to replace it; false when there was none.
    /// *Round trips*: one. While the backend is away it is kept, and true: a value that outlives its deletion would be
    /// wrong for ever.
    pub async fn cache_delete(&self, call: Call, key: &str) -> Result<bool> {
        let key = Key::new(CACHE, key);
        let (flight, stale) = (key.beside(FLIGHT), key.beside(STALE));
        let commands = [key, flight, stale].map(|key| (key, Command::Delete));
        Ok(self.commands_kept(call, commands.into(), true).await?.first() == Some(&Data::Int(1)))
    }

    /// Whether there is a value. *Round trips*: one.
    pub async fn cache_exists(&self, call: Call, key: &str) -> Result<bool> {
        Ok(self.command(call, Key::new(CACHE, key), Command::Exists).await? == Data::Int(1))
    }

    /// A value, or the right to compute it, for so long. *Round trips*: one when there is a value, else two.
    ///
    /// # Errors
    /// `STORAGE_CORRUPT` for what is no JSON.
    pub async fn cache_flight(&self, call: Call, name: &str, lease_ms: u64) -> Result<Sight> {
        if let Some(value) = self.cache_get(call, name).await? {
            return Ok(Sight::Value(value));
        }
        let key = Key::new(CACHE, name);
        let (flight, stale) = (key.beside(FLIGHT), key.beside(STALE));
        let token = format!("{}{}", self.ids.operation(), self.ids.operation());
        let value: Bytes = token.as_bytes().into();
        let begin = Command::Set { value, until: self.until(Some(lease_ms)), when: When::Absent };
        let commands = vec![(flight, begin), (key, Command::Get), (stale, Command::Get)];
        let answers = self.commands(call, commands).await?;
        let [begun, value, stale] = answers.as_slice() else {
            return Err(Error::internal("three commands were answered by another number"));
        };
        let begun = *begun != Data::Nil;
        if let Some(value) = read(name, value)? {
            if begun {
                self.cache_give_up(call, name, &token).await?;
            }
            return Ok(Sight::Value(value));
        }
        let stale = read(name, stale)?;
        Ok(if begun { Sight::Yours { token, stale } } else { Sight::Theirs { stale } })
    }

    /// Keeps what was computed, unless somebody else has written meanwhile: then false. *Round trips*: one.
    pub async fn cache_land(
        &self,
        call: Call,
        key: &str,
        token: &str,
        value: &Json,
        how: Landing,
    ) -> Result<bool> {
        let ttl_ms = match (value.text(), how.negative_ttl_ms) {
            ("null", None) => return self.cache_give_up(call, key, token).await.map(|_| false),
            ("null", Some(ms)) => Some(ms),
            _ => how.ttl_ms,
        };
        let key = Key::new(CACHE, key);
        let aside = match (ttl_ms, how.stale_ms) {
            (Some(ttl), Some(stale)) => {
                Command::set(value.text(), self.until(Some(ttl.saturating_add(stale))))
            }
            _ => Command::Delete,
        };
        let set = Command::set(value.text(), self.until(ttl_ms));
        let (flight, stale) = (key.beside(FLIGHT), key.beside(STALE));
        self.with_token(call, flight, token, vec![(key, set), (stale, aside)]).await
    }

    /// Leaves the computing to others. *Round trips*: one.
    pub async fn cache_give_up(&self, call: Call, key: &str, token: &str) -> Result<bool> {
        self.with_token(call, Key::new(CACHE, key).beside(FLIGHT), token, Vec::new()).await
    }

    /// Ends a flight, if it is still that of this token, and does so much more.
    async fn with_token(
        &self,
        call: Call,
        flight: Key,
        token: &str,
        commands: Vec<(Key, Command)>,
    ) -> Result<bool> {
        let mut txn = Txn::new(flight.alone(), call.deadline);
        txn.checks.push(Check::Holds { key: flight.clone(), text: token.as_bytes().into() });
        let all = commands.into_iter().chain([(flight, Command::Delete)]);
        txn.effects = all.map(|(key, command)| Effect::Do { key, command }).collect();
        Ok(matches!(self.backend.run(txn).await?, Outcome::Committed(_)))
    }
}

fn read(key: &str, data: &Data) -> Result<Option<String>> {
    match data {
        Data::Nil => Ok(None),
        Data::Bytes(bytes) => match json(bytes) {
            Some(text) => Ok(Some(text.to_owned())),
            None => Err(Error::corrupt(key, "it is no JSON")),
        },
        _ => Err(Error::internal("a text was answered by something else")),
    }
}
