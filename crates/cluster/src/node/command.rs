//! What an operator, or the end of the daemon, wants of this server.
//!
//! Deliberately not here: commands about other servers; the daemon does not hand them on.

use model::{Instant, VirtualHostName, event::Event};

use super::Node;
use crate::{Command, Effects};

impl Node {
    /// Does what was asked, where it is for this server.
    pub(super) fn obey(&mut self, now: Instant, command: &Command, effects: &mut Effects) {
        match command {
            Command::Standby(server) | Command::Resume(server) => {
                let on = matches!(command, Command::Standby(_));
                if *server == self.me && self.duty.standby != on {
                    self.duty.standby = on;
                    effects.record(Event::Standby { server: server.clone(), on });
                }
            }
            Command::Force { monitor, up, lasts } => {
                self.monitors.command(now, monitor, Some((*up, *lasts)), effects);
            }
            Command::Reset { monitor } => {
                self.monitors.command(now, monitor, None, effects);
                let host = monitor.split('/').next().map(VirtualHostName::new);
                if let Some(election) = host.and_then(|host| self.elections.get_mut(&host)) {
                    election.forgive();
                }
            }
            Command::Resign => {
                if self.duty.resigning.is_none() {
                    self.duty.resigning = Some(now);
                    effects.record(Event::Resigning);
                }
            }
        }
    }
}
