//! Targets in Amazon's cloud (`ec2_sd_configs`, `ecs_sd_configs`, `elasticache_sd_configs`, `lightsail_sd_configs`, `msk_sd_configs`, `rds_sd_configs`,
//! and `aws_sd_configs`, which is one of these by its `role`).

mod api;
mod ec2;
mod ec2_api;
mod ecs;
mod elasticache;
mod lightsail;
mod managed;
mod msk;
mod rds;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

pub use self::ec2::{Ec2Config, Filter};
pub use self::ecs::EcsConfig;
pub use self::elasticache::ElasticacheConfig;
pub use self::lightsail::LightsailConfig;
pub use self::managed::ManagedSettings;
pub use self::msk::MskConfig;
pub use self::rds::RdsConfig;
use super::kind::{Kind, refresh_interval, render_interval};
use super::{Discovery, DiscoveryError, Failures};
use crate::config::decode::{Fields, duration, error_at, integer, string, strings};
use crate::config::write::{Entries, Yaml};
use crate::config::yaml::{Node, Value};
use crate::config::{ConfigError, HttpClientConfig, Secret, render};
use crate::sigv4::CredentialsSettings;

/// How often targets are looked for unless a configuration says otherwise.
const REFRESH_INTERVAL: Duration = Duration::from_secs(60);

/// The port of targets unless a configuration says otherwise.
const PORT: i64 = 80;

/// The settings that all services of Amazon have. What is empty is not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsSettings {
    /// The region; that of the environment, a profile or the instance if empty.
    pub region: String,
    /// The URL of the service instead of the region's.
    pub endpoint: String,
    /// The key that requests are signed with; that of a profile, the environment, the container or the instance if empty.
    pub access_key: String,
    /// Its secret part.
    pub secret_key: Option<Secret>,
    /// The profile in the files that Amazon's tools share.
    pub profile: String,
    /// The role that is taken on.
    pub role_arn: String,
    /// What the role may ask for.
    pub external_id: String,
    /// The port of targets.
    pub port: i64,
    /// How often targets are looked for.
    pub refresh_interval: Duration,
    /// How requests are made.
    pub http: HttpClientConfig,
}

impl AwsSettings {
    fn take(fields: &mut Fields<'_>, node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut text = |name| Ok(fields.read(name, string)?.unwrap_or_default());
        Ok(Self {
            region: text("region")?,
            endpoint: text("endpoint")?,
            access_key: text("access_key")?,
            profile: text("profile")?,
            role_arn: text("role_arn")?,
            external_id: text("external_id")?,
            secret_key: fields
                .take_text("secret_key")
                .map(Secret::decode)
                .transpose()?,
            port: fields.read("port", integer)?.unwrap_or(PORT),
            refresh_interval: refresh_interval(fields, REFRESH_INTERVAL)?,
            http: HttpClientConfig::take(fields, node, directory)?,
        })
    }

    fn render_credentials(&self, entries: &mut Entries) {
        entries.text_if_set("access_key", &self.access_key);
        if let Some(secret) = &self.secret_key {
            entries.text("secret_key", secret.to_string());
        }
        entries
            .text_if_set("profile", &self.profile)
            .text_if_set("role_arn", &self.role_arn)
            .text_if_set("external_id", &self.external_id);
    }

    fn render_port(&self, entries: &mut Entries) {
        entries.put("port", Yaml::Raw(self.port.to_string()));
    }

    fn credentials(&self) -> CredentialsSettings {
        CredentialsSettings {
            access_key: self.access_key.clone(),
            secret_key: self.secret_key.clone(),
            profile: self.profile.clone(),
            role_arn: self.role_arn.clone(),
            external_id: self.external_id.clone(),
            use_fips_sts_endpoint: false,
        }
    }
}

/// What an entry of `aws_sd_configs` is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AwsRole {
    /// Instances of EC2.
    Ec2(Ec2Config),
    /// Tasks of ECS.
    Ecs(EcsConfig),
    /// Caches of ElastiCache.
    Elasticache(ElasticacheConfig),
    /// Instances of Lightsail.
    Lightsail(LightsailConfig),
    /// Nodes of MSK.
    Msk(MskConfig),
    /// Databases of RDS.
    Rds(RdsConfig),
}

/// One entry of `aws_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsConfig {
    /// The service, with all settings.
    pub role: AwsRole,
    /// The filters that are given, whatever the role.
    filters: Vec<Filter>,
    /// The clusters that are given, whatever the role.
    clusters: Vec<String>,
    /// Those that are given and not zero.
    port: Option<i64>,
    refresh_interval: Option<Duration>,
}

