//! A service's history: requests with their responses, the latest for a method and a URL, each with an end of its own.
//!
//! An entry's id tells the time at which it was made and is drawn anew, so no id is given twice, whatever was cleared or
//! restarted. Secrets are masked, and what is too long cut, before anything is stored.

use super::drawer::{Drawer, Found, LISTED, Sheet};
use super::mask::{Masks, entries};
use super::{Call, Stores};
use crate::clock::Timestamp;
use crate::error::{Code, Error, Result};
use crate::id::Tree;
use crate::key::{Name, Partition};
use crate::txn::Until;

const SPACES: [&str; 3] = ["ht", "hn", "he"];
/// What the names of those begin with that stand for a method and a URL.
const LATEST: char = 'l';
/// How often a response is set anew because another was faster.
const TRIES: usize = 8;

/// How entries are kept.
#[derive(Debug, Clone, Default)]
pub struct HistoryPolicy {
    /// `None` is for ever.
    pub duration_ms: Option<u64>,
    pub masks: Masks,
    /// Bytes of an entry; a longer one is cut.
    pub most_bytes: usize,
}

/// A request and, if it is there, its response: JSON objects.
#[derive(Debug)]
pub struct Exchange<'a> {
    pub method: &'a str,
    pub url: &'a str,
    pub request: &'a str,
    pub response: Option<&'a str>,
}

fn latest(method: &str, url: &str) -> Name {
    Name::from(format!("{LATEST}{} {url}", method.to_uppercase()))
}

fn name_of(id: &str) -> Option<Name> {
    let tree = Tree::parse(id.strip_prefix("req_")?)?;
    Some(Name::from(format!("{LISTED}{tree}")))
}

fn drawer(service: &str) -> Drawer {
    Drawer::new(SPACES, service)
}

/// An entry's public JSON: its id in front of what is stored, its end behind.
fn public(found: &Found) -> String {
    let id = found.name.strip_prefix(LISTED).unwrap_or_default();
    let end = match found.until {
        Until::Never => "null".to_owned(),
        Until::At(at) => at.0.to_string(),
    };
    let rest = found.text().strip_prefix('{').unwrap_or_default();
    format!("{{\"id\":\"req_{id}\",\"expiresAt\":{end},{rest}")
}

/// What is stored of an entry, masked and, if need be, cut.
fn text(at: Timestamp, exchange: &Exchange<'_>, policy: &HistoryPolicy) -> Result<String> {
    let quoted = |text: &str| serde_json::to_string(text).map_err(|_| Error::internal("a text is no text"));
    let (method, url) = (quoted(&exchange.method.to_uppercase())?, quoted(exchange.url)?);
    let response = exchange.response.unwrap_or("null");
    let both = format!("{{\"request\":{},\"response\":{response}}}", exchange.request);
    let both = policy.masks.apply(&both).map_err(|_| Error::internal("an exchange is no JSON"))?;
    let head = format!("\"at\":{},\"method\":{method},\"url\":{url}", at.0);
    let whole = |both: &str, cut: bool| {
        format!("{{{head},\"truncated\":{cut},{}", both.strip_prefix('{').unwrap_or_default())
    };
    let text = whole(&both, false);
    if text.len() <= policy.most_bytes {
        return Ok(text);
    }
    for sides in [&["response"][..], &["request", "response"]] {
        let text = whole(&without_bodies(&both, sides)?, true);
        if text.len() <= policy.most_bytes {
            return Ok(text);
        }
    }
    let response = if exchange.response.is_some() { "{}" } else { "null" };
    let bare = format!("{{\"request\":{{\"method\":{method},\"url\":{url}}},\"response\":{response}}}");
    Ok(whole(&bare, true))
}

/// The same without the bodies of these sides.
fn without_bodies(both: &str, sides: &[&str]) -> Result<String> {
    let bad = |_| Error::internal("an exchange is no JSON");
    let mut parts = Vec::new();
    for (side, value) in entries(both).map_err(bad)? {
        let value = value.get();
        if !sides.contains(&side.as_str()) || !value.starts_with('{') {
            parts.push(format!("\"{side}\":{value}"));
            continue;
        }
        let fields = entries(value).map_err(bad)?;
        let kept = fields.iter().filter(|(name, _)| name != "body").map(|(name, value)| {
            format!("{}:{}", serde_json::to_string(name).unwrap_or_default(), value.get())
        });
        parts.push(format!("\"{side}\":{{{}}}", kept.collect::<Vec<_>>().join(",")));
    }
    Ok(format!("{{{}}}", parts.join(",")))
}

