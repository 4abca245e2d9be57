//! How each event reads: its level, and one sentence for people. Closed: a new event does not compile until it has both.

use std::{net::IpAddr, sync::Arc};

use model::{
    EndpointName, MonitorId, ServerName, Term, VirtualHostName,
    event::{AddressRefusal, AnswersChanged, Cause, Ending, Event, RecoveryStep},
    health::{Hold, Judgement, Verdict},
    hook::{HookMoment, HookOutcome},
    net::{MacAddress, Origin},
    notice::{Notification, Told},
};
use tracing::Level;

/// How loud an event is.
///
/// `ERROR`: somebody must act, or an address is not served. `WARN`: a fault, an attack or a surprise that Standin deals
/// with. `INFO`: everything else that an operator wants to find in the log afterwards.
pub(super) fn level(event: &Event) -> Level {
    match event {
        Event::TakeFailed { .. }
        | Event::AddressRefused { .. }
        | Event::ConfigurationRefused { .. }
        | Event::HolderUnreachable { .. }
        | Event::Cloned { .. }
        | Event::SharedFault { .. }
        | Event::NotifyFailed(_)
        | Event::Expelled { .. } => Level::ERROR,
        Event::PeerSuspected { .. }
        | Event::DaemonEnded { .. }
        | Event::PeerLeft { planned: false, .. }
        | Event::PeerRefused { .. }
        | Event::PathLost { .. }
        | Event::PeerDead { .. }
        | Event::OneWayLoss { .. }
        | Event::DatagramsRefused { .. }
        | Event::ConfigurationDiffers { .. }
        | Event::ConfigurationClashes { .. }
        | Event::Isolated
        | Event::Overslept { .. }
        | Event::AddressRestored { .. }
        | Event::HolderAnswers { .. }
        | Event::RivalOnTheWire { .. }
        | Event::Rivals { .. }
        | Event::Denied { .. }
        | Event::Unlinked { .. }
        | Event::Restored { .. }
        | Event::MonitorHeld { .. }
        | Event::PathDown { .. }
        | Event::HeldDown { .. }
        | Event::HookOverdue { .. } => Level::WARN,
        Event::HookRan { report, .. } => match report.outcome {
            HookOutcome::Succeeded => Level::INFO,
            HookOutcome::Failed | HookOutcome::TimedOut | HookOutcome::NotRun => Level::WARN,
            // Until somebody mends it, it never runs.
            HookOutcome::Refused => Level::ERROR,
        },
        Event::Recovery { step, .. } => match step {
            RecoveryStep::Ran { report } if report.outcome == HookOutcome::Refused => Level::ERROR,
            RecoveryStep::Begun { .. } | RecoveryStep::GivenUp { .. } | RecoveryStep::Withheld { .. } => Level::WARN,
            RecoveryStep::Ran { .. } | RecoveryStep::Recovered { .. } => Level::INFO,
        },
        Event::MonitorChanged { verdict, .. } | Event::EndpointChanged { verdict, .. } => match verdict {
            Verdict::Down | Verdict::Degraded => Level::WARN,
            Verdict::Up | Verdict::Unknown => Level::INFO,
        },
        Event::Started { .. }
        | Event::Listened
        | Event::AnswersChanged { .. }
        | Event::PeerLeft { planned: true, .. }
        | Event::Resigning
        | Event::PeerAlive { .. }
        | Event::PeerRecovered { .. }
        | Event::PathRestored { .. }
        | Event::OneWayHealed { .. }
        | Event::ConfigurationApplied { .. }
        | Event::ConfigurationEdited { .. }
        | Event::ConfigurationReceived { .. }
        | Event::ConfigurationAgrees { .. }
        | Event::Rejoined
        | Event::TargetChanged { .. }
        | Event::Taking { .. }
        | Event::Active { .. }
        | Event::Releasing { .. }
        | Event::Released { .. }
        | Event::RivalGone { .. }
        | Event::HolderChanged { .. }
        | Event::Notified(_)
        | Event::Done { .. }
        | Event::Linked { .. }
        | Event::Rotation { .. }
        | Event::MonitorFreed { .. }
        | Event::SharedFaultOver { .. }
        | Event::PathUp { .. }
        | Event::Standby { .. } => Level::INFO,
    }
}

