//! Calls carried by the `redis` crate on tokio, for embedders that have no event loop of their own.

use std::time::Duration;

use ::redis::aio::{ConnectionLike as _, MultiplexedConnection};
use ::redis::{AsyncConnectionConfig, Client, Cmd, Pipeline};
use tokio::runtime::Handle;

use super::link::{Call, Link, Replies};
use super::resp::{self, Requests, Value};
use crate::clock::{Clock, SystemClock};
use crate::error::{Code, Effect, Error, Result};

/// One multiplexed connection of the `redis` crate.
pub struct WithCrate {
    connection: MultiplexedConnection,
    runtime: Handle,
}

impl WithCrate {
    /// Connects to the server at `url`.
    ///
    /// # Errors
    /// `STORAGE_CONFIG` for a URL that the crate does not take, `STORAGE_UNAVAILABLE` without a server.
    pub async fn connect(url: &str) -> Result<Self> {
        let client = Client::open(url).map_err(|_| Error::new(Code::Config, "the URL can't be used"))?;
        // Deadlines are kept here: the crate's own would take a late answer for a lost connection.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let connection = client.get_multiplexed_async_connection_with_config(&config).await;
        let connection = connection.map_err(|_| Error::unavailable("no connection", Effect::NotApplied))?;
        Ok(Self { connection, runtime: Handle::current() })
    }
}

impl Link for WithCrate {
    fn call(&self, call: Call) -> Replies {
        let mut connection = self.connection.clone();
        let waits = Duration::from_millis(call.deadline.0.saturating_sub(SystemClock.now().0));
        let effect = if call.writes { Effect::Unknown } else { Effect::NotApplied };
        let task = self.runtime.spawn(async move {
            let pipeline = pipeline_of(&call.requests)?;
            let sent = connection.req_packed_commands(&pipeline, 0, call.requests.replies);
            match tokio::time::timeout(waits, sent).await {
                Ok(Ok(values)) => Ok(values.into_iter().map(value).collect()),
                Ok(Err(_)) => Err(Error::unavailable("the connection was lost", effect)),
                Err(_) => Err(Error::timeout(effect)),
            }
        });
        Box::pin(async move {
            task.await.unwrap_or_else(|_| Err(Error::internal("a call of the redis crate broke off")))
        })
    }
}

/// The same requests in the crate's terms.
fn pipeline_of(requests: &Requests) -> Result<Pipeline> {
    let broken = || Error::internal("a request is not RESP");
    let mut pipeline = Pipeline::new();
    let mut at = 0;
    while let Some((request, len)) =
        resp::read(requests.bytes.get(at..).unwrap_or_default()).map_err(|_| broken())?
    {
        at += len;
        let Value::Array(parts) = request else { return Err(broken()) };
        let mut command = Cmd::new();
        for part in parts {
            let Value::Bulk(part) = part else { return Err(broken()) };
            command.arg(part);
        }
        pipeline.add_command(command);
    }
    Ok(pipeline)
}

fn value(value: ::redis::Value) -> Value {
    match value {
        ::redis::Value::Int(number) => Value::Int(number),
        ::redis::Value::BulkString(bytes) => Value::Bulk(bytes),
        ::redis::Value::Array(items) => Value::Array(items.into_iter().map(self::value).collect()),
        ::redis::Value::SimpleString(text) => Value::Status(text.into()),
        ::redis::Value::Okay => Value::Status("OK".into()),
        ::redis::Value::ServerError(error) => {
            Value::Error(format!("{} {}", error.code(), error.details().unwrap_or_default()))
        }
        // RESP 3 has more kinds; this connection speaks RESP 2.
        _ => Value::Nil,
    }
}
