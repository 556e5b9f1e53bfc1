//! The file: what it says, and what is said of everything that is wrong with it.

use lapsed::desired::{FileText, Input, Manifest, Problem, read};

mod csv;
mod errors;
mod limits;
mod policies;
mod schema;

/// The start of a file that is valid.
pub const HEAD: &str = "version: 1
reconcile: {timezone: Europe/Berlin}
providers:
  academy: {type: kajabi, token: {env: KAJABI_TOKEN}}
  donations: {type: revere, group_id: g, linked_account_id: l, api_key: {env: REVERE_KEY}}
  metered: {type: lotus, base_url: \"https://lotus.example.com\", api_key: {env: LOTUS_KEY}}
";

pub fn read_one(text: &str) -> Result<Manifest, Vec<Problem>> {
    read_all(&[("lapsed.yaml", text)])
}

pub fn read_all(files: &[(&str, &str)]) -> Result<Manifest, Vec<Problem>> {
    let files = files
        .iter()
        .map(|(name, text)| FileText {
            name,
            bytes: text.as_bytes(),
        })
        .collect();
    read(&Input {
        files,
        ..Input::default()
    })
}

/// The manifest of a valid file: the head, and these items.
pub fn valid(rest: &str) -> Manifest {
    let text = format!("{HEAD}{rest}");
    read_one(&text).unwrap_or_else(|problems| {
        let lines: Vec<String> = problems.iter().map(Problem::line).collect();
        panic!("{}\n{text}", lines.join("\n"))
    })
}

#[test]
fn the_file_that_init_writes_is_valid_and_ends_in_the_end_mark() {
    let manifest = read_one(lapsed::desired::starter()).unwrap();
    assert!(manifest.end_mark);
    assert!(manifest.wanted.is_empty());
}

#[test]
fn ids_keep_every_character_as_it_was_written() {
    for id in ["0123", "1e5", "12_000", "0x1F", "1.0", "true", "no"] {
        let manifest = valid(&format!(
            "cancellations: [{{id: {id}, provider: donations, when: now}}]\n"
        ));
        assert_eq!(manifest.wanted[0].key.id.as_str(), id);
    }
}

#[test]
fn an_item_knows_the_lines_on_which_it_stands() {
    let manifest = valid(
        "cancellations:\n  - id: a\n    provider: donations\n    when: now\n\n  - {id: b,\n     provider: donations, when: now\n    }\n",
    );
    let lines: Vec<_> = manifest
        .wanted
        .iter()
        .map(|item| (item.place.line, item.place.last_line))
        .collect();
    assert_eq!(lines, [(8, 10), (12, 14)]);
}

#[test]
fn items_may_stand_before_what_they_are_read_by() {
    let items =
        "cancellations:\n- id: a\n  provider: donations\n- {id: b, provider: academy, when: now}\n";
    let rest = format!("{HEAD}policies: [{{name: last, set: {{when: 2027-01-31}}}}]\n");
    let in_a_flow = format!(
        "{{\"cancellations\": [{{id: a, provider: donations}}, {{id: b, provider: academy, when: now}}],\n{}}}",
        rest.trim_end()
            .replace(":\n", ": {")
            .replace("}}\n  donations", "}},\n  donations")
            .replace("}}\n  metered", "}},\n  metered")
            .replace("}}\npolicies", "}}},\npolicies")
            .replace("1\nreconcile", "1,\nreconcile")
            .replace("Berlin}\n", "Berlin},\n")
    );
    let kept = items.replace("cancellations:", "cancellations: &all");
    let read = |text: String| {
        let manifest = read_one(&text).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
        let items = manifest.wanted.into_iter();
        items.map(|it| (it.key, it.terms)).collect::<Vec<_>>()
    };
    let last = read(format!("{rest}{items}...\n"));
    assert_eq!(last.len(), 2);
    for text in [
        format!("{items}{rest}"),
        format!("{rest}{}", items.replace('\n', "\r\n")),
        format!("{rest}{}", items.replace('\n', "\r")),
        format!("{rest}{kept}"),
        in_a_flow,
    ] {
        assert_eq!(read(text), last);
    }
}

#[test]
fn of_a_text_that_is_no_yaml_no_more_is_told() {
    let broken = "cancellations:\n  - {id: a, provider: nobody, when: now}\n  - {id: b\n";
    let codes = |files: &[(&str, &str)]| {
        let problems = read_all(files).unwrap_err();
        problems.iter().map(|it| it.code).collect::<Vec<_>>()
    };
    assert_eq!(
        codes(&[("lapsed.yaml", &format!("{HEAD}{broken}"))]),
        ["syntax"]
    );
    let head = format!("{HEAD}include: [more.yaml]\ncancellations: [{{id: c}}]\n");
    let more = codes(&[("lapsed.yaml", &head), ("more.yaml", broken)]);
    assert_eq!(more, ["syntax", "missing"]);
}

#[test]
fn included_files_hold_defaults_and_items() {
    let head = format!("{HEAD}include: [\"more/*.yaml\"]\ncancellations: []\n");
    let more = "defaults: {provider: donations, when: 2026-12-31, labels: {batch: a}}\ncancellations:\n  - id: a\n  - {id: b, when: now, labels: {ticket: T-1}}\n";
    let manifest = read_all(&[("lapsed.yaml", &head), ("more/a.yaml", more)]).unwrap();
    let [a, b] = &manifest.wanted[..] else {
        panic!("{:?}", manifest.wanted);
    };
    assert_eq!(
        (a.terms.when_text.as_str(), a.place.file.as_str()),
        ("2026-12-31", "more/a.yaml")
    );
    assert_eq!(a.terms.when.from.to_string(), "file defaults");
    assert_eq!(b.terms.when.from.to_string(), "item");
    assert_eq!(b.terms.labels.iter().count(), 2);
}
