//! A transaction as requests: one plain command, a `MULTI`, or the script.

use std::borrow::Cow;
use std::sync::OnceLock;

use super::keys::Keys;
use super::resp::Requests;
use crate::error::{Error, Result};
use crate::key::Key;
use crate::txn::{Check, Effect, Query, Txn, Until};

/// The script that applies a transaction with checks.
pub(super) const SCRIPT: &str = include_str!("txn.lua");

/// The script's name in the server's cache.
pub(super) fn script_sha() -> &'static str {
    static SHA: OnceLock<String> = OnceLock::new();
    SHA.get_or_init(|| sha1_smol::Sha1::from(SCRIPT).digest().to_string())
}

/// Fields that one command removes at the most: Lua's stack holds 8,000 operands.
const FIELDS_A_COMMAND: usize = 1_000;

/// What a typical transaction takes, in bytes; a larger one grows.
const ROOM_FOR_A_QUESTION: usize = 128;
const ROOM_FOR_A_WRITE: usize = 2_048;

/// How the replies are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One command, one answer.
    Plain,
    /// `MULTI`, `EXEC`; so many answers of effects come before those of queries.
    Multi { effects: usize },
    /// One reply: committed or refused, then the answers.
    Script,
}

/// An encoded transaction.
#[derive(Debug)]
pub(super) struct Encoded {
    pub requests: Requests,
    pub form: Form,
}

/// Parts of a command behind its name and key: borrowed from the transaction where they stand in it.
type Operands<'a> = Vec<Cow<'a, [u8]>>;

/// The cheapest form that keeps the transaction's promises.
///
/// A script costs the server about twice what a `MULTI` does, so it is taken only where something has to
/// be looked at first: a check, a deadline to compare, a log's next position.
pub(super) fn encode(txn: &Txn, keys: &Keys) -> Result<Encoded> {
    if txn.effects.is_empty() && txn.checks.is_empty() && txn.queries.len() == 1 {
        let mut requests = Requests::with_room(ROOM_FOR_A_QUESTION);
        for query in &txn.queries {
            let (name, key, operands) = question(query);
            command(&mut requests, name, &keys.spell(txn.partition, key), &operands);
        }
        return Ok(Encoded { requests, form: Form::Plain });
    }
    if txn.checks.is_empty() && (0..txn.effects.len()).all(|place| is_plain(&txn.effects, place)) {
        return Ok(multi(txn, keys));
    }
    script(txn, keys, &[b"EVALSHA", script_sha().as_bytes()])
}

/// The same with the script's whole text, for a server that does not have it.
pub(super) fn encode_with_text(txn: &Txn, keys: &Keys) -> Result<Encoded> {
    script(txn, keys, &[b"EVAL", SCRIPT.as_bytes()])
}

fn is_plain(effects: &[Effect], place: usize) -> bool {
    let (before, from) = effects.split_at_checked(place).unwrap_or_default();
    match from.first() {
        Some(Effect::Slide { .. }) => false,
        Some(Effect::Append { key, keep, .. }) => {
            let opened =
                before.iter().any(|other| matches!(other, Effect::Open { key: opened, .. } if opened == key));
            opened && appended(key, before) < *keep
        }
        _ => true,
    }
}

/// How many entries these effects append to a log.
fn appended(log: &Key, effects: &[Effect]) -> u64 {
    effects.iter().filter(|effect| matches!(effect, Effect::Append { key, .. } if key == log)).count() as u64
}

fn command(requests: &mut Requests, name: &str, key: &str, operands: &Operands<'_>) {
    requests.begin(2 + operands.len()).part(name).part(key);
    for operand in operands {
        requests.part(operand);
    }
}

fn own<'a>(value: impl ToString) -> Cow<'a, [u8]> {
    Cow::Owned(value.to_string().into_bytes())
}

fn lend(text: &str) -> Cow<'_, [u8]> {
    Cow::Borrowed(text.as_bytes())
}

/// The command that answers a query.
fn question(query: &Query) -> (&'static str, &Key, Operands<'_>) {
    match query {
        Query::Record { key, fields } => {
            let names = std::iter::once(lend("x")).chain(fields.iter().map(|field| lend(field)));
            ("HMGET", key, names.collect())
        }
        Query::Members { key, descending, skip, limit } => {
            let last = skip.saturating_add(*limit).saturating_sub(1).min(i64::MAX as u64);
            let mut operands = vec![own(skip), own(last)];
            if *descending {
                operands.push(lend("REV"));
            }
            ("ZRANGE", key, operands)
        }
        Query::Log { key, after, limit } => {
            let entries =
                (after + 1..=after.saturating_add(*limit)).map(|position| own(format!("e{position}")));
            ("HMGET", key, [lend("#"), lend("<")].into_iter().chain(entries).collect())
        }
        Query::Entries { key, after, limit } => {
            let from = own(format!("({}-{}", after.0, after.1));
            ("XRANGE", key, vec![from, lend("+"), lend("COUNT"), own(limit)])
        }
    }
}

