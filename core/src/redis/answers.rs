//! Redis' replies to commands on plain values.

use std::sync::Arc;

use super::decode::refusal;
use super::encode::Form;
use super::keys::Keys;
use super::resp::{Value, Values};
use crate::command::{Command, Data, Fault, Score, Server};
use crate::error::{Code, Effect as Applied, Error, Result};
use crate::streaming::Streaming;
use crate::txn::{Effect, Few, Outcome, Query, Reply, Txn};

/// What the replies say of a transaction of commands.
pub(super) fn decode(txn: &Txn, form: Form, keys: &Keys, replies: Values) -> Result<Outcome> {
    let mut outcome = outcome(txn, form, replies)?;
    if let (
        [Query::Ask { command: Command::Server(Server::Names { space, .. }), .. }],
        Outcome::Committed(told),
    ) = (txn.queries.as_slice(), &mut outcome)
    {
        let front = keys.front(*space);
        for reply in told {
            if let Reply::Data(Data::List(parts)) = reply {
                named_behind(front.as_bytes(), parts);
            }
        }
    }
    Ok(outcome)
}

/// Names without what stands in front of them.
fn named_behind(front: &[u8], parts: &mut [Data]) {
    let [_, Data::List(names)] = parts else { return };
    for name in names {
        if let Data::Bytes(key) = name
            && let Some(rest) = key.strip_prefix(front)
        {
            *name = Data::Bytes(rest.into());
        }
    }
}

fn outcome(txn: &Txn, form: Form, mut replies: Values) -> Result<Outcome> {
    let last = replies.pop().ok_or_else(unexpected)?;
    let commands = || {
        let done = txn.effects.iter().filter_map(|effect| match effect {
            Effect::Try { command, .. } => Some(command),
            _ => None,
        });
        done.chain(asked(&txn.queries))
    };
    match (form, last) {
        (Form::Plain, reply) => Ok(Outcome::Committed(answers(commands(), [reply].into())?)),
        (Form::Multi { .. }, Value::Array(items)) => {
            Ok(Outcome::Committed(answers(commands(), items.into())?))
        }
        (Form::Script, Value::Array(items)) => {
            let mut items = items.into_iter();
            if items.next() == Some(Value::Int(1)) {
                // An answer that was kept may be that of more commands, or of fewer.
                let kept = txn.noted.is_some() && txn.queries.is_empty();
                let items: Values = items.collect();
                let more = items.len().saturating_sub(commands().count());
                let commands =
                    commands().chain(std::iter::repeat_n(&Command::Get, if kept { more } else { 0 }));
                let count = if kept { items.len() } else { usize::MAX };
                return Ok(Outcome::Committed(answers(commands.take(count), items)?));
            }
            let Some(Value::Int(check)) = items.next() else { return Err(unexpected()) };
            let seen = answers(asked(&txn.witness), items.collect())?;
            Ok(Outcome::Refused(usize::try_from(check).unwrap_or_default(), seen))
        }
        (_, Value::Error(last)) => {
            // A command that the server refused before EXEC says why.
            let first = replies.into_iter().find_map(|reply| match reply {
                Value::Error(text) => Some(text),
                _ => None,
            });
            Err(refusal(&first.unwrap_or(last)))
        }
        _ => Err(unexpected()),
    }
}

fn asked(queries: &[Query]) -> impl Iterator<Item = &Command> {
    queries.iter().filter_map(|query| match query {
        Query::Ask { command, .. } => Some(command),
        _ => None,
    })
}

fn unexpected() -> Error {
    Error::new(Code::Corrupt, "the server's reply is not what the command gives")
}

