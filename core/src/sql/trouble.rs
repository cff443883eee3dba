//! Errors of a database in the terms of the contract. Their texts may hold a URL or a value: only their kind is told.

use sqlx::error::DatabaseError;
use sqlx::mysql::MySqlDatabaseError;

use crate::error::{Code, Detail, Effect, Error};

/// Access refused, or no such database: PostgreSQL's codes, and those that MySQL shares or has of its own.
const REFUSED: [&str; 5] = ["28P01", "28000", "3D000", "42501", "42000"];
/// Classes of codes of a server that is not there, or not for us: connection, shutdown, resources.
const AWAY: [&str; 3] = ["08", "57P", "53"];
/// Deadlock and serialization failure in both; then what SQLite says of a file that another one writes.
const AGAIN: [&str; 7] = ["40001", "40P01", "5", "6", "261", "517", "773"];
/// What MySQL tells by number only: a lock was not got in time, a row changed since it was read.
const AGAIN_MYSQL: [u16; 3] = [1205, 1213, 1020];
/// MySQL: the server goes down, the connection was ended, too many of them.
const AWAY_MYSQL: [u16; 4] = [1053, 1927, 1040, 1203];
/// SQLite: the file can't be opened, read or written.
const AWAY_SQLITE: [&str; 3] = ["10", "13", "14"];

pub(super) fn config(what: &str) -> Error {
    Error::new(Code::Config, what)
}

/// All connections are in use.
pub(super) fn full(connections: u32) -> Error {
    let mut full = Error::new(Code::Capacity, "no connection to the database was free in time");
    full.retryable = true;
    full.with(Detail { limit: Some(u64::from(connections)), ..Detail::default() })
}

pub(super) fn away(effect: Effect) -> Error {
    Error::unavailable("the database can't be reached", effect)
}

/// What went wrong with a question.
pub(super) fn failed(error: &sqlx::Error) -> Error {
    translated(error, Effect::NotApplied)
}

/// What went wrong with something of this effect.
pub(super) fn translated(error: &sqlx::Error, effect: Effect) -> Error {
    use sqlx::Error as Sql;
    match error {
        // Slots are taken before the pool is asked: it can only have waited for the server.
        Sql::PoolTimedOut => away(Effect::NotApplied),
        Sql::PoolClosed => Error::closed(),
        Sql::Configuration(_) => config("the database URL can't be used"),
        Sql::Database(told) => answered(&**told, effect),
        Sql::Io(_) | Sql::Tls(_) | Sql::Protocol(_) | Sql::WorkerCrashed => away(effect),
        _ => Error::internal("the database's answer can't be read"),
    }
}

fn answered(told: &dyn DatabaseError, effect: Effect) -> Error {
    let code = told.code();
    let code = code.as_deref().unwrap_or_default();
    if REFUSED.contains(&code) {
        return config("the database refuses these credentials, or has no such database");
    }
    let by_class = code.len() == 5 && AWAY.iter().any(|class| code.starts_with(class));
    let is_away = by_class || AWAY_SQLITE.contains(&code);
    if is_away || mysql(told).is_some_and(|number| AWAY_MYSQL.contains(&number)) {
        return away(effect);
    }
    if is_passing(told) {
        return Error::unavailable("the database is busy with others", Effect::NotApplied);
    }
    Error::internal(format!("the database answered {code}"))
}

/// Whether the same transaction may succeed when it is tried again: deadlocks, serialization failures, busy files.
pub(super) fn is_worth_a_try(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(told) if is_passing(&**told))
}

fn is_passing(told: &dyn DatabaseError) -> bool {
    let code = told.code();
    let by_number = mysql(told).is_some_and(|number| AGAIN_MYSQL.contains(&number));
    by_number || code.is_some_and(|code| AGAIN.contains(&&*code))
}

fn mysql(told: &dyn DatabaseError) -> Option<u16> {
    told.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number)
}
