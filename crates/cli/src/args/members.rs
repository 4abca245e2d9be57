//! Arguments of the commands about servers, people, tokens and keys.

use clap::{Subcommand, ValueEnum};

use super::{ObjectCommand, Reach};
use crate::{
    exit,
    members::{RoleArgument, Seconds},
};

/// What to do with the cluster's servers.
#[derive(Subcommand, Debug)]
pub(crate) enum ServerCommand {
    /// Show them, their links, and how far a rotation is.
    #[command(after_help = exit::ASKED)]
    List {
        /// Print the API's JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        reach: Reach,
    },
    /// What the document says of them. `remove` also ends a membership: the server, dead or alive, is refused from now on.
    #[command(flatten)]
    Object(ObjectCommand),
}

/// What to do with people.
#[derive(Subcommand, Debug)]
pub(crate) enum UserCommand {
    /// Show them, their sessions, and programs' tokens.
    #[command(after_help = exit::ASKED)]
    List {
        /// Print the API's JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        reach: Reach,
    },
    /// Add a person, or change a role. The password is asked for, or read from standard input.
    #[command(after_help = exit::ASKED)]
    Add {
        /// How the person logs in.
        name: String,
        /// viewer, operator or admin.
        #[arg(long)]
        role: RoleArgument,
        #[command(flatten)]
        reach: Reach,
    },
    /// Set a password: of the person named, or one's own.
    #[command(after_help = exit::ASKED)]
    Passwd {
        /// Whose.
        name: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// Refuse a person from now on.
    #[command(after_help = exit::ASKED)]
    Remove {
        /// Whom.
        name: String,
        #[command(flatten)]
        reach: Reach,
    },
}

/// What to do with programs' tokens.
#[derive(Subcommand, Debug)]
pub(crate) enum ApiTokenCommand {
    /// Make one, and show it this once.
    #[command(after_help = exit::ASKED)]
    Add {
        /// The program's name.
        name: String,
        /// viewer, operator or admin.
        #[arg(long)]
        role: RoleArgument,
        /// How long it counts, such as 90d; at most two years.
        #[arg(long = "for", value_name = "TIME")]
        seconds: Seconds,
        #[command(flatten)]
        reach: Reach,
    },
    /// Refuse one from now on.
    #[command(after_help = exit::ASKED)]
    Remove {
        /// Its id, as `standin user list` shows it.
        id: String,
        #[command(flatten)]
        reach: Reach,
    },
}

/// Keys that can be changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum KeyName {
    /// What seals heartbeats, on every server.
    Heartbeat,
    /// What signs servers' certificates.
    Authority,
    /// The key of the server that answers.
    Server,
}

impl KeyName {
    /// The API's word.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::Authority => "authority",
            Self::Server => "server",
        }
    }
}
