//! What an answer to a write means: one table for all of its questions.

use std::time::Duration;

use lapsed::model::act::Answer;

const WAIT: Duration = Duration::from_secs(7);

/// Each answer with its word, whether it surely was not done, whether it counts as an attempt,
/// and the pause that it asks for.
fn table() -> [(Answer, &'static str, bool, bool, Option<Duration>); 8] {
    let why = || "so it is".to_owned();
    let refused = Answer::Refused {
        status: 422,
        words: why(),
    };
    let throttled = Answer::Throttled { retry_after: WAIT };
    let unavailable = Answer::Unavailable { retry_after: WAIT };
    [
        (Answer::Accepted, "accepted", false, true, None),
        (refused, "refused", true, true, None),
        (throttled, "throttled", true, false, Some(WAIT)),
        (unavailable, "unavailable", false, false, Some(WAIT)),
        (Answer::Unauthorized, "unauthorized", true, false, None),
        (Answer::Forbidden, "forbidden", true, false, None),
        (
            Answer::NotSent { why: why() },
            "not_sent",
            true,
            false,
            None,
        ),
        (Answer::Unclear { why: why() }, "unclear", false, true, None),
    ]
}

#[test]
fn each_answer_means_what_the_table_says() {
    for (answer, outcome, surely_not_done, counts, retry_after) in table() {
        assert_eq!(answer.outcome(), outcome);
        assert_eq!(answer.surely_not_done(), surely_not_done, "{outcome}");
        assert_eq!(answer.may_have_happened(), !surely_not_done, "{outcome}");
        assert_eq!(answer.counts_as_attempt(), counts, "{outcome}");
        assert_eq!(answer.retry_after(), retry_after, "{outcome}");
    }
}

#[test]
fn the_words_of_the_metrics_are_those_of_the_answers() {
    assert_eq!(table().map(|(_, outcome, ..)| outcome), Answer::OUTCOMES);
}
