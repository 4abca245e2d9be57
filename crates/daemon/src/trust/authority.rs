//! The cluster's certificates: an authority, and what it says of servers' keys.
//!
//! A certificate says only that a key belongs to the cluster; which keys are members' is in the trust store, which is asked
//! after every handshake. So a certificate of a removed server is worth nothing, however long it is valid.

use std::{net::IpAddr, time::Duration};

use cluster::trust::{Authority, Predecessor};
use model::access::{Fingerprint, Secret};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType, SubjectPublicKeyInfo,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

/// The name that every server answers to: who connects knows the authority, not the host name.
pub(crate) const ANY_SERVER: &str = "standin.internal";
/// How long an authority is valid.
const AUTHORITY_DAYS: u64 = 20 * 365;
/// How long a server's certificate is valid. It is made anew when two thirds are left.
pub(crate) const SERVER_DAYS: u64 = 30;
pub(crate) const DAY: u64 = 86_400;

/// A key or certificate that could not be made or read.
#[derive(Debug, thiserror::Error)]
#[error("a certificate could not be made: {0}")]
pub(crate) struct CertificateError(#[from] rcgen::Error);

/// SHA-256.
pub(crate) fn digest(bytes: &[u8]) -> Fingerprint {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    Fingerprint(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

/// A new private key (P-256), PKCS #8.
pub(crate) fn new_key() -> Result<Secret, CertificateError> {
    Ok(Secret::new(KeyPair::generate()?.serialize_der()))
}

fn key_pair(key: &Secret) -> Result<KeyPair, CertificateError> {
    Ok(KeyPair::try_from(&PrivatePkcs8KeyDer::from(key.expose()))?)
}

/// The public half of a private key, SubjectPublicKeyInfo, DER.
pub(crate) fn public_key(key: &Secret) -> Result<Vec<u8>, CertificateError> {
    Ok(key_pair(key)?.subject_public_key_info())
}

/// A new authority for the cluster of this name; `last` certifies it, so that who knows `last` can follow.
pub(crate) fn found(
    number: u64,
    cluster: &str,
    last: Option<&Authority>,
    now: u64,
) -> Result<Authority, CertificateError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("Standin cluster {cluster} {number}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // A clock that is a little slow must not refuse it.
    valid(&mut params, now.saturating_sub(DAY), now + AUTHORITY_DAYS * DAY);
    let certificate = params.self_signed(&key)?;
    let last = match last {
        Some(last) => Some(Predecessor {
            certificate: last.certificate.clone(),
            certifies: Secret::new(params.signed_by(&key, &issuer(last)?)?.der().to_vec()),
        }),
        None => None,
    };
    Ok(Authority {
        number,
        founded: now,
        certificate: Secret::new(certificate.der().to_vec()),
        last,
        key: Secret::new(key.serialize_der()),
    })
}

fn issuer(authority: &Authority) -> Result<Issuer<'static, KeyPair>, CertificateError> {
    let certificate = CertificateDer::from(authority.certificate.expose().to_vec());
    Ok(Issuer::from_ca_cert_der(&certificate, key_pair(&authority.key)?)?)
}

/// A certificate for a server's public key.
pub(crate) fn certify(
    authority: &Authority,
    public_key: &[u8],
    name: &str,
    address: Option<IpAddr>,
    now: u64,
) -> Result<CertificateDer<'static>, CertificateError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let any = ANY_SERVER.try_into()?;
    params.subject_alt_names = vec![SanType::DnsName(any)];
    // A name that DNS would not take stays in the subject alone.
    if rustls::pki_types::DnsName::try_from(name).is_ok() {
        params.subject_alt_names.push(SanType::DnsName(name.try_into()?));
    }
    params.subject_alt_names.extend(address.map(SanType::IpAddress));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    // From the authority's first day, so that a machine whose clock stands there believes it; and never over already.
    let from = authority.founded.saturating_sub(DAY);
    valid(&mut params, from, now.max(authority.founded) + SERVER_DAYS * DAY);
    let key = SubjectPublicKeyInfo::from_der(public_key)?;
    Ok(params.signed_by(&key, &issuer(authority)?)?.der().clone())
}

/// In seconds since 1970.
fn valid(params: &mut CertificateParams, from: u64, until: u64) {
    let date = |seconds| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
    params.not_before = date(from);
    params.not_after = date(until);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_certifies_the_next_one_and_servers() {
        let first = found(1, "test", None, 1_800_000_000).unwrap();
        let second = found(2, "test", Some(&first), 1_800_000_000).unwrap();
        assert!(first.last.is_none() && second.last.is_some());
        let public = public_key(&new_key().unwrap()).unwrap();
        for name in ["web1", "v10.77.0.100", "mail-in_2", "odd.", "a..b"] {
            let certificate = certify(&second, &public, name, None, 1_800_000_000).unwrap();
            let parsed = rustls::server::ParsedCertificate::try_from(&certificate).unwrap();
            assert_eq!(parsed.subject_public_key_info().as_ref(), public);
        }
    }
}
