//! The types of monitors: for each its word, the fields that only some types have, its ports, and how it is read.
//!
//! [`TYPES`] is the one list of them. A field that belongs to another type is named with the types that it belongs to.

mod database;
mod greeting;
mod http;
mod local;
mod network;
mod tcp;
mod tls;

use self::tls::Ways;
use super::super::{
    probe::{ProbeKind, Tls, TlsStart},
    read::{Fields, Value},
};
use crate::nearest::nearest;

/// A type of monitor.
pub(super) struct ProbeType {
    word: &'static str,
    /// The fields of its own, without `port` and those of TLS.
    own: &'static [&'static str],
    port: Port,
    tls: Ways,
    /// None where something is wrong, which was reported.
    read: fn(&Fields<'_>, Option<Tls>) -> Option<ProbeKind>,
}

/// Which port is tried where the file doesn't say.
#[derive(Clone, Copy)]
enum Port {
    /// There is none.
    Never,
    /// The file must say.
    Asked,
    /// The registered one.
    Usual(u16),
    /// The registered ones: without TLS from the first byte on, and with it.
    Two(u16, u16),
}

#[rustfmt::skip] // one line a type: it is a table
const TYPES: &[ProbeType] = &[
    ProbeType { word: "tcp",         own: tcp::KEYS,       port: Port::Asked,         tls: Ways::Implicit, read: tcp::read            },
    ProbeType { word: "http",        own: http::KEYS,      port: Port::Usual(80),     tls: Ways::Never,    read: http::read           },
    ProbeType { word: "https",       own: http::KEYS,      port: Port::Usual(443),    tls: Ways::Always,   read: http::read           },
    ProbeType { word: "smtp",        own: greeting::KEYS,  port: Port::Two(25, 465),  tls: Ways::Either,   read: greeting::smtp       },
    ProbeType { word: "ftp",         own: greeting::KEYS,  port: Port::Two(21, 990),  tls: Ways::Either,   read: greeting::ftp        },
    ProbeType { word: "telnet",      own: greeting::KEYS,  port: Port::Two(23, 992),  tls: Ways::Implicit, read: greeting::telnet     },
    ProbeType { word: "imap",        own: greeting::KEYS,  port: Port::Two(143, 993), tls: Ways::Either,   read: greeting::imap       },
    ProbeType { word: "pop3",        own: greeting::KEYS,  port: Port::Two(110, 995), tls: Ways::Either,   read: greeting::pop3       },
    ProbeType { word: "nntp",        own: greeting::KEYS,  port: Port::Two(119, 563), tls: Ways::Either,   read: greeting::nntp       },
    ProbeType { word: "ssh",         own: greeting::KEYS,  port: Port::Usual(22),     tls: Ways::Never,    read: greeting::ssh        },
    ProbeType { word: "dns",         own: network::DNS,    port: Port::Usual(53),     tls: Ways::Never,    read: network::dns         },
    ProbeType { word: "ldap",        own: &[],             port: Port::Two(389, 636), tls: Ways::Either,   read: database::ldap       },
    ProbeType { word: "mysql",       own: database::KEYS,  port: Port::Usual(3306),   tls: Ways::Within,   read: database::mysql      },
    ProbeType { word: "postgresql",  own: database::KEYS,  port: Port::Usual(5432),   tls: Ways::Within,   read: database::postgresql },
    ProbeType { word: "redis",       own: &[],             port: Port::Usual(6379),   tls: Ways::Implicit, read: database::redis      },
    ProbeType { word: "grpc",        own: network::GRPC,   port: Port::Asked,         tls: Ways::Implicit, read: network::grpc        },
    ProbeType { word: "icmp",        own: &[],             port: Port::Never,         tls: Ways::Never,    read: network::icmp        },
    ProbeType { word: "ntp",         own: network::NTP,    port: Port::Usual(123),    tls: Ways::Never,    read: network::ntp         },
    ProbeType { word: "smb",         own: &[],             port: Port::Usual(445),    tls: Ways::Never,    read: network::smb         },
    ProbeType { word: "nfs",         own: network::NFS,    port: Port::Usual(2049),   tls: Ways::Never,    read: network::nfs         },
    ProbeType { word: "exec",        own: local::EXEC,     port: Port::Never,         tls: Ways::Never,    read: local::exec          },
    ProbeType { word: "process",     own: local::PROCESS,  port: Port::Never,         tls: Ways::Never,    read: local::process       },
    ProbeType { word: "systemd",     own: local::SYSTEMD,  port: Port::Never,         tls: Ways::Never,    read: local::systemd       },
    ProbeType { word: "disk",        own: local::DISK,     port: Port::Never,         tls: Ways::Never,    read: local::disk          },
    ProbeType { word: "file",        own: local::FILE,     port: Port::Never,         tls: Ways::Never,    read: local::file          },
    ProbeType { word: "push",        own: local::PUSH,     port: Port::Never,         tls: Ways::Never,    read: local::push          },
];

