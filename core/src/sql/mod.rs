//! Circuit breakers in a SQL database, by `sqlx`: SQLite, PostgreSQL, MySQL or MariaDB.
//!
//! A database needs a runtime of its own: it has a thread, which begins when a store is opened and is joined when the
//! store is closed or dropped. What is asked goes there as a job; its answer wakes whoever waits.

mod dialect;
mod migrate;
mod query;
mod record;
mod store;
mod trouble;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyPool, Connection as _};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::clock::{Clock, Timestamp};
use crate::error::{Effect, Error, Result};
use crate::run::Run;

use dialect::Dialect;
use trouble::{away, config, full, translated};

pub use query::{BreakerRow, EventFilter, EventPage, EventRow, RowFilter};
pub use record::Change;

/// Connections of one store.
pub const DEFAULT_CONNECTIONS: u32 = 5;
/// How long a close waits for what is under way.
const CLOSE: Duration = Duration::from_millis(500);
/// Bytes of a prefix, and of a table's name with it: the shortest limit of a database is 63, for an index's name too.
const LONGEST_PREFIX: usize = 32;
const LONGEST_TABLE: usize = 52;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;
type Job = Box<dyn FnOnce(Arc<Db>, Arc<OnceCell<()>>) -> Work + Send>;

/// How a store is opened.
#[derive(Clone)]
pub struct SqlOptions {
    pub url: String,
    /// In front of the tables' names: letters, digits and `_`.
    pub prefix: String,
    /// The tables' own names.
    pub tables: Tables,
    pub connections: u32,
    /// How long opening it may take, migrations included.
    pub timeout_ms: u64,
}

/// How the tables are called, behind the prefix.
#[derive(Debug, Clone)]
pub struct Tables {
    pub breakers: String,
    pub events: String,
}

impl Default for Tables {
    fn default() -> Self {
        Self { breakers: "circuit_breakers".to_owned(), events: "circuit_breaker_events".to_owned() }
    }
}

/// The open database, as one job holds it.
#[derive(Clone)]
struct Db {
    pool: AnyPool,
    dialect: Dialect,
    breakers: String,
    events: String,
    connections: u32,
    /// As many jobs at a time as there are connections: so the pool is waited for only where it has to connect.
    slots: Arc<Semaphore>,
    stage: Arc<AtomicU8>,
}

/// How far a job got: what its deadline passing means.
#[derive(Clone, Copy)]
enum Stage {
    /// All connections are in use.
    Waiting,
    /// The database is not reached.
    Connecting,
    /// Something may have been sent.
    Working,
}

impl Db {
    fn at(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    /// A connection of the job's own, and the right to have one.
    async fn connection(&self) -> sqlx::Result<Connection> {
        self.at(Stage::Waiting);
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(|_| sqlx::Error::PoolClosed)?;
        self.at(Stage::Connecting);
        let connection = self.pool.acquire().await?;
        self.at(Stage::Working);
        Ok(Connection { connection, _slot: slot })
    }

    /// The deadline passed.
    fn late(&self, effect: Effect) -> Error {
        match self.stage.load(Ordering::Relaxed) {
            stage if stage == Stage::Waiting as u8 => full(self.connections),
            stage if stage == Stage::Connecting as u8 => away(Effect::NotApplied),
            _ => Error::timeout(effect),
        }
    }
}

/// A connection while a job has it.
struct Connection {
    connection: PoolConnection<Any>,
    _slot: OwnedSemaphorePermit,
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
        check_names(&options)?;
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
        let job: Job = Box::new(move |db, tables| {
            Box::pin(async move {
                let work = async {
                    tables.get_or_try_init(|| migrate::migrate(&db)).await?;
                    job(Arc::clone(&db)).await
                };
                let done = tokio::time::timeout(left, work).await;
                // Who asked may have gone.
                let _ = answer.send(done.unwrap_or_else(|_| Err(db.late(effect))));
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
        let db = Db {
            pool: pool.clone(),
            dialect,
            breakers: format!("{}{}", options.prefix, options.tables.breakers),
            events: format!("{}{}", options.prefix, options.tables.events),
            connections: options.connections,
            slots: Arc::new(Semaphore::new(options.connections as usize)),
            stage: Arc::default(),
        };
        let tables = Arc::new(OnceCell::new());
        let mut under_way = tokio::task::JoinSet::new();
        while let Some(job) = jobs.recv().await {
            while under_way.try_join_next().is_some() {}
            let own = |stage| Arc::new(Db { stage: Arc::new(AtomicU8::new(stage as u8)), ..db.clone() });
            if !tables.initialized() {
                // Whoever gives up waiting for the tables does not stop them from being made.
                let (db, tables) = (own(Stage::Connecting), Arc::clone(&tables));
                under_way.spawn(async move {
                    // What fails is met again by the job itself, which tells it.
                    let _: std::result::Result<&(), Error> =
                        tables.get_or_try_init(|| migrate::migrate(&db)).await;
                });
            }
            under_way.spawn(job(own(Stage::Connecting), Arc::clone(&tables)));
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
    pool.connect_lazy(&dialect.url(&options.url)).map_err(|error| translated(&error, Effect::NotApplied))
}

/// Letters, digits and `_`, and not longer than any database takes with what is put behind it.
fn check_names(SqlOptions { prefix, tables, .. }: &SqlOptions) -> Result<()> {
    let safe = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !safe(prefix) || prefix.len() > LONGEST_PREFIX {
        return Err(config("prefix: at most 32 letters, digits and _"));
    }
    for name in [&tables.breakers, &tables.events] {
        let starts = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
        if !starts || !safe(name) || prefix.len() + name.len() > LONGEST_TABLE {
            return Err(config("tables: letters, digits and _, no digit first, at most 52 with the prefix"));
        }
    }
    if tables.breakers.eq_ignore_ascii_case(&tables.events) {
        return Err(config("tables: two of them can't have one name"));
    }
    Ok(())
}
