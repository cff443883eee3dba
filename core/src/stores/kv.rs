//! Keys and values: one command each, a pipeline of them, and what needs a look first.

use super::fields::Fields;
use super::glob;
use super::kv_answers::{fault, told};
use super::marked::{quoted, unmark};
use super::{Call, Stores, invalid};
use crate::clock::Timestamp;
use crate::command::{Bytes, Command, Data, Score, Server, When};
use crate::error::{Code, Error, Result};
use crate::key::{Key, Space};
use crate::schema::{Args, Issue, PathItem, page_of};
use crate::txn::{Check, Effect, Outcome, Query, Reply, Txn, Until};

/// Keys of ours: a part of a name in braces decides on its partition.
const OURS: Space = Space("kv:{}");
/// Keys of others, as they are.
const RAW: Space = Space("");
/// How often an update is tried again when another one was faster.
const ATTEMPTS: u32 = 256;
/// Keys that one round trip of a search looks at, and round trips of one call at the most.
const LOOKED_AT: u64 = 1_000;
const LOOKS: u32 = 100;

/// Several commands: each with its arguments.
pub struct Pipeline<'a> {
    pub commands: &'a [Args],
    pub atomic: bool,
    pub bytes: bool,
}

fn key(raw: bool, name: &str) -> Key {
    Key::new(if raw { RAW } else { OURS }, name)
}

fn bytes(texts: &[String]) -> Result<Vec<Bytes>> {
    texts.iter().map(|text| unmark(text)).collect()
}

fn texts(texts: &[String]) -> Vec<Bytes> {
    texts.iter().map(|text| text.as_bytes().into()).collect()
}

fn issue(name: &str, message: &str) -> Error {
    invalid(vec![Issue::custom(&[PathItem::from(name)], message)])
}

