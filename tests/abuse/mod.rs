//! What somebody can do who can open a pull request, reach the port, run a provider, or start
//! the process: each tried through the front door. `SECURITY.md` names these tests.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lapsed::sandbox::cast;
use serde_json::Value;

use crate::support::Home;

mod destination;
mod hygiene;
mod port;
mod secret_files;
mod words;

/// Somebody's server: takes every connection, keeps what it hears first, and answers nothing.
struct Trap {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Trap {
    fn set() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // Counted before it says a word: that somebody came is what matters.
                let place = {
                    let mut kept = kept.lock().unwrap();
                    kept.push(String::new());
                    kept.len() - 1
                };
                let said = first_words(stream);
                kept.lock().unwrap()[place] = said;
            }
        });
        Self { address, heard }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn first_words(mut stream: TcpStream) -> String {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let mut bytes = [0; 4096];
    let read = stream.read(&mut bytes).unwrap_or(0);
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

/// Says something to a port, word for word, and hears it to the end.
fn say(address: SocketAddr, words: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    // A server that has heard enough may close before all is said.
    let _ = stream.write_all(words);
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard);
    String::from_utf8_lossy(&heard).into_owned()
}

fn item(id: &str, more: &str) -> String {
    format!("\n  - {{id: \"{id}\", provider: donations{more}}}")
}

fn monthly() -> String {
    item(cast::REVERE_MONTHLY, "")
}

/// One item as `explain` tells it.
fn explained(home: &Home, key: &str) -> Value {
    let ran = home.run(&["explain", key, "--format", "json"]);
    let told: Value = serde_json::from_str(&ran.out).unwrap_or_default();
    told["items"][0]["item"].clone()
}

/// What holds an item.
fn hold(home: &Home, key: &str) -> String {
    let item = explained(home, key);
    item["hold"]["reason"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}
