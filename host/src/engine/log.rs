//! What a guest writes: bounded, line by line, from logging calls and both output streams.
//!
//! Of a log that grows over its limit the head and the tail are kept, and a line between them says
//! how much is missing. Does not store anything: the executor takes lines out and appends them.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

use super::meter::Meter;
use crate::clock::SharedClock;
use crate::run::usage::Effect;
use crate::run::{LogLevel, LogLine, LogStream};
use crate::secrets::Secrets;

/// A longer line is broken into several.
const MAX_LINE_BYTES: usize = 8 * 1024;
/// A piece of a log ends with the line that reaches this.
const MAX_PIECE_BYTES: usize = 256 * 1024;
/// What a line weighs beside its text.
const LINE_OVERHEAD_BYTES: usize = 32;
/// The context of lines that the host itself adds.
pub const HOST_CONTEXT: &str = "campanile";

/// The log of one attempt. Cheap to clone; all clones are one log.
#[derive(Clone)]
pub struct Log {
    inner: Arc<Mutex<Buffer>>,
    clock: SharedClock,
    secrets: Arc<Secrets>,
}

struct Buffer {
    limit: usize,
    /// Bytes that went into the head.
    head_bytes: usize,
    /// Head lines that nobody has taken yet.
    head: VecDeque<LogLine>,
    tail: VecDeque<LogLine>,
    tail_bytes: usize,
    left_out: u64,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Log {
    /// An empty log that keeps about `limit` bytes.
    pub fn new(limit: u64, clock: SharedClock) -> Self {
        let buffer = Buffer {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            head_bytes: 0,
            head: VecDeque::new(),
            tail: VecDeque::new(),
            tail_bytes: 0,
            left_out: 0,
            stdout: Vec::new(),
            stderr: Vec::new(),
        };
        Self { inner: Arc::new(Mutex::new(buffer)), clock, secrets: Arc::default() }
    }

    /// The same log, in which these secrets do not stand.
    #[must_use]
    pub fn without(self, secrets: &Arc<Secrets>) -> Self {
        Self { secrets: Arc::clone(secrets), ..self }
    }

    /// Adds one message of a guest.
    pub fn write(&self, level: LogLevel, mut context: String, mut message: String) {
        let secrets = self.secrets.redactor();
        secrets.clean(&mut context);
        secrets.clean(&mut message);
        let line = self.line(level, LogStream::Log, context, message);
        self.lock().push(line);
    }

    /// Adds a remark of the host.
    pub fn remark(&self, level: LogLevel, message: String) {
        self.write(level, HOST_CONTEXT.to_owned(), message);
    }

    /// Takes a piece of the lines that are final by now, the head as far as it has come; empty when
    /// there are none.
    pub fn take_ready(&self) -> Vec<LogLine> {
        take_piece(&mut self.lock().head)
    }

    /// Puts back lines that were taken and could not be appended: they are the next to be taken.
    pub fn put_back(&self, lines: Vec<LogLine>) {
        put_back(&mut self.lock().head, lines);
    }

    /// Takes all that is left, after the guest has ended.
    pub fn take_rest(&self) -> Vec<LogLine> {
        for stream in [LogStream::Stdout, LogStream::Stderr] {
            let rest = {
                let mut buffer = self.lock();
                std::mem::take(buffer.partial(stream))
            };
            if !rest.is_empty() {
                self.push_output(stream, &rest);
            }
        }
        let mut buffer = self.lock();
        let mut lines = Vec::from(std::mem::take(&mut buffer.head));
        if buffer.left_out > 0 {
            let message = format!(
                "{} lines are left out here: the log is over its limit of {} bytes; \
                 `limits.log` raises it",
                buffer.left_out, buffer.limit
            );
            let context = HOST_CONTEXT.to_owned();
            lines.push(self.line(LogLevel::Warn, LogStream::Log, context, message));
        }
        lines.extend(std::mem::take(&mut buffer.tail));
        lines
    }

    /// The last line on standard error, where a panic leaves its message.
    pub fn last_stderr(&self) -> Option<String> {
        let buffer = self.lock();
        let mut lines = buffer.tail.iter().rev().chain(buffer.head.iter().rev());
        let found = lines.find(|line| line.stream == LogStream::Stderr && is_telling(line));
        found.map(|line| line.message.clone())
    }

    fn line(
        &self,
        level: LogLevel,
        stream: LogStream,
        context: String,
        message: String,
    ) -> LogLine {
        LogLine { t: self.clock.now(), level, stream, context, message }
    }

    fn push_output(&self, stream: LogStream, bytes: &[u8]) {
        let level = match stream {
            LogStream::Log | LogStream::Stdout => LogLevel::Info,
            LogStream::Stderr => LogLevel::Error,
        };
        let bytes = self.secrets.redactor().clean_bytes(bytes);
        let text = String::from_utf8_lossy(&bytes);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text).to_owned();
        let line = self.line(level, stream, String::new(), text);
        self.lock().push(line);
    }

