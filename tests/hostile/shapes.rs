//! Shapes of files that deceive, one by one: what each is told with, or why it is accepted.

use super::properties::{HEAD, MAIN, assert_told_well, file, judge};

/// Line, column and code of the first problem; none where it is accepted.
fn first(bytes: &[u8]) -> Option<(u32, u32, &'static str)> {
    file::hold(bytes);
    let problems = judge(&[(MAIN, bytes)]).err()?;
    assert_told_well(&problems, &[(MAIN, bytes)]);
    let first = &problems[0];
    Some((first.line, first.column, first.code))
}

/// Whether it is told at this place with this code, among whatever else.
fn told(bytes: &[u8], place: (u32, u32, &str)) -> bool {
    file::hold(bytes);
    let problems = judge(&[(MAIN, bytes)]).err().unwrap_or_default();
    let mut places = problems.iter().map(|it| (it.line, it.column, it.code));
    places.any(|it| it == place)
}

/// The head with an item's fields.
fn item(fields: &str) -> String {
    format!("{HEAD}cancellations:\n  - {{{fields}}}\n...\n")
}

fn ids(text: &str) -> Vec<String> {
    file::hold(text.as_bytes());
    let manifest = judge(&[(MAIN, text.as_bytes())]).unwrap_or_else(|it| panic!("{it:#?}\n{text}"));
    let wanted = manifest.wanted.iter();
    wanted.map(|it| it.key.id.as_str().to_owned()).collect()
}

#[test]
fn bytes_that_are_no_plain_text_are_told_at_their_place() {
    let utf16 = |text: &str| -> Vec<u8> {
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        [0xFF, 0xFE].into_iter().chain(units).collect()
    };
    assert_eq!(first(&utf16(HEAD)), Some((1, 1, "not_utf8")));
    // Without its mark UTF-16 is known by its zeros.
    assert_eq!(first(&utf16(HEAD)[2..]), Some((1, 2, "nul_byte")));
    assert_eq!(
        first(b"version: 1\na: \xC0\xAF\n"),
        Some((2, 4, "not_utf8"))
    );
    // A lone surrogate, as bytes.
    assert_eq!(first(b"a: \xED\xA0\x80\n"), Some((1, 4, "not_utf8")));
    assert_eq!(first(b"version: 1\na: b\0c\n"), Some((2, 5, "nul_byte")));
    let marked = format!("\u{feff}{}", item("id: a, provider: donations, when: now"));
    assert_eq!(ids(&marked), ["a"]);
}

#[test]
fn what_looks_like_another_id_is_no_id() {
    for look_alike in [
        "a\u{200b}b",
        "a\u{feff}b",
        "\u{430}bc",
        "a\u{ad}b",
        "１２３",
        "a\u{202e}b",
        "a\u{2010}b",
    ] {
        let text = item(&format!(
            "id: \"{look_alike}\", provider: donations, when: now"
        ));
        assert_eq!(
            first(text.as_bytes()),
            Some((8, 10, "id")),
            "{look_alike:?}"
        );
    }
    // Written out as escapes they are the same characters.
    for escaped in ["a\\u200bb", "a\\x00b", "a\\nb", "a\\tb", "a\\u0430b"] {
        let text = item(&format!(
            "id: \"{escaped}\", provider: donations, when: now"
        ));
        assert_eq!(first(text.as_bytes()), Some((8, 10, "id")), "{escaped}");
    }
    // Half a pair is no character.
    for lone in ["\\ud800", "\\udc00", "\\U00110000", "\\ud83d\\ude00"] {
        let text = item(&format!("id: \"{lone}\", provider: donations, when: now"));
        let told = first(text.as_bytes());
        assert!(
            matches!(told, Some((8, _, "syntax" | "id"))),
            "{lone}: {told:?}"
        );
    }
    // An escape of a letter is that letter.
    let plain = item("id: \"\\x61\\u0062\", provider: donations, when: now");
    assert_eq!(ids(&plain), ["ab"]);
}

