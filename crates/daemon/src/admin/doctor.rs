//! `GET /v1/doctor` and `GET /v1/clock`: what only the running daemon can say of itself, for `standin doctor`.

use std::{sync::Arc, time::UNIX_EPOCH};

use axum::{Json, extract::State, http::Method};
use futures_util::future::join_all;
use model::{
    access::Action,
    api::{
        access::Unreachable,
        doctor::{Clock, ClockStatus, Diagnosis},
    },
};

use super::{Admin, Failure, others::ask};
use crate::access::Who;

fn wall_ms() -> u64 {
    let since = host::clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// This machine's clock.
pub(super) async fn clock(State(admin): State<Arc<Admin>>, who: Who) -> Result<Json<Clock>, Failure> {
    who.may(&admin, Action::Diagnose)?;
    Ok(Json(Clock { wall_ms: wall_ms() }))
}

/// This process, what confines it, and how far other servers' clocks are from ours.
pub(super) async fn diagnosis(State(admin): State<Arc<Admin>>, who: Who) -> Result<Json<Diagnosis>, Failure> {
    who.may(&admin, Action::Diagnose)?;
    let confinement = host::confine::state().into_iter().collect();
    let mut diagnosis = Diagnosis { pid: std::process::id(), confinement, ..Diagnosis::default() };
    let Some(circle) = &admin.access.circle else { return Ok(Json(diagnosis)) };
    let others = circle.others();
    let asked = others.iter().map(|(id, member)| async {
        let (begun, before) = (host::clock::now(), wall_ms());
        let answer = ask(circle, id, member, &who, (Method::GET, "/v1/clock", Vec::new())).await;
        let took = u64::try_from(host::clock::now().since(begun).as_millis()).unwrap_or(u64::MAX);
        let clock = answer
            .map_err(|error| error.to_string())
            .and_then(|body| serde_json::from_slice::<Clock>(&body).map_err(|error| error.to_string()));
        let halfway = before.saturating_add(took / 2);
        (
            member.name.clone(),
            clock.map(|clock| (clock.wall_ms.cast_signed().wrapping_sub(halfway.cast_signed()), took)),
        )
    });
    for (server, clock) in join_all(asked).await {
        match clock {
            Ok((ahead_ms, round_trip_ms)) => diagnosis.clocks.push(ClockStatus { server, ahead_ms, round_trip_ms }),
            Err(why) => diagnosis.unreachable.push(Unreachable { server, why }),
        }
    }
    Ok(Json(diagnosis))
}
