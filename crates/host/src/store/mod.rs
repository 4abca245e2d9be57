//! What must survive a power loss: one log of chunks in the state directory, kept before anybody is told "done".
//!
//! `document.log` is a row of frames (`frame`), the first of which is a snapshot, the others what came after. [`Store::append`]
//! returns when the chunk is on the disk. [`Store::replace`] writes the whole anew beside the log, and puts it in the log's
//! place by a rename, so that at every instant one whole log is there.
//!
//! Invariants, under a loss of power between or within any two operations (`tests`, which lose and tear every one):
//! - after a restart every chunk that was acknowledged is there, in order, and at most one that was under way;
//! - no start fails on a torn tail: the log is cut behind its last whole frame, and what was cut is set aside;
//! - after an operation that failed nothing more is acknowledged until the whole has been written anew: what a disk has
//!   kept of a failed write is not known, and a second fsync would not tell (fsync(2), "errors").
//!
//! Deliberately not here: what the chunks mean.

mod directory;
pub mod frame;
#[cfg(test)]
mod tests;

use std::{io, path::Path};

pub use directory::{Directory, make_private, replace};

/// The log.
const LOG: &str = "document.log";
/// Its successor, until it is whole.
const DRAFT: &str = "document.new";
/// What a start has cut from the log, for whoever wants to look.
const CUT: &str = "document.cut";
/// A log had better be written anew when it has grown by its snapshot's length, and by so much at least.
const LEAST_GROWTH: u64 = 8 << 20;
/// And must be when it has grown by its snapshot's length and by so much.
const MOST_GROWTH: u64 = 64 << 20;

/// The files of one directory, as a store needs them. Nothing is sure to be on the disk before it is synced.
pub trait Disk {
    /// A file's content; none where there is no such file.
    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>>;
    /// Makes a file, or empties it, and writes `bytes`.
    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Writes `bytes` at the end of a file.
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Shortens a file.
    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()>;
    /// Waits until a file's content is on the disk.
    fn sync(&mut self, name: &str) -> io::Result<()>;
    /// Renames a file over another.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Waits until renames are on the disk.
    fn sync_directory(&mut self) -> io::Result<()>;
}

/// What was on the disk.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recovered {
    /// The chunks: a snapshot, then what came after.
    pub chunks: Vec<Vec<u8>>,
    /// So many bytes behind the last whole frame were no whole frame.
    pub cut: usize,
}

/// The log, open for writing.
#[derive(Debug)]
pub struct Store<D> {
    disk: D,
    /// Of the log.
    length: u64,
    /// Of its first frame.
    snapshot: u64,
    /// Something failed: see above.
    broken: bool,
}

impl<D: Disk> Store<D> {
    /// Opens the log and gives what is in it; nothing, where there is no log yet.
    ///
    /// # Errors
    /// The disk's.
    pub fn open(mut disk: D) -> io::Result<(Self, Recovered)> {
        let found = disk.read(LOG)?;
        if found.is_some() {
            // What an earlier run has written and not synced is there now, and must stay.
            disk.sync(LOG)?;
            disk.sync_directory()?;
        }
        let bytes = found.unwrap_or_default();
        let (chunks, whole) = frame::read(&bytes);
        let recovered =
            Recovered { chunks: chunks.iter().map(|chunk| chunk.to_vec()).collect(), cut: bytes.len() - whole };
        if recovered.cut > 0 {
            // For whoever wants to look; the log is what counts.
            let _for_looking_at = disk.write(CUT, &bytes[whole..]);
            disk.truncate(LOG, whole as u64)?;
            disk.sync(LOG)?;
        }
        let snapshot = chunks.first().map_or(0, |chunk| frame::length(chunk));
        Ok((Self { disk, length: whole as u64, snapshot, broken: chunks.is_empty() }, recovered))
    }

    /// Whether the next chunk must be the whole: there is no log yet, or something has failed.
    pub const fn needs_whole(&self) -> bool {
        self.broken
    }

    /// Whether the log has grown so long that the whole had better be written anew.
    pub fn has_grown(&self) -> bool {
        self.length - self.snapshot > self.snapshot.max(LEAST_GROWTH)
    }

    /// Whether that cannot wait until there is time for it.
    pub fn has_outgrown(&self) -> bool {
        self.length - self.snapshot > self.snapshot.max(MOST_GROWTH)
    }

    /// Keeps a chunk: when it returns, the chunk is on the disk.
    ///
    /// # Errors
    /// The disk's; or that the whole is needed. Whether the chunk is there after a restart is not known then.
    pub fn append(&mut self, chunk: &[u8]) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("the log must be written anew first"));
        }
        let frame = frame::write(chunk)?;
        let kept = self.disk.append(LOG, &frame).and_then(|()| self.disk.sync(LOG));
        match kept {
            Ok(()) => self.length += frame.len() as u64,
            Err(_) => {
                self.broken = true;
                // What was not acknowledged had better not be there after a restart; nothing is promised.
                let _perhaps = self.disk.truncate(LOG, self.length).and_then(|()| self.disk.sync(LOG));
            }
        }
        kept
    }

    /// Writes the whole anew: when it returns, `snapshot` is all that is on the disk.
    ///
    /// # Errors
    /// The disk's; the log is then as it was, or already `snapshot`.
    pub fn replace(&mut self, snapshot: &[u8]) -> io::Result<()> {
        self.broken = true;
        let frame = frame::write(snapshot)?;
        self.disk.write(DRAFT, &frame)?;
        self.disk.sync(DRAFT)?;
        self.disk.rename(DRAFT, LOG)?;
        self.disk.sync_directory()?;
        (self.length, self.snapshot, self.broken) = (frame.len() as u64, frame.len() as u64, false);
        Ok(())
    }
}

/// Renames the log of `directory`, which nobody may have open, to `document.SUFFIX`; whether there was one.
///
/// # Errors
/// The disk's.
pub fn set_aside(directory: &Path, suffix: &str) -> io::Result<bool> {
    match std::fs::rename(directory.join(LOG), directory.join(format!("document.{suffix}"))) {
        Ok(()) => std::fs::File::open(directory)?.sync_all().map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// What is in the log of `directory`, which somebody else may have open; none where there is no log.
///
/// # Errors
/// The disk's.
pub fn peek(directory: &Path) -> io::Result<Option<Recovered>> {
    let bytes = match std::fs::read(directory.join(LOG)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let (chunks, whole) = frame::read(&bytes);
    Ok(Some(Recovered { chunks: chunks.iter().map(|chunk| chunk.to_vec()).collect(), cut: bytes.len() - whole }))
}
