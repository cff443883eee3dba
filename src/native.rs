//! A storage as JavaScript holds it.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::sync::Arc;

use flowkeep_core::backend::Backend;
use flowkeep_core::clock::{Clock, SystemClock};
use flowkeep_core::config::{Choice, Environment, choose};
use flowkeep_core::error::{Error, Result};
use flowkeep_core::id::{Ids, RandomIds};
use flowkeep_core::memory::Memory;
use flowkeep_core::operation::Operation;
use flowkeep_core::redis::{Access, Mux, Redis, Want};
use flowkeep_core::run::poll_now;
use flowkeep_core::schema::Input;
use flowkeep_core::storage::{Parts, Request, Settings, Storage, Text};
use napi::bindgen_prelude::{Buffer, Either};
use napi_derive::napi;

use crate::guarded;
use crate::tasks::{self, Tasks};

/// The first argument is a value in the face's form, not an id's own text.
const ID_IS_VALUE: u32 = 1;
/// The data is in the tagged form.
const DATA_TAGGED: u32 = 2;
/// The options are in the tagged form.
const OPTIONS_TAGGED: u32 = 4;
/// The first argument is a value in the tagged form.
const ID_TAGGED: u32 = 8;

/// A storage on memory, or on Redis over a socket that JavaScript owns.
#[napi]
pub struct NativeStorage {
    storage: Arc<Storage>,
    mux: Option<Arc<Mux>>,
    address: Vec<String>,
    tasks: RefCell<Tasks>,
    closed: Cell<bool>,
}

#[napi]
impl NativeStorage {
    /// Opens a storage. `settings` are the options, `limits` and `schemas`, as JSON texts; `tagged` is said
    /// of the options; `variables` are `NODE_ENV` and `REDIS_URL`, for where the options are silent. Throws
    /// an error whose message is `!` and the JSON of the storage's own error.
    #[napi(constructor)]
    pub fn new(settings: Vec<String>, tagged: bool, variables: Vec<String>) -> napi::Result<Self> {
        open(&settings, tagged, &variables)
            .map_err(|error| napi::Error::from_reason(guarded::failed(None, &error)))
    }

    /// Makes a call: the text of its answer, or a ticket. `operation` is a place in `operations()`.
    #[napi]
    pub fn call(
        &self,
        operation: u32,
        id: String,
        data: Option<String>,
        options: Option<String>,
        flags: u32,
    ) -> Either<String, u32> {
        let known = usize::try_from(operation).ok().and_then(|place| Operation::ALL.get(place));
        let Some(&operation) = known else {
            return Either::A(guarded::failed(None, &Error::internal("no such operation")));
        };
        if self.closed.get() {
            return Either::A(guarded::failed(Some(operation), &Error::closed()));
        }
        let text = |text: Option<String>, flag| text.map(|text| Text { text, tagged: flags & flag != 0 });
        let request = Request {
            operation,
            id,
            id_is_value: flags & ID_IS_VALUE != 0,
            id_tagged: flags & ID_TAGGED != 0,
            data: text(data, DATA_TAGGED),
            options: text(options, OPTIONS_TAGGED),
        };
        if self.mux.is_none() {
            return Either::A(guarded::text(Some(operation), || {
                let answer = poll_now(pin!(perform(&self.storage, request)));
                tasks::text(operation, answer.unwrap_or_else(|| Err(Error::internal("memory had to wait"))))
            }));
        }
        let storage = Arc::clone(&self.storage);
        let answer = Box::pin(async move { perform(&storage, request).await });
        match self.tasks.borrow_mut().begin(operation, answer) {
            Ok(text) => Either::A(text),
            Err(ticket) => Either::B(ticket),
        }
    }

    /// Gives a call up.
    #[napi]
    pub fn abandon(&self, ticket: u32) {
        guarded::or_default(|| self.tasks.borrow_mut().abandon(ticket));
    }

    /// How long a call waits unless it says otherwise, in ms.
    #[napi(getter)]
    pub fn timeout_ms(&self) -> f64 {
        self.storage.timeout_ms() as f64
    }

    /// Where to dial: host and port, or a path; empty for memory.
    #[napi(getter)]
    pub fn address(&self) -> Vec<String> {
        self.address.clone()
    }

    /// The bytes to send now; null while there are none.
    #[napi]
    pub fn output(&self) -> Option<Buffer> {
        let bytes = guarded::or_default(|| self.mux.as_ref().map(|mux| mux.output()).unwrap_or_default());
        (!bytes.is_empty()).then(|| bytes.into())
    }

    /// The socket is connected.
    #[napi]
    pub fn connected(&self) {
        guarded::or_default(|| self.with_mux(Mux::connected));
    }

