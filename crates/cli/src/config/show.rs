//! Plans, edits, differences, history and conflicts, for people.

use daemon::desk::api::{ChangedObject, Configuration, Edited, HistoryEntry, Plan};
use document::Touch;
use similar::{ChangeTag, TextDiff};

use crate::print::{Style, Tone, lines};

/// Lines around a difference.
const CONTEXT: usize = 3;

/// What an edit would change.
pub(super) fn plan(plan: &Plan, style: Style) -> String {
    if plan.changes.is_empty() {
        return "nothing would change\n".to_owned();
    }
    let mut text = changes(&plan.changes, style);
    text += "\n";
    if plan.moves.is_empty() {
        text += "addresses  none moves\n";
    }
    let nobody = || "nobody".to_owned();
    for one in &plan.moves {
        let (now, then) = (one.now.clone().unwrap_or_else(nobody), one.then.clone().unwrap_or_else(nobody));
        text += &format!("address    {} ({}): {now} -> {then}\n", one.address, one.virtual_host);
    }
    if plan.answers.is_empty() {
        text += &format!("answers    the same, of {} compared\n", plan.compared);
    }
    for one in &plan.answers {
        text += &format!("answer     {} {}\n", one.name, one.kind);
        text += &records(&one.now, &one.then, style);
    }
    for zone in &plan.zones {
        text += &format!("zone       {}: records\n", zone.zone);
        text += &records(&zone.removed, &zone.added, style);
        if zone.more > 0 {
            text += &format!("             ... and {} more\n", zone.more);
        }
    }
    if plan.shares.is_empty() {
        text += "load       the same shares\n";
    } else {
        text += "load       of new clients, over all pools\n";
    }
    for share in &plan.shares {
        text += &format!("             {}: {:.0} % -> {:.0} %\n", share.server, share.now, share.then);
    }
    for held in &plan.held {
        text += &format!("held       {}: {}\n", held.key, held.because);
    }
    text
}

fn records(before: &[String], after: &[String], style: Style) -> String {
    let gone = before.iter().filter(|record| !after.contains(record)).map(|record| (format!("- {record}"), Tone::Bad));
    let come = after.iter().filter(|record| !before.contains(record)).map(|record| (format!("+ {record}"), Tone::Good));
    gone.chain(come).map(|(line, tone)| format!("           {}\n", style.paint(&line, tone))).collect()
}

/// Objects before and after.
pub(super) fn changes(changes: &[ChangedObject], style: Style) -> String {
    changes.iter().map(|change| one_change(change, style)).collect()
}

fn one_change(change: &ChangedObject, style: Style) -> String {
    let (word, tone) = match (&change.before, &change.after) {
        (None, _) => ("added", Tone::Good),
        (_, None) => ("removed", Tone::Bad),
        (Some(_), Some(_)) => ("changed", Tone::Plain),
    };
    let mut text = format!("{} {}\n", style.paint(word, tone), change.key);
    let (before, after) = (change.before.as_deref().unwrap_or_default(), change.after.as_deref().unwrap_or_default());
    let diff = TextDiff::from_lines(before, after);
    for (index, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if index > 0 {
            text += "    ...\n";
        }
        for one in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
            let (sign, tone) = match one.tag() {
                ChangeTag::Delete => ("-", Tone::Bad),
                ChangeTag::Insert => ("+", Tone::Good),
                ChangeTag::Equal => (" ", Tone::Plain),
            };
            text += &format!("  {}\n", style.paint(&format!("{sign} {}", one.value().trim_end_matches('\n')), tone));
        }
    }
    text
}

/// What an edit came to.
pub(super) fn edited(edited: &Edited, style: Style) -> String {
    if edited.changes.is_empty() {
        return format!("nothing to change: version {}\n", edited.version);
    }
    let keys: Vec<String> = edited.changes.iter().map(|change| change.key.to_string()).collect();
    let mut text = format!("version {}: {}\n", edited.version, keys.join(" "));
    let (have, all) = (edited.accepted_on.len(), edited.servers);
    text += &format!("accepted on {have} of {all} ({})", edited.accepted_on.join(", "));
    text += if have < all { "; the others get it when they are reached\n" } else { "\n" };
    if !edited.in_force {
        text += &style.paint("not yet in force here: see `standin status` and the log\n", Tone::Bad);
    }
    if let Some(seconds) = edited.confirm_seconds {
        text += &format!("it is undone in {seconds} s unless you run `standin confirm`\n");
    }
    text
}

/// Who changed what.
pub(super) fn history(entries: &[HistoryEntry], zone: &jiff::tz::TimeZone, style: Style) -> String {
    let mut table = style.table(&["VERSION", "WHEN", "WHO", "FROM", "ON", "WHAT", "WHY"]);
    for entry in entries {
        let when = jiff::Timestamp::from_second(entry.time)
            .map(|time| time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string())
            .unwrap_or_default();
        let what = |touched: &document::Touched| {
            let sign = match touched.how {
                Touch::Added => "+",
                Touch::Changed => "",
                Touch::Removed => "-",
            };
            format!("{sign}{}", touched.key)
        };
        const SHOWN: usize = 4;
        let mut objects: Vec<String> = entry.objects.iter().take(SHOWN).map(what).collect();
        if entry.objects.len() > SHOWN {
            objects.push(format!("and {} more", entry.objects.len() - SHOWN));
        }
        table.add_row([
            entry.version.clone(),
            when,
            entry.who.clone(),
            entry.from.clone(),
            entry.server.clone(),
            objects.join(" "),
            entry.why.clone(),
        ]);
    }
    lines(&table)
}

/// What needs somebody's attention.
pub(super) fn conflicts(configuration: &Configuration, style: Style) -> String {
    let mut text = String::new();
    for clash in &configuration.clashes {
        text += &format!("{} {}\n", clash.key, style.paint("has several values", Tone::Bad));
        for (index, value) in clash.values.iter().enumerate() {
            let force = if index == 0 { " (in force)" } else { "" };
            let why = if value.why.is_empty() { String::new() } else { format!(": {}", value.why) };
            text += &format!(
                "  {}{force} by {} on {}, version {}{why}\n",
                index + 1,
                value.who,
                value.server,
                value.version
            );
            match &value.text {
                Some(text_of) => text_of.lines().for_each(|line| text += &format!("      {line}\n")),
                None => text += "      removed\n",
            }
        }
        text += &format!("  settle it: standin resolve {} --take NUMBER (or --file FILE, or --remove)\n\n", clash.key);
    }
    for held in &configuration.held {
        let instead = if held.stays_as_before { "stays as it was before" } else { "is left out" };
        text += &format!("{} {}: {}\n", held.key, style.paint(instead, Tone::Bad), held.because);
        text += "  change it, or what it contradicts, and it comes into force\n\n";
    }
    if configuration.undone > 0 {
        text += &format!("the last {} changes are not in force: together they do not check\n", configuration.undone);
    }
    if text.is_empty() { "no conflicts\n".to_owned() } else { text }
}
