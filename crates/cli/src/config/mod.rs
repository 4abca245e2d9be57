//! The commands that read and edit the cluster's document, over the daemon's socket.
//!
//! An edit says what each object was when it was read, so that somebody else's edit in between is never overwritten unseen.
//!
//! Deliberately not here: the checks, which the daemon makes.

mod files;
mod objects;
mod show;
mod zone;

use std::{path::Path, process::ExitCode};

use anyhow::{Context, Result};
use daemon::desk::api::{Configuration, EditRequest, Edited, Plan, Sample, Wanted};
use document::{Change, Key, Was};
use hyper::{Method, StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

pub(crate) use self::{
    files::{apply, confirm, conflicts, diff, export, history, init, plan, resolve, rollback},
    objects::{monitor, object, settings},
    zone::{add as zone_add, edit as zone_edit, remove as zone_remove, set as zone_set, show as zone_show},
};
use crate::{
    args::{How, Reach},
    client, complain,
    print::Style,
    say,
};

/// The edit has mistakes.
const MISTAKES: u8 = 2;
/// Refused because of somebody else's edit, given up, or there is something to look at.
const CONFLICT: u8 = 3;

/// What a command came to, where it is not done.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refused {
    message: String,
    code: u8,
}

impl Refused {
    fn because(code: u8, message: impl Into<String>) -> anyhow::Error {
        Self { message: message.into(), code }.into()
    }
}

/// What a command ends with: refusals have codes of their own.
pub(crate) fn end(outcome: Result<ExitCode>) -> Result<ExitCode> {
    outcome.or_else(|error| match error.downcast::<Refused>() {
        Ok(refused) => {
            complain(&refused.message);
            Ok(ExitCode::from(refused.code))
        }
        Err(error) => Err(error),
    })
}

/// The daemon, as the arguments name it.
struct Daemon {
    socket: std::path::PathBuf,
}

impl Daemon {
    fn of(reach: &Reach) -> Result<Self> {
        Ok(Self { socket: client::socket(reach)? })
    }

    fn ask<T: DeserializeOwned>(&self, path: &str, body: Option<&impl Serialize>) -> Result<T> {
        serde_json::from_value(self.ask_raw(path, body)?).context("the daemon's answer is not what was asked for")
    }

    /// The daemon's own JSON: a newer daemon's new fields are shown too.
    fn ask_raw(&self, path: &str, body: Option<&impl Serialize>) -> Result<Value> {
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let body = body.map(serde_json::to_string).transpose()?;
        let (code, answer) = client::answer(&self.socket, method, path, body)?;
        if code.is_success() {
            return serde_json::from_slice(&answer).context("the daemon's answer is not JSON");
        }
        let said = client::words(code, &answer);
        match code {
            StatusCode::UNPROCESSABLE_ENTITY => Err(Refused::because(MISTAKES, said)),
            StatusCode::NOT_FOUND => Err(Refused::because(CONFLICT, said)),
            StatusCode::CONFLICT if !said.contains("is in file mode") => Err(Refused::because(CONFLICT, said)),
            _ => Err(anyhow::anyhow!("{said}")),
        }
    }

    fn configuration(&self) -> Result<Configuration> {
        self.ask("/v1/config", None::<&()>)
    }

    /// Plans, or makes, an edit, and prints what it came to.
    fn edit(&self, wanted: Wanted, samples: Vec<Sample>, how: &How) -> Result<ExitCode> {
        let request = request(wanted, samples, how);
        if how.dry_run {
            return self.plan(&request, how);
        }
        let raw = self.ask_raw("/v1/config/edit", Some(&request))?;
        if how.json {
            say(&(serde_json::to_string_pretty(&raw)? + "\n"))?;
        } else {
            let edited: Edited = serde_json::from_value(raw)?;
            say(&show::edited(&edited, Style::of_stdout()))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn plan(&self, request: &EditRequest, how: &How) -> Result<ExitCode> {
        let raw = self.ask_raw("/v1/config/plan", Some(request))?;
        if how.json {
            say(&(serde_json::to_string_pretty(&raw)? + "\n"))?;
        } else {
            let plan: Plan = serde_json::from_value(raw)?;
            say(&show::plan(&plan, Style::of_stdout()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn request(wanted: Wanted, samples: Vec<Sample>, how: &How) -> EditRequest {
    EditRequest {
        wanted,
        who: who(),
        from: std::env::var("SSH_CONNECTION")
            .ok()
            .and_then(|connection| connection.split(' ').next().map(str::to_owned))
            .unwrap_or_else(|| "the local socket".to_owned()),
        why: how.why.clone(),
        confirm_seconds: how.confirm,
        samples,
    }
}

/// Who sits there: who became root, rather than root.
fn who() -> String {
    ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok())
        .unwrap_or_else(|| "root".to_owned())
}

/// A change of an object that was read.
fn change(configuration: &Configuration, key: &Key, text: Option<String>) -> Change {
    let was = Was::of(configuration.objects.get(key).map(|text| &**text));
    Change { key: key.clone(), text: text.map(Into::into), was, settles: false }
}

/// The text of a file.
fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
