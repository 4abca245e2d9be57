//! A block: a few hundred entries of one stream that change no more, compressed, in a file of its own.
//!
//! `NUMBER.block`, the number of its first entry in twenty digits, has three frames (`host::store::frame`): what is in it ([`Head`]),
//! the entries, a line of JSON each, and which texts may be in them ([`Texts`]). Heads stay in memory and say whether a search
//! need look further; the texts' filter, a few KiB, is read from the disk by searches for a text alone.
//!
//! Blocks of earlier versions have no third frame, or one of grams of three bytes alone, which is not read, and are read whole for
//! every text; earlier versions pass over this one's.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use chronicle::{Entry, Level, Position, Query, Stamp, Stream};
use host::store::frame;
use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};

use super::bloom::{Texts, Words};

/// The ending of a block's name.
const ENDING: &str = ".block";
/// A head is shorter.
const LONGEST_HEAD: u64 = 4096;

/// What is in a block.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Head {
    /// The first entry's number.
    pub first: u64,
    /// The last one's.
    pub last: u64,
    /// The first entry's stamp.
    pub from: Stamp,
    /// The last one's.
    pub to: Stamp,
    /// The most serious entry.
    level: Level,
    /// Whether there is a security event.
    security: bool,
    words: Words,
    /// Length of the last frame, which has [`Texts`]; zero where there is none.
    #[serde(default)]
    grams: u64,
}

impl Head {
    fn of(entries: &[impl AsRef<Entry>]) -> Option<Self> {
        let (first, last) = (entries.first()?.as_ref(), entries.last()?.as_ref());
        let mut words = Words::none();
        for entry in entries.iter().map(AsRef::as_ref) {
            words.add("kind", entry.kind());
            entry.about.iter().for_each(|name| words.add("about", name));
        }
        Some(Self {
            first: first.sequence,
            last: last.sequence,
            from: first.stamp,
            to: last.stamp,
            level: entries.iter().map(|entry| entry.as_ref().level).max()?,
            security: entries.iter().any(|entry| entry.as_ref().security),
            words,
            grams: 0,
        })
    }

    /// Whether there may be an entry that is wanted.
    fn may_match(&self, query: &Query) -> bool {
        let early = query.since_ms.is_some_and(|since| self.to.wall_ms < since)
            || query.after.as_ref().is_some_and(|after| self.to < after.stamp);
        let late = query.until_ms.is_some_and(|until| self.from.wall_ms >= until)
            || query.before.as_ref().is_some_and(|before| self.from > before.stamp);
        let kinds = &query.kinds;
        !early
            && !late
            && query.level.is_none_or(|level| self.level >= level)
            && (!query.security || self.security)
            && query.about.as_ref().is_none_or(|name| self.words.may_have("about", name))
            && (kinds.is_empty() || kinds.iter().any(|kind| self.words.may_have("kind", kind)))
    }
}

/// A block on the disk.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub head: Head,
    /// Its length on the disk, in bytes.
    pub bytes: u64,
    path: PathBuf,
}

