//! The one error of the engine. What a check refuses is not an error: it is an answer
//! ([`crate::txn::Outcome::Refused`]); an error says that a call could not be answered as asked.

use std::fmt;

/// What went wrong, in the terms of the public contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    Invalid,
    NotFound,
    Exists,
    Conflict,
    Transition,
    Archived,
    Unavailable,
    Timeout,
    CircuitOpen,
    Capacity,
    Config,
    Unsupported,
    Corrupt,
    Closed,
    Internal,
}

impl Code {
    /// The stable code that callers match on.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "STORAGE_INVALID",
            Self::NotFound => "STORAGE_NOT_FOUND",
            Self::Exists => "STORAGE_EXISTS",
            Self::Conflict => "STORAGE_CONFLICT",
            Self::Transition => "STORAGE_TRANSITION",
            Self::Archived => "STORAGE_ARCHIVED",
            Self::Unavailable => "STORAGE_UNAVAILABLE",
            Self::Timeout => "STORAGE_TIMEOUT",
            Self::CircuitOpen => "STORAGE_CIRCUIT_OPEN",
            Self::Capacity => "STORAGE_CAPACITY",
            Self::Config => "STORAGE_CONFIG",
            Self::Unsupported => "STORAGE_UNSUPPORTED",
            Self::Corrupt => "STORAGE_CORRUPT",
            Self::Closed => "STORAGE_CLOSED",
            Self::Internal => "STORAGE_INTERNAL",
        }
    }
}

/// What is known of the effect of a call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing was written.
    NotApplied,
    /// It may have been sent; whether it was applied is not known.
    Unknown,
}

/// A call that could not be answered as asked. Its text names no stored value and no secret.
#[derive(Debug, Clone)]
pub struct Error {
    pub code: Code,
    pub message: String,
    pub effect: Effect,
    /// Whether the same call may succeed later without a change by the caller.
    pub retryable: bool,
    /// Further facts; boxed, since most errors have none.
    pub detail: Option<Box<Detail>>,
}

/// The facts that some errors carry, each as the text that the face hands on.
#[derive(Debug, Clone, Default)]
pub struct Detail {
    /// Of a circuit breaker.
    pub name: Option<String>,
    /// JSON array of validation issues.
    pub issues: Option<String>,
    /// JSON of the record as it is now.
    pub current: Option<String>,
    pub from: Option<&'static str>,
    pub to: Option<&'static str>,
    pub retry_after_ms: Option<u64>,
    pub limit: Option<u64>,
    /// How often it was tried; once unless said.
    pub attempts: Option<u32>,
    /// The backend refuses writes only: it answers questions.
    pub only_writes: bool,
}

/// When a backend that is not there is worth another try, where nothing better is known.
const USUAL_PAUSE_MS: u64 = 100;

/// The engine's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of this code: nothing applied, not worth repeating.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), effect: Effect::NotApplied, retryable: false, detail: None }
    }

    /// Input that breaks its schema; `issues` is their JSON array, `places` where they are.
    #[must_use]
    pub fn invalid(issues: String, places: &str) -> Self {
        let detail = Detail { issues: Some(issues), ..Detail::default() };
        Self::new(Code::Invalid, format!("the input is not valid at {places}")).with(detail)
    }

    #[must_use]
    pub fn not_found(what: &str, id: &str) -> Self {
        Self::new(Code::NotFound, format!("no {what} has the id {id}"))
    }

    /// A record whose stored text can't be read.
    #[must_use]
    pub fn corrupt(id: &str, why: &str) -> Self {
        Self::new(Code::Corrupt, format!("the stored record {id} can't be read: {why}"))
    }

    /// The backend can't be reached now, or does not serve us. Worth another try in a while.
    #[must_use]
    pub fn unavailable(message: impl Into<String>, effect: Effect) -> Self {
        Self { effect, retryable: true, ..Self::new(Code::Unavailable, message) }.retry_after(USUAL_PAUSE_MS)
    }

    /// The same error, worth another try in so many ms.
    #[must_use]
    pub fn retry_after(mut self, ms: u64) -> Self {
        self.detail.get_or_insert_default().retry_after_ms = Some(ms);
        self
    }

    /// The same error after so many attempts.
    #[must_use]
    pub fn after(mut self, attempts: u32) -> Self {
        if attempts > 1 {
            self.detail.get_or_insert_default().attempts = Some(attempts);
        }
        self
    }

    fn attempts(&self) -> u32 {
        self.detail.as_ref().and_then(|detail| detail.attempts).unwrap_or(1)
    }

    /// Whether it says that the backend is away, or does not serve us now.
    #[must_use]
    pub fn is_of_the_way(&self) -> bool {
        matches!(self.code, Code::Unavailable | Code::Timeout)
    }

    /// The deadline passed.
    #[must_use]
    pub fn timeout(effect: Effect) -> Self {
        Self { effect, retryable: true, ..Self::new(Code::Timeout, "the deadline passed without an answer") }
    }

    #[must_use]
    pub fn closed() -> Self {
        Self::new(Code::Closed, "the storage is closed")
    }

    /// A bug of ours.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }

    /// The error as the JSON that a face makes its own error of; `operation` is the public name of the call.
    #[must_use]
    pub fn to_json(&self, operation: &str) -> String {
        let outcome = match self.effect {
            Effect::NotApplied => "not-applied",
            Effect::Unknown => "unknown",
        };
        let message = serde_json::to_string(&self.message).unwrap_or_default();
        let mut parts = vec![
            format!("\"code\":\"{}\",\"message\":{message}", self.code.as_str()),
            format!("\"operation\":\"{operation}\",\"outcome\":\"{outcome}\""),
            format!("\"retryable\":{},\"attempts\":{}", self.retryable, self.attempts()),
        ];
        if let Some(detail) = &self.detail {
            parts.extend(
                detail
                    .name
                    .as_ref()
                    .map(|name| format!("\"name\":{}", serde_json::to_string(name).unwrap_or_default())),
            );
            parts.extend(detail.issues.as_ref().map(|json| format!("\"issues\":{json}")));
            parts.extend(detail.current.as_ref().map(|json| format!("\"current\":{json}")));
            parts.extend(detail.from.map(|from| format!("\"from\":\"{from}\"")));
            parts.extend(detail.to.map(|to| format!("\"to\":\"{to}\"")));
            parts.extend(detail.retry_after_ms.map(|ms| format!("\"retryAfterMs\":{ms}")));
            parts.extend(detail.limit.map(|limit| format!("\"limit\":{limit}")));
        }
        format!("{{{}}}", parts.join(","))
    }

    #[must_use]
    pub fn with(mut self, detail: Detail) -> Self {
        self.detail = Some(Box::new(detail));
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for Error {}
