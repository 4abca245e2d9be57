//! A checker that remembers finds what one that knows nothing finds.

use document::{Checker, Key, Objects, object::split};
use proptest::prelude::*;

const FILE: &str = "[cluster]\nname = \"x\"\n[server.web1]\naddress = \"10.0.0.1\"\n[server.web2]\naddress = \"10.0.0.2\"\n\
                    [pool.www]\nmembers = [\"web1\", \"web2\"]\n[zone.\"lb.example\"]\ntemplate = \"lb.zone\"\n\
                    variables = { word = \"WORD\" }\n";

/// Lines of a template, a hundred of them the same in all, and a variable's value.
fn objects(lines: &[u8], word: u8) -> Objects {
    let mut objects = split(&FILE.replace("WORD", &format!("w{word}")), &str::to_owned).expect("a cluster file");
    let mut text = "$TTL 60\n@ SOA ns1 admin 0 1h 15m 1w 5\n@ NAMESERVERS ns1=web1\nw TXT ${word}\n".to_owned();
    text += &(0..100).map(|n| format!("h{n} A 10.1.0.{n}\n")).collect::<String>();
    for line in lines {
        text += match line {
            0 => "a A 10.2.0.1\n",
            1 => "a A 10.2.0.2\n",
            2 => "b TXT ${word}\n",
            3 => "c POOL www\n",
            4 => "d MX 10 a\n",
            5 => "sub NS ns1\n",
            6 => "$TTL 90\n",
            _ => "a CNAME b\n",
        };
    }
    objects.insert(Key::parse("template/lb.zone").expect("a key"), text.into());
    objects
}

proptest! {
    #[test]
    fn memory_makes_no_difference(edits in prop::collection::vec((prop::collection::vec(0..8u8, 0..5), 0..2u8), 2..8)) {
        let mut checker = Checker::default();
        for (lines, word) in edits {
            let objects = objects(&lines, word);
            match (checker.check(&objects), Checker::default().check(&objects)) {
                (Ok(known), Ok(fresh)) => {
                    prop_assert!(known.zones == fresh.zones);
                    prop_assert!(known.config == fresh.config);
                }
                (known, fresh) => prop_assert_eq!(known.err(), fresh.err()),
            }
        }
    }
}
