//! Real servers, each a process in the foreground with its files in a folder of its own, as somebody without rights. None
//! is the machine's own: ports are free ones of loopback, and what the packages start is not touched.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Instant,
};

use super::{NAME, PATIENCE, certificates::Identity};

/// Whoever root becomes for a server: nobody.
const NOBODY: u32 = 65_534;

/// A process, ended with all that it started when dropped.
pub(crate) struct Server {
    process: Child,
    program: String,
    log: PathBuf,
}

/// Where servers are started.
pub(crate) struct Place<'p> {
    folder: &'p Path,
    identity: &'p Identity,
}

impl<'p> Place<'p> {
    pub(crate) fn new(folder: &'p Path, identity: &'p Identity) -> Self {
        give_away(folder);
        Self { folder, identity }
    }

    /// A folder of the server's own, with the certificate.
    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).expect("a folder");
        self.identity.write(&folder);
        folder
    }

    /// Starts a program that writes what it has to say to its standard error.
    fn start(&self, program: &str, arguments: &[&str], folder: &Path) -> Server {
        self.start_with(program, arguments, folder, &[])
    }

    fn start_with(&self, program: &str, arguments: &[&str], folder: &Path, environment: &[(&str, &Path)]) -> Server {
        let log = folder.join("log");
        let output = fs::File::create(&log).expect("a log");
        for entry in walk(folder) {
            give_away(&entry);
        }
        let mut command = Command::new(find(program));
        command.args(arguments).current_dir(folder).envs(environment.iter().copied()).process_group(0);
        command.stdin(Stdio::null()).stdout(output.try_clone().expect("a log")).stderr(output);
        if root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let process = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        Server { process, program: program.to_owned(), log }
    }

    /// SMTP, with STARTTLS.
    pub(crate) fn exim(&self, port: u16) -> Server {
        let folder = self.folder("exim");
        let at = folder.display();
        let (user, group) =
            (if root() { "nobody".to_owned() } else { me("-u") }, if root() { "nogroup".to_owned() } else { me("-g") });
        let config = format!(
            "daemon_smtp_ports = {port}\nlocal_interfaces = 127.0.0.1\nspool_directory = {at}/spool\n\
             log_file_path = {at}/log-%s\npid_file_path = {at}/pid\nprimary_hostname = {NAME}\n\
             exim_user = {user}\nexim_group = {group}\nnever_users =\ntls_advertise_hosts = *\n\
             tls_certificate = {at}/cert.pem\ntls_privatekey = {at}/key.pem\nhost_lookup =\nrfc1413_hosts =\n\
             keep_environment =\nbegin acl\nbegin routers\nbegin transports\n"
        );
        let file = write(&folder, "conf", &config);
        self.start("exim4", &["-C", &file, "-bdf"], &folder)
    }

    /// FTP, with AUTH TLS.
    pub(crate) fn vsftpd(&self, port: u16) -> Server {
        let folder = self.folder("vsftpd");
        let at = folder.display();
        fs::create_dir_all(folder.join("empty")).expect("a folder");
        let config = format!(
            "listen=YES\nlisten_address=127.0.0.1\nlisten_port={port}\nbackground=NO\nrun_as_launching_user=YES\n\
             anonymous_enable=YES\nlocal_enable=NO\nanon_root={at}/empty\nsecure_chroot_dir={at}/empty\n\
             ssl_enable=YES\nallow_anon_ssl=YES\nforce_local_data_ssl=NO\nforce_local_logins_ssl=NO\n\
             rsa_cert_file={at}/cert.pem\nrsa_private_key_file={at}/key.pem\nssl_ciphers=HIGH\nssl_tlsv1=YES\n\
             xferlog_enable=NO\nseccomp_sandbox=NO\n"
        );
        let file = write(&folder, "conf", &config);
        self.start("vsftpd", &[&file], &folder)
    }

    /// Telnet (inetutils), and NNTP with STARTTLS (INN's server for readers, without any news), both behind inetd.
    pub(crate) fn inetd(&self, telnet: u16, nntp: u16) -> Server {
        let folder = self.folder("inetd");
        let user = if root() { "nobody".to_owned() } else { me("-u") };
        let (inn, readers) = self.inn();
        let config = format!(
            "127.0.0.1:{telnet} stream tcp nowait {user} {telnetd} telnetd --exec-login=/bin/cat\n\
             127.0.0.1:{nntp} stream tcp nowait {user} {nnrpd} nnrpd -c {readers}\n",
            telnetd = find("telnetd").display(),
            nnrpd = find("nnrpd").display(),
        );
        let file = write(&folder, "conf", &config);
        self.start_with("inetd", &["-i", &file], &folder, &[("INNCONF", Path::new(&inn))])
    }

    /// What INN needs: its configuration, and the one for its readers.
    fn inn(&self) -> (String, String) {
        let folder = self.folder("news");
        let at = folder.display();
        for within in ["db", "run", "tmp", "logs", "spool/overview"] {
            fs::create_dir_all(folder.join(within)).expect("a folder");
        }
        let (user, group) = if root() { ("nobody".to_owned(), "nogroup".to_owned()) } else { (me("-un"), me("-gn")) };
        let config = format!(
            "domain: {NAME}\nfromhost: {NAME}\npathhost: {NAME}\norganization: none\nmta: \"/bin/true %s\"\n\
             runasuser: {user}\nrunasgroup: {group}\nhismethod: hisv6\nenableoverview: true\novmethod: tradindexed\n\
             pathnews: /usr/lib/news\npathbin: /usr/lib/news/bin\npathetc: {at}\npathdb: {at}/db\npathrun: {at}/run\n\
             pathtmp: {at}/tmp\npathlog: {at}/logs\npathspool: {at}/spool\n\
             tlscertfile: {at}/cert.pem\ntlskeyfile: {at}/key.pem\n"
        );
        let file = write(&folder, "inn.conf", &config);
        let readers = "auth all { hosts: \"*\" default: \"<anonymous>\" }\n\
                       access all { users: \"<anonymous>\" newsgroups: \"*\" access: R }\n";
        let readers = write(&folder, "readers.conf", readers);
        write(&folder, "storage.conf", "method trash {\n    newsgroups: *\n    class: 0\n}\n");
        write(&folder, "db/active", "control 0000000000 0000000001 n\n");
        for empty in ["db/newsgroups", "db/history", "spool/overview/group.index"] {
            write(&folder, empty, "");
        }
        let history = format!("{at}/db/history");
        // An index of no articles: it does not begin without one.
        let mut index =
            self.start_with("makedbz", &["-i", "-o", "-f", &history], &folder, &[("INNCONF", Path::new(&file))]);
        assert!(index.process.wait().expect("makedbz ends").success(), "{}", index.log.display());
        (file, readers)
    }

    /// IMAP and POP3, with STARTTLS.
    pub(crate) fn dovecot(&self, imap: u16, pop3: u16) -> Server {
        let folder = self.folder("dovecot");
        let at = folder.display();
        let (user, group) = if root() { ("nobody".to_owned(), "nogroup".to_owned()) } else { (me("-un"), me("-gn")) };
        let config = format!(
            "base_dir = {at}/run\nlog_path = /dev/stderr\nprotocols = imap pop3\nlisten = 127.0.0.1\n\
             default_internal_user = {user}\ndefault_internal_group = {group}\ndefault_login_user = {user}\n\
             ssl = yes\nssl_cert = <{at}/cert.pem\nssl_key = <{at}/key.pem\nmail_location = maildir:{at}/mail\n\
             passdb {{\n  driver = static\n  args = nopassword=y\n}}\n\
             userdb {{\n  driver = static\n  args = uid={user} gid={group} home={at}\n}}\n\
             service anvil {{\n  chroot =\n}}\nservice stats {{\n  chroot =\n}}\n\
             service imap-login {{\n  chroot =\n  inet_listener imap {{\n    port = {imap}\n  }}\n  inet_listener imaps {{\n    port = 0\n  }}\n}}\n\
             service pop3-login {{\n  chroot =\n  inet_listener pop3 {{\n    port = {pop3}\n  }}\n  inet_listener pop3s {{\n    port = 0\n  }}\n}}\n"
        );
        let file = write(&folder, "conf", &config);
        self.start("dovecot", &["-F", "-c", &file], &folder)
    }

    pub(crate) fn sshd(&self, port: u16) -> Server {
        let folder = self.folder("sshd");
        let key = folder.join("host-key");
        let made = Command::new(find("ssh-keygen")).args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
        assert!(made.is_ok_and(|status| status.success()), "ssh-keygen");
        let config =
            format!("Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nUsePAM no\nPidFile none\n", key.display());
        let file = write(&folder, "conf", &config);
        self.start("sshd", &["-D", "-e", "-f", &file], &folder)
    }

    pub(crate) fn nginx(&self, port: u16) -> Server {
        let folder = self.folder("nginx");
        let at = folder.display();
        let config = format!(
            "daemon off;\nworker_processes 1;\nerror_log stderr;\npid {at}/pid;\nevents {{}}\nhttp {{\n\
             access_log off;\nclient_body_temp_path {at}/a;\nproxy_temp_path {at}/b;\nfastcgi_temp_path {at}/c;\n\
             uwsgi_temp_path {at}/d;\nscgi_temp_path {at}/e;\nserver {{\nlisten 127.0.0.1:{port};\n\
             location = /health {{ return 200 \"all is well\\n\"; }}\nlocation = /old {{ return 301 /health; }}\n\
             location = /away {{ return 302 https://elsewhere.test/; }}\n\
             location = /other {{ return 302 http://other.test:{port}/health; }}\nlocation = /round {{ return 302 /round; }}\n\
             location = /head {{ if ($http_x_probe != yes) {{ return 403; }} return 200 \"$request_method $host\\n\"; }}\n\
             location / {{ return 404; }}\n}}\n}}\n"
        );
        let file = write(&folder, "conf", &config);
        self.start("nginx", &["-p", &at.to_string(), "-e", "stderr", "-c", &file], &folder)
    }
}

