//! A long text is kept in pieces: an edit of one line sends and keeps little, every version stays readable, and two servers
//! that cut equal texts have equal pieces.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]

use std::fmt::Write as _;

use document::{Change, Document, Incarnation, Key, Transaction};
use proptest::prelude::*;

const LINES: usize = 20_000;

fn key() -> Key {
    Key::parse("template/lb.zone").unwrap()
}

/// Half a megabyte; the line in the middle has `value`.
fn template(value: usize) -> String {
    (0..LINES).fold(String::new(), |mut text, n| {
        let address = if n == LINES / 2 { value } else { n };
        writeln!(text, "host{n} A 10.0.{}.{}", address >> 8, address & 255).unwrap();
        text
    })
}

fn write(document: &mut Document, text: &str) {
    let changes = vec![Change::new(key(), Some(text))];
    document.write(&Transaction { changes, ..Transaction::default() }).unwrap();
}

fn text(document: &Document) -> &str {
    document.get(&key()).unwrap()
}

#[test]
fn an_edit_of_one_line_costs_a_piece_not_the_text() {
    let mut one = Document::new(Incarnation([1; 16]));
    write(&mut one, &template(0));
    let first = one.save();
    let mut other = Document::load(Incarnation([2; 16]), [&first[..]]).unwrap();
    assert_eq!(text(&other), template(0));
    let (mut versions, mut log) = (Vec::new(), vec![first.clone()]);
    for value in 1..=50 {
        let heads = one.heads();
        write(&mut one, &template(value));
        let change = one.save_after(&heads);
        // A piece is 32 KiB at most; the list of half a megabyte's pieces some 2 KiB.
        assert!(change.len() < 40 << 10, "{} bytes", change.len());
        versions.push(one.heads());
        log.push(change);
    }
    assert!(one.save().len() < 2 * first.len() + (50 << 13), "{} beside {}", one.save().len(), first.len());
    for (value, heads) in (1..).zip(&versions) {
        assert_eq!(*one.get_at(&key(), heads).unwrap(), *template(value));
    }
    // A server that knows the first version, and hears all others at once.
    other = Document::load(Incarnation([3; 16]), log.iter().map(Vec::as_slice)).unwrap();
    assert_eq!((text(&other), other.heads()), (template(50).as_str(), one.heads()));
    // A version from before is put back: all its pieces are there.
    let heads = one.heads();
    write(&mut one, &template(7));
    assert!(one.save_after(&heads).len() < 4 << 10, "nothing but the list is new");
    assert_eq!(one.history(1)[0].touched.len(), 1, "pieces are no objects");
}

#[test]
fn what_cannot_be_kept_goes_with_its_pieces() {
    let mut document = Document::new(Incarnation([1; 16]));
    write(&mut document, &template(0));
    let heads = document.heads();
    write(&mut document, &template(1));
    document.revert(&heads).unwrap();
    assert_eq!(text(&document), template(0));
    write(&mut document, &template(1));
    let loaded = Document::load(Incarnation([2; 16]), [&document.save()[..]]).unwrap();
    assert_eq!(text(&loaded), template(1));
}

proptest! {
    /// Whatever a text is, also of a few characters again and again, or of long ones that a cut may go through.
    #[test]
    fn a_text_is_read_as_it_was_written(
        parts in prop::collection::vec(("[a-c\n]{0,9}|[€\u{1f600}x]{0,9}|\\PC{0,20}", 1..3_000usize), 0..6),
    ) {
        let written: String = parts.iter().map(|(part, times)| part.repeat(*times)).collect();
        let mut document = Document::new(Incarnation([1; 16]));
        write(&mut document, &written);
        prop_assert_eq!(text(&document), &written);
        let loaded = Document::load(Incarnation([2; 16]), [&document.save()[..]]).unwrap();
        prop_assert_eq!(text(&loaded), &written);
    }
}
