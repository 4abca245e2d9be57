//! The demo's plot: start, a server cut off and back, a service dead and back, a planned stop, a summary.

use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use host::lab::{
    Host,
    ask::{Answer, ask},
    probe::{Probe, Question},
    stage::{Stage, WEB_PORT},
};
use model::api::Status;

use super::screen::Screen;
use crate::{
    client::{self, Door},
    print::{self, Style},
};

/// The first virtual address of `zones/example`.
pub(super) const VIRTUAL1: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 101);

/// The name that clients use, and the record type's number for A (RFC 1035 section 3.2.2).
const NAME: &str = "www.lb.example.test";
const A: u16 = 1;

/// How long anything may take before the demo has failed.
const PATIENCE: Duration = Duration::from_secs(8);
/// Between two looks at something that cannot be awaited from outside.
const GLANCE: Duration = Duration::from_millis(5);

/// One thing that happened, for the summary.
struct Act {
    what: &'static str,
    address: IpAddr,
    from: String,
    to: String,
    gap: Duration,
    /// From the event until the last server's DNS followed.
    dns: Option<Duration>,
}

/// Tells the story and shows it.
pub(super) fn tell(stage: &mut Stage, screen: &Screen) -> anyhow::Result<()> {
    let sockets: Vec<PathBuf> = stage.servers().map(|server| stage.socket(server)).collect();
    let over = AtomicBool::new(false);
    // The daemons are started by this thread: they die with the thread that started them.
    thread::scope(|scope| {
        if screen.is_live() {
            scope.spawn(|| live_view(&sockets, screen, &over));
        }
        let told = acts(stage, screen);
        over.store(true, Ordering::Relaxed);
        told
    })
}

fn acts(stage: &mut Stage, screen: &Screen) -> anyhow::Result<()> {
    let begun = Instant::now();
    start(stage, screen)?;
    let mut summary = Vec::new();

    screen.head("1. web1 is cut off from the network");
    let probe = client_of(stage, 101)?;
    let mut act = Fault { what: "server cut off", last_byte: 101, gone_from: "web1", dns_of: &["web2", "web3"] }
        .watch(stage, &probe, |stage| Ok(stage.lab.unplug("web1")?))?;
    describe(screen, &act, stage, &["web2", "web3"])?;
    summary.push(act);

    screen.head("2. web1 is back");
    act = came_back("server back", stage, &probe, 101, "web1", |stage| Ok(stage.lab.plug("web1")?))?;
    describe(screen, &act, stage, &["web1", "web2", "web3"])?;
    summary.push(act);

    screen.head("3. The web server on web2 dies; the machine lives");
    let probe = client_of(stage, 102)?;
    act = Fault { what: "service dead", last_byte: 102, gone_from: "web2", dns_of: &["web1", "web2", "web3"] }.watch(
        stage,
        &probe,
        |stage| Ok(stage.stop_web("web2")?),
    )?;
    describe(screen, &act, stage, &["web1", "web2", "web3"])?;
    summary.push(act);

    screen.head("4. It is started again");
    act = came_back("service back", stage, &probe, 102, "web2", |stage| Ok(stage.start_web("web2")?))?;
    describe(screen, &act, stage, &["web1", "web2", "web3"])?;
    summary.push(act);

    screen.head("5. web3 is stopped as planned (SIGTERM)");
    let probe = client_of(stage, 103)?;
    act = Fault { what: "planned stop", last_byte: 103, gone_from: "web3", dns_of: &["web1", "web2"] }.watch(
        stage,
        &probe,
        |stage| stage.stop("web3").map(|_| ()).map_err(Into::into),
    )?;
    describe(screen, &act, stage, &["web1", "web2"])?;
    summary.push(act);
    act = came_back("started again", stage, &probe, 103, "web3", |stage| Ok(stage.start("web3")?))?;
    summary.push(act);

    screen.head(&format!("Summary, after {:.0} s", begun.elapsed().as_secs_f64()));
    screen.say(&table(&summary));
    Ok(())
}

