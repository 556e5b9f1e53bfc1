//! Words of others where people and programs read them: the page, a comment on a pull request,
//! annotations, terminals, CSV. Words come from the file (reasons, labels, names), from file
//! names, from who commands, and from providers.

use lapsed::sandbox::cast;
use serde_json::json;

use super::{explained, hold};
use crate::support::{Daemon, Home, until};

/// Begins markup, a link, an image, a mention, a command of a CI system, and a formula.
const EVIL: &str = r#"<script>alert(1)</script><img src=x onerror=alert(1)>'" !\[x](https://evil.example.com/p.png) [y](javascript:z) @everyone | `code` www.evil.example.com ##[error]x"#;

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A file in which everything that may be said says something evil.
fn file(home: &Home) -> String {
    let settings = format!(
        "freezes:\n  - {{name: {evil}, from: 2030-01-01, until: 2030-01-02}}\n",
        evil = quoted(EVIL)
    );
    let items = format!(
        "\n  - {{id: \"{active}\", provider: academy, reason: {reason}, when: 2029-12-31, labels: {{note: {reason}}}}}\
         \n  - {{id: \"{paused}\", provider: donations, reason: {reason}}}\
         \n  - {{id: \"{monthly}\", provider: donations, expect: {{customer: {reason}}}}}",
        active = cast::KAJABI_ACTIVE,
        paused = cast::REVERE_PAUSED,
        monthly = cast::REVERE_MONTHLY,
        reason = quoted(&EVIL.chars().take(200).collect::<String>()),
    );
    home.text(&settings, &items)
}

fn held() -> (Home, Daemon) {
    let home = Home::new();
    home.fault(
        &json!({ "provider": "revere", "operation": "get", "id": cast::REVERE_PAUSED,
        "status": 200, "times": null,
        "body": json!({"data": {"id": cast::REVERE_PAUSED, "status": EVIL}}).to_string() }),
    );
    home.write_text(&file(&home));
    let daemon = home.daemon();
    let paused = format!("donations/{}", cast::REVERE_PAUSED);
    let monthly = format!("donations/{}", cast::REVERE_MONTHLY);
    until("the provider's words are held", || {
        hold(&home, &paused) == "state_unclear"
    });
    until("the expectation is held", || {
        hold(&home, &monthly) == "expectation"
    });
    (home, daemon)
}

#[test]
fn nothing_that_others_say_is_markup_on_the_page() {
    let (home, daemon) = held();
    home.run(&["pause", "--by", EVIL, "--reason", EVIL])
        .ended(0);
    until("it is paused", || daemon.get("/").body.contains("paused"));
    let mut pages: Vec<String> = [
        "/",
        "/cancellations",
        "/cancellations?state=held",
        "/cancellations?q=%3Cscript%3Ealert(1)%3C/script%3E",
        "/events",
        "/file",
        "/file?name=%3Cscript%3E",
    ]
    .iter()
    .map(|path| daemon.get(path).body)
    .collect();
    for (provider, id) in [
        ("academy", cast::KAJABI_ACTIVE),
        ("donations", cast::REVERE_PAUSED),
        ("donations", cast::REVERE_MONTHLY),
    ] {
        pages.push(daemon.get(&format!("/cancellations/{provider}/{id}")).body);
    }
    let mut said = 0;
    for page in &pages {
        let ours = r#"<script src="/assets/lapsed.js" defer></script>"#;
        let small = page.to_ascii_lowercase().replacen(ours, "", 1);
        for evil in [
            "<script",
            "<img src=x",
            "onerror=alert(1)>",
            "href=\"javascript",
            "href=\"https://evil",
        ] {
            assert!(!small.contains(evil), "{evil} in {page}");
        }
        said += usize::from(small.contains("&lt;script"));
    }
    assert!(said >= 7, "they are told, as text: {said}");
}

#[test]
fn nothing_that_others_say_is_markup_in_a_comment_of_a_pull_request() {
    let (home, _daemon) = held();
    for args in [
        vec!["plan", "--format", "markdown"],
        vec![
            "plan",
            "--format",
            "markdown",
            "--offline",
            "--until",
            "2031-01-01",
        ],
    ] {
        let plan = home.run(&args).ended(0).out;
        assert!(plan.contains("&lt;script"), "{plan}");
        // Fences show what is in them as it is.
        let outside: String = plan.split("```").step_by(2).collect();
        for evil in [
            "<script",
            "<img",
            "](",
            "@everyone",
            "https://evil",
            " www.evil",
            "##[error",
        ] {
            assert!(!outside.contains(evil), "{evil} in {outside}");
        }
    }
}

#[test]
fn what_would_end_a_fence_does_not() {
    let home = Home::new();
    let freeze = "freezes:\n  - {name: '````` <b>', from: 2030-01-01, until: 2030-01-02}\n";
    let item = format!(
        "\n  - {{id: \"{}\", provider: academy, when: 2029-12-31}}",
        cast::KAJABI_ACTIVE
    );
    home.write_text(&home.text(freeze, &item));
    let plan = home
        .run(&[
            "plan",
            "--format",
            "markdown",
            "--offline",
            "--until",
            "2031-01-01",
        ])
        .ended(0)
        .out;
    assert!(plan.contains("<b>"), "it is told: {plan}");
    assert_eq!(plan.matches("```").count(), 2, "{plan}");
}

