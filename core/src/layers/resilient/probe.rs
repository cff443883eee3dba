//! Asking whether the backend is back, while the breaker lets no call through.

use crate::breaker::{Mode, Permit};
use crate::clock::Timestamp;
use crate::error::{Code, Error, Result};
use crate::key::{Key, Partition, Space};
use crate::run::{Run, poll_now};
use crate::txn::{Outcome, Query, Txn};

use super::Core;

/// A probe reads this; nothing is ever there.
const NOTHING: Space = Space("probe");

/// The one probe that may be under way.
#[derive(Default)]
pub(super) struct Probe {
    /// The last failure said that there is no connection, or that the server is not ready. Then a probe may wait for the
    /// connection whatever time the breaker has set: it burdens nobody, and is there when the server is.
    unreachable: bool,
    flying: Option<(Option<Permit>, Run<Result<Outcome>>)>,
}

impl Probe {
    pub fn note(&mut self, error: &Error) {
        self.unreachable = error.code == Code::Unavailable;
    }
}

impl Core {
    /// Looks at the probe that is under way, and starts one when it is time.
    pub(super) fn ask(&self, now: Timestamp) {
        let mut probe = self.probe();
        if self.gate.look(now).0 == Mode::Closed {
            probe.flying = None;
            return;
        }
        if let Some((permit, mut run)) = probe.flying.take() {
            let Some(result) = poll_now(std::pin::Pin::new(&mut run)) else {
                probe.flying = Some((permit, run));
                return;
            };
            let permit = match (permit, &result) {
                // It waited for the connection, and the server answers: so it may be asked now.
                (None, Ok(_)) => {
                    self.gate.ready(now);
                    self.gate.probe(now).0
                }
                (permit, _) => permit,
            };
            let told = match (&result, permit) {
                (Ok(_), Some(permit)) => Some(self.gate.probed(permit, now)),
                (Err(error), permit) => {
                    probe.note(error);
                    permit.map(|permit| self.gate.failed(permit, now, 0.5))
                }
                _ => None,
            };
            if told.is_some_and(|told| told.mode == Mode::Closed) {
                return;
            }
        }
        let (permit, _) = self.gate.probe(now);
        if permit.is_some() || probe.unreachable {
            let deadline = now.plus_ms(self.policy.attempt_ms);
            let query = Query::record(Key::new(NOTHING, "probe"), ["x".into()]);
            let run = self.inner.run(Txn::read(Partition::from_number(0), deadline, [query]));
            probe.flying = Some((permit, run));
        }
    }
}