/// Further servers, of databases and the like.
impl Place<'_> {
    pub(crate) fn redis(&self, port: u16) -> Server {
        let folder = self.folder("redis");
        let (port, at) = (port.to_string(), folder.display().to_string());
        self.start("redis-server", &["--port", &port, "--bind", "127.0.0.1", "--save", "", "--dir", &at], &folder)
    }

    /// LDAP, with StartTLS.
    pub(crate) fn slapd(&self, port: u16) -> Server {
        let folder = self.folder("slapd");
        let at = folder.display();
        let config = format!(
            "modulepath /usr/lib/ldap\nmoduleload back_mdb\nTLSCertificateFile {at}/cert.pem\n\
             TLSCertificateKeyFile {at}/key.pem\ndatabase config\n"
        );
        let file = write(&folder, "conf", &config);
        let url = format!("ldap://127.0.0.1:{port}");
        // Debian's AppArmor profile goes by the path of the program.
        self.start("slapd", &["-d", "0", "-h", &url, "-f", &file], &folder)
    }

    /// PostgreSQL, with TLS, that trusts everybody.
    pub(crate) fn postgres(&self, port: u16) -> Server {
        let folder = self.folder("postgres");
        let data = folder.join("data").display().to_string();
        let initdb = postgres_program("initdb");
        self.start(&initdb, &["-D", &data, "-A", "trust", "-N", "-U", "monitor"], &folder).await_end();
        let at = folder.display().to_string();
        let (port, cert, key) =
            (port.to_string(), format!("ssl_cert_file={at}/cert.pem"), format!("ssl_key_file={at}/key.pem"));
        let arguments =
            ["-D", &data, "-p", &port, "-k", &at, "-h", "127.0.0.1", "-c", "ssl=on", "-c", &cert, "-c", &key];
        self.start(&postgres_program("postgres"), &arguments, &folder)
    }

    /// MariaDB, with TLS, and without users but root.
    pub(crate) fn mariadb(&self, port: u16) -> Server {
        let folder = self.folder("mariadb");
        let at = folder.display();
        let data = format!("--datadir={at}/data");
        let install = [
            "--no-defaults",
            &data,
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
        ];
        self.start("mariadb-install-db", &install, &folder).await_end();
        let rest = ["port", "bind-address", "socket", "pid-file", "ssl-cert", "ssl-key"].into_iter().zip([
            port.to_string(),
            "127.0.0.1".to_owned(),
            format!("{at}/socket"),
            format!("{at}/pid"),
            format!("{at}/cert.pem"),
            format!("{at}/key.pem"),
        ]);
        let rest: Vec<String> = rest.map(|(name, value)| format!("--{name}={value}")).collect();
        let mut arguments = vec!["--no-defaults", &data, "--skip-log-bin", "--skip-name-resolve"];
        arguments.extend(rest.iter().map(String::as_str));
        self.start("mariadbd", &arguments, &folder)
    }

    /// A clock that thinks itself right.
    pub(crate) fn chronyd(&self, port: u16) -> Server {
        let folder = self.folder("chronyd");
        let user = if root() { "nobody".to_owned() } else { me("-un") };
        let config = format!(
            "port {port}\nbindaddress 127.0.0.1\nallow\nlocal stratum 8\ncmdport 0\nbindcmdaddress /\npidfile {}/pid\nuser {user}\n",
            folder.display()
        );
        let file = write(&folder, "conf", &config);
        self.start("chronyd", &["-d", "-x", "-U", "-f", &file], &folder)
    }

    pub(crate) fn smbd(&self, port: u16) -> Server {
        let folder = self.folder("smbd");
        let at = folder.display();
        let directories = ["private dir", "lock directory", "state directory", "cache directory", "pid directory"];
        let directories: String = directories.iter().map(|name| format!("{name} = {at}\n")).collect();
        let config = format!(
            "[global]\nsmb ports = {port}\ninterfaces = 127.0.0.1\nbind interfaces only = yes\n{directories}\
             ncalrpc dir = {at}/ncalrpc\nlog file = {at}/smbd.log\nserver role = standalone\ndisable netbios = yes\n\
             rpc start on demand helpers = no\n"
        );
        let file = write(&folder, "conf", &config);
        self.start("smbd", &["-F", "--no-process-group", "-s", &file, "--debug-stdout"], &folder)
    }

    /// NFS 4, in user space.
    pub(crate) fn ganesha(&self, port: u16) -> Server {
        let folder = self.folder("ganesha");
        let at = folder.display();
        let others: Vec<u16> = std::iter::repeat_with(free_port).take(3).collect();
        let config = format!(
            "NFS_CORE_PARAM {{ NFS_Port = {port}; MNT_Port = {}; NLM_Port = {}; RQUOTA_Port = {}; Protocols = 4;\n\
             Bind_addr = 127.0.0.1; Enable_NLM = false; Enable_RQUOTA = false; allow_set_io_flusher_fail = true; }}\n\
             NFSV4 {{ RecoveryBackend = fs; RecoveryRoot = {at}; Graceless = true; Only_Numeric_Owners = true; }}\n\
             NFS_KRB5 {{ Active_krb5 = false; }}\n\
             EXPORT {{ Export_Id = 1; Path = /; Pseudo = /x; FSAL {{ Name = MEM; }} Access_Type = RO; Protocols = 4; }}\n",
            others[0], others[1], others[2]
        );
        let (file, log, pid) = (write(&folder, "conf", &config), format!("{at}/nfs.log"), format!("{at}/pid"));
        self.start("ganesha.nfsd", &["-F", "-f", &file, "-L", &log, "-p", &pid], &folder)
    }

    /// DNS.
    pub(crate) fn knotd(&self, port: u16) -> Server {
        let folder = self.folder("knotd");
        let at = folder.display();
        let zone = format!(
            "$ORIGIN {NAME}.\n@ 60 SOA ns hostmaster 1 60 60 60 60\n@ 60 NS ns\nns 60 A 192.0.2.53\n\
             www 60 A 192.0.2.80\nwww 60 A 192.0.2.81\n@ 60 MX 10 mail\nlong 60 TXT {}\n",
            "\"a text that makes the answer too long for UDP without EDNS, or would if there were enough of it\" "
                .repeat(8)
        );
        write(&folder, "zone", &zone);
        let config = format!(
            "server:\n  listen: 127.0.0.1@{port}\n  rundir: {at}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n\
             log:\n  - target: stderr\n    any: warning\ndatabase:\n  storage: {at}\n\
             zone:\n  - domain: {NAME}\n    file: {at}/zone\n    zonefile-sync: -1\n    journal-content: none\n"
        );
        let file = write(&folder, "conf", &config);
        self.start("knotd", &["-c", &file], &folder)
    }
}

