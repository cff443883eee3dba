//! Commands on plain values as Redis' own: their names and operands.

use super::commands::plain_command;
use super::encode::{Encoded, Form};
use super::keys::{Keys, note_life_ms};
use super::operand::{Operand, lend, own};
use super::resp::Requests;
use crate::command::{Bytes, Command, Server};
use crate::error::{Error, Result};
use crate::key::Key;
use crate::streaming::{LAST_PLACE, Place, Streaming, place_text};
use crate::txn::{Check, Effect, Query, Txn};

/// The script that applies commands with checks.
const SCRIPT: &str = include_str!("plain.lua");

/// A command's words; the key belongs behind so many of them.
struct Words<'a> {
    words: Vec<Operand<'a>>,
    before_key: usize,
}

fn place<'a>(place: Place) -> Operand<'a> {
    own(place_text(place))
}

/// A command behind whose name the key stands.
fn named<'a>(name: &'static str, operands: impl IntoIterator<Item = Operand<'a>>) -> Words<'a> {
    Words { words: std::iter::once(lend(name)).chain(operands).collect(), before_key: 1 }
}

/// A command behind whose two words the key stands.
fn named_twice<'a>(
    name: &'static str,
    second: &'static str,
    operands: impl IntoIterator<Item = Operand<'a>>,
) -> Words<'a> {
    Words { words: [lend(name), lend(second)].into_iter().chain(operands).collect(), before_key: 2 }
}

fn each(items: &[Bytes]) -> impl Iterator<Item = Operand<'_>> {
    items.iter().map(|item| Operand::Lent(item))
}

fn words(command: &Command) -> Words<'_> {
    let bytes = |bytes| Operand::Lent(bytes);
    if let Some((name, operands)) = plain_command(command) {
        return named(name, operands);
    }
    match command {
        Command::Kind => named("TYPE", []),
        Command::Expire(at) => named("PEXPIREAT", [own(at.0)]),
        Command::Persist => named("PERSIST", []),
        Command::Left => named("PTTL", []),
        Command::Replace(value) => named("SET", [bytes(value), lend("KEEPTTL")]),
        Command::Increase(by) => named("INCRBY", [own(by)]),
        Command::HashGet(field) => named("HGET", [bytes(field)]),
        Command::HashGets(fields) => named("HMGET", each(fields)),
        Command::HashPut(fields) => named("HSET", pairs(fields)),
        Command::HashDrop(fields) => named("HDEL", each(fields)),
        Command::HashAll => named("HGETALL", []),
        Command::HashLen => named("HLEN", []),
        Command::HashIncrease(field, by) => named("HINCRBY", [bytes(field), own(by)]),
        Command::HashScan { cursor, count } => named("HSCAN", [bytes(cursor), lend("COUNT"), own(count)]),
        Command::SetAdd(members) => named("SADD", each(members)),
        Command::SetDrop(members) => named("SREM", each(members)),
        Command::SetHas(member) => named("SISMEMBER", [bytes(member)]),
        Command::SetAll => named("SMEMBERS", []),
        Command::SetLen => named("SCARD", []),
        Command::SketchAdd(members) => named("PFADD", each(members)),
        Command::SketchCount => named("PFCOUNT", []),
        Command::Stream(streaming) => stream(streaming),
        Command::Server(server) => asked_of(server),
        _ => sorted(command),
    }
}

fn pairs(fields: &[(Bytes, Bytes)]) -> impl Iterator<Item = Operand<'_>> {
    fields.iter().flat_map(|(field, value)| [Operand::Lent(field), Operand::Lent(value)])
}

