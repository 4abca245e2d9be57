//! What a service monitor tries: its type, and the settings that this type has.
//!
//! Invariant: whatever is in these types was found possible when the configuration was read: expressions compile, names
//! are names. Deliberately not here: how any of it is tried (`host::probe`), and what follows from it (`cluster`).

use std::{cmp::Ordering, fmt, path::Path, sync::Arc, time::Duration};

use regex_lite::Regex;

/// What a probe does.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ProbeKind {
    /// Connects; may say something and wait for an answer.
    Tcp(TcpProbe),
    /// Makes a request and reads the answer.
    Http(HttpProbe),
    /// Talks to a server that begins with a greeting.
    Greeting(GreetingProbe),
    /// Asks a question.
    Dns(DnsProbe),
    /// Searches for the root DSE.
    Ldap(Option<Tls>),
    /// Logs in, and pings.
    Mysql(DatabaseProbe),
    /// Starts up.
    Postgresql(DatabaseProbe),
    /// PING.
    Redis(Option<Tls>),
    /// Asks for a service's health.
    Grpc(GrpcProbe),
    /// Echo.
    Icmp,
    /// Asks for the time.
    Ntp {
        /// A server further from a clock than this is not well, 1 to 15. Default 15.
        max_stratum: u8,
    },
    /// Negotiates.
    Smb,
    /// Calls the procedure that does nothing.
    Nfs {
        /// 2 to 4. Default 4.
        version: u8,
    },
    /// Runs a program, and heeds its exit code.
    Exec(ExecProbe),
    /// Looks for a process.
    Process(ProcessProbe),
    /// Asks for the state of a unit.
    Systemd {
        /// With its ending.
        unit: Arc<str>,
    },
    /// Looks how much is free.
    Disk(DiskProbe),
    /// Reads what somebody else has written.
    File(FileProbe),
    /// Waits for the service to report.
    Push(PushProbe),
}

impl ProbeKind {
    /// TLS that it is within, or asks for.
    pub const fn tls(&self) -> Option<&Tls> {
        match self {
            Self::Tcp(TcpProbe { tls, .. })
            | Self::Http(HttpProbe { tls, .. })
            | Self::Greeting(GreetingProbe { tls, .. })
            | Self::Ldap(tls)
            | Self::Mysql(DatabaseProbe { tls, .. })
            | Self::Postgresql(DatabaseProbe { tls, .. })
            | Self::Redis(tls)
            | Self::Grpc(GrpcProbe { tls, .. }) => tls.as_ref(),
            Self::Dns(_)
            | Self::Icmp
            | Self::Ntp { .. }
            | Self::Smb
            | Self::Nfs { .. }
            | Self::Exec(_)
            | Self::Process(_)
            | Self::Systemd { .. }
            | Self::Disk(_)
            | Self::File(_)
            | Self::Push(_) => None,
        }
    }

    /// The word of the configuration's `type`.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Http(HttpProbe { tls: None, .. }) => "http",
            Self::Http(HttpProbe { tls: Some(_), .. }) => "https",
            Self::Greeting(probe) => probe.protocol.word(),
            Self::Dns(_) => "dns",
            Self::Ldap(_) => "ldap",
            Self::Mysql(_) => "mysql",
            Self::Postgresql(_) => "postgresql",
            Self::Redis(_) => "redis",
            Self::Grpc(_) => "grpc",
            Self::Icmp => "icmp",
            Self::Ntp { .. } => "ntp",
            Self::Smb => "smb",
            Self::Nfs { .. } => "nfs",
            Self::Exec(_) => "exec",
            Self::Process(_) => "process",
            Self::Systemd { .. } => "systemd",
            Self::Disk(_) => "disk",
            Self::File(_) => "file",
            Self::Push(_) => "push",
        }
    }
}

