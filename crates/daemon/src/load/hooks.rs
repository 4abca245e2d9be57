//! What only this machine can say of its hooks and of the programs of its monitors: whether each is there, and who could have
//! changed it.
//!
//! The cluster file is the same on every server, and what is amiss with a program is so on one of them, and may be mended
//! without a word to the daemon. So none of it keeps a daemon from starting or a configuration from coming into force: an
//! address with a bad hook is better than no address (design R8), and `host::hook` looks again before each run, and refuses.
//! `standin check` is where it is a mistake: a program that others could change, always; one that is not there is a
//! warning, for it may be about to be installed. Servers that cannot hold the virtual host are not asked.

use std::{io, path::Path};

use host::hook::{Distrust, examine};
use model::{
    ChannelName,
    config::{Channel, ChannelKind, ClusterConfig, Monitor, NodeConfig, ProbeKind},
    diagnostic::Diagnostic,
};

use super::Text;
use crate::trust::files;

/// What was found.
#[derive(Default)]
pub(super) struct Found {
    /// Programs that are not run as they are.
    pub(super) mistakes: Vec<Diagnostic>,
    /// Programs that are not there.
    pub(super) warnings: Vec<String>,
}

/// Looks at every program that this server may have to run, and at the secrets of its channels.
pub(super) fn look(cluster: &ClusterConfig, text: &Text, node: &NodeConfig) -> Found {
    let (mut found, this) = (Found::default(), &node.name);
    for (name, host) in cluster.virtual_hosts.iter().filter(|(_, host)| host.servers.contains(this)) {
        for (moment, hook) in &host.hooks {
            let what = format!("{} hook of virtual host `{name}`", moment.word());
            let position = hook.position.to_string();
            let path = ["virtual-host", name.as_str(), "hook", &position, "command", "0"];
            found.program(text, &hook.program, &what, &path);
        }
        found.monitors(text, ("virtual-host", name.as_str()), &host.monitors);
    }
    for (name, endpoint) in cluster.endpoints.iter().filter(|(_, endpoint)| endpoint.probed_by.contains(this)) {
        found.monitors(text, ("endpoint", name.as_str()), &endpoint.monitors);
    }
    for (name, channel) in cluster.channels.iter().filter(|(_, channel)| channel.sent_by.contains(this)) {
        found.channel(text, name, channel, node);
    }
    found.mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
    found
}

impl Found {
    /// Those of monitors, which stand in the order of the file.
    fn monitors(&mut self, text: &Text, (section, name): (&str, &str), monitors: &[Monitor]) {
        for (position, monitor) in monitors.iter().enumerate() {
            let what = format!("monitor `{}` of {} `{name}`", monitor.name, section.replace('-', " "));
            let position = position.to_string();
            let path = [section, name, "monitor", &position];
            if let ProbeKind::Exec(probe) = &monitor.kind {
                self.program(text, &probe.program, &what, &[&path[..], &["command", "0"]].concat());
            }
            if let Some(recovery) = &monitor.handling.recovery {
                let what = format!("recovery of {what}");
                self.program(text, &recovery.hook.program, &what, &[&path[..], &["recovery", "command", "0"]].concat());
            }
        }
    }

    /// That of a channel for notifications, and its secret, which nobody else may read.
    fn channel(&mut self, text: &Text, name: &ChannelName, channel: &Channel, node: &NodeConfig) {
        let path = ["notify", name.as_str()];
        if let ChannelKind::Exec(exec) = &channel.kind {
            let what = format!("notify `{name}`");
            self.program(text, &exec.program, &what, &[&path[..], &["command", "0"]].concat());
        }
        let Some(secret) = channel.kind.secret() else { return };
        let file = node.secrets_dir.join(&**secret);
        let Err(error) = files::read(&file) else { return };
        let message = format!("notify `{name}`: the secret {}: {error}", file.display());
        let help = "a secret is a file of `secrets-dir`, on every server that sends; mode 600";
        let mistake = text.mistake(&[&path[..], &["secret"]].concat(), message.clone(), help);
        if error.kind() == io::ErrorKind::NotFound {
            self.warnings.push(format!("{}:{}:{}: {message}", mistake.file, mistake.line, mistake.column));
        } else {
            self.mistakes.push(mistake);
        }
    }

    fn program(&mut self, text: &Text, program: &str, what: &str, path: &[&str]) {
        let Err(distrust) = examine(Path::new(program)) else { return };
        let message = format!("{what}: {distrust}");
        let help =
            "a program is run only if root or the daemon's user alone can change it and every directory above it";
        let mistake = text.mistake(path, message.clone(), help);
        match distrust {
            Distrust::Unsafe(_) => self.mistakes.push(mistake),
            Distrust::Missing(_) => {
                self.warnings.push(format!("{}:{}:{}: {message}", mistake.file, mistake.line, mistake.column));
            }
        }
    }
}
