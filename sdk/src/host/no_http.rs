//! No host, no requests.

use std::io::Read;

use crate::error::{Result, permanent};
use crate::http::{Request, Url};

/// An answer, of which there is none.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Read for Answer {
    fn read(&mut self, _buffer: &mut [u8]) -> std::io::Result<usize> {
        Ok(0)
    }
}

pub fn send(request: &Request, url: &Url<'_>) -> Result<Answer> {
    let (method, Url { scheme, authority, path }) = (&request.method, url);
    let sizes = (request.headers.len(), request.body.len(), request.timeout);
    Err(permanent(format!(
        "there is no host that could send {method} {scheme}://{authority}{path} {sizes:?}"
    )))
}
