//! What is read and compiled again in part is what it would be from the beginning: the same zone, the same answers.

use std::{collections::BTreeMap, sync::Arc};

use dns::{
    View, Zone, Zones,
    zone::{load, load_again},
};
use hickory_proto::rr::RecordType;
use model::{ZoneName, config::ClusterConfig};
use proptest::prelude::*;

use crate::support::{ask_bytes, config, healthy, name, query};

const HEAD: &str = "$TTL 60\n@ SOA ns1 admin (\n 0 1h\n 15m 1w 5 )\n@ NS ns1\nns1 A 10.0.0.1\n";
const OWNERS: [&str; 8] = ["@", "a", "b", "*", "sub", "x.sub", "*.sub", "www"];

fn line() -> impl Strategy<Value = String> {
    let owner = prop::sample::select(&OWNERS[..]);
    let data = prop_oneof![
        8 => (0..3u8).prop_map(|n| format!("A 10.9.0.{n}")),
        4 => (0..3u8).prop_map(|n| format!("AAAA fd00::{n}")),
        4 => (0..3u8).prop_map(|n| format!("TXT \"text {n}\"")),
        2 => Just("TXT ( one\n two )".to_owned()),
        2 => Just("MX 10 a".to_owned()),
        1 => Just("CNAME a".to_owned()),
        1 => Just("NS ns1".to_owned()),
        1 => Just("DNAME a".to_owned()),
        1 => Just("POOL www".to_owned()),
        1 => Just("300 A 10.9.0.9".to_owned()),
    ];
    prop_oneof![
        20 => (owner, data).prop_map(|(owner, data)| format!("{owner} {data}\n")),
        1 => Just(" TXT \"goes on\"\n".to_owned()),
        1 => Just("$TTL 90\n".to_owned()),
        1 => Just("$ORIGIN sub\n".to_owned()),
        1 => Just("; nothing\n\n".to_owned()),
        1 => Just("f SRV-POOL www 80 *.hosts\n".to_owned()),
        1 => Just("$GENERATE 1-3 g$ A 10.8.0.$\n".to_owned()),
        1 => Just("# no record )\n".to_owned()),
    ]
}

/// Lines that check by themselves, so that most of what is made does.
fn filler() -> String {
    (0..100).map(|n| format!("h{n} A 10.7.0.{n}\n")).collect()
}

fn read(text: &str, config: &ClusterConfig) -> Option<Zone> {
    read_as("z.test", text, config)
}

fn read_as(zone: &str, text: &str, config: &ClusterConfig) -> Option<Zone> {
    load(&ZoneName::new(zone), "z", text, &BTreeMap::new(), config, &mut |_| Err(String::new())).ok()
}

fn again(zone: &Zone, before: &str, now: &str, config: &ClusterConfig) -> Option<Zone> {
    load_again(zone, before, now, &BTreeMap::new(), config)
}

/// What is answered to anybody who asks for any of the names.
fn answers(zones: &Arc<Zones>) -> Vec<(String, Vec<u8>)> {
    let view = View::build(zones, &healthy(), "web1");
    let labels = OWNERS.iter().chain(&[
        "f",
        "web1.hosts",
        "virtual1.hosts",
        "g2",
        "h7",
        "h8",
        "new",
        "y.new",
        "none.sub",
        "ns1",
    ]);
    let names = labels.map(|label| if *label == "@" { "z.test.".to_owned() } else { format!("{label}.z.test.") });
    let types = [
        RecordType::A,
        RecordType::AAAA,
        RecordType::TXT,
        RecordType::MX,
        RecordType::SRV,
        RecordType::SOA,
        RecordType::DS,
    ];
    let mut all = Vec::new();
    for asked in names {
        for rtype in types {
            let reply = ask_bytes(&view, &query(&name(&asked), rtype, None), &mut 0);
            all.push((format!("{asked} {rtype}"), reply));
        }
    }
    all
}

/// A zone, alone and beside one below it, compiled: the first time from the beginning, then again each time.
struct Compiled {
    zone: Zone,
    below: Arc<Zone>,
    alone: Arc<Zones>,
    both: Arc<Zones>,
}

impl Compiled {
    fn new(zone: Zone, config: &ClusterConfig) -> Self {
        let below = Arc::new(read_as("sub.z.test", &format!("{HEAD}x A 10.6.0.1\n"), config).unwrap());
        let first = Arc::new(zone.clone());
        let alone = Arc::new(Zones::compile(vec![first.clone()], config));
        Self { zone, alone, both: Arc::new(Zones::compile(vec![first, below.clone()], config)), below }
    }

