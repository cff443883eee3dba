//! What is told of the time when the backend was away.

use crate::error::{Error, Result};
use crate::given::Given;
use crate::layers::resilient::conflicts_after;
use crate::storage::{Request, Storage};
use crate::txn::{Log, Outcome, Reply};

/// Conflicts that one call tells: the latest.
const MOST: u64 = 1_000;

impl Storage {
    /// The conflicts of kept writes, the oldest first.
    pub(crate) async fn perform_resilience(&self, request: &Request) -> Result<String> {
        let mut given = Given::new(request, self.stores.limits());
        let call = self.only_call(&mut given)?;
        let mut log = self.conflicts(0, call.deadline).await?;
        if log.last > MOST {
            log = self.conflicts(log.last - MOST, call.deadline).await?;
        }
        let texts: Vec<&str> = log.entries.iter().map(|(_, text)| &**text).collect();
        Ok(format!("[{}]", texts.join(",")))
    }

    async fn conflicts(&self, after: u64, deadline: crate::clock::Timestamp) -> Result<Log> {
        match self.backend.run(conflicts_after(after, MOST, deadline)).await? {
            Outcome::Committed(mut replies) => match replies.pop() {
                Some(Reply::Log(log)) => Ok(log),
                _ => Err(Error::internal("a question for a log was answered by something else")),
            },
            Outcome::Refused(..) => Err(Error::internal("a question without a check was refused")),
        }
    }
}
