//! The log on the disk: `log/STREAM/`, each with blocks (`block`) and the newest entries in `live`.
//!
//! `live` is a row of frames (`host::store::frame`), a line of JSON each; when it is long enough it becomes a block. Invariants, under a
//! loss of power at any instant: what [`Store::append`] has taken is there, in order; a torn end of `live` is cut.
//! The whole is no longer than its bound: the oldest block of all goes first. The newest of a stream stays, so that what was
//! dropped is not fetched again from others.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use chronicle::{Entry, Extent, Position, Stream, Vector};
use host::store::{frame, make_private};

use super::block::Block;

/// `live` becomes a block when it has so many bytes.
pub(super) const LIVE_BYTES: u64 = 256 << 10;
/// More streams are not kept: somebody makes them up.
const MOST_STREAMS: usize = 256;

/// What there is of a stream, to be read while the log goes on.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub blocks: Vec<Arc<Block>>,
    pub live: Vec<Arc<Entry>>,
}

impl Row {
    /// Which entries it has.
    fn extent(&self) -> Extent {
        let first = self.blocks.first().map(|block| block.head.first).or(self.live.first().map(|entry| entry.sequence));
        let last = self.live.last().map(|entry| entry.sequence).or(self.blocks.last().map(|block| block.head.last));
        Extent { first: first.unwrap_or(1), next: last.map_or(1, |last| last + 1) }
    }

    fn last(&self, stream: &Stream) -> Option<Position> {
        let block = || self.blocks.last().map(|block| block.ends(stream));
        self.live.last().map(|entry| entry.position()).or_else(block)
    }
}

/// All of it at one moment.
pub(super) type Snapshot = BTreeMap<Stream, Arc<Row>>;

/// What a snapshot has of each stream.
pub(super) fn vector(snapshot: &Snapshot) -> Vector {
    Vector(snapshot.iter().map(|(stream, row)| (stream.clone(), row.extent())).collect())
}

/// The place of the last entry of a stream.
pub(super) fn last(snapshot: &Snapshot, stream: &Stream) -> Option<Position> {
    snapshot.get(stream).and_then(|row| row.last(stream))
}

#[derive(Debug)]
struct Live {
    file: File,
    bytes: u64,
}

/// The log, open for writing.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    /// The bound, in bytes.
    most: u64,
    rows: Snapshot,
    live: BTreeMap<Stream, Live>,
}

impl Store {
    /// Opens, and makes if need be, the log in the directory `path`, which will have no more than `most` bytes or so.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn open(path: &Path, most: u64) -> io::Result<Self> {
        make_private(path)?;
        let mut store = Self { path: path.to_owned(), most, rows: Snapshot::new(), live: BTreeMap::new() };
        for directory in fs::read_dir(path)? {
            let directory = directory?;
            if let Some(stream) = directory.file_name().to_str().and_then(|name| name.parse::<Stream>().ok()) {
                store.open_stream(&stream)?;
            }
        }
        Ok(store)
    }

    fn open_stream(&mut self, stream: &Stream) -> io::Result<()> {
        let directory = self.path.join(stream.to_string());
        make_private(&directory)?;
        let blocks: Vec<_> = Block::all(&directory)?.into_iter().map(Arc::new).collect();
        let sealed = blocks.last().map_or(0, |block| block.head.last);
        let path = directory.join("live");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let (chunks, whole) = frame::read(&bytes);
        let entries = chunks.iter().filter_map(|chunk| serde_json::from_slice::<Entry>(chunk).ok());
        // Where power was lost between a block's birth and the end of its `live`, both have the entries.
        let live = entries.filter(|entry| entry.sequence > sealed).map(Arc::new).collect();
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        if whole < bytes.len() {
            tracing::warn!(bytes = bytes.len() - whole, %stream, "the cluster's log had a torn end: it is cut");
            file.set_len(whole as u64)?;
            file.sync_data()?;
        }
        self.live.insert(stream.clone(), Live { file, bytes: whole as u64 });
        self.rows.insert(stream.clone(), Arc::new(Row { blocks, live }));
        Ok(())
    }

    /// Everything, as it is now.
    pub(super) const fn rows(&self) -> &Snapshot {
        &self.rows
    }

    /// Its length on the disk, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        let blocks = self.rows.values().flat_map(|row| &row.blocks).map(|block| block.bytes);
        blocks.sum::<u64>() + self.live.values().map(|live| live.bytes).sum::<u64>()
    }

    /// Keeps what is new of `entries` of a stream: when it returns, they are on the disk. What is there already, or would come
    /// before what is there, is passed over. Returns what was taken.
    ///
    /// # Errors
    /// The disk's; nothing was taken then.
    pub(super) fn append(&mut self, stream: &Stream, entries: Vec<Entry>) -> io::Result<Vec<Arc<Entry>>> {
        if !self.rows.contains_key(stream) {
            if self.rows.len() >= MOST_STREAMS {
                return Err(io::Error::other("there are too many streams in the cluster's log"));
            }
            self.open_stream(stream)?;
        }
        let (Some(row), Some(live)) = (self.rows.get_mut(stream), self.live.get_mut(stream)) else {
            return Ok(Vec::new());
        };
        let (mut last, mut next) = (row.last(stream), row.extent().next);
        let (mut bytes, mut taken) = (Vec::new(), Vec::new());
        for entry in entries {
            let position = entry.position();
            if entry.stream != *stream || entry.sequence < next || last.as_ref().is_some_and(|last| position <= *last) {
                continue;
            }
            bytes.extend(frame::write(&serde_json::to_vec(&entry)?)?);
            next = entry.sequence.saturating_add(1);
            last = Some(position);
            taken.push(Arc::new(entry));
        }
        if taken.is_empty() {
            return Ok(taken);
        }
        if let Err(error) = live.file.write_all(&bytes).and_then(|()| live.file.sync_data()) {
            // What was not taken had better not be there after a restart.
            let _perhaps = live.file.set_len(live.bytes);
            return Err(error);
        }
        live.bytes += bytes.len() as u64;
        Arc::make_mut(row).live.extend(taken.iter().cloned());
        if live.bytes >= LIVE_BYTES {
            self.seal(stream)?;
            self.drop_oldest();
        }
        Ok(taken)
    }

    /// Makes a block of what is in `live`.
    fn seal(&mut self, stream: &Stream) -> io::Result<()> {
        let (Some(row), Some(live)) = (self.rows.get_mut(stream), self.live.get_mut(stream)) else { return Ok(()) };
        let block = Block::write(&self.path.join(stream.to_string()), &row.live)?;
        live.file.set_len(0)?;
        live.bytes = 0;
        let row = Arc::make_mut(row);
        row.live.clear();
        row.blocks.push(Arc::new(block));
        Ok(())
    }

    fn drop_oldest(&mut self) {
        while self.bytes() > self.most {
            let spare = self.rows.iter().filter(|(_, row)| row.blocks.len() + usize::from(!row.live.is_empty()) > 1);
            let oldest = spare.filter_map(|(stream, row)| Some((row.blocks.first()?.head.to, stream.clone()))).min();
            let Some((_, stream)) = oldest else { return };
            let Some(row) = self.rows.get_mut(&stream) else { return };
            let block = Arc::make_mut(row).blocks.remove(0);
            if let Err(error) = block.remove() {
                tracing::warn!(%error, %stream, "an old block of the cluster's log cannot be deleted");
            }
        }
    }
}
