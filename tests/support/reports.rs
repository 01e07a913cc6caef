//! A listener that guests tell what they do: what reaches it is an effect.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

/// Listens on a free port of this machine; answers with the port and each line that is told.
pub fn listener() -> (u16, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            let tell = tell.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(connection).lines().map_while(Result::ok) {
                    // A guest that is ended may leave half a line.
                    let Ok(line) = serde_json::from_str(&line) else { continue };
                    if tell.send(line).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (port, told)
}
