//! A TCP proxy that breaks what passes through it, as it is told while it runs.
//!
//! ```text
//! client ──requests──> proxy ──requests──> target
//!        <──replies───       <──replies───
//! ```
//!
//! Each direction of each connection has a thread. What was read is delayed, held back, thrown away
//! or handed on, as the faults say at that moment. A held byte is delivered once it may pass, as TCP
//! does after a partition; a byte that was thrown away ends its connection once the fault is over,
//! since a stream with a hole is none.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use super::ports;

/// Bytes handed on at once.
const CHUNK: usize = 64 << 10;
/// The target is this machine: it takes a connection at once or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What happens to bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// They are handed on.
    #[default]
    Open,
    /// They wait until this changes: a partition.
    Held,
    /// They are thrown away, and their connection is closed when this changes.
    Lost,
}

/// What is wrong with the proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Each chunk waits so long, in each direction.
    pub latency: Duration,
    /// And up to so long besides.
    pub jitter: Duration,
    /// Nobody listens.
    pub refuse: bool,
    /// From the client to the target.
    pub requests: Way,
    /// From the target to the client.
    pub replies: Way,
}

/// A proxy before a target; it ends when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    faults: Faults,
    links: Vec<Link>,
    opened: u64,
    ended: bool,
    listening: bool,
}

/// One connection through the proxy.
struct Link {
    id: u64,
    client: TcpStream,
    target: TcpStream,
    /// The target's side is gone, and the client is not told.
    half_open: bool,
}

impl Proxy {
    /// A proxy without faults, on a port of its own.
    pub fn before(target: SocketAddr) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
        let shared = Arc::new(Shared {
            target,
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accepting.accept(address));
        let proxy = Self { address, shared };
        drop(proxy.shared.until(|state| state.listening));
        proxy
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks it like this from now on; [`Faults::default`] heals it. Returns once nobody listens
    /// any more, or somebody does again, as `refuse` says.
    pub fn set(&self, faults: Faults) {
        let mut state = self.shared.lock();
        let healed = |was: Way, is: Way| was == Way::Lost && is != Way::Lost;
        let before = std::mem::replace(&mut state.faults, faults);
        if healed(before.requests, faults.requests) || healed(before.replies, faults.replies) {
            cut(&mut state.links);
        }
        // Those that were kept half open are told now.
        let half_open: Vec<Link> = state.links.extract_if(.., |link| link.half_open).collect();
        half_open.iter().for_each(Link::close);
        self.shared.changed.notify_all();
        drop(state);
        if faults.refuse {
            // Wakes the one that waits for a connection.
            let _ = TcpStream::connect_timeout(&self.address, CONNECT_TIMEOUT);
        }
        drop(self.shared.until(|state| state.listening != faults.refuse));
    }

    /// Heals it.
    pub fn heal(&self) {
        self.set(Faults::default());
    }

    /// Closes every connection that is open now. Answers how many.
    pub fn cut(&self) -> usize {
        let mut state = self.shared.lock();
        self.shared.changed.notify_all();
        cut(&mut state.links)
    }

    /// Ends every connection that is open now on the target's side only: the client waits for
    /// answers that never come, until the next [`Proxy::set`] or [`Proxy::cut`].
    pub fn half_open(&self) -> usize {
        let mut state = self.shared.lock();
        for link in &mut state.links {
            link.half_open = true;
            // It may be closed already.
            let _ = link.target.shutdown(Shutdown::Both);
        }
        state.links.len()
    }

    /// How many connections it has taken so far.
    pub fn opened(&self) -> u64 {
        self.shared.lock().opened
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.ended = true;
        cut(&mut state.links);
        self.shared.changed.notify_all();
        drop(state);
        let _ = TcpStream::connect_timeout(&self.address, CONNECT_TIMEOUT);
    }
}

fn cut(links: &mut Vec<Link>) -> usize {
    let closed = links.len();
    links.drain(..).for_each(|link| link.close());
    closed
}

impl Link {
    fn close(&self) {
        // Either side may be closed already.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.target.shutdown(Shutdown::Both);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn until(&self, done: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        self.changed.wait_while(self.lock(), |state| !state.ended && !done(state)).unwrap()
    }