fn sorted(command: &Command) -> Words<'_> {
    let bytes = |bytes| Operand::Lent(bytes);
    match command {
        Command::SortedAdd(members) => {
            named("ZADD", members.iter().flat_map(|(score, member)| [own(score.0), Operand::Lent(member)]))
        }
        Command::SortedDrop(members) => named("ZREM", each(members)),
        Command::SortedScore(member) => named("ZSCORE", [bytes(member)]),
        Command::SortedIncrease(member, by) => named("ZINCRBY", [own(by.0), bytes(member)]),
        Command::SortedRanks { from, count, descending } => {
            let to = from.saturating_add(*count).saturating_sub(1).min(i64::MAX as u64);
            // An empty range, where -1 would be the last member.
            let (from, to) = if *count == 0 { (own(1), own(0)) } else { (own(from), own(to)) };
            named("ZRANGE", [from, to].into_iter().chain(reversed(*descending)).chain([lend("WITHSCORES")]))
        }
        Command::SortedScores { least, most, skip, count, descending } => {
            let (from, to) = if *descending { (most, least) } else { (least, most) };
            let limit = [lend("LIMIT"), own(skip), own(count), lend("WITHSCORES")];
            let range = [own(from.0), own(to.0), lend("BYSCORE")];
            named("ZRANGE", range.into_iter().chain(reversed(*descending)).chain(limit))
        }
        Command::SortedTexts { after, before, count, descending } => {
            let (after, before) = (open(after), open(before));
            let range = if *descending { [before, after] } else { [after, before] };
            let limit = [lend("LIMIT"), own(0), own(count)];
            let way = std::iter::once(lend("BYLEX")).chain(reversed(*descending));
            named("ZRANGE", range.into_iter().chain(way).chain(limit))
        }
        Command::SortedTextCount { after, before } => named("ZLEXCOUNT", [open(after), open(before)]),
        _ => named("ZCARD", []),
    }
}

fn asked_of(server: &Server) -> Words<'_> {
    let words = match server {
        Server::Ping => vec![lend("PING")],
        Server::Size => vec![lend("DBSIZE")],
        Server::Info => vec![lend("INFO")],
        Server::Names { pattern, cursor, count, .. } => {
            let scan = [lend("SCAN"), Operand::Lent(cursor), lend("COUNT"), own(count), lend("MATCH")];
            scan.into_iter().chain([Operand::Lent(pattern)]).collect()
        }
    };
    Words { words, before_key: NO_KEY }
}

/// A command about no key.
const NO_KEY: usize = usize::MAX;

/// A pattern's part that means itself.
fn literal(text: &str) -> Vec<u8> {
    let marked = text.bytes().flat_map(|byte| match byte {
        b'*' | b'?' | b'[' | b']' | b'\\' => vec![b'\\', byte],
        _ => vec![byte],
    });
    marked.collect()
}

fn reversed<'a>(descending: bool) -> Option<Operand<'a>> {
    descending.then(|| lend("REV"))
}

/// A bound that is not included.
fn open<'a>(text: &[u8]) -> Operand<'a> {
    Operand::Made([b"(", text].concat())
}

