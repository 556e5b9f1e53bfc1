//! What every command works with: where the file and the ledger are, the environment, the
//! clock, and how to print.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};

use super::{Global, output};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, LedgerLocation, ProviderConfig};
use crate::desired::{self, FileText, Input, Manifest, Problem};
use crate::ledger::sqlite::{OpenAs, SqliteLedger};
use crate::ledger::{Ledger, LedgerError};
use crate::model::memory::Age;
use crate::provider::Way;
use crate::reconcile::accept;
use crate::source::{self, Includes, Options, Text};
use crate::telemetry;
use crate::wiring::Environment;

/// The file is not valid.
#[derive(Debug, thiserror::Error)]
#[error("{}", output::problems(.problems, .texts))]
pub(super) struct Invalid {
    pub problems: Vec<Problem>,
    /// The lines of the files, for showing them.
    pub texts: BTreeMap<String, Vec<String>>,
}

/// What every command works with.
pub(super) struct Context {
    config: Option<PathBuf>,
    ledger: Option<String>,
    variables: BTreeMap<String, String>,
    clock: Arc<dyn Clock>,
}

impl Context {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    pub(super) fn new(global: &Global) -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self {
            config: global.config.clone(),
            ledger: global.ledger.clone(),
            variables,
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// The same, over another file and ledger.
    pub(super) fn over(&self, config: PathBuf, ledger: &Path) -> Self {
        Self {
            config: Some(config),
            ledger: Some(format!("sqlite:{}", ledger.display())),
            variables: self.variables.clone(),
            clock: Arc::clone(&self.clock),
        }
    }

    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// Whether colour is refused.
    pub(super) fn plain(&self) -> bool {
        self.variable("NO_COLOR").is_some()
    }

    /// Prints a result for a person. Whoever closed the pipe has seen enough.
    pub(super) fn print(&self, text: &str) {
        self.print_exactly(&telemetry::for_people(text));
    }

    /// The same with states in colour, on a terminal that has any: the word says it all, and the colour
    /// only helps to find it.
    pub(super) fn print_states(&self, text: &str) {
        let text = telemetry::for_people(text);
        match self.paints() {
            true => self.print_exactly(&output::painted(&text)),
            false => self.print_exactly(&text),
        }
    }

    /// Prints a result in the place of the one before, on a terminal: each line over the old one, so
    /// that nothing flickers.
    pub(super) fn print_over(&self, text: &str) {
        if !std::io::stdout().is_terminal() {
            return self.print(&format!("{text}\n"));
        }
        let text = telemetry::for_people(text);
        let text = match self.paints() {
            true => output::painted(&text),
            false => text,
        };
        let lines = text.replace('\n', "\x1b[K\n");
        self.print_exactly(&format!("\x1b[H{lines}\x1b[J"));
    }

    fn paints(&self) -> bool {
        std::io::stdout().is_terminal() && !self.plain()
    }

    /// Prints a result for a program.
    pub(super) fn print_json(&self, text: &str) {
        self.print_exactly(&telemetry::json_for_people(text));
    }

    /// Prints a result of which every byte counts.
    pub(super) fn print_exactly(&self, text: &str) {
        let _ = self.printed(text);
    }

    /// Prints a part of a result, and gives whether anybody still reads.
    pub(super) fn printed(&self, text: &str) -> bool {
        let mut stdout = std::io::stdout().lock();
        let written = stdout.write_all(text.as_bytes());
        written.and_then(|()| stdout.flush()).is_ok()
    }

    /// Says something beside the result.
    pub(super) fn say(&self, text: &str) {
        let _ = writeln!(std::io::stderr(), "{}", telemetry::for_people(text));
    }

    pub(super) fn complain(&self, text: &str) {
        self.say(&format!("error: {text}"));
    }

    /// The main file.
    pub(super) fn main_file(&self) -> PathBuf {
        match &self.config {
            Some(path) if path.is_dir() => path.join("lapsed.yaml"),
            Some(path) => path.clone(),
            None => ["lapsed.yaml", "config/lapsed.yaml"]
                .into_iter()
                .map(PathBuf::from)
                .find(|path| path.exists())
                .unwrap_or_else(|| PathBuf::from("lapsed.yaml")),
        }
    }

