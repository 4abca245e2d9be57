//! A certificate authority of the test's own, and the certificates that it has signed.

use std::{fs, path::Path, time::SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

const DAY: i64 = 86_400;

/// Signs what is asked for.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// In PEM form.
    pub(crate) certificate: String,
}

/// A certificate and its key, in PEM form.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).expect("signed").pem();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// A certificate for `name` that was valid for a month at least, and ends so many hours from now.
    pub(crate) fn sign(&self, name: &str, hours: i64) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
        let now = i64::try_from(now).expect("for a while yet");
        let date = |seconds| (SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).into();
        let seconds = |from_now: i64| u64::try_from(now + from_now).expect("after 1970");
        params.not_before = date(seconds(-60 * DAY));
        params.not_after = date(seconds(hours * 3600));
        let certificate = params.signed_by(&key, &self.issuer).expect("signed").pem();
        Identity { certificate, key: key.serialize_pem() }
    }
}

impl Identity {
    /// Writes `cert.pem`, `key.pem` and both as `both.pem`.
    pub(crate) fn write(&self, folder: &Path) {
        fs::write(folder.join("cert.pem"), &self.certificate).expect("written");
        fs::write(folder.join("key.pem"), &self.key).expect("written");
        fs::write(folder.join("both.pem"), format!("{}{}", self.key, self.certificate)).expect("written");
    }
}