    fn write_output(&self, stream: LogStream, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let complete = {
                let mut buffer = self.lock();
                let partial = buffer.partial(stream);
                let room = MAX_LINE_BYTES.saturating_sub(partial.len()).max(1);
                let newline = bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
                let take = newline.unwrap_or(bytes.len()).min(room);
                let (now, later) = bytes.split_at(take);
                partial.extend_from_slice(now);
                bytes = later;
                let full = now.ends_with(b"\n") || partial.len() >= MAX_LINE_BYTES;
                full.then(|| match now.ends_with(b"\n") {
                    true => std::mem::take(partial),
                    false => self.break_off(partial),
                })
            };
            if let Some(line) = complete {
                self.push_output(stream, &line);
            }
        }
    }

    /// The first part of a line that is too long: as much of it as holds no beginning of a secret
    /// that goes on in what follows.
    fn break_off(&self, line: &mut Vec<u8>) -> Vec<u8> {
        let secrets = self.secrets.redactor();
        let mut first = secrets.clean_bytes(line).into_owned();
        let open = secrets.open_end(&first, MAX_LINE_BYTES / 2);
        *line = first.split_off(first.len() - open);
        first
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Buffer> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    fn partial(&mut self, stream: LogStream) -> &mut Vec<u8> {
        match stream {
            LogStream::Log | LogStream::Stdout => &mut self.stdout,
            LogStream::Stderr => &mut self.stderr,
        }
    }

    fn push(&mut self, mut line: LogLine) {
        cut(&mut line.message, MAX_LINE_BYTES);
        cut(&mut line.context, MAX_LINE_BYTES);
        let weight = weight(&line);
        if self.tail.is_empty() && self.head_bytes + weight <= self.limit / 2 {
            self.head_bytes += weight;
            self.head.push_back(line);
            return;
        }
        self.tail_bytes += weight;
        self.tail.push_back(line);
        while self.tail_bytes > self.limit - self.limit / 2 {
            let Some(oldest) = self.tail.pop_front() else { return };
            self.tail_bytes -= self::weight(&oldest);
            self.left_out += 1;
        }
    }
}

/// One of a guest's output streams, as wasmtime-wasi wants it.
#[derive(Clone)]
pub(super) struct Output {
    log: Log,
    stream: LogStream,
    meter: Arc<Meter>,
}

impl Output {
    /// Standard output into `log`.
    pub(super) fn stdout(log: &Log, meter: &Arc<Meter>) -> Self {
        Self { log: log.clone(), stream: LogStream::Stdout, meter: Arc::clone(meter) }
    }

