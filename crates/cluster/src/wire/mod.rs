//! The heartbeat on the wire.
//!
//! ```text
//! [ 'R' ]  magic "STDN"  version  key id  boot id (16)  sequence (8)  |  sealed: sender (8)  sections...  |  tag (16)
//! ```
//!
//! The header travels in clear and is authenticated with the rest. `R` in front marks a copy that another member
//! forwards, untouched, to a peer that the sender does not reach. A section is a tag, a length (2) and its content;
//! who does not know a tag skips the section. Integers of the frame are big-endian; contents are postcard.
//!
//! A statement's account, its long part, is in its datagrams, or only named by the number under which an earlier statement
//! gave it. Who has not got that one learns nothing from such a statement but that its sender lives, and says in its own
//! which account it has.
//!
//! Invariants: a datagram is at most [`MAX_DATAGRAM`] bytes, the mark included. No pair of key and nonce is used twice:
//! the key depends on the sender's boot id, which is random at each start, and the nonce is the sequence number.
//! Whatever the bytes, decoding ends without a panic and within memory bounded by the datagram's size.
//!
//! Deliberately not here: who may be believed. That is `membership`'s business.

mod assembly;
mod codec;
mod key;
mod seal;

pub use key::{Key, KeyError, Keys};

pub(crate) use assembly::Assembly;
pub(crate) use codec::{Given, Malformed, Part, decode, encode};
pub(crate) use seal::{Opener, Sealer, relayed};

/// Largest datagram, in bytes: with IPv6 and UDP headers still below the smallest MTU that IPv6 allows (RFC 8200
/// section 5), so that a heartbeat is never fragmented.
pub const MAX_DATAGRAM: usize = 1200;

const MAGIC: [u8; 4] = *b"STDN";
const VERSION: u8 = 1;
const RELAYED: u8 = b'R';
const HEADER: usize = 4 + 1 + 1 + 16 + 8;
const TAG: usize = 16;
const SENDER: usize = 8;
/// Room for sections in one datagram.
const MAX_SECTIONS: usize = MAX_DATAGRAM - 1 - HEADER - SENDER - TAG;

#[cfg(test)]
mod tests;
