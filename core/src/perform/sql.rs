//! Circuit breakers in a database: the same as elsewhere, and questions about the tables.

use std::sync::Arc;

use super::breakers::{BreakerDesk, audit_json, id_json, or_null, whole};
use super::list;
use crate::breaker::{Audit, BreakerId, BreakerStore, Mode};
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, Result};
use crate::id::Ids;
use crate::operation::Operation;
use crate::schema::{self, Input, TableFilter};
use crate::sql::{BreakerRow, Change, EventFilter, EventRow, RowFilter, SqlStore};
use crate::storage::Request;
use crate::stores::invalid;

/// Rows of one answer.
const USUAL_ROWS: u64 = 100;

/// The breakers of one database, as a face reaches them.
pub struct SqlDesk {
    desk: BreakerDesk,
    store: Arc<SqlStore>,
    clock: Arc<dyn Clock>,
    timeout_ms: u64,
}

impl SqlDesk {
    #[must_use]
    pub fn new(store: Arc<SqlStore>, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>, timeout_ms: u64) -> Self {
        let shared = Arc::clone(&store) as Arc<dyn BreakerStore>;
        let desk = BreakerDesk::new(Some(shared), Arc::clone(&clock), ids, timeout_ms);
        Self { desk, store, clock, timeout_ms }
    }

    #[must_use]
    pub fn breakers(&self) -> &BreakerDesk {
        &self.desk
    }

    /// Ends the store's thread and waits for it.
    pub fn close(&self) {
        self.store.close();
    }

    /// Answers a request.
    ///
    /// # Errors
    /// Those of the desk and of the store.
    pub async fn perform(&self, request: &Request) -> Result<String> {
        use Operation as Op;
        let asks = matches!(
            request.operation,
            Op::BreakerQuery | Op::BreakerEvents | Op::BreakerCount | Op::BreakerPrune
        );
        if request.operation == Op::BreakerRecord {
            return self.record(request).await;
        }
        if !asks {
            return self.desk.perform(request).await;
        }
        let nothing = Input::json("{}");
        let given = request.data.as_ref().map_or(nothing, |data| data.input());
        let filter = schema::table_filter(given).map_err(|issues| invalid(issues.0))?;
        let deadline = self.clock.now().plus_ms(filter.timeout_ms.map_or(self.timeout_ms, whole));
        let limit = filter.limit.unwrap_or(USUAL_ROWS);
        match request.operation {
            Op::BreakerQuery => {
                let wanted = RowFilter {
                    state: filter.state.as_deref().and_then(Mode::parse),
                    failures_over: filter.failure_count_over,
                    opened_since: filter.opened_since.map(|at| at.0),
                    limit,
                };
                let rows = self.store.rows(wanted, deadline).await?;
                list(Ok(rows.iter().map(row_json).collect()))
            }
            Op::BreakerEvents => {
                let page = self.store.events(events(&filter, limit), deadline).await?;
                let items: Vec<String> = page.items.iter().map(event_json).collect();
                let cursor = page.cursor.map_or_else(|| "null".to_owned(), |cursor| format!("\"{cursor}\""));
                Ok(format!("{{\"items\":[{}],\"cursor\":{cursor}}}", items.join(",")))
            }
            Op::BreakerCount => {
                Ok(format!("[{}]", self.store.count(events(&filter, limit), deadline).await?))
            }
            _ => {
                let age = whole(filter.older_than_seconds.unwrap_or(0.0) * 1_000.0);
                let before = Timestamp(self.clock.now().0.saturating_sub(age));
                Ok(format!("[{}]", self.store.prune(before.0, deadline).await?))
            }
        }
    }

    /// Writes down what another store's audit brings, as `BreakerDesk::changes` says it.
    async fn record(&self, request: &Request) -> Result<String> {
        let broken = || Error::internal("what is recorded is no list of changes");
        let text = request.data.as_ref().ok_or_else(broken)?;
        let given: Vec<(u64, String, String, Audit)> =
            serde_json::from_str(&text.text).map_err(|_| broken())?;
        let change = |(_, stamp, id, entry): (u64, String, String, Audit)| {
            Some(Change { stamp, id: BreakerId::parse(&id)?, entry })
        };
        let changes: Option<Vec<Change>> = given.into_iter().map(change).collect();
        let deadline = self.clock.now().plus_ms(self.timeout_ms);
        self.store.record(changes.ok_or_else(broken)?, deadline).await?;
        Ok("[]".to_owned())
    }
}

fn events(filter: &TableFilter, limit: u64) -> EventFilter {
    EventFilter {
        name: filter.name.clone(),
        event: filter.event.clone(),
        since: filter.since.map(|at| at.0),
        cursor: filter.cursor.as_ref().and_then(|cursor| cursor.parse().ok()),
        limit,
    }
}

fn row_json(row: &BreakerRow) -> String {
    let id = id_json(&row.id);
    format!(
        "{{{},\"state\":\"{}\",\"failureCount\":{},\"successCount\":{},\"lastFailureAt\":{},\"openedAt\":{},\
         \"closedAt\":{},\"createdAt\":{},\"updatedAt\":{}}}",
        id.trim_start_matches('{').trim_end_matches('}'),
        row.state,
        row.failures,
        row.successes,
        or_null(row.last_failure_at),
        or_null(row.opened_at),
        or_null(row.closed_at),
        or_null(row.created_at),
        or_null(row.updated_at),
    )
}

fn event_json(row: &EventRow) -> String {
    let (id, entry) = (id_json(&row.id), audit_json(&row.entry));
    format!("{},{}", id.strip_suffix('}').unwrap_or_default(), entry.strip_prefix('{').unwrap_or_default())
}
