//! The cache.

use crate::error::Result;
use crate::given::Given;
use crate::operation::Operation;
use crate::schema::{KEY_CODE_POINTS, PlainFor, PlainOptions, TOKEN_CODE_POINTS};
use crate::storage::{Request, Storage, milliseconds};
use crate::stores::{Call, Landing, Sight};

/// How long computing may take until another caller tries, unless it says otherwise.
const LEASE_SECONDS: f64 = 30.0;
/// When somebody who waits for another's computing looks again.
const LOOK_AGAIN_MS: u64 = 25;

impl Storage {
    /// Answers with JSON; values stand in a list, as nothing but a record's tag begins with a digit.
    pub(crate) async fn perform_cache(&self, request: &Request) -> Result<String> {
        use Operation as Op;
        let mut given = Given::new(request, self.stores.limits());
        let given = &mut given;
        match request.operation {
            Op::CacheSet => {
                let (key, value) = (given.named("key", KEY_CODE_POINTS), given.value("value"));
                let (call, _, options) = self.plain_call(given, PlainFor::CacheSet);
                let (key, value) = given.both(key, value)?;
                let ttl_ms = options.ttl_seconds.and_then(milliseconds);
                self.stores.cache_set(call, &key, &value, ttl_ms).await.map(|()| String::new())
            }
            Op::CacheGet => {
                let (key, call, _) = self.key(given, PlainFor::Call)?;
                let value = self.stores.cache_get(call, &key).await?;
                Ok(value.map_or_else(|| "null".to_owned(), |json| format!("[{json}]")))
            }
            Op::CacheDelete => {
                let (key, call, _) = self.key(given, PlainFor::Call)?;
                self.stores.cache_delete(call, &key).await.map(|was| was.to_string())
            }
            Op::CacheExists => {
                let (key, call, _) = self.key(given, PlainFor::Call)?;
                self.stores.cache_exists(call, &key).await.map(|is| is.to_string())
            }
            Op::CacheFlight => {
                let (key, call, options) = self.key(given, PlainFor::CacheFlight)?;
                let lease_ms = milliseconds(options.lease_seconds.unwrap_or(LEASE_SECONDS)).unwrap_or(1);
                self.stores.cache_flight(call, &key, lease_ms).await.map(sight)
            }
            Op::CacheLand => {
                let value = given.value("value");
                let (key, call, options) = self.key(given, PlainFor::CacheLand)?;
                let (value, token) = given.both(value, options.token)?;
                let milliseconds = |seconds: Option<f64>| seconds.and_then(milliseconds);
                let how = Landing {
                    ttl_ms: milliseconds(options.ttl_seconds),
                    stale_ms: milliseconds(options.stale_seconds),
                    negative_ttl_ms: milliseconds(options.negative_ttl_seconds),
                };
                let kept = self.stores.cache_land(call, &key, &token, &value, how).await;
                kept.map(|kept| kept.to_string())
            }
            _ => {
                let token = given.text("token", TOKEN_CODE_POINTS);
                let (key, call, _) = self.key(given, PlainFor::Call)?;
                let token = given.one(token)?;
                self.stores.cache_give_up(call, &key, &token).await.map(|was| was.to_string())
            }
        }
    }

    fn key(&self, given: &mut Given<'_>, which: PlainFor) -> Result<(String, Call, PlainOptions)> {
        let key = given.named("key", KEY_CODE_POINTS);
        let (call, _, options) = self.plain_call(given, which);
        Ok((given.one(key)?, call, options))
    }
}

fn sight(sight: Sight) -> String {
    let stale = |stale: Option<String>| stale.map_or_else(String::new, |json| format!(",\"stale\":[{json}]"));
    match sight {
        Sight::Value(json) => format!("{{\"value\":[{json}]}}"),
        Sight::Yours { token, stale: old } => format!("{{\"token\":\"{token}\"{}}}", stale(old)),
        Sight::Theirs { stale: old } => format!("{{\"waitMs\":{LOOK_AGAIN_MS}{}}}", stale(old)),
    }
}
