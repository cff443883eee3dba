//! What answers of memory stand on, where JavaScript reads it without a call.
#![expect(unsafe_code, reason = "numbers of the engine are read in place")]

use std::sync::Arc;

use flowkeep_core::memory::Standing;
use napi::bindgen_prelude::Float64Array;

/// The numbers of [`Standing`]: they live as long as anybody has the array.
pub fn numbers(standing: Arc<Standing>) -> Float64Array {
    let (first, count) = (standing.cells().as_ptr(), standing.cells().len());
    // SAFETY: an `AtomicU64` may be read as the `f64` whose bits it holds, and is written to through shared references. They
    // stay where they are until the last `Arc` is gone, one of which goes with the array.
    unsafe { Float64Array::with_external_data(first.cast_mut().cast(), count, move |_, _| drop(standing)) }
}
