//! Names: what is one, and what is none.

use lapsed::model::ids::{Key, ProviderName, SubscriptionId};
use lapsed::model::provider::ProviderKind;

use super::key;

#[test]
fn a_providers_name_is_a_label_and_a_segment_of_a_path() {
    let longest = "n".repeat(63);
    for text in ["a", "0", "Donations-2_x", "9-", longest.as_str()] {
        assert_eq!(ProviderName::parse(text).unwrap().to_string(), text);
    }
    let too_long = "n".repeat(64);
    for text in [
        "",
        "_a",
        "-a",
        "a b",
        "a/b",
        "a.b",
        "ä",
        "aä",
        too_long.as_str(),
    ] {
        let problem = ProviderName::parse(text).unwrap_err();
        assert_eq!(
            problem.to_string(),
            "allowed: 1 to 63 letters, digits, `_` or `-`, beginning with a letter or digit",
            "{text:?}"
        );
    }
}

#[test]
fn a_name_that_is_none_does_not_come_back_from_a_record_either() {
    let name: ProviderName = serde_json::from_str("\"donations\"").unwrap();
    assert_eq!(serde_json::to_string(&name).unwrap(), "\"donations\"");
    assert!(serde_json::from_str::<ProviderName>("\"a b\"").is_err());
}

#[test]
fn an_opaque_id_is_one_segment_of_a_path_and_is_kept_as_written() {
    let longest = "7".repeat(128);
    for text in ["7", "A.b_c~d-9", "...", ".a", longest.as_str()] {
        for kind in [ProviderKind::Kajabi, ProviderKind::Revere] {
            let id = SubscriptionId::parse(kind, text).unwrap();
            assert_eq!((id.as_str(), id.to_string().as_str()), (text, text));
            assert_eq!(id, SubscriptionId::stored(text));
        }
    }
    let too_long = "7".repeat(129);
    for text in ["", ".", "..", "a/b", "a%2e", " 7", too_long.as_str()] {
        assert!(
            SubscriptionId::parse(ProviderKind::Kajabi, text).is_err(),
            "{text:?}"
        );
    }
}

#[test]
fn a_lotus_id_has_thirty_two_hex_digits() {
    let digits = "65aa0000000040008000000000000001";
    let parse = |text: &str| SubscriptionId::parse(ProviderKind::Lotus, text);
    assert_eq!(parse(digits).unwrap().as_str(), format!("sub_{digits}"));
    let spoilt = digits.replace('5', "g");
    for text in [
        "",
        "sub_",
        &digits[1..],
        &format!("{digits}0"),
        &spoilt,
        &format!("sub_sub_{digits}"),
        &format!("plan_{digits}"),
    ] {
        let problem = parse(text).unwrap_err();
        assert!(
            problem.allowed.starts_with("a Lotus subscription id"),
            "{text}"
        );
    }
}

#[test]
fn a_second_request_for_the_same_subscription_is_told_apart() {
    assert_eq!(key("7", 1).to_string(), "donations/7");
    assert_eq!(key("7", 2).to_string(), "donations/7 (again: 2)");
    assert!(key("7", 1) < key("7", 2));
    let text = serde_json::to_string(&key("7", 2)).unwrap();
    assert_eq!(serde_json::from_str::<Key>(&text).unwrap(), key("7", 2));
}
