//! Labels: an item's own words, by their names.

use std::collections::BTreeMap;

use lapsed::model::labels::Labels;

#[test]
fn labels_are_found_by_their_whole_names_and_kept_as_a_map_of_texts() {
    let labels = Labels::from([("ticket", "OPS-1"), ("batch", "autumn")].map(owned));
    assert_eq!(labels.get("ticket"), Some("OPS-1"));
    assert_eq!(labels.get("tick"), None);
    let all: Vec<_> = labels.iter().collect();
    assert_eq!(all, [("batch", "autumn"), ("ticket", "OPS-1")]);
    let text = serde_json::to_string(&labels).unwrap();
    assert_eq!(text, r#"{"batch":"autumn","ticket":"OPS-1"}"#);
    assert_eq!(serde_json::from_str::<Labels>(&text).unwrap(), labels);
}

#[test]
fn no_labels_are_none() {
    assert!(Labels::default().is_empty());
    assert!(Labels::from(BTreeMap::new()).is_empty());
    assert!(!Labels::from([("a", "b")].map(owned)).is_empty());
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}
