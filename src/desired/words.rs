//! Words that a key allows.

use crate::yaml::nearest;

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
