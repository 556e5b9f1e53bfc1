//! A supervisor such as systemd: it is told when the daemon is ready, that it is alive, and that it stops.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::support::Home;

#[test]
fn a_supervisor_is_told_that_it_is_ready_alive_and_stopping() {
    let home = Home::new();
    home.write(" []");
    let place = home.path().join("notify.sock");
    let supervisor = UnixDatagram::bind(&place).unwrap();
    supervisor
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let told = || {
        let mut bytes = [0; 256];
        let length = supervisor.recv(&mut bytes).expect("something is told");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let mut daemon = home.daemon_with(|command| {
        command.env("NOTIFY_SOCKET", &place);
        command.env("WATCHDOG_USEC", "200000");
    });
    assert_eq!(told(), "READY=1\n");
    for _ in 0..3 {
        assert_eq!(told(), "WATCHDOG=1\n");
    }
    daemon.signal("TERM");
    while told() != "STOPPING=1\n" {}
    assert_eq!(daemon.ended(), 0);
}

/// A supervisor that is gone is no reason to stop.
#[test]
fn a_supervisor_that_does_not_listen_is_told_of_in_the_log_and_stops_nothing() {
    let home = Home::new();
    home.write(" []");
    let mut daemon = home.daemon_with(|command| {
        command.env("NOTIFY_SOCKET", home.path().join("nobody.sock"));
    });
    assert_eq!(daemon.get("/livez").status, 200);
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0);
    assert!(daemon.log().contains("the supervisor cannot be told"));
}
