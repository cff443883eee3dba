//! The backend on Redis 6.2 or later, or Valkey: transactions as requests, replies as outcomes. The bytes are carried by a
//! [`Link`].

mod decode;
mod encode;
mod keys;
mod link;
mod mux;
mod resp;
#[cfg(feature = "redis-crate")]
mod with_crate;

use std::sync::Arc;

pub use link::{Call, Link, Replies};
pub use mux::{Access, Mux, Want};
pub use resp::{Requests, Value};
#[cfg(feature = "redis-crate")]
pub use with_crate::WithCrate;

use crate::backend::{Backend, Info};
use crate::error::Result;
use crate::run::Run;
use crate::txn::{Outcome, Txn};

use decode::decode;
use encode::{encode, encode_with_text};
use keys::Keys;

/// Runs transactions on a server.
///
/// *Atomicity*: a transaction is one command, one `MULTI` or one script. *Round trips*: one; a second one
/// only when the server has forgotten the script.
pub struct Redis {
    link: Arc<dyn Link>,
    keys: Keys,
}

impl Redis {
    /// # Errors
    /// `STORAGE_CONFIG` when the prefix has braces or more than 64 code points.
    pub fn new(link: Arc<dyn Link>, prefix: &str) -> Result<Self> {
        Ok(Self { link, keys: Keys::new(prefix)? })
    }

    /// The requests that a transaction becomes, for tests of what is sent.
    ///
    /// # Errors
    /// `STORAGE_INTERNAL` for a transaction that names no key.
    pub fn requests(&self, txn: &Txn) -> Result<Requests> {
        encode(txn, &self.keys).map(|encoded| encoded.requests)
    }
}

impl Backend for Redis {
    fn run(&self, txn: Txn) -> Run<Result<Outcome>> {
        let encoded = match encode(&txn, &self.keys) {
            Ok(encoded) => encoded,
            Err(error) => return Run::now(Err(error)),
        };
        let (link, keys, form) = (Arc::clone(&self.link), self.keys.clone(), encoded.form);
        let (writes, deadline) = (!txn.is_read(), txn.deadline);
        // Handed to the link at once, so that transactions leave in the order in which they were run.
        let first = link.call(Call { requests: encoded.requests, writes, deadline });
        Run::later(async move {
            let mut replies = first.await?;
            if matches!(replies.as_slice(), [Value::Error(text)] if text.starts_with("NOSCRIPT")) {
                let requests = encode_with_text(&txn, &keys)?.requests;
                replies = link.call(Call { requests, writes, deadline }).await?;
            }
            decode(&txn, form, replies)
        })
    }

    fn info(&self) -> Info {
        Info { kind: "redis", immediate: false }
    }
}