/// The event as a sentence for people, as it stands in the log.
pub fn sentence(event: &Event) -> String {
    match event {
        Event::Started { boot } => format!("started, run {boot}"),
        Event::DaemonEnded { how, ended_ms, released_ms, .. } => daemon_ended(*how, *ended_ms, *released_ms),
        Event::Listened => "has listened long enough: may take addresses now".into(),
        Event::Resigning => "planned stop: handing everything over".into(),
        Event::PeerAlive { server, boot } => format!("{server} is alive, run {boot}"),
        Event::PeerSuspected { server, silent_ms } => format!("{server} is overdue: silent for {silent_ms} ms"),
        Event::PeerRefused { server, silent_ms } => peer_refused(server, *silent_ms),
        Event::PathLost { server, path, silent_ms } => path_lost(server, *path, *silent_ms),
        Event::PathRestored { server, path } => format!("{server} is heard over {path} again"),
        Event::PeerRecovered { server } => format!("{server} is heard again in time"),
        Event::PeerDead { server, silent_ms } => format!("{server} is dead: silent for {silent_ms} ms"),
        Event::PeerLeft { server, planned, silent_ms } => left(server, *planned, *silent_ms),
        Event::OneWayLoss { server, deaf_ms } => format!("{server} does not hear us: deaf for {deaf_ms} ms"),
        Event::OneWayHealed { server } => format!("{server} hears us again"),
        Event::DatagramsRefused { from, reason, count } => datagrams_refused(from, reason.word(), *count),
        Event::ConfigurationApplied { digest } => format!("configuration {digest:016x} is in force"),
        Event::ConfigurationRefused { errors } => format!("configuration refused, the old one stays:\n{errors}"),
        Event::ConfigurationEdited { version, who, from, why, objects } => edited(version, [who, from, why], objects),
        Event::ConfigurationReceived { server, version } => format!("edits came from {server}, version {version}"),
        Event::ConfigurationClashes { objects } => clashes(objects),
        Event::ConfigurationDiffers { server, digest } => format!("{server} runs another configuration: {digest:016x}"),
        Event::ConfigurationAgrees { server } => format!("{server} runs our configuration again"),
        Event::Isolated => "isolated: the partition policy says to hold nothing".into(),
        Event::Rejoined => "no longer isolated".into(),
        Event::Overslept { slept_ms } => format!("did not run for {slept_ms} ms: lets go of everything first"),
        Event::TargetChanged { virtual_host, from, to, cause } => target_changed(virtual_host, from, to, *cause),
        Event::Taking { virtual_host, term, cause, .. } => taking(virtual_host, *term, *cause),
        Event::Active { virtual_host, term, took_us } => active(virtual_host, *term, *took_us),
        Event::Releasing { virtual_host, to, cause } => releasing(virtual_host, to, *cause),
        Event::Released { virtual_host, took_us } => format!("released {virtual_host} after {}", span(*took_us)),
        Event::TakeFailed { virtual_host, address, reason } => not_taken(virtual_host, address, reason),
        Event::AddressRefused { virtual_host, address, reason } => refused(virtual_host.as_str(), address, reason),
        Event::AddressRestored { virtual_host, address } => put_back(virtual_host, address),
        Event::Rivals { virtual_host, rival, winner } => contested(virtual_host, rival, winner),
        Event::RivalGone { virtual_host, rival } => format!("{rival} gave {virtual_host} up: announced again"),
        Event::RivalOnTheWire { virtual_host, address, mac } => contradicted(virtual_host, address, *mac),
        Event::HolderAnswers { virtual_host, address, mac } => awaited(virtual_host, address, *mac),
        Event::HolderUnreachable { virtual_host, address, mac } => unreachable_holder(virtual_host, address, *mac),
        Event::HolderChanged { virtual_host, active } => format!("{virtual_host} is held by {}", who(active)),
        Event::MonitorChanged { monitor, verdict, reason, .. } => format!("{monitor} is {}: {reason}", verdict.word()),
        Event::PathDown { virtual_host, unseen_by, seen_by } => path_down(virtual_host, unseen_by, seen_by),
        Event::PathUp { virtual_host } => format!("whoever tries reaches {virtual_host} again"),
        Event::HeldDown { virtual_host, for_ms } => held_down(virtual_host, *for_ms),
        Event::MonitorHeld { monitor, hold, for_ms } => held(monitor, *hold, *for_ms),
        Event::MonitorFreed { monitor, hold } => freed(monitor, *hold),
        Event::Recovery { monitor, step } => recovery(monitor, step),
        Event::EndpointChanged { endpoint, verdict, up, down } => judged(endpoint, *verdict, *up, *down),
        Event::AnswersChanged(changed) => answered(changed),
        Event::SharedFault { failed, watched, servers } => everything_fails(*failed, *watched, *servers),
        Event::SharedFaultOver { failed, watched, lasted_ms } => no_more(*failed, *watched, *lasted_ms),
        Event::HookRan { virtual_host, moment, report } => ran(virtual_host, *moment, &report.reason, report.took_us),
        Event::HookOverdue { virtual_host, waited_ms } => overdue(virtual_host, *waited_ms),
        Event::Standby { server, on } => format!("{server} is {} standby", if *on { "on" } else { "off" }),
        Event::Notified(message) => notified(message),
        Event::NotifyFailed(message) => untold(message),
        Event::Done { who, from, action, what } => format!("{who} from {from}: {action} {what}"),
        Event::Denied { who, from, action, reason, count } => denied(who, from, action, reason, *count),
        Event::Linked { server, from } => format!("linked to {server} at {from}"),
        Event::Unlinked { server, reason } => format!("no link to {server} any more: {reason}"),
        Event::Rotation { key, step } => format!("rotation of the {key}: {step}"),
        Event::Restored { server, known } => restored(server, *known),
        Event::Cloned { server, from } => cloned(server, from),
        Event::Expelled { reason } => format!("this server stops: {reason}"),
    }
}