    /// The environment for secrets; relative secret files are found from the main file's
    /// folder.
    pub(super) fn environment(&self) -> Environment {
        Environment {
            variables: self.variables.clone(),
            folder: self
                .main_file()
                .parent()
                .map(Path::to_owned)
                .unwrap_or_default(),
            way: Way::Network,
        }
    }

    /// Reads the files as they now are.
    pub(super) fn read_text(&self) -> anyhow::Result<Text> {
        self.read_text_of(None)
    }

    /// The same, of a commit where no checkout tells it.
    pub(super) fn read_text_of(&self, commit: Option<String>) -> anyhow::Result<Text> {
        Ok(source::read_once(
            &self.main_file(),
            &includes(),
            &Options {
                commit,
                ..Options::default()
            },
        )?)
    }

    /// Reads and validates the files.
    ///
    /// # Errors
    /// They cannot be read, or are [`Invalid`].
    pub(super) fn read(&self) -> anyhow::Result<(Text, Manifest)> {
        let text = self.read_text()?;
        let manifest = self.judge(&text)?;
        Ok((text, manifest))
    }

    /// Validates what was read. Problems name the files as they can be opened from here.
    pub(super) fn judge(&self, text: &Text) -> Result<Manifest, Invalid> {
        let names: Vec<String> = text
            .files
            .iter()
            .map(|file| self.shown(&file.name))
            .collect();
        let input = Input {
            files: text
                .files
                .iter()
                .zip(&names)
                .map(|(file, name)| FileText {
                    name,
                    bytes: &file.bytes,
                })
                .collect(),
            unmatched: text.unmatched.clone(),
            outside: outside(text),
        };
        desired::read(&input).map_err(|problems| {
            let broken = |name: &String| problems.iter().any(|it| it.file == *name);
            let texts = text
                .files
                .iter()
                .zip(&names)
                .filter(|(_, name)| broken(name))
                .map(|(file, name)| (name.clone(), output::lines_at(&file.bytes, name, &problems)))
                .collect();
            Invalid { problems, texts }
        })
    }

    /// A file's name as it can be opened from the current folder.
    pub(super) fn shown(&self, name: &str) -> String {
        match self.main_file().parent() {
            Some(folder) if folder != Path::new("") && folder != Path::new(".") => {
                folder.join(name).display().to_string()
            }
            _ => name.to_owned(),
        }
    }

    /// Where the ledger is: what was asked for, what the file says (also one that is not valid),
    /// else the usual place.
    pub(super) fn ledger_path(&self, config: Option<&Config>) -> anyhow::Result<PathBuf> {
        if let Some(text) = &self.ledger {
            return asked_for(text);
        }
        let named = match config {
            Some(config) => config.ledger.clone(),
            None => std::fs::read(self.main_file())
                .ok()
                .and_then(|bytes| desired::named_ledger(&bytes)),
        };
        match named {
            Some(LedgerLocation::Sqlite(path)) => Ok(path),
            Some(LedgerLocation::Postgres(_)) => Err(no_postgres()),
            None => Ok(self.usual_ledger()),
        }
    }

    fn usual_ledger(&self) -> PathBuf {
        if let Some(folder) = self.variable("STATE_DIRECTORY") {
            // systemd names several, separated by colons.
            let first = folder.split(':').next().unwrap_or(folder);
            return Path::new(first).join("lapsed.db");
        }
        let state = match (self.variable("XDG_STATE_HOME"), self.variable("HOME")) {
            (Some(state), _) => PathBuf::from(state),
            (None, Some(home)) => Path::new(home).join(".local/state"),
            (None, None) => PathBuf::from("."),
        };
        state.join("lapsed/lapsed.db")
    }

    /// Opens the ledger beside a daemon; none where there is none yet.
    pub(super) fn guest(&self, config: Option<&Config>) -> anyhow::Result<Option<SqliteLedger>> {
        let path = self.ledger_path(config)?;
        match SqliteLedger::open(&path, OpenAs::Guest) {
            Ok(ledger) => Ok(Some(ledger)),
            Err(LedgerError::Missing { .. }) => Ok(None),
            Err(LedgerError::Unfit { .. }) if !path.exists() => Ok(None),
            Err(other) => Err(other.into()),
        }
    }

