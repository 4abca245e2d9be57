//! `server`, `virtual-host`, `endpoint`, `pool`, `monitor` and `settings`: single objects.

use std::process::ExitCode;

use anyhow::Result;
use daemon::desk::api::{Configuration, Wanted};
use document::{
    Key, Kind,
    fields::{Part, set_fields, without_monitor},
};
use serde_json::json;

use super::{CONFLICT, Daemon, MISTAKES, Refused, change};
use crate::{
    args::{How, MonitorEdit, ObjectCommand, ReadHow, SettingsCommand},
    say,
};

/// A command about objects of one kind.
pub(crate) fn object(kind: Kind, command: &ObjectCommand) -> Result<ExitCode> {
    match command {
        ObjectCommand::Add { name, fields, how } => {
            let (daemon, key) = (Daemon::of(&how.reach)?, key(kind, name)?);
            let configuration = daemon.configuration()?;
            if configuration.objects.contains_key(&key) {
                let message = format!("there is a {key} already: `standin {} set {name} ...` changes it", kind.word());
                return Err(Refused::because(CONFLICT, message));
            }
            set(&daemon, &configuration, &key, &Part::Whole, fields, how)
        }
        ObjectCommand::Set { name, fields, how } => {
            let (daemon, key) = (Daemon::of(&how.reach)?, key(kind, name)?);
            let configuration = daemon.configuration()?;
            existing(&configuration, &key)?;
            set(&daemon, &configuration, &key, &Part::Whole, fields, how)
        }
        ObjectCommand::Remove { name, how } => {
            let (daemon, key) = (Daemon::of(&how.reach)?, key(kind, name)?);
            let configuration = daemon.configuration()?;
            existing(&configuration, &key)?;
            daemon.edit(Wanted::Changes(vec![change(&configuration, &key, None)]), Vec::new(), how)
        }
        ObjectCommand::Show { name, how } => show(kind, name.as_deref(), how),
    }
}

/// A command about monitors.
pub(crate) fn monitor(command: &MonitorEdit) -> Result<ExitCode> {
    match command {
        MonitorEdit::Add { of, fields, how } => {
            let daemon = Daemon::of(&how.reach)?;
            let configuration = daemon.configuration()?;
            let key = monitored(&configuration, of)?;
            set(&daemon, &configuration, &key, &Part::NewMonitor, fields, how)
        }
        MonitorEdit::Set { of, monitor, fields, how } => {
            let daemon = Daemon::of(&how.reach)?;
            let configuration = daemon.configuration()?;
            let key = monitored(&configuration, of)?;
            set(&daemon, &configuration, &key, &Part::Monitor(monitor), fields, how)
        }
        MonitorEdit::Remove { of, monitor, how } => {
            let daemon = Daemon::of(&how.reach)?;
            let configuration = daemon.configuration()?;
            let key = monitored(&configuration, of)?;
            let text = without_monitor(&key, existing(&configuration, &key)?, monitor)
                .map_err(|error| Refused::because(MISTAKES, error.to_string()))?;
            daemon.edit(Wanted::Changes(vec![change(&configuration, &key, Some(text))]), Vec::new(), how)
        }
        MonitorEdit::Show { of, how } => {
            let configuration = Daemon::of(&how.reach)?.configuration()?;
            let key = monitored(&configuration, of)?;
            print(&key, existing(&configuration, &key)?, how)
        }
    }
}

