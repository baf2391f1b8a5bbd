//! Where credentials come from, in AWS's order: the configuration, a profile that is asked for, the environment, a token of the
//! pod, the default profile, the container, the instance. With a role, those are exchanged for the role's.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::profile::{self, Profile};
use super::sts::Sts;
use super::{SigningError, metadata};
use crate::config::Secret;
use crate::discovery::api_client::ApiClient;
use crate::environment::Environment;

/// How long before they expire credentials are replaced.
const EXPIRY_MARGIN: TimeDelta = TimeDelta::seconds(60);

/// What a request is signed with.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) access_key: String,
    pub(crate) secret_key: Secret,
    pub(crate) session_token: Option<Secret>,
    /// When they stop being good; never if `None`.
    pub(crate) expires: Option<DateTime<Utc>>,
}

/// What a configuration says about credentials; whatever is empty is not said.
#[derive(Clone, Debug, Default)]
pub(crate) struct CredentialsSettings {
    pub(crate) access_key: String,
    pub(crate) secret_key: Option<Secret>,
    pub(crate) profile: String,
    pub(crate) role_arn: String,
    pub(crate) external_id: String,
    /// Whether STS is asked at an endpoint that conforms to FIPS 140.
    pub(crate) use_fips_sts_endpoint: bool,
}

/// Gives credentials, and new ones in time.
#[derive(Debug)]
pub(crate) struct Provider {
    settings: CredentialsSettings,
    environment: Environment,
    client: ApiClient,
    cached: Option<Credentials>,
}

impl Provider {
    /// A provider whose questions to STS go through a client.
    pub(crate) fn new(
        settings: CredentialsSettings,
        environment: Environment,
        client: ApiClient,
    ) -> Self {
        Self {
            settings,
            environment,
            client,
            cached: None,
        }
    }

    /// Forgets what it has, which a service has refused.
    pub(crate) fn forget(&mut self) {
        self.cached = None;
    }

    /// Credentials that are good for the next minute. STS is asked in `region`.
    pub(crate) async fn credentials(&mut self, region: &str) -> Result<Credentials, SigningError> {
        let soon = Utc::now() + EXPIRY_MARGIN;
        let good = |c: &&Credentials| c.expires.is_none_or(|expires| expires > soon);
        if let Some(cached) = self.cached.as_ref().filter(good) {
            return Ok(cached.clone());
        }
        let settings = &self.settings;
        let mut credentials = self.own(region).await?;
        if !settings.role_arn.is_empty() {
            let sts = self.sts(region);
            let role = sts.assume_role(&credentials, &settings.role_arn, &settings.external_id);
            credentials = role.await?;
        }
        self.cached = Some(credentials.clone());
        Ok(credentials)
    }

    fn sts<'a>(&'a self, region: &'a str) -> Sts<'a> {
        Sts {
            client: &self.client,
            environment: &self.environment,
            region,
            fips: self.settings.use_fips_sts_endpoint,
        }
    }

    async fn own(&self, region: &str) -> Result<Credentials, SigningError> {
        let settings = &self.settings;
        if let (false, Some(secret_key)) = (settings.access_key.is_empty(), &settings.secret_key) {
            return Ok(Credentials {
                access_key: settings.access_key.clone(),
                secret_key: secret_key.clone(),
                session_token: None,
                expires: None,
            });
        }
        let asked_for = Some(settings.profile.clone()).filter(|name| !name.is_empty());
        let asked_for = asked_for.or_else(|| self.environment.get("AWS_PROFILE"));
        if let Some(name) = asked_for {
            return match profile::read(&self.environment, &name).await? {
                Some(profile) => self.of_profile(&name, profile, region).await,
                None => Err(SigningError(format!(
                    "failed to get shared config profile, {name}"
                ))),
            };
        }
        if let Some(credentials) = self.of_environment() {
            return Ok(credentials);
        }
        let variable = |name: &str| self.environment.get(name);
        let token = variable("AWS_WEB_IDENTITY_TOKEN_FILE");
        if let (Some(file), Some(role_arn)) = (token, variable("AWS_ROLE_ARN")) {
            let session = variable("AWS_ROLE_SESSION_NAME");
            return self.of_token(&file, &role_arn, session, region).await;
        }
        if let Some(profile) = profile::read(&self.environment, "default").await?
            && profile.keys().any(|key| key != "region")
        {
            return self.of_profile("default", profile, region).await;
        }
        self.of_surroundings().await
    }

