//! The Node face of flowkeep: text and bytes across the boundary, the engine behind it.
//!
//! Everything runs on the JavaScript thread. A call on memory answers at once; one on Redis gets a ticket
//! and its answer comes with the bytes that the socket's owner hands in.

mod batch;
mod breakers;
pub mod call;
mod errand;
mod guarded;
mod latency;
mod native;
#[cfg(feature = "sql")]
mod sql;
mod standing;
mod tasks;
mod text;

#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use flowkeep_core::operation::Operation;
use flowkeep_core::schema::{self, Input, Limits, SchemaName};
use napi_derive::napi;

/// The names of all operations; `call` takes a name's place in this list.
#[napi]
pub fn operations() -> Vec<&'static str> {
    Operation::ALL.iter().map(|operation| operation.name()).collect()
}

/// Checks a value against a schema: `=` and its canonical JSON, or `!` and the JSON array of issues.
#[napi]
pub fn check_schema(name: String, text: String, tagged: bool) -> String {
    guarded::text(None, || {
        let Ok(name) = name.parse::<SchemaName>() else { return "![]".to_owned() };
        match schema::check(name, Input { text: &text, tagged }, &Limits::default()) {
            Ok(json) => format!("={json}"),
            Err(issues) => format!("!{}", issues.to_json()),
        }
    })
}
