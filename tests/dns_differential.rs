//! Generated zones, generated questions: Knot DNS and NSD answer as we do, in response code, flags and all three sections.
//!
//! Each world is four zones, some one below another, with every record type, wildcards, empty non-terminals, aliases and
//! chains of them, DNAMEs, delegations with and without glue. What may differ is listed in [`EXPLAINED`], each with the
//! RFC that leaves it open; anything else fails the test. The seed is fixed, so a failure is there again.

mod peer_support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::IpAddr,
    sync::Arc,
};

use dns::{Outcome, View, Zone, Zones, respond, zone::Owners};
use hickory_proto::rr::{Name, RData, RecordType, rdata::NULL};
use model::{Health, ZoneName, config::parse_cluster};
use peer_support::{KNOT, NSD, Peer, Program};

const WORLDS: u64 = 14;
const ORIGINS: [&str; 4] = ["z.test", "sub.z.test", "a.b.sub.z.test", "other.test"];
const LABELS: [&str; 8] = ["a", "b", "c", "d", "sub", "www", "*", "x"];

mod code {
    pub(crate) const A: u16 = 1;
    pub(crate) const NS: u16 = 2;
    pub(crate) const CNAME: u16 = 5;
    pub(crate) const SOA: u16 = 6;
    pub(crate) const PTR: u16 = 12;
    pub(crate) const HINFO: u16 = 13;
    pub(crate) const MX: u16 = 15;
    pub(crate) const TXT: u16 = 16;
    pub(crate) const AAAA: u16 = 28;
    pub(crate) const LOC: u16 = 29;
    pub(crate) const SRV: u16 = 33;
    pub(crate) const NAPTR: u16 = 35;
    pub(crate) const DNAME: u16 = 39;
    pub(crate) const DS: u16 = 43;
    pub(crate) const SSHFP: u16 = 44;
    pub(crate) const TLSA: u16 = 52;
    pub(crate) const SVCB: u16 = 64;
    pub(crate) const HTTPS: u16 = 65;
    pub(crate) const CAA: u16 = 257;
    pub(crate) const UNKNOWN: u16 = 65_400;
}

/// Types that any owner may have.
const DATA: [u16; 16] = [
    code::A,
    code::AAAA,
    code::A,
    code::TXT,
    code::MX,
    code::PTR,
    code::HINFO,
    code::LOC,
    code::SRV,
    code::NAPTR,
    code::SSHFP,
    code::TLSA,
    code::SVCB,
    code::HTTPS,
    code::CAA,
    code::UNKNOWN,
];

/// xorshift64*: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next()).unwrap_or_default() % end
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

fn wire(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).expect("a short label"));
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// A name at, below or beside one of the zones.
fn any_name(random: &mut Random) -> String {
    let mut name = if random.below(12) == 0 { "foreign.example".to_owned() } else { random.pick(&ORIGINS).to_owned() };
    for _ in 0..random.below(4) {
        name = format!("{}.{name}", random.pick(&LABELS));
    }
    name
}

fn data(random: &mut Random, rtype: u16) -> Vec<u8> {
    let byte = u8::try_from(random.below(4)).expect("below four");
    let target = wire(&any_name(random).replace('*', "w"));
    match rtype {
        code::A => vec![10, 1, 2, byte],
        code::AAAA => [&[0xfd; 15][..], &[byte]].concat(),
        code::TXT => [&[3, b'a', b'b', b'0' + byte][..], &[1, b'"']].concat(),
        code::HINFO => vec![1, b'a' + byte, 1, b'b'],
        code::MX => [&[0, byte][..], &target].concat(),
        code::SRV => [&[0, 1, 0, byte, 0, 80][..], &target].concat(),
        code::LOC => [&[0, 0x12, 0x16, 0x13, 0x88, 0, 0, byte, 0x7f, 0, 0, 0][..], &[0, 0x98, 0x96, 0x80]].concat(),
        code::NAPTR => [&[0, 1, 0, byte, 1, b's', 3, b'S', b'I', b'P', 0][..], &target].concat(),
        code::SSHFP => [&[4, 2][..], &[byte; 32]].concat(),
        code::TLSA => [&[3, 1, 1][..], &[byte; 32]].concat(),
        code::SVCB | code::HTTPS => [&[0, 1 + byte][..], &target, &[0, 1, 0, 3, 2, b'h', b'2']].concat(),
        code::CAA => [&[0, 5][..], b"issue", b"ca.example"].concat(),
        code::UNKNOWN => vec![byte; 5],
        code::DS => [&[0, 7, 13, 2][..], &[byte; 32]].concat(),
        _ => target,
    }
}