    fn accept(self: Arc<Self>, address: SocketAddr) {
        loop {
            let state = self.until(|state| !state.faults.refuse);
            if state.ended {
                return;
            }
            drop(state);
            let listener = TcpListener::bind(address).unwrap();
            self.note_listening(true);
            while let Ok((client, _)) = listener.accept() {
                let state = self.lock();
                if state.ended || state.faults.refuse {
                    break;
                }
                drop(state);
                self.connect(client);
            }
            drop(listener);
            self.note_listening(false);
        }
    }

    fn note_listening(&self, listening: bool) {
        self.lock().listening = listening;
        self.changed.notify_all();
    }

    /// Joins a client with the target; one that can't be reached ends the client's connection.
    fn connect(self: &Arc<Self>, client: TcpStream) {
        let Ok(target) = TcpStream::connect_timeout(&self.target, CONNECT_TIMEOUT) else { return };
        for stream in [&client, &target] {
            stream.set_nodelay(true).unwrap();
        }
        let mut state = self.lock();
        if state.ended {
            return;
        }
        state.opened += 1;
        let id = state.opened;
        let ends = [&client, &target].map(|stream| stream.try_clone().unwrap());
        let [client_end, target_end] = ends;
        state.links.push(Link { id, client: client_end, target: target_end, half_open: false });
        drop(state);
        let (client_again, target_again) =
            (client.try_clone().unwrap(), target.try_clone().unwrap());
        for (from, to, way) in [
            (client, target, (|faults| faults.requests) as fn(&Faults) -> Way),
            (target_again, client_again, |faults| faults.replies),
        ] {
            let shared = Arc::clone(self);
            thread::spawn(move || {
                shared.pump(id, from, to, way);
                shared.end(id);
            });
        }
    }

    /// Hands bytes on until one side is closed.
    fn pump(&self, id: u64, mut from: TcpStream, mut to: TcpStream, way: fn(&Faults) -> Way) {
        let mut chunk = vec![0; CHUNK];
        let mut dice = id;
        while let Ok(read @ 1..) = from.read(&mut chunk) {
            let faults = self.lock().faults;
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let share = f64::from((dice >> 33) as u32) / f64::from(u32::MAX >> 1);
            let delay = faults.latency + faults.jitter.mul_f64(share);
            if !delay.is_zero() {
                thread::sleep(delay);
            }
            let state = self.until(|state| !state.is_open(id) || way(&state.faults) != Way::Held);
            if !state.is_open(id) {
                return;
            }
            let lost = way(&state.faults) == Way::Lost;
            drop(state);
            if !lost && to.write_all(&chunk[..read]).is_err() {
                return;
            }
        }
        // The end of a stream passes as its bytes do.
        drop(self.until(|state| !state.is_open(id) || way(&state.faults) == Way::Open));
    }

    /// Closes a connection, unless the client is not to be told.
    fn end(&self, id: u64) {
        let mut state = self.lock();
        let over = state.links.extract_if(.., |link| link.id == id && !link.half_open);
        over.for_each(|link| link.close());
        self.changed.notify_all();
    }
}

impl State {
    fn is_open(&self, id: u64) -> bool {
        !self.ended && self.links.iter().any(|link| link.id == id)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, ErrorKind};
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Instant;

    use super::*;
    use crate::support::eventually;

