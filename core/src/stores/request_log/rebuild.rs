//! Making what records are found by agree with the records, while others write.

use std::collections::BTreeSet;

use super::entry::Logged;
use super::search::text;
use super::{AHEAD_MS, RECORDS_MS, bytes, end, hour_of, index_key, records_key};
use crate::clock::Timestamp;
use crate::command::{Bytes, Command, Data, Score};
use crate::error::{Error, Result};
use crate::stores::{Call, Stores};

/// Records, or entries of an index, that one step looks at.
const A_STEP: u64 = 200;
/// Before every id, and behind every one.
const FIRST: &str = "req_";
const LAST: &str = "req_:";

/// What a rebuild met.
#[derive(Debug, Default, Clone, Copy)]
struct Met {
    records: u64,
    mended: u64,
}

impl Stores {
    /// A call for the next step of something that takes long.
    fn patient(&self, ms: u64) -> Call {
        Call { deadline: self.clock.now().plus_ms(ms) }
    }

    /// Goes through all records: what they should be found by and are not is made, what finds nothing is dropped. A record
    /// and what it is found by come in one step, so an entry without its record is no new one.
    ///
    /// Each step has its own deadline. *Round trips*: some for each 200 records.
    pub async fn log_rebuild(&self, patience_ms: u64) -> Result<String> {
        let now = self.clock.now();
        let oldest = hour_of(Timestamp(now.0.saturating_sub(RECORDS_MS)));
        let mut met = Met::default();
        for hour in oldest..=hour_of(now.plus_ms(AHEAD_MS)) {
            let filters = self.index_records(patience_ms, hour, &mut met).await?;
            for filter in &filters {
                self.drop_strays(patience_ms, hour, filter, &mut met).await?;
            }
        }
        Ok(format!("{{\"records\":{},\"mended\":{}}}", met.records, met.mended))
    }

    /// Makes what the records of an hour should be found by; gives the filters that they have.
    async fn index_records(&self, patience_ms: u64, hour: u64, met: &mut Met) -> Result<BTreeSet<String>> {
        let mut filters = BTreeSet::new();
        let mut cursor: Bytes = bytes("0");
        loop {
            let scan = Command::HashScan { cursor: cursor.clone(), count: A_STEP };
            let told = self.on_log(self.patient(patience_ms), vec![(records_key(hour), scan)]).await?.pop();
            let Some(Data::List(parts)) = told else { return Err(odd()) };
            let [Data::Bytes(next), Data::List(pairs)] = parts.as_slice() else { return Err(odd()) };
            let mut made = Vec::new();
            for pair in pairs.chunks(2) {
                let [id, Data::Bytes(stored)] = pair else { return Err(odd()) };
                let id = text(id).ok_or_else(odd)?;
                let Some(logged) = self.unless_corrupt(Logged::read(&id, stored))? else { continue };
                met.records += 1;
                for filter in logged.filters() {
                    let add = Command::SortedAdd(vec![(Score(0.0), bytes(&id))]);
                    made.push((index_key(hour, &filter), add));
                    filters.insert(filter);
                }
            }
            // Whole records to a step: some of them come twice from a scan, and are then there already.
            for step in made.chunks(A_STEP as usize) {
                let added = self.on_log(self.patient(patience_ms), step.to_vec()).await?;
                met.mended += added.iter().filter(|data| data.int() == Some(1)).count() as u64;
            }
            if &**next == b"0" {
                break;
            }
            cursor = next.clone();
        }
        let ends: Vec<_> =
            filters.iter().map(|filter| (index_key(hour, filter), end(hour, RECORDS_MS))).collect();
        for step in ends.chunks(A_STEP as usize) {
            self.on_log(self.patient(patience_ms), step.to_vec()).await?;
        }
        Ok(filters)
    }

    /// Drops what finds no record, or one that does not fit.
    async fn drop_strays(&self, patience_ms: u64, hour: u64, filter: &str, met: &mut Met) -> Result<()> {
        let (key, mut after) = (index_key(hour, filter), bytes(FIRST));
        loop {
            let range = Command::SortedTexts {
                after: after.clone(),
                before: bytes(LAST),
                count: A_STEP,
                descending: false,
            };
            let told = self.on_log(self.patient(patience_ms), vec![(key.clone(), range)]).await?.pop();
            let Some(Data::List(ids)) = told else { return Err(odd()) };
            let ids: Vec<String> = ids.iter().filter_map(text).collect();
            let Some(last) = ids.last() else { return Ok(()) };
            after = bytes(last);
            let records = self.log_records(self.patient(patience_ms), hour, &ids).await?;
            let found = |(id, stored): &(&String, Option<String>)| {
                let logged = stored.as_ref().and_then(|json| Logged::read(id, json.as_bytes()).ok());
                logged.is_some_and(|logged| logged.filters().iter().any(|known| known == filter))
            };
            let strays = ids.iter().zip(records).filter(|pair| !found(pair));
            let strays: Vec<Bytes> = strays.map(|(id, _)| bytes(id)).collect();
            if !strays.is_empty() {
                met.mended += strays.len() as u64;
                self.on_log(self.patient(patience_ms), vec![(key.clone(), Command::SortedDrop(strays))])
                    .await?;
            }
            if (ids.len() as u64) < A_STEP {
                return Ok(());
            }
        }
    }
}

fn odd() -> Error {
    Error::internal("the log was answered by something else")
}
