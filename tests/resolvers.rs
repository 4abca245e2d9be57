//! dig, kdig and unbound as judges: what real clients and a real resolver make of the example, served by real daemons.
//!
//! Every owner name and type of the zone as `standin zone render` prints it is asked of every server, on its own and on
//! virtual addresses, IPv4 and IPv6, UDP and TCP, in the manners of different clients. unbound starts at a root and
//! follows the delegations to our name servers, as in life.
//!
//! Debian packages: bind9-dnsutils, knot-dnsutils, knot, unbound. Where one is not installed its part is skipped and
//! says so; with `CI=true` that is a failure.

#![allow(clippy::print_stdout)] // tells its reader how many answers were judged, and how long they took

mod resolver_support;
mod stage_support;

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Instant,
};

use host::lab::{ask, stage::Stage};
use resolver_support::{
    expect::{self, Zone},
    rendered,
    resolvers::UNBOUND,
    servers,
    tool::{self, Manner, Question, Reply},
};
use stage_support::{CLUSTER, PATIENCE, await_status, installed, on_stage, three, v4, v6};

const A: u16 = 1;

/// Questions beside the zone's own records: what is not there, what is below, what stands for something else.
const MORE: [(&str, &str); 26] = [
    // No such name.
    ("nothing.lb.example.test.", "A"),
    ("a.nothing.www.lb.example.test.", "AAAA"),
    ("x.status.apps.lb.example.test.", "A"),
    // No such type; nothing at a name that has names below it.
    ("www.lb.example.test.", "TXT"),
    ("router.lb.example.test.", "MX"),
    ("lb.example.test.", "SRV"),
    ("apps.lb.example.test.", "A"),
    ("hosts.lb.example.test.", "A"),
    ("rack1.hosts.lb.example.test.", "TXT"),
    ("_tcp.lb.example.test.", "SRV"),
    ("www.lb.example.test.", "TYPE65400"),
    // Delegated further.
    ("lab.lb.example.test.", "A"),
    ("lab.lb.example.test.", "DS"),
    ("ns.lab.lb.example.test.", "TXT"),
    ("host.lab.lb.example.test.", "A"),
    ("a.b.lab.lb.example.test.", "A"),
    // A wildcard.
    ("shop.apps.lb.example.test.", "A"),
    ("a.b.c.apps.lb.example.test.", "AAAA"),
    ("shop.apps.lb.example.test.", "TXT"),
    // Aliases.
    ("ftp.lb.example.test.", "A"),
    ("ftp.lb.example.test.", "AAAA"),
    ("nntp.lb.example.test.", "A"),
    ("status.apps.lb.example.test.", "HTTPS"),
    ("nntp.lb.example.test.", "TXT"),
    // Not ours.
    ("www.example.test.", "A"),
    ("example.org.", "SOA"),
];

/// Every owner with every type of the zone, and what is asked besides.
fn names(zone: &Zone) -> Vec<(String, String)> {
    let more = MORE.map(|(name, kind)| (name.to_owned(), kind.to_owned()));
    zone.sets().into_iter().chain(more).collect()
}

/// Asks all of `names` at each address, over UDP and TCP; and in each manner at one server's own and one virtual address.
fn questions(names: &[(String, String)]) -> Vec<Question> {
    let own = [v4(11), v4(12), v4(13), v6(0x11), v6(0x12), v6(0x13)];
    let on_virtual = [v4(101), v4(102), v4(103), v6(0x101), v6(0x102), v6(0x103)];
    let usual = own.into_iter().chain(on_virtual).map(|server| (server, Manner::Usual));
    let others = [v4(11), v6(0x102)].into_iter().flat_map(|server| Manner::ALL.map(|manner| (server, manner)));
    let ways: Vec<_> = usual.chain(others.filter(|(_, manner)| *manner != Manner::Usual)).collect();
    let ask = |(server, manner)| {
        let of = move |tcp| names.iter().map(move |(name, kind)| Question::new(name, kind, server, tcp, manner));
        of(false).chain(of(true))
    };
    ways.into_iter().flat_map(ask).collect()
}

