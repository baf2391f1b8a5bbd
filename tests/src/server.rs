//! A running Varve, started from the built binary as a user would.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::archive::Failure;
use crate::http_api::ApiClient;
use crate::process::{self, Program};

/// How long a server may take to answer first: a debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How to start a server, again and again.
#[derive(Clone, Debug)]
pub struct ServerSetup {
    /// Where its logs go and relative paths begin.
    pub folder: PathBuf,
    /// `--storage.url`.
    pub storage_url: String,
    /// The configuration file; `None` for Varve's own.
    pub config: Option<PathBuf>,
    /// Credentials and the like.
    pub environment: Vec<(&'static str, String)>,
    /// More arguments.
    pub arguments: Vec<String>,
    /// The port that it listens on, the same at every start.
    pub port: u16,
}

impl ServerSetup {
    /// A server on `<folder>/data` that scrapes what a configuration says.
    ///
    /// # Errors
    /// When the configuration cannot be written or there is no free port.
    pub fn new(folder: &Path, config: &str) -> Result<Self, Failure> {
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, config)?;
        Ok(Self {
            folder: folder.to_owned(),
            storage_url: "./data".to_owned(),
            config: Some(file),
            environment: Vec::new(),
            arguments: Vec::new(),
            port: process::free_port()?,
        })
    }

    /// With more arguments.
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(|a| (*a).to_owned()));
        self
    }

    /// The server's URL.
    pub fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A client of its API.
    pub fn client(&self) -> ApiClient {
        ApiClient::new(self.base_url())
    }

    /// Starts it without waiting.
    pub fn spawn(&self) -> Result<Program, Failure> {
        let mut arguments = vec![
            "serve".to_owned(),
            format!("--storage.url={}", self.storage_url),
            format!("--web.listen-address=127.0.0.1:{}", self.port),
        ];
        if let Some(config) = &self.config {
            arguments.push(format!("--config.file={}", config.display()));
        }
        arguments.extend(self.arguments.iter().cloned());
        let varve = process::varve()?;
        let environment = &self.environment;
        Ok(Program::start(
            "varve",
            &varve,
            arguments,
            environment,
            &self.folder,
        )?)
    }

    /// Starts it and waits until it is ready.
    pub async fn start(&self) -> Result<Program, Failure> {
        let mut program = self.spawn()?;
        let ready = format!("{}/-/ready", self.base_url());
        program.ready(&ready, PATIENCE).await?;
        Ok(program)
    }

    /// Runs another command of the binary against the same storage; gives what it printed.
    ///
    /// # Errors
    /// When it fails; with what it complained of.
    pub fn run(&self, arguments: &[&str]) -> Result<String, Failure> {
        let mut command = std::process::Command::new(process::varve()?);
        command.args(arguments).current_dir(&self.folder);
        command.envs(self.environment.iter().map(|(n, v)| (n, v)));
        let output = command.output()?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(format!("varve {arguments:?}: {errors}").into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// A `prometheus.yml` with one job per target: (job, target).
pub fn scrape_config(interval: &str, jobs: &[(&str, &str)]) -> String {
    let mut config = format!(
        "global:\n  scrape_interval: {interval}\n  scrape_timeout: {interval}\nscrape_configs:\n"
    );
    for (job, target) in jobs {
        config +=
            &format!("  - job_name: {job}\n    static_configs:\n      - targets: ['{target}']\n");
    }
    config
}

/// Now, in milliseconds since the epoch.
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}
