//! The status page: at a glance whether all is well, what comes next, what is held and what
//! frees it, what is done.
//!
//! Rendered here, complete without any script; the one that there is only fetches the page anew.
//! Templates, style sheet, script and icon are in the binary; every value is escaped, because ids,
//! labels and notes are other people's text. Nothing here acts: a page shows the command to type.

use std::sync::LazyLock;

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};
use serde::Serialize;

use super::params::Params;
use super::problem::Problem;
use super::{App, Caller, api};
use crate::reconcile::report::ListQuery;

use self::view::Asked;

mod backlog;
mod form;
#[cfg(test)]
mod moments {
    //! What the tests of this room call now, days by their names, and a house where nothing happens.

    use std::collections::BTreeMap;

    use chrono::{DateTime, NaiveDate, Utc};

    use crate::ledger::Head;
    use crate::model::ids::ProviderName;
    use crate::model::provider::ProviderKind;
    use crate::reconcile::report::{LedgerReport, LimitReport, ProviderReport, StatusReport};

    pub fn now() -> DateTime<Utc> {
        "2026-11-26T12:00:00Z".parse().unwrap()
    }

    pub fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    pub fn calm() -> StatusReport {
        let limit = |limit, used, most| LimitReport { limit, used, most };
        StatusReport {
            at: now(),
            revision: None,
            ledger: LedgerReport {
                id: String::new(),
                doubt: None,
                head: Head::default(),
            },
            totals: BTreeMap::new(),
            limits: vec![limit("per_day", 100, 500), limit("per_hour", 0, 100)],
            providers: vec![ProviderReport {
                provider: ProviderName::parse("academy").unwrap(),
                kind: ProviderKind::Kajabi,
                mode: "enforce",
                schedule: String::new(),
                next_tick_at: None,
                next_due_at: None,
                due_now: 0,
                unknown_since: None,
                gates: Vec::new(),
                states: BTreeMap::new(),
                holds: BTreeMap::new(),
            }],
        }
    }
}
mod summary;
mod timeline;
mod view;

/// Where the style sheet is found.
pub const STYLE_PATH: &str = "/assets/lapsed.css";

/// Where the script is found.
pub const SCRIPT_PATH: &str = "/assets/lapsed.js";

/// Where the icon is found.
pub const ICON_PATH: &str = "/assets/lapsed.svg";

/// Instructions that one rendering may take: far above the largest page, and an end to a
/// template that would never end.
const FUEL: u64 = 5_000_000;

/// The templates, compiled once.
static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_fuel(Some(FUEL));
    environment.add_filter("moment", form::moment);
    environment.add_filter("exact", form::exact);
    environment.add_filter("count", form::count);
    environment.add_filter("plain", form::plain);
    environment.add_filter("words", form::words);
    environment.add_filter("short", form::short);
    environment.add_filter("code", form::code);
    for (name, text) in [
        ("layout.html", include_str!("layout.html")),
        ("parts.html", include_str!("parts.html")),
        ("index.html", include_str!("index.html")),
        ("list.html", include_str!("list.html")),
        ("item.html", include_str!("item.html")),
        ("events.html", include_str!("events.html")),
        ("file.html", include_str!("file.html")),
        ("timeline.html", include_str!("timeline.html")),
        ("lost.html", include_str!("lost.html")),
    ] {
        environment
            .add_template(name, text)
            .expect("a template of ours compiles; a test renders each");
    }
    environment
});

/// `GET /`. Where nothing can be told of the cancellations, the page says why, with 503.
pub async fn index(State(edge): Caller, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    Params::read(query.as_deref(), &[])?;
    let page = view::index(&edge.app).await;
    let status = match page.knows() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    render("index.html", &page).map(|html| (status, html).into_response())
}

/// `GET /cancellations?provider=&state=&hold=&q=&order=&after=&after_due=`: what was asked for, a page
/// at a time.
pub async fn list(State(edge): Caller, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let page = read_list(&edge.app, query.as_deref()).await;
    shown(&edge.app, "list.html", page)
}