/// A command about the cluster's settings.
pub(crate) fn settings(command: &SettingsCommand) -> Result<ExitCode> {
    let dns = key(Kind::Dns, Key::SETTINGS)?;
    match command {
        SettingsCommand::Set { fields, how } => {
            let daemon = Daemon::of(&how.reach)?;
            let configuration = daemon.configuration()?;
            let (of_dns, of_cluster): (Vec<_>, Vec<_>) = fields.iter().partition(|field| field.starts_with("dns."));
            let of_dns: Vec<String> = of_dns.iter().map(|field| field["dns.".len()..].to_owned()).collect();
            let of_cluster: Vec<String> = of_cluster.into_iter().cloned().collect();
            let mut changes = Vec::new();
            for (key, fields) in [(Key::cluster(), of_cluster), (dns, of_dns)] {
                if !fields.is_empty() {
                    let text = configuration.objects.get(&key).map(|text| &**text);
                    let text = set_fields(&key, text, &Part::Whole, &fields)
                        .map_err(|error| Refused::because(MISTAKES, error.to_string()))?;
                    changes.push(change(&configuration, &key, Some(text)));
                }
            }
            daemon.edit(Wanted::Changes(changes), Vec::new(), how)
        }
        SettingsCommand::Show { how } => {
            let configuration = Daemon::of(&how.reach)?.configuration()?;
            let texts: Vec<(&Key, &str)> = [&Key::cluster(), &dns]
                .into_iter()
                .filter_map(|key| configuration.objects.get_key_value(key).map(|(key, text)| (key, &**text)))
                .collect();
            if how.json {
                let object: serde_json::Map<String, serde_json::Value> =
                    texts.iter().map(|(key, text)| (key.to_string(), json!(text))).collect();
                say(&(serde_json::to_string_pretty(&object)? + "\n"))?;
            } else {
                say(&texts.iter().map(|(_, text)| *text).collect::<Vec<_>>().join("\n"))?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn set(
    daemon: &Daemon,
    configuration: &Configuration,
    key: &Key,
    part: &Part<'_>,
    fields: &[String],
    how: &How,
) -> Result<ExitCode> {
    let text = configuration.objects.get(key).map(|text| &**text);
    let text = set_fields(key, text, part, fields).map_err(|error| Refused::because(MISTAKES, error.to_string()))?;
    daemon.edit(Wanted::Changes(vec![change(configuration, key, Some(text))]), Vec::new(), how)
}

/// The key of a name that somebody typed.
pub(super) fn key(kind: Kind, name: &str) -> Result<Key> {
    Key::new(kind, name).ok_or_else(|| {
        let rule = "a name has letters, digits, `-`, `_` and `.`, 1 to 63 of them, and begins with a letter or digit";
        Refused::because(MISTAKES, format!("`{name}` is no name of a {}: {rule}", kind.word()))
    })
}

/// The text of an object that must be there.
pub(super) fn existing<'c>(configuration: &'c Configuration, key: &Key) -> Result<&'c str> {
    let text = configuration.objects.get(key).map(|text| &**text);
    text.ok_or_else(|| {
        let names: Vec<&str> =
            configuration.objects.keys().filter(|other| other.kind == key.kind).map(|other| &*other.name).collect();
        let near = model::nearest(&key.name, names.iter().copied());
        let advice = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => "there is none".to_owned(),
            None => format!("there is: {}", names.join(", ")),
        };
        Refused::because(CONFLICT, format!("there is no {key}; {advice}"))
    })
}

/// The virtual host or endpoint of a name.
fn monitored(configuration: &Configuration, name: &str) -> Result<Key> {
    let host = key(Kind::VirtualHost, name)?;
    let endpoint = key(Kind::Endpoint, name)?;
    if !configuration.objects.contains_key(&host) && configuration.objects.contains_key(&endpoint) {
        return Ok(endpoint);
    }
    existing(configuration, &host)?;
    Ok(host)
}

/// One object, or the list of a kind.
pub(super) fn show(kind: Kind, name: Option<&str>, how: &ReadHow) -> Result<ExitCode> {
    let configuration = Daemon::of(&how.reach)?.configuration()?;
    if let Some(name) = name {
        let key = key(kind, name)?;
        return print(&key, existing(&configuration, &key)?, how);
    }
    let names = configuration.objects.keys().filter(|key| key.kind == kind).map(|key| &*key.name);
    if how.json {
        say(&(serde_json::to_string_pretty(&names.collect::<Vec<_>>())? + "\n"))?;
    } else {
        say(&names.map(|name| format!("{name}\n")).collect::<String>())?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn print(key: &Key, text: &str, how: &ReadHow) -> Result<ExitCode> {
    if how.json {
        say(&(serde_json::to_string_pretty(&json!({ "key": key, "text": text }))? + "\n"))?;
    } else {
        say(text)?;
    }
    Ok(ExitCode::SUCCESS)
}
