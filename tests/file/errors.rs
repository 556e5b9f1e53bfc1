//! Every rule that a file can break: the place, and what is said of it.

use super::{HEAD, read_all, read_one};

/// Reads the head and `rest`; gives `line:column code message` of each problem.
fn problems(rest: &str) -> Vec<String> {
    told(&format!("{HEAD}{rest}"))
}

fn told(text: &str) -> Vec<String> {
    match read_one(text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems
            .iter()
            .map(|it| format!("{}:{} {} {}", it.line, it.column, it.code, it.message))
            .collect(),
    }
}

/// One problem: its place and code begin the line, and every fragment is in it.
fn assert_told(problems: &[String], begins: &str, fragments: &[&str]) {
    assert!(
        is_told(problems, begins, fragments),
        "{begins} {fragments:?}: {problems:#?}"
    );
}

fn is_told(problems: &[String], begins: &str, fragments: &[&str]) -> bool {
    matches!(problems, [one] if one.starts_with(begins) && fragments.iter().all(|it| one.contains(it)))
}

/// What was told otherwise than expected, of many cases at once.
fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "told otherwise:\n{}", wrong.join("\n"));
}

#[test]
fn what_breaks_a_rule_of_the_items_is_told_at_its_place() {
    let lotus = "provider: metered, usage_behavior: bill_full, invoicing_behavior: invoice_now";
    let long = "x".repeat(201);
    let item = |fields: &str| format!("cancellations:\n  - {{id: a, {fields}}}\n");
    let cases: Vec<(String, &str, Vec<&str>)> = vec![
        (
            item("provider: donations, whn: now, when: now"),
            "8:34 unknown_key",
            vec!["`whn`", "did you mean `when`?", "`reason`"],
        ),
        (
            item("provider: donations, when: end_of_perod"),
            "8:40 when",
            vec![
                "\"end_of_perod\"",
                "did you mean `end_of_period`?",
                "`now`",
                "a day such as",
            ],
        ),
        (
            item("provider: donations, when: 2026-02-30"),
            "8:40 when",
            vec!["2026-02-30 does not exist"],
        ),
        (
            item("provider: donations, when: \"2027-03-28T02:30\""),
            "8:40 when",
            vec!["does not exist in Europe/Berlin"],
        ),
        (
            item("provider: donations"),
            "8:5 missing",
            vec!["`when`", "no default"],
        ),
        (
            item("when: now"),
            "8:5 missing",
            vec!["`provider`", "`academy`", "`donations`", "`metered`"],
        ),
        (
            item("provider: donatons, when: now"),
            "8:23 unknown_provider",
            vec!["\"donatons\"", "did you mean `donations`?"],
        ),
        (
            "cancellations: [{provider: donations, when: now}]\n".to_owned(),
            "7:17 missing",
            vec!["no `id`"],
        ),
        (
            "cancellations: [{id: a b, provider: donations, when: now}]\n".to_owned(),
            "7:22 id",
            vec!["\"a b\"", "1 to 128 of"],
        ),
        (
            "cancellations: [{id: \"a\u{200b}b\", provider: donations, when: now}]\n".to_owned(),
            "7:22 id",
            vec!["1 to 128 of"],
        ),
        (
            format!("cancellations: [{{id: sub_65aa, when: now, {lotus}}}]\n"),
            "7:22 id",
            vec!["32 hex digits"],
        ),
        (
            item("provider: donations, when: now, again: 0"),
            "8:52 number",
            vec!["`again` is 0"],
        ),
        (
            item("provider: donations, when: now, again: x"),
            "8:52 number",
            vec!["\"x\" is no whole number"],
        ),
        (
            item("provider: donations, when: now, usage_behavior: bill_full"),
            "8:61 field_lacking",
            vec!["`usage_behavior`", "revere"],
        ),
        (
            item("provider: donations, when: end_of_period, period_ends: 2026-12-14"),
            "8:68 field_lacking",
            vec!["`period_ends`", "tells it itself"],
        ),
        (
            item("provider: donations, when: now, expect: {custmer: x}"),
            "8:63 expect_field",
            vec!["\"custmer\"", "did you mean `customer`?"],
        ),
        (
            item("provider: donations, when: end_of_period, window: {opens: 1h, closes: 2h}"),
            "8:63 window",
            vec!["`opens` must be the longer"],
        ),
        (
            item("provider: donations, when: end_of_period, when_missed: nxt_period"),
            "8:68 word",
            vec!["did you mean `next_period`?", "`ask`"],
        ),
        (
            item(&format!(
                "provider: donations, when: now, labels: {{a: {long}}}"
            )),
            "8:57 value",
            vec!["at most 200 characters"],
        ),
        (
            item("provider: donations, when: now, reason: \"two\\nlines\""),
            "8:53 reason",
            vec!["line breaks"],
        ),
        (
            item("provider: donations, when: [now]"),
            "8:40 wrong_type",
            vec!["`when`", "a list", "expected a text"],
        ),
        (
            "cancellations:\n  - just text\n".to_owned(),
            "8:5 wrong_type",
            vec!["an item is a map"],
        ),
        (
            "cancellations: {a: b}\n".to_owned(),
            "7:16 wrong_type",
            vec!["`cancellations` is a list"],
        ),
        (
            "cancellations:\n".to_owned(),
            "7:1 empty_value",
            vec!["an empty list is written `[]`"],
        ),
        (
            item("provider: donations, when:"),
            "8:34 empty_value",
            vec!["`when` has no value"],
        ),
    ];
    let mut wrong = Vec::new();
    for (text, begins, fragments) in cases {
        // An empty `when` is missing too; both are told.
        let mut problems = problems(&text);
        problems.retain(|it| !(begins.contains("empty_value") && it.contains(" missing ")));
        if !is_told(&problems, begins, &fragments) {
            wrong.push(format!("{begins} {fragments:?}: {problems:?}"));
        }
    }
    assert_none(&wrong);
}

