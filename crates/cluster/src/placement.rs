//! Who should hold a virtual host: one pure function that every server computes from the same words (design R2).
//!
//! Invariants: the target is eligible; the answer depends on the arguments alone; where nobody holds it, no delay and no
//! failback policy leaves it uncovered (design R8).

use model::{config::Failback, health::Verdict};

/// One server of a virtual host's list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// It may hold the virtual host: alive, able, not on standby, not listening.
    pub eligible: bool,
    /// Its monitors' verdicts, most important first.
    pub health: Vec<Verdict>,
    /// It has been as healthy as now for the failback delay; it says so itself.
    pub steady: bool,
}

/// The index of the server that should hold the virtual host.
///
/// The healthiest of the eligible win, compared from the most important monitor down. Among equals: list order
/// ([`Failback::Auto`]), except that a server must be steady to win from a holder as healthy as itself; or the holder
/// ([`Failback::Sticky`]). Where every monitor is down on every eligible server, `always_active` decides between
/// leaving it where it is and nowhere.
pub fn target(list: &[Candidate], holder: Option<usize>, failback: Failback, always_active: bool) -> Option<usize> {
    let best_health = list.iter().filter(|candidate| candidate.eligible).map(|candidate| &candidate.health).max()?;
    let is_best = |&index: &usize| list[index].eligible && list[index].health == *best_health;
    let mut best = (0..list.len()).filter(is_best);

    if is_all_down(best_health) {
        if !always_active {
            return None;
        }
        let is_eligible = |&index: &usize| list.get(index).is_some_and(|candidate| candidate.eligible);
        return holder.filter(is_eligible).or_else(|| (0..list.len()).find(is_eligible));
    }
    let Some(holder) = holder.filter(|&holder| holder < list.len() && is_best(&holder)) else {
        return best.next();
    };
    match failback {
        Failback::Sticky => Some(holder),
        Failback::Auto => best.find(|&index| index == holder || list[index].steady),
    }
}

/// Whether it stays with its holder while services fail everywhere for a shared cause (`shared`). A holder that may
/// not hold it does not keep it, and what `always_active` places nowhere is placed nowhere.
pub fn stays(list: &[Candidate], holder: usize, always_active: bool) -> bool {
    let mut eligible = list.iter().filter(|candidate| candidate.eligible);
    list.get(holder).is_some_and(|holder| holder.eligible)
        && (always_active || eligible.any(|candidate| !is_all_down(&candidate.health)))
}

/// Whether there are monitors and every one is down.
fn is_all_down(health: &[Verdict]) -> bool {
    !health.is_empty() && health.iter().all(|verdict| *verdict == Verdict::Down)
}

#[cfg(test)]
mod tests;
