//! A storage as JavaScript holds it.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flowkeep_core::backend::Backend;
use flowkeep_core::clock::{Clock, SystemClock};
use flowkeep_core::config::{Choice, Environment, choose, journal, policy};
use flowkeep_core::error::{Code, Error, Result};
use flowkeep_core::id::{Ids, RandomIds};
use flowkeep_core::layer::Layer as _;
use flowkeep_core::layers::Chaos;
use flowkeep_core::layers::resilient::Standings;
use flowkeep_core::memory::{Memory, Standing};
use flowkeep_core::redis::{MAIN, Net, Output, Redis, Target};
use flowkeep_core::schema::{Input, ResilienceOptions};
use flowkeep_core::storage::{Parts, Settings, Storage};
use flowkeep_core::timer::Timers;
use napi::bindgen_prelude::{Buffer, Either, Float64Array};
use napi_derive::napi;

use crate::batch::Batch;
use crate::call::{self, Called};
use crate::errand::Errand;
use crate::guarded;
use crate::standing;
use crate::tasks::Tasks;
use crate::text::Told;

/// Typed arrays of JavaScript, written in place.
type Tickets<'a> = &'a mut [u32];
type Room<'a> = &'a mut [u8];

/// A storage on memory, or on Redis over a socket that JavaScript owns.
#[napi]
pub struct NativeStorage {
    called: Rc<Called>,
    number: u32,
    net: Option<Arc<Net>>,
    tls: String,
    /// Set while an outage is simulated, where that may be.
    outage: Option<Arc<AtomicBool>>,
    /// What answers stand on, where memory gives them.
    standing: Option<Arc<Standing>>,
    timers: Arc<Timers>,
}

impl Deref for NativeStorage {
    type Target = Called;

    fn deref(&self) -> &Called {
        &self.called
    }
}

impl Drop for NativeStorage {
    fn drop(&mut self) {
        call::forget(self.number);
    }
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