#[test]
fn lotus_is_told_to_choose_what_is_billed_when_it_is_cut_off() {
    let id = "65aa0000000040008000000000000001";
    let problems = problems(&format!(
        "cancellations: [{{id: {id}, provider: metered, when: now}}]\n"
    ));
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(
        problems[0].contains("choice_missing")
            && problems[0].contains("`bill_full` or `bill_none`")
    );
    assert!(problems[1].contains("`invoice_now`"), "{}", problems[1]);
    let at_end = format!(
        "cancellations: [{{id: {id}, provider: metered, when: end_of_period, usage_behavior: bill_full}}]\n"
    );
    assert_told(
        &self::problems(&at_end),
        "7:112 field_lacking",
        &["bills as usual"],
    );
}

#[test]
fn a_subscription_listed_twice_is_told_with_both_places_in_whatever_spelling() {
    let lotus =
        "provider: metered, when: now, usage_behavior: bill_full, invoicing_behavior: invoice_now";
    let text = format!(
        "{HEAD}include: [\"*.yaml\"]\ncancellations: [{{id: sub_65aa0000000040008000000000000001, {lotus}}}]\n"
    );
    let more =
        format!("cancellations:\n  - {{id: 65AA0000-0000-4000-8000-000000000001, {lotus}}}\n");
    let problems = read_all(&[("lapsed.yaml", &text), ("more.yaml", &more)]).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert_eq!(
        (problems[0].file.as_str(), problems[0].line),
        ("more.yaml", 2)
    );
    assert!(
        problems[0].message.contains("first at lapsed.yaml:8:22"),
        "{}",
        problems[0].message
    );
    assert!(problems[0].message.contains("again: 2"));
}

