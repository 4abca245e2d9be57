//! `story.txt`: what happens to the cluster, one sentence a line, in the order of time.
//!
//! ```text
//! # a comment
//! at 0 ms: web1, web2, web3 start
//! at 2000 ms: the record begins
//! at 2000 ms: web1 loses its network
//! at 3000 ms: virtual1 is on web2
//! at 5000 ms: end
//! ```
//!
//! Every sentence that can stand there is in [`SENTENCES`]; `A` is a server or several with commas between them. A
//! sentence about where a virtual host is changes nothing: it must be true then, whatever `expected.txt` says.

use std::{fs, net::IpAddr, time::Duration};

use model::{
    EndpointName, MonitorId, ServerName, VirtualHostName,
    net::{MacAddress, Path},
};

/// Every sentence; printed where a line is not understood.
const SENTENCES: &str = "\
    A start | A lose power | A resign
    A go on standby | A resume
    A lose the network | the network of A returns          (carrier of the interface)
    A lose the router | A reach the router again
    the wire between A and B breaks | the wire between A and B heals
    nothing gets from A to B any more | A gets through to B again
    heartbeats over PATH from A to B are lost              (PATH is UDP or Ethernet; ARP and all else goes on)
    heartbeats over PATH from A to B get through again
    the service of VIRTUAL-HOST on A stops | hangs | degrades | returns
    the monitor VIRTUAL-HOST/MONITOR on A stops | ...      (what it alone looks at)
    the addresses of A are hidden | are reachable          (through the wire; heartbeats go on)
    the operator forces VIRTUAL-HOST/MONITOR on A up | down [for N ms] | resets VIRTUAL-HOST/MONITOR on A
    the endpoint ENDPOINT stops | hangs | returns          (for all who probe it)
    the endpoint ENDPOINT stops for A | returns for A      (a path breaks, or heals)
    A are frozen for N ms                                  (the machine: its kernel does not answer either)
    the daemon of A is frozen for N ms                     (the kernel goes on answering)
    A reload FILE
    somebody (MAC) answers for ADDRESS | nobody else answers for ADDRESS
    VIRTUAL-HOST is on A | VIRTUAL-HOST is nowhere         (must be so)
    the record begins                                      (what was before is not written down)
    end
Verbs may stand in the singular too.";

/// One sentence at its time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    /// In `story.txt`, from 1.
    pub(crate) number: usize,
    pub(crate) at: Duration,
    /// As it is written.
    pub(crate) sentence: String,
    pub(crate) step: Step,
}

/// What a sentence means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Start(Servers),
    PowerOff(Servers),
    Resign(Servers),
    Standby(Servers, bool),
    Carrier(Servers, bool),
    Router(Servers, bool),
    /// Both ways.
    Wire(Servers, Servers, bool),
    /// From the first to the second.
    Way(Servers, Servers, bool),
    /// For these who probe it; none: for all.
    Endpoint(EndpointName, Option<Servers>, Service),
    /// Heartbeats of one path, from the first to the second.
    Heartbeats(Path, Servers, Servers, bool),
    Service(VirtualHostName, Servers, Service),
    /// Nobody reaches the virtual addresses there.
    Hidden(Servers, bool),
    /// What one monitor alone looks at.
    Monitor(MonitorId, Servers, Service),
    /// An operator's word: up or down, and for how long; none: it is taken back.
    Force(String, Servers, Option<(bool, Option<Duration>)>),
    Freeze {
        servers: Servers,
        span: Duration,
        machine: bool,
    },
    Reload(Servers, String),
    /// A stranger has an address, or no longer.
    Stranger(IpAddr, Option<MacAddress>),
    /// An expectation.
    Held(VirtualHostName, Servers),
    Record,
    End,
}

/// Some servers.
pub(crate) type Servers = Vec<ServerName>;

/// How a service does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Service {
    Works,
    /// Connections are refused.
    Stopped,
    /// Connections are never answered.
    Hangs,
    /// It works, and not as it should.
    Degraded,
}

/// Reads a story.
///
/// # Errors
/// The first line that is not understood, or out of order.
pub(crate) fn read(path: &std::path::Path) -> Result<Vec<Line>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    parse(&text).map_err(|error| format!("{}:{error}", path.display()))
}

