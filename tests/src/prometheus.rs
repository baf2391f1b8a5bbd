//! Debian's Prometheus and its node exporter, as peers.

use std::path::Path;
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
}

impl Prometheus {
    /// Starts one below a folder with a configuration; it takes remote writes too. `None` where it is not installed.
    pub async fn start(folder: &Path, config: &str) -> Result<Option<Self>, Failure> {
        let Some(program) = process::find("prometheus") else {
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
            "--enable-feature=promql-at-modifier,promql-negative-offset".to_owned(),
        ];
        let mut program = Program::start("prometheus", &program, arguments, &[], folder)?;
        let client = ApiClient::new(format!("http://127.0.0.1:{port}"));
        let ready = format!("{}/-/ready", client.base_url());
        program.ready(&ready, PATIENCE).await?;
        Ok(Some(Self { program, client }))
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
