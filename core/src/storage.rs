//! A storage as a whole: a request in text goes in, an answer in text comes out.
//!
//! This is where everything is put together; the face of a language calls nothing else.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::Waker;

use crate::backend::Backend;
use crate::breaker::{BreakerStore, KernelStore};
use crate::clock::{Clock, Timestamp};
use crate::error::{Code, Error, Result};
use crate::given::Given;
use crate::id::{Id, Ids};
use crate::journal::{Found, JournalFile};
use crate::key::Key;
use crate::layer::Layer as _;
use crate::layers::resilient::{self, Redo, Resilient};
use crate::layers::{Counts, Observe};
use crate::operation::{Area, Operation};
#[cfg(feature = "sql")]
pub use crate::perform::SqlDesk;
pub use crate::perform::{BreakerDesk, metrics_json, open_error, permit_number, permit_of};
use crate::run::{Run, poll_now};
use crate::schema::{
    self, GuardKind, Guards, Input, Issues, Json, JsonObject, Limits, OnCorrupt, Options, OptionsFor,
    PlainFor, PlainOptions, StorageOptions,
};
use crate::stores::{Call, Glancing, Glimpse, Keeping, Policy, SCHEMA_VERSION, Stores};
use crate::timer::Timers;

/// The answer for a record that the caller holds already.
pub use crate::stores::UNCHANGED;

/// How long a call waits unless it says otherwise.
pub const DEFAULT_TIMEOUT_MS: u64 = 2_000;

/// A call: which, of what, with what. Absent parts are empty.
#[derive(Debug, Clone)]
pub struct Request {
    pub operation: Operation,
    /// The first argument: an id's own text, or a value in the face's form if `id_is_value`. A user's id is
    /// always such a value.
    pub id: String,
    pub id_is_value: bool,
    pub id_tagged: bool,
    /// What is to be written or asked; of a `get` the tag of the record that the caller holds.
    pub data: Option<Text>,
    pub options: Option<Text>,
}

/// A value as the face wrote it.
#[derive(Debug, Clone)]
pub struct Text {
    pub text: String,
    pub tagged: bool,
}

impl Text {
    pub(crate) fn input(&self) -> Input<'_> {
        Input { text: &self.text, tagged: self.tagged }
    }
}

/// A storage: the stores over a backend, with what they were configured to.
pub struct Storage {
    pub(crate) stores: Arc<Stores>,
    pub(crate) backend: Arc<dyn Backend>,
    resilient: Option<Arc<Resilient>>,
    breakers: Arc<BreakerDesk>,
    clock: Arc<dyn Clock>,
    counts: Arc<Counts>,
    timeout_ms: u64,
}

/// What a storage is made of.
pub struct Parts {
    pub backend: Arc<dyn Backend>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    /// What ends pauses: whoever drives the storage calls its `tick`.
    pub timers: Arc<Timers>,
    pub settings: Settings,
}

/// A storage's settings, read from the caller's options.
#[derive(Debug, Default)]
pub struct Settings {
    pub options: StorageOptions,
    pub limits: Limits,
    pub guards: Guards,
}

/// The prefix of every stored key where none is given.
pub const DEFAULT_PREFIX: &str = "flowkeep:";

impl Settings {
    /// Reads the caller's options; `limits` and `schemas` are JSON objects, or empty.
    ///
    /// # Errors
    /// `STORAGE_CONFIG`, naming every option that can't be used.
    pub fn read(options: Input<'_>, limits: &str, schemas: &str) -> Result<Self> {
        let options = schema::storage_options(options).map_err(|issues| config(&issues))?;
        if let Some(version) = options.write_schema_version
            && version > u64::from(SCHEMA_VERSION)
        {
            let message =
                format!("writeSchemaVersion: this version writes 1 to {SCHEMA_VERSION}, not {version}");
            return Err(Error::new(Code::Config, message));
        }
        let limits = if limits.is_empty() {
            Limits::default()
        } else {
            serde_json::from_str(limits).map_err(|_| {
                Error::new(Code::Config, "limits: a name that is none, or a number that is none")
            })?
        };
        let guards = if schemas.is_empty() {
            Guards::default()
        } else {
            Guards::new(schemas).map_err(|why| Error::new(Code::Config, format!("schemas: {why}")))?
        };
        Ok(Self { options, limits, guards })
    }

