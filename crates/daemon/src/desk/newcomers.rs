//! The document as members come and go: each has an object `server/NAME`.
//!
//! Deliberately not here: whether a member may come (`admin::servers`).

use std::net::{IpAddr, SocketAddr};

use document::{
    Change, Key, Kind, Was,
    fields::{Part, set_fields},
    object::read,
};
use model::ServerName;

use super::Desk;

/// Fields in which objects name servers.
const NAMING: [&str; 4] = ["servers", "members", "probed-by", "sent-by"];

impl Desk {
    /// What makes a newcomer take part: an object that comes after all others where lists say `all`; none where it is there.
    ///
    /// # Errors
    /// The document says something else of it: what, and what to do.
    pub(crate) fn welcoming(
        &self,
        name: &str,
        address: IpAddr,
        heartbeat: SocketAddr,
    ) -> Result<Option<Change>, String> {
        if let Some(server) = self.ledger.in_force().checked.config.servers.get(&ServerName::new(name)) {
            if server.address == address && server.heartbeat == heartbeat {
                return Ok(None);
            }
            let (is, at) = (server.address, server.heartbeat);
            return Err(format!(
                "the configuration says that {name} is at {is} and hears at {at}, not at {address} and {heartbeat}: correct \
                 one of the two"
            ));
        }
        let key = Key::new(Kind::Server, name).ok_or_else(|| format!("`{name}` is no name of a server"))?;
        let objects = self.ledger.document().objects();
        let servers = objects.iter().filter(|(key, _)| key.kind == Kind::Server);
        let turn = servers.filter_map(|(key, text)| read(key, text).ok()?.get("joined")?.as_integer()).max();
        let fields = [
            format!("address={address}"),
            format!("heartbeat={heartbeat}"),
            format!("joined={}", turn.unwrap_or(0).saturating_add(1)),
        ];
        let text = set_fields(&key, None, &Part::Whole, &fields).map_err(|error| error.to_string())?;
        Ok(Some(Change { was: Was::Absent, ..Change::new(key, Some(&text)) }))
    }

    /// What takes a server out, and out of the lists that name it; nothing where it is not there.
    pub(crate) fn dismissing(&self, name: &str) -> Vec<Change> {
        let objects = self.ledger.document().objects();
        let server = Key::new(Kind::Server, name).and_then(|key| objects.get_key_value(&key));
        let Some((server, text)) = server else { return Vec::new() };
        let mut changes = vec![Change { was: Was::of(Some(text)), ..Change::new(server.clone(), None) }];
        for (key, before) in &objects {
            let naming = matches!(key.kind, Kind::VirtualHost | Kind::Endpoint | Kind::Pool | Kind::Notify);
            let mut text: Option<String> = None;
            for field in NAMING.iter().filter(|_| naming) {
                let without = [format!("{field}-={name}")];
                // A list that does not name it stays as it is.
                let now = text.as_deref().unwrap_or(&**before);
                text = set_fields(key, Some(now), &Part::Whole, &without).ok().or(text);
            }
            changes.extend(
                text.map(|text| Change { was: Was::of(Some(before)), ..Change::new(key.clone(), Some(&text)) }),
            );
        }
        changes
    }

    /// The whole document, for a newcomer.
    pub(crate) fn whole(&self) -> Vec<u8> {
        self.ledger.document().save()
    }
}
