//! `type = "tcp"`.

use super::super::super::{
    probe::{ProbeKind, TcpProbe, Tls},
    read::Fields,
};

pub(super) const KEYS: &[&str] = &["send", "expect"];

pub(super) fn read(fields: &Fields<'_>, tls: Option<Tls>) -> Option<ProbeKind> {
    let send = fields.get("send").map_or(Some(None), |value| value.raw_text("PING\\r\\n").map(Some));
    let expect = fields.get("expect").map_or(Some(None), |value| value.pattern("PONG").map(Some));
    Some(ProbeKind::Tcp(TcpProbe { send: send?.map(Into::into), expect: expect?, tls }))
}
