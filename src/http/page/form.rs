//! How times, numbers and values look on the page.

use chrono::{DateTime, SecondsFormat, Utc};
use minijinja::value::ValueKind;
use minijinja::{HtmlEscape, Value};

/// `{{ at | moment(now) }}`: a time in UTC and how far away it is; a dash where there is none.
pub fn moment(at: &Value, now: &Value) -> Value {
    told(at, now, "%Y-%m-%d&nbsp;%H:%M")
}

/// `{{ at | exact(now) }}`: the same, with seconds.
pub fn exact(at: &Value, now: &Value) -> Value {
    told(at, now, "%Y-%m-%d&nbsp;%H:%M:%S")
}

fn told(at: &Value, now: &Value, form: &str) -> Value {
    let parse = |value: &Value| value.as_str()?.parse::<DateTime<Utc>>().ok();
    let (Some(at), Some(now)) = (parse(at), parse(now)) else {
        return Value::from_safe_string(r#"<span class="none">–</span>"#.to_owned());
    };
    Value::from_safe_string(format!(
        r#"<time datetime="{}">{}</time> <span class="hint">{}</span>"#,
        at.to_rfc3339_opts(SecondsFormat::Secs, true),
        at.format(form),
        distance(at, now)
    ))
}

/// How far an instant is from now, roughly, in words.
pub fn distance(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (at - now).num_seconds();
    if seconds.abs() < 5 {
        return "now".to_owned();
    }
    let size = distance_of(seconds.unsigned_abs());
    if seconds < 0 {
        format!("{size} ago")
    } else {
        format!("in {size}")
    }
}

fn distance_of(seconds: u64) -> String {
    match seconds {
        s @ 0..60 => format!("{s} s"),
        s @ 60..5_400 => format!("{} min", (s + 30) / 60),
        s @ 5_400..129_600 => format!("{} h", (s + 1_800) / 3_600),
        s => format!("{} days", (s + 43_200) / 86_400),
    }
}

/// How much room there is before a deadline, in words.
pub fn room(seconds: f64) -> String {
    let size = distance_of(seconds.abs() as u64);
    match seconds < 0.0 {
        true => format!("{size} too late"),
        false => format!("{size} to spare"),
    }
}

/// `{{ number | count }}`: with narrow spaces between thousands.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// `{{ text | code }}`: escaped, with what stands between backticks set as code.
pub fn code(text: &str) -> Value {
    let mut html = String::new();
    let mut pieces = text.split('`').peekable();
    let mut inside = false;
    while let Some(piece) = pieces.next() {
        // A last backtick without a partner stays what it is.
        if inside && pieces.peek().is_none() {
            html.push('`');
            html.push_str(&escaped(piece));
        } else if inside {
            html.push_str(&format!("<code>{}</code>", escaped(piece)));
        } else {
            html.push_str(&escaped(piece));
        }
        inside = !inside;
    }
    Value::from_safe_string(html)
}

fn escaped(text: &str) -> String {
    HtmlEscape(text).to_string()
}

/// `{{ value | plain }}`: a value of the terms on one line, without the marks of JSON.
pub fn plain(value: &Value) -> String {
    match value.kind() {
        ValueKind::Map => {
            let pairs = value.try_iter().into_iter().flatten().map(|key| {
                let inner = value.get_item(&key).unwrap_or_default();
                let name = key.to_string();
                let length = name
                    .strip_suffix("_seconds")
                    .zip(u64::try_from(inner.clone()).ok());
                match length {
                    Some((name, seconds)) => format!("{name}: {}", distance_of(seconds)),
                    None => format!("{name}: {}", plain(&inner)),
                }
            });
            pairs.collect::<Vec<_>>().join(", ")
        }
        ValueKind::None => "–".to_owned(),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_told_in_the_unit_that_a_person_would_use() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let after = |seconds| distance(now + chrono::Duration::seconds(seconds), now);
        assert_eq!(after(0), "now");
        assert_eq!(after(-30), "30 s ago");
        assert_eq!(after(300), "in 5 min");
        assert_eq!(after(-3 * 3600), "3 h ago");
        assert_eq!(after(3 * 86_400), "in 3 days");
    }

    #[test]
    fn a_value_of_the_terms_stands_on_one_line_and_a_length_in_the_unit_of_a_person() {
        let window = Value::from_pairs([("closes_seconds", 21_600), ("opens_seconds", 86_400)]);
        assert_eq!(plain(&window), "closes: 6 h, opens: 24 h");
        assert_eq!(plain(&Value::from("Customer request")), "Customer request");
        assert_eq!(plain(&Value::from(())), "–");
    }

    #[test]
    fn code_is_marked_and_everything_is_escaped() {
        let html = |text| code(text).to_string();
        assert_eq!(
            html("run `a <b>` & go"),
            "run <code>a &lt;b&gt;</code> &amp; go"
        );
        assert_eq!(html("one ` alone <i>"), "one ` alone &lt;i&gt;");
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
    }
}
