//! Asks the parent's servers whether they delegate our zones as the zones themselves say.
//!
//! For commands that check an installation; the daemon itself asks nobody.

use std::net::{IpAddr, SocketAddr};

use dns::delegation::{Delegation, Difference};
use host::{dns_query, entropy};
use model::ZoneName;

use crate::load::Loaded;

/// Where DNS servers listen.
const PORT: u16 = 53;

/// What one server of a parent says of one zone.
#[derive(Debug)]
pub struct Delegated {
    /// The zone.
    pub zone: ZoneName,
    /// The parent's server.
    pub server: IpAddr,
    /// In what it differs from the zone; or why that cannot be told.
    pub found: Result<Vec<Difference>, String>,
}

/// Compares every zone with what each of the parent's servers says of it, in the order given.
pub fn compare_with_parent(loaded: &Loaded, parent: &[IpAddr]) -> Vec<Delegated> {
    loaded.zones.iter().flat_map(|zone| compare_with(zone, parent)).collect()
}

/// Compares one zone with what each of the parent's servers says of it.
pub(crate) fn compare_with(zone: &dns::Zone, parent: &[IpAddr]) -> Vec<Delegated> {
    let told = |server: &IpAddr| Delegated { zone: zone.name.clone(), server: *server, found: compare(zone, *server) };
    parent.iter().map(told).collect()
}

/// The parent's servers, as a resolver finds them; none where it finds none, or does not answer.
pub(crate) fn parents_of(zone: &dns::Zone, resolver: IpAddr) -> Vec<IpAddr> {
    let ask =
        |id: u16, build: &dyn Fn(u16) -> Vec<u8>| dns_query::exchange(SocketAddr::new(resolver, PORT), &build(id)).ok();
    dns::delegation::servers_of_parent(zone, &mut |build| ask(entropy::spread() as u16, build))
}

fn compare(zone: &dns::Zone, server: IpAddr) -> Result<Vec<Difference>, String> {
    // Whoever cannot see the question cannot guess its ID.
    let query = Delegation::question(zone, entropy::spread() as u16);
    let reply = dns_query::exchange(SocketAddr::new(server, PORT), &query).map_err(|error| error.to_string())?;
    let given = Delegation::of_reply(zone, &reply).map_err(|error| error.to_string())?;
    Ok(Delegation::of_zone(zone).differences(&given))
}