type Set = BTreeSet<Vec<u8>>;
type Owned = BTreeMap<u16, Set>;

fn is_below(name: &str, above: &str) -> bool {
    name.strip_suffix(above).is_some_and(|rest| rest.ends_with('.'))
}

/// What an owner below the apex has: an alias, a renaming, a delegation, or data.
fn owned(random: &mut Random, no_cut: bool) -> Owned {
    let one = |random: &mut Random, rtype: u16| (rtype, Set::from([data(random, rtype)]));
    match random.below(10) {
        0 | 1 => Owned::from([one(random, code::CNAME)]),
        2 if !no_cut => Owned::from([one(random, code::DNAME), one(random, code::TXT)]),
        3 | 4 if !no_cut => {
            let servers = (0..1 + random.below(2)).map(|_| data(random, code::NS)).collect();
            let mut owned = Owned::from([(code::NS, servers)]);
            if random.below(2) == 0 {
                owned.extend([one(random, code::DS)]);
            }
            owned
        }
        _ => {
            let mut owned = Owned::new();
            for _ in 0..1 + random.below(4) {
                let rtype = random.pick(&DATA);
                let data = data(random, rtype);
                owned.entry(rtype).or_default().insert(data);
            }
            owned
        }
    }
}

/// The owners of one zone: nothing but glue below a delegation, nothing below a DNAME.
fn owners(random: &mut Random, origin: &str) -> BTreeMap<String, Owned> {
    let mut owners = BTreeMap::new();
    for _ in 0..10 + random.below(14) {
        let mut labels: Vec<_> = (0..1 + random.below(3)).map(|_| random.pick(&LABELS)).collect();
        // An asterisk further up is an ordinary label, which is rare enough to leave to other tests.
        for label in &mut labels[1..] {
            if *label == "*" {
                *label = "b";
            }
        }
        let name = format!("{}.{origin}", labels.join("."));
        // A zone of ours below is delegated, and nothing else is on the way to it.
        let is_at_or_above = |other: &&str| **other == name || is_below(other, &name);
        let no_cut = labels[0] == "*" || ORIGINS.iter().any(is_at_or_above);
        owners.insert(name, owned(random, no_cut));
    }
    for child in ORIGINS.into_iter().filter(|child| is_below(child, origin)) {
        let closest = ORIGINS.into_iter().filter(|above| is_below(child, above)).max_by_key(|above| above.len());
        owners.retain(|name, _| name != child && !is_below(name, child));
        if closest == Some(origin) {
            owners.insert(child.to_owned(), Owned::from([(code::NS, Set::from([wire(&format!("ns.{child}"))]))]));
            owners.insert(format!("ns.{child}"), name_server());
        }
    }
    let servers: Vec<Vec<u8>> =
        owners.values().flat_map(|owned: &Owned| owned.get(&code::NS)).flatten().cloned().collect();
    let mut cuts: Vec<String> = owners
        .iter()
        .filter(|(_, owned)| owned.contains_key(&code::NS) || owned.contains_key(&code::DNAME))
        .map(|(name, _)| name.clone())
        .collect();
    cuts.retain({
        let all = cuts.clone();
        move |cut| !all.iter().any(|above| is_below(cut, above))
    });
    owners.retain(|name, _| !cuts.iter().any(|cut| is_below(name, cut)));
    // Glue for every second name server that lies below a delegation of this zone.
    for server in servers {
        let name = spelled(&server);
        let delegated = |cut: &String| {
            (is_below(&name, cut) || name == *cut) && owners.get(cut).is_some_and(|owned| owned.contains_key(&code::NS))
        };
        // Of a zone of ours below, the parent has no glue but that of its own name server.
        let known = ORIGINS.iter().any(|child| is_below(child, origin) && (name == *child || is_below(&name, child)));
        if !known && cuts.iter().any(delegated) && random.below(2) == 0 {
            let glue = owners.entry(name).or_default();
            glue.insert(code::A, Set::from([vec![10, 9, 9, 9]]));
            if random.below(2) == 0 {
                glue.insert(code::AAAA, Set::from([vec![0xfc; 16]]));
            }
        }
    }
    owners.insert(format!("ns.{origin}"), name_server());
    let apex = owners.entry(origin.to_owned()).or_default();
    apex.insert(code::NS, Set::from([wire("ns1.elsewhere.example"), wire(&format!("ns.{origin}"))]));
    apex.insert(code::MX, Set::from([data(random, code::MX)]));
    let numbers = [7_u32, 3600, 600, 86_400, 60].map(u32::to_be_bytes).concat();
    apex.insert(code::SOA, Set::from([[wire(&format!("ns.{origin}")), wire("admin.example"), numbers].concat()]));
    owners
}

