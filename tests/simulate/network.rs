//! The network and the three providers at its other end: what becomes of each request is the
//! history's to say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use lapsed::model::ids::SubscriptionId;
use lapsed::model::provider::ProviderKind;
use lapsed::provider::transport::{NoAnswer, Wire};
use lapsed::sandbox::Seeds;
use lapsed::sandbox::unwired::{Mishap, Unwired};
use lapsed_disk::Disk;
use serde_json::{Value, json};

use crate::oracle::{Heard, Oracle, Read, Sent, Sub, World};
use crate::people::{TIMEOUT, Who};
use crate::time::{OwnClock, Universe};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Token,
    Account,
    Look,
    List,
    Write,
}

/// A request whose fate is to be decided.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub who: Who,
    pub kind: Kind,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    Well,
    /// It never leaves.
    NotConnected,
    /// Something goes wrong, of this name.
    Mishap(&'static str),
    /// The machine loses its power, before the request leaves …
    PowerCutBefore,
    /// … or when it was carried out and nobody has heard of it.
    PowerCutAfter,
    /// The process is stopped for so long while the answer is on its way to it.
    LeftLying(Duration),
}

/// What goes wrong with a request: its name, what the sandbox is told, whether it stays silent
/// for the whole timeout, and what can be known of a write from what comes back.
struct Wrong {
    name: &'static str,
    mishap: Value,
    silent: bool,
    heard: Heard,
}

fn wrongs() -> Vec<Wrong> {
    let wrong = |name, mishap: Value, heard| Wrong {
        name,
        mishap,
        silent: false,
        heard,
    };
    let silent = |name, mishap: Value| Wrong {
        name,
        mishap,
        silent: true,
        heard: Heard::Nothing,
    };
    use Heard::{Busy, Nothing, Refusal, Success};
    vec![
        wrong("lost", json!({"drop": "before"}), Nothing),
        silent("lost in silence", json!({"drop": "before"})),
        wrong("done, answer lost", json!({"drop": "after"}), Nothing),
        silent("done in silence", json!({"drop": "after"})),
        silent("done a minute later", json!({"late": "60s"})),
        silent("done 19 minutes later", json!({"late": "19m"})),
        wrong(
            "says done and is not",
            json!({"ok_without_effect": "claims"}),
            Success,
        ),
        wrong(
            "200, shown as it was",
            json!({"ok_without_effect": "shows"}),
            Success,
        ),
        wrong("another's body", json!({"other_body": true}), Nothing),
        wrong("500 undone", json!({"status": 500}), Nothing),
        wrong("500 done", json!({"status": 500, "effect": true}), Nothing),
        wrong(
            "502 done",
            json!({"status": 502, "effect": true, "body": "<html>bad gateway</html>"}),
            Nothing,
        ),
        wrong("429", json!({"status": 429, "retry_after": "90"}), Refusal),
        wrong(
            "429 for a year",
            json!({"status": 429, "retry_after": "31536000"}),
            Refusal,
        ),
        wrong(
            "429 in words",
            json!({"status": 429, "retry_after": "soon"}),
            Refusal,
        ),
        wrong("503", json!({"status": 503, "retry_after": "120"}), Busy),
        wrong(
            "503 done",
            json!({"status": 503, "retry_after": "-5", "effect": true}),
            Busy,
        ),
        wrong("401", json!({"status": 401}), Refusal),
        wrong("403", json!({"status": 403}), Refusal),
        wrong("404", json!({"status": 404}), Refusal),
        wrong("409", json!({"status": 409}), Nothing),
        wrong("409 done", json!({"status": 409, "effect": true}), Nothing),
        wrong(
            "422",
            json!({"status": 422, "body": "{\"errors\":[{\"title\":\"Unprocessable\",\"detail\":\"canary-payer@example.com owes 4111111111111111\"}],\"title\":\"invalid\",\"detail\":\"canary-payer@example.com owes 4111111111111111\",\"error\":{\"message\":\"canary-payer@example.com owes 4111111111111111\"}}"}),
            Refusal,
        ),
        wrong(
            "redirect",
            json!({"redirect": "https://elsewhere.example.com/"}),
            Nothing,
        ),
        wrong(
            "a page with 200",
            json!({"html": true, "effect": true}),
            Nothing,
        ),
        wrong("cut JSON", json!({"cut": "json"}), Nothing),
        wrong("cut connection", json!({"cut": "connection"}), Nothing),
        wrong("5 MB", json!({"huge": 5_000_000}), Nothing),
        wrong("stale", json!({"stale": true}), Nothing),
    ]
}

struct Parsed {
    mishap: Mishap,
    silent: bool,
    heard: Heard,
    late: Duration,
}

