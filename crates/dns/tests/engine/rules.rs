//! One test for each rule of the RFCs.

use dns::Zone;
use hickory_proto::{
    op::{Message, ResponseCode},
    rr::RecordType::{self, A, AAAA, ANY, CNAME, DS, MX, NS, SOA, TXT},
};

use crate::support::{ask, ask_bytes, config, example, healthy, lines, name, query, sorted, view, view_of, zone};

const DENIAL: &str =
    "lb.example.test. 5 in soa ns1.lb.example.test. admin.lb.example.test. 2026112301 3600 600 86400 60";

fn rcode(message: &Message) -> ResponseCode {
    message.metadata.response_code
}

/// rcode, AA, and the three sections as lines.
fn say(qname: &str, kind: RecordType) -> (ResponseCode, bool, [Vec<String>; 3]) {
    let message = ask(&view(&healthy()), qname, kind);
    assert!(!message.metadata.recursion_available && message.metadata.recursion_desired);
    let sections = [lines(&message.answers), lines(&message.authorities), lines(&message.additionals)];
    (rcode(&message), message.metadata.authoritative, sections)
}

fn positive(qname: &str, kind: RecordType, answers: &[&str]) {
    let (rcode, authoritative, [mut answer, authority, additional]) = say(qname, kind);
    answer.sort();
    assert_eq!((rcode, authoritative), (ResponseCode::NoError, true), "{qname} {kind}");
    assert_eq!(answer, answers, "{qname} {kind}");
    assert!(authority.is_empty() && additional.is_empty(), "answers are minimal: {authority:?} {additional:?}");
}

fn denied(qname: &str, kind: RecordType, expected: ResponseCode) {
    let (rcode, authoritative, sections) = say(qname, kind);
    assert_eq!((rcode, authoritative), (expected, true), "{qname} {kind}");
    assert_eq!(sections, [vec![], vec![DENIAL.to_owned()], vec![]], "{qname} {kind}");
}

#[test]
fn a_name_has_its_records_and_no_others() {
    positive("mail.lb.example.test.", A, &["mail.lb.example.test. 300 in a 10.0.0.7"]);
    positive("lb.example.test.", MX, &["lb.example.test. 300 in mx 10 mail.lb.example.test."]);
    let servers =
        ["lb.example.test. 300 in ns ns1.lb.example.test.", "lb.example.test. 300 in ns ns2.lb.example.test."];
    positive("lb.example.test.", NS, &servers);
    let soa = DENIAL.replace(" 5 in soa", " 600 in soa");
    positive("lb.example.test.", SOA, &[&soa]);
}

#[test]
fn a_name_without_such_records_is_nodata_and_no_name_is_nxdomain() {
    denied("mail.lb.example.test.", TXT, ResponseCode::NoError);
    denied("nothing.lb.example.test.", A, ResponseCode::NXDomain);
    denied("x.mail.lb.example.test.", A, ResponseCode::NXDomain);
    denied("x.y.z.nothing.lb.example.test.", A, ResponseCode::NXDomain);
}

/// RFC 8020, RFC 4592 section 2.2.2.
#[test]
fn an_empty_non_terminal_exists() {
    denied("b.c.lb.example.test.", A, ResponseCode::NoError);
    denied("c.lb.example.test.", ANY, ResponseCode::NoError);
    positive("a.b.c.lb.example.test.", TXT, &["a.b.c.lb.example.test. 300 in txt leaf"]);
}

/// RFC 4592 section 3.3.
#[test]
fn a_wildcard_stands_for_what_does_not_exist_and_for_nothing_else() {
    positive("x.wild.lb.example.test.", TXT, &["x.wild.lb.example.test. 300 in txt any"]);
    positive("x.y.wild.lb.example.test.", TXT, &["x.y.wild.lb.example.test. 300 in txt any"]);
    positive("x.y.wild.lb.example.test.", MX, &["x.y.wild.lb.example.test. 300 in mx 10 mail.lb.example.test."]);
    positive("*.wild.lb.example.test.", TXT, &["*.wild.lb.example.test. 300 in txt any"]);
    denied("x.wild.lb.example.test.", A, ResponseCode::NoError);
    denied("wild.lb.example.test.", TXT, ResponseCode::NoError);
    // The closest encloser is deep.wild, which has no wildcard of its own.
    denied("x.deep.wild.lb.example.test.", TXT, ResponseCode::NXDomain);
    denied("deep.wild.lb.example.test.", TXT, ResponseCode::NoError);
    denied("x.under.deep.wild.lb.example.test.", TXT, ResponseCode::NXDomain);
}

