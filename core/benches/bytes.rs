//! What a session, a chain and a step take, live and archived:
//! `FLOWKEEP_TEST_REDIS_URL=redis://... cargo bench -p flowkeep-core --all-features --bench bytes`.
//!
//! Memory is what the allocator has given out and not got back, not what the process has: that would show the peak. Redis is
//! the sum of `MEMORY USAGE` over all keys. The table is that of benchmark/RESULTS.md.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a measurement")]

#[path = "../tests/support/bytes.rs"]
mod bytes;
#[path = "../tests/support/mod.rs"]
mod support;

use bytes::{Plot, Stage, table};

const SESSIONS: usize = 500;

#[tokio::main]
async fn main() {
    println!(
        "| steps of the chain | storage | session | chain | step, pending | all done, live | archived | made small |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for (sessions, steps) in [(SESSIONS, 1), (SESSIONS, 10), (SESSIONS / 10, 100)] {
        for (name, each) in table(&Stage::ALL, Plot { sessions, steps }).await {
            let more = |stage: usize, than: usize| each[stage].saturating_sub(each[than]);
            let step = more(3, 2) / steps as u64;
            println!(
                "| {steps} | {name} | {} | {} | {step} | {} | {} | {} |",
                more(1, 0),
                more(2, 1),
                more(4, 1),
                more(5, 1),
                more(6, 1)
            );
        }
    }
}
