//! The text of a join token: `STANDIN-ID.SECRET@AUTHORITY`. The secret proves to the cluster that the newcomer was invited; the
//! fingerprint of the cluster's authority proves to the newcomer whose cluster it is, before it says the secret.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use thiserror::Error;

use super::{Fingerprint, Secret};

const PREFIX: &str = "STANDIN-";
/// Bytes of a token's public name.
pub(super) const ID: usize = 5;
/// Bytes of a token's secret: 160 bits.
pub(super) const SECRET: usize = 20;

/// What one newcomer is given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinToken {
    /// Its public name, by which it is revoked.
    pub id: String,
    /// What only the newcomer knows; the cluster keeps its digest.
    pub secret: Secret,
    /// The cluster's authority.
    pub authority: Fingerprint,
}

/// Why a text is no join token. Says nothing of the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("this is no join token: it begins with {PREFIX}, and has a dot and an @ (was it copied whole?)")]
pub struct TokenError;

impl JoinToken {
    /// Bytes of randomness that [`JoinToken::new`] wants.
    pub const RANDOM: usize = ID + SECRET;

    /// From randomness.
    pub fn new(random: &[u8; Self::RANDOM], authority: Fingerprint) -> Self {
        let (id, secret) = random.split_at(ID);
        Self { id: BASE32_NOPAD.encode(id), secret: Secret::new(secret.to_vec()), authority }
    }

    /// From its text; white space around it means nothing.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let rest = text.trim().strip_prefix(PREFIX).ok_or(TokenError)?;
        let (id, rest) = rest.split_once('.').ok_or(TokenError)?;
        let (secret, authority) = rest.split_once('@').ok_or(TokenError)?;
        let decoded = |text: &str| BASE32_NOPAD.decode(text.as_bytes()).map_err(|_| TokenError);
        let secret = decoded(secret)?;
        if decoded(id)?.len() != ID || secret.len() != SECRET {
            return Err(TokenError);
        }
        let authority = Fingerprint::parse(authority).ok_or(TokenError)?;
        Ok(Self { id: id.to_owned(), secret: Secret::new(secret), authority })
    }
}

/// The text, secret and all.
impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}.{}@{}", self.id, BASE32_NOPAD.encode(self.secret.expose()), self.authority)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_is_read_as_it_is_written(random: [u8; JoinToken::RANDOM], authority: [u8; 32]) {
            let token = JoinToken::new(&random, Fingerprint(authority));
            prop_assert_eq!(JoinToken::parse(&format!(" {token}\n")), Ok(token.clone()));
            let text = token.to_string();
            prop_assert!(JoinToken::parse(&text[..text.len() - 1]).is_err());
            let debug = format!("{token:?}");
            prop_assert!(!debug.contains(&BASE32_NOPAD.encode(token.secret.expose())));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = JoinToken::parse(&text);
            let _ = JoinToken::parse(&format!("{PREFIX}{text}"));
        }
    }
}