/// A whole number of 64 bits that a double can hold.
#[expect(clippy::cast_possible_truncation, reason = "it is whole and small enough")]
fn whole(name: &str, number: f64) -> Result<i64> {
    if number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_991.0 {
        Ok(number as i64)
    } else {
        Err(issue(name, "Invalid input: expected a whole number"))
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded by its schema")]
pub(super) fn until(now: Timestamp, seconds: Option<f64>) -> Until {
    match seconds {
        Some(seconds) if seconds > 0.0 => Until::At(now.plus_ms((seconds * 1000.0).ceil() as u64)),
        _ => Until::Never,
    }
}

/// The command that an operation is.
fn command(op: &str, args: &Args, now: Timestamp) -> Result<Command> {
    let value = || unmark(args.value.as_deref().unwrap_or_default());
    let field = || Bytes::from(args.field.as_bytes());
    let by = |usual: f64| args.by.unwrap_or(usual);
    Ok(match op {
        "get" => Command::Get,
        "set" => {
            Command::Set { value: value()?, until: until(now, args.options.ttl_seconds), when: When::Always }
        }
        "setIfNotExists" => {
            Command::Set { value: value()?, until: until(now, args.options.ttl_seconds), when: When::Absent }
        }
        "increment" => Command::Increase(whole("by", by(1.0))?),
        "exists" => Command::Exists,
        "delete" => Command::Delete,
        "expire" => match until(now, Some(by(0.0))) {
            Until::At(at) => Command::Expire(at),
            Until::Never if by(0.0) == 0.0 => Command::Persist,
            Until::Never => {
                return Err(issue("ttlSeconds", "Invalid input: expected a number of at least 0"));
            }
        },
        "ttlSeconds" => Command::Left,
        "hget" => Command::HashGet(field()),
        "hset" if args.fields.len() == args.values.len() && !args.fields.is_empty() => {
            Command::HashPut(texts(&args.fields).into_iter().zip(bytes(&args.values)?).collect())
        }
        "hset" => return Err(issue("fields", "Invalid input: expected at least one field")),
        "hgetall" => Command::HashAll,
        "hdel" => Command::HashDrop(some(texts(&args.fields), "fields")?),
        "hincrement" => Command::HashIncrease(field(), whole("by", by(1.0))?),
        "sadd" => Command::SetAdd(some(bytes(&args.values)?, "values")?),
        "srem" => Command::SetDrop(some(bytes(&args.values)?, "values")?),
        "sismember" => Command::SetHas(value()?),
        "smembers" => Command::SetAll,
        "scard" => Command::SetLen,
        "zadd" => {
            let scores = args.scores.iter().map(|score| Score(*score));
            Command::SortedAdd(scores.zip(some(bytes(&args.values)?, "values")?).collect())
        }
        "zrem" => Command::SortedDrop(some(bytes(&args.values)?, "values")?),
        "zscore" => Command::SortedScore(value()?),
        "zincrement" => Command::SortedIncrease(value()?, Score(by(1.0))),
        "zcard" => Command::SortedLen,
        "zrange" => {
            let (from, to) = (rank("from", args.from)?, rank("to", args.to)?);
            let count = to.saturating_sub(from);
            Command::SortedRanks { from, count, descending: args.options.descending }
        }
        "zrangeByScore" => Command::SortedScores {
            least: Score(args.from.unwrap_or(0.0)),
            most: Score(args.to.unwrap_or(0.0)),
            skip: 0,
            count: page_of(args.options.limit),
            descending: args.options.descending,
        },
        _ => return Err(Error::internal("an operation without a command")),
    })
}

fn some<T>(items: Vec<T>, name: &str) -> Result<Vec<T>> {
    if items.is_empty() { Err(issue(name, "Too small: expected array to have >=1 items")) } else { Ok(items) }
}

/// A place in an order: 0 or more.
fn rank(name: &str, number: Option<f64>) -> Result<u64> {
    u64::try_from(whole(name, number.unwrap_or(0.0))?)
        .map_err(|_| issue(name, "Too small: expected number to be >=0"))
}

pub(super) fn data(reply: Option<Reply>) -> Result<Data> {
    match reply {
        Some(Reply::Data(data)) => Ok(data),
        _ => Err(Error::internal("a command was answered by something else")),
    }
}

impl Stores {
    /// Does one command. *Round trips*: one. A pipeline of one is the same.
    pub async fn kv(&self, call: Call, op: &str, args: &Args) -> Result<String> {
        let raw = self.policy.raw_keys;
        if op == "delete" {
            return self.kv_delete(call, &args.keys).await;
        }
        let key = key(raw, &args.key);
        let command = command(op, args, self.clock.now())?;
        let data = self.try_one(call, key, command).await?;
        told(op, data, args.options.bytes)
    }

    /// One command in a transaction of its own.
    pub(super) async fn try_one(&self, call: Call, key: Key, command: Command) -> Result<Data> {
        let mut txn = Txn::new(key.alone(), call.deadline);
        if command.writes() {
            txn.effects.push(Effect::Try { key, command });
        } else {
            txn.queries.push(Query::Ask { key, command });
        }
        match self.backend.run(txn).await? {
            Outcome::Committed(replies) => data(replies.into_iter().next()),
            Outcome::Refused(..) => Err(Error::internal("a command without a check was refused")),
        }
    }

    /// Deletes keys, each in its own partition: not one step. How many there were.
    async fn kv_delete(&self, call: Call, keys: &[String]) -> Result<String> {
        let raw = self.policy.raw_keys;
        let runs: Vec<_> = keys
            .iter()
            .map(|name| {
                let key = key(raw, name);
                let mut txn = Txn::new(key.alone(), call.deadline);
                txn.effects.push(Effect::Try { key, command: Command::Delete });
                self.backend.run(txn)
            })
            .collect();
        let mut count = 0;
        for run in runs {
            if let Outcome::Committed(replies) = run.await?
                && let Data::Int(there) = data(replies.into_iter().next())?
            {
                count += there;
            }
        }
        Ok(count.to_string())
    }

    /// Several texts, asked for together, each in its own partition: not one moment.
    pub async fn kv_get_many(&self, call: Call, args: &Args) -> Result<String> {
        let raw = self.policy.raw_keys;
        let ask = |name: &String| {
            let key = key(raw, name);
            self.backend.run(Txn::read(
                key.alone(),
                call.deadline,
                vec![Query::Ask { key, command: Command::Get }],
            ))
        };
        let runs: Vec<_> = args.keys.iter().map(ask).collect();
        let mut values = Vec::with_capacity(runs.len());
        for run in runs {
            if let Outcome::Committed(replies) = run.await? {
                values.push(told("get", data(replies.into_iter().next())?, args.options.bytes)?);
            }
        }
        Ok(format!("[{}]", values.join(",")))
    }

    /// Writes if the key holds what is expected; `null`: if there is no key. *Atomicity*: one step. Without a life
    /// of its own the value takes over the one that the key has.
    pub async fn kv_compare_and_set(&self, call: Call, args: &Args) -> Result<String> {
        let key = key(self.policy.raw_keys, &args.key);
        let mut txn = Txn::new(key.alone(), call.deadline);
        txn.checks.push(match &args.expected {
            Some(expected) => Check::Holds { key: key.clone(), text: unmark(expected)? },
            None => Check::Gone { key: key.clone() },
        });
        let value = unmark(args.value.as_deref().unwrap_or_default())?;
        let command = match args.options.ttl_seconds {
            None => Command::Replace(value),
            seconds => Command::Set { value, until: until(self.clock.now(), seconds), when: When::Always },
        };
        txn.effects.push(Effect::Try { key, command });
        Ok(matches!(self.backend.run(txn).await?, Outcome::Committed(_)).to_string())
    }

    /// Merges fields into the JSON object that a key holds. *Atomicity*: written only over what was merged with, again
    /// when another was faster. *Round trips*: two, one more for each time. False when there is no key.
    pub async fn kv_update_json(&self, call: Call, args: &Args) -> Result<String> {
        let key = key(self.policy.raw_keys, &args.key);
        let text = args.updates.as_ref().map_or("{}", |updates| updates.text());
        let updates = Fields::read(text).ok_or_else(|| Error::internal("updates that are no object"))?;
        let mut held = self.try_one(call, key.clone(), Command::Get).await?;
        for _ in 0..ATTEMPTS {
            let text = match held {
                Data::Nil => return Ok("false".to_owned()),
                Data::Fault(wrong) => return Err(fault(wrong)),
                Data::Bytes(text) => text,
                _ => return Err(Error::internal("a text was answered by something else")),
            };
            let no_object = || Error::new(Code::Conflict, "the key holds no JSON object");
            let merged = std::str::from_utf8(&text)
                .ok()
                .and_then(Fields::read)
                .ok_or_else(no_object)?
                .merged(&updates);
            if merged.as_bytes() == &*text {
                return Ok("true".to_owned());
            }
            let mut txn = Txn::new(key.alone(), call.deadline);
            txn.checks.push(Check::Holds { key: key.clone(), text });
            txn.effects.push(Effect::Try {
                key: key.clone(),
                command: Command::Replace(merged.into_bytes().into()),
            });
            txn.witness.push(Query::Ask { key: key.clone(), command: Command::Get });
            match self.backend.run(txn).await? {
                Outcome::Committed(_) => return Ok("true".to_owned()),
                Outcome::Refused(_, seen) => held = data(seen.into_iter().next())?,
            }
        }
        Err(Error { retryable: true, ..Error::new(Code::Conflict, "other writers were always faster") })
    }

    /// Several commands, a result for each. Atomic: in one step, with nobody between them, which needs all keys in one
    /// partition. Otherwise sent together, each by itself. A command that does not fit fails alone either way.
    pub async fn kv_pipeline(&self, call: Call, pipeline: Pipeline<'_>) -> Result<String> {
        let now = self.clock.now();
        let mut planned = Vec::with_capacity(pipeline.commands.len());
        for args in pipeline.commands {
            let op = args.op.as_deref().unwrap_or_default();
            planned.push((op, key(self.policy.raw_keys, &args.key), command(op, args, now)?));
        }
        let mut told_of: Vec<Result<String>> = Vec::with_capacity(planned.len());
        if pipeline.atomic {
            if planned.windows(2).any(|pair| matches!(pair, [(_, a, _), (_, b, _)] if !share(a, b))) {
                let message =
                    "an atomic pipeline needs keys of one partition: one key, or one part in braces";
                return Err(Error::new(Code::Unsupported, message));
            }
            let Some(partition) = planned.first().map(|(_, key, _)| key.alone()) else {
                return Ok("[]".to_owned());
            };
            let mut txn = Txn::new(partition, call.deadline);
            let ops: Vec<&str> = planned.iter().map(|(op, ..)| *op).collect();
            txn.effects.extend(planned.into_iter().map(|(_, key, command)| Effect::Try { key, command }));
            let Outcome::Committed(replies) = self.backend.run(txn).await? else {
                return Err(Error::internal("a pipeline without a check was refused"));
            };
            let told = |(op, reply)| told(op, data(Some(reply))?, pipeline.bytes);
            told_of.extend(ops.into_iter().zip(replies).map(told));
        } else {
            let runs: Vec<_> = planned
                .into_iter()
                .map(|(op, key, command)| {
                    let mut txn = Txn::new(key.alone(), call.deadline);
                    txn.effects.push(Effect::Try { key, command });
                    (op, self.backend.run(txn))
                })
                .collect();
            for (op, run) in runs {
                told_of.push(match run.await {
                    Ok(Outcome::Committed(replies)) => {
                        data(replies.into_iter().next()).and_then(|data| told(op, data, pipeline.bytes))
                    }
                    Ok(Outcome::Refused(..)) => Err(Error::internal("a command was refused")),
                    Err(error) => Err(error),
                });
            }
        }
        let result = |told: Result<String>| match told {
            Ok(value) => {
                format!("{{\"ok\":true,\"value\":{}}}", if value.is_empty() { "null" } else { &value })
            }
            Err(error) => format!("{{\"ok\":false,\"error\":{}}}", error.to_json("kv.pipeline")),
        };
        Ok(format!("[{}]", told_of.into_iter().map(result).collect::<Vec<_>>().join(",")))
    }

    /// A page of the keys that match a pattern, in no order. It looks at all keys of the server, in many small steps.
    pub async fn kv_keys(&self, call: Call, args: &Args) -> Result<String> {
        let space = if self.policy.raw_keys { RAW } else { OURS };
        let limit = usize::try_from(page_of(args.options.limit)).unwrap_or(usize::MAX);
        let wider: Bytes = glob::wider(&args.pattern).into();
        let mut cursor = args.options.cursor.clone().unwrap_or_else(|| "0".to_owned());
        if cursor.is_empty() || !cursor.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid(vec![Issue::custom(
                &[PathItem::from("options"), PathItem::from("cursor")],
                "Invalid cursor",
            )]));
        }
        let mut found = std::collections::BTreeSet::new();
        for _ in 0..LOOKS {
            let command = Command::Server(Server::Names {
                space,
                pattern: wider.clone(),
                cursor: cursor.as_bytes().into(),
                count: LOOKED_AT.min(page_of(args.options.limit).max(100)),
            });
            let Data::List(parts) = self.try_one(call, key(true, ""), command).await? else {
                return Err(Error::internal("names were answered by something else"));
            };
            let [Data::Bytes(next), Data::List(names)] = parts.as_slice() else {
                return Err(Error::internal("names were answered by something else"));
            };
            for name in names {
                // A name that is no text is none that this interface could speak of.
                if let Data::Bytes(name) = name
                    && glob::matches(args.pattern.as_bytes(), name)
                    && let Ok(name) = std::str::from_utf8(name)
                {
                    found.insert(quoted(name));
                }
            }
            cursor = String::from_utf8_lossy(next).into_owned();
            if cursor == "0" || found.len() >= limit {
                break;
            }
        }
        let items: Vec<String> = found.into_iter().collect();
        let cursor = if cursor == "0" { "null".to_owned() } else { quoted(&cursor) };
        Ok(format!("{{\"items\":[{}],\"cursor\":{cursor}}}", items.join(",")))
    }

    /// What the server says as a whole.
    pub async fn kv_server(&self, call: Call, server: Server) -> Result<String> {
        let asked = server.clone();
        match (asked, self.try_one(call, key(true, ""), Command::Server(server)).await?) {
            (Server::Ping, _) => Ok("true".to_owned()),
            (Server::Size, Data::Int(size)) => Ok(size.to_string()),
            (Server::Info, Data::Bytes(text)) => {
                let text = String::from_utf8_lossy(&text);
                let pair = |line: &str| {
                    line.split_once(':').map(|(name, value)| format!("{}:{}", quoted(name), quoted(value)))
                };
                let pairs: Vec<String> =
                    text.lines().filter(|line| !line.starts_with('#')).filter_map(pair).collect();
                Ok(format!("{{{}}}", pairs.join(",")))
            }
            _ => Err(Error::internal("a question to the server was answered by something else")),
        }
    }
}

/// Whether two keys are always in one partition.
fn share(a: &Key, b: &Key) -> bool {
    a.name == b.name || matches!((a.tag(), b.tag()), (Some(a), Some(b)) if a == b)
}
