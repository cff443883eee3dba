//! Replies as the outcome of a transaction.

use std::sync::Arc;

use super::commands::data;
use super::encode::Form;
use super::mux::Look;
use super::resp::{Pair, Value, Values};
use crate::backend::Sight;
use crate::clock::Timestamp;
use crate::error::{Code, Effect as Applied, Error, Result};
use crate::id::MARK_LEN;
use crate::key::{Key, Name};
use crate::txn::{Effect, Entry, Few, Fields, Log, Outcome, Position, Query, Reply, Txn, Until};

/// What the replies say of the transaction.
pub(super) fn decode(txn: &Txn, form: Form, mut replies: Values) -> Result<Outcome> {
    // An error inside a MULTI shows at the command that it refuses; EXEC then only says that it gave up.
    if let Some(Value::Error(text)) = replies.iter().find(|reply| matches!(reply, Value::Error(_))) {
        return Err(refusal(text));
    }
    let last = replies.pop().ok_or_else(|| unexpected("no reply"))?;
    match form {
        Form::Plain => Ok(Outcome::Committed(answers(&txn.queries, [last].into())?)),
        Form::Command => Ok(Outcome::Committed([Reply::Data(data(last)?)].into())),
        Form::Multi { effects } => {
            let mut results = array(last)?;
            if let Some(Value::Error(text)) = results.iter().find(|reply| matches!(reply, Value::Error(_))) {
                return Err(Error { effect: Applied::Unknown, ..refusal(text) });
            }
            let asked = results.split_off(effects.min(results.len()));
            let mut answered = positions(&txn.effects);
            if matches!(txn.effects.first(), Some(Effect::Do { .. })) {
                answered =
                    results.into_iter().map(|value| data(value).map(Reply::Data)).collect::<Result<_>>()?;
            }
            answered.extend(answers(&txn.queries, asked.into())?);
            Ok(Outcome::Committed(answered))
        }
        Form::Script => {
            let mut items = array(last)?.into_iter();
            if items.next() == Some(Value::Int(1)) {
                // An answer that was kept may be that of more commands, or of fewer.
                if txn.noted.is_some() && txn.queries.is_empty() {
                    let answered = items.map(|value| data(value).map(Reply::Data)).collect::<Result<_>>()?;
                    return Ok(Outcome::Committed(answered));
                }
                let replying = txn.effects.iter().filter(|effect| replies_to(effect));
                let mut answered =
                    replying.map(|effect| effect_reply(effect, items.next())).collect::<Result<Few<_>>>()?;
                answered.extend(answers(&txn.queries, items.collect())?);
                return Ok(Outcome::Committed(answered));
            }
            let check = match items.next() {
                Some(Value::Int(index)) => {
                    usize::try_from(index).map_err(|_| unexpected("a check's index"))?
                }
                _ => return Err(unexpected("a check's index")),
            };
            Ok(Outcome::Refused(check, answers(&txn.witness, items.collect())?))
        }
    }
}

fn replies_to(effect: &Effect) -> bool {
    matches!(effect, Effect::Slide { .. } | Effect::Append { .. } | Effect::Do { .. })
}

/// In a `MULTI` only new logs are appended to: their positions are known without asking.
fn positions(effects: &[Effect]) -> Few<Reply> {
    let mut logs: Vec<&Key> = Vec::new();
    for effect in effects {
        if let Effect::Append { key, .. } = effect {
            logs.push(key);
        }
    }
    let nth = |(place, log): (usize, &&Key)| {
        logs.iter().take(place + 1).filter(|other| *other == log).count() as u64
    };
    logs.iter().enumerate().map(|entry| Reply::Position(nth(entry))).collect()
}

fn effect_reply(effect: &Effect, value: Option<Value>) -> Result<Reply> {
    match (effect, value) {
        (Effect::Slide { .. }, Some(value)) => Ok(Reply::Until(until(text(value)?.as_deref())?)),
        (Effect::Do { .. }, Some(value)) => Ok(Reply::Data(data(value)?)),
        (_, Some(Value::Int(position))) => Ok(Reply::Position(u64::try_from(position).unwrap_or_default())),
        _ => Err(unexpected("an effect's reply")),
    }
}