#[test]
fn names_and_words_of_the_file_are_one_line_or_refused() {
    let home = Home::new();
    let plain = home.text("", " []");
    let forged = "\"a\\n::error file=x::forged\"";
    let policy = plain.replace("- name: usual", &format!("- name: {forged}"));
    let freeze = home.text(
        &format!("freezes:\n  - {{name: {forged}, from: 2030-01-01, until: 2030-01-02}}\n"),
        " []",
    );
    let approval = home.text(
        &format!(
            "approvals:\n  - {{plan: {}, by: {forged}, until: 2030-01-01}}\n",
            "a".repeat(32)
        ),
        " []",
    );
    let unknown = home.text(&format!("{forged}: 1\n"), " []");
    let reason = home.text(
        "",
        &format!("\n  - {{id: \"1\", provider: academy, reason: {forged}}}"),
    );
    for text in [policy, freeze, approval, unknown, reason] {
        home.write_text(&text);
        for format in ["human", "github", "json"] {
            let ran = home.run(&["check", "--format", format]).ended(78);
            for line in ran.out.lines().chain(ran.err.lines()) {
                let line = line.trim_start();
                assert!(!line.starts_with("::error file=x::"), "{line}");
                assert!(!line.starts_with("::") || format == "github", "{line}");
            }
        }
    }
    let folder = home.path().join("in");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(
        folder.join("a\n::error file=x::forged.yaml"),
        "cancellations: []\n",
    )
    .unwrap();
    home.write_text(&home.text("include: [\"in/*.yaml\"]\n", " []"));
    let ran = home.run(&["check", "--format", "github"]);
    let told = format!("{}{}", ran.out, ran.err);
    assert!(
        ran.code != 0 && told.contains("control characters"),
        "{told}"
    );
    assert!(!told.contains("\n::error file=x"), "{told}");
}

#[test]
fn nothing_that_others_say_steers_a_terminal_or_begins_a_line_that_a_ci_system_obeys() {
    let home = Home::new();
    let evil = "x\u{9b}2J\u{202e}\u{1b}[2J\nforged ::error::y";
    // A file keeps them out of its words, but not all of them everywhere.
    let reason = "::stop-commands::x turns \u{202e}around";
    let item = format!(
        "\n  - {{id: \"{}\", provider: academy, when: 2029-12-31, reason: \"{reason}\"}}\
         \n  - {{id: \"{}\", provider: donations}}",
        cast::KAJABI_ACTIVE,
        cast::REVERE_PAUSED
    );
    home.fault(
        &json!({ "provider": "revere", "operation": "get", "id": cast::REVERE_PAUSED,
        "status": 200, "times": null,
        "body": json!({"data": {"id": cast::REVERE_PAUSED, "status": evil}}).to_string() }),
    );
    home.write_text(&home.text("", &item));
    let _daemon = home.daemon();
    let paused = format!("donations/{}", cast::REVERE_PAUSED);
    until("the provider's words are held", || {
        hold(&home, &paused) == "state_unclear"
    });
    home.run(&["pause", "--by", evil, "--reason", evil])
        .ended(0);
    until("it is paused", || {
        home.run(&["doctor"]).out.contains(" is paused by ")
    });
    let active = format!("academy/{}", cast::KAJABI_ACTIVE);
    let mut heard = 0;
    for args in [
        vec!["status"],
        vec!["status", "--format", "json"],
        vec!["plan"],
        vec!["plan", "--format", "json"],
        vec!["explain", &active],
        vec!["explain", &active, "--format", "json"],
        vec!["explain", &paused],
        vec!["explain", &paused, "--format", "json"],
        vec!["history"],
        vec!["history", "--format", "json"],
        vec!["doctor"],
        vec!["list", "donations", "--all"],
    ] {
        let ran = home.run(&args);
        let told = format!("{}{}", ran.out, ran.err);
        let obeyed = |c: &char| (c.is_control() && !"\n\t".contains(*c)) || *c == '\u{202e}';
        assert_eq!(told.chars().find(obeyed), None, "{args:?}: {told:?}");
        assert!(
            !told.lines().any(|line| line.trim_start().starts_with("::")),
            "{told}"
        );
        assert!(
            !told.lines().any(|line| line.starts_with("forged")),
            "{told}"
        );
        heard += usize::from(told.contains("turns"));
    }
    assert!(heard >= 3, "what they say is told");
    let json = home.run(&["explain", &active, "--format", "json"]).out;
    let item: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(item.to_string().contains('\u{202e}'), "JSON says the same");
    assert_eq!(explained(&home, &active)["id"], cast::KAJABI_ACTIVE);
}

#[test]
fn no_cell_of_a_list_is_a_formula() {
    let home = Home::new();
    let entry = |id: &str, customer: &str| json!({ "id": id, "status": "active", "plan_id": "+1+1", "gateway_customer_id": customer });
    let entries = [
        entry("a", "=HYPERLINK(\"https://evil.example.com\")"),
        entry("b", "-2+3"),
        entry("c", "cus_17"),
    ];
    home.fault(
        &json!({ "provider": "revere", "operation": "list", "status": 200,
        "body": json!({ "data": { "items": entries } }).to_string() }),
    );
    home.write(" []");
    let listed = home.run(&["list", "donations", "--format", "csv"]);
    assert!(
        listed.out.contains("c,donations,cus_17"),
        "{}{}",
        listed.out,
        listed.err
    );
    let cells = listed.out.lines().flat_map(|line| line.split(','));
    for cell in cells {
        let cell = cell.trim_start_matches('"');
        assert!(!cell.starts_with(['=', '+', '-', '@']), "{}", listed.out);
    }
    assert!(listed.err.contains("left out"), "{}", listed.err);
}
