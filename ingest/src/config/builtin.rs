//! The configuration that stands in where no file is given: Varve itself, and a Node Exporter next to it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::net::TcpStream;

use super::Config;

/// Where a Node Exporter listens by default.
const NODE_EXPORTER: &str = "localhost:9100";

/// How long to wait for a Node Exporter on this machine.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);

impl Config {
    /// A job `varve` that scrapes `listen_address`, and a job `node` where something answers on port 9100 of this
    /// machine. An unspecified address (`0.0.0.0`) is scraped through `localhost`.
    pub async fn builtin(listen_address: SocketAddr) -> Self {
        let probe = tokio::time::timeout(PROBE_TIMEOUT, TcpStream::connect(NODE_EXPORTER));
        let node_exporter = matches!(probe.await, Ok(Ok(_)));
        Self::builtin_with(listen_address, node_exporter)
    }

    fn builtin_with(listen_address: SocketAddr, node_exporter: bool) -> Self {
        let own = if listen_address.ip().is_unspecified() {
            format!("localhost:{}", listen_address.port())
        } else {
            listen_address.to_string()
        };
        let mut text = format!(
            "global:\n  scrape_interval: 15s\nscrape_configs:\n\
             - job_name: varve\n  static_configs:\n  - targets: ['{own}']\n"
        );
        if node_exporter {
            text.push_str(&format!(
                "- job_name: node\n  static_configs:\n  - targets: ['{NODE_EXPORTER}']\n"
            ));
        }
        // The text is ours; a test reads it.
        Self::parse(&text, Path::new("")).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn both_jobs_are_there() {
        let config = Config::builtin_with("0.0.0.0:9090".parse().unwrap(), true);
        let targets: Vec<_> = config
            .scrape_configs
            .iter()
            .map(|job| {
                let addresses = job.static_configs[0].addresses().collect();
                (job.job_name.as_str(), addresses)
            })
            .collect::<Vec<(_, Vec<_>)>>();
        assert_eq!(targets[0], ("varve", vec!["localhost:9090"]));
        assert_eq!(targets[1], ("node", vec!["localhost:9100"]));
        let own = Config::builtin_with("[::1]:9090".parse().unwrap(), false);
        assert_eq!(own.scrape_configs.len(), 1);
        let group = &own.scrape_configs[0].static_configs[0];
        assert_eq!(group.addresses().collect::<Vec<_>>(), ["[::1]:9090"]);
    }
}
