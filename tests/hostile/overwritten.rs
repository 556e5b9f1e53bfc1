//! Files that are overwritten in place and read half way: the first bytes are the new file's, the
//! rest still the old one's.
//!
//! No parser can tell such a mixture from a file that somebody wrote. It is the source that never
//! hands one on: it publishes what two readings some time apart agree on, with the same times and
//! sizes before and after each. What the parser and the end mark catch of it is measured here, so
//! that nobody relies on more.

use super::properties::{HEAD, MAIN, judge};

/// What becomes of all mixtures of two versions.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    /// Bytes that differ lie on both sides of the seam: a mixture of neither version.
    mixed: usize,
    /// Of these, refused.
    refused: usize,
    /// Accepted, and every request is one of either version.
    known: usize,
    /// Accepted with an id that is in neither.
    foreign: usize,
    /// Of these, without the end mark that both versions have.
    unmarked: usize,
}

fn mixtures(old: &str, new: &str) -> Count {
    let ids = |text: &str| -> Vec<String> {
        let manifest = judge(&[(MAIN, text.as_bytes())]).unwrap();
        manifest
            .wanted
            .iter()
            .map(|it| it.key.to_string())
            .collect()
    };
    let known: Vec<String> = ids(old).into_iter().chain(ids(new)).collect();
    let mut count = Count::default();
    for at in 0..=new.len() {
        // A file that shrinks is cut to its new length in the end: until then the rest stays.
        let rest = old.as_bytes().get(at..).unwrap_or_default();
        let mixed = [&new.as_bytes()[..at], rest].concat();
        if mixed == old.as_bytes() || mixed == new.as_bytes() {
            continue;
        }
        count.mixed += 1;
        match judge(&[(MAIN, &mixed)]) {
            Err(_) => count.refused += 1,
            Ok(manifest) => {
                let all = |it: &lapsed::model::terms::Wanted| known.contains(&it.key.to_string());
                if manifest.wanted.iter().all(all) {
                    count.known += 1;
                } else {
                    count.foreign += 1;
                    count.unmarked += usize::from(!manifest.end_mark);
                }
            }
        }
    }
    count
}

fn file(items: &[&str]) -> String {
    let items: String = items
        .iter()
        .map(|id| format!("  - {{id: {id}, provider: donations, when: now}}\n"))
        .collect();
    format!("{HEAD}cancellations:\n{items}...\n")
}

/// An id that is replaced by another one as long: each seam within the digits that differ makes
/// an id that nobody wrote, in a file that is valid and ends in its mark.
#[test]
fn an_id_that_is_half_overwritten_passes_the_parser_and_the_end_mark() {
    let count = mixtures(
        &file(&["1000123", "2000456"]),
        &file(&["1000789", "2000456"]),
    );
    assert_eq!(
        count,
        Count {
            mixed: 2,
            foreign: 2,
            ..Count::default()
        }
    );
}

/// An item that is put in before others shifts all that follows. Where the lines are alike, more
/// than half of the mixtures are valid, most of them with ids that one of the versions has (one
/// asked for by neither in this number), some with an id of neither; all of them with the mark.
#[test]
fn an_item_that_is_put_in_half_way_passes_more_often_than_not() {
    let old = file(&["1000123", "2000456"]);
    let new = file(&["1000789", "1000123", "2000456"]);
    assert_eq!(
        mixtures(&old, &new),
        Count {
            mixed: 140,
            refused: 50,
            known: 82,
            foreign: 8,
            unmarked: 0
        }
    );
}

/// Lotus' ids have a length and an alphabet of their own: what is mixed of two is still an id.
#[test]
fn a_mixture_of_two_ids_of_one_form_has_that_form() {
    let of = |id: &str| {
        format!(
            "{HEAD}cancellations:\n  - {{id: {id}, provider: metered, when: end_of_period}}\n...\n"
        )
    };
    let count = mixtures(
        &of("sub_65aa0000000040008000000000000001"),
        &of("sub_7bee1111111141118111111111111112"),
    );
    assert_eq!((count.refused, count.known), (0, 0), "{count:?}");
    assert!(count.foreign >= 20, "{count:?}");
}

/// A file written anew over a longer one that is not cut yet: what is left of the old one stands
/// after the new one's end mark, and is refused there.
#[test]
fn what_is_left_of_an_older_file_after_the_new_ones_mark_is_refused() {
    let old = file(&["1000123", "2000456", "3000789"]);
    let new = file(&["1000123"]);
    let mixed = format!("{new}{}", &old[new.len()..]);
    assert!(judge(&[(MAIN, mixed.as_bytes())]).is_err());
}
