//! Load, transition, history: the seam of breakers over two tables.

use std::future::Future;
use std::time::Duration;

use sqlx::{Any, AssertSqlSafe, Connection as _, Row as _, Transaction};

use super::trouble::{failed, is_worth_a_try, translated};
use super::{Db, SqlStore};
use crate::breaker::{Audit, BreakerId, BreakerStore, Loaded, State, Stored, Write, Written};
use crate::clock::Timestamp;
use crate::error::{Effect, Error, Result};
use crate::run::Run;

/// How often a transaction that a deadlock ended is tried.
const TRIES: u32 = 8;

/// The columns that find a breaker: its name, and context and boundary as one text.
pub(super) fn columns(id: &BreakerId) -> (String, String) {
    let name_only = BreakerId { name: id.name.clone(), ..BreakerId::default() };
    let scope = id.text().split_off(name_only.text().len());
    (id.name.clone(), scope)
}

/// The id of two columns.
pub(super) fn id_of(name: &str, scope: &str) -> Option<BreakerId> {
    let name_only = BreakerId { name: name.to_owned(), ..BreakerId::default() };
    BreakerId::parse(&format!("{}{scope}", name_only.text()))
}

impl BreakerStore for SqlStore {
    fn load(&self, id: &BreakerId, deadline: Timestamp) -> Run<Result<Loaded>> {
        let id = id.clone();
        self.run(deadline, Effect::NotApplied, move |db| async move { db.load(&id).await })
    }

    fn transition(&self, id: &BreakerId, write: Write, deadline: Timestamp) -> Run<Result<Written>> {
        let id = id.clone();
        self.run(deadline, Effect::Unknown, move |db| async move { db.transition(&id, &write).await })
    }

    fn history(&self, id: &BreakerId, limit: usize, deadline: Timestamp) -> Run<Result<Vec<Audit>>> {
        let id = id.clone();
        self.run(deadline, Effect::NotApplied, move |db| async move { db.history(&id, limit).await })
    }

    fn ids(&self, deadline: Timestamp) -> Run<Result<Vec<BreakerId>>> {
        self.run(deadline, Effect::NotApplied, move |db| async move { db.ids().await })
    }
}

impl Db {
    async fn load(&self, id: &BreakerId) -> Result<Loaded> {
        let (name, scope) = columns(id);
        let text = format!(
            "SELECT {} AS now, b.version AS version, b.stamp AS stamp, {} AS data FROM (SELECT 1 AS one) AS o \
             LEFT JOIN {} AS b ON b.name = {{}} AND b.scope = {{}}",
            self.dialect.now(),
            self.dialect.text("b.data"),
            self.breakers,
        );
        let row = sqlx::query(AssertSqlSafe(self.dialect.sql(&text))).bind(name).bind(scope);
        let mut held = self.connection().await.map_err(|error| failed(&error))?;
        let row = row.fetch_one(&mut *held.connection).await.map_err(|error| failed(&error))?;
        let read = || -> sqlx::Result<_> {
            Ok((
                row.try_get::<i64, _>("now")?,
                row.try_get::<Option<i64>, _>("version")?,
                row.try_get::<Option<String>, _>("stamp")?,
                row.try_get::<Option<String>, _>("data")?,
            ))
        };
        let (now, version, stamp, data) = read().map_err(|error| failed(&error))?;
        let stored = match (version, stamp, data) {
            (Some(version), Some(stamp), Some(data)) => {
                let state: State = serde_json::from_str(&data)
                    .map_err(|_| Error::corrupt(&id.text(), "it is no state of a circuit breaker"))?;
                Some(Stored { version: version.unsigned_abs(), stamp, audited: 0, state })
            }
            _ => None,
        };
        Ok(Loaded { stored, now: now.unsigned_abs() })
    }

    async fn transition(&self, id: &BreakerId, write: &Write) -> Result<Written> {
        let version = write.expected.as_ref().map_or(1, |stored| stored.version + 1);
        let stamp = format!("{version}.{}", write.stamp);
        let stored = Stored { version, stamp, audited: 0, state: write.state.clone() };
        match self.again(Effect::Unknown, || self.put(id, write, &stored)).await? {
            Some(now) => Ok(Written::Done(stored, now)),
            None => self.load(id).await.map(Written::Changed),
        }
    }

    /// Does a transaction, again and again while others only got in its way.
    pub(super) async fn again<T, Fut>(&self, effect: Effect, transaction: impl Fn() -> Fut) -> Result<T>
    where
        Fut: Future<Output = sqlx::Result<T>>,
    {
        let mut tried = 1;
        loop {
            match transaction().await {
                Ok(done) => return Ok(done),
                Err(error) if is_worth_a_try(&error) && tried < TRIES => {
                    // Later each time, and not at the same time as the other one.
                    let wait = u64::from(tried) * 5 + u64::from(std::process::id() % 7);
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                    tried += 1;
                }
                Err(error) => return Err(translated(&error, effect)),
            }
        }
    }