fn stream(streaming: &Streaming) -> Words<'_> {
    let bytes = |bytes| Operand::Lent(bytes);
    let places = |places: &[Place]| places.iter().map(|at| place(*at)).collect::<Vec<_>>();
    match streaming {
        Streaming::Add { fields, place: at, keep } => {
            let limit = keep.map(|keep| [lend("MAXLEN"), lend("~"), own(keep)]).into_iter().flatten();
            let at = at.map_or_else(|| lend("*"), place);
            named("XADD", limit.chain([at]).chain(pairs(fields)))
        }
        Streaming::Range { from, to, count, descending } => {
            let count = [lend("COUNT"), own(count)];
            let (from, to) = (place(*from), if *to == LAST_PLACE { lend("+") } else { place(*to) });
            if *descending {
                named("XREVRANGE", [to, from].into_iter().chain(count))
            } else {
                named("XRANGE", [from, to].into_iter().chain(count))
            }
        }
        Streaming::Len => named("XLEN", []),
        Streaming::Drop(at) => named("XDEL", places(at)),
        Streaming::GroupMake { group, after } => {
            let after = after.map_or_else(|| lend("$"), place);
            named_twice("XGROUP", "CREATE", [bytes(group), after, lend("MKSTREAM")])
        }
        Streaming::GroupEnd { group } => named_twice("XGROUP", "DESTROY", [bytes(group)]),
        Streaming::GroupRead { group, consumer, count } => {
            let front = [lend("XREADGROUP"), lend("GROUP"), bytes(group), bytes(consumer)];
            let rest = [lend("COUNT"), own(count), lend("STREAMS"), lend(">")];
            Words { words: front.into_iter().chain(rest).collect(), before_key: 7 }
        }
        Streaming::Acknowledge { group, places: at } => {
            named("XACK", [bytes(group)].into_iter().chain(places(at)))
        }
        Streaming::Pending { group, idle_ms, from, count, consumer } => {
            let range = [bytes(group), lend("IDLE"), own(idle_ms), place(*from), lend("+"), own(count)];
            named("XPENDING", range.into_iter().chain(consumer.as_deref().map(Operand::Lent)))
        }
        Streaming::Claim { group, consumer, idle_ms, places: at } => {
            let who = [bytes(group), bytes(consumer), own(idle_ms)];
            named("XCLAIM", who.into_iter().chain(places(at)))
        }
        Streaming::Groups => named_twice("XINFO", "GROUPS", []),
        Streaming::Consumers { group } => named_twice("XINFO", "CONSUMERS", [bytes(group)]),
        Streaming::ConsumerEnd { group, consumer } => {
            named_twice("XGROUP", "DELCONSUMER", [bytes(group), bytes(consumer)])
        }
        // The script's own: the second key stands behind the first.
        Streaming::Settle { group, places: at, .. } => {
            named("settle", [bytes(group)].into_iter().chain(places(at)))
        }
        Streaming::Mend { group, .. } => named("mend", [bytes(group)]),
    }
}

/// The second key of a command that only the script can do.
fn second(command: &Command) -> Option<&Key> {
    match command {
        Command::Stream(streaming) => streaming.floors(),
        _ => None,
    }
}

/// Every command of a transaction in the order of its answers.
fn all(txn: &Txn) -> impl Iterator<Item = (&Key, &Command)> {
    let done = txn.effects.iter().filter_map(|effect| match effect {
        Effect::Try { key, command } => Some((key, command)),
        _ => None,
    });
    done.chain(asked(&txn.queries))
}

fn asked(queries: &[Query]) -> impl Iterator<Item = (&Key, &Command)> {
    queries.iter().filter_map(|query| match query {
        Query::Ask { key, command } => Some((key, command)),
        _ => None,
    })
}

/// One plain command, a `MULTI`, or the script where something is checked first.
pub(super) fn encode(txn: &Txn, keys: &Keys, requests: &mut Requests) -> Result<Encoded> {
    let only = |effect: &Effect| matches!(effect, Effect::Try { command, .. } if !matches!(command, Command::Line(_)));
    let asks = |query: &Query| matches!(query, Query::Ask { .. });
    if !txn.effects.iter().all(only) || !txn.queries.iter().chain(&txn.witness).all(asks) {
        return Err(Error::internal("commands stand in transactions of their own"));
    }
    if !txn.checks.is_empty() || txn.noted.is_some() || all(txn).any(|(_, command)| second(command).is_some())
    {
        let form = script(txn, keys, [b"EVALSHA", script_sha().as_bytes()], requests);
        return Ok(Encoded { form, hints: false });
    }
    let single = all(txn).count() == 1;
    if !single {
        requests.request(&[b"MULTI"]);
    }
    for (key, command) in all(txn) {
        let Words { mut words, before_key } = words(command);
        if let (Command::Server(Server::Names { space, pattern, .. }), Some(last)) =
            (command, words.last_mut())
        {
            let whole = [&*literal(&keys.front(*space)), pattern].concat();
            *last = own(String::from_utf8_lossy(&whole));
        }
        requests.begin(words.len() + usize::from(before_key != NO_KEY));
        for (index, word) in words.iter().enumerate() {
            if index == before_key {
                requests.part(keys.spell(txn.partition, key));
            }
            requests.part(word);
        }
        if before_key == words.len() {
            requests.part(keys.spell(txn.partition, key));
        }
    }
    if !single {
        requests.request(&[b"EXEC"]);
    }
    let form = if single { Form::Plain } else { Form::Multi { effects: 0 } };
    Ok(Encoded { form, hints: false })
}

