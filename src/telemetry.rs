//! Sets up the logs: to stderr, as text or as one JSON object a line.
//!
//! A log that nobody reads any more must never stop the work, so that writing it cannot fail;
//! and what comes from outside must not steer a terminal, so that control characters are
//! escaped (by `tracing-subscriber`, held by a test).

use std::io::{self, IsTerminal as _, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line, times in UTC.
    Json,
}

/// What is logged where nothing else is asked for: ours from `info` on, others' from `warn` on.
const DEFAULT_FILTER: &str = "warn,lapsed=info";

/// How to log.
#[derive(Clone, Debug)]
pub struct Options {
    /// What a line looks like.
    pub format: LogFormat,
    /// A level for what is ours, such as `debug`.
    pub level: Option<String>,
    /// The value of `RUST_LOG`, which the level goes before.
    pub filter: Option<String>,
    /// Whether colour is refused (`NO_COLOR`).
    pub plain: bool,
}

/// Begins to log, once per process, and has panics logged too.
///
/// # Errors
/// A filter that is none, in words; or logging has begun already.
pub fn start(options: &Options) -> Result<(), String> {
    let directives = match (&options.level, &options.filter) {
        (Some(level), _) => format!("warn,lapsed={level}"),
        (None, Some(filter)) if !filter.trim().is_empty() => filter.clone(),
        _ => DEFAULT_FILTER.to_owned(),
    };
    let filter = EnvFilter::try_new(&directives).map_err(|error| {
        format!("{directives:?} is no log filter: {error}; allowed: error, warn, info, debug, trace, or directives such as `lapsed=debug`")
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_writer(Stderr);
    let begun = match options.format {
        LogFormat::Text => builder
            .with_ansi(!options.plain && io::stderr().is_terminal())
            .try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    begun.map_err(|error| error.to_string())?;
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(panic = %panic, "a fault in lapsed itself; please report it");
    }));
    Ok(())
}

/// Standard error, whose failures are nobody's: the pipe may be closed.
#[derive(Clone, Copy, Debug)]
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A line is handed over whole; half of one would be worse than none.
        let _ = io::stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Stderr {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        *self
    }
}
