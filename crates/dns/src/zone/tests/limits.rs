//! What is too much is refused, at once and with words: no file, however made, costs more than it should.

use std::collections::BTreeMap;

use model::ZoneName;

use super::{body, config, load_with, mistakes};
use crate::zone::{
    load,
    source::{Sources, Text},
    template::Reader,
};

#[test]
fn a_word_of_any_length_is_refused_where_it_fits_no_record() {
    let found = mistakes(&format!("www TXT {}\n", "x".repeat(400_000)));
    assert_eq!(found, ["1:9 more than 300000 characters: too long for any record"]);
    // Many words of one record too.
    let found = mistakes(&format!("www TXT ({}\n)\n", " xxxxxxxxx".repeat(40_000)));
    assert_eq!(found.len(), 1, "{found:?}");
    let found = mistakes(&format!("www TXT {}\n", format!("\"{}\" ", "x".repeat(255)).repeat(300)));
    assert_eq!(found, ["1:5 76800 bytes of data: a record holds 65535"].map(|text| text.replace("1:5", "1:9")));
}

#[test]
fn variables_cannot_multiply_a_text() {
    let variables = BTreeMap::from([("big".to_owned(), "x".repeat(1_000_000)), ("end".to_owned(), "x\\".to_owned())]);
    let load = |text: &str| {
        let text = format!("$TTL 60\n@ SOA ns1 h 1 1h 15m 1w 5\n@ NAMESERVERS\n{text}");
        load(&ZoneName::new("lb.example.test"), "f", &text, &variables, &config(), &mut |_| Err(String::new()))
    };
    let errors = load(&format!("a TXT {}\n", "${big}".repeat(1_000))).expect_err("too long");
    assert!(errors[0].message.contains("too long for any record"), "{}", errors[0].message);
    let errors = load("a TXT ${end}\n").expect_err("a lone backslash");
    assert_eq!(errors[0].message, "`\\` at the end escapes nothing");
}

#[test]
fn the_zones_own_name_is_checked() {
    for name in ["a..b", ".", &"x".repeat(64), "b\u{fc}ro"] {
        let errors = load(&ZoneName::new(name), "f", "", &BTreeMap::new(), &config(), &mut |_| Err(String::new()));
        let errors = errors.expect_err("no name");
        assert!(errors[0].message.starts_with("the zone's name: "), "{}", errors[0].message);
    }
}

#[test]
fn at_most_a_hundred_mistakes_are_told() {
    let text: String = (0..1_000).map(|n| format!("n{n} A nowhere\n")).collect();
    let errors = body(&text).expect_err("mistakes");
    assert_eq!(errors.len(), 100);
    assert_eq!(errors[99].help.as_deref(), Some("these are 100 mistakes; there may be more"));
}

#[test]
fn reading_stops_at_the_limit_of_records() {
    let (config, variables, mut sources) = (config(), BTreeMap::new(), Sources::default());
    let mut include = |_: &str| Err(String::new());
    let mut reader = Reader::new(b"\x02lb\x07example\x04test\0", &config, &variables, &mut include, &mut sources);
    reader.most_records = 1_000;
    reader.file("f", Text::Kept("$TTL 1\n$GENERATE 0-65535 a$ A 10.0.0.1\n".repeat(5).into()));
    assert_eq!(reader.out.records.len(), 1_000);
    let errors = sources.into_errors();
    assert_eq!(errors.len(), 1);
    assert_eq!((errors[0].line, &*errors[0].message), (2, "more than 1000 records"));
}

#[test]
fn too_many_files_end_the_reading() {
    let head = "$TTL 60\n@ SOA ns1 h 1 1h 15m 1w 5\n@ NAMESERVERS\n";
    let text: String = (0..2_000).map(|n| format!("$INCLUDE f{n}\n")).collect();
    let mut count = 0;
    let errors = load_with(&format!("{head}{text}"), &mut |_| {
        count += 1;
        Ok(String::new())
    })
    .expect_err("too many");
    assert_eq!((count, errors.len()), (999, 1));
    assert_eq!(errors[0].message, "more than 1000 files in one zone");
}

#[test]
fn a_file_beyond_the_limit_is_not_read() {
    let (config, variables, mut sources) = (config(), BTreeMap::new(), Sources::default());
    let mut include = |_: &str| Ok(" ".repeat(1_001));
    let mut reader = Reader::new(b"\x01a\0", &config, &variables, &mut include, &mut sources);
    reader.largest_file = 1_000;
    reader.file("f", Text::Borrowed("$INCLUDE big\n"));
    let errors = sources.into_errors();
    assert_eq!((&*errors[0].file, errors[0].line), ("big", 1));
    assert_eq!(errors[0].message, "the file has 1001 bytes; 1000 are the most");
}
