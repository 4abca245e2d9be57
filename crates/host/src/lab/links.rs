//! Links, addresses and settings of the lab's namespaces, through rtnetlink and `/proc/sys/net`.
//!
//! Each operation runs on a thread inside the namespace that it changes, with a netlink socket of its own.

use std::{fs, future::Future, io, net::IpAddr, os::fd::AsRawFd};

use model::net::Prefix;
use netlink_packet_route::{
    address::{AddressAttribute, AddressFlags, AddressHeaderFlags},
    link::{InfoBridge, InfoData, InfoKind, InfoVeth},
};
use rtnetlink::{
    Error, Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder, new_connection,
};

use super::{LabError, Namespace};

/// The name of a host's interface, inside the host.
pub(super) const INTERFACE: &str = "eth0";

/// Runs netlink requests in `namespace`; `doing` names them in the error.
fn netlink<R: Send, F: Future<Output = Result<R, Error>>>(
    namespace: &Namespace,
    doing: impl FnOnce() -> String,
    requests: impl FnOnce(Handle) -> F + Send,
) -> Result<R, LabError> {
    let run = || -> io::Result<Result<R, Error>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        runtime.block_on(async {
            let (connection, handle, _) = new_connection()?;
            let driver = tokio::spawn(connection);
            let result = requests(handle).await;
            driver.abort();
            Ok(result)
        })
    };
    match namespace.run(run) {
        Ok(Ok(Ok(result))) => Ok(result),
        Ok(Ok(Err(source))) => Err(LabError::Netlink { doing: doing(), source: Box::new(source) }),
        Ok(Err(source)) | Err(source) => Err(LabError::Namespace { doing: doing(), source }),
    }
}

/// A bridge without spanning tree or snooping: a plain switch that forwards from the first frame.
pub(super) fn add_bridge(switch: &Namespace, name: &str) -> Result<u32, LabError> {
    write_settings(switch, &IPV6_OFF);
    let plain = || LinkBridge::new(name);
    let message = plain().append_info_data(InfoBridge::MulticastSnooping(false)).build();
    netlink(
        switch,
        || format!("adding the bridge {name}"),
        |handle| async move {
            match handle.link().add(message).execute().await {
                // A kernel without snooping refuses the word itself.
                Err(Error::NetlinkError(refusal)) if refusal.raw_code() == -libc::EOPNOTSUPP => {
                    handle.link().add(plain().build()).execute().await
                }
                result => result,
            }
        },
    )?;
    interface_index(switch, name)
}

/// A cable: `port` on the bridge, [`INTERFACE`] in `host`. The port is up, the interface still down.
pub(super) fn add_cable(switch: &Namespace, bridge: u32, port: &str, host: &Namespace) -> Result<u32, LabError> {
    let peer = LinkMessageBuilder::<LinkUnspec>::new().name(INTERFACE).setns_by_fd(host.as_raw_fd()).build();
    let message = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
        .name(port)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .controller(bridge)
        .up()
        .build();
    netlink(
        switch,
        || format!("adding the cable {port}"),
        |handle| async move { handle.link().add(message).execute().await },
    )?;
    interface_index(switch, port)
}

/// Loopback up, addresses usable at once, interface up.
pub(super) fn set_up_host(host: &Namespace, addresses: &[Prefix]) -> Result<(), LabError> {
    write_settings(host, &HOST_SETTINGS);
    let index = interface_index(host, INTERFACE)?;
    let addresses = addresses.to_vec();
    netlink(
        host,
        || "setting up a host".to_owned(),
        |handle| async move {
            handle.link().set(LinkUnspec::new_with_name("lo").up().build()).execute().await?;
            for Prefix { address, length } in addresses {
                let mut request = handle.address().add(index, address, length);
                if address.is_ipv6() {
                    let message = request.message_mut();
                    message.header.flags = AddressHeaderFlags::Nodad;
                    message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
                }
                request.execute().await?;
            }
            handle.link().set(LinkUnspec::new_with_index(index).up().build()).execute().await
        },
    )
}

