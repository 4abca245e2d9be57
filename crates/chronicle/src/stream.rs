//! Whose entries, and which of them are known.
//!
//! A server writes into one stream. It begins another when its disk was lost or restored from an old copy, because peers may
//! have entries of the old one that it does not know of; and when its clock was set back.

use std::{collections::BTreeMap, fmt, str::FromStr};

use model::{ServerName, id::is_valid_name};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A row of entries by one server. As text: `SERVER-EPOCH`, the epoch in 16 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Stream {
    /// Whose.
    pub server: ServerName,
    /// Later streams of a server have higher ones.
    pub epoch: u64,
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.server, self.epoch)
    }
}

/// A text names no stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a stream of the log: SERVER-EPOCH, the epoch in 16 hexadecimal digits")]
pub struct NotAStream;

impl FromStr for Stream {
    type Err = NotAStream;

    fn from_str(text: &str) -> Result<Self, NotAStream> {
        let (server, epoch) = text.rsplit_once('-').ok_or(NotAStream)?;
        let digits = epoch.len() == 16 && epoch.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        // A name is a file's name, too: none of the valid ones leads out of its directory.
        if !digits || !is_valid_name(server) {
            return Err(NotAStream);
        }
        let epoch = u64::from_str_radix(epoch, 16).map_err(|_| NotAStream)?;
        Ok(Self { server: ServerName::new(server), epoch })
    }
}

impl Serialize for Stream {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Stream {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <std::borrow::Cow<'_, str>>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Which entries of a stream somebody has: those from `first` on, before `next`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Extent {
    /// The oldest that is kept.
    pub first: u64,
    /// The one after the newest.
    pub next: u64,
}

/// What somebody has of every stream: a version vector whose lower ends rise as old entries are dropped.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Vector(pub BTreeMap<Stream, Extent>);

impl Vector {
    /// The sequence after the newest one known of a stream; 1 where nothing is.
    pub fn next(&self, stream: &Stream) -> u64 {
        self.0.get(stream).map_or(1, |extent| extent.next)
    }

    /// What `theirs` has and `self` lacks: from which sequence on, of each stream. What they have dropped is passed over.
    pub fn lacks<'a>(&'a self, theirs: &'a Self) -> impl Iterator<Item = (&'a Stream, u64)> {
        theirs.0.iter().filter_map(|(stream, extent)| {
            let next = self.next(stream);
            (extent.next > next && extent.first < extent.next).then_some((stream, next.max(extent.first)))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_a_valid_name_with_an_epoch_is_a_stream() {
        let stream: Stream = "web-1.x-00000000000000ff".parse().unwrap();
        assert_eq!((stream.server.as_str(), stream.epoch), ("web-1.x", 255));
        for wrong in [
            "web1",
            "web1-ff",
            "../up-00000000000000ff",
            "-00000000000000ff",
            "a/b-00000000000000ff",
            "w-00000000000000FF",
        ] {
            assert_eq!(wrong.parse::<Stream>(), Err(NotAStream), "{wrong}");
        }
    }

    fn vector(extents: &[(u64, u64)]) -> Vector {
        let streams = ["a", "b", "c"].map(|name| Stream { server: ServerName::new(name), epoch: 1 });
        let extents = extents.iter().map(|(first, kept)| Extent { first: *first, next: first + kept });
        Vector(streams.into_iter().zip(extents).collect())
    }

    proptest! {
        #[test]
        fn whoever_gets_what_it_lacks_lacks_nothing(
            ours in proptest::collection::vec((1..30_u64, 0..30_u64), 0..4),
            theirs in proptest::collection::vec((1..30_u64, 0..30_u64), 0..4),
        ) {
            let (mut ours, theirs) = (vector(&ours), vector(&theirs));
            let lacks: Vec<(Stream, u64)> = ours.lacks(&theirs).map(|(stream, from)| (stream.clone(), from)).collect();
            for (stream, from) in lacks {
                let extent = theirs.0[&stream];
                prop_assert!(extent.first <= from && from < extent.next, "they have what they are asked for");
                prop_assert!(from >= ours.next(&stream), "nothing is asked for twice");
                let first = ours.0.get(&stream).map_or(from, |extent| extent.first);
                ours.0.insert(stream, Extent { first, next: extent.next });
            }
            prop_assert_eq!(ours.lacks(&theirs).count(), 0);
        }
    }
}
