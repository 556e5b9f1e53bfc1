//! A real Prometheus, over a daemon and with the rules that are shipped.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use url::form_urlencoded;

use super::{get, project, until};

/// A Prometheus of its own.
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Prometheus {
    /// Once it is up; none where it is not installed.
    pub fn start(folder: &Path, daemon: SocketAddr) -> Option<Self> {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [\"{}\"]\nscrape_configs:\n  - job_name: lapsed\n    static_configs: [{{targets: [\"{daemon}\"]}}]\n",
            project("config/prometheus/rules.yaml").display()
        );
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("tsdb").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = child else {
            eprintln!("prometheus is not installed: left out");
            return None;
        };
        let prometheus = Self { child, address };
        until("prometheus is up", || prometheus.is_up());
        Some(prometheus)
    }

    /// Names of the alerts that fire now.
    pub fn firing(&self) -> Vec<String> {
        let alerts = self.ask("/api/v1/alerts");
        let alerts = alerts["data"]["alerts"].as_array().cloned();
        alerts
            .unwrap_or_default()
            .iter()
            .filter(|alert| alert["state"] == "firing")
            .map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned())
            .collect()
    }

    /// How many series a query gives now, or what is wrong with it.
    pub fn series(&self, query: &str) -> Result<usize, String> {
        let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let told = self.ask(&format!("/api/v1/query?query={query}"));
        match told["status"].as_str() {
            Some("success") => Ok(told["data"]["result"].as_array().map_or(0, Vec::len)),
            _ => Err(told["error"].to_string()),
        }
    }

    /// What it was answered with: the format that it scraped last.
    pub fn scrapes(&self) -> Value {
        self.ask("/api/v1/targets")
    }

    fn ask(&self, path: &str) -> Value {
        serde_json::from_str(&get(self.address, path).body).unwrap_or_default()
    }

    fn is_up(&self) -> bool {
        TcpStream::connect(self.address).is_ok() && get(self.address, "/-/ready").status == 200
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