    /// A server that answers each byte with itself, and tells which ones it has seen.
    fn echo() -> (SocketAddr, Receiver<u8>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, sees) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let seen = seen.clone();
                thread::spawn(move || {
                    let mut answers = stream.try_clone().unwrap();
                    for byte in BufReader::new(stream).bytes().map_while(Result::ok) {
                        // Not every test asks what was seen.
                        let _ = seen.send(byte);
                        if answers.write_all(&[byte]).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        (address, sees)
    }

    fn client(proxy: &Proxy) -> TcpStream {
        let client = TcpStream::connect(proxy.address()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        client
    }

    fn sent(client: &mut TcpStream, byte: u8) {
        client.write_all(&[byte]).unwrap();
    }

    /// The next byte; `None` when the connection is over.
    fn got(client: &mut TcpStream) -> Option<u8> {
        let mut byte = [0];
        match client.read(&mut byte) {
            Ok(0) => None,
            Ok(_) => Some(byte[0]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn nothing_came(client: &mut TcpStream) -> bool {
        client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let came = client.read(&mut [0]);
        client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        came.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    #[test]
    fn without_faults_it_hands_on_both_ways() {
        let (target, sees) = echo();
        let proxy = Proxy::before(target);
        let mut client = client(&proxy);
        sent(&mut client, 1);
        assert_eq!((sees.recv().unwrap(), got(&mut client)), (1, Some(1)));
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(got(&mut client), None, "an end passes too");
        assert_eq!(proxy.opened(), 1);
    }

    #[test]
    fn what_is_delayed_takes_at_least_so_long() {
        let proxy = Proxy::before(echo().0);
        let latency = Duration::from_millis(60);
        proxy.set(Faults { latency, jitter: latency, ..Faults::default() });
        let mut client = client(&proxy);
        let start = Instant::now();
        sent(&mut client, 1);
        assert_eq!(got(&mut client), Some(1));
        assert!(start.elapsed() >= latency * 2, "there and back");
    }

    #[test]
    fn who_is_cut_off_may_come_again_and_who_is_refused_may_not() {
        let proxy = Proxy::before(echo().0);
        let mut first = client(&proxy);
        sent(&mut first, 1);
        assert_eq!(got(&mut first), Some(1));
        assert_eq!(proxy.cut(), 1);
        assert_eq!(got(&mut first), None);
        let mut second = client(&proxy);
        sent(&mut second, 2);
        assert_eq!(got(&mut second), Some(2));
        proxy.set(Faults { refuse: true, ..Faults::default() });
        assert!(TcpStream::connect(proxy.address()).is_err());
        sent(&mut second, 3);
        assert_eq!(got(&mut second), Some(3), "who is there may stay");
        proxy.heal();
        let mut third = client(&proxy);
        sent(&mut third, 4);
        assert_eq!(got(&mut third), Some(4));
    }

    #[test]
    fn a_lost_reply_was_asked_for_and_its_connection_ends() {
        let (target, sees) = echo();
        let proxy = Proxy::before(target);
        let mut client = client(&proxy);
        proxy.set(Faults { replies: Way::Lost, ..Faults::default() });
        sent(&mut client, 7);
        assert_eq!(sees.recv().unwrap(), 7, "the target was asked");
        assert!(nothing_came(&mut client));
        proxy.heal();
        assert_eq!(got(&mut client), None);
    }

    #[test]
    fn what_is_held_back_is_delivered_later() {
        let (target, sees) = echo();
        let proxy = Proxy::before(target);
        let mut client = client(&proxy);
        proxy.set(Faults { replies: Way::Held, ..Faults::default() });
        sent(&mut client, 1);
        assert_eq!(sees.recv().unwrap(), 1);
        assert!(nothing_came(&mut client));
        proxy.set(Faults { requests: Way::Held, ..Faults::default() });
        assert_eq!(got(&mut client), Some(1), "replies pass again");
        sent(&mut client, 2);
        assert!(nothing_came(&mut client));
        assert!(sees.try_recv().is_err(), "the target was not asked");
        proxy.heal();
        assert_eq!(got(&mut client), Some(2));
    }

    #[test]
    fn a_half_open_connection_is_silent_until_it_is_told() {
        let proxy = Proxy::before(echo().0);
        let mut client = client(&proxy);
        sent(&mut client, 1);
        assert_eq!(got(&mut client), Some(1));
        assert_eq!(proxy.half_open(), 1);
        assert!(nothing_came(&mut client));
        sent(&mut client, 2);
        assert!(nothing_came(&mut client));
        proxy.heal();
        assert_eq!(got(&mut client), None);
    }

    #[test]
    fn it_ends_when_it_is_dropped() {
        let proxy = Proxy::before(echo().0);
        let (address, mut client) = (proxy.address(), client(&proxy));
        drop(proxy);
        assert_eq!(got(&mut client), None);
        eventually("nobody to listen", || TcpStream::connect(address).is_err().then_some(()));
    }
}
