//! An incident as one file to send to somebody: a tar of texts that need no Standin to be read.
//!
//! What may be secret is left out of the configuration: see [`SECRET`]. Keys, passwords and tokens are not in it anyway. The file
//! is for its owner alone, and none is overwritten.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, Result};
use chronicle::incident::Incident;
use daemon::desk::api::Configuration;
use document::Kind;
use hyper::Method;
use serde_json::Value;
use toml::Table;

use crate::client::{self, Door};

/// Fields of monitors, hooks and recovery programs in which people write what others must not read.
const SECRET: [&str; 4] = ["headers", "send", "args", "command"];
const LEFT_OUT: &str = "left out";

/// Writes the bundle. `heartbeats` are each server's, or why there are none.
///
/// # Errors
/// When the file is there already or cannot be written, or the daemon does not tell its status.
pub(crate) fn write(
    file: &Path,
    door: &Door,
    incident: &Incident,
    told: &str,
    log: &[Value],
    heartbeats: Vec<(String, Result<Vec<Value>>)>,
) -> Result<()> {
    let status = client::request(door, Method::GET, "/v1/status", None)?;
    let status = serde_json::to_string_pretty(&serde_json::from_slice::<Value>(&status)?)?;
    let lines = |all: &[Value]| all.iter().map(|entry| format!("{entry}\n")).collect::<String>();
    let mut files = vec![
        ("incident.txt".to_owned(), told.to_owned()),
        ("incident.json".to_owned(), serde_json::to_string_pretty(incident)?),
        ("log.jsonl".to_owned(), lines(log)),
        ("status.json".to_owned(), status),
    ];
    for (server, told) in heartbeats {
        files.push(match told {
            Ok(all) => (format!("heartbeats-{server}.jsonl"), lines(&all)),
            Err(error) => (format!("heartbeats-{server}.missing"), format!("{error:#}\n")),
        });
    }
    // In file mode there is none to ask for.
    if let Ok(body) = client::request(door, Method::GET, "/v1/config", None) {
        let configuration: Configuration = serde_json::from_slice(&body)?;
        for (key, text) in &configuration.objects {
            let text = if key.kind == Kind::Template { text.to_string() } else { without_secrets(text)? };
            files.push((format!("configuration/{key}"), text));
        }
    }
    let taken = || format!("cannot make {}", file.display());
    let out = OpenOptions::new().create_new(true).write(true).mode(0o600).open(file).with_context(taken)?;
    pack(out, &incident.id, &files).with_context(|| format!("cannot write {}", file.display()))
}

fn pack(out: impl Write, id: &str, files: &[(String, String)]) -> io::Result<()> {
    let mut bundle = tar::Builder::new(out);
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        bundle.append_data(&mut header, format!("incident-{id}/{name}"), text.as_bytes())?;
    }
    bundle.into_inner()?.flush()
}

/// An object's text without the values that may be secret.
fn without_secrets(text: &str) -> Result<String> {
    let mut object: Table = text.parse().context("an object of the configuration is not TOML")?;
    object.iter_mut().for_each(|(key, value)| hide(key, value));
    Ok(object.to_string())
}

fn hide(key: &str, value: &mut toml::Value) {
    if SECRET.contains(&key) {
        *value = LEFT_OUT.into();
        return;
    }
    match value {
        toml::Value::Table(table) => table.iter_mut().for_each(|(key, value)| hide(key, value)),
        toml::Value::Array(all) => all.iter_mut().for_each(|value| hide("", value)),
        toml::Value::String(_)
        | toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_is_left_out_wherever_it_stands() {
        let text = "[virtual-host.v1]\naddresses = [\"192.0.2.1\"]\n[[virtual-host.v1.monitor]]\ntype = \"http\"\n\
                    headers = { Authorization = \"Bearer hush\" }\n[[virtual-host.v1.monitor]]\ntype = \"tcp\"\nsend = \"hush\"\n";
        let shown = without_secrets(text).unwrap();
        assert!(!shown.contains("hush") && shown.contains("192.0.2.1") && shown.contains("http"), "{shown}");
        assert_eq!(shown.matches(LEFT_OUT).count(), 2, "{shown}");
    }
}
