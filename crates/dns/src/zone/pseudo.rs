//! The two pseudo-records: `POOL`, which stays as it is until somebody asks, and `NAMESERVERS`, which becomes plain NS,
//! A and AAAA records at once.

use std::net::IpAddr;

use model::{PoolName, ServerName, VirtualHostName, config::Ttl, nearest};

use super::{
    PoolUse,
    source::{Complaint, Place},
    template::{Reader, Wrong},
    text,
    token::Token,
};
use crate::{name, wire::rtype};

impl Reader<'_, '_> {
    /// `NAME [TTL] [IN] POOL pool`.
    pub(super) fn pool(
        &mut self,
        owner: &[u8],
        ttl: Option<u32>,
        word: &Token<'_>,
        words: &[Token<'_>],
    ) -> Result<(), Wrong> {
        let [name] = words else {
            let place = words.get(1).map_or(word.place, |extra| extra.place);
            return Err((place, Complaint::new("POOL needs one pool's name")));
        };
        let Some((pool, settings)) = self.config.pools.get_key_value(&PoolName::new(&name.text)) else {
            return Err(self.no_pool(name));
        };
        let place = word.place.to(name.place);
        self.refers.pools.insert(pool.clone());
        let used = PoolUse { pool: pool.clone(), ttl: ttl.map_or(settings.ttl, Ttl::fixed) };
        self.check_room(place)?;
        self.out.records.push_pool(owner, used, place);
        Ok(())
    }

    /// There is no pool of that name.
    pub(super) fn no_pool(&self, name: &Token<'_>) -> Wrong {
        let complaint = Complaint::new(format!("no pool is called `{}`", name.text));
        let complaint = match nearest(&name.text, self.config.pools.keys().map(PoolName::as_str)) {
            Some(known) => complaint.help(format!("did you mean `{known}`?")),
            None => complaint.help("pools are made by `[pool.NAME]` in the cluster file"),
        };
        (name.place, complaint)
    }

    /// `@ [TTL] [IN] NAMESERVERS ns1=host ...`; without arguments every server, as ns1, ns2, ...
    pub(super) fn nameservers(
        &mut self,
        owner: &[u8],
        ttl: u32,
        word: &Token<'_>,
        words: &[Token<'_>],
    ) -> Result<(), Wrong> {
        let line = words.last().map_or(word.place, |last| word.place.to(last.place));
        if owner != self.apex {
            let complaint = Complaint::new("NAMESERVERS belongs at the apex of the zone");
            return Err((line, complaint.help(format!("write `{} NAMESERVERS ...`", text::show(self.apex)))));
        }
        if let Some(first) = self.nameservers.replace(line) {
            let message = format!("NAMESERVERS is already in {}", self.sources.name_of(first, line));
            return Err((line, Complaint::new(message).help("list all name servers in one record")));
        }
        if words.is_empty() {
            self.refers.every_server = true;
            let servers: Vec<ServerName> = self.config.servers.keys().cloned().collect();
            for (index, server) in servers.iter().enumerate() {
                let name = Token { text: format!("ns{}", index + 1).into(), quoted: false, place: word.place };
                self.nameserver(owner, ttl, &name, server.as_str())?;
            }
            return Ok(());
        }
        for (index, pair) in words.iter().enumerate() {
            let form = "write NAME=HOST, such as `ns1=virtual1`; HOST is a virtual host or a server";
            let Some((name, host)) =
                pair.text.split_once('=').filter(|(name, host)| !name.is_empty() && !host.is_empty())
            else {
                return Err((pair.place, Complaint::new(format!("`{}` names no host", pair.text)).help(form)));
            };
            if words[..index].iter().any(|other| other.text.split_once('=').is_some_and(|(other, _)| other == name)) {
                return Err((pair.place, Complaint::new(format!("`{name}` is named twice"))));
            }
            self.nameserver(owner, ttl, &Token { text: name.to_owned().into(), ..pair.clone() }, host)?;
        }
        Ok(())
    }

    /// One NS record at the apex and its glue.
    fn nameserver(&mut self, apex: &[u8], ttl: u32, token: &Token<'_>, host: &str) -> Result<(), Wrong> {
        let place = token.place;
        let name = self.name(token)?;
        if !name::is_within(&name.to_ascii_lowercase(), self.apex) {
            let message = format!("{} is out of the zone: its addresses cannot be given here", text::show(&name));
            return Err((place, Complaint::new(message).help("write a plain NS record for it")));
        }
        let addresses = self.addresses_of(host, place)?;
        self.refers.hosts.insert(host.to_owned());
        self.push(apex, rtype::NS, ttl, &name, (place, place))?;
        for address in addresses {
            match address {
                IpAddr::V4(address) => self.push(&name, rtype::A, ttl, &address.octets(), (place, place))?,
                IpAddr::V6(address) => self.push(&name, rtype::AAAA, ttl, &address.octets(), (place, place))?,
            }
        }
        Ok(())
    }

    /// The addresses of a virtual host or server; where both have the name, the virtual host's.
    fn addresses_of(&self, host: &str, place: Place) -> Result<Vec<IpAddr>, Wrong> {
        if let Some(found) = self.config.virtual_hosts.get(&VirtualHostName::new(host)) {
            return Ok(found.addresses.clone());
        }
        if let Some(found) = self.config.servers.get(&ServerName::new(host)) {
            return Ok(found.addresses().collect());
        }
        let complaint = Complaint::new(format!("no virtual host or server is called `{host}`"));
        let hosts = self.config.virtual_hosts.keys().map(VirtualHostName::as_str);
        Err((
            place,
            match nearest(host, hosts.chain(self.config.servers.keys().map(ServerName::as_str))) {
                Some(known) => complaint.help(format!("did you mean `{known}`?")),
                None => complaint.help("virtual hosts and servers are made in the cluster file"),
            },
        ))
    }
}
