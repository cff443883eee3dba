//! Sessions, chains, steps and events.

use std::sync::Arc;

use super::{bound, list, nothing};
use crate::error::{Code, Error, Result};
use crate::given::Given;
use crate::operation::Operation;
use crate::run::Run;
use crate::schema::{
    self, CustomEvent, EventsOptions, GuardKind, Issue, OnLost, Options, OptionsFor, Order, PathItem,
    StepStatus, StepUpdate,
};
use crate::storage::{Request, Storage, milliseconds};
use crate::stores::{EventsQuery, Listing, StepTerms};

impl Storage {
    /// Judges a request's parts; what is left to do is small enough to be kept for each call.
    pub(crate) fn perform_record(&self, request: Request) -> Result<Run<Result<String>>> {
        use Operation as Op;
        let stores = Arc::clone(&self.stores);
        let mut given = Given::new(&request, stores.limits());
        Ok(match request.operation {
            Op::GetSession => {
                let call = self.only_call(&mut given)?;
                stores.get_session(call, &request.id, known(&request))
            }
            Op::GetChain => {
                let call = self.only_call(&mut given)?;
                stores.get_chain(call, &request.id, known(&request))
            }
            Op::GetStep => {
                let call = self.only_call(&mut given)?;
                stores.get_step(call, &request.id, known(&request))
            }
            Op::CreateSession => {
                let user = given.user();
                let data: Option<schema::SessionData> = given.data();
                let (call, options) = self.call(&mut given, OptionsFor::Create);
                self.guard_object(&mut given, GuardKind::Session, data.as_ref().map(|data| &data.metadata));
                let (user, data) = given.both(user, data)?;
                match options.idempotency_key {
                    None => stores.create_session(call, &user, data),
                    Some(key) => {
                        self.go(async move { stores.create_session_once(call, &user, data, &key).await })
                    }
                }
            }
            Op::UpdateSession => {
                let update: Option<schema::SessionUpdate> = given.data();
                let (call, options) = self.call(&mut given, OptionsFor::Update);
                let metadata = update.as_ref().and_then(|update| update.metadata.as_ref());
                self.guard_object(&mut given, GuardKind::Session, metadata);
                let (update, id) = (given.one(update)?, request.id);
                self.go(async move { stores.update_session(call, &id, &update, options.if_version).await })
            }
            Op::DeleteSession => {
                let (call, id) = (self.only_call(&mut given)?, request.id);
                self.go(async move { nothing(stores.delete_session(call, &id).await) })
            }
            Op::ListSessions => {
                let user = given.user();
                let (call, options) = self.call(&mut given, OptionsFor::List);
                let user = given.one(user)?;
                self.go(async move { list(stores.list_sessions(call, &user, listing(&options)).await) })
            }
            Op::TouchSession => {
                let (call, id) = (self.only_call(&mut given)?, request.id);
                self.go(async move { stores.touch_session(call, &id).await })
            }
            Op::CreateChain => {
                let data: Option<schema::ChainData> = given.data();
                let (call, options) = self.call(&mut given, OptionsFor::CreateChain);
                self.guard_object(&mut given, GuardKind::Chain, data.as_ref().map(|data| &data.metadata));
                let rollup = options.rollup.unwrap_or(true);
                let (data, key, id) = (given.one(data)?, options.idempotency_key, request.id);
                self.go(async move { stores.create_chain(call, &id, data, key.as_deref(), rollup).await })
            }
            Op::UpdateChain => {
                let update: Option<schema::ChainUpdate> = given.data();
                let (call, options) = self.call(&mut given, OptionsFor::Update);
                let metadata = update.as_ref().and_then(|update| update.metadata.as_ref());
                self.guard_object(&mut given, GuardKind::Chain, metadata);
                let (update, id) = (given.one(update)?, request.id);
                self.go(async move { stores.update_chain(call, &id, &update, options.if_version).await })
            }
            Op::DeleteChain => {
                let (call, id) = (self.only_call(&mut given)?, request.id);
                self.go(async move { nothing(stores.delete_chain(call, &id).await) })
            }
            Op::ListChains => {
                let (call, options) = self.call(&mut given, OptionsFor::ListChains);
                given.one(Some(()))?;
                let (id, archived) = (request.id, options.archived);
                self.go(async move { list(stores.list_chains(call, &id, listing(&options), archived).await) })
            }
            Op::CreateStep => {
                let data: Option<schema::StepData> = given.data();
                let (call, options) = self.call(&mut given, OptionsFor::Create);
                self.guard_object(&mut given, GuardKind::Inputs, data.as_ref().map(|data| &data.inputs));
                let (data, key, id) = (given.one(data)?, options.idempotency_key, request.id);
                self.go(async move { stores.create_step(call, &id, data, key.as_deref()).await })
            }
            Op::UpdateStep => {
                let update: Option<schema::StepUpdate> = given.data();
                let (call, options) = self.call(&mut given, OptionsFor::UpdateStep);
                given.guarded(lease_fits(update.as_ref(), &options));
                let inputs = update.as_ref().and_then(|update| update.inputs.as_ref());
                self.guard_object(&mut given, GuardKind::Inputs, inputs);
                self.guard_result(&mut given, update.as_ref().and_then(|update| update.result.as_ref()));
                let (update, id) = (given.one(update)?, request.id);
                let terms = self.terms(&options)?;
                self.go(async move { stores.update_step(call, &id, &update, &terms).await })
            }
            Op::HeartbeatStep => {
                let (call, options) = self.call(&mut given, OptionsFor::Heartbeat);
                given.one(Some(()))?;
                let id = request.id;
                self.go(async move { stores.heartbeat_step(call, &id, options.if_attempt).await })
            }
            Op::DeleteStep => {
                let (call, id) = (self.only_call(&mut given)?, request.id);
                self.go(async move { nothing(stores.delete_step(call, &id).await) })
            }
            Op::ListSteps => {
                let (call, options) = self.call(&mut given, OptionsFor::List);
                given.one(Some(()))?;
                let id = request.id;
                self.go(async move { list(stores.list_steps(call, &id, listing(&options)).await) })
            }
            Op::AppendEvent => {
                let event: Option<CustomEvent> = given.data();
                let (call, _) = self.call(&mut given, OptionsFor::Call);
                let (event, id) = (given.one(event)?, request.id);
                self.go(async move { stores.append_event(call, &id, &event).await })
            }
            Op::Events => {
                let query = given.events();
                let (call, _) = self.call(&mut given, OptionsFor::Call);
                let query = events_query(given.one(query)?);
                self.go(async move { stores.events(call, &query).await })
            }
            _ => return Err(Error::internal("an operation of another area")),
        })
    }
}

