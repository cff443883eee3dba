//! The engine of flowkeep: transactions as values, stores over them, memory and Redis under them.
//!
//! Ground: [`run`], [`id`], [`clock`], [`timer`], [`error`]. Kernel: [`key`], [`txn`], [`topic`], [`backend`], [`layer`].
//! Above it the stores, which never see a backend's kind; below it the backends, which never see a
//! domain word.

pub mod backend;
pub mod breaker;
pub mod clock;
pub mod command;
pub mod config;
pub mod error;
mod given;
pub mod id;
pub mod journal;
pub mod key;
pub mod layer;
pub mod layers;
pub mod memory;
pub mod near;
pub mod operation;
mod perform;
pub mod provenance;
pub mod redis;
pub mod run;
pub mod schema;
#[cfg(feature = "sql")]
pub mod sql;
pub mod storage;
pub mod stores;
pub mod streaming;
pub mod timer;
pub mod topic;
pub mod txn;
