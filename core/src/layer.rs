//! Backends around backends.

use std::sync::Arc;

use crate::backend::Backend;

/// Makes a backend of a backend: one method to wrap, because a backend has one method to forward.
pub trait Layer {
    fn wrap(&self, inner: Arc<dyn Backend>) -> Arc<dyn Backend>;
}