async fn read_list(app: &App, query: Option<&str>) -> Result<view::List, Problem> {
    let names = [
        "provider",
        "state",
        "hold",
        "q",
        "order",
        "after",
        "after_due",
    ];
    let params = Params::read(query, &names)?.without_empty();
    let standpoint = app.standpoint().await?;
    let provider = params.provider(&standpoint.config)?;
    let states = params.states()?;
    let hold = params.hold()?;
    let by_due = params.by_due()?;
    let asked = Asked {
        provider: provider.as_ref().map(ToString::to_string),
        state: states.first().copied(),
        hold,
        by_due: by_due.is_some(),
        q: params.one("q")?.unwrap_or_default().trim().to_owned(),
    };
    let query = ListQuery {
        provider,
        states,
        hold,
        after: params.after()?.unwrap_or(0),
        by_due,
        ..ListQuery::default()
    };
    view::list(app, &standpoint, asked, query).await
}

/// `GET /events?before=`: the record, newest first.
pub async fn events(State(edge): Caller, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let app = &edge.app;
    let page = async {
        let params = Params::read(query.as_deref(), &["before"])?;
        view::events(app, params.number("before", 0, i64::MAX)?).await
    };
    shown(app, "events.html", page.await)
}

/// `GET /file?name=&from=`: what is wrong with the newest text, and the text in force.
pub async fn file(State(edge): Caller, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let app = &edge.app;
    let page = async {
        let params = Params::read(query.as_deref(), &["name", "from"])?;
        let from = params.number("from", 1, usize::MAX)?.unwrap_or(1);
        view::file(app, params.one("name")?, from).await
    };
    shown(app, "file.html", page.await)
}

/// `GET /cancellations/{provider}/{id}`: everything that is known of one subscription.
pub async fn item(
    State(edge): Caller,
    Path((provider, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Params::read(query.as_deref(), &[])?;
    let app = &edge.app;
    let page = async {
        let (standpoint, requests) = api::find(app, &provider, &id).await?;
        view::item(app, &standpoint, &requests).await
    };
    shown(app, "item.html", page.await)
}

/// The page, or what stands in its way as a page of its own.
fn shown<P: Serialize>(
    app: &App,
    template: &str,
    page: Result<P, Problem>,
) -> Result<Response, Problem> {
    match page {
        Ok(page) => render(template, &page).map(IntoResponse::into_response),
        Err(problem) => lost(&view::lost(app, &problem), problem),
    }
}

/// A problem on a page for people, with the problem's own status and headers.
fn lost(page: &view::Lost, problem: Problem) -> Result<Response, Problem> {
    let html = render("lost.html", page)?;
    let mut response = problem.into_response();
    *response.body_mut() = html.0.into();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    response.headers_mut().remove(header::CONTENT_LENGTH);
    Ok(response)
}

fn render(template: &str, page: &impl Serialize) -> Result<Html<String>, Problem> {
    let rendered = TEMPLATES
        .get_template(template)
        .and_then(|it| it.render(Value::from(Serde(page))));
    rendered.map(Html).map_err(|error| {
        tracing::error!(error = format!("{error:#}"), "could not render {template}");
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "this is a fault of lapsed; its log has the details",
        )
    })
}

/// `GET /assets/lapsed.css`.
pub async fn style() -> Asset {
    asset("text/css; charset=utf-8", include_str!("assets/lapsed.css"))
}

/// `GET /assets/lapsed.js`.
pub async fn script() -> Asset {
    asset(
        "text/javascript; charset=utf-8",
        include_str!("assets/lapsed.js"),
    )
}

/// `GET /assets/lapsed.svg`.
pub async fn icon() -> Asset {
    asset("image/svg+xml", include_str!("assets/lapsed.svg"))
}

type Asset = ([(HeaderName, HeaderValue); 2], &'static str);

/// Something of ours that changes with the binary alone; kept for a while, so that the page's
/// reloads do not fetch it again.
fn asset(media: &'static str, text: &'static str) -> Asset {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media)),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, max-age=300"),
        ),
    ];
    (headers, text)
}
