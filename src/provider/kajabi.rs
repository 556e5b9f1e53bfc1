//! Kajabi's public API: <https://developers.kajabi.com/api-reference/>.
//!
//! A purchase is what is cancelled. `deactivated_at` is the one state that it is sure to show,
//! and Kajabi's *deactivate* sets it too while billing goes on, so that it alone proves
//! nothing: deciding what it means is `plan`'s.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, Request, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::list::{Cursor, ListPage, Listed, Scope};
use super::token::Source;
use super::transport::{ReadTransport, Reply, below, read_error, unavailable};
use super::{Adapter, ConnectError, Credentials, LookError, Order, Reader, Setup, words};
use crate::model::act::{Action, Answer};
use crate::model::ids::SubscriptionId;
use crate::model::observed::{Billing, Life, Look, Observed, Subscription};
use crate::model::provider::{ExpectField, ProviderKind};
use crate::planted::planted;

/// What is asked of a purchase: nothing that names a person. Sparse fields cover relationships
/// too (JSON:API 1.1, "Sparse Fieldsets").
const FIELDS: &str = "deactivated_at,payment_type,customer,offer";

/// Purchases of one page. The largest size is undocumented; up to 100 is used in public code.
const PAGE: &str = "100";

pub(super) struct Kajabi {
    transport: ReadTransport,
    base: Url,
    tokens: Source,
}

/// A JSON:API document, as far as it is read.
#[derive(Deserialize)]
struct Document<A> {
    data: Resource<A>,
}

/// A page of a list (list-purchases).
#[derive(Deserialize)]
struct Page {
    data: Vec<serde_json::Value>,
    #[serde(default)]
    links: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Resource<A> {
    id: String,
    r#type: String,
    attributes: Option<A>,
    #[serde(default)]
    relationships: Relationships,
}

#[derive(Default, Deserialize)]
struct Relationships {
    customer: Option<Relationship>,
    offer: Option<Relationship>,
}

#[derive(Deserialize)]
struct Relationship {
    data: Option<Linked>,
}

#[derive(Deserialize)]
struct Linked {
    id: String,
}

#[derive(Deserialize)]
struct Purchase {
    /// Must be there, if only as null: an answer without it says nothing.
    #[serde(deserialize_with = "words::instant_or_null")]
    deactivated_at: Option<DateTime<Utc>>,
    payment_type: Option<String>,
}

/// Booleans of an offer (`GET /v1/offers/{id}`).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Offer {
    recurring_offer: Option<bool>,
    subscription: Option<bool>,
    one_time: Option<bool>,
    single: Option<bool>,
    free: Option<bool>,
}

#[derive(Deserialize)]
struct Nothing {}

impl Kajabi {
    pub(super) fn connect(setup: &Setup) -> Result<Self, ConnectError> {
        let tokens = match &setup.credentials {
            Credentials::KajabiClient {
                client_id,
                client_secret,
            } => Source::Client {
                client_id: client_id.clone(),
                client_secret: client_secret.clone(),
                kept: Mutex::new(None),
            },
            Credentials::KajabiToken(token) => Source::Given(token.clone()),
            Credentials::RevereKey(_) | Credentials::LotusKey(_) | Credentials::LotusToken(_) => {
                return Err(ConnectError {
                    why: "these are no credentials of kajabi".to_owned(),
                });
            }
        };
        Ok(Self {
            transport: ReadTransport::connect(setup)?,
            base: setup.config.base_url.clone(),
            tokens,
        })
    }

    /// Reads, with a new token once after a 401.
    async fn get(&self, operation: &'static str, url: Url) -> Result<Reply, LookError> {
        let token = self.tokens.token(&self.transport, &self.base).await?;
        let reply = self
            .transport
            .get(operation, url.clone(), bearer(&token)?)
            .await?;
        if reply.status != 401 || !self.tokens.refused(&token).await {
            return Ok(reply);
        }
        let token = self.tokens.token(&self.transport, &self.base).await?;
        self.transport.get(operation, url, bearer(&token)?).await
    }

    /// `GET /v1/purchases/{id}`.
    async fn purchase(&self, id: &SubscriptionId) -> Result<Look, LookError> {
        let mut url = below(&self.base, ["v1", "purchases", id.as_str()]);
        url.query_pairs_mut()
            .append_pair("fields[purchases]", FIELDS);
        let reply = self.get("look", url).await?;
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
        let purchase: Document<Purchase> = serde_json::from_slice(&reply.body)
            .map_err(|_| unavailable("the purchase cannot be read"))?;
        let purchase = purchase.data;
        let other = purchase.id != id.as_str() || purchase.r#type != "purchases";
        if planted!(OtherObjectTaken, false, other) {
            return Err(unavailable("the provider answered with another object"));
        }
        let subscription = self.subscription(purchase, &mut BTreeMap::new()).await?;
        Ok(look(Observed::Found(subscription)))
    }

