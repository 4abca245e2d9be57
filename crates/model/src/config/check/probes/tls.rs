//! The fields of TLS, which many types have.

use std::sync::Arc;

use super::super::super::{
    probe::{Tls, TlsStart},
    read::{Fields, Value},
};

pub(super) const KEYS: &[&str] = &["tls", "server-name", "verify", "ca-file", "expiry-warning-days"];
/// What means something only where there is TLS.
const ONLY_WITH: [&str; 4] = ["server-name", "verify", "ca-file", "expiry-warning-days"];

/// How a type may use TLS.
#[derive(Clone, Copy)]
pub(super) enum Ways {
    Never,
    Always,
    /// From the first byte on, or not at all.
    Implicit,
    /// After a request for it, or not at all.
    Within,
    /// Both.
    Either,
}

/// None: something is wrong. None within: there is no TLS.
pub(super) fn read(ways: Ways, fields: &Fields<'_>) -> Option<Option<Tls>> {
    let Some(start) = start(ways, fields)? else {
        if !matches!(ways, Ways::Never) {
            for name in ONLY_WITH {
                fields.refuse(
                    name,
                    format!("`{name}` means nothing without TLS"),
                    if matches!(ways, Ways::Within) {
                        "remove it, or write `tls = \"starttls\"`"
                    } else {
                        "remove it, or write `tls = \"implicit\"`"
                    },
                );
            }
        }
        return Some(None);
    };
    let verify = fields.get("verify").map_or(Some(true), |value| value.boolean());
    let server_name = fields.get("server-name").map_or(Some(None), |value| server_name(&value).map(Some));
    let ca_file = fields.get("ca-file").map_or(Some(None), |value| value.path("/etc/ssl/internal-ca.pem").map(Some));
    let days = fields.get("expiry-warning-days").map_or(Some(14), |value| value.integer(0..=365));
    let verify = verify?;
    // An HTTP monitor has told the name already.
    let host = matches!(ways, Ways::Always).then(|| fields.get("host")?.text("www.example.org")).flatten();
    let server_name = server_name?.or_else(|| host.map(without_port).map(Arc::from));
    if verify && server_name.is_none() {
        fields.refuse_whole(
            "which name the certificate must be for is not said",
            "add `server-name = \"www.example.org\"`, the name that clients use, or `verify = false`",
        );
        return None;
    }
    if !verify {
        fields.refuse("ca-file", "`ca-file` means nothing with `verify = false`", "remove one of the two");
    }
    Some(Some(Tls { start, server_name, verify, ca_file: ca_file?, expiry_warning_days: days? }))
}

fn start(ways: Ways, fields: &Fields<'_>) -> Option<Option<TlsStart>> {
    const CHOICES: [(&str, Option<TlsStart>); 3] =
        [("implicit", Some(TlsStart::Implicit)), ("none", None), ("starttls", Some(TlsStart::StartTls))];
    let choices = match ways {
        Ways::Never => return Some(None),
        Ways::Always => return Some(Some(TlsStart::Implicit)),
        Ways::Implicit => &CHOICES[..2],
        Ways::Within => &CHOICES[1..],
        Ways::Either => &CHOICES[..],
    };
    fields.get("tls").map_or(Some(None), |value| value.choice(choices))
}

/// A name, or an address as it may stand in a certificate.
fn server_name(value: &Value<'_>) -> Option<Arc<str>> {
    let name = value.text("www.example.org")?;
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    let good = name.parse::<std::net::IpAddr>().is_ok() || (name.len() <= 253 && name.split('.').all(label));
    if !good {
        value.refuse(
            format!("\"{name}\" is not a name that a certificate can be for"),
            "write a name such as \"www.example.org\", without port and final dot",
        );
    }
    good.then(|| name.into())
}

/// The `Host` header may have a port, and brackets around an IPv6 address.
fn without_port(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    }
}
