//! The table of everything that can be asked of a daemon.

use super::Role;

/// Something that can be asked. Reading leaves no trace; every change and every refusal is an event.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Action {
    /// The cluster's state.
    ReadStatus,
    /// The journal.
    ReadEvents,
    /// Why a name is answered so.
    AskDns,
    /// Prometheus' text.
    ReadMetrics,
    /// The daemon's own confinement, and the servers' clocks.
    Diagnose,
    /// The members and the state of the keys.
    ReadMembers,
    /// The last heartbeats.
    ReadHeartbeats,
    /// The configuration, its history and conflicts.
    ReadConfiguration,
    /// One's own password.
    ChangeOwnPassword,
    /// End one's own session.
    LogOut,
    /// Who asks DNS.
    ReadClients,
    /// A service's own report to its monitor.
    Push,
    /// What a monitor counts as, whatever its probes find.
    ForceMonitor,
    /// A monitor's latch is forgiven.
    ResetMonitor,
    /// A message by a channel, to try it.
    TestNotification,
    /// A server holds nothing.
    Standby,
    /// A server holds again.
    Resume,
    /// Objects of the configuration.
    EditConfiguration,
    /// A join token.
    Invite,
    /// A server is no member any more.
    RemoveServer,
    /// This server is no member any more.
    Leave,
    /// The people.
    ReadUsers,
    /// A person, or a new password for one.
    SetUser,
    /// A person is none any more.
    RemoveUser,
    /// A token for a program.
    IssueToken,
    /// A program's token counts no more.
    RevokeToken,
    /// New keys.
    Rotate,
}

impl Action {
    /// Every action, in the order of the documentation's table.
    pub const ALL: [Self; 27] = [
        Self::ReadStatus,
        Self::ReadEvents,
        Self::AskDns,
        Self::ReadMetrics,
        Self::Diagnose,
        Self::ReadMembers,
        Self::ReadConfiguration,
        Self::ChangeOwnPassword,
        Self::LogOut,
        Self::ReadClients,
        Self::Push,
        Self::ForceMonitor,
        Self::ResetMonitor,
        Self::TestNotification,
        Self::Standby,
        Self::Resume,
        Self::EditConfiguration,
        Self::Invite,
        Self::RemoveServer,
        Self::Leave,
        Self::ReadHeartbeats,
        Self::ReadUsers,
        Self::SetUser,
        Self::RemoveUser,
        Self::IssueToken,
        Self::RevokeToken,
        Self::Rotate,
    ];

    /// The least role that may do it.
    pub const fn role(self) -> Role {
        match self {
            Self::ReadStatus
            | Self::ReadEvents
            | Self::AskDns
            | Self::ReadMetrics
            | Self::Diagnose
            | Self::ReadMembers
            | Self::ReadConfiguration
            | Self::ChangeOwnPassword
            | Self::LogOut => Role::Viewer,
            Self::ReadClients
            | Self::Push
            | Self::ForceMonitor
            | Self::ResetMonitor
            | Self::TestNotification
            | Self::Standby
            | Self::Resume
            | Self::EditConfiguration => Role::Operator,
            Self::Invite
            | Self::RemoveServer
            | Self::Leave
            | Self::ReadHeartbeats
            | Self::ReadUsers
            | Self::SetUser
            | Self::RemoveUser
            | Self::IssueToken
            | Self::RevokeToken
            | Self::Rotate => Role::Admin,
        }
    }