impl Block {
    /// Writes entries, of which there is one at least, as a block: when it returns, the block is on the disk.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn write(directory: &Path, entries: &[impl AsRef<Entry>]) -> io::Result<Self> {
        let mut head = Head::of(entries).ok_or_else(|| io::Error::other("a block of nothing"))?;
        let texts = frame::write(&Texts::of(entries.iter().map(|entry| entry.as_ref().message.as_str())).to_bytes())?;
        head.grams = texts.len() as u64;
        let mut lines = Vec::new();
        for entry in entries {
            serde_json::to_writer(&mut lines, entry.as_ref())?;
            lines.push(b'\n');
        }
        let mut bytes = frame::write(&serde_json::to_vec(&head)?)?;
        bytes.extend(frame::write(&lz4_flex::compress_prepend_size(&lines))?);
        bytes.extend(texts);
        let (draft, path) = (directory.join("draft"), directory.join(format!("{:020}{ENDING}", head.first)));
        let mut file = File::create(&draft)?;
        file.write_all(&bytes)?;
        file.sync_data()?;
        fs::rename(&draft, &path)?;
        File::open(directory)?.sync_all()?;
        Ok(Self { head, bytes: bytes.len() as u64, path })
    }

    /// The blocks of a directory, in order. One that cannot be read is left where it is, and out.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn all(directory: &Path) -> io::Result<Vec<Self>> {
        let mut blocks = Vec::new();
        for file in fs::read_dir(directory)? {
            let path = file?.path();
            if !path.to_string_lossy().ends_with(ENDING) {
                continue;
            }
            match Self::open(&path) {
                Ok(block) => blocks.push(block),
                Err(error) => {
                    tracing::warn!(%error, path = %path.display(), "a block of the cluster's log is left out")
                }
            }
        }
        blocks.sort_by_key(|block| block.head.first);
        Ok(blocks)
    }

    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let mut beginning = Vec::new();
        file.take(LONGEST_HEAD).read_to_end(&mut beginning)?;
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "its head is damaged");
        let (chunks, _) = frame::read(&beginning);
        let head = serde_json::from_slice(chunks.first().ok_or_else(damaged)?)?;
        Ok(Self { head, bytes, path: path.to_owned() })
    }

    /// The entries that are wanted, in order; none where the block was dropped meanwhile.
    ///
    /// # Errors
    /// The disk's, or that the block is damaged.
    pub(super) fn search(&self, query: &Query) -> io::Result<Vec<Entry>> {
        if !self.head.may_match(query) {
            return Ok(Vec::new());
        }
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        if query.text.as_ref().is_some_and(|text| !self.may_hold(&file, text)) {
            return Ok(Vec::new());
        }
        let mut bytes = Vec::with_capacity(usize::try_from(self.bytes).unwrap_or_default());
        file.read_to_end(&mut bytes)?;
        let (chunks, _) = frame::read(&bytes);
        let lines = chunks.get(1).and_then(|chunk| lz4_flex::decompress_size_prepended(chunk).ok());
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged", self.path.display()));
        let lines = lines.ok_or_else(damaged)?;
        let hint = Hint::of(query);
        if !hint.may_be_in(&lines) {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && hint.may_be_in(line)) {
            let entry: Entry = serde_json::from_slice(line)?;
            if query.matches(&entry) {
                found.push(entry);
            }
        }
        Ok(found)
    }

    /// Whether a sentence may hold the text. What a damaged filter would say, a look at everything says.
    fn may_hold(&self, file: &File, text: &str) -> bool {
        let length = usize::try_from(self.head.grams.min(self.bytes)).unwrap_or_default();
        let mut bytes = vec![0; length];
        let read = file.read_exact_at(&mut bytes, self.bytes - length as u64);
        let texts = read.ok().and_then(|()| frame::read(&bytes).0.first().map(|chunk| Texts::from_bytes(chunk)));
        texts.is_none_or(|texts| texts.may_hold(text))
    }

    /// The place of its first entry.
    pub(super) fn begins(&self, stream: &Stream) -> Position {
        Position { stamp: self.head.from, stream: stream.clone(), sequence: self.head.first }
    }

    /// The place of its last entry.
    pub(super) fn ends(&self, stream: &Stream) -> Position {
        Position { stamp: self.head.to, stream: stream.clone(), sequence: self.head.last }
    }

    /// Deletes it.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

/// What a wanted line has in it, as bytes: to read a line as JSON takes ten times as long as to look for them.
struct Hint {
    name: Option<Finder<'static>>,
    text: Option<Finder<'static>>,
}

impl Hint {
    fn of(query: &Query) -> Self {
        // As JSON has it, with the quotes around it, or without.
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let name = query.about.as_deref().map(|name| Finder::new(quoted(name).as_bytes()).into_owned());
        let text = query.text.as_deref().map(|text| {
            let quoted = quoted(text).to_ascii_lowercase();
            Finder::new(&quoted.as_bytes()[1..quoted.len() - 1]).into_owned()
        });
        Self { name, text }
    }

    fn may_be_in(&self, bytes: &[u8]) -> bool {
        self.name.as_ref().is_none_or(|name| name.find(bytes).is_some())
            && self.text.as_ref().is_none_or(|text| text.find(&bytes.to_ascii_lowercase()).is_some())
    }
}
