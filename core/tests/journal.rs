//! What a journal's file keeps, whatever happens to it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

#[path = "support/paper.rs"]
mod paper;

use std::fs;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};

use flowkeep_core::clock::Timestamp;
use flowkeep_core::error::{Code, Effect as Applied, Error};
use flowkeep_core::id::Mark;
use flowkeep_core::journal::{Found, Fsync, JournalFile};
use flowkeep_core::key::{Key, Partition, Space};
use flowkeep_core::run::poll_now;
use flowkeep_core::txn::{Check, Effect, Feed, Txn};
use paper::Paper;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn txn(n: u64) -> Txn {
    let key = Key::new(Space("t"), format!("tree{n}"));
    let feed = Feed { key: Key::new(Space("f"), "ann"), keep: 10, until: NOW, also: None };
    Txn {
        checks: vec![Check::Begins { key: key.clone(), field: "s".into(), with: format!("{n}.abcdefgh") }],
        effects: vec![Effect::Append { key, text: format!("{{\"n\":{n}}}").into(), keep: 10, feed }],
        mark: Some(Mark::new(n)),
        ..Txn::new(Partition::from_number(7), NOW)
    }
}

/// A file that holds so many writes.
fn holding(paper: &Paper, writes: u64) -> JournalFile {
    let (mut file, _) = paper.open(Fsync::Always);
    for n in 1..=writes {
        assert_eq!(file.keep(n, &txn(n)).unwrap(), n);
        assert_eq!(file.commit(NOW), None);
    }
    file
}

fn numbers(found: &Found) -> Vec<u64> {
    for entry in &found.entries {
        let meant = txn(entry.order);
        assert_eq!(
            (&entry.txn.effects, &entry.txn.checks, entry.txn.mark),
            (&meant.effects, &meant.checks, meant.mark)
        );
    }
    found.entries.iter().map(|entry| entry.order).collect()
}

fn over(bytes: &[u8]) -> (Paper, Result<(JournalFile, Found), Error>) {
    let paper = Paper::default();
    paper.0.lock().unwrap().bytes = bytes.to_vec();
    let opened = JournalFile::over(Box::new(paper.clone()), bytes, Fsync::Always, "mine:");
    (paper, opened)
}

#[test]
fn what_was_kept_is_found_again_in_its_order() {
    let paper = Paper::default();
    let (mut file, _) = paper.open(Fsync::Always);
    for order in [3, 1, 2, 9] {
        file.keep(order, &txn(order)).unwrap();
    }
    file.done([2]);
    file.commit(NOW);
    assert_eq!(numbers(&paper.open(Fsync::Always).1), [2, 3, 9]);
    let (mut file, _) = paper.open(Fsync::Always);
    assert_eq!(file.keep(10, &txn(10)).unwrap(), 5, "numbers are not given twice");
}

#[test]
fn all_writes_of_one_tick_are_one_write_and_one_fsync_and_are_acknowledged_behind_it() {
    let paper = Paper::default();
    let (mut file, _) = paper.open(Fsync::Always);
    let (appends, syncs) = paper.times();
    let mut commits: Vec<_> = (1..=100)
        .map(|n| {
            let id = file.keep(n, &txn(n)).unwrap();
            Box::pin(file.committed(id))
        })
        .collect();
    assert!(commits.iter_mut().all(|commit| poll_now(commit.as_mut()).is_none()));
    assert_eq!(file.commit(NOW), None);
    assert!(commits.iter_mut().all(|commit| matches!(poll_now(commit.as_mut()), Some(Ok(())))));
    assert_eq!(paper.times(), (appends + 1, syncs + 1));
    paper.crash();
    assert_eq!(paper.open(Fsync::Always).1.entries.len(), 100);
}

#[test]
fn the_disk_is_forced_as_often_as_was_asked_for() {
    for (fsync, expected) in [(Fsync::Always, 30), (Fsync::Interval, 3), (Fsync::Never, 0)] {
        let paper = Paper::default();
        let (mut file, _) = paper.open(fsync);
        let before = paper.0.lock().unwrap().syncs;
        for n in 1..=30 {
            let id = file.keep(n, &txn(n)).unwrap();
            file.commit(NOW.plus_ms(n * 100));
            assert!(
                poll_now(pin!(file.committed(id))).is_some(),
                "it is written, so a crash of the process costs nothing"
            );
        }
        assert_eq!(paper.0.lock().unwrap().syncs - before, expected, "{fsync:?}");
        assert_eq!(paper.open(fsync).1.entries.len(), 30);
    }
    // What was written last is forced, too, once its second is over.
    let paper = Paper::default();
    let (mut file, _) = paper.open(Fsync::Interval);
    file.keep(1, &txn(1)).unwrap();
    file.commit(NOW);
    file.keep(2, &txn(2)).unwrap();
    file.commit(NOW.plus_ms(10));
    file.commit(NOW.plus_ms(1_000));
    paper.crash();
    assert_eq!(paper.open(Fsync::Interval).1.entries.len(), 2);
}

