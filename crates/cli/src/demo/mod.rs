//! `standin demo`: three servers, a client and some faults, in namespaces on this machine.
//!
//! Real daemons of this very program, real kernel, real ARP, real DNS; the configuration is `zones/example`. Nothing
//! outside the namespaces is touched. [`story`] is what happens, [`screen`] how it is shown.

mod screen;
mod story;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    thread,
};

use anyhow::Context;
use host::lab::{
    enter,
    forward::Forward,
    stage::{Play, Stage},
};

use self::screen::Screen;

/// Where `--keep` offers the zone's DNS and a server's admin port, if these are free; else anywhere.
const DNS_PORT: u16 = 5300;
const ADMIN_PORT: u16 = 8053;

/// Runs the demo; `keep` leaves the network up until Ctrl-C. Call it before any thread is started.
pub(crate) fn run(keep: bool) -> ExitCode {
    if let Err(error) = enter::enter() {
        eprintln!("standin demo needs to make network namespaces, and cannot here.\n  {error}");
        return ExitCode::FAILURE;
    }
    let directory = Directory(std::env::temp_dir().join(format!("standin-demo-{}", std::process::id())));
    match play(&directory.0, keep) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("standin demo: {error:#}");
            show_logs(&directory.0);
            ExitCode::FAILURE
        }
    }
}

fn play(directory: &Path, keep: bool) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("finding this program")?;
    let screen = Arc::new(Screen::new());
    screen.say("Standin demo: three servers, a client and a switch, in namespaces on this machine.");
    fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    interrupt_cleans_up(directory.to_owned(), keep)?;
    let mut stage = Stage::set(&Play {
        program: &program,
        directory,
        cluster: include_str!("../../../../zones/example/cluster.toml"),
        templates: &[("lb.zone", include_str!("../../../../zones/example/lb.zone"))],
        servers: &[
            ("web1", "10.77.0.11", "fd00:77::11"),
            ("web2", "10.77.0.12", "fd00:77::12"),
            ("web3", "10.77.0.13", "fd00:77::13"),
        ],
    })?;
    story::tell(&mut stage, &screen)?;
    if keep { stay(&stage, &program, directory, &screen) } else { Ok(()) }
}

/// Offers the DNS and the admin port on this machine's loopback, and waits for ever: Ctrl-C ends the process.
fn stay(stage: &Stage, program: &Path, directory: &Path, screen: &Screen) -> anyhow::Result<()> {
    let dns_inside = SocketAddr::from((story::VIRTUAL1, 53));
    let (udp, tcp) = open_dns().context("opening a port for DNS on 127.0.0.1")?;
    let admin = listen(ADMIN_PORT).context("opening a port for the admin page on 127.0.0.1")?;
    let (dns_at, admin_at) = (udp.local_addr()?, admin.local_addr()?);
    let _relays = [
        Forward::udp(udp, &stage.client, dns_inside)?,
        Forward::tcp(tcp, &stage.client, dns_inside)?,
        Forward::tcp(admin, &stage.client, SocketAddr::from((Ipv4Addr::new(10, 77, 0, 11), 8053)))?,
    ];
    let (at, program) = (directory.display(), program.display());
    screen.say(&format!(
        "\nIt stays up until Ctrl-C. From another terminal:\n\n\
         The zone, by way of a virtual address:\n  dig @{} -p {} www.lb.example.test\n\
         The cluster, as web1 sees it (in a browser, a page):\n  curl http://{admin_at}/v1/status\n\
         The same from web2; also try events, standby, resume:\n  {program} status --socket {at}/web2.sock\n\
         What a daemon logs:\n  less {at}/web1.log",
        dns_at.ip(),
        dns_at.port(),
    ));
    loop {
        thread::park();
    }
}

/// A UDP and a TCP socket on the same port.
fn open_dns() -> std::io::Result<(UdpSocket, TcpListener)> {
    let tcp = listen(DNS_PORT)?;
    match UdpSocket::bind(tcp.local_addr()?) {
        Ok(udp) => Ok((udp, tcp)),
        Err(_) => {
            let tcp = listen(0)?;
            Ok((UdpSocket::bind(tcp.local_addr()?)?, tcp))
        }
    }
}

fn listen(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
}

/// Ctrl-C removes the directory and ends the process; the daemons and the namespaces go with it.
fn interrupt_cleans_up(directory: PathBuf, keep: bool) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            drop(Directory(directory));
            std::process::exit(if keep { 0 } else { 130 });
        }
    })?;
    Ok(())
}

/// The demo's files, removed at the end.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        // It may be gone already, or belong to nobody; it lies in the temporary directory anyway.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The last lines of each daemon's log, for whoever must find out why the demo failed.
fn show_logs(directory: &Path) {
    for server in ["web1", "web2", "web3"] {
        let log = fs::read_to_string(directory.join(format!("{server}.log"))).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        eprintln!("--- {server}, last lines of its log");
        for line in &lines[lines.len().saturating_sub(12)..] {
            eprintln!("  {line}");
        }
    }
}
