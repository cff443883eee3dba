//! Calls on storages.

use std::cell::{Cell, RefCell};
#[cfg(feature = "test-hooks")]
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Arc;

use flowkeep_core::error::{Error, Result};
use flowkeep_core::operation::Operation;
use flowkeep_core::provenance;
use flowkeep_core::run::Run;
use flowkeep_core::storage::{Request, Storage, Text, read_by};
use napi::bindgen_prelude::Either;
use napi_derive::napi;

use crate::guarded;
use crate::tasks::{self, Tasks};
use crate::text::{Given, Told};

/// The first argument is a value in the face's form, not an id's own text.
const ID_IS_VALUE: u32 = 1;
/// The data is in the tagged form.
const DATA_TAGGED: u32 = 2;
/// The options are in the tagged form.
const OPTIONS_TAGGED: u32 = 4;
/// The first argument is a value in the tagged form.
const ID_TAGGED: u32 = 8;

/// What a call needs of a storage.
pub struct Called {
    pub storage: Arc<Storage>,
    pub tasks: RefCell<Tasks>,
    pub closed: Cell<bool>,
}

thread_local! {
    /// This thread's storages, by number: to find what an object of JavaScript wraps was 6 % of a read.
    static STORAGES: RefCell<Vec<Option<Rc<Called>>>> = RefCell::default();
}

/// Takes in a storage; its number is another one's when it is gone.
pub fn keep(called: &Rc<Called>) -> u32 {
    STORAGES.with_borrow_mut(|storages| {
        let free = storages.iter().position(Option::is_none).unwrap_or(storages.len());
        storages.resize(storages.len().max(free + 1), None);
        if let Some(place) = storages.get_mut(free) {
            *place = Some(Rc::clone(called));
        }
        u32::try_from(free).unwrap_or(u32::MAX)
    })
}

/// Lets go of the storage of this number.
pub fn forget(number: u32) {
    // At the end of a thread the list may be gone already.
    let _ = STORAGES.try_with(|storages| {
        if let Some(place) = storages.borrow_mut().get_mut(number as usize) {
            *place = None;
        }
    });
}

/// Makes a call on the storage of this number: the text of its answer, or a ticket. `operation` is a place in `operations()`.
#[napi(
    ts_args_type = "storage: number, operation: number, id: string, data: string | undefined, options: string | undefined, flags: number",
    ts_return_type = "string | number"
)]
pub fn call(
    storage: u32,
    operation: u32,
    id: Given,
    data: Given,
    options: Given,
    flags: u32,
) -> Either<Told, u32> {
    let known = usize::try_from(operation).ok().and_then(|place| Operation::ALL.get(place));
    let Some(&operation) = known else {
        return told(guarded::failed(None, &Error::internal("no such operation")));
    };
    let called = STORAGES.with_borrow(|storages| storages.get(storage as usize).cloned().flatten());
    let Some(called) = called.filter(|called| !called.closed.get()) else {
        return told(guarded::failed(Some(operation), &Error::closed()));
    };
    if let (Some(text), None, 0) = (&id.0, &options.0, flags)
        && let Some(id) = read_by(operation, text)
    {
        let glance = || called.tasks.borrow_mut().glance(operation, id, data.0.as_deref());
        if let Some(ticket) = guarded::or_default(glance) {
            return Either::B(ticket);
        }
    }
    let text = |Given(text), flag| text.map(|text| Text { text, tagged: flags & flag != 0 });
    let request = Request {
        operation,
        id: id.0.unwrap_or_default(),
        id_is_value: flags & ID_IS_VALUE != 0,
        id_tagged: flags & ID_TAGGED != 0,
        data: text(data, DATA_TAGGED),
        options: text(options, OPTIONS_TAGGED),
    };
    let _ = provenance::take();
    match guarded::run(|| perform(&called.storage, request)) {
        Run::Ready(answer) => told(tasks::text(operation, answer.into_inner())),
        Run::Pending(answer) => match called.tasks.borrow_mut().begin(operation, answer) {
            Ok(text) => told(text),
            Err(ticket) => Either::B(ticket),
        },
    }
}

fn told(text: String) -> Either<Told, u32> {
    Either::A(Told(text))
}

#[cfg(not(feature = "test-hooks"))]
fn perform(storage: &Arc<Storage>, request: Request) -> Run<Result<String>> {
    storage.perform(request)
}

/// In builds for tests an id can ask for a panic, at once or behind an answer of the backend.
/// It is one without the message and the backtrace that the panic hook prints: where all goes well, a test is silent.
#[cfg(feature = "test-hooks")]
fn perform(storage: &Arc<Storage>, request: Request) -> Run<Result<String>> {
    match request.id.as_str() {
        "test-panic" => resume_unwind(Box::new("asked to")),
        "test-panic-later" => {
            let id = "ses_00000000000000000000".to_owned();
            storage.perform(Request { id, ..request }).map(|_| resume_unwind(Box::new("asked to")))
        }
        _ => storage.perform(request),
    }
}
