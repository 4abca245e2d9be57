//! `standin doctor`: what keeps Standin from working on this machine, and how it is mended.
//!
//! The checks are `daemon::doctor`'s; here the running daemon is asked what it alone knows, and the findings are printed.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use daemon::doctor::{Checked, Facts, Finding, Running, Severity, collect, examine};
use hyper::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::{
    client::{self, Door},
    exit,
    print::{Style, Tone},
};

/// Looks, judges and prints.
pub(crate) fn run(config: &Path, parents: &[std::net::IpAddr], json: bool) -> Result<ExitCode> {
    let facts = collect(config, parents, running(config));
    let checks = examine(&facts);
    if json {
        let text = serde_json::to_string_pretty(&json!({ "running": facts.running.is_some(), "checks": checks }))?;
        crate::say(&(text + "\n"))?;
    } else {
        crate::say(&render(&facts, &checks, Style::of_stdout()))?;
    }
    let worst = checks.iter().flat_map(|check| &check.findings).map(|finding| finding.severity).max();
    Ok(match worst {
        _ if facts.mistakes.is_some() => ExitCode::from(exit::BAD_CONFIGURATION),
        Some(Severity::Warning | Severity::Error) => ExitCode::from(exit::DEGRADED),
        Some(Severity::Note) | None => ExitCode::SUCCESS,
    })
}

/// What the daemon says, if it runs and answers.
fn running(config: &Path) -> Option<Running> {
    let socket: PathBuf = client::node(config).ok()?.socket;
    let door = Door::Socket(socket);
    let status = get(&door, "/v1/status").ok()??;
    let diagnosis = get(&door, "/v1/doctor").ok()??;
    Some(Running { status, diagnosis, servers: get(&door, "/v1/servers").ok()? })
}

/// An answer; none where there is nothing of that kind, as before a cluster was made.
fn get<T: DeserializeOwned>(door: &Door, path: &str) -> Result<Option<T>> {
    let (code, body) = client::answer(door, Method::GET, path, None)?;
    match code {
        StatusCode::OK => serde_json::from_slice(&body).map(Some).context("the daemon's answer is of another version"),
        _ => Ok(None),
    }
}

fn render(facts: &Facts, checks: &[Checked], style: Style) -> String {
    let mut text = String::new();
    for check in checks {
        let word = match check.skipped {
            Some(why) => style.paint(&format!("not looked at: {why}"), Tone::Warn),
            None if check.findings.is_empty() => style.paint("ok", Tone::Good),
            None => String::new(),
        };
        text += format!("{:14} {}  {word}", check.check, check.about).trim_end();
        text += "\n";
        check.findings.iter().for_each(|finding| text += &one(finding, style));
    }
    let count =
        |severity| checks.iter().flat_map(|check| &check.findings).filter(|one| one.severity == severity).count();
    let (errors, warnings, notes) = (count(Severity::Error), count(Severity::Warning), count(Severity::Note));
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    text += &format!("\n{}, {}, {}", plural(errors, "error"), plural(warnings, "warning"), plural(notes, "note"));
    let confined = facts.running.iter().flat_map(|running| &running.diagnosis.confinement);
    let confined: Vec<&str> = confined.filter(|one| one.state == "on").map(|one| one.name.as_str()).collect();
    if !confined.is_empty() {
        text += &format!("; threads that read what strangers send are confined by {}", confined.join(" and "));
    }
    text + "\n"
}

fn one(finding: &Finding, style: Style) -> String {
    let tone = match finding.severity {
        Severity::Error => Tone::Bad,
        Severity::Warning => Tone::Warn,
        Severity::Note => Tone::Plain,
    };
    let seen = finding.seen.trim_end().replace('\n', "\n      ");
    let mut text = format!("  {}: {seen}\n      {}\n", style.paint(finding.severity.word(), tone), finding.why);
    finding.remedy.run.iter().for_each(|command| text += &format!("      $ {command}\n"));
    if !finding.remedy.then.is_empty() {
        text += &format!("      > {}\n", finding.remedy.then);
    }
    text
}