    fn of_environment(&self) -> Option<Credentials> {
        Some(Credentials {
            access_key: self.environment.get("AWS_ACCESS_KEY_ID")?,
            secret_key: Secret::new(self.environment.get("AWS_SECRET_ACCESS_KEY")?),
            session_token: self.environment.get("AWS_SESSION_TOKEN").map(Secret::new),
            expires: None,
        })
    }

    async fn of_token(
        &self,
        file: &str,
        role_arn: &str,
        session: Option<String>,
        region: &str,
    ) -> Result<Credentials, SigningError> {
        let token = tokio::fs::read_to_string(file).await;
        let token = token.map_err(|error| SigningError(format!("cannot read {file}: {error}")))?;
        let sts = self.sts(region);
        sts.assume_role_with_web_identity(token.trim(), role_arn, session)
            .await
    }

    async fn of_surroundings(&self) -> Result<Credentials, SigningError> {
        match metadata::of_container(&self.environment).await? {
            Some(credentials) => Ok(credentials),
            None => metadata::of_instance(&self.environment).await,
        }
    }

    /// Follows a chain of profiles to one that has keys, and takes on the roles on the way back.
    async fn of_profile(
        &self,
        name: &str,
        mut profile: Profile,
        region: &str,
    ) -> Result<Credentials, SigningError> {
        let mut name = name.to_owned();
        let mut seen = BTreeSet::new();
        let mut roles = Vec::new();
        let mut credentials = loop {
            let mut take = |key: &str| profile.remove(key).filter(|value| !value.is_empty());
            let role = take("role_arn");
            let source = take("source_profile");
            if let (Some(role_arn), Some(source), true) =
                (&role, &source, seen.insert(name.clone()))
            {
                roles.push((role_arn.clone(), take("external_id").unwrap_or_default()));
                let Some(next) = profile::read(&self.environment, source).await? else {
                    return Err(SigningError(format!(
                        "failed to get shared config profile, {source}"
                    )));
                };
                (name, profile) = (source.clone(), next);
                continue;
            }
            if let (Some(access_key), Some(secret_key)) =
                (take("aws_access_key_id"), take("aws_secret_access_key"))
            {
                break Credentials {
                    access_key,
                    secret_key: Secret::new(secret_key),
                    session_token: take("aws_session_token").map(Secret::new),
                    expires: None,
                };
            }
            let token = take("web_identity_token_file");
            if let (Some(file), Some(role_arn)) = (token, &role) {
                let session = take("role_session_name");
                break self.of_token(&file, role_arn, session, region).await?;
            }
            for unknown in ["credential_process", "sso_session", "sso_start_url"] {
                if take(unknown).is_some() {
                    return Err(SigningError(format!(
                        "not supported yet: {unknown} (in the shared config profile {name})"
                    )));
                }
            }
            let external_id = take("external_id").unwrap_or_default();
            let source = take("credential_source");
            if let (Some(role_arn), Some(_)) = (&role, &source) {
                roles.push((role_arn.clone(), external_id));
            }
            break match source.as_deref() {
                Some("Environment") => self.of_environment().ok_or_else(|| {
                    SigningError("environment variables for credentials are missing".to_owned())
                })?,
                Some("Ec2InstanceMetadata") => metadata::of_instance(&self.environment).await?,
                _ => self.of_surroundings().await?,
            };
        };
        while let Some((role_arn, external_id)) = roles.pop() {
            let sts = self.sts(region);
            credentials = sts
                .assume_role(&credentials, &role_arn, &external_id)
                .await?;
        }
        Ok(credentials)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;
    use crate::config::HttpClientConfig;
    use crate::discovery::tests::server::Server;

    async fn credentials(
        settings: CredentialsSettings,
        environment: &[(&str, &str)],
    ) -> Result<String, String> {
        let config = HttpClientConfig::default();
        let client = ApiClient::new(&config, Duration::from_secs(60)).unwrap();
        let mut provider = Provider::new(settings, Environment::of(environment), client);
        let credentials = provider.credentials("eu-west-1").await;
        let Credentials {
            access_key,
            secret_key,
            session_token,
            ..
        } = credentials.map_err(|error| error.to_string())?;
        let token = session_token.map_or(String::new(), |token| token.reveal().to_owned());
        Ok(format!("{access_key} {} {token}", secret_key.reveal()))
    }

    const ANSWER: &str = r#"{"AccessKeyId": "a", "SecretAccessKey": "s", "Token": "t", "Expiration": "2015-01-01T00:00:00Z"}"#;

    #[tokio::test]
    async fn credentials_come_from_the_first_place_that_has_some() {
        let server = Server::start().await;
        let url = format!("http://{}", server.address);
        let uri = format!("{url}/container");
        let roles = "/latest/meta-data/iam/security-credentials/";
        server.say("/latest/api/token", "token");
        server.say(roles, "role");
        server.say(&format!("{roles}role"), ANSWER);
        server.say("/container", &ANSWER.replace("\"a\"", "\"c\""));
        let sts = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>r</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
            <SessionToken>t</SessionToken><Expiration>2015-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
        server.say("/", sts);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("credentials");
        std::fs::write(
            &file,
            "[p]\naws_access_key_id=p\naws_secret_access_key=s\n[q]\nrole_arn=x\nsource_profile=p\n[o]\ncredential_process=x\n",
        )
        .unwrap();
        let file = file.display().to_string();
        let everything = [
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.as_str()),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str()),
            ("AWS_ACCESS_KEY_ID", "e"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
            ("AWS_SHARED_CREDENTIALS_FILE", file.as_str()),
            ("AWS_ENDPOINT_URL_STS", url.as_str()),
        ];
        let nothing = CredentialsSettings::default();
        let found = async |environment: &[(&str, &str)]| {
            credentials(nothing.clone(), environment).await.unwrap()
        };
        assert_eq!(found(&everything[..1]).await, "a s t");
        assert_eq!(server.last().header("x-aws-ec2-metadata-token"), "token");
        assert_eq!(found(&everything[..2]).await, "c s t");
        assert_eq!(found(&everything).await, "e s ");
        let of_profile = async |profile: &str| {
            let profile = profile.to_owned();
            let settings = CredentialsSettings {
                profile,
                ..CredentialsSettings::default()
            };
            credentials(settings, &everything).await
        };
        assert_eq!(of_profile("p").await.unwrap(), "p s ");
        assert_eq!(of_profile("q").await.unwrap(), "r s t");
        assert_eq!(
            of_profile("o").await.unwrap_err(),
            "not supported yet: credential_process (in the shared config profile o)"
        );
        assert_eq!(
            of_profile("x").await.unwrap_err(),
            "failed to get shared config profile, x"
        );
        let configured = CredentialsSettings {
            access_key: "k".to_owned(),
            secret_key: Some(Secret::new("s")),
            ..CredentialsSettings::default()
        };
        assert_eq!(credentials(configured, &everything).await.unwrap(), "k s ");
        let disabled = [("AWS_EC2_METADATA_DISABLED", "true")];
        let error = credentials(nothing.clone(), &disabled).await.unwrap_err();
        assert!(error.starts_with("access disabled to EC2 IMDS"), "{error}");
    }
}