/// What is wrong with a reply of one of our servers; nothing if all is well.
fn judge(question: &Question, reply: &Reply, zone: &Zone) -> Option<String> {
    let expected = expect::answer(&[zone], &question.name, &question.kind);
    let mut flags = vec!["qr"];
    flags.extend(expected.authoritative.then_some("aa"));
    flags.extend((question.manner != Manner::NoRecursion).then_some("rd"));
    let right = reply.answer == expected
        && reply.flags == flags.iter().map(|flag| (*flag).to_owned()).collect()
        && reply.edns == (question.manner != Manner::NoEdns)
        && reply.from == Some((question.server, question.tcp))
        && reply.name.eq_ignore_ascii_case(&question.name);
    (!right).then(|| format!("{question:?}\nexpected {flags:?} {expected:#?}\n{}", reply.text))
}

fn report(what: &str, asked: usize, wrong: &[String]) {
    let first = wrong[..wrong.len().min(10)].join("\n");
    assert!(wrong.is_empty(), "{what}: {} of {asked} answers are wrong\n{first}", wrong.len());
    println!("{what}: {asked} answers are right");
}

/// Has the program ask everything of every server.
fn every_record(program: &Path) -> Vec<(Question, Reply)> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let stage = three(directory.path(), CLUSTER);
    let zone = rendered(&stage);
    let questions = questions(&names(&zone));
    let replies = tool::ask(program, &stage.client, &questions);
    let asked: Vec<_> = questions.into_iter().zip(replies).collect();
    let wrong: Vec<String> = asked.iter().filter_map(|(question, reply)| judge(question, reply, &zone)).collect();
    report(&program.display().to_string(), asked.len(), &wrong);
    asked
}

#[test]
fn dig_gets_every_record_from_every_address() {
    on_stage("dig_gets_every_record_from_every_address", || {
        let Some(dig) = installed("dig") else { return };
        for (question, reply) in every_record(&dig) {
            // kdig can neither ask nor print in odd case.
            assert_eq!(reply.name, question.name, "the question comes back letter by letter");
        }
    });
}

#[test]
fn kdig_gets_every_record_from_every_address() {
    on_stage("kdig_gets_every_record_from_every_address", || {
        if let Some(kdig) = installed("kdig") {
            every_record(&kdig);
        }
    });
}

/// The programs of the tests with a resolver; nothing if one is not installed.
fn programs() -> Option<[PathBuf; 3]> {
    let found = ["dig", "knotd", "unbound"].map(installed);
    let [Some(dig), Some(knotd), Some(unbound)] = found else { return None };
    Some([dig, knotd, unbound])
}

/// What the parent says of names that are not ours, as far as it is asked.
const PARENT: &str = "example.test.\t3600\tIN\tSOA\tns.example.test. hostmaster.example.test. 2026112301 3600 900 604800 300\n\
                      www.example.test.\t3600\tIN\tCNAME\twww.lb.example.test.\n\
                      ns.example.test.\t3600\tIN\tA\t10.77.0.53\n";

/// What is wrong with a reply of the resolver; nothing if all is well. Its TTLs run down, and it is no authority.
fn judge_resolved(question: &Question, reply: &Reply, zones: &[&Zone]) -> Option<String> {
    let expected = expect::answer(zones, &question.name, &question.kind);
    let flags = ["qr", "ra", "rd"].map(str::to_owned).into();
    let same = reply.answer.answer.keys().eq(expected.answer.keys());
    let young =
        reply.answer.answer.iter().all(|(record, ttl)| expected.answer.get(record).is_some_and(|most| ttl <= most));
    let says_soa = reply.answer.authority.keys().any(|record| record.contains(" SOA "));
    let expects_soa = expected.authority.keys().any(|record| record.contains(" SOA "));
    let right =
        reply.answer.status == expected.status && reply.flags == flags && same && young && says_soa == expects_soa;
    (!right).then(|| format!("{question:?}\nexpected {expected:#?}\n{}", reply.text))
}

#[test]
fn unbound_follows_the_delegation_to_every_record() {
    on_stage("unbound_follows_the_delegation_to_every_record", || {
        let Some([dig, knotd, unbound]) = programs() else { return };
        let directory = directory();
        let mut stage = three(directory.path(), CLUSTER);
        let zone = rendered(&stage);
        let child = servers::lab_zone(&zone);
        let _parent = servers::parent(&mut stage.lab, &knotd, directory.path(), &child);
        let _resolver = UNBOUND.start(&stage.client, &unbound, directory.path());

        let (parent, child) = (Zone::parse(PARENT), Zone::parse(&child));
        let mut names = names(&zone);
        names.retain(|(name, _)| name != "example.org.");
        names.push(("www.example.test.".to_owned(), "AAAA".to_owned()));
        // The second time it answers from its cache.
        let twice = names.iter().chain(&names);
        let questions: Vec<Question> =
            twice.map(|(name, kind)| Question::new(name, kind, UNBOUND.address, false, Manner::Usual)).collect();
        let replies = tool::ask(&dig, &stage.client, &questions);
        let zones = [&parent, &zone, &child];
        let judged =
            questions.iter().zip(&replies).filter_map(|(question, reply)| judge_resolved(question, reply, &zones));
        report("unbound", replies.len(), &judged.collect::<Vec<_>>());
    });
}

