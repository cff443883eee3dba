//! Logged requests as they come.

use super::super::marked::quoted;
use super::{live_key, partition};
use crate::backend::{Awaited, Wait};
use crate::command::{Command, Data};
use crate::error::{Error, Result};
use crate::key::Key;
use crate::schema::{Issue, LogSpan, PathItem};
use crate::stores::{Call, Stores, invalid};
use crate::streaming::{LAST_PLACE, Place, Streaming, place_text, read_place};
use crate::txn::Position;

/// Records of one page.
const A_PAGE: u64 = 256;
/// A waiter looks again this often.
const LOOK_AGAIN_MS: u64 = 1_000;
/// A pause while the backend is away.
const PAUSE_MS: u64 = 250;

fn odd() -> Error {
    Error::internal("the live records were answered by something else")
}

/// A place and what stands there.
fn entry(data: &Data) -> Result<(Place, String)> {
    let Data::List(parts) = data else { return Err(odd()) };
    let [at, Data::List(fields)] = parts.as_slice() else { return Err(odd()) };
    let place = super::search::text(at).and_then(|text| read_place(&text)).ok_or_else(odd)?;
    Ok((place, fields.get(1).and_then(super::search::text).ok_or_else(odd)?))
}

impl Stores {
    /// What is logged behind a place: a page, or a wait for one. Without a place, the present end, at once. Trouble that
    /// passes is waited out. *Round trips*: one, and two for each second that it waits.
    pub async fn log_follow(&self, span: &LogSpan, patience_ms: u64) -> Result<String> {
        let after =
            match span.after.as_deref() {
                None => None,
                Some(text) => Some(read_place(text).ok_or_else(|| {
                    invalid(vec![Issue::custom(&[PathItem::from("after")], "Invalid cursor")])
                })?),
            };
        loop {
            let call = Call { deadline: self.clock.now().plus_ms(patience_ms) };
            match self.log_follow_once(call, after).await {
                Ok(Some(page)) => return Ok(page),
                Ok(None) => {}
                Err(error) if error.retryable => self.timers.sleep_ms(PAUSE_MS).await,
                Err(error) => return Err(error),
            }
        }
    }

    async fn log_follow_once(&self, call: Call, after: Option<Place>) -> Result<Option<String>> {
        let key: Key = live_key();
        let (from, count, descending) = match after {
            None => ((0, 0), 1, true),
            Some((ms, number)) => ((ms, number.saturating_add(1)), A_PAGE, false),
        };
        let range = Streaming::Range { from, to: LAST_PLACE, count, descending };
        let Some(Data::List(found)) =
            self.on_log(call, vec![(key.clone(), Command::Stream(range))]).await?.pop()
        else {
            return Err(odd());
        };
        let found: Vec<(Place, String)> = found.iter().map(entry).collect::<Result<_>>()?;
        let last = found.last().map(|(place, _)| *place);
        match (after, last) {
            (None, last) => Ok(Some(page(&[], last.unwrap_or((0, 0))))),
            (Some(_), Some(last)) => {
                let records: Vec<String> = found.into_iter().map(|(_, record)| record).collect();
                Ok(Some(page(&records, last)))
            }
            (Some((ms, number)), None) => {
                let until = Awaited::Entries { after: Position(ms, number) };
                let deadline = self.clock.now().plus_ms(LOOK_AGAIN_MS);
                self.backend.wait(Wait { partition: partition(), key, until, deadline }).await?;
                Ok(None)
            }
        }
    }
}

fn page(records: &[String], at: Place) -> String {
    format!("{{\"items\":[{}],\"cursor\":{}}}", records.join(","), quoted(&place_text(at)))
}
