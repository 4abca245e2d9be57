//! What DNS is asked most: of this server, or of all.
//!
//! | request | parameters | what |
//! |---|---|---|
//! | `GET /v1/dns/top` | `by`, `minutes`, `limit`, `cluster` | names, first addresses, types, response codes |
//! | `GET /v1/dns/clients` | `minutes`, `limit`, `cluster` | who asks: an address may be a person's, so not for everybody |

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State},
    http::Method,
};
use futures_util::future::join_all;
use model::{
    access::Action,
    api::{
        access::Unreachable,
        usage::{By, DnsUsage},
    },
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Admin, Failure, others::ask};
use crate::{
    access::Who,
    usage::{MINUTES, finish, merge},
};

/// Entries of a kind in an answer.
const MOST: usize = 100;
/// The same, where nothing is said.
const USUAL: usize = 20;
/// What everybody may see.
const OPEN: [By; 4] = [By::Name, By::Address, By::Type, By::Rcode];

/// What `by` may say.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Open {
    Name,
    Address,
    Type,
    Rcode,
}

/// Which replies, of whom.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Top {
    /// One kind of counts alone.
    by: Option<Open>,
    /// Of the last 5 minutes, or of the last 60; 5 where nothing is said.
    #[schemars(extend("enum" = [5, 60]))]
    minutes: Option<u64>,
    /// So many of each kind at most; 20 where nothing is said, 100 at most.
    #[schemars(range(min = 1, max = 100))]
    limit: Option<usize>,
    /// All servers' replies together, not this one's alone.
    cluster: bool,
}

/// The same for clients.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Clients {
    /// Of the last 5 minutes, or of the last 60; 5 where nothing is said.
    #[schemars(extend("enum" = [5, 60]))]
    minutes: Option<u64>,
    /// So many at most; 20 where nothing is said, 100 at most.
    #[schemars(range(min = 1, max = 100))]
    limit: Option<usize>,
    /// All servers' replies together, not this one's alone.
    cluster: bool,
}

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// Which kinds.
    pub kinds: &'static [By],
    /// One of [`MINUTES`].
    pub minutes: u64,
    /// Entries of a kind.
    pub most: usize,
    /// Of all servers.
    pub cluster: bool,
}

impl Wanted {
    fn new(kinds: &'static [By], minutes: Option<u64>, limit: Option<usize>, cluster: bool) -> Result<Self, Failure> {
        let (minutes, most) = (minutes.unwrap_or(MINUTES[0]), limit.unwrap_or(USUAL));
        if !MINUTES.contains(&minutes) {
            return Err(Failure::Request("`minutes` must be 5 or 60".to_owned()));
        }
        if !(1..=MOST).contains(&most) {
            return Err(Failure::Request(format!("`limit` must be from 1 to {MOST}")));
        }
        Ok(Self { kinds, minutes, most, cluster })
    }
}

impl Admin {
    /// What DNS is asked most, as far as `who` may see it.
    pub(crate) async fn usage(&self, who: &Who, wanted: Wanted) -> Result<DnsUsage, Failure> {
        let clients = wanted.kinds.contains(&By::Client);
        who.may(self, if clients { Action::ReadClients } else { Action::AskDns })?;
        // What is not among one server's first may be among all servers'.
        let most = if wanted.cluster { MOST } else { wanted.most };
        let mut all = self.name_service.usage().told(self.this.as_str(), wanted.minutes, wanted.kinds, most);
        if !wanted.cluster {
            return Ok(all);
        }
        let circle = self.access.circle()?;
        let others = circle.others();
        let path = if clients { "clients" } else { "top" };
        let path = format!("/v1/dns/{path}?minutes={}&limit={MOST}", wanted.minutes);
        let asked = others.iter().map(|(id, member)| ask(circle, id, member, who, (Method::GET, &path, Vec::new())));
        for ((_, member), answer) in others.iter().zip(join_all(asked).await) {
            let parsed = answer
                .map_err(|error| error.to_string())
                .and_then(|body| serde_json::from_slice::<DnsUsage>(&body).map_err(|error| error.to_string()));
            match parsed {
                Ok(theirs) => merge(&mut all, theirs),
                Err(why) => all.unreachable.push(Unreachable { server: member.name.clone(), why }),
            }
        }
        all.tables.retain(|table| wanted.kinds.contains(&table.by));
        finish(&mut all, wanted.most);
        Ok(all)
    }
}

pub(super) async fn top(
    State(admin): State<Arc<Admin>>,
    who: Who,
    Query(wanted): Query<Top>,
) -> Result<Json<DnsUsage>, Failure> {
    let kinds: &[By] = match wanted.by {
        None => &OPEN,
        Some(Open::Name) => &[By::Name],
        Some(Open::Address) => &[By::Address],
        Some(Open::Type) => &[By::Type],
        Some(Open::Rcode) => &[By::Rcode],
    };
    let wanted = Wanted::new(kinds, wanted.minutes, wanted.limit, wanted.cluster)?;
    admin.usage(&who, wanted).await.map(Json)
}

pub(super) async fn clients(
    State(admin): State<Arc<Admin>>,
    who: Who,
    Query(wanted): Query<Clients>,
) -> Result<Json<DnsUsage>, Failure> {
    let wanted = Wanted::new(&[By::Client], wanted.minutes, wanted.limit, wanted.cluster)?;
    admin.usage(&who, wanted).await.map(Json)
}
