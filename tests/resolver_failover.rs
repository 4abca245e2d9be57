//! Four resolvers, and clients who ask them steadily, while the name servers of the zone die, are stopped and return.
//!
//! unbound, BIND, Knot Resolver and PowerDNS Recursor follow the delegation from a root of our own. Every 5 ms each of them
//! is asked a name that it has not heard before, so that it must ask a name server. What is asserted: no lookup fails, none
//! stays without an answer, and every answer is one of living addresses. How long the longest took is printed, beside the
//! name server's own time without answers, as a client sees it that asks the address once a millisecond;
//! `bench/dns/resolvers` makes a table of it.
//!
//! With `NAME_SERVERS_ON_OWN_ADDRESSES` set the same is played, and nothing asserted, with name servers on the servers' own
//! addresses, as other zones have them: what resolvers make of the dead then is no business of ours, only a measure.
//!
//! Debian packages: bind9, knot, knot-resolver, pdns-recursor, unbound. Where one is not installed the test is skipped and
//! says so; with `CI=true` that is a failure.

#![allow(clippy::print_stdout)] // tells its reader how long lookups took

mod resolver_support;
mod stage_support;

use std::{
    env,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::{Duration, Instant},
};

use host::lab::{
    probe::{Probe, Question},
    stage::Stage,
};
use resolver_support::{
    lookups::{Lookup, Lookups},
    resolvers::{self, Resolver},
    servers,
};
use stage_support::{CLUSTER, PATIENCE, TEMPLATE, await_status, installed, on_stage, three_with, v4, v6};

const A: u16 = 1;
const SIGKILL: i32 = 9;

/// Lookups of each resolver after the cluster has dealt with an event.
const AFTERWARDS: usize = 200;

/// Where the zone's name servers are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum NameServers {
    /// On virtual hosts, as the example has them.
    Virtual,
    /// On the servers' own addresses.
    Own,
}

impl NameServers {
    /// The template and the parent's zone.
    fn texts(self) -> (String, String) {
        let (template, parent) = (TEMPLATE.to_owned(), servers::PARENT.to_owned());
        match self {
            Self::Virtual => (template, parent),
            Self::Own => (
                template.replace("ns1=virtual1 ns2=virtual2 ns3=virtual3", "ns1=web1 ns2=web2 ns3=web3"),
                parent.replace("10.77.0.10", "10.77.0.1").replace("fd00:77::10", "fd00:77::1"),
            ),
        }
    }

    /// The addresses of the name server that is at home on web1.
    fn first(self) -> [IpAddr; 2] {
        match self {
            Self::Virtual => [v4(101), v6(0x101)],
            Self::Own => [v4(11), v6(0x11)],
        }
    }
}

/// From one event to the next.
struct Act {
    event: &'static str,
    begun: Instant,
}

/// Waits until virtual1 is where it should be, as those servers see it who should.
fn await_virtual1(stage: &Stage, witness: &str, on: &str) {
    await_status(stage, witness, &format!("virtual1 on {on}"), |status| {
        status.virtual_hosts[0].state == "active" && status.virtual_hosts[0].active.as_deref() == Some(on)
    });
}

/// Machines and daemons that die, are stopped and return. After each event the resolvers are asked for a while.
fn play(stage: &mut Stage, clients: &[Lookups]) -> Vec<Act> {
    let mut acts = Vec::new();
    let ask_on = || {
        let answered = clients.iter().all(|client| client.await_more(AFTERWARDS, PATIENCE));
        assert!(answered, "a resolver answers no more");
    };
    let mut begin = |event| acts.push(Act { event, begun: Instant::now() });

    begin("nothing");
    ask_on();
    begin("web1 dies");
    kill(stage, "web1");
    await_virtual1(stage, "web2", "web2");
    ask_on();
    begin("web1 returns");
    revive(stage, "web1");
    await_virtual1(stage, "web2", "web1");
    ask_on();
    begin("web1 is stopped");
    assert!(stage.stop("web1").expect("it runs").success());
    await_virtual1(stage, "web2", "web2");
    ask_on();
    begin("web1 is started");
    stage.start("web1").expect("a daemon");
    await_virtual1(stage, "web2", "web1");
    ask_on();
    begin("web1 and web2 die");
    kill(stage, "web1");
    kill(stage, "web2");
    await_virtual1(stage, "web3", "web3");
    ask_on();
    begin("both return");
    revive(stage, "web2");
    revive(stage, "web1");
    await_virtual1(stage, "web3", "web1");
    ask_on();
    acts
}

/// The machine is gone: its cable, then its processes.
fn kill(stage: &mut Stage, server: &str) {
    stage.lab.unplug(server).expect("a cable");
    stage.signal_all(server, SIGKILL).expect("it runs");
    stage.wait(server).expect("it runs no more");
}

fn revive(stage: &mut Stage, server: &str) {
    stage.lab.plug(server).expect("a cable");
    stage.start(server).expect("a daemon");
}

