//! The log: a line for each thing that happens to an item, with the fields that a search needs.

use lapsed::sandbox::cast;
use serde_json::Value;

use crate::support::Home;

/// The lines that tell of this subscription, each as it was logged.
fn lines_of(log: &str, id: &str) -> Vec<Value> {
    let lines = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("every line is an object"));
    lines
        .filter(|line: &Value| line["subscription"] == id)
        .collect()
}

/// What two lines say, with the level of each.
fn told(lines: &[Value]) -> Vec<(&str, &str)> {
    let told = lines.iter().map(|line| {
        let message = line["message"].as_str().unwrap();
        (line["level"].as_str().unwrap(), message)
    });
    told.collect()
}

#[test]
fn each_thing_that_happens_to_an_item_is_one_line_with_its_provider_revision_and_attempt() {
    let home = Home::new();
    home.write(&format!(
        "\n  - {{id: \"{}\", provider: academy}}\n  - {{id: nobody, provider: donations}}",
        cast::KAJABI_ACTIVE
    ));
    let ran = home.run(&["run", "--once", "--log-format", "json"]);

    let cancelled = lines_of(&ran.err, cast::KAJABI_ACTIVE);
    let told_of_it = told(&cancelled);
    let key = format!("academy/{}", cast::KAJABI_ACTIVE);
    assert_eq!(told_of_it.len(), 3, "{told_of_it:?}");
    assert!(told_of_it.iter().all(|(level, _)| *level == "INFO"));
    assert!(told_of_it[0].1.starts_with(&format!(
        "{key}: attempt 1: cancel written down, to be sent before "
    )));
    assert_eq!(
        told_of_it[1].1,
        format!("{key}: attempt 1: the provider accepted it; now it is read back")
    );
    assert_eq!(
        told_of_it[2].1,
        format!("{key}: settled as canceled: read back as ended after our cancel")
    );
    let accepted = ran
        .err
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|line| line["new"] == 2)
        .expect("the acceptance is logged");
    for (line, attempt, outcome, state) in [
        (&cancelled[0], Value::from(1), Value::Null, Value::Null),
        (
            &cancelled[1],
            Value::from(1),
            "accepted".into(),
            Value::Null,
        ),
        (&cancelled[2], Value::Null, Value::Null, "canceled".into()),
    ] {
        let fields = &line;
        assert_eq!(fields["provider"], "academy");
        assert_eq!(fields["revision"], accepted["revision"]);
        assert_eq!(fields["attempt"], attempt, "{line}");
        assert_eq!(fields["outcome"], outcome, "{line}");
        assert_eq!(fields["state"], state, "{line}");
    }

    let held = lines_of(&ran.err, "nobody");
    assert_eq!(
        told(&held),
        [(
            "WARN",
            "donations/nobody: held as not_found: the provider knows no such subscription"
        )]
    );
    assert_eq!(held[0]["hold"], "not_found");
}
