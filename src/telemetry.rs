//! Sets up logs: text or JSON, a line each, to stderr.
//!
//! A log must never be the reason that the daemon stops: what cannot be written is dropped, also
//! where its reader has stopped reading, and a panic becomes a line like any other. It must not be
//! a way to forge a line or to steer a terminal either, because it shows what files and providers
//! say.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tracing::field::Field;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber, error};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::{self, Writer};
use tracing_subscriber::fmt::{MakeWriter, SubscriberBuilder};

/// What is logged, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logging {
    /// How a line looks.
    pub format: LogFormat,
    /// How much lapsed itself says: `off`, `error`, `warn`, `info`, `debug` or `trace`.
    ///
    /// For lapsed it wins over `filter`, because it is said on the command line.
    pub level: Option<String>,
    /// Directives as in `RUST_LOG`. One that names only other crates leaves lapsed as it is.
    pub filter: Option<String>,
    /// Whether colour is unwanted even on a terminal (`NO_COLOR`).
    pub no_color: bool,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people; coloured on a terminal.
    #[default]
    Text,
    /// For machines: one object a line.
    Json,
}

/// Why logs were not set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TelemetryError {
    /// There is no such level.
    #[error("log level is {found:?}; allowed: off, error, warn, info, debug, trace")]
    Level {
        /// What was asked for.
        found: String,
    },
    /// The directives are not understood.
    #[error(
        "log filter {found:?} is not understood: {why}; write it as `debug` or \
         `lapsed=debug,hyper=info`"
    )]
    Filter {
        /// What was asked for.
        found: String,
        /// In the parser's words.
        why: String,
    },
    /// Somebody set them up before.
    #[error("logs are set up already")]
    Twice,
}

/// What is said when nobody asks for more or less: what lapsed does, and the warnings of what
/// it is built on.
const USUAL: LevelFilter = LevelFilter::INFO;
const USUAL_OF_OTHERS: LevelFilter = LevelFilter::WARN;

/// Sets up the logs of this process, and that a panic is logged. Times are UTC.
///
/// # Errors
///
/// When level or filter are not understood, or when logs have been set up before.
pub fn start(logging: &Logging) -> Result<(), TelemetryError> {
    let subscriber = subscriber(logging, io::stderr().is_terminal(), || Unheld)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| TelemetryError::Twice)?;
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if tracing::enabled!(Level::ERROR) {
            log_panic(panic);
        } else {
            usual(panic);
        }
    }));
    Ok(())
}

fn subscriber<W>(
    logging: &Logging,
    is_terminal: bool,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = SubscriberBuilder::default()
        .log_internal_errors(false)
        .with_env_filter(filter(logging)?)
        .with_ansi(is_terminal && !logging.no_color)
        .with_writer(Lines {
            inner: writer,
            format: logging.format,
        });
    Ok(match logging.format {
        LogFormat::Text => {
            let fields = format::debug_fn(write_field).delimited(" ");
            Box::new(builder.fmt_fields(fields).finish())
        }
        LogFormat::Json => Box::new(builder.json().flatten_event(true).finish()),
    })
}

fn filter(logging: &Logging) -> Result<EnvFilter, TelemetryError> {
    let level = logging.level.as_deref().map(level).transpose()?;
    let asked = logging.filter.as_deref().unwrap_or_default().trim();
    let mut directives = Vec::new();
    if !asked.split(',').any(|part| level_of(part).is_some()) {
        let others = USUAL_OF_OTHERS.min(level.unwrap_or(USUAL_OF_OTHERS));
        directives.extend([others.to_string(), format!("lapsed={USUAL}")]);
    }
    if !asked.is_empty() {
        directives.push(asked.to_owned());
    }
    // The last of two that name the same wins.
    directives.extend(level.map(|level| format!("lapsed={level}")));
    EnvFilter::builder()
        .with_regex(false)
        .parse(directives.join(","))
        .map_err(|error| TelemetryError::Filter {
            found: asked.to_owned(),
            why: error.to_string(),
        })
}

