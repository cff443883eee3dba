//! A storage as a whole: a request in text goes in, an answer in text comes out.
//!
//! This is where everything is put together; the face of a language calls nothing else.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::backend::Backend;
use crate::clock::{Clock, Timestamp};
use crate::error::{Code, Error, Result};
use crate::given::Given;
use crate::id::Ids;
use crate::layer::Layer as _;
use crate::layers::{Counts, Observe};
use crate::operation::Operation;
use crate::schema::{
    self, CustomEvent, EventsOptions, GuardKind, Guards, Input, Issues, Json, JsonObject, Limits, OnCorrupt,
    Options, OptionsFor, Order, StorageOptions,
};
use crate::stores::{Bound, Call, EventsQuery, Keeping, Listing, Policy, Stores};

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
    stores: Stores,
    clock: Arc<dyn Clock>,
    counts: Arc<Counts>,
    timeout_ms: u64,
}

/// What a storage is made of.
pub struct Parts {
    pub backend: Arc<dyn Backend>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
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
            session_life_ms: self.options.max_session_life_seconds.and_then(milliseconds),
            ..usual
        }
    }
}

/// Seconds as milliseconds, rounded up; `None` for 0, which is no bound at all.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the schema bounds it")]
fn milliseconds(seconds: f64) -> Option<u64> {
    (seconds > 0.0).then(|| (seconds * 1000.0).ceil() as u64)
}

fn config(issues: &Issues) -> Error {
    let words = issues.0.iter().map(|issue| {
        let path = issue.path.iter().map(ToString::to_string).collect::<Vec<_>>().join(".");
        if path.is_empty() { issue.message.clone() } else { format!("{path}: {}", issue.message) }
    });
    Error::new(Code::Config, words.collect::<Vec<_>>().join("; "))
}

impl Storage {
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let observe = Observe::default();
        let backend = observe.wrap(parts.backend);
        let timeout_ms = parts.settings.options.timeout_ms.map_or(DEFAULT_TIMEOUT_MS, whole_ms);
        let policy = Policy {
            keeping: parts.settings.keeping(),
            skips_corrupt: parts.settings.options.on_corrupt == Some(OnCorrupt::Skip),
            limits: parts.settings.limits,
            guards: parts.settings.guards,
        };
        let stores = Stores::new(backend, Arc::clone(&parts.clock), parts.ids, policy);
        Self { stores, clock: parts.clock, counts: observe.counts, timeout_ms }
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
    /// # Errors
    /// Every error of the contract.
    pub async fn perform(&self, request: Request) -> Result<String> {
        use Operation as Op;
        let Request { id, data, .. } = &request;
        let known = data.as_ref().map(|data| data.text.as_str());
        let mut given = Given::new(&request, self.stores.limits());
        match request.operation {
            Op::CreateSession => {
                let user = given.user();
                let data: Option<schema::SessionData> = given.data();
                let (call, options) = self.call(&mut given, OptionsFor::Create);
                self.guard_object(&mut given, GuardKind::Session, data.as_ref().map(|data| &data.metadata));
                let (user, data) = given.both(user, data)?;
                self.stores.create_session(call, &user, data, options.idempotency_key.as_deref()).await
            }
            Op::GetSession => {
                let call = self.only_call(&mut given)?;
                or_null(self.stores.get_session(call, id, known).await)
            }
            Op::UpdateSession => {
                let update: Option<schema::SessionUpdate> = given.data();
                let (call, options) = self.call(&mut given, OptionsFor::Update);
                let metadata = update.as_ref().and_then(|update| update.metadata.as_ref());
                self.guard_object(&mut given, GuardKind::Session, metadata);
                self.stores.update_session(call, id, &given.one(update)?, options.if_version).await
            }
            Op::DeleteSession => {
                let call = self.only_call(&mut given)?;
                nothing(self.stores.delete_session(call, id).await)
            }
            Op::ListSessions => {
                let user = given.user();
                let (call, options) = self.call(&mut given, OptionsFor::List);
                let user = given.one(user)?;
                list(self.stores.list_sessions(call, &user, listing(&options)).await)
            }
            Op::TouchSession => {
                let call = self.only_call(&mut given)?;
                self.stores.touch_session(call, id).await
            }
            Op::CreateChain => {
                let data: Option<schema::ChainData> = given.data();
                let (call, options) = self.call(&mut given, OptionsFor::CreateChain);
                self.guard_object(&mut given, GuardKind::Chain, data.as_ref().map(|data| &data.metadata));
                let rollup = options.rollup.unwrap_or(true);
                self.stores
                    .create_chain(call, id, given.one(data)?, options.idempotency_key.as_deref(), rollup)
                    .await
            }
            Op::GetChain => {
                let call = self.only_call(&mut given)?;
                or_null(self.stores.get_chain(call, id, known).await)
            }
            Op::UpdateChain => {
                let update: Option<schema::ChainUpdate> = given.data();
                let (call, options) = self.call(&mut given, OptionsFor::Update);
                let metadata = update.as_ref().and_then(|update| update.metadata.as_ref());
                self.guard_object(&mut given, GuardKind::Chain, metadata);
                self.stores.update_chain(call, id, &given.one(update)?, options.if_version).await
            }
            Op::DeleteChain => {
                let call = self.only_call(&mut given)?;
                nothing(self.stores.delete_chain(call, id).await)
            }
            Op::ListChains => {
                let (call, options) = self.call(&mut given, OptionsFor::List);
                given.one(Some(()))?;
                list(self.stores.list_chains(call, id, listing(&options)).await)
            }
            Op::CreateStep => {
                let data: Option<schema::StepData> = given.data();
                let (call, options) = self.call(&mut given, OptionsFor::Create);
                self.guard_object(&mut given, GuardKind::Inputs, data.as_ref().map(|data| &data.inputs));
                self.stores.create_step(call, id, given.one(data)?, options.idempotency_key.as_deref()).await
            }
            Op::GetStep => {
                let call = self.only_call(&mut given)?;
                or_null(self.stores.get_step(call, id, known).await)
            }
            Op::UpdateStep => {
                let update: Option<schema::StepUpdate> = given.data();
                let (call, options) = self.call(&mut given, OptionsFor::Update);
                self.guard_object(
                    &mut given,
                    GuardKind::Inputs,
                    update.as_ref().and_then(|update| update.inputs.as_ref()),
                );
                self.guard_result(&mut given, update.as_ref().and_then(|update| update.result.as_ref()));
                self.stores.update_step(call, id, &given.one(update)?, options.if_version).await
            }
            Op::DeleteStep => {
                let call = self.only_call(&mut given)?;
                nothing(self.stores.delete_step(call, id).await)
            }
            Op::ListSteps => {
                let (call, options) = self.call(&mut given, OptionsFor::List);
                given.one(Some(()))?;
                list(self.stores.list_steps(call, id, listing(&options)).await)
            }
            Op::AppendEvent => {
                let event: Option<CustomEvent> = given.data();
                let (call, _) = self.call(&mut given, OptionsFor::Call);
                self.stores.append_event(call, id, &given.one(event)?).await
            }
            Op::Events => {
                let query = given.events();
                let (call, _) = self.call(&mut given, OptionsFor::Call);
                self.stores.events(call, &events_query(given.one(query)?)).await
            }
        }
    }

