//! What is wrong with an input, in zod's terms: the same codes, fields and messages.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

/// One step on the way to a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PathItem {
    Key(String),
    Index(u64),
}

impl From<&str> for PathItem {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<u64> for PathItem {
    fn from(index: u64) -> Self {
        Self::Index(index)
    }
}

impl From<usize> for PathItem {
    fn from(index: usize) -> Self {
        Self::Index(u64::try_from(index).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for PathItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => f.write_str(key),
            Self::Index(index) => write!(f, "{index}"),
        }
    }
}

/// One thing that is wrong. Serializes to an issue as zod reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Issue {
    #[serde(flatten)]
    pub kind: IssueKind,
    /// Where, from the value that was checked.
    pub path: Vec<PathItem>,
    pub message: String,
}

/// The code of an issue and the fields that belong to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum IssueKind {
    InvalidType {
        expected: Cow<'static, str>,
        /// Only for numbers and dates that are none: `NaN`, `Infinity`, `Invalid Date`.
        #[serde(skip_serializing_if = "Option::is_none")]
        received: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        format: Option<&'static str>,
    },
    InvalidValue {
        values: Vec<String>,
    },
    TooBig {
        origin: &'static str,
        maximum: u64,
        inclusive: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<&'static str>,
    },
    TooSmall {
        origin: &'static str,
        minimum: i64,
        inclusive: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<&'static str>,
    },
    InvalidFormat {
        origin: &'static str,
        format: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        prefix: Option<String>,
    },
    UnrecognizedKeys {
        keys: Vec<String>,
    },
    Custom,
}

impl Issue {
    fn new(kind: IssueKind, message: String) -> Self {
        Self { kind, path: Vec::new(), message }
    }

    /// Anything that no other code says.
    #[must_use]
    pub fn custom(path: &[PathItem], message: impl Into<String>) -> Self {
        Self { kind: IssueKind::Custom, path: path.to_vec(), message: message.into() }
    }

    /// A value of the wrong type; `received` is the name of what it is.
    #[must_use]
    pub fn invalid_type(path: &[PathItem], expected: impl Into<Cow<'static, str>>, received: &str) -> Self {
        Self::mistyped(expected.into(), received, None, None).at(path)
    }

    pub(super) fn mistyped(
        expected: Cow<'static, str>,
        shown: &str,
        received: Option<&'static str>,
        format: Option<&'static str>,
    ) -> Self {
        let message = format!("Invalid input: expected {expected}, received {shown}");
        Self::new(IssueKind::InvalidType { expected, received, format }, message)
    }

    /// Not one of the values that are allowed.
    #[must_use]
    pub fn invalid_value(path: &[PathItem], values: &[String]) -> Self {
        let quoted: Vec<String> = values.iter().map(|value| format!("\"{value}\"")).collect();
        let message = match quoted.as_slice() {
            [only] => format!("Invalid input: expected {only}"),
            all => format!("Invalid option: expected one of {}", all.join("|")),
        };
        Self::new(IssueKind::InvalidValue { values: values.to_vec() }, message).at(path)
    }

    /// More than `maximum` of what `origin` counts.
    #[must_use]
    pub fn too_big(path: &[PathItem], origin: &'static str, maximum: u64) -> Self {
        let message = format!("Too big: expected {origin} {}", size(origin, "<=", &maximum));
        Self::new(IssueKind::TooBig { origin, maximum, inclusive: true, note: None }, message).at(path)
    }

    /// Less than `minimum` of what `origin` counts.
    #[must_use]
    pub fn too_small(path: &[PathItem], origin: &'static str, minimum: i64) -> Self {
        let message = format!("Too small: expected {origin} {}", size(origin, ">=", &minimum));
        Self::new(IssueKind::TooSmall { origin, minimum, inclusive: true, note: None }, message).at(path)
    }

    /// A JSON value of more than `maximum` bytes of text.
    #[must_use]
    pub fn too_many_bytes(path: &[PathItem], maximum: u64) -> Self {
        let mut issue = Self::too_big(path, "json", maximum);
        issue.message = format!("Too big: expected json to have <={maximum} bytes");
        issue
    }

    /// A JSON value of more than `maximum` levels.
    #[must_use]
    pub fn too_deep(path: &[PathItem], maximum: u64) -> Self {
        let mut issue = Self::too_big(path, "json", maximum);
        issue.message = format!("Too big: expected json to have <={maximum} levels");
        issue
    }