/// Reads the text of a story.
pub(crate) fn parse(text: &str) -> Result<Vec<Line>, String> {
    let mut lines: Vec<Line> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let timed = line.strip_prefix("at ").and_then(|line| line.split_once(" ms: "));
        let (at, sentence) = timed.ok_or(format!("{number}: a line is `at N ms: sentence`"))?;
        let at = Duration::from_millis(at.parse().map_err(|_| format!("{number}: `{at}` is no number"))?);
        let unknown = || format!("{number}: `{sentence}` is none of these:\n    {SENTENCES}");
        let step = step(sentence).ok_or_else(unknown)?;
        if let Some(last) = lines.last() {
            if at < last.at {
                return Err(format!("{number}: earlier than the line before"));
            }
            if last.step == Step::End {
                return Err(format!("{number}: after the end"));
            }
        }
        lines.push(Line { number, at, sentence: sentence.to_owned(), step });
    }
    match lines.last() {
        Some(Line { step: Step::End, .. }) => Ok(lines),
        Some(_) | None => Err("0: a story ends with `at N ms: end`".to_owned()),
    }
}

fn step(sentence: &str) -> Option<Step> {
    match sentence {
        "end" => return Some(Step::End),
        "the record begins" => return Some(Step::Record),
        _ => {}
    }
    if let Some(rest) = sentence.strip_prefix("the ") {
        return wire(rest)
            .or_else(|| service(rest))
            .or_else(|| monitor(rest))
            .or_else(|| operator(rest))
            .or_else(|| hidden(rest))
            .or_else(|| endpoint(rest))
            .or_else(|| network(rest))
            .or_else(|| frozen_daemon(rest));
    }
    about_servers(sentence).or_else(|| heartbeats(sentence)).or_else(|| stranger(sentence)).or_else(|| held(sentence))
}

/// `web1, web2`.
fn servers(text: &str) -> Option<Servers> {
    text.split(", ").map(|name| model::id::is_valid_name(name).then(|| ServerName::new(name))).collect()
}

/// The text without one of these endings.
fn without<'t>(text: &'t str, endings: &[&str]) -> Option<&'t str> {
    endings.iter().find_map(|ending| text.strip_suffix(ending))
}

fn about_servers(text: &str) -> Option<Step> {
    let of = |endings: &[&str]| servers(without(text, endings)?);
    let way = |text: &str, on: bool| {
        let (from, to) = text.split_once(if on { " gets through to " } else { " to " })?;
        Some(Step::Way(servers(from)?, servers(to)?, on))
    };
    of(&[" starts", " start"])
        .map(Step::Start)
        .or_else(|| of(&[" loses power", " lose power"]).map(Step::PowerOff))
        .or_else(|| of(&[" resigns", " resign"]).map(Step::Resign))
        .or_else(|| of(&[" goes on standby", " go on standby"]).map(|servers| Step::Standby(servers, true)))
        .or_else(|| of(&[" resumes", " resume"]).map(|servers| Step::Standby(servers, false)))
        .or_else(|| of(&[" loses the network", " lose the network"]).map(|servers| Step::Carrier(servers, false)))
        .or_else(|| of(&[" loses the router", " lose the router"]).map(|servers| Step::Router(servers, false)))
        .or_else(|| {
            of(&[" reaches the router again", " reach the router again"]).map(|servers| Step::Router(servers, true))
        })
        .or_else(|| way(text.strip_prefix("nothing gets from ")?.strip_suffix(" any more")?, false))
        .or_else(|| way(text.strip_suffix(" again")?, true))
        .or_else(|| {
            let (who, span) = text.split_once(" frozen for ")?;
            let servers = servers(without(who, &[" is", " are"])?)?;
            Some(Step::Freeze { servers, span: millis(span)?, machine: true })
        })
        .or_else(|| {
            let (who, file) = text.split_once(" reload ").or_else(|| text.split_once(" reloads "))?;
            Some(Step::Reload(servers(who)?, file.to_owned()))
        })
}

fn millis(text: &str) -> Option<Duration> {
    text.strip_suffix(" ms")?.parse().ok().map(Duration::from_millis)
}

fn wire(text: &str) -> Option<Step> {
    let text = text.strip_prefix("wire between ")?;
    let (sides, on) =
        text.strip_suffix(" breaks").map(|sides| (sides, false)).or(text.strip_suffix(" heals").map(|s| (s, true)))?;
    let (one, other) = sides.split_once(" and ")?;
    Some(Step::Wire(servers(one)?, servers(other)?, on))
}

