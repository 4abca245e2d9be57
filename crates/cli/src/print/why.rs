//! `standin dns why` and `standin zone query`: an answer, and what leads to it.

use comfy_table::Cell;
use model::api::Why;

use super::{Style, Tone, lines};

/// The whole text.
pub(crate) fn render(why: &Why, style: Style) -> String {
    let tone = match why.rcode.as_str() {
        "NOERROR" => Tone::Good,
        "NXDOMAIN" => Tone::Warn,
        _ => Tone::Bad,
    };
    let authoritative = if why.authoritative { ", authoritative" } else { "" };
    let mut text = format!("{} {}: {}{authoritative}\n", why.name, why.kind, style.paint(&why.rcode, tone));
    for (section, records) in [("answer", &why.answer), ("authority", &why.authority), ("additional", &why.additional)]
    {
        if !records.is_empty() {
            text += &format!("\n; {section}\n{}\n", records.join("\n"));
        }
    }
    text += "\nWhy:\n";
    why.steps.iter().for_each(|step| text += &format!("  {step}\n"));
    if let Some(pool) = &why.pool {
        text += &format!("  pool {}, {}: {}\n", pool.name, pool.policy, pool.rule);
        text += &format!("  TTL {}: {}\n\n", pool.ttl, pool.ttl_why);
        let mut table = style.table(&["MEMBER", "ADDRESSES", "ANSWERED", "WHY"]);
        for member in &pool.members {
            let addresses: Vec<String> = member.addresses.iter().map(ToString::to_string).collect();
            table.add_row(vec![
                Cell::new(&member.name),
                Cell::new(addresses.join(", ")),
                style.word(if member.answered { "yes" } else { "no" }),
                Cell::new(&member.why),
            ]);
        }
        text += &lines(&table);
    }
    text
}
