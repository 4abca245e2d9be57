//! What a message says: as JSON for programs, as text for people.

use chronicle::{
    incident::span,
    notice::{Message, MessageKind, Notice, Outcome},
};
use model::notice::NoticeState;
use serde_json::{Value, json};

use super::Settings;
use crate::{admin::log::time, cluster_log::wall_ms};

/// The version of the document: a change that could break a receiver raises it.
const VERSION: u32 = 1;

/// The document.
pub(super) fn document(settings: &Settings, message: &Message) -> Vec<u8> {
    let incidents: Vec<Value> = message.notices.iter().map(|notice| incident(settings, message, notice)).collect();
    let document = json!({
        "version": VERSION,
        "kind": message.kind.word(),
        "delivery": message.delivery,
        "attempt": message.attempt,
        "channel": message.channel,
        "cluster": settings.cluster,
        "sent_by": settings.this,
        "sent": time(wall_ms()),
        "severity": message.severity().word(),
        "summary": summary(message),
        "incidents": incidents,
    });
    document.to_string().into_bytes()
}

fn incident(settings: &Settings, message: &Message, notice: &Notice) -> Value {
    let moves = notice.moves.iter().map(|moved| {
        json!({
            "virtual_host": moved.virtual_host,
            "from": moved.from,
            "to": moved.to,
            "at": time(moved.at_ms),
            "gap_ms": moved.gap_ms,
            "cause": moved.cause,
        })
    });
    json!({
        "id": notice.incident,
        "sequence": notice.sequence,
        "state": notice.state.word(),
        "severity": notice.severity.word(),
        "subject": notice.subject,
        "trouble": notice.trouble,
        "cause": notice.cause,
        "began": time(notice.began_ms),
        "ended": notice.ended_ms.map(time),
        "ended_by": notice.ended_by,
        "moves": moves.collect::<Vec<_>>(),
        "more_moves": notice.more_moves,
        "link": link(settings, message, notice),
    })
}

/// Where people read on.
fn link(settings: &Settings, message: &Message, notice: &Notice) -> Option<String> {
    let named = settings.channels.get(&message.channel).and_then(|channel| channel.console.as_deref());
    let console = named.or(settings.console.as_deref())?;
    Some(format!("{console}/console/incidents?id={}", notice.link))
}

/// The message in one line.
pub(super) fn summary(message: &Message) -> String {
    let line = match (message.kind, message.notices.as_slice()) {
        (MessageKind::Test, _) => format!("a test of the channel {}: nothing has happened", message.channel),
        (MessageKind::Incident | MessageKind::Digest, [notice]) => headline(notice),
        (MessageKind::Incident | MessageKind::Digest, notices) => {
            let over = notices.iter().filter(|notice| notice.state == NoticeState::Ended).count();
            format!("{} incidents, {over} of them over", notices.len())
        }
    };
    // Causes hold words of services.
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn headline(notice: &Notice) -> String {
    match notice.state {
        NoticeState::Ended => format!("over: {}", notice.cause),
        NoticeState::Updated => format!("{}, still: {}", notice.severity.word(), notice.cause),
        NoticeState::Opened => format!("{}: {}", notice.severity.word(), notice.cause),
    }
}

/// The message for people.
pub(super) fn text(settings: &Settings, message: &Message) -> String {
    let mut text = String::new();
    if message.kind == MessageKind::Test {
        text += &format!("{}.\n\n", summary(message));
    }
    for notice in &message.notices {
        text += &format!("{}\n\n", headline(notice));
        text += &format!("  about     {}\n  began     {}\n", notice.subject, time(notice.began_ms));
        if let Some(ended) = notice.ended_ms {
            let lasted = span(ended.saturating_sub(notice.began_ms));
            text += &format!("  ended     {}, after {lasted}\n", time(ended));
        }
        if let Some(by) = &notice.ended_by {
            text += &format!("  ended by  {by}\n");
        }
        for moved in &notice.moves {
            let from = moved.from.as_ref().map(|from| format!(" from {from}")).unwrap_or_default();
            let gap = moved.gap_ms.map(|gap| format!(", nobody served it for {}", span(gap))).unwrap_or_default();
            text += &format!("  moved     {}{from} to {}{gap}\n", moved.virtual_host, moved.to);
        }
        if notice.more_moves > 0 {
            text += &format!("            and {} moves before\n", notice.more_moves);
        }
        if let Some(link) = link(settings, message, notice) {
            text += &format!("  more      {link}\n");
        }
        text += &format!("  incident  {}, message {}\n\n", notice.incident, notice.sequence);
    }
    text += &format!(
        "-- \nStandin, cluster {}, sent by {} for channel {}\n",
        settings.cluster, settings.this, message.channel
    );
    text
}

/// How an attempt ended, for people.
pub(super) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Delivered => "delivered".to_owned(),
        Outcome::Failed { reason, again: true } => format!("failed: {reason}"),
        Outcome::Failed { reason, again: false } => format!("refused for good: {reason}"),
    }
}