/// What is wrong with a lookup; nothing if all is well.
fn judge(resolver: &Resolver, lookup: &Lookup) -> Option<String> {
    let all = [v4(101), v4(102), v4(103)];
    let right = lookup.answer.as_ref().is_some_and(|(_, code, addresses)| {
        *code == 0 && !addresses.is_empty() && addresses.iter().all(|address| all.contains(address))
    });
    (!right).then(|| format!("{}: {} got {:?}", resolver.name, lookup.name, lookup.answer))
}

/// The longest time without an answer among those that ended between the two moments, in milliseconds.
fn gap(probe: &Probe, from: Instant, to: Option<Instant>) -> f64 {
    let answers = probe.report().answers;
    let within = answers.windows(2).filter(|pair| pair[1].0 >= from && to.is_none_or(|to| pair[1].0 < to));
    within.map(|pair| milliseconds(pair[1].0 - pair[0].0)).fold(0.0, f64::max)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// One line for each resolver and act, in columns that `bench/dns/resolvers` reads.
fn print(name_servers: NameServers, acts: &[Act], gaps: &[f64], resolver: &Resolver, lookups: &[Lookup]) {
    for (number, act) in acts.iter().enumerate() {
        let end = acts.get(number + 1).map(|next| next.begun);
        let within =
            lookups.iter().filter(|lookup| lookup.asked >= act.begun && end.is_none_or(|end| lookup.asked < end));
        let took: Vec<f64> = within.flat_map(|lookup| &lookup.answer).map(|(took, ..)| milliseconds(*took)).collect();
        let longest = took.iter().copied().fold(0.0, f64::max);
        let slow = took.iter().filter(|took| **took > 50.0).count();
        println!(
            "| {name_servers:?} | {} | {} | {} | {slow} | {longest:.1} | {:.1} |",
            resolver.name,
            act.event,
            took.len(),
            gaps[number]
        );
    }
}

/// Plays it all with those name servers, and prints how long lookups took.
fn lookups_that_went_wrong(name_servers: NameServers) -> Vec<String> {
    let programs: Vec<Option<PathBuf>> =
        ["knotd"].into_iter().chain(resolvers::ALL.map(|resolver| resolver.program)).map(installed).collect();
    let Some(programs) = programs.into_iter().collect::<Option<Vec<PathBuf>>>() else { return Vec::new() };
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory");
    let (template, parent) = name_servers.texts();
    // The client that measures the address asks more often than the limit lets.
    let cluster = format!("{CLUSTER}\n[dns]\nrate-limit = {{ allow = [\"10.77.0.0/24\", \"fd00:77::/64\"] }}\n");
    let mut stage = three_with(directory.path(), &cluster, &template);
    let _parent = servers::parent_with(&mut stage.lab, &programs[0], directory.path(), &parent, servers::NO_CHILD);
    let start = |(resolver, program): (&&Resolver, &PathBuf)| resolver.start(&stage.client, program, directory.path());
    let _resolvers: Vec<servers::Server> = resolvers::ALL.iter().zip(&programs[1..]).map(start).collect();

    let question = Question::dns("www.lb.example.test", A).expect("a name");
    let probes = name_servers.first().map(|address| {
        Probe::start(&stage.client, SocketAddr::new(address, 53), question.clone()).expect("a client of the address")
    });
    let ask = |resolver: &&Resolver| {
        Lookups::start(&stage.client, resolver.address, resolver.program, "apps.lb.example.test")
    };
    let clients: Vec<Lookups> = resolvers::ALL.iter().map(ask).collect();
    let acts = play(&mut stage, &clients);

    let lookups: Vec<Vec<Lookup>> = clients.into_iter().map(|client| client.stop(PATIENCE)).collect();
    let end = |number: usize| acts.get(number + 1).map(|next: &Act| next.begun);
    let longest =
        |number: usize, act: &Act| probes.iter().map(|probe| gap(probe, act.begun, end(number))).fold(0.0, f64::max);
    let gaps: Vec<f64> = acts.iter().enumerate().map(|(number, act)| longest(number, act)).collect();
    println!("| name servers | resolver | event | lookups | over 50 ms | longest, ms | address silent, ms |");
    for (resolver, lookups) in resolvers::ALL.iter().zip(&lookups) {
        print(name_servers, &acts, &gaps, resolver, lookups);
    }
    let judge = |(resolver, lookups): (&&Resolver, &Vec<Lookup>)| -> Vec<String> {
        lookups.iter().filter_map(|lookup| judge(resolver, lookup)).collect()
    };
    resolvers::ALL.iter().zip(&lookups).flat_map(judge).collect()
}

#[test]
fn resolvers_do_not_miss_name_servers_that_die_stop_and_return() {
    on_stage("resolvers_do_not_miss_name_servers_that_die_stop_and_return", || {
        let wrong = lookups_that_went_wrong(NameServers::Virtual);
        assert!(wrong.is_empty(), "{} lookups went wrong\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
        if env::var_os("NAME_SERVERS_ON_OWN_ADDRESSES").is_some() {
            let wrong = lookups_that_went_wrong(NameServers::Own);
            println!("name servers on own addresses: {} lookups went wrong", wrong.len());
        }
    });
}
