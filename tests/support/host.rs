//! The real binary in a folder of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use super::{eventually, guests, told};

/// A request may take so long: longer than any `?wait=`.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// The binary under test.
pub fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_host")
}

/// A folder with a configuration and a plugins folder, gone when it is dropped.
pub struct Site {
    dir: tempfile::TempDir,
}

impl Site {
    /// A site whose `host.toml` is `config` after an API on a free port.
    pub fn new(config: &str) -> Self {
        let site = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(site.path("plugins")).unwrap();
        site.configure(config);
        site
    }

    /// The text of `host.toml`: `config` and an API on a free port.
    pub fn text(config: &str) -> String {
        format!("{config}\n[api]\nlisten = \"127.0.0.1:0\"\n")
    }

    /// Writes `host.toml` anew.
    pub fn configure(&self, config: &str) {
        self.configure_api(config, "");
    }

    /// The same with further keys below `[api]`.
    pub fn configure_api(&self, config: &str, api: &str) {
        let text = format!("{config}\n[api]\nlisten = \"127.0.0.1:0\"\n{api}\n");
        std::fs::write(self.path("host.toml"), text).unwrap();
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Drops a guest into the plugins folder under a name.
    pub fn plugin(&self, guest: &str, name: &str) {
        self.plugin_bytes(&guests::bytes(guest), name);
    }

    /// Drops bytes into the plugins folder, as a copy does: under the final name, in one write.
    pub fn plugin_bytes(&self, bytes: &[u8], name: &str) {
        let file = self.path(&format!("plugins/{name}.wasm"));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }

    /// Starts the host and waits until it is ready.
    pub fn start(&self) -> Host {
        self.start_with(&[])
    }

    /// The same with arguments.
    pub fn start_with(&self, args: &[&str]) -> Host {
        let host = Host::spawn(self.dir.path(), args);
        host.url();
        eventually("a ready host", || (host.get("/readyz").0 == 200).then_some(()));
        host
    }

    /// The same with variables in its environment.
    pub fn start_with_env(&self, env: &[(&str, &str)]) -> Host {
        let host = Host::spawn_with(self.dir.path(), &[], env);
        host.url();
        eventually("a ready host", || (host.get("/readyz").0 == 200).then_some(()));
        host
    }

    /// Starts a host that has no API, and waits for nothing.
    pub fn start_unseen(&self) -> Host {
        Host::spawn(self.dir.path(), &[])
    }

    /// Starts the host where it can't start, and waits for its end.
    pub fn start_in_vain(&self) -> (ExitStatus, String) {
        let mut host = Host::spawn(self.dir.path(), &[]);
        let status = host.wait();
        (status, host.said())
    }

    /// Runs a command in the folder.
    pub fn cli(&self, args: &[&str]) -> Output {
        Command::new(binary())
            .args(args)
            .current_dir(self.dir.path())
            .env_remove("CAMPANILE_URL")
            .env_remove("CAMPANILE_TOKEN")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}

/// A running host; killed when it is dropped, and when that is because the test fails, it tells how
/// it was.
pub struct Host {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    /// Reads what it says; ends with it.
    reader: Option<JoinHandle<()>>,
    agent: ureq::Agent,
}

impl Host {
    fn spawn(dir: &Path, args: &[&str]) -> Self {
        Self::spawn_with(dir, args, &[])
    }

    fn spawn_with(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut child = Command::new(binary())
            .args(["--config", "host.toml", "--log-format", "human"])
            .args(args)
            .envs(env.iter().copied())
            .current_dir(dir)
            .env_remove("CAMPANILE_URL")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&lines);
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let reader = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                heard.lock().unwrap().push(line);
            }
        });
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(REQUEST_TIMEOUT))
            .build();
        Self { child, lines, reader: Some(reader), agent: config.into() }
    }

    /// All that it wrote to standard error so far.
    pub fn said(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// What it has said with this in it, if it has.
    fn heard(&self, text: &str) -> Option<String> {
        self.lines.lock().unwrap().iter().find(|line| line.contains(text)).cloned()
    }

    /// Waits until it has said this.
    pub fn says(&self, text: &str) -> String {
        eventually(&format!("the host to say `{text}`"), || self.heard(text))
    }

    /// Where its API is.
    pub fn url(&self) -> String {
        eventually("the host to say where it listens", || self.heard_url())
    }

    /// The same, if it has said so.
    pub fn heard_url(&self) -> Option<String> {
        let line = self.heard("listens on http")?;
        line.split_whitespace().find(|word| word.starts_with("http")).map(str::to_owned)
    }

    /// Asks its API. Without an answer, or with half of one, the status is 0 and the text says why.
    pub fn get(&self, path: &str) -> (u16, Value) {
        let answer = self.agent.get(format!("{}{path}", self.url())).call();
        Self::read(answer)
    }

    /// Tells its API.
    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.agent.post(format!("{}{path}", self.url())).send_json(body);
        Self::read(answer)
    }

    /// Tells its API in any way.
    pub fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let request = ureq::http::Request::builder().method(method);
        let request = request.uri(format!("{}{path}", self.url()));
        if method == "DELETE" {
            return Self::read(self.agent.run(request.body(()).unwrap()));
        }
        let request = request.header("content-type", "application/json");
        Self::read(self.agent.run(request.body(body.to_string()).unwrap()))
    }

    /// Puts bytes.
    pub fn put_bytes(&self, path: &str, bytes: &[u8], headers: &[(&str, &str)]) -> (u16, Value) {
        let mut request = self.agent.put(format!("{}{path}", self.url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Self::read(request.send(bytes))
    }

    /// Asks for bytes of a kind.
    pub fn get_bytes(&self, path: &str, kind: &str) -> Vec<u8> {
        let request = self.agent.get(format!("{}{path}", self.url())).header("accept", kind);
        request.call().unwrap().body_mut().read_to_vec().unwrap()
    }

    fn read(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> (u16, Value) {
        match answer {
            Ok(mut answer) => {
                let status = answer.status().as_u16();
                match answer.body_mut().read_to_string() {
                    Ok(text) => {
                        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
                    }
                    Err(error) => (0, Value::String(error.to_string())),
                }
            }
            Err(error) => (0, Value::String(error.to_string())),
        }
    }

    /// Runs a command against it.
    pub fn cli(&self, args: &[&str]) -> Output {
        Command::new(binary())
            .args(args)
            .args(["--url", &self.url()])
            .current_dir(std::env::temp_dir())
            .env_remove("CAMPANILE_TOKEN")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Items of a list.
    pub fn items(&self, path: &str) -> Vec<Value> {
        let (status, list) = self.get(path);
        assert_eq!(status, 200, "{path}: {list}");
        list["items"].as_array().unwrap().clone()
    }

    /// Waits until a list has an item like this.
    pub fn item(&self, what: &str, path: &str, like: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || self.items(path).into_iter().find(&like))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it has ended by itself, and all that it said was heard.
    pub fn wait(&mut self) -> ExitStatus {
        let status = eventually("the host to end", || self.child.try_wait().unwrap());
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status
    }

    /// SIGTERM, and waits for the end.
    pub fn terminate(mut self) -> (ExitStatus, String) {
        self.signal(rustix::process::Signal::TERM);
        let status = self.wait();
        (status, self.said())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (url, said) = (self.heard_url(), self.said());
            eprintln!("{}", told::told(&mut self.child, url, &said));
        }
        // It may have ended already; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
