//! A transaction as requests: one plain command, a `MULTI`, or the script.

mod line;

use std::sync::OnceLock;

use super::commands::plain_command;
use super::ear::payload;
use super::gather::gather;
use super::keys::{Keys, note_life_ms};
use super::operand::{Operand, Operands, deadline, entry, lend, number, own};
use super::plainness::{appended, is_plain};
use super::question::{ask, command, question};
use super::record::{self, By};
use super::resp::Requests;
use crate::command::Command;
use crate::error::{Error, Result};
use crate::id::Mark;
use crate::key::Key;
use crate::topic::digests;
use crate::txn::{Check, Effect, Noted, Position, Query, Txn, Until};

/// The script that applies a transaction with checks.
pub(super) const SCRIPT: &str = concat!(include_str!("line.lua"), include_str!("txn.lua"));

/// The script's name in the server's cache.
pub(super) fn script_sha() -> &'static str {
    static SHA: OnceLock<String> = OnceLock::new();
    SHA.get_or_init(|| sha1_smol::Sha1::from(SCRIPT).digest().to_string())
}

/// Fields that one command removes at the most: Lua's stack holds 8,000 operands.
const FIELDS_A_COMMAND: usize = 1_000;

/// How the replies are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One command, one answer to a query.
    Plain,
    /// One command, one answer to it.
    Command,
    /// `MULTI`, `EXEC`; so many answers of effects come before those of queries.
    Multi { effects: usize },
    /// One reply: committed or refused, then the answers.
    Script,
}

/// An encoded transaction.
#[derive(Debug)]
pub(super) struct Encoded {
    pub form: Form,
    /// The last request is a hint to those who listen.
    pub hints: bool,
}

/// The cheapest form that keeps the transaction's promises.
///
/// A script costs the server about twice what a `MULTI` does, so it is taken only where something has to
/// be looked at first: a check, a deadline to compare, a log's next position.
pub(super) fn encode(txn: &Txn, keys: &Keys, hinting: bool, requests: &mut Requests) -> Result<Encoded> {
    let known = |effect: &Effect| match effect {
        Effect::Do { command, .. } => matches!(command, Command::Line(_)) || plain_command(command).is_some(),
        _ => true,
    };
    if !txn.effects.iter().all(known) {
        return Err(Error::internal("a command that can only be tried"));
    }
    let timed = txn.queries.iter().any(|query| matches!(query, Query::Now { .. }));
    if txn.effects.is_empty() && txn.checks.is_empty() && txn.queries.len() == 1 && !timed {
        txn.queries.iter().for_each(|query| ask(query, txn.partition, keys, requests));
        return Ok(Encoded { form: Form::Plain, hints: false });
    }
    if let (true, [Effect::Do { key, command: wanted }]) =
        (txn.checks.is_empty() && txn.queries.is_empty() && txn.noted.is_none(), txn.effects.as_slice())
        && let Some((name, operands)) = plain_command(wanted)
    {
        command(requests, name, |text| keys.spell_into(text, txn.partition, key), &operands);
        return Ok(Encoded { form: Form::Command, hints: false });
    }
    let known = txn.noted.is_some() || txn.repeated && txn.remembered_in().is_some();
    let plain = txn.checks.is_empty() && !timed && !known;
    let form = if plain && (0..txn.effects.len()).all(|place| is_plain(&txn.effects, place)) {
        multi(txn, keys, requests)
    } else if let Some(form) = record::encode(txn, keys, By::Sha, requests) {
        form
    } else {
        script(txn, keys, &[b"EVALSHA", script_sha().as_bytes()], requests)?
    };
    let hints = hinting && hint(txn, keys, requests);
    Ok(Encoded { form, hints })
}

/// Outside the transaction: a user who may not publish still writes.
fn hint(txn: &Txn, keys: &Keys, requests: &mut Requests) -> bool {
    let digests = digests(&txn.effects);
    if !digests.is_empty() {
        requests.begin(3).part(keys.publish());
        requests.made(|text| keys.channel_into(text, txn.partition)).made(|text| payload(text, &digests));
    }
    !digests.is_empty()
}