fn parsed() -> &'static BTreeMap<&'static str, Parsed> {
    static PARSED: OnceLock<BTreeMap<&'static str, Parsed>> = OnceLock::new();
    PARSED.get_or_init(|| {
        let parse = |wrong: Wrong| {
            let late = match wrong.mishap["late"].as_str() {
                Some("60s") => Duration::from_secs(60),
                Some(_) => Duration::from_secs(19 * 60),
                None => Duration::ZERO,
            };
            let parsed = Parsed {
                mishap: Mishap::parse(&wrong.mishap).unwrap(),
                silent: wrong.silent,
                heard: wrong.heard,
                late,
            };
            (wrong.name, parsed)
        };
        wrongs().into_iter().map(parse).collect()
    })
}

/// Everything that can go wrong with a write.
pub fn wrong_writes() -> Vec<&'static str> {
    wrongs()
        .iter()
        .map(|it| it.name)
        .filter(|it| *it != "stale")
        .collect()
}

/// What can go wrong with a reading; of those, a stale one is not noticed by anybody.
pub fn wrong_reads() -> Vec<&'static str> {
    let writes_only = |name: &str| {
        name.contains("done")
            || name.contains("shown")
            || matches!(name, "409" | "422" | "404" | "403")
    };
    wrongs()
        .iter()
        .map(|it| it.name)
        .filter(|name| !writes_only(name))
        .collect()
}

/// One provider, with its own clock.
pub struct Site {
    pub api: Unwired,
    pub clock: Arc<OwnClock>,
}

type Decide = Box<dyn FnMut(&Asked) -> Fate + Send>;

/// The network.
pub struct Network {
    universe: Universe,
    pub sites: BTreeMap<Who, Site>,
    pub oracle: Arc<Mutex<Oracle>>,
    /// The clock of the process, and its disk.
    pub own_clock: Arc<OwnClock>,
    pub disk: Mutex<Disk>,
    decide: Mutex<Decide>,
    /// Effects of which the oracle knows.
    known: Mutex<BTreeMap<Sub, u32>>,
    latency: Mutex<fastrand::Rng>,
    seeded: Mutex<BTreeSet<Sub>>,
}

impl Network {
    pub fn new(
        universe: &Universe,
        own_clock: &Arc<OwnClock>,
        disk: &Disk,
        oracle: &Arc<Mutex<Oracle>>,
        seed: u64,
    ) -> Arc<Self> {
        let site = |who| {
            let clock = OwnClock::new(universe);
            let api = Unwired::new(Arc::clone(&clock) as _, Seeds::none());
            (who, Site { api, clock })
        };
        Arc::new(Self {
            universe: universe.clone(),
            sites: Who::ALL.into_iter().map(site).collect(),
            oracle: Arc::clone(oracle),
            own_clock: Arc::clone(own_clock),
            disk: Mutex::new(disk.clone()),
            decide: Mutex::new(Box::new(|_| Fate::Well)),
            known: Mutex::default(),
            latency: Mutex::new(fastrand::Rng::with_seed(seed ^ 0x6c61_7465)),
            seeded: Mutex::default(),
        })
    }

    /// From now on this decides what becomes of requests.
    pub fn fates(&self, decide: impl FnMut(&Asked) -> Fate + Send + 'static) {
        *self.decide.lock().unwrap() = Box::new(decide);
    }

    /// Puts a subscription there, in place of what was known under its number.
    pub fn seed(&self, sub: Sub, seed: &Value) {
        self.account_for(sub);
        self.seeded.lock().unwrap().insert(sub);
        self.sites[&sub.0].api.seed(&Seeds::parse(seed).unwrap());
        self.known.lock().unwrap().remove(&sub);
    }

    /// What is true now; the oracle hears of what took effect meanwhile.
    pub fn account_for(&self, sub: Sub) -> World {
        let truth = self.truth(sub);
        let mut known = self.known.lock().unwrap();
        let known = known.entry(sub).or_default();
        let now = self.universe.now();
        while *known < truth.effects {
            *known += 1;
            self.oracle.lock().unwrap().took_effect(sub, now);
        }
        truth
    }

    /// What is true of a subscription.
    pub fn truth(&self, (who, number): Sub) -> World {
        let found = self.sites[&who].api.truth(who.provider(), &who.id(number));
        let Some(truth) = found else {
            return World::default();
        };
        let at = |key: &str| {
            truth.detail[key]
                .as_str()
                .and_then(|text| text.parse().ok())
        };
        World {
            exists: true,
            live: truth.live,
            effects: truth.cancels_effective
                + if who == Who::Metered {
                    truth.updates_effective
                } else {
                    0
                },
            deactivated: !truth.detail["deactivated_at"].is_null(),
            period_end: match who {
                Who::Academy => None,
                Who::Donations => at("next_bill_at"),
                Who::Metered => at("end"),
            },
        }
    }

