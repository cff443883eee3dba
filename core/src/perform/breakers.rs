//! Circuit breakers: found by a number, asked and told in text.

use std::sync::Arc;

use super::list;
use crate::breaker::{
    Audit, Begun, Breaker, BreakerId, BreakerStore, Breakers, Command, Event, Note, Policy, Posted, Rate,
    Rejection, Scope, Settings, Slow, Span, Standing, State,
};
use crate::clock::{Clock, Timestamp};
use crate::error::{Code, Detail, Error, Result};
use crate::given::Given;
use crate::id::Ids;
use crate::operation::Operation;
use crate::schema::{
    self, BreakerConfig, HISTORY_A_PAGE, Input, OptionsFor, PresetName, ScopeName, StrategyName,
};
use crate::storage::Request;
use crate::stores::invalid;

/// How long the store is waited for, where a protected call may wait for it, in ms.
const ASK_MS: u64 = 250;
/// Changes that an audit is given at once.
const CHANGES: usize = 100;

/// The breakers of one store, as a face reaches them.
pub struct BreakerDesk {
    breakers: Breakers,
    clock: Arc<dyn Clock>,
    timeout_ms: u64,
    /// Tells the changes of this process from those of every other one.
    process: u64,
}

impl BreakerDesk {
    /// Without a store every breaker is this process' own.
    #[must_use]
    pub fn new(
        store: Option<Arc<dyn BreakerStore>>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        timeout_ms: u64,
    ) -> Self {
        let process = ids.random();
        Self { breakers: Breakers::new(store, Arc::clone(&clock), ids), clock, timeout_ms, process }
    }

    /// The breaker that a configuration names. One that is there already keeps its state.
    ///
    /// # Errors
    /// `STORAGE_INVALID`
    pub fn open(&self, config: Input<'_>) -> Result<Arc<Breaker>> {
        let config = schema::breaker_config(config).map_err(|issues| invalid(issues.0))?;
        let id = BreakerId {
            name: config.name.clone(),
            boundary: config.boundary.clone(),
            context: config.context.clone(),
        };
        let settings = config.configured.then(|| settings(&config));
        Ok(self.breakers.get(id, settings, settings_of_nothing))
    }

