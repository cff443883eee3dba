//! Tables and histories of services.

use crate::error::Result;
use crate::given::Given;
use crate::operation::Operation;
use crate::schema::{
    self, Address, AddressOf, Input, Issue, PathItem, ServiceFor, ServiceOptions, address, exchanged,
    json_object,
};
use crate::storage::{Request, Storage, milliseconds};
use crate::stores::{Call, Exchange, HistoryPolicy, Masks, TableEntry, TableName, invalid};

/// Entries of one page, unless the caller says otherwise.
const A_PAGE: u64 = 100;
/// How long a history keeps an entry, unless the caller says otherwise.
const HISTORY_SECONDS: f64 = 3_600.0;
/// Bytes of an entry of a history, unless the caller says otherwise.
const ENTRY_BYTES: u64 = 65_536;

impl Storage {
    /// Answers with JSON; values stand in a list, as nothing but a record's tag begins with a digit.
    pub(crate) async fn perform_service(&self, request: &Request) -> Result<String> {
        use Operation as Op;
        let mut given = Given::new(request, self.stores.limits());
        let given = &mut given;
        let stores = &self.stores;
        match request.operation {
            Op::TableSet => {
                let (place, value) = (place(given, AddressOf::Key), given.value("value"));
                let (call, options) = self.service_call(given, ServiceFor::Set);
                let (place, value) = given.both(place, value)?;
                let ttl_ms = options.ttl_seconds.and_then(milliseconds);
                stores
                    .table_set(call, table(&place), &place.key, &value, ttl_ms)
                    .await
                    .map(|()| String::new())
            }
            Op::TableGet => {
                let (place, call, _) = self.at(given, AddressOf::Key, ServiceFor::Call)?;
                let value = stores.table_get(call, table(&place), &place.key).await?;
                Ok(value.map_or_else(|| "null".to_owned(), |json| format!("[{json}]")))
            }
            Op::TableHas => {
                let (place, call, _) = self.at(given, AddressOf::Key, ServiceFor::Call)?;
                let value = stores.table_get(call, table(&place), &place.key).await?;
                Ok(value.is_some().to_string())
            }
            Op::TableDelete => {
                let (place, call, _) = self.at(given, AddressOf::Key, ServiceFor::Call)?;
                stores.table_delete(call, table(&place), &place.key).await.map(|was| was.to_string())
            }
            Op::TableEntries | Op::TableData => {
                let (place, call, options) = self.at(given, AddressOf::Table, page(request))?;
                let limit = limit(request, &options);
                let after = options.cursor.as_deref();
                let (entries, more) = stores.table_page(call, table(&place), after, limit).await?;
                let last = entries.last().filter(|_| more).map(|entry| quoted(&entry.key));
                Ok(paged(entries.iter().map(table_entry), last))
            }
            Op::TableClear => {
                let (place, call, _) = self.at(given, AddressOf::Table, ServiceFor::Call)?;
                stores.table_clear(call, table(&place)).await.map(|()| String::new())
            }
            _ => self.perform_history(request, given).await,
        }
    }

