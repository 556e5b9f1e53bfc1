//! `lapsed sandbox`: the three providers' APIs in memory.

use std::net::SocketAddr;

use anyhow::Context as _;
use clap::Args;

use super::Exit;
use super::context::Context;
use crate::sandbox::{Sandbox, Seeds};

/// The arguments of `sandbox`.
#[derive(Debug, Args)]
#[command(
    after_help = "Its text index, with urls, keys and who is in it: curl http://127.0.0.1:9750/sandbox/\nTell it to misbehave: curl -d '{\"provider\":\"revere\",\"operation\":\"cancel\",\"status\":500,\"effect\":true}' http://127.0.0.1:9750/sandbox/faults"
)]
pub(super) struct SandboxArgs {
    /// Where it listens; on loopback only
    #[arg(long, default_value = "127.0.0.1:9750")]
    listen: SocketAddr,
}

pub(super) async fn run(context: &Context, args: &SandboxArgs) -> anyhow::Result<Exit> {
    if !args.listen.ip().is_loopback() {
        context.complain("the sandbox listens on loopback only, such as 127.0.0.1:9750");
        return Ok(Exit::Usage);
    }
    let sandbox = Sandbox::start(args.listen, context.clock(), Seeds::demo())
        .await
        .with_context(|| format!("the sandbox cannot listen on {}", args.listen))?;
    // Heard from before anybody is told that it runs.
    let stopped = stopped()?;
    let urls = sandbox.urls();
    context.print(&format!(
        "sandbox: {}\n  kajabi  {}\n  revere  {}\n  lotus   {}\nEnds with Ctrl-C; nothing is kept.\n",
        urls.control, urls.kajabi, urls.revere, urls.lotus
    ));
    stopped.await;
    sandbox.stop().await;
    Ok(Exit::Done)
}

/// Waits for SIGINT or SIGTERM, from this call on.
fn stopped() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}