#[test]
fn an_alias_is_followed_inside_our_zones() {
    let (code, authoritative, [answer, authority, _]) = say("web.lb.example.test.", A);
    assert_eq!((code, authoritative, authority.len()), (ResponseCode::NoError, true, 0));
    assert_eq!(answer[0], "web.lb.example.test. 300 in cname www.lb.example.test.");
    let mut addresses = answer[1..].to_vec();
    addresses.sort();
    assert_eq!(addresses, [1, 2, 3].map(|n| format!("www.lb.example.test. 5 in a 10.0.0.10{n}")));
    let (_, _, [answer, ..]) = say("chain.lb.example.test.", TXT);
    assert_eq!(
        answer,
        [
            "chain.lb.example.test. 300 in cname web.lb.example.test.",
            "web.lb.example.test. 300 in cname www.lb.example.test.",
            "www.lb.example.test. 300 in txt pool",
        ]
    );
    positive("web.lb.example.test.", CNAME, &["web.lb.example.test. 300 in cname www.lb.example.test."]);
    positive("away.lb.example.test.", A, &["away.lb.example.test. 300 in cname www.elsewhere.test."]);
    let (_, _, [answer, ..]) = say("x.y.cwild.lb.example.test.", TXT);
    assert_eq!(answer[0], "x.y.cwild.lb.example.test. 300 in cname www.lb.example.test.");
    assert_eq!(answer[1], "www.lb.example.test. 300 in txt pool");
}

/// RFC 6604 section 3: the response code is that of the last name.
#[test]
fn an_alias_of_nothing_says_so() {
    let (code, authoritative, sections) = say("lost.lb.example.test.", A);
    assert_eq!((code, authoritative), (ResponseCode::NXDomain, true));
    let alias = "lost.lb.example.test. 300 in cname nothing.lb.example.test.".to_owned();
    assert_eq!(sections, [vec![alias], vec![DENIAL.to_owned()], vec![]]);
    let (code, _, [answer, authority, _]) = say("chain.lb.example.test.", MX);
    assert_eq!((code, answer.len(), authority), (ResponseCode::NoError, 2, vec![DENIAL.to_owned()]));
}

#[test]
fn aliases_in_a_circle_end() {
    let (code, _, [answer, authority, _]) = say("loop1.lb.example.test.", A);
    assert_eq!((code, answer.len(), authority.len()), (ResponseCode::NoError, 2, 0));
    let long: String = (0..20).map(|n| format!("c{n} CNAME c{}.lb.example.test.\n", n + 1)).collect();
    let view = view_of(vec![zone("lb.example.test.", &long)], &config(), &healthy());
    let message = ask(&view, "c0.lb.example.test.", A);
    assert_eq!((rcode(&message), message.answers.len()), (ResponseCode::NoError, 8));
}

/// RFC 1034 section 4.3.2 step 3b; RFC 9471.
#[test]
fn what_is_delegated_is_referred_with_glue_and_without_aa() {
    for qname in
        ["sub.lb.example.test.", "x.y.sub.lb.example.test.", "hidden.sub.lb.example.test.", "ns.sub.lb.example.test."]
    {
        for kind in [A, NS, ANY, SOA] {
            let (code, authoritative, sections) = say(qname, kind);
            assert_eq!((code, authoritative), (ResponseCode::NoError, false), "{qname} {kind}");
            assert_eq!(sections[0], Vec::<String>::new());
            assert_eq!(
                sections[1],
                [
                    "sub.lb.example.test. 300 in ns ns.sub.lb.example.test.",
                    "sub.lb.example.test. 300 in ns ns1.lb.example.test.",
                ]
            );
            assert_eq!(
                sections[2],
                [
                    "ns.sub.lb.example.test. 300 in a 10.0.0.8",
                    "ns.sub.lb.example.test. 300 in aaaa fd00::8",
                    "ns1.lb.example.test. 300 in a 10.0.0.101",
                ]
            );
        }
    }
    let (code, authoritative, sections) = say("intosub.lb.example.test.", A);
    assert_eq!((code, authoritative), (ResponseCode::NoError, true), "the first name is ours");
    assert_eq!(sections.map(|section| section.len()), [1, 2, 3]);
}

