//! The journal on disk: kept writes that outlive this process.
//!
//! What is kept is handed over by [`JournalFile::keep`] and written with everything else of the same tick by
//! [`JournalFile::commit`]: one write and, with [`Fsync::Always`], one fsync for all of them. Only then [`Commit`] is
//! ready, and the caller told. A write or an fsync that fails poisons the file: what waits for it fails, and nothing is
//! ever acknowledged from it again, since nobody knows what of it is there.
//!
//! Nothing here runs by itself or in a thread of its own. What lies on the disk is read by [`JournalFile::open`].

mod crc;
mod disk;
mod format;
mod frame;
mod plain;

use std::collections::HashSet;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

pub use disk::Disk;

use crate::clock::Timestamp;
use crate::error::{Code, Effect, Error, Result};
use crate::txn::Txn;

use disk::{Own, reason};
use format::{In, Out};
use frame::{Kind, Piece, pieces, push};

/// What the first record says that a file is.
const TITLE: &[u8] = b"flowkeep journal";
/// The format of what follows.
const VERSION: u64 = 1;
/// With [`Fsync::Interval`], how much time a crash of the machine may cost.
const INTERVAL_MS: u64 = 1_000;
/// Bytes that a file may hold beside what is still needed, before it is written anew.
const SPARE: usize = 1 << 20;

/// When what was written is forced to the disk.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// Before it is acknowledged: it outlives a crash of the machine.
    #[default]
    Always,
    /// Once a second: it outlives a crash of the process, and all but the last second one of the machine.
    Interval,
    /// When the system likes: it outlives a crash of the process.
    Never,
}

/// What a file holds when it is opened.
#[derive(Debug, Default)]
pub struct Found {
    /// Kept writes that were not brought to the backend yet, in their order.
    pub entries: Vec<FoundEntry>,
    /// What was damaged, and where it is now.
    pub damage: Option<Damage>,
}

#[derive(Debug)]
pub struct FoundEntry {
    pub id: u64,
    pub order: u64,
    pub txn: Txn,
}

/// Bytes of a file that no longer are what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub bytes: usize,
    /// Where the whole file was set aside, or why it could not be.
    pub kept: std::result::Result<String, String>,
}

/// A journal's file.
pub struct JournalFile {
    disk: Box<dyn Disk>,
    fsync: Fsync,
    /// The first record.
    owner: Vec<u8>,
    /// What the next commit writes.
    buffer: Vec<u8>,
    /// The buffer holds a write that somebody waits for.
    is_awaited: bool,
    /// The latest kept write.
    latest: u64,
    /// Bytes on the disk.
    size: usize,
    synced_at: Timestamp,
    is_synced: bool,
    shared: Arc<Mutex<Shared>>,
}

/// What those who wait look at.
#[derive(Debug, Default)]
struct Shared {
    through: u64,
    failed: Option<String>,
    wakers: Vec<Waker>,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ready when a kept write is as safe as its file makes it.
///
/// *Errors*: `STORAGE_UNAVAILABLE` with an unknown effect, when the file failed: the write is kept in memory alone.
#[derive(Debug)]
pub struct Commit {
    shared: Arc<Mutex<Shared>>,
    id: u64,
}

impl Future for Commit {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut shared = lock(&self.shared);
        if shared.through >= self.id {
            return Poll::Ready(Ok(()));
        }
        if shared.failed.is_some() {
            let message = "the journal's file failed: this write is kept in memory alone";
            return Poll::Ready(Err(Error::unavailable(message, Effect::Unknown)));
        }
        shared.wakers.push(cx.waker().clone());
        Poll::Pending
    }
}

impl JournalFile {
    /// Opens a file, or makes it. `owner` is whose writes it keeps: they would mean something else elsewhere.
    ///
    /// # Errors
    /// `STORAGE_CONFIG` when the file is another storage's now, is no journal, is of another owner, or of a newer format.
    pub fn open(path: &Path, fsync: Fsync, owner: &str) -> Result<(Self, Found)> {
        let (disk, bytes) = Own::open(path)?;
        Self::over(Box::new(disk), &bytes, fsync, owner)
    }

