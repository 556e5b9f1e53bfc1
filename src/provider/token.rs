//! Kajabi's tokens: asked for once at a time, renewed before their end, dropped after a 401.
//!
//! <https://developers.kajabi.com/api-reference/authentication/get-access-token>: a form with
//! `grant_type=client_credentials`, `client_id` and `client_secret` and nothing else; 200
//! gives `access_token` and `expires_in` in seconds, a number that no document names.

use std::time::Duration;

use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::LookError;
use super::transport::{ReadTransport, below, unavailable};

/// No token is used for longer, whatever its answer says.
const LONGEST_LIFE: Duration = Duration::from_secs(2 * 60 * 60);

/// How long a token is used whose answer does not say.
const UNKNOWN_LIFE: Duration = Duration::from_secs(10 * 60);

/// Where tokens come from.
pub(super) enum Source {
    /// A ready token, which is not renewed.
    Given(SecretString),
    /// Asked for with client credentials.
    Client {
        client_id: SecretString,
        client_secret: SecretString,
        kept: Mutex<Option<Kept>>,
    },
}

/// A token, and until when it is used by the boot-time clock.
pub(super) struct Kept {
    token: SecretString,
    until: Duration,
}

#[derive(Deserialize)]
struct Granted {
    #[serde(deserialize_with = "secret")]
    access_token: SecretString,
    expires_in: Option<serde_json::Number>,
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    String::deserialize(deserializer).map(SecretString::from)
}

impl Source {
    /// The token to use now. Whoever comes while one is being asked for waits for that one.
    pub(super) async fn token(
        &self,
        transport: &ReadTransport,
        base: &Url,
    ) -> Result<SecretString, LookError> {
        let Self::Client {
            client_id,
            client_secret,
            kept,
        } = self
        else {
            let Self::Given(token) = self else {
                return Err(unavailable("no token"));
            };
            return Ok(token.clone());
        };
        let mut kept = kept.lock().await;
        let now = transport.clock().since_boot();
        if let Some(kept) = kept.as_ref().filter(|kept| now < kept.until) {
            return Ok(kept.token.clone());
        }
        let granted = ask(transport, base, client_id, client_secret).await?;
        let life = granted
            .expires_in
            .and_then(|seconds| seconds.as_f64())
            .filter(|seconds| seconds.is_finite() && *seconds > 0.0)
            .map_or(UNKNOWN_LIFE, |seconds| {
                Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_LIFE)
            })
            .min(LONGEST_LIFE);
        *kept = Some(Kept {
            token: granted.access_token.clone(),
            until: now + life.mul_f64(0.9),
        });
        Ok(granted.access_token)
    }

    /// Forgets a token that was not accepted, unless a newer one is kept already. Gives
    /// whether another one can be had.
    pub(super) async fn refused(&self, token: &SecretString) -> bool {
        let Self::Client { kept, .. } = self else {
            return false;
        };
        let mut kept = kept.lock().await;
        let same = kept
            .as_ref()
            .is_some_and(|kept| kept.token.expose_secret() == token.expose_secret());
        if same {
            *kept = None;
        }
        true
    }

    /// Forgets whatever is kept, without waiting for whoever asks for one just now.
    pub(super) fn forget(&self) {
        if let Self::Client { kept, .. } = self
            && let Ok(mut kept) = kept.try_lock()
        {
            *kept = None;
        }
    }
}

async fn ask(
    transport: &ReadTransport,
    base: &Url,
    client_id: &SecretString,
    client_secret: &SecretString,
) -> Result<Granted, LookError> {
    let url = below(base, ["v1", "oauth", "token"]);
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", client_id.expose_secret()),
        ("client_secret", client_secret.expose_secret()),
    ];
    let reply = transport.token(url, &form).await?;
    match reply.status {
        200 => serde_json::from_slice(&reply.body)
            .map_err(|_| unavailable("the answer to the token request cannot be read")),
        400 | 401 | 403 => Err(LookError::Credentials {
            why: format!(
                "the token request was answered {} ({})",
                reply.status,
                reply.words()
            ),
        }),
        _ => Err(unavailable(format!(
            "the token request: {}",
            reply.in_words()
        ))),
    }
}
