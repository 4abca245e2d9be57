//! A directory of the file system as a [`Disk`], for one process at a time.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::Disk;

/// Held while the directory is open.
const LOCK: &str = "document.lock";

/// A directory, locked against other processes while this exists.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    _lock: File,
}

/// Makes a directory that nobody else may look into, if it is not there.
///
/// # Errors
/// The system's.
pub fn make_private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Puts a file that nobody else may read into `directory`, made if need be, in one step: whatever happens, the whole old
/// one is there or the whole new one. When it returns, the new one is on the disk.
///
/// # Errors
/// The system's; which of the two is there is not known then.
pub fn replace(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    make_private(directory)?;
    let draft = directory.join(format!("{name}.new"));
    let options = &mut OpenOptions::new();
    let mut new = options.create(true).truncate(true).write(true).mode(0o600).open(&draft)?;
    new.write_all(bytes)?;
    new.sync_data()?;
    fs::rename(draft, directory.join(name))?;
    File::open(directory)?.sync_all()
}

impl Directory {
    /// Opens, and makes if need be, the directory `path`.
    ///
    /// # Errors
    /// `ResourceBusy` where another process has it; else the system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        make_private(path)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                Err(io::Error::new(io::ErrorKind::ResourceBusy, "a daemon has the document open"))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn open_file(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().append(true).open(self.path.join(name))
    }
}

impl Disk for Directory {
    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.path.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let options = &mut OpenOptions::new();
        options.create(true).truncate(true).write(true).mode(0o600);
        options.open(self.path.join(name))?.write_all(bytes)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.open_file(name)?.write_all(bytes)
    }

    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        self.open_file(name)?.set_len(length)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.open_file(name)?.sync_data()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}
