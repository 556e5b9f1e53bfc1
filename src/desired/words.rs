//! Words that a key allows, patterns, and how a text of the file is shown.

use globset::{Glob, GlobMatcher};

use crate::model::text::is_unseen;
use crate::yaml::nearest;

/// More characters of a message are not shown: the file may hold any text.
const LONGEST_SHOWN: usize = 1_600;

/// So many of its last characters are: they say what is allowed.
const LAST_SHOWN: usize = 600;

/// The longest pattern: longer ones match no path and no id, and could be too large to compile.
const LONGEST_PATTERN: usize = 500;

/// Braces that lie within each other in a pattern, at most: far fewer than can be compiled.
const DEEPEST_BRACES: usize = 10;

/// A text as it may be shown and logged: whatever a terminal would obey, or what turns or hides
/// what stands around it, is written out, and the middle of what is very long is left out.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unseen(c) {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
    }
    let length = plain.chars().count();
    if length <= LONGEST_SHOWN {
        return plain;
    }
    let first = plain.chars().take(LONGEST_SHOWN - LAST_SHOWN);
    let last = plain.chars().skip(length - LAST_SHOWN);
    first.chain(" … ".chars()).chain(last).collect()
}

/// How deep braces lie within each other.
fn deepest(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Whether compiling a pattern would take too much, or panic.
pub(super) fn too_large(pattern: &str) -> bool {
    pattern.chars().count() > LONGEST_PATTERN || deepest(pattern) > DEEPEST_BRACES
}

/// A pattern that can be matched.
pub(super) fn pattern(text: &str) -> Result<GlobMatcher, String> {
    if too_large(text) {
        return Err(format!(
            "{text:?} is too large a pattern; allowed: {LONGEST_PATTERN} characters, and {DEEPEST_BRACES} braces within each other"
        ));
    }
    match Glob::new(text) {
        Ok(glob) => Ok(glob.compile_matcher()),
        Err(error) => Err(format!("{text:?} is no pattern: {}", error.kind())),
    }
}

/// The value that a word stands for, or what is allowed.
pub(super) fn word<T: Copy>(found: &str, allowed: &[(&'static str, T)]) -> Result<T, String> {
    if let Some((_, value)) = allowed.iter().find(|(word, _)| *word == found) {
        return Ok(*value);
    }
    Err(not_allowed(found, allowed.iter().map(|(word, _)| *word)))
}

/// What is said of a word that is not allowed.
pub(super) fn not_allowed<'w>(
    found: &str,
    allowed: impl IntoIterator<Item = &'w str> + Clone,
) -> String {
    let list: Vec<String> = allowed
        .clone()
        .into_iter()
        .map(|word| format!("`{word}`"))
        .collect();
    let list = list.join(", ");
    match nearest(found, allowed) {
        Some(near) => format!("{found:?} is not allowed; did you mean `{near}`? Allowed: {list}"),
        None => format!("{found:?} is not allowed; allowed: {list}"),
    }
}
