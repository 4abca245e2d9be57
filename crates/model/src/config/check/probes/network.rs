//! `type = "dns"`, `type = "grpc"`, `type = "icmp"`, `type = "ntp"`, `type = "smb"`, `type = "nfs"`.

use std::sync::Arc;

use super::super::super::{
    probe::{DnsProbe, GrpcProbe, ProbeKind, RecordType, Tls},
    read::{Fields, Value},
};

pub(super) const DNS: &[&str] = &["query", "record-type", "answer", "transport"];
pub(super) const GRPC: &[&str] = &["service"];
pub(super) const NTP: &[&str] = &["max-stratum"];
pub(super) const NFS: &[&str] = &["version"];

pub(super) fn dns(fields: &Fields<'_>, _: Option<Tls>) -> Option<ProbeKind> {
    let query = fields.require("query", "query = \"www.example.org\"").and_then(|value| domain_name(&value));
    let record_type = fields.get("record-type").map_or(Some(RecordType::A), |value| value.choice(&RecordType::ALL));
    let answer = fields.get("answer").map_or(Some(Vec::new()), |value| answer(&value));
    let tcp = fields.get("transport").map_or(Some(false), |value| value.choice(&[("udp", false), ("tcp", true)]));
    Some(ProbeKind::Dns(DnsProbe { query: query?, record_type: record_type?, answer: answer?, tcp: tcp? }))
}

/// RFC 1035 section 2.3.4; `.` is the root.
fn domain_name(value: &Value<'_>) -> Option<Arc<str>> {
    let name = value.text("www.example.org")?;
    let labels = name.strip_suffix('.').unwrap_or(name);
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_graphic());
    let good = name == "." || (labels.len() <= 253 && labels.split('.').all(label));
    if !good {
        value.refuse(format!("\"{name}\" is not a domain name"), "write a name such as \"www.example.org\", or \".\"");
    }
    good.then(|| name.into())
}

/// One text, or a list of such.
fn answer(value: &Value<'_>) -> Option<Vec<Arc<str>>> {
    let texts = if value.is_list() { value.list("\"192.0.2.1\"")? } else { vec![value.clone()] };
    texts.iter().map(|text| text.text("192.0.2.1").map(Arc::from)).collect()
}

pub(super) fn grpc(fields: &Fields<'_>, tls: Option<Tls>) -> Option<ProbeKind> {
    const LONGEST: usize = 127;
    let service = fields.get("service").map_or(Some(None), |value| {
        let name = value.text("example.Service")?;
        if name.len() > LONGEST {
            value.refuse(format!("a name of {} bytes", name.len()), format!("write one of {LONGEST} at most"));
        }
        (name.len() <= LONGEST).then(|| Some(name.into()))
    });
    Some(ProbeKind::Grpc(GrpcProbe { service: service?, tls }))
}

pub(super) fn icmp(_: &Fields<'_>, _: Option<Tls>) -> Option<ProbeKind> {
    Some(ProbeKind::Icmp)
}

pub(super) fn ntp(fields: &Fields<'_>, _: Option<Tls>) -> Option<ProbeKind> {
    let max_stratum = fields.get("max-stratum").map_or(Some(15), |value| value.integer(1..=15))?;
    Some(ProbeKind::Ntp { max_stratum })
}

pub(super) fn smb(_: &Fields<'_>, _: Option<Tls>) -> Option<ProbeKind> {
    Some(ProbeKind::Smb)
}

pub(super) fn nfs(fields: &Fields<'_>, _: Option<Tls>) -> Option<ProbeKind> {
    let version = fields.get("version").map_or(Some(4), |value| value.integer(2..=4))?;
    Some(ProbeKind::Nfs { version })
}