/// What every zone's own name server has, and its glue.
fn name_server() -> Owned {
    Owned::from([(code::A, Set::from([vec![10, 8, 8, 8]]))])
}

fn spelled(mut wire: &[u8]) -> String {
    let mut labels = Vec::new();
    while let Some((length, rest)) = wire.split_first().filter(|(length, _)| **length > 0) {
        let (label, rest) = rest.split_at(usize::from(*length));
        labels.push(String::from_utf8_lossy(label).into_owned());
        wire = rest;
    }
    labels.join(".")
}

fn zone(random: &mut Random, origin: &str) -> Zone {
    let apex = Name::from_ascii(format!("{origin}.")).expect("a name");
    let mut records = Vec::new();
    for (owner, sets) in owners(random, origin) {
        let owner = Name::from_ascii(format!("{owner}.")).expect("a name");
        for (rtype, set) in sets {
            let ttl = if rtype == code::SOA { 600 } else { 300 };
            records.extend(set.into_iter().map(|data| {
                let data = RData::Unknown { code: RecordType::from(rtype), rdata: NULL::with(data) };
                (owner.clone(), ttl, data)
            }));
        }
    }
    let owners = Owners::from_records(&apex, records, []);
    Zone {
        name: ZoneName::new(origin),
        origin: apex,
        serial_from_cluster: false,
        owners,
        followers: Vec::new(),
        refers: Default::default(),
        layout: Default::default(),
    }
}

/// A record: owner, type, TTL, and data with names spelled out, in lower case, all as texts that can be read.
type Record = (String, u16, u32, String);

/// What a reply says.
#[derive(PartialEq, Debug)]
struct Said {
    rcode: u8,
    authoritative: bool,
    truncated: bool,
    sections: [BTreeSet<Record>; 3],
}

/// The name at `at`, spelled out in lower case, and where it ends.
fn name_at(message: &[u8], mut at: usize) -> (Vec<u8>, usize) {
    let (mut name, mut end) = (Vec::new(), None);
    loop {
        let length = usize::from(message[at]);
        if length >= 0xC0 {
            end.get_or_insert(at + 2);
            at = (length & 0x3F) << 8 | usize::from(message[at + 1]);
        } else {
            name.extend(message[at..=at + length].to_ascii_lowercase());
            at += 1 + length;
            if length == 0 {
                return (name, end.unwrap_or(at));
            }
        }
    }
}

/// Data as text, with the names that may be compressed spelled out.
fn data_at(message: &[u8], rtype: u16, at: usize, end: usize) -> String {
    let (fixed, names) = match rtype {
        code::NS | code::CNAME | code::PTR | code::DNAME => (0, 1),
        code::MX => (2, 1),
        code::SOA => (0, 2),
        _ => (0, 0),
    };
    let mut text = message[at..at + fixed].escape_ascii().to_string();
    let mut at = at + fixed;
    for _ in 0..names {
        let (name, next) = name_at(message, at);
        text += &spelled(&name);
        at = next;
    }
    text + &message[at..end].escape_ascii().to_string()
}

