//! A circuit breaker as JavaScript holds it: asked before a call, told after it, without a round trip; or, with leave in
//! advance, not asked at all, and told of some calls at a time.

use std::cell::RefCell;
use std::sync::Arc;

use flowkeep_core::breaker::{Ahead, Begun, Breaker, Ended, Rejection};
use flowkeep_core::operation::Operation;
use flowkeep_core::schema::Input;
use flowkeep_core::storage::{BreakerDesk, metrics_json, open_error, permit_number, permit_of};
use napi_derive::napi;

use crate::guarded;
use crate::native::NativeStorage;

/// What `begin` answers instead of a permit: not let through, and that only the store can say.
const REJECTED: f64 = -1.0;
const ASK_STORE: f64 = -2.0;
/// Bits of the answer of `end`: there are transitions to be told, the store should hear of it now.
const TOLD: u32 = 1;
const URGENT: u32 = 2;

/// A typed array of JavaScript that leave in advance is written into: results that may be noted, 0 for no such leave;
/// for how many ms calls may begin, infinite while nothing else happens.
type Leave<'a> = &'a mut [f64];

/// A circuit breaker.
#[napi]
pub struct NativeBreaker {
    breaker: Arc<Breaker>,
    rejection: RefCell<Option<Rejection>>,
}

/// Opens the breaker that a configuration names.
pub fn open(desk: &BreakerDesk, config: &str, tagged: bool) -> napi::Result<NativeBreaker> {
    let breaker = desk.open(Input { text: config, tagged });
    let breaker =
        breaker.map_err(|error| napi::Error::from_reason(format!("!{}", error.to_json("breakers.get"))))?;
    Ok(NativeBreaker { breaker, rejection: RefCell::default() })
}

#[napi]
impl NativeBreaker {
    /// Its number: the id of the calls about it.
    #[napi(getter)]
    pub fn number(&self) -> u32 {
        self.breaker.number
    }

    /// Asks for leave to make a call: a permit's number, -1 when it is not let through, -2 when only the store knows.
    /// `leave` tells whether others may be made with the same permit without asking.
    #[napi(ts_args_type = "leave: Float64Array")]
    pub fn begin(&self, leave: Leave<'_>) -> f64 {
        write(leave, None);
        guarded::or_default(|| match self.breaker.begin() {
            Begun::Admitted(permit) => {
                write(leave, self.breaker.ahead());
                permit_number(permit) as f64
            }
            Begun::Rejected(rejection) => {
                self.rejection.replace(Some(rejection));
                REJECTED
            }
            Begun::AskStore => ASK_STORE,
        })
    }

    /// The error of the call that was not let through last.
    #[napi]
    pub fn refusal(&self) -> String {
        let rejection = self.rejection.take();
        rejection.map_or_else(String::new, |rejection| {
            guarded::failed(Some(Operation::BreakerAcquire), &open_error(&self.breaker, rejection))
        })
    }

    /// Finishes a call that was let through. Bits: 1 there are transitions to be told, 2 the store should hear of it
    /// now.
    #[napi]
    pub fn end(&self, permit: f64, failed: bool, took_ms: f64) -> u32 {
        guarded::or_default(|| bits(self.breaker.end(permit_of(number(permit)), failed, took_ms)))
    }

    /// Tells what was noted with leave in advance: so many calls began, and those that ended well, at the first `count`
    /// of `times`, which are in ms by a clock that says `now`. The same bits, and `leave` as `begin` tells it.
    #[napi(
        ts_args_type = "permit: number, begun: number, times: Float64Array, count: number, now: number, leave: Float64Array"
    )]
    pub fn noted(
        &self,
        permit: f64,
        begun: u32,
        times: &[f64],
        count: u32,
        now: f64,
        leave: Leave<'_>,
    ) -> u32 {
        write(leave, None);
        guarded::or_default(|| {
            let times = times.iter().take(count as usize);
            // An age is rounded up: no result counts as later than it was.
            let ages = times.map(|time| number((now - time).ceil()));
            let bits = bits(self.breaker.noted(permit_of(number(permit)), begun, ages));
            write(leave, self.breaker.ahead());
            bits
        })
    }

    /// Ends a call that was let through without a result. The same bits.
    #[napi]
    pub fn release(&self, permit: f64) -> u32 {
        guarded::or_default(|| bits(self.breaker.release(permit_of(number(permit)))))
    }

    /// The caller's own rule says that it should open. The same bits.
    #[napi]
    pub fn trip(&self) -> u32 {
        guarded::or_default(|| bits(self.breaker.trip()))
    }

    /// What was counted, as far as is known here, as JSON.
    #[napi]
    pub fn metrics(&self) -> String {
        guarded::text(Some(Operation::BreakerMetrics), || metrics_json(&self.breaker.standing()))
    }
}

fn write(leave: Leave<'_>, ahead: Option<Ahead>) {
    let [results, valid_ms, ..] = leave else { return };
    *results = ahead.map_or(0.0, |ahead| ahead.results.into());
    *valid_ms = ahead.and_then(|ahead| ahead.valid_ms).map_or(f64::INFINITY, |ms| ms as f64);
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is meant")]
fn number(permit: f64) -> u64 {
    permit as u64
}

fn bits(ended: Ended) -> u32 {
    (if ended.told { TOLD } else { 0 }) | (if ended.urgent { URGENT } else { 0 })
}

#[napi]
impl NativeStorage {
    /// The breaker that a configuration names; one that is there already keeps its state. Throws as the constructor.
    #[napi]
    pub fn breaker(&self, config: String, tagged: bool) -> napi::Result<NativeBreaker> {
        open(self.storage.breakers(), &config, tagged)
    }

    /// Whether other processes share its breakers.
    #[napi(getter)]
    pub fn shares_breakers(&self) -> bool {
        self.storage.breakers().is_shared()
    }

    /// Keeps changes for an audit from now on, at most so many.
    #[napi]
    pub fn keep_changes(&self, limit: u32) {
        guarded::or_default(|| self.storage.breakers().keep_changes(limit as usize));
    }

    /// Changes that the audit has not got: a JSON array of number, stamp, id and entry.
    #[napi]
    pub fn changes(&self) -> String {
        guarded::text(None, || self.storage.breakers().changes())
    }

    /// The audit has the changes up to this number.
    #[napi]
    pub fn changes_done(&self, last: f64) {
        guarded::or_default(|| self.storage.breakers().changes_done(number(last)));
    }

    /// Transitions of breakers that were not told yet: a JSON array of pairs, number and transition.
    #[napi]
    pub fn told(&self) -> String {
        guarded::text(None, || self.storage.breakers().told())
    }
}
