//! The engine of flowkeep: transactions as values, stores over them, memory and Redis under them.
//!
//! Ground: [`run`], [`id`], [`clock`], [`error`]. Kernel: [`key`], [`txn`], [`backend`], [`layer`].
//! Above it the stores, which never see a backend's kind; below it the backends, which never see a
//! domain word.

pub mod backend;
pub mod clock;
pub mod config;
pub mod error;
mod given;
pub mod id;
pub mod key;
pub mod layer;
pub mod layers;
pub mod memory;
pub mod operation;
pub mod redis;
pub mod run;
pub mod schema;
pub mod storage;
pub mod stores;
pub mod txn;
