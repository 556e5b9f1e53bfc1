//! The sandbox, held against the providers' documents through its HTTP port.

mod control;
mod faults;
mod kajabi;
mod lotus;
mod revere;
mod transcripts;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use lapsed::clock::ManualClock;
use lapsed::sandbox::{Sandbox, Seeds, cast};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

/// A running sandbox, a clock to turn, and a client that follows nothing.
struct World {
    sandbox: Sandbox,
    clock: Arc<ManualClock>,
    http: Client,
}

/// An answer, read whole.
#[derive(Debug)]
struct Heard {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl World {
    /// With the demo cast, at noon on 2026-03-01.
    async fn new() -> Self {
        Self::with(Seeds::demo(), "2026-03-01T12:00:00Z").await
    }

    async fn with(seeds: Seeds, now: &str) -> Self {
        // The first test to come installs it for all.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let clock = Arc::new(ManualClock::at(instant(now)));
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let sandbox = Sandbox::start(any_port, clock.clone(), seeds)
            .await
            .unwrap();
        let http = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(20))
            .build()
            .unwrap();
        Self {
            sandbox,
            clock,
            http,
        }
    }

    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.sandbox.address());
        self.http.request(method, url)
    }

    /// A token for the client that may do everything.
    async fn kajabi_token(&self) -> String {
        self.kajabi_token_of(cast::KAJABI_CLIENT_ID).await
    }

    async fn kajabi_token_of(&self, client: &str) -> String {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("client_secret", cast::KAJABI_CLIENT_SECRET),
        ];
        let ask = self.ask(Method::POST, "/kajabi/v1/oauth/token").form(&form);
        let heard = hear(ask).await;
        assert_eq!(heard.status, 200, "{heard:?}");
        heard.json()["access_token"].as_str().unwrap().to_owned()
    }

    async fn kajabi(&self, method: Method, path: &str) -> Heard {
        let token = self.kajabi_token().await;
        let path = format!("/kajabi{path}");
        hear(self.ask(method, &path).bearer_auth(token)).await
    }

    fn revere(&self, method: Method, rest: &str) -> RequestBuilder {
        let path = format!(
            "/revere/api/v1/groups/{}/revere_pay/{}/recurring{rest}",
            cast::REVERE_GROUP,
            cast::REVERE_ACCOUNT
        );
        self.ask(method, &path)
            .header("authorization", cast::REVERE_KEY)
    }

    fn lotus(&self, method: Method, path: &str) -> RequestBuilder {
        self.ask(method, &format!("/lotus{path}"))
            .header("x-api-key", cast::LOTUS_KEY)
    }

    async fn cancel_at_lotus(&self, id: &str) -> Heard {
        let path = format!("/api/subscriptions/{id}/cancel/");
        hear(self.lotus(Method::POST, &path)).await
    }

    async fn control(&self, method: Method, path: &str, body: Value) -> Heard {
        let ask = self.ask(method, &format!("/sandbox/{path}"));
        hear(ask.body(body.to_string())).await
    }

    /// Lets one thing go wrong.
    async fn fault(&self, fault: Value) {
        let heard = self.control(Method::POST, "faults", fault).await;
        assert_eq!(heard.status, 200, "{heard:?}");
    }

    async fn set(&self, settings: Value) {
        let heard = self.control(Method::POST, "settings", settings).await;
        assert_eq!(heard.status, 200, "{heard:?}");
    }

    /// What is true of one subscription.
    async fn truth(&self, id: &str) -> Value {
        let path = format!("state?id={id}");
        let heard = self.control(Method::GET, &path, json!(null)).await;
        heard.json()["subscriptions"][0].clone()
    }
}

impl Heard {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |it| it.to_str().unwrap())
    }
}

/// Sends a request and reads its answer.
async fn hear(ask: RequestBuilder) -> Heard {
    try_hear(ask).await.unwrap()
}

/// The same, where no answer may come.
async fn try_hear(ask: RequestBuilder) -> reqwest::Result<Heard> {
    let response = ask.send().await?;
    Ok(Heard {
        status: response.status(),
        headers: response.headers().clone(),
        body: response.text().await?,
    })
}

fn instant(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}
