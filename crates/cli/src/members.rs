//! Commands about servers, people, tokens and keys.

use std::{
    io::{self, IsTerminal, Read},
    net::IpAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use daemon::{enroll, remote::Remote};
use document::Kind;
use hyper::{Method, StatusCode};
use model::{
    access::{Fingerprint, JoinToken, Role, SecretText},
    api::access::{Granted, Invited, People, Progress, Removed, Servers},
};
use serde_json::json;

use crate::{
    args::{ApiTokenCommand, CONFIG, KeyName, ObjectCommand, Reach, ServerCommand, UserCommand},
    client::{self, Door},
    complain, config,
    print::{Style, lines},
    say, session,
};

/// How long a daemon has for its planned stop.
const STOP: Duration = Duration::from_secs(10);

/// What was made, and what else is to be done.
pub(crate) fn report(enrolled: &enroll::Enrolled, verb: &str) -> Result<ExitCode> {
    let mut text = format!("{} {verb} cluster {}\n", enrolled.server, enrolled.cluster);
    for authority in &enrolled.authorities {
        text += &format!("authority  {authority}\n");
    }
    for advice in &enrolled.advice {
        text += &format!("- {advice}\n");
    }
    say(&text)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn join(config: &Path, host: &str, token: Option<String>, address: Option<IpAddr>) -> Result<ExitCode> {
    let text = match token {
        Some(text) => SecretText::new(text),
        None => secret("Join token: ")?,
    };
    let token = JoinToken::parse(text.expose())?;
    report(&enroll::join(config, host, &token, address)?, "has joined")
}

pub(crate) fn token(seconds: u64, reach: &Reach) -> Result<ExitCode> {
    let body = client::request(
        &client::door(reach)?,
        Method::POST,
        "/v1/join-tokens",
        Some(json!({ "seconds": seconds }).to_string()),
    )?;
    let invited: Invited = serde_json::from_slice(&body)?;
    say(&format!("{}\n", invited.token.expose()))?;
    let terminal = io::stdout().is_terminal();
    if terminal {
        complain("on the new server: `standin join THIS-SERVER`, which asks for the token; it counts once");
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn leave(forget: bool, reach: &Reach) -> Result<ExitCode> {
    let config = reach.config.clone().unwrap_or_else(|| PathBuf::from(CONFIG));
    let state_dir = client::node(&config)?.state_dir;
    let door = client::door(&Reach { connect: None, ..reach.clone() })?;
    if client::listens(&door) {
        let body = client::request(&door, Method::POST, "/v1/leave", None)?;
        advise(&serde_json::from_slice::<Removed>(&body)?)?;
        let begun = host::clock::now();
        while client::listens(&door) {
            if host::clock::now().since(begun) > STOP {
                bail!("the daemon still runs: stop it, then `standin leave` again");
            }
            thread::sleep(Duration::from_millis(100));
        }
    } else if enroll::expelled(&state_dir)?.is_none() && !forget {
        bail!(
            "the daemon does not run, so nobody would hear of it: start it; or, if another server has removed this one, \
             `standin leave --forget`"
        );
    }
    if !enroll::forget(&state_dir)? {
        complain("this server was no member of a cluster");
    }
    Ok(ExitCode::SUCCESS)
}

fn advise(removed: &Removed) -> Result<()> {
    say(&removed.advice.iter().map(|advice| format!("- {advice}\n")).collect::<String>())
}

pub(crate) fn server(command: &ServerCommand) -> Result<ExitCode> {
    match command {
        ServerCommand::List { json, reach } => {
            let body = client::request(&client::door(reach)?, Method::GET, "/v1/servers", None)?;
            if *json {
                return print_json(&body);
            }
            let servers: Servers = serde_json::from_slice(&body)?;
            let mut table = Style::of_stdout().table(&["server", "admin port", "link", "starts"]);
            for server in &servers.servers {
                let cells = [&server.name, &server.reach.to_string(), &server.link, &server.starts.to_string()];
                table.add_row(cells);
            }
            say(&format!("{}\n", lines(&table)))?;
            for rotation in &servers.rotating {
                let waits = if rotation.awaited.is_empty() {
                    String::new()
                } else {
                    format!(", waits for {}", rotation.awaited.join(", "))
                };
                say(&format!("the {} is changing{waits}\n", rotation.key))?;
            }
        }
        ServerCommand::Object(ObjectCommand::Remove { name, how }) if !how.dry_run && has_members(&how.reach)? => {
            if how.confirm.is_some() {
                bail!("a membership that has ended cannot be undone: leave `--confirm` out");
            }
            let (path, body) = (format!("/v1/servers/{name}"), json!({ "why": how.why }).to_string());
            let body = client::request(&client::door(&how.reach)?, Method::DELETE, &path, Some(body))?;
            if how.json {
                return print_json(&body);
            }
            advise(&serde_json::from_slice(&body)?)?;
        }
        ServerCommand::Object(command) => return config::object(Kind::Server, command),
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether a cluster was made: else servers are only configured.
fn has_members(reach: &Reach) -> Result<bool> {
    let (code, _) = client::answer(&client::door(reach)?, Method::GET, "/v1/servers", None)?;
    Ok(code != StatusCode::CONFLICT)
}

pub(crate) fn user(command: &UserCommand) -> Result<ExitCode> {
    let put = |reach: &Reach, name: &str, body: serde_json::Value| {
        client::request(&client::door(reach)?, Method::PUT, &format!("/v1/users/{name}"), Some(body.to_string()))
    };
    match command {
        UserCommand::List { json, reach } => {
            let body = client::request(&client::door(reach)?, Method::GET, "/v1/users", None)?;
            if *json {
                return print_json(&body);
            }
            people(&serde_json::from_slice(&body)?)?;
        }
        UserCommand::Add { name, role, reach } => {
            let password = new_password(name)?;
            put(reach, name, json!({ "role": role.0, "password": password.expose() }))?;
        }
        UserCommand::Passwd { name: Some(name), reach } => {
            let password = new_password(name)?;
            put(reach, name, json!({ "password": password.expose() }))?;
        }
        UserCommand::Passwd { name: None, reach } => {
            let old = secret("Password so far: ")?;
            let new = new_password("yourself")?;
            let body = json!({ "old": old.expose(), "new": new.expose() }).to_string();
            client::request(&client::door(reach)?, Method::POST, "/v1/password", Some(body))?;
        }
        UserCommand::Remove { name, reach } => {
            client::request(&client::door(reach)?, Method::DELETE, &format!("/v1/users/{name}"), None)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn people(people: &People) -> Result<()> {
    let mut users = Style::of_stdout().table(&["person", "role"]);
    for person in &people.users {
        users.add_row([person.name.as_str(), person.role.word()]);
    }
    let mut tokens = Style::of_stdout().table(&["token", "of", "role", "until"]);
    for token in &people.tokens {
        let until = i64::try_from(token.expires).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
        let until = until.map_or_else(String::new, |at| at.to_string());
        let of = if token.session { format!("{} (session)", token.name) } else { token.name.clone() };
        tokens.add_row([token.id.as_str(), &of, token.role.word(), &until]);
    }
    say(&format!("{}\n\n{}\n", lines(&users), lines(&tokens)))
}

pub(crate) fn api_token(command: &ApiTokenCommand) -> Result<ExitCode> {
    match command {
        ApiTokenCommand::Add { name, role, seconds, reach } => {
            let body = json!({ "name": name, "role": role.0, "seconds": seconds.0 }).to_string();
            let body = client::request(&client::door(reach)?, Method::POST, "/v1/api-tokens", Some(body))?;
            let granted: Granted = serde_json::from_slice(&body)?;
            say(&format!("{}\n", granted.token.expose()))?;
        }
        ApiTokenCommand::Remove { id, reach } => {
            client::request(&client::door(reach)?, Method::DELETE, &format!("/v1/api-tokens/{id}"), None)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn login(host: &str, user: &str, fingerprint: Option<&str>) -> Result<ExitCode> {
    let known = session::known(host)?;
    let authorities = match (fingerprint.map(|text| Fingerprint::parse(text).context("that is no fingerprint")), known)
    {
        (Some(pinned), _) => vec![pinned?],
        (None, Some(known)) => known.authorities,
        (None, None) => bail!(
            "{host} is not known here: give `--fingerprint`, which `standin init` and `standin join` have printed, and which \
             stands behind the @ of a join token"
        ),
    };
    let password = secret(&format!("Password of {user}: "))?;
    let door = Door::Remote(Remote { host: host.to_owned(), authorities, token: None });
    let body = json!({ "user": user, "password": password.expose() }).to_string();
    let body = client::request(&door, Method::POST, "/v1/login", Some(body))?;
    let granted: Granted = serde_json::from_slice(&body)?;
    session::keep(host, session::Session { authorities: granted.authorities, token: Some(granted.token) })?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn logout(host: &str) -> Result<ExitCode> {
    let Some(known) = session::known(host)? else { bail!("nobody is logged in at {host}") };
    let ended = client::request(&Door::Remote(session::remote(host)?), Method::POST, "/v1/logout", None);
    session::keep(host, session::Session { token: None, ..known })?;
    ended.map(|_| ExitCode::SUCCESS)
}

pub(crate) fn rotate(key: KeyName, wait: bool, reach: &Reach) -> Result<ExitCode> {
    let body = json!({ "key": key.word() }).to_string();
    let door = client::door(reach)?;
    client::request(&door, Method::POST, "/v1/rotate", Some(body))?;
    if wait {
        return follow_rotation(key, &door);
    }
    complain("it goes on by itself: `standin server list` shows how far it is, `standin events` every step");
    Ok(ExitCode::SUCCESS)
}

/// Tells how far a rotation is whenever that is news, until it is over.
fn follow_rotation(key: KeyName, door: &Door) -> Result<ExitCode> {
    let (mut told, mut wrong) = (String::new(), None);
    client::lines(door, "/v1/servers/progress", |line| match serde_json::from_slice::<Progress>(line) {
        Ok(progress) => {
            let Some(rotation) = progress.rotating.iter().find(|one| one.key.starts_with(key.word())) else { return };
            let news = match rotation.awaited.as_slice() {
                [] => "every server is linked: under way\n".to_owned(),
                awaited => format!("waits for {}\n", awaited.join(", ")),
            };
            if news != told {
                wrong = say(&news).err();
                told = news;
            }
        }
        Err(error) => wrong = Some(error.into()),
    })?;
    if let Some(error) = wrong {
        return Err(error);
    }
    say(&format!("the {} key is changed\n", key.word()))?;
    Ok(ExitCode::SUCCESS)
}

fn print_json(body: &[u8]) -> Result<ExitCode> {
    let value: serde_json::Value = serde_json::from_slice(body)?;
    say(&(serde_json::to_string_pretty(&value)? + "\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// A secret from the terminal, without an echo; else from standard input, up to the end of the first line.
fn secret(prompt: &str) -> Result<SecretText> {
    if io::stdin().is_terminal() {
        return Ok(SecretText::new(rpassword::prompt_password(prompt).context("cannot ask for a secret")?));
    }
    let (mut text, mut byte) = (Vec::with_capacity(1024), [0]);
    while text.len() < 1024 && io::stdin().lock().read(&mut byte)? == 1 && byte[0] != b'\n' {
        text.push(byte[0]);
    }
    Ok(SecretText::new(String::from_utf8(text).context("that is not text")?.trim_end_matches('\r').to_owned()))
}

fn new_password(name: &str) -> Result<SecretText> {
    let password = secret(&format!("New password of {name}: "))?;
    if io::stdin().is_terminal() && secret("Again: ")? != password {
        bail!("the two are not the same");
    }
    Ok(password)
}

/// A role on the command line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoleArgument(pub Role);

impl std::str::FromStr for RoleArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Role::from_word(text).map(Self).ok_or_else(|| "viewer, operator or admin".to_owned())
    }
}

/// A time span on the command line, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seconds(pub u64);

impl std::str::FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let unit = match &text[split..] {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err("a number and s, m, h or d, such as 1h".to_owned()),
        };
        let number = text[..split].parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        number.map(Self).ok_or_else(|| "a number and s, m, h or d, such as 1h".to_owned())
    }
}