impl Said {
    fn of(reply: &[u8]) -> Self {
        let number = |at: usize| usize::from(u16::from_be_bytes([reply[at], reply[at + 1]]));
        let (_, mut at) = name_at(reply, 12);
        at += 4;
        let mut sections = [BTreeSet::new(), BTreeSet::new(), BTreeSet::new()];
        for (section, records) in sections.iter_mut().enumerate() {
            for _ in 0..number(6 + 2 * section) {
                let (owner, fixed) = name_at(reply, at);
                let rtype = u16::try_from(number(fixed)).expect("two bytes");
                let ttl = u32::from_be_bytes([reply[fixed + 4], reply[fixed + 5], reply[fixed + 6], reply[fixed + 7]]);
                at = fixed + 10 + number(fixed + 8);
                if rtype != 41 {
                    let data = data_at(reply, rtype, fixed + 10, at);
                    records.insert((spelled(&owner), rtype, ttl, data));
                }
            }
        }
        Self { rcode: reply[3] & 15, authoritative: reply[2] & 4 != 0, truncated: reply[2] & 2 != 0, sections }
    }

    fn header(&self) -> (u8, bool, bool) {
        (self.rcode, self.authoritative, self.truncated)
    }
}

/// A question: name and type.
type Question = (String, u16);

/// A difference that an RFC leaves open: why it may be, and whether it is one.
type Explained = (&'static str, fn(&Question, &Said, &Said) -> bool);

const EXPLAINED: &[Explained] = &[
    (
        "RFC 1034 section 4.3.2 step 6, RFC 9460 section 4.1: what may be useful is sent or not; our answers are minimal",
        |_, ours, theirs| {
            let positive = !ours.sections[0].is_empty() && ours.sections[1..].iter().all(BTreeSet::is_empty);
            let useful = |record: &Record| matches!(record.1, code::A | code::AAAA | code::SVCB | code::HTTPS);
            positive
                && theirs.sections[2].iter().all(useful)
                && ours.sections[..2] == theirs.sections[..2]
                && ours.header() == theirs.header()
        },
    ),
    (
        "RFC 1034 section 4.3.2 step 3a: an alias starts the search again, from the zones on; it stays in the zone",
        |asked, ours, theirs| {
            let begins_the_same =
                before_another_zone(asked, ours).is_some_and(|first| first.is_subset(&theirs.sections[0]));
            begins_the_same && theirs.authoritative == ours.authoritative
        },
    ),
    (
        "RFC 9471 sections 2 and 3: a referral needs the glue of in-domain name servers; other addresses are sent or not",
        |_, ours, theirs| {
            let is_referral = ours.sections[1].iter().any(|record| record.1 == code::NS);
            let mut others = ours.sections[2].symmetric_difference(&theirs.sections[2]);
            let same = ours.sections[..2] == theirs.sections[..2] && ours.header() == theirs.header();
            is_referral && same && others.all(|record| !is_in_domain(&record.0, ours))
        },
    ),
];

/// Whether a name is below a delegation of the authority section.
fn is_in_domain(name: &str, said: &Said) -> bool {
    said.sections[1].iter().any(|record| record.1 == code::NS && (record.0 == name || is_below(name, &record.0)))
}

/// The zone that a question belongs to: the closest, but DS is the parent's (RFC 4035 section 3.1.4.1).
fn zone_of((name, rtype): &Question) -> Option<&'static str> {
    let enclosing = ORIGINS.into_iter().filter(|origin| name == origin || is_below(name, origin));
    let strictly = enclosing.clone().filter(|origin| *rtype == code::DS && name != origin);
    strictly.max_by_key(|origin| origin.len()).or(enclosing.max_by_key(|origin| origin.len()))
}

/// The aliases of an answer up to the one that leads into another zone than where the question began; none where there
/// is none.
fn before_another_zone((name, rtype): &Question, said: &Said) -> Option<BTreeSet<Record>> {
    let (mut question, mut followed) = ((name.clone(), *rtype), BTreeSet::new());
    let began = zone_of(&question);
    for _ in 0..said.sections[0].len() {
        let next = said.sections[0].iter().find(|record| record.1 == code::CNAME && record.0 == question.0)?;
        followed.insert(next.clone());
        question.0.clone_from(&next.3);
        if zone_of(&question) != began {
            return Some(followed);
        }
    }
    None
}

