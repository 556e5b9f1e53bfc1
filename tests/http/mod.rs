//! The HTTP port, asked through a real socket.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Once};
use std::time::Duration;

use chrono::{DateTime, Utc};
use lapsed::clock::ManualClock;
use lapsed::config::{
    Address, Auth, Config, KajabiAuth, Limits, LotusAuth, Mode, Notify, PaymentPlans,
    ProviderConfig, ProviderLimits, RateLimit, Reconcile, RenewalOff, SecretRef, Webhook,
};
use lapsed::http::server::{Bounds, serve_within};
use lapsed::http::{App, Surface, Tokens};
use lapsed::ledger::Ledger;
use lapsed::metrics::Metrics;
use lapsed::model::ids::ProviderName;
use lapsed::model::notice::NoticeKind;
use lapsed::reconcile::live::{InForce, Live};
use lapsed::schedule::Schedule;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::shelf::Shelf;

mod access;
mod api;
mod commands;
mod health;
mod limits;
mod openapi;
mod page;
mod real;
mod sample;
mod shelf;

const ADMIN: &str = "admin-token-of-the-test";
const READ: &str = "read-token-of-the-test";

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn name(text: &str) -> ProviderName {
    ProviderName::parse(text).unwrap()
}

fn provider(text: &str, mode: Mode, auth: Auth) -> (ProviderName, ProviderConfig) {
    let config = ProviderConfig {
        name: name(text),
        auth,
        mode,
        base_url: "https://api.example.com".parse().unwrap(),
        schedule: Schedule::parse("*/5 * * * *", chrono_tz::UTC).unwrap(),
        rate_limit: RateLimit {
            requests: 60,
            per: Duration::from_secs(60),
        },
        concurrency: 2,
        timeout: Duration::from_secs(20),
        resend_after: Duration::from_secs(1_800),
        require_expect: BTreeSet::new(),
        ca: None,
        proxy: None,
        payment_plans: PaymentPlans::Hold,
        reasons: None,
        renewal_off: RenewalOff::AtOnce,
        formerly: None,
        limits: ProviderLimits::default(),
    };
    (config.name.clone(), config)
}

fn config() -> Config {
    let secret = || SecretRef::Env("SECRET".to_owned());
    let revere = Auth::Revere {
        group_id: "4f2c".to_owned(),
        linked_account_id: "9a01".to_owned(),
        api_key: secret(),
    };
    let lotus = Auth::Lotus {
        auth: LotusAuth::ApiKey(secret()),
        organization_id: None,
    };
    Config {
        mode: Mode::Enforce,
        listen: None,
        metrics_listen: None,
        ledger: None,
        ledger_password: None,
        ledger_id: None,
        admin_token: Some(secret()),
        read_token: Some(secret()),
        allowed_hosts: vec!["lapsed.example.com".to_owned()],
        max_items: 1_000,
        max_bytes: 1 << 20,
        reconcile: Reconcile {
            schedule: Schedule::parse("*/5 * * * *", chrono_tz::UTC).unwrap(),
            timezone: chrono_tz::UTC,
            wait_after_accept: Duration::ZERO,
            source_max_age: Duration::from_secs(86_400),
        },
        providers: BTreeMap::from([
            provider(
                "academy",
                Mode::Observe,
                Auth::Kajabi(KajabiAuth::Token(secret())),
            ),
            provider("donations", Mode::Enforce, revere),
            provider("metered", Mode::Enforce, lotus),
        ]),
        limits: Limits::default(),
        freezes: Vec::new(),
        approvals: Vec::new(),
        include: Vec::new(),
        notify: Notify {
            webhooks: BTreeMap::from([(
                "on-call".to_owned(),
                Webhook {
                    name: "on-call".to_owned(),
                    address: Address::Secret(secret()),
                    secret: secret(),
                    events: NoticeKind::ALL.into(),
                },
            )]),
            ..Notify::default()
        },
    }
}

/// A port that is being served, and what stands behind it.
struct Port {
    address: std::net::SocketAddr,
    shelf: Arc<Shelf>,
    live: Arc<Live>,
    clock: Arc<ManualClock>,
    metrics: Arc<Metrics>,
    app: Arc<App>,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<std::io::Result<()>>,
}

/// How a port is opened.
struct Opening {
    address: &'static str,
    surface: Surface,
    bounds: Bounds,
    tokens: Tokens,
    in_force: bool,
}

impl Default for Opening {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:0",
            surface: Surface::All,
            bounds: Bounds::default(),
            tokens: Tokens {
                admin: Some(ADMIN.into()),
                read: Some(READ.into()),
            },
            in_force: true,
        }
    }
}

impl Opening {
    /// An address that other machines can reach: the test asks it over loopback.
    fn public() -> Self {
        Self {
            address: "0.0.0.0:0",
            ..Self::default()
        }
    }

    async fn open(self) -> Port {
        let clock = Arc::new(ManualClock::at(at(0)));
        let shelf = Arc::new(Shelf::default());
        let in_force = self.in_force.then(|| Arc::new(in_force(config())));
        self.open_over(shelf.clone(), shelf, clock, in_force).await
    }

    async fn open_over(
        self,
        ledger: Arc<dyn Ledger>,
        shelf: Arc<Shelf>,
        clock: Arc<ManualClock>,
        in_force: Option<Arc<InForce>>,
    ) -> Port {
        let metrics = Arc::new(Metrics::new("0.1.0", "test"));
        let live = Arc::new(Live::default());
        let app = Arc::new(App::new(
            ledger,
            clock.clone(),
            metrics.clone(),
            live.clone(),
        ));
        app.set_tokens(self.tokens);
        live.in_force.store(in_force);
        let listener = TcpListener::bind(self.address).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = CancellationToken::new();
        let served = serve_within(
            self.bounds,
            listener,
            app.clone(),
            self.surface,
            stop.clone(),
        );
        Port {
            address: ([127, 0, 0, 1], port).into(),
            shelf,
            live,
            clock,
            metrics,
            app,
            stop,
            ended: tokio::spawn(served),
        }
    }
}

fn in_force(config: Config) -> InForce {
    InForce {
        config: Arc::new(config),
        number: 7,
        digest: "9c1f66a2d0b34e7c8a5e1b2c3d4e5f60".to_owned(),
        items: 12,
        accepted_at: at(-7_200),
    }
}

fn client() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // An error says that another test of this binary was first.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    reqwest::Client::builder().no_proxy().build().unwrap()
}

impl Port {
    async fn open() -> Self {
        Opening::default().open().await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn ask(&self, path: &str) -> reqwest::RequestBuilder {
        client().get(self.url(path))
    }

    fn command(&self, path: &str) -> reqwest::RequestBuilder {
        client().post(self.url(path)).bearer_auth(ADMIN)
    }

    async fn status(&self, path: &str) -> u16 {
        self.ask(path).send().await.unwrap().status().as_u16()
    }

    async fn text(&self, path: &str) -> String {
        self.ask(path).send().await.unwrap().text().await.unwrap()
    }

    async fn json(&self, path: &str) -> serde_json::Value {
        let answer = self.ask(path).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/json");
        answer.json().await.unwrap()
    }
}

/// The detail of a refusal, which is `application/problem+json` in every case.
async fn refused(request: reqwest::RequestBuilder, status: u16) -> String {
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), status);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(problem["status"], status);
    assert_eq!(problem["type"], "about:blank");
    assert!(problem["title"].is_string());
    let detail = problem["detail"].as_str().unwrap().to_owned();
    assert!(!detail.contains(ADMIN) && !detail.contains(READ));
    detail
}