    /// Opens the ledger for a command that needs one, with the configuration in force: the
    /// accepted one, else that of a valid file.
    pub(super) async fn standing(&self) -> anyhow::Result<(SqliteLedger, Option<Arc<Config>>)> {
        // No item is read for it: there may be a million.
        let path = self.ledger_path(None)?;
        let ledger = self.guest(None)?.ok_or_else(|| {
            anyhow!("there is no ledger at {} yet; `lapsed run` makes it (or name another with --ledger)", path.display())
        })?;
        let accepted = accepted(&ledger).await?;
        let config = accepted.or_else(|| self.read().ok().map(|(_, manifest)| manifest.config));
        Ok((ledger, config.map(Arc::new)))
    }

    /// What is wrong with the newest text; nothing where it is the accepted one.
    pub(super) async fn unfit(
        &self,
        ledger: &SqliteLedger,
    ) -> anyhow::Result<Option<anyhow::Error>> {
        let accepted = ledger.revision_head().await?.map(|it| it.digest);
        let text = match self.read_text() {
            Ok(text) => text,
            Err(error) => return Ok(Some(error)),
        };
        if accepted.as_ref() == Some(&text.revision) {
            return Ok(None);
        }
        Ok(self.judge(&text).err().map(anyhow::Error::from))
    }

    /// Why a provider's credentials must not be used from here, if they must not: the ledger
    /// knows where they may go, and the file that is read may be anybody's. Where there is no
    /// ledger with a revision, nothing is known yet.
    pub(super) async fn forbids(
        &self,
        ledger: Option<&SqliteLedger>,
        provider: &ProviderConfig,
    ) -> anyhow::Result<Option<String>> {
        let Some(ledger) = ledger else {
            return Ok(None);
        };
        if ledger.current().await?.is_none() {
            return Ok(None);
        }
        let Some(destination) = self.environment().destination(provider) else {
            // What cannot be read is told by whoever needs it.
            return Ok(None);
        };
        let memory = ledger.provider(provider.name.clone()).await?;
        let allowed = memory.allows(&destination, provider.kind(), Age::Later);
        Ok((!allowed).then(|| destination.refusal(&provider.name)))
    }

    /// Who asks: `--by`, else the user's name.
    pub(super) fn by(&self, by: Option<&String>) -> String {
        by.cloned()
            .or_else(|| self.variable("USER").map(str::to_owned))
            .or_else(|| self.variable("LOGNAME").map(str::to_owned))
            .unwrap_or_else(|| "somebody at the command line".to_owned())
    }
}

/// How to run, by the accepted revision of a ledger.
pub(super) async fn accepted(ledger: &SqliteLedger) -> anyhow::Result<Option<Config>> {
    let current = ledger.current().await?;
    let manifest = current.and_then(|revision| accept::read_kept_settings(&revision.files).ok());
    Ok(manifest.map(|it| it.config))
}

/// What leads outside, as pairs.
pub(super) fn outside(text: &Text) -> Vec<(String, String)> {
    text.outside
        .iter()
        .map(|it| (it.pattern.clone(), it.leads_to.clone()))
        .collect()
}

/// Finds include patterns.
pub(super) fn includes() -> Includes {
    Arc::new(desired::includes)
}

fn asked_for(text: &str) -> anyhow::Result<PathBuf> {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Err(no_postgres());
    }
    let path = text.strip_prefix("sqlite:").unwrap_or(text);
    if path.is_empty() {
        bail!("--ledger is empty; allowed: sqlite:PATH");
    }
    Ok(path.into())
}

fn no_postgres() -> anyhow::Error {
    anyhow!("a PostgreSQL ledger is not supported by this version; allowed: sqlite:PATH")
}

/// Makes the folder of a ledger at the usual place, which nobody else made.
pub(super) fn make_folder(path: &Path) -> anyhow::Result<()> {
    let Some(folder) = path.parent().filter(|folder| *folder != Path::new("")) else {
        return Ok(());
    };
    std::fs::create_dir_all(folder)
        .with_context(|| format!("the ledger's folder {} cannot be made", folder.display()))
}
