//! Two servers complete each other's logs over a stream: any that is reliable, private, and whose other end is a member.
//!
//! Each side says what it has ([`Say::Have`]) when that changes, and once a second. Each asks for what it lacks, one piece at a
//! time, and no two conversations of a server fetch the same stream at once: so a server that was away gets everything from
//! whoever has it, once, be its writer dead.
//!
//! Deliberately not here: making the stream (`link`).

use std::{io, sync::Arc, time::Duration};

use chronicle::{Entry, Query, Stamp, Stream, Vector};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{Job, Log};
use crate::link::{Converse, frame};

/// What is said is said again after this time.
const PACE: Duration = Duration::from_secs(1);
/// News wait so long for more of them.
const PAUSE: Duration = Duration::from_millis(10);
/// A piece has so many entries at most, which have no more than [`LONGEST_ENTRY`] bytes each.
const PIECE: usize = 512;
/// See above; `journal` keeps to it.
pub(crate) const LONGEST_ENTRY: usize = 12 << 10;
/// After this time without the piece asked for, another conversation may ask for it.
const PATIENCE: Duration = Duration::from_secs(3);
/// What the other side says and waits to be dealt with.
const DEPTH: usize = 4;

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case")]
enum Say {
    /// What I have, and my clock.
    Have { vector: Vector, stamp: Stamp },
    /// Give me of this stream, from this number on.
    Want { stream: Stream, from: u64 },
    /// Here they are.
    Entries { stream: Stream, entries: Vec<Entry> },
}

/// Conversations over the streams between members.
pub(crate) fn by(log: Log) -> Converse {
    Arc::new(move |peer, stream| {
        let log = log.clone();
        Box::pin(async move {
            if let Err(error) = converse(&log, stream).await {
                tracing::debug!(server = %peer, %error, "a conversation about the log has ended");
            }
        })
    })
}

/// Converses until the stream ends.
///
/// # Errors
/// The stream's; `InvalidData` for what is no message; the disk's.
pub(super) async fn converse<S>(log: &Log, stream: S) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Send,
{
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (said, mut heard) = mpsc::channel(DEPTH);
    // On its own: half a frame that was read must not be lost to another branch of a `select`.
    let listen = async {
        loop {
            let frame = frame::read(&mut reader).await?;
            let say = serde_json::from_slice::<Say>(&frame)?;
            if said.send(say).await.is_err() {
                return Ok(());
            }
        }
    };
    let speak = async {
        let mut talk = Talk { log, theirs: Vector::default(), asked: None };
        let (mut news, mut pace) = (log.news(), interval(PACE));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let answer = tokio::select! {
                _ = pace.tick() => Some(talk.have()),
                changed = news.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    sleep(PAUSE).await;
                    news.mark_unchanged();
                    Some(talk.have())
                }
                say = heard.recv() => match say {
                    Some(say) => talk.hear(say).await?,
                    None => return Ok(()),
                },
            };
            for say in answer.into_iter().chain(talk.ask()) {
                frame::write(&mut writer, &serde_json::to_vec(&say)?).await?;
            }
        }
    };
    tokio::select! {
        ended = listen => ended,
        ended = speak => ended,
    }
}

struct Talk<'l> {
    log: &'l Log,
    theirs: Vector,
    /// What we wait for.
    asked: Option<Stream>,
}

impl Talk<'_> {
    fn have(&self) -> Say {
        Say::Have { vector: self.log.vector(), stamp: **self.log.stamp.load() }
    }

    async fn hear(&mut self, say: Say) -> io::Result<Option<Say>> {
        match say {
            Say::Have { vector, stamp } => {
                let own = self.log.own.load_full();
                // A full queue: they say it again in a second.
                let _later = self.log.jobs.try_send(Job::Heard(stamp));
                if vector.next(&own) > self.log.vector().next(&own) {
                    let _later = self.log.jobs.try_send(Job::Surpassed(Stream::clone(&own)));
                }
                self.theirs = vector;
                Ok(None)
            }
            Say::Want { stream, from } => {
                let entries = self.piece(stream.clone(), from).await?;
                Ok(Some(Say::Entries { stream, entries }))
            }
            Say::Entries { stream, entries } => {
                if self.asked.as_ref() != Some(&stream) {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "entries that nobody has asked for"));
                }
                let empty = entries.is_empty();
                self.log.take(stream.clone(), entries).await?;
                self.release();
                if empty {
                    // They have dropped it since: what they have now they say in a moment.
                    self.theirs.0.remove(&stream);
                }
                Ok(None)
            }
        }
    }

    /// The entries of a stream from a number on, as many as go into a piece.
    async fn piece(&self, stream: Stream, from: u64) -> io::Result<Vec<Entry>> {
        let log = self.log.clone();
        let read = move || {
            let rows = log.rows.load();
            let Some(row) = rows.get(&stream) else { return Ok(Vec::new()) };
            let blocks = row.blocks.iter().filter(|block| block.head.last >= from);
            let mut entries = Vec::new();
            for block in blocks {
                entries.extend(block.search(&Query::default())?.into_iter().filter(|entry| entry.sequence >= from));
                if entries.len() >= PIECE {
                    break;
                }
            }
            entries.extend(row.live.iter().filter(|entry| entry.sequence >= from).map(|entry| Entry::clone(entry)));
            entries.truncate(PIECE);
            Ok(entries)
        };
        tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
    }

    /// The next thing that we lack and nobody fetches.
    fn ask(&mut self) -> Option<Say> {
        if self.asked.is_some() {
            return None;
        }
        let (own, ours, now) = (self.log.own.load_full(), self.log.vector(), host::clock::now());
        let mut fetched = self.log.fetched.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        fetched.retain(|_, until| *until > now);
        let (stream, from) =
            ours.lacks(&self.theirs).find(|(stream, _)| **stream != *own && !fetched.contains_key(stream))?;
        fetched.insert(stream.clone(), now + PATIENCE);
        self.asked = Some(stream.clone());
        Some(Say::Want { stream: stream.clone(), from })
    }

    fn release(&mut self) {
        if let Some(stream) = self.asked.take() {
            self.log.fetched.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&stream);
        }
    }
}

impl Drop for Talk<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use chronicle::Extent;
    use model::ServerName;

    use super::*;

    fn log(directory: &Path) -> Log {
        Log::alone(&ServerName::new("web1"), directory, Duration::from_millis(50)).unwrap().0
    }

    #[test]
    fn no_two_conversations_fetch_one_stream_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let log = log(directory.path());
        let streams = ["web2-0000000000000001", "web3-0000000000000001"].map(|name| name.parse::<Stream>().unwrap());
        let theirs = Vector(streams.clone().map(|stream| (stream, Extent { first: 1, next: 9 })).into());
        let talk = || Talk { log: &log, theirs: theirs.clone(), asked: None };
        let (mut one, mut other, mut third) = (talk(), talk(), talk());
        let wants = |said: Option<Say>| match said {
            Some(Say::Want { stream, from: 1 }) => Some(stream),
            Some(Say::Have { .. } | Say::Want { .. } | Say::Entries { .. }) | None => None,
        };
        assert_eq!(wants(one.ask()).as_ref(), Some(&streams[0]));
        assert_eq!(wants(other.ask()).as_ref(), Some(&streams[1]));
        assert_eq!(wants(one.ask()), None, "one thing at a time");
        assert_eq!(wants(third.ask()), None, "both are on their way");
        // A conversation that ends leaves what it has asked for to another.
        drop(one);
        assert_eq!(wants(third.ask()).as_ref(), Some(&streams[0]));
    }
}