/// The same with the script's whole text, for a server that does not have it.
pub(super) fn encode_with_text(txn: &Txn, keys: &Keys, requests: &mut Requests) {
    script(txn, keys, [b"EVAL", SCRIPT.as_bytes()], requests);
}

fn script_sha() -> &'static str {
    static SHA: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    SHA.get_or_init(|| sha1_smol::Sha1::from(SCRIPT).digest().to_string())
}

/// The script's program; keys are named by their index.
#[derive(Default)]
struct Program<'a> {
    keys: Vec<&'a Key>,
    args: Vec<Operand<'a>>,
}

impl<'a> Program<'a> {
    fn key(&mut self, key: &'a Key) -> Operand<'a> {
        let known = self.keys.iter().position(|other| *other == key);
        let index = known.unwrap_or_else(|| {
            self.keys.push(key);
            self.keys.len() - 1
        });
        own(index + 1)
    }

    fn check(&mut self, check: &'a Check) {
        let (op, key, operands) = match check {
            Check::Absent { key, field } => ("A", key, [lend(field), lend("")]),
            Check::Present { key, field } => ("P", key, [lend(field), lend("")]),
            Check::Begins { key, field, with } => ("B", key, [lend(field), lend(with)]),
            Check::Holds { key, text } => ("T", key, [Operand::Lent(text), lend("")]),
            Check::Gone { key } => ("N", key, [lend(""), lend("")]),
            Check::Idle { key, group, consumer } => ("I", key, [lend(group), lend(consumer)]),
            // Only beside effects on records: here they never hold.
            Check::Due { key, .. } | Check::Clear { key, .. } | Check::Last { key, .. } => {
                ("B", key, [lend("\0"), lend("\0")])
            }
        };
        let key = self.key(key);
        self.args.extend([lend(op), key]);
        self.args.extend(operands);
    }

    fn command(&mut self, (key, command): (&'a Key, &'a Command)) {
        let Words { mut words, before_key } = words(command);
        let key = self.key(key);
        words.insert(before_key.min(words.len()), key);
        if let Some(second) = second(command) {
            words.insert(before_key + 1, self.key(second));
        }
        self.args.extend([own(words.len()), own(before_key + 1)]);
        self.args.extend(words);
    }
}

fn script(txn: &Txn, keys: &Keys, [how, what]: [&[u8]; 2], requests: &mut Requests) -> Form {
    let mut program = Program::default();
    txn.checks.iter().for_each(|check| program.check(check));
    let witness = program.args.len();
    asked(&txn.witness).for_each(|command| program.command(command));
    let done = program.args.len();
    all(txn).for_each(|command| program.command(command));
    let count = program.keys.len() + usize::from(txn.noted.is_some());
    requests.begin(3 + count + 4 + program.args.len()).part(how).part(what);
    requests.number(count);
    for key in &program.keys {
        requests.part(keys.spell(txn.partition, key));
    }
    // Its answer is kept under the last key.
    let noted = txn.noted.as_ref();
    if let Some(noted) = noted {
        requests.part(keys.spell_note(txn.partition, txn.first_key(), noted));
    }
    // Places in ARGV count from 1, behind these four.
    requests.number(witness + 5).number(done + 5);
    requests.part(noted.map_or("", |noted| noted.note.as_str()));
    requests.part(noted.map_or(String::new(), |noted| note_life_ms(noted).to_string()));
    for arg in &program.args {
        requests.part(arg);
    }
    Form::Script
}
