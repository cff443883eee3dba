//! Changes of breakers that are kept elsewhere, written down here.

use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe, Connection as _, Row as _, Transaction};

use super::dialect::Dialect;
use super::store::columns;
use super::{Db, SqlStore};
use crate::breaker::{Audit, BreakerId, Mode, State, Stored};
use crate::clock::Timestamp;
use crate::error::{Effect, Error, Result};
use crate::run::Run;

/// How often it is begun anew when another process writes a breaker's first row at the same time.
const TRIES: usize = 8;

/// A change that happened elsewhere.
#[derive(Debug, Clone)]
pub struct Change {
    /// Tells it from every other one.
    pub stamp: String,
    pub id: BreakerId,
    pub entry: Audit,
}

impl SqlStore {
    /// Writes changes down, and brings the rows of their breakers up to date where they are later. One transaction; a
    /// change that is given again is known by its stamp and left out.
    pub fn record(&self, mut changes: Vec<Change>, deadline: Timestamp) -> Run<Result<()>> {
        // Everybody takes the rows in one order, so nobody waits in a circle. Of each breaker the order stays.
        changes.sort_by(|a, b| a.id.cmp(&b.id));
        self.run(deadline, Effect::Unknown, move |db| async move { db.record(&changes).await })
    }
}

impl Db {
    async fn record(&self, changes: &[Change]) -> Result<()> {
        for _ in 0..TRIES {
            if self.again(Effect::Unknown, || self.record_once(changes)).await? {
                return Ok(());
            }
        }
        Err(Error::unavailable("too many write at the same time", Effect::NotApplied))
    }

    /// Whether it is done: not when another process made a row that was not there a moment ago.
    async fn record_once(&self, changes: &[Change]) -> sqlx::Result<bool> {
        let mut held = self.connection().await?;
        let begin = if self.dialect == Dialect::Sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" };
        let mut transaction = held.connection.begin_with(begin).await?;
        for of_one in changes.chunk_by(|a, b| a.id == b.id) {
            if !self.record_breaker(&mut transaction, of_one).await? {
                transaction.rollback().await?;
                return Ok(false);
            }
            for change in of_one {
                self.record_event(&mut transaction, change).await?;
            }
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// The row of the breaker that these changes are of.
    async fn record_breaker(
        &self,
        transaction: &mut Transaction<'_, Any>,
        changes: &[Change],
    ) -> sqlx::Result<bool> {
        let (Some(first), Some(last)) = (changes.first(), changes.last()) else { return Ok(true) };
        let (name, scope) = columns(&first.id);
        let text = format!(
            "SELECT version, stamp, {} AS data FROM {} WHERE name = {{}} AND scope = {{}}{}",
            self.dialect.text("data"),
            self.breakers,
            if self.dialect == Dialect::Sqlite { "" } else { " FOR UPDATE" },
        );
        let asked = self.dialect.sql(&text);
        let row = sqlx::query(AssertSqlSafe(asked)).bind(name).bind(scope);
        let before = row.fetch_optional(&mut **transaction).await?.map(|row| stored(&row)).transpose()?;
        let generation = before.as_ref().map(|stored| stored.state.generation);
        let version = before.as_ref().map_or(1, |stored| stored.version + 1);
        let since = before.as_ref().map(|stored| stored.state.clone()).unwrap_or_default();
        let state = changes.iter().fold(since, |state, change| after(state, &change.entry));
        let stamp = format!("{version}.{}", last.stamp);
        let stored = Stored { version, stamp, audited: 0, state };
        match (before, generation) {
            (Some(before), Some(generation)) if generation < stored.state.generation => {
                self.replace(transaction, &first.id, &stored, &before.stamp).await
            }
            (Some(_), _) => Ok(true),
            (None, _) => self.insert(transaction, &first.id, &stored).await,
        }
    }

    async fn record_event(
        &self,
        transaction: &mut Transaction<'_, Any>,
        change: &Change,
    ) -> sqlx::Result<()> {
        let (name, scope) = columns(&change.id);
        let text = format!(
            "INSERT INTO {events} (circuit_breaker_id, event, metadata, created_at, stamp) \
             SELECT id, {{}}, {{json}}, {{ms}}, {{}} FROM {} WHERE name = {{}} AND scope = {{}} \
             AND NOT EXISTS (SELECT 1 FROM {events} WHERE stamp = {{}})",
            self.breakers,
            events = self.events,
        );
        sqlx::query(AssertSqlSafe(self.dialect.sql(&text)))
            .bind(change.entry.event.clone())
            .bind(serde_json::to_string(&change.entry).unwrap_or_default())
            .bind(change.entry.at.cast_signed())
            .bind(change.stamp.clone())
            .bind(name)
            .bind(scope)
            .bind(change.stamp.clone())
            .execute(&mut **transaction)
            .await?;
        Ok(())
    }
}

/// What a row holds; a state that can't be read is one that every change is later than.
fn stored(row: &AnyRow) -> sqlx::Result<Stored> {
    let version = row.try_get::<i64, _>("version")?.unsigned_abs();
    let data: String = row.try_get("data")?;
    Ok(Stored {
        version,
        stamp: row.try_get("stamp")?,
        audited: 0,
        state: serde_json::from_str(&data).unwrap_or_default(),
    })
}

/// What is known of a breaker after a change.
fn after(before: State, entry: &Audit) -> State {
    if entry.generation < before.generation {
        return before;
    }
    let at = |mode, last| if entry.to == mode { Some(entry.at) } else { last };
    let closed = entry.to == Mode::Closed;
    State {
        mode: entry.to,
        generation: entry.generation,
        at: entry.at,
        since: entry.at,
        until: entry.until,
        cause: Some(entry.cause),
        failures: if closed { 0 } else { entry.failures },
        successes: if closed { 0 } else { entry.successes },
        opened_at: at(Mode::Open, before.opened_at),
        closed_at: at(Mode::Closed, before.closed_at),
        last_failure_at: before.last_failure_at,
        ..State::default()
    }
}
