//! Arguments of the commands about zones.

use std::path::PathBuf;

use clap::Subcommand;

use super::{CONFIG, How, ReadHow, config};

/// What to do with a zone.
#[derive(Subcommand, Debug)]
pub(crate) enum ZoneCommand {
    /// Add a zone to the document, with its template.
    #[command(after_help = config::EXIT_CODES)]
    Add {
        /// The zone's name.
        zone: String,
        /// The file with its template.
        #[arg(long, value_name = "FILE")]
        template: PathBuf,
        /// Fields, such as `variables.ttl=60`.
        #[arg(value_name = "NAME=VALUE")]
        fields: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Change a zone's settings, or replace its template.
    #[command(after_help = config::EXIT_CODES)]
    Set {
        /// The zone's name.
        zone: String,
        /// A file with its new template.
        #[arg(long, value_name = "FILE")]
        template: Option<PathBuf>,
        /// Fields, such as `variables.ttl=60`.
        #[arg(value_name = "NAME=VALUE")]
        fields: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Remove a zone, and its template where no other zone has it.
    #[command(after_help = config::EXIT_CODES)]
    Remove {
        /// The zone's name.
        zone: String,
        #[command(flatten)]
        how: How,
    },
    /// Print a zone's settings and template; without a name, list the zones.
    #[command(after_help = config::EXIT_CODES)]
    Show {
        /// The zone's name.
        zone: Option<String>,
        #[command(flatten)]
        how: ReadHow,
    },
    /// Open a zone's template in $EDITOR, check it, show the difference in answers, and apply it.
    #[command(after_help = config::EXIT_CODES)]
    Edit {
        /// The zone's name.
        zone: String,
        /// Do not ask before applying.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        how: How,
    },
    /// Print a zone as a plain RFC 1035 master file, as if every pool member were up.
    #[command(after_help = "Exit codes: 0 printed; 1 no such zone; 2 bad configuration.")]
    Render {
        /// The node file.
        #[arg(long, value_name = "FILE", default_value = CONFIG)]
        config: PathBuf,
        /// The serial to print in the SOA.
        #[arg(long, default_value_t = 1)]
        serial: u32,
        /// The zone's name, such as `lb.example.test`.
        zone: String,
    },
    /// Show what would be answered for a name, and why, without asking anybody: with everything up, or some of it down.
    #[command(after_help = "Exit codes: 0 shown; 1 no such zone, name, type or member; 2 bad configuration.")]
    Query {
        /// The node file.
        #[arg(long, value_name = "FILE", default_value = CONFIG)]
        config: PathBuf,
        /// A file to read for the zone's template, to try it out; the configuration's own is left aside.
        #[arg(long, value_name = "FILE")]
        template: Option<PathBuf>,
        /// A server, virtual host or endpoint that is down; can be given more than once.
        #[arg(long, value_name = "NAME")]
        down: Vec<String>,
        /// The zone's name, or its template's file.
        #[arg(value_name = "ZONE|FILE")]
        zone: String,
        /// The name, such as `www.lb.example.test`, or `www`, which is taken to be in the zone.
        name: String,
        /// The type.
        #[arg(value_name = "TYPE", default_value = "A")]
        kind: String,
    },
}
