//! Queues.

use crate::error::{Error, Result};
use crate::given::Given;
use crate::operation::Operation;
use crate::schema::{NAME_CODE_POINTS, PlainFor, PlainOptions};
use crate::storage::{Request, Storage, milliseconds};
use crate::stores::{Call, Taken, Taking};

/// How long whoever takes an item holds it, unless it says otherwise.
const LEASE_SECONDS: f64 = 30.0;
/// Dead letters of one answer, unless it says otherwise.
const DEAD_A_PAGE: u64 = 100;
/// Code points of a lease's name.
const LEASE_CODE_POINTS: usize = 64;

impl Storage {
    /// Answers with JSON. Numbers stand in a list, as nothing but a record's tag begins with a digit.
    pub(crate) async fn perform_queue(&self, request: &Request) -> Result<String> {
        use Operation as Op;
        let mut given = Given::new(request, self.stores.limits());
        let given = &mut given;
        match request.operation {
            Op::QueuePush => {
                let (name, item) = (given.named("name", NAME_CODE_POINTS), given.value("data"));
                let (call, _, options) = self.plain_call(given, PlainFor::Push);
                let (name, item) = given.both(name, item)?;
                let length = self.stores.queue_push(call, &name, &item, options.max_length).await?;
                Ok(format!("[{length}]"))
            }
            Op::QueueTake => {
                let name = given.named("name", NAME_CODE_POINTS);
                let (_, patience_ms, options) = self.plain_call(given, PlainFor::Take);
                let (name, how) = (given.one(name)?, self.taking(&options, patience_ms));
                self.stores.queue_take(&name, how).await.map(taken)
            }
            Op::QueueSettle => {
                let (name, lease, call, _) = self.lease(given, PlainFor::Call)?;
                self.stores.queue_settle(call, &name, &lease).await.map(|was| was.to_string())
            }
            Op::QueueSettleAll => {
                let (name, leases) = (given.named("name", NAME_CODE_POINTS), given.value("leases"));
                let (call, _, _) = self.plain_call(given, PlainFor::Call);
                let (name, leases) = given.both(name, leases)?;
                let leases: Vec<String> = serde_json::from_str(leases.text())
                    .map_err(|_| Error::internal("leases are a list of texts"))?;
                self.stores.queue_settle_all(call, &name, leases).await.map(|()| "true".to_owned())
            }
            Op::QueueGiveBack => {
                let (name, lease, call, options) = self.lease(given, PlainFor::GiveBack)?;
                let delay_ms = options.delay_seconds.and_then(milliseconds);
                let back = self.stores.queue_give_back(call, &name, &lease, delay_ms).await;
                back.map(|was| was.to_string())
            }
            Op::QueueExtend => {
                let (name, lease, call, options) = self.lease(given, PlainFor::Extend)?;
                let extended = self.stores.queue_extend(call, &name, &lease, lease_ms(&options)).await;
                extended.map(|was| was.to_string())
            }
            Op::QueueCount => {
                let (name, call, _) = self.queue(given, PlainFor::Call)?;
                let [waiting, leased, dead] = self.stores.queue_count(call, &name).await?;
                Ok(format!("{{\"waiting\":{waiting},\"leased\":{leased},\"dead\":{dead}}}"))
            }
            Op::QueueClose => {
                let closed = request.data.as_ref().is_none_or(|data| data.text != "false");
                let (name, call, _) = self.queue(given, PlainFor::Call)?;
                self.stores.queue_close(call, &name, closed).await.map(|was| was.to_string())
            }
            Op::QueueDead => {
                let (name, call, options) = self.queue(given, PlainFor::Several)?;
                let limit = options.limit.unwrap_or(DEAD_A_PAGE);
                let dead = self.stores.queue_dead(call, &name, limit).await?;
                let texts = dead.into_iter().map(|json| json.unwrap_or_else(|| "null".to_owned()));
                Ok(format!("[{}]", texts.collect::<Vec<_>>().join(",")))
            }
            Op::QueueRequeue => {
                let (name, call, options) = self.queue(given, PlainFor::Several)?;
                let count = options.limit.unwrap_or(DEAD_A_PAGE);
                self.stores.queue_requeue(call, &name, count).await.map(|count| format!("[{count}]"))
            }
            _ => {
                let (call, _, _) = self.plain_call(given, PlainFor::Call);
                let call = given.one(Some(call))?;
                self.stores.queue_strays(call).await.map(|count| format!("[{count}]"))
            }
        }
    }

    fn queue(&self, given: &mut Given<'_>, which: PlainFor) -> Result<(String, Call, PlainOptions)> {
        let name = given.named("name", NAME_CODE_POINTS);
        let (call, _, options) = self.plain_call(given, which);
        Ok((given.one(name)?, call, options))
    }

    fn lease(&self, given: &mut Given<'_>, which: PlainFor) -> Result<(String, String, Call, PlainOptions)> {
        let (name, lease) = (given.named("name", NAME_CODE_POINTS), given.text("lease", LEASE_CODE_POINTS));
        let (call, _, options) = self.plain_call(given, which);
        let (name, lease) = given.both(name, lease)?;
        Ok((name, lease, call, options))
    }

    fn taking(&self, options: &PlainOptions, patience_ms: u64) -> Taking {
        let until =
            options.timeout_seconds.map(|seconds| self.now().plus_ms(milliseconds(seconds).unwrap_or(0)));
        Taking { lease_ms: lease_ms(options), until, patience_ms }
    }
}

fn lease_ms(options: &PlainOptions) -> u64 {
    milliseconds(options.lease_seconds.unwrap_or(LEASE_SECONDS)).unwrap_or(1)
}

fn taken(taken: Taken) -> String {
    match taken {
        Taken::Item { lease, times, json } => {
            format!("{{\"lease\":\"{lease}\",\"deliveries\":{times},\"data\":{json}}}")
        }
        Taken::Nothing => "null".to_owned(),
        Taken::Closed => "{\"closed\":true}".to_owned(),
    }
}
