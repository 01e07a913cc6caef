//! A client that shows all of a request and of its answer, and comes from any address of this machine.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::support::host::Host;

/// An answer may take so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who asks, from where.
#[derive(Clone)]
pub struct Wire {
    to: SocketAddr,
    from: Ipv4Addr,
    token: Option<String>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// In lower case, with their values as they came.
    pub headers: Vec<(String, String)>,
    /// JSON, or text; null when it has no end.
    pub body: Value,
}

impl Answer {
    /// The code of a problem, or nothing.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    pub fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Wire {
    pub fn to(host: &Host) -> Self {
        let url = host.url();
        let to = url.split_once("://").unwrap().1.parse().unwrap();
        Self { to, from: Ipv4Addr::LOCALHOST, token: None }
    }

    pub fn from(&self, from: Ipv4Addr) -> Self {
        Self { from, ..self.clone() }
    }

    pub fn with(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "")
    }

    /// Sends JSON, unless there is none.
    pub fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        match body.is_null() || method == "GET" {
            true => self.ask(method, path, &[], ""),
            false => {
                self.ask(method, path, &[("content-type", "application/json")], &body.to_string())
            }
        }
    }

    /// Reads what comes until it ends; `meanwhile` is done once the first line is there.
    pub fn to_the_end(&self, path: &str, meanwhile: impl FnOnce()) -> String {
        let mut lines = self.begin("GET", path, &[], "");
        let mut text = String::new();
        while !text.contains("events from here on") {
            assert_ne!(lines.read_line(&mut text).unwrap(), 0, "{text}");
        }
        meanwhile();
        lines.read_to_string(&mut text).unwrap();
        text
    }

    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut lines = self.begin(method, path, headers, body);
        let mut line = || {
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        };
        let status = line().split(' ').nth(1).expect("a status").parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = line();
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: Value::Null };
        if let Some(length) = answer.header("content-length") {
            let mut bytes = vec![0; length.parse().unwrap()];
            lines.read_exact(&mut bytes).unwrap();
            let text = String::from_utf8(bytes).unwrap();
            answer.body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        }
        answer
    }

    /// Sends a request; what comes back can be read.
    fn begin(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> BufReader<TcpStream> {
        let mut stream = self.connect();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.to);
        head.push_str("connection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(token) = &self.token {
            head.push_str(&format!("authorization: Bearer {token}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        write!(stream, "{head}\r\n{body}").unwrap();
        BufReader::new(stream)
    }

    fn connect(&self) -> TcpStream {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let stream = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(SocketAddr::from((self.from, 0))).unwrap();
            socket.connect(self.to).await.unwrap().into_std().unwrap()
        });
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}