    fn call(&self, given: &mut Given<'_>, which: OptionsFor) -> (Call, Options) {
        let options = given.options(which);
        let timeout_ms = options.timeout_ms.map_or(self.timeout_ms, whole_ms);
        (Call { deadline: self.clock.now().plus_ms(timeout_ms) }, options)
    }

    fn only_call(&self, given: &mut Given<'_>) -> Result<Call> {
        let (call, _) = self.call(given, OptionsFor::Call);
        given.one(Some(call))
    }

    fn guard_object(&self, given: &mut Given<'_>, kind: GuardKind, value: Option<&JsonObject>) {
        if let Some(value) = value {
            given.guarded(self.stores.guards().check(kind, value.text()));
        }
    }

    fn guard_result(&self, given: &mut Given<'_>, value: Option<&Json>) {
        if let Some(value) = value {
            given.guarded(self.stores.guards().check(GuardKind::Result, value.text()));
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the schema bounds it")]
fn whole_ms(ms: f64) -> u64 {
    ms.ceil() as u64
}

fn or_null(answer: Result<Option<String>>) -> Result<String> {
    answer.map(|text| text.unwrap_or_else(|| "null".to_owned()))
}

fn nothing(answer: Result<()>) -> Result<String> {
    answer.map(|()| String::new())
}

fn list(answer: Result<Vec<String>>) -> Result<String> {
    answer.map(|items| format!("[{}]", items.join(",")))
}

fn listing(options: &Options) -> Listing {
    let limit = options.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    Listing { descending: options.order == Order::Desc, limit }
}

fn events_query(options: EventsOptions) -> EventsQuery {
    let bound =
        |text: Option<String>| text.map(|text| Timestamp::parse(&text).map_or(Bound::Event(text), Bound::At));
    EventsQuery {
        limit: usize::try_from(options.limit()).unwrap_or(usize::MAX),
        session_id: options.session_id,
        user_id: options.user_id,
        after: bound(options.after),
        before: bound(options.before),
        types: options.types,
        cursor: options.cursor,
    }
}