    /// The word in events and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ReadStatus => "read-status",
            Self::ReadEvents => "read-events",
            Self::AskDns => "ask-dns",
            Self::ReadMetrics => "read-metrics",
            Self::Diagnose => "diagnose",
            Self::ReadMembers => "read-members",
            Self::ReadConfiguration => "read-configuration",
            Self::ChangeOwnPassword => "change-own-password",
            Self::LogOut => "log-out",
            Self::ReadClients => "read-clients",
            Self::Push => "push",
            Self::ForceMonitor => "force-monitor",
            Self::ResetMonitor => "reset-monitor",
            Self::TestNotification => "test-notification",
            Self::Standby => "standby",
            Self::Resume => "resume",
            Self::EditConfiguration => "edit-configuration",
            Self::Invite => "invite",
            Self::RemoveServer => "remove-server",
            Self::Leave => "leave",
            Self::ReadHeartbeats => "read-heartbeats",
            Self::ReadUsers => "read-users",
            Self::SetUser => "set-user",
            Self::RemoveUser => "remove-user",
            Self::IssueToken => "issue-token",
            Self::RevokeToken => "revoke-token",
            Self::Rotate => "rotate",
        }
    }

    /// The command of the program that asks for it.
    pub const fn command(self) -> &'static str {
        match self {
            Self::ReadStatus => "standin status",
            Self::ReadEvents => "standin log",
            Self::AskDns => "standin dns why",
            Self::ReadMetrics => "GET /metrics",
            Self::Diagnose => "standin doctor",
            Self::ReadMembers => "standin server list",
            Self::ReadConfiguration => "standin export",
            Self::ChangeOwnPassword => "standin user passwd",
            Self::LogOut => "standin logout",
            Self::ReadClients => "standin dns top --by client",
            Self::Push => "standin push",
            Self::ForceMonitor => "standin monitor force",
            Self::ResetMonitor => "standin monitor reset",
            Self::TestNotification => "standin notify test",
            Self::Standby => "standin standby",
            Self::Resume => "standin resume",
            Self::EditConfiguration => "standin apply",
            Self::Invite => "standin token",
            Self::RemoveServer => "standin server remove",
            Self::Leave => "standin leave",
            Self::ReadHeartbeats => "GET /v1/heartbeats",
            Self::ReadUsers => "standin user list",
            Self::SetUser => "standin user add",
            Self::RemoveUser => "standin user remove",
            Self::IssueToken => "standin api-token add",
            Self::RevokeToken => "standin api-token remove",
            Self::Rotate => "standin rotate",
        }
    }

    /// What it does, for the documentation.
    pub const fn effect(self) -> &'static str {
        match self {
            Self::ReadStatus => "shows the cluster as one server sees it",
            Self::ReadEvents => "shows the cluster's log, its incidents, the last events of a server",
            Self::AskDns => {
                "shows what is answered for a name, and why; `standin dns top`: what is asked and answered most"
            }
            Self::ReadMetrics => "shows counters (also without TLS on `[metrics] listen`)",
            Self::Diagnose => "shows what may keep this server from working, with its remedy",
            Self::ReadMembers => "shows members, links and how far a rotation is",
            Self::ReadConfiguration => "shows the document; so do `show`, `plan`, `diff`, `history`, `conflicts`",
            Self::ChangeOwnPassword => "sets one's own password; other sessions of that person end",
            Self::LogOut => "ends this session",
            Self::ReadClients => "shows who asks DNS most, by address",
            Self::Push => "a service reports to its monitor; what follows is logged as with every monitor",
            Self::ForceMonitor => "says what a monitor counts as, whatever its probes find",
            Self::ResetMonitor => "forgives a monitor's latch",
            Self::TestNotification => "sends a message by a channel, to try it",
            Self::Standby => "a server hands everything over",
            Self::Resume => "a server holds again",
            Self::EditConfiguration => {
                "changes the document; so do `add`, `set`, `remove`, `edit`, `confirm`, `rollback`, `resolve`"
            }
            Self::Invite => "makes a token with which one server may join, once, for a time",
            Self::RemoveServer => {
                "the server is refused from now on, and taken out of the document; a new heartbeat key follows by itself"
            }
            Self::Leave => "this server hands over, is removed, and forgets its keys",
            Self::ReadHeartbeats => "shows when which heartbeats came and went; a bundle has them",
            Self::ReadUsers => "shows people, their roles, and programs' tokens",
            Self::SetUser => "adds a person, or sets role and password; that person's sessions end",
            Self::RemoveUser => "the person and all of that person's sessions are refused from now on",
            Self::IssueToken => "makes a token for a program, with a role and an expiry",
            Self::RevokeToken => "the token is refused from now on",
            Self::Rotate => "new heartbeat key, authority or server key: receive both, send new, drop old",
        }
    }

    /// What the log says when it was done; reading is not logged.
    pub const fn log_line(self) -> Option<&'static str> {
        match self {
            Self::ReadStatus
            | Self::ReadEvents
            | Self::AskDns
            | Self::ReadMetrics
            | Self::Diagnose
            | Self::ReadMembers
            | Self::ReadConfiguration
            | Self::ReadClients
            | Self::Push
            | Self::ReadHeartbeats
            | Self::ReadUsers => None,
            Self::ChangeOwnPassword
            | Self::LogOut
            | Self::ForceMonitor
            | Self::ResetMonitor
            | Self::TestNotification
            | Self::Standby
            | Self::Resume
            | Self::EditConfiguration
            | Self::Invite
            | Self::RemoveServer
            | Self::Leave
            | Self::SetUser
            | Self::RemoveUser
            | Self::IssueToken
            | Self::RevokeToken
            | Self::Rotate => Some(self.word()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_action_is_listed_once_and_a_viewer_changes_nothing_of_others() {
        let words: BTreeSet<&str> = Action::ALL.iter().map(|action| action.word()).collect();
        assert_eq!(words.len(), Action::ALL.len());
        for action in Action::ALL {
            let own = matches!(action, Action::ChangeOwnPassword | Action::LogOut);
            let reads = action.log_line().is_none()
                && !matches!(action, Action::ReadUsers | Action::ReadClients | Action::ReadHeartbeats | Action::Push);
            assert_eq!(Role::Viewer.may(action), reads || own);
            assert!(Role::Admin.may(action));
        }
        assert!(!Role::Operator.may(Action::Rotate) && Role::Operator.may(Action::Standby));
    }

    #[test]
    fn the_documentation_has_the_same_table() {
        let documented = include_str!("../../../../docs/access.md");
        for action in Action::ALL {
            let log = action.log_line().map_or_else(|| "—".to_owned(), |word| format!("`WHO from WHERE: {word} WHAT`"));
            let row = format!("| `{}` | {} | {} | {log} |", action.command(), action.role(), action.effect());
            assert!(documented.lines().any(|line| line == row), "docs/access.md lacks:\n{row}");
        }
    }
}
