//! What is read, written out and read again says the same.

use lapsed::desired::Manifest;
use lapsed::model::ids::SubscriptionId;
use lapsed::model::provider::ProviderKind;
use lapsed::schedule::Schedule;
use proptest::prelude::*;

use super::properties::{HEAD, MAIN, asked, cron, judge, printed, retry_after};

/// An item of any provider, as the cells of a row.
#[derive(Clone, Debug)]
struct Row {
    id: String,
    provider: &'static str,
    when: &'static str,
    reason: String,
    label: String,
    customer: String,
    again: u32,
}

const COLUMNS: [&str; 9] = [
    "id",
    "provider",
    "when",
    "reason",
    "labels.team: a",
    "expect.customer",
    "again",
    "usage_behavior",
    "invoicing_behavior",
];

impl Row {
    fn cells(&self) -> [String; 9] {
        let cut_off = self.provider == "metered" && self.when != "end_of_period";
        let word = |word: &str| {
            if cut_off {
                word.to_owned()
            } else {
                String::new()
            }
        };
        [
            self.id.clone(),
            self.provider.to_owned(),
            self.when.to_owned(),
            self.reason.clone(),
            self.label.clone(),
            self.customer.clone(),
            self.again.to_string(),
            word("bill_none"),
            word("invoice_now"),
        ]
    }

    /// As a map of YAML, every text quoted one way or the other.
    fn yaml(&self, single: bool) -> String {
        let quoted = |text: &str| {
            if single {
                format!("'{}'", text.replace('\'', "''"))
            } else {
                serde_json::Value::from(text).to_string()
            }
        };
        let mut entries = Vec::new();
        for (name, cell) in COLUMNS.iter().zip(self.cells()) {
            if cell.is_empty() {
                continue;
            }
            entries.push(match name.split_once('.') {
                Some((outer, inner)) => {
                    format!("{outer}: {{{}: {}}}", quoted(inner), quoted(&cell))
                }
                None => format!("{name}: {}", quoted(&cell)),
            });
        }
        format!("  - {{{}}}\n", entries.join(", "))
    }
}

fn csv(rows: &[Row], quote_all: bool, end: &str) -> String {
    let cell = |text: &str| {
        if quote_all || text.contains([',', '"', ' ']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_owned()
        }
    };
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|it| cell(it)).collect();
        format!("{}{end}", cells.join(","))
    };
    let mut text = line(&COLUMNS.map(str::to_owned));
    text.extend(rows.iter().map(|row| line(&row.cells())));
    text
}

fn one(text: &str) -> Manifest {
    judge(&[(MAIN, text.as_bytes())]).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"))
}

fn row() -> impl Strategy<Value = Row> {
    let id = prop_oneof![
        ("[A-Za-z0-9_][A-Za-z0-9._~-]{0,20}", Just("donations")),
        ("[0-9]{1,9}", Just("academy")),
        ("(sub_)?[0-9a-fA-F]{32}", Just("metered")),
    ];
    let when = prop_oneof![
        Just("now"),
        Just("end_of_period"),
        Just("2026-12-31"),
        Just("2027-03-28 12:30"),
        Just("2026-12-31T09:00:00+01:00"),
    ];
    let words = "[ -~\u{e9}\u{4e2d}\u{1f600}]{0,20}";
    (id, when, words, words, words, 1..9u32).prop_map(
        |((id, provider), when, reason, label, customer, again)| Row {
            id,
            provider,
            when,
            // What says nothing is no reason.
            reason: if reason.trim().is_empty() {
                String::new()
            } else {
                reason
            },
            label,
            customer,
            again,
        },
    )
}

/// Rows of which no two ask for the same.
fn rows() -> impl Strategy<Value = Vec<Row>> {
    proptest::collection::vec(row(), 1..6).prop_map(|mut rows| {
        let mut seen = Vec::new();
        rows.retain(|row| {
            let key = (row.provider, row.id.replace('-', "").to_ascii_lowercase());
            let key = (
                key.0,
                key.1.trim_start_matches("sub_").to_owned(),
                row.again,
            );
            let new = !seen.contains(&key);
            seen.push(key);
            new
        });
        rows
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn items_say_the_same_as_yaml_and_as_csv(rows in rows(), single in any::<bool>(), quote_all in any::<bool>(), crlf in any::<bool>()) {
        let items: String = rows.iter().map(|row| row.yaml(single)).collect();
        let yaml = one(&format!("{HEAD}cancellations:\n{items}...\n"));
        let main = format!("{HEAD}include: [\"*.csv\"]\ncancellations: []\n...\n");
        let csv = csv(&rows, quote_all, if crlf { "\r\n" } else { "\n" });
        let files = [(MAIN, main.as_bytes()), ("a.csv", csv.as_bytes())];
        let csv = judge(&files).unwrap_or_else(|problems| panic!("{problems:#?}\n{csv}"));
        prop_assert_eq!(asked(&yaml), asked(&csv));
        prop_assert_eq!(yaml.wanted.len(), rows.len());
        // Written out and read once more.
        let again = one(&printed(&yaml.wanted));
        prop_assert_eq!(asked(&yaml), asked(&again));
    }

    #[test]
    fn an_id_in_its_one_spelling_stays_as_it_is(text in "(sub_)?[0-9a-fA-F-]{30,40}|[!-~]{1,130}") {
        for kind in [ProviderKind::Kajabi, ProviderKind::Revere, ProviderKind::Lotus] {
            if let Ok(id) = SubscriptionId::parse(kind, &text) {
                prop_assert_eq!(SubscriptionId::parse(kind, id.as_str()), Ok(id.clone()));
                let segment = id.as_str().chars().all(|c| c.is_ascii_alphanumeric() || "._~-".contains(c));
                prop_assert!(segment, "{}", id);
            }
        }
    }

    #[test]
    fn any_schedule_holds(text in "[0-9*/,a-zA-Z@# -]{0,30}|(\\*|[0-9]{1,2}(-[0-9]{1,2})?(/[0-9])?)( (\\*|[0-9]{1,2}(-[0-9]{1,2})?(/[0-9])?)){4,5}", zone in 0..6u8) {
        cron::hold(&[&[zone], text.as_bytes()].concat());
    }

    #[test]
    fn any_retry_after_holds(text in "[-+ ]?[0-9]{0,30}|[ -~]{0,40}") {
        retry_after::hold(text.as_bytes());
    }

    #[test]
    fn a_retry_after_that_is_a_date_is_waited_for(ahead in -400_000_000i64..400_000_000) {
        let at = super::properties::provider::now() + chrono::TimeDelta::seconds(ahead);
        let text = httpdate::fmt_http_date(at.into());
        let pause = retry_after::pause(&text.parse().unwrap());
        prop_assert_eq!(i64::try_from(pause.as_secs()).unwrap(), ahead.clamp(1, 3_600));
    }
}

#[test]
fn a_schedules_text_is_what_was_written() {
    for text in ["*/5 * * * *", " 0 9 * * MON-FRI ", "@daily", "0 0 31 1,3 7"] {
        let schedule = Schedule::parse(text, chrono_tz::UTC).unwrap();
        assert_eq!(schedule.text(), text);
    }
}