    /// Whether other processes can see them.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.breakers.store().is_some()
    }

    /// The transitions that nobody was told yet, as a JSON array.
    #[must_use]
    pub fn told(&self) -> String {
        let told = self.breakers.take_told();
        let items = told.iter().map(|told| {
            let moved = serde_json::to_string(&told.transition).unwrap_or_default();
            format!("[{},{moved}]", told.number)
        });
        format!("[{}]", items.collect::<Vec<_>>().join(","))
    }

    /// From now on changes are kept for an audit, at most so many; beyond that the oldest become ranges.
    pub fn keep_changes(&self, limit: usize) {
        self.breakers.outbox().open(limit);
    }

    /// Changes that the audit has not got, the oldest first: a JSON array of number, stamp, id and entry.
    #[must_use]
    pub fn changes(&self) -> String {
        let posted = self.breakers.outbox().batch(CHANGES);
        let items = posted.iter().map(|Posted { number, id, entry }| {
            format!("[{number},\"{:x}.{number}\",{},{}]", self.process, text(&id.text()), audit_json(entry))
        });
        format!("[{}]", items.collect::<Vec<_>>().join(","))
    }

    /// The audit has the changes up to this number.
    pub fn changes_done(&self, number: u64) {
        self.breakers.outbox().done(number);
    }

    fn deadline(&self, ms: u64) -> Timestamp {
        self.clock.now().plus_ms(ms)
    }

    /// Answers a request; its id is a breaker's number.
    ///
    /// # Errors
    /// `STORAGE_INVALID`, `STORAGE_CIRCUIT_OPEN`; those of the store only where nothing but the store can answer.
    pub async fn perform(&self, request: &Request) -> Result<String> {
        use Operation as Op;
        match request.operation {
            Op::BreakerSync => {
                let active = self.breakers.sync(self.deadline(ASK_MS)).await;
                return Ok(format!("[{active}]"));
            }
            Op::BreakerList => {
                let timeout_ms = self.options(request)?.1;
                let ids = self.breakers.ids(self.deadline(timeout_ms)).await?;
                return list(Ok(ids.iter().map(id_json).collect()));
            }
            Op::BreakerExport => return self.export().await,
            Op::BreakerImport => return self.import(request).await,
            Op::BreakerQuery
            | Op::BreakerEvents
            | Op::BreakerCount
            | Op::BreakerPrune
            | Op::BreakerRecord => {
                return Err(Error::new(
                    Code::Unsupported,
                    "only breakers in a SQL database have tables to ask",
                ));
            }
            _ => {}
        }
        let number = request.id.parse().ok().and_then(|number| self.breakers.by_number(number));
        let breaker = number.ok_or_else(|| Error::internal("no such breaker"))?;
        match request.operation {
            Op::BreakerAcquire => match breaker.acquire(self.deadline(ASK_MS)).await {
                Begun::Admitted(permit) => Ok(format!("[{}]", permit_number(permit))),
                Begun::Rejected(rejection) => Err(open_error(&breaker, rejection)),
                Begun::AskStore => Err(Error::internal("a breaker did not answer")),
            },
            Op::BreakerState | Op::BreakerMetrics => {
                let timeout_ms = self.options(request)?.1;
                breaker.refresh(self.deadline(timeout_ms)).await;
                let standing = breaker.standing();
                let metrics = request.operation == Op::BreakerMetrics;
                Ok(if metrics { metrics_json(&standing) } else { state_json(&breaker.id, &standing) })
            }
            Op::BreakerHistory => {
                let (limit, timeout_ms) = self.options(request)?;
                let entries = breaker.history(limit, self.deadline(timeout_ms)).await;
                list(Ok(entries.iter().map(audit_json).collect()))
            }
            operation => self.order(&breaker, operation, request).await,
        }
    }

    /// Every breaker with its state: a JSON array of pairs of texts.
    async fn export(&self) -> Result<String> {
        let deadline = self.deadline(self.timeout_ms);
        let mut pairs = Vec::new();
        for id in self.breakers.ids(deadline).await? {
            let text = id.text();
            let breaker = self.breakers.get(id, None, settings_of_nothing);
            breaker.refresh(deadline).await;
            pairs.push((text, breaker.standing().state));
        }
        serde_json::to_string(&pairs).map_err(|_| Error::internal("a state is no JSON"))
    }

    /// Takes such pairs over, where what is here is not of a later generation. How many.
    async fn import(&self, request: &Request) -> Result<String> {
        let broken = || Error::internal("what is imported was not exported");
        let text = request.data.as_ref().ok_or_else(broken)?;
        let pairs: Vec<(String, State)> = serde_json::from_str(&text.text).map_err(|_| broken())?;
        let (deadline, mut taken) = (self.deadline(self.timeout_ms), 0);
        for (text, state) in pairs {
            let id = BreakerId::parse(&text).ok_or_else(broken)?;
            let breaker = self.breakers.get(id, None, settings_of_nothing);
            taken += u32::from(breaker.import(&state, deadline).await?);
        }
        Ok(format!("[{taken}]"))
    }

    fn options(&self, request: &Request) -> Result<(usize, u64)> {
        let limits = schema::Limits::default();
        let mut given = Given::new(request, &limits);
        let history = request.operation == Operation::BreakerHistory;
        let options = given.options(if history { OptionsFor::List } else { OptionsFor::Call });
        let options = given.one(Some(options))?;
        let limit = options.limit.unwrap_or(HISTORY_A_PAGE).min(HISTORY_A_PAGE);
        Ok((usize::try_from(limit).unwrap_or(usize::MAX), self.timeout(options.timeout_ms)))
    }

    fn timeout(&self, given: Option<f64>) -> u64 {
        given.map_or(self.timeout_ms, whole)
    }

    async fn order(&self, breaker: &Breaker, operation: Operation, request: &Request) -> Result<String> {
        let options = match &request.options {
            Some(text) => schema::order_options(text.input()).map_err(|issues| invalid(issues.0))?,
            None => schema::OrderOptions::default(),
        };
        let for_ms = options.for_seconds.map(|seconds| whole(seconds * 1_000.0));
        let command = match operation {
            Operation::BreakerOpen => Command::Open { for_ms },
            Operation::BreakerClose => Command::Close,
            Operation::BreakerIsolate => Command::Isolate { for_ms },
            Operation::BreakerDisable => Command::Disable { for_ms },
            _ => Command::Reset,
        };
        let note = Note { reason: options.reason, actor: options.actor };
        let deadline = self.deadline(self.timeout(options.timeout_ms));
        breaker.command(Event::Command(command), note, deadline).await;
        Ok(state_json(&breaker.id, &breaker.standing()))
    }
}

