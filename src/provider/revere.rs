//! Revere Payments: <https://support.reverepayments.dev/docs/developers/>.
//!
//! The heading of "Cancel a subscription" and its example name two paths. All other
//! subscription calls stand under `/recurring/subscription`, and so does the example: it is
//! what is sent.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Request, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::list::{Cursor, ListPage, Listed, Scope};
use super::transport::{ReadTransport, Reply, below, read_error, unavailable};
use super::words::Secrets;
use super::{Adapter, ConnectError, Credentials, LookError, Order, Reader, Setup, words};
use crate::config::Auth;
use crate::model::act::{Action, Answer};
use crate::model::ids::SubscriptionId;
use crate::model::observed::{Billing, Life, Look, Observed, Subscription};
use crate::model::provider::{ExpectField, ProviderKind};
use crate::planted::planted;

/// Subscriptions that are asked for at once. The largest `limit` is undocumented, so that a
/// page may hold fewer and not be the last.
const PAGE: &str = "100";

pub(super) struct Revere {
    transport: ReadTransport,
    /// `…/api/v1/groups/{group_id}/revere_pay/{linked_account_id}/recurring/subscription`.
    subscriptions: Url,
    account: String,
    api_key: SecretString,
}

/// Of every answer, only what decides: names, addresses and cards come with each and are
/// dropped unread.
#[derive(Deserialize)]
struct Record {
    id: String,
    status: Option<String>,
    #[serde(default, deserialize_with = "words::instant_or_null")]
    next_bill_date: Option<DateTime<Utc>>,
    plan_id: Option<String>,
    gateway_customer_id: Option<String>,
    /// No field of a record: what has it is an envelope.
    data: Option<IgnoredAny>,
}

/// A list gives `{"data": {"items": […]}}`, without a total and without a link to the next.
#[derive(Deserialize)]
struct Page {
    data: Items,
}

#[derive(Deserialize)]
struct Items {
    /// Must be there, if only as null: an answer without it is not an empty list.
    #[serde(deserialize_with = "Option::deserialize")]
    items: Option<Vec<serde_json::Value>>,
}

/// Reading gives `{"data": {…}}`, cancelling the bare object; either is taken of any call.
#[derive(Deserialize)]
#[serde(untagged)]
enum Envelope {
    Data { data: Record },
    Bare(Record),
}

impl Envelope {
    fn open(body: &[u8]) -> Option<Record> {
        match serde_json::from_slice(body).ok()? {
            Self::Data { data } => Some(data),
            // An envelope that cannot be read is not read past.
            Self::Bare(record) => record.data.is_none().then_some(record),
        }
    }
}

impl Revere {
    pub(super) fn connect(setup: &Setup) -> Result<Self, ConnectError> {
        let (
            Auth::Revere {
                group_id,
                linked_account_id,
                ..
            },
            Credentials::RevereKey(api_key),
        ) = (&setup.config.auth, &setup.credentials)
        else {
            return Err(ConnectError {
                why: "these are no credentials of revere".to_owned(),
            });
        };
        let parts = [
            "api",
            "v1",
            "groups",
            group_id,
            "revere_pay",
            linked_account_id,
            "recurring",
            "subscription",
        ];
        Ok(Self {
            transport: ReadTransport::connect(setup)?,
            subscriptions: below(&setup.config.base_url, parts),
            account: format!("{group_id}/{linked_account_id}"),
            api_key: api_key.clone(),
        })
    }

    /// The raw key, without a scheme before it.
    fn headers(&self) -> Result<HeaderMap, String> {
        let mut value = HeaderValue::from_str(self.api_key.expose_secret())
            .map_err(|_| "the key has characters that no header can carry".to_owned())?;
        value.set_sensitive(true);
        Ok(HeaderMap::from_iter([(AUTHORIZATION, value)]))
    }

    /// `GET …/recurring/subscription/{subscription_id}`.
    async fn subscription(&self, id: &SubscriptionId) -> Result<Look, LookError> {
        let headers = self
            .headers()
            .map_err(|why| LookError::Credentials { why })?;
        let url = below(&self.subscriptions, [id.as_str()]);
        let reply = self.transport.get("look", url, headers).await?;
        let look = |observed| Look {
            observed,
            at: reply.began_at,
            server_date: reply.server_date,
        };
        match reply.status {
            200 => {}
            404 => return Ok(look(Observed::NotFound)),
            _ => return Err(read_error(&reply)),
        }
        let Some(record) = Envelope::open(&reply.body) else {
            return Err(unavailable("the subscription cannot be read"));
        };
        let other = !record.id.eq_ignore_ascii_case(id.as_str());
        if planted!(OtherObjectTaken, false, other) {
            return Err(unavailable("the provider answered with another object"));
        }
        match record.subscription(&reply.secrets) {
            Some(subscription) => Ok(look(Observed::Found(subscription))),
            None => Err(unavailable("the subscription has no status")),
        }
    }

