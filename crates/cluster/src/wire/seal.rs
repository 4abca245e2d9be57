//! Sealing and opening of datagrams.

use std::{collections::BTreeMap, fmt};

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce};
use model::{BootId, event::Refusal};

use super::{HEADER, Keys, MAGIC, MAX_DATAGRAM, RELAYED, SENDER, TAG, VERSION};

/// Derived keys kept: two runs of twenty members under two keys, and some to spare.
const MAX_CACHED: usize = 96;

/// Seals what this run sends.
pub(crate) struct Sealer {
    key: LessSafeKey,
    key_id: u8,
    boot: BootId,
    sequence: u64,
}

impl Sealer {
    /// For the run `boot`, which must be random: it is what keeps nonces from being used twice.
    pub(crate) fn new(keys: &Keys, boot: BootId) -> Self {
        Self { key: keys.current().heartbeat_key(boot), key_id: keys.current().id(), boot, sequence: 0 }
    }

    /// Seals with another key from now on. Sequence numbers go on, so no pair of key and nonce comes twice, even where an
    /// earlier key returns.
    pub(crate) fn set_keys(&mut self, keys: &Keys) {
        self.key = keys.current().heartbeat_key(self.boot);
        self.key_id = keys.current().id();
    }

    /// The sequence number of the last datagram sealed; zero before the first.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The next datagram, with `plain` inside.
    pub(crate) fn seal(&mut self, plain: &[u8]) -> Vec<u8> {
        self.sequence = self.sequence.checked_add(1).expect("half a million years at a million datagrams a second");
        let mut datagram = Vec::with_capacity(HEADER + plain.len() + TAG);
        datagram.extend_from_slice(&MAGIC);
        datagram.extend_from_slice(&[VERSION, self.key_id]);
        datagram.extend_from_slice(&self.boot.0);
        datagram.extend_from_slice(&self.sequence.to_be_bytes());
        datagram.extend_from_slice(plain);
        let (header, body) = datagram.split_at_mut(HEADER);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce(self.sequence), Aad::from(&*header), body)
            .expect("a datagram is far below the cipher's limit");
        datagram.extend_from_slice(tag.as_ref());
        datagram
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("boot", &self.boot).field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

/// A datagram whose seal fits.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Another member forwarded it.
    pub(crate) relayed: bool,
    /// The sender's run.
    pub(crate) boot: BootId,
    /// Its number in that run.
    pub(crate) sequence: u64,
    /// What was sealed.
    pub(crate) plain: Vec<u8>,
}

/// Opens what others sent. Keeps the keys of runs that have shown themselves authentic.
pub(crate) struct Opener {
    keys: Keys,
    cache: BTreeMap<(u8, BootId), Cached>,
    opened: u64,
}

struct Cached {
    key: LessSafeKey,
    used: u64,
}

impl Opener {
    pub(crate) fn new(keys: Keys) -> Self {
        Self { keys, cache: BTreeMap::new(), opened: 0 }
    }

    /// Checks the header and the seal.
    pub(crate) fn open(&mut self, bytes: &[u8]) -> Result<Opened, Refusal> {
        if bytes.len() > MAX_DATAGRAM {
            return Err(Refusal::Malformed);
        }
        let (relayed, sealed) = match bytes.strip_prefix(&[RELAYED]) {
            Some(sealed) => (true, sealed),
            None => (false, bytes),
        };
        let (header, body) = sealed.split_at_checked(HEADER).ok_or(Refusal::Malformed)?;
        if header[..4] != MAGIC || body.len() < SENDER + TAG {
            return Err(Refusal::Malformed);
        }
        if header[4] != VERSION {
            return Err(Refusal::Version);
        }
        let boot = BootId(header[6..22].try_into().expect("sixteen bytes"));
        let sequence = u64::from_be_bytes(header[22..].try_into().expect("eight bytes"));
        let plain = self.open_body(header, boot, sequence, body)?;
        Ok(Opened { relayed, boot, sequence, plain })
    }

    fn open_body(&mut self, header: &[u8], boot: BootId, sequence: u64, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut refusal = Refusal::UnknownKey;
        for (place, key) in self.keys.with_id(header[5]) {
            refusal = Refusal::Forged;
            self.opened += 1;
            let mut plain = body.to_vec();
            let mut open = |key: &LessSafeKey| {
                key.open_in_place(nonce(sequence), Aad::from(header), &mut plain).map(|content| content.len())
            };
            let length = if let Some(cached) = self.cache.get_mut(&(place, boot)) {
                cached.used = self.opened;
                open(&cached.key)
            } else {
                let key = key.heartbeat_key(boot);
                let length = open(&key);
                // Only after the seal has proven the run: strangers cannot push anybody out of the cache.
                if length.is_ok() {
                    let cached = Cached { key, used: self.opened };
                    remember(&mut self.cache, (place, boot), cached);
                }
                length
            };
            if let Ok(length) = length {
                plain.truncate(length);
                return Ok(plain);
            }
        }
        Err(refusal)
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("keys", &self.keys).field("cached", &self.cache.len()).finish_non_exhaustive()
    }
}

/// Puts a key into the cache; the one longest unused makes room.
fn remember(cache: &mut BTreeMap<(u8, BootId), Cached>, place: (u8, BootId), cached: Cached) {
    if cache.len() >= MAX_CACHED
        && let Some(oldest) = cache.iter().min_by_key(|(_, cached)| cached.used).map(|(place, _)| *place)
    {
        cache.remove(&oldest);
    }
    cache.insert(place, cached);
}

/// The mark in front of a copy that is forwarded.
pub(crate) fn relayed(sealed: &[u8]) -> Vec<u8> {
    let mut copy = Vec::with_capacity(1 + sealed.len());
    copy.push(RELAYED);
    copy.extend_from_slice(sealed);
    copy
}

/// Twelve bytes that no other datagram under the same key has.
fn nonce(sequence: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&sequence.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}
