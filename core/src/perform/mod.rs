//! How each operation is performed: its arguments judged together, then one call of a store. One file for each area
//! of [`crate::operation`].

mod breakers;
mod caches;
mod collections;
mod feed;
mod kv;
mod life;
mod queues;
mod records;
mod request_log;
mod resilience;
mod services;
#[cfg(feature = "sql")]
mod sql;
mod streams;

pub use breakers::{BreakerDesk, metrics_json, open_error, permit_number, permit_of};
#[cfg(feature = "sql")]
pub use sql::SqlDesk;

use crate::clock::Timestamp;
use crate::error::Result;
use crate::stores::Bound;

/// The answer of what has nothing to tell.
fn nothing(answer: Result<()>) -> Result<String> {
    answer.map(|()| String::new())
}

/// A list of records.
fn list(answer: Result<Vec<String>>) -> Result<String> {
    answer.map(|items| format!("[{}]", items.join(",")))
}

/// An end of a range of events: a date in ISO form, else an event's id.
fn bound(text: String) -> Bound {
    Timestamp::parse(&text).map_or(Bound::Event(text), Bound::At)
}
