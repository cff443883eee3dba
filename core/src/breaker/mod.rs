//! Circuit breakers: one pure state machine, which every holder of a breaker's state uses; breakers that share
//! their state through a [`BreakerStore`]; and the one on a backend.

mod ahead;
mod audit;
mod cargo;
mod held;
mod id;
mod inner;
mod kernel;
mod machine;
#[cfg(test)]
#[path = "model/tests.rs"]
mod model;
mod outbox;
mod policy;
mod quorum;
mod registry;
mod state;
mod store;
mod sync;
#[cfg(test)]
mod tests;
mod window;

pub use ahead::Ahead;
pub use audit::{Audit, Note};
pub use held::{Begun, Breaker, Ended, Scope, Settings, Standing};
pub use id::BreakerId;
pub use kernel::KernelStore;
pub use machine::{Applied, Command, Event, Outcome, Permit, Rejection, VOTE_MS, Verdict, apply, judge};
pub use outbox::{Outbox, Posted};
pub use policy::{Policy, Rate, Slow, Span};
pub use registry::{Breakers, Told};
pub use state::{Cause, Lease, Mode, State, Transition, Vote};
pub use store::{BreakerStore, Loaded, Stored, Write, Written};
pub use window::{Counts, Window};
