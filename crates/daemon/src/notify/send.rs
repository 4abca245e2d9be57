//! One attempt: the channel's own way, its time limit, and what a failure means.

use std::{io, time::Duration};

use chronicle::notice::{Message, Outcome};
use host::hook::Single;
use model::{
    config::{ChannelKind, notify::Program},
    hook::HookOutcome,
};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{Settings, mail, webhook, words};
use crate::trust::files;

/// A program may take so much longer to be killed and told of.
const GRACE: Duration = Duration::from_millis(500);

/// Why an attempt failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Failed {
    /// In words, without secrets.
    pub reason: String,
    /// Whether another attempt could succeed.
    pub again: bool,
}

impl Failed {
    /// Another attempt could succeed.
    pub(super) fn now(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), again: true }
    }

    /// None could.
    pub(super) fn ever(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), again: false }
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::now(error.to_string())
    }
}

/// Tries once.
pub(super) async fn send(settings: &Settings, message: &Message) -> Outcome {
    let Some(channel) = settings.channels.get(&message.channel) else {
        return Outcome::Failed { reason: "there is no such channel any more".to_owned(), again: false };
    };
    let limit = channel.timeout;
    let attempt = async {
        match &channel.kind {
            ChannelKind::Webhook(webhook) => webhook::send(settings, webhook, message).await,
            ChannelKind::Mail(mail) => mail::send(settings, mail, message, limit).await,
            ChannelKind::Exec(program) => exec(settings, program, message, limit).await,
        }
    };
    let sent = timeout(limit + GRACE, attempt).await;
    match sent.unwrap_or_else(|_| Err(Failed::now(format!("no answer within {} s", limit.as_secs())))) {
        Ok(()) => Outcome::Delivered,
        Err(Failed { reason, again }) => Outcome::Failed { reason, again },
    }
}

/// A secret, by its name.
pub(super) async fn secret(settings: &Settings, name: &str) -> Result<Zeroizing<Vec<u8>>, Failed> {
    let path = settings.secrets.join(name);
    let shown = path.display().to_string();
    let read = tokio::task::spawn_blocking(move || files::read(&path)).await.map_err(io::Error::other)?;
    let mut bytes = read.map_err(|error| Failed::now(format!("the secret {shown}: {error}")))?;
    // A line that an editor has ended.
    let length = bytes.trim_ascii_end().len();
    bytes.truncate(length);
    if bytes.is_empty() {
        return Err(Failed::now(format!("the secret {shown} is empty")));
    }
    Ok(bytes)
}

async fn exec(settings: &Settings, program: &Program, message: &Message, limit: Duration) -> Result<(), Failed> {
    let severity = message.severity().word().to_owned();
    let single = Single {
        program: program.program.clone(),
        arguments: program.arguments.clone(),
        user: program.user.clone(),
        timeout: limit,
        environment: vec![
            ("STANDIN_CHANNEL", message.channel.to_string()),
            ("STANDIN_KIND", message.kind.word().to_owned()),
            ("STANDIN_SEVERITY", severity),
            ("STANDIN_DELIVERY", message.delivery.clone()),
            ("STANDIN_SERVER", settings.this.to_string()),
        ],
        document: words::document(settings, message),
    };
    let report = single.run().await?;
    match report.outcome {
        HookOutcome::Succeeded => Ok(()),
        // What keeps it from running may be mended.
        HookOutcome::Failed | HookOutcome::TimedOut | HookOutcome::Refused | HookOutcome::NotRun => {
            Err(Failed::now(report.reason.to_string()))
        }
    }
}
