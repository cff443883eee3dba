//! The backend on Redis 6.2 or later, or Valkey: transactions as requests, replies as outcomes. The bytes are carried by a
//! [`Link`].

mod again;
mod answers;
mod block;
mod cluster;
mod commands;
mod decode;
mod ear;
mod encode;
mod gather;
mod history;
mod keys;
mod link;
mod mux;
mod net;
mod operand;
mod plain;
mod plainness;
mod question;
mod record;
mod resp;
mod sentinel;
mod silence;
mod url;
#[cfg(feature = "redis-crate")]
mod with_crate;

use std::sync::{Arc, Mutex, PoisonError};

pub use ear::Hints;
pub use link::{Asked, Call, Link, Replies};
pub use mux::{Access, Look, Mux, Output, Want};
pub use net::{Errand, MAIN, Net};
pub use resp::{Pair, Requests, Value, Values};
pub use url::{Target, Topology};
#[cfg(feature = "redis-crate")]
pub use with_crate::WithCrate;

use crate::backend::{Backend, Failed, Glance, Info, Sight, Wait};
use crate::error::Result;
use crate::run::Run;
use crate::topic::{Subscription, Topic, Topics};
use crate::txn::{Outcome, Txn};

use again::{Again, Once};
use decode::decode;
use encode::{Encoded, encode, encode_with_text};
use keys::Keys;
use silence::Silence;

/// Runs transactions on a server.
///
/// *Atomicity*: a transaction is one command, one `MULTI` or one script. *Round trips*: one; a second one
/// only when the server has forgotten the script.
pub struct Redis {
    parts: Arc<Parts>,
    topics: Arc<Topics>,
}

/// What a transaction needs as long as it is under way.
struct Parts {
    link: Arc<dyn Link>,
    keys: Keys,
    silence: Silence,
    /// Where requests are written before they are handed to the link: room that need not be asked for each time.
    room: Mutex<Requests>,
}

impl Parts {
    fn with_room<T>(&self, write: impl FnOnce(&mut Requests) -> T) -> T {
        let mut requests = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        let written = write(&mut requests);
        requests.clear();
        requests.bytes.shrink_to(ROOM_KEPT);
        written
    }
}

/// Bytes of room that are kept.
const ROOM_KEPT: usize = 1 << 20;

impl Redis {
    /// # Errors
    /// `STORAGE_CONFIG` when the prefix has braces or more than 64 code points.
    pub fn new(link: Arc<dyn Link>, prefix: &str) -> Result<Self> {
        let keys = Keys::new(prefix)?.sharded(link.is_sharded());
        let (silence, room) = (Silence::default(), Mutex::default());
        Ok(Self { parts: Arc::new(Parts { link, keys, silence, room }), topics: Arc::default() })
    }

    /// The requests that a transaction becomes, for tests of what is sent.
    ///
    /// # Errors
    /// `STORAGE_INTERNAL` for a transaction that names no key.
    pub fn requests(&self, txn: &Txn) -> Result<Requests> {
        let mut requests = Requests::default();
        first_of(txn, &self.parts.keys, true, &mut requests).map(|_| requests)
    }
}

fn first_of(txn: &Txn, keys: &Keys, hinting: bool, requests: &mut Requests) -> Result<Encoded> {
    if txn.tries() { plain::encode(txn, keys, requests) } else { encode(txn, keys, hinting, requests) }
}

/// For a server that does not have the script.
fn again_of(txn: &Txn, keys: &Keys, requests: &mut Requests) -> Result<()> {
    if txn.tries() {
        plain::encode_with_text(txn, keys, requests);
        return Ok(());
    }
    encode_with_text(txn, keys, requests)
}

/// A transaction that was handed to the link.
struct Sent {
    parts: Arc<Parts>,
    first: Replies,
    encoded: Encoded,
}

