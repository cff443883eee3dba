//! Streams.

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::schema::{self, StreamArgs};
use crate::storage::{Request, Storage, milliseconds};
use crate::stores::{Blocking, StreamTaking, invalid};

/// When what was not acknowledged is given to the next, unless the call says otherwise.
const CLAIM_AFTER_SECONDS: f64 = 60.0;
/// When a consumer that has nothing and was not seen is forgotten.
const FORGET_AFTER_SECONDS: f64 = 300.0;
/// How often an entry is given until it counts as poison.
const MOST_DELIVERIES: u64 = 5;

fn ms(seconds: Option<f64>, usual: f64) -> u64 {
    milliseconds(seconds.unwrap_or(usual)).unwrap_or(0)
}

impl Storage {
    pub(crate) async fn perform_stream(&self, request: &Request) -> Result<String> {
        use Operation as Op;
        let name = request.operation.name();
        let op = name.split_once('.').map_or(name, |(_, op)| op);
        let data = request.data.as_ref().ok_or_else(|| Error::internal("a call without arguments"))?;
        let args = schema::stream_args(op, data.input(), self.stores.limits())
            .map_err(|issues| invalid(issues.0))?;
        let (args, stores) = (&args, &self.stores);
        let call = self.call_for(args.options.timeout_ms);
        match request.operation {
            Op::StreamAdd => stores.stream_add(call, args).await,
            Op::StreamRead => stores.stream_read(args, self.blocking(args)).await,
            Op::StreamLength => stores.stream_length(call, args).await,
            Op::StreamDelete => stores.stream_delete(call, args).await,
            Op::StreamCreateGroup => stores.stream_create_group(call, args).await,
            Op::StreamDeleteGroup => stores.stream_delete_group(call, args).await,
            Op::StreamGroups => stores.stream_groups(call, args).await,
            Op::StreamReadGroup => stores.stream_read_group(args, self.blocking(args)).await,
            Op::StreamAck => stores.stream_ack(call, args).await,
            Op::StreamPending => stores.stream_pending(call, args).await,
            Op::StreamClaim => stores.stream_claim(call, args).await,
            Op::StreamTake => stores.stream_take(&self.stream_taking(args)).await,
            Op::StreamLeave => {
                let left = stores.stream_leave(call, &args.stream, &args.group, &args.consumer).await;
                left.map(|left| left.to_string())
            }
            Op::StreamDeadLetters => stores.stream_dead(call, args).await,
            _ => Err(Error::internal("no operation of streams")),
        }
    }

    fn patience_ms(&self, args: &StreamArgs) -> u64 {
        args.options.timeout_ms.map_or(self.timeout_ms(), |ms| milliseconds(ms / 1000.0).unwrap_or(1))
    }

    fn blocking(&self, args: &StreamArgs) -> Blocking {
        let (now, patience_ms) = (self.now(), self.patience_ms(args));
        if !args.options.block {
            return Blocking::not(now, patience_ms);
        }
        let until = args.options.timeout_seconds.map(|seconds| now.plus_ms(ms(Some(seconds), 0.0)));
        Blocking { until, patience_ms }
    }

    fn stream_taking<'a>(&self, args: &'a StreamArgs) -> StreamTaking<'a> {
        let options = &args.options;
        StreamTaking {
            stream: &args.stream,
            group: &args.group,
            consumer: &args.consumer,
            limit: options.limit(),
            claim_after_ms: ms(options.claim_after_seconds, CLAIM_AFTER_SECONDS),
            forget_after_ms: ms(options.forget_after_seconds, FORGET_AFTER_SECONDS),
            most_deliveries: options.max_deliveries.unwrap_or(MOST_DELIVERIES),
            looked: options.cursor.as_deref().and_then(|text| text.parse().ok()).map(Timestamp),
            bytes: options.bytes,
            patience_ms: self.patience_ms(args),
        }
    }
}