/// RFC 4035 section 3.1.4.1.
#[test]
fn ds_at_a_delegation_is_asked_of_us() {
    denied("sub.lb.example.test.", DS, ResponseCode::NoError);
    let (_, authoritative, [_, authority, _]) = say("x.sub.lb.example.test.", DS);
    assert!(!authoritative && authority.len() == 2, "below it, it is not");
    denied("lb.example.test.", DS, ResponseCode::NoError);
}

/// RFC 6672 section 3.2.
#[test]
fn a_dname_leads_everything_below_it_elsewhere() {
    let (code, authoritative, [answer, ..]) = say("mail.tree.lb.example.test.", A);
    assert_eq!((code, authoritative), (ResponseCode::NoError, true));
    assert_eq!(answer.len(), 3);
    assert!(answer[0].starts_with("tree.lb.example.test. 300 in dname "), "{}", answer[0]);
    assert_eq!(answer[1], "mail.tree.lb.example.test. 300 in cname mail.lb.example.test.");
    assert_eq!(answer[2], "mail.lb.example.test. 300 in a 10.0.0.7");
    denied("tree.lb.example.test.", A, ResponseCode::NoError);
    let long = format!("{0}.{0}.{0}.tree.lb.example.test.", "x".repeat(63));
    let grows = zone("lb.example.test.", &format!("tree DNAME {}.lb.example.test.", "y".repeat(63)));
    let message = ask(&view_of(vec![grows], &config(), &healthy()), &long, A);
    assert_eq!((rcode(&message), message.answers.len()), (ResponseCode::YXDomain, 1));
}

#[test]
fn outside_our_zones_we_refuse() {
    for qname in [".", "test.", "example.test.", "xlb.example.test.", "lb.example.test.org.", "www.elsewhere.test."] {
        let (code, authoritative, sections) = say(qname, A);
        assert_eq!((code, authoritative), (ResponseCode::Refused, false), "{qname}");
        assert!(sections.iter().all(Vec::is_empty), "{qname}");
    }
}

/// RFC 8482 section 4.1.
#[test]
fn any_gets_one_set() {
    let (_, _, [answer, ..]) = say("www.lb.example.test.", ANY);
    assert_eq!(answer.len(), 3);
    assert!(answer.iter().all(|line| line.contains(" in a ")), "{answer:?}");
    positive("web.lb.example.test.", ANY, &["web.lb.example.test. 300 in cname www.lb.example.test."]);
    positive("mail.lb.example.test.", ANY, &["mail.lb.example.test. 300 in a 10.0.0.7"]);
    denied("nothing.lb.example.test.", ANY, ResponseCode::NXDomain);
}

/// RFC 2308 sections 3 and 5.
#[test]
fn denials_live_as_long_as_the_soa_says_and_briefly_where_pools_are() {
    let ttl = |zone: Zone| ask(&view_of(vec![zone], &config(), &healthy()), "no.z.test.", A).authorities[0].ttl;
    let soa = "@ SOA ns.z.test. admin.z.test. 7 3600 600 86400";
    assert_eq!(ttl(zone("z.test.", &format!("{soa} 60"))), 60);
    assert_eq!(ttl(zone("z.test.", &format!("{soa} 900"))), 600, "the SOA's own TTL");
    assert_eq!(ttl(zone("z.test.", &format!("{soa} 900\nwww POOL www"))), 5);
    assert_eq!(ttl(zone("z.test.", &format!("{soa} 3\nwww POOL www"))), 3);
}

