//! Members: inviting, joining, leaving, removing, and their keys.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::{Method, StatusCode},
};
use cluster::trust::{Invitation, Item, Member, Start, Trust};
use document::Change;
use model::{
    access::{Action, JoinToken, Role, Secret, SecretText},
    api::access::{
        InvitationStatus, Invite, Invited, Join, Joined, MemberStatus, RemoveServer, Removed, Rotate, RotationStatus,
        Servers,
    },
    id::is_valid_name,
};
use tokio::{task::spawn_blocking, time::sleep};

use super::{Admin, Body, Failure, config::make, others::ask};
use crate::{
    access::{From, Who},
    circle::Circle,
    desk::{
        Handle,
        api::{EditRequest, Wanted},
    },
    trust::{authority::digest, identity::random_name},
};

/// The longest life of a join token.
const LONGEST_INVITATION: u64 = 7 * 86_400;
/// The answer reaches the operator before the server that leaves stops.
const LAST_WORD: Duration = Duration::from_millis(300);

/// A join token.
pub(super) async fn invite(
    State(admin): State<Arc<Admin>>,
    who: Who,
    Body(wanted): Body<Invite>,
) -> Result<Json<Invited>, Failure> {
    invited(&admin, &who, wanted.seconds).await.map(Json)
}

/// A new join token, which is shown once.
pub(crate) async fn invited(admin: &Admin, who: &Who, seconds: u64) -> Result<Invited, Failure> {
    who.may(admin, Action::Invite)?;
    let circle = admin.access.circle()?;
    if !(1..=LONGEST_INVITATION).contains(&seconds) {
        return Err(Failure::Request("a join token lasts for a second to seven days".into()));
    }
    let known = circle.keeper.known();
    let authority = known.trust.authority().ok_or(Failure::NoCluster)?;
    let token = JoinToken::new(&host::entropy::bytes()?, digest(authority.certificate.expose()));
    let expires = host::clock::wall_seconds() + seconds;
    let (id, by) = (token.id.clone(), circle.name());
    let invitation = Invitation { digest: digest(token.secret.expose()), expires };
    circle.keeper.edit(move |trust| trust.put(&id, &by, Item::Invitation(invitation))).await??;
    who.did(admin, Action::Invite, &format!("token {} for {seconds} s", token.id));
    Ok(Invited { token: SecretText::new(token.to_string()), expires })
}

/// A newcomer with a join token becomes a member.
pub(super) async fn join(
    State(admin): State<Arc<Admin>>,
    From(from): From,
    Body(join): Body<Join>,
) -> Result<Json<Joined>, Failure> {
    let access = &admin.access;
    let circle = access.circle()?.clone();
    access.may_try(from, &join.name, "join")?;
    let invited = is_invited(&circle.keeper.known().trust, &join);
    access.tried(from, &join.name, invited);
    if !invited {
        access.audit.denied(&join.name, &from.to_string(), "join", "its token is unknown, used, revoked or expired");
        return Err(Failure::Unauthorized("this join token is unknown, used, revoked or expired".into()));
    }
    if !is_valid_name(&join.name) {
        return Err(Failure::Request("a server's name has 1 to 63 letters, digits, '-', '_' or '.'".into()));
    }
    let refused = |why: String| {
        access.audit.denied(&join.name, &from.to_string(), "join", &why);
        Failure::Conflict(why)
    };
    if circle.keeper.known().trust.member_named(&join.name).is_some() {
        let name = &join.name;
        return Err(refused(format!(
            "{name} is a member already: `standin server remove {name}` first, if it is lost"
        )));
    }
    let desk = admin.desk()?;
    let (name, address, heartbeat) = (join.name.clone(), join.address, join.heartbeat);
    let change = desk.ask(move |desk| desk.welcoming(&name, address, heartbeat)).await?.map_err(refused)?;
    let by = Who { name: format!("token {}", join.token), role: Role::Admin, from: from.to_string(), token: None };
    let added = change.is_some();
    if let Some(change) = change {
        edit(desk, &by, vec![change], format!("{} joins", join.name)).await.map_err(|why| refused(why.to_string()))?;
    }
    let admitted = admit(&circle, join.clone()).await;
    if admitted.is_err() && added {
        strike(desk, &by, &join.name, "it did not come to joining".to_owned()).await?;
    }
    let member = admitted?;
    let document = Secret::new(desk.ask(|desk| desk.whole()).await?);
    access.audit.done(&format!("token {}", join.token), &from.to_string(), "join", &join.name);
    let trust = serde_json::to_value(&circle.keeper.known().trust).map_err(std::io::Error::other)?;
    Ok(Json(Joined { member, trust, document }))
}

async fn edit(desk: &Handle, who: &Who, changes: Vec<Change>, why: String) -> Result<(), Failure> {
    let request = EditRequest {
        wanted: Wanted::Changes(changes),
        who: who.name.clone(),
        from: who.from.clone(),
        why,
        confirm_seconds: None,
        samples: Vec::new(),
    };
    make(desk, request).await.map(drop)
}