fn daemon_ended(how: Ending, ended_ms: u64, released_ms: Option<u64>) -> String {
    let how = match how {
        Ending::Died => "ended by itself",
        Ending::Hung => "hung and was killed",
    };
    let released = released_ms.map_or_else(
        || "its addresses could not be removed".to_owned(),
        |released| format!("its addresses were gone {} ms later", ended_ms.saturating_sub(released)),
    );
    format!("the daemon {how} {ended_ms} ms ago; {released}; it runs again")
}

fn answered(changed: &AnswersChanged) -> String {
    format!("{} is answered with {}; before: {}", changed.pool, changed.after, changed.before)
}

fn left(server: &ServerName, planned: bool, silent_ms: u64) -> String {
    if planned {
        return format!("{server} has left");
    }
    format!("the daemon of {server} has ended, says its guardian; it was silent for {silent_ms} ms")
}

fn notified(message: &Notification) -> String {
    let Notification { channel, delivery: _, incidents, attempts, reason: _ } = message;
    if incidents.is_empty() {
        return format!("channel {channel} is told what happens from now on");
    }
    let tries = if *attempts > 1 { format!(", at the attempt {attempts}") } else { String::new() };
    format!("told {channel}{tries}: {}", told(incidents))
}

fn untold(message: &Notification) -> String {
    let (channel, incidents, reason) =
        (&message.channel, &message.incidents, message.reason.as_deref().unwrap_or_default());
    format!("could not tell {channel}, given up: {}: {reason}", told(incidents))
}

/// Which incidents, and what of them: a few of many.
fn told(incidents: &[Told]) -> String {
    const SHOWN: usize = 3;
    let shown = incidents.iter().take(SHOWN).map(|told| format!("{} {}", told.incident, told.state.word()));
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if incidents.len() > SHOWN {
        text += &format!(" and {} more", incidents.len() - SHOWN);
    }
    text
}

fn taking(virtual_host: &VirtualHostName, term: Term, cause: Cause) -> String {
    format!("taking {virtual_host}, term {}: {}", term.0, why(cause))
}

fn active(virtual_host: &VirtualHostName, term: Term, took_us: u64) -> String {
    format!("active for {virtual_host}, term {}, after {}", term.0, span(took_us))
}

fn releasing(virtual_host: &VirtualHostName, to: &Option<ServerName>, cause: Cause) -> String {
    format!("releasing {virtual_host} for {}: {}", who(to), why(cause))
}

fn restored(server: &ServerName, known: u64) -> String {
    format!("{server} was restored from an old state: others know of its start {known}; it goes on after that")
}

fn cloned(server: &ServerName, from: &str) -> String {
    format!("a second machine, at {from}, says that it is {server}: refused; which one is the copy?")
}

fn not_taken(virtual_host: &VirtualHostName, address: &IpAddr, reason: &str) -> String {
    format!("could not take {virtual_host}: the kernel refused {address}: {reason}")
}

