//! `tls_config` as settings of the HTTP library.

use std::result::Result;

use reqwest::{Certificate, ClientBuilder, Identity};

use super::chain;
use crate::config::{Source, TlsConfig, TlsVersion};

/// Applies TLS settings, for which it reads files with certificates and keys.
pub(super) fn apply(mut builder: ClientBuilder, tls: &TlsConfig) -> Result<ClientBuilder, String> {
    if let Some(source) = &tls.ca {
        let pem = read_now(source, |text| text)?;
        let certificates = Certificate::from_pem_bundle(pem.as_bytes())
            .map_err(|error| format!("cannot read the CA certificates: {}", chain(&error)))?;
        if certificates.is_empty() {
            return Err("there is no CA certificate in ca or ca_file".to_owned());
        }
        builder = builder.tls_built_in_root_certs(false);
        for certificate in certificates {
            builder = builder.add_root_certificate(certificate);
        }
    }
    if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
        let mut pem = read_now(cert, |text| text)?;
        pem.push('\n');
        pem.push_str(&read_now(key, |secret| secret.reveal())?);
        let identity = Identity::from_pem(pem.as_bytes())
            .map_err(|error| format!("cannot read the client certificate: {}", chain(&error)))?;
        builder = builder.identity(identity);
    }
    if tls.insecure_skip_verify {
        builder = builder.danger_accept_invalid_certs(true);
    }
    versions(builder, tls)
}

/// Nothing older than 1.2 is spoken, so only the newer bounds mean something.
fn versions(mut builder: ClientBuilder, tls: &TlsConfig) -> Result<ClientBuilder, String> {
    if let (Some(oldest), Some(newest)) = (tls.min_version, tls.max_version)
        && oldest > newest
    {
        return Err(
            "tls_config.max_version must be greater than or equal to tls_config.min_version if both are specified"
                .to_owned(),
        );
    }
    match tls.min_version {
        Some(TlsVersion::Tls13) => {
            builder = builder.min_tls_version(reqwest::tls::Version::TLS_1_3)
        }
        _ => builder = builder.min_tls_version(reqwest::tls::Version::TLS_1_2),
    }
    match tls.max_version {
        Some(TlsVersion::Tls10 | TlsVersion::Tls11) => {
            return Err("not supported yet: max_version older than TLS12".to_owned());
        }
        Some(TlsVersion::Tls12) => {
            builder = builder.max_tls_version(reqwest::tls::Version::TLS_1_2)
        }
        Some(TlsVersion::Tls13) | None => {}
    }
    Ok(builder)
}

/// Reads a value when a client is made, which is not on the path of a request.
fn read_now<T>(source: &Source<T>, inline: impl Fn(&T) -> &str) -> Result<String, String> {
    match source {
        Source::Inline(value) => Ok(inline(value).to_owned()),
        Source::File(path) => std::fs::read_to_string(path)
            .map_err(|e| format!("cannot read {}: {e}", path.display())),
    }
}