/// Types that see only the machine that they run on: an endpoint is another.
const HERE: [&str; 5] = ["process", "systemd", "disk", "file", "push"];
/// Types whose every result is certain: one decides, unless the file says otherwise.
const CERTAIN: [&str; 2] = ["process", "push"];

/// What a monitor tries, and at which port.
pub(super) struct Target {
    pub(super) kind: ProbeKind,
    pub(super) port: Option<u16>,
}

impl Target {
    /// What a monitor without a name is called.
    pub(super) fn name(&self) -> String {
        match self.port {
            Some(port) => format!("{}-{port}", self.kind.word()),
            None => self.kind.word().to_owned(),
        }
    }
}

impl ProbeType {
    /// The fields that it has and others need not have.
    pub(super) fn keys(&self) -> Vec<&'static str> {
        let tls = if matches!(self.tls, Ways::Never) { &[][..] } else { tls::KEYS };
        // For https it goes without saying.
        let tls = tls.iter().copied().filter(|key| *key != "tls" || !matches!(self.tls, Ways::Always));
        let port = Some("port").filter(|_| !matches!(self.port, Port::Never));
        port.into_iter().chain(self.own.iter().copied()).chain(tls).collect()
    }

    /// Reads the fields of its own.
    pub(super) fn read(&self, fields: &Fields<'_>) -> Option<Target> {
        let tls = tls::read(self.tls, fields);
        let implicit = matches!(&tls, Some(Some(Tls { start: TlsStart::Implicit, .. })));
        let port = self.port(fields, implicit);
        // All of them are looked at, whatever is wrong with one.
        let kind = (self.read)(fields, tls.clone().flatten());
        tls?;
        Some(Target { kind: kind?, port: port? })
    }

    /// Whether it sees only the machine that it runs on.
    pub(super) fn is_local(&self) -> bool {
        HERE.contains(&self.word)
    }

    /// How many equal results in a row decide, where the file doesn't say.
    pub(super) fn usual_count(&self) -> u32 {
        if CERTAIN.contains(&self.word) { 1 } else { 2 }
    }

    /// None: something is wrong. None within: there is no port.
    fn port(&self, fields: &Fields<'_>, implicit: bool) -> Option<Option<u16>> {
        // Where the type has none, the field is not known.
        let written = Some("port").filter(|_| !matches!(self.port, Port::Never)).and_then(|port| fields.get(port));
        match (written, self.port) {
            (Some(port), _) => port.integer(1..=u16::MAX).map(Some),
            (None, Port::Usual(port)) => Some(Some(port)),
            (None, Port::Two(plain, tls)) => Some(Some(if implicit { tls } else { plain })),
            (None, Port::Asked) => fields.require("port", "port = 80").and(None),
            (None, Port::Never) => Some(None),
        }
    }
}

/// The type that goes by this word.
pub(super) fn find(word: &str) -> Option<&'static ProbeType> {
    TYPES.iter().find(|found| found.word == word)
}

/// The type that a field names; reported where there is no such type.
pub(super) fn of(value: &Value<'_>) -> Option<&'static ProbeType> {
    let word = value.text("tcp")?;
    let found = find(word);
    if found.is_none() {
        let words = || TYPES.iter().map(|found| found.word);
        let there = format!("possible here: {}", words().collect::<Vec<_>>().join(", "));
        let help = match nearest(word, words()) {
            Some(near) => format!("did you mean \"{near}\"? {there}"),
            None => there,
        };
        value.refuse(format!("there is no monitor type \"{word}\""), help);
    }
    found
}

/// Every field that any type has.
pub(super) fn all_keys() -> Vec<&'static str> {
    let mut keys: Vec<_> = TYPES.iter().flat_map(ProbeType::keys).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// What to say of a field that the type `word` doesn't have and others do.
pub(super) fn belongs_elsewhere(key: &str, word: &str) -> Option<(String, String)> {
    let types: Vec<_> =
        TYPES.iter().filter(|found| found.keys().contains(&key)).map(|found| format!("\"{}\"", found.word)).collect();
    let elsewhere = !types.is_empty();
    elsewhere.then(|| {
        let message = format!("`{key}` means nothing to a monitor of type \"{word}\"");
        (
            message,
            format!("remove it; it belongs to the type{} {}", if types.len() > 1 { "s" } else { "" }, types.join(", ")),
        )
    })
}