    /// What a purchase says. The offers that were asked for it are kept for the next one.
    async fn subscription(
        &self,
        purchase: Resource<Purchase>,
        offers: &mut BTreeMap<String, Billing>,
    ) -> Result<Subscription, LookError> {
        let Some(attributes) = purchase.attributes else {
            return Err(unavailable("the purchase has no attributes"));
        };
        let linked = |it: Option<Relationship>| it.and_then(|it| it.data).map(|data| data.id);
        let customer = linked(purchase.relationships.customer);
        let offer = linked(purchase.relationships.offer);
        let payment_type = attributes.payment_type.as_deref();
        let billing = match attributes.deactivated_at {
            // What is over needs no second request.
            Some(_) => billing(payment_type).unwrap_or(Billing::Unclear),
            None => self.billing(payment_type, offer.as_deref(), offers).await?,
        };
        let mut facts = BTreeMap::new();
        let fact = |id: Option<String>| id.and_then(words::fact);
        facts.extend(fact(customer).map(|id| (ExpectField::Customer, id)));
        facts.extend(fact(offer).map(|id| (ExpectField::Offer, id)));
        Ok(Subscription {
            life: match attributes.deactivated_at {
                Some(at) => Life::Ended { at: Some(at) },
                None => Life::Active,
            },
            billing,
            facts,
            period_end: None,
            successor: None,
        })
    }

    /// `GET /v1/purchases`, oldest first, so that what is bought meanwhile comes last
    /// (<https://developers.kajabi.com/api-reference/purchases/list-purchases>). Pages are
    /// counted: `links.next` stands in the example and not in the schema. Where it is null, or
    /// a page is empty, the list has ended.
    async fn purchases(&self, number: u64) -> Result<ListPage, LookError> {
        let mut url = below(&self.base, ["v1", "purchases"]);
        url.query_pairs_mut()
            .append_pair("page[number]", &number.to_string())
            .append_pair("page[size]", PAGE)
            .append_pair("sort", "created_at")
            .append_pair("fields[purchases]", FIELDS);
        let reply = self.get("list", url).await?;
        if reply.status != 200 {
            return Err(read_error(&reply));
        }
        let answered: Page = serde_json::from_slice(&reply.body)
            .map_err(|_| unavailable("the list of purchases cannot be read"))?;
        let ended = answered.data.is_empty()
            || answered
                .links
                .get("next")
                .is_some_and(serde_json::Value::is_null);
        let mut page = ListPage::of(&answered.data);
        let mut offers = BTreeMap::new();
        for purchase in answered.data {
            let Some((id, purchase)) = listed(purchase) else {
                page.unreadable += 1;
                continue;
            };
            let subscription = self.subscription(purchase, &mut offers).await?;
            page.entries.push(Listed { id, subscription });
        }
        page.next = (!ended).then_some(Cursor::Page(number + 1));
        Ok(page)
    }

    /// What kind of obligation a living purchase is. `payment_type` is not enumerated by any
    /// document; where it is none of the values that were seen, the offer says it.
    async fn billing(
        &self,
        payment_type: Option<&str>,
        offer: Option<&str>,
        offers: &mut BTreeMap<String, Billing>,
    ) -> Result<Billing, LookError> {
        if let Some(known) = billing(payment_type) {
            return Ok(known);
        }
        let Some(offer) = offer else {
            return Ok(Billing::Unclear);
        };
        if let Some(known) = offers.get(offer) {
            return Ok(*known);
        }
        let asked = self.offer(offer).await?;
        offers.insert(offer.to_owned(), asked);
        Ok(asked)
    }

    /// `GET /v1/offers/{id}`.
    async fn offer(&self, offer: &str) -> Result<Billing, LookError> {
        let reply = self
            .get("look", below(&self.base, ["v1", "offers", offer]))
            .await?;
        match reply.status {
            200 => {}
            404 => return Ok(Billing::Unclear),
            _ => return Err(read_error(&reply)),
        }
        let answered: Document<Offer> = serde_json::from_slice(&reply.body)
            .map_err(|_| unavailable("the offer cannot be read"))?;
        if answered.data.id != offer || answered.data.r#type != "offers" {
            return Err(unavailable("the provider answered with another object"));
        }
        let offer = answered.data.attributes.unwrap_or_default();
        let is = |flag: Option<bool>| flag == Some(true);
        Ok(if is(offer.subscription) || is(offer.recurring_offer) {
            Billing::Recurring
        } else if is(offer.one_time) || is(offer.single) || is(offer.free) {
            Billing::OneTime
        } else {
            Billing::Unclear
        })
    }

    /// `GET /v1/me`.
    async fn me(&self) -> Result<String, LookError> {
        let reply = self.get("account", below(&self.base, ["v1", "me"])).await?;
        if reply.status != 200 {
            return Err(read_error(&reply));
        }
        let me: Document<Nothing> = serde_json::from_slice(&reply.body)
            .map_err(|_| unavailable("the answer to `GET /v1/me` cannot be read"))?;
        words::fact(me.data.id)
            .ok_or_else(|| unavailable("the answer to `GET /v1/me` names no account"))
    }
}