/// Takes a server out of the document; whether it was there.
async fn strike(desk: &Handle, who: &Who, name: &str, why: String) -> Result<bool, Failure> {
    let server = name.to_owned();
    let changes = desk.ask(move |desk| desk.dismissing(&server)).await?;
    if changes.is_empty() {
        return Ok(false);
    }
    edit(desk, who, changes, why).await.map(|()| true)
}

/// Whether the newcomer's token counts now.
fn is_invited(trust: &Trust, join: &Join) -> bool {
    let expected = trust.invitation(&join.token, host::clock::wall_seconds()).map(|invitation| invitation.digest);
    let shown = digest(join.secret.expose());
    expected.is_some_and(|expected| verify_slices_are_equal(&expected.0, &shown.0).is_ok())
}

/// The token is used up, and the newcomer a member, in one step: of two with one token the second is refused.
async fn admit(circle: &Arc<Circle>, join: Join) -> Result<String, Failure> {
    let (member, by) = (random_name()?, circle.name());
    let keys = vec![digest(join.key.expose())];
    let entry = Member { name: join.name.clone(), keys, reach: join.reach, start: Start::default() };
    let id = member.clone();
    circle
        .keeper
        .edit(move |trust| {
            if !is_invited(trust, &join) || trust.member_named(&entry.name).is_some() {
                return Err(Failure::Unauthorized("this join token was used just now".into()));
            }
            trust.remove(&join.token, &by, host::clock::wall_seconds());
            Ok(trust.put(&id, &by, Item::Member(entry))?)
        })
        .await??;
    Ok(member)
}

/// Who belongs to the cluster.
pub(super) async fn servers(State(admin): State<Arc<Admin>>, who: Who) -> Result<Json<Servers>, Failure> {
    who.may(&admin, Action::ReadMembers)?;
    let invitations = if who.role.may(Action::Invite) { invitations(&admin)? } else { Vec::new() };
    Ok(Json(Servers { invitations, ..members(&admin)? }))
}

/// Join tokens that count, by the names by which they are revoked; the one that ends first comes first.
pub(crate) fn invitations(admin: &Admin) -> Result<Vec<InvitationStatus>, Failure> {
    let (known, now) = (admin.access.circle()?.keeper.known(), host::clock::wall_seconds());
    let open = known.trust.entries().filter_map(|(id, entry)| {
        let expires = known.trust.invitation(id, now)?.expires;
        Some(InvitationStatus { id: id.to_owned(), expires, made_on: entry.by.clone() })
    });
    let mut open: Vec<InvitationStatus> = open.collect();
    open.sort_by(|a, b| (a.expires, &a.id).cmp(&(b.expires, &b.id)));
    Ok(open)
}

/// The members as this server knows them.
pub(crate) fn members(admin: &Admin) -> Result<Servers, Failure> {
    let circle = admin.access.circle()?;
    let (known, me) = (circle.keeper.known(), circle.me());
    let status = |(id, member): (&str, &Member)| MemberStatus {
        name: member.name.clone(),
        reach: circle.links.address(id).map_or(member.reach, |address| {
            // Who has dialled comes from some port: the one to be reached at is said.
            std::net::SocketAddr::new(address.ip(), member.reach.port())
        }),
        link: if id == me {
            "self"
        } else if circle.links.is_up(id) {
            "linked"
        } else {
            "not linked"
        }
        .to_owned(),
        starts: member.start.number,
    };
    let mut servers: Vec<MemberStatus> = known.trust.members().map(status).collect();
    servers.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Servers { servers, rotating: rotating(circle), invitations: Vec::new() })
}

