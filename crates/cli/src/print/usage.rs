//! `standin dns top`: what is asked and answered most.

use comfy_table::Cell;
use model::api::usage::{Counted, DnsUsage};

use super::{Style, lines};

/// The whole text.
pub(crate) fn render(usage: &DnsUsage, style: Style) -> String {
    let mut text = format!("{:.2} replies a second, of the last {} minutes\n", usage.per_second, usage.minutes);
    for table in &usage.tables {
        text += &format!("\n{}", rows(table.by.word(), &table.entries, style));
    }
    if usage.servers.len() + usage.unreachable.len() > 1 {
        text += &format!("\n{}", rows("server", &usage.servers, style));
    }
    for one in &usage.unreachable {
        text += &format!("not counted: {}: {}\n", one.server, one.why);
    }
    text
}

fn rows(what: &str, entries: &[Counted], style: Style) -> String {
    let mut table = style.table(&[&what.to_uppercase(), "A SECOND", "PERCENT"]);
    for one in entries {
        let numbers = [format!("{:.2}", one.per_second), format!("{:.1}", one.percent)];
        table.add_row([Cell::new(&one.what)].into_iter().chain(numbers.map(Cell::new)).collect::<Vec<_>>());
    }
    lines(&table)
}

#[cfg(test)]
mod tests {
    use model::api::{
        access::Unreachable,
        usage::{By, UsageTable},
    };

    use super::*;

    #[test]
    fn who_is_missing_is_told() {
        let counted = |what: &str, per_second, percent| Counted { what: what.to_owned(), per_second, percent };
        let usage = DnsUsage {
            minutes: 5,
            per_second: 40.0,
            servers: vec![counted("web1", 40.0, 100.0)],
            tables: vec![UsageTable { by: By::Name, entries: vec![counted("www.lb.example.test", 30.0, 75.0)] }],
            unreachable: vec![Unreachable { server: "web2".to_owned(), why: "no answer within 3 s".to_owned() }],
        };
        let expected = [
            "40.00 replies a second, of the last 5 minutes",
            "",
            "NAME                 A SECOND  PERCENT",
            "www.lb.example.test  30.00     75.0",
            "",
            "SERVER  A SECOND  PERCENT",
            "web1    40.00     100.0",
            "not counted: web2: no answer within 3 s",
        ];
        assert_eq!(render(&usage, Style::default()).lines().collect::<Vec<_>>(), expected);
    }
}