    #[must_use]
    pub fn prefix(&self) -> &str {
        self.options.prefix.as_deref().unwrap_or(DEFAULT_PREFIX)
    }

    fn keeping(&self) -> Keeping {
        let usual = Keeping::default();
        Keeping {
            session_ttl_ms: self.options.session_ttl_seconds.map_or(usual.session_ttl_ms, milliseconds),
            feed_of_all: self.options.feed_of_all == Some(true),
            archive_after_ms: self
                .options
                .archive_after_seconds
                .map_or(usual.archive_after_ms, |seconds| Some(milliseconds(seconds).unwrap_or(0))),
            feed_ms: self.options.event_ttl_seconds.and_then(milliseconds).unwrap_or(usual.feed_ms),
            log_entries: self.options.max_events.unwrap_or(usual.log_entries),
            archive_ms: self.options.archive_ttl_seconds.map_or(usual.archive_ms, milliseconds),
            schema: self
                .options
                .write_schema_version
                .map_or(usual.schema, |version| u32::try_from(version).unwrap_or(usual.schema)),
            session_life_ms: self.options.max_session_life_seconds.and_then(milliseconds),
            ..usual
        }
    }
}

/// Seconds as milliseconds, rounded up; `None` for 0, which is no bound at all.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the schema bounds it")]
pub(crate) fn milliseconds(seconds: f64) -> Option<u64> {
    (seconds > 0.0).then(|| (seconds * 1000.0).ceil() as u64)
}

fn config(issues: &Issues) -> Error {
    let words = issues.0.iter().map(|issue| {
        let path = issue.path.iter().map(ToString::to_string).collect::<Vec<_>>().join(".");
        if path.is_empty() { issue.message.clone() } else { format!("{path}: {}", issue.message) }
    });
    Error::new(Code::Config, words.collect::<Vec<_>>().join("; "))
}

/// The record that this operation reads, if it is the right kind of id for it.
#[must_use]
pub fn read_by(operation: Operation, id: &str) -> Option<Id> {
    let is_right: fn(&Id) -> bool = match operation {
        Operation::GetSession => |id| matches!(id, Id::Session(_)),
        Operation::GetChain => |id| matches!(id, Id::Chain(..)),
        Operation::GetStep => |id| matches!(id, Id::Step(..)),
        _ => return None,
    };
    Id::parse(id).filter(is_right)
}

