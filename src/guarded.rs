//! No panic of the engine reaches JavaScript as anything but an error of the contract.

use std::panic::{AssertUnwindSafe, catch_unwind};

use flowkeep_core::error::{Error, Result};
use flowkeep_core::operation::Operation;
use flowkeep_core::run::Run;

/// What `body` gives, or the error that a panic in it becomes. What a panic interrupts stays consistent:
/// the engine's locks are held for one transaction, and a transaction that broke is answered by this error.
pub fn text(operation: Option<Operation>, body: impl FnOnce() -> String) -> String {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| failed(operation, &panicked()))
}

/// The same for a call that may have to wait.
pub fn run(body: impl FnOnce() -> Run<Result<String>>) -> Run<Result<String>> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| Run::now(Err(panicked())))
}

/// The same for what has no text to give.
pub fn or_default<T: Default>(body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_default()
}

/// The text of an error: `!` and its JSON.
pub fn failed(operation: Option<Operation>, error: &Error) -> String {
    format!("!{}", error.to_json(operation.map_or("", Operation::name)))
}

/// The error of a panic.
pub fn panicked() -> Error {
    Error::internal("an internal error; what was asked may not have been done")
}