    /// The same over any disk that holds these bytes.
    ///
    /// # Errors
    /// As [`JournalFile::open`].
    pub fn over(disk: Box<dyn Disk>, bytes: &[u8], fsync: Fsync, owner: &str) -> Result<(Self, Found)> {
        let read = Read::of(bytes, owner)?;
        let mut file = Self {
            disk,
            fsync,
            owner: owner_record(owner),
            buffer: Vec::new(),
            is_awaited: false,
            latest: read.latest,
            size: bytes.len(),
            synced_at: Timestamp(0),
            is_synced: true,
            shared: Arc::default(),
        };
        lock(&file.shared).through = read.latest;
        let damage = (read.damaged > 0).then(|| {
            let kept = file.disk.set_aside(bytes).map_err(|error| reason(&error));
            Damage { bytes: read.damaged, kept }
        });
        if damage.is_some() || bytes.is_empty() || read.end == 0 {
            let live = read.entries.iter().map(|entry| (entry.id, entry.order, &entry.txn));
            // What could not be set aside stays where it is.
            if damage.as_ref().is_none_or(|damage| damage.kept.is_ok()) {
                file.rewrite(live);
            } else {
                file.poison("damage could not be set aside");
            }
        } else if read.end < bytes.len() {
            let cut = file.disk.cut(read.end).and_then(|()| file.disk.sync());
            file.size = read.end;
            file.check(cut);
        }
        Ok((file, Found { entries: read.entries, damage }))
    }

    /// Hands a write over; its number. It is not written yet: see [`JournalFile::commit`].
    ///
    /// # Errors
    /// `STORAGE_UNAVAILABLE` when the file failed, or for what no file can keep.
    pub fn keep(&mut self, order: u64, txn: &Txn) -> Result<u64> {
        let refused = |why: &str| Err(Error::unavailable(why, Effect::NotApplied));
        if self.failed().is_some() {
            return refused("the backend is away, and the journal's file failed");
        }
        let Some(body) = entry(self.latest + 1, order, txn) else {
            return refused("the backend is away, and the journal's file can't keep this");
        };
        self.latest += 1;
        push(&mut self.buffer, Kind::Entry, &body);
        self.is_awaited = true;
        Ok(self.latest)
    }

    /// Kept writes are no longer needed. That need not be safe, since what is brought again is known; but of those that were
    /// brought together all are noted, or none.
    pub fn done(&mut self, ids: impl IntoIterator<Item = u64>) {
        let mut out = Out::default();
        ids.into_iter().fold(&mut out, |out, id| out.number(id));
        push(&mut self.buffer, Kind::Done, &out.0);
    }

    /// Ready when this write is written, and safe.
    #[must_use]
    pub fn committed(&self, id: u64) -> Commit {
        Commit { shared: Arc::clone(&self.shared), id }
    }

    /// Writes what was handed over since the last time. Gives the reason when it fails, once.
    pub fn commit(&mut self, now: Timestamp) -> Option<String> {
        let late = !self.is_synced && now.0 >= self.synced_at.0.saturating_add(INTERVAL_MS);
        if self.failed().is_some() || (self.buffer.is_empty() && !late) {
            return None;
        }
        let bytes = std::mem::take(&mut self.buffer);
        let awaited = std::mem::take(&mut self.is_awaited);
        let written = if bytes.is_empty() { Ok(()) } else { self.disk.append(&bytes) };
        self.size += bytes.len();
        self.is_synced &= !awaited;
        let sync = match self.fsync {
            Fsync::Always => awaited,
            Fsync::Interval => late || (awaited && self.synced_at.0 + INTERVAL_MS <= now.0),
            Fsync::Never => false,
        };
        let result = written.and_then(|()| if sync { self.disk.sync() } else { Ok(()) });
        if sync {
            (self.synced_at, self.is_synced) = (now, true);
        }
        self.is_synced |= self.fsync == Fsync::Never;
        let failure = self.check(result);
        if failure.is_none() {
            self.told();
        }
        failure
    }