    /// The zone of `now` by both ways, and both compilations. Whether it was read in part; none where it does not check.
    fn compare(&mut self, before: &str, now: &str, config: &ClusterConfig) -> Option<bool> {
        let whole = read(now, config);
        let part = again(&self.zone, before, now, config);
        let took_part = part.is_some();
        if let Some(part) = &part {
            assert!(Some(part) == whole.as_ref(), "{before:?} became {now:?}");
        }
        let next = Arc::new(part.unwrap_or(whole?));
        let was = Arc::new(self.zone.clone());
        let zones = (std::slice::from_ref(&was), std::slice::from_ref(&next));
        self.alone = Arc::new(self.alone.compile_again(zones.0, zones.1, config));
        let (were, are) = ([was, self.below.clone()], [next.clone(), self.below.clone()]);
        self.both = Arc::new(self.both.compile_again(&were, &are, config));
        for (again, zones) in [(&self.alone, &are[..1]), (&self.both, &are[..])] {
            let beginning = answers(&Arc::new(Zones::compile(zones.to_vec(), config)));
            for (again, right) in answers(again).iter().zip(&beginning) {
                assert_eq!(again, right, "{before:?} became {now:?}, {} zones", zones.len());
            }
        }
        self.zone = Zone::clone(&next);
        Some(took_part)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn reading_again_is_reading_from_the_beginning(
        body in prop::collection::vec(line(), 0..8),
        edits in prop::collection::vec((0..8usize, 0..3usize, prop::collection::vec(line(), 0..3)), 1..4),
    ) {
        let config = config();
        let text = |body: &[String]| format!("{HEAD}{}{}", filler(), body.concat());
        let mut body: Vec<String> = body;
        let Some(zone) = read(&text(&body), &config) else { return Ok(()) };
        let mut compiled = Compiled::new(zone, &config);
        for (at, away, new) in edits {
            let before = text(&body);
            let mut next = body.clone();
            let at = at.min(next.len());
            next.splice(at..(at + away).min(body.len()), new);
            if compiled.compare(&before, &text(&next), &config).is_some() {
                body = next;
            }
        }
    }
}

/// Edits of one line after another, each read in part: so the layout goes along with the text.
#[test]
fn plain_edits_are_read_in_part() {
    let config = config();
    let mut text = format!("{HEAD}f SRV-POOL www 80 *.hosts\n{}tail TXT ( a\n b )\n", filler());
    let mut compiled = Compiled::new(read(&text, &config).unwrap(), &config);
    for (away, new, part) in [
        ("h7 A 10.7.0.7\n", "h7 A 10.7.1.7\n", true),
        // Where it stands among the others is not known.
        ("h8 A 10.7.0.8\n", "h8 A 10.7.0.8\nh8 A 10.7.1.8\n", false),
        ("h9 A 10.7.0.9\n", "h9 A 10.7.0.9\nnew TXT ( of\n two lines )\ny.new AAAA fd00::9\n", true),
        ("two lines", "more than\n two lines", false),
        ("new TXT ( of\n more than\n two lines )\n", "", true),
        ("h8 A 10.7.1.8\n", "h8 A 10.7.2.8\n", true),
        ("tail TXT ( a\n", "tail TXT ( other\n", false),
        ("h7 A 10.7.1.7\n", "h7 CNAME h8\n", true),
        ("h7 CNAME h8\n", "h7 AAAA fd00::7\n", true),
        ("f SRV-POOL", "; words\nf SRV-POOL", true),
        ("h50 A 10.7.0.50\n", "", true),
        ("ns1 A 10.0.0.1\n", "ns1 A 10.0.0.2\n", true),
    ] {
        assert!(text.contains(away), "{away}");
        let next = text.replacen(away, new, 1);
        assert_eq!(compiled.compare(&text, &next, &config), Some(part), "{away}");
        text = next;
    }
}

/// An edit that is right where it stands, and makes something wrong elsewhere.
#[test]
fn what_reaches_far_is_not_read_in_part_for_its_own_sake() {
    let config = config();
    let zones = [
        ("m MX 10 h7\n", "h7 A 10.7.0.7\n", "h7 TXT \"no address\"\n"),
        ("m CNAME h7\n", "h7 A 10.7.0.7\n", "h77 A 10.7.0.7\n"),
        ("m MX 10 x.h7\n*.h7 A 10.7.0.1\n", "h8 A 10.7.0.8\n", "h8 A 10.7.0.8\nx.h7 TXT \"hides the wildcard\"\n"),
        ("", "h7 A 10.7.0.7\n", "h7 A 10.7.0.7\nx NS ns1.x\n"),
        ("sub NS ns1\n", "h7 A 10.7.0.7\n", "h7 A 10.7.0.7\nx.sub A 10.7.0.7\n"),
        ("d DNAME www.z.test.\n", "h7 A 10.7.0.7\n", "h7 A 10.7.0.7\nx.d A 10.7.0.7\n"),
        ("", "h7 A 10.7.0.7\n", "h7 A 10.7.0.7\nh7 A 10.7.0.7\n"),
        ("", "h7 A 10.7.0.7\n", "h7 A 10.7.0.7\nh7 A 10.7.1.7\nh7 A 10.7.1.7\n"),
        ("h7 A 10.7.2.7\n", "h7 A 10.7.0.7\n", "h7 30 A 10.7.0.7\n"),
        ("", "h7 A 10.7.0.7\n", "h7 POOL www\n"),
    ];
    for (more, away, new) in zones {
        let text = format!("{HEAD}{}{more}", filler());
        let zone = read(&text, &config).unwrap_or_else(|| panic!("{more} is right"));
        let next = text.replacen(away, new, 1);
        assert!(again(&zone, &text, &next, &config).is_none(), "{more:?}: {away:?} became {new:?}");
    }
}

/// What pools have changed alone is not compiled again, and answers as it should.
#[test]
fn pools_that_come_and_go_leave_the_names_alone() {
    let before = config();
    let zone = Arc::new(read(&format!("{HEAD}{}w POOL www\n", filler()), &before).unwrap());
    let mut now = before.clone();
    let www = now.pools.values().next().unwrap().clone();
    now.pools.insert(model::PoolName::new("aaa"), www);
    now.pools.remove(&model::PoolName::new("all"));
    let zones = [zone];
    let again = Zones::compile(zones.to_vec(), &before).compile_again(&zones, &zones, &now);
    assert_eq!(answers(&Arc::new(again)), answers(&Arc::new(Zones::compile(zones.to_vec(), &now))));
}