/// An entry of a list, where it is a purchase with an id that an item can have.
fn listed(entry: serde_json::Value) -> Option<(SubscriptionId, Resource<Purchase>)> {
    let purchase: Resource<Purchase> = serde_json::from_value(entry).ok()?;
    let whole = purchase.r#type == "purchases" && purchase.attributes.is_some();
    let id = SubscriptionId::parse(ProviderKind::Kajabi, &purchase.id).ok()?;
    whole.then_some((id, purchase))
}

/// The values of `payment_type` that were seen: in the documents' samples `subscription`,
/// `single` and `free`, in public code `multipay`.
fn billing(payment_type: Option<&str>) -> Option<Billing> {
    match payment_type? {
        "subscription" | "recurring" => Some(Billing::Recurring),
        "multipay" | "payment_plan" => Some(Billing::PaymentPlan),
        "single" | "one_time" | "free" => Some(Billing::OneTime),
        _ => None,
    }
}

fn bearer(token: &SecretString) -> Result<HeaderMap, LookError> {
    let mut value =
        HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).map_err(|_| {
            LookError::Credentials {
                why: "the token has characters that no header can carry".to_owned(),
            }
        })?;
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(AUTHORIZATION, value)]))
}

impl Reader for Kajabi {
    fn account(&self) -> BoxFuture<'_, Result<String, LookError>> {
        Box::pin(self.me())
    }

    fn look<'a>(&'a self, id: &'a SubscriptionId) -> BoxFuture<'a, Result<Look, LookError>> {
        Box::pin(self.purchase(id))
    }

    fn list(&self, _: Scope, from: Option<Cursor>) -> BoxFuture<'_, Result<ListPage, LookError>> {
        let number = match from {
            Some(Cursor::Page(number)) => number,
            _ => 1,
        };
        Box::pin(self.purchases(number))
    }

    fn clock_skew(&self) -> Option<i64> {
        self.transport.clock_skew()
    }
}

impl Adapter for Kajabi {
    /// `POST /v1/purchases/{id}/cancel_subscription`: no body, no query
    /// (<https://developers.kajabi.com/api-reference/purchases/cancel-subscription>). The
    /// confirming cancel is the same request.
    fn request<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Result<Request, String>> {
        Box::pin(async move {
            if order.action == Action::TurnOffRenewal {
                return Err("Kajabi has no renewal that could be turned off".to_owned());
            }
            let token = self
                .tokens
                .token(&self.transport, &self.base)
                .await
                .map_err(|error| error.to_string())?;
            let parts = ["v1", "purchases", order.id.as_str(), "cancel_subscription"];
            let mut request = Request::new(Method::POST, below(&self.base, parts));
            *request.headers_mut() = bearer(&token).map_err(|error| error.to_string())?;
            // What has no body says so, or some servers wait for one (RFC 9110, 8.6).
            request.headers_mut().insert(
                reqwest::header::CONTENT_LENGTH,
                HeaderValue::from_static("0"),
            );
            Ok(request)
        })
    }

    /// 200 with the purchase; 404, and 422 "validation errors in cancelling subscription", are
    /// refusals. Nothing else is documented.
    fn meaning(&self, order: &Order, reply: &Reply) -> Answer {
        match reply.status {
            200 => {
                let same =
                    serde_json::from_slice::<Document<Nothing>>(&reply.body).is_ok_and(|it| {
                        it.data.id == order.id.as_str() && it.data.r#type == "purchases"
                    });
                if same {
                    Answer::Accepted
                } else {
                    Answer::Unclear {
                        why: "a success whose body does not name the purchase".to_owned(),
                    }
                }
            }
            400 | 404 | 422 => Answer::Refused {
                status: reply.status,
                words: reply.words(),
            },
            _ => Answer::Unclear {
                why: reply.in_words(),
            },
        }
    }

    fn unauthorized(&self) {
        self.tokens.forget();
    }
}
