//! Arguments of the commands that read and edit the cluster's document.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{CONFIG, Reach};

/// What commands about the document exit with.
pub(crate) const EXIT_CODES: &str = "Exit codes: 0 done, or nothing to do; 1 the daemon cannot be reached, or this server is \
                                     in file mode; 2 the edit has mistakes, each printed with object, line and column; 3 \
                                     refused because of somebody else's edit (a conflict, or a newer value), or given up.";

/// How to edit.
#[derive(Args, Clone, Debug)]
pub(crate) struct How {
    /// Why: kept in the history.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub why: String,
    /// Undo it after this time unless somebody runs `standin confirm`, such as `60s`.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub confirm: Option<u64>,
    /// Only show what would change.
    #[arg(long)]
    pub dry_run: bool,
    /// Print the API's JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub reach: Reach,
}

/// How to read.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReadHow {
    /// Print the API's JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub reach: Reach,
}

/// What to do with objects of one kind.
#[derive(Subcommand, Debug)]
pub(crate) enum ObjectCommand {
    /// Add one.
    #[command(after_help = EXIT_CODES)]
    Add {
        /// Its name.
        name: String,
        /// Its fields, such as `addresses=10.77.0.101,fd00:77::101`.
        #[arg(value_name = "NAME=VALUE", required = true)]
        fields: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Change fields of one: `failback=sticky`, `servers+=web3`, `servers-=web1`, `ttl=` (the default again).
    #[command(after_help = EXIT_CODES)]
    Set {
        /// Its name.
        name: String,
        /// What becomes of its fields.
        #[arg(value_name = "NAME=VALUE", required = true)]
        fields: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Remove one.
    #[command(after_help = EXIT_CODES)]
    Remove {
        /// Its name.
        name: String,
        #[command(flatten)]
        how: How,
    },
    /// Print one; without a name, list all.
    #[command(after_help = EXIT_CODES)]
    Show {
        /// Its name.
        name: Option<String>,
        #[command(flatten)]
        how: ReadHow,
    },
}

/// What to do with the document's monitors.
#[derive(Subcommand, Debug)]
pub(crate) enum MonitorEdit {
    /// Add one to a virtual host or endpoint.
    #[command(after_help = EXIT_CODES)]
    Add {
        /// The virtual host or endpoint.
        of: String,
        /// Its fields, such as `type=http path=/health`.
        #[arg(value_name = "NAME=VALUE", required = true)]
        fields: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Change fields of one.
    #[command(after_help = EXIT_CODES)]
    Set {
        /// The virtual host or endpoint.
        of: String,
        /// The monitor, such as `http-80`.
        monitor: String,
        /// What becomes of its fields.
        #[arg(value_name = "NAME=VALUE", required = true)]
        fields: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Remove one.
    #[command(after_help = EXIT_CODES)]
    Remove {
        /// The virtual host or endpoint.
        of: String,
        /// The monitor, such as `http-80`.
        monitor: String,
        #[command(flatten)]
        how: How,
    },
    /// Print a virtual host or endpoint with its monitors.
    #[command(after_help = EXIT_CODES)]
    Show {
        /// The virtual host or endpoint.
        of: String,
        #[command(flatten)]
        how: ReadHow,
    },
}

/// What to do with settings.
#[derive(Subcommand, Debug)]
pub(crate) enum SettingsCommand {
    /// Change fields: `heartbeat.interval=100ms`; of the section `[dns]`: `dns.max-udp-size=1400`.
    #[command(after_help = EXIT_CODES)]
    Set {
        /// What becomes of the fields.
        #[arg(value_name = "NAME=VALUE", required = true)]
        fields: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Print them.
    #[command(after_help = EXIT_CODES)]
    Show {
        #[command(flatten)]
        how: ReadHow,
    },
}

/// `init`.
#[derive(Args, Debug)]
pub(crate) struct Init {
    /// The node file.
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    pub config: PathBuf,
    /// The cluster file. Default: the one that the node file names.
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// Why: kept in the history.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub why: String,
}

/// `plan` and `apply`.
#[derive(Args, Debug)]
pub(crate) struct PlanOrApply {
    /// The cluster file.
    pub file: PathBuf,
    /// A name, or `NAME/TYPE`, whose answers to compare; can be given more than once. Names of pools are compared anyway.
    #[arg(long, value_name = "NAME[/TYPE]")]
    pub sample: Vec<String>,
    #[command(flatten)]
    pub how: How,
}

/// `export`.
#[derive(Args, Debug)]
pub(crate) struct Export {
    /// Where to write `cluster.toml` and the templates. Without it the cluster file is printed.
    #[arg(long, value_name = "DIRECTORY")]
    pub to: Option<PathBuf>,
    /// A version of `standin history`, instead of the newest.
    #[arg(long, value_name = "VERSION")]
    pub version: Option<String>,
    #[command(flatten)]
    pub how: ReadHow,
}

/// `rollback`.
#[derive(Args, Debug)]
pub(crate) struct Rollback {
    /// A version of `standin history`; without it, the last change is undone.
    pub version: Option<String>,
    /// Undo only the change that made the version, and leave what came after.
    #[arg(long, requires = "version")]
    pub only: bool,
    #[command(flatten)]
    pub how: How,
}

/// `resolve`.
#[derive(Args, Debug)]
#[command(group(clap::ArgGroup::new("value").required(true)))]
pub(crate) struct Resolve {
    /// The object, such as `virtual-host/virtual1`.
    pub object: String,
    /// Take the value of that number, as `standin conflicts` counts them.
    #[arg(long, value_name = "NUMBER", group = "value")]
    pub take: Option<usize>,
    /// Take the text of a file.
    #[arg(long, value_name = "FILE", group = "value")]
    pub file: Option<PathBuf>,
    /// Remove the object.
    #[arg(long, group = "value")]
    pub remove: bool,
    #[command(flatten)]
    pub how: How,
}

/// A whole number of seconds, minutes or hours.
fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no time: write a whole number with s, m or h, such as 60s");
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .filter(|seconds| *seconds > 0)
        .ok_or_else(wrong)
}