    /// Nobody's state can be mistaken for another's.
    fn has_no_neighbour(&self, who: Who) -> bool {
        let seeded = self.seeded.lock().unwrap();
        seeded.iter().filter(|sub| sub.0 == who).count() < 2
    }

    /// A provider shows what was for minutes, and not for hours: two readings as far apart as
    /// `resend_after` wants them do not both lie.
    fn may_be_stale(&self, sub: Option<Sub>) -> bool {
        let oracle = self.oracle.lock().unwrap();
        let writes = sub.and_then(|sub| oracle.writes.get(&sub)?.last());
        let resend_after = oracle.accepted.last().map(|it| it.file.resend_after);
        let lately = resend_after.unwrap_or_default() / 2;
        writes.is_some_and(|it| self.universe.now() < it.at + lately)
    }

    fn is_off(&self) -> bool {
        self.disk.lock().unwrap().is_off()
    }

    /// When the open intent for a subscription was journaled, on a disk that loses its power now.
    fn intended_at(&self, (who, number): Sub) -> Option<DateTime<Utc>> {
        let durable = self.disk.lock().unwrap().durable();
        let kind = match who {
            Who::Academy => ProviderKind::Kajabi,
            Who::Donations => ProviderKind::Revere,
            Who::Metered => ProviderKind::Lotus,
        };
        let id = SubscriptionId::parse(kind, &who.id(number)).unwrap();
        crate::world::open_attempt(&durable, who.as_str(), id.as_str())
            .map(|at| at - self.own_clock.off())
    }

    async fn exchange(&self, request: reqwest::Request) -> Result<reqwest::Response, NoAnswer> {
        let who = Who::ALL[(request.url().port().unwrap_or(7001) - 7001) as usize];
        let (kind, number) = understand(who, &request);
        let asked = Asked { who, kind };
        let mut fate = (self.decide.lock().unwrap())(&asked);
        let sub = number.map(|number| (who, number));
        let no_harm = match fate {
            Fate::Mishap("another's body") => self.has_no_neighbour(who),
            Fate::Mishap("stale") => !self.may_be_stale(sub),
            _ => false,
        };
        if no_harm {
            fate = Fate::Well;
        }
        let never = || std::future::pending::<Result<reqwest::Response, NoAnswer>>();
        if self.is_off() {
            return never().await;
        }
        if fate != Fate::Well {
            let name = match &fate {
                Fate::Mishap(name) => name,
                Fate::NotConnected => "not connected",
                Fate::LeftLying(_) => "left lying",
                _ => "power cut",
            };
            self.oracle
                .lock()
                .unwrap()
                .struck(&format!("{kind:?}: {name}"));
        }
        match fate {
            Fate::NotConnected => {
                self.pause(20).await;
                return Err(NoAnswer::NotConnected);
            }
            Fate::PowerCutBefore => {
                self.disk.lock().unwrap().cut_power();
                return never().await;
            }
            _ => {}
        }
        self.oracle.lock().unwrap().leaves(who, self.universe.now());
        let began = sub
            .filter(|_| kind == Kind::Write)
            .map(|sub| self.write_begins(sub, &request));
        self.pause(150).await;
        let wrong = match fate {
            Fate::Mishap(name) => Some(&parsed()[name]),
            _ => None,
        };
        let mishap = wrong.map(|it| &it.mishap);
        let answer = self.sites[&who]
            .api
            .answer(translated(request), mishap)
            .await;
        if let (Some(()), Some(sub)) = (began, sub) {
            let late = wrong.map_or(Duration::ZERO, |it| it.late);
            let until = self.universe.now() + late;
            self.oracle.lock().unwrap().may_act_until(sub, until);
        }
        let sub_truth = sub.map(|sub| self.account_for(sub));
        let shown_at = self.universe.now();
        if fate == Fate::PowerCutAfter {
            self.disk.lock().unwrap().cut_power();
            return never().await;
        }
        if let Fate::LeftLying(stopped) = fate {
            self.universe.advance(stopped);
        }
        self.pause(150).await;
        if self.is_off() {
            return never().await;
        }
        let silent = wrong.is_some_and(|it| it.silent);
        if silent {
            self.universe.sleep(TIMEOUT).await;
        }
        let mut oracle = self.oracle.lock().unwrap();
        oracle.comes_back(who);
        let Some(answer) = answer else {
            return Err(if silent {
                NoAnswer::TimedOut
            } else {
                NoAnswer::Broken
            });
        };
        let now = self.universe.now();
        let status = answer.status().as_u16();
        oracle.note(now, &format!("{kind:?} {number:?} {status} ({fate:?})"));
        // A plan is a process of its own, and keeps to itself what it is asked for.
        if matches!(status, 429 | 503) && !oracle.previews {
            let asked_for = answer
                .headers()
                .get("retry-after")
                .and_then(|it| it.to_str().ok()?.parse::<i64>().ok());
            let wait = Duration::from_secs(asked_for.unwrap_or(1).clamp(1, 3_600) as u64);
            oracle.retry_heard.insert(who, now);
            let until = oracle.retry_until.entry(who).or_default();
            // By the time that the answer was read.
            *until = (*until).max(now + wait - Duration::from_secs(1));
        }
        if let Some(sub) = sub {
            if kind == Kind::Write {
                let heard = match wrong {
                    Some(wrong) => wrong.heard,
                    None if status == 200 => Heard::Success,
                    None if status < 500 => Heard::Refusal,
                    None => Heard::Nothing,
                };
                oracle.heard(sub, heard);
            } else if kind == Kind::Look && status == 200 {
                let stale = fate == Fate::Mishap("stale");
                if wrong.is_none() || stale {
                    // Of the moment at which it was answered, however long that was on its way.
                    let truth = sub_truth.unwrap_or_default();
                    let alive = stale || (truth.live && !truth.deactivated);
                    let at = shown_at;
                    oracle.read(sub, Read { at, alive });
                }
            }
        }
        drop(oracle);
        Ok(delivered(answer, &self.oracle))
    }

