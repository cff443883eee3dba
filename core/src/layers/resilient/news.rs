//! What is told of the stack's own life: states, conflicts, trouble with the journal.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::breaker::Mode;
use crate::journal::Damage;

/// Untold news at the most; then the oldest go.
const MOST: usize = 10_000;

/// How the stack stands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    #[default]
    Healthy,
    /// The backend is away.
    Degraded,
    /// It is back, and what was kept is brought to it.
    Recovering,
}

impl Standing {
    /// With the breaker in this mode, and so many writes kept.
    pub(super) fn of(breaker: Mode, kept: usize) -> Self {
        match breaker {
            Mode::Closed if kept == 0 => Self::Healthy,
            Mode::Closed => Self::Recovering,
            _ => Self::Degraded,
        }
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Recovering => "recovering",
        }
    }
}

/// Things that happened, as JSON objects with a `type`, until somebody asks for them.
#[derive(Debug, Default)]
pub(super) struct News(Mutex<VecDeque<String>>);

impl News {
    /// Tells something. `fields` are JSON members behind the type, or empty.
    pub fn tell(&self, kind: &str, at: u64, fields: &str) {
        let mut news = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if news.len() >= MOST {
            news.pop_front();
        }
        let comma = if fields.is_empty() { "" } else { "," };
        news.push_back(format!("{{\"type\":\"{kind}\",\"at\":{at}{comma}{fields}}}"));
    }

    /// Tells of trouble with the journal's file; `quarantine` is where something of it was set aside.
    pub fn tell_journal_error(&self, at: u64, reason: &str, quarantine: Option<&String>) {
        let text = |text: &str| serde_json::to_string(text).unwrap_or_default();
        let quarantine = quarantine.map(|at| format!(",\"quarantine\":{}", text(at))).unwrap_or_default();
        self.tell("journalError", at, &format!("\"reason\":{}{quarantine}", text(reason)));
    }

    /// Tells what a journal's file had lost when it was opened.
    pub fn tell_damage(&self, at: u64, damage: &Damage) {
        let Damage { bytes, kept } = damage;
        match kept {
            Ok(place) => {
                let reason =
                    format!("{bytes} bytes of the journal were damaged; the whole file is set aside");
                self.tell_journal_error(at, &reason, Some(place));
            }
            Err(why) => {
                let reason =
                    format!("{bytes} bytes of the journal are damaged, and it could not be set aside: {why}");
                self.tell_journal_error(at, &reason, None);
            }
        }
    }

    /// What was told since the last time, the oldest first, as a JSON array; `None` when there is nothing.
    pub fn take(&self) -> Option<String> {
        let news = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        (!news.is_empty()).then(|| format!("[{}]", Vec::from(news).join(",")))
    }
}
