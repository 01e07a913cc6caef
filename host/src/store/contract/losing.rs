//! A way to a Redis server on which answers get lost: a request is handed on, and in the place of its
//! answer the connection ends.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::server;
use crate::store::redis::settings::Settings;

/// Bytes handed on at once.
const CHUNK: usize = 64 << 10;
/// What every call of a script has, and no question.
const CALL: &[u8] = b"EVALSHA";

/// A proxy before the one server. Stops listening with this process.
pub(super) struct Losing {
    settings: Settings,
    /// Answers to hand on before one is lost; `None`: none will be.
    patience: Arc<Mutex<Option<usize>>>,
}

impl Losing {
    /// A store of its own on the one server, reached through the proxy.
    pub(super) fn new() -> Self {
        let mut settings = server::settings();
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, settings.address.port));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        settings.address.port = listener.local_addr().unwrap().port();
        let patience = Arc::new(Mutex::new(None));
        let losing = Arc::clone(&patience);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                join(client, TcpStream::connect(target).unwrap(), &losing);
            }
        });
        Self { settings, patience }
    }

    /// How a store gets there.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Loses the answer to a script's call from now on: to the next, after `before` others.
    pub(super) fn lose_after(&self, before: usize) {
        *self.patience.lock().unwrap() = Some(before);
    }

    /// Loses nothing any more. Answers whether it did: there was such a call.
    pub(super) fn has_lost(&self) -> bool {
        self.patience.lock().unwrap().take().is_none()
    }
}

fn join(client: TcpStream, target: TcpStream, patience: &Arc<Mutex<Option<usize>>>) {
    for stream in [&client, &target] {
        stream.set_nodelay(true).unwrap();
    }
    let is_lost = Arc::new(AtomicBool::new(false));
    let (mut requests, mut to_target) = (client.try_clone().unwrap(), target.try_clone().unwrap());
    let (patience, marks) = (Arc::clone(patience), Arc::clone(&is_lost));
    thread::spawn(move || {
        hand_on(&mut requests, &mut to_target, |chunk| {
            if chunk.windows(CALL.len()).take(CALL.len() * 2).any(|window| window == CALL) {
                let mut patience = patience.lock().unwrap();
                match *patience {
                    Some(0) => {
                        *patience = None;
                        marks.store(true, Ordering::SeqCst);
                    }
                    Some(left) => *patience = Some(left - 1),
                    None => (),
                }
            }
            true
        });
    });
    let (mut answers, mut to_client) = (target, client);
    thread::spawn(move || {
        hand_on(&mut answers, &mut to_client, |_| !is_lost.load(Ordering::SeqCst));
    });
}

/// Hands bytes on until one side is closed, or `may_pass` says no.
fn hand_on(from: &mut TcpStream, to: &mut TcpStream, mut may_pass: impl FnMut(&[u8]) -> bool) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(read @ 1..) = from.read(&mut chunk) {
        if !may_pass(&chunk[..read]) || to.write_all(&chunk[..read]).is_err() {
            break;
        }
    }
    // Either may be closed already.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
