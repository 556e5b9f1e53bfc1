//! What may be shown as it is.

use lapsed::model::text::is_unseen;

#[test]
fn what_a_terminal_obeys_or_nobody_sees_is_told_from_letters() {
    for c in "a ä 中 🦀 ’ … -\u{a0}".chars() {
        assert!(!is_unseen(c), "{c:?}");
    }
    for c in "\0\t\n\u{7f}\u{9b}\u{ad}\u{200b}\u{202e}\u{2066}\u{feff}\u{e0041}".chars() {
        assert!(is_unseen(c), "{c:?}");
    }
}
