//! Servers with faults, on loopback. Each lives as long as the runtime of its test.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpSocket, TcpStream},
};
use tokio_rustls::{TlsAcceptor, rustls};

use super::certificates::Identity;

/// What a server does with every connection.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    /// Accepts and says nothing.
    Silent,
    /// Says this at once, and after each piece that it hears.
    Says(&'static [u8]),
    /// Says this once it has heard something.
    Answers(&'static [u8]),
    /// Says this, a byte each 100 ms.
    Drips(&'static [u8]),
    /// The same once it was asked.
    DripsAnswers(&'static [u8]),
    /// Says this at once, then ends its side and hears on.
    HalfClosed(&'static [u8]),
    /// The same once it was asked.
    HalfAnswers(&'static [u8]),
}

/// Starts a server with this fault; its port.
pub(crate) async fn start(fault: Fault) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                // The probe may be gone before all is said.
                let _gone = serve(stream, fault).await;
            });
        }
    });
    port
}

async fn serve(mut stream: TcpStream, fault: Fault) -> std::io::Result<()> {
    let mut heard = [0; 4096];
    match fault {
        Fault::Silent => {}
        Fault::Says(text) => {
            stream.write_all(text).await?;
            while stream.read(&mut heard).await? > 0 {
                stream.write_all(text).await?;
            }
        }
        Fault::Answers(text) => {
            while stream.read(&mut heard).await? > 0 {
                stream.write_all(text).await?;
            }
        }
        Fault::Drips(text) | Fault::DripsAnswers(text) => {
            if matches!(fault, Fault::DripsAnswers(_)) {
                let _asked = stream.read(&mut heard).await?;
            }
            for byte in text.iter().cycle() {
                stream.write_all(&[*byte]).await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Fault::HalfAnswers(text) => {
            let _asked = stream.read(&mut heard).await?;
            stream.write_all(text).await?;
            stream.shutdown().await?;
        }
        Fault::HalfClosed(text) => {
            stream.write_all(text).await?;
            stream.shutdown().await?;
        }
    }
    while stream.read(&mut heard).await? > 0 {}
    Ok(())
}

/// A port at which nobody listens and nobody else will: keep the socket.
pub(crate) fn refusing() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("loopback");
    let port = socket.local_addr().expect("bound").port();
    (socket, port)
}

/// TLS with this identity before the real server at `to`; the port.
pub(crate) async fn tls_before(to: u16, identity: &Identity) -> u16 {
    let chain = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("known versions")
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .expect("they belong together");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Probes that don't like the certificate go away.
                let mut inside = acceptor.accept(stream).await?;
                let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await?;
                copy_bidirectional(&mut inside, &mut server).await
            });
        }
    });
    port
}