impl Stores {
    /// Keeps a request, with its response if there is one; gives the entry. *Round trips*: one, and one more when
    /// something was over.
    pub async fn history_record(
        &self,
        call: Call,
        service: &str,
        exchange: &Exchange<'_>,
        policy: &HistoryPolicy,
    ) -> Result<String> {
        let now = self.clock.now();
        let tree = self.ids.tree(now, Partition::of(service));
        let until = policy.duration_ms.map_or(Until::Never, |ms| Until::At(now.plus_ms(ms)));
        let (name, text) = (Name::from(format!("{LISTED}{tree}")), text(now, exchange, policy)?);
        let found = Found { name: name.clone(), until, stored: format!(".{text}").into() };
        let pointer = Sheet {
            name: latest(exchange.method, exchange.url),
            text: name.to_string(),
            until,
            listed: false,
        };
        let sheets = vec![Sheet { name, text, until, listed: true }, pointer];
        self.drawer_put(call, &drawer(service), sheets, None).await?;
        Ok(public(&found))
    }

    /// The latest entry for a method and a URL. *Round trips*: two.
    pub async fn history_get(
        &self,
        call: Call,
        service: &str,
        method: &str,
        url: &str,
    ) -> Result<Option<String>> {
        let drawer = drawer(service);
        let pointer = self.drawer_get(call, &drawer, vec![latest(method, url)]).await?;
        let Some(pointer) = pointer.into_iter().flatten().next() else { return Ok(None) };
        let found = self.drawer_get(call, &drawer, vec![pointer.text().into()]).await?;
        Ok(found.into_iter().flatten().next().as_ref().map(public))
    }

    /// An entry. *Round trips*: one.
    pub async fn history_by_id(&self, call: Call, service: &str, id: &str) -> Result<Option<String>> {
        let Some(name) = name_of(id) else { return Ok(None) };
        let found = self.drawer_get(call, &drawer(service), vec![name]).await?;
        Ok(found.into_iter().flatten().next().as_ref().map(public))
    }

    /// Sets an entry's response, which keeps its end. *Round trips*: two.
    ///
    /// # Errors
    /// `STORAGE_NOT_FOUND` when there is no such entry.
    pub async fn history_set_response(
        &self,
        call: Call,
        service: &str,
        id: &str,
        response: &str,
        policy: &HistoryPolicy,
    ) -> Result<String> {
        let missing = || Error::not_found("entry of the history", id);
        let name = name_of(id).ok_or_else(missing)?;
        let drawer = drawer(service);
        for _ in 0..TRIES {
            let found = self.drawer_get(call, &drawer, vec![name.clone()]).await?;
            let found = found.into_iter().flatten().next().ok_or_else(missing)?;
            let text = self.answered(id, found.text(), response, policy)?;
            let (check, until) = (Self::unchanged(&drawer, &found), found.until);
            let kept = Found { name: name.clone(), until, stored: format!(".{text}").into() };
            let sheet = Sheet { name: name.clone(), text, until, listed: true };
            if self.drawer_put(call, &drawer, vec![sheet], Some(check)).await? {
                return Ok(public(&kept));
            }
        }
        Err(Error::new(Code::Conflict, "the entry was changed again and again"))
    }

    fn answered(&self, id: &str, stored: &str, response: &str, policy: &HistoryPolicy) -> Result<String> {
        let bad = |_| Error::corrupt(id, "it is no JSON");
        let fields = entries(stored).map_err(bad)?;
        let field = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.get());
        let plain = |name| serde_json::from_str::<String>(field(name).unwrap_or("\"\"")).map_err(bad);
        let at = field("at").and_then(|ms| ms.parse().ok()).map_or_else(|| self.clock.now(), Timestamp);
        let (method, url) = (plain("method")?, plain("url")?);
        let request = field("request").unwrap_or("{}");
        text(at, &Exchange { method: &method, url: &url, request, response: Some(response) }, policy)
    }

    /// Entries in the order in which they were made, behind one if it is given, and whether there may be more.
    /// *Round trips*: two for each 500 of them.
    pub async fn history_page(
        &self,
        call: Call,
        service: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<String>, bool)> {
        let after = after.and_then(name_of).unwrap_or_else(|| LISTED.to_string().into());
        let (found, more) = self.drawer_page(call, &drawer(service), &after, limit).await?;
        Ok((found.iter().map(public).collect(), more))
    }

    /// How many entries there are. *Round trips*: one, and two for each 500 that are over.
    pub async fn history_len(&self, call: Call, service: &str) -> Result<u64> {
        self.drawer_len(call, &drawer(service)).await
    }

    /// Removes all entries. *Round trips*: one.
    pub async fn history_clear(&self, call: Call, service: &str) -> Result<()> {
        self.drawer_clear(call, &drawer(service)).await
    }
}