/// Starts the daemons, waits until every virtual host is where it belongs and DNS answers with all three.
fn start(stage: &mut Stage, screen: &Screen) -> anyhow::Result<()> {
    for server in ["web1", "web2", "web3"] {
        stage.start(server)?;
    }
    let socket = stage.socket("web1");
    let settled = await_status(&socket, |status| {
        status.servers.iter().all(|server| server.state != "unknown")
            && status.virtual_hosts.iter().all(|host| {
                host.state == "active" && host.active.as_ref() == host.servers.first().map(|first| &first.name)
            })
    })
    .context("waiting for every virtual host to be active on its primary")?;
    screen.say(&print::status::render(&settled, Style::of_stdout()));
    screen.head("The client asks each server's DNS:");
    await_answer(stage, &["web1", "web2", "web3"], |answer| answer.addresses.len() == 3)?;
    say_answers(screen, stage, &["web1", "web2", "web3"])
}

/// A fault that should drive one virtual address, and its DNS answers, away from a server.
struct Fault {
    what: &'static str,
    last_byte: u8,
    gone_from: &'static str,
    dns_of: &'static [&'static str],
}

impl Fault {
    fn watch(
        self,
        stage: &mut Stage,
        probe: &Probe,
        strike: impl FnOnce(&mut Stage) -> anyhow::Result<()>,
    ) -> anyhow::Result<Act> {
        let address = IpAddr::V4(virtual_address(self.last_byte));
        let servers: Vec<(Host, SocketAddr)> =
            self.dns_of.iter().map(|server| (stage.client.clone(), dns_address(server))).collect();
        let struck = Instant::now();
        thread::scope(|scope| {
            let watchers: Vec<_> = servers
                .iter()
                .map(|(client, server)| scope.spawn(move || gone_from_dns(client, *server, address, struck)))
                .collect();
            strike(stage)?;
            let to = answered_by(probe, struck, |who| who != self.gone_from)
                .with_context(|| format!("{address} did not move away from {}", self.gone_from))?;
            let mut dns = Duration::ZERO;
            for watcher in watchers {
                let dropped = watcher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                dns = dns.max(dropped.with_context(|| format!("DNS still answers {address}"))?);
            }
            Ok(Act {
                what: self.what,
                address,
                from: self.gone_from.to_owned(),
                to,
                gap: gap_since(probe, struck)?,
                dns: Some(dns),
            })
        })
    }
}

/// Ends a fault and waits for the failback.
fn came_back(
    what: &'static str,
    stage: &mut Stage,
    probe: &Probe,
    last_byte: u8,
    home: &str,
    mend: impl FnOnce(&mut Stage) -> anyhow::Result<()>,
) -> anyhow::Result<Act> {
    let address = IpAddr::V4(virtual_address(last_byte));
    let mended = Instant::now();
    let from = probe.report().answers.last().map(|(_, who)| who.to_string()).unwrap_or_default();
    mend(stage)?;
    let to = answered_by(probe, mended, |who| who == home)
        .with_context(|| format!("{address} did not come back to {home}"))?;
    let all = ["web1", "web2", "web3"];
    await_answer(stage, &all, |answer| answer.addresses.len() == 3).context("DNS answers all three again")?;
    Ok(Act { what, address, from, to, gap: gap_since(probe, mended)?, dns: None })
}

/// A client that asks the virtual address once a millisecond, and has its first answer.
fn client_of(stage: &Stage, last_byte: u8) -> anyhow::Result<Probe> {
    let target = SocketAddr::from((virtual_address(last_byte), WEB_PORT));
    let probe = Probe::start(&stage.client, target, Question::Echo)?;
    answered_by(&probe, Instant::now(), |_| true).with_context(|| format!("no answer from {target}"))?;
    Ok(probe)
}

/// Waits for an answer by somebody wanted; says who it was.
fn answered_by(probe: &Probe, since: Instant, wanted: impl Fn(&str) -> bool) -> Option<String> {
    let at = probe.wait_for(since, PATIENCE, &wanted)?;
    let report = probe.report();
    let (_, who) = report.answers.iter().rev().find(|(time, who)| *time >= at && wanted(who))?;
    Some(who.to_string())
}

fn gap_since(probe: &Probe, since: Instant) -> anyhow::Result<Duration> {
    let gap = probe.report().longest_gap(since).context("no answers before and after")?;
    Ok(gap.length())
}

/// How long after `struck` the server's answers lacked the address; `None`: never.
fn gone_from_dns(client: &Host, server: SocketAddr, address: IpAddr, struck: Instant) -> Option<Duration> {
    while struck.elapsed() < PATIENCE {
        if ask(client, server, NAME, A).is_ok_and(|answer| !answer.addresses.contains(&address)) {
            return Some(struck.elapsed());
        }
        thread::sleep(GLANCE);
    }
    None
}

