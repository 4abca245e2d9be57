//! Searches over all streams: each is sorted, so they are merged as they are read, and no more is read than is needed.

use std::{collections::VecDeque, io, sync::Arc};

use chronicle::{Entry, Position, Query, Stream};

use super::{
    block::Block,
    store::{Row, Snapshot},
};

/// Which entries come first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// The oldest.
    Oldest,
    /// The newest.
    Newest,
}

/// What was found.
#[derive(Clone, PartialEq, Debug)]
pub struct Found {
    /// In the order that was asked for.
    pub entries: Vec<Arc<Entry>>,
    /// The last one's place, where there may be more.
    pub next: Option<Position>,
}

/// The first `most` entries that are wanted.
///
/// # Errors
/// The disk's, or that a block is damaged.
pub(super) fn search(snapshot: &Snapshot, query: &Query, order: Order, most: usize) -> io::Result<Found> {
    let wanted = snapshot.iter().filter(|(stream, _)| query.server.as_ref().is_none_or(|name| stream.server == *name));
    let mut cursors: Vec<Cursor<'_>> = wanted.map(|(stream, row)| Cursor::new(stream, row, query, order)).collect();
    let mut entries = Vec::new();
    loop {
        let bounds = cursors.iter().enumerate().filter_map(|(at, cursor)| Some((cursor.bound()?, at)));
        let nearest = match order {
            Order::Oldest => bounds.min(),
            Order::Newest => bounds.max(),
        };
        let Some((_, at)) = nearest else { return Ok(Found { entries, next: None }) };
        if entries.len() == most {
            let next = entries.last().map(|entry: &Arc<Entry>| entry.position());
            return Ok(Found { entries, next });
        }
        entries.extend(cursors[at].step(query)?);
    }
}

enum Chunk<'s> {
    Block(&'s Arc<Block>),
    Live(&'s [Arc<Entry>]),
}

/// One stream, read in one direction.
struct Cursor<'s> {
    stream: &'s Stream,
    order: Order,
    chunks: VecDeque<Chunk<'s>>,
    read: VecDeque<Arc<Entry>>,
}

impl<'s> Cursor<'s> {
    fn new(stream: &'s Stream, row: &'s Row, query: &Query, order: Order) -> Self {
        let mut chunks: VecDeque<_> = row.blocks.iter().map(Chunk::Block).collect();
        if !row.live.is_empty() {
            chunks.push_back(Chunk::Live(&row.live));
        }
        // Pages further on need not pass by all the blocks before them.
        chunks.retain(|chunk| match chunk {
            Chunk::Live(_) => true,
            Chunk::Block(block) => {
                query.after.as_ref().is_none_or(|after| block.ends(stream) > *after)
                    && query.before.as_ref().is_none_or(|before| block.begins(stream) < *before)
            }
        });
        if order == Order::Newest {
            chunks.make_contiguous().reverse();
        }
        Self { stream, order, chunks, read: VecDeque::new() }
    }

    /// Nothing that it has still to give comes before this.
    fn bound(&self) -> Option<Position> {
        if let Some(entry) = self.read.front() {
            return Some(entry.position());
        }
        match (self.chunks.front()?, self.order) {
            (Chunk::Block(block), Order::Oldest) => Some(block.begins(self.stream)),
            (Chunk::Block(block), Order::Newest) => Some(block.ends(self.stream)),
            (Chunk::Live(entries), Order::Oldest) => entries.first().map(|entry| entry.position()),
            (Chunk::Live(entries), Order::Newest) => entries.last().map(|entry| entry.position()),
        }
    }

    /// The next entry; none where a chunk had to be read first.
    fn step(&mut self, query: &Query) -> io::Result<Option<Arc<Entry>>> {
        if let Some(entry) = self.read.pop_front() {
            return Ok(Some(entry));
        }
        match self.chunks.pop_front() {
            Some(Chunk::Block(block)) => self.read.extend(block.search(query)?.into_iter().map(Arc::new)),
            Some(Chunk::Live(entries)) => {
                self.read.extend(entries.iter().filter(|entry| query.matches(entry)).cloned())
            }
            None => {}
        }
        if self.order == Order::Newest {
            self.read.make_contiguous().reverse();
        }
        Ok(None)
    }
}
