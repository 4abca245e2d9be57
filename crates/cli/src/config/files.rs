//! Commands about the whole document: files, history, conflicts.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, Result};
use daemon::{
    desk::api::{ChangedObject, HistoryEntry, Sample, Wanted},
    load::LoadError,
};
use document::{Author, Change, Key, Kind, Objects, object::Assembly};
use serde_json::{Value, json};

use super::{CONFLICT, Daemon, MISTAKES, Refused, read, request, show, who};
use crate::{
    args::{Export, How, Init, PlanOrApply, ReadHow, Resolve, Rollback},
    print::Style,
    say,
};

type Texts = BTreeMap<Key, Arc<str>>;

/// Makes the first document.
pub(crate) fn init(init: &Init) -> Result<ExitCode> {
    let author = Author { who: who(), from: "standin init".into(), server: String::new(), why: init.why.clone() };
    match daemon::init(&init.config, init.from.as_deref(), author) {
        Ok(made) => {
            let count = made.objects.len();
            say(&format!(
                "the cluster's document is in {}: {count} objects from {}, version {}\nstart or restart the daemon: from then on \
                 the document rules, and {} is not read any more\n",
                made.state_dir.display(),
                made.from.display(),
                made.version,
                made.from.display()
            ))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            crate::complain(&error.to_string());
            Ok(ExitCode::from(error.exit_code()))
        }
    }
}

/// Shows what applying a file would change.
pub(crate) fn plan(plan: &PlanOrApply) -> Result<ExitCode> {
    let daemon = Daemon::of(&plan.how.reach)?;
    let request = request(whole(&plan.file)?, samples(&plan.sample)?, &plan.how);
    daemon.plan(&request, &plan.how)
}

/// Makes the document what a file says.
pub(crate) fn apply(apply: &PlanOrApply) -> Result<ExitCode> {
    let how = How { why: why(&apply.how, || format!("apply {}", apply.file.display())), ..apply.how.clone() };
    Daemon::of(&how.reach)?.edit(whole(&apply.file)?, samples(&apply.sample)?, &how)
}

fn why(how: &How, otherwise: impl FnOnce() -> String) -> String {
    if how.why.is_empty() { otherwise() } else { how.why.clone() }
}

/// All objects of a cluster file.
fn whole(file: &Path) -> Result<Wanted> {
    Ok(Wanted::Whole(import(file)?))
}

fn import(file: &Path) -> Result<Texts> {
    daemon::load::import(file).map_err(|error: LoadError| Refused::because(MISTAKES, error.to_string()))
}

fn samples(words: &[String]) -> Result<Vec<Sample>> {
    let sample = |word: &String| {
        let (name, kind) = word.split_once('/').unwrap_or((word, "A"));
        Ok(Sample { name: name.to_owned(), kind: kind.to_owned() })
    };
    words.iter().map(sample).collect()
}

