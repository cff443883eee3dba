//! One door for all connections: wrong credentials are not tried by each of them.

use crate::clock::Timestamp;
use crate::error::Error;

/// Between two tries with credentials that were refused.
const PAUSE_MS: u64 = 1_000;

/// Whether anybody may dial.
#[derive(Debug, Default)]
pub(super) struct Gate {
    refused: Option<(Timestamp, Error)>,
}

impl Gate {
    /// The server did not let us in.
    pub fn refused(&mut self, error: Error, now: Timestamp) {
        if self.refused.as_ref().is_none_or(|(until, _)| *until <= now) {
            self.refused = Some((now.plus_ms(PAUSE_MS), error));
        }
    }

    /// The server let us in.
    pub fn passed(&mut self) {
        self.refused = None;
    }

    /// Whether this one may dial now. With credentials that were refused only one may, then nobody for a while.
    pub fn may_dial(&mut self, now: Timestamp) -> bool {
        match &mut self.refused {
            None => true,
            Some((until, _)) if *until <= now => {
                *until = now.plus_ms(PAUSE_MS);
                true
            }
            Some(_) => false,
        }
    }

    /// Why nobody may dial now.
    pub fn closed(&self, now: Timestamp) -> Option<&Error> {
        self.refused.as_ref().filter(|(until, _)| *until > now).map(|(_, error)| error)
    }
}

#[cfg(test)]
mod tests {
    use super::Gate;
    use crate::clock::Timestamp;
    use crate::error::{Code, Error};

    #[test]
    fn one_try_a_second() {
        let mut gate = Gate::default();
        assert!(gate.may_dial(Timestamp(0)) && gate.may_dial(Timestamp(0)));
        gate.refused(Error::new(Code::Config, "no"), Timestamp(0));
        assert!(!gate.may_dial(Timestamp(999)) && gate.closed(Timestamp(999)).is_some());
        assert!(gate.may_dial(Timestamp(1_000)) && !gate.may_dial(Timestamp(1_001)));
        gate.refused(Error::new(Code::Config, "no"), Timestamp(1_002));
        assert!(!gate.may_dial(Timestamp(1_999)) && gate.may_dial(Timestamp(2_000)));
        gate.passed();
        assert!(gate.may_dial(Timestamp(2_001)) && gate.closed(Timestamp(2_001)).is_none());
    }
}