fn answers(queries: &[Query], values: Values) -> Result<Few<Reply>> {
    if queries.len() != values.len() {
        return Err(unexpected("another number of answers than questions"));
    }
    queries.iter().zip(values).map(|(query, value)| answer(query, value)).collect()
}

fn answer(query: &Query, value: Value) -> Result<Reply> {
    if let (Query::Count { .. }, Value::Int(count)) = (query, &value) {
        return Ok(Reply::Count(u64::try_from(*count).unwrap_or_default()));
    }
    let mut items = array(value)?.into_iter();
    match query {
        Query::Record { .. } => {
            let until = match items.next() {
                Some(Value::Text(ms)) => until(Some(&ms))?,
                Some(Value::Nil) | None => Until::Never,
                Some(_) => return Err(unexpected("a deadline")),
            };
            let mut texts = Few::with_capacity(items.len());
            for item in items {
                texts.push(shared(item)?);
            }
            Ok(Reply::Record(Fields { until, texts }))
        }
        Query::Names { .. } => {
            let names = items.map(|item| name(item)?.ok_or_else(|| unexpected("a field")));
            let mut names: Vec<Name> = names.collect::<Result<_>>()?;
            // The deadline and the log are kept beside the fields.
            names.retain(|name| !is_kept_beside(name));
            names.sort_unstable();
            Ok(Reply::Members(names))
        }
        Query::Members { .. } | Query::Between { .. } => {
            let names = items.map(|item| name(item)?.ok_or_else(|| unexpected("a member")));
            Ok(Reply::Members(names.collect::<Result<_>>()?))
        }
        Query::Due { .. } => {
            let mut scored = Vec::new();
            while let Some(member) = items.next() {
                let member = name(member)?.ok_or_else(|| unexpected("a member"))?;
                scored.push((member, number(items.next())?.ok_or_else(|| unexpected("a score"))?));
            }
            Ok(Reply::Scored(scored))
        }
        Query::Count { .. } => Err(unexpected("a count")),
        Query::Log { after, .. } => {
            let last = number(items.next())?.unwrap_or(0);
            let first = number(items.next())?.unwrap_or(1);
            let mut entries = Vec::new();
            for (position, item) in (after + 1..).zip(items) {
                if let Some(text) = text(item)? {
                    entries.push((position, unmarked(&text).into()));
                }
            }
            Ok(Reply::Log(Log { first, last, entries }))
        }
        // Answered in `answers.rs`.
        Query::Ask { .. } => Err(unexpected("a command")),
        Query::Now { .. } => {
            let (seconds, micros) = (number(items.next())?, number(items.next())?);
            let now = seconds.unwrap_or_default() * 1_000 + micros.unwrap_or_default() / 1_000;
            Ok(Reply::Now(Timestamp(now)))
        }
        Query::Entries { .. } | Query::Newest { .. } => {
            Ok(Reply::Entries(items.map(entry).collect::<Result<_>>()?))
        }
    }
}

/// An entry of a log or of a feed without the mark of the write that appended it: U+0001 and its characters may stand in front.
fn unmarked(entry: &str) -> &str {
    entry.strip_prefix('\u{1}').and_then(|rest| rest.get(MARK_LEN..)).unwrap_or(entry)
}

fn entry(value: Value) -> Result<Entry> {
    let mut parts = array(value)?.into_iter();
    let id = parts.next().map(text).transpose()?.flatten().ok_or_else(|| unexpected("an entry's place"))?;
    let place = id.split_once('-').and_then(|(ms, n)| Some(Position(ms.parse().ok()?, n.parse().ok()?)));
    let fields = parts.next().map(array).transpose()?.unwrap_or_default();
    let mut values = fields.into_iter().skip(1).step_by(2);
    let mut next = || values.next().map(text).transpose().map(Option::flatten);
    match (place, next()?, next()?.and_then(|n| n.parse().ok()), next()?) {
        (Some(position), Some(origin), Some(origin_position), Some(text)) => {
            Ok(Entry { position, origin: origin.into(), origin_position, text: unmarked(&text).into() })
        }
        _ => Err(unexpected("an entry")),
    }
}

