use std::sync::Arc;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::Diagnostic;

/// A mistake at the first occurrence of `what`.
fn mistake(source: &str, what: &str) -> Diagnostic {
    let start = source.find(what).expect("the test's own text");
    Diagnostic::at(&Arc::from("cluster.toml"), source, start..start + what.len(), "no such server `web9`")
}

#[test]
fn draws_the_place_and_the_help() {
    let source = "[virtual-host.v1]\nservers = [\"web1\", \"web9\"]\n";
    assert_snapshot!(mistake(source, "\"web9\"").help("did you mean `web1`?"), @r#"
    cluster.toml:2:20: no such server `web9`
      |
    2 | servers = ["web1", "web9"]
      |                    ^^^^^^
      |
      = help: did you mean `web1`?
    "#);
}

#[test]
fn draws_without_help() {
    assert_snapshot!(mistake("a = 1\nb = 2\n", "2"), @r#"
    cluster.toml:2:5: no such server `web9`
      |
    2 | b = 2
      |     ^
    "#);
}

#[test]
fn columns_count_characters_and_the_mark_follows_wide_ones() {
    assert_snapshot!(mistake("\tname = \"東京\"   # x", "# x"), @r#"
    cluster.toml:1:16: no such server `web9`
      |
    1 |     name = "東京"   # x
      |                     ^^^
    "#);
    assert_snapshot!(mistake("naïve = \"Zürich\"", "\"Zürich\""), @r#"
    cluster.toml:1:9: no such server `web9`
      |
    1 | naïve = "Zürich"
      |         ^^^^^^^^
    "#);
}

#[test]
fn the_end_of_a_file_can_be_marked() {
    let file = Arc::from("cluster.toml");
    assert_snapshot!(Diagnostic::at(&file, "a = [\n", 6..6, "the list is not closed"), @r#"
    cluster.toml:2:1: the list is not closed
      |
    2 |
      | ^
    "#);
    assert_snapshot!(Diagnostic::at(&file, "", 0..0, "the file is empty"), @r#"
    cluster.toml:1:1: the file is empty
      |
    1 |
      | ^
    "#);
    assert_snapshot!(Diagnostic::at(&file, "a =", 3..99, "a value is missing"), @r#"
    cluster.toml:1:4: a value is missing
      |
    1 | a =
      |    ^
    "#);
}

#[test]
fn a_place_that_crosses_lines_marks_the_first() {
    assert_snapshot!(mistake("x = \"\"\"\none\ntwo\"\"\"\n", "\"\"\"\none\ntwo\"\"\""), @r#"
    cluster.toml:1:5: no such server `web9`
      |
    1 | x = """
      |     ^^^
    "#);
}

#[test]
fn a_long_line_is_cut_around_the_place() {
    let source = format!("members = [{}\"web9\", {}]", "\"virtual1\", ".repeat(40), "\"virtual2\", ".repeat(40));
    assert_snapshot!(mistake(&source, "\"web9\""), @r#"
    cluster.toml:1:492: no such server `web9`
      |
    1 | ..., "virtual1", "virtual1", "virtual1", "virtual1", "virtual1", "web9", "virtual2", "virtual2", "virtual2", "virtual2", "virtual2", ...
      |                                                                  ^^^^^^
    "#);
}

#[test]
fn a_file_cannot_speak_to_the_terminal() {
    let file = Arc::from("a\u{1b}[2J.toml");
    let diagnostic = Diagnostic::at(&file, "x = \"\u{1b}[31m\u{7}\"\r\n", 4..10, "bad\nvalue `\u{1b}[31m`");
    assert_snapshot!(diagnostic, @r#"
    a\u{1b}[2J.toml:1:5: bad\nvalue `\u{1b}[31m`
      |
    1 | x = "�[31m�"
      |     ^^^^^^
    "#);
}

#[test]
fn a_file_cannot_turn_the_direction_of_writing() {
    let diagnostic = mistake("x = \"\u{202e}gpj.exe\" # x", "# x");
    assert!(!diagnostic.to_string().contains('\u{202e}'));
    let file = Arc::from("f");
    let diagnostic = Diagnostic::at(&file, "x", 0..1, "\u{202e}bad");
    assert!(diagnostic.to_string().starts_with(&diagnostic.brief()));
}

#[test]
fn colour_changes_nothing_but_colour() {
    let diagnostic = mistake("a = 1\n", "1").help("write 2");
    let coloured = diagnostic.render(true);
    assert!(coloured.contains("\u{1b}["));
    let mut plain = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    plain.push_str(rest);
    assert_eq!(plain, diagnostic.render(false));
}

#[test]
fn carriage_returns_count_except_the_one_that_ends_the_line() {
    let [ended, repeated] =
        ["a\r\nb", "\r\r"].map(|source| Diagnostic::at(&Arc::from("f"), source, source.len()..source.len(), "m"));
    assert_eq!((ended.line, ended.column, &*ended.text), (2, 2, "b"));
    assert_eq!((repeated.line, repeated.column, &*repeated.text), (1, 3, "\r"));
}

proptest! {
    #[test]
    fn any_span_of_any_text_is_drawn(source in "(?s).{0,60}", start in 0usize..80, length in 0usize..80) {
        let file = Arc::from("f");
        let diagnostic = Diagnostic::at(&file, &source, start..start + length, "m");
        prop_assert!(diagnostic.line >= 1 && diagnostic.line <= source.matches('\n').count() + 1);
        prop_assert!(diagnostic.column >= 1 && diagnostic.column <= diagnostic.text.chars().count() + 2);
        let head = format!("f:{}:{}: m\n", diagnostic.line, diagnostic.column);
        let drawn = diagnostic.to_string();
        prop_assert!(drawn.starts_with(&head), "{drawn}");
        prop_assert!(drawn.contains('^'), "{drawn}");
        prop_assert!(!drawn.chars().any(|c| c.is_control() && c != '\n'), "{drawn:?}");
    }
}