/// A default route through `gateway`.
pub(super) fn add_default_route(host: &Namespace, gateway: IpAddr) -> Result<(), LabError> {
    let route = match gateway {
        IpAddr::V4(gateway) => RouteMessageBuilder::<std::net::Ipv4Addr>::new().gateway(gateway).build(),
        IpAddr::V6(gateway) => RouteMessageBuilder::<std::net::Ipv6Addr>::new().gateway(gateway).build(),
    };
    netlink(
        host,
        || format!("adding the default route through {gateway}"),
        |handle| async move { handle.route().add(route).execute().await },
    )
}

/// The port up or down, as a cable plugged in or pulled: the host's interface has its carrier or loses it.
pub(super) fn set_port_up(switch: &Namespace, port: u32, up: bool) -> Result<(), LabError> {
    let message = LinkUnspec::new_with_index(port);
    let message = if up { message.up() } else { message.down() }.build();
    netlink(
        switch,
        || "switching a port".to_owned(),
        |handle| async move { handle.link().set(message).execute().await },
    )
}

/// The port moved to another bridge, and what the bridges have learnt about it forgotten. The carrier stays.
pub(super) fn move_ports(switch: &Namespace, ports: &[(u32, u32)]) -> Result<(), LabError> {
    netlink(
        switch,
        || "moving a port".to_owned(),
        |handle| async move {
            for &(port, bridge) in ports {
                let message = LinkUnspec::new_with_index(port).controller(bridge).build();
                handle.link().set(message).execute().await?;
            }
            Ok(())
        },
    )
}

fn interface_index(namespace: &Namespace, name: &str) -> Result<u32, LabError> {
    let lookup = || {
        let name = std::ffi::CString::new(name).map_err(io::Error::other)?;
        // SAFETY: the string ends in NUL and outlives the call.
        match unsafe { libc::if_nametoindex(name.as_ptr()) } {
            0 => Err(io::Error::last_os_error()),
            index => Ok(index),
        }
    };
    namespace
        .run(lookup)
        .flatten()
        .map_err(|source| LabError::Namespace { doing: format!("looking for interface {name}"), source })
}

/// The switch itself has no address, so that it says nothing of its own.
const IPV6_OFF: [(&str, &str); 1] = [("ipv6/conf/default/disable_ipv6", "1")];

/// As on an ordinary server (loose reverse path, secondaries promoted), but without the second of waiting that duplicate
/// address detection costs.
const HOST_SETTINGS: [(&str, &str); 14] = [
    ("ipv4/conf/all/rp_filter", "2"),
    ("ipv4/conf/default/rp_filter", "2"),
    ("ipv4/conf/eth0/rp_filter", "2"),
    ("ipv4/conf/all/promote_secondaries", "1"),
    ("ipv4/conf/default/promote_secondaries", "1"),
    ("ipv4/conf/eth0/promote_secondaries", "1"),
    ("ipv4/conf/all/arp_ignore", "0"),
    ("ipv4/conf/all/arp_announce", "0"),
    ("ipv6/conf/all/disable_ipv6", "0"),
    ("ipv6/conf/default/disable_ipv6", "0"),
    ("ipv6/conf/eth0/disable_ipv6", "0"),
    ("ipv6/conf/eth0/accept_ra", "0"),
    ("ipv6/conf/eth0/accept_dad", "0"),
    ("ipv6/conf/eth0/dad_transmits", "0"),
];

/// Best effort: in some containers `/proc/sys` is read-only, and the kernel's defaults serve too.
fn write_settings(namespace: &Namespace, settings: &[(&str, &str)]) {
    let write = || {
        for (name, value) in settings {
            if let Err(error) = fs::write(format!("/proc/sys/net/{name}"), value) {
                tracing::debug!(setting = name, %error, "lab setting not written");
            }
        }
    };
    if let Err(error) = namespace.run(write) {
        tracing::debug!(%error, "lab settings not written");
    }
}
