//! `type = "mysql"`, `type = "postgresql"`, `type = "ldap"`, `type = "redis"`.

use super::super::super::{
    probe::{DatabaseProbe, ProbeKind, Tls},
    read::{Fields, Value},
};
use std::sync::Arc;

pub(super) const KEYS: &[&str] = &["user", "database"];

fn read(fields: &Fields<'_>, tls: Option<Tls>) -> Option<DatabaseProbe> {
    let name = |key| fields.get(key).map_or(Some(None), |value| name(&value).map(Some));
    let (user, database) = (name("user"), name("database"));
    Some(DatabaseProbe { user: user?, database: database?, tls })
}

/// MySQL allows 80 bytes, PostgreSQL 63.
fn name(value: &Value<'_>) -> Option<Arc<str>> {
    const LONGEST: usize = 80;
    let name = value.text("monitor")?;
    if name.len() > LONGEST {
        value.refuse(format!("a name of {} bytes", name.len()), format!("write one of {LONGEST} at most"));
    }
    (name.len() <= LONGEST).then(|| name.into())
}

pub(super) fn mysql(fields: &Fields<'_>, tls: Option<Tls>) -> Option<ProbeKind> {
    read(fields, tls).map(ProbeKind::Mysql)
}

pub(super) fn postgresql(fields: &Fields<'_>, tls: Option<Tls>) -> Option<ProbeKind> {
    read(fields, tls).map(ProbeKind::Postgresql)
}

pub(super) fn ldap(_: &Fields<'_>, tls: Option<Tls>) -> Option<ProbeKind> {
    Some(ProbeKind::Ldap(tls))
}

pub(super) fn redis(_: &Fields<'_>, tls: Option<Tls>) -> Option<ProbeKind> {
    Some(ProbeKind::Redis(tls))
}