impl Storage {
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let observe = Observe::default();
        let backend = observe.wrap(Arc::clone(&parts.backend));
        Self::over(Parts { backend, ..parts }, observe.counts)
    }

    /// A storage whose backend may go away: see [`crate::layers::resilient`]. Whoever drives it calls
    /// [`Resilient::tick`]. `journal` is where kept writes outlive this process.
    #[must_use]
    pub fn resilient(parts: Parts, policy: resilient::Policy, journal: Option<(JournalFile, Found)>) -> Self {
        let counts = Arc::<Counts>::default();
        let made = resilient::Parts {
            inner: Arc::clone(&parts.backend),
            clock: Arc::clone(&parts.clock),
            ids: Arc::clone(&parts.ids),
            timers: Arc::clone(&parts.timers),
            counts: Arc::clone(&counts),
        };
        let resilient = Arc::new(Resilient::new(made, policy, journal));
        let backend = Arc::clone(&resilient) as Arc<dyn Backend>;
        let storage = Self::over(Parts { backend, ..parts }, counts);
        resilient.know(storage.stores.near());
        let (stores, clock) = (Arc::downgrade(&storage.stores), Arc::clone(&storage.clock));
        resilient.redo_with(Arc::new(Again { stores, clock, timeout_ms: storage.timeout_ms }));
        Self { resilient: Some(resilient), ..storage }
    }

    fn over(parts: Parts, counts: Arc<Counts>) -> Self {
        let Parts { backend, clock, ids, timers, settings } = parts;
        let timeout_ms = settings.options.timeout_ms.map_or(DEFAULT_TIMEOUT_MS, whole_ms);
        let policy = Policy {
            keeping: settings.keeping(),
            raw_keys: settings.options.kv.raw_keys,
            skips_corrupt: settings.options.on_corrupt == Some(OnCorrupt::Skip),
            limits: settings.limits,
            guards: settings.guards,
        };
        // In memory a breaker is this process' own: nothing outlives it, and nobody else is there.
        let shared = (!backend.info().immediate)
            .then(|| Arc::new(KernelStore::new(Arc::clone(&backend))) as Arc<dyn BreakerStore>);
        let breakers = Arc::new(BreakerDesk::new(shared, Arc::clone(&clock), Arc::clone(&ids), timeout_ms));
        let stores = Arc::new(Stores::new(Arc::clone(&backend), Arc::clone(&clock), ids, timers, policy));
        Self { stores, backend, resilient: None, breakers, clock, counts, timeout_ms }
    }

    /// The stack around the backend, where there is one.
    #[must_use]
    pub fn stack(&self) -> Option<&Arc<Resilient>> {
        self.resilient.as_ref()
    }

    /// Its circuit breakers.
    #[must_use]
    pub fn breakers(&self) -> &Arc<BreakerDesk> {
        &self.breakers
    }

    /// The kind of backend.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.stores.info().kind
    }

    /// How long a call waits unless it says otherwise.
    #[must_use]
    pub fn timeout_ms(&self) -> u64 {
        self.timeout_ms
    }

    /// How many transactions were committed, refused, failed.
    #[must_use]
    pub fn counts(&self) -> [u64; 3] {
        let Counts { committed, refused, failed } = &*self.counts;
        [committed, refused, failed].map(|counter| counter.load(Ordering::Relaxed))
    }

    /// Answers a request: a record as its tag, a line feed and its JSON, or `=` when it is the one that the
    /// caller holds; `null` for what is not there; a list, an event or a page as JSON; nothing for a deletion.
    ///
    /// *Errors*: every one of the contract.
    pub fn perform(self: &Arc<Self>, request: Request) -> Run<Result<String>> {
        let area = request.operation.area();
        if area == Area::Records {
            return self.perform_record(request).unwrap_or_else(|error| Run::now(Err(error)));
        }
        let storage = Arc::clone(self);
        // Each with a future of its own size: one for all would be as large as the largest, and is moved more than once.
        match area {
            Area::Records => Run::now(Err(Error::internal("an operation that is performed elsewhere"))),
            Area::Breakers => Run::later(async move { storage.breakers.perform(&request).await }),
            Area::Collections => Run::later(async move { storage.perform_collection(&request).await }),
            Area::Streams => Run::later(async move { storage.perform_stream(&request).await }),
            Area::RequestLog => Run::later(async move { storage.perform_log(&request).await }),
            Area::Kv => Run::later(async move { storage.perform_kv(&request).await }),
            Area::Life => Run::later(async move { storage.perform_life(&request).await }),
            Area::Feed => Run::later(async move { storage.perform_feed(&request).await }),
            Area::Queues => Run::later(async move { storage.perform_queue(&request).await }),
            Area::Caches => Run::later(async move { storage.perform_cache(&request).await }),
            Area::Resilience => Run::later(async move { storage.perform_resilience(&request).await }),
            Area::Services => Run::later(async move { storage.perform_service(&request).await }),
        }
    }

    /// Begins the read of a record (see [`read_by`]) as a glance, where that may be. Otherwise it is to be performed.
    pub fn glance(&self, id: Id, known: Option<&str>, who: (u32, &Waker)) -> Option<Glancing> {
        self.stores.glance(self.call_within(None), id, known, who)
    }

    /// What a glance came to, with its answer in `out`. One that missed is to be performed: see [`Storage::instead`].
    pub fn glimpse(&self, glancing: &Glancing, out: &mut String) -> Glimpse {
        self.stores.glimpse(glancing, out)
    }

    /// Performs a read whose glance missed, in the time that is left of it.
    pub fn instead(self: &Arc<Self>, operation: Operation, glancing: &Glancing) -> Run<Result<String>> {
        let text = |text: String| Text { text, tagged: false };
        let left = glancing.deadline.0.saturating_sub(self.clock.now().0).max(1);
        self.perform(Request {
            operation,
            id: glancing.id.to_string(),
            id_is_value: false,
            id_tagged: false,
            data: glancing.known().map(|tag| text(tag.to_owned())),
            options: Some(text(format!("{{\"timeoutMs\":{left}}}"))),
        })
    }

    /// Does what is left of a call: to its end where nothing waits, else as far as its owner polls it.
    pub(crate) fn go(
        &self,
        rest: impl Future<Output = Result<String>> + Send + 'static,
    ) -> Run<Result<String>> {
        if self.stores.info().immediate {
            let answer = poll_now(pin!(rest));
            return Run::now(answer.unwrap_or_else(|| Err(Error::internal("memory had to wait"))));
        }
        Run::later(rest)
    }

    pub(crate) fn call(&self, given: &mut Given<'_>, which: OptionsFor) -> (Call, Options) {
        let options = given.options(which);
        (self.call_within(options.timeout_ms), options)
    }

    /// A call that waits so long, or as long as this storage's do.
    pub(crate) fn call_within(&self, timeout_ms: Option<f64>) -> Call {
        let timeout_ms = timeout_ms.map_or(self.timeout_ms, whole_ms);
        let now = self.clock.now();
        self.stores.begin(now);
        Call { deadline: now.plus_ms(timeout_ms) }
    }

    /// Options of a call on a queue or a cache, and how long each of its round trips may take, in ms.
    pub(crate) fn plain_call(&self, given: &mut Given<'_>, which: PlainFor) -> (Call, u64, PlainOptions) {
        let options = given.own_options(|input, limits| schema::plain_options(which, input, limits));
        let timeout_ms = options.timeout_ms.map_or(self.timeout_ms, whole_ms);
        (Call { deadline: self.clock.now().plus_ms(timeout_ms) }, timeout_ms, options)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A call that may take so long.
    pub(crate) fn call_for(&self, timeout_ms: Option<f64>) -> Call {
        let timeout_ms = timeout_ms.map_or(self.timeout_ms, whole_ms);
        Call { deadline: self.clock.now().plus_ms(timeout_ms) }
    }

    pub(crate) fn only_call(&self, given: &mut Given<'_>) -> Result<Call> {
        let (call, _) = self.call(given, OptionsFor::Call);
        given.one(Some(call))
    }

    pub(crate) fn guard_object(&self, given: &mut Given<'_>, kind: GuardKind, value: Option<&JsonObject>) {
        if let Some(value) = value {
            given.guarded(self.stores.guards().check(kind, value.text()));
        }
    }

    pub(crate) fn guard_result(&self, given: &mut Given<'_>, value: Option<&Json>) {
        if let Some(value) = value {
            given.guarded(self.stores.guards().check(GuardKind::Result, value.text()));
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the schema bounds it")]
fn whole_ms(ms: f64) -> u64 {
    ms.ceil() as u64
}

/// Makes changes anew by the stores of a storage, for as long as there is one.
struct Again {
    stores: Weak<Stores>,
    clock: Arc<dyn Clock>,
    timeout_ms: u64,
}

impl Redo for Again {
    fn redo(&self, log: &Key, event: &str) -> Pin<Box<dyn Future<Output = Result<()>> + Send>> {
        let (stores, log, event) = (Weak::clone(&self.stores), log.name.clone(), event.to_owned());
        let call = Call { deadline: self.clock.now().plus_ms(self.timeout_ms) };
        Box::pin(async move {
            let stores = stores.upgrade().ok_or_else(Error::closed)?;
            stores.redo(call, &log, &event).await
        })
    }
}
