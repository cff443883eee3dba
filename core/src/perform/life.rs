//! The life of sessions: queries, counts, their end, what is due.

use crate::error::{Error, Result};
use crate::given::Given;
use crate::key::PARTITIONS;
use crate::operation::Operation;
use crate::schema::{self, Queried, RecordsQuery};
use crate::storage::{Request, Storage};
use crate::stores::{Call, Swept};

impl Storage {
    pub(crate) async fn perform_life(&self, request: &Request) -> Result<String> {
        let mut given = Given::new(request, self.stores.limits());
        match request.operation {
            Operation::EraseUser => {
                let user = given.user();
                let call = self.only_call(&mut given)?;
                self.stores.erase_user(call, &given.one(user)?).await
            }
            Operation::SessionCounts => {
                let user = given.user();
                let call = self.only_call(&mut given)?;
                self.stores.session_counts(call, &given.one(user)?).await
            }
            Operation::Sweep => {
                let options = given.own_options(schema::sweep_options);
                given.one(Some(()))?;
                let some = options.partitions.and_then(|some| u16::try_from(some).ok()).unwrap_or(PARTITIONS);
                self.stores.sweep(self.call_within(options.timeout_ms), some).await.map(swept_json)
            }
            Operation::PruneEvents => {
                let query = given.own_data(schema::prune_query);
                let call = self.only_call(&mut given)?;
                self.stores.prune_events(call, &given.one(query)?).await
            }
            Operation::QuerySessions => {
                let (call, query) = self.queried(&mut given, Queried::Sessions)?;
                self.stores.query_sessions(call, &query).await
            }
            Operation::QueryChains => {
                let (call, query) = self.queried(&mut given, Queried::Chains)?;
                self.stores.query_chains(call, &query).await
            }
            Operation::QuerySteps => {
                let (call, query) = self.queried(&mut given, Queried::Steps)?;
                self.stores.query_steps(call, &query).await
            }
            _ => Err(Error::internal("an operation of another area")),
        }
    }

    fn queried(&self, given: &mut Given<'_>, which: Queried) -> Result<(Call, RecordsQuery)> {
        let query = given.own_data(|input, limits| schema::records_query(which, input, limits));
        let call = self.only_call(given)?;
        Ok((call, given.one(query)?))
    }
}

fn swept_json(swept: Swept) -> String {
    let Swept { expired, lost, archived, compacted } = swept;
    format!("{{\"expired\":{expired},\"lost\":{lost},\"archived\":{archived},\"compacted\":{compacted}}}")
}
