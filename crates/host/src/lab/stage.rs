//! A cluster on stage: servers with a web service and a daemon each, and a client, on one switch.
//!
//! Shared by `standin demo` and the tests, which differ only in what they do to it. The daemons are real processes of the
//! program given. Each is a guardian and its child, the daemon proper: the guardian dies with the thread that started it,
//! the daemon when its standard input ends, and both with the [`Stage`].

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Child, ExitStatus, Stdio},
};

use super::{Host, Lab, LabError, web::Web};
use crate::entropy;

/// The port of each server's web service.
pub const WEB_PORT: u16 = 80;

/// Why the stage could not be set.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The network.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// A file, a process or a socket.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// What every server is given.
#[derive(Clone, Debug)]
pub struct Play<'a> {
    /// The program that runs as the daemon.
    pub program: &'a Path,
    /// A directory of our own for configuration, sockets and logs.
    pub directory: &'a Path,
    /// The text of `cluster.toml`; servers are named and addressed there as in `servers`.
    pub cluster: &'a str,
    /// Files beside it: zone templates.
    pub templates: &'a [(&'a str, &'a str)],
    /// Name, IPv4 and IPv6 address of each server.
    pub servers: &'a [(&'a str, &'a str, &'a str)],
}

#[derive(Debug)]
struct Member {
    host: Host,
    web: Option<Web>,
    daemon: Option<Child>,
}

/// The servers, the client, the switch, and a router (10.77.0.254, fd00:77::254) that answers as a witness.
#[derive(Debug)]
pub struct Stage {
    /// The network, for pulling cables.
    pub lab: Lab,
    /// The client: 10.77.0.200 and fd00:77::200.
    pub client: Host,
    program: PathBuf,
    directory: PathBuf,
    members: BTreeMap<String, Member>,
    /// Every daemon's standard input, and the end that closes when this process ends.
    stdin: (io::PipeReader, io::PipeWriter),
}