/// Keeps an edit that waits.
pub(crate) fn confirm(how: &ReadHow) -> Result<ExitCode> {
    let raw: Value = Daemon::of(&how.reach)?.ask_raw("/v1/config/confirm", Some(&json!({})))?;
    let version = raw.get("version").and_then(Value::as_str).unwrap_or_default();
    if how.json {
        say(&(serde_json::to_string_pretty(&raw)? + "\n"))?;
    } else {
        say(&format!("version {version} stays\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows differences of a file, or of a version, to the document.
pub(crate) fn diff(other: &str, how: &ReadHow) -> Result<ExitCode> {
    let daemon = Daemon::of(&how.reach)?;
    let now = daemon.configuration()?.objects;
    // A file that is there is meant; a version is never called like one.
    let (before, after) =
        if Path::new(other).exists() { (now, import(Path::new(other))?) } else { (at(&daemon, other)?, now) };
    let keys = before.keys().chain(after.keys()).collect::<std::collections::BTreeSet<_>>();
    let changed = |key: &&Key| before.get(*key) != after.get(*key);
    let changes = keys.into_iter().filter(changed).map(|key| ChangedObject {
        key: key.clone(),
        before: before.get(key).cloned(),
        after: after.get(key).cloned(),
    });
    let changes: Vec<ChangedObject> = changes.collect();
    if how.json {
        say(&(serde_json::to_string_pretty(&changes)? + "\n"))?;
    } else {
        say(&show::changes(&changes, Style::of_stdout()))?;
    }
    Ok(if changes.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(CONFLICT) })
}

fn at(daemon: &Daemon, version: &str) -> Result<Texts> {
    daemon.ask("/v1/config/at", Some(&json!({ "version": version })))
}

/// Prints or writes the document as files.
pub(crate) fn export(export: &Export) -> Result<ExitCode> {
    let daemon = Daemon::of(&export.how.reach)?;
    let objects: Objects = match &export.version {
        Some(version) => at(&daemon, version)?,
        None => daemon.configuration()?.objects,
    };
    if export.how.json {
        say(&(serde_json::to_string_pretty(&objects)? + "\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = Assembly::of(&objects).text;
    let Some(directory) = &export.to else {
        say(&text)?;
        return Ok(ExitCode::SUCCESS);
    };
    let mut written = vec![write(directory, "cluster.toml", &text)?];
    for (key, text) in objects.iter().filter(|(key, _)| key.kind == Kind::Template) {
        written.push(write(directory, &key.name, text)?);
    }
    say(&written.iter().map(|path| format!("{}\n", path.display())).collect::<String>())?;
    Ok(ExitCode::SUCCESS)
}

fn write(directory: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = directory.join(name);
    let parent = path.parent().unwrap_or(directory);
    std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Shows who changed what.
pub(crate) fn history(limit: usize, how: &ReadHow) -> Result<ExitCode> {
    let raw = Daemon::of(&how.reach)?.ask_raw("/v1/config/history", Some(&json!({ "limit": limit })))?;
    if how.json {
        say(&(serde_json::to_string_pretty(&raw)? + "\n"))?;
    } else {
        let entries: Vec<HistoryEntry> = serde_json::from_value(raw)?;
        say(&show::history(&entries, &jiff::tz::TimeZone::system(), Style::of_stdout()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Undoes.
pub(crate) fn rollback(rollback: &Rollback) -> Result<ExitCode> {
    let (wanted, otherwise) = match &rollback.version {
        Some(version) if rollback.only => (Wanted::Undo(Some(version.clone())), format!("undo {version}")),
        Some(version) => (Wanted::Version(version.clone()), format!("back to {version}")),
        None => (Wanted::Undo(None), "undo the last change".to_owned()),
    };
    let how = How { why: why(&rollback.how, || otherwise), ..rollback.how.clone() };
    Daemon::of(&how.reach)?.edit(wanted, Vec::new(), &how)
}

/// Shows what needs somebody's attention.
pub(crate) fn conflicts(how: &ReadHow) -> Result<ExitCode> {
    let configuration = Daemon::of(&how.reach)?.configuration()?;
    if how.json {
        let conflicts = json!({
            "clashes": configuration.clashes,
            "held": configuration.held,
            "undone": configuration.undone,
        });
        say(&(serde_json::to_string_pretty(&conflicts)? + "\n"))?;
    } else {
        say(&show::conflicts(&configuration, Style::of_stdout()))?;
    }
    let well = configuration.clashes.is_empty() && configuration.held.is_empty() && configuration.undone == 0;
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(CONFLICT) })
}

/// Settles a clash.
pub(crate) fn resolve(resolve: &Resolve) -> Result<ExitCode> {
    let daemon = Daemon::of(&resolve.how.reach)?;
    let configuration = daemon.configuration()?;
    let clash = configuration.clashes.iter().find(|clash| clash.key.to_string() == resolve.object);
    let clash = clash.ok_or_else(|| {
        let there: Vec<String> = configuration.clashes.iter().map(|clash| clash.key.to_string()).collect();
        let there =
            if there.is_empty() { "nothing has".to_owned() } else { format!("these have: {}", there.join(", ")) };
        Refused::because(CONFLICT, format!("{} does not have several values; {there}", resolve.object))
    })?;
    let text = match (resolve.take, &resolve.file) {
        (Some(number), _) => {
            let value = number.checked_sub(1).and_then(|index| clash.values.get(index));
            let value = value.ok_or_else(|| {
                Refused::because(
                    MISTAKES,
                    format!("there is no value {number}: {} has 1 to {}", clash.key, clash.values.len()),
                )
            })?;
            value.text.clone()
        }
        (None, Some(file)) => Some(read(file)?.into()),
        (None, None) => None,
    };
    let how = How { why: why(&resolve.how, || format!("settle {}", clash.key)), ..resolve.how.clone() };
    let change = Change { text, settles: true, ..super::change(&configuration, &clash.key, None) };
    daemon.edit(Wanted::Changes(vec![change]), Vec::new(), &how)
}
