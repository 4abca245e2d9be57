//! DNS: what is asked and answered on this server, and why a name is answered as it is.

use std::sync::Arc;

use askama::Template;
use axum::{Extension, extract::State, response::Response};
use model::{
    access::Action,
    api::{
        Status, Why,
        usage::{By, Counted, DnsUsage},
    },
};

use super::{
    act::now,
    cluster::{Word, joined},
    forms::Asked,
    page::{Shell, html},
};
use crate::{
    access::Who,
    admin::{Admin, Failure, usage::Wanted},
    metrics::scrape::Sampled,
};

/// How many minutes back, as the page has it.
const MINUTES: [u64; 2] = [5, 60];
/// Rows of a table.
const ROWS: usize = 10;

/// A count as people read it.
struct Row {
    what: String,
    /// Replies a second.
    rate: String,
    /// As the bar has it.
    percent: String,
    /// Leads to why it is answered so.
    why: bool,
}

fn rows(counted: &[Counted], why: bool) -> Vec<Row> {
    let row = |one: &Counted| Row {
        what: one.what.clone(),
        rate: rate(one.per_second),
        percent: format!("{:.0}", one.percent),
        why,
    };
    counted.iter().map(row).collect()
}

/// A rate with two digits that say something.
fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate >= 10.0 => format!("{rate:.0}"),
        rate if rate >= 1.0 => format!("{rate:.1}"),
        rate => format!("{rate:.2}"),
    }
}

/// The tables of what was counted on all servers, or where they have no links on this one.
async fn usage(admin: &Admin, who: &Who, minutes: u64) -> Result<(DnsUsage, Vec<(&'static str, Vec<Row>)>), Failure> {
    let cluster = admin.access.circle.is_some();
    let wanted = |kinds| Wanted { kinds, minutes, most: ROWS, cluster };
    let mut usage = admin.usage(who, wanted(&[By::Name, By::Address, By::Type, By::Rcode])).await?;
    if who.role.may(Action::ReadClients) {
        usage.tables.extend(admin.usage(who, wanted(&[By::Client])).await?.tables);
    }
    let mut tables = vec![("Replies by server", rows(&usage.servers, false))];
    for table in &usage.tables {
        let title = match table.by {
            By::Name => "Queries by name",
            By::Address => "Answers by first address",
            By::Type => "Queries by type",
            By::Rcode => "Replies by code",
            By::Client => "Who asks most",
        };
        tables.push((title, rows(&table.entries, table.by == By::Name)));
    }
    Ok((usage, tables))
}

#[derive(Template)]
#[template(path = "dns.html")]
struct Dns {
    shell: Shell,
    status: Status,
    name: String,
    kind: String,
    why: Option<Why>,
    rcode: Option<Word>,
    wrong: String,
    minutes: u64,
    rate: String,
    usage: DnsUsage,
    tables: Vec<(&'static str, Vec<Row>)>,
    /// Queries without a reply, by reason, since the start.
    lost: Vec<(String, u64)>,
    /// Of new clients, over all pools, in percent.
    shares: Vec<(String, String)>,
}

/// `GET /console/dns`.
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(shell): Extension<Shell>,
    Asked(asked): Asked,
) -> Result<Response, Failure> {
    who.may(&admin, Action::AskDns)?;
    let status = admin.status(admin.sample().await?);
    let (name, kind) = (asked.get("name").trim().to_owned(), asked.given("type").unwrap_or("A").to_owned());
    let (why, wrong) = match name.as_str() {
        "" => (None, String::new()),
        name => match admin.view.load().why(name, &kind) {
            Ok(why) => (Some(why), String::new()),
            Err(wrong) => (None, wrong),
        },
    };
    let mut sampled = Sampled::default();
    admin.name_service.count(&mut sampled);
    let lost = sampled.dns_dropped.into_iter().filter(|(_, count)| *count > 0).collect();
    let minutes = asked.get("minutes").parse().ok().filter(|minutes| MINUTES.contains(minutes)).unwrap_or(MINUTES[0]);
    let (usage, tables) = usage(&admin, &who, minutes).await?;
    let rate = rate(usage.per_second);
    let shares = match &admin.desk {
        None => Vec::new(),
        Some(desk) => {
            let now = now(&admin).await?;
            let shares = desk.ask(move |desk| desk.shares(&now)).await?;
            shares.into_iter().map(|(server, percent)| (server, format!("{percent:.0}"))).collect()
        }
    };
    let rcode = why.as_ref().map(|why| Word::of(&why.rcode));
    html(&Dns { shell, status, name, kind, why, rcode, wrong, minutes, rate, usage, tables, lost, shares })
}