fn level(text: &str) -> Result<LevelFilter, TelemetryError> {
    level_of(text).ok_or_else(|| TelemetryError::Level {
        found: text.to_owned(),
    })
}

/// By name alone: the parser would also take numbers, and nothing at all for `error`.
fn level_of(text: &str) -> Option<LevelFilter> {
    let text = text.trim();
    match text.bytes().all(|byte| byte.is_ascii_alphabetic()) && !text.is_empty() {
        true => text.parse().ok(),
        false => None,
    }
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message");
    let place = panic.location().map(ToString::to_string);
    let thread = std::thread::current();
    // Taken only where RUST_BACKTRACE asks for it.
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
    error!(
        place,
        thread = thread.name(),
        backtrace = backtrace.as_ref().map(tracing::field::display),
        "panicked: {message}"
    );
}

/// Writes one field of a line of text: the message as it is, others by name.
///
/// The crate's own way lets through what a `%field` shows (0.3.23), so that an id could paint
/// the screen or begin a line of its own.
fn write_field(to: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() == "message" {
        return write!(Escaped(to), "{value:?}");
    }
    match to.has_ansi_escapes() {
        true => write!(to, "\u{1b}[2m{field}=\u{1b}[0m")?,
        false => write!(to, "{field}=")?,
    }
    write!(Escaped(to), "{value:?}")
}

/// Passes on text without what a terminal obeys.
struct Escaped<'a, 'w>(&'a mut Writer<'w>);

impl fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            match is_obeyed(char) {
                true => write!(self.0, "{}", char.escape_default())?,
                false => self.0.write_char(char)?,
            }
        }
        Ok(())
    }
}

/// Text for a person's screen: what a terminal would obey is written out, and no line begins
/// with what a CI system takes for a command of its own (GitHub: `::error …` at the beginning
/// of a line, `##[…]` anywhere).
///
/// Results show what files and providers say, in a shell and in the log of a pull request.
pub fn for_people(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with("::") {
            shown.push(NOTHING);
        }
        for char in line.chars() {
            match is_obeyed(char) && !matches!(char, '\n' | '\t') {
                true => shown.extend(char.escape_default()),
                false => shown.push(char),
            }
        }
    }
    shown.replace("##[", &format!("##{NOTHING}["))
}

/// A character that is not seen, and keeps two others apart.
const NOTHING: char = '\u{200b}';

/// JSON whose strings hold nothing that a terminal would obey; it says the same.
pub fn json_for_people(text: &str) -> String {
    String::from_utf8_lossy(&escape_json(text.as_bytes())).into_owned()
}

