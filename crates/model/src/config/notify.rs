//! `[notify.NAME]`: who outside the cluster is told of incidents, how, and of which.
//!
//! Secrets are never here, because the document is copied and exported: a channel has the *name* of a secret, which is a file in the
//! node's `secrets-dir`. A name, and not a path, so that nobody who may edit the document can have other files sent away.

use std::{path::Path, sync::Arc, time::Duration};

use crate::{id::ServerName, notice::Severity};

/// One channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Channel {
    /// How it is told.
    pub kind: ChannelKind,
    /// Who tells: the first of them that lives. Default: all servers in the order of their names.
    pub sent_by: Vec<ServerName>,
    /// An attempt takes no longer, 1 s to 60 s. Default 10 s.
    pub timeout: Duration,
    /// Where people see the console, for links, without a final slash; none: the sender's own admin port.
    pub console: Option<Arc<str>>,
    /// What is told, and when.
    pub rules: Rules,
}

/// How a channel is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ChannelKind {
    /// An HTTP request with a signature.
    Webhook(Webhook),
    /// A mail.
    Mail(Mail),
    /// A program on the server that tells.
    Exec(Program),
}

impl ChannelKind {
    /// The word of the configuration.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Mail(_) => "mail",
            Self::Exec(_) => "exec",
        }
    }

    /// The name of the secret that it needs.
    pub fn secret(&self) -> Option<&Arc<str>> {
        match self {
            Self::Webhook(webhook) => Some(&webhook.secret),
            Self::Mail(mail) => mail.login.as_ref().map(|login| &login.secret),
            Self::Exec(_) => None,
        }
    }
}

/// `type = "webhook"`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Webhook {
    /// Where the request goes.
    pub url: Url,
    /// The name of the key that signs it.
    pub secret: Arc<str>,
    /// Whom to trust, PEM; none: whom the system trusts.
    pub ca_file: Option<Arc<Path>>,
}

/// An http or https URL, without name, password and fragment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Url {
    /// Whether it is https.
    pub tls: bool,
    /// A host name, or an address without brackets.
    pub host: Arc<str>,
    /// The port, also where it is not written.
    pub port: u16,
    /// What the request's `Host` says: as written.
    pub authority: Arc<str>,
    /// Path and query, from `/` on.
    pub path: Arc<str>,
}

/// `type = "mail"`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mail {
    /// The mail server: a host name or an address.
    pub server: Arc<str>,
    /// Default: 465 with implicit TLS, 587 with STARTTLS, 25 without.
    pub port: u16,
    /// Default STARTTLS.
    pub tls: MailTls,
    /// Who we are there; none: nobody asks.
    pub login: Option<Login>,
    /// The sender's address.
    pub from: Arc<str>,
    /// The receivers' addresses, at least one.
    pub to: Vec<Arc<str>>,
    /// Whom to trust, PEM; none: whom the system trusts.
    pub ca_file: Option<Arc<Path>>,
}

/// `tls` of a mail channel. A server that does not offer what is wanted gets no mail.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MailTls {
    /// From the first byte on (RFC 8314).
    Implicit,
    /// After STARTTLS (RFC 3207). Default.
    #[default]
    Starttls,
    /// In the clear.
    None,
}

/// Who we are at a mail server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Login {
    /// The name.
    pub user: Arc<str>,
    /// The name of the password.
    pub secret: Arc<str>,
}

/// `type = "exec"`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    /// An absolute path. No shell is between.
    pub program: Arc<str>,
    /// Its arguments.
    pub arguments: Vec<Arc<str>>,
    /// As whom it runs. Default: `nobody` where the daemon is root, else the daemon's own user.
    pub user: Option<Arc<str>>,
}

/// What a channel is told, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Incidents that matter less are not told. Default warning.
    pub min_severity: Severity,
    /// Names of servers, virtual hosts and endpoints, `*` for any text; empty: all.
    pub about: Vec<Arc<str>>,
    /// Whether standby and planned stops are told, too. Default false.
    pub planned: bool,
    /// When only what is critical is told; the rest waits for the end of it.
    pub quiet: Vec<Quiet>,
    /// Whose clock `quiet` goes by, a name of the IANA's database. Default UTC.
    pub timezone: Arc<str>,
    /// Between two messages of one incident that is not over, 10 s to 24 h. Default 5 min.
    pub updates: Duration,
}

/// From one time of day to another, in minutes since midnight; over midnight where it begins later than it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quiet {
    /// The first minute.
    pub from: u16,
    /// The first minute after it; not `from`.
    pub to: u16,
}

impl Quiet {
    /// Whether it is quiet in that minute of the day.
    pub const fn covers(self, minute: u16) -> bool {
        if self.from < self.to {
            self.from <= minute && minute < self.to
        } else {
            minute >= self.from || minute < self.to
        }
    }
}

impl Rules {
    /// Whether a name is among those of `about`.
    pub fn is_about(&self, name: &str) -> bool {
        self.about.is_empty() || self.about.iter().any(|pattern| matches(pattern, name))
    }
}

/// `*` stands for any text. Linear but for the stars, whose number is small.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, name, fits) in [
            ("web1", "web1", true),
            ("web1", "web11", false),
            ("web*", "web11", true),
            ("*", "", true),
            ("*1", "web1", true),
            ("w*b*1", "web1", true),
            ("w*x*1", "web1", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn a_quiet_time_may_go_over_midnight() {
        let night = Quiet { from: 22 * 60, to: 7 * 60 };
        assert!(night.covers(22 * 60) && night.covers(0) && night.covers(7 * 60 - 1));
        assert!(!night.covers(7 * 60) && !night.covers(22 * 60 - 1));
        let noon = Quiet { from: 720, to: 780 };
        assert!(noon.covers(720) && noon.covers(779) && !noon.covers(780) && !noon.covers(0));
    }
}
