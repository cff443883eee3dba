//! The results of the last while, or of the last calls: a true window, from which old results leave one by one.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::policy::{Span, whole};

/// How finely time is cut: results leave the window up to a hundredth of its length early, never late.
const SLOTS: f64 = 100.0;

/// What a window holds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub calls: u64,
    pub failures: u64,
    pub slow: u64,
}

/// Results by time or by number.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The length of a slot in ms; 0 for a window of calls.
    width: u64,
    counts: Counts,
    /// Slot number, calls, failures, slow calls; the oldest first.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    slots: VecDeque<(u64, u64, u64, u64)>,
    /// 1 for a failure, 2 for a slow call, 3 for both; the oldest first.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    calls: VecDeque<u8>,
}

impl Window {
    pub fn clear(&mut self) {
        *self = Self { width: self.width, ..Self::default() };
    }

    /// Takes a result in.
    pub fn add(&mut self, span: Span, now: u64, failed: bool, slow: bool) {
        self.add_times(span, now, failed, slow, 1);
    }

    /// Takes so many equal results in.
    pub fn add_times(&mut self, span: Span, now: u64, failed: bool, slow: bool, times: u32) {
        self.advance(span, now);
        let all = u64::from(times);
        let (failures, slows) = (all * u64::from(failed), all * u64::from(slow));
        self.counts.calls += all;
        self.counts.failures += failures;
        self.counts.slow += slows;
        match span {
            Span::Time(_) => {
                let slot = now / self.width.max(1);
                match self.slots.back_mut() {
                    Some((last, calls, lost, slowed)) if *last == slot => {
                        *calls += all;
                        *lost += failures;
                        *slowed += slows;
                    }
                    _ => self.slots.push_back((slot, all, failures, slows)),
                }
            }
            Span::Calls(most) => {
                let result = u8::from(failed) | u8::from(slow) << 1;
                self.calls.extend(std::iter::repeat_n(result, times as usize));
                while self.calls.len() > most.max(1) {
                    if let Some(gone) = self.calls.pop_front() {
                        self.take((1, u64::from(gone & 1), u64::from(gone >> 1)));
                    }
                }
            }
        }
    }

    /// What it holds now.
    pub fn counts(&mut self, span: Span, now: u64) -> Counts {
        self.advance(span, now);
        self.counts
    }

    /// Whether it held a failure when it was looked at last.
    pub fn has_failures(&self) -> bool {
        self.counts.failures > 0
    }

    /// Whether it held a slow call when it was looked at last.
    pub fn has_slow(&self) -> bool {
        self.counts.slow > 0
    }

    /// Lets go of what is too old, and of what a clock that was set back made later than now.
    fn advance(&mut self, span: Span, now: u64) {
        let (width, slots) = match span {
            Span::Time(ms) => {
                let width = whole(ms / SLOTS).max(1);
                (width, whole(ms).div_ceil(width).max(1))
            }
            Span::Calls(_) => (0, 0),
        };
        if width != self.width {
            // Another policy: what was counted by the old one says nothing.
            *self = Self { width, ..Self::default() };
        }
        let Some(present) = now.checked_div(width) else { return };
        while let Some(&(slot, calls, failures, slow)) = self.slots.front() {
            if slot + slots > present {
                break;
            }
            self.slots.pop_front();
            self.take((calls, failures, slow));
        }
        while let Some(&(slot, calls, failures, slow)) = self.slots.back() {
            if slot <= present {
                break;
            }
            self.slots.pop_back();
            self.take((calls, failures, slow));
        }
    }

    fn take(&mut self, (calls, failures, slow): (u64, u64, u64)) {
        self.counts.calls = self.counts.calls.saturating_sub(calls);
        self.counts.failures = self.counts.failures.saturating_sub(failures);
        self.counts.slow = self.counts.slow.saturating_sub(slow);
    }
}
