//! How times, numbers and values look on the page.

use chrono::{DateTime, SecondsFormat, Utc};
use minijinja::value::ValueKind;
use minijinja::{HtmlEscape, Value};

/// `{{ at | moment(now, "no deadline") }}`: a time in UTC and how far away it is, or what is said
/// where there is none.
pub fn moment(at: &Value, now: &Value, none: Option<&str>) -> Value {
    told(at, now, "%Y-%m-%d&nbsp;%H:%M", none)
}

/// `{{ at | exact(now) }}`: the same, with seconds.
pub fn exact(at: &Value, now: &Value, none: Option<&str>) -> Value {
    told(at, now, "%Y-%m-%d&nbsp;%H:%M:%S", none)
}

/// A time in UTC within a sentence.
pub fn minute(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// `{{ word | words }}`: a word of the file as a person would say it.
pub fn words(word: &str) -> String {
    word.replace('_', " ")
}

fn told(at: &Value, now: &Value, form: &str, none: Option<&str>) -> Value {
    let parse = |value: &Value| value.as_str()?.parse::<DateTime<Utc>>().ok();
    let (Some(at), Some(now)) = (parse(at), parse(now)) else {
        return Value::from_safe_string(format!(
            r#"<span class="none">{}</span>"#,
            escaped(none.unwrap_or("–"))
        ));
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
    match seconds {
        -4..0 => return "just now".to_owned(),
        0..2 => return "now".to_owned(),
        _ => {}
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
        s @ 129_600..864_000 => days_and_hours((s + 1_800) / 3_600),
        s @ 864_000..63_072_000 => format!("{} days", (s + 43_200) / 86_400),
        s => format!("{} years", (s + 15_768_000) / 31_536_000),
    }
}

fn days_and_hours(hours: u64) -> String {
    let days = match hours / 24 {
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    };
    match hours % 24 {
        0 => days,
        hours => format!("{days} {hours} h"),
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

/// `{{ number | short }}`: where there is no room for more, with three digits at most.
pub fn short(number: u64) -> String {
    match number {
        0..10_000 => count(number),
        10_000..1_000_000 => format!("{}k", number / 1_000),
        _ => format!("{}M", number / 1_000_000),
    }
}

fn escaped(text: &str) -> String {
    HtmlEscape(text).to_string()
}

/// `{{ value | plain }}`: a value of the terms on one line, without the marks of JSON.
pub fn plain(value: &Value) -> String {
    let seconds = |name: &str| {
        value
            .get_attr(name)
            .ok()
            .and_then(|it| u64::try_from(it).ok())
    };
    if let (Some(opens), Some(closes)) = (seconds("opens_seconds"), seconds("closes_seconds")) {
        return format!(
            "from {} to {} before the period ends",
            distance_of(opens),
            distance_of(closes)
        );
    }
    match value.kind() {
        ValueKind::Map => {
            let pairs = value.try_iter().into_iter().flatten().map(|key| {
                let inner = value.get_item(&key).unwrap_or_default();
                format!("{key}: {}", plain(&inner))
            });
            pairs.collect::<Vec<_>>().join(", ")
        }
        ValueKind::None => "–".to_owned(),
        _ => match value.as_str().and_then(|it| it.parse().ok()) {
            Some(at) => minute(at),
            None => value.to_string(),
        },
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
        assert_eq!(after(60 * 3600), "in 2 days 12 h");
        assert_eq!(after(40 * 86_400), "in 40 days");
        assert_eq!(after(26_333 * 86_400), "in 72 years");
    }

    #[test]
    fn a_value_of_the_terms_stands_on_one_line_and_a_length_in_the_unit_of_a_person() {
        let window = Value::from_pairs([("closes_seconds", 21_600), ("opens_seconds", 86_400)]);
        assert_eq!(plain(&window), "from 24 h to 6 h before the period ends");
        assert_eq!(plain(&Value::from("Customer request")), "Customer request");
        assert_eq!(plain(&Value::from(())), "–");
        let instant = Value::from("2026-12-03T00:00:00Z");
        assert_eq!(plain(&instant), "2026-12-03 00:00 UTC");
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
        assert_eq!(short(9_999), "9\u{202f}999");
        assert_eq!(short(11_111), "11k");
        assert_eq!(short(2_000_000), "2M");
    }
}
