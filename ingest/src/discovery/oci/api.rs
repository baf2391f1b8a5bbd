//! Signed questions to Oracle's services.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, DATE, HeaderMap};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::OciKey;
use crate::discovery::DiscoveryError;
use crate::discovery::api_client::ApiClient;
use crate::discovery::cloud::{PAGES_MAX, answers};
use crate::http_client::{header, jwt};
use crate::sigv4::form;

/// Questions of one refresh that follow each other at once. Oracle answers twenty in a second; after these there are ten.
const BURST: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct OciApi {
    pub(super) client: ApiClient,
    pub(super) identity: String,
    pub(super) iaas: String,
    pub(super) key: OciKey,
}

/// The questions of one refresh.
pub(super) struct Session<'a> {
    api: &'a OciApi,
    key: RsaKeyPair,
    asked: AtomicU32,
}

answers! {
    pub(super) Instance {
        pub(super) id: String,
        #[serde(rename = "compartmentId")]
        pub(super) compartment_id: String,
        #[serde(rename = "displayName")]
        pub(super) display_name: String,
        #[serde(rename = "lifecycleState")]
        pub(super) lifecycle_state: String,
        pub(super) shape: String,
        #[serde(rename = "availabilityDomain")]
        pub(super) availability_domain: String,
        #[serde(rename = "faultDomain")]
        pub(super) fault_domain: String,
        pub(super) region: String,
        #[serde(rename = "imageId")]
        pub(super) image_id: String,
        #[serde(rename = "freeformTags")]
        pub(super) freeform_tags: BTreeMap<String, String>,
        #[serde(rename = "definedTags")]
        pub(super) defined_tags: BTreeMap<String, BTreeMap<String, Value>>,
    }
    pub(super) Vnic {
        pub(super) id: String,
        #[serde(rename = "privateIp")]
        pub(super) private_ip: String,
        #[serde(rename = "publicIp")]
        pub(super) public_ip: String,
        #[serde(rename = "ipv6Addresses")]
        pub(super) ipv6_addresses: Vec<String>,
        #[serde(rename = "hostnameLabel")]
        pub(super) hostname_label: String,
        #[serde(rename = "isPrimary")]
        is_primary: bool,
    }
    Attachment {
        #[serde(rename = "vnicId")]
        vnic_id: String,
        #[serde(rename = "lifecycleState")]
        lifecycle_state: String,
    }
    Compartment {
        id: String,
        #[serde(rename = "lifecycleState")]
        lifecycle_state: String,
    }
}

impl OciApi {
    /// Reads the key.
    pub(super) async fn session(&self) -> Result<Session<'_>, DiscoveryError> {
        let path = self.key.key_file.display();
        let failed = |reason: String| {
            DiscoveryError::Answer(format!("oci_sd: reading OCI key file \"{path}\": {reason}"))
        };
        let pem = tokio::fs::read_to_string(&self.key.key_file).await;
        let pem = pem.map_err(|error| failed(error.to_string()))?;
        Ok(Session {
            api: self,
            key: jwt::rsa_key(&pem).map_err(failed)?,
            asked: AtomicU32::new(0),
        })
    }
}

/// What is signed, and the header `Date`.
fn signed_text(url: &Url, now: DateTime<Utc>) -> Option<(String, String)> {
    let date = now.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let host = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str()?),
        None => url.host_str()?.to_owned(),
    };
    let query = url
        .query()
        .map_or_else(String::new, |query| format!("?{query}"));
    let path = url.path();
    let text = format!("date: {date}\n(request-target): get {path}{query}\nhost: {host}");
    Some((text, date))
}

