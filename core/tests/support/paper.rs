//! A disk whose machine may crash, and that may fail.
#![allow(dead_code, reason = "not every test asks for everything")]

use std::io;
use std::sync::{Arc, Mutex};

use flowkeep_core::journal::{Disk, Found, Fsync, JournalFile};

#[derive(Debug, Default)]
pub struct State {
    pub bytes: Vec<u8>,
    /// What of it outlives a crash of the machine.
    pub safe: Vec<u8>,
    pub appends: usize,
    pub syncs: usize,
    pub aside: Vec<Vec<u8>>,
    pub fails_to_write: bool,
    pub fails_to_sync: bool,
}

/// Shared with whoever looks at it.
#[derive(Debug, Default, Clone)]
pub struct Paper(pub Arc<Mutex<State>>);

impl Paper {
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().bytes.clone()
    }

    /// How often it was written to, and forced to the disk.
    pub fn times(&self) -> (usize, usize) {
        let state = self.0.lock().unwrap();
        (state.appends, state.syncs)
    }

    /// The machine crashes: what was not forced to the disk is gone.
    pub fn crash(&self) {
        let mut state = self.0.lock().unwrap();
        state.bytes = state.safe.clone();
    }

    pub fn open(&self, fsync: Fsync) -> (JournalFile, Found) {
        let bytes = self.bytes();
        JournalFile::over(Box::new(self.clone()), &bytes, fsync, "mine:").unwrap()
    }
}

fn full() -> io::Error {
    io::Error::from_raw_os_error(28)
}

impl Disk for Paper {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.appends += 1;
        if state.fails_to_write {
            // As a full disk does: what there was room for is there.
            let half = bytes.len() / 2;
            state.bytes.extend_from_slice(&bytes[..half]);
            return Err(full());
        }
        state.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.syncs += 1;
        if state.fails_to_sync {
            return Err(io::Error::from_raw_os_error(5));
        }
        state.safe = state.bytes.clone();
        Ok(())
    }

    fn cut(&mut self, length: usize) -> io::Result<()> {
        self.0.lock().unwrap().bytes.truncate(length);
        Ok(())
    }

    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        if state.fails_to_write {
            return Err(full());
        }
        (state.bytes, state.safe) = (bytes.to_vec(), bytes.to_vec());
        Ok(())
    }

    fn set_aside(&mut self, bytes: &[u8]) -> io::Result<String> {
        let mut state = self.0.lock().unwrap();
        if state.fails_to_write {
            return Err(full());
        }
        state.aside.push(bytes.to_vec());
        Ok(format!("aside {}", state.aside.len()))
    }
}
