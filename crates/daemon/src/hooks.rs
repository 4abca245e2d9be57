//! What a hook, or a recovery program, is told: a JSON document on its standard input, and the same in short as variables of its environment.
//!
//! What is in the environment comes from the checked configuration and from closed lists of words, so nothing needs quoting.
//! A probe's own words, which may be a stranger's, are in the document alone.
//!
//! Deliberately not here: when a hook runs (`cluster`), how (`host::hook`).

use std::fmt::Display;

use host::hook::{Task, TaskId};
use model::{
    ServerName, Subject,
    hook::{HookOrder, RecoveryOrder},
};
use serde_json::{Map, Value, json};

/// The order as the machine is to carry it out; `this` is the server that it runs on.
pub(crate) fn task(order: HookOrder, this: &ServerName) -> Task {
    let virtual_host = order.id.virtual_host.as_str();
    let moment = order.id.moment.word();
    let cause = crate::journal::cause_word(order.cause);
    let addresses = order.addresses.iter().map(|(address, interface)| {
        let interface = interface.as_deref().map(Value::from);
        json!({ "address": address.to_string(), "interface": interface })
    });
    let document = document([
        ("moment", json!(moment)),
        ("virtual_host", json!(virtual_host)),
        ("addresses", addresses.collect()),
        ("cause", json!(cause)),
        ("server", json!(this.as_str())),
        ("peer", json!(order.peer.as_ref().map(ServerName::as_str))),
        ("term", json!(order.term.0)),
    ]);
    let interface = order.addresses.iter().find_map(|(_, interface)| interface.as_deref());
    let environment = vec![
        ("STANDIN_MOMENT", moment.to_owned()),
        ("STANDIN_VIRTUAL_HOST", virtual_host.to_owned()),
        ("STANDIN_ADDRESSES", join(order.addresses.iter().map(|(address, _)| address))),
        ("STANDIN_INTERFACE", interface.unwrap_or_default().to_owned()),
        ("STANDIN_CAUSE", cause.to_owned()),
        ("STANDIN_SERVER", this.to_string()),
        ("STANDIN_PEER", order.peer.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("STANDIN_TERM", order.term.0.to_string()),
    ];
    Task { id: TaskId::Hook(order.id), hook: order.hook, environment, document }
}

/// The same for a monitor's recovery program.
pub(crate) fn recovery_task(order: RecoveryOrder, this: &ServerName) -> Task {
    let RecoveryOrder { id, hook, attempt, attempts, reason } = order;
    let virtual_host = match &id.monitor.subject {
        Subject::VirtualHost(name) | Subject::Held(name, ..) => name.as_str(),
        // The configuration refuses a recovery there.
        Subject::Endpoint(..) => "",
    };
    let monitor = &*id.monitor.monitor;
    let document = document([
        ("moment", json!("recovery")),
        ("virtual_host", json!(virtual_host)),
        ("monitor", json!(monitor)),
        ("reason", json!(reason)),
        ("server", json!(this.as_str())),
        ("attempt", json!(attempt)),
        ("attempts", json!(attempts)),
    ]);
    let environment = vec![
        ("STANDIN_MOMENT", "recovery".to_owned()),
        ("STANDIN_VIRTUAL_HOST", virtual_host.to_owned()),
        ("STANDIN_MONITOR", monitor.to_owned()),
        ("STANDIN_SERVER", this.to_string()),
        ("STANDIN_ATTEMPT", attempt.to_string()),
        ("STANDIN_ATTEMPTS", attempts.to_string()),
    ];
    Task { id: TaskId::Recovery(id), hook, environment, document }
}

fn document<const N: usize>(fields: [(&str, Value); N]) -> Vec<u8> {
    let fields: Map<String, Value> = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let mut document = Value::Object(fields).to_string().into_bytes();
    document.push(b'\n');
    document
}

fn join(items: impl Iterator<Item = impl Display>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::{
        Term, VirtualHostName,
        config::Hook,
        event::Cause,
        hook::{HookId, HookMoment},
    };

    use super::*;

    #[test]
    fn a_hook_is_told_what_whence_why() {
        let order = HookOrder {
            id: HookId { virtual_host: VirtualHostName::new("virtual1"), moment: HookMoment::BeforeTake, number: 1 },
            hook: Hook {
                position: 0,
                program: "/bin/true".into(),
                arguments: Vec::new(),
                user: None,
                timeout: Duration::from_secs(1),
            },
            addresses: vec![
                ("10.77.0.101".parse().unwrap(), Some("eth0".into())),
                ("fd00:77::101".parse().unwrap(), None),
            ],
            cause: Cause::ServerDead,
            peer: Some(ServerName::new("web1")),
            term: Term(7),
        };
        let task = task(order, &ServerName::new("web2"));
        assert_eq!(
            String::from_utf8(task.document).unwrap(),
            "{\"addresses\":[{\"address\":\"10.77.0.101\",\"interface\":\"eth0\"},\
             {\"address\":\"fd00:77::101\",\"interface\":null}],\"cause\":\"server-dead\",\"moment\":\"before-take\",\
             \"peer\":\"web1\",\"server\":\"web2\",\"term\":7,\"virtual_host\":\"virtual1\"}\n"
        );
        let told: Vec<String> = task.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            told,
            [
                "STANDIN_MOMENT=before-take",
                "STANDIN_VIRTUAL_HOST=virtual1",
                "STANDIN_ADDRESSES=10.77.0.101 fd00:77::101",
                "STANDIN_INTERFACE=eth0",
                "STANDIN_CAUSE=server-dead",
                "STANDIN_SERVER=web2",
                "STANDIN_PEER=web1",
                "STANDIN_TERM=7",
            ]
        );
    }
}
