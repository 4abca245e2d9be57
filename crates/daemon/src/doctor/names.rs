//! What a parent says of our zones.

use super::{Facts, Finding, Severity};

const WHY: &str =
    "resolvers follow the parent: what it does not say is not asked, and what it says wrongly costs clients seconds";

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for delegated in &facts.delegated {
        let at = format!("{} at the parent's server {}", delegated.zone, delegated.server);
        match &delegated.found {
            Ok(differences) => found.extend(differences.iter().map(|difference| {
                Finding::new(Severity::Warning, format!("{at}: {difference}"), WHY)
                    .then("have the parent's operator change it; `standin zone render` prints what the zone says")
            })),
            Err(reason) => found.push(
                Finding::new(Severity::Warning, format!("{at}: {reason}"), WHY)
                    .then("have the parent's operator delegate the zone; or name another server with --parent"),
            ),
        }
    }
    found
}
