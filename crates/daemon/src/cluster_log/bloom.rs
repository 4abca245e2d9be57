//! Bloom filters: which words, and which texts, may be in a block. One that says no is right; one that says yes may be wrong.
//!
//! [`Words`] are whole names, few, in a filter of fixed size in the block's head. [`Texts`] are the grams of the sentences: one, two and
//! three bytes in a row, ASCII letters in lower case. A text can be in a sentence only if all its grams of three bytes are, or itself
//! where it is shorter. They have ten bits each, with which four hashes are wrong for one gram in eighty, and all together no
//! more than [`MOST_BITS`]: a block of more than 6,500 different grams, which is one of random texts, is looked into oftener in
//! vain.
//!
//! Both are on the disk, so their hashes are part of the format.

use model::digest::digest64;
use serde::{Deserialize, Serialize};

/// Bits of a filter of words; with fifty words in it one search in thirty looks in vain.
const WORD_BITS: u64 = 1024;
/// Bits for each gram.
const BITS_A_GRAM: u64 = 10;
/// Bits of a filter of texts, at most: 8 KiB.
const MOST_BITS: u64 = 1 << 16;

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Bloom(Vec<u64>);

impl Bloom {
    fn with_bits(bits: u64) -> Self {
        Self((0..bits.div_ceil(64)).map(|_| 0).collect())
    }

    fn place(&self, hash: u64) -> Option<(usize, u64)> {
        let bit = hash.checked_rem(self.0.len() as u64 * 64)?;
        Some(((bit / 64) as usize, 1 << (bit % 64)))
    }

    fn add(&mut self, hashes: impl IntoIterator<Item = u64>) {
        for hash in hashes {
            if let Some((row, bit)) = self.place(hash) {
                self.0[row] |= bit;
            }
        }
    }

    fn may_have(&self, hashes: impl IntoIterator<Item = u64>) -> bool {
        hashes.into_iter().all(|hash| self.place(hash).is_some_and(|(row, bit)| self.0[row] & bit != 0))
    }
}

/// Which names and kinds may be in a block.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Words(Bloom);

impl Words {
    /// None.
    pub(super) fn none() -> Self {
        Self(Bloom::with_bits(WORD_BITS))
    }

    fn hashes(kind: &str, word: &str) -> [u64; 2] {
        let hash = digest64(&[kind, word]);
        [hash % WORD_BITS, hash >> 32]
    }

    /// Adds a word of a kind.
    pub(super) fn add(&mut self, kind: &str, word: &str) {
        self.0.add(Self::hashes(kind, word));
    }

    /// Whether it may have been added.
    pub(super) fn may_have(&self, kind: &str, word: &str) -> bool {
        self.0.may_have(Self::hashes(kind, word))
    }
}

/// Which texts may be in the sentences of a block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Texts(Bloom);

impl Texts {
    /// Of these sentences.
    pub(super) fn of<'s>(sentences: impl Iterator<Item = &'s str>) -> Self {
        let longest = different(sentences.flat_map(grams));
        let shorter = different(longest.iter().flat_map(|gram| parts(*gram)));
        let shortest = shorter.iter().flat_map(|gram| parts(*gram));
        let all = different(longest.iter().chain(&shorter).copied().chain(shortest));
        let mut bloom = Bloom::with_bits((all.len() as u64 * BITS_A_GRAM).clamp(64, MOST_BITS));
        all.into_iter().for_each(|gram| bloom.add(hashes(gram)));
        Self(bloom)
    }

    /// Whether a sentence may hold the text.
    pub(super) fn may_hold(&self, text: &str) -> bool {
        grams(text).all(|gram| self.0.may_have(hashes(gram)))
    }

    /// For the disk.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.0.0.iter().flat_map(|row| row.to_le_bytes()).collect()
    }

    /// From the disk.
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let (rows, _) = bytes.as_chunks::<8>();
        Self(Bloom(rows.iter().map(|row| u64::from_le_bytes(*row)).collect()))
    }
}

/// A text's bytes, three by three; all of them where there are fewer.
fn grams(text: &str) -> impl Iterator<Item = u32> {
    let bytes = text.as_bytes();
    bytes.windows(bytes.len().clamp(1, 3)).map(gram)
}

/// One gram. The 1 before its bytes says how many there are.
fn gram(bytes: &[u8]) -> u32 {
    bytes.iter().fold(1, |gram, byte| gram << 8 | u32::from(byte.to_ascii_lowercase()))
}

/// The two grams that lack one byte of this one, at the end and at the beginning; none of a single byte's.
fn parts(gram: u32) -> impl Iterator<Item = u32> {
    let shift = (gram.ilog2() / 8).saturating_sub(1) * 8;
    let shorter = [gram >> 8, gram & ((1 << shift) - 1) | 1 << shift];
    shorter.into_iter().filter(move |_| shift > 0)
}

fn different(grams: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut all: Vec<u32> = grams.collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Two hashes make four (Kirsch and Mitzenmacher): halves of a product with MurmurHash3's last mixing around it.
fn hashes(gram: u32) -> [u64; 4] {
    let mut hash = u64::from(gram).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    hash = (hash ^ hash >> 33).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    hash ^= hash >> 33;
    let (first, step) = (hash & 0xFFFF_FFFF, hash >> 32 | 1);
    [0, 1, 2, 3].map(|times| first + times * step)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is in a sentence is found, in whatever case; also after it has been on the disk.
        #[test]
        fn no_text_that_is_there_is_denied(sentences in proptest::collection::vec("\\PC{0,40}", 1..20), at in 0..1000_usize, cut in 0..1000_usize, length in 0..12_usize) {
            let texts = Texts::of(sentences.iter().map(String::as_str));
            let texts = Texts::from_bytes(&texts.to_bytes());
            let sentence: Vec<char> = sentences[at % sentences.len()].chars().collect();
            let cut = cut % (sentence.len() + 1);
            let text: String = sentence[cut..].iter().take(length).collect();
            prop_assert!(texts.may_hold(&text));
            prop_assert!(texts.may_hold(&text.to_ascii_uppercase()));
        }
    }

    #[test]
    fn few_grams_that_are_not_there_are_taken_for_there() {
        let sentences: Vec<String> = (0..600).map(|n| format!("active for virtual{}, term {n}", n % 40)).collect();
        let texts = Texts::of(sentences.iter().map(String::as_str));
        // None of these has a letter in common with the above.
        let other: Vec<String> = (0..10_000_u32)
            .map(|n| {
                [n / 400 % 20, n / 20 % 20, n % 20]
                    .map(|l| char::from(b'A' + l as u8))
                    .iter()
                    .map(|c| char::from(*c as u8 ^ 0x80))
                    .collect()
            })
            .collect();
        let wrong = other.iter().filter(|text| texts.0.may_have(hashes(grams(text).next().unwrap_or(0)))).count();
        assert!(wrong <= 250, "{wrong} of {}", other.len());
        assert!(!texts.may_hold("no such text") && texts.may_hold("TERM 77"));
        assert!(!texts.may_hold("xy") && !texts.may_hold("q") && texts.may_hold("TE") && texts.may_hold("7"));
        assert!(!Texts::of(std::iter::empty()).may_hold("any") && texts.may_hold(""));
    }
}
