//! Pools for people: who is in the answers and why, which rule decided, and what the TTL follows.

use model::{
    PoolName,
    api::{PoolMemberStatus, PoolStatus, PoolWhy},
    config::{AllDown, Policy, Ttl, UnknownPolicy},
    health::{ServerState, Verdict},
};

use crate::view::AnswerSet;

use super::{Answered, Evaluated, Kind, Mode, Pool, PoolState, Pools, Standing};

impl Pools {
    /// Every pool for people.
    pub(crate) fn status(&self, evaluated: &[Evaluated]) -> Vec<PoolStatus> {
        let pools = self.pools.iter().zip(evaluated);
        pools
            .map(|(pool, state)| PoolStatus { name: pool.name.to_string(), members: self.members(pool, state) })
            .collect()
    }

    fn members(&self, pool: &Pool, evaluated: &Evaluated) -> Vec<PoolMemberStatus> {
        let members = pool.members.iter().zip(&evaluated.members);
        let status = members.map(|(member, standing)| {
            let (answered, rule) = match evaluated.mode {
                Mode::Normal => (pool.is_in(standing), None),
                Mode::AllDown(AllDown::All) => (true, Some("everything is down, so all are answered")),
                Mode::AllDown(AllDown::Servfail | AllDown::Nodata) => (false, None),
                Mode::Unknown(UnknownPolicy::All) => (true, Some("nothing is known yet, so all are answered")),
                Mode::Unknown(UnknownPolicy::Servfail) => (false, Some("nothing is known yet")),
                Mode::Isolated => (false, Some("this server is isolated and vouches for nothing")),
            };
            let words = self.words(pool, standing);
            PoolMemberStatus {
                name: self.name(member.kind).to_owned(),
                addresses: member.addresses.clone(),
                answered,
                why: rule.map_or(words.clone(), |rule| format!("{words}; {rule}")),
            }
        });
        status.collect()
    }

    /// What a pool is answered with.
    pub(crate) fn answers(&self, index: usize, evaluated: &Evaluated) -> (PoolName, AnswerSet) {
        let pool = &self.pools[index];
        let addresses = match &evaluated.state {
            PoolState::Servfail => None,
            PoolState::Answers { answered, .. } => {
                let name = |one: &Answered| self.name(pool.members[usize::from(one.member)].kind).into();
                Some(answered.iter().map(|one| (one.address, name(one))).collect())
            }
        };
        (pool.name.clone(), addresses)
    }

    /// One pool's answers at this moment, explained to the end.
    pub(crate) fn why(&self, index: usize, evaluated: &Evaluated, ttl: Ttl) -> PoolWhy {
        let pool = &self.pools[index];
        PoolWhy {
            name: pool.name.to_string(),
            policy: pool.policy.word().to_owned(),
            rule: rule(pool, evaluated.mode),
            ttl: ttl.after(evaluated.calm),
            ttl_why: ttl_words(ttl, evaluated.calm),
            members: self.members(pool, evaluated),
        }
    }

    fn name(&self, kind: Kind) -> &str {
        match kind {
            Kind::VirtualHost(index) => self.hosts[index].as_str(),
            Kind::Server(index) => self.servers[index].as_str(),
            Kind::Endpoint(index) => self.endpoints[index].as_str(),
        }
    }

    fn words(&self, pool: &Pool, standing: &Standing) -> String {
        let server = |index: &usize| &self.servers[*index];
        let less = match pool.weighs_less(standing) {
            true => format!(", and counts {} % of its weight", pool.degraded_weight),
            false => String::new(),
        };
        match standing {
            Standing::ServerUp => "alive".to_owned(),
            Standing::ServerStandby => "on standby".to_owned(),
            Standing::ServerDown(ServerState::Dead) => "dead".to_owned(),
            Standing::ServerDown(ServerState::Left) => "has left".to_owned(),
            Standing::ServerDown(ServerState::Unknown) => "not heard so far".to_owned(),
            Standing::ServerDown(ServerState::Alive | ServerState::Suspect) => "not known".to_owned(),
            Standing::Held { by, at_primary, degraded } => {
                let backup = if *at_primary { "" } else { "backup " };
                let degraded = if *degraded { format!("; its service is degraded{less}") } else { String::new() };
                format!("held by {backup}{}{degraded}", server(by))
            }
            Standing::Unheld => "held by nobody".to_owned(),
            Standing::ServiceDown { by } => format!("its service is down on {}", server(by)),
            Standing::Endpoint(Verdict::Up) => "up".to_owned(),
            Standing::Endpoint(Verdict::Degraded) => format!("up, and not as it should be{less}"),
            Standing::Endpoint(Verdict::Down) => "most of those who probe it find it down".to_owned(),
            Standing::Endpoint(Verdict::Unknown) => "nobody has probed it so far".to_owned(),
            Standing::Spare { degraded: false } => "could be answered; its weight is 0 and others live".to_owned(),
            Standing::Spare { degraded: true } => {
                "could be answered; it is degraded, `degraded-weight` is 0, and others are well".to_owned()
            }
            Standing::Behind { first } => {
                format!("could be answered; {} comes first", self.name(pool.members[*first].kind))
            }
            Standing::Doubled { by, through } => {
                let other = self.name(pool.members[*through].kind);
                format!("on backup {}, which already answers for {other}", server(by))
            }
        }
    }
}

/// Which rule decided.
fn rule(pool: &Pool, mode: Mode) -> String {
    let shares = match (mode, &pool.policy) {
        (Mode::Isolated, _) => return "this server is isolated and vouches for nothing: SERVFAIL".to_owned(),
        (Mode::Unknown(UnknownPolicy::Servfail), _) => {
            return "too little is known, and `unknown = \"servfail\"`: resolvers ask another server".to_owned();
        }
        (Mode::Unknown(UnknownPolicy::All), _) => "nothing is known yet, and `unknown = \"all\"`: all are answered",
        (Mode::AllDown(AllDown::Servfail), _) => {
            return "every member is out, and `all-down = \"servfail\"`: resolvers ask another server".to_owned();
        }
        (Mode::AllDown(AllDown::Nodata), _) => {
            return "every member is out, and `all-down = \"nodata\"`: no address".to_owned();
        }
        (Mode::AllDown(AllDown::All), _) => "every member is out, and `all-down = \"all\"`: all are answered",
        (Mode::Normal, Policy::RoundRobin) => "each living member comes first equally often",
        (Mode::Normal, Policy::Weighted(_)) => "each living member comes first as often as its weight says",
        (Mode::Normal, Policy::Failover) => "the first member that lives is answered",
    };
    match pool.max_answers {
        usize::MAX => shares.to_owned(),
        most => format!("{shares}; at most {most} addresses of each family"),
    }
}

fn ttl_words(ttl: Ttl, calm: u32) -> String {
    let Ttl { min, max } = ttl;
    if !ttl.is_elastic() {
        "it is fixed".to_owned()
    } else if calm == 0 {
        format!(
            "the shortest of {min} to {max} s: a member is suspected, on a backup, unknown or on standby, or was a moment ago"
        )
    } else if calm >= max {
        format!("the longest of {min} to {max} s: all has been calm for longer")
    } else {
        format!("within {min} to {max} s: all has been calm for {calm} s or a little more")
    }
}