/// All worlds, by one other server: differences by reason, and how many questions there were.
fn compare(program: &Program) -> Option<(usize, BTreeMap<&'static str, usize>)> {
    let config = parse_cluster("cluster.toml", "[cluster]\nname = \"x\"\n[server.a]\naddress = \"10.0.0.1\"\n");
    let mut config = config.expect("a valid cluster file");
    config.dns.max_udp_size = 4096;
    let (mut questions, mut explained, mut open) = (0, BTreeMap::new(), Vec::new());
    for world in 1..=WORLDS {
        let mut random = Random(world.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let folder = tempfile::tempdir().expect("a temporary directory");
        let zones: Vec<Zone> = ORIGINS.iter().map(|origin| zone(&mut random, origin)).collect();
        for zone in &zones {
            let text = zone.render(&|_| Vec::new(), 7);
            fs::write(folder.path().join(zone.name.as_str()), text).expect("the zone can be written");
        }
        let peer = Peer::start(program, folder.path(), &ORIGINS)?;
        let view = View::build(&Arc::new(Zones::compile(zones.clone(), &config)), &Health::default(), "a");
        let mut turn = 0;
        for question in asked(&mut random, &zones) {
            questions += 1;
            let query = query(&question);
            let mut out = [0; 4096];
            let outcome = respond(&view, IpAddr::from([127, 0, 0, 1]), &query, &mut out, &mut turn);
            let Outcome::Reply(length) = outcome else { unreachable!("a plain query is answered at once") };
            let (ours, theirs) = (Said::of(&out[..length]), Said::of(&peer.ask(&query)));
            if ours == theirs {
                continue;
            }
            match EXPLAINED.iter().find(|(_, is)| is(&question, &ours, &theirs)) {
                Some((why, _)) => *explained.entry(*why).or_default() += 1,
                None => open.push(format!("world {world}: {question:?}\n  ours   {ours:?}\n  theirs {theirs:?}")),
            }
        }
    }
    let first = open[..open.len().min(12)].join("\n");
    assert!(open.is_empty(), "{} of {questions} differ without an explanation\n{first}", open.len());
    Some((questions, explained))
}

/// Every owner, what is between, below and beside, by some types each.
fn asked(random: &mut Random, zones: &[Zone]) -> Vec<Question> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    for zone in zones {
        for owner in zone.owners.iter() {
            let mut name = owner.name().to_string();
            name.pop();
            while is_below(&name, "test") {
                names.extend(["q", "*"].map(|label| format!("{label}.{name}")));
                names.insert(format!("p.q.{name}"));
                names.insert(name.clone());
                name = name.split_once('.').map_or_else(String::new, |(_, rest)| rest.to_owned());
            }
        }
    }
    names.extend((0..40).map(|_| any_name(random)));
    let mut list = Vec::new();
    for name in names {
        for rtype in [code::A, code::NS, code::DS, code::CNAME, code::MX] {
            list.push((name.clone(), rtype));
        }
        list.push((name.clone(), random.pick(&DATA)));
        list.push((name, random.pick(&[code::SOA, code::DNAME, code::TXT, code::AAAA])));
    }
    list
}

/// A query with EDNS, so that nothing is cut.
fn query((name, rtype): &Question) -> Vec<u8> {
    let mut query = vec![0, 77, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    query.extend(wire(name));
    query.extend(rtype.to_be_bytes());
    query.extend([0, 1, 0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0]);
    query
}

fn report(program: &Program) {
    let Some((questions, explained)) = compare(program) else { return };
    eprintln!("{}: {questions} questions; {explained:?}", program.name);
    assert!(questions >= 20_000, "only {questions} questions");
}

#[test]
fn knot_answers_generated_zones_the_same() {
    report(&KNOT);
}

#[test]
fn nsd_answers_generated_zones_the_same() {
    report(&NSD);
}
