//! The types whose servers speak first: smtp, ftp, telnet, imap, pop3, nntp, ssh.

use super::super::super::{
    probe::{GreetingProbe, ProbeKind, Protocol, Tls},
    read::Fields,
};

pub(super) const KEYS: &[&str] = &["expect"];

fn read(protocol: Protocol, fields: &Fields<'_>, tls: Option<Tls>) -> Option<ProbeKind> {
    let expect = fields.get("expect").map_or(Some(None), |value| value.pattern("mail\\\\.example\\\\.org").map(Some));
    Some(ProbeKind::Greeting(GreetingProbe { protocol, expect: expect?, tls }))
}

pub(super) fn smtp(fields: &Fields<'_>, tls: Option<Tls>) -> Option<ProbeKind> {
    read(Protocol::Smtp, fields, tls)
}

pub(super) fn ftp(fields: &Fields<'_>, tls: Option<Tls>) -> Option<ProbeKind> {
    read(Protocol::Ftp, fields, tls)
}

pub(super) fn telnet(fields: &Fields<'_>, tls: Option<Tls>) -> Option<ProbeKind> {
    read(Protocol::Telnet, fields, tls)
}

pub(super) fn imap(fields: &Fields<'_>, tls: Option<Tls>) -> Option<ProbeKind> {
    read(Protocol::Imap, fields, tls)
}

pub(super) fn pop3(fields: &Fields<'_>, tls: Option<Tls>) -> Option<ProbeKind> {
    read(Protocol::Pop3, fields, tls)
}

pub(super) fn nntp(fields: &Fields<'_>, tls: Option<Tls>) -> Option<ProbeKind> {
    read(Protocol::Nntp, fields, tls)
}

pub(super) fn ssh(fields: &Fields<'_>, tls: Option<Tls>) -> Option<ProbeKind> {
    read(Protocol::Ssh, fields, tls)
}
