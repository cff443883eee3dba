//! What is sent once more, below the deadline, so that no caller sees it: what a server refused since it is loading, is no
//! master, or is not the one to ask, and what certainly never reached it.

use super::link::Link;
use super::resp::{Value, Values};
use crate::clock::Timestamp;
use crate::error::{Code, Effect, Error, Result};

/// The first pause; it doubles up to the longest.
const FIRST_PAUSE_MS: u64 = 10;
const LONGEST_PAUSE_MS: u64 = 100;
/// So many redirections are followed at once; then they come with pauses, too.
const AT_ONCE: u32 = 5;

/// How a transaction is sent once more.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Once {
    /// As it was.
    More,
    /// With the script's text: this server does not have it.
    WithText,
    /// Announced by `ASKING`, to this place.
    To(String),
}

/// One transaction's tries.
pub(super) struct Again {
    deadline: Timestamp,
    redirections: u32,
    pauses: u32,
}

impl Again {
    pub fn new(deadline: Timestamp) -> Self {
        Self { deadline, redirections: 0, pauses: 0 }
    }

    /// How it is sent once more, after a pause where one helps; nothing when the answer stands.
    pub async fn after(&mut self, link: &dyn Link, answer: &Result<Values>) -> Option<Once> {
        let (once, at_once) = match answer {
            Ok(replies) => self.refused(link, replies)?,
            Err(error) if never_arrived(error) => (Once::More, false),
            Err(_) => return None,
        };
        if !at_once {
            let pause = (FIRST_PAUSE_MS << self.pauses.min(8)).min(LONGEST_PAUSE_MS);
            self.pauses += 1;
            let until = link.now().plus_ms(pause);
            if until >= self.deadline {
                return None;
            }
            link.sleep_until(until).await;
        }
        (link.now() < self.deadline).then_some(once)
    }

    fn refused(&mut self, link: &dyn Link, replies: &[Value]) -> Option<(Once, bool)> {
        let text = replies.iter().find_map(|reply| match reply {
            Value::Error(text) => Some(text.as_str()),
            _ => None,
        })?;
        match text.split(' ').next().unwrap_or_default() {
            "NOSCRIPT" => return Some((Once::WithText, self.is_early())),
            "ASK" => {
                let place = text.split(' ').nth(2)?.to_owned();
                return Some((Once::To(place), self.is_early()));
            }
            "MOVED" => {
                link.heed(text);
                return Some((Once::More, self.is_early()));
            }
            "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "READONLY" | "TRYAGAIN" | "BUSY" => {}
            // How Redis 6 tells what a script's first write met.
            _ if text.contains("-READONLY") => {}
            _ => return None,
        }
        link.heed(text);
        Some((Once::More, false))
    }

    fn is_early(&mut self) -> bool {
        self.redirections += 1;
        self.redirections <= AT_ONCE
    }
}

/// Nothing of it was applied: it was not sent, or it only asks.
fn never_arrived(error: &Error) -> bool {
    error.code == Code::Unavailable && error.retryable && error.effect == Effect::NotApplied
}