#[test]
fn what_breaks_a_rule_of_the_settings_is_told_at_its_place() {
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "polices: []\n",
            "7:1 unknown_key",
            &["`polices`", "did you mean `policies`?"],
        ),
        (
            "mode: enforec\n",
            "7:7 mode",
            &["did you mean `enforce`?", "`observe`"],
        ),
        ("listen: localhost\n", "7:9 address", &["127.0.0.1:9740"]),
        ("ledger: mysql://x\n", "7:9 ledger", &["sqlite:"]),
        ("ledger_id: xyz\n", "7:12 ledger_id", &["32 hex digits"]),
        (
            "notify: {webhooks: {a b: {url: \"https://h.example\", secret: {env: S}}}}\n",
            "7:26 webhook_name",
            &["\"a b\" is no name of a webhook"],
        ),
        (
            "notify: {webhooks: {a: {url: \"http://h.example\", secret: {env: S}}}}\n",
            "7:30 url",
            &["`url`", "not https", "http on loopback alone"],
        ),
        (
            "notify: {webhooks: {a: {url: \"https://u:p@h.example\", secret: {env: S}}}}\n",
            "7:30 url",
            &["credentials in a URL are refused", "url_from"],
        ),
        (
            "notify: {webhooks: {a: {url: \"https://h.example\"}}}\n",
            "7:24 missing",
            &[
                "webhook `a` needs a `secret`",
                "{env: LAPSED_WEBHOOK_SECRET}",
            ],
        ),
        (
            "notify: {webhooks: {a: {secret: {env: S}}}}\n",
            "7:24 missing",
            &["needs a `url`", "url_from"],
        ),
        (
            "notify: {webhooks: {a: {url: \"https://h.example\", url_from: {env: U}, secret: {env: S}}}}\n",
            "7:61 conflict",
            &["say the same"],
        ),
        (
            "notify: {webhooks: {a: {url: \"https://h.example\", secret: {value: s}}}}\n",
            "7:59 inline_secret",
            &["a secret in the file itself is refused"],
        ),
        (
            "notify: {webhooks: {a: {url: \"https://h.example\", secret: {env: S}, events: [faild]}}}\n",
            "7:78 notice",
            &["did you mean `failed`?", "`held_past_deadline`"],
        ),
        (
            "notify: {webhooks: {a: {url: \"https://h.example\", secret: {env: S}, events: []}}}\n",
            "7:77 empty_value",
            &["nothing would be told"],
        ),
        (
            "notify: {heartbeat: {}}\n",
            "7:21 missing",
            &["needs a `url`"],
        ),
        ("notify: {digest: daily}\n", "7:18 schedule", &["`digest`"]),
        ("max_items: many\n", "7:12 number", &["no whole number"]),
        ("max_bytes: 5MB\n", "7:12 size", &["512MiB"]),
        ("max_bytes: 5\n", "1:1 too_large", &["`max_bytes` allows 5"]),
        (
            "allowed_hosts: [\"https://a\"]\n",
            "7:17 host",
            &["without scheme"],
        ),
        (
            "include: more.yaml\n",
            "7:10 wrong_type",
            &["`include`", "expected a list"],
        ),
        (
            "include: [../other/*.yaml]\n",
            "7:11 include_outside",
            &["leaves this file's folder"],
        ),
        (
            "include: [/etc/*.yaml]\n",
            "7:11 include_outside",
            &["leaves this file's folder"],
        ),
        (
            "include: [\"a[\"]\n",
            "7:11 include_pattern",
            &["is no pattern"],
        ),
        ("include:\n", "7:1 empty_value", &["written `[]`"]),
        (
            "admin_token: hunter2\n",
            "7:14 wrong_type",
            &["{env: NAME}", "never itself"],
        ),
        (
            "admin_token: {value: hunter2}\n",
            "7:14 inline_secret",
            &["{env: NAME}"],
        ),
        (
            "admin_token: {evn: A}\n",
            "7:14 wrong_type",
            &["{env: NAME}"],
        ),
        (
            "admin_token: {env: \"\"}\n",
            "7:14 secret",
            &["no name of an environment variable"],
        ),
        (
            "limits: {per_hour: -1}\n",
            "7:20 number",
            &["no whole number"],
        ),
        (
            "limits: {removal_above: 120%}\n",
            "7:25 share",
            &["0% to 100%"],
        ),
        (
            "limits: {stop_after_failures: 0}\n",
            "7:31 number",
            &["above 0"],
        ),
        (
            "policies: [{set: {when: now}}]\n",
            "7:12 missing",
            &["needs a `name`"],
        ),
        ("policies: [{name: a}]\n", "7:12 missing", &["sets nothing"]),
        (
            "policies: [{name: a, set: {when: now}}, {name: a, set: {when: now}}]\n",
            "7:48 policy_name",
            &["line 7"],
        ),
        (
            "policies: [{name: a, match: {provider: nobody}, set: {when: now}}]\n",
            "7:40 unknown_provider",
            &["`academy`"],
        ),
        (
            "policies: [{name: a, match: {type: kajabbi}, set: {when: now}}]\n",
            "7:36 provider_type",
            &["did you mean `kajabi`?"],
        ),
        (
            "policies: [{name: a, match: {id: \"a[\"}, set: {when: now}}]\n",
            "7:34 pattern",
            &["is no pattern"],
        ),
        (
            "policies: [{name: a, match: {labels: {x: []}}, set: {when: now}}]\n",
            "7:38 empty_value",
            &["would match nothing"],
        ),
        (
            "policies: [{name: a, match: {provider: academy}, set: {usage_behavior: bill_full}}]\n",
            "7:72 policy_unused",
            &["no provider that it speaks of takes"],
        ),
        (
            "freezes: [{name: a, from: 2026-11-30, until: 2026-11-27}]\n",
            "7:46 freeze_backwards",
            &["before it starts"],
        ),
        (
            "freezes: [{name: a, from: 2026-11-31, until: 2026-12-01}]\n",
            "7:27 day",
            &["does not exist"],
        ),
        (
            "freezes: [{name: a, from: 2026-11-30}]\n",
            "7:11 freeze",
            &["`from` and `until`"],
        ),
        (
            "freezes: [{name: a, cron: \"0 0 * * SAT\", for: 0s}]\n",
            "7:47 duration",
            &["never hold"],
        ),
        (
            "freezes: [{name: a, cron: \"0 0 * *\", for: 48h}]\n",
            "7:27 schedule",
            &["found 4 fields"],
        ),
        (
            "freezes: [{from: 2026-11-27, until: 2026-11-30}]\n",
            "7:11 missing",
            &["needs a `name`"],
        ),
        (
            "approvals: [{plan: xyz, by: a, until: 2026-12-02}]\n",
            "7:20 digest",
            &["32 hex digits"],
        ),
        (
            "approvals: [{plan: 3f9c2a713f9c2a713f9c2a713f9c2a71, until: 2026-12-02}]\n",
            "7:13 missing",
            &["`by`"],
        ),
    ];
    let mut wrong = Vec::new();
    for (text, begins, fragments) in cases {
        let problems = problems(text);
        if !is_told(&problems, begins, fragments) {
            wrong.push(format!("{begins} {fragments:?}: {problems:?}"));
        }
        assert!(
            !problems.concat().contains("hunter2"),
            "a secret was told: {problems:?}"
        );
    }
    assert_none(&wrong);
}

