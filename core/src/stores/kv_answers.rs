//! What commands on plain values answer, as JSON.

use super::marked::{json, quoted};
use crate::command::{Data, Fault};
use crate::error::{Code, Error, Result};

/// The error of a command that does not fit what its key holds.
pub(super) fn fault(fault: Fault) -> Error {
    let message = match fault {
        Fault::WrongKind => "the key holds another kind of value",
        Fault::NoNumber => "the value is no whole number of 64 bits",
        Fault::OutOfRange => "the number would leave its range",
        Fault::NoGroup => "the stream has no such group",
        Fault::GroupExists => return Error::new(Code::Exists, "the stream has such a group already"),
        Fault::NoStream => "there is no such stream",
        Fault::NotBehind => "an entry's place has to be behind the latest one",
    };
    Error::new(Code::Conflict, message)
}

/// The answer of an operation as JSON; empty for what has nothing to tell.
pub(super) fn told(op: &str, data: Data, bytes: bool) -> Result<String> {
    let data = match data {
        Data::Fault(wrong) => return Err(fault(wrong)),
        data => data,
    };
    Ok(match (op, data) {
        ("set", _) => String::new(),
        ("setIfNotExists", data) => (data != Data::Nil).to_string(),
        ("exists" | "expire" | "sismember", Data::Int(flag)) => (flag != 0).to_string(),
        ("ttlSeconds", Data::Int(left)) => match left {
            -2 => "null".to_owned(),
            -1 => "-1".to_owned(),
            ms => format!("{}.{:03}", ms / 1000, ms % 1000),
        },
        ("zscore" | "zincrement", Data::Bytes(score)) => score_json(&score),
        ("hgetall", Data::List(items)) => object(&items, bytes)?,
        ("zrange" | "zrangeByScore", Data::List(items)) => scored(&items, bytes)?,
        (_, data) => value(&data, bytes)?,
    })
}

fn value(data: &Data, bytes: bool) -> Result<String> {
    Ok(match data {
        Data::Nil => "null".to_owned(),
        Data::Int(number) => number.to_string(),
        Data::Bytes(text) => json(text, bytes)?,
        Data::List(items) => {
            let items: Vec<String> = items.iter().map(|item| value(item, bytes)).collect::<Result<_>>()?;
            format!("[{}]", items.join(","))
        }
        Data::Fault(wrong) => return Err(fault(*wrong)),
    })
}

/// A score as a JSON number, which has no word for those without end.
fn score_json(score: &[u8]) -> String {
    match std::str::from_utf8(score).unwrap_or_default() {
        "inf" => "1e999".to_owned(),
        "-inf" => "-1e999".to_owned(),
        score => score.to_owned(),
    }
}

/// Name, value, name, value, ... as pairs; the names are texts.
pub(super) fn pairs(items: &[Data]) -> Result<Vec<(String, &[u8])>> {
    let mut pairs = Vec::with_capacity(items.len() / 2);
    for pair in items.chunks(2) {
        let [Data::Bytes(name), Data::Bytes(value)] = pair else {
            return Err(Error::internal("pairs were answered by something else"));
        };
        let name =
            std::str::from_utf8(name).map_err(|_| Error::new(Code::Corrupt, "a field's name is no text"))?;
        pairs.push((name.to_owned(), &**value));
    }
    Ok(pairs)
}

pub(super) fn object(items: &[Data], bytes: bool) -> Result<String> {
    let pairs = pairs(items)?;
    let parts: Vec<String> = pairs
        .iter()
        .map(|(name, value)| Ok(format!("{}:{}", quoted(name), json(value, bytes)?)))
        .collect::<Result<_>>()?;
    Ok(format!("{{{}}}", parts.join(",")))
}

fn scored(items: &[Data], bytes: bool) -> Result<String> {
    let pair = |pair: &[Data]| match pair {
        [Data::Bytes(member), Data::Bytes(score)] => {
            Ok(format!("{{\"member\":{},\"score\":{}}}", json(member, bytes)?, score_json(score)))
        }
        _ => Err(Error::internal("members were answered by something else")),
    };
    let parts: Vec<String> = items.chunks(2).map(pair).collect::<Result<_>>()?;
    Ok(format!("[{}]", parts.join(",")))
}