fn put_back(virtual_host: &VirtualHostName, address: &IpAddr) -> String {
    format!("somebody deleted {address} of {virtual_host}: put back")
}

fn contested(virtual_host: &VirtualHostName, rival: &ServerName, winner: &ServerName) -> String {
    format!("{rival} claims {virtual_host} too: {winner} keeps it")
}

fn contradicted(virtual_host: &VirtualHostName, address: &IpAddr, mac: MacAddress) -> String {
    format!("{mac} says on the wire that it has {address} of {virtual_host}, which is ours: announced again")
}

fn awaited(virtual_host: &VirtualHostName, address: &IpAddr, mac: MacAddress) -> String {
    format!("waiting for {virtual_host}: its holder is silent, and {address} answers on the wire from {mac}")
}

fn denied(who: &str, from: &str, action: &str, reason: &str, count: u64) -> String {
    let more = if count > 1 { format!(" ({count} times)") } else { String::new() };
    format!("denied to {who} from {from}: {action}: {reason}{more}")
}

fn unreachable_holder(virtual_host: &VirtualHostName, address: &IpAddr, mac: MacAddress) -> String {
    format!(
        "{virtual_host} is left alone: {address} still answers from {mac}, so its holder lives; mend the heartbeat paths"
    )
}

fn overdue(virtual_host: &VirtualHostName, waited_ms: u64) -> String {
    format!("{virtual_host} has waited {waited_ms} ms for its before-take hook: goes on without it")
}

/// How long something took, where it is known.
fn after(micros: u64) -> String {
    if micros > 0 { format!(" after {}", span(micros)) } else { String::new() }
}

fn peer_refused(server: &ServerName, silent_ms: u64) -> String {
    format!("{server} refuses heartbeats, nobody listens there: suspected after {silent_ms} ms")
}

fn datagrams_refused(from: &Origin, reason: &str, count: u64) -> String {
    format!("refused {count} datagrams, reason {reason}, the last one from {from}")
}

fn edited(version: &str, [who, from, why]: [&Arc<str>; 3], objects: &[Arc<str>]) -> String {
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    format!("{who} ({from}) edited {}, version {version}{why}", objects.join(" "))
}

fn clashes(objects: &[Arc<str>]) -> String {
    format!("not as edited, because edits contradict each other: {}; see `standin conflicts`", objects.join(" "))
}

fn path_lost(server: &ServerName, path: model::net::Path, silent_ms: Option<u64>) -> String {
    match silent_ms {
        Some(ms) => format!("{server} is not heard over {path} any more, for {ms} ms; it is heard otherwise"),
        None => format!("{server} was never heard over {path}; it is heard otherwise"),
    }
}

fn judged(endpoint: &EndpointName, verdict: Verdict, up: u32, down: u32) -> String {
    format!("endpoint {endpoint} is {}: {up} find it up, {down} down", verdict.word())
}

fn target_changed(
    virtual_host: &VirtualHostName,
    from: &Option<ServerName>,
    to: &Option<ServerName>,
    cause: Cause,
) -> String {
    format!("{virtual_host} should be on {}, no longer on {}: {}", who(to), who(from), why(cause))
}

fn ran(virtual_host: &VirtualHostName, moment: HookMoment, reason: &str, took_us: u64) -> String {
    format!("{} hook of {virtual_host}: {reason}{}", moment.word(), after(took_us))
}

fn recovery(monitor: &MonitorId, step: &RecoveryStep) -> String {
    let seconds = |ms: u64| format!("{}.{} s", ms / 1000, ms % 1000 / 100);
    match step {
        RecoveryStep::Begun { attempt, attempts, reason } => {
            format!("{monitor} has failed ({reason}): recovering, attempt {attempt} of {attempts}")
        }
        RecoveryStep::Ran { report } => {
            format!("recovery program of {monitor}: {}{}", report.reason, after(report.took_us))
        }
        RecoveryStep::Recovered { attempts, took_ms, .. } => {
            format!("{monitor} has recovered after {}, attempts: {attempts}; nothing moves", seconds(*took_ms))
        }
        RecoveryStep::GivenUp { attempts, took_ms, .. } => {
            format!("{monitor} could not be recovered in {}, attempts: {attempts}", seconds(*took_ms))
        }
        RecoveryStep::Withheld { for_ms } => {
            format!("{monitor} has failed again: no recovery is tried for another {}", seconds(*for_ms))
        }
    }
}

