//! Lotus (uselotus/lotus, commit 0ea71f7): an API that a GET by id does not limit to the
//! key's organization, that renews by making another record, and whose 401 is also the face
//! of a database that is down.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Request, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::list::{Cursor, ListPage, Listed, Scope};
use super::transport::{Largest, ReadTransport, Reply, below, read_error, unavailable};
use super::words::Secrets;
use super::{Adapter, ConnectError, Credentials, LookError, Order, Reader, Setup, words};
use crate::config::Auth;
use crate::model::act::{Action, Answer};
use crate::model::ids::SubscriptionId;
use crate::model::observed::{Billing, Life, Look, Observed, Subscription, Successor};
use crate::model::provider::{ExpectField, ProviderKind};
use crate::planted::planted;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// `Date` has whole seconds, so that an end in the same second looks like one ahead.
const DATE_IS_COARSE: chrono::Duration = chrono::Duration::seconds(1);

pub(super) struct Lotus {
    transport: ReadTransport,
    base: Url,
    auth: Header,
    organization_id: Option<String>,
}

/// One header, never both: a bad token makes a request with a good key fail.
enum Header {
    Key(SecretString),
    Token(SecretString),
}

/// A record, without whatever names a person.
#[derive(Deserialize)]
struct Record {
    subscription_id: String,
    #[serde(deserialize_with = "words::instant")]
    start_date: DateTime<Utc>,
    #[serde(deserialize_with = "words::instant")]
    end_date: DateTime<Utc>,
    auto_renew: bool,
    customer: Customer,
    billing_plan: BillingPlan,
    #[serde(default)]
    addons: Vec<Addon>,
}

#[derive(Deserialize)]
struct Customer {
    customer_id: String,
}

/// A customer as their list shows them, without whatever names a person.
#[derive(Deserialize)]
struct ListedCustomer {
    customer_id: String,
    #[serde(default)]
    subscriptions: Vec<serde_json::Value>,
}

/// What cannot be read does not hide the others.
#[derive(Deserialize)]
#[serde(untagged)]
enum CustomerEntry {
    Customer(ListedCustomer),
    Other(IgnoredAny),
}

#[derive(Deserialize)]
struct BillingPlan {
    plan_id: Option<String>,
}

#[derive(Deserialize)]
struct Addon {
    addon_subscription_id: String,
}

#[derive(Deserialize)]
struct Ping {
    organization_id: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Titled {
    title: String,
}

impl Lotus {
    pub(super) fn connect(setup: &Setup) -> Result<Self, ConnectError> {
        let auth = match &setup.credentials {
            Credentials::LotusKey(key) => Header::Key(key.clone()),
            Credentials::LotusToken(token) => Header::Token(token.clone()),
            Credentials::KajabiClient { .. }
            | Credentials::KajabiToken(_)
            | Credentials::RevereKey(_) => {
                return Err(ConnectError {
                    why: "these are no credentials of lotus".to_owned(),
                });
            }
        };
        let organization_id = match &setup.config.auth {
            Auth::Lotus {
                organization_id, ..
            } => organization_id.clone(),
            Auth::Kajabi(_) | Auth::Revere { .. } => None,
        };
        Ok(Self {
            transport: ReadTransport::connect(setup)?,
            base: setup.config.base_url.clone(),
            auth,
            organization_id,
        })
    }

    fn headers(&self) -> Result<HeaderMap, String> {
        let (name, text) = match &self.auth {
            Header::Key(key) => (API_KEY, key.expose_secret().to_owned()),
            Header::Token(token) => (AUTHORIZATION, format!("Token {}", token.expose_secret())),
        };
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| "the key has characters that no header can carry".to_owned())?;
        value.set_sensitive(true);
        Ok(HeaderMap::from_iter([(name, value)]))
    }

    #[cfg(feature = "planted")]
    fn with_key(&self, error: LookError) -> LookError {
        let (Header::Key(key) | Header::Token(key)) = &self.auth;
        match error {
            LookError::Credentials { why } => LookError::Credentials {
                why: format!("{why}: {}", key.expose_secret()),
            },
            other => other,
        }
    }

    async fn get(&self, operation: &'static str, url: Url) -> Result<Reply, LookError> {
        let headers = self
            .headers()
            .map_err(|why| LookError::Credentials { why })?;
        self.transport.get(operation, url, headers).await
    }

