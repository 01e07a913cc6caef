//! How a command reaches jobs and runs: a host over REST, or the store itself when none is running.
//!
//! The store is asked through the same routes, inside this process and read-only, so that both ways
//! give the same answers.

mod local;
mod remote;
mod trust;

use std::collections::VecDeque;

use serde::de::DeserializeOwned;
use serde_json::Value;

use self::local::Local;
use self::remote::Remote;
use super::args::{Common, Whom};
use super::exit::Failure;
use super::screen;
use crate::api::view::List;
use crate::api::view::problem::ProblemView;
use crate::record::query::MAX_PAGE;

/// What answers.
pub enum Reached {
    /// A host that is running.
    Host(Remote),
    /// The store that no host is using.
    Store(Local),
}

/// The code of what is to be confirmed.
const CONFIRM: &str = "confirm";

/// What came of asking for something to be gone.
pub enum Asked<T> {
    /// It is done, or begun.
    Done(T),
    /// What it would delete.
    Told(ProblemView),
}

/// An answer to one request.
struct Answer {
    status: u16,
    body: Vec<u8>,
}

/// The parameters of a request.
pub type Query<'a> = Vec<(&'a str, String)>;

/// Finds the host, or else the store, to read from.
///
/// # Errors
///
/// Neither can be read.
pub fn reading(common: &Common, whom: &Whom) -> Result<Reached, Failure> {
    if let Some(url) = whom.url() {
        return Ok(Reached::Host(Remote::at(url, whom)?));
    }
    let config = common.load()?;
    let listen = config.api.listen;
    if let Some(remote) = Remote::find(&config.api, whom)? {
        return Ok(Reached::Host(remote));
    }
    let (local, place) = Local::open(&config)?;
    screen::note(format!("no host is running at {listen}; this is what {place} holds"));
    Ok(Reached::Store(local))
}

/// Finds the host that can do something.
///
/// # Errors
///
/// None is running.
pub fn steering(common: &Common, whom: &Whom) -> Result<Reached, Failure> {
    if let Some(url) = whom.url() {
        return Ok(Reached::Host(Remote::at(url, whom)?));
    }
    let config = common.load()?;
    let listen = config.api.listen;
    let found = Remote::find(&config.api, whom)?;
    found.map(Reached::Host).ok_or_else(|| {
        let start = match &common.config {
            Some(file) => format!("host serve --config {}", file.display()),
            None => "host serve".to_owned(),
        };
        Failure::failed(format!(
            "no host is running at {listen}; start one with `{start}`, or name another with --url"
        ))
    })
}

impl Reached {
    /// Whether a host answers, rather than its store alone.
    pub fn is_host(&self) -> bool {
        match self {
            Self::Host(_) => true,
            Self::Store(_) => false,
        }
    }

    /// Asks for one object.
    ///
    /// # Errors
    ///
    /// What the answer says.
    pub fn get<T: DeserializeOwned>(&self, path: &str, query: Query<'_>) -> Result<T, Failure> {
        let answer = match self {
            Self::Host(remote) => remote.get(&with_query(path, &query))?,
            Self::Store(local) => local.get(&with_query(path, &query))?,
        };
        answer.read()
    }

