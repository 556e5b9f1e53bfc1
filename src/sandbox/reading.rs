//! Reads what the control API is given, and says what is wrong with it and where.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// A value of a known shape, or one sentence on what is wrong.
pub(super) fn read<T: DeserializeOwned>(json: &Value) -> Result<T, String> {
    serde_path_to_error::deserialize(json).map_err(|error| {
        let place = error.path().to_string();
        let words = error.into_inner().to_string();
        // A missing or unknown field is named by the words already.
        let named = place == "." || words.contains(&format!("`{place}`"));
        if named {
            words
        } else {
            format!("`{place}`: {words}")
        }
    })
}
