//! The `standin` program: the command line. `run` starts the daemon; the other commands ask it, or read files.
//!
//! Deliberately not here: anything that the daemon does.

mod args;
mod bundle;
mod check;
mod client;
mod config;
mod demo;
mod doctor;
mod exit;
mod log;
mod manual;
mod members;
mod notify;
mod print;
mod session;
mod top;

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::Parser;
use document::Kind;
use hyper::Method;
use model::api::{Status, Why, access::ClusterEvents, usage::DnsUsage};
use serde_json::{Value, json};

use args::{
    Args, Command, DnsCommand, Forced, LogFormat, MonitorCommand, MonitorOverride, NotifyCommand, Reach, Target,
    ZoneCommand,
};
use print::Style;

/// An edit of a large zone makes and drops pieces of megabytes.
#[global_allocator]
static ALLOCATOR: host::memory::Allocator = host::memory::Allocator;

fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::Run { config, log_format, guarded, while_stdin } => {
            let format = match log_format {
                LogFormat::Text => daemon::LogFormat::Text,
                LogFormat::Json => daemon::LogFormat::Json,
            };
            return match guarded {
                Some(passed) => daemon::run(&config, format, &passed, while_stdin),
                None => daemon::guard(format, "--guarded"),
            };
        }
        Command::Openapi => openapi(),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { out } => manual::man(&out),
        Command::Check { config, parent } => return check::run(&config, &parent),
        Command::Doctor { config, parent, json } => doctor::run(&config, &parent, json),
        Command::Demo { keep } => return demo::run(keep),
        Command::Init(init) => config::init(&init),
        Command::Server(command) => config::end(members::server(&command)),
        Command::VirtualHost(command) => config::end(config::object(Kind::VirtualHost, &command)),
        Command::Endpoint(command) => config::end(config::object(Kind::Endpoint, &command)),
        Command::Pool(command) => config::end(config::object(Kind::Pool, &command)),
        Command::Notify(NotifyCommand::Edit(command)) => config::end(config::object(Kind::Notify, &command)),
        Command::Notify(NotifyCommand::Use(command)) => notify::notify(&command),
        Command::Monitor(MonitorCommand::Edit(edit)) => config::end(config::monitor(&edit)),
        Command::Monitor(MonitorCommand::Override(command)) => override_monitor(command),
        Command::Settings(command) => config::end(config::settings(&command)),
        Command::Plan(plan) => config::end(config::plan(&plan)),
        Command::Apply(apply) => config::end(config::apply(&apply)),
        Command::Confirm(how) => config::end(config::confirm(&how)),
        Command::Diff { other, how } => config::end(config::diff(&other, &how)),
        Command::Export(export) => config::end(config::export(&export)),
        Command::History { limit, how } => config::end(config::history(limit, &how)),
        Command::Rollback(rollback) => config::end(config::rollback(&rollback)),
        Command::Conflicts(how) => config::end(config::conflicts(&how)),
        Command::Resolve(resolve) => config::end(config::resolve(&resolve)),
        Command::Zone { command } => zone(command),
        Command::Dns { command: DnsCommand::Why { name, kind, json, reach } } => dns_why(&name, &kind, json, &reach),
        Command::Dns { command: DnsCommand::Top { by, minutes, limit, cluster, json, reach } } => {
            dns_top(&format!("{}minutes={minutes}&limit={limit}&cluster={cluster}", by.path()), json, &reach)
        }
        Command::Status { json, reach } => status(json, &reach),
        Command::Top { reach } => client::door(&reach).and_then(|door| top::run(&door)).map(|()| ExitCode::SUCCESS),
        Command::Events { json, cluster, reach } => events(json, cluster, &reach),
        Command::Log(wanted) => log::log(&wanted),
        Command::Incidents(wanted) => log::incidents(&wanted),
        Command::Token { seconds, reach } => members::token(seconds.0, &reach),
        Command::Join { host, token, address, config } => members::join(&config, &host, token, address),
        Command::Leave { forget, reach } => members::leave(forget, &reach),
        Command::User { command } => members::user(&command),
        Command::ApiToken { command } => members::api_token(&command),
        Command::Login { connect, user, fingerprint } => members::login(&connect, &user, fingerprint.as_deref()),
        Command::Logout { connect } => members::logout(&connect),
        Command::Rotate { key, wait, reach } => members::rotate(key, wait, &reach),
        Command::Standby(target) => command("/v1/standby", &target),
        Command::Resume(target) => command("/v1/resume", &target),
        Command::Push { monitor, state, message, reach } => {
            let report = json!({ "monitor": monitor, "state": state.word(), "message": message }).to_string();
            client::door(&reach)
                .and_then(|door| client::request(&door, Method::POST, "/v1/push", Some(report)))
                .map(|_| ExitCode::SUCCESS)
        }
    };
    outcome.unwrap_or_else(|error| {
        complain(&format!("standin: {error:#}"));
        ExitCode::FAILURE
    })
}