    /// Standard error into `log`.
    pub(super) fn stderr(log: &Log, meter: &Arc<Meter>) -> Self {
        Self { log: log.clone(), stream: LogStream::Stderr, meter: Arc::clone(meter) }
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn wasmtime_wasi::p2::OutputStream> {
        Box::new(self.clone())
    }
}

impl wasmtime_wasi::p2::OutputStream for Output {
    fn write(&mut self, bytes: bytes::Bytes) -> wasmtime_wasi::p2::StreamResult<()> {
        if bytes.len() > MAX_LINE_BYTES {
            let message = "it wrote more than `check-write` had allowed";
            return Err(wasmtime_wasi::p2::StreamError::trap(message));
        }
        self.meter.bytes_out(Effect::Stdio, bytes.len());
        self.log.write_output(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> wasmtime_wasi::p2::StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> wasmtime_wasi::p2::StreamResult<usize> {
        Ok(MAX_LINE_BYTES)
    }
}

#[async_trait::async_trait]
impl wasmtime_wasi::p2::Pollable for Output {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.log.write_output(self.stream, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Takes as many of the first of `lines` as are to be kept in one step: 256 KiB of them, and where
/// the last one of these ends.
pub fn take_piece(lines: &mut VecDeque<LogLine>) -> Vec<LogLine> {
    let mut bytes = 0;
    let fits = lines.iter().take_while(|line| {
        let begins_within = bytes < MAX_PIECE_BYTES;
        bytes += weight(line);
        begins_within
    });
    let count = fits.count();
    lines.drain(..count).collect()
}

/// Makes a piece that was taken the next to be taken again.
pub fn put_back(lines: &mut VecDeque<LogLine>, piece: Vec<LogLine>) {
    for line in piece.into_iter().rev() {
        lines.push_front(line);
    }
}

/// A panic's own text, not the hint about backtraces that follows it.
fn is_telling(line: &LogLine) -> bool {
    !line.message.is_empty() && !line.message.starts_with("note: ")
}

fn weight(line: &LogLine) -> usize {
    line.message.len() + line.context.len() + LINE_OVERHEAD_BYTES
}

fn cut(text: &mut String, max: usize) {
    if text.len() > max {
        let mut end = max;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        // The guest chose how long it was.
        text.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::time::Timestamp;

    fn log(limit: u64) -> Log {
        Log::new(limit, Arc::new(ManualClock::at(Timestamp::from_secs(0))))
    }

    fn texts(lines: &[LogLine]) -> Vec<&str> {
        lines.iter().map(|line| line.message.as_str()).collect()
    }

    #[test]
    fn output_is_split_into_lines_and_the_unfinished_one_is_kept() {
        let log = log(10_000);
        log.write_output(LogStream::Stdout, b"one\ntw");
        log.write_output(LogStream::Stderr, b"oops");
        log.write_output(LogStream::Stdout, b"o\r\nthree");
        assert_eq!(texts(&log.take_ready()), ["one", "two"]);
        assert_eq!(texts(&log.take_rest()), ["three", "oops"]);
    }

    #[test]
    fn of_a_log_over_its_limit_head_and_tail_are_kept_and_the_gap_is_marked() {
        let log = log(1_000);
        for number in 0..1_000 {
            log.write(LogLevel::Info, String::new(), format!("line {number}"));
        }
        let lines = log.take_rest();
        let texts = texts(&lines);
        assert_eq!(texts.first(), Some(&"line 0"));
        assert_eq!(texts.last(), Some(&"line 999"));
        let gap = texts.iter().find(|text| text.contains("left out")).unwrap();
        let kept = texts.len() - 1;
        assert!(gap.starts_with(&format!("{} lines", 1_000 - kept)), "{gap}");
        assert!(lines.iter().map(weight).sum::<usize>() < 1_300);
    }

    #[test]
    fn a_long_log_is_taken_in_pieces_and_in_order() {
        let log = log(16 << 20);
        let text = "x".repeat(1_000);
        for number in 0..2_000 {
            log.write(LogLevel::Info, number.to_string(), text.clone());
        }
        let mut taken = Vec::new();
        loop {
            let piece = log.take_ready();
            if piece.is_empty() {
                break;
            }
            assert!(piece.iter().map(weight).sum::<usize>() < MAX_PIECE_BYTES + MAX_LINE_BYTES);
            taken.extend(piece.into_iter().map(|line| line.context));
        }
        assert_eq!(taken, (0..2_000).map(|number| number.to_string()).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_secret_is_struck_out_wherever_a_long_line_is_broken() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("TOKEN"), "hunter2-hunter3").unwrap();
        let places = crate::config::secret::Secrets {
            dir: Some(dir.path().to_owned()),
            ..Default::default()
        };
        let tenant = crate::job::names::TenantId::default_tenant();
        let secrets = Secrets::read(&places, &tenant, &["TOKEN".parse().unwrap()]).await.unwrap();
        let secrets = Arc::new(secrets);
        for before in MAX_LINE_BYTES - 20..MAX_LINE_BYTES + 5 {
            let log = log(100_000).without(&secrets);
            let line = [&vec![b'x'; before], &b"hunter2-hunter3 tail"[..]].concat();
            for piece in line.chunks(7) {
                log.write_output(LogStream::Stdout, piece);
            }
            let lines = log.take_rest();
            let whole = texts(&lines).concat();
            assert_eq!(lines.len(), 2);
            assert_eq!(whole, format!("{}[secret TOKEN] tail", "x".repeat(before)), "{before}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_broken() {
        let log = log(100_000);
        log.write_output(LogStream::Stdout, &vec![b'x'; MAX_LINE_BYTES + 5]);
        assert_eq!(log.take_rest().len(), 2);
    }
}
