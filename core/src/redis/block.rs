//! Waits: commands that the server answers when there is something, and that take nothing.

use super::decode::refusal;
use super::keys::Keys;
use super::link::{Call, Link};
use super::resp::{Requests, Value};
use crate::backend::{Awaited, Wait};
use crate::clock::Timestamp;
use crate::error::{Code, Effect, Error, Result};
use crate::timer::unless;

/// The longest that one command waits: a connection that died without a word is found after it.
const LONGEST_MS: u64 = 5_000;
/// How much later than it should a server's answer may come.
const LATE_MS: u64 = 1_000;
/// Between two tries on a server that does not answer.
const PAUSE_MS: u64 = 50;

/// So many redirections in a row are followed at once; then they come with pauses, too.
const AT_ONCE: u32 = 5;

/// How one command's wait ended.
enum Ended {
    /// There is something.
    Something,
    Nothing,
    /// Another node is to be asked: where `ASKING` opens the door, this one for this once.
    Elsewhere(Option<String>),
}

/// Waits until there is something, or until the deadline.
pub(super) async fn wait(link: &dyn Link, keys: &Keys, wait: Wait) -> Result<bool> {
    let mut failed = None;
    let tries = async {
        let (mut asked, mut redirections) = (None, 0);
        loop {
            match once(link, keys, &wait, asked.take().as_deref()).await {
                Ok(Ended::Something) => return Ok(true),
                Ok(Ended::Nothing) => (failed, redirections) = (None, 0),
                // A node answered: it is there, and knows who has the slot.
                Ok(Ended::Elsewhere(place)) => {
                    (failed, asked) = (None, place);
                    redirections += 1;
                    if redirections > AT_ONCE {
                        link.sleep_until(link.now().plus_ms(PAUSE_MS)).await;
                    }
                }
                Err(error) if error.retryable && error.code != Code::Closed => {
                    failed = Some(error);
                    link.sleep_until(link.now().plus_ms(PAUSE_MS)).await;
                }
                Err(error) => return Err(error),
            }
            if link.now() >= wait.deadline {
                return Ok(false);
            }
        }
    };
    let answer = unless(link.sleep_until(wait.deadline.plus_ms(GRACE_MS)), tries).await;
    match (answer, failed) {
        (Some(Ok(false)) | None, Some(error)) => Err(error),
        (Some(answer), _) => answer,
        (None, None) => Ok(false),
    }
}

/// The server's own end of the wait comes first, if it comes at all: the connection then serves the next one.
const GRACE_MS: u64 = 30;

async fn once(link: &dyn Link, keys: &Keys, wait: &Wait, asked: Option<&str>) -> Result<Ended> {
    let now = link.now();
    let ms = wait.deadline.0.saturating_sub(now.0).clamp(1, LONGEST_MS);
    let deadline = Timestamp(now.0 + ms + LATE_MS);
    let requests = command(keys, wait, ms);
    let replies =
        link.call(Call { requests: &requests, writes: false, deadline, blocking: true, asked }).await?;
    // The answer to `ASKING` comes in front.
    match replies.last() {
        Some(Value::Nil) => Ok(Ended::Nothing),
        // The server took us out of a wait: it changes its role, say.
        Some(Value::Error(text)) if text.starts_with("UNBLOCKED") => {
            Err(Error::unavailable("Redis ended the wait", Effect::NotApplied))
        }
        Some(Value::Error(text)) if text.starts_with("ASK ") => {
            Ok(Ended::Elsewhere(text.split(' ').nth(2).map(str::to_owned)))
        }
        Some(Value::Error(text)) => {
            link.heed(text);
            if text.starts_with("MOVED ") { Ok(Ended::Elsewhere(None)) } else { Err(refusal(text)) }
        }
        Some(_) => Ok(Ended::Something),
        None => Err(Error::internal("no reply")),
    }
}

/// A list's first item is moved to where it is: that waits for one, and changes nothing.
fn command(keys: &Keys, wait: &Wait, ms: u64) -> Requests {
    let key = keys.spell(wait.partition, &wait.key);
    let mut requests = Requests::default();
    match wait.until {
        Awaited::Items => {
            let seconds = format!("{}.{:03}", ms / 1000, ms % 1000);
            let parts = ["BLMOVE", &key, &key, "LEFT", "LEFT", &seconds];
            requests.request(&parts.map(str::as_bytes));
        }
        Awaited::Entries { after } => {
            let (ms, after) = (ms.to_string(), format!("{}-{}", after.0, after.1));
            let parts = ["XREAD", "COUNT", "1", "BLOCK", &ms, "STREAMS", &key, &after];
            requests.request(&parts.map(str::as_bytes));
        }
    }
    requests
}