/// Probes of one generation that a permit's number has room for.
const PROBES: u64 = 1_024;

/// A permit as one number, which a face can hold exactly.
#[must_use]
pub fn permit_number(permit: crate::breaker::Permit) -> u64 {
    permit.generation * PROBES + u64::from(permit.probe)
}

/// The permit of a number.
#[must_use]
pub fn permit_of(number: u64) -> crate::breaker::Permit {
    let probe = u32::try_from(number % PROBES).unwrap_or_default();
    crate::breaker::Permit { generation: number / PROBES, probe }
}

/// What a call that is not let through is told.
#[must_use]
pub fn open_error(breaker: &Breaker, rejection: Rejection) -> Error {
    let message = format!("the circuit breaker {} is {}", breaker.id.text(), rejection.mode.as_str());
    let mut error = Error::new(Code::CircuitOpen, message);
    error.retryable = true;
    let name = Some(breaker.id.name.clone());
    error.with(Detail { name, retry_after_ms: rejection.retry_after_ms, ..Detail::default() })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the schema bounds it")]
pub(super) fn whole(ms: f64) -> u64 {
    ms.ceil() as u64
}

fn settings_of_nothing() -> Settings {
    settings(&BreakerConfig::default())
}

fn settings(config: &BreakerConfig) -> Settings {
    let scope = match config.scope {
        Some(ScopeName::Local) => Scope::Local,
        Some(ScopeName::Quorum) => Scope::Quorum,
        Some(ScopeName::Shared) | None => Scope::Shared,
    };
    Settings { policy: policy(config), scope }
}

/// The numbers of a preset, with those that were given in their place.
fn policy(config: &BreakerConfig) -> Policy {
    let connexions = config.preset == Some(PresetName::Connexions);
    let pick =
        |given: Option<f64>, fuse: f64, other: f64| given.unwrap_or(if connexions { other } else { fuse });
    let usual = if connexions { StrategyName::PercentageFailures } else { StrategyName::ConsecutiveFailures };
    let strategies = config.strategy.clone().unwrap_or_else(|| vec![usual]);
    let has = |name| strategies.contains(&name);
    let failures = pick(config.failure_threshold, 5.0, 3.0);
    let minimum = pick(config.minimum_throughput, 10.0, 3.0);
    let percentage = pick(config.percentage_threshold, 50.0, 60.0);
    let slow = has(StrategyName::SlowCalls) || config.slow_call_seconds.is_some();
    let sampling_ms = pick(config.sampling_seconds, 120.0, 60.0) * 1_000.0;
    let seconds = |given: Option<f64>, usual: f64| given.map_or(usual, |seconds| seconds * 1_000.0);
    let plain = Policy::default();
    Policy {
        consecutive: has(StrategyName::ConsecutiveFailures).then_some(failures),
        failures: has(StrategyName::RollingWindow).then_some(failures),
        rate: has(StrategyName::PercentageFailures).then_some(Rate { percentage, minimum }),
        slow: slow.then(|| Slow {
            from_ms: seconds(config.slow_call_seconds, 1_000.0),
            percentage: config.slow_call_percentage.unwrap_or(percentage),
            minimum,
        }),
        span: match config.sampling_calls.and_then(|calls| usize::try_from(calls).ok()) {
            Some(calls) => Span::Calls(calls),
            None => Span::Time(sampling_ms.max(1.0)),
        },
        open_ms: seconds(config.open_seconds, 60_000.0),
        open_growth: config.open_growth.unwrap_or(plain.open_growth),
        max_open_ms: seconds(config.max_open_seconds, plain.max_open_ms),
        jitter: config.jitter.unwrap_or(plain.jitter),
        probes: config.half_open_probes.unwrap_or(1.0),
        success_threshold: pick(config.success_threshold, 2.0, 1.0),
        lease_ms: seconds(config.probe_lease_seconds, plain.lease_ms),
        max_half_open_ms: seconds(config.max_half_open_seconds, 0.0),
        metrics_only: config.metrics_only == Some(true),
    }
}

fn text(value: &str) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

pub(super) fn id_json(id: &BreakerId) -> String {
    let mut parts = vec![format!("\"name\":{}", text(&id.name))];
    parts.extend(id.context.as_ref().map(|part| format!("\"context\":{}", text(part))));
    parts.extend(id.boundary.as_ref().map(|part| format!("\"boundary\":{}", text(part))));
    format!("{{{}}}", parts.join(","))
}

pub(super) fn or_null(number: Option<u64>) -> String {
    number.map_or_else(|| "null".to_owned(), |number| number.to_string())
}

fn state_json(id: &BreakerId, standing: &Standing) -> String {
    let Standing { state, now, scope, away, .. } = standing;
    let id = id_json(id);
    format!(
        "{{{},\"state\":\"{}\",\"generation\":{},\"scope\":\"{}\",\"storeAway\":{away},\"cause\":{},\
         \"retryAfterMs\":{},\"failureCount\":{},\"successCount\":{},\"since\":{},\"until\":{},\"openedAt\":{},\
         \"closedAt\":{},\"lastFailureAt\":{}}}",
        id.trim_start_matches('{').trim_end_matches('}'),
        state.mode.as_str(),
        state.generation,
        match scope {
            Scope::Local => "local",
            Scope::Shared => "shared",
            Scope::Quorum => "quorum",
        },
        state.cause.map_or_else(|| "null".to_owned(), |cause| text(cause.as_str())),
        or_null(state.retry_after(*now)),
        state.failures,
        state.successes,
        or_null((state.since > 0).then_some(state.since)),
        or_null(state.until),
        or_null(state.opened_at),
        or_null(state.closed_at),
        or_null(state.last_failure_at),
    )
}

/// What a breaker counted, as JSON.
#[must_use]
pub fn metrics_json(standing: &Standing) -> String {
    let Standing { counts, state, admitted, rejected, late, .. } = standing;
    let share = |part: u64| if counts.calls == 0 { 0.0 } else { part as f64 * 100.0 / counts.calls as f64 };
    format!(
        "{{\"calls\":{},\"failures\":{},\"slowCalls\":{},\"failureRate\":{},\"slowCallRate\":{},\
         \"consecutiveFailures\":{},\"failureCount\":{},\"successCount\":{},\"admitted\":{admitted},\
         \"rejected\":{rejected},\"late\":{late}}}",
        counts.calls,
        counts.failures,
        counts.slow,
        share(counts.failures),
        share(counts.slow),
        state.in_a_row,
        state.failures,
        state.successes,
    )
}

pub(super) fn audit_json(entry: &Audit) -> String {
    serde_json::to_string(entry).unwrap_or_default()
}