/// A server is no member any more, whether or not it can hear that.
pub(super) async fn remove(
    State(admin): State<Arc<Admin>>,
    who: Who,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Removed>, Failure> {
    who.may(&admin, Action::RemoveServer)?;
    let wanted = if body.is_empty() { Ok(RemoveServer::default()) } else { serde_json::from_slice(&body) };
    let RemoveServer { why } = wanted.map_err(|error| Failure::Request(format!("the body: {error}")))?;
    removed(&admin, &who, &name, why).await.map(Json)
}

/// Whether a server can be removed from here at all.
///
/// # Errors
/// [`Failure::Conflict`] where it is this one.
pub(crate) fn may_go(admin: &Admin, name: &str) -> Result<(), Failure> {
    let circle = admin.access.circle()?;
    if name != circle.name() {
        return Ok(());
    }
    if circle.others().is_empty() {
        return Err(last_of_all());
    }
    Err(Failure::Conflict(format!(
        "this is {name} itself: `standin leave` here, or `standin server remove {name}` on another server"
    )))
}

fn last_of_all() -> Failure {
    Failure::Conflict(
        "this is the last server of the cluster: stop it, and remove its state directory, to end the cluster".into(),
    )
}

/// Removes a server that is not this one.
pub(crate) async fn removed(admin: &Arc<Admin>, who: &Who, name: &str, why: String) -> Result<Removed, Failure> {
    who.may(admin, Action::RemoveServer)?;
    may_go(admin, name)?;
    let advice = dismiss(admin, admin.access.circle()?, who, name, why).await?;
    who.did(admin, Action::RemoveServer, name);
    Ok(Removed { advice })
}

/// This server is no member any more, and stops.
pub(super) async fn leave(State(admin): State<Arc<Admin>>, who: Who) -> Result<Json<Removed>, Failure> {
    who.may(&admin, Action::Leave)?;
    let circle = admin.access.circle()?.clone();
    if circle.others().is_empty() {
        return Err(last_of_all());
    }
    let (name, others) = (circle.name(), circle.others());
    let path = format!("/v1/servers/{name}");
    circle.leaving.store(true, Ordering::Relaxed);
    let mut answer = Err(Failure::Conflict(
        "no other server is linked, so none would hear of it: `standin server remove` on another server".into(),
    ));
    // Another one removes it, and chooses the next heartbeat key, which this one must not know.
    for (id, other) in others.iter().filter(|(id, _)| circle.links.is_up(id)) {
        answer = ask(&circle, id, other, &who, (Method::DELETE, &path, Vec::new())).await;
        if answer.is_ok() {
            break;
        }
    }
    let removed = answer.and_then(|body| Ok(serde_json::from_slice(&body).map_err(std::io::Error::other)?));
    let removed: Removed = removed.inspect_err(|_| circle.leaving.store(false, Ordering::Relaxed))?;
    who.did(&admin, Action::Leave, &name);
    tokio::spawn(async move {
        sleep(LAST_WORD).await;
        circle.leaving.store(false, Ordering::Relaxed);
        circle.expel_for_good("it has left the cluster; `standin leave` forgets what it knows");
    });
    Ok(Json(removed))
}

/// Rotations under way.
pub(super) fn rotating(circle: &Circle) -> Vec<RotationStatus> {
    circle.rotating().into_iter().map(|at| RotationStatus { key: at.key, awaited: at.awaited }).collect()
}

/// Ends a membership, and takes the server out of the configuration. What is left of one of the two is finished, too.
async fn dismiss(
    admin: &Arc<Admin>,
    circle: &Arc<Circle>,
    who: &Who,
    name: &str,
    why: String,
) -> Result<Vec<String>, Failure> {
    let (by, wanted, now) = (circle.name(), name.to_owned(), host::clock::wall_seconds());
    let removed = circle.keeper.edit(move |trust| {
        let id = trust.member_named(&wanted).map(|(id, _)| id.to_owned());
        id.is_some_and(|id| trust.remove(&id, &by, now))
    });
    let removed = removed.await?;
    let struck = match admin.desk() {
        Ok(desk) => strike(desk, who, name, why).await,
        Err(file_mode) => Err(file_mode),
    };
    let mut advice = match (removed, struck) {
        (true, Ok(_)) => Vec::new(),
        (true, Err(why)) => vec![format!(
            "server/{name} is still in the configuration: mend what follows, then `standin server remove {name}` again\n{why}"
        )],
        (false, Ok(true)) => return Ok(Vec::new()),
        (false, Ok(false)) => return Err(Failure::Missing(format!("there is no server {name}"))),
        (false, Err(why)) => return Err(why),
    };
    // It knows the heartbeat key: the others take another one. Where one is under way already it is not known to it.
    let this = circle.clone();
    match spawn_blocking(move || this.rotate_heartbeat()).await.map_err(|_| Failure::Busy)? {
        Ok(()) => {}
        Err(error) => advice.push(format!("the heartbeat key was not changed: {error}; `standin rotate heartbeat`")),
    }
    advice.push("if its disk may be in strange hands, change the authority too: `standin rotate authority`".to_owned());
    Ok(advice)
}

/// New keys.
pub(super) async fn rotate(
    State(admin): State<Arc<Admin>>,
    who: Who,
    Body(wanted): Body<Rotate>,
) -> Result<StatusCode, Failure> {
    who.may(&admin, Action::Rotate)?;
    let circle = admin.access.circle()?.clone();
    let (key, cluster) = (wanted.key.clone(), admin.sample().await?.applied.cluster);
    let begun = spawn_blocking(move || match key.as_str() {
        "heartbeat" => Ok(circle.rotate_heartbeat()?),
        "authority" => Ok(circle.rotate_authority(&cluster)?),
        "server" => Ok(circle.rotate_own_key()?),
        _ => Err(Failure::Request("what can be rotated: heartbeat, authority, server".into())),
    });
    begun.await.map_err(|_| Failure::Busy)??;
    who.did(&admin, Action::Rotate, &wanted.key);
    Ok(StatusCode::ACCEPTED)
}
