//! Commands on plain values as the server's own, and what it answers.

use std::sync::Arc;

use super::operand::{Operand, Operands, lend, own};
use super::resp::Value;
use crate::command::{Command, Data, Line, When};
use crate::error::{Error, Result};
use crate::txn::Until;

/// What stands beside a line: those that are lent, when their time is over, how often they were lent, those that are dead,
/// that it is closed. The script counts on this order.
pub(super) const LINE_COMPANIONS: [&str; 5] = ["leases", "ends", "times", "dead", "closed"];

/// The server's command with its operands behind the key; nothing for what needs the script.
pub(super) fn plain_command(command: &Command) -> Option<(&'static str, Operands<'_>)> {
    Some(match command {
        Command::Delete => ("UNLINK", Vec::new()),
        Command::Exists => ("EXISTS", Vec::new()),
        Command::Get => ("GET", Vec::new()),
        Command::Set { value, until, when } => {
            let mut operands = vec![Operand::Lent(value)];
            if let Until::At(at) = until {
                operands.extend([lend("PXAT"), own(at.0)]);
            }
            match when {
                When::Always => {}
                When::Absent => operands.push(lend("NX")),
                When::Present => operands.push(lend("XX")),
            }
            ("SET", operands)
        }
        // Those of `plain.rs`, and those that need the script.
        _ => return None,
    })
}

/// The script's word for it, and its operands.
pub(super) fn line_command(line: &Line) -> (&'static str, Operands<'_>) {
    let flag = |holds: bool| lend(if holds { "1" } else { "0" });
    match line {
        Line::Put { text, most } => ("put", vec![Operand::Lent(text), most.map_or(lend(""), own)]),
        Line::Take { leases, ms, limit } => {
            let terms = [own(ms), own(limit)];
            ("take", terms.into_iter().chain(leases.iter().map(|lease| lend(lease))).collect())
        }
        Line::Settle { leases } => ("settle", leases.iter().map(|lease| lend(lease)).collect()),
        Line::GiveBack { lease, counts, limit } => ("back", vec![lend(lease), own(limit), flag(*counts)]),
        Line::Bury { lease } => ("bury", vec![lend(lease)]),
        Line::Extend { lease, ms } => ("extend", vec![lend(lease), own(ms)]),
        Line::Count => ("count", Vec::new()),
        Line::Close { closed } => ("close", vec![flag(*closed)]),
        Line::Dead { skip, limit } => {
            let (first, last) = (*skip.min(&A_LOT), skip.saturating_add(*limit).min(A_LOT));
            // Nothing is before the first: an end of -1 would be the last one.
            if *limit == 0 {
                ("dead", vec![own(1), own(0)])
            } else {
                ("dead", vec![own(first), own(last - 1)])
            }
        }
        Line::Revive { count } => ("revive", vec![own(count)]),
    }
}

/// More than any list holds.
const A_LOT: u64 = 1 << 53;

/// What the server answered.
pub(super) fn data(value: Value) -> Result<Data> {
    Ok(match value {
        Value::Nil => Data::Nil,
        Value::Int(number) => Data::Int(number),
        Value::Status(_) => Data::Int(1),
        Value::Text(text) => Data::Bytes(Arc::<str>::from(text).into()),
        Value::Bytes(bytes) => Data::Bytes(bytes.into()),
        Value::Array(items) => Data::List(items.into_iter().map(data).collect::<Result<_>>()?),
        Value::Error(text) => return Err::<Data, Error>(super::decode::refusal(&text)),
    })
}
