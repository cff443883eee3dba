//! A logged request, and by what it is found.

use serde::{Deserialize, Serialize};

use super::pattern::{Pattern, bare, prefixes};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::schema::{JsonObject, LogEntry, LogQuery};

/// From this status on a request failed (RFC 9110: client and server errors).
const FIRST_ERROR: u64 = 400;
/// A request that takes longer is slow, in ms.
const SLOW_MS: f64 = 1_000.0;
/// What every record is found by.
pub(super) const ALL: &str = "a";

/// A request as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Logged {
    /// `req_`, the time in ms as 13 digits, and 8 random characters: ids are ordered by time.
    pub id: String,
    pub at: Timestamp,
    pub ip: String,
    pub host: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    pub method: String,
    pub path: String,
    pub status: u64,
    pub duration_ms: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<JsonObject>,
}

/// What an id begins with that is not earlier than this.
pub(super) fn id_from(at: Timestamp) -> String {
    format!("req_{:013}", at.0)
}

/// When the record of an id happened.
pub(super) fn time_of(id: &str) -> Option<Timestamp> {
    let digits = id.strip_prefix("req_")?.get(..13)?;
    digits.parse().ok().map(Timestamp)
}

impl Logged {
    /// What stands behind a `?` in a path is not kept: that is where secrets are.
    pub fn new(entry: LogEntry, at: Timestamp, random: &str) -> Self {
        Self {
            id: format!("{}{random}", id_from(at)),
            at,
            ip: entry.ip,
            host: entry.host.to_lowercase(),
            user: entry.user,
            method: entry.method.to_uppercase(),
            path: bare(&entry.path).to_owned(),
            status: entry.status,
            duration_ms: entry.duration_ms,
            details: entry.details,
        }
    }

    pub fn json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|_| Error::internal("a record is no JSON"))
    }

    pub fn read(id: &str, stored: &[u8]) -> Result<Self> {
        serde_json::from_slice(stored).map_err(|_| Error::corrupt(id, "it is no logged request"))
    }

    pub fn is_error(&self) -> bool {
        self.status >= FIRST_ERROR
    }

    fn is_slow(&self) -> bool {
        self.duration_ms > SLOW_MS
    }

    /// Every filter that finds it. What a filter is called and what it looks for stand behind each other.
    pub fn filters(&self) -> Vec<String> {
        let mut filters = vec![
            ALL.to_owned(),
            format!("i{}", self.ip),
            format!("h{}", self.host),
            format!("s{}", self.status),
            format!("m{}", self.method),
        ];
        filters.extend(self.user.iter().map(|user| format!("u{user}")));
        filters.extend(self.is_error().then(|| "e".to_owned()));
        filters.extend(self.is_slow().then(|| "l".to_owned()));
        filters.extend(prefixes(&self.path).into_iter().map(|prefix| format!("p{prefix}")));
        filters
    }
}

/// What is looked for.
pub(super) struct Wanted<'a> {
    query: &'a LogQuery,
    host: Option<String>,
    method: Option<String>,
    path: Option<Pattern>,
}

impl<'a> Wanted<'a> {
    pub fn new(query: &'a LogQuery) -> Self {
        Self {
            query,
            host: query.host.as_ref().map(|host| host.to_lowercase()),
            method: query.method.as_ref().map(|method| method.to_uppercase()),
            path: query.path.as_deref().map(Pattern::new),
        }
    }

    /// The filters that each find all of it, and perhaps more.
    pub fn filters(&self) -> Vec<String> {
        let query = self.query;
        let mut filters: Vec<String> = Vec::new();
        filters.extend(query.ip.iter().map(|ip| format!("i{ip}")));
        filters.extend(self.host.iter().map(|host| format!("h{host}")));
        filters.extend(query.user.iter().map(|user| format!("u{user}")));
        filters.extend(query.status.iter().map(|status| format!("s{status}")));
        filters.extend(self.method.iter().map(|method| format!("m{method}")));
        filters.extend(query.errors.then(|| "e".to_owned()));
        filters.extend(query.slow.then(|| "l".to_owned()));
        let prefix = self.path.as_ref().and_then(Pattern::prefix);
        filters.extend(prefix.map(|prefix| format!("p{prefix}")));
        if filters.is_empty() {
            filters.push(ALL.to_owned());
        }
        filters
    }

    pub fn fits(&self, logged: &Logged) -> bool {
        let query = self.query;
        let is = |wanted: &Option<String>, text: &str| wanted.as_ref().is_none_or(|wanted| wanted == text);
        is(&query.ip, &logged.ip)
            && is(&self.host, &logged.host)
            && query.user.as_ref().is_none_or(|user| logged.user.as_ref() == Some(user))
            && query.status.is_none_or(|status| status == logged.status)
            && is(&self.method, &logged.method)
            && (!query.errors || logged.is_error())
            && (!query.slow || logged.is_slow())
            && self.path.as_ref().is_none_or(|path| path.fits(&logged.path))
    }
}
