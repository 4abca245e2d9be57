//! Laws: nothing panics, and what is printed reads back the same.

use proptest::prelude::*;

use super::{body, config, load_with, members};
use crate::zone::Zone;

/// Pieces that zone files are made of, right and wrong, so that random texts get deep into the reader.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "@",
        "www",
        "a.b",
        "*",
        "$ORIGIN",
        "$TTL",
        "$INCLUDE",
        "$GENERATE",
        "1-3",
        "0-4294967295",
        "x$",
        "${0,3,d}",
        "${host}",
        "${",
        "\\",
        "\\#",
        "\\065",
        "\\999",
        "\"",
        "(",
        ")",
        ";",
        "\n",
        "\n",
        "\n ",
        "\t",
        " ",
        " ",
        "IN",
        "CH",
        "60",
        "1h30m",
        "A",
        "AAAA",
        "NS",
        "CNAME",
        "MX",
        "TXT",
        "SRV",
        "CAA",
        "SOA",
        "HTTPS",
        "DNAME",
        "TLSA",
        "NAPTR",
        "CSYNC",
        "LOC",
        "52",
        "N",
        "E",
        "30m",
        "POOL",
        "NAMESERVERS",
        "TYPE1",
        "TYPE65400",
        "10.0.0.1",
        "fd00::1",
        "10",
        "0",
        "4",
        "0A000001",
        "alpn=h2",
        "mandatory=alpn",
        "ns1=virtual1",
        "issue",
        "ü",
        "lb.example.test.",
        "example.test.",
        "\u{0}",
        "=",
        "key1=\"x",
    ];
    prop_oneof![
        4 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned),
        1 => "[ -~]{0,6}",
        1 => any::<char>().prop_map(String::from),
    ]
}

/// One valid record.
fn record() -> impl Strategy<Value = String> {
    let label = "[a-z0-9]{1,8}";
    let text = proptest::collection::vec(any::<u8>(), 0..20)
        .prop_map(|bytes| bytes.iter().map(|byte| format!("\\{byte:03}")).collect::<String>());
    let data = prop_oneof![
        any::<[u8; 4]>().prop_map(|a| format!("A {}", std::net::Ipv4Addr::from(a))),
        any::<[u8; 16]>().prop_map(|a| format!("AAAA {}", std::net::Ipv6Addr::from(a))),
        (any::<u16>(), text.clone()).prop_map(|(p, n)| format!("MX {p} x{n}.example.net.")),
        proptest::collection::vec(text.clone(), 1..4).prop_map(|texts| format!("TXT \"{}\"", texts.join("\" \""))),
        (any::<[u16; 3]>(), "[a-zA-Z]{1,9}")
            .prop_map(|(n, t)| format!("SRV {} {} {} {t}.example.net.", n[0], n[1], n[2])),
        (any::<u8>(), text.clone()).prop_map(|(flags, value)| format!("CAA {flags} issue \"{value}\"")),
        proptest::collection::vec(any::<u8>(), 1..40).prop_map(|b| format!(
            "TYPE65400 \\# {} {}",
            b.len(),
            data_encoding::HEXUPPER.encode(&b)
        )),
        (1..9u16, text).prop_map(|(p, v)| format!("HTTPS {p} . alpn=\"h2,h\\\\\\\\,3\" key667=\"{v}\" port={p}")),
        (0..=90u8, 0..60u8, 0..=180u8, any::<u32>(), 0..10u64, 0..=7u32).prop_map(|(a, b, c, height, digit, power)| {
            let height = f64::from(height) / 100.0 - 100_000.0;
            format!(
                "LOC {} {b} 0.001 S {} 59 E {height:.2}m {}m 0.0{digit}",
                a.min(89),
                c.min(179),
                digit * 10_u64.pow(power)
            )
        }),
        Just("POOL www".to_owned()),
    ];
    (label, data).prop_map(|(owner, data)| {
        // An owner for each type, so that TTLs and pools don't clash.
        let rtype = data.split(' ').next().expect("a type").to_owned();
        format!("{owner}.{rtype} {data}\n")
    })
}

/// Keeps the first of each owner and data: the same record twice is a mistake.
fn distinct(records: &[String]) -> String {
    let mut seen = std::collections::BTreeSet::new();
    records.iter().filter(|record| seen.insert(record.replace("POOL mail", "POOL www"))).cloned().collect()
}

/// The zone with each pool replaced by its members' addresses.
fn printed(zone: &Zone) -> String {
    let config = config();
    zone.render(&members(&config), 7)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(pieces in proptest::collection::vec(piece(), 0..60), spaced in any::<bool>()) {
        let text = pieces.join(if spaced { " " } else { "" });
        let mut depth = 0;
        let mut include = |_: &str| { depth += 1; if depth < 40 { Ok(text.clone()) } else { Err("enough".to_owned()) } };
        let _ = load_with(&text, &mut include);
        let _ = body(&text);
    }

    #[test]
    fn a_printed_zone_reads_back_the_same(records in proptest::collection::vec(record(), 0..20)) {
        let text = distinct(&records);
        let zone = body(&text).map_err(|errors| TestCaseError::fail(super::one_line_each(&errors) + &text))?;
        let first = printed(&zone);
        let again = load_with(&first, &mut |_| Err(String::new()))
            .map_err(|errors| TestCaseError::fail(super::one_line_each(&errors) + &first))?;
        prop_assert_eq!(&printed(&again), &first);
        // All but the pools, which are addresses now, and the serial is the same.
        for owner in zone.owners.iter().filter(|owner| owner.pool().is_none()) {
            let soa = hickory_proto::rr::RecordType::SOA;
            for set in owner.sets().filter(|set| set.rtype() != soa) {
                prop_assert_eq!(Some(set), again.owners.get(&owner.name()).and_then(|owner| owner.set(set.rtype())));
            }
        }
    }
}
