//! What master files mean.

use std::collections::BTreeMap;

use insta::assert_snapshot;

use super::{body, config, load_with, members, mistakes, one_line_each, records};

#[test]
fn owners_ttls_and_classes_default_as_in_rfc_1035_and_2308() {
    let text = "\
www 60 IN A 10.0.0.1
    60 IN A 10.0.0.2
    IN 1h TXT later
mail A 10.0.0.3   ; $TTL rules over the record before
$TTL 2m
ftp in a 10.0.0.4
$ORIGIN sub.lb.example.test.
a A 10.0.0.5
@ A 10.0.0.6
b.lb.example.test. A 10.0.0.7
";
    assert_snapshot!(records(text).join("\n"), @r#"
    b.~ 120 IN A 10.0.0.7
    ftp.~ 120 IN A 10.0.0.4
    mail.~ 300 IN A 10.0.0.3
    sub.~ 120 IN A 10.0.0.6
    a.sub.~ 120 IN A 10.0.0.5
    www.~ 60 IN A 10.0.0.1
    www.~ 60 IN A 10.0.0.2
    www.~ 3600 IN TXT "later"
    "#);
}

#[test]
fn parentheses_quotes_comments_and_escapes() {
    let text = "\
a TXT ( \"one ; not a comment\" ; a comment
        two ) ; and another
b TXT \"quote \\\" and \\065\" \\\"c \\;d
c\\.d A 10.0.0.1
\\101 A 10.0.0.2
e\\032f TXT \"\"
g TXT a\"b\"c
h TXT \"ü\"
";
    assert_snapshot!(records(text).join("\n"), @r#"
    a.~ 300 IN TXT "one ; not a comment" "two"
    b.~ 300 IN TXT "quote \" and A" "\"c" ";d"
    c\.d.~ 300 IN A 10.0.0.1
    e.~ 300 IN A 10.0.0.2
    e\032f.~ 300 IN TXT ""
    g.~ 300 IN TXT "a" "b" "c"
    h.~ 300 IN TXT "\195\188"
    "#);
}

#[test]
fn variables_stand_for_text_and_never_end_a_word() {
    let text = "\
${host}1 A 10.0.0.1
a TXT ${spf} \"${spf}\" ${zone} ${cluster} \\${host} \"${empty}\"
b CNAME ${host}1.${zone}.
";
    assert_snapshot!(records(text).join("\n"), @r#"
    a.~ 300 IN TXT "v=spf1 mx; -all" "v=spf1 mx; -all" "lb.example.test" "example" "\${host}" ""
    b.~ 300 IN CNAME web1.~
    web1.~ 300 IN A 10.0.0.1
    "#);
}

#[test]
fn generate_counts_as_in_bind() {
    let text = "\
$GENERATE 1-3 h-$ A 10.0.0.$
$GENERATE 0-10/5 x${0,3} TXT \"$ ${1} ${8,2,x} ${200,3,X} \\$ $$\"
$GENERATE 18-19 ${0,7,n}.r 60 PTR h${-17}
$GENERATE 1-2 @ MX \"1$ h-$\"
";
    assert_snapshot!(records(text).join("\n"), @r#"
    ~ 300 IN MX 11 h-1.~
    ~ 300 IN MX 12 h-2.~
    h-1.~ 300 IN A 10.0.0.1
    h-2.~ 300 IN A 10.0.0.2
    h-3.~ 300 IN A 10.0.0.3
    2.1.0.0.r.~ 60 IN PTR h1.~
    3.1.0.0.r.~ 60 IN PTR h2.~
    x000.~ 300 IN TXT "0 1 08 0C8 \$ \$"
    x005.~ 300 IN TXT "5 6 0d 0CD \$ \$"
    x010.~ 300 IN TXT "10 11 12 0D2 \$ \$"
    "#);
}

#[test]
fn every_type_is_read_and_printed() {
    let text = "\
a A 10.0.0.1
a AAAA FD00::1
c CNAME a
m MX 10 a
m MX 20 mail.example.net.
t TXT \"one\" \"two\"
_sip._udp SRV 1 2 5060 a
@ CAA 0 issue \"letsencrypt.org; validationmethods=dns-01\"
p PTR a
h HTTPS 1 . alpn=\"h2,h3\" port=8443 ipv4hint=10.0.0.1,10.0.0.2 ipv6hint=fd00::1
h HTTPS 2 a ech=AEX+DQA= mandatory=alpn,ech alpn=h2 key65333=\"x y\" no-default-alpn
s SVCB 0 a
_443._tcp.a TLSA 3 1 1 d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971
i SMIMEA 3 0 0 0102 0304
k SSHFP 1 2 123456789abcdef67890123456789abcdef67890123456789abcdef123456789
n NAPTR 100 50 \"s\" \"SIP+D2U\" \"\" _sip._udp
d DNAME elsewhere.example.net.
u URI 10 1 \"https://a.example.net/x\"
ds.z NS a
ds.z DS 12345 13 2 0011223344556677 8899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF
y DNSKEY 257 3 13 AwEAAQ==
x CSYNC 66 3 A NS AAAA TYPE1234
w CERT 1 2 3 AQID
o OPENPGPKEY AQIDBA==
lo LOC 52 31 N 13 24 E 34m
hi HINFO amd64 \"Debian 12\"
rp RP joe.example.net. t
af AFSDB 1 a
kx KX 10 a
dh DHCID AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=
z1 TYPE65400 \\# 4 0A 000001
z2 TYPE42 \\# 0
z3 TYPE1 \\# 4 0A000001
z4 MX \\# 7 000A 03 787878 00
";
    assert_snapshot!(records(text).join("\n"), @r#"
    ~ 300 IN CAA 0 issue "letsencrypt.org; validationmethods=dns-01"
    _sip._udp.~ 300 IN SRV 1 2 5060 a.~
    a.~ 300 IN A 10.0.0.1
    a.~ 300 IN AAAA fd00::1
    _443._tcp.a.~ 300 IN TLSA 3 1 1 D2ABDE240D7CD3EE6B4B28C54DF034B97983A1D16E8A410E4561CB106618E971
    af.~ 300 IN AFSDB 1 a.~
    c.~ 300 IN CNAME a.~
    d.~ 300 IN DNAME elsewhere.example.net.
    dh.~ 300 IN DHCID AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=
    h.~ 300 IN HTTPS 1 . alpn="h2,h3" port=8443 ipv4hint=10.0.0.1,10.0.0.2 ipv6hint=fd00::1
    h.~ 300 IN HTTPS 2 a.~ mandatory=alpn,ech alpn="h2" no-default-alpn ech=AEX+DQA= key65333="x y"
    hi.~ 300 IN HINFO "amd64" "Debian 12"
    i.~ 300 IN SMIMEA 3 0 0 01020304
    k.~ 300 IN SSHFP 1 2 123456789ABCDEF67890123456789ABCDEF67890123456789ABCDEF123456789
    kx.~ 300 IN KX 10 a.~
    lo.~ 300 IN LOC 52 31 00.000 N 13 24 00.000 E 34.00m 1.00m 10000.00m 10.00m
    m.~ 300 IN MX 10 a.~
    m.~ 300 IN MX 20 mail.example.net.
    n.~ 300 IN NAPTR 100 50 "s" "SIP+D2U" "" _sip._udp.~
    o.~ 300 IN OPENPGPKEY AQIDBA==
    p.~ 300 IN PTR a.~
    rp.~ 300 IN RP joe.example.net. t.~
    s.~ 300 IN SVCB 0 a.~
    t.~ 300 IN TXT "one" "two"
    u.~ 300 IN URI 10 1 "https://a.example.net/x"
    w.~ 300 IN CERT 1 2 3 AQID
    x.~ 300 IN CSYNC 66 3 A NS AAAA TYPE1234
    y.~ 300 IN DNSKEY 257 3 13 AwEAAQ==
    ds.z.~ 300 IN NS a.~
    ds.z.~ 300 IN DS 12345 13 2 00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF
    z1.~ 300 IN TYPE65400 \# 4 0A000001
    z2.~ 300 IN TYPE42 \# 0
    z3.~ 300 IN A 10.0.0.1
    z4.~ 300 IN MX 10 xxx.
    "#);
}

#[test]
fn pools_and_name_servers() {
    let text = "\
$TTL 60
@ SOA ns1 hostmaster 0 1h 15m 1w 60
@ NAMESERVERS ns1=virtual1 ns2.dns=web2
www POOL www
*.apps 30 POOL mail
";
    let zone = load_with(text, &mut |_| Err(String::new())).expect("a valid zone");
    assert!(zone.serial_from_cluster);
    let config = config();
    assert_snapshot!(zone.render(&members(&config), 7), @r#"
    $ORIGIN lb.example.test.
    lb.example.test.	60	IN	SOA	ns1.lb.example.test. hostmaster.lb.example.test. 7 3600 900 604800 5
    lb.example.test.	60	IN	NS	ns1.lb.example.test.
    lb.example.test.	60	IN	NS	ns2.dns.lb.example.test.
    *.apps.lb.example.test.	30	IN	A	10.77.0.101
    *.apps.lb.example.test.	30	IN	A	10.77.0.102
    *.apps.lb.example.test.	30	IN	AAAA	fd00:77::101
    *.apps.lb.example.test.	30	IN	AAAA	fd00:77::102
    ns2.dns.lb.example.test.	60	IN	A	10.77.0.12
    ns2.dns.lb.example.test.	60	IN	AAAA	fd00:77::12
    ns1.lb.example.test.	60	IN	A	10.77.0.101
    ns1.lb.example.test.	60	IN	AAAA	fd00:77::101
    www.lb.example.test.	5	IN	A	10.77.0.101
    www.lb.example.test.	5	IN	A	10.77.0.102
    www.lb.example.test.	5	IN	A	10.77.0.103
    www.lb.example.test.	5	IN	AAAA	fd00:77::101
    www.lb.example.test.	5	IN	AAAA	fd00:77::102
    www.lb.example.test.	5	IN	AAAA	fd00:77::103
    "#);
}

#[test]
fn name_servers_without_arguments_are_all_servers() {
    let text = "$TTL 60\n@ SOA ns1 hostmaster 5 1h 15m 1w 60\n@ NAMESERVERS\n";
    let zone = load_with(text, &mut |_| Err(String::new())).expect("a valid zone");
    assert!(!zone.serial_from_cluster);
    assert_snapshot!(zone.render(&|_| Vec::new(), 7), @r#"
    $ORIGIN lb.example.test.
    lb.example.test.	60	IN	SOA	ns1.lb.example.test. hostmaster.lb.example.test. 5 3600 900 604800 60
    lb.example.test.	60	IN	NS	ns1.lb.example.test.
    lb.example.test.	60	IN	NS	ns2.lb.example.test.
    lb.example.test.	60	IN	NS	ns3.lb.example.test.
    ns1.lb.example.test.	60	IN	A	10.77.0.11
    ns1.lb.example.test.	60	IN	AAAA	fd00:77::11
    ns2.lb.example.test.	60	IN	A	10.77.0.12
    ns2.lb.example.test.	60	IN	AAAA	fd00:77::12
    ns3.lb.example.test.	60	IN	A	10.77.0.13
    ns3.lb.example.test.	60	IN	AAAA	fd00:77::13
    "#);
}

#[test]
fn included_files_have_their_own_places_and_give_the_origin_back() {
    let files = BTreeMap::from([
        ("hosts.inc", "  A 10.0.0.9\na A 10.0.0.1\n$ORIGIN deep.lb.example.test.\nb A 10.0.0.2\n"),
        ("wrong.inc", "ok A 10.0.0.3\n\nbad A 10.0.0\n"),
    ]);
    let mut include = |name: &str| files.get(name).map(|text| (*text).to_owned()).ok_or("no such file".to_owned());
    let head = "$TTL 60\n@ SOA ns1 hostmaster 5 1h 15m 1w 60\n@ NAMESERVERS\n";
    let text = format!("{head}x TXT x\n$INCLUDE hosts.inc sub\n  TXT y\nc A 10.0.0.4\n");
    let zone = load_with(&text, &mut include).expect("a valid zone");
    let owners: Vec<String> = zone.owners.iter().map(|owner| owner.name().to_string()).collect();
    assert_snapshot!(owners.join("\n"), @r#"
    lb.example.test.
    c.lb.example.test.
    b.deep.lb.example.test.
    ns1.lb.example.test.
    ns2.lb.example.test.
    ns3.lb.example.test.
    a.sub.lb.example.test.
    x.lb.example.test.
    "#);

    let errors = load_with(&format!("{head}$INCLUDE \"wrong.inc\"\n$INCLUDE gone\n"), &mut include).expect_err("wrong");
    let places: Vec<String> =
        errors.iter().map(|e| format!("{}:{}:{}: {}", e.file, e.line, e.column, e.message)).collect();
    assert_snapshot!(places.join("\n"), @r#"
    lb.zone:5:10: cannot read `gone`: no such file
    wrong.inc:3:7: `10.0.0` is no IPv4 address
    "#);
}

#[test]
fn includes_are_bounded() {
    let head = "$TTL 60\n@ SOA ns1 hostmaster 5 1h 15m 1w 60\n@ NAMESERVERS\n";
    let mut circle = |name: &str| Ok(if name == "a" { "$INCLUDE b\n" } else { "$INCLUDE a\n" }.to_owned());
    let errors = load_with(&format!("{head}$INCLUDE a\n"), &mut circle).expect_err("a circle");
    assert_eq!(one_line_each(&errors), "1:10: `a` includes itself: lb.zone -> a -> b -> a\n");

    let mut count = 0;
    let mut deeper = |_: &str| {
        count += 1;
        Ok(format!("$INCLUDE f{count}\n$INCLUDE g{count}\n"))
    };
    let errors = load_with(&format!("{head}$INCLUDE f\n"), &mut deeper).expect_err("no end");
    assert!(errors[0].message.contains("files within files"), "{}", one_line_each(&errors));
    assert!(count <= 1_000, "{count} files were read");
}

#[test]
fn every_mistake_is_told_at_once_and_hides_no_other() {
    let text = "\
www POOL wwww
mail MX 10 mial
  MX ten mail
mial2 A 10.0.0.256
a CNAME mial2
b CNAME nowhere
c TXT \"open
d ( A 10.0.0.1
e A 10.0.0.1
";
    assert_snapshot!(mistakes(text).join("\n"), @r#"
    1:10 no pool is called `wwww`
    2:12 MX points to mial.lb.example.test., but the zone has no such name
    3:6 preference: `ten` is not a number from 0 to 65535
    4:9 `10.0.0.256` is no IPv4 address
    6:9 CNAME points to nowhere.lb.example.test., but the zone has no such name
    7:7 the quote is not closed on this line
    8:3 `(` is never closed
    "#);
}

#[test]
fn the_negative_ttl_is_lowered_only_where_pools_are() {
    let minimum = |text: &str| {
        let zone = body(text).expect("a valid zone");
        let line = zone.render(&|_| Vec::new(), 1);
        let soa = line.lines().nth(1).expect("a SOA").to_owned();
        soa.rsplit(' ').next().expect("a last field").to_owned()
    };
    assert_eq!(minimum("www A 10.0.0.1\n"), "60");
    assert_eq!(minimum("www POOL www\n"), "5");
}