fn everything_fails(failed: u32, watched: u32, servers: u32) -> String {
    format!(
        "{failed} of {watched} monitors have failed at once, on {servers} servers: a shared cause; nothing moves for it"
    )
}

fn no_more(failed: u32, watched: u32, lasted_ms: u64) -> String {
    let lasted = format!("{}.{} s", lasted_ms / 1000, lasted_ms % 1000 / 100);
    format!("monitors no longer fail everywhere, after {lasted}: {failed} of {watched} are down")
}

fn freed(monitor: &MonitorId, hold: Hold) -> String {
    format!("{monitor} is no longer {}: what its probes find counts again", hold.word())
}

fn held_down(virtual_host: &VirtualHostName, for_ms: u64) -> String {
    format!("another should hold {virtual_host} for {} s: a majority does not reach it here", for_ms / 1000)
}

fn path_down(virtual_host: &VirtualHostName, unseen_by: &[ServerName], seen_by: &[ServerName]) -> String {
    let names = |servers: &[ServerName]| servers.iter().map(ServerName::as_str).collect::<Vec<_>>().join(", ");
    let others = if seen_by.is_empty() { String::new() } else { format!("; reached by {}", names(seen_by)) };
    let unseen_by = names(unseen_by);
    format!("path down: not reached by {unseen_by}: {virtual_host}, whose service works here{others}")
}

fn held(monitor: &MonitorId, hold: Hold, for_ms: Option<u64>) -> String {
    let verdict = Judgement { hold: Some(hold), ..Judgement::default() }.verdict().word();
    let until = match (hold, for_ms) {
        (_, Some(ms)) => format!("for {}.{} s", ms / 1000, ms % 1000 / 100),
        (Hold::Disabled, None) => "by the configuration".to_owned(),
        (Hold::Damped | Hold::Latched | Hold::ForcedUp | Hold::ForcedDown, None) => "until it is reset".to_owned(),
    };
    format!("{monitor} is {}: it counts as {verdict} {until}, whatever its probes find", hold.word())
}

fn who(server: &Option<ServerName>) -> &str {
    server.as_ref().map_or("nobody", ServerName::as_str)
}

fn span(micros: u64) -> String {
    if micros < 1000 { format!("{micros} µs") } else { format!("{}.{} ms", micros / 1000, micros % 1000 / 100) }
}

fn refused(virtual_host: &str, address: &IpAddr, reason: &AddressRefusal) -> String {
    match reason {
        AddressRefusal::OwnAddress { interface } => {
            format!("refused {address} of {virtual_host}: it is this machine's own address on {interface}")
        }
        AddressRefusal::InUse { mac } => {
            format!("refused {address} of {virtual_host}: it answers on the wire from {mac}")
        }
    }
}

/// The cause in words.
pub(super) const fn why(cause: Cause) -> &'static str {
    match cause {
        Cause::Unheld => "nobody held it",
        Cause::Held => "it is held there",
        Cause::ServerDead => "its holder is dead",
        Cause::ServerLeft => "its holder has left",
        Cause::Standby => "its holder is on standby",
        Cause::ServiceFailed => "a monitor failed at its holder",
        Cause::Unable => "its holder is unable to hold it",
        Cause::Unseen => "others could not reach it at its holder",
        Cause::Failback => "the better-listed server is healthy again",
        Cause::RivalWon => "a rival claim won",
        Cause::Isolated => "the holder is isolated",
        Cause::Overslept => "the holder overslept",
        Cause::LeaseLost => "its lease in the kernel was not renewed in time",
        Cause::Configuration => "the configuration changed",
    }
}

/// The cause's word in metrics, and for hooks.
pub(crate) const fn label(cause: Cause) -> &'static str {
    match cause {
        Cause::Unheld => "unheld",
        Cause::Held => "held",
        Cause::ServerDead => "server-dead",
        Cause::ServerLeft => "server-left",
        Cause::Standby => "standby",
        Cause::ServiceFailed => "service-failed",
        Cause::Unable => "unable",
        Cause::Unseen => "unseen",
        Cause::Failback => "failback",
        Cause::RivalWon => "rival-won",
        Cause::Isolated => "isolated",
        Cause::Overslept => "overslept",
        Cause::LeaseLost => "lease-lost",
        Cause::Configuration => "configuration",
    }
}