    /// `GET …/recurring/subscription?limit=…&offset=…` (DOCS `subscriptions/getAll`). The next
    /// page begins after what came, and the list has ended where nothing came.
    async fn page(&self, offset: u64) -> Result<ListPage, LookError> {
        let headers = self
            .headers()
            .map_err(|why| LookError::Credentials { why })?;
        let mut url = self.subscriptions.clone();
        url.query_pairs_mut()
            .append_pair("limit", PAGE)
            .append_pair("offset", &offset.to_string());
        let reply = self.transport.get("list", url, headers).await?;
        if reply.status != 200 {
            return Err(read_error(&reply));
        }
        let answered: Page = serde_json::from_slice(&reply.body)
            .map_err(|_| unavailable("the list of subscriptions cannot be read"))?;
        let items = answered.data.items.unwrap_or_default();
        let mut page = ListPage::of(&items);
        page.next = (!items.is_empty()).then_some(Cursor::Offset(offset + items.len() as u64));
        for item in items {
            match listed(item, &reply.secrets) {
                Some(listed) => page.entries.push(listed),
                None => page.unreadable += 1,
            }
        }
        Ok(page)
    }
}

impl Record {
    /// What it says; none where it has no status.
    fn subscription(self, secrets: &Secrets) -> Option<Subscription> {
        let status = self.status?;
        let mut facts = BTreeMap::new();
        let customer = self.gateway_customer_id.and_then(words::fact);
        let plan = self.plan_id.and_then(words::fact);
        facts.extend(customer.map(|id| (ExpectField::Customer, id)));
        facts.extend(plan.map(|id| (ExpectField::Plan, id)));
        Some(Subscription {
            life: life(&status, secrets),
            billing: Billing::Recurring,
            facts,
            // Filled in after a cancel too: it does not mean that it will be billed.
            period_end: self.next_bill_date,
            successor: None,
        })
    }
}

/// An item of a list, where it says what it is and has an id that an item of a file can have.
fn listed(item: serde_json::Value, secrets: &Secrets) -> Option<Listed> {
    let record: Record = serde_json::from_value(item).ok()?;
    let id = SubscriptionId::parse(ProviderKind::Revere, &record.id).ok()?;
    let subscription = record.subscription(secrets)?;
    Some(Listed { id, subscription })
}

/// `active` and `canceled` stand in the samples, `failed` (retries spent) on the plans' page;
/// nothing lists them all, so that anything else is unclear.
fn life(status: &str, secrets: &Secrets) -> Life {
    match status.to_ascii_lowercase().as_str() {
        "active" => Life::Active,
        "canceled" | "cancelled" => Life::Ended { at: None },
        "failed" => Life::Lapsing,
        _ => Life::Unclear {
            status: words::masked(status, secrets),
        },
    }
}

impl Reader for Revere {
    fn account(&self) -> BoxFuture<'_, Result<String, LookError>> {
        Box::pin(std::future::ready(Ok(self.account.clone())))
    }

    fn look<'a>(&'a self, id: &'a SubscriptionId) -> BoxFuture<'a, Result<Look, LookError>> {
        Box::pin(self.subscription(id))
    }

    fn list(&self, _: Scope, from: Option<Cursor>) -> BoxFuture<'_, Result<ListPage, LookError>> {
        let offset = match from {
            Some(Cursor::Offset(offset)) => offset,
            _ => 0,
        };
        Box::pin(self.page(offset))
    }

    fn clock_skew(&self) -> Option<i64> {
        self.transport.clock_skew()
    }
}

impl Adapter for Revere {
    /// `PUT …/recurring/subscription/{subscription_id}/cancel` with an optional `reason`, word
    /// for word (DOCS `subscriptions/cancel`).
    fn request<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Result<Request, String>> {
        Box::pin(async move {
            let url = below(&self.subscriptions, [order.id.as_str(), "cancel"]);
            let mut request = Request::new(Method::PUT, url);
            *request.headers_mut() = self.headers()?;
            let reason = match &order.action {
                Action::Cancel { reason, .. } => reason.as_deref(),
                Action::ConfirmCancel => None,
                Action::TurnOffRenewal => {
                    return Err("Revere has no renewal that could be turned off".to_owned());
                }
            };
            let body = match reason {
                Some(reason) => serde_json::json!({ "reason": reason }),
                None => serde_json::json!({}),
            };
            request
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(body.to_string().into());
            Ok(request)
        })
    }

    /// 200, 400 and 500 are documented. 200 carries the subscription, canceled.
    fn meaning(&self, order: &Order, reply: &Reply) -> Answer {
        match reply.status {
            200 => {
                let same = Envelope::open(&reply.body)
                    .is_some_and(|it| it.id.eq_ignore_ascii_case(order.id.as_str()));
                if same {
                    Answer::Accepted
                } else {
                    Answer::Unclear {
                        why: "a success whose body does not name the subscription".to_owned(),
                    }
                }
            }
            400 | 404 | 405 => Answer::Refused {
                status: reply.status,
                words: reply.words(),
            },
            _ => Answer::Unclear {
                why: reply.in_words(),
            },
        }
    }
}