    /// The transaction: the row, if it is what was expected, and its events. The time, or nothing when it is not.
    async fn put(&self, id: &BreakerId, write: &Write, stored: &Stored) -> sqlx::Result<Option<u64>> {
        let mut held = self.connection().await?;
        let mut transaction = held.connection.begin().await?;
        let done = match &write.expected {
            Some(before) => self.replace(&mut transaction, id, stored, &before.stamp).await?,
            None => self.insert(&mut transaction, id, stored).await?,
        };
        if !done {
            transaction.rollback().await?;
            return Ok(None);
        }
        let (name, scope) = columns(id);
        for entry in &write.audit {
            let text = format!(
                "INSERT INTO {} (circuit_breaker_id, event, metadata, created_at) \
                 SELECT id, {{}}, {{json}}, {{ms}} FROM {} WHERE name = {{}} AND scope = {{}}",
                self.events, self.breakers
            );
            sqlx::query(AssertSqlSafe(self.dialect.sql(&text)))
                .bind(entry.event.clone())
                .bind(serde_json::to_string(entry).unwrap_or_default())
                .bind(entry.at.cast_signed())
                .bind(name.clone())
                .bind(scope.clone())
                .execute(&mut *transaction)
                .await?;
        }
        let now = sqlx::query(AssertSqlSafe(format!("SELECT {}", self.dialect.now())));
        let now = now.fetch_one(&mut *transaction).await?.try_get::<i64, _>(0)?;
        transaction.commit().await?;
        Ok(Some(now.unsigned_abs()))
    }

    pub(super) async fn replace(
        &self,
        transaction: &mut Transaction<'_, Any>,
        id: &BreakerId,
        stored: &Stored,
        expected: &str,
    ) -> sqlx::Result<bool> {
        let (name, scope) = columns(id);
        let text = format!(
            "UPDATE {} SET state = {{}}, failure_count = {{}}, success_count = {{}}, last_failure_at = {{ms}}, \
             opened_at = {{ms}}, closed_at = {{ms}}, updated_at = {{ms}}, version = {{}}, stamp = {{}}, data = {{}} \
             WHERE name = {{}} AND scope = {{}} AND stamp = {{}}",
            self.breakers
        );
        let sql = self.dialect.sql(&text);
        let query =
            bound(sqlx::query(AssertSqlSafe(sql)), stored).bind(name).bind(scope).bind(expected.to_owned());
        Ok(query.execute(&mut **transaction).await?.rows_affected() == 1)
    }

    pub(super) async fn insert(
        &self,
        transaction: &mut Transaction<'_, Any>,
        id: &BreakerId,
        stored: &Stored,
    ) -> sqlx::Result<bool> {
        let (name, scope) = columns(id);
        let text = format!(
            "INSERT INTO {} (state, failure_count, success_count, last_failure_at, opened_at, closed_at, updated_at, \
             version, stamp, data, name, scope, created_at) \
             VALUES ({{}}, {{}}, {{}}, {{ms}}, {{ms}}, {{ms}}, {{ms}}, {{}}, {{}}, {{}}, {{}}, {{}}, {{ms}})",
            self.breakers
        );
        let sql = self.dialect.sql(&text);
        let query = bound(sqlx::query(AssertSqlSafe(sql)), stored);
        let query = query.bind(name).bind(scope).bind(stored.state.at.cast_signed());
        match query.execute(&mut **transaction).await {
            Ok(_) => Ok(true),
            Err(sqlx::Error::Database(told)) if told.is_unique_violation() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn history(&self, id: &BreakerId, limit: usize) -> Result<Vec<Audit>> {
        let (name, scope) = columns(id);
        let text = format!(
            "SELECT {} AS metadata FROM {} AS e JOIN {} AS b ON b.id = e.circuit_breaker_id \
             WHERE b.name = {{}} AND b.scope = {{}} ORDER BY e.id DESC LIMIT {limit}",
            self.dialect.text("e.metadata"),
            self.events,
            self.breakers
        );
        let rows = sqlx::query(AssertSqlSafe(self.dialect.sql(&text))).bind(name).bind(scope);
        let mut held = self.connection().await.map_err(|error| failed(&error))?;
        let rows = rows.fetch_all(&mut *held.connection).await.map_err(|error| failed(&error))?;
        let entry =
            |row: &sqlx::any::AnyRow| serde_json::from_str(&row.try_get::<String, _>("metadata").ok()?).ok();
        Ok(rows.iter().filter_map(entry).collect())
    }

    async fn ids(&self) -> Result<Vec<BreakerId>> {
        let text = format!("SELECT name, scope FROM {} ORDER BY name, scope", self.breakers);
        let mut held = self.connection().await.map_err(|error| failed(&error))?;
        let rows = sqlx::query(AssertSqlSafe(text)).fetch_all(&mut *held.connection).await;
        let rows = rows.map_err(|error| failed(&error))?;
        let id = |row: &sqlx::any::AnyRow| {
            id_of(&row.try_get::<String, _>("name").ok()?, &row.try_get::<String, _>("scope").ok()?)
        };
        Ok(rows.iter().filter_map(id).collect())
    }
}

type Query<'q> = sqlx::query::Query<'q, Any, sqlx::any::AnyArguments>;

/// The columns that say how a breaker is.
fn bound<'q>(query: Query<'q>, stored: &Stored) -> Query<'q> {
    let State { mode, failures, successes, last_failure_at, opened_at, closed_at, at, .. } = &stored.state;
    let ms = |time: &Option<u64>| time.map(u64::cast_signed);
    let count = |count: u64| i64::from(i32::try_from(count).unwrap_or(i32::MAX));
    query
        .bind(mode.as_str().to_owned())
        .bind(count(*failures))
        .bind(count(*successes))
        .bind(ms(last_failure_at))
        .bind(ms(opened_at))
        .bind(ms(closed_at))
        .bind(at.cast_signed())
        .bind(stored.version.cast_signed())
        .bind(stored.stamp.clone())
        .bind(serde_json::to_string(&stored.state).unwrap_or_default())
}