#[test]
fn what_breaks_a_rule_of_a_provider_is_told_at_its_place() {
    let revere = "type: revere, group_id: g, linked_account_id: l, api_key: {env: K}";
    let lotus = "type: lotus, api_key: {env: K}";
    let cases: Vec<(String, &str, Vec<&str>)> = vec![
        ("{}".to_owned(), "2:12 missing", vec!["`providers`"]),
        ("{p: {}}".to_owned(), "2:13 missing", vec!["needs a `type`"]),
        (
            "{p: {type: stripe}}".to_owned(),
            "2:23 provider_type",
            vec!["`kajabi`, `revere`, `lotus`"],
        ),
        (
            format!("{{\"p q\": {{{revere}}}}}"),
            "2:13 provider_name",
            vec!["\"p q\"", "1 to 63 letters"],
        ),
        (
            "{p: {type: kajabi}}".to_owned(),
            "2:13 credentials",
            vec!["`client_id` and `client_secret`, or `token`"],
        ),
        (
            "{p: {type: kajabi, client_id: {env: A}}}".to_owned(),
            "2:13 credentials",
            vec!["`client_secret`"],
        ),
        (
            format!("{{p: {{{lotus}}}}}"),
            "2:13 missing",
            vec!["needs a `base_url`"],
        ),
        (
            format!("{{p: {{{lotus}, token: {{env: T}}, base_url: \"https://l.example.com\"}}}}"),
            "2:13 credentials",
            vec!["never both"],
        ),
        (
            format!("{{p: {{{revere}, organization_id: o}}}}"),
            "2:102 foreign_key",
            vec!["of lotus"],
        ),
        (
            format!("{{p: {{{revere}, base_url: \"http://r.example.com\"}}}}"),
            "2:95 https",
            vec!["is not https"],
        ),
        (
            format!("{{p: {{{revere}, base_url: \"r.example.com\"}}}}"),
            "2:95 url",
            vec!["an https URL"],
        ),
        (
            format!("{{p: {{{revere}, base_url: \"https://user:hunter2@r.example.com\"}}}}"),
            "2:95 inline_secret",
            vec!["credentials in a URL"],
        ),
        (
            format!("{{p: {{{revere}, rate_limit: 60}}}}"),
            "2:97 rate",
            vec!["such as 60/m"],
        ),
        (
            format!("{{p: {{{revere}, concurrency: 0}}}}"),
            "2:98 number",
            vec!["1 to 256"],
        ),
        (
            format!("{{p: {{{revere}, timeout: soon}}}}"),
            "2:94 duration",
            vec!["20s, 30m, 24h"],
        ),
        (
            format!("{{p: {{{revere}, timeout: 20s, resend_after: 20s}}}}"),
            "2:113 resend_after",
            vec!["must be longer than `timeout`"],
        ),
        (
            format!("{{p: {{{revere}, schedule: \"61 * * * *\"}}}}"),
            "2:95 schedule",
            vec!["minute: found `61`", "0 to 59"],
        ),
        (
            format!("{{p: {{{revere}, require_expect: [ofer]}}}}"),
            "2:102 expect_field",
            vec!["`customer`, `plan`"],
        ),
        (
            format!("{{p: {{{revere}, formerly: p}}}}"),
            "2:95 formerly",
            vec!["a provider of this file"],
        ),
        (
            format!("{{p: {{{revere}, proxy: nowhere}}}}"),
            "2:92 url",
            vec!["http://proxy.example.com:3128"],
        ),
        (
            format!("{{p: {{{revere}, mode: off}}}}"),
            "2:91 mode",
            vec!["`observe`, `enforce`"],
        ),
        (
            format!("{{p: {{{revere}, shedule: x}}}}"),
            "2:85 unknown_key",
            vec!["did you mean `schedule`?"],
        ),
        (
            format!("{{p: {{{revere}}}, q: {{{revere}}}}}"),
            "2:89 same_account",
            vec!["two names for one account"],
        ),
        (
            "{p: {type: revere, group_id: g/../h, linked_account_id: l, api_key: {env: K}}}"
                .to_owned(),
            "2:41 missing",
            vec!["`group_id`"],
        ),
        (
            "{p: {type: revere, group_id: g, linked_account_id: l, api_key: {value: hunter2}}}"
                .to_owned(),
            "2:75 inline_secret",
            vec!["`base_url` is on loopback"],
        ),
    ];
    let mut wrong = Vec::new();
    for (providers, begins, fragments) in cases {
        let problems = told(&format!("version: 1\nproviders: {providers}\n"));
        if !is_told(&problems, begins, &fragments) {
            wrong.push(format!("{begins} {fragments:?}: {problems:?}"));
        }
        assert!(
            !problems.concat().contains("hunter2"),
            "a secret was told: {problems:?}"
        );
    }
    assert_none(&wrong);
    let loopback = "version: 1\nproviders: {p: {type: revere, group_id: g, linked_account_id: l, api_key: {value: x}, base_url: \"http://127.0.0.1:1/revere\"}}\n";
    assert_eq!(told(loopback), Vec::<String>::new());
}

