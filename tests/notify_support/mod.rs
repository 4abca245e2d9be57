//! Receivers of notifications: a webhook and a mail server, on a host of the lab.

#![allow(clippy::panic, reason = "a test fails by panicking")]

pub(crate) mod mailbox;
pub(crate) mod webhook;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use tokio_rustls::rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::certificates::Identity;

/// Notifications take their time: who becomes the sender waits, and so does the end of an incident.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What has come, in its order.
pub(crate) struct Inbox<T>(Arc<(Mutex<Vec<T>>, Condvar)>);

impl<T> Clone for Inbox<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Clone + std::fmt::Debug> Inbox<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::new((Mutex::new(Vec::new()), Condvar::new())))
    }

    pub(crate) fn put(&self, one: T) {
        self.0.0.lock().expect("no panic").push(one);
        self.0.1.notify_all();
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.0.0.lock().expect("no panic").clone()
    }

    /// Waits until it is as wanted.
    pub(crate) fn wait(&self, what: &str, wanted: impl Fn(&[T]) -> bool) -> Vec<T> {
        let begun = Instant::now();
        let mut all = self.0.0.lock().expect("no panic");
        while !wanted(&all) {
            let left = PATIENCE.checked_sub(begun.elapsed()).unwrap_or_else(|| panic!("never {what}: {all:#?}"));
            all = self.0.1.wait_timeout(all, left).expect("no panic").0;
        }
        all.clone()
    }
}

/// Both directions of a connection.
pub(crate) trait Duplex: Read + Write + Send {}

impl<S: Read + Write + Send> Duplex for S {}

/// A server's side of TLS.
pub(crate) fn within_tls(config: &Arc<ServerConfig>, stream: TcpStream) -> Box<dyn Duplex> {
    let connection = ServerConnection::new(config.clone()).expect("a configuration that fits");
    Box::new(StreamOwned::new(connection, stream))
}

/// What a server with this certificate needs, which is kept in a folder as servers do.
pub(crate) fn tls(folder: &Path, identity: &Identity) -> Arc<ServerConfig> {
    identity.write(folder);
    let certificate = CertificateDer::from_pem_file(folder.join("cert.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).expect("a key");
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
    Arc::new(builder.with_single_cert(vec![certificate], key).expect("they fit"))
}

/// A secret where the stage's servers look for it.
pub(crate) fn write_secret(directory: &Path, name: &str, secret: &str) {
    let path = directory.join("secrets").join(name);
    fs::create_dir_all(path.parent().expect("a directory")).expect("made");
    fs::write(&path, format!("{secret}\n")).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its owner's alone");
}
