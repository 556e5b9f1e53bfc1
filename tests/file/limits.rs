//! What a file cannot do to whoever reads it.

use proptest::prelude::*;

use super::{HEAD, read_one, valid};

fn code_of(text: &str) -> (u32, u32, &'static str) {
    let problems = read_one(text).unwrap_err();
    (problems[0].line, problems[0].column, problems[0].code)
}

#[test]
fn nesting_and_aliases_are_bounded() {
    let refused = |text: &str| matches!(code_of(text).2, "too_deep" | "syntax");
    assert!(refused(&"[".repeat(2_000_000)));
    assert!(refused(&"{a: ".repeat(20_000)));
    let deep: String = (0..20_000)
        .map(|depth| format!("{}a:\n", " ".repeat(depth.min(70))))
        .collect();
    assert!(refused(&deep));
    assert_eq!(
        code_of(&format!("a: {}{}", "[".repeat(70), "]".repeat(70))).2,
        "too_deep"
    );
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, before) in ["b", "c", "d", "e", "f"]
        .iter()
        .zip(["a", "b", "c", "d", "e"])
    {
        let list = vec![format!("*{before}"); 10].join(", ");
        bomb.push_str(&format!("{name}: &{name} [{list}]\n"));
    }
    assert_eq!(code_of(&bomb).2, "alias_bomb");
}

#[test]
fn bytes_that_are_no_whole_text_are_named() {
    let raw = |bytes: &[u8]| {
        let input = lapsed::desired::Input {
            files: vec![lapsed::desired::FileText {
                name: "lapsed.yaml",
                bytes,
            }],
            ..lapsed::desired::Input::default()
        };
        let problems = lapsed::desired::read(&input).unwrap_err();
        (problems[0].line, problems[0].column, problems[0].code)
    };
    assert_eq!(raw(b"version: 1\na: \xFFx\n"), (2, 4, "not_utf8"));
    assert_eq!(raw(b"\xFF\xFEv\0"), (1, 1, "not_utf8"));
    assert_eq!(raw(b"version: 1\n\0\0"), (2, 1, "nul_byte"));
    assert_eq!(raw(b""), (1, 1, "empty_file"));
    assert_eq!(raw(b"# only a comment\n"), (1, 1, "empty_file"));
    assert_eq!(raw(b"a\n---\nb\n").2, "several_documents");
    assert_eq!(raw(b"a: [1, 2\nb: 3\n").2, "syntax");
    assert_eq!(raw(b"? [a]\n: b\n").2, "key_not_text");
    assert_eq!(raw(b"a: 1\nb: 2\na: 3\n"), (3, 1, "duplicate_key"));
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_text() {
    assert!(read_one(&format!("\u{feff}{HEAD}")).is_ok());
}

#[test]
fn marks_of_a_merge_are_refused_however_far_they_are_indented() {
    for indent in ["", "    "] {
        let text = format!(
            "{HEAD}cancellations:\n{indent}<<<<<<< HEAD\n  - {{id: a, provider: donations, when: now}}\n{indent}=======\n{indent}>>>>>>> other\n"
        );
        let problems = read_one(&text).unwrap_err();
        let lines: Vec<_> = problems.iter().map(|it| (it.line, it.code)).collect();
        assert_eq!(
            lines,
            [
                (8, "merge_marker"),
                (10, "merge_marker"),
                (11, "merge_marker")
            ]
        );
    }
}

#[test]
fn more_items_than_allowed_are_refused() {
    let mut text = format!("{HEAD}max_items: 2\ncancellations:\n");
    for id in ["a", "b", "c"] {
        text.push_str(&format!(
            "  - {{id: {id}, provider: donations, when: now}}\n"
        ));
    }
    assert_eq!(code_of(&text).2, "too_many_items");
}

#[test]
fn the_end_mark_is_seen_where_it_ends_the_file() {
    assert!(valid("cancellations: []\n...\n").end_mark);
    assert!(valid("cancellations: []\n...\n# a comment\n\n").end_mark);
    assert!(!valid("cancellations: []\n").end_mark);
    assert!(!valid("cancellations: [] # ...\n").end_mark);
}

const WHOLE: &str = "version: 1
providers:
  p: {type: revere, group_id: g, linked_account_id: l, api_key: {env: K}}
cancellations:
  - id: 0123456789
    provider: p
    when: 2026-12-31T00:00:00Z
    reason: Duplicate Order
  - {id: b, provider: p, when: now}
...
";

#[test]
fn no_prefix_of_a_whole_file_passes_for_whole() {
    assert!(read_one(WHOLE).unwrap().end_mark);
    for end in 0..WHOLE.len() - 1 {
        if let Ok(manifest) = read_one(&WHOLE[..end]) {
            assert!(!manifest.end_mark, "cut at {end}: {:?}", &WHOLE[..end]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let input = lapsed::desired::Input {
            files: vec![lapsed::desired::FileText { name: "f", bytes: &bytes }],
            ..lapsed::desired::Input::default()
        };
        let _ = lapsed::desired::read(&input);
    }

    #[test]
    fn no_edit_makes_it_panic(at in 0..WHOLE.len(), insert in "[-{}\\[\\]:&*!|>'\"%@`#, \n\ta-z0-9]{0,6}", cut in 0..9usize) {
        let mut text: Vec<char> = WHOLE.chars().collect();
        let end = (at + cut).min(text.len());
        text.splice(at..end, insert.chars());
        let text: String = text.into_iter().collect();
        let _ = read_one(&text);
    }

    #[test]
    fn what_is_read_at_once_is_what_is_read_when_something_may_follow(at in 0..WHOLE.len(), insert in "(\n)?[-{}\\[\\]:&*|'\"%#, \na-z0-9]{0,6}", cut in 0..40usize) {
        let mut text: Vec<char> = WHOLE.chars().collect();
        let end = (at + cut).min(text.len());
        text.splice(at..end, insert.chars());
        let text: String = text.into_iter().collect();
        // YAML ends a line at a lone carriage return, where other tools see none.
        let (at_once, twice) = (read_one(&format!("{text}\n")), read_one(&format!("{text}\n#\r#\n")));
        match (at_once, twice) {
            (Ok(one), Ok(other)) => {
                prop_assert_eq!(one.wanted, other.wanted);
                prop_assert_eq!(one.warnings, other.warnings);
            }
            (Err(one), Err(other)) if other.iter().all(|it| it.code != "syntax") => prop_assert_eq!(one, other),
            (Err(_), Err(_)) => {}
            (one, other) => prop_assert!(false, "{one:?}\n{other:?}"),
        }
    }

    #[test]
    fn ids_are_kept_as_they_are_written(id in "[A-Za-z0-9._~][A-Za-z0-9._~-]{0,40}") {
        prop_assume!(!matches!(id.as_str(), "." | ".." | "~" | "null" | "Null" | "NULL"));
        let manifest = valid(&format!("cancellations: [{{id: {id}, provider: donations, when: now}}]\n"));
        prop_assert_eq!(manifest.wanted[0].key.id.as_str(), id);
    }
}