    /// `GET /api/subscriptions/{id}/`, then the list of its customer, which alone is limited to
    /// the key's organization (backend/api/views.py, lines 756 and 864).
    async fn record(&self, id: &SubscriptionId) -> Result<Look, LookError> {
        // A path without the final slash is a 301.
        let reply = self
            .get(
                "look",
                below(&self.base, ["api", "subscriptions", id.as_str(), ""]),
            )
            .await?;
        let look = |observed| Look {
            observed,
            at: reply.began_at,
            server_date: reply.server_date,
        };
        match reply.status {
            200 => {}
            404 => return Ok(look(Observed::NotFound)),
            _ => {
                let error = read_error(&reply);
                return Err(planted!(SecretInError, self.with_key(error), error));
            }
        }
        let record: Record = serde_json::from_slice(&reply.body)
            .map_err(|_| unavailable("the subscription cannot be read"))?;
        if planted!(OtherObjectTaken, false, !same(&record.subscription_id, id)) {
            return Err(unavailable("the provider answered with another object"));
        }
        let listed = self.of_customer(&record.customer.customer_id).await?;
        let Some((values, date)) = listed else {
            return Ok(look(not_ours(
                "its customer is not one of this organization's",
            )));
        };
        let (records, unreadable) = records_of(values);
        if unreadable > 0 {
            return Err(unavailable("the customer's list cannot be read"));
        }
        let listed = records.iter().find(|it| same(&it.subscription_id, id));
        let Some(listed) = listed else {
            return Ok(look(not_ours(
                "it is not in its customer's list, so that it belongs to another organization",
            )));
        };
        // The list is the later reading of the two.
        let now = date.unwrap_or_else(|| self.transport.now());
        let successor = successor(listed, &records, now);
        Ok(Look {
            observed: Observed::Found(Subscription {
                life: life(listed, successor.is_some(), now),
                successor,
                ..listed.subscription(now)
            }),
            at: reply.began_at,
            server_date: date.or(reply.server_date),
        })
    }

    /// Every record of a customer; none where the organization has no such customer. All three
    /// statuses are named: what is given without any differs from what is documented.
    async fn of_customer(
        &self,
        customer: &str,
    ) -> Result<Option<(Vec<serde_json::Value>, Option<DateTime<Utc>>)>, LookError> {
        let mut url = below(&self.base, ["api", "subscriptions", ""]);
        url.query_pairs_mut()
            .append_pair("customer_id", customer)
            .append_pair("status", "active")
            .append_pair("status", "ended")
            .append_pair("status", "not_started");
        let reply = self.get("list", url).await?;
        if reply.status == 400 {
            let title: Titled = serde_json::from_slice(&reply.body).unwrap_or_default();
            if title.title == "does_not_exist" {
                return Ok(None);
            }
        }
        if reply.status != 200 {
            return Err(read_error(&reply));
        }
        let records = serde_json::from_slice(&reply.body)
            .map_err(|_| unavailable("the customer's list cannot be read"))?;
        Ok(Some((records, reply.server_date)))
    }

    /// `GET /api/customers/`: the only way to what an organization has (its list of
    /// subscriptions wants a customer). It comes whole, with each customer's *active* records
    /// (transcript A): what has ended or not begun is asked for customer by customer.
    async fn customers(&self, scope: Scope) -> Result<ListPage, LookError> {
        let headers = self
            .headers()
            .map_err(|why| LookError::Credentials { why })?;
        let url = below(&self.base, ["api", "customers", ""]);
        let asked = self
            .transport
            .get_up_to(Largest::WholeList, "list", url, headers)
            .await;
        let reply = asked.map_err(|error| match error {
            LookError::Unavailable { why } => unavailable(format!(
                "{why}; Lotus gives all customers in one answer, and a longer `timeout` may help"
            )),
            other => other,
        })?;
        if reply.status != 200 {
            return Err(read_error(&reply));
        }
        let customers: Vec<CustomerEntry> = serde_json::from_slice(&reply.body)
            .map_err(|_| unavailable("the list of customers cannot be read"))?;
        let now = reply.server_date.unwrap_or_else(|| self.transport.now());
        let mut page = ListPage::default();
        let mut ids = Vec::new();
        for customer in customers {
            match (customer, scope) {
                (CustomerEntry::Other(_), _) => page.unreadable += 1,
                (CustomerEntry::Customer(it), Scope::Living) => page.take(it.subscriptions, now),
                (CustomerEntry::Customer(it), Scope::All) => ids.push(it.customer_id),
            }
        }
        page.next = Cursor::customers(ids.into(), 0);
        Ok(page)
    }