impl Stage {
    /// Makes the network, writes the files and starts the web services; no daemon runs yet.
    pub fn set(play: &Play<'_>) -> Result<Self, StageError> {
        let mut lab = Lab::new()?;
        let client = lab.host("client", &["10.77.0.200/24", "fd00:77::200/64"])?;
        lab.host("router", &["10.77.0.254/24", "fd00:77::254/64"])?;
        let write = |name: &str, text: &str| {
            let path = play.directory.join(name);
            let mut options = File::options();
            let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
            file.and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()))
                .map_err(failed(&format!("writing {}", path.display())))
        };
        fs::create_dir_all(play.directory).map_err(failed(&format!("making {}", play.directory.display())))?;
        write("cluster.toml", play.cluster)?;
        for (name, text) in play.templates {
            write(name, text)?;
        }
        let random = || entropy::boot_id().map_err(failed("making a key"));
        let secret = [random()?.0, random()?.0].concat();
        write("cluster.key", &data_encoding::BASE64.encode(&secret))?;
        let mut members = BTreeMap::new();
        for (name, v4, v6) in play.servers {
            let host = lab.host(name, &[&format!("{v4}/24"), &format!("{v6}/64")])?;
            write(&format!("{name}.toml"), &node_file(name, v4, play.directory))?;
            let web = Web::start(&host, WEB_PORT).map_err(failed(&format!("starting the web service of {name}")))?;
            members.insert((*name).to_owned(), Member { host, web: Some(web), daemon: None });
        }
        let stdin = io::pipe().map_err(failed("making a pipe"))?;
        Ok(Self { lab, client, program: play.program.into(), directory: play.directory.into(), members, stdin })
    }

    /// Starts the server's daemon. Call it from a thread that lives as long as the daemon should.
    pub fn start(&mut self, server: &str) -> Result<(), StageError> {
        let log = self.log(server);
        let doing = format!("starting the daemon of {server}");
        let file = File::options().create(true).append(true).open(log).map_err(failed(&doing))?;
        let config = self.config(server);
        let stdin = self.stdin.0.try_clone().map_err(failed(&doing))?;
        let (program, member) = (self.program.clone(), self.member(server)?);
        let mut command = member.host.command(program);
        command.arg("run").arg("--config").arg(config).arg("--while-stdin");
        command.stdin(Stdio::from(stdin)).stdout(file.try_clone().map_err(failed(&doing))?).stderr(file);
        member.daemon = Some(command.spawn().map_err(failed(&doing))?);
        Ok(())
    }

    /// Asks the server's daemon to stop (SIGTERM) and waits for it.
    pub fn stop(&mut self, server: &str) -> Result<ExitStatus, StageError> {
        self.signal(server, libc::SIGTERM)?;
        self.wait(server)
    }

    /// Waits for the server's daemon to end.
    pub fn wait(&mut self, server: &str) -> Result<ExitStatus, StageError> {
        let doing = format!("waiting for the daemon of {server}");
        let daemon = self.member(server)?.daemon.take();
        let mut daemon = daemon.ok_or_else(|| failed(&doing)(io::Error::other("it does not run")))?;
        daemon.wait().map_err(failed(&doing))
    }

    /// Sends a signal (its number) to what was started: the server's guardian.
    pub fn signal(&mut self, server: &str, signal: i32) -> Result<(), StageError> {
        let Some(daemon) = &self.member(server)?.daemon else { return Ok(()) };
        let pid = i32::try_from(daemon.id()).expect("a process number fits pid_t");
        // It has not been waited for, so the number is still its own.
        kill(pid, signal).map_err(failed(&format!("signalling {server}")))
    }

    /// Sends a signal to the server's daemon proper, the guardian's child, alone. Returns its process number.
    pub fn signal_daemon(&mut self, server: &str, signal: i32) -> Result<i32, StageError> {
        let doing = format!("signalling the daemon of {server}");
        let pid = self.daemon(server)?;
        let pid = pid.ok_or_else(|| failed(&doing)(io::Error::other("it does not run")))?;
        kill(pid, signal).map_err(failed(&doing))?;
        Ok(pid)
    }

    /// Sends a signal to the server's guardian and at once to its daemon.
    pub fn signal_all(&mut self, server: &str, signal: i32) -> Result<(), StageError> {
        let daemon = self.daemon(server)?;
        self.signal(server, signal)?;
        // It lives on, also without its guardian.
        daemon.map_or(Ok(()), |pid| kill(pid, signal).map_err(failed(&format!("signalling {server}"))))
    }

    /// The process number of the server's daemon proper; none while its guardian has no child.
    pub fn daemon(&self, server: &str) -> Result<Option<i32>, StageError> {
        let member = self.members.get(server).ok_or_else(|| LabError::Name(server.to_owned()))?;
        let Some(guardian) = member.daemon.as_ref().map(Child::id) else { return Ok(None) };
        let children = fs::read_to_string(format!("/proc/{guardian}/task/{guardian}/children"));
        let children = children.map_err(failed(&format!("looking for the daemon of {server}")))?;
        Ok(children.split_whitespace().find_map(|pid| pid.parse().ok()))
    }

    /// Stops the server's web service: its port refuses connections.
    pub fn stop_web(&mut self, server: &str) -> Result<(), StageError> {
        if let Some(web) = self.member(server)?.web.take() {
            web.stop();
        }
        Ok(())
    }

    /// Starts the server's web service again.
    pub fn start_web(&mut self, server: &str) -> Result<(), StageError> {
        let member = self.member(server)?;
        let web =
            Web::start(&member.host, WEB_PORT).map_err(failed(&format!("starting the web service of {server}")))?;
        member.web = Some(web);
        Ok(())
    }

    /// The server's machine.
    pub fn host(&self, server: &str) -> Option<&Host> {
        self.members.get(server).map(|member| &member.host)
    }

    /// The server's `standin.toml`.
    pub fn config(&self, server: &str) -> PathBuf {
        self.directory.join(format!("{server}.toml"))
    }

    /// The Unix socket of the server's admin API.
    pub fn socket(&self, server: &str) -> PathBuf {
        self.directory.join(format!("{server}.sock"))
    }

    /// What the server's daemon wrote.
    pub fn log(&self, server: &str) -> PathBuf {
        self.directory.join(format!("{server}.log"))
    }

    /// The servers' names, in order.
    pub fn servers(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    fn member(&mut self, server: &str) -> Result<&mut Member, StageError> {
        self.members.get_mut(server).ok_or_else(|| LabError::Name(server.to_owned()).into())
    }
}

impl Drop for Stage {
    /// Ends what still runs, so that nothing outlives the stage.
    fn drop(&mut self) {
        for member in self.members.values_mut() {
            if let Some(mut daemon) = member.daemon.take() {
                // It may have ended by itself; then there is nothing to end.
                let _ = daemon.kill();
                let _ = daemon.wait();
            }
        }
    }
}

/// The server's `standin.toml`.
fn node_file(name: &str, address: &str, directory: &Path) -> String {
    let at = directory.display();
    let ip: Result<IpAddr, _> = address.parse();
    debug_assert!(ip.is_ok(), "a server's address");
    format!(
        "name = \"{name}\"\nstate-dir = \"{at}/{name}-state\"\ncluster-file = \"{at}/cluster.toml\"\n\
         socket = \"{at}/{name}.sock\"\n\n[heartbeat]\nlisten = \"{address}:7946\"\nkey-file = \"{at}/cluster.key\"\n\n\
         [dns]\nlisten = [\"0.0.0.0:53\", \"[::]:53\"]\n\n[admin]\nlisten = \"{address}:8053\"\n\n\
         [metrics]\nlisten = \"{address}:9853\"\n"
    )
}

fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: takes numbers only; the callers know that the number is the process' own.
    if unsafe { libc::kill(pid, signal) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn failed(doing: &str) -> impl Fn(io::Error) -> StageError {
    move |source| StageError::Io { doing: doing.to_owned(), source }
}