    fn write_begins(&self, sub: Sub, request: &reqwest::Request) {
        let before = self.account_for(sub);
        let now = self.universe.now();
        let body = request
            .body()
            .and_then(|body| body.as_bytes())
            .unwrap_or_default();
        let sent = Sent {
            sub,
            method: request.method().as_str(),
            path: request.url().path(),
            body,
            before: &before,
            intended_at: self.intended_at(sub),
        };
        self.oracle.lock().unwrap().write_leaves(now, &sent);
    }

    async fn pause(&self, up_to: u64) {
        let wait = self.latency.lock().unwrap().u64(1..=up_to);
        self.universe.sleep(Duration::from_millis(wait)).await;
    }
}

impl Wire for Network {
    fn carry(
        &self,
        request: reqwest::Request,
    ) -> BoxFuture<'_, Result<reqwest::Response, NoAnswer>> {
        Box::pin(self.exchange(request))
    }
}

/// What a request is for, read from its path as the providers' documents have it.
fn understand(who: Who, request: &reqwest::Request) -> (Kind, Option<u32>) {
    let path = request.url().path();
    let segments: Vec<&str> = path.split('/').filter(|it| !it.is_empty()).collect();
    let number = |text: &str| match who {
        Who::Academy => text.strip_prefix('9')?.parse().ok(),
        Who::Donations => text.strip_prefix("don-")?.parse().ok(),
        Who::Metered => {
            let hex = text.trim_start_matches("sub_").replace('-', "");
            let is_id = hex.len() == 32;
            u32::from_str_radix(hex.trim_start_matches('0'), 16)
                .ok()
                .filter(|_| is_id)
        }
    };
    let found = segments.iter().skip(1).find_map(|it| number(it));
    let last = segments.last().copied().unwrap_or_default();
    let kind = match (request.method().as_str(), last) {
        ("POST", "token") => Kind::Token,
        ("GET", "me" | "ping") => Kind::Account,
        ("GET", _) if found.is_some() => Kind::Look,
        ("GET", _) => Kind::List,
        _ => Kind::Write,
    };
    (kind, found)
}

fn translated(request: reqwest::Request) -> http::Request<axum::body::Body> {
    let mut url = request.url().path().to_owned();
    if let Some(query) = request.url().query() {
        url.push('?');
        url.push_str(query);
    }
    let bytes = request
        .body()
        .and_then(|body| body.as_bytes())
        .unwrap_or_default()
        .to_vec();
    let mut translated = http::Request::new(axum::body::Body::from(bytes));
    *translated.method_mut() = request.method().clone();
    *translated.uri_mut() = url.parse().unwrap();
    *translated.headers_mut() = request.headers().clone();
    translated
}

/// The answer on its way back; more of it than is allowed to be read is noticed.
fn delivered(
    answer: http::Response<axum::body::Body>,
    oracle: &Arc<Mutex<Oracle>>,
) -> reqwest::Response {
    const MOST: usize = (1 << 20) + (64 << 10);
    let oracle = Arc::clone(oracle);
    let mut read = 0;
    let (parts, body) = answer.into_parts();
    let stream = body.into_data_stream().inspect(move |chunk| {
        let before = read;
        read += chunk.as_ref().map_or(0, |chunk| chunk.len());
        if before > MOST {
            oracle
                .lock()
                .unwrap()
                .fault("S18", format!("{read} bytes of an answer were read"));
        }
    });
    let body = reqwest::Body::wrap_stream(stream);
    http::Response::from_parts(parts, body).into()
}