/// The same with the script's whole text, for a server that does not have it.
pub(super) fn encode_with_text(txn: &Txn, keys: &Keys, requests: &mut Requests) -> Result<()> {
    if record::encode(txn, keys, By::Text, requests).is_some() {
        return Ok(());
    }
    script(txn, keys, &[b"EVAL", SCRIPT.as_bytes()], requests).map(drop)
}

/// The commands of an effect that needs no look first; `before` are the effects in front of it.
pub(super) fn plain_effect<'a>(
    effect: &'a Effect,
    before: &[Effect],
    mut put: impl FnMut(&'static str, &'a Key, &[Operand<'a>]),
) {
    match effect {
        Effect::Open { key, until } => match until {
            Until::Never => put("HSET", key, &[lend("x"), lend("")]),
            Until::At(at) => {
                let at = number(at.0);
                put("HSET", key, &[lend("x"), at.clone()]);
                put("PEXPIREAT", key, &[at]);
            }
        },
        Effect::Put { key, field, text } => put("HSET", key, &[lend(field), lend(text)]),
        Effect::Drop { key, fields } => {
            for fields in fields.chunks(FIELDS_A_COMMAND) {
                put("HDEL", key, &fields.iter().map(|field| lend(field)).collect::<Vec<_>>());
            }
        }
        Effect::Delete { key } => put("UNLINK", key, &[]),
        Effect::Add { key, member, score } => put("ZADD", key, &[number(*score), lend(member)]),
        Effect::Lower { key, member, score } => put("ZADD", key, &[lend("LT"), number(*score), lend(member)]),
        Effect::Remove { key, member } => put("ZREM", key, &[lend(member)]),
        Effect::Append { key, text, feed, .. } => {
            let at = appended(key, before) + 1;
            put("HSET", key, &[lend("#"), number(at), entry(at), lend(text)]);
            gather(feed, &key.name, at, text, put);
        }
        Effect::Do { key, command } => {
            if let Some((name, operands)) = plain_command(command) {
                put(name, key, &operands);
            }
        }
        Effect::Announce { feed, origin, position, text } => gather(feed, origin, *position, text, put),
        Effect::Strike { key, positions } => {
            for positions in positions.chunks(FIELDS_A_COMMAND) {
                let id = |Position(ms, n): &Position| own(format!("{ms}-{n}"));
                put("XDEL", key, &positions.iter().map(id).collect::<Vec<_>>());
            }
        }
        Effect::TrimFeed { key, before } => put("XTRIM", key, &[lend("MINID"), number(before.0)]),
        // They need a look first: see `is_plain`. What is tried is in `plain.rs`.
        Effect::Slide { .. }
        | Effect::Hold { .. }
        | Effect::Move { .. }
        | Effect::Trim { .. }
        | Effect::Try { .. } => {}
    }
}

/// Commands to be, and behind them the operands of all, each with the place of its command's next one.
#[derive(Default)]
struct Batch<'a> {
    commands: Vec<Planned<'a>>,
    operands: Vec<(Operand<'a>, usize)>,
}

struct Planned<'a> {
    name: &'static str,
    key: &'a Key,
    count: usize,
    first: usize,
    last: usize,
}

/// A create's commands and operands, about.
const USUAL: (usize, usize) = (8, 40);

