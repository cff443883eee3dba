//! Where a journal's bytes lie: a file with its lock beside it, or anything else that does what is asked here.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::error::{Code, Error, Result};

/// Bytes that outlive this process.
pub trait Disk: Send {
    /// Adds bytes at the end. What an error leaves behind is a beginning of them.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// What was added outlives the machine's crash from here on.
    fn sync(&mut self) -> io::Result<()>;

    /// Forgets what stands behind so many bytes.
    fn cut(&mut self, length: usize) -> io::Result<()>;

    /// These bytes instead of all that is there: the old ones or the new ones, whatever happens.
    fn replace(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Keeps bytes beside, for somebody to look at; where they are.
    fn set_aside(&mut self, bytes: &[u8]) -> io::Result<String>;
}

/// A file that nobody else writes to while this lives.
pub(super) struct Own {
    path: PathBuf,
    file: File,
    /// Beside the file, since the file itself may be replaced. It is locked, and never removed.
    _lock: File,
}

impl Own {
    /// Opens the file, or makes it; also what is in it.
    ///
    /// # Errors
    /// `STORAGE_CONFIG` when it can't be opened, or is another storage's now.
    pub fn open(path: &Path) -> Result<(Self, Vec<u8>)> {
        let failed = |why: &str| {
            Error::new(Code::Config, format!("resilience.journal.path: {}: {why}", path.display()))
        };
        let lock =
            options().write(true).open(beside(path, "lock")).map_err(|error| failed(&reason(&error)))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(failed("another storage has this journal open")),
            Err(TryLockError::Error(error)) => return Err(failed(&reason(&error))),
        }
        let (file, bytes) = whole(path).map_err(|error| failed(&reason(&error)))?;
        Ok((Self { path: path.to_owned(), file, _lock: lock }, bytes))
    }
}

/// The file and what is in it.
fn whole(path: &Path) -> io::Result<(File, Vec<u8>)> {
    let (is_new, mut bytes) = (!path.exists(), Vec::new());
    let mut file = options().read(true).append(true).open(path)?;
    only_ours(&file)?;
    file.read_to_end(&mut bytes)?;
    if is_new {
        sync_folder(path)?;
    }
    Ok((file, bytes))
}

impl Disk for Own {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn cut(&mut self, length: usize) -> io::Result<()> {
        self.file.set_len(length as u64)
    }

    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        let fresh = beside(&self.path, "new");
        let mut file = options().write(true).truncate(true).open(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&fresh, &self.path)?;
        sync_folder(&self.path)?;
        self.file = options().append(true).open(&self.path)?;
        Ok(())
    }

    fn set_aside(&mut self, bytes: &[u8]) -> io::Result<String> {
        for number in 1_u32.. {
            let path = beside(&self.path, &format!("damaged-{number}"));
            let mut file = match options().write(true).create_new(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                opened => opened?,
            };
            file.write_all(bytes)?;
            file.sync_all()?;
            return Ok(path.display().to_string());
        }
        Err(io::Error::other("no name is left"))
    }
}

/// A failure in the system's words, without a path.
pub(super) fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(_) => error.to_string(),
        None => error.kind().to_string(),
    }
}

fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(what);
    path.with_file_name(name)
}

/// Files that are made are their owner's alone.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// The same of a file that was there.
#[cfg(unix)]
fn only_ours(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut permissions = file.metadata()?.permissions();
    if permissions.mode() & 0o077 != 0 {
        permissions.set_mode(0o600);
        file.set_permissions(permissions)?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn only_ours(_: &File) -> io::Result<()> {
    Ok(())
}

/// A name outlives the machine's crash once its folder is on the disk.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