#[test]
fn values_keep_every_character_whatever_yaml_would_make_of_them() {
    for id in [
        "0123",
        "0x1F",
        "1e3",
        "1_000",
        "true",
        "no",
        "12.50",
        "2026-12-31",
        ".5",
    ] {
        let text = item(&format!("id: {id}, provider: donations, when: now"));
        assert_eq!(ids(&text), [id]);
    }
    for nothing in ["~", "null", "NULL", ""] {
        let text = item(&format!("id: {nothing}, provider: donations, when: now"));
        assert!(told(text.as_bytes(), (8, 6, "empty_value")), "{nothing}");
    }
}

#[test]
fn constructs_that_say_one_thing_and_mean_another_are_refused() {
    let usual = "provider: donations, when: now";
    let cases = [
        (format!("id: a, id: b, {usual}"), 13, "duplicate_key"),
        (format!("id: a, \"id\": b, {usual}"), 13, "duplicate_key"),
        (format!("id: !!str a, {usual}"), 10, "tag"),
        (format!("id: !secret a, {usual}"), 10, "tag"),
        (format!("id: a, labels: !!set {{a: b}}, {usual}"), 21, "tag"),
        (
            format!("id: a, labels: !custom {{a: b}}, {usual}"),
            21,
            "tag",
        ),
        (format!("<<: {{id: a}}, {usual}"), 6, "unknown_key"),
        (format!("? [id] : a, {usual}"), 8, "key_not_text"),
        (format!("id: [a, b], {usual}"), 10, "wrong_type"),
        (format!("id: {{a: b}}, {usual}"), 10, "wrong_type"),
        (format!("id: *nobody, {usual}"), 10, "syntax"),
    ];
    let mut wrong = Vec::new();
    for (fields, column, code) in cases {
        if !told(item(&fields).as_bytes(), (8, column, code)) {
            let problems = judge(&[(MAIN, item(&fields).as_bytes())]);
            wrong.push(format!("{fields}: not {column} {code}: {problems:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_tag_on_a_list_or_a_map_is_told_as_well_as_one_on_a_text() {
    let text =
        format!("{HEAD}cancellations: !!omap\n  - {{id: a, provider: donations, when: now}}\n");
    assert!(matches!(first(text.as_bytes()), Some((_, _, "tag"))));
    let text =
        format!("{HEAD}cancellations:\n  - !item {{id: a, provider: donations, when: now}}\n");
    assert!(matches!(first(text.as_bytes()), Some((8, _, "tag"))));
}

#[test]
fn one_file_holds_one_document() {
    let whole = item("id: a, provider: donations, when: now");
    for second in [
        "---\nversion: 1\n",
        "%YAML 1.2\n---\na\n",
        "version: 1\n",
        "a\n...\n",
    ] {
        let text = format!("{whole}{second}");
        let (line, _, code) = first(text.as_bytes()).unwrap();
        assert!(line >= 10, "{line} {second}");
        assert!(matches!(code, "several_documents" | "syntax"), "{code}");
    }
    assert_eq!(ids(&format!("---\n{whole}")), ["a"]);
    assert_eq!(ids(&format!("%YAML 1.2\n---\n{whole}")), ["a"]);
    assert_eq!(ids(&format!("{whole}# a comment\n\n")), ["a"]);
}

#[test]
fn marks_of_a_merge_are_found_in_a_block_of_text_too() {
    let text = format!(
        "{HEAD}cancellations:\n  - id: a\n    provider: donations\n    when: now\n    reason: |-\n      <<<<<<< HEAD\n      one\n      =======\n      two\n      >>>>>>> other\n"
    );
    assert_eq!(first(text.as_bytes()), Some((12, 7, "merge_marker")));
}

#[test]
fn line_ends_of_any_kind_make_the_same_items() {
    let block = format!(
        "{HEAD}cancellations:\n  - id: a\n    provider: donations\n    when: now\n  - {{id: b, provider: donations, when: now}}\n...\n"
    );
    for end in ["\n", "\r\n", "\r"] {
        assert_eq!(ids(&block.replace('\n', end)), ["a", "b"], "{end:?}");
    }
}

#[test]
fn tabs_do_not_indent() {
    let text = format!("{HEAD}cancellations:\n  - id: a\n\tprovider: donations\n    when: now\n");
    let (line, _, code) = first(text.as_bytes()).unwrap();
    assert_eq!(code, "syntax");
    assert!((8..=9).contains(&line), "{line}");
}

#[test]
fn an_alias_is_a_copy_and_stands_for_no_more_than_it_names() {
    let text = format!(
        "{HEAD}cancellations:\n  - {{id: a, provider: donations, when: now, labels: &l {{team: x}}}}\n  - {{id: b, provider: donations, when: now, labels: *l}}\n...\n"
    );
    assert_eq!(ids(&text), ["a", "b"]);
    let within = format!("{HEAD}cancellations: &l\n  - *l\n");
    assert_eq!(first(within.as_bytes()), Some((8, 5, "alias")));
}

#[test]
fn what_lies_too_deep_is_told_where_it_does() {
    let flow = format!("a: {}{}", "[".repeat(20_000), "]".repeat(20_000));
    let (line, column, code) = first(flow.as_bytes()).unwrap();
    assert!(line == 1 && column < 300 && matches!(code, "too_deep" | "syntax"));
    let block: String = (0..20_000).map(|_| "- ").collect();
    let (line, column, code) = first(format!("{block}a\n").as_bytes()).unwrap();
    assert_eq!((line, code), (1, "too_deep"));
    assert!(column < 200, "{column}");
    let keys: String = (0..20_000).map(|_| "? ").collect();
    assert!(first(keys.as_bytes()).is_some());
    for open in ["[", "{", "[{", "{a: [", "[[[[", "- [", "&a [", "!a {"] {
        let text = open.repeat(1_000_000 / open.len());
        assert!(first(text.as_bytes()).is_some(), "{open}");
    }
}

/// Both stand in what `explain` and the API print; `requested` may have several lines.
#[test]
fn no_free_word_of_an_item_holds_a_character_that_a_terminal_obeys() {
    let wrong = |key: &str, words: &str| {
        let text = item(&format!(
            "id: a, provider: donations, when: now, {key}: \"{words}\""
        ));
        matches!(first(text.as_bytes()), Some((8, _, "value" | "reason")))
    };
    for words in ["a\\e[2Jb", "a\\x7fb", "a\\rb"] {
        assert!(
            wrong("reason", words) && wrong("requested", words),
            "{words}"
        );
    }
    assert!(wrong("reason", "a\\nb") && !wrong("requested", "a\\nb"));
    assert!(wrong("reason", &"x".repeat(201)) && wrong("requested", &"x".repeat(1_001)));
}

/// `compile` of a pattern that is too large or lies too deep would panic.
#[test]
fn a_pattern_that_no_machine_can_hold_is_told() {
    let deep = format!("{}a{}", "{".repeat(400), "}".repeat(400));
    let long = "[!a]".repeat(16_000);
    for pattern in [deep, long] {
        let text = format!(
            "{HEAD}policies:\n  - name: p\n    match: {{id: \"{pattern}\"}}\n    set: {{when: now}}\ncancellations: []\n"
        );
        let (line, column, code) = first(text.as_bytes()).unwrap();
        assert_eq!((line, column), (9, 17), "{code}");
        let text = format!("{HEAD}include: [\"{pattern}\"]\ncancellations: []\n");
        let (line, column, code) = first(text.as_bytes()).unwrap();
        assert_eq!((line, column), (7, 11), "{code}");
        assert!(lapsed::desired::includes(text.as_bytes()).is_empty());
    }
}
