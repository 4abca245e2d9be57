//! One attempt: what every type has in common. It begins, ends before its deadline, and says why it failed in words for
//! people.
//!
//! Deliberately not here: what is tried (a file for each protocol), when (`super`).

use std::{future::Future, io, net::SocketAddr, pin::Pin, time::Duration};

use model::{
    config::ProbeKind,
    report::{ProbeOrder, ProbeResult},
};
use tokio::time::{Instant, timeout_at};

use super::{
    disk, dns, exec, file, greeting, grpc, http, icmp, kept::Kept, ldap, mysql, nfs, ntp, postgresql, process, redis,
    smb, systemd, tcp, wire::Wire,
};

/// How an attempt ended, and what remains to be said to the server.
pub(super) struct Ended {
    pub(super) result: ProbeResult,
    pub(super) farewell: Option<Farewell>,
}

/// Ends a conversation as clients end theirs, after the verdict, which does not wait for it.
pub(super) type Farewell = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Ended {
    /// What came of it, with nothing left to say.
    pub(super) fn now(result: Result<Option<Warning>, Failed>) -> Self {
        Self { result: verdict(result), farewell: None }
    }

    /// What came of it; the farewell is for servers that are still there.
    pub(super) fn with(result: Result<Option<Warning>, Failed>, farewell: Farewell) -> Self {
        let farewell = result.as_ref().map_or_else(|failed| failed.connected, |_| true).then_some(farewell);
        Self { result: verdict(result), farewell }
    }
}

fn verdict(result: Result<Option<Warning>, Failed>) -> ProbeResult {
    match result {
        Ok(None) => ProbeResult::Success,
        Ok(Some(warning)) => ProbeResult::Degraded(warning.into()),
        Err(failed) => ProbeResult::Failure(failed.reason.into()),
    }
}

/// What is well now and will not stay so, in words for people.
pub(super) type Warning = String;

/// Tries once, within the order's timeout.
pub(super) async fn attempt(order: &ProbeOrder, kept: &mut Kept) -> Ended {
    let deadline = Deadline::after(order.timeout);
    let target = order.port.map(|port| SocketAddr::new(order.target, port));
    let unwarned = |result: Result<(), Failed>| Ended::now(result.map(|()| None));
    match (&order.kind, target) {
        (ProbeKind::Http(probe), _) => http::run(order, probe, &kept.http, deadline).await,
        (ProbeKind::Grpc(probe), _) => grpc::run(order, probe, deadline).await,
        (ProbeKind::Dns(probe), Some(target)) => dns::run(order, target, probe, deadline).await,
        (ProbeKind::Ntp { max_stratum }, Some(target)) => unwarned(ntp::run(target, *max_stratum, deadline).await),
        (ProbeKind::Icmp, _) => unwarned(icmp::run(order.target, deadline).await),
        (ProbeKind::Exec(probe), _) => Ended::now(exec::attempt(order, probe, kept).await),
        (ProbeKind::Systemd { unit }, _) => Ended::now(systemd::attempt(order, unit, kept).await),
        (ProbeKind::Process(probe), _) => unwarned(process::attempt(probe, deadline, kept).await),
        (ProbeKind::Disk(probe), _) => Ended::now(disk::attempt(probe, deadline, kept).await),
        (ProbeKind::File(probe), _) => Ended::now(file::attempt(probe, deadline, kept).await),
        (ProbeKind::Dns(_) | ProbeKind::Ntp { .. }, None) => unwarned(Err(Failed::lost("no port"))),
        (ProbeKind::Push(_), _) => unwarned(Err(Failed::lost("only the service itself can report"))),
        (ProbeKind::Tcp(probe), Some(target)) if tcp::says_nothing(probe) => {
            unwarned(tcp::shake_hands(target, deadline).await)
        }
        (
            ProbeKind::Tcp(_)
            | ProbeKind::Greeting(_)
            | ProbeKind::Ldap(_)
            | ProbeKind::Mysql(_)
            | ProbeKind::Postgresql(_)
            | ProbeKind::Redis(_)
            | ProbeKind::Smb
            | ProbeKind::Nfs { .. },
            _,
        ) => converse(order, deadline).await,
    }
}

/// Connects by TCP, has the protocol's conversation, and says goodbye.
async fn converse(order: &ProbeOrder, deadline: Deadline) -> Ended {
    let mut wire = match Wire::open(order, order.kind.tls(), deadline).await {
        Ok(wire) => wire,
        Err(failed) => return Ended::now(Err(failed)),
    };
    let (result, goodbye): (_, &'static [u8]) = match &order.kind {
        ProbeKind::Tcp(probe) => (tcp::converse(&mut wire, probe).await, b""),
        ProbeKind::Greeting(probe) => greeting::converse(&mut wire, probe).await,
        ProbeKind::Ldap(tls) => (ldap::converse(&mut wire, tls.as_ref()).await, ldap::GOODBYE),
        ProbeKind::Mysql(probe) => (mysql::converse(&mut wire, probe).await, mysql::GOODBYE),
        ProbeKind::Postgresql(probe) => match postgresql::converse(&mut wire, probe).await {
            Ok(true) => (Ok(()), postgresql::GOODBYE),
            // Who was not let in just goes.
            other => (other.map(drop), b""),
        },
        ProbeKind::Redis(_) => (redis::converse(&mut wire).await, redis::GOODBYE),
        ProbeKind::Smb => (smb::converse(&mut wire).await, smb::GOODBYE),
        ProbeKind::Nfs { version } => (nfs::converse(&mut wire, *version).await, nfs::GOODBYE),
        ProbeKind::Http(_)
        | ProbeKind::Grpc(_)
        | ProbeKind::Dns(_)
        | ProbeKind::Ntp { .. }
        | ProbeKind::Icmp
        | ProbeKind::Exec(_)
        | ProbeKind::Systemd { .. }
        | ProbeKind::Process(_)
        | ProbeKind::Disk(_)
        | ProbeKind::File(_)
        | ProbeKind::Push(_) => (Err(Failed::said("no conversation")), b""),
    };
    wire.end(result, goodbye)
}

/// When an attempt has to be over, and how long it may take in all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    at: Instant,
    span: Duration,
}

impl Deadline {
    pub(super) fn after(span: Duration) -> Self {
        Self { at: Instant::now() + span, span }
    }

    /// Waits for one step of the attempt, until its end; `what` names the step.
    pub(super) async fn hold<T>(self, what: &str, step: impl Future<Output = T>) -> Result<T, Failed> {
        timeout_at(self.at, step).await.map_err(|_| Failed::lost(format!("{what} took longer than {:?}", self.span)))
    }
}

/// Why a probe failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) reason: String,
    /// The server is still there to hear a farewell.
    connected: bool,
}

impl Failed {
    /// The server said what it should not have.
    pub(super) fn said(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), connected: true }
    }

    /// Nobody is there to talk to.
    pub(super) fn lost(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), connected: false }
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::lost(reason(&error))
    }
}

/// An error in plain words.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        io::ErrorKind::HostUnreachable => "host unreachable".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
        io::ErrorKind::TimedOut => "connection timed out".to_owned(),
        io::ErrorKind::UnexpectedEof => "connection closed before the answer was complete".to_owned(),
        _ => {
            let text = error.to_string();
            text.split(" (os error").next().unwrap_or_default().to_lowercase()
        }
    }
}

/// A server's words, fit for one line of a log: short, and without control characters.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 120;
    let plain: String = text.trim().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    match plain.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} ...", &plain[..end]),
        None => plain,
    }
}
