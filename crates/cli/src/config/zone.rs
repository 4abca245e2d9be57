//! `zone add`, `set`, `remove`, `show` and `edit`: a zone is two objects, its settings and its template.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};
use daemon::desk::api::{Configuration, Plan, Wanted};
use document::{
    Change, Key, Kind,
    fields::{Part, set_fields},
};
use serde_json::json;

use super::{
    CONFLICT, Daemon, MISTAKES, Refused, change,
    objects::{existing, key},
    read, request, show as words,
};
use crate::{
    args::{How, ReadHow},
    complain,
    print::Style,
    say,
};

/// Adds a zone.
pub(crate) fn add(zone: &str, template: &Path, fields: &[String], how: &How) -> Result<ExitCode> {
    let (daemon, key) = (Daemon::of(&how.reach)?, key(Kind::Zone, zone)?);
    let configuration = daemon.configuration()?;
    if configuration.objects.contains_key(&key) {
        return Err(Refused::because(
            CONFLICT,
            format!("there is a {key} already: `standin zone set {zone} ...` changes it"),
        ));
    }
    let file = template.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let template_key = self::key(Kind::Template, &file)?;
    let text = read(template)?;
    if configuration.objects.get(&template_key).is_some_and(|other| **other != *text) {
        let message = format!("there is another {template_key} in the document: give the file another name");
        return Err(Refused::because(CONFLICT, message));
    }
    let fields: Vec<String> = [format!("template=\"{file}\"")].into_iter().chain(fields.iter().cloned()).collect();
    let settings =
        set_fields(&key, None, &Part::Whole, &fields).map_err(|error| Refused::because(MISTAKES, error.to_string()))?;
    let changes = vec![change(&configuration, &key, Some(settings)), change(&configuration, &template_key, Some(text))];
    daemon.edit(Wanted::Changes(changes), Vec::new(), how)
}

/// Changes a zone.
pub(crate) fn set(zone: &str, template: Option<&Path>, fields: &[String], how: &How) -> Result<ExitCode> {
    let (daemon, key) = (Daemon::of(&how.reach)?, key(Kind::Zone, zone)?);
    let configuration = daemon.configuration()?;
    let mut changes = Vec::new();
    if !fields.is_empty() {
        let settings = set_fields(&key, Some(existing(&configuration, &key)?), &Part::Whole, fields)
            .map_err(|error| Refused::because(MISTAKES, error.to_string()))?;
        changes.push(change(&configuration, &key, Some(settings)));
    }
    if let Some(file) = template {
        changes.push(change(&configuration, &template_of(&configuration, &key)?, Some(read(file)?)));
    }
    if changes.is_empty() {
        bail!("nothing to set: name fields, or a template with --template FILE");
    }
    daemon.edit(Wanted::Changes(changes), Vec::new(), how)
}

/// Removes a zone.
pub(crate) fn remove(zone: &str, how: &How) -> Result<ExitCode> {
    let (daemon, key) = (Daemon::of(&how.reach)?, key(Kind::Zone, zone)?);
    let configuration = daemon.configuration()?;
    let template = template_of(&configuration, &key)?;
    let mut changes = vec![change(&configuration, &key, None)];
    let zones = configuration.objects.keys().filter(|other| other.kind == Kind::Zone && **other != key);
    let used = zones.filter_map(|other| template_of(&configuration, other).ok()).any(|other| other == template);
    if !used && configuration.objects.contains_key(&template) {
        changes.push(change(&configuration, &template, None));
    }
    daemon.edit(Wanted::Changes(changes), Vec::new(), how)
}