impl AwsConfig {
    fn settings(&self) -> &AwsSettings {
        match &self.role {
            AwsRole::Ec2(config) => &config.aws,
            AwsRole::Ecs(config) => &config.0.aws,
            AwsRole::Lightsail(config) => &config.aws,
            AwsRole::Elasticache(ElasticacheConfig(settings)) => &settings.aws,
            AwsRole::Msk(MskConfig(settings)) => &settings.aws,
            AwsRole::Rds(config) => &config.settings.aws,
        }
    }
}

fn has(node: &Node, name: &str) -> bool {
    matches!(&node.value, Value::Mapping(entries) if entries.iter().any(|(key, _)| key.name == name))
}

impl Kind for AwsConfig {
    const NAME: &'static str = "aws";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "aws.plain")?;
        let role = fields.read("role", string)?.unwrap_or_default();
        // Zero is as good as absent here, unlike in the sections of the services.
        let port = fields.read("port", integer)?.filter(|port| *port != 0);
        let interval = fields.read("refresh_interval", duration)?;
        let interval = interval.filter(|interval| !interval.is_zero());
        let filters = fields.read("filters", ec2::filters)?.unwrap_or_default();
        let clusters = fields.read("clusters", strings)?.unwrap_or_default();
        let mut aws = AwsSettings::take(&mut fields, node, directory)?;
        fields.finish(&[])?;
        aws.port = port.unwrap_or(PORT);
        aws.refresh_interval = interval.unwrap_or(REFRESH_INTERVAL);
        // Unlike everywhere else these are false unless they are given.
        aws.http.follow_redirects &= has(node, "follow_redirects");
        aws.http.enable_http2 &= has(node, "enable_http2");
        let role = match role.as_str() {
            "ec2" => AwsRole::Ec2(Ec2Config {
                aws,
                filters: filters.clone(),
            }),
            "ecs" => AwsRole::Ecs(EcsConfig(ManagedSettings {
                aws,
                clusters: clusters.clone(),
                request_concurrency: ecs::REQUEST_CONCURRENCY,
            })),
            "lightsail" => AwsRole::Lightsail(LightsailConfig { aws }),
            "elasticache" | "msk" | "rds" => {
                let settings = ManagedSettings {
                    aws,
                    clusters: clusters.clone(),
                    request_concurrency: managed::REQUEST_CONCURRENCY,
                };
                match role.as_str() {
                    "elasticache" => AwsRole::Elasticache(ElasticacheConfig(settings)),
                    "msk" => AwsRole::Msk(MskConfig(settings)),
                    _ => AwsRole::Rds(RdsConfig {
                        settings,
                        filters: filters.clone(),
                    }),
                }
            }
            _ => return error_at(node, format!("unknown AWS SD role {role:?}")),
        };
        Ok(Self {
            role,
            filters,
            clusters,
            port,
            refresh_interval: interval,
        })
    }

    fn render(&self, entries: &mut Entries) {
        let role = match &self.role {
            AwsRole::Ec2(_) => Ec2Config::NAME,
            AwsRole::Ecs(_) => EcsConfig::NAME,
            AwsRole::Lightsail(_) => LightsailConfig::NAME,
            AwsRole::Elasticache(_) => ElasticacheConfig::NAME,
            AwsRole::Msk(_) => MskConfig::NAME,
            AwsRole::Rds(_) => RdsConfig::NAME,
        };
        let aws = self.settings();
        entries
            .text("role", role)
            .text_if_set("region", &aws.region)
            .text_if_set("endpoint", &aws.endpoint);
        aws.render_credentials(entries);
        if let Some(interval) = self.refresh_interval {
            render_interval(entries, interval);
        }
        if self.port.is_some() {
            aws.render_port(entries);
        }
        render::http(entries, &aws.http);
        let clusters = self.clusters.iter().cloned().map(Yaml::Text);
        entries
            .list_if_set("filters", ec2::rendered(&self.filters))
            .list_if_set("clusters", clusters.collect());
    }

    fn discovery(&self, failures: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        match &self.role {
            AwsRole::Ec2(config) => config.discovery(failures),
            AwsRole::Ecs(config) => config.discovery(failures),
            AwsRole::Lightsail(config) => config.discovery(failures),
            AwsRole::Elasticache(config) => config.discovery(failures),
            AwsRole::Msk(config) => config.discovery(failures),
            AwsRole::Rds(config) => config.discovery(failures),
        }
    }
}
