//! Questions about the two tables, and their upkeep.

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::{Any, AssertSqlSafe, Row as _};

use super::store::id_of;
use super::trouble::failed;
use super::{Db, SqlStore};
use crate::breaker::{Audit, BreakerId, Mode};
use crate::clock::Timestamp;
use crate::error::{Effect, Result};
use crate::run::Run;

/// Rows that one statement deletes.
const BATCH: i64 = 1_000;

/// Which breakers.
#[derive(Debug, Clone, Default)]
pub struct RowFilter {
    pub state: Option<Mode>,
    pub failures_over: Option<u64>,
    /// Opened at this time or later.
    pub opened_since: Option<u64>,
    pub limit: u64,
}

/// A breaker's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerRow {
    pub id: BreakerId,
    pub state: String,
    pub failures: u64,
    pub successes: u64,
    pub last_failure_at: Option<u64>,
    pub opened_at: Option<u64>,
    pub closed_at: Option<u64>,
    pub created_at: Option<u64>,
    pub updated_at: Option<u64>,
}

/// Which events. The cursor is the number of the last one of the page before.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    pub name: Option<String>,
    pub event: Option<String>,
    pub since: Option<u64>,
    pub cursor: Option<u64>,
    pub limit: u64,
}

/// An event's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    pub number: u64,
    pub id: BreakerId,
    pub entry: Audit,
}

/// Events, the newest first, and where the next page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPage {
    pub items: Vec<EventRow>,
    pub cursor: Option<u64>,
}

/// A value for a place in a statement.
#[derive(Clone)]
enum Value {
    Number(i64),
    Text(String),
}

type Query<'q> = sqlx::query::Query<'q, Any, AnyArguments>;

fn filled<'q>(mut query: Query<'q>, values: Vec<Value>) -> Query<'q> {
    for value in values {
        query = match value {
            Value::Number(number) => query.bind(number),
            Value::Text(text) => query.bind(text),
        };
    }
    query
}

/// Conditions and their values, in the same order.
#[derive(Default)]
struct Where {
    conditions: Vec<&'static str>,
    values: Vec<Value>,
}

impl Where {
    fn and(&mut self, condition: &'static str, value: Option<Value>) {
        if let Some(value) = value {
            self.conditions.push(condition);
            self.values.push(value);
        }
    }

    fn text(&self) -> String {
        if self.conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", self.conditions.join(" AND "))
        }
    }
}

fn number(value: u64) -> Value {
    Value::Number(i64::try_from(value).unwrap_or(i64::MAX))
}

impl SqlStore {
    /// The breakers of a filter, by name. All of it is looked at before the limit counts.
    pub fn rows(&self, filter: RowFilter, deadline: Timestamp) -> Run<Result<Vec<BreakerRow>>> {
        self.run(deadline, Effect::NotApplied, move |db| async move { db.rows(filter).await })
    }

    /// The events of a filter, the newest first, page by page.
    pub fn events(&self, filter: EventFilter, deadline: Timestamp) -> Run<Result<EventPage>> {
        self.run(deadline, Effect::NotApplied, move |db| async move { db.page(filter).await })
    }

    /// How many events a filter has; its limit and cursor do not count.
    pub fn count(&self, filter: EventFilter, deadline: Timestamp) -> Run<Result<u64>> {
        self.run(deadline, Effect::NotApplied, move |db| async move { db.count(filter).await })
    }

    /// Deletes events that are older than a time, some at a time. How many those were.
    pub fn prune(&self, before: u64, deadline: Timestamp) -> Run<Result<u64>> {
        self.run(deadline, Effect::Unknown, move |db| async move { db.prune(before).await })
    }
}

impl Db {
    async fn fetch(&self, text: &str, values: Vec<Value>) -> Result<Vec<AnyRow>> {
        let query = filled(sqlx::query(AssertSqlSafe(self.dialect.sql(text))), values);
        let mut held = self.connection().await.map_err(|error| failed(&error))?;
        query.fetch_all(&mut *held.connection).await.map_err(|error| failed(&error))
    }

    async fn rows(&self, filter: RowFilter) -> Result<Vec<BreakerRow>> {
        let mut wanted = Where::default();
        wanted.and("state = {}", filter.state.map(|mode| Value::Text(mode.as_str().to_owned())));
        wanted.and("failure_count > {}", filter.failures_over.map(number));
        wanted.and("opened_at >= {ms}", filter.opened_since.map(number));
        let times = ["last_failure_at", "opened_at", "closed_at", "created_at", "updated_at"];
        let times = times.map(|column| format!("{} AS {column}_ms", self.dialect.ms(column))).join(", ");
        let text = format!(
            "SELECT name, scope, state, CAST(failure_count AS {int}) AS failures, \
             CAST(success_count AS {int}) AS successes, {times} FROM {}{} ORDER BY name, scope LIMIT {}",
            self.breakers,
            wanted.text(),
            filter.limit,
            int = self.dialect.integer(),
        );
        let rows = self.fetch(&text, wanted.values).await?;
        rows.iter().map(|row| row_of(row).map_err(|error| failed(&error))).collect()
    }