#[test]
fn a_torn_end_is_cut_wherever_the_last_record_was_cut() {
    let paper = Paper::default();
    drop(holding(&paper, 4));
    let before = paper.bytes().len();
    let (mut file, _) = paper.open(Fsync::Always);
    file.keep(5, &txn(5)).unwrap();
    file.commit(NOW);
    let bytes = paper.bytes();
    for length in before..=bytes.len() {
        let (torn, opened) = over(&bytes[..length]);
        let (mut file, found) = opened.unwrap();
        let whole = length == bytes.len();
        assert_eq!(numbers(&found), if whole { vec![1, 2, 3, 4, 5] } else { vec![1, 2, 3, 4] }, "{length}");
        assert_eq!((found.damage, file.failed()), (None, None), "{length}");
        assert_eq!(torn.bytes().len(), if whole { length } else { before }, "{length}");
        // And it goes on.
        file.keep(6, &txn(6)).unwrap();
        file.commit(NOW);
        assert_eq!(numbers(&torn.open(Fsync::Always).1).last(), Some(&6), "{length}");
    }
}

#[test]
fn a_file_that_was_cut_while_it_was_made_is_made_anew() {
    let paper = Paper::default();
    drop(paper.open(Fsync::Always));
    let bytes = paper.bytes();
    for length in 0..bytes.len() {
        let (again, opened) = over(&bytes[..length]);
        let (_, found) = opened.unwrap();
        assert_eq!((found.entries.len(), found.damage, again.bytes()), (0, None, bytes.clone()), "{length}");
    }
}

#[test]
fn a_thousand_flipped_bits_are_all_noticed_and_cost_one_record_each() {
    let paper = Paper::default();
    drop(holding(&paper, 20));
    let bytes = paper.bytes();
    let mut random = fastrand::Rng::with_seed(20_260_101);
    for round in 0..1_000 {
        let (at, bit) = (random.usize(..bytes.len()), random.u8(..8));
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << bit;
        let (after, opened) = over(&flipped);
        let (_, found) = opened.unwrap();
        let what = format!("round {round}: bit {bit} of byte {at}");
        assert!(numbers(&found).len() >= 19, "{what}");
        assert!(found.damage.is_some(), "{what}");
        assert_eq!(after.0.lock().unwrap().aside, [flipped], "{what}");
        // What is left is a sound file.
        let again = after.open(Fsync::Always).1;
        assert_eq!((numbers(&again), again.damage), (numbers(&found), None), "{what}");
    }
}

#[test]
fn a_file_that_failed_acknowledges_nothing_ever_again() {
    for fails_to_sync in [false, true] {
        let paper = Paper::default();
        let mut file = holding(&paper, 2);
        let set = |on: bool| {
            let mut state = paper.0.lock().unwrap();
            if fails_to_sync { state.fails_to_sync = on } else { state.fails_to_write = on }
        };
        let id = file.keep(3, &txn(3)).unwrap();
        let mut waiting = pin!(file.committed(id));
        assert!(poll_now(waiting.as_mut()).is_none());
        set(true);
        assert!(file.commit(NOW).is_some());
        let error = poll_now(waiting.as_mut()).unwrap().unwrap_err();
        assert_eq!((error.code, error.effect), (Code::Unavailable, Applied::Unknown));
        set(false);
        let error = file.keep(4, &txn(4)).unwrap_err();
        assert_eq!((error.code, error.effect), (Code::Unavailable, Applied::NotApplied));
        assert_eq!(file.commit(NOW), None, "it is told once");
        assert!(poll_now(pin!(file.committed(id))).unwrap().is_err());
        assert!(file.failed().is_some());
        drop(file);
        let (_, found) = paper.open(Fsync::Always);
        assert_eq!(numbers(&found)[..2], [1, 2], "what was acknowledged is there");
        assert_eq!(found.damage, None);
    }
}

#[test]
fn damage_that_can_not_be_set_aside_stays_and_nothing_is_kept_by_the_file() {
    let paper = Paper::default();
    drop(holding(&paper, 3));
    let mut bytes = paper.bytes();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let sick = Paper::default();
    {
        let mut state = sick.0.lock().unwrap();
        (state.bytes, state.fails_to_write) = (bytes.clone(), true);
    }
    let (mut file, found) = sick.open(Fsync::Always);
    assert_eq!(found.entries.len(), 2);
    assert!(found.damage.unwrap().kept.is_err());
    assert_eq!(sick.bytes(), bytes);
    assert!(file.keep(9, &txn(9)).is_err());
}