/// The addresses that unbound finds for `name`, and how long it took.
fn resolve(stage: &Stage, name: &str) -> (Vec<IpAddr>, f64) {
    let begun = Instant::now();
    loop {
        // One try may be shorter than what unbound waits for a dead server.
        if let Ok(mut answer) = ask::ask(&stage.client, SocketAddr::new(UNBOUND.address, 53), name, A) {
            assert_eq!(u16::from(answer.rcode), 0, "{name}: {answer:?}");
            answer.addresses.sort();
            return (answer.addresses, begun.elapsed().as_secs_f64() * 1e3);
        }
        assert!(begun.elapsed() < PATIENCE, "unbound never answered for {name}");
    }
}

#[test]
fn clients_of_a_resolver_do_not_miss_a_server_that_is_cut_off() {
    on_stage("clients_of_a_resolver_do_not_miss_a_server_that_is_cut_off", || {
        let Some([_, knotd, unbound]) = programs() else { return };
        let directory = directory();
        // Caches are outlived here; let that be short.
        let cluster = CLUSTER.replace("ttl = 5\n", "ttl = 1\n").replace("[pool.files]\n", "[pool.files]\nttl = 1\n");
        assert_eq!(cluster.matches("ttl = 1\n").count(), 2);
        let mut stage = three(directory.path(), &cluster);
        let child = servers::lab_zone(&rendered(&stage));
        let _parent = servers::parent(&mut stage.lab, &knotd, directory.path(), &child);
        let _resolver = UNBOUND.start(&stage.client, &unbound, directory.path());
        let all = [v4(101), v4(102), v4(103)];
        assert_eq!(resolve(&stage, "www.lb.example.test").0, all);
        assert_eq!(resolve(&stage, "files.lb.example.test").0, [v4(11), v4(12), v4(13)]);

        stage.lab.unplug("web1").expect("a cable");
        // In the middle of the failover fresh names are resolved too, whichever name server unbound asks.
        let (mut asked, mut longest) = (0, 0.0_f64);
        loop {
            let (addresses, took) = resolve(&stage, &format!("meanwhile{asked}.apps.lb.example.test"));
            assert!(!addresses.is_empty() && addresses.iter().all(|address| all.contains(address)), "{addresses:?}");
            (asked, longest) = (asked + 1, longest.max(took));
            if !addresses.contains(&v4(101)) {
                break;
            }
        }
        println!("{asked} fresh names during the failover: {longest:.0} ms at most");
        for server in ["web2", "web3"] {
            await_status(&stage, server, "web1 is dead, virtual1 is stood in for", |status| {
                status.servers[0].state == "dead"
                    && status.virtual_hosts[0].state == "active"
                    && status.pools.iter().flat_map(|pool| &pool.members).any(|member| !member.answered)
            });
        }
        // Each name server's address answers, the dead server's virtual one too.
        for server in all.into_iter().chain([v6(0x101), v6(0x102), v6(0x103)]) {
            let answer = ask::ask(&stage.client, SocketAddr::new(server, 53), "www.lb.example.test", A);
            assert!(answer.as_ref().is_ok_and(|answer| !answer.addresses.contains(&v4(101))), "{server}: {answer:?}");
        }
        let mut longest = 0.0_f64;
        for number in 0..50 {
            let (addresses, took) = resolve(&stage, &format!("fresh{number}.apps.lb.example.test"));
            assert_eq!(addresses, [v4(102), v4(103)]);
            longest = longest.max(took);
        }
        println!("50 fresh names after the failover: {longest:.1} ms at most");
        // What unbound had cached from before runs out.
        let cut = Instant::now();
        for (name, left) in [("www", [v4(102), v4(103)]), ("files", [v4(12), v4(13)])] {
            while resolve(&stage, &format!("{name}.lb.example.test")).0 != left {
                assert!(cut.elapsed() < PATIENCE, "unbound keeps the dead in {name}");
            }
        }
    });
}

/// A directory that programs may be run from: /tmp may be mounted `noexec`.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory")
}