    fn wanted(&self, filter: &EventFilter) -> Where {
        let mut wanted = Where::default();
        wanted.and("b.name = {}", filter.name.clone().map(Value::Text));
        wanted.and("e.event = {}", filter.event.clone().map(Value::Text));
        wanted.and("e.created_at >= {ms}", filter.since.map(number));
        wanted
    }

    async fn page(&self, filter: EventFilter) -> Result<EventPage> {
        let mut wanted = self.wanted(&filter);
        wanted.and("e.id < {}", filter.cursor.map(number));
        let text = format!(
            "SELECT e.id AS number, b.name AS name, b.scope AS scope, {} AS metadata FROM {} AS e \
             JOIN {} AS b ON b.id = e.circuit_breaker_id{} ORDER BY e.id DESC LIMIT {}",
            self.dialect.text("e.metadata"),
            self.events,
            self.breakers,
            wanted.text(),
            filter.limit
        );
        let rows = self.fetch(&text, wanted.values).await?;
        let items: Vec<EventRow> = rows.iter().filter_map(event_of).collect();
        let full = rows.len() as u64 == filter.limit;
        let cursor = items.last().filter(|_| full).map(|last| last.number);
        Ok(EventPage { items, cursor })
    }

    async fn count(&self, filter: EventFilter) -> Result<u64> {
        let wanted = self.wanted(&filter);
        let text = format!(
            "SELECT COUNT(*) AS number FROM {} AS e JOIN {} AS b ON b.id = e.circuit_breaker_id{}",
            self.events,
            self.breakers,
            wanted.text()
        );
        let rows = self.fetch(&text, wanted.values).await?;
        let count = rows.first().map_or(Ok(0), |row| row.try_get::<i64, _>("number"));
        count.map(i64::unsigned_abs).map_err(|error| failed(&error))
    }

    async fn prune(&self, before: u64) -> Result<u64> {
        let events = &self.events;
        let text = format!(
            "DELETE FROM {events} WHERE id IN (SELECT id FROM (SELECT id FROM {events} WHERE created_at < {{ms}} \
             ORDER BY id LIMIT {BATCH}) AS old)"
        );
        let mut gone = 0;
        loop {
            // A batch is a transaction: others write between two of them.
            let rows = self.again(Effect::Unknown, || self.prune_some(&text, before)).await?;
            gone += rows;
            if rows < BATCH.unsigned_abs() {
                return Ok(gone);
            }
        }
    }

    async fn prune_some(&self, text: &str, before: u64) -> sqlx::Result<u64> {
        let query = filled(sqlx::query(AssertSqlSafe(self.dialect.sql(text))), vec![number(before)]);
        let mut held = self.connection().await?;
        Ok(query.execute(&mut *held.connection).await?.rows_affected())
    }
}

fn row_of(row: &AnyRow) -> sqlx::Result<BreakerRow> {
    let ms = |column: &str| row.try_get::<Option<i64>, _>(column).map(|ms| ms.map(i64::unsigned_abs));
    let (name, scope) = (row.try_get::<String, _>("name")?, row.try_get::<String, _>("scope")?);
    Ok(BreakerRow {
        id: id_of(&name, &scope).unwrap_or(BreakerId { name, ..BreakerId::default() }),
        state: row.try_get("state")?,
        failures: row.try_get::<i64, _>("failures")?.unsigned_abs(),
        successes: row.try_get::<i64, _>("successes")?.unsigned_abs(),
        last_failure_at: ms("last_failure_at_ms")?,
        opened_at: ms("opened_at_ms")?,
        closed_at: ms("closed_at_ms")?,
        created_at: ms("created_at_ms")?,
        updated_at: ms("updated_at_ms")?,
    })
}

fn event_of(row: &AnyRow) -> Option<EventRow> {
    let text = |column: &str| row.try_get::<String, _>(column).ok();
    Some(EventRow {
        number: row.try_get::<i64, _>("number").ok()?.unsigned_abs(),
        id: id_of(&text("name")?, &text("scope")?)?,
        entry: serde_json::from_str(&text("metadata")?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::store::{columns, id_of};
    use crate::breaker::BreakerId;

    #[test]
    fn an_id_is_two_columns_and_back() {
        for (context, boundary) in [(None, None), (Some("a/b"), None), (Some("~"), Some("x"))] {
            let own = |text: Option<&str>| text.map(str::to_owned);
            let id = BreakerId { name: "n/~".to_owned(), context: own(context), boundary: own(boundary) };
            let (name, scope) = columns(&id);
            assert_eq!((name.as_str(), id_of(&name, &scope)), ("n/~", Some(id)));
        }
    }
}
