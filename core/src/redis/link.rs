//! What carries requests to a server and replies back.

use std::future::Future;
use std::pin::Pin;

use super::resp::{Requests, Value};
use crate::clock::Timestamp;
use crate::error::Result;

/// Replies to come.
pub type Replies = Pin<Box<dyn Future<Output = Result<Vec<Value>>> + Send>>;

/// What is to be carried.
#[derive(Debug)]
pub struct Call {
    pub requests: Requests,
    /// Whether it changes something: then a lost answer means an unknown outcome.
    pub writes: bool,
    pub deadline: Timestamp,
}

/// Carries calls over one connection, in order.
///
/// The replies of a call come together, or an error by its deadline. *Errors*: `STORAGE_UNAVAILABLE` and
/// `STORAGE_TIMEOUT`, whose effect is known to be none for a call that was never sent.
pub trait Link: Send + Sync {
    fn call(&self, call: Call) -> Replies;
}