impl Server {
    /// Of a program that is to end by itself, and well.
    fn await_end(mut self) {
        let ended = self.process.wait().expect("our child");
        let log = || fs::read_to_string(&self.log).unwrap_or_default();
        assert!(ended.success(), "{}: {ended}: {}", self.program, log());
    }

    /// Until it accepts connections.
    pub(crate) fn await_port(&mut self, port: u16) {
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = self.process.try_wait().expect("our child");
            let log = || fs::read_to_string(&self.log).unwrap_or_default();
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "{} is not up: {ended:?} {}", self.program, log());
            // Nothing tells when it is.
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its children are in its group, unless they have left it; those end when it does.
        for signal in ["-TERM", "-KILL"] {
            let group = format!("-{}", self.process.id());
            let _gone = Command::new("kill").args([signal, "--", &group]).stderr(Stdio::null()).status();
            let begun = Instant::now();
            while signal == "-TERM" && begun.elapsed().as_millis() < 2000 {
                if self.process.try_wait().is_ok_and(|ended| ended.is_some()) {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
        let _gone = self.process.wait();
    }
}

/// A port that is free for TCP, below those that the kernel gives away.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).expect("below 10,000");
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// PostgreSQL's programs are in a folder for each version.
fn postgres_program(name: &str) -> String {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions.map(|version| version.path().join("bin").join(name)).filter(|path| path.is_file()).max();
    found.unwrap_or_default().display().to_string()
}

/// Where a Debian package puts the program.
pub(crate) fn find(program: &str) -> PathBuf {
    if program == "postgres" {
        return PathBuf::from(postgres_program(program));
    }
    let folders = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/usr/lib/news/bin"];
    let found = folders.iter().map(|folder| Path::new(folder).join(program)).find(|path| path.is_file());
    found.unwrap_or_else(|| PathBuf::from(program))
}

/// Those of `programs` that are not installed.
pub(crate) fn lacking(programs: &[&str]) -> Vec<String> {
    programs.iter().filter(|program| !find(program).is_absolute()).map(|program| (*program).to_owned()).collect()
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).expect("written");
    path.display().to_string()
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let inside = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let below = inside.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] });
    std::iter::once(folder.to_owned()).chain(below).collect()
}

fn root() -> bool {
    me("-u") == "0"
}

/// This user, as id(1) tells.
fn me(what: &str) -> String {
    let output = Command::new("id").arg(what).output().expect("id(1)");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// To whom the servers run as.
fn give_away(path: &Path) {
    // What a server has made itself stays as it is.
    if root() && fs::metadata(path).is_ok_and(|found| found.uid() == 0) {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("root may");
        let mode = if path.is_dir() { 0o755 } else { 0o600 };
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("root may");
    }
}
