//! Circuit breakers in a SQL database, by `sqlx`: SQLite, PostgreSQL, MySQL or MariaDB.
//!
//! A database needs a runtime of its own: it has a thread, which begins when a store is opened and is joined when the
//! store is closed or dropped. What is asked goes there as a job; its answer wakes whoever waits.

mod dialect;
mod migrate;
mod query;
mod store;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::{AnyPool, Connection as _};
use tokio::sync::{mpsc, oneshot};

use crate::clock::{Clock, Timestamp};
use crate::error::{Code, Detail, Effect, Error, Result};
use crate::run::Run;

use dialect::Dialect;
pub use query::{BreakerRow, EventFilter, EventPage, EventRow, RowFilter};

/// Connections of one store.
pub const DEFAULT_CONNECTIONS: u32 = 5;
/// How long a close waits for what is under way.
const CLOSE: Duration = Duration::from_millis(500);

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;
type Job = Box<dyn FnOnce(Arc<Db>) -> Work + Send>;

/// How a store is opened.
#[derive(Clone)]
pub struct SqlOptions {
    pub url: String,
    /// In front of both tables' names: letters, digits and `_`.
    pub prefix: String,
    pub connections: u32,
    /// How long opening it may take, migrations included.
    pub timeout_ms: u64,
}

/// The open database.
struct Db {
    pool: AnyPool,
    dialect: Dialect,
    breakers: String,
    events: String,
    connections: u32,
}

/// Keeps breakers in two tables, which people may query.
///
/// *Atomicity*: a write is one transaction: the breaker's row by compare-and-set, and its events. *Errors*:
/// `STORAGE_CAPACITY` when no connection is free in time, `STORAGE_CONFIG` for credentials that are refused,
/// `STORAGE_UNAVAILABLE` for a server that is away. Deadlocks and serialization failures are tried again.
pub struct SqlStore {
    jobs: Mutex<Option<mpsc::UnboundedSender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    clock: Arc<dyn Clock>,
}

impl SqlStore {
    /// Opens a database and brings its tables to the present version; connecting happens on the store's own thread,
    /// and what fails is told by the first call.
    ///
    /// # Errors
    /// `STORAGE_CONFIG` for a URL or a prefix that can't be used.
    pub fn open(options: SqlOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        let dialect = Dialect::of(&options.url)?;
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if !options.prefix.bytes().all(safe) || options.prefix.len() > 32 {
            return Err(config("prefix: at most 32 letters, digits and _"));
        }
        let (sender, jobs) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new().name("flowkeep-sql".to_owned());
        let thread = thread.spawn(move || serve(&options, dialect, jobs));
        let thread = thread.map_err(|_| Error::internal("no thread for the database"))?;
        Ok(Self { jobs: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)), clock })
    }

    /// Runs a job on the store's thread. Nothing is waited for beyond the deadline.
    fn run<T, F, Fut>(&self, deadline: Timestamp, effect: Effect, job: F) -> Run<Result<T>>
    where
        T: Send + 'static,
        F: FnOnce(Arc<Db>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T>> + Send + 'static,
    {
        let left = Duration::from_millis(deadline.0.saturating_sub(self.clock.now().0));
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |db| {
            Box::pin(async move {
                let done = tokio::time::timeout(left, job(db)).await;
                // Who asked may have gone.
                let _ = answer.send(done.unwrap_or_else(|_| Err(Error::timeout(effect))));
            })
        });
        let sent = match &*self.jobs.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(jobs) => jobs.send(job).is_ok(),
            None => false,
        };
        if !sent {
            return Run::now(Err(Error::closed()));
        }
        Run::later(async move { answered.await.unwrap_or_else(|_| Err(Error::closed())) })
    }

    /// Ends the thread and its connections, and waits until they are gone. Again is no error.
    pub fn close(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic on it was answered already: the job's answer never came.
            let _ = thread.join();
        }
    }
}

impl Drop for SqlStore {
    fn drop(&mut self) {
        self.close();
    }
}

/// The thread: connects with the first job, and again while it can't.
fn serve(options: &SqlOptions, dialect: Dialect, mut jobs: mpsc::UnboundedReceiver<Job>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        let pool = match connect(options, dialect) {
            Ok(pool) => pool,
            Err(_) => return,
        };
        let db = Arc::new(Db {
            pool: pool.clone(),
            dialect,
            breakers: format!("{}circuit_breakers", options.prefix),
            events: format!("{}circuit_breaker_events", options.prefix),
            connections: options.connections,
        });
        let ready = Arc::new(tokio::sync::OnceCell::new());
        let (prefix, mut under_way) = (options.prefix.clone(), tokio::task::JoinSet::new());
        while let Some(job) = jobs.recv().await {
            while under_way.try_join_next().is_some() {}
            let (db, ready, prefix) = (Arc::clone(&db), Arc::clone(&ready), prefix.clone());
            under_way.spawn(async move {
                // A failure is met again by the job itself, which tells it.
                let _: std::result::Result<&(), Error> =
                    ready.get_or_try_init(|| migrate::migrate(&db, &prefix)).await;
                job(db).await;
            });
        }
        let _ = tokio::time::timeout(CLOSE, async {
            while under_way.join_next().await.is_some() {}
            pool.close().await;
        })
        .await;
    });
    runtime.shutdown_timeout(CLOSE);
}

fn connect(options: &SqlOptions, dialect: Dialect) -> Result<AnyPool> {
    sqlx::any::install_default_drivers();
    let pool = AnyPoolOptions::new()
        .max_connections(options.connections)
        .acquire_timeout(Duration::from_millis(options.timeout_ms))
        .after_connect(move |connection, _| {
            Box::pin(async move {
                for &statement in dialect.greeting() {
                    sqlx::query(statement).execute(&mut *connection).await?;
                }
                connection.ping().await
            })
        });
    pool.connect_lazy(&dialect.url(&options.url)).map_err(|error| translated(&error, options.connections))
}

fn config(what: &str) -> Error {
    Error::new(Code::Config, what)
}

/// An error of the database in the terms of the contract. Its text may hold a URL or a value: only its kind is told.
fn translated(error: &sqlx::Error, connections: u32) -> Error {
    use sqlx::Error as Sql;
    match error {
        Sql::PoolTimedOut => {
            let mut full = Error::new(Code::Capacity, "no connection to the database was free in time");
            full.retryable = true;
            full.with(Detail { limit: Some(u64::from(connections)), ..Detail::default() })
        }
        Sql::PoolClosed => Error::closed(),
        Sql::Configuration(_) => config("the database URL can't be used"),
        Sql::Database(told) => match told.code().as_deref() {
            // Wrong password, no such role, no such database; the same of MySQL.
            Some("28P01" | "28000" | "3D000" | "42501" | "42000") => {
                config("the database refuses these credentials, or has no such database")
            }
            Some("57P01" | "57P02" | "57P03" | "53300" | "08004" | "08006") => away(),
            Some(code) => Error::internal(format!("the database answered {code}")),
            None => Error::internal("the database answered with an error"),
        },
        Sql::Io(_) | Sql::Tls(_) | Sql::Protocol(_) | Sql::WorkerCrashed => away(),
        _ => Error::internal("the database's answer can't be read"),
    }
}

fn away() -> Error {
    Error::unavailable("the database can't be reached", Effect::NotApplied)
}

/// Whether the same transaction may succeed when it is tried again: deadlocks, serialization failures, busy files.
fn is_worth_a_try(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(told) = error else { return false };
    matches!(told.code().as_deref(), Some("40001" | "40P01" | "1213" | "1205" | "5" | "6" | "261" | "517"))
}
