//! What is asked of a Cluster as a whole: of its masters one after the other, or of all of them.

use super::line::Lines;
use super::nodes::Nodes;
use crate::error::Result;
use crate::redis::cluster::Place;
use crate::redis::link::{Call, Replies};
use crate::redis::resp::{self, Requests, Value, Values};

/// More than the masters of any Cluster: a cursor of the whole is one of a master times this, and the master's place.
const MASTERS: u128 = 1_024;

/// The replies to a question about the whole; nothing for any other.
pub(super) fn ask(nodes: &Nodes, lines: &Lines, call: Call<'_>) -> Option<Replies> {
    let bytes = &call.requests.bytes;
    if !bytes.starts_with(b"*6\r\n$4\r\nSCAN\r\n") && bytes != b"*1\r\n$6\r\nDBSIZE\r\n" {
        return None;
    }
    let places = nodes.masters();
    if places.is_empty() {
        // Until the map is there: what is refused so comes again.
        let refusal = Value::Error("CLUSTERDOWN the masters are not known yet".to_owned());
        return Some(Replies::now(Ok([refusal].into())));
    }
    if bytes.starts_with(b"*1") {
        let sizes = places.iter().map(|place| nodes.mux(lines, place).call(call)).collect();
        return Some(Replies::later(sum(sizes)));
    }
    Some(scan(nodes, lines, call, &places))
}

async fn sum(sizes: Vec<Replies>) -> Result<Values> {
    let mut sum = 0i64;
    for size in sizes {
        match size.await?.pop() {
            Some(Value::Int(size)) => sum = sum.saturating_add(size),
            other => return Ok(other.into_iter().collect()),
        }
    }
    Ok([Value::Int(sum)].into())
}

fn scan(nodes: &Nodes, lines: &Lines, call: Call<'_>, places: &[Place]) -> Replies {
    let parts = match resp::read(&call.requests.bytes) {
        Ok(Some((Value::Array(parts), _))) => parts,
        _ => Vec::new(),
    };
    let texts: Vec<_> = parts.iter().map(|part| part.as_bytes().unwrap_or_default()).collect();
    let cursor: u128 =
        texts.get(1).and_then(|text| std::str::from_utf8(text).ok()?.parse().ok()).unwrap_or_default();
    let (at, cursor) = (cursor % MASTERS, (cursor / MASTERS).to_string());
    let place = usize::try_from(at).ok().and_then(|at| places.get(at));
    let Some(mux) = place.map(|place| nodes.mux(lines, place)) else {
        let end = Value::Array(vec![Value::bulk(b"0"), Value::Array(Vec::new())]);
        return Replies::now(Ok([end].into()));
    };
    let mut requests = Requests::default();
    requests.begin(texts.len());
    for (index, text) in texts.iter().enumerate() {
        requests.part(if index == 1 { cursor.as_bytes() } else { text });
    }
    Replies::later(page(mux.call(Call { requests: &requests, ..call }), at, places.len()))
}

/// A page of one master, with the cursor of the whole.
async fn page(replies: Replies, at: u128, masters: usize) -> Result<Values> {
    let mut replies = replies.await?;
    if let Some(Value::Array(parts)) = replies.last_mut()
        && let Some(Value::Text(cursor)) = parts.first_mut()
    {
        let next = match cursor.parse::<u128>().unwrap_or_default() {
            0 if at + 1 < masters as u128 => at + 1,
            0 => 0,
            more => more * MASTERS + at,
        };
        *cursor = next.to_string().into();
    }
    Ok(replies)
}
