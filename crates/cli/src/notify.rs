//! `standin notify test`, `standin notify status`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use hyper::Method;
use model::api::notify::{ChannelStatus, Tested};
use serde_json::{Value, json};

use crate::{
    args::NotifyUse,
    client, exit,
    print::{Style, lines},
    say,
};

/// Does it.
pub(crate) fn notify(command: &NotifyUse) -> Result<ExitCode> {
    match command {
        NotifyUse::Test { name, reach } => {
            let asked = json!({ "channel": name }).to_string();
            let body = client::request(&client::door(reach)?, Method::POST, "/v1/notify/test", Some(asked))?;
            let tested: Tested = serde_json::from_slice(&body).context("the daemon's answer is not that of a test")?;
            say(&format!("{name}: {} ({})\n", tested.said, tested.delivery))?;
            Ok(if tested.delivered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        NotifyUse::Status { json, reach } => {
            let body = client::request(&client::door(reach)?, Method::GET, "/v1/notify", None)?;
            let channels: Vec<ChannelStatus> =
                serde_json::from_slice(&body).context("the daemon's answer is not a list of channels")?;
            if *json {
                let value: Value = serde_json::from_slice(&body)?;
                say(&(serde_json::to_string_pretty(&value)? + "\n"))?;
            } else {
                say(&table(&channels))?;
            }
            let well = channels.iter().all(|channel| channel.failures == 0);
            Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(exit::DEGRADED) })
        }
    }
}

fn table(channels: &[ChannelStatus]) -> String {
    if channels.is_empty() {
        return "no channel: nobody is told of incidents\n".to_owned();
    }
    let mut table = Style::of_stdout().table(&["CHANNEL", "TYPE", "SENT BY", "WAITING", "LAST ATTEMPT HERE"]);
    for channel in channels {
        let last = match (&channel.last_attempt, &channel.last_result) {
            (Some(at), Some(result)) => format!("{at} {result}"),
            (Some(_) | None, _) => "none".to_owned(),
        };
        table.add_row([
            channel.name.clone(),
            channel.kind.clone(),
            channel.sender.clone().unwrap_or_else(|| "nobody".to_owned()),
            channel.waiting.to_string(),
            last,
        ]);
    }
    lines(&table)
}