fn openapi() -> Result<ExitCode> {
    say(&(serde_json::to_string_pretty(&daemon::openapi())? + "\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn zone(command: ZoneCommand) -> Result<ExitCode> {
    match command {
        ZoneCommand::Render { config, serial, zone } => render_zone(&config, &zone, serial),
        ZoneCommand::Query { config, template, down, zone, name, kind } => {
            query_zone(&config, template.as_deref(), &zone, (&name, &kind), &down)
        }
        ZoneCommand::Add { zone, template, fields, how } => {
            config::end(config::zone_add(&zone, &template, &fields, &how))
        }
        ZoneCommand::Set { zone, template, fields, how } => {
            config::end(config::zone_set(&zone, template.as_deref(), &fields, &how))
        }
        ZoneCommand::Remove { zone, how } => config::end(config::zone_remove(&zone, &how)),
        ZoneCommand::Show { zone, how } => config::end(config::zone_show(zone.as_deref(), &how)),
        ZoneCommand::Edit { zone, yes, how } => config::end(config::zone_edit(&zone, yes, &how)),
    }
}

fn status(json: bool, reach: &Reach) -> Result<ExitCode> {
    let body = client::request(&client::door(reach)?, Method::GET, "/v1/status", None)?;
    let status: Status = serde_json::from_slice(&body).context("the daemon's answer is not a status")?;
    if json {
        // The daemon's own text, pretty: a newer daemon's new fields are shown too.
        let value: Value = serde_json::from_slice(&body)?;
        say(&(serde_json::to_string_pretty(&value)? + "\n"))?;
    } else {
        say(&print::status::render(&status, Style::of_stdout()))?;
    }
    let well = print::status::complaints(&status).is_empty();
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(exit::DEGRADED) })
}

fn events(json: bool, cluster: bool, reach: &Reach) -> Result<ExitCode> {
    let path = if cluster { "/v1/events?cluster=true" } else { "/v1/events" };
    let body = client::request(&client::door(reach)?, Method::GET, path, None)?;
    let entries: Vec<Value> = if cluster {
        let all: ClusterEvents =
            serde_json::from_slice(&body).context("the daemon's answer is not a list of events")?;
        for missing in &all.unreachable {
            complain(&format!("without the events of {}: {}", missing.server, missing.why));
        }
        all.entries
    } else {
        serde_json::from_slice(&body).context("the daemon's answer is not a list of events")?
    };
    if json {
        say(&entries.iter().map(|entry| entry.to_string() + "\n").collect::<String>())?;
    } else {
        say(&print::events::render(&entries, &jiff::tz::TimeZone::system(), Style::of_stdout()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn command(path: &str, target: &Target) -> Result<ExitCode> {
    let door = client::door(&target.reach)?;
    let server = match &target.server {
        Some(server) => server.clone(),
        None => client::status(&door)?.this,
    };
    client::request(&door, Method::POST, path, Some(json!({ "server": server }).to_string()))?;
    Ok(ExitCode::SUCCESS)
}

fn override_monitor(command: MonitorOverride) -> Result<ExitCode> {
    let (path, asked, reach) = match command {
        MonitorOverride::Force { monitor, verdict, lasts, server, reach } => {
            let up = verdict == Forced::Up;
            let lasts = lasts.map(|lasts| u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX));
            let asked = json!({ "monitor": monitor, "up": up, "for_ms": lasts, "server": server });
            ("/v1/monitor/force", asked, reach)
        }
        MonitorOverride::Reset { monitor, server, reach } => {
            ("/v1/monitor/reset", json!({ "monitor": monitor, "server": server }), reach)
        }
    };
    client::request(&client::door(&reach)?, Method::POST, path, Some(asked.to_string()))?;
    Ok(ExitCode::SUCCESS)
}

fn render_zone(config: &Path, zone: &str, serial: u32) -> Result<ExitCode> {
    match daemon::zone_text(config, zone, serial) {
        Ok(text) => {
            say(&text)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            complain(&error.to_string());
            Ok(ExitCode::from(error.exit_code()))
        }
    }
}

fn query_zone(
    config: &Path,
    template: Option<&Path>,
    zone: &str,
    question: (&str, &str),
    down: &[String],
) -> Result<ExitCode> {
    match daemon::zone_query(config, template, zone, question, down) {
        Ok(why) => {
            say(&print::why::render(&why, Style::of_stdout()))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            complain(&error.to_string());
            Ok(ExitCode::from(error.exit_code()))
        }
    }
}

fn dns_why(name: &str, kind: &str, json: bool, reach: &Reach) -> Result<ExitCode> {
    let path = "/v1/dns/why";
    let asked = json!({ "name": name, "type": kind }).to_string();
    let body = client::request(&client::door(reach)?, Method::POST, path, Some(asked))?;
    if json {
        let value: Value = serde_json::from_slice(&body)?;
        say(&(serde_json::to_string_pretty(&value)? + "\n"))?;
    } else {
        let why: Why = serde_json::from_slice(&body).context("the daemon's answer is not a reason")?;
        say(&print::why::render(&why, Style::of_stdout()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn dns_top(path: &str, json: bool, reach: &Reach) -> Result<ExitCode> {
    let body = client::request(&client::door(reach)?, Method::GET, path, None)?;
    if json {
        let value: Value = serde_json::from_slice(&body)?;
        say(&(serde_json::to_string_pretty(&value)? + "\n"))?;
    } else {
        let usage: DnsUsage = serde_json::from_slice(&body).context("the daemon's answer is not a list of counts")?;
        say(&print::usage::render(&usage, Style::of_stdout()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints; a reader that has gone away, such as `head`, is no error.
fn say(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot print"),
    }
}

fn complain(text: &str) {
    // Nobody is left to tell if this fails.
    let _ = writeln!(io::stderr().lock(), "{}", text.trim_end());
}
