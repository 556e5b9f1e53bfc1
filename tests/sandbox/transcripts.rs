//! Replays what a running Lotus was heard to say.

use chrono::{DateTime, TimeDelta, Utc};
use lapsed::sandbox::{Seeds, cast};
use reqwest::Method;

use super::{World, hear};

/// One recorded request and its answer.
struct Exchange {
    title: String,
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
    status: u16,
    answered: Vec<(String, String)>,
    answer: String,
}

#[tokio::test]
async fn every_recorded_exchange_with_lotus_is_answered_byte_for_byte() {
    let seeds = serde_json::from_str(include_str!("lotus-seeds.json")).unwrap();
    let world = World::with(Seeds::parse(&seeds).unwrap(), "2026-11-21T18:00:00Z").await;
    let mut exchanges = recorded();
    assert_eq!(exchanges.len(), 91);
    // The sections are by subject; the server met them by the clock.
    exchanges.sort_by_key(Exchange::date);
    for exchange in exchanges {
        replay(&world, &exchange).await;
    }
}

async fn replay(world: &World, exchange: &Exchange) {
    let title = &exchange.title;
    world.clock.set_wall(exchange.instant());
    let path = format!("/lotus{}", exchange.path);
    let mut ask = world.ask(exchange.method.clone(), &path);
    for (name, value) in &exchange.headers {
        ask = ask.header(name, value);
    }
    let heard = hear(ask.body(exchange.body.clone())).await;
    assert_eq!(heard.body, exchange.answer, "{title}");
    assert_eq!(heard.status.as_u16(), exchange.status, "{title}");
    for (name, value) in &exchange.answered {
        let given = heard.header(name);
        match name.as_str() {
            "Date" => {
                let apart = http_date(given) - http_date(value);
                assert!(apart.num_seconds().abs() <= 1, "{title}: {given}");
            }
            "Location" => assert_eq!(given, format!("/lotus{value}"), "{title}"),
            _ => assert_eq!(given, value, "{title}: {name}"),
        }
    }
}

impl Exchange {
    fn date(&self) -> DateTime<Utc> {
        let (_, value) = self
            .answered
            .iter()
            .find(|(name, _)| name == "Date")
            .unwrap();
        http_date(value)
    }

    /// When the server did it, as exactly as its answer tells.
    fn instant(&self) -> DateTime<Utc> {
        let written = match (self.status, self.path.ends_with("/update/")) {
            (200, false) if self.method == Method::POST => {
                between(&self.answer, "end_date\":\"", "\"")
            }
            (500, _) => between(&self.answer, "+00, ", "+00, f").map(|it| format!("{it}Z")),
            _ => None,
        };
        written
            .and_then(|text| DateTime::parse_from_rfc3339(&text.replace(' ', "T")).ok())
            .map_or_else(
                || self.date() + TimeDelta::microseconds(999_999),
                |it| it.to_utc(),
            )
    }
}

fn between(text: &str, before: &str, after: &str) -> Option<String> {
    let (_, rest) = text.split_once(before)?;
    let (inner, _) = rest.split_once(after)?;
    Some(inner.to_owned())
}

fn http_date(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc2822(text).unwrap().to_utc()
}

fn recorded() -> Vec<Exchange> {
    include_str!("lotus-transcripts.md")
        .split("\n### ")
        .skip(1)
        .map(exchange)
        .collect()
}

fn exchange(section: &str) -> Exchange {
    let (title, rest) = section.split_once('\n').unwrap();
    let mut blocks = rest.split("```http\n").skip(1);
    let mut block = || blocks.next().unwrap().split("\n```").next().unwrap();
    let (first, mut headers, body) = parts(block());
    let (status, answered, answer) = parts(block());
    let mut words = first.split(' ');
    for (_, value) in &mut headers {
        *value = value
            .replace("<API_KEY_ACME>", cast::LOTUS_KEY)
            .replace("<API_KEY_BETA>", cast::LOTUS_OTHER_KEY)
            .replace("<SESSION_TOKEN_ACME>", cast::LOTUS_SESSION_TOKEN);
    }
    let typed = headers.iter().any(|(name, _)| name == "Content-Type");
    if !typed && !body.is_empty() {
        let form = "application/x-www-form-urlencoded";
        headers.push(("Content-Type".to_owned(), form.to_owned()));
    }
    let method = words.next().unwrap().parse().unwrap();
    let path = words.next().unwrap().to_owned();
    let answer = answer.replace(
        "org_0d9528f22c464340ae670deced6977c5",
        cast::LOTUS_ORGANIZATION,
    );
    Exchange {
        title: title.to_owned(),
        method,
        path,
        headers,
        body,
        status: status.split(' ').nth(1).unwrap().parse().unwrap(),
        answered,
        answer,
    }
}

/// The first line, the headers, the body.
fn parts(block: &str) -> (String, Vec<(String, String)>, String) {
    let (head, body) = block.split_once("\n\n").unwrap_or((block, ""));
    let mut lines = head.lines();
    let first = lines.next().unwrap().to_owned();
    let headers = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    (first, headers, body.trim_end().to_owned())
}