fn answers<'a>(commands: impl Iterator<Item = &'a Command>, replies: Values) -> Result<Few<Reply>> {
    let mut answered = Few::with_capacity(replies.len());
    let (mut commands, mut failed) = (commands, None);
    for reply in replies {
        let command = commands.next().ok_or_else(unexpected)?;
        match answer(command, reply) {
            Ok(data) => answered.push(Reply::Data(data)),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    match failed {
        None if commands.next().is_some() => Err(unexpected()),
        None => Ok(answered),
        // Something before it may have been done.
        Some(error) if answered.is_empty() => Err(error),
        Some(error) => Err(Error { effect: Applied::Unknown, ..error }),
    }
}

fn answer(command: &Command, reply: Value) -> Result<Data> {
    let is_status = matches!(reply, Value::Status(_));
    if let Value::Error(text) = &reply {
        return fault(text).map(Data::Fault).ok_or_else(|| refusal(text));
    }
    Ok(match (command, data(reply)) {
        (Command::Kind, Data::Bytes(kind)) => Data::Bytes(kind),
        (_, Data::Bytes(status)) if is_status => Data::Int(i64::from(matches!(&*status, b"OK" | b"PONG"))),
        // From inside a script as text: see there.
        (Command::Increase(_) | Command::HashIncrease(..), Data::Bytes(number)) => {
            let number = std::str::from_utf8(&number).ok().and_then(|number| number.parse().ok());
            Data::Int(number.ok_or_else(unexpected)?)
        }
        (Command::SortedScore(_) | Command::SortedIncrease(..), data) => score(data),
        (Command::SortedRanks { .. } | Command::SortedScores { .. }, Data::List(items)) => {
            let every_second = |(place, item)| if place % 2 == 1 { score(item) } else { item };
            Data::List(items.into_iter().enumerate().map(every_second).collect())
        }
        (Command::SetAll, Data::List(mut items)) => {
            items.sort_by(|a, b| bytes(a).cmp(bytes(b)));
            Data::List(items)
        }
        (Command::HashAll, Data::List(items)) => Data::List(by_field(items)),
        (Command::Stream(streaming), data) => stream(streaming, data)?,
        (_, data) => data,
    })
}

fn data(reply: Value) -> Data {
    match reply {
        Value::Nil => Data::Nil,
        Value::Int(number) => Data::Int(number),
        Value::Status(text) => Data::text(&text),
        Value::Text(text) => Data::Bytes(Arc::<str>::from(text).into()),
        Value::Bytes(bytes) => Data::Bytes(bytes.into()),
        Value::Array(items) => Data::List(items.into_iter().map(data).collect()),
        // Inside a list there are none.
        Value::Error(_) => Data::Nil,
    }
}

fn bytes(data: &Data) -> &[u8] {
    match data {
        Data::Bytes(bytes) => bytes,
        _ => &[],
    }
}

fn list(data: Data) -> Vec<Data> {
    match data {
        Data::List(items) => items,
        _ => Vec::new(),
    }
}

fn text(data: &Data) -> &str {
    std::str::from_utf8(bytes(data)).unwrap_or_default()
}

/// A score in one spelling, whatever the server's version writes.
fn score(data: Data) -> Data {
    match text(&data).parse() {
        Ok(score) => Data::score(Score(score)),
        Err(_) => data,
    }
}

fn by_field(items: Vec<Data>) -> Vec<Data> {
    let mut items = items.into_iter();
    let mut pairs = Vec::new();
    while let (Some(field), Some(value)) = (items.next(), items.next()) {
        pairs.push((field, value));
    }
    pairs.sort_by(|(a, _), (b, _)| bytes(a).cmp(bytes(b)));
    pairs.into_iter().flat_map(|(field, value)| [field, value]).collect()
}

fn stream(streaming: &Streaming, data: Data) -> Result<Data> {
    Ok(match (streaming, data) {
        // One stream was asked for: its name stands around its entries.
        (Streaming::GroupRead { .. }, Data::List(streams)) => {
            let one = streams.into_iter().next().map(list).unwrap_or_default();
            Data::List(one.into_iter().nth(1).map(list).unwrap_or_default())
        }
        // Redis before 7 tells entries that are gone as nothing.
        (Streaming::Claim { .. }, Data::List(entries)) => {
            Data::List(entries.into_iter().filter(|entry| matches!(entry, Data::List(_))).collect())
        }
        (Streaming::Groups, Data::List(groups)) => {
            let mut told: Vec<Data> = groups
                .into_iter()
                .map(|group| named(group, ["name", "pending", "last-delivered-id"]))
                .collect();
            sort_by_name(&mut told);
            Data::List(told)
        }
        (Streaming::Consumers { .. }, Data::List(consumers)) => {
            let mut told: Vec<Data> =
                consumers.into_iter().map(|one| named(one, ["name", "pending", "idle"])).collect();
            sort_by_name(&mut told);
            Data::List(told)
        }
        (_, data) => data,
    })
}

/// Some values of a list of names and values.
fn named(pairs: Data, names: [&str; 3]) -> Data {
    let pairs = list(pairs);
    let value = |name: &str| {
        let at = pairs.iter().step_by(2).position(|known| text(known) == name);
        at.and_then(|at| pairs.get(2 * at + 1)).cloned().unwrap_or(Data::Nil)
    };
    Data::List(names.into_iter().map(value).collect())
}

fn sort_by_name(items: &mut [Data]) {
    let name = |item: &Data| match item {
        Data::List(parts) => {
            parts.first().map_or_else(|| Arc::from([]), |name| Arc::<[u8]>::from(bytes(name)))
        }
        _ => Arc::from([]),
    };
    items.sort_by_cached_key(name);
}

/// What a command's own refusal means; other errors are those of the server.
fn fault(text: &str) -> Option<Fault> {
    const KNOWN: [(&str, Fault); 11] = [
        ("WRONGTYPE", Fault::WrongKind),
        ("NOGROUP", Fault::NoGroup),
        ("BUSYGROUP", Fault::GroupExists),
        ("is not an integer", Fault::NoNumber),
        ("would overflow", Fault::OutOfRange),
        ("not a number (NaN)", Fault::OutOfRange),
        ("requires the key to exist", Fault::NoStream),
        ("no such key", Fault::NoStream),
        ("equal or smaller than the target", Fault::NotBehind),
        ("must be greater than 0-0", Fault::NotBehind),
        ("exhausted the last possible ID", Fault::NotBehind),
    ];
    KNOWN.iter().find(|(words, _)| text.contains(words)).map(|(_, fault)| *fault)
}
