//! The command line.

mod config;
mod dns;
mod log;
mod members;
mod notify;
mod zone;

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub(crate) use config::{
    Export, How, Init, MonitorEdit, ObjectCommand, PlanOrApply, ReadHow, Resolve, Rollback, SettingsCommand,
};
pub(crate) use dns::DnsCommand;
pub(crate) use log::{Incidents, Level as LogLevel, Log};
pub(crate) use members::{ApiTokenCommand, KeyName, ServerCommand, UserCommand};
pub(crate) use notify::{NotifyCommand, NotifyUse};
pub(crate) use zone::ZoneCommand;

use crate::{exit, members::Seconds};

/// Where the node file is, unless told otherwise.
pub(crate) const CONFIG: &str = "/etc/standin/standin.toml";
/// Where the daemon's socket is when there is no node file to ask.
pub(crate) const SOCKET: &str = "/run/standin/standin.sock";

/// Servers that stand in for each other: virtual addresses and the DNS zone that clients use, in one daemon.
#[derive(Parser, Debug)]
#[command(name = "standin", version, arg_required_else_help = true, after_help = exit::CODES)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Print the admin API as an OpenAPI document.
    #[command(after_help = "A running daemon has the same at GET /v1/openapi.json.\nExit codes: 0 printed.")]
    Openapi,
    /// Print completions for a shell.
    #[command(after_help = "Such as `standin completions bash > /usr/share/bash-completion/completions/standin`.\n\
                            Exit codes: 0 printed.")]
    Completions {
        /// Which.
        shell: Shell,
    },
    /// Write manual pages, one for each command.
    #[command(after_help = "Such as `standin man --out /usr/share/man/man1`.\n\
                            Exit codes: 0 written; 1 not.")]
    Man {
        /// Where to; it is made if it is not there.
        #[arg(long, value_name = "DIRECTORY")]
        out: PathBuf,
    },
    /// Run the daemon in the foreground.
    #[command(after_help = "SIGTERM and SIGINT stop it as planned: everything is handed over first. SIGHUP reads the \
                            configuration again; a bad one leaves the running one in force.\n\
                            Exit codes: 0 stopped as planned, 1 could not run, 2 bad configuration.")]
    Run {
        /// The node file.
        #[arg(long, value_name = "FILE", default_value = CONFIG)]
        config: PathBuf,
        /// How the log looks. What is logged is RUST_LOG's business; the default is `info`.
        #[arg(long, value_enum, default_value_t)]
        log_format: LogFormat,
        /// Two descriptors: given by the guardian to the daemon that it starts.
        #[arg(long, hide = true, value_name = "PAGE,GUARDIAN")]
        guarded: Option<String>,
        /// End at once when standard input ends: for labs, whose daemons must not outlive them.
        #[arg(long, hide = true)]
        while_stdin: bool,
    },
    /// Read the configuration as `run` would, and print every mistake, or what would happen.
    #[command(
        after_help = "Exit codes: 0 no mistakes; 2 mistakes, each printed with file, line and column; 3 a parent's \
                            server does not delegate a zone as the zone says."
    )]
    Check {
        /// The node file.
        #[arg(long, value_name = "FILE", default_value = CONFIG)]
        config: PathBuf,
        /// A name server of the parent zone, to be asked whether it delegates our zones as they say; can be given more
        /// than once.
        #[arg(long, value_name = "ADDRESS")]
        parent: Vec<IpAddr>,
    },
    /// Show the whole cluster as this server sees it.
    #[command(
        after_help = "Exit codes: 0 all is well; 1 the daemon cannot be reached; 3 it answers, and something is \
                            not as it should be: a server is not alive, a virtual host is not active, a pool has \
                            members that are not answered because they are down, a configuration differs or was \
                            refused."
    )]
    Status {
        /// Print the API's JSON instead of tables.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        reach: Reach,
    },
    /// Watch the cluster live: who holds what, who lives, what is answered, what happened last.
    #[command(after_help = "Keys: q ends, up and down scroll through the virtual hosts. It changes nothing.\n\
                            Exit codes: 0 ended by a key; 1 no terminal, or nobody is logged in at the host named.")]
    Top {
        #[command(flatten)]
        reach: Reach,
    },
    /// Look for what keeps Standin from working on this machine, or may hurt it, and say how it is mended.
    #[command(
        after_help = "Best run as root, before the daemon's first start and whenever something puzzles. It changes nothing, and \
                            sends a few packets: questions to the other servers and to the zones' parents.\n\
                            Exit codes: 0 nothing but notes; 2 the configuration has mistakes; 3 warnings or errors."
    )]
    Doctor {
        /// The node file.
        #[arg(long, value_name = "FILE", default_value = CONFIG)]
        config: PathBuf,
        /// A name server of the parent zone, to be asked whether it delegates our zones as they say; can be given more
        /// than once. Default: those that this machine's resolver finds.
        #[arg(long, value_name = "ADDRESS")]
        parent: Vec<IpAddr>,
        /// Print JSON: every check with its findings.
        #[arg(long)]
        json: bool,
    },
    /// Show the cluster's log: what every server decided and noticed, in causal order, also of servers that are down.
    #[command(
        after_help = "Times: 2026-01-31T03:00:00Z, or how long ago: 90s, 15m, 2h, 7d. A server that was away fetches what it \
                            has missed from whoever has it.\nExit codes: 0 shown; 1 the daemon cannot be reached, or refused."
    )]
    Log(Log),
    /// Tell what belongs together in the cluster's log as stories: what was wrong, what moved, for how long nobody served.
    #[command(after_help = "Exit codes: 0 told; 1 the daemon cannot be reached, or refused, or has no such incident.")]
    Incidents(Incidents),
    /// Show the last decisions and observations, with their causes.
    #[command(after_help = "Exit codes: 0 shown; 1 the daemon cannot be reached.")]
    Events {
        /// Print the API's JSON, one object a line.
        #[arg(long)]
        json: bool,
        /// Every server's, not this one's alone.
        #[arg(long)]
        cluster: bool,
        #[command(flatten)]
        reach: Reach,
    },
    /// Make a cluster of this server: its document from the cluster file, its authority and keys. Others then `join`.
    #[command(
        after_help = "No daemon may run with this state directory meanwhile; start or restart it afterwards. The \
                            heartbeat key of the key file stays in use, so that servers that run already go on \
                            understanding each other. Without `[admin] listen` the document alone is made.\n\
                            Exit codes: 0 made; 1 not, for instance because there is one already; 2 bad configuration."
    )]
    Init(Init),
    /// Make a token with which one server may join the cluster, once.
    #[command(after_help = "Exit codes: 0 printed; 1 the daemon cannot be reached, or refused.")]
    Token {
        /// How long it counts, such as 30m; at most 7d.
        #[arg(long = "for", value_name = "TIME", default_value = "1h")]
        seconds: Seconds,
        #[command(flatten)]
        reach: Reach,
    },
    /// Make this machine a server of a cluster, before its daemon runs for the first time.
    #[command(
        after_help = "The node file of this machine must be there, with `[admin] listen`; the cluster's configuration \
                            comes from the cluster.\n\
                            Exit codes: 0 joined; 1 not."
    )]
    Join {
        /// A server of the cluster: HOST or HOST:PORT.
        #[arg(value_name = "ADDRESS")]
        host: String,
        /// The token; without it, it is asked for, or read from standard input, where no list of processes shows it.
        #[arg(long)]
        token: Option<String>,
        /// This machine's own address, where its heartbeats listen on every address.
        #[arg(long)]
        address: Option<IpAddr>,
        /// The node file.
        #[arg(long, value_name = "FILE", default_value = CONFIG)]
        config: PathBuf,
    },
    /// Take this server out of its cluster: it hands over, stops, and forgets its keys.
    #[command(after_help = "Exit codes: 0 it has left; 1 not.")]
    Leave {
        /// Forget the keys though the daemon does not run: another server must remove this one.
        #[arg(long)]
        forget: bool,
        #[command(flatten)]
        reach: Reach,
    },
    /// The servers of the cluster, and what the document says of them.
    #[command(subcommand)]
    Server(ServerCommand),
    /// The people who may log in.
    User {
        /// What to do.
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Tokens for programs.
    ApiToken {
        /// What to do.
        #[command(subcommand)]
        command: ApiTokenCommand,
    },
    /// Log in to a cluster from here; `--connect HOST` then works with every command.
    #[command(after_help = "The password is asked for, or read from standard input.\n\
                            Exit codes: 0 logged in, for twelve hours; 1 not.")]
    Login {
        /// A server of the cluster: HOST or HOST:PORT.
        #[arg(long, value_name = "HOST")]
        connect: String,
        /// Who.
        #[arg(long)]
        user: String,
        /// The fingerprint of the cluster's authority, the first time.
        #[arg(long)]
        fingerprint: Option<String>,
    },
    /// End the session at a cluster.
    #[command(after_help = "Exit codes: 0 ended; 1 nobody is logged in, or the cluster cannot be reached.")]
    Logout {
        /// The host that was logged in to.
        #[arg(long, value_name = "HOST")]
        connect: String,
    },
    /// Change a key without a gap: everybody receives the new one, then uses it, then the old one goes.
    #[command(after_help = "Exit codes: 0 begun, or with --wait done; 1 the daemon cannot be reached, or refused.")]
    Rotate {
        /// Which.
        #[arg(value_enum)]
        key: KeyName,
        /// Tell how far it is, and end when it is over.
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        reach: Reach,
    },
    /// Have a server hand everything over and hold nothing until `resume`.
    #[command(after_help = exit::ASKED)]
    Standby(Target),
    /// End a server's standby.
    #[command(after_help = exit::ASKED)]
    Resume(Target),
    /// Report how a service on this server is, to its monitor of type "push".
    #[command(
        after_help = "Exit codes: 0 the report was taken; 1 the daemon cannot be reached, or refused: there is no \
                            such monitor here."
    )]
    Push {
        /// The monitor, as `VIRTUAL-HOST/MONITOR`.
        monitor: String,
        /// How the service is.
        #[arg(value_enum)]
        state: Reported,
        /// Why, in a few words.
        #[arg(long, value_name = "TEXT")]
        message: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// Show what it does: three servers, a client and some faults, in namespaces on this machine.
    #[command(after_help = "Needs user namespaces, or root. Nothing outside the namespaces is touched.\n\
                            Exit codes: 0 all went as it should; 1 not, or namespaces are not allowed.")]
    Demo {
        /// Leave the network up afterwards, its DNS and an admin port reachable on 127.0.0.1, until Ctrl-C.
        #[arg(long)]
        keep: bool,
    },
    /// Ask the running DNS service about itself.
    Dns {
        /// What to ask.
        #[command(subcommand)]
        command: DnsCommand,
    },
    /// Edit the virtual hosts of the document.
    #[command(subcommand)]
    VirtualHost(ObjectCommand),
    /// Edit the endpoints of the document.
    #[command(subcommand)]
    Endpoint(ObjectCommand),
    /// Edit the pools of the document.
    #[command(subcommand)]
    Pool(ObjectCommand),
    /// Who outside the cluster is told of incidents: edit the channels of the document, see how they are, try one.
    #[command(subcommand)]
    Notify(NotifyCommand),
    /// Edit monitors of the document, or say what one counts as here, whatever its probes find.
    #[command(subcommand)]
    Monitor(MonitorCommand),
    /// Edit what the document says of the whole cluster: the sections `[cluster]` and `[dns]`.
    #[command(subcommand)]
    Settings(SettingsCommand),
    /// Show what applying a cluster file would change: objects, placement, addresses, answers, shares of the load.
    #[command(after_help = config::EXIT_CODES)]
    Plan(PlanOrApply),
    /// Make the document what a cluster file says; what it lacks is removed. All or nothing; doing it twice changes nothing.
    #[command(after_help = config::EXIT_CODES)]
    Apply(PlanOrApply),
    /// Keep an edit that was made with `--confirm`.
    #[command(after_help = config::EXIT_CODES)]
    Confirm(ReadHow),
    /// Show how a cluster file, or an older version, differs from the document.
    #[command(after_help = "Exit codes: 0 no difference; 1 the daemon cannot be reached, or is in file mode; 2 bad \
                            configuration; 3 there are differences.")]
    Diff {
        /// A cluster file, or a version of `standin history`.
        #[arg(value_name = "FILE|VERSION")]
        other: String,
        #[command(flatten)]
        how: ReadHow,
    },
    /// Print the document as a cluster file, or write it with its zone templates into a directory.
    #[command(after_help = config::EXIT_CODES)]
    Export(Export),
    /// Show who changed what, when, from where and why.
    #[command(after_help = config::EXIT_CODES)]
    History {
        /// How many changes, the newest first.
        #[arg(long, default_value_t = 20)]
        limit: usize,
        #[command(flatten)]
        how: ReadHow,
    },
    /// Undo the last change; or make the document what it was at a version.
    #[command(after_help = config::EXIT_CODES)]
    Rollback(Rollback),
    /// Show objects with several values, and objects that are not in force as they are.
    #[command(
        after_help = "Exit codes: 0 there are none; 1 the daemon cannot be reached, or is in file mode; 3 there are some."
    )]
    Conflicts(ReadHow),
    /// Settle an object that has several values.
    #[command(after_help = config::EXIT_CODES)]
    Resolve(Resolve),
    /// Look at the zones that the configuration makes, and edit those of the document.
    Zone {
        /// What to do with them.
        #[command(subcommand)]
        command: ZoneCommand,
    },
}