#[test]
fn a_file_is_written_anew_when_much_of_it_is_of_no_use_and_cut_when_all_is() {
    let paper = Paper::default();
    let mut file = holding(&paper, 1);
    let empty = {
        let fresh = Paper::default();
        drop(fresh.open(Fsync::Always));
        fresh.bytes().len()
    };
    for n in 2..12_000 {
        file.keep(n, &txn(n)).unwrap();
        file.done([n]);
    }
    file.commit(NOW);
    let (long, live) = (paper.bytes().len(), txn(1));
    file.tidy(500, std::iter::once((1, 1, &live)));
    assert!(long > 1 << 20 && paper.bytes().len() < 1_000);
    assert_eq!(numbers(&paper.open(Fsync::Always).1), [1]);
    file.tidy(0, std::iter::empty());
    assert_eq!(paper.bytes().len(), empty);
}

// ---- real files

/// A folder of this test's own.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static LATEST: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("flowkeep-journal-{}-{}", std::process::id(), LATEST.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.join("kept.journal")
    }

    fn open(&self) -> Result<(JournalFile, Found), Error> {
        JournalFile::open(&self.file(), Fsync::Always, "mine:")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_file_belongs_to_one_storage_at_a_time() {
    let folder = Folder::new();
    let (mut file, _) = folder.open().unwrap();
    file.keep(1, &txn(1)).unwrap();
    file.commit(NOW);
    let error = folder.open().err().unwrap();
    assert_eq!(error.code, Code::Config);
    assert!(error.message.contains("another storage"), "{}", error.message);
    drop(file);
    assert_eq!(numbers(&folder.open().unwrap().1), [1]);
}

#[test]
fn damage_is_set_aside_in_a_file_and_the_rest_goes_on() {
    let folder = Folder::new();
    let (mut file, _) = folder.open().unwrap();
    for n in 1..=3 {
        file.keep(n, &txn(n)).unwrap();
    }
    file.commit(NOW);
    drop(file);
    let mut bytes = fs::read(folder.file()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(folder.file(), &bytes).unwrap();
    let (mut file, found) = folder.open().unwrap();
    assert_eq!(numbers(&found), [1, 3]);
    let aside = found.damage.unwrap().kept.unwrap();
    assert_eq!(fs::read(&aside).unwrap(), bytes);
    file.keep(4, &txn(4)).unwrap();
    file.commit(NOW);
    drop(file);
    let (_, found) = folder.open().unwrap();
    assert_eq!((numbers(&found), found.damage), (vec![1, 3, 4], None));
    only_ours(&folder);
}

#[cfg(unix)]
fn only_ours(folder: &Folder) {
    use std::os::unix::fs::PermissionsExt as _;
    let mut seen = 0;
    for file in fs::read_dir(&folder.0).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", file.file_name());
        seen += 1;
    }
    assert!(seen >= 2);
}

#[cfg(not(unix))]
fn only_ours(_: &Folder) {}

#[cfg(unix)]
#[test]
fn nobody_else_reads_what_is_kept() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let (mut file, _) = folder.open().unwrap();
    file.keep(1, &txn(1)).unwrap();
    file.commit(NOW);
    only_ours(&folder);
    drop(file);
    // One that somebody has opened to others.
    fs::set_permissions(folder.file(), fs::Permissions::from_mode(0o644)).unwrap();
    let (_file, found) = folder.open().unwrap();
    assert_eq!(numbers(&found), [1]);
    only_ours(&folder);
}

#[test]
fn what_is_no_journal_or_somebody_elses_is_not_touched() {
    let folder = Folder::new();
    fs::write(folder.file(), b"dear diary").unwrap();
    assert_eq!(folder.open().err().unwrap().code, Code::Config);
    assert_eq!(fs::read(folder.file()).unwrap(), b"dear diary");
    fs::remove_file(folder.file()).unwrap();
    let (mut file, _) = folder.open().unwrap();
    file.keep(1, &txn(1)).unwrap();
    file.commit(NOW);
    drop(file);
    let before = fs::read(folder.file()).unwrap();
    let other = JournalFile::open(&folder.file(), Fsync::Always, "theirs:").err().unwrap();
    assert!(other.code == Code::Config && other.message.contains("prefix"), "{}", other.message);
    assert_eq!(fs::read(folder.file()).unwrap(), before);
    let nowhere = JournalFile::open(&folder.0.join("no/such/folder"), Fsync::Always, "mine:");
    assert_eq!(nowhere.err().unwrap().code, Code::Config);
}
