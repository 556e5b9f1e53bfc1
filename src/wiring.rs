//! Builds what the configuration names; only this room names concrete adapters.
//!
//! Secrets are found here, from the environment that the command line hands in and from the
//! files that the configuration names, and go straight into the adapters.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::clock::Clock;
use crate::config::{Auth, KajabiAuth, LotusAuth, ProviderConfig, SecretRef};
use crate::provider::transport::Throttle;
use crate::provider::{Credentials, Meter, Reader, Setup};

/// The process environment, read once by the command line.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// The variables.
    pub variables: BTreeMap<String, String>,
    /// The main file's folder: relative secret files are found from here.
    pub folder: PathBuf,
}

/// A secret that is not there: what was asked for, never its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct SecretMissing {
    /// In words.
    pub why: String,
}

impl Environment {
    /// Finds a secret.
    ///
    /// # Errors
    /// The variable is not set or empty, the file cannot be read or is empty.
    pub fn find(&self, secret: &SecretRef) -> Result<SecretString, SecretMissing> {
        let missing = |why| SecretMissing { why };
        match secret {
            SecretRef::Value(value) => Ok(value.clone()),
            SecretRef::Env(name) => self
                .variables
                .get(name)
                .filter(|value| !value.is_empty())
                .map(|value| value.clone().into())
                .ok_or_else(|| missing(format!("the environment variable {name} is not set"))),
            SecretRef::File(path) => {
                let bytes = self.read(path)?;
                let text = String::from_utf8(bytes).map_err(|_| {
                    missing(format!("the secret file {} is not text", path.display()))
                })?;
                let text = text.strip_suffix('\n').unwrap_or(&text);
                let text = text.strip_suffix('\r').unwrap_or(text);
                if text.is_empty() {
                    return Err(missing(format!(
                        "the secret file {} is empty",
                        path.display()
                    )));
                }
                Ok(text.to_owned().into())
            }
        }
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, SecretMissing> {
        std::fs::read(self.folder.join(path)).map_err(|error| SecretMissing {
            why: format!("the secret file {} cannot be read: {error}", path.display()),
        })
    }

    /// Finds everything that a provider's adapter needs.
    ///
    /// # Errors
    /// The first secret that is not there.
    pub fn setup(
        &self,
        config: &ProviderConfig,
        clock: Arc<dyn Clock>,
        meter: Arc<dyn Meter>,
        throttle: Arc<Throttle>,
    ) -> Result<Setup, SecretMissing> {
        let credentials = match &config.auth {
            Auth::Kajabi(KajabiAuth::Client {
                client_id,
                client_secret,
            }) => Credentials::KajabiClient {
                client_id: self.find(client_id)?,
                client_secret: self.find(client_secret)?,
            },
            Auth::Kajabi(KajabiAuth::Token(token)) => Credentials::KajabiToken(self.find(token)?),
            Auth::Revere { api_key, .. } => Credentials::RevereKey(self.find(api_key)?),
            Auth::Lotus { auth, .. } => match auth {
                LotusAuth::ApiKey(key) => Credentials::LotusKey(self.find(key)?),
                LotusAuth::Token(token) => Credentials::LotusToken(self.find(token)?),
            },
        };
        let ca_pem = match &config.ca {
            None => None,
            Some(SecretRef::File(path)) => Some(self.read(path)?),
            Some(other) => {
                use secrecy::ExposeSecret as _;
                Some(self.find(other)?.expose_secret().as_bytes().to_vec())
            }
        };
        Ok(Setup {
            config: config.clone(),
            credentials,
            ca_pem,
            clock,
            meter,
            throttle,
        })
    }
}

/// A meter that counts nothing: for commands that end at once.
#[derive(Debug)]
pub struct NoMeter;

impl Meter for NoMeter {
    fn request(&self, _: &'static str, _: &'static str, _: Duration) {}
    fn waited(&self, _: Duration) {}
    fn blocked_write(&self) {}
}

/// The read half of a provider, for a preview, which has no means to write.
///
/// # Errors
/// A secret is missing, or the adapter cannot be built; in words for a person.
pub fn preview(
    config: &ProviderConfig,
    environment: &Environment,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn Reader>, String> {
    let throttle = Arc::new(Throttle::new(config.rate_limit, config.concurrency));
    let setup = environment
        .setup(config, clock, Arc::new(NoMeter), throttle)
        .map_err(|missing| missing.to_string())?;
    crate::provider::reader(&setup).map_err(|error| error.to_string())
}
