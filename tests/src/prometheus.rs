//! Debian's Prometheus and its node exporter, as peers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::archive::Failure;
use crate::http_api::ApiClient;
use crate::process::{self, Program};

const PATIENCE: Duration = Duration::from_secs(60);

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    /// The process.
    pub program: Program,
    /// Its API.
    pub client: ApiClient,
    /// The first number of its version.
    pub major_version: u32,
}

impl Prometheus {
    /// Starts one below a folder with a configuration: that of `VARVE_TEST_PROMETHEUS`, or the installed one, which is version 2.42 on
    /// Debian 12. It takes remote writes too. `None` where there is none.
    pub async fn start(folder: &Path, config: &str) -> Result<Option<Self>, Failure> {
        Self::start_with(folder, config, "promql-experimental-functions").await
    }

    /// [`Prometheus::start`] with features, of which it passes over those that it does not know.
    pub async fn start_with(
        folder: &Path,
        config: &str,
        features: &str,
    ) -> Result<Option<Self>, Failure> {
        let chosen = std::env::var_os("VARVE_TEST_PROMETHEUS").map(PathBuf::from);
        let Some(program) = chosen.or_else(|| process::find("prometheus")) else {
            return Ok(None);
        };
        let file = folder.join("peer.yml");
        std::fs::write(&file, config)?;
        let port = process::free_port()?;
        let arguments = [
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", folder.join("peer").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            // Samples of the tests may be years old when the tests run.
            "--storage.tsdb.retention.time=100y".to_owned(),
            "--web.enable-remote-write-receiver".to_owned(),
            "--web.enable-admin-api".to_owned(),
            format!("--enable-feature={features}"),
        ];
        let mut program = Program::start("prometheus", &program, arguments, &[], folder)?;
        let client = ApiClient::new(format!("http://127.0.0.1:{port}"));
        let ready = format!("{}/-/ready", client.base_url());
        program.ready(&ready, PATIENCE).await?;
        let build = client.get("/api/v1/status/buildinfo", &[]).await?;
        let version = build["data"]["version"].as_str().unwrap_or_default();
        let major = version.split('.').next().and_then(|n| n.parse().ok());
        Ok(Some(Self {
            program,
            client,
            major_version: major.ok_or_else(|| format!("no version: {build}"))?,
        }))
    }
}

/// A running node exporter and its target. `None` where it is not installed.
pub async fn node_exporter(folder: &Path) -> Result<Option<(Program, String)>, Failure> {
    let Some(program) = process::find("prometheus-node-exporter") else {
        return Ok(None);
    };
    let target = format!("127.0.0.1:{}", process::free_port()?);
    let arguments = [format!("--web.listen-address={target}")];
    let mut program = Program::start("node-exporter", &program, arguments, &[], folder)?;
    let page = format!("http://{target}/metrics");
    program.ready(&page, PATIENCE).await?;
    Ok(Some((program, target)))
}
