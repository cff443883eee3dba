//! Backends around backends: each a file, each one method.

mod chaos;
mod observe;
pub mod resilient;

pub use chaos::Chaos;
pub use observe::{Counts, Observe};