    /// Everything that one customer has; who is gone meanwhile has nothing.
    async fn customer(&self, all: Arc<[String]>, next: usize) -> Result<ListPage, LookError> {
        let Some(customer) = all.get(next) else {
            return Ok(ListPage::default());
        };
        let (values, date) = self.of_customer(customer).await?.unwrap_or_default();
        let now = date.unwrap_or_else(|| self.transport.now());
        let mut page = ListPage::default();
        page.take(values, now);
        page.next = Cursor::customers(all, next + 1);
        Ok(page)
    }

    /// `GET /api/ping/` tells a key's organization. A login token may not ask (403): what the
    /// file says stands for it.
    async fn ping(&self) -> Result<String, LookError> {
        if matches!(self.auth, Header::Token(_)) {
            let named = self.organization_id.clone();
            return Ok(named.unwrap_or_else(|| "login token".to_owned()));
        }
        let reply = self
            .get("account", below(&self.base, ["api", "ping", ""]))
            .await?;
        if reply.status != 200 {
            return Err(read_error(&reply));
        }
        let ping: Ping = serde_json::from_slice(&reply.body)
            .map_err(|_| unavailable("the answer to `GET /api/ping/` cannot be read"))?;
        words::fact(ping.organization_id)
            .ok_or_else(|| unavailable("the answer to `GET /api/ping/` names no organization"))
    }
}

impl ListPage {
    /// Takes a customer's records.
    fn take(&mut self, values: Vec<serde_json::Value>, now: DateTime<Utc>) {
        let (records, unreadable) = records_of(values);
        self.unreadable += unreadable;
        for record in records {
            match hex_of(&record.subscription_id) {
                Some(id) => self.entries.push(Listed {
                    id,
                    subscription: record.subscription(now),
                }),
                None => self.unreadable += 1,
            }
        }
    }
}

impl Record {
    /// What it says of itself, by the provider's clock.
    fn subscription(&self, now: DateTime<Utc>) -> Subscription {
        let customer = words::fact(self.customer.customer_id.clone());
        let plan = self.billing_plan.plan_id.clone().and_then(words::fact);
        let mut facts = BTreeMap::new();
        facts.extend(customer.map(|id| (ExpectField::Customer, id)));
        facts.extend(plan.map(|id| (ExpectField::Plan, id)));
        Subscription {
            life: life(self, false, now),
            billing: Billing::Recurring,
            facts,
            period_end: Some(self.end_date),
            successor: None,
        }
    }
}

/// A customer's records, and how many could not be read. Add-ons appear as records of their
/// own, with the hex of their `addon_sub_` id, and are left out.
fn records_of(values: Vec<serde_json::Value>) -> (Vec<Record>, u64) {
    let all = values.len();
    let mut records: Vec<Record> = values
        .into_iter()
        .filter_map(|value| serde_json::from_value(value).ok())
        .collect();
    let unreadable = all - records.len();
    let addons: Vec<SubscriptionId> = records
        .iter()
        .flat_map(|record| &record.addons)
        .filter_map(|addon| hex_of(&addon.addon_subscription_id))
        .collect();
    records.retain(|record| hex_of(&record.subscription_id).is_none_or(|id| !addons.contains(&id)));
    (records, unreadable as u64)
}

fn not_ours(why: &str) -> Observed {
    Observed::NotOurs {
        why: why.to_owned(),
    }
}

fn hex_of(text: &str) -> Option<SubscriptionId> {
    let text = text.strip_prefix("addon_").unwrap_or(text);
    SubscriptionId::parse(ProviderKind::Lotus, text).ok()
}

fn same(text: &str, id: &SubscriptionId) -> bool {
    hex_of(text).as_ref() == Some(id)
}

/// Where a record stands, by the provider's clock.
///
/// Ended is only what will not be renewed: a record that is over and still says `auto_renew`
/// may be renewed by the hourly job, and so proves nothing; once it was, it is over.
fn life(record: &Record, renewed: bool, now: DateTime<Utc>) -> Life {
    let over = record.end_date < now + DATE_IS_COARSE;
    match (over, record.auto_renew) {
        (true, auto_renew) if renewed || !auto_renew => Life::Ended {
            at: Some(record.end_date),
        },
        (true, _) => Life::Unclear {
            status: "over, and still set to renew".to_owned(),
        },
        (false, _) if record.start_date > now => Life::NotStarted {
            starts_at: record.start_date,
        },
        (false, false) => Life::Ending {
            at: record.end_date,
        },
        (false, true) => Life::Active,
    }
}

