//! A connection by its number, whatever it is for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::Clock;
use crate::id::Ids;
use crate::redis::ear::Ear;
use crate::redis::mux::{Access, Mux, Output, Want};

/// One connection's state.
#[derive(Clone)]
pub(super) enum Line {
    Calls(Arc<Mux>),
    Hints(Arc<Ear>),
}

impl Line {
    pub fn output(&self, room: &mut [u8]) -> Output {
        match self {
            Self::Calls(mux) => mux.output(room),
            Self::Hints(ear) => Output::Whole(ear.output()),
        }
    }

    pub fn feed(&self, bytes: &[u8]) -> usize {
        match self {
            Self::Calls(mux) => mux.feed(bytes),
            Self::Hints(ear) => {
                ear.feed(bytes);
                0
            }
        }
    }

    pub fn connected(&self) {
        match self {
            Self::Calls(mux) => mux.connected(),
            Self::Hints(ear) => ear.connected(),
        }
    }

    pub fn disconnected(&self, reason: &str) {
        match self {
            Self::Calls(mux) => mux.disconnected(reason),
            Self::Hints(ear) => ear.disconnected(),
        }
    }

    pub fn tick(&self) -> Want {
        match self {
            Self::Calls(mux) => mux.tick(),
            Self::Hints(ear) => ear.tick(),
        }
    }

    pub fn access(&self) -> &Access {
        match self {
            Self::Calls(mux) => mux.access(),
            Self::Hints(ear) => ear.access(),
        }
    }

    pub fn is_up(&self) -> bool {
        match self {
            Self::Calls(mux) => mux.is_up(),
            Self::Hints(ear) => ear.is_up(),
        }
    }

    pub fn hang_up(&self) {
        match self {
            Self::Calls(mux) => mux.hang_up(),
            Self::Hints(ear) => ear.hang_up(),
        }
    }

    pub fn close(&self) {
        match self {
            Self::Calls(mux) => mux.close(),
            Self::Hints(ear) => ear.close(),
        }
    }
}

/// The connections that come and go.
pub(super) struct Lines {
    open: Mutex<BTreeMap<u32, Line>>,
    latest: AtomicU32,
    pub clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

impl Lines {
    pub fn new(first: u32, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        Self { open: Mutex::default(), latest: AtomicU32::new(first), clock, ids }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Line>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that no number names.
    pub fn mux(&self, access: Access) -> Arc<Mux> {
        Arc::new(Mux::new(access, Arc::clone(&self.clock), Arc::clone(&self.ids)))
    }

    /// One that no number names.
    pub fn ear(&self, access: Access, sharded: bool) -> Arc<Ear> {
        Arc::new(Ear::new(access, sharded, Arc::clone(&self.clock), Arc::clone(&self.ids)))
    }

    pub fn add(&self, line: Line) -> u32 {
        let number = self.latest.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(number, line);
        number
    }

    pub fn add_mux(&self, access: Access) -> (u32, Arc<Mux>) {
        let mux = self.mux(access);
        (self.add(Line::Calls(Arc::clone(&mux))), mux)
    }

    pub fn get(&self, number: u32) -> Option<Line> {
        self.lock().get(&number).cloned()
    }

    /// No longer one of ours; its calls fail.
    pub fn remove(&self, number: u32) {
        let line = self.lock().remove(&number);
        if let Some(line) = line {
            line.close();
        }
    }

    pub fn all(&self) -> Vec<(u32, Line)> {
        self.lock().iter().map(|(number, line)| (*number, line.clone())).collect()
    }
}
