//! Signed tokens (RFC 7519).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

/// A token with `claims`, signed with an RSA key. `algorithm` is `RS256` (that of any other name), `RS384`, `RS512` or `PS256`; it joins the
/// fields of `header`. An error says what is wrong with the key.
pub(crate) fn signed(
    key_pem: &str,
    algorithm: &str,
    mut header: Value,
    claims: &Value,
) -> Result<String, String> {
    let (name, encoding): (_, &dyn RsaEncoding) = match algorithm {
        "RS384" => ("RS384", &RSA_PKCS1_SHA384),
        "RS512" => ("RS512", &RSA_PKCS1_SHA512),
        "PS256" => ("PS256", &RSA_PSS_SHA256),
        _ => ("RS256", &RSA_PKCS1_SHA256),
    };
    header["alg"] = json!(name);
    header["typ"] = json!("JWT");
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(&header), part(claims));
    let signature = sign(key_pem, encoding, text.as_bytes())?;
    Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn sign(key_pem: &str, encoding: &'static dyn RsaEncoding, text: &[u8]) -> Result<Vec<u8>, String> {
    let key = rsa_key(key_pem)?;
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(encoding, &SystemRandom::new(), text, &mut signature)
        .map_err(|_| "it cannot sign".to_owned())?;
    Ok(signature)
}

/// Reads an RSA key in PEM.
pub(crate) fn rsa_key(key_pem: &str) -> Result<RsaKeyPair, String> {
    let der =
        PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|error| error.to_string())?;
    let key = match &der {
        PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
        _ => return Err("it is no RSA key".to_owned()),
    };
    key.map_err(|error| error.to_string())
}