/// `type = "tcp"`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct TcpProbe {
    /// What is said once connected.
    pub send: Option<Arc<str>>,
    /// What must be found in the first 64 KiB of what comes back.
    pub expect: Option<Pattern>,
    /// From the first byte on, where it is.
    pub tls: Option<Tls>,
}

/// `type = "http"` and `type = "https"`: a request and what its answer must be.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct HttpProbe {
    /// `GET`, unless it is another.
    pub method: HttpMethod,
    /// Path and query, begins with `/`. Default `/`.
    pub path: Arc<str>,
    /// The `Host` header. Default: the server's address.
    pub host: Option<Arc<str>>,
    /// Further headers, in the order of their names.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    /// Inclusive ranges of status codes that count as success. Default 200–399.
    pub status: Vec<(u16, u16)>,
    /// Text that the first 64 KiB of the body must contain.
    pub body: Option<Arc<str>>,
    /// What must be found in the first 64 KiB of the body.
    pub body_matches: Option<Pattern>,
    /// What a redirection is.
    pub redirects: Redirects,
    /// The connection is kept for further probes, for a minute at most. Default false: each probe connects, as a new client
    /// would.
    pub keep_alive: bool,
    /// `https`.
    pub tls: Option<Tls>,
}

impl Default for HttpProbe {
    fn default() -> Self {
        Self {
            method: HttpMethod::Get,
            path: "/".into(),
            host: None,
            headers: Vec::new(),
            status: vec![(200, 399)],
            body: None,
            body_matches: None,
            redirects: Redirects::Answer,
            keep_alive: false,
            tls: None,
        }
    }
}

/// `method` of an HTTP monitor: those that change nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum HttpMethod {
    /// The default.
    Get,
    /// The answer has no body.
    Head,
    /// What the server can do.
    Options,
}

impl HttpMethod {
    /// All of them, as the configuration calls them.
    pub const ALL: [(&'static str, Self); 3] = [("GET", Self::Get), ("HEAD", Self::Head), ("OPTIONS", Self::Options)];

    /// As it goes over the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
        }
    }
}

/// `redirects` of an HTTP monitor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Redirects {
    /// A 3xx is an answer like any other. The default.
    Answer,
    /// It is followed, five times at most, as long as it stays with the very service that is monitored.
    Follow,
}

/// A server that speaks first, in lines (but for telnet): banner, a request, a polite end.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct GreetingProbe {
    /// Which protocol.
    pub protocol: Protocol,
    /// What must be found in the greeting.
    pub expect: Option<Pattern>,
    /// Where it is.
    pub tls: Option<Tls>,
}

/// The protocols whose servers speak first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Protocol {
    /// RFC 5321.
    Smtp,
    /// RFC 959.
    Ftp,
    /// RFC 854.
    Telnet,
    /// RFC 9051.
    Imap,
    /// RFC 1939.
    Pop3,
    /// RFC 3977.
    Nntp,
    /// RFC 4253.
    Ssh,
}

impl Protocol {
    /// The word of the configuration's `type`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Ftp => "ftp",
            Self::Telnet => "telnet",
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
            Self::Nntp => "nntp",
            Self::Ssh => "ssh",
        }
    }
}

/// `type = "dns"`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DnsProbe {
    /// The name asked for.
    pub query: Arc<str>,
    /// Default A.
    pub record_type: RecordType,
    /// What the answer must have, each; none: any record of the type.
    pub answer: Vec<Arc<str>>,
    /// Whether it is asked by TCP at once.
    pub tcp: bool,
}

/// `record-type` of a DNS monitor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs, reason = "RFC 1035, RFC 2782, RFC 3596 say what they are")]
pub enum RecordType {
    A,
    Aaaa,
    Cname,
    Mx,
    Ns,
    Ptr,
    Soa,
    Srv,
    Txt,
}

