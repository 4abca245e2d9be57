//! `standin dns`.

use clap::{Subcommand, ValueEnum};

use super::Reach;

/// What to ask of the DNS service.
#[derive(Subcommand, Debug)]
pub(crate) enum DnsCommand {
    /// Show what this server answers for a name now, and why: which record or pool, who is in or out, and the TTL.
    #[command(after_help = "Exit codes: 0 shown; 1 the daemon cannot be reached, or the name or type is none.")]
    Why {
        /// The name, such as `www.lb.example.test`.
        name: String,
        /// The type.
        #[arg(value_name = "TYPE", default_value = "A")]
        kind: String,
        /// Print the API's JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        reach: Reach,
    },
    /// Show what is asked and answered most, lately; the last minutes count most.
    #[command(
        after_help = "Where a server sends more than 1,000 replies a second, names, addresses and clients are estimates, and what is \
                            rare is missing.\nExit codes: 0 shown; 1 the daemon cannot be reached, or refused."
    )]
    Top {
        /// By what.
        #[arg(long, value_enum, default_value_t)]
        by: CountedBy,
        /// Of the last 5 minutes, or of the last 60.
        #[arg(long, default_value_t = 5, value_parser = minutes)]
        minutes: u64,
        /// So many at most.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=100))]
        limit: u64,
        /// All servers' replies together, not those of the server that answers.
        #[arg(long)]
        cluster: bool,
        /// Print the API's JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        reach: Reach,
    },
}

/// By what replies are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum CountedBy {
    /// The name asked for.
    #[default]
    Name,
    /// Who asks; for operators.
    Client,
    /// The address that is offered first.
    Address,
    /// The type asked for.
    Type,
    /// The response code.
    Rcode,
}

impl CountedBy {
    /// Where the API has it.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Name => "/v1/dns/top?by=name&",
            Self::Client => "/v1/dns/clients?",
            Self::Address => "/v1/dns/top?by=address&",
            Self::Type => "/v1/dns/top?by=type&",
            Self::Rcode => "/v1/dns/top?by=rcode&",
        }
    }
}

fn minutes(text: &str) -> Result<u64, String> {
    match text {
        "5" => Ok(5),
        "60" => Ok(60),
        _ => Err("5 or 60".to_owned()),
    }
}