/// A record of the same customer and plan that starts at or after this one's end and lives.
fn successor(record: &Record, all: &[Record], now: DateTime<Utc>) -> Option<Successor> {
    let others = planted!(SuccessorIgnored, &[][..], all);
    others
        .iter()
        .filter(|other| {
            !same_text(&other.subscription_id, &record.subscription_id)
                && other.billing_plan.plan_id == record.billing_plan.plan_id
                && other.start_date >= record.end_date
                && other.end_date > now
        })
        .min_by_key(|other| other.start_date)
        .map(|other| Successor {
            id: hex_of(&other.subscription_id).map_or_else(
                || words::masked(&other.subscription_id, &Secrets::default()),
                |id| id.to_string(),
            ),
            starts_at: other.start_date,
        })
}

fn same_text(one: &str, other: &str) -> bool {
    hex_of(one) == hex_of(other)
}

impl Reader for Lotus {
    fn account(&self) -> BoxFuture<'_, Result<String, LookError>> {
        Box::pin(self.ping())
    }

    fn look<'a>(&'a self, id: &'a SubscriptionId) -> BoxFuture<'a, Result<Look, LookError>> {
        Box::pin(self.record(id))
    }

    fn list(
        &self,
        scope: Scope,
        from: Option<Cursor>,
    ) -> BoxFuture<'_, Result<ListPage, LookError>> {
        match from {
            Some(Cursor::Customers { all, next }) => Box::pin(self.customer(all, next)),
            _ => Box::pin(self.customers(scope)),
        }
    }

    fn clock_skew(&self) -> Option<i64> {
        self.transport.clock_skew()
    }
}

impl Adapter for Lotus {
    /// `POST /api/subscriptions/{id}/cancel/` with all three behaviours, always: what is left
    /// out is chosen over there (`SubscriptionRecordCancelSerializer`, model_serializers.py
    /// line 2151). `POST …/update/` with `turn_off_auto_renew` and nothing else: `end_date`
    /// there would bring an ended record back to life (`SubscriptionRecordUpdateSerializer`,
    /// model_serializers.py line 1917).
    fn request<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Result<Request, String>> {
        Box::pin(async move {
            let (verb, body) = match &order.action {
                Action::Cancel {
                    behaviors: Some(behaviors),
                    ..
                } => (
                    "cancel",
                    planted!(
                        BehaviorsLeftOut,
                        serde_json::json!({}),
                        serde_json::json!({
                            "flat_fee_behavior": behaviors.flat_fee,
                            "usage_behavior": behaviors.usage,
                            "invoicing_behavior": behaviors.invoicing,
                        })
                    ),
                ),
                Action::TurnOffRenewal => {
                    ("update", serde_json::json!({"turn_off_auto_renew": true}))
                }
                Action::Cancel {
                    behaviors: None, ..
                }
                | Action::ConfirmCancel => {
                    return Err("the behaviours of a Lotus cancel were not chosen".to_owned());
                }
            };
            let parts = ["api", "subscriptions", order.id.as_str(), verb, ""];
            let mut request = Request::new(Method::POST, below(&self.base, parts));
            *request.headers_mut() = self.headers()?;
            request
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(body.to_string().into());
            Ok(request)
        })
    }

    /// 200 with the record; 400, 404, 405 and 415 are refusals with a title (RFC7807Formatter,
    /// exceptions/handler.py). 500 does not mean that nothing happened.
    fn meaning(&self, order: &Order, reply: &Reply) -> Answer {
        #[derive(Deserialize)]
        struct Named {
            subscription_id: String,
        }
        match reply.status {
            200 => {
                let named = serde_json::from_slice::<Named>(&reply.body)
                    .is_ok_and(|it| same(&it.subscription_id, &order.id));
                if named {
                    Answer::Accepted
                } else {
                    Answer::Unclear {
                        why: "a success whose body does not name the subscription".to_owned(),
                    }
                }
            }
            400 | 404 | 405 | 415 => Answer::Refused {
                status: reply.status,
                words: reply.words(),
            },
            _ => Answer::Unclear {
                why: reply.in_words(),
            },
        }
    }
}