#[test]
fn a_reason_must_be_one_of_those_that_the_provider_has() {
    let text = "version: 1\nproviders:\n  p: {type: revere, group_id: g, linked_account_id: l, api_key: {env: K}, reasons: [Fraud, Duplicate Order]}\ncancellations: [{id: a, when: now, reason: Frad}]\n";
    assert_told(
        &told(text),
        "4:44 reason",
        &["did you mean `Fraud`?", "`Duplicate Order`"],
    );
}

#[test]
fn a_bare_day_needs_a_zone() {
    let text = "version: 1\nproviders:\n  p: {type: revere, group_id: g, linked_account_id: l, api_key: {env: K}}\ncancellations: [{id: a, when: 2026-12-31}]\n";
    assert_told(&told(text), "4:31 when", &["reconcile.timezone"]);
    let zone = "version: 1\nreconcile: {timezone: Europe/Berln}\nproviders:\n  p: {type: revere, group_id: g, linked_account_id: l, api_key: {env: K}}\n";
    assert_told(
        &told(zone),
        "2:23 timezone",
        &["did you mean `Europe/Berlin`?"],
    );
}

#[test]
fn version_one_is_what_is_read() {
    let rest = &HEAD["version: 1\n".len()..];
    assert_told(
        &told(&format!("version: 2\n{rest}")),
        "1:10 version",
        &["reads version 1"],
    );
    assert_told(&told(rest), "1:1 missing", &["`version: 1`"]);
}

