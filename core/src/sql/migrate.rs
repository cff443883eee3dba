//! The tables, made and brought up to date when a store is opened. Several processes may do so at the same time.

use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::Db;
use super::dialect::Dialect;
use super::trouble::translated;
use crate::error::{Effect, Result};

/// The versions of the tables, in order: what each of them adds.
fn versions(db: &Db) -> Vec<Vec<String>> {
    let [key, name, time, json, long] = db.dialect.types();
    let (breakers, events) = (&db.breakers, &db.events);
    let null = if db.dialect == Dialect::MySql { "NULL DEFAULT NULL" } else { "NULL" };
    let breaker = format!(
        "CREATE TABLE IF NOT EXISTS {breakers} (id {key}, name VARCHAR(255) {name} NOT NULL, \
         scope VARCHAR(512) {name} NOT NULL DEFAULT '', state VARCHAR(20) NOT NULL, \
         failure_count INT NOT NULL DEFAULT 0, success_count INT NOT NULL DEFAULT 0, \
         last_failure_at {time} {null}, opened_at {time} {null}, closed_at {time} {null}, \
         created_at {time} {null}, updated_at {time} {null}, \
         version BIGINT NOT NULL, stamp VARCHAR(64) NOT NULL, data {long} NOT NULL, UNIQUE (name, scope))"
    );
    let event = format!(
        "CREATE TABLE IF NOT EXISTS {events} (id {key}, circuit_breaker_id BIGINT NOT NULL, \
         event VARCHAR(50) NOT NULL, metadata {json} {null}, created_at {time} {null})"
    );
    // MySQL knows no "if not exists" for an index: the lock below and the version keep it to once.
    let index = |table: &str, name: &str, columns: &str| {
        let there = if db.dialect == Dialect::MySql { "" } else { "IF NOT EXISTS " };
        format!("CREATE INDEX {there}{table}_{name} ON {table} ({columns})")
    };
    vec![
        vec![
            breaker,
            event,
            index(events, "of", "circuit_breaker_id, id"),
            index(events, "at", "created_at"),
            index(breakers, "state", "state"),
        ],
        vec![
            // What an audit of breakers elsewhere wrote is known again by this.
            format!("ALTER TABLE {events} ADD COLUMN stamp VARCHAR(64) NULL"),
            format!("CREATE UNIQUE INDEX {events}_stamp ON {events} (stamp)"),
        ],
    ]
}

/// Applies what is missing, one process at a time.
pub(super) async fn migrate(db: &Db) -> Result<()> {
    apply(db).await.map_err(|error| translated(&error, Effect::NotApplied))
}

async fn apply(db: &Db) -> sqlx::Result<()> {
    let table = format!("{}_versions", db.breakers);
    // Not given back to the pool: whoever gives up half-way leaves no lock on a connection that others get.
    let mut connection = db.pool.acquire().await?.detach();
    // MySQL ends a transaction with each change of a table: its lock belongs to the connection.
    if db.dialect == Dialect::MySql {
        let got =
            sqlx::query("SELECT GET_LOCK('flowkeep_migrations', 10)").fetch_one(&mut connection).await?;
        if got.try_get::<i64, _>(0)? != 1 {
            return Err(sqlx::Error::PoolTimedOut);
        }
    }
    let begin = if db.dialect == Dialect::Sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" };
    let mut transaction = connection.begin_with(begin).await?;
    if db.dialect == Dialect::Postgres {
        sqlx::query("SELECT 1 FROM (SELECT pg_advisory_xact_lock(7165394) AS lock) AS locked")
            .execute(&mut *transaction)
            .await?;
    }
    let made = format!("CREATE TABLE IF NOT EXISTS {table} (version BIGINT PRIMARY KEY)");
    sqlx::query(AssertSqlSafe(made)).execute(&mut *transaction).await?;
    let asked = format!("SELECT COALESCE(MAX(version), 0) FROM {table}");
    let at = sqlx::query(AssertSqlSafe(asked)).fetch_one(&mut *transaction).await?.try_get::<i64, _>(0)?;
    for (version, statements) in (1i64..).zip(versions(db)).filter(|(version, _)| *version > at) {
        for statement in statements {
            sqlx::query(AssertSqlSafe(statement)).execute(&mut *transaction).await?;
        }
        let noted = db.dialect.sql(&format!("INSERT INTO {table} (version) VALUES ({{}})"));
        sqlx::query(AssertSqlSafe(noted)).bind(version).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    // With it goes the lock.
    connection.close().await
}
