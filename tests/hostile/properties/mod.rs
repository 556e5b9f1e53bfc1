//! What holds of any bytes at all, as functions of the bytes: a fuzz target and a test of every
//! build ask the same.
//!
//! Nothing here imports anything of the tests': `fuzz/src/lib.rs` compiles these files too.

pub mod cron;
pub mod csv;
pub mod file;
pub mod http;
pub mod includes;
pub mod provider;
pub mod retry_after;

use lapsed::desired::{FileText, Input, Manifest, Problem, read};
use lapsed::model::terms::{From, Terms, Wanted, When};
use lapsed::model::text::is_unseen;
use serde_json::{Map, Value, json};

/// A property of any bytes: panics where it does not hold.
pub type Property = fn(&[u8]);

/// Every property, by the name of its fuzz target and of the folder of its corpus.
pub const ALL: [(&str, Property); 7] = [
    ("cron", cron::hold),
    ("csv", csv::hold),
    ("file", file::hold),
    ("http", http::hold),
    ("includes", includes::hold),
    ("provider", provider::hold),
    ("retry_after", retry_after::hold),
];

/// The main file's name.
pub const MAIN: &str = "lapsed.yaml";

/// The start of a file that is valid: a provider of each kind.
pub const HEAD: &str = "version: 1
reconcile: {timezone: Europe/Berlin}
providers:
  academy: {type: kajabi, token: {env: KAJABI_TOKEN}}
  donations: {type: revere, group_id: g, linked_account_id: l, api_key: {env: REVERE_KEY}}
  metered: {type: lotus, base_url: \"https://lotus.example.com\", api_key: {env: LOTUS_KEY}}
";

/// The longest message that anything is told with, in characters.
const LONGEST_MESSAGE: usize = 2_000;

/// So many problems are told at most, and how many more there are.
const MOST_PROBLEMS: usize = 1_001;

/// A file: its name and its bytes.
pub type Named<'a> = (&'a str, &'a [u8]);

/// Reads files as the daemon does.
pub fn judge(files: &[Named<'_>]) -> Result<Manifest, Vec<Problem>> {
    read(&input(files))
}

pub fn input<'a>(files: &[Named<'a>]) -> Input<'a> {
    Input {
        files: files
            .iter()
            .map(|(name, bytes)| FileText { name, bytes })
            .collect(),
        ..Input::default()
    }
}

/// A text that a log, a terminal and a page can take.
pub fn assert_plain(text: &str, what: &str) {
    assert!(!text.chars().any(is_unseen), "{what}: {text:?}");
    let length = text.chars().count();
    assert!(length <= LONGEST_MESSAGE, "{what}: {length} characters");
}

/// Whatever is told names a place that is there, in one line that a log and a terminal take.
pub fn assert_told_well(problems: &[Problem], files: &[Named<'_>]) {
    assert!(!problems.is_empty(), "refused without a word");
    assert!(problems.len() <= MOST_PROBLEMS, "{}", problems.len());
    for problem in problems {
        let file = files.iter().find(|(name, _)| *name == problem.file);
        let Some((_, bytes)) = file else {
            panic!("no such file: {problem:?}");
        };
        // YAML ends a line at a lone carriage return too.
        let ends = bytes
            .iter()
            .filter(|it| matches!(it, b'\n' | b'\r'))
            .count();
        let line = problem.line as usize;
        assert!((1..=ends + 1).contains(&line), "no such line: {problem:?}");
        let column = problem.column as usize;
        assert!((1..=bytes.len() + 1).contains(&column), "{problem:?}");
        assert!(!problem.message.is_empty() && !problem.code.is_empty());
        assert_plain(&problem.message, "a message");
        assert!(
            !problem.line().chars().any(is_unseen),
            "{:?}",
            problem.line()
        );
    }
}

/// Every id stands in its file as it was written. Escapes of a quoted text are the one way to
/// write an id in other characters.
pub fn assert_ids_are_written(manifest: &Manifest, files: &[Named<'_>]) {
    for wanted in &manifest.wanted {
        let Some((_, bytes)) = files.iter().find(|(name, _)| *name == wanted.place.file) else {
            panic!("from no file: {wanted:?}");
        };
        if bytes.contains(&b'\\') {
            continue;
        }
        let bare = |text: &str| text.replace('-', "").to_ascii_lowercase();
        let id = bare(wanted.key.id.as_str());
        let id = id.strip_prefix("sub_").unwrap_or(&id);
        let text = bare(&String::from_utf8_lossy(bytes));
        assert!(text.contains(id), "an id that nobody wrote: {wanted:?}");
    }
}

/// What is asked for, whatever the lines on which it stands.
pub fn asked(manifest: &Manifest) -> Vec<(String, &Terms)> {
    manifest
        .wanted
        .iter()
        .map(|it| (it.key.to_string(), &it.terms))
        .collect()
}

/// Items as a file's text. Only what an item says itself is printed.
pub fn printed(wanted: &[Wanted]) -> String {
    let items: Vec<Value> = wanted.iter().map(item).collect();
    format!("{HEAD}cancellations: {}\n...\n", Value::from(items))
}

/// One item as a map.
fn item(wanted: &Wanted) -> Value {
    let Terms {
        when,
        when_text,
        reason,
        window,
        when_missed,
        period_ends,
        flat_fee_behavior,
        usage_behavior,
        invoicing_behavior,
        expect,
        labels,
        requested,
        unused: _,
    } = &wanted.terms;
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| {
        map.insert(key.to_owned(), value);
    };
    put("id", wanted.key.id.as_str().into());
    put("provider", wanted.key.provider.as_str().into());
    put("again", wanted.key.again.to_string().into());
    if when.from == From::Item {
        put("when", when_text.as_str().into());
    }
    if let Some(reason) = reason.as_ref().filter(|it| it.from == From::Item) {
        put("reason", reason.value.as_str().into());
    }
    if window.from == From::Item {
        let seconds = |length: std::time::Duration| format!("{}s", length.as_secs());
        let (opens, closes) = (seconds(window.value.opens), seconds(window.value.closes));
        put("window", json!({"opens": opens, "closes": closes}));
    }
    if when_missed.from == From::Item {
        put("when_missed", json!(when_missed.value));
    }
    if let Some(end) = period_ends.as_ref().filter(|it| it.from == From::Item) {
        put("period_ends", end.value.to_rfc3339().into());
    }
    let behaviors = [
        (
            "flat_fee_behavior",
            flat_fee_behavior.as_ref().map(|it| json!(it.value)),
        ),
        (
            "usage_behavior",
            usage_behavior.as_ref().map(|it| json!(it.value)),
        ),
        (
            "invoicing_behavior",
            invoicing_behavior.as_ref().map(|it| json!(it.value)),
        ),
    ];
    for (key, value) in behaviors {
        if let Some(value) = value {
            put(key, value);
        }
    }
    if !expect.is_empty() {
        let fields: Map<String, Value> = expect
            .iter()
            .map(|(field, value)| (field.as_str().to_owned(), value.as_str().into()))
            .collect();
        put("expect", fields.into());
    }
    if !labels.is_empty() {
        put("labels", json!(labels));
    }
    if let Some(requested) = requested {
        put("requested", requested.as_str().into());
    }
    map.into()
}

/// The instant of a `when`, if it names one.
pub fn instant(terms: &Terms) -> Option<chrono::DateTime<chrono::Utc>> {
    match terms.when.value {
        When::At(at) => Some(at),
        When::Now | When::EndOfPeriod => None,
    }
}