fn heartbeats(text: &str) -> Option<Step> {
    let (path, ways) = text.strip_prefix("heartbeats over ")?.split_once(" from ")?;
    let path = Path::ALL.into_iter().find(|known| known.to_string() == path)?;
    let lost = ways.strip_suffix(" are lost").map(|ways| (ways, false));
    let (ways, on) = lost.or(ways.strip_suffix(" get through again").map(|ways| (ways, true)))?;
    let (from, to) = ways.split_once(" to ")?;
    Some(Step::Heartbeats(path, servers(from)?, servers(to)?, on))
}

fn service(text: &str) -> Option<Step> {
    let (virtual_host, rest) = text.strip_prefix("service of ")?.split_once(" on ")?;
    let (who, verb) = rest.rsplit_once(' ')?;
    Some(Step::Service(VirtualHostName::new(virtual_host), servers(who)?, how(verb)?))
}

fn monitor(text: &str) -> Option<Step> {
    let (monitor, rest) = text.strip_prefix("monitor ")?.split_once(" on ")?;
    let (virtual_host, monitor) = monitor.split_once('/')?;
    let (who, verb) = rest.rsplit_once(' ')?;
    let id = MonitorId::of_host(&VirtualHostName::new(virtual_host), &monitor.into());
    Some(Step::Monitor(id, servers(who)?, how(verb)?))
}

fn hidden(text: &str) -> Option<Step> {
    let text = text.strip_prefix("addresses of ")?;
    let hidden = text.strip_suffix(" are hidden").map(|who| (who, true));
    let (who, on) = hidden.or(text.strip_suffix(" are reachable").map(|who| (who, false)))?;
    Some(Step::Hidden(servers(who)?, on))
}

fn operator(text: &str) -> Option<Step> {
    let text = text.strip_prefix("operator ")?;
    if let Some(rest) = text.strip_prefix("resets ") {
        let (monitor, who) = rest.split_once(" on ")?;
        return Some(Step::Force(monitor.to_owned(), servers(who)?, None));
    }
    let (monitor, rest) = text.strip_prefix("forces ")?.split_once(" on ")?;
    let (rest, lasts) = match rest.split_once(" for ") {
        Some((rest, span)) => (rest, Some(millis(span)?)),
        None => (rest, None),
    };
    let (who, up) =
        rest.strip_suffix(" up").map(|who| (who, true)).or(rest.strip_suffix(" down").map(|w| (w, false)))?;
    Some(Step::Force(monitor.to_owned(), servers(who)?, Some((up, lasts))))
}

fn endpoint(text: &str) -> Option<Step> {
    let (name, rest) = text.strip_prefix("endpoint ")?.split_once(' ')?;
    let (verb, who) = match rest.split_once(" for ") {
        Some((verb, who)) => (verb, Some(servers(who)?)),
        None => (rest, None),
    };
    Some(Step::Endpoint(EndpointName::new(name), who, how(verb)?))
}

fn how(verb: &str) -> Option<Service> {
    match verb {
        "stops" => Some(Service::Stopped),
        "hangs" => Some(Service::Hangs),
        "degrades" => Some(Service::Degraded),
        "returns" => Some(Service::Works),
        _ => None,
    }
}

fn network(text: &str) -> Option<Step> {
    Some(Step::Carrier(servers(text.strip_prefix("network of ")?.strip_suffix(" returns")?)?, true))
}

fn frozen_daemon(text: &str) -> Option<Step> {
    let (who, span) = text.strip_prefix("daemon of ")?.split_once(" is frozen for ")?;
    Some(Step::Freeze { servers: servers(who)?, span: millis(span)?, machine: false })
}

fn stranger(text: &str) -> Option<Step> {
    if let Some(address) = text.strip_prefix("nobody else answers for ") {
        return Some(Step::Stranger(address.parse().ok()?, None));
    }
    let (mac, address) = text.strip_prefix("somebody (")?.split_once(") answers for ")?;
    let octets: Option<Vec<u8>> = mac.split(':').map(|octet| u8::from_str_radix(octet, 16).ok()).collect();
    Some(Step::Stranger(address.parse().ok()?, Some(MacAddress(octets?.try_into().ok()?))))
}

fn held(text: &str) -> Option<Step> {
    if let Some(virtual_host) = text.strip_suffix(" is nowhere") {
        return Some(Step::Held(VirtualHostName::new(virtual_host), Vec::new()));
    }
    let (virtual_host, who) = text.split_once(" is on ")?;
    Some(Step::Held(VirtualHostName::new(virtual_host), servers(who)?))
}
