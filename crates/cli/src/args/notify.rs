//! `notify`: channels for notifications.

use clap::Subcommand;

use super::{ObjectCommand, Reach};

/// What to do with channels for notifications.
#[derive(Subcommand, Debug)]
pub(crate) enum NotifyCommand {
    /// In the document.
    #[command(flatten)]
    Edit(ObjectCommand),
    /// As the server that answers sees them.
    #[command(flatten)]
    Use(NotifyUse),
}

/// What a server does with channels.
#[derive(Subcommand, Debug)]
pub(crate) enum NotifyUse {
    /// Send a message by a channel from the server that answers, and say what came of it.
    #[command(after_help = "Quiet times and `sent-by` do not matter to it. \
                            Exit codes: 0 delivered; 1 not, or the daemon cannot be reached, or refused.")]
    Test {
        /// The channel.
        name: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Show every channel: who sends, what waits, how the last attempt ended.
    #[command(after_help = "Exit codes: 0 shown; 1 the daemon cannot be reached; 3 attempts of this server fail.")]
    Status {
        /// Print the API's JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        reach: Reach,
    },
}