/// What to do with monitors.
#[derive(Subcommand, Debug)]
pub(crate) enum MonitorCommand {
    /// In the document.
    #[command(flatten)]
    Edit(MonitorEdit),
    /// On this server.
    #[command(flatten)]
    Override(MonitorOverride),
}

/// What a monitor counts as on this server.
#[derive(Subcommand, Debug)]
pub(crate) enum MonitorOverride {
    /// On this server the monitor counts as up or down, until a reset, an expiry, or the daemon's end.
    #[command(after_help = "For an endpoint's monitor one server's word decides for all; that of `down` where two \
                            contradict each other.\n\
                            Exit codes: 0 done; 1 the daemon cannot be reached, or refused.")]
    Force {
        /// The monitor, such as `virtual1/http-80`.
        #[arg(value_name = "VIRTUAL-HOST/MONITOR")]
        monitor: String,
        /// What it counts as.
        verdict: Forced,
        /// For so long, such as `10m`; without it, until a reset.
        #[arg(long = "for", value_name = "TIME", value_parser = lasting)]
        lasts: Option<Duration>,
        /// The server that is meant; the daemon refuses if it is another.
        #[arg(long)]
        server: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// On this server the monitor is no longer forced, latched or damped: what its probes find counts again.
    #[command(after_help = exit::ASKED)]
    Reset {
        /// The monitor, such as `virtual1/http-80`.
        #[arg(value_name = "VIRTUAL-HOST/MONITOR")]
        monitor: String,
        /// The server that is meant; the daemon refuses if it is another.
        #[arg(long)]
        server: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
}

/// What a monitor is forced to count as.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Forced {
    /// As if its probes succeeded.
    Up,
    /// As if they failed.
    Down,
}

fn lasting(text: &str) -> Result<Duration, String> {
    let fault = || "a whole number with a unit, such as 30s, 10m or 2h".to_owned();
    model::config::parse_duration(text).filter(|lasts| !lasts.is_zero()).ok_or_else(fault)
}

/// A server to command.
#[derive(clap::Args, Debug)]
pub(crate) struct Target {
    /// The server's name; without one, the server that answers.
    pub server: Option<String>,
    #[command(flatten)]
    pub reach: Reach,
}

/// How to reach the daemon.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Reach {
    /// A server of a cluster that was logged in to: HOST or HOST:PORT.
    #[arg(long, value_name = "HOST", conflicts_with_all = ["socket", "config"])]
    pub connect: Option<String>,
    /// The node file, which names the daemon's socket. Default: /etc/standin/standin.toml
    #[arg(long, value_name = "FILE", conflicts_with = "socket")]
    pub config: Option<PathBuf>,
    /// The daemon's socket.
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

/// How a service is, by its own report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Reported {
    /// Well.
    Up,
    /// It works, and not as it should.
    Degraded,
    /// It does not work.
    Down,
}

impl Reported {
    /// The API's word.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

/// How the log looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum LogFormat {
    /// One line for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
