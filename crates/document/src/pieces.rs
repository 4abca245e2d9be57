//! Long texts in pieces: an edit of one line of a large template sends, keeps and remembers the piece that has the line, and
//! the list of all pieces, not the whole text.
//!
//! A piece is a value of its own in the replicated map, called by its digest, so that equal pieces are one whoever wrote
//! them; the object's value is then the list of their digests. Where a text is cut depends on what is near the cut alone
//! (FastCDC), so that pieces before and behind an edit stay what they were.
//!
//! Invariant: whoever writes a list writes the pieces that the document lacks in the same change, and no piece is ever
//! changed or removed (older versions need it), so a list never comes before its pieces, whatever the order of changes.

use std::{fmt::Write as _, sync::Arc};

use automerge::{
    Automerge, AutomergeError, ROOT, ReadDoc, ScalarValue, Value,
    transaction::{Transactable, Transaction},
};
use fastcdc::v2020::FastCDC;
use sha2::{Digest, Sha256};

/// What a piece's key begins with; no [`crate::Kind`] is called so.
const PREFIX: &str = "piece/";
/// Bytes of a piece: least, wanted, most. Shorter texts than that wanted stay whole.
const LEAST: usize = 2 << 10;
const WANTED: usize = 8 << 10;
const MOST: usize = 32 << 10;
/// Bytes of a digest, SHA-256.
const DIGEST: usize = 32;
/// Bytes of the longest text that a list may stand for: no longer edit is taken in, and a list may name one piece again and again.
const LONGEST: usize = 256 << 20;

/// The value that stands for `text`; pieces that the document lacks are written first.
pub(crate) fn put(map: &mut Transaction<'_>, text: &str) -> Result<ScalarValue, AutomergeError> {
    if text.len() <= WANTED {
        return Ok(ScalarValue::Str(text.into()));
    }
    let mut list = Vec::new();
    for chunk in FastCDC::new(text.as_bytes(), LEAST, WANTED, MOST) {
        let piece = &text.as_bytes()[chunk.offset..chunk.offset + chunk.length];
        let digest = Sha256::digest(piece);
        let key = key(&digest);
        if map.get(ROOT, &key)?.is_none() {
            map.put(ROOT, key, ScalarValue::Bytes(piece.to_vec()))?;
        }
        list.extend_from_slice(&digest);
    }
    Ok(ScalarValue::Bytes(list))
}

/// The text that a value stands for; none where it is no text, as a newer version may write it.
pub(crate) fn text(map: &Automerge, value: &ScalarValue) -> Option<Arc<str>> {
    match value {
        ScalarValue::Str(text) => Some(Arc::from(text.as_str())),
        ScalarValue::Bytes(list) => {
            let (digests, []) = list.as_chunks::<DIGEST>() else { return None };
            let piece = |digest: &[u8; DIGEST]| Some(map.get(ROOT, key(digest)).ok()??.0);
            let pieces: Vec<Value<'_>> = digests.iter().map(piece).collect::<Option<_>>()?;
            let bytes: Vec<&[u8]> = pieces.iter().map(Value::as_bytes).collect::<Option<_>>()?;
            if bytes.iter().map(|piece| piece.len()).sum::<usize>() > LONGEST {
                return None;
            }
            let text = bytes.concat();
            Some(Arc::from(String::from_utf8(text).ok()?))
        }
        _ => None,
    }
}

fn key(digest: &[u8]) -> String {
    digest.iter().fold(PREFIX.to_owned(), |mut key, byte| {
        // A text grows without errors.
        let _grown = write!(key, "{byte:02x}");
        key
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A document with one piece of `length` bytes, and its digest.
    fn document(length: usize) -> (Automerge, Vec<u8>) {
        let (mut map, piece) = (Automerge::new(), vec![b'x'; length]);
        let digest = Sha256::digest(&piece).to_vec();
        map.transact(|map| map.put(ROOT, key(&digest), ScalarValue::Bytes(piece))).unwrap();
        (map, digest)
    }

    #[test]
    fn a_list_that_makes_no_text_is_none() {
        let (map, digest) = document(MOST);
        let read = |list: Vec<u8>| text(&map, &ScalarValue::Bytes(list));
        assert_eq!(read(digest.repeat(2)).map(|text| text.len()), Some(2 * MOST));
        assert_eq!(read(digest[1..].to_vec()), None, "no list of digests");
        assert_eq!(read([&digest[..], &[7; DIGEST]].concat()), None, "a piece that is not there");
        assert_eq!(read(digest.repeat(LONGEST / MOST + 1)), None, "too long");
    }
}
