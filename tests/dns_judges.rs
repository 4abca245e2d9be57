//! delv and dnsviz as judges of real daemons: they complain about nothing.
//!
//! delv (`+noroot`: the zone is not signed) asks every record of the example, and names and types that are not there. dnsviz
//! begins at the root, follows the delegation, asks every name server at every address in the manners of many clients
//! (sizes, flags, unknown versions and options of EDNS, UDP and TCP), and compares what they and the parent say.
//!
//! Debian packages: bind9-dnsutils, dnsviz, knot. Where one is not installed its part is skipped and says so; with
//! `CI=true` that is a failure.

#![allow(clippy::print_stdout)] // tells its reader how much was judged

mod resolver_support;
mod stage_support;

use std::{
    collections::BTreeSet,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use host::lab::Host;
use resolver_support::{
    expect::{self, Record, Zone},
    rendered, servers,
};
use stage_support::{CLUSTER, installed, on_stage, three, v4, v6};

/// Questions beside the zone's own records: no such name, no such type, a wildcard, an alias.
const MORE: [(&str, &str); 10] = [
    ("nothing.lb.example.test.", "A"),
    ("a.nothing.www.lb.example.test.", "AAAA"),
    ("www.lb.example.test.", "TXT"),
    ("www.lb.example.test.", "TYPE65400"),
    ("lb.example.test.", "SRV"),
    ("apps.lb.example.test.", "A"),
    ("hosts.lb.example.test.", "A"),
    ("shop.apps.lb.example.test.", "A"),
    ("ftp.lb.example.test.", "AAAA"),
    ("nntp.lb.example.test.", "A"),
];

/// Has delv ask one question; what is wrong with what it says, nothing if all is well.
fn delv(
    program: &Path,
    host: &Host,
    server: IpAddr,
    (name, kind): (&str, &str),
    tcp: bool,
    zone: &Zone,
) -> Option<String> {
    let mut command = host.command(program);
    command.arg("+noroot").arg(if tcp { "+tcp" } else { "+notcp" }).arg(format!("@{server}"));
    let output = command.args(["-q", name, "-t", kind]).output().expect("the program runs");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let expected = expect::answer(&[zone], name, kind);
    let negative = match (expected.status.as_str(), expected.answer.is_empty()) {
        ("NXDOMAIN", _) => Some(";; resolution failed: ncache nxdomain"),
        (_, true) => Some(";; resolution failed: ncache nxrrset"),
        (_, false) => None,
    };
    // Comments in the words of delv's log are complaints; that there is nothing is one that is expected.
    let complaints: Vec<&str> = text.lines().filter(|line| line.starts_with(";;")).collect();
    let records = text.lines().filter(|line| !line.starts_with(';') && !line.is_empty());
    let records: BTreeSet<String> = records.filter_map(Record::parse).map(|record| record.to_string()).collect();
    let right = complaints == negative.into_iter().collect::<Vec<_>>()
        && records.iter().eq(expected.answer.keys())
        && text.contains("; authoritative") == negative.is_none();
    (!right).then(|| format!("{name} {kind} @{server} tcp {tcp}\n{text}"))
}

#[test]
fn delv_complains_about_nothing() {
    on_stage("delv_complains_about_nothing", || {
        let Some(program) = installed("delv") else { return };
        let directory = tempfile::tempdir().expect("a temporary directory");
        let stage = three(directory.path(), CLUSTER);
        let zone = rendered(&stage);
        let more = MORE.map(|(name, kind)| (name.to_owned(), kind.to_owned()));
        // What is delegated further is for resolvers: delv takes whom it asks for one.
        let own = zone.sets().into_iter().filter(|(name, _)| !name.ends_with("lab.lb.example.test."));
        let names: Vec<(String, String)> = own.chain(more).collect();
        let mut wrong = Vec::new();
        for (server, tcp) in [(v4(101), false), (v6(0x102), true)] {
            let ask = |(name, kind): &(String, String)| delv(&program, &stage.client, server, (name, kind), tcp, &zone);
            wrong.extend(names.iter().filter_map(ask));
        }
        assert!(wrong.is_empty(), "{} complaints\n{}", wrong.len(), wrong[..wrong.len().min(10)].join("\n"));
        println!("delv asked {} questions", 2 * names.len());
    });
}

/// Where dnsviz leaves all that it heard.
fn report(folder: &Path) -> PathBuf {
    folder.join("probe.json")
}

/// What dnsviz has against `names`, as the JSON of its `grok`; empty if nothing. `more` are arguments of its `probe`.
fn dnsviz(program: &Path, host: &Host, folder: &Path, more: &[&str], names: &[&str]) -> String {
    let said = |command: &mut Command| {
        let Output { status, stdout, stderr } = command.output().expect("the program runs");
        assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8_lossy(&stdout).into_owned()
    };
    let file = report(folder);
    let mut probe = host.command(program);
    // The root is not the Internet's.
    probe.args(["probe", "-A", "-E", "-a", ".", "-x", ".:ns.example.test=10.77.0.53"]).args(more);
    said(probe.arg("-o").arg(&file).args(names));
    // Private addresses are fine here.
    said(Command::new(program).args(["grok", "-P", "-l", "warning", "-r"]).arg(&file))
}

#[test]
fn dnsviz_complains_about_nothing() {
    on_stage("dnsviz_complains_about_nothing", || {
        let (Some(program), Some(knotd)) = (installed("dnsviz"), installed("knotd")) else { return };
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut stage = three(directory.path(), CLUSTER);
        let child = servers::lab_zone(&rendered(&stage));
        let _parent = servers::parent(&mut stage.lab, &knotd, directory.path(), &child);
        let names = ["lb.example.test", "www.lb.example.test", "ftp.lb.example.test", "shop.apps.lb.example.test"];
        let complaints = dnsviz(&program, &stage.client, directory.path(), &[], &names);
        assert_eq!(complaints, "", "dnsviz complains");
        let report = std::fs::read_to_string(report(directory.path())).expect("the report can be read");
        for address in [v4(101), v4(102), v4(103), v6(0x101), v6(0x102), v6(0x103)] {
            assert!(report.contains(&address.to_string()), "{address} was not asked");
        }
        // It does say so where a delegation names what is not there.
        let wrong = "lb.example.test:ns1.lb.example.test=10.77.0.101,ns9.lb.example.test=10.77.0.101";
        let complaints = dnsviz(&program, &stage.client, directory.path(), &["-N", wrong], &names[..1]);
        assert!(complaints.contains("ns9.lb.example.test"), "{complaints}");
    });
}