    /// The number by which [`call`] knows it.
    #[napi(getter)]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// What answers stand on: for each partition how often it was written to, then for each when the first of its keys goes by
    /// itself (in ms since 1970), then the partition that was looked at last. Written to by every call; null where an answer
    /// stands on what others may change.
    #[napi]
    pub fn standing(&self) -> Option<Float64Array> {
        self.standing.clone().map(standing::numbers)
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

    /// How connections by TLS are made: JSON of PEM texts.
    #[napi(getter)]
    pub fn tls(&self) -> String {
        self.tls.clone()
    }

    /// The bytes to send now by this connection: how many were written into `room`, 0 while there are none; or, when
    /// they need more than that, the bytes themselves.
    #[napi(ts_args_type = "connection: number, room: Uint8Array", ts_return_type = "number | Buffer")]
    pub fn output(&self, connection: u32, room: Room<'_>) -> Either<u32, Buffer> {
        let output = guarded::or_default(|| {
            self.tasks.borrow_mut().go_on();
            self.net.as_ref().map(|net| net.output(connection, room))
        });
        match output {
            Some(Output::Whole(bytes)) if !bytes.is_empty() => Either::B(bytes.into()),
            Some(Output::Written(len)) => Either::A(u32::try_from(len).unwrap_or_default()),
            _ => Either::A(0),
        }
    }

    /// The socket of this connection is connected.
    #[napi]
    pub fn connected(&self, connection: u32) {
        guarded::or_default(|| self.with_net(|net| net.connected(connection)));
    }

    /// The socket of this connection is gone, or could not be connected.
    #[napi]
    pub fn disconnected(&self, connection: u32, reason: String) {
        guarded::or_default(|| {
            self.with_net(|net| net.disconnected(connection, &reason));
            if let Some(stack) = self.storage.stack().filter(|_| connection == MAIN) {
                stack.unreachable(&reason);
            }
        });
    }

    /// Bytes came from the socket of this connection. How many calls were under way on it.
    #[napi]
    pub fn feed(&self, connection: u32, bytes: &[u8]) -> u32 {
        guarded::or_default(|| {
            let under_way = self.net.as_ref().map_or(0, |net| net.feed(connection, bytes));
            if let Some(stack) = self.storage.stack() {
                stack.stir();
            }
            u32::try_from(under_way).unwrap_or(u32::MAX)
        })
    }

    /// Looks at the time: what is to be dialled and destroyed now; null for nothing.
    #[napi]
    pub fn tick(&self) -> Option<Vec<Errand>> {
        let errands = guarded::or_default(|| {
            self.timers.tick();
            self.tasks.borrow_mut().go_on();
            if let Some(stack) = self.storage.stack() {
                stack.tick();
            }
            let errands = self.net.as_ref().map(|net| net.tick()).unwrap_or_default();
            if let (Some(stack), Some(net)) = (self.storage.stack(), &self.net) {
                net.epochs().into_iter().for_each(|reason| stack.epoch(reason));
            }
            errands
        });
        (!errands.is_empty()).then(|| errands.into_iter().map(Errand::from).collect())
    }

    /// Calls that have finished, `most` at the most, and not more than `tickets` has room for behind its first place: a JSON
    /// array of what they answer, or nothing where no answer has a text. The first place gets their number, with its highest
    /// bit set when there are more; those behind it their tickets, each with what its answer is (see `batch.rs`).
    #[napi(ts_args_type = "tickets: Uint32Array, most: number", ts_return_type = "string")]
    pub fn finished(&self, tickets: Tickets<'_>, most: u32) -> Told {
        let mut batch = Batch::new(tickets, most);
        let more = guarded::or_default(|| {
            self.tasks.borrow_mut().finished(|ticket, text| {
                batch.add(ticket, text);
                batch.has_room()
            })
        });
        Told(batch.end(more))
    }

    /// Whether `tick` has something to do although no call waits.
    #[napi(getter)]
    pub fn is_busy(&self) -> bool {
        self.storage.stack().is_some_and(|stack| stack.is_busy())
    }

    /// Whether it is inside the resilient stack: then it is to be looked at also when no call waits.
    #[napi(getter)]
    pub fn is_resilient(&self) -> bool {
        self.storage.stack().is_some()
    }

    /// Begins or ends a simulated outage; false where that was not asked for.
    #[napi]
    pub fn simulate_outage(&self, on: bool) -> bool {
        self.outage.as_ref().map(|outage| outage.store(on, Ordering::Relaxed)).is_some()
    }

    /// What happened since the last time, as a JSON array of events; null when nothing did.
    #[napi]
    pub fn news(&self) -> Option<String> {
        guarded::or_default(|| self.storage.stack().and_then(|stack| stack.news()))
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
        guarded::or_default(|| {
            if let Some(stack) = self.storage.stack() {
                stack.close();
            }
            self.with_net(Net::close);
            self.tasks.borrow_mut().close();
        });
    }

    fn with_net(&self, act: impl FnOnce(&Net)) {
        if let Some(net) = &self.net {
            act(net);
        }
    }

    fn describe(&self) -> String {
        let [committed, refused, failed] = self.storage.counts();
        let connections = self.net.as_ref().map_or(0, |net| net.connections());
        let last_error = self.net.as_ref().and_then(|net| net.last_error());
        let stack = self.storage.stack().map(|stack| stack.standings());
        let last_error = last_error.or_else(|| stack.as_ref().and_then(|stack| stack.last_error.clone()));
        let state = match (self.closed.get(), &stack, &last_error) {
            (true, ..) => "closed",
            (false, Some(stack), _) => stack.standing.as_str(),
            (false, None, Some(_)) => "degraded",
            (false, None, None) => "healthy",
        };
        let more = stack.as_ref().map(Standings::to_json).unwrap_or_default();
        let pool = self.net.as_ref().map(|net| net.pool()).map_or_else(String::new, |[busy, free, most]| {
            format!(",\"pool\":{{\"busy\":{busy},\"free\":{free},\"most\":{most}}}")
        });
        let tasks = self.tasks.borrow();
        format!(
            "{{\"state\":\"{state}\",\"backend\":\"{}\",\"connections\":{},\"pending\":{},\"operations\":{},\
             \"refused\":{refused},\"failed\":{failed},\"subscribers\":{},\"latency\":{}{pool},\"lastError\":{}{more}}}",
            self.storage.kind(),
            connections,
            tasks.len(),
            committed + refused + failed,
            tasks.subscribers(),
            tasks.latency().to_json(),
            serde_json::to_string(&last_error).unwrap_or_default(),
        )
    }
}

fn open(settings: &[String], tagged: bool, variables: &[String]) -> Result<NativeStorage> {
    let part = |parts: &[String], place: usize| parts.get(place).cloned().unwrap_or_default();
    let input = part(settings, 0);
    let mut settings =
        Settings::read(Input { text: &input, tagged }, &part(settings, 1), &part(settings, 2))?;
    let environment = Environment { node_env: part(variables, 0), redis_url: part(variables, 1) };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids: Arc<dyn Ids> = Arc::new(RandomIds::default());
    let timers = Timers::new(Arc::clone(&clock));
    let (mut net, mut tls, mut standing) = (None, None, None);
    let backend: Arc<dyn Backend> = match choose(&settings.options, &environment)? {
        Choice::Memory => {
            let memory = Memory::with_timers(Arc::clone(&clock), Arc::clone(&timers));
            standing = Some(memory.standing());
            Arc::new(memory)
        }
        Choice::Redis(url, named) => {
            let target = Target::parse(&url, named)?;
            if settings.options.tls.is_some() && !target.access.tls {
                let message = format!("tls is of no use: {named} is not one for TLS, such as rediss://");
                return Err(Error::new(Code::Config, message));
            }
            tls = settings.options.tls.as_ref().map(serde_json::to_string);
            let made = Arc::new(Net::new(target, Arc::clone(&clock), Arc::clone(&ids), Arc::clone(&timers)));
            net = Some(Arc::clone(&made));
            Arc::new(Redis::new(made, settings.prefix())?)
        }
    };
    let asked = settings.options.resilience.take();
    // Opened by the environment's rules, Redis is always inside the stack.
    let asked = asked.or_else(|| (net.is_some() && !variables.is_empty()).then(ResilienceOptions::default));
    let chaos = asked.as_ref().and_then(|asked| asked.chaos.clone());
    let outage = chaos.as_ref().map(|_| Arc::<AtomicBool>::default());
    let backend = match (&chaos, &outage) {
        (Some(_), _) if environment.node_env == "production" => {
            return Err(Error::new(Code::Config, "resilience.chaos is not for production"));
        }
        (Some(chaos), Some(outage)) => Chaos {
            ids: Arc::clone(&ids),
            fail_percentage: chaos.fail_percentage.unwrap_or_default(),
            lose_percentage: chaos.lose_percentage.unwrap_or_default(),
            outage: Arc::clone(outage),
        }
        .wrap(backend),
        _ => backend,
    };
    // What is between can fail or answer for it.
    let standing = standing.filter(|_| asked.is_none());
    let kept = asked.as_ref().map(|asked| journal(asked, settings.prefix())).transpose()?.flatten();
    let parts = Parts { backend, clock, ids, timers: Arc::clone(&timers), settings };
    let storage = match asked {
        Some(options) => Storage::resilient(parts, policy(&options), kept),
        None => Storage::new(parts),
    };
    let storage = Arc::new(storage);
    let tls = tls.and_then(std::result::Result::ok).unwrap_or_else(|| "{}".to_owned());
    let tasks = RefCell::new(Tasks::of(Arc::clone(&storage)));
    let called = Rc::new(Called { storage, tasks, closed: Cell::new(false) });
    Ok(NativeStorage { number: call::keep(&called), called, net, tls, outage, standing, timers })
}
