//! DNS: what is asked and answered on this server, and why a name is answered as it is.

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{Extension, extract::State, response::Response};
use model::{
    access::Action,
    api::{Status, Why},
};

use super::{
    act::now,
    cluster::{Word, joined},
    forms::Asked,
    page::{Shell, html},
};
use crate::{
    access::Who,
    admin::{Admin, Failure},
    metrics::scrape::Sampled,
};

/// A count, and its share of all.
struct Count {
    label: String,
    count: u64,
    percent: u64,
}

fn counts(counted: &BTreeMap<String, u64>) -> Vec<Count> {
    let all = counted.values().sum::<u64>().max(1);
    let mut counts: Vec<Count> = counted
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(label, count)| Count { label: label.clone(), count: *count, percent: (count * 100 + all / 2) / all })
        .collect();
    counts.sort_by(|a, b| b.count.cmp(&a.count).then(a.label.cmp(&b.label)));
    counts
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
    tables: Vec<(&'static str, Vec<Count>)>,
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
    let tables = vec![
        ("Queries by type", counts(&sampled.dns_queries)),
        ("Responses by code", counts(&sampled.dns_responses)),
        ("Without a response", counts(&sampled.dns_dropped)),
    ];
    let shares = match &admin.desk {
        None => Vec::new(),
        Some(desk) => {
            let now = now(&admin).await?;
            let shares = desk.ask(move |desk| desk.shares(&now)).await?;
            shares.into_iter().map(|(server, percent)| (server, format!("{percent:.0}"))).collect()
        }
    };
    let rcode = why.as_ref().map(|why| Word::of(&why.rcode));
    html(&Dns { shell, status, name, kind, why, rcode, wrong, tables, shares })
}
