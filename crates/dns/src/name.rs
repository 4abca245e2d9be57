//! Names in wire form: labels, each behind its length, ended by the root's empty one; never compressed.
//!
//! Invariant of every function here: what it is given is a whole name of at most 255 bytes.

use std::cmp::Ordering;

use hickory_proto::rr::Name;

/// A name of hickory's in wire form, letter case kept.
pub(crate) fn wire(name: &Name) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len() + 1);
    for label in name.iter() {
        bytes.push(u8::try_from(label.len()).expect("a label of at most 63 bytes"));
        bytes.extend_from_slice(label);
    }
    bytes.push(0);
    bytes
}

/// The same in lower case.
pub(crate) fn lower(name: &Name) -> Vec<u8> {
    wire(name).to_ascii_lowercase()
}

/// The name that begins `bytes`.
pub(crate) fn first(bytes: &[u8]) -> &[u8] {
    let mut at = 0;
    while bytes[at] != 0 {
        at += 1 + usize::from(bytes[at]);
    }
    &bytes[..=at]
}

/// Its labels, the root's left out.
pub(crate) fn labels(mut name: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (label, rest) = name[1..].split_at_checked(usize::from(name[0])).filter(|(label, _)| !label.is_empty())?;
        name = rest;
        Some(label)
    })
}

/// The names above a name, the root last.
pub(crate) fn ancestors(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(name), |name| match name.first() {
        Some(&label) if label > 0 => name.get(1 + usize::from(label)..),
        _ => None,
    })
    .skip(1)
}

/// Whether a name is another, or lies below it.
pub(crate) fn is_within(name: &[u8], above: &[u8]) -> bool {
    name == above || is_below(name, above)
}

/// Whether a name lies strictly below another.
pub(crate) fn is_below(name: &[u8], above: &[u8]) -> bool {
    // The bytes may agree in the middle of a label.
    name.len() > above.len() && name.ends_with(above) && ancestors(name).any(|other| other.len() == above.len())
}

/// Whether its first label is an asterisk.
pub(crate) fn is_wildcard(name: &[u8]) -> bool {
    name.starts_with(b"\x01*")
}

/// Where each label begins, the root's left out, and how many there are.
fn starts(name: &[u8]) -> ([u8; 128], usize) {
    let (mut starts, mut count, mut at) = ([0; 128], 0, 0);
    while name[at] != 0 {
        starts[count] = at as u8;
        count += 1;
        at += 1 + usize::from(name[at]);
    }
    (starts, count)
}

fn label(name: &[u8], start: u8) -> &[u8] {
    let start = usize::from(start);
    &name[start + 1..][..usize::from(name[start])]
}

/// The canonical order of lower-cased names (RFC 4034 section 6.1): a name stands right before all names below it.
pub(crate) fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let ((in_a, mut left_a), (in_b, mut left_b)) = (starts(a), starts(b));
    while left_a > 0 && left_b > 0 {
        (left_a, left_b) = (left_a - 1, left_b - 1);
        let order = label(a, in_a[left_a]).cmp(label(b, in_b[left_b]));
        if order.is_ne() {
            return order;
        }
    }
    left_a.cmp(&left_b)
}

/// How many labels two names have in common, counted from the root.
pub(crate) fn common_labels(a: &[u8], b: &[u8]) -> usize {
    let ((in_a, count_a), (in_b, count_b)) = (starts(a), starts(b));
    let same = |back: &usize| label(a, in_a[count_a - back]) == label(b, in_b[count_b - back]);
    (1..=count_a.min(count_b)).take_while(same).count()
}

/// The last `count` labels of a name.
pub(crate) fn suffix(name: &[u8], count: usize) -> &[u8] {
    let (starts, all) = starts(name);
    if count == 0 { &name[name.len() - 1..] } else { &name[usize::from(starts[all - count])..] }
}

/// Numbers in the canonical order of lower-cased names that end with the same `common` bytes; two names may share one.
///
/// It is the beginning of the labels from the highest to the lowest, each ended by a byte that is lower than any in a
/// label.
pub(crate) fn sort_key(name: &[u8], common: usize) -> u64 {
    let own = name.len() - common;
    let (starts, count) = starts(name);
    let mut key = [0; 8];
    let mut at = 0;
    for start in starts[..count].iter().rev().filter(|start| usize::from(**start) < own) {
        for &byte in label(name, *start) {
            // Bytes 0 and 1 become two: 1 1 and 1 2.
            let escaped = [1, byte + u8::from(byte < 2)];
            for byte in if byte < 2 { &escaped[..] } else { &escaped[1..] } {
                if at == key.len() {
                    return u64::from_be_bytes(key);
                }
                key[at] = *byte;
                at += 1;
            }
        }
        at += 1;
        if at >= key.len() {
            break;
        }
    }
    u64::from_be_bytes(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_name() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(0), Just(1), Just(2), Just(b'a'), Just(b'b'), Just(b'c'), Just(255)];
        let label = prop::collection::vec(byte, 1..6);
        prop::collection::vec(label, 0..4).prop_map(|labels| {
            let mut name: Vec<u8> = Vec::new();
            for label in labels {
                name.push(label.len() as u8);
                name.extend(label);
            }
            name.extend(b"\x01z\x00");
            name
        })
    }

    fn reversed(name: &[u8]) -> Vec<Vec<u8>> {
        let mut labels: Vec<_> = labels(name).map(<[u8]>::to_vec).collect();
        labels.reverse();
        labels
    }

    proptest! {
        #[test]
        fn names_are_ordered_by_their_labels_from_the_root(a in any_name(), b in any_name()) {
            let order = reversed(&a).cmp(&reversed(&b));
            prop_assert_eq!(compare(&a, &b), order);
            let keys = sort_key(&a, 3).cmp(&sort_key(&b, 3));
            prop_assert!(keys == order || keys.is_eq(), "{:?} {:?}", keys, order);
            prop_assert_eq!(is_below(&a, &b), reversed(&a).starts_with(&reversed(&b)) && a != b);
            let common = common_labels(&a, &b);
            prop_assert_eq!(suffix(&a, common), suffix(&b, common));
        }
    }
}