impl<'a> Batch<'a> {
    /// Fields of one record that are set one after the other go as one command.
    fn put(&mut self, name: &'static str, key: &'a Key, operands: &[Operand<'a>]) {
        let on_key = |planned: &&mut Planned<'_>| planned.name != "PEXPIREAT" && *planned.key == *key;
        let last = self.commands.iter_mut().rev().find(on_key);
        let at = self.operands.len();
        match last.filter(|planned| planned.name == "HSET" && name == "HSET") {
            Some(planned) => {
                if let Some((_, next)) = self.operands.get_mut(planned.last) {
                    *next = at;
                }
                planned.count += operands.len();
                planned.last = at + operands.len() - 1;
            }
            None => {
                let (count, last) = (operands.len(), (at + operands.len()).saturating_sub(1));
                self.commands.push(Planned { name, key, count, first: at, last });
            }
        }
        self.operands.extend(operands.iter().cloned().zip(at + 1..));
    }

    fn write(&self, txn: &Txn, keys: &Keys, requests: &mut Requests) {
        let (mut spelled, mut of): (String, Option<&Key>) = (String::new(), None);
        for Planned { name, key, count, first, .. } in &self.commands {
            if of != Some(key) {
                spelled.clear();
                keys.spell_into(&mut spelled, txn.partition, key);
                of = Some(key);
            }
            requests.begin(2 + count).part(name).part(&spelled);
            let mut at = *first;
            for _ in 0..*count {
                if let Some((operand, next)) = self.operands.get(at) {
                    requests.part(operand);
                    at = *next;
                }
            }
        }
    }
}

fn multi(txn: &Txn, keys: &Keys, requests: &mut Requests) -> Form {
    requests.request(&[b"MULTI"]);
    let mut batch = Batch { commands: Vec::with_capacity(USUAL.0), operands: Vec::with_capacity(USUAL.1) };
    for (index, effect) in txn.effects.iter().enumerate() {
        let before = txn.effects.get(..index).unwrap_or_default();
        plain_effect(effect, before, |name, key, operands| batch.put(name, key, operands));
    }
    let effects = batch.commands.len();
    batch.write(txn, keys, requests);
    txn.queries.iter().for_each(|query| ask(query, txn.partition, keys, requests));
    requests.request(&[b"EXEC"]);
    Form::Multi { effects }
}

/// The script's program, and the keys that it names by their index.
#[derive(Default)]
struct Program<'a> {
    keys: Vec<Named<'a>>,
    args: Operands<'a>,
}

