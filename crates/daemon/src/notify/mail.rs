//! One mail (RFC 5322), handed to a mail server (RFC 5321).
//!
//! The messages of an incident are one thread: the first one's Message-ID is made of the incident's id, and the later ones refer to it. So
//! a mail that is sent twice has one id, too.

use std::{net::IpAddr, time::Duration};

use chronicle::notice::{Message, MessageKind, Notice};
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Tokio1Executor,
    message::{Mailbox, MessageBuilder, header},
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
        extension::ClientId,
    },
};
use model::config::notify::{Mail, MailTls};

use super::{
    Settings,
    send::{Failed, secret},
    words,
};

/// Hands it over.
pub(super) async fn send(settings: &Settings, mail: &Mail, message: &Message, limit: Duration) -> Result<(), Failed> {
    let letter = letter(settings, mail, message)?;
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&*mail.server)
        .port(mail.port)
        .timeout(Some(limit))
        .tls(tls(mail).await?);
    if let Some(address) = settings.address {
        // An address is a name that every server takes (RFC 5321 section 4.1.3); ours may be known to nobody.
        builder = builder.hello_name(match address {
            IpAddr::V4(address) => ClientId::Ipv4(address),
            IpAddr::V6(address) => ClientId::Ipv6(address),
        });
    }
    if let Some(login) = &mail.login {
        let password = secret(settings, &login.secret).await?;
        let password = std::str::from_utf8(&password).map_err(|_| Failed::now("the password is not UTF-8"))?;
        builder = builder.credentials(Credentials::new(login.user.to_string(), password.to_owned()));
    }
    let sent = builder.build().send(letter).await;
    sent.map(drop).map_err(|error| {
        let reason = format!("{}: {}", mail.server, plain(&error));
        if error.is_permanent() { Failed::ever(reason) } else { Failed::now(reason) }
    })
}

async fn tls(mail: &Mail) -> Result<Tls, Failed> {
    if mail.tls == MailTls::None {
        return Ok(Tls::None);
    }
    let (server, file) = (mail.server.to_string(), mail.ca_file.clone());
    // It reads whom the system trusts.
    let built = tokio::task::spawn_blocking(move || {
        let mut builder = TlsParameters::builder(server);
        if let Some(file) = file {
            let unreadable = |error| Failed::now(format!("{} cannot be read: {error}", file.display()));
            let text = std::fs::read(&file).map_err(unreadable)?;
            let wrong = |error| Failed::now(format!("{}: {}", file.display(), plain(&error)));
            let certificates = Certificate::from_pem(&text).map_err(wrong)?;
            builder = builder.certificate_store(CertificateStore::None).add_root_certificate(certificates);
        }
        builder.build().map_err(|error| Failed::now(plain(&error)))
    });
    let parameters = built.await.map_err(std::io::Error::other)??;
    Ok(match mail.tls {
        MailTls::Implicit => Tls::Wrapper(parameters),
        MailTls::Starttls => Tls::Required(parameters),
        MailTls::None => Tls::None,
    })
}

fn letter(settings: &Settings, mail: &Mail, message: &Message) -> Result<lettre::Message, Failed> {
    let mailbox = |address: &str| {
        let address = address.parse().map_err(|_| Failed::ever(format!("{address} is not a mail address")))?;
        Ok::<_, Failed>(Mailbox::new(None, address))
    };
    let subject = format!("[{}] {}", settings.cluster, words::summary(message));
    let mut builder = lettre::Message::builder().from(mailbox(&mail.from)?).subject(subject);
    for address in &mail.to {
        builder = builder.to(mailbox(address)?);
    }
    let mut letter = thread(builder, settings, message)
        .header(header::ContentType::TEXT_PLAIN)
        .body(words::text(settings, message))
        .map_err(|error| Failed::ever(format!("the mail cannot be written: {error}")))?;
    // Nobody's holiday answers it (RFC 3834 section 5).
    let name = header::HeaderName::new_from_ascii_str("Auto-Submitted");
    letter.headers_mut().insert_raw(header::HeaderValue::new(name, "auto-generated".to_owned()));
    Ok(letter)
}

/// Message-ID, In-Reply-To, References.
fn thread(builder: MessageBuilder, settings: &Settings, message: &Message) -> MessageBuilder {
    let id = |local: String| format!("<{local}.{}@{}.standin.invalid>", message.channel, settings.cluster);
    let root = |notice: &Notice| id(notice.incident.clone());
    match (message.kind, message.notices.as_slice()) {
        (MessageKind::Incident, [notice]) if notice.first => builder.message_id(Some(root(notice))),
        (MessageKind::Incident, [notice]) => {
            let own = id(format!("{}.{}", notice.incident, notice.sequence));
            builder.message_id(Some(own)).in_reply_to(root(notice)).references(root(notice))
        }
        (MessageKind::Incident | MessageKind::Digest | MessageKind::Test, _) => {
            builder.message_id(Some(id(message.delivery.clone())))
        }
    }
}

/// An error with what is behind it.
fn plain(error: &lettre::transport::smtp::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(deeper) = source {
        let more = deeper.to_string();
        if !text.contains(&more) {
            text += &format!(": {more}");
        }
        source = deeper.source();
    }
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