impl Redis {
    /// Handed to the link at once, so that transactions leave in the order in which they were run.
    fn send(&self, txn: &Txn) -> Result<Sent> {
        let parts = Arc::clone(&self.parts);
        let (first, encoded) = parts.with_room(|requests| {
            let hinting = parts.silence.is_over(txn, &*parts.link);
            let encoded = first_of(txn, &parts.keys, hinting, requests)?;
            Ok((parts.call(txn, requests, None), encoded))
        })?;
        Ok(Sent { parts, first, encoded })
    }
}

impl Parts {
    /// `asked`: a place that the server named.
    fn call(&self, txn: &Txn, requests: &Requests, asked: Option<&str>) -> Replies {
        let (writes, deadline) = (!txn.is_read(), txn.deadline);
        self.link.call(Call { requests, writes, deadline, blocking: false, asked })
    }

    /// Sends it again, as the server's answer asks for; whether a hint goes with it.
    fn call_again(&self, txn: &Txn, once: &Once) -> Result<(Replies, bool)> {
        let (asked, with_text) = match once {
            Once::More => (None, false),
            Once::WithText => (None, true),
            Once::To(place) => (Some(place.as_str()), false),
        };
        self.with_room(|requests| {
            let hints = if with_text {
                again_of(txn, &self.keys, requests)?;
                false
            } else {
                first_of(txn, &self.keys, true, requests)?.hints
            };
            Ok((self.call(txn, requests, asked), hints))
        })
    }
}

impl Sent {
    async fn answer(self, txn: &Txn) -> Result<Outcome> {
        let Self { parts, first, encoded: Encoded { form, mut hints } } = self;
        let (mut replies, mut again) = (first.await, Again::new(txn.deadline));
        loop {
            // How many heard the hint, or that this user may not give any: the transaction stands either way.
            if let Ok(replies) = &mut replies
                && hints
                && replies.pop() == Some(Value::Int(0))
            {
                parts.silence.begin(txn, &*parts.link);
            }
            let Some(once) = again.after(&*parts.link, &replies).await else { break };
            let (sent, hinting) = parts.call_again(txn, &once)?;
            hints = hinting;
            replies = sent.await;
        }
        let replies = replies?;
        if txn.tries() {
            answers::decode(txn, form, &parts.keys, replies)
        } else {
            decode(txn, form, replies)
        }
    }
}

impl Backend for Redis {
    fn run(&self, txn: Txn) -> Run<Result<Outcome>> {
        match self.send(&txn) {
            Ok(sent) => Run::later(async move { sent.answer(&txn).await }),
            Err(error) => Run::now(Err(error)),
        }
    }

    fn attempt(&self, txn: Txn) -> Run<std::result::Result<Outcome, Box<Failed>>> {
        match self.send(&txn) {
            Ok(sent) => {
                Run::later(
                    async move { sent.answer(&txn).await.map_err(|error| Box::new(Failed { error, txn })) },
                )
            }
            Err(error) => Run::now(Err(Box::new(Failed { error, txn }))),
        }
    }

    fn glance(&self, glance: &Glance<'_>) -> bool {
        let Glance { partition, key, field, deadline, ticket, waker } = *glance;
        self.parts.with_room(|requests| {
            question::fields(requests, partition, key, &[field], &self.parts.keys);
            self.parts.link.glance(&Asked { requests, deadline, ticket, waker })
        })
    }

    fn look(&self, ticket: u32, see: &mut dyn FnMut(Sight<'_>)) {
        self.parts.link.look(ticket, &mut |look| see(decode::sight(&look)));
    }

    fn wait(&self, wait: Wait) -> Run<Result<bool>> {
        let parts = Arc::clone(&self.parts);
        Run::later(async move { block::wait(&*parts.link, &parts.keys, wait).await })
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        self.parts.link.listen(&Hints { keys: self.parts.keys.clone(), topics: Arc::clone(&self.topics) });
        self.topics.subscribe(&topic, |known| known && self.parts.link.hears())
    }

    fn info(&self) -> Info {
        Info { kind: "redis", immediate: false }
    }
}
