//! Tells a webhook: one signed CloudEvent a request.
//!
//! The envelope is CloudEvents 1.0 in its JSON format, structured mode
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>); the
//! signature is that of Standard Webhooks
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>), so
//! that libraries of many languages verify it. A try may have been taken although no answer came:
//! whoever is told knows the same thing by its `webhook-id`.

use std::sync::Once;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::model::notice::Notice;

/// For one whole request: an on-call service answers within a second or two.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What the secrets of Standard Webhooks begin with; base64 follows.
const ENCODED: &str = "whsec_";

/// Sends messages. Nothing is taken from the environment, and no redirect is followed.
#[derive(Clone, Debug)]
pub struct Sender {
    client: Client,
}

impl Sender {
    /// Builds it.
    ///
    /// # Errors
    /// The system has no certificates, or no client can be built.
    pub fn new() -> Result<Self, String> {
        static TLS: Once = Once::new();
        TLS.call_once(|| {
            // Fails only where one is installed already, which then serves as well.
            drop(rustls::crypto::ring::default_provider().install_default());
        });
        let client = Client::builder()
            .user_agent(concat!("lapsed/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .connect_timeout(TIMEOUT)
            .timeout(TIMEOUT)
            .build();
        match client {
            Ok(client) => Ok(Self { client }),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Tells one notice of the ledger `ledger_id`.
    ///
    /// # Errors
    /// It was not taken, or nobody knows, in words without the address.
    pub async fn tell(
        &self,
        url: Url,
        secret: &SecretString,
        ledger_id: &str,
        notice: &Notice,
        now: DateTime<Utc>,
    ) -> Result<(), String> {
        let body =
            serde_json::to_string(&event(ledger_id, notice)).map_err(|error| error.to_string())?;
        let seconds = now.timestamp();
        let request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/cloudevents+json; charset=utf-8")
            .header("webhook-id", &notice.id)
            .header("webhook-timestamp", seconds)
            .header(
                "webhook-signature",
                sign(secret, &notice.id, seconds, &body),
            )
            .body(body);
        taken(request).await
    }

    /// Tells whoever watches over us that all is well.
    ///
    /// # Errors
    /// As [`Sender::tell`].
    pub async fn beat(&self, url: Url, body: &Value) -> Result<(), String> {
        taken(self.client.post(url).json(body)).await
    }
}

async fn taken(request: reqwest::RequestBuilder) -> Result<(), String> {
    let answer = request.send().await.map_err(|error| {
        let what = match error.is_timeout() {
            true => "no answer in time",
            false if error.is_connect() => "no connection",
            false => "no clear answer",
        };
        what.to_owned()
    })?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        StatusCode::GONE => Err("it answers 410 (gone): take it out of the file".to_owned()),
        status => Err(format!("it answers {}", status.as_u16())),
    }
}

/// A notice as a CloudEvent.
fn event(ledger_id: &str, notice: &Notice) -> Value {
    let mut data = notice.facts.clone();
    data["text"] = notice.text.clone().into();
    let mut event = json!({
        "specversion": "1.0",
        "id": notice.id,
        "source": format!("urn:lapsed:{ledger_id}"),
        "type": format!("lapsed.{}", notice.kind),
        "time": notice.at.to_rfc3339_opts(SecondsFormat::Secs, true),
        "datacontenttype": "application/json",
    });
    if let Some(key) = &notice.about {
        event["subject"] = format!("{}/{}", key.provider, key.id).into();
        data["again"] = key.again.into();
    }
    event["data"] = data;
    event
}

/// The signature of a message, over its id, the time and its body.
fn sign(secret: &SecretString, id: &str, seconds: i64, body: &str) -> String {
    let text = secret.expose_secret();
    let encoded = text.strip_prefix(ENCODED);
    let decoded = encoded.and_then(|it| STANDARD.decode(it).ok());
    let key = decoded.unwrap_or_else(|| text.as_bytes().to_vec());
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Standard Webhooks' reference implementations.
    #[test]
    fn a_signature_is_that_of_standard_webhooks() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned().into();
        let signature = sign(
            &secret,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_of_another_form_is_taken_as_it_stands() {
        let of = |secret: &str| sign(&secret.to_owned().into(), "id", 0, "{}");
        assert_ne!(of("whsec_no base64"), of("no base64"));
    }
}