/// Prints a zone, or lists all.
pub(crate) fn show(zone: Option<&str>, how: &ReadHow) -> Result<ExitCode> {
    let Some(zone) = zone else { return super::objects::show(Kind::Zone, None, how) };
    let (configuration, key) = (Daemon::of(&how.reach)?.configuration()?, key(Kind::Zone, zone)?);
    let settings = existing(&configuration, &key)?;
    let template = template_of(&configuration, &key)?;
    let text = existing(&configuration, &template)?;
    if how.json {
        let zone = json!({ "key": key, "text": settings, "template": { "key": template, "text": text } });
        say(&(serde_json::to_string_pretty(&zone)? + "\n"))?;
    } else {
        let commented: String = settings.lines().map(|line| format!("; {line}\n")).collect();
        say(&format!("{commented}{text}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The key of a zone's template.
fn template_of(configuration: &Configuration, zone: &Key) -> Result<Key> {
    let settings = document::object::read(zone, existing(configuration, zone)?)
        .map_err(|mistake| Refused::because(MISTAKES, mistake.to_string()))?;
    let template = settings.get("template").and_then(|value| value.as_str()).unwrap_or_default();
    key(Kind::Template, template)
}

/// Edits a zone's template in the operator's editor, again and again until it checks or the operator gives up.
pub(crate) fn edit(zone: &str, yes: bool, how: &How) -> Result<ExitCode> {
    let (daemon, key) = (Daemon::of(&how.reach)?, key(Kind::Zone, zone)?);
    let configuration = daemon.configuration()?;
    let template = template_of(&configuration, &key)?;
    let before = existing(&configuration, &template)?.to_owned();
    let directory = std::env::temp_dir().join(format!("standin-edit-{}", std::process::id()));
    std::fs::create_dir(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let file = directory.join(template.name.rsplit('/').next().unwrap_or("zone"));
    std::fs::write(&file, &before)?;
    let end = edit_in(&daemon, &configuration, &template, &file, yes, how);
    match &end {
        Ok(code) if *code == ExitCode::SUCCESS => drop(std::fs::remove_dir_all(&directory)),
        Ok(_) | Err(_) => complain(&format!("your text is in {}", file.display())),
    }
    end
}

fn edit_in(
    daemon: &Daemon,
    configuration: &Configuration,
    template: &Key,
    file: &Path,
    yes: bool,
    how: &How,
) -> Result<ExitCode> {
    loop {
        open_editor(file)?;
        let text = read(file)?;
        let edit: Change = change(configuration, template, Some(text));
        if configuration.objects.get(template) == edit.text.as_ref() {
            say("nothing has changed\n")?;
            return Ok(ExitCode::SUCCESS);
        }
        let wanted = Wanted::Changes(vec![edit]);
        let request = request(wanted.clone(), Vec::new(), how);
        match daemon.ask::<Plan>("/v1/config/plan", Some(&request)) {
            Ok(plan) => {
                if !how.json {
                    say(&words::plan(&plan, Style::of_stdout()))?;
                }
                if how.dry_run {
                    return Ok(ExitCode::SUCCESS);
                }
                if yes || agrees("apply this? [y/N] ")? {
                    return daemon.edit(wanted, Vec::new(), how);
                }
                return Err(Refused::because(CONFLICT, "given up: nothing was changed"));
            }
            Err(error) => {
                complain(&format!("{error:#}"));
                if !agrees("edit again? [y/N] ")? {
                    return Err(Refused::because(MISTAKES, "given up: nothing was changed"));
                }
            }
        }
    }
}

/// What sensible-editor(1) does: $VISUAL, $EDITOR, else vi; words of it are arguments.
fn open_editor(file: &Path) -> Result<()> {
    let set = |name: &str| std::env::var(name).ok().filter(|editor| !editor.is_empty());
    let editor = ["VISUAL", "EDITOR"].into_iter().find_map(set);
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let status = Command::new(program).args(words).arg(file).status();
    let status = status.with_context(|| format!("cannot start the editor `{editor}`: set $EDITOR"))?;
    if !status.success() {
        bail!("the editor `{editor}` ended with {status}: nothing was changed");
    }
    Ok(())
}

/// Asks a person; where nobody is there to ask, the answer is no.
fn agrees(question: &str) -> Result<bool> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    let mut out = io::stderr().lock();
    out.write_all(question.as_bytes())?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