    /// The socket is gone, or could not be connected.
    #[napi]
    pub fn disconnected(&self, reason: String) {
        guarded::or_default(|| self.with_mux(|mux| mux.disconnected(&reason)));
    }

    /// Bytes came from the socket.
    #[napi]
    pub fn feed(&self, bytes: &[u8]) {
        guarded::or_default(|| self.with_mux(|mux| mux.feed(bytes)));
    }

    /// Looks at the time: 0 nothing to do, 1 dial, 2 destroy the socket.
    #[napi]
    pub fn tick(&self) -> u32 {
        guarded::or_default(|| match self.mux.as_ref().map(|mux| mux.tick()) {
            None | Some(Want::Nothing) => 0,
            Some(Want::Connect) => 1,
            Some(Want::Drop) => 2,
        })
    }

    /// Calls that have finished: ticket, text, ticket, text, ...
    #[napi]
    pub fn finished(&self) -> Vec<Either<u32, String>> {
        let finished = guarded::or_default(|| self.tasks.borrow_mut().finished());
        finished.into_iter().flat_map(|(ticket, text)| [Either::A(ticket), Either::B(text)]).collect()
    }

    /// The state of things, as JSON.
    #[napi]
    pub fn status(&self) -> String {
        guarded::text(None, || self.describe())
    }

    /// Calls under way fail with `STORAGE_CLOSED`; so does every later one.
    #[napi]
    pub fn close(&self) {
        self.closed.set(true);
        guarded::or_default(|| self.with_mux(Mux::close));
    }

    fn with_mux(&self, act: impl FnOnce(&Mux)) {
        if let Some(mux) = &self.mux {
            act(mux);
        }
    }

    fn describe(&self) -> String {
        let [committed, refused, failed] = self.storage.counts();
        let up = self.mux.as_ref().is_some_and(|mux| mux.is_up());
        let last_error = self.mux.as_ref().and_then(|mux| mux.last_error());
        let state = match (self.closed.get(), &last_error) {
            (true, _) => "closed",
            (false, Some(_)) => "degraded",
            (false, None) => "healthy",
        };
        format!(
            "{{\"state\":\"{state}\",\"backend\":\"{}\",\"connections\":{},\"pending\":{},\"operations\":{},\
             \"refused\":{refused},\"failed\":{failed},\"lastError\":{}}}",
            self.storage.kind(),
            u32::from(up),
            self.tasks.borrow().len(),
            committed + refused + failed,
            serde_json::to_string(&last_error).unwrap_or_default(),
        )
    }
}

#[cfg(not(feature = "test-hooks"))]
async fn perform(storage: &Storage, request: Request) -> Result<String> {
    storage.perform(request).await
}

/// In builds for tests an id can ask for a panic, at once or behind an answer of the backend.
#[cfg(feature = "test-hooks")]
#[expect(clippy::panic, reason = "the point of this hook")]
async fn perform(storage: &Storage, request: Request) -> Result<String> {
    match request.id.as_str() {
        "test-panic" => panic!("asked to"),
        "test-panic-later" => {
            let id = "ses_00000000000000000000".to_owned();
            storage.perform(Request { id, ..request }).await?;
            panic!("asked to")
        }
        _ => storage.perform(request).await,
    }
}

fn open(settings: &[String], tagged: bool, variables: &[String]) -> Result<NativeStorage> {
    let part = |parts: &[String], place: usize| parts.get(place).cloned().unwrap_or_default();
    let input = part(settings, 0);
    let settings = Settings::read(Input { text: &input, tagged }, &part(settings, 1), &part(settings, 2))?;
    let environment = Environment { node_env: part(variables, 0), redis_url: part(variables, 1) };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids: Arc<dyn Ids> = Arc::new(RandomIds::default());
    let mut address = Vec::new();
    let mut mux = None;
    let backend: Arc<dyn Backend> = match choose(&settings.options, &environment)? {
        Choice::Memory => Arc::new(Memory::new(Arc::clone(&clock))),
        Choice::Redis(url) => {
            let access = Access::parse(&url)?;
            address = match &access.path {
                Some(path) => vec![path.clone()],
                None => vec![access.host.clone(), access.port.to_string()],
            };
            let made = Arc::new(Mux::new(access, Arc::clone(&clock), Arc::clone(&ids)));
            mux = Some(Arc::clone(&made));
            Arc::new(Redis::new(made, settings.prefix())?)
        }
    };
    let storage = Arc::new(Storage::new(Parts { backend, clock, ids, settings }));
    Ok(NativeStorage { storage, mux, address, tasks: RefCell::default(), closed: Cell::new(false) })
}
