//! The request log.

use crate::error::{Error, Result};
use crate::given::Given;
use crate::operation::Operation;
use crate::schema::{PlainFor, log_entry, log_query, log_span};
use crate::storage::{Request, Storage};

impl Storage {
    pub(crate) async fn perform_log(&self, request: &Request) -> Result<String> {
        use Operation as Op;
        let mut given = Given::new(request, self.stores.limits());
        let (given, stores) = (&mut given, &self.stores);
        match request.operation {
            Op::LogRecord => {
                let entry = given.own_data(log_entry);
                let (call, _, _) = self.plain_call(given, PlainFor::Call);
                stores.log_record(call, given.one(entry)?).await
            }
            Op::LogSearch => {
                let query = given.own_data(log_query);
                let (call, _, _) = self.plain_call(given, PlainFor::Call);
                stores.log_search(call, &given.one(query)?).await
            }
            Op::LogHourly | Op::LogPercentiles | Op::LogFollow => {
                let span = given.own_data(log_span);
                let (call, patience_ms, _) = self.plain_call(given, PlainFor::Call);
                let span = given.one(span)?;
                match request.operation {
                    Op::LogHourly => stores.log_hourly(call, &span).await,
                    Op::LogPercentiles => stores.log_percentiles(call, &span).await,
                    _ => stores.log_follow(&span, patience_ms).await,
                }
            }
            Op::LogRebuild => {
                let (_, patience_ms, _) = self.plain_call(given, PlainFor::Call);
                stores.log_rebuild(given.one(Some(patience_ms))?).await
            }
            _ => Err(Error::internal("no operation of the request log")),
        }
    }
}
