//! `standin log` and `standin incidents`.

use clap::{Args, ValueEnum};

use super::Reach;

/// How much an entry matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Level {
    /// Everything.
    Debug,
    /// What one wants to find afterwards.
    Info,
    /// Faults, attacks, surprises.
    Warn,
    /// Somebody must act.
    Error,
}

impl Level {
    /// As the API says it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Which entries of the cluster's log.
#[derive(Args, Debug)]
pub(crate) struct Log {
    /// Go on with what comes in, until interrupted.
    #[arg(long, short)]
    pub follow: bool,
    /// Not before this time.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Before this time.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Written by this server.
    #[arg(long, value_name = "NAME")]
    pub server: Option<String>,
    /// About the server, virtual host, endpoint or monitor of this name.
    #[arg(long, value_name = "NAME")]
    pub about: Option<String>,
    /// At least this serious.
    #[arg(long, value_name = "LEVEL")]
    pub level: Option<Level>,
    /// Of these kinds, with commas between them, such as peer-dead,active.
    #[arg(long, value_name = "KINDS")]
    pub kind: Option<String>,
    /// Whose sentence holds this text.
    #[arg(long, value_name = "TEXT")]
    pub text: Option<String>,
    /// Security events alone.
    #[arg(long)]
    pub security: bool,
    /// So many of the last ones. Default: 200, or with `--since` all.
    #[arg(long, short = 'n', value_name = "NUMBER")]
    pub limit: Option<usize>,
    /// Print the API's JSON, one object a line.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub reach: Reach,
}

/// How much to sum up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Span {
    /// The last 24 hours.
    Day,
    /// The last seven days.
    Week,
}

impl Span {
    /// As the API takes it.
    pub(crate) const fn since(self) -> &'static str {
        match self {
            Self::Day => "1d",
            Self::Week => "7d",
        }
    }
}

/// Which incidents.
#[derive(Args, Debug)]
pub(crate) struct Incidents {
    /// One of them, with everything that every server noted of it.
    #[arg(value_name = "ID")]
    pub id: Option<String>,
    /// Write it into this file (tar), to send to somebody: the story, the log of all servers around it, the status, and the
    /// configuration without what may be secret.
    #[arg(long, value_name = "FILE", requires = "id")]
    pub bundle: Option<std::path::PathBuf>,
    /// A day or a week in a few lines.
    #[arg(long, value_name = "SPAN", conflicts_with_all = ["id", "about", "since"])]
    pub summary: Option<Span>,
    /// Those that were not over before this time.
    #[arg(long, value_name = "TIME", default_value = "7d")]
    pub since: String,
    /// About the server, virtual host or endpoint of this name.
    #[arg(long, value_name = "NAME")]
    pub about: Option<String>,
    /// Print the API's JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub reach: Reach,
}
