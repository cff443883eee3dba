//! Queries as commands.

use super::keys::Keys;
use super::operand::{Operands, entry, lend, number, own};
use super::resp::Requests;
use crate::key::{Key, Partition};
use crate::txn::Query;

/// Adds a query as a request of its own.
pub(super) fn ask(query: &Query, partition: Partition, keys: &Keys, requests: &mut Requests) {
    // What is asked most often is written down without a list of its parts.
    if let Query::Record { key, fields } = query {
        return self::fields(requests, partition, key, fields, keys);
    }
    let (name, key, operands) = question(query);
    command(requests, name, |text| keys.spell_into(text, partition, key), &operands);
}

/// Asks for fields of a record, and in front of them for its deadline.
pub(super) fn fields(
    requests: &mut Requests,
    partition: Partition,
    key: &Key,
    fields: &[impl AsRef<str>],
    keys: &Keys,
) {
    requests.begin(3 + fields.len()).part("HMGET");
    requests.made(|text| keys.spell_into(text, partition, key)).part("x");
    for field in fields {
        requests.part(field.as_ref());
    }
}

/// Adds a command as a request; `spell` writes its key.
pub(super) fn command(
    requests: &mut Requests,
    name: &str,
    spell: impl FnOnce(&mut String),
    operands: &Operands<'_>,
) {
    requests.begin(2 + operands.len()).part(name).made(spell);
    for operand in operands {
        requests.part(operand);
    }
}

/// The command that answers a query.
pub(super) fn question(query: &Query) -> (&'static str, &Key, Operands<'_>) {
    match query {
        Query::Record { key, fields } => {
            let names = std::iter::once(lend("x")).chain(fields.iter().map(|field| lend(field)));
            ("HMGET", key, names.collect())
        }
        Query::Names { key } => ("HKEYS", key, Vec::new()),
        Query::Members { key, descending, skip, limit } => {
            let last = skip.saturating_add(*limit).saturating_sub(1).min(i64::MAX as u64);
            let mut operands = vec![number(*skip), number(last)];
            if *descending {
                operands.push(lend("REV"));
            }
            ("ZRANGE", key, operands)
        }
        Query::Between { key, range, descending, limit } => {
            let after = own(format_args!("({}", range.after));
            let before = match range.before.as_str() {
                "" => lend("+"),
                before => own(format_args!("({before}")),
            };
            let (from, to) = if *descending { (before, after) } else { (after, before) };
            let mut operands = vec![from, to, lend("BYLEX")];
            operands.extend(descending.then(|| lend("REV")));
            operands.extend([lend("LIMIT"), lend("0"), number(*limit.min(&(i64::MAX as u64)))]);
            ("ZRANGE", key, operands)
        }
        Query::Count { key, first } => {
            let behind = char::from_u32(u32::from(*first) + 1).unwrap_or(*first);
            ("ZLEXCOUNT", key, vec![own(format!("[{first}")), own(format!("({behind}"))])
        }
        Query::Due { key, by, limit } => {
            let limit = *limit.min(&(i64::MAX as u64));
            let bounds =
                [lend("-inf"), number(*by), lend("BYSCORE"), lend("LIMIT"), lend("0"), number(limit)];
            ("ZRANGE", key, bounds.into_iter().chain([lend("WITHSCORES")]).collect())
        }
        Query::Log { key, after, limit } => {
            let entries = (after + 1..=after.saturating_add(*limit)).map(entry);
            ("HMGET", key, [lend("#"), lend("<")].into_iter().chain(entries).collect())
        }
        Query::Entries { key, after, limit } => {
            let from = own(format!("({}-{}", after.0, after.1));
            ("XRANGE", key, vec![from, lend("+"), lend("COUNT"), number(*limit)])
        }
        Query::Newest { key } => ("XREVRANGE", key, vec![lend("+"), lend("-"), lend("COUNT"), lend("1")]),
        // Those are in `plain.rs`.
        Query::Ask { key, .. } => ("TYPE", key, Vec::new()),
        Query::Now { key } => ("TIME", key, Vec::new()),
    }
}
