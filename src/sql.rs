//! Circuit breakers in a database, as JavaScript holds them. The database has a thread of its own; who waits for it
//! asks `finished` from time to time.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use flowkeep_core::clock::{Clock, SystemClock};
use flowkeep_core::error::Error;
use flowkeep_core::id::{Ids, RandomIds};
use flowkeep_core::operation::Operation;
use flowkeep_core::run::Pending;
use flowkeep_core::sql::{DEFAULT_CONNECTIONS, SqlOptions, SqlStore, Tables};
use flowkeep_core::storage::{Request, SqlDesk, Text};
use napi::bindgen_prelude::Either;
use napi_derive::napi;

use crate::breakers::{self, NativeBreaker};
use crate::guarded;
use crate::tasks::Tasks;

/// The breakers of one database.
#[napi]
pub struct NativeSql {
    desk: Arc<SqlDesk>,
    tasks: RefCell<Tasks>,
    closed: Cell<bool>,
}

#[napi]
impl NativeSql {
    /// Opens a database; it is connected with the first call. Throws as `NativeStorage` does.
    #[napi(constructor)]
    pub fn new(
        url: String,
        prefix: String,
        connections: Option<u32>,
        timeout_ms: u32,
        breakers: Option<String>,
        events: Option<String>,
    ) -> napi::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ids: Arc<dyn Ids> = Arc::new(RandomIds::default());
        let timeout_ms = u64::from(timeout_ms);
        let connections = connections.unwrap_or(DEFAULT_CONNECTIONS).max(1);
        let usual = Tables::default();
        let tables =
            Tables { breakers: breakers.unwrap_or(usual.breakers), events: events.unwrap_or(usual.events) };
        let options = SqlOptions { url, prefix, tables, connections, timeout_ms };
        let store = SqlStore::open(options, Arc::clone(&clock))
            .map_err(|error| napi::Error::from_reason(guarded::failed(None, &error)))?;
        let desk = Arc::new(SqlDesk::new(Arc::new(store), clock, ids, timeout_ms));
        Ok(Self { desk, tasks: RefCell::default(), closed: Cell::new(false) })
    }

    /// As `NativeStorage.breaker`.
    #[napi]
    pub fn breaker(&self, config: String, tagged: bool) -> napi::Result<NativeBreaker> {
        breakers::open(self.desk.breakers(), &config, tagged)
    }

    /// As `NativeStorage.told`.
    #[napi]
    pub fn told(&self) -> String {
        guarded::text(None, || self.desk.breakers().told())
    }

    /// Makes a call: the text of its answer, or a ticket. `data` and `options` are in the tagged form where said.
    #[napi]
    pub fn call(
        &self,
        operation: u32,
        id: String,
        data: Option<String>,
        data_tagged: bool,
        options: Option<String>,
        options_tagged: bool,
    ) -> Either<String, u32> {
        let known = usize::try_from(operation).ok().and_then(|place| Operation::ALL.get(place));
        let Some(&operation) = known else {
            return Either::A(guarded::failed(None, &Error::internal("no such operation")));
        };
        if self.closed.get() {
            return Either::A(guarded::failed(Some(operation), &Error::closed()));
        }
        let text = |text: Option<String>, tagged| text.map(|text| Text { text, tagged });
        let request = Request {
            operation,
            id,
            id_is_value: false,
            id_tagged: false,
            data: text(data, data_tagged),
            options: text(options, options_tagged),
        };
        let desk = Arc::clone(&self.desk);
        let answer = Pending::new(async move { desk.perform(&request).await });
        match self.tasks.borrow_mut().begin(operation, answer) {
            Ok(text) => Either::A(text),
            Err(ticket) => Either::B(ticket),
        }
    }

    /// Gives a call up.
    #[napi]
    pub fn abandon(&self, ticket: u32) {
        guarded::or_default(|| self.tasks.borrow_mut().abandon(ticket));
    }

    /// Calls that have finished: ticket, text, ticket, text, ...
    #[napi]
    pub fn finished(&self) -> Vec<Either<u32, String>> {
        let mut finished = Vec::new();
        guarded::or_default(|| {
            self.tasks.borrow_mut().finished(|ticket, text| {
                finished.extend([Either::A(ticket), Either::B(text.to_owned())]);
                true
            });
        });
        finished
    }

    /// Ends the database's thread and waits until it is gone. Calls under way fail with `STORAGE_CLOSED`.
    #[napi]
    pub fn close(&self) {
        self.closed.set(true);
        guarded::or_default(|| self.desk.close());
    }
}
