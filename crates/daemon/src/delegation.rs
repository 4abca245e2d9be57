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
    let each = loaded.zones.iter().flat_map(|zone| parent.iter().map(move |server| (zone, *server)));
    each.map(|(zone, server)| Delegated { zone: zone.name.clone(), server, found: compare(zone, server) }).collect()
}

fn compare(zone: &dns::Zone, server: IpAddr) -> Result<Vec<Difference>, String> {
    // Whoever cannot see the question cannot guess its ID.
    let query = Delegation::question(zone, entropy::spread() as u16);
    let reply = dns_query::exchange(SocketAddr::new(server, PORT), &query).map_err(|error| error.to_string())?;
    let given = Delegation::of_reply(zone, &reply).map_err(|error| error.to_string())?;
    Ok(Delegation::of_zone(zone).differences(&given))
}
