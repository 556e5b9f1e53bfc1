//! Who may ask for what.

use base64::Engine as _;
use lapsed::http::{Surface, Tokens};

use super::{ADMIN, Opening, Port, READ, client, refused};

const GUARDED: [&str; 5] = [
    "/",
    "/api/v1/status",
    "/api/v1/cancellations",
    "/api/v1/events",
    "/cancellations/donations/x",
];

#[tokio::test]
async fn a_name_that_is_not_ours_is_refused_whatever_it_asks_for() {
    let port = Port::open().await;
    for host in [
        "evil.example.com",
        "evil.example.com:9740",
        "localhost.evil.example.com",
        "lapsed.example.com.",
        "user@localhost",
        "127.0.0.1.evil.example.com",
        "",
    ] {
        for path in ["/", "/metrics", "/livez", "/nowhere"] {
            let detail = refused(port.ask(path).header("host", host), 421).await;
            assert!(detail.contains("host"), "{detail}");
        }
        refused(port.command("/-/pause").header("host", host), 421).await;
    }
}

#[tokio::test]
async fn an_address_localhost_and_the_allowed_names_are_ours() {
    let port = Port::open().await;
    for host in [
        "127.0.0.1",
        "10.1.2.3:9740",
        "[::1]",
        "[2001:db8::7]:9740",
        "localhost",
        "LOCALHOST:80",
        "lapsed.example.com",
        "Lapsed.Example.COM:443",
    ] {
        let answer = port
            .ask("/livez")
            .header("host", host)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{host}");
    }
}

#[tokio::test]
async fn off_loopback_the_page_and_the_api_need_the_read_token() {
    let port = Opening::public().open().await;
    for path in GUARDED {
        let answer = port.ask(path).send().await.unwrap();
        assert!(
            answer.headers()["www-authenticate"]
                .to_str()
                .unwrap()
                .starts_with("Basic"),
            "a browser asks for the password"
        );
        refused(port.ask(path), 401).await;
        refused(port.ask(path).bearer_auth("wrong"), 401).await;
        refused(port.ask(path).bearer_auth(ADMIN), 401).await;
        refused(port.ask(path).bearer_auth(""), 401).await;
        refused(port.ask(path).basic_auth(READ, Some("wrong")), 401).await;
        refused(port.ask(path).header("authorization", "Basic !!!"), 401).await;
    }
    for path in ["/", "/api/v1/status"] {
        let bearer = port.ask(path).bearer_auth(READ).send().await.unwrap();
        assert_eq!(bearer.status(), 200);
        let basic = port.ask(path).basic_auth("anyone", Some(READ));
        assert_eq!(basic.send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn off_loopback_metrics_and_health_stay_open() {
    let port = Opening::public().open().await;
    for path in ["/metrics", "/livez", "/readyz"] {
        assert_eq!(port.status(path).await, 200, "{path}");
    }
}

#[tokio::test]
async fn off_loopback_without_a_configured_token_nobody_reads() {
    let opening = Opening {
        tokens: Tokens::default(),
        ..Opening::public()
    };
    let port = opening.open().await;
    for path in GUARDED {
        let detail = refused(port.ask(path).bearer_auth(""), 403).await;
        assert!(detail.contains("read_token"), "{detail}");
    }
}

#[tokio::test]
async fn on_loopback_everybody_on_this_machine_reads() {
    let port = Port::open().await;
    for path in ["/", "/api/v1/status", "/metrics"] {
        assert_eq!(port.status(path).await, 200, "{path}");
    }
}

#[tokio::test]
async fn a_command_needs_the_admin_token_even_on_loopback() {
    let port = Port::open().await;
    for path in ["/-/reconcile", "/-/reload", "/-/pause", "/-/resume"] {
        let post = || client().post(port.url(path));
        refused(post(), 401).await;
        refused(post().bearer_auth("wrong"), 401).await;
        refused(post().bearer_auth(READ), 401).await;
        refused(post().basic_auth("anyone", Some(ADMIN)), 401).await;
        let spelled = format!("bearer {ADMIN}");
        let answer = post()
            .header("authorization", spelled)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 202, "the scheme has no case");
    }
    assert_eq!(port.shelf.posted.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn without_a_configured_token_nobody_commands_and_an_empty_one_is_none() {
    for admin in [None, Some("".into())] {
        let opening = Opening {
            tokens: Tokens { admin, read: None },
            ..Opening::default()
        };
        let port = opening.open().await;
        for shown in ["", "undefined"] {
            let post = client().post(port.url("/-/pause")).bearer_auth(shown);
            let status = post.send().await.unwrap().status().as_u16();
            assert!([401, 403].contains(&status), "{status}");
        }
        assert!(port.shelf.posted.lock().unwrap().is_empty());
    }
    let opening = Opening {
        tokens: Tokens::default(),
        ..Opening::default()
    };
    let port = opening.open().await;
    let detail = refused(port.command("/-/pause"), 403).await;
    assert!(detail.contains("admin_token"), "{detail}");
}

#[tokio::test]
async fn tokens_change_while_serving() {
    let port = Port::open().await;
    port.app.set_tokens(Tokens {
        admin: Some("another".into()),
        read: None,
    });
    refused(port.command("/-/pause"), 401).await;
    let post = client().post(port.url("/-/pause")).bearer_auth("another");
    assert_eq!(post.send().await.unwrap().status(), 202);
}

#[tokio::test]
async fn a_page_of_another_site_commands_nothing_even_with_the_token() {
    let port = Port::open().await;
    for origin in [
        "https://evil.example.com",
        "null",
        "http://127.0.0.1:1",
        "x",
    ] {
        let detail = refused(port.command("/-/pause").header("origin", origin), 403).await;
        assert!(detail.contains("other sites"), "{detail}");
    }
    assert!(port.shelf.posted.lock().unwrap().is_empty());
    let own = format!("http://{}", port.address);
    let answer = port.command("/-/pause").header("origin", own).send().await;
    assert_eq!(answer.unwrap().status(), 202);
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let port = Port::open().await;
    for path in ["/", "/metrics", "/livez", "/api/v1/status", "/nowhere"] {
        let answer = port.ask(path).send().await.unwrap();
        let headers = answer.headers();
        assert_eq!(
            headers["content-security-policy"],
            "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; \
             connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        );
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["referrer-policy"], "no-referrer");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        assert!(!headers.contains_key("access-control-allow-origin"));
        assert!(!headers.contains_key("server"));
    }
}

#[tokio::test]
async fn the_port_for_metrics_serves_nothing_else() {
    let opening = Opening {
        surface: Surface::MetricsAndHealth,
        ..Opening::public()
    };
    let port = opening.open().await;
    for path in ["/metrics", "/livez", "/readyz"] {
        assert_eq!(port.status(path).await, 200, "{path}");
    }
    for path in GUARDED {
        refused(port.ask(path).bearer_auth(READ), 404).await;
    }
    refused(port.command("/-/pause"), 404).await;
}

#[tokio::test]
async fn a_login_may_have_a_colon_in_its_password() {
    let opening = Opening {
        tokens: Tokens {
            admin: None,
            read: Some("a:b:c".into()),
        },
        ..Opening::public()
    };
    let port = opening.open().await;
    let login = base64::engine::general_purpose::STANDARD.encode("anyone:a:b:c");
    let asked = port
        .ask("/")
        .header("authorization", format!("Basic {login}"));
    assert_eq!(asked.send().await.unwrap().status(), 200);
}