fn name(value: Value) -> Result<Option<Name>> {
    match value {
        Value::Text(text) => Ok(Some(text)),
        other => text(other).map(|text| text.map(Name::from)),
    }
}

/// A field's text, to be held by several.
fn shared(value: Value) -> Result<Option<Arc<str>>> {
    match value {
        Value::Nil => Ok(None),
        Value::Text(text) => Ok(Some(text.into())),
        other => text(other).map(|text| text.map(Arc::from)),
    }
}

/// What a glance sees. Of what is not as it should be a transaction tells more.
pub(super) fn sight<'a>(look: &Look<'a>) -> Sight<'a> {
    let text = |bytes: Option<&'a [u8]>| bytes.map(std::str::from_utf8).transpose();
    match *look {
        Look::Waits => Sight::Waits,
        Look::Missed => Sight::Missed,
        Look::Pair(Pair(ends, field)) => match (text(ends).map(until), text(field)) {
            (Ok(Ok(until)), Ok(text)) => Sight::Field { until, text },
            _ => Sight::Missed,
        },
    }
}

fn until(text: Option<&str>) -> Result<Until> {
    match text {
        None | Some("") => Ok(Until::Never),
        Some(ms) => ms.parse().map(|ms| Until::At(Timestamp(ms))).map_err(|_| unexpected("a deadline")),
    }
}

/// The deadline, and the entries of a log with the numbers of the first and the last one.
fn is_kept_beside(name: &str) -> bool {
    let is_entry = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    matches!(name, "x" | "#" | "<") || name.strip_prefix('e').is_some_and(is_entry)
}

fn number(value: Option<Value>) -> Result<Option<u64>> {
    let text = value.map(text).transpose()?.flatten();
    text.map(|text| text.parse().map_err(|_| unexpected("a number"))).transpose()
}

fn text(value: Value) -> Result<Option<String>> {
    match value {
        Value::Nil => Ok(None),
        Value::Text(text) | Value::Status(text) => Ok(Some(text.into())),
        // What is not UTF-8 is not ours. It stays unreadable for the record that it stands in.
        Value::Bytes(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Value::Int(number) => Ok(Some(number.to_string())),
        Value::Error(text) => Err(refusal(&text)),
        Value::Array(_) => Err(unexpected("a list for a text")),
    }
}

fn array(value: Value) -> Result<Vec<Value>> {
    match value {
        Value::Array(items) => Ok(items),
        Value::Error(text) => Err(refusal(&text)),
        // A transaction that was watched and given up, or a key of another type.
        _ => Err(unexpected("no list")),
    }
}

fn unexpected(what: &str) -> Error {
    Error::new(Code::Corrupt, format!("the server's reply is not what the command gives: {what}"))
}

/// The error that an error reply means. Only the reply's first word is told: what follows may quote a
/// stored value or an argument.
pub(super) fn refusal(reply: &str) -> Error {
    let word: String = reply.split(' ').next().unwrap_or_default().chars().take(32).collect();
    let message = format!("Redis answered {word}");
    match word.as_str() {
        "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "READONLY" | "TRYAGAIN" | "BUSY" | "MOVED" | "ASK" => {
            Error::unavailable(message, Applied::NotApplied)
        }
        "OOM" | "MISCONF" | "NOREPLICAS" => only_writes(message),
        "NOAUTH" | "WRONGPASS" | "NOPERM" => Error::new(Code::Config, message),
        "WRONGTYPE" => Error::new(Code::Corrupt, "a key of this storage holds a value of another kind"),
        // The place in the script, not the data: Redis puts it in front of what a script's command answered.
        _ if reply.contains("WRONGTYPE") => {
            Error::new(Code::Corrupt, "a key of this storage holds a value of another kind")
        }
        _ if reply.contains("-OOM") || reply.contains("OOM command not allowed") => {
            only_writes("Redis answered OOM".to_owned())
        }
        _ => Error::internal(message),
    }
}

/// The server is there and answers questions, but takes no writes now.
fn only_writes(message: String) -> Error {
    let mut error = Error::unavailable(message, Applied::NotApplied);
    error.detail.get_or_insert_default().only_writes = true;
    error
}
