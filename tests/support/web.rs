//! A web server that answers in every way that a server should not.
//!
//! Threads and blocking sockets: what it does is what is written here, byte by byte.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Between two bytes of a slow answer.
const DRIP: Duration = Duration::from_millis(20);

/// A server on a free port of this machine.
pub struct Web {
    /// Where it listens.
    pub port: u16,
    seen: Arc<Seen>,
}

/// What reached it.
#[derive(Default)]
struct Seen {
    open: AtomicUsize,
    most: AtomicUsize,
    body_bytes: AtomicUsize,
    heads: Mutex<Vec<String>>,
}

impl Web {
    /// Starts one without encryption.
    pub fn start() -> Self {
        Self::over(|stream| Some(Box::new(stream)))
    }

    /// Starts one whose connections `wrap` makes of plain ones.
    pub fn over(
        wrap: impl Fn(TcpStream) -> Option<Box<dyn Wire>> + Clone + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Seen::default());
        let noted = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (noted, wrap) = (Arc::clone(&noted), wrap.clone());
                thread::spawn(move || {
                    let now = noted.open.fetch_add(1, Ordering::SeqCst) + 1;
                    noted.most.fetch_max(now, Ordering::SeqCst);
                    if let Some(wire) = wrap(stream) {
                        // A guest that is ended goes away in the middle.
                        let _ = serve(BufReader::new(wire), &noted);
                    }
                    noted.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { port, seen }
    }

    /// Where it is, as jobs name it.
    pub fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.seen.open.load(Ordering::SeqCst)
    }

    /// Connections that were open at once.
    pub fn most(&self) -> usize {
        self.seen.most.load(Ordering::SeqCst)
    }

    /// Bytes of bodies that came.
    pub fn body_bytes(&self) -> usize {
        self.seen.body_bytes.load(Ordering::SeqCst)
    }

    /// The heads of all requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.seen.heads.lock().unwrap().clone()
    }
}

/// Bytes from and to a client.
pub trait Wire: Read + Write {}

impl<T: Read + Write> Wire for T {}

fn serve(mut wire: BufReader<Box<dyn Wire>>, seen: &Seen) -> std::io::Result<()> {
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if wire.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if let Some(given) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = given.trim().parse().unwrap_or(0);
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    seen.heads.lock().unwrap().push(head);
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let query: HashMap<_, _> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let number = |key: &str| query.get(key).and_then(|n| n.parse().ok()).unwrap_or(0_usize);
    match path {
        "/redirect" => {
            let to = query["to"];
            write!(wire.get_mut(), "HTTP/1.1 302 Found\r\nlocation: {to}\r\n")?;
            write!(wire.get_mut(), "content-length: 0\r\n\r\n")
        }
        "/never" => swallow(&mut wire, usize::MAX, seen),
        "/drip" => {
            write!(wire.get_mut(), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            loop {
                write!(wire.get_mut(), "1\r\nx\r\n")?;
                wire.get_mut().flush()?;
                thread::sleep(DRIP);
            }
        }
        "/endless" => {
            write!(wire.get_mut(), "HTTP/1.1 200 OK\r\n\r\n")?;
            loop {
                wire.get_mut().write_all(&[b'x'; 1_024])?;
            }
        }
        "/claims" => {
            let bytes = number("bytes");
            write!(wire.get_mut(), "HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n")?;
            swallow(&mut wire, usize::MAX, seen)
        }
        "/headers" => {
            write!(wire.get_mut(), "HTTP/1.1 200 OK\r\n")?;
            for index in 0..number("count") {
                write!(wire.get_mut(), "x-{index}: {}\r\n", "x".repeat(number("bytes")))?;
            }
            write!(wire.get_mut(), "content-length: 0\r\n\r\n")
        }
        "/garbage" => write!(wire.get_mut(), "SSH-2.0-OpenSSH\r\n\r\n"),
        "/closes" => Ok(()),
        _ => {
            swallow(&mut wire, length, seen)?;
            write!(wire.get_mut(), "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
        }
    }?;
    wire.get_mut().flush()
}

/// Reads so many bytes, or until the client goes away.
fn swallow(wire: &mut impl Read, bytes: usize, seen: &Seen) -> std::io::Result<()> {
    let mut buffer = [0; 4_096];
    let mut left = bytes;
    while left > 0 {
        match wire.read(&mut buffer[..left.min(4_096)])? {
            0 => return Ok(()),
            more => {
                left -= more;
                seen.body_bytes.fetch_add(more, Ordering::SeqCst);
            }
        }
    }
    Ok(())
}