    /// Makes room when much of the file is of no use any more. `live` are the writes that are still needed, which take
    /// about so many `bytes`.
    pub fn tidy<'a>(&mut self, bytes: usize, live: impl Iterator<Item = (u64, u64, &'a Txn)>) {
        let mut live = live.peekable();
        if live.peek().is_none() {
            self.empty();
        } else if self.failed().is_none() && self.size > 2 * bytes + SPARE {
            self.rewrite(live);
        }
    }

    /// Nothing is needed any more. Done for a file that failed, too: what it may still hold was brought.
    fn empty(&mut self) {
        self.buffer.clear();
        self.is_awaited = false;
        if self.size > self.owner.len() {
            let cut = self.disk.cut(self.owner.len());
            let cut = if self.fsync == Fsync::Never { cut } else { cut.and_then(|()| self.disk.sync()) };
            if cut.is_ok() {
                self.size = self.owner.len();
            }
            self.check(cut);
            self.is_synced = true;
        }
        self.told();
    }

    fn rewrite<'a>(&mut self, live: impl Iterator<Item = (u64, u64, &'a Txn)>) {
        let mut bytes = self.owner.clone();
        for (id, order, txn) in live {
            if let Some(body) = entry(id, order, txn) {
                push(&mut bytes, Kind::Entry, &body);
            }
        }
        self.buffer.clear();
        self.is_awaited = false;
        self.size = bytes.len();
        let replaced = self.disk.replace(&bytes);
        if self.check(replaced).is_none() {
            self.is_synced = true;
            self.told();
        }
    }

    /// Why nothing is acknowledged from this file any more.
    #[must_use]
    pub fn failed(&self) -> Option<String> {
        lock(&self.shared).failed.clone()
    }

    fn check(&mut self, result: std::io::Result<()>) -> Option<String> {
        let why = reason(&result.err()?);
        let first = self.failed().is_none();
        self.poison(&why);
        first.then_some(why)
    }

    fn poison(&mut self, why: &str) {
        lock(&self.shared).failed.get_or_insert_with(|| why.to_owned());
        self.told();
    }

    /// Tells those who wait how it is now.
    fn told(&self) {
        let wakers = {
            let mut shared = lock(&self.shared);
            if shared.failed.is_none() {
                shared.through = self.latest;
            }
            std::mem::take(&mut shared.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

fn entry(id: u64, order: u64, txn: &Txn) -> Option<Vec<u8>> {
    let mut out = Out::default();
    out.number(id).number(order).txn(txn)?;
    Some(out.0)
}

fn owner_record(owner: &str) -> Vec<u8> {
    let (mut out, mut record) = (Out::default(), Vec::new());
    out.bytes(TITLE).number(VERSION).bytes(owner.as_bytes());
    push(&mut record, Kind::Owner, &out.0);
    record
}

/// What a file's bytes say.
#[derive(Default)]
struct Read {
    entries: Vec<FoundEntry>,
    done: HashSet<u64>,
    latest: u64,
    damaged: usize,
    /// Where a torn end begins, or the end.
    end: usize,
}

impl Read {
    fn of(bytes: &[u8], owner: &str) -> Result<Self> {
        let refused = |why: &str| Err(Error::new(Code::Config, format!("resilience.journal.path: {why}")));
        let (mut read, mut records) = (Self { end: bytes.len(), ..Self::default() }, 0);
        for piece in pieces(bytes) {
            match piece {
                Piece::Damage(range) => read.damaged += range.len(),
                Piece::Torn(at) => read.end = at,
                Piece::Record(kind, body) => {
                    records += 1;
                    if kind == Kind::Owner {
                        match whose(body) {
                            Some((VERSION, name)) if name == owner.as_bytes() => {}
                            Some((VERSION, _)) => {
                                return refused("this journal was written with another prefix");
                            }
                            Some(_) => return refused("this journal is of a format that is not known here"),
                            None => read.damaged += body.len(),
                        }
                    } else if read.record(kind, body).is_none() {
                        read.damaged += body.len();
                    }
                }
            }
        }
        let is_titled = bytes.windows(TITLE.len()).any(|part| part == TITLE);
        if records == 0 && read.damaged > 0 && !is_titled {
            return refused("this file is no journal");
        }
        let Self { entries, done, .. } = &mut read;
        entries.retain(|entry| !done.contains(&entry.id));
        entries.sort_by_key(|entry| entry.order);
        Ok(read)
    }

    fn record(&mut self, kind: Kind, body: &[u8]) -> Option<()> {
        let mut body = In(body);
        let id = body.number()?;
        self.latest = self.latest.max(id);
        if kind == Kind::Done {
            self.done.insert(id);
            while !body.0.is_empty() {
                self.done.insert(body.number()?);
            }
            return Some(());
        }
        let (order, txn) = (body.number()?, body.txn()?);
        self.entries.push(FoundEntry { id, order, txn });
        Some(())
    }
}

/// The format and the owner that a first record names.
fn whose(body: &[u8]) -> Option<(u64, &[u8])> {
    let mut body = In(body);
    (body.bytes()? == TITLE).then_some(())?;
    Some((body.number()?, body.bytes()?))
}
