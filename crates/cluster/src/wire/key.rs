//! The cluster's secret, and what is derived from it.

use std::fmt;

use aws_lc_rs::{aead, hkdf};
use model::BootId;

/// Shortest secret, in bytes.
const MIN_SECRET: usize = 32;
/// What the derived keys are for: another use of the same secret would say something else here.
const PURPOSE: &[u8] = b"standin heartbeat v1";
const PURPOSE_OF_ID: &[u8] = b"standin key id v1";
const PURPOSE_OF_NAME: &[u8] = b"standin key name v1";
const PURPOSE_OF_COOKIES: &[u8] = b"standin dns cookies v1";

/// The secret that all servers of a cluster share. Erased from memory when dropped; never printed.
#[derive(Clone)]
pub struct Key {
    id: u8,
    /// Derived, so that keys can be compared without their secrets.
    name: [u8; 16],
    secret: hkdf::Prk,
}

/// Why bytes are no cluster key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyError {
    /// Nothing was taken.
    #[error("a cluster key has at least {MIN_SECRET} bytes, this one has {length}")]
    TooShort {
        /// Bytes given.
        length: usize,
    },
}

impl Key {
    /// From the bytes of the key file, after base64.
    ///
    /// # Errors
    /// When there are fewer than 32 bytes.
    pub fn from_bytes(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < MIN_SECRET {
            return Err(KeyError::TooShort { length: secret.len() });
        }
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, PURPOSE).extract(secret);
        let mut id = [0];
        fill(&secret, &[PURPOSE_OF_ID], &mut id);
        let mut name = [0; 16];
        fill(&secret, &[PURPOSE_OF_NAME], &mut name);
        Ok(Self { id: id[0], name, secret })
    }

    /// The byte in a datagram's header that says under which key it is sealed. Derived, so that nobody has to number
    /// keys; two keys may have the same one, then both are tried.
    pub fn id(&self) -> u8 {
        self.id
    }

    /// The secret of DNS cookies (RFC 9018), the same on every server.
    fn cookie_secret(&self) -> [u8; 16] {
        let mut secret = [0; 16];
        fill(&self.secret, &[PURPOSE_OF_COOKIES], &mut secret);
        secret
    }

    /// The key that seals the heartbeats of one run of one server.
    pub(super) fn heartbeat_key(&self, boot: BootId) -> aead::LessSafeKey {
        let algorithm = &aead::CHACHA20_POLY1305;
        let info: [&[u8]; 2] = [PURPOSE, &boot.0];
        let okm = self.secret.expand(&info, algorithm).expect("32 bytes are within HKDF's limit");
        aead::LessSafeKey::new(aead::UnboundKey::from(okm))
    }
}

/// HKDF-Expand (RFC 5869 section 2.3) into `out`, which is short.
fn fill(secret: &hkdf::Prk, info: &[&[u8]], out: &mut [u8]) {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    secret
        .expand(info, Length(out.len()))
        .and_then(|okm| okm.fill(out))
        .expect("a few bytes are within HKDF's limit and `out` has the length asked for");
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The key in use and, during a rotation, one more that is accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keys {
    current: Key,
    accepted: Option<Key>,
}

impl Keys {
    /// One key, for sealing and for opening.
    pub fn new(current: Key) -> Self {
        Self { current, accepted: None }
    }

    /// Opens also what is sealed under `key`. To rotate: every server accepts the new key, then every server seals
    /// with it and accepts the old one, then the old one goes.
    #[must_use]
    pub fn also_accept(mut self, key: Key) -> Self {
        self.accepted = Some(key);
        self
    }

    /// The key that seals.
    pub fn current(&self) -> &Key {
        &self.current
    }

    /// The secret of DNS cookies, and one more that is known during a rotation.
    pub fn cookie_secrets(&self) -> ([u8; 16], Option<[u8; 16]>) {
        (self.current.cookie_secret(), self.accepted.as_ref().map(Key::cookie_secret))
    }

    /// The keys that a datagram with this key id may be sealed under, each with its place.
    pub(super) fn with_id(&self, id: u8) -> impl Iterator<Item = (u8, &Key)> {
        (0u8..).zip(std::iter::once(&self.current).chain(&self.accepted)).filter(move |(_, key)| key.id == id)
    }
}
