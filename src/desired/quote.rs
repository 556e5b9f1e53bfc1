//! Lines of a file that are shown to people, without what could be a secret.

use super::Problem;

/// Problems whose own line is not shown: whoever reads a log need not see a secret once more.
const UNSHOWN: [&str; 2] = ["inline_secret", "wrong_type"];

/// What the names of keys that hold secrets have in them, also misspelt ones.
const SECRETIVE: [&str; 6] = ["secret", "token", "key", "pass", "client", "credential"];

/// Whether the line that a problem is about may be shown at all.
pub fn may_be_shown(problem: &Problem) -> bool {
    !UNSHOWN.contains(&problem.code)
}

/// A line without what follows a key that may hold a secret, and without what one of the problems
/// that were found in this line says is one, or may be. A problem anywhere in a line shows it, and need
/// not be the secret's.
pub fn quoted<'p>(line: &str, found_in_it: impl IntoIterator<Item = &'p Problem>) -> String {
    let lower = line.to_ascii_lowercase();
    let secretive = SECRETIVE.iter().filter_map(|word| lower.find(word)).min();
    // A login in an address.
    let login = lower.find(':').filter(|_| lower.contains('@'));
    let suspects = found_in_it.into_iter().filter_map(|it| suspect(it, line));
    let cut = [
        secretive.and_then(|at| Some(at + lower[at..].find(':')? + 1)),
        login.map(|at| at + 1),
        suspects.min(),
    ];
    match cut.into_iter().flatten().min() {
        Some(at) if !line[at..].trim().is_empty() => format!("{} …", &line[..at]),
        _ => line.to_owned(),
    }
}

/// Where a value begins that must not be shown because of this problem: a secret's own, or that
/// of a key that nobody knows, where a misspelt one may hold a secret.
fn suspect(problem: &Problem, line: &str) -> Option<usize> {
    let column = (problem.column as usize).saturating_sub(1);
    let at = line.char_indices().nth(column).map(|(at, _)| at)?;
    if !may_be_shown(problem) {
        return Some(at);
    }
    let beside_secrets = ["`api_key`", "`admin_token`"]
        .iter()
        .any(|key| problem.message.contains(key));
    (problem.code == "unknown_key" && beside_secrets)
        .then(|| line[at..].find(':').map(|colon| at + colon + 1))
        .flatten()
}