impl Storage {
    /// What an update of a step asks for beside its fields.
    fn terms(&self, options: &Options) -> Result<StepTerms> {
        let terms = StepTerms::new(options.if_version, options.if_attempt);
        let Some(ms) = options.lease_seconds.and_then(milliseconds) else { return Ok(terms) };
        if !self.stores.leases() {
            let message = "leaseSeconds needs writeSchemaVersion 2 or later: older versions know no leases";
            return Err(Error::new(Code::Unsupported, message));
        }
        Ok(terms.leased(ms, options.on_lost == OnLost::Retry))
    }
}

/// A lease belongs to a step that starts, or that goes on.
fn lease_fits(update: Option<&StepUpdate>, options: &Options) -> std::result::Result<(), Vec<Issue>> {
    let starts = update.is_none_or(|update| update.status == Some(StepStatus::InProgress));
    let issue = |name: &str, why: &str| {
        vec![Issue::custom(&[PathItem::from("options"), PathItem::from(name)], why.to_owned())]
    };
    match (options.lease_seconds, options.on_lost) {
        (Some(_), _) if !starts => Err(issue("leaseSeconds", "A lease needs the status in_progress")),
        (Some(seconds), _) if seconds <= 0.0 => Err(issue("leaseSeconds", "A lease lasts longer than that")),
        (None, OnLost::Retry) => Err(issue("onLost", "What is to follow a lease needs leaseSeconds")),
        _ => Ok(()),
    }
}

/// The tag of the record that the caller of a `get` holds.
fn known(request: &Request) -> Option<&str> {
    request.data.as_ref().map(|data| data.text.as_str())
}

fn listing(options: &Options) -> Listing {
    let limit = options.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    Listing { descending: options.order == Order::Desc, limit }
}

fn events_query(options: EventsOptions) -> EventsQuery {
    EventsQuery {
        limit: usize::try_from(options.limit()).unwrap_or(usize::MAX),
        session_id: options.session_id,
        user_id: options.user_id,
        after: options.after.map(bound),
        before: options.before.map(bound),
        types: options.types,
        cursor: options.cursor,
    }
}