    /// An integer that a double can't hold exactly.
    pub(super) fn unsafe_integer(negative: bool) -> Self {
        const NOTE: Option<&str> = Some("Integers must be within the safe integer range.");
        let mut issue = if negative {
            Self::too_small(&[], "int", -MAX_SAFE)
        } else {
            Self::too_big(&[], "int", MAX_SAFE.unsigned_abs())
        };
        if let IssueKind::TooBig { note, .. } | IssueKind::TooSmall { note, .. } = &mut issue.kind {
            *note = NOTE;
        }
        issue
    }

    /// A string that must start with `prefix`.
    pub(super) fn starts_with(prefix: &str) -> Self {
        let kind = IssueKind::InvalidFormat {
            origin: "string",
            format: "starts_with",
            prefix: Some(prefix.to_owned()),
        };
        Self::new(kind, format!("Invalid string: must start with \"{prefix}\""))
    }

    /// A string with half of a surrogate pair.
    pub(super) fn ill_formed(path: Vec<PathItem>, what: &str) -> Self {
        let kind = IssueKind::InvalidFormat { origin: "string", format: "well_formed", prefix: None };
        Self { kind, path, message: format!("Invalid {what}: must be well-formed Unicode") }
    }

    /// A string that is no event type.
    pub(super) fn event_type() -> Self {
        let kind = IssueKind::InvalidFormat { origin: "string", format: "event_type", prefix: None };
        Self::new(kind, "Invalid event type".to_owned())
    }

    /// Fields that the schema does not know.
    #[must_use]
    pub fn unrecognized_keys(path: &[PathItem], keys: Vec<String>) -> Self {
        let quoted: Vec<String> = keys.iter().map(|key| format!("\"{key}\"")).collect();
        let plural = if keys.len() > 1 { "s" } else { "" };
        let message = format!("Unrecognized key{plural}: {}", quoted.join(", "));
        Self::new(IssueKind::UnrecognizedKeys { keys }, message).at(path)
    }

    /// This issue at another place.
    #[must_use]
    pub fn at(mut self, path: &[PathItem]) -> Self {
        self.path = path.to_vec();
        self
    }

    /// zod's code: `invalid_type`, `too_big`, ...
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.kind {
            IssueKind::InvalidType { .. } => "invalid_type",
            IssueKind::InvalidValue { .. } => "invalid_value",
            IssueKind::TooBig { .. } => "too_big",
            IssueKind::TooSmall { .. } => "too_small",
            IssueKind::InvalidFormat { .. } => "invalid_format",
            IssueKind::UnrecognizedKeys { .. } => "unrecognized_keys",
            IssueKind::Custom => "custom",
        }
    }

    /// The issue as JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The largest integer that a double holds exactly with its neighbours.
pub(super) const MAX_SAFE: i64 = 9_007_199_254_740_991;

fn size(origin: &str, relation: &str, bound: &dyn fmt::Display) -> String {
    match origin {
        "string" => format!("to have {relation}{bound} characters"),
        "array" => format!("to have {relation}{bound} items"),
        _ => format!("to be {relation}{bound}"),
    }
}

/// How much of an error's issues its text shows.
const SHOWN_ISSUES: usize = 3;
const SHOWN_PATH: usize = 4;
const SHOWN_KEY: usize = 24;

/// Everything that is wrong with one input, in the order in which zod reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Issues(pub Vec<Issue>);

impl Issues {
    /// The issues as the text of a JSON array.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| "[]".to_owned())
    }

    /// Where the first few are, for an error's text. Keys may be the caller's own: they are cut short.
    #[must_use]
    pub fn places(&self) -> String {
        let item = |item: &PathItem| match item {
            PathItem::Key(key) => key.chars().filter(|char| !char.is_control()).take(SHOWN_KEY).collect(),
            PathItem::Index(index) => index.to_string(),
        };
        let place = |issue: &Issue| {
            let items: Vec<String> = issue.path.iter().take(SHOWN_PATH).map(item).collect();
            if items.is_empty() { "its top".to_owned() } else { items.join(".") }
        };
        let shown: Vec<String> = self.0.iter().take(SHOWN_ISSUES).map(place).collect();
        let more = if self.0.len() > SHOWN_ISSUES { ", ..." } else { "" };
        format!("{}{more}", shown.join(", "))
    }

    /// The same issues, each further down by `path`.
    #[must_use]
    pub fn under(mut self, path: &[PathItem]) -> Self {
        for issue in &mut self.0 {
            issue.path.splice(0..0, path.iter().cloned());
        }
        self
    }
}

impl From<Issue> for Issues {
    fn from(issue: Issue) -> Self {
        Self(vec![issue])
    }
}