impl Session<'_> {
    fn headers(&self, url: &str) -> Result<HeaderMap, DiscoveryError> {
        let wrong = || DiscoveryError::Setup(format!("{url}: not a URL"));
        let parsed = Url::parse(url).map_err(|_| wrong())?;
        let (text, date) = signed_text(&parsed, Utc::now()).ok_or_else(wrong)?;
        let mut signature = vec![0; self.key.public().modulus_len()];
        let random = SystemRandom::new();
        let signed = self
            .key
            .sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature);
        signed.map_err(|_| DiscoveryError::Setup("oci_sd: the key cannot sign".to_owned()))?;
        let OciKey {
            tenancy,
            user,
            fingerprint,
            ..
        } = &self.api.key;
        let authorization = format!(
            "Signature version=\"1\",headers=\"date (request-target) host\",keyId=\"{tenancy}/{user}/{fingerprint}\",algorithm=\"rsa-sha256\",signature=\"{}\"",
            STANDARD.encode(signature)
        );
        let mut headers = HeaderMap::new();
        headers.insert(DATE, header(&date)?);
        let mut authorization = header(&authorization)?;
        authorization.set_sensitive(true);
        headers.insert(AUTHORIZATION, authorization);
        Ok(headers)
    }

    /// Asks for a document; the second is the name of the next page.
    async fn ask<T: DeserializeOwned>(
        &self,
        url: &str,
    ) -> Result<(T, Option<String>), DiscoveryError> {
        if self.asked.fetch_add(1, Ordering::Relaxed) >= BURST {
            tokio::time::sleep(PAUSE).await;
        }
        let headers = self.headers(url)?;
        let client = &self.api.client;
        let answer = client.send(Method::GET, url, headers, Bytes::new()).await?;
        let next = answer.headers.get("opc-next-page");
        let next = next.and_then(|next| next.to_str().ok().map(str::to_owned));
        Ok((answer.json(url)?, next))
    }

    /// All pages of a list.
    async fn all<T: DeserializeOwned>(
        &self,
        url: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Vec<T>, DiscoveryError> {
        let mut all = Vec::new();
        let mut page: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let page_parameter = page.as_deref().map(|page| ("page", page));
            let parameters = parameters.iter().chain(&[("limit", "100")]);
            let query = form(parameters.chain(page_parameter.as_ref()));
            let (items, next): (Vec<T>, _) = self.ask(&format!("{url}?{query}")).await?;
            all.extend(items);
            page = next;
            if page.is_none() {
                break;
            }
        }
        Ok(all)
    }

    /// The tenancy and all active compartments in it. What cannot be looked into is passed over.
    pub(super) async fn compartments(&self) -> Result<Vec<String>, DiscoveryError> {
        let url = format!("{}/20160918/compartments", self.api.identity);
        let mut seen = BTreeSet::new();
        let mut all = Vec::new();
        let mut waiting = VecDeque::from([self.api.key.tenancy.clone()]);
        while let Some(current) = waiting.pop_front() {
            if !seen.insert(current.clone()) {
                continue;
            }
            let parameters = [
                ("compartmentId", current.as_str()),
                ("accessLevel", "ACCESSIBLE"),
                ("compartmentIdInSubtree", "false"),
            ];
            match self.all::<Compartment>(&url, &parameters).await {
                Ok(below) => {
                    let active = below.into_iter().filter(|c| c.lifecycle_state == "ACTIVE");
                    waiting.extend(active.map(|compartment| compartment.id));
                }
                Err(error) => tracing::warn!(
                    compartment_id = current,
                    %error,
                    "OCI SD failed to list child compartments, skipping subtree"
                ),
            }
            all.push(current);
        }
        Ok(all)
    }

    pub(super) async fn instances(
        &self,
        compartment: &str,
    ) -> Result<Vec<Instance>, DiscoveryError> {
        let url = format!("{}/20160918/instances", self.api.iaas);
        let instances: Vec<Instance> = self.all(&url, &[("compartmentId", compartment)]).await?;
        let complete = |i: &Instance| !i.id.is_empty() && !i.compartment_id.is_empty();
        Ok(instances.into_iter().filter(complete).collect())
    }

    /// The first network card of an instance.
    pub(super) async fn primary_vnic(
        &self,
        instance: &Instance,
    ) -> Result<Option<Vnic>, DiscoveryError> {
        let iaas = &self.api.iaas;
        let url = format!("{iaas}/20160918/vnicAttachments");
        let parameters = [
            ("compartmentId", instance.compartment_id.as_str()),
            ("instanceId", &instance.id),
        ];
        let attachments: Vec<Attachment> = self.all(&url, &parameters).await?;
        for attachment in attachments {
            let Attachment {
                vnic_id,
                lifecycle_state,
            } = &attachment;
            if vnic_id.is_empty() || lifecycle_state != "ATTACHED" {
                continue;
            }
            let (vnic, _): (Vnic, _) = self
                .ask(&format!("{iaas}/20160918/vnics/{vnic_id}"))
                .await?;
            if vnic.is_primary {
                return Ok(Some(vnic));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_text_that_is_signed_is_the_documented_one() {
        // The example of a GET in the provider's guide to request signatures.
        let url = "https://iaas.us-phoenix-1.oraclecloud.com/20160918/instances?availabilityDomain=Pjwf%3A%20PHX-AD-1&compartmentId=ocid1.compartment.oc1..aaaaaaaam3we6vgnherjq5q2idnccdflvjsnog7mlr6rtdb25gilchfeyjxa&displayName=TeamXInstances&volumeId=ocid1.volume.oc1.phx.abyhqljrgvttnlx73nmrwfaux7kcvzfs3s66izvxf2h4lgvyndsdsnoiwr5q";
        let now = "2014-01-05T21:31:40Z".parse().unwrap();
        let (text, date) = signed_text(&Url::parse(url).unwrap(), now).unwrap();
        assert_eq!(date, "Sun, 05 Jan 2014 21:31:40 GMT");
        let (_, target) = url.split_once("oraclecloud.com").unwrap();
        assert_eq!(
            text,
            format!(
                "date: Sun, 05 Jan 2014 21:31:40 GMT\n(request-target): get {target}\nhost: iaas.us-phoenix-1.oraclecloud.com"
            )
        );
    }
}