/// The commands of an effect that needs no look first; `before` are the effects in front of it.
fn plain_effect<'a>(
    effect: &'a Effect,
    before: &[Effect],
    mut put: impl FnMut(&'static str, &'a Key, Operands<'a>),
) {
    match effect {
        Effect::Open { key, until } => match until {
            Until::Never => put("HSET", key, vec![lend("x"), lend("")]),
            Until::At(at) => {
                let at = own(at.0);
                put("HSET", key, vec![lend("x"), at.clone()]);
                put("PEXPIREAT", key, vec![at]);
            }
        },
        Effect::Put { key, field, text } => put("HSET", key, vec![lend(field), lend(text)]),
        Effect::Drop { key, fields } => {
            for fields in fields.chunks(FIELDS_A_COMMAND) {
                put("HDEL", key, fields.iter().map(|field| lend(field)).collect());
            }
        }
        Effect::Delete { key } => put("UNLINK", key, Vec::new()),
        Effect::Add { key, member, score } => put("ZADD", key, vec![own(score), lend(member)]),
        Effect::Remove { key, member } => put("ZREM", key, vec![lend(member)]),
        Effect::Append { key, text, feed, .. } => {
            let at = appended(key, before) + 1;
            put("HSET", key, vec![lend("#"), own(at), own(format!("e{at}")), lend(text)]);
            let limit = [lend("MAXLEN"), lend("~"), own(feed.keep), lend("*")];
            let entry = [lend("o"), lend(&key.name), lend("n"), own(at), lend("e"), lend(text)];
            put("XADD", &feed.key, limit.into_iter().chain(entry).collect());
            put("PEXPIREAT", &feed.key, vec![own(feed.until.0)]);
        }
        // Needs a look first: see `is_plain`.
        Effect::Slide { .. } => {}
    }
}

fn multi(txn: &Txn, keys: &Keys) -> Encoded {
    let mut requests = Requests::with_room(ROOM_FOR_A_WRITE);
    requests.request(&[b"MULTI"]);
    // Fields of one record that are set one after the other go as one command.
    let mut commands: Vec<(&'static str, &Key, Operands<'_>)> = Vec::new();
    for (index, effect) in txn.effects.iter().enumerate() {
        let before = txn.effects.get(..index).unwrap_or_default();
        plain_effect(effect, before, |name, key, mut operands| {
            let last = commands.iter_mut().rev().find(|(other, at, _)| *at == key && *other != "PEXPIREAT");
            match last {
                Some(("HSET", _, before)) if name == "HSET" => before.append(&mut operands),
                _ => commands.push((name, key, operands)),
            }
        });
    }
    let effects = commands.len();
    commands.extend(txn.queries.iter().map(question));
    for (name, key, operands) in &commands {
        command(&mut requests, name, &keys.spell(txn.partition, key), operands);
    }
    requests.request(&[b"EXEC"]);
    Encoded { requests, form: Form::Multi { effects } }
}

/// The script's program, and the keys that it names by their index.
#[derive(Default)]
struct Program<'a> {
    keys: Vec<&'a Key>,
    args: Operands<'a>,
}

impl<'a> Program<'a> {
    fn key(&mut self, key: &'a Key) -> Cow<'a, [u8]> {
        let known = self.keys.iter().position(|other| *other == key);
        let index = known.unwrap_or_else(|| {
            self.keys.push(key);
            self.keys.len() - 1
        });
        own(index + 1)
    }

    fn op<const N: usize>(&mut self, op: &'static str, key: &'a Key, operands: [Cow<'a, [u8]>; N]) {
        let key = self.key(key);
        self.args.extend([lend(op), key]);
        self.args.extend(operands);
    }

    fn command(&mut self, name: &'static str, key: &'a Key, operands: Operands<'a>) {
        let key = self.key(key);
        self.args.extend([lend("C"), own(operands.len()), lend(name), key]);
        self.args.extend(operands);
    }

    fn check(&mut self, check: &'a Check) {
        match check {
            Check::Absent { key, field } => self.op("A", key, [lend(field)]),
            Check::Present { key, field } => self.op("P", key, [lend(field)]),
            Check::Begins { key, field, with } => self.op("B", key, [lend(field), lend(with)]),
        }
    }

    fn effect(&mut self, effect: &'a Effect) {
        match effect {
            Effect::Slide { key, until } => {
                let until = match until {
                    Until::Never => lend(""),
                    Until::At(at) => own(at.0),
                };
                self.op("S", key, [until]);
            }
            Effect::Append { key, text, keep, feed } => {
                self.op("E", key, [lend(text), own(keep)]);
                let index = self.key(&feed.key);
                self.args.extend([index, own(feed.keep), own(feed.until.0), lend(&key.name)]);
            }
            _ => plain_effect(effect, &[], |name, key, operands| self.command(name, key, operands)),
        }
    }
}

fn script(txn: &Txn, keys: &Keys, how: &[&[u8]; 2]) -> Result<Encoded> {
    let mut program = Program::default();
    txn.checks.iter().for_each(|check| program.check(check));
    let witness = program.args.len();
    for (name, key, operands) in txn.witness.iter().map(question) {
        program.command(name, key, operands);
    }
    let effects = program.args.len();
    txn.effects.iter().for_each(|effect| program.effect(effect));
    let queries = program.args.len();
    for (name, key, operands) in txn.queries.iter().map(question) {
        program.command(name, key, operands);
    }
    if program.keys.is_empty() {
        return Err(Error::internal("a transaction without a key"));
    }
    let mut requests = Requests::with_room(ROOM_FOR_A_WRITE);
    requests.begin(3 + program.keys.len() + 3 + program.args.len());
    for part in how {
        requests.part(part);
    }
    requests.number(program.keys.len());
    for key in &program.keys {
        requests.part(keys.spell(txn.partition, key));
    }
    // Places in ARGV count from 1, behind these three.
    for place in [witness, effects, queries] {
        requests.number(place + 4);
    }
    for arg in &program.args {
        requests.part(arg);
    }
    Ok(Encoded { requests, form: Form::Script })
}
