//! Passwords: Argon2id (RFC 9106) with 19 MiB and two passes, one at a time, on a thread that may wait.

use std::io;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use cluster::trust::PasswordHash;
use model::access::{Secret, SecretText};
use zeroize::Zeroizing;

/// KiB.
const MEMORY: u32 = 19 * 1024;
const PASSES: u32 = 2;
const HASH: usize = 32;
/// Shortest and longest password, in bytes.
pub(crate) const LENGTHS: std::ops::RangeInclusive<usize> = 10..=1024;

/// A password as it is kept.
///
/// # Errors
/// Where there is no randomness, or no memory.
pub(crate) fn hash(password: &SecretText) -> io::Result<PasswordHash> {
    let salt = Secret::new(host::entropy::bytes::<16>()?.to_vec());
    let hash = derive(password, &salt, MEMORY, PASSES)?;
    Ok(PasswordHash { memory: MEMORY, passes: PASSES, salt, hash: Secret::new(hash.to_vec()) })
}

/// Whether it is the password. Takes its time also where there is nobody of that name.
pub(crate) fn fits(password: &SecretText, kept: Option<&PasswordHash>) -> bool {
    let nobody = PasswordHash {
        memory: MEMORY,
        passes: PASSES,
        salt: Secret::new(vec![0; 16]),
        hash: Secret::new(vec![0; HASH]),
    };
    let against = kept.unwrap_or(&nobody);
    let derived = derive(password, &against.salt, against.memory, against.passes);
    derived.is_ok_and(|derived| verify_slices_are_equal(&*derived, against.hash.expose()).is_ok()) && kept.is_some()
}

fn derive(password: &SecretText, salt: &Secret, memory: u32, passes: u32) -> io::Result<Zeroizing<[u8; HASH]>> {
    let params = Params::new(memory, passes, 1, Some(HASH)).map_err(|error| io::Error::other(error.to_string()))?;
    let mut hash = Zeroizing::new([0; HASH]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.expose().as_bytes(), salt.expose(), &mut *hash)
        .map_err(|error| io::Error::other(error.to_string()))?;
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_fits_itself_alone() {
        let text = |text: &str| SecretText::new(text.to_owned());
        let kept = hash(&text("correct horse battery")).unwrap();
        assert_ne!(kept.salt, hash(&text("correct horse battery")).unwrap().salt);
        assert!(fits(&text("correct horse battery"), Some(&kept)));
        assert!(!fits(&text("correct horse batterz"), Some(&kept)));
        assert!(!fits(&text(""), None));
    }
}