/// Whether a terminal does something at a character rather than showing it: it is a control,
/// or turns the direction of what follows.
fn is_obeyed(char: char) -> bool {
    char.is_control() || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// How long a line waits for a reader that takes nothing; after one wait in vain, the next lines
/// wait no longer until it has taken something.
const LONGEST_WAIT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// What a pipe takes without waiting if it takes anything at all (`PIPE_BUF` in pipe(7)).
const TAKEN_AT_ONCE: usize = 4096;

/// Standard error, by which nobody is held whose reader has stopped reading: a pipe that is full
/// would stop whatever thread has something to log, and so the daemon.
struct Unheld;

/// How far the log has come.
static LOG: Mutex<Pipe> = Mutex::new(Pipe {
    stuck: false,
    rest: Vec::new(),
});

struct Pipe {
    /// The last wait was in vain.
    stuck: bool,
    /// The end of a line that has begun: it comes before any other.
    rest: Vec<u8>,
}

impl Write for Unheld {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = std::mem::take(&mut log.rest);
        let taken = log.put(&begun)?;
        log.rest.extend_from_slice(&begun[taken..]);
        let taken = match log.rest.is_empty() {
            true => log.put(line)?,
            false => 0,
        };
        if taken > 0 {
            log.rest.extend_from_slice(&line[taken..]);
        } else {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Pipe {
    /// Writes as much as is taken, and says how much that was.
    fn put(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        for part in bytes.chunks(TAKEN_AT_ONCE) {
            if !self.has_room() {
                break;
            }
            io::stderr().write_all(part)?;
            taken += part.len();
        }
        Ok(taken)
    }

    fn has_room(&mut self) -> bool {
        let wait = match self.stuck {
            true => Timespec::default(),
            false => LONGEST_WAIT,
        };
        let stderr = io::stderr();
        let has_room = loop {
            let mut asked = [PollFd::new(&stderr, PollFlags::OUT)];
            match poll(&mut asked, Some(&wait)) {
                Err(Errno::INTR) => {}
                // What cannot be asked is tried.
                found => break found != Ok(0),
            }
        };
        self.stuck = !has_room;
        has_room
    }
}

/// Lines that were written, by level: error, warn, info, debug, trace.
static WRITTEN: [AtomicU64; 5] = [const { AtomicU64::new(0) }; 5];

/// Lines that nobody took.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// What was logged so far, by level (the worst first), and how much of it nobody took.
pub fn logged() -> ([u64; 5], u64) {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    (WRITTEN.each_ref().map(read), read(&DROPPED))
}

fn count(level: Level) {
    let place = match level {
        Level::ERROR => 0,
        Level::WARN => 1,
        Level::INFO => 2,
        Level::DEBUG => 3,
        Level::TRACE => 4,
    };
    WRITTEN[place].fetch_add(1, Ordering::Relaxed);
}

/// Writes each event at once, and drops what cannot be written.
struct Lines<W> {
    inner: W,
    format: LogFormat,
}

struct Line<W> {
    inner: W,
    format: LogFormat,
}

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Lines<W> {
    type Writer = Line<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Line {
            inner: self.inner.make_writer(),
            format: self.format,
        }
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> Self::Writer {
        count(*about.level());
        self.make_writer()
    }
}

impl<W: Write> Write for Line<W> {
    /// Is given whole events.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        // Nobody can be told that nobody listens.
        let _ = match self.format {
            LogFormat::Text => self.inner.write_all(event),
            LogFormat::Json => self.inner.write_all(&escape_json(event)),
        };
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.inner.flush();
        Ok(())
    }
}

/// Escapes what JSON allows in a string and a terminal obeys.
fn escape_json(event: &[u8]) -> Cow<'_, [u8]> {
    if event.is_ascii() && !event.contains(&0x7f) {
        return Cow::Borrowed(event);
    }
    let text = String::from_utf8_lossy(event);
    let mut line = String::with_capacity(text.len());
    for char in text.chars() {
        match is_obeyed(char) && char != '\n' {
            true => line.push_str(&format!("\\u{:04x}", u32::from(char))),
            false => line.push(char),
        }
    }
    Cow::Owned(line.into_bytes())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{debug, info, warn};

    use super::*;

    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<Vec<u8>>>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(logging: &Logging, is_terminal: bool, say: impl FnOnce()) -> String {
        let screen = Screen::default();
        let writer = screen.clone();
        let subscriber = subscriber(logging, is_terminal, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, say);
        let bytes = screen.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn json() -> Logging {
        Logging {
            format: LogFormat::Json,
            ..Logging::default()
        }
    }

    fn asked(level: Option<&str>, filter: Option<&str>) -> Logging {
        Logging {
            level: level.map(str::to_owned),
            filter: filter.map(str::to_owned),
            ..Logging::default()
        }
    }

    /// Every level of ours and of another crate's that gets through.
    fn heard(logging: &Logging) -> String {
        let text = logged(logging, false, || {
            error!(target: "lapsed::a", "le");
            warn!(target: "lapsed::a", "lw");
            info!(target: "lapsed::a", "li");
            debug!(target: "lapsed::a", "ld");
            error!(target: "hyper", "he");
            warn!(target: "hyper", "hw");
            info!(target: "hyper", "hi");
            debug!(target: "hyper", "hd");
        });
        let words = text.lines().filter_map(|line| line.split(' ').next_back());
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn levels_are_what_the_command_line_and_then_the_filter_ask_for() {
        for (level, filter, words) in [
            (None, None, "le lw li he hw"),
            (None, Some(""), "le lw li he hw"),
            (Some("debug"), None, "le lw li ld he hw"),
            (Some("ERROR"), None, "le he"),
            (Some("off"), None, ""),
            (None, Some("debug"), "le lw li ld he hw hi hd"),
            (None, Some("hyper=debug"), "le lw li he hw hi hd"),
            (None, Some("lapsed=debug"), "le lw li ld he hw"),
            (None, Some("error,lapsed::a=warn"), "le lw he"),
            (Some("debug"), Some("hyper=error"), "le lw li ld he"),
            (Some("warn"), Some("debug"), "le lw he hw hi hd"),
        ] {
            assert_eq!(heard(&asked(level, filter)), words, "{level:?} {filter:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_with_what_is_allowed() {
        for level in ["loud", "", "5"] {
            let error = super::filter(&asked(Some(level), None)).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("log level is {level:?}; allowed: off, error, warn, info, debug, trace")
            );
        }
        let error = super::filter(&asked(None, Some("lapsed=loud"))).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("\"lapsed=loud\" is not understood"),
            "{error}"
        );
    }

    #[test]
    fn colour_is_for_terminals_whose_owner_wants_it() {
        let say = || info!(target: "lapsed", "hello");
        let plain = Logging {
            no_color: true,
            ..Logging::default()
        };
        assert!(logged(&Logging::default(), true, say).contains('\u{1b}'));
        assert!(!logged(&Logging::default(), false, say).contains('\u{1b}'));
        assert!(!logged(&plain, true, say).contains('\u{1b}'));
        assert!(!logged(&json(), true, say).contains('\u{1b}'));
    }

    #[test]
    fn json_is_one_object_a_line_with_its_time_in_utc() {
        let text = logged(&json(), false, || {
            info!(target: "lapsed", provider = "academy", "cancelled `{}`\n", 17);
            warn!(target: "lapsed", "second");
        });
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["message"], "cancelled `17`\n");
        assert_eq!(lines[0]["provider"], "academy");
        assert_eq!(lines[0]["level"], "INFO");
        assert!(lines[0]["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn nothing_that_is_logged_steers_a_terminal_or_forges_a_line() {
        let evil = "\u{202e}\u{1b}[31mred\u{7}\u{8}\u{9b}2J\u{7f}\r\nINFO forged";
        for logging in [Logging::default(), json()] {
            let text = logged(&logging, false, || {
                info!(target: "lapsed", shown = %evil, debugged = ?evil, plain = evil, "{evil}");
            });
            assert_eq!(text.matches('\n').count(), 1, "{text:?}");
            let bare = text.trim_end_matches('\n');
            assert!(!bare.chars().any(is_obeyed), "{text:?}");
        }
    }

    #[test]
    fn text_shows_the_message_and_then_the_fields() {
        let text = logged(&Logging::default(), false, || {
            info!(target: "lapsed", provider = %"academy", tries = 2, "cancelled `{}`", 17);
        });
        let said = text.split_once("Z ").unwrap().1;
        assert_eq!(
            said,
            " INFO lapsed: cancelled `17` provider=academy tries=2\n"
        );
    }

    #[test]
    fn on_a_terminal_only_our_own_colours_are_obeyed() {
        let text = logged(&Logging::default(), true, || {
            info!(target: "lapsed", shown = %"\u{1b}[8mhidden", "\u{1b}[31mred");
        });
        assert!(
            text.contains("\\u{1b}[8mhidden") && text.contains("\\u{1b}[31mred"),
            "{text:?}"
        );
        assert!(
            !text.contains("\u{1b}[8m") && !text.contains("\u{1b}[31m"),
            "{text:?}"
        );
    }

    #[test]
    fn json_keeps_what_it_escapes() {
        let text = logged(&json(), false, || {
            info!(target: "lapsed", said = "a\u{9b}b\u{7f}c", "hello");
        });
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["said"], "a\u{9b}b\u{7f}c");
    }

    #[test]
    fn a_writer_that_fails_is_not_told_of() {
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
        let subscriber = subscriber(&Logging::default(), false, || Broken).unwrap();
        tracing::subscriber::with_default(subscriber, || info!(target: "lapsed", "hello"));
    }
}
