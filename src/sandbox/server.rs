//! Accepts connections and serves them, and can close one without an answer.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::misbehave::HangUp;

/// How long accepting rests after a failure, so as not to spin on it.
const BREATH: Duration = Duration::from_millis(10);

/// Serves until told to stop.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
    connections: TaskTracker,
) {
    let server = Arc::new(http(&mut http1::Builder::new()));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = connection(stream, router.clone(), Arc::clone(&server));
                let stop = stop.clone();
                connections.spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = connection => {}
                    }
                });
            }
            // Out of sockets, most likely: let some be closed before asking for another.
            Err(_) => tokio::time::sleep(BREATH).await,
        }
    }
}

fn http(builder: &mut http1::Builder) -> http1::Builder {
    builder
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .clone()
}

async fn connection(stream: TcpStream, router: Router, server: Arc<http1::Builder>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let router = router.clone();
        async move {
            let answer = router.oneshot(request.map(Body::new)).await;
            let response = answer.unwrap_or_else(|never| match never {});
            match response.extensions().get::<HangUp>() {
                // An error closes the connection before a byte is written.
                Some(hang_up) => Err(*hang_up),
                None => Ok(response),
            }
        }
    });
    // A client that goes away in the middle is its own business.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}