    async fn perform_history(&self, request: &Request, given: &mut Given<'_>) -> Result<String> {
        use Operation as Op;
        let stores = &self.stores;
        match request.operation {
            Op::HistoryRecord => {
                let (place, both) = (place(given, AddressOf::History), given.asked(exchanged));
                let (call, options) = self.service_call(given, ServiceFor::Record);
                let (place, (both, line)) = given.both(place, both)?;
                let exchange = Exchange {
                    method: &line.method,
                    url: &line.url,
                    request: both.request.text(),
                    response: both.response.as_ref().map(schema::JsonObject::text),
                };
                stores.history_record(call, &place.service, &exchange, &policy(&options)).await
            }
            Op::HistoryGet => {
                let (place, call, _) = self.at(given, AddressOf::Request, ServiceFor::Call)?;
                let entry = stores.history_get(call, &place.service, &place.method, &place.url).await?;
                Ok(entry.unwrap_or_else(|| "null".to_owned()))
            }
            Op::HistoryById => {
                let (place, call, _) = self.at(given, AddressOf::Entry, ServiceFor::Call)?;
                let entry = stores.history_by_id(call, &place.service, &place.id).await?;
                Ok(entry.unwrap_or_else(|| "null".to_owned()))
            }
            Op::HistorySetResponse => {
                let place = place(given, AddressOf::Entry);
                let response = given.asked(|input, limits| json_object(input, "response", limits));
                let (call, options) = self.service_call(given, ServiceFor::Record);
                let (place, response) = given.both(place, response)?;
                let (id, policy) = (&place.id, policy(&options));
                stores.history_set_response(call, &place.service, id, response.text(), &policy).await
            }
            Op::HistoryEntries | Op::HistoryData => {
                let (place, call, options) = self.at(given, AddressOf::History, page(request))?;
                let after = options.cursor.as_deref();
                if after.is_some_and(|after| !after.starts_with("req_")) {
                    let path = [PathItem::from("options"), PathItem::from("cursor")];
                    return Err(invalid(vec![Issue::custom(&path, "Not a cursor of this history")]));
                }
                let limit = limit(request, &options);
                let (entries, more) = stores.history_page(call, &place.service, after, limit).await?;
                // An entry begins with its id.
                let id = |entry: &String| entry.split('"').nth(3).map(quoted);
                let last = entries.last().filter(|_| more).and_then(id);
                Ok(paged(entries.into_iter(), last))
            }
            Op::HistoryLength => {
                let (place, call, _) = self.at(given, AddressOf::History, ServiceFor::Call)?;
                stores.history_len(call, &place.service).await.map(|length| format!("[{length}]"))
            }
            _ => {
                let (place, call, _) = self.at(given, AddressOf::History, ServiceFor::Call)?;
                stores.history_clear(call, &place.service).await.map(|()| String::new())
            }
        }
    }

    fn service_call(&self, given: &mut Given<'_>, which: ServiceFor) -> (Call, ServiceOptions) {
        let options =
            given.own_options(|input: Input<'_>, limits| schema::service_options(which, input, limits));
        (self.call_within(options.timeout_ms), options)
    }

    fn at(
        &self,
        given: &mut Given<'_>,
        address: AddressOf,
        which: ServiceFor,
    ) -> Result<(Address, Call, ServiceOptions)> {
        let place = place(given, address);
        let (call, options) = self.service_call(given, which);
        Ok((given.one(place)?, call, options))
    }
}

fn place(given: &mut Given<'_>, which: AddressOf) -> Option<Address> {
    given.place(|input, limits| address(which, input, limits))
}

fn table(place: &Address) -> TableName<'_> {
    TableName { service: &place.service, table: &place.table }
}

/// All of it takes no page.
fn page(request: &Request) -> ServiceFor {
    match request.operation {
        Operation::TableData | Operation::HistoryData => ServiceFor::Call,
        _ => ServiceFor::Page,
    }
}

fn limit(request: &Request, options: &ServiceOptions) -> usize {
    match page(request) {
        ServiceFor::Page => usize::try_from(options.limit.unwrap_or(A_PAGE)).unwrap_or(usize::MAX),
        _ => usize::MAX,
    }
}

fn policy(options: &ServiceOptions) -> HistoryPolicy {
    let duration_ms = milliseconds(options.history_duration_seconds.unwrap_or(HISTORY_SECONDS));
    let most_bytes = usize::try_from(options.max_entry_bytes.unwrap_or(ENTRY_BYTES)).unwrap_or(usize::MAX);
    HistoryPolicy { duration_ms, masks: Masks::new(&options.mask_headers, &options.mask_paths), most_bytes }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

fn table_entry(entry: &TableEntry) -> String {
    let TableEntry { key, value, expires_at } = entry;
    let end = expires_at.map_or_else(|| "null".to_owned(), |at| at.0.to_string());
    format!("{{\"key\":{},\"expiresAt\":{end},\"value\":{value}}}", quoted(key))
}

/// A page; its cursor stands behind the last entry, or is `null` at the end.
fn paged(items: impl Iterator<Item = String>, cursor: Option<String>) -> String {
    let items: Vec<String> = items.collect();
    format!("{{\"items\":[{}],\"cursor\":{}}}", items.join(","), cursor.unwrap_or_else(|| "null".to_owned()))
}