#[test]
fn the_serial_is_the_clusters_where_the_template_leaves_it_open() {
    let mut fixed = zone("z.test.", "@ SOA ns.z.test. admin.z.test. 7 3600 600 86400 60");
    let serial = |zone: &Zone, qname| {
        let message = ask(&view_of(vec![zone.clone()], &config(), &healthy()), qname, SOA);
        let record = message.answers.first().or(message.authorities.first()).unwrap();
        record.to_string().split(' ').nth(6).unwrap().to_owned()
    };
    assert_eq!((serial(&fixed, "z.test."), serial(&fixed, "x.z.test.")), ("2026112301".into(), "2026112301".into()));
    fixed.serial_from_cluster = false;
    assert_eq!((serial(&fixed, "z.test."), serial(&fixed, "x.z.test.")), ("7".into(), "7".into()));
}

#[test]
fn the_closest_of_nested_zones_answers() {
    let child = zone(
        "sub.lb.example.test.",
        "@ SOA ns.sub.lb.example.test. admin.sub.lb.example.test. 0 1 1 1 30\nx A 10.2.0.1",
    );
    let deep = zone("q.w.lb.example.test.", "@ SOA ns.lb.example.test. admin.lb.example.test. 0 1 1 1 30");
    let view = view_of(vec![example(), child, deep], &config(), &healthy());
    let message = ask(&view, "x.sub.lb.example.test.", A);
    assert_eq!(lines(&message.answers), ["x.sub.lb.example.test. 300 in a 10.2.0.1"]);
    let message = ask(&view, "hidden.sub.lb.example.test.", A);
    assert_eq!(rcode(&message), ResponseCode::NXDomain);
    assert!(lines(&message.authorities)[0].starts_with("sub.lb.example.test. 30 in soa"));
    let message = ask(&view, "sub.lb.example.test.", DS);
    assert_eq!(lines(&message.authorities), [DENIAL], "the parent's side of the cut");
    // RFC 8020: what lies above a name that exists, exists.
    let message = ask(&view, "w.lb.example.test.", A);
    assert_eq!((rcode(&message), lines(&message.authorities)), (ResponseCode::NoError, vec![DENIAL.to_owned()]));
    let message = ask(&view, "intosub.lb.example.test.", A);
    assert_eq!((rcode(&message), message.answers.len()), (ResponseCode::NXDomain, 1), "aliases cross zones");
}

#[test]
fn a_reverse_zone_and_the_root_work_like_any_other() {
    let reverse =
        zone("77.10.in-addr.arpa.", &format!("@ SOA ns.t. admin.t. 0 1 1 1 30\n11.0 PTR www.{}.", "lb.example.test"));
    let root = zone(".", "@ SOA ns.t. admin.t. 0 1 1 1 30\nalias CNAME host.t.\nt A 10.0.0.1\nhost.t A 10.0.0.2");
    let view = view_of(vec![reverse, root], &config(), &healthy());
    let message = ask(&view, "11.0.77.10.in-addr.arpa.", RecordType::PTR);
    assert_eq!(lines(&message.answers), ["11.0.77.10.in-addr.arpa. 300 in ptr www.lb.example.test."]);
    assert_eq!(sorted(&ask(&view, "alias.", A).answers), ["alias. 300 in cname host.t.", "host.t. 300 in a 10.0.0.2"]);
    let message = ask(&view, "no.such.name.", A);
    assert_eq!(rcode(&message), ResponseCode::NXDomain);
    assert!(lines(&message.authorities)[0].starts_with(". 30 in soa"));
    assert_eq!(rcode(&ask(&view, ".", A)), ResponseCode::NoError);
}

/// A name that is only IPv4 is a clean NODATA for AAAA, quickly: dual-stack clients wait for it.
#[test]
fn an_absent_family_is_nodata() {
    let mut config = config();
    for host in config.virtual_hosts.values_mut() {
        host.addresses.truncate(1);
    }
    let message = ask(&view_of(vec![example()], &config, &healthy()), "www.lb.example.test.", AAAA);
    assert_eq!((rcode(&message), lines(&message.authorities)), (ResponseCode::NoError, vec![DENIAL.to_owned()]));
}

#[test]
fn letter_case_is_kept_in_the_question_and_ignored_in_names() {
    let view = view(&healthy());
    let asked = query(&name("wWw.Lb.eXample.TEST."), A, None);
    let reply = ask_bytes(&view, &asked, &mut 0);
    assert_eq!(reply[12..asked.len()], asked[12..]);
    assert_eq!(Message::from_vec(&reply).unwrap().answers.len(), 3);
}