/// A key, or what stands beside it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named<'a> {
    Key(&'a Key),
    Beside(&'a Key, &'static str),
    /// Where a noted write's answer is kept.
    Answer(&'a Noted),
}

impl<'a> Program<'a> {
    fn key(&mut self, key: &'a Key) -> Operand<'a> {
        self.named(Named::Key(key))
    }

    fn named(&mut self, key: Named<'a>) -> Operand<'a> {
        let known = self.keys.iter().position(|other| *other == key);
        let index = known.unwrap_or_else(|| {
            self.keys.push(key);
            self.keys.len() - 1
        });
        number(index as u64 + 1)
    }

    fn op<const N: usize>(&mut self, op: &'static str, key: &'a Key, operands: [Operand<'a>; N]) {
        let key = self.key(key);
        self.args.extend([lend(op), key]);
        self.args.extend(operands);
    }

    fn command(&mut self, name: &'static str, key: &'a Key, operands: &[Operand<'a>]) {
        let key = self.key(key);
        self.args.extend([lend("C"), number(operands.len() as u64), lend(name), key]);
        self.args.extend_from_slice(operands);
    }

    /// How the script is to find out whether this was applied before: `!` and the key of a log that begins with it,
    /// `?` and the key of a log that remembers its mark, `=` and how long its answer is kept (under the last key), or nothing.
    fn repeated(&mut self, txn: &'a Txn) -> String {
        if let Some(noted) = &txn.noted {
            self.keys.push(Named::Answer(noted));
            return format!("={}", note_life_ms(noted));
        }
        let Some((log, begins)) = txn.remembered_in().filter(|_| txn.repeated) else { return String::new() };
        let key = self.key(log);
        format!("{}{}", if begins { '!' } else { '?' }, String::from_utf8_lossy(key.as_ref()))
    }

    fn query(&mut self, query: &'a Query) {
        match (query, question(query)) {
            (Query::Now { key }, _) => self.op("T", key, []),
            (_, (name, key, operands)) => self.command(name, key, &operands),
        }
    }

    fn check(&mut self, check: &'a Check) {
        match check {
            Check::Absent { key, field } => self.op("A", key, [lend(field)]),
            Check::Present { key, field } => self.op("P", key, [lend(field)]),
            Check::Begins { key, field, with } => self.op("B", key, [lend(field), lend(with)]),
            Check::Holds { key, text } => self.op("H", key, [Operand::Lent(text)]),
            // Only beside commands that are tried: see `plain.rs`.
            Check::Gone { .. } | Check::Idle { .. } => {}
            Check::Due { key, member, by } => self.op("D", key, [lend(member), number(*by)]),
            Check::Last { key, position } => self.op("W", key, [number(*position)]),
            Check::Clear { key, below } => self.op("N", key, [number(*below)]),
        }
    }

    fn effects(&mut self, mut effects: &'a [Effect]) {
        while let Some((effect, behind)) = effects.split_first() {
            effects = match self.line(effects) {
                0 => {
                    self.effect(effect);
                    behind
                }
                done => effects.get(done..).unwrap_or_default(),
            };
        }
    }

    fn effect(&mut self, effect: &'a Effect) {
        match effect {
            Effect::Open { key, until } => self.op("O", key, [deadline(*until)]),
            Effect::Slide { key, until } => self.op("S", key, [deadline(*until)]),
            Effect::Trim { key, below } => self.op("K", key, [number(*below)]),
            Effect::Hold { key, until } => self.op("H", key, [deadline(*until)]),
            Effect::Move { key, fields, to, field } => {
                let to = self.key(to);
                self.op("M", key, [to, lend(field), number(fields.len() as u64)]);
                self.args.extend(fields.iter().map(|field| lend(field)));
            }
            Effect::Append { key, text, keep, feed } => {
                self.op("E", key, [lend(text), number(*keep)]);
                let index = self.key(&feed.key);
                self.args.extend([index, number(feed.keep), number(feed.until.0), lend(&key.name)]);
                if let Some(also) = &feed.also {
                    self.op("G", also, [number(feed.keep), number(feed.until.0), lend(&key.name)]);
                }
            }
            Effect::Do { key, command } => {
                if let Some((name, operands)) = plain_command(command) {
                    let place = self.args.len();
                    self.command(name, key, &operands);
                    if let Some(op) = self.args.get_mut(place) {
                        *op = lend("R");
                    }
                }
            }
            _ => plain_effect(effect, &[], |name, key, operands| self.command(name, key, operands)),
        }
    }
}

fn script(txn: &Txn, keys: &Keys, how: &[&[u8]; 2], requests: &mut Requests) -> Result<Form> {
    let mut program = Program::default();
    txn.checks.iter().for_each(|check| program.check(check));
    let witness = program.args.len();
    txn.witness.iter().for_each(|query| program.query(query));
    let effects = program.args.len();
    program.effects(&txn.effects);
    let queries = program.args.len();
    txn.queries.iter().for_each(|query| program.query(query));
    let repeated = program.repeated(txn);
    if program.keys.is_empty() {
        return Err(Error::internal("a transaction without a key"));
    }
    requests.begin(3 + program.keys.len() + 5 + program.args.len());
    for part in how {
        requests.part(part);
    }
    requests.number(program.keys.len());
    for key in &program.keys {
        requests.part(match key {
            Named::Key(key) => keys.spell(txn.partition, key),
            Named::Beside(key, companion) => keys.spell_beside(txn.partition, key, companion),
            Named::Answer(noted) => keys.spell_note(txn.partition, txn.first_key(), noted),
        });
    }
    // Places in ARGV count from 1, behind these five.
    for place in [witness, effects, queries] {
        requests.number(place + 6);
    }
    let (mark, noted) = (txn.carried(), txn.noted);
    let name = mark.as_ref().map(Mark::as_str).or_else(|| noted.as_ref().map(|noted| noted.note.as_str()));
    requests.part(name.unwrap_or_default()).part(repeated);
    for arg in &program.args {
        requests.part(arg);
    }
    Ok(Form::Script)
}