#[test]
fn all_problems_of_all_files_are_told_at_once() {
    let main = format!(
        "{HEAD}mode: of\ninclude: [\"*.yaml\"]\ncancellations:\n  - {{id: a, provider: donations, when: soon}}\n  - {{id: b, provider: nobody, when: now}}\n"
    );
    let more = "cancelations: []\ndefaults: {id: x}\n";
    let problems = read_all(&[("lapsed.yaml", &main), ("more.yaml", more)]).unwrap_err();
    let places: Vec<_> = problems
        .iter()
        .map(|it| (it.file.as_str(), it.line, it.code))
        .collect();
    assert_eq!(
        places,
        [
            ("lapsed.yaml", 7, "mode"),
            ("lapsed.yaml", 10, "when"),
            ("lapsed.yaml", 11, "unknown_provider"),
            ("more.yaml", 1, "unknown_key"),
            ("more.yaml", 2, "defaults"),
        ]
    );
}

#[test]
fn an_included_file_may_not_bring_settings() {
    let main = format!("{HEAD}include: [\"*.yaml\"]\n");
    let problems = read_all(&[
        ("lapsed.yaml", &main),
        ("more.yaml", "limits: {per_hour: 9}\ncancellations: []\n"),
    ]);
    let problems = problems.unwrap_err();
    assert_eq!(problems[0].code, "unknown_key");
    assert!(
        problems[0].message.contains("`defaults`, `cancellations`"),
        "{}",
        problems[0].message
    );
}

#[test]
fn a_default_that_a_provider_lacks_is_told_at_the_defaults() {
    let main = format!("{HEAD}include: [\"*.yaml\"]\n");
    let more = "defaults: {usage_behavior: bill_full, when: now}\ncancellations:\n  - {id: a, provider: donations}\n";
    let problems = read_all(&[("lapsed.yaml", &main), ("more.yaml", more)]).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert_eq!((problems[0].line, problems[0].code), (1, "field_lacking"));
}
