//! What people are told of.

use lapsed::model::notice::NoticeKind;

/// The documents list them, and receivers choose by them.
#[test]
fn the_words_of_the_file_are_those_of_what_is_sent_and_of_the_ledger() {
    let words = [
        "failed",
        "billing_not_confirmed",
        "missed",
        "held_past_deadline",
        "unknown_stuck",
        "approval_waiting",
        "file_rejected",
        "digest",
    ];
    let said = NoticeKind::ALL.map(NoticeKind::as_str);
    assert_eq!(said, words);
    for (kind, word) in NoticeKind::ALL.into_iter().zip(words) {
        assert_eq!(kind.to_string(), word);
        assert_eq!(serde_json::to_value(kind).unwrap(), word);
    }
}
