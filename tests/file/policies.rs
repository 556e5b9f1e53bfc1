//! Policies: which of them sets a field, and what is of no use.

use lapsed::model::terms::When;

use super::valid;

#[test]
fn for_each_field_the_first_policy_that_matches_and_sets_it_wins() {
    let manifest = valid(
        "policies:
  - {name: fraud, match: {labels: {cause: fraud}}, set: {when: now, reason: Fraud}}
  - {name: donors, match: {provider: donations}, set: {reason: Thanks}}
  - {name: all, set: {when: 2026-12-31, reason: Customer request}}
cancellations:
  - {id: a, provider: donations, labels: {cause: fraud}}
  - {id: b, provider: donations}
  - {id: c, provider: academy}
  - {id: d, provider: academy, reason: Own}
",
    );
    let told: Vec<_> = manifest
        .wanted
        .iter()
        .map(|item| {
            let reason = item.terms.reason.as_ref().unwrap();
            (
                item.terms.when.value == When::Now,
                item.terms.when.from.to_string(),
                reason.value.as_str(),
                reason.from.to_string(),
            )
        })
        .collect();
    let row = |now, when: &str, reason, from: &str| (now, when.to_owned(), reason, from.to_owned());
    assert_eq!(
        told,
        [
            row(true, "policy `fraud`", "Fraud", "policy `fraud`"),
            row(false, "policy `all`", "Thanks", "policy `donors`"),
            row(false, "policy `all`", "Customer request", "policy `all`"),
            row(false, "policy `all`", "Own", "item"),
        ]
    );
}

#[test]
fn a_policy_matches_by_provider_type_id_and_labels_and_all_must_hold() {
    let manifest = valid(
        "policies:
  - {name: both, match: {type: [revere, lotus], id: \"x*\"}, set: {when: 2026-01-01T00:00:00Z}}
  - {name: glob, match: {provider: \"don*\", labels: {t: [a, b]}}, set: {when: 2026-01-02T00:00:00Z}}
  - {name: rest, set: {when: now}}
cancellations:
  - {id: x1, provider: donations}
  - {id: x1, provider: academy}
  - {id: y1, provider: donations, labels: {t: b}}
  - {id: y2, provider: donations, labels: {t: c}}
",
    );
    let from: Vec<String> = manifest
        .wanted
        .iter()
        .map(|item| item.terms.when.from.to_string())
        .collect();
    assert_eq!(
        from,
        [
            "policy `both`",
            "policy `rest`",
            "policy `glob`",
            "policy `rest`"
        ]
    );
}

#[test]
fn what_a_policy_sets_and_a_provider_lacks_is_told_as_unused() {
    let manifest = valid(
        "policies: [{name: all, set: {when: now, usage_behavior: bill_none, invoicing_behavior: invoice_now}}]
cancellations: [{id: a, provider: donations}]
",
    );
    let unused: Vec<_> = manifest.wanted[0]
        .terms
        .unused
        .iter()
        .map(|it| (it.field.as_str(), it.value.as_str()))
        .collect();
    assert_eq!(
        unused,
        [
            ("usage_behavior", "bill_none"),
            ("invoicing_behavior", "invoice_now")
        ]
    );
}

#[test]
fn terms_that_are_the_same_have_the_same_digest_wherever_they_come_from() {
    let digest = |text: &str| valid(text).wanted[0].terms.digest();
    let by_item = digest("cancellations: [{id: a, provider: donations, when: now, reason: R}]\n");
    let by_policy = digest(
        "policies: [{name: p, set: {reason: R, when: now}}]\ncancellations: [{provider: donations, id: a}]\n",
    );
    assert_eq!(by_item, by_policy);
    let other = digest("cancellations: [{id: a, provider: donations, when: now, reason: S}]\n");
    assert_ne!(by_item, other);
}

#[test]
fn an_end_that_nobody_tells_is_warned_of() {
    let manifest = valid(
        "approvals: [{plan: 3f9c2a713f9c2a713f9c2a713f9c2a71, by: d, until: 2026-12-02}]
cancellations:
  - {id: a, provider: donations, when: end_of_period}
  - {id: b, provider: academy, when: end_of_period}
  - {id: c, provider: academy, when: end_of_period, period_ends: 2026-12-14}
",
    );
    let codes: Vec<_> = manifest.warnings.iter().map(|it| it.code).collect();
    assert_eq!(codes, ["period_end_unknown"]);
}