    /// Asks for something to be done.
    ///
    /// # Errors
    ///
    /// What the answer says; a store alone does nothing.
    pub fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        query: Query<'_>,
        body: &Value,
    ) -> Result<T, Failure> {
        self.host()?.post(&with_query(path, &query), body)?.read()
    }

    /// Asks for something to stand there.
    ///
    /// # Errors
    ///
    /// As [`Self::post`].
    pub fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        query: Query<'_>,
        body: &Value,
    ) -> Result<T, Failure> {
        self.host()?.put(&with_query(path, &query), body)?.read()
    }

    /// Hands over a plugin, with its signature in base64 if there is one.
    ///
    /// # Errors
    ///
    /// As [`Self::post`].
    pub fn put_plugin<T: DeserializeOwned>(
        &self,
        path: &str,
        query: Query<'_>,
        bytes: &[u8],
        signature: Option<&str>,
    ) -> Result<T, Failure> {
        self.host()?.put_plugin(&with_query(path, &query), bytes, signature)?.read()
    }

    /// Asks for something to be gone that is told of first.
    ///
    /// # Errors
    ///
    /// As [`Self::post`].
    pub fn ask_to_delete<T: DeserializeOwned>(
        &self,
        path: &str,
        query: Query<'_>,
    ) -> Result<Asked<T>, Failure> {
        let answer = self.host()?.delete(&with_query(path, &query))?;
        match serde_json::from_slice::<ProblemView>(&answer.body) {
            Ok(problem) if problem.code == CONFIRM => Ok(Asked::Told(problem)),
            Ok(_) | Err(_) => answer.read().map(Asked::Done),
        }
    }

    /// Asks for something to be gone.
    ///
    /// # Errors
    ///
    /// As [`Self::post`].
    pub fn delete(&self, path: &str, query: Query<'_>) -> Result<(), Failure> {
        let answer = self.host()?.delete(&with_query(path, &query))?;
        if (200..300).contains(&answer.status) { Ok(()) } else { Err(answer.refusal()) }
    }

    /// The host; a store alone does nothing.
    fn host(&self) -> Result<&Remote, Failure> {
        match self {
            Self::Host(remote) => Ok(remote),
            Self::Store(_) => Err(Failure::failed("no host is running; start one: `host serve`")),
        }
    }

    /// Hands over each line of an answer as it comes.
    ///
    /// # Errors
    ///
    /// What the answer says, or what `each` fails with.
    pub fn lines(
        &self,
        path: &str,
        query: Query<'_>,
        each: impl FnMut(&str) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.host()?.lines(&with_query(path, &query), each)
    }

    /// The items of a list, fetched a page at a time: all of them, or `limit`.
    pub fn items<'a, T: DeserializeOwned + 'a>(
        &'a self,
        path: &'a str,
        query: Query<'a>,
        limit: Option<usize>,
    ) -> impl Iterator<Item = Result<T, Failure>> + 'a {
        let page = Page { items: VecDeque::new(), cursor: None, left: limit, ended: false };
        Items { reached: self, path, query, page }
    }
}

struct Items<'a, T> {
    reached: &'a Reached,
    path: &'a str,
    query: Query<'a>,
    page: Page<T>,
}

struct Page<T> {
    items: VecDeque<T>,
    cursor: Option<String>,
    /// Items still wanted, when not all are.
    left: Option<usize>,
    ended: bool,
}

impl<T: DeserializeOwned> Items<'_, T> {
    fn fetch(&mut self) -> Result<(), Failure> {
        let mut query = self.query.clone();
        let limit = self.page.left.unwrap_or(MAX_PAGE).min(MAX_PAGE);
        query.push(("limit", limit.to_string()));
        query.extend(self.page.cursor.take().map(|cursor| ("cursor", cursor)));
        let list: List<T> = self.reached.get(self.path, query)?;
        self.page.ended = list.next_cursor.is_none();
        self.page.cursor = list.next_cursor;
        self.page.items = list.items.into();
        Ok(())
    }
}

impl<T: DeserializeOwned> Iterator for Items<'_, T> {
    type Item = Result<T, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.page.items.is_empty() {
            if self.page.ended || self.page.left == Some(0) {
                return None;
            }
            if let Err(failure) = self.fetch() {
                self.page.ended = true;
                return Some(Err(failure));
            }
        }
        if let Some(left) = &mut self.page.left {
            *left = left.checked_sub(1)?;
        }
        self.page.items.pop_front().map(Ok)
    }
}

impl Answer {
    fn read<T: DeserializeOwned>(self) -> Result<T, Failure> {
        if (200..300).contains(&self.status) {
            return serde_json::from_slice(&self.body).map_err(|error| {
                Failure::failed(format!(
                    "the host's answer is not understood ({error}); is it of another version?"
                ))
            });
        }
        Err(self.refusal())
    }

    fn refusal(&self) -> Failure {
        let Ok(problem) = serde_json::from_slice::<ProblemView>(&self.body) else {
            return Failure::failed(format!("the host answered with status {}", self.status));
        };
        match self.status {
            400 | 413 | 415 | 422 => Failure::usage(problem.detail),
            _ => Failure::failed(problem.detail),
        }
    }
}

fn with_query(path: &str, query: &Query<'_>) -> String {
    if query.is_empty() {
        return path.to_owned();
    }
    let pairs = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    format!("{path}?{pairs}")
}