impl RecordType {
    /// All of them, as the configuration calls them.
    pub const ALL: [(&'static str, Self); 9] = [
        ("A", Self::A),
        ("AAAA", Self::Aaaa),
        ("CNAME", Self::Cname),
        ("MX", Self::Mx),
        ("NS", Self::Ns),
        ("PTR", Self::Ptr),
        ("SOA", Self::Soa),
        ("SRV", Self::Srv),
        ("TXT", Self::Txt),
    ];

    /// As zone files call it.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, other)| *other == self).map_or("", |(word, _)| word)
    }

    /// As it goes over the wire.
    pub const fn number(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Ns => 2,
            Self::Cname => 5,
            Self::Soa => 6,
            Self::Ptr => 12,
            Self::Mx => 15,
            Self::Txt => 16,
            Self::Aaaa => 28,
            Self::Srv => 33,
        }
    }
}

/// `type = "mysql"` and `type = "postgresql"`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DatabaseProbe {
    /// Who logs in, without a password, and must be let in; none: to be turned away is as good.
    pub user: Option<Arc<str>>,
    /// The database used.
    pub database: Option<Arc<str>>,
    /// Asked for within the protocol, where it is.
    pub tls: Option<Tls>,
}

/// `type = "grpc"`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct GrpcProbe {
    /// Whose health is asked for; none: the server's as a whole.
    pub service: Option<Arc<str>>,
    /// From the first byte on, where it is.
    pub tls: Option<Tls>,
}

/// `type = "exec"`: a program that ends as Nagios' plugins do: 0 well, 1 warning, 2 critical, 3 unknown.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ExecProbe {
    /// An absolute path. No shell is between.
    pub program: Arc<str>,
    /// `{address}` in them is what is monitored.
    pub arguments: Vec<Arc<str>>,
    /// As whom it runs. Default: `nobody` where the daemon is root, else the daemon's own user.
    pub user: Option<Arc<str>>,
}

/// `type = "process"`; one of the two at least.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ProcessProbe {
    /// A file with the process' number.
    pub pid_file: Option<Arc<Path>>,
    /// What its program is called.
    pub name: Option<Arc<str>>,
}

/// `type = "disk"`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DiskProbe {
    /// Somewhere in the file system.
    pub path: Arc<Path>,
    /// With less free space for ordinary users it is down.
    pub min_free: Space,
    /// With less it is degraded.
    pub warn_free: Option<Space>,
}

/// Space of a file system.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Space {
    /// Part of the whole, 0 to 100.
    Percent(u8),
    /// Bytes.
    Bytes(u64),
}

/// `type = "file"`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FileProbe {
    /// The file; its first 4 KiB count.
    pub path: Arc<Path>,
    /// What must be found in it. Without it the first word counts: `up`, `degraded` or `down`.
    pub expect: Option<Pattern>,
    /// What was written longer ago says nothing: then it is down.
    pub max_age: Option<Duration>,
}

/// `type = "push"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PushProbe {
    /// A service that has reported nothing for so long is down. 1 s to 24 h.
    pub within: Duration,
}

/// TLS of a monitor.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Tls {
    /// When it begins.
    pub start: TlsStart,
    /// The name that is asked for (SNI) and that the certificate must be for; always there where it is verified.
    pub server_name: Option<Arc<str>>,
    /// Whether the certificate must be valid, for the name, and signed by somebody who is trusted. Default true.
    pub verify: bool,
    /// Who is trusted. Default: whom the machine trusts.
    pub ca_file: Option<Arc<Path>>,
    /// So many days before the certificate expires the service is degraded; 0: never. Default 14.
    pub expiry_warning_days: u16,
}

/// When TLS begins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TlsStart {
    /// With the first byte.
    Implicit,
    /// After the protocol's own request for it.
    StartTls,
}

/// A regular expression, linear in time.
#[derive(Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles it.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn new(text: &str) -> Result<Self, String> {
        Regex::new(text).map(Self).map_err(|error| error.to_string())
    }

    /// Whether it is found anywhere in `text`.
    pub fn is_found_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// As the operator wrote it.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl PartialOrd for Pattern {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pattern {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
