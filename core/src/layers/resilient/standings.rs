//! How the stack stands, as it is told.

use super::news::Standing;
use crate::breaker::Mode;

/// How the stack stands, for whoever asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standings {
    pub standing: Standing,
    pub breaker: Mode,
    pub retry_after_ms: Option<u64>,
    /// Kept writes, and about how many bytes they take.
    pub journal_entries: usize,
    pub journal_bytes: usize,
    /// Why nothing is kept by the journal's file any more.
    pub journal_failed: Option<String>,
    pub conflicts: u64,
    pub last_error: Option<String>,
}

impl Standings {
    /// The part of a storage's status that tells of the stack: members of a JSON object, each behind a comma.
    #[must_use]
    pub fn to_json(&self) -> String {
        let retry = self.retry_after_ms.map(|ms| format!(",\"retryAfterMs\":{ms}")).unwrap_or_default();
        let failed = self.journal_failed.as_ref().and_then(|why| serde_json::to_string(why).ok());
        let failed = failed.map(|why| format!(",\"failed\":{why}")).unwrap_or_default();
        format!(
            ",\"breaker\":{{\"state\":\"{}\"{retry}}},\"journal\":{{\"entries\":{},\"bytes\":{}{failed}}},\"conflicts\":{}",
            self.breaker.as_str(),
            self.journal_entries,
            self.journal_bytes,
            self.conflicts,
        )
    }
}
