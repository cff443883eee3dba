//! The live feed and what is rebuilt from the log.

use super::bound;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::given::Given;
use crate::operation::Operation;
use crate::schema::{OptionsFor, SubscribeOptions, subscribe_options};
use crate::storage::{Request, Storage};
use crate::stores::{FeedQuery, Of, Start};

impl Storage {
    pub(crate) async fn perform_feed(&self, request: &Request) -> Result<String> {
        let mut given = Given::new(request, self.stores.limits());
        match request.operation {
            Operation::Subscribe => {
                let asked = given.asked(subscribe_options);
                let query = self.feed_query(given.one(asked)?);
                self.stores.next_events(&query).await
            }
            Operation::WatchSession => {
                let call = self.only_call(&mut given)?;
                self.stores.snapshot(call, &request.id).await
            }
            _ => {
                let (call, options) = self.call(&mut given, OptionsFor::Replay);
                given.one(Some(()))?;
                self.stores.replay(call, &request.id, options.at.map(bound)).await
            }
        }
    }

    fn feed_query(&self, options: SubscribeOptions) -> FeedQuery {
        let of = match (options.session_id, options.user_id) {
            (Some(session), _) => Of::Session(session),
            (None, Some(user)) => Of::User(user),
            (None, None) => Of::All,
        };
        let start = match options.after {
            None => Start::Oldest,
            Some(text) if text == "now" => Start::Now,
            Some(text) => Timestamp::parse(&text).map_or(Start::Behind(text), Start::At),
        };
        FeedQuery { of, start, types: options.types, timeout_ms: self.timeout_ms() }
    }
}
