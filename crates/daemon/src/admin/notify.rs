//! Channels for notifications: how they are, and a test of one.

use std::sync::Arc;

use axum::{Json, body::Bytes, extract::State};
use model::{
    access::Action,
    api::notify::{ChannelStatus, TestChannel, Tested},
};

use super::{Admin, Failure};
use crate::access::Who;

/// `GET /v1/notify`.
pub(super) async fn channels(State(admin): State<Arc<Admin>>, who: Who) -> Result<Json<Vec<ChannelStatus>>, Failure> {
    who.may(&admin, Action::ReadStatus)?;
    Ok(Json(admin.notify.status()))
}

/// `POST /v1/notify/test`: answered when the attempt has ended, well or not.
pub(super) async fn test(State(admin): State<Arc<Admin>>, who: Who, body: Bytes) -> Result<Json<Tested>, Failure> {
    who.may(&admin, Action::TestNotification)?;
    let wrong = |error| Failure::Request(format!("the body must be {{\"channel\": \"NAME\"}}: {error}"));
    let TestChannel { channel } = serde_json::from_slice(&body).map_err(wrong)?;
    let tested = admin.try_channel(&channel).await?;
    who.did(&admin, Action::TestNotification, &channel);
    Ok(Json(tested))
}
