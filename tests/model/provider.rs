//! What each kind of provider can do.

use lapsed::model::provider::{Capabilities, ExpectField, ProviderKind};

#[test]
fn the_words_of_the_file_are_those_of_the_records() {
    for (kind, word) in ProviderKind::ALL
        .into_iter()
        .zip(["kajabi", "revere", "lotus"])
    {
        assert_eq!((kind.as_str(), kind.to_string().as_str()), (word, word));
        assert_eq!(serde_json::to_value(kind).unwrap(), word);
    }
    for (field, word) in ExpectField::ALL
        .into_iter()
        .zip(["customer", "plan", "offer"])
    {
        assert_eq!(field.as_str(), word);
        assert_eq!(serde_json::to_value(field).unwrap(), word);
    }
}

#[test]
fn one_cancellation_asks_for_two_looks_and_the_cancel() {
    let requests = ProviderKind::ALL.map(|kind| kind.capabilities().requests_per_item());
    assert_eq!(requests, [3, 3, 5]);
}

#[test]
fn only_lotus_ends_by_itself_only_revere_takes_a_reason_and_kajabi_tells_no_end() {
    let those = |can: fn(&Capabilities) -> bool| -> Vec<&str> {
        let all = ProviderKind::ALL.into_iter();
        all.filter(|kind| can(&kind.capabilities()))
            .map(ProviderKind::as_str)
            .collect()
    };
    assert_eq!(those(|it| it.native_period_end), ["lotus"]);
    assert_eq!(those(|it| it.takes_behaviors), ["lotus"]);
    assert_eq!(those(|it| it.takes_reason), ["revere"]);
    assert_eq!(those(|it| it.tells_period_end), ["revere", "lotus"]);
    assert_eq!(those(|it| it.lists_in_pages), ["kajabi", "revere"]);
    assert_eq!(
        those(|it| it.default_base_url.is_some()),
        ["kajabi", "revere"]
    );
}
