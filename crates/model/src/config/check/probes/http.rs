//! `type = "http"` and `type = "https"`.

use std::{ops::RangeInclusive, sync::Arc};

use super::super::super::{
    probe::{HttpMethod, HttpProbe, ProbeKind, Redirects, Tls},
    read::{Fields, Value},
};

pub(super) const KEYS: &[&str] =
    &["method", "path", "host", "headers", "status", "body", "body-matches", "redirects", "keep-alive"];

/// What the request says by itself.
const OURS: [&str; 6] = ["host", "connection", "content-length", "transfer-encoding", "upgrade", "te"];

pub(super) fn read(fields: &Fields<'_>, tls: Option<Tls>) -> Option<ProbeKind> {
    let method = fields.get("method").map_or(Some(HttpMethod::Get), |value| value.choice(&HttpMethod::ALL));
    let path = fields.get("path").map_or(Some("/".into()), |value| path(&value));
    let host = fields.get("host").map_or(Some(None), |value| host(&value).map(Some));
    let headers = fields.get("headers").map_or(Some(Vec::new()), |value| headers(&value));
    let status = fields.get("status").map_or(Some(vec![(200, 399)]), |value| status(&value));
    let body = fields.get("body").map_or(Some(None), |value| value.text("ok").map(Some));
    let body_matches = fields.get("body-matches").map_or(Some(None), |value| value.pattern("ok").map(Some));
    let choices = [("answer", Redirects::Answer), ("follow", Redirects::Follow)];
    let redirects = fields.get("redirects").map_or(Some(Redirects::Answer), |value| value.choice(&choices));
    let keep_alive = fields.get("keep-alive").map_or(Some(false), |value| value.boolean());
    if method == Some(HttpMethod::Head) {
        for name in ["body", "body-matches"] {
            fields.refuse(name, format!("with `method = \"HEAD\"` there is no body for `{name}`"), "write \"GET\"");
        }
    }
    Some(ProbeKind::Http(HttpProbe {
        method: method?,
        path: path?,
        host: host?,
        headers: headers?,
        status: status?,
        body: body?.map(Into::into),
        body_matches: body_matches?,
        redirects: redirects?,
        keep_alive: keep_alive?,
        tls,
    }))
}

fn path(value: &Value<'_>) -> Option<Arc<str>> {
    let path = value.text("/health")?;
    let good = path.starts_with('/') && path.chars().all(|c| c.is_ascii_graphic() && c != '#');
    if !good {
        value.refuse(
            format!("\"{path}\" is not the path of a request"),
            "write a path from `/` on, such as \"/health\"; other than plain ASCII is written %XX",
        );
    }
    good.then(|| path.into())
}

fn host(value: &Value<'_>) -> Option<Arc<str>> {
    let host = value.text("www.example.org")?;
    let good = host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:[]".contains(c));
    if !good {
        value.refuse(format!("\"{host}\" is not a host name"), "write a name such as \"www.example.org\"");
    }
    good.then(|| host.into())
}

/// RFC 9110 section 5.6.2: a name is a token.
fn headers(value: &Value<'_>) -> Option<Vec<(Arc<str>, Arc<str>)>> {
    if !value.is_table() {
        value.refuse("`headers` must be a table", "write `headers = { Accept = \"text/html\" }`");
        return None;
    }
    let mut headers = Vec::new();
    for (name, text) in value.named() {
        let token =
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c));
        if !token {
            text.refuse_name(format!("\"{name}\" is not the name of a header"), "write one such as `Accept`");
        } else if OURS.contains(&name.to_ascii_lowercase().as_str()) {
            text.refuse_name(
                format!("the header `{name}` is the probe's own"),
                "remove it; `host` sets the Host header",
            );
        } else if let Some(text) = text.text("text/html") {
            headers.push((name.into(), text.into()));
        }
    }
    (headers.len() == value.named().len()).then_some(headers)
}

/// `200`, `"200-299"`, or a list of such.
fn status(value: &Value<'_>) -> Option<Vec<(u16, u16)>> {
    if !value.is_list() {
        return status_range(value).map(|range| vec![range]);
    }
    let values = value.list("200")?;
    if values.is_empty() {
        value.refuse("no status would be a success", "write the codes that are, such as `[200, \"300-399\"]`");
        return None;
    }
    let ranges: Vec<_> = values.iter().map(status_range).collect();
    ranges.into_iter().collect()
}

fn status_range(value: &Value<'_>) -> Option<(u16, u16)> {
    const CODES: RangeInclusive<u16> = 100..=599;
    if !value.is_text() {
        return value.integer(CODES).map(|code| (code, code));
    }
    let text = value.text("200-299")?;
    let range = text.split_once('-').and_then(|(low, high)| Some((low.parse().ok()?, high.parse().ok()?)));
    let range = range.filter(|(low, high)| low <= high && CODES.contains(low) && CODES.contains(high));
    if range.is_none() {
        value.refuse(
            format!("\"{text}\" is not a range of status codes"),
            "write codes from 100 to 599: `200`, or `\"200-299\"`",
        );
    }
    range
}
