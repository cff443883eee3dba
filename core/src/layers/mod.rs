//! Backends around backends: each a file, each one method.

mod observe;

pub use observe::{Counts, Observe};