fn await_answer(stage: &Stage, servers: &[&str], wanted: impl Fn(&Answer) -> bool) -> anyhow::Result<()> {
    for server in servers {
        let begun = Instant::now();
        while !ask(&stage.client, dns_address(server), NAME, A).is_ok_and(|answer| wanted(&answer)) {
            if begun.elapsed() > PATIENCE {
                bail!("{server}'s DNS does not answer as expected");
            }
            thread::sleep(GLANCE);
        }
    }
    Ok(())
}

fn await_status(socket: &std::path::Path, wanted: impl Fn(&Status) -> bool) -> anyhow::Result<Status> {
    let (begun, door) = (Instant::now(), Door::Socket(socket.to_owned()));
    loop {
        let seen = client::status(&door);
        match seen {
            Ok(status) if wanted(&status) => return Ok(status),
            Ok(status) if begun.elapsed() > PATIENCE => {
                bail!("still so:\n{}", print::status::render(&status, Style { color: false }))
            }
            Err(error) if begun.elapsed() > PATIENCE => return Err(error),
            Ok(_) | Err(_) => thread::sleep(GLANCE),
        }
    }
}

fn describe(screen: &Screen, act: &Act, stage: &Stage, servers: &[&str]) -> anyhow::Result<()> {
    screen.say(&format!("  the client lost {} for {}: {} -> {}", act.address, millis(act.gap), act.from, act.to));
    if let Some(dns) = act.dns {
        screen.say(&format!("  {} was out of every server's DNS {} after the fault", act.address, millis(dns)));
    }
    say_answers(screen, stage, servers)
}

fn say_answers(screen: &Screen, stage: &Stage, servers: &[&str]) -> anyhow::Result<()> {
    for server in servers {
        let answer = ask(&stage.client, dns_address(server), NAME, A).with_context(|| format!("asking {server}"))?;
        let addresses: Vec<String> = answer.addresses.iter().map(ToString::to_string).collect();
        screen.say(&format!("  {server}: {NAME} A -> {}", addresses.join(", ")));
    }
    Ok(())
}

fn table(acts: &[Act]) -> String {
    let mut text =
        format!("  {:<16}{:<14}{:<16}{:>12}{:>16}\n", "what", "address", "moved", "client gap", "out of DNS");
    for act in acts {
        let moved = format!("{} -> {}", act.from, act.to);
        let dns = act.dns.map_or_else(|| "-".to_owned(), millis);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  {:<16}{:<14}{moved:<16}{:>12}{dns:>16}",
            act.what,
            act.address.to_string(),
            millis(act.gap)
        );
    }
    text
}

/// Ten times a second: who lives, who holds what, what DNS answers.
fn live_view(sockets: &[PathBuf], screen: &Screen, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        if let Some(status) = sockets.iter().rev().find_map(|socket| client::status(&Door::Socket(socket.clone())).ok())
        {
            screen.show(panel(&status));
        }
        thread::sleep(Duration::from_millis(100));
    }
    screen.show(Vec::new());
}

fn panel(status: &Status) -> Vec<String> {
    let mut panel = vec![format!("  -- live, as {} sees it --", status.this)];
    for server in &status.servers {
        let held: Vec<&str> = status
            .virtual_hosts
            .iter()
            .filter(|host| host.active.as_ref() == Some(&server.name))
            .map(|host| host.name.as_str())
            .collect();
        panel.push(format!("  {:<8}{:<9}{}", server.name, server.state, held.join(" ")));
    }
    for pool in status.pools.iter().filter(|pool| pool.name == "www") {
        let answered: Vec<String> = pool
            .members
            .iter()
            .filter(|member| member.answered)
            .flat_map(|member| member.addresses.iter().filter(|address| address.is_ipv4()).map(ToString::to_string))
            .collect();
        panel.push(format!("  DNS: www -> {}", answered.join(", ")));
    }
    panel
}

fn virtual_address(last_byte: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, last_byte)
}

fn dns_address(server: &str) -> SocketAddr {
    let last_byte = match server {
        "web1" => 11,
        "web2" => 12,
        _ => 13,
    };
    SocketAddr::from((Ipv4Addr::new(10, 77, 0, last_byte), 53))
}

fn millis(span: Duration) -> String {
    format!("{:.1} ms", span.as_secs_f64() * 1000.0)
}
