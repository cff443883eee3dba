//! Whether a silent server is still there: it is asked, and has to say so in time.

use crate::clock::Timestamp;

/// Silence while calls wait after which the server is asked, and how long it may take to answer that.
const SILENCE_MS: u64 = 800;
const PATIENCE_MS: u64 = 800;

/// What is to be done about a silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beat {
    None,
    /// Ask.
    Ping,
    /// It was asked and says nothing.
    Dead,
}

/// One connection's silence, while somebody waits for an answer.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heartbeat {
    #[default]
    Heard,
    /// Silent since this was noticed.
    Silent(Timestamp),
    Asked(Timestamp),
    /// Its calls may wait as long as they like.
    Never,
}

impl Heartbeat {
    /// Bytes came, or the connection is another one.
    pub fn heard(&mut self) {
        if *self != Self::Never {
            *self = Self::Heard;
        }
    }

    pub fn never(&mut self) {
        *self = Self::Never;
    }

    /// Counts from the first look, so that a process that stood still itself blames nobody: what came meanwhile is
    /// heard before the second look.
    pub fn look(&mut self, now: Timestamp, waits: bool) -> Beat {
        match *self {
            Self::Never => {}
            _ if !waits => *self = Self::Heard,
            Self::Heard => *self = Self::Silent(now),
            Self::Silent(since) if since.plus_ms(SILENCE_MS) <= now => {
                *self = Self::Asked(now);
                return Beat::Ping;
            }
            Self::Asked(since) if since.plus_ms(PATIENCE_MS) <= now => return Beat::Dead,
            _ => {}
        }
        Beat::None
    }
}

#[cfg(test)]
mod tests {
    use super::{Beat, Heartbeat};
    use crate::clock::Timestamp;

    #[test]
    fn a_server_that_says_nothing_is_dead_within_two_seconds() {
        let mut beat = Heartbeat::default();
        let beats: Vec<_> = (0..100).map(|tick| (tick * 20, beat.look(Timestamp(tick * 20), true))).collect();
        let at = |what| beats.iter().find(|(_, beat)| *beat == what).unwrap().0;
        assert_eq!((at(Beat::Ping), at(Beat::Dead)), (800, 1_600));
    }

    #[test]
    fn whoever_is_heard_or_waited_for_by_nobody_lives() {
        let mut beat = Heartbeat::default();
        for second in 0..10 {
            assert_eq!(beat.look(Timestamp(second * 1_000), true), Beat::None);
            beat.heard();
        }
        for second in 10..20 {
            assert_eq!(beat.look(Timestamp(second * 1_000), false), Beat::None);
        }
        beat.never();
        beat.heard();
        for second in 20..30 {
            assert_eq!(beat.look(Timestamp(second * 1_000), true), Beat::None);
        }
    }
}
