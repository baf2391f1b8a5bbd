//! Droplets and databases of DigitalOcean (`digitalocean_sd_configs`).

use std::path::Path;

use async_trait::async_trait;

use super::api_client::ApiClient;
use super::cloud::{CloudSettings, PAGES_MAX, Target, answers, group};
use super::kind::Kind;
use super::periodic::{Periodic, Refresh};
use super::{Discovery, DiscoveryError, Failures, TargetGroup};
use crate::config::ConfigError;
use crate::config::decode::{Fields, error_at, string};
use crate::config::write::Entries;
use crate::config::yaml::Node;

const API: &str = "https://api.digitalocean.com";
const PREFIX: &str = "__meta_digitalocean_";

/// Items of one page.
const PAGE: usize = 100;

/// What is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DigitalOceanRole {
    /// Virtual machines.
    #[default]
    Droplets,
    /// Managed databases.
    Databases,
}

/// One entry of `digitalocean_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigitalOceanConfig {
    /// What all providers have.
    pub cloud: CloudSettings,
    /// What is looked for.
    pub role: DigitalOceanRole,
}

impl DigitalOceanRole {
    fn as_str(self) -> &'static str {
        match self {
            Self::Droplets => "droplets",
            Self::Databases => "databases",
        }
    }

    fn decode(node: &Node) -> Result<Self, ConfigError> {
        match string(node)?.as_str() {
            "droplets" => Ok(Self::Droplets),
            "databases" => Ok(Self::Databases),
            other => error_at(node, format!("unknown DigitalOcean SD role {other:?}")),
        }
    }
}

impl Kind for DigitalOceanConfig {
    const NAME: &'static str = "digitalocean";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "digitalocean.plain")?;
        let role = fields.read("role", DigitalOceanRole::decode)?;
        let cloud = CloudSettings::take(&mut fields, node, directory)?;
        fields.finish(&[])?;
        Ok(Self {
            cloud,
            role: role.unwrap_or_default(),
        })
    }

    fn render(&self, entries: &mut Entries) {
        self.cloud.render(entries);
        entries.text("role", self.role.as_str());
    }

    fn discovery(&self, _: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        self.discovery_at(API)
    }
}

impl DigitalOceanConfig {
    /// The discovery that asks the API at a URL.
    pub(crate) fn discovery_at(&self, url: &str) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let discovery = DigitalOcean {
            client: self.cloud.client()?,
            url: url.to_owned(),
            config: self.clone(),
        };
        Ok(Periodic::boxed(self.cloud.refresh_interval, discovery))
    }
}

#[derive(Debug)]
struct DigitalOcean {
    client: ApiClient,
    url: String,
    config: DigitalOceanConfig,
}

answers! {
    Page { droplets: Vec<Droplet>, databases: Vec<Database>, links: Links, }
    Links { pages: Pages, }
    Pages { last: String, }
    Droplet {
        id: i64,
        name: String,
        image: Image,
        region: Region,
        size_slug: String,
        status: String,
        vpc_uuid: String,
        features: Vec<String>,
        tags: Vec<String>,
        networks: Networks,
    }
    Image { slug: String, name: String, }
    Region { slug: String, }
    Networks { v4: Vec<Network>, v6: Vec<Network>, }
    Network { ip_address: String, r#type: String, }
    Database {
        id: String,
        name: String,
        engine: String,
        version: String,
        status: String,
        region: String,
        size: String,
        num_nodes: i64,
        connection: Option<Connection>,
        private_connection: Option<Connection>,
        tags: Vec<String>,
    }
    Connection { host: String, }
}

#[async_trait]
impl Refresh for DigitalOcean {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        match self.config.role {
            DigitalOceanRole::Droplets => {
                let droplets = self.droplets().await?;
                let droplets = droplets.iter().filter(|d| !d.networks.v4.is_empty());
                Ok(group("DigitalOcean", droplets.map(|d| self.droplet(d))))
            }
            DigitalOceanRole::Databases => {
                let databases = self.databases().await?;
                let targets = databases.iter().map(|d| self.database(d));
                Ok(group("DigitalOcean Databases", targets))
            }
        }
    }
}

impl DigitalOcean {
    async fn page(&self, what: &str, named: &str, page: usize) -> Result<Page, DiscoveryError> {
        let url = format!("{}/v2/{what}?page={page}&per_page={PAGE}", self.url);
        let answer = self.client.get_json(&url).await;
        answer.map_err(|error| {
            DiscoveryError::Answer(format!("error while listing {named} page {page}: {error}"))
        })
    }

    async fn droplets(&self) -> Result<Vec<Droplet>, DiscoveryError> {
        let mut all = Vec::new();
        for page in 1..=PAGES_MAX {
            let page = self.page("droplets", "droplets", page).await?;
            all.extend(page.droplets);
            // The last page has no link to itself.
            if page.links.pages.last.is_empty() {
                break;
            }
        }
        Ok(all)
    }

    /// Databases do not always say that there are more: an empty page is the end.
    async fn databases(&self) -> Result<Vec<Database>, DiscoveryError> {
        let mut all = Vec::new();
        for page in 1..=PAGES_MAX {
            let page = self.page("databases", "database clusters", page).await?;
            if page.databases.is_empty() {
                break;
            }
            all.extend(page.databases);
        }
        Ok(all)
    }

    fn droplet(&self, droplet: &Droplet) -> Target {
        let first = |networks: &[Network], kind: &str| {
            let network = networks.iter().find(|network| network.r#type == kind);
            network.map_or(String::new(), |network| network.ip_address.clone())
        };
        let public_ip = first(&droplet.networks.v4, "public");
        let mut target = Target::new(PREFIX);
        target.address(&public_ip, self.config.cloud.port);
        target.put("droplet_id", droplet.id.to_string());
        target.put("droplet_name", &droplet.name);
        target.put("image", &droplet.image.slug);
        target.put("image_name", &droplet.image.name);
        target.put("private_ipv4", first(&droplet.networks.v4, "private"));
        target.put("public_ipv4", public_ip);
        target.put("public_ipv6", first(&droplet.networks.v6, "public"));
        target.put("region", &droplet.region.slug);
        target.put("size", &droplet.size_slug);
        target.put("status", &droplet.status);
        target.put("vpc", &droplet.vpc_uuid);
        target.put_list("features", &droplet.features, ",");
        target.put_list("tags", &droplet.tags, ",");
        target
    }

    fn database(&self, database: &Database) -> Target {
        let host = |connection: &Option<Connection>| connection.as_ref().map(|c| c.host.clone());
        let public = host(&database.connection);
        let private = host(&database.private_connection);
        let mut target = Target::new(PREFIX);
        target.put("db_id", &database.id);
        target.put("db_name", &database.name);
        target.put("db_engine", &database.engine);
        target.put("db_version", &database.version);
        target.put("db_status", &database.status);
        target.put("db_region", &database.region);
        target.put("db_size", &database.size);
        target.put("db_num_nodes", database.num_nodes.to_string());
        target.put_known("db_private_host", private.as_ref());
        target.put_known("db_host", public.as_ref());
        let hosts = private.into_iter().chain(public);
        if let Some(host) = hosts.into_iter().find(|host| !host.is_empty()) {
            target.address(&host, self.config.cloud.port);
        }
        for tag in &database.tags {
            target.put(&format!("db_tag_{tag}"), "true");
        }
        target
    }
}
