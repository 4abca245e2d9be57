//! The key file's text: base64 of the cluster key.
//!
//! No message here, and no diagnostic of a caller, shows any of the text.

use data_encoding::BASE64;
use thiserror::Error;
use zeroize::Zeroizing;

/// Why a text is no cluster key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum KeyTextError {
    /// Nothing in it but white space.
    #[error("it is empty")]
    Empty,
    /// A character that base64 doesn't have, or bits that are left over.
    #[error("it is not base64 (character {0})")]
    NotBase64(usize),
}

/// The bytes of a key file's text. White space, also inside, means nothing. How many bytes a key needs is known to whom
/// it unlocks.
///
/// # Errors
/// When it is empty or not base64 with its padding (RFC 4648 section 4).
pub fn decode_key(text: &str) -> Result<Zeroizing<Vec<u8>>, KeyTextError> {
    let compact: Zeroizing<String> = Zeroizing::new(text.chars().filter(|c| !c.is_ascii_whitespace()).collect());
    if compact.is_empty() {
        return Err(KeyTextError::Empty);
    }
    BASE64.decode(compact.as_bytes()).map(Zeroizing::new).map_err(|error| KeyTextError::NotBase64(error.position + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_means_nothing() {
        let key = decode_key(" c3RhbmRpbiBi\n ZW5jaA== \r\n").unwrap();
        assert_eq!(key.as_slice(), b"standin bench");
    }

    #[test]
    fn what_is_not_base64_is_refused_by_position() {
        assert_eq!(decode_key(" \n"), Err(KeyTextError::Empty));
        assert_eq!(decode_key("c3Rh!mRp"), Err(KeyTextError::NotBase64(5)));
        assert_eq!(decode_key("c3RhbmRpbiBiZW5jaA="), Err(KeyTextError::NotBase64(17)));
    }
}
