//! Calls carried by the `redis` crate on tokio, for embedders that have no event loop of their own.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use ::redis::aio::{ConnectionLike as _, MultiplexedConnection};
use ::redis::{AsyncConnectionConfig, Client, Cmd, Pipeline};
use tokio::runtime::Handle;

use super::ear::Hints;
use super::link::{Call, Link, Replies};
use super::resp::{self, Requests, Value};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::error::{Code, Effect, Error, Result};

/// One multiplexed connection of the `redis` crate, and one more for each call that blocks. It hears no hints: who
/// subscribes over it looks by time alone.
pub struct WithCrate {
    client: Client,
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
        let connection = dial(&client).await?;
        Ok(Self { client, connection, runtime: Handle::current() })
    }
}

async fn dial(client: &Client) -> Result<MultiplexedConnection> {
    // Deadlines are kept here: the crate's own would take a late answer for a lost connection.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let connection = client.get_multiplexed_async_connection_with_config(&config).await;
    connection.map_err(|_| Error::unavailable("no connection", Effect::NotApplied))
}

impl Link for WithCrate {
    fn call(&self, call: Call<'_>) -> Replies {
        let Call { requests, blocking, .. } = call;
        let requests = requests.clone();
        let (client, shared) = (self.client.clone(), self.connection.clone());
        let waits = Duration::from_millis(call.deadline.0.saturating_sub(SystemClock.now().0));
        let effect = if call.writes { Effect::Unknown } else { Effect::NotApplied };
        let task = self.runtime.spawn(async move {
            let pipeline = pipeline_of(&requests)?;
            let mut connection = if blocking { dial(&client).await? } else { shared };
            let sent = connection.req_packed_commands(&pipeline, 0, requests.replies);
            match tokio::time::timeout(waits, sent).await {
                Ok(Ok(values)) => Ok(values.into_iter().map(value).collect()),
                Ok(Err(_)) => Err(Error::unavailable("the connection was lost", effect)),
                Err(_) => Err(Error::timeout(effect)),
            }
        });
        Replies::later(async move {
            task.await.unwrap_or_else(|_| Err(Error::internal("a call of the redis crate broke off")))
        })
    }

    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    fn sleep_until(&self, at: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let ms = at.0.saturating_sub(SystemClock.now().0);
        let task = self.runtime.spawn(tokio::time::sleep(Duration::from_millis(ms)));
        Box::pin(async move { drop(task.await) })
    }

    fn listen(&self, _: &Hints) {}

    fn hears(&self) -> bool {
        false
    }

    fn heed(&self, _: &str) {}

    fn is_sharded(&self) -> bool {
        false
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
            command.arg(part.as_bytes().ok_or_else(broken)?);
        }
        pipeline.add_command(command);
    }
    Ok(pipeline)
}

fn value(value: ::redis::Value) -> Value {
    match value {
        ::redis::Value::Int(number) => Value::Int(number),
        ::redis::Value::BulkString(bytes) => Value::bulk(&bytes),
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
