//! Requests by way of `wasi:http`.

use std::io::{self, Read};
use std::time::Duration;

use crate::error::{Error, Result, ResultExt, permanent, retryable};
use crate::http::{Request, Url};
use crate::wit::wasi::http::outgoing_handler;
use crate::wit::wasi::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme,
};
use crate::wit::wasi::io::streams::{InputStream, StreamError};

/// Bytes of a request's body that a host takes in one call.
const CHUNK_BYTES: usize = 4_096;

/// An answer. Its parts are dropped before what they are parts of.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, Vec<u8>)>,
    stream: InputStream,
    _body: IncomingBody,
    _response: IncomingResponse,
}

impl Read for Answer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        match self.stream.blocking_read(buffer.len() as u64) {
            Ok(bytes) => {
                buffer[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
            Err(StreamError::Closed) => Ok(0),
            Err(StreamError::LastOperationFailed(error)) => {
                Err(io::Error::other(format!("the answer broke off: {}", error.to_debug_string())))
            }
        }
    }
}

pub fn send(request: &Request, url: &Url<'_>) -> Result<Answer> {
    let place = format!("{} {}://{}", request.method, url.scheme, url.authority);
    let outgoing = outgoing(request, url).context(&place)?;
    let body = if request.body.is_empty() { None } else { outgoing.body().ok() };
    let future = outgoing_handler::handle(outgoing, Some(options(request.timeout)))
        .map_err(|code| error(&code).context(&place))?;
    if let Some(body) = body {
        // The answer tells why, when the body was not taken.
        let _ = write(body, &request.body);
    }
    future.subscribe().block();
    let answer = future.get().and_then(std::result::Result::ok);
    let answer = answer.ok_or_else(|| retryable("there is no answer").context(&place))?;
    let response = answer.map_err(|code| error(&code).context(&place))?;
    let taken = |()| retryable("the answer has no body").context(&place);
    let body = response.consume().map_err(taken)?;
    let stream = body.stream().map_err(taken)?;
    let (status, headers) = (response.status(), response.headers().entries());
    Ok(Answer { status, headers, stream, _body: body, _response: response })
}

fn outgoing(request: &Request, url: &Url<'_>) -> Result<OutgoingRequest> {
    let fields = Fields::new();
    for (name, value) in &request.headers {
        let appended = fields.append(name, value);
        appended.context(format!("the header `{name}`")).permanent()?;
    }
    if !request.body.is_empty() {
        let length = request.body.len().to_string();
        fields.set("content-length", &[length.into_bytes()]).permanent()?;
    }
    let outgoing = OutgoingRequest::new(fields);
    let scheme = if url.scheme == "http" { Scheme::Http } else { Scheme::Https };
    let wrong = |what: &'static str| move |()| permanent(format!("its {what} is malformed"));
    outgoing.set_method(&method(&request.method)).map_err(wrong("method"))?;
    outgoing.set_scheme(Some(&scheme)).map_err(wrong("scheme"))?;
    outgoing.set_authority(Some(url.authority)).map_err(wrong("host"))?;
    outgoing.set_path_with_query(Some(&url.path)).map_err(wrong("path"))?;
    Ok(outgoing)
}

fn method(method: &str) -> Method {
    match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

fn options(timeout: Option<Duration>) -> RequestOptions {
    let options = RequestOptions::new();
    let nanos = timeout.map(|timeout| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
    // A host that knows none of these keeps its own.
    let _ = options.set_connect_timeout(nanos);
    let _ = options.set_first_byte_timeout(nanos);
    let _ = options.set_between_bytes_timeout(nanos);
    options
}

fn write(body: OutgoingBody, bytes: &[u8]) -> std::result::Result<(), ()> {
    let stream = body.write()?;
    for chunk in bytes.chunks(CHUNK_BYTES) {
        stream.blocking_write_and_flush(chunk).map_err(|_| ())?;
    }
    drop(stream);
    OutgoingBody::finish(body, None).map_err(|_| ())
}

/// What went wrong, and whether it may go better.
fn error(code: &ErrorCode) -> Error {
    match code {
        ErrorCode::InternalError(Some(text)) if text.starts_with("denied: ") => permanent(text),
        ErrorCode::InternalError(Some(text)) => retryable(text),
        ErrorCode::DnsTimeout | ErrorCode::DnsError(_) | ErrorCode::DestinationNotFound => {
            retryable("its name leads nowhere")
        }
        ErrorCode::ConnectionRefused => retryable("the connection was refused"),
        ErrorCode::ConnectionTerminated => retryable("the connection was closed too early"),
        ErrorCode::ConnectionTimeout => retryable("there was no connection in time"),
        ErrorCode::HttpResponseTimeout | ErrorCode::ConnectionReadTimeout => {
            retryable("there was no answer in time")
        }
        ErrorCode::ConnectionLimitReached => {
            retryable("too many requests at once; `limits.http_connections` allows more")
        }
        ErrorCode::TlsCertificateError => retryable("its certificate is not believed"),
        ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => {
            permanent("denied; it needs `capabilities.http`")
        }
        ErrorCode::HttpRequestBodySize(_) => {
            permanent("its body is too large; `limits.http_body` allows more")
        }
        ErrorCode::HttpResponseBodySize(_) => {
            permanent("the answer is too large; `limits.http_body` allows more")
        }
        ErrorCode::HttpRequestHeaderSectionSize(_)
        | ErrorCode::HttpResponseHeaderSectionSize(_) => {
            permanent("too many headers; `limits.http_headers` allows more")
        }
        ErrorCode::HttpRequestUriInvalid
        | ErrorCode::HttpRequestMethodInvalid
        | ErrorCode::HttpRequestUriTooLong => permanent(format!("it is malformed ({code:?})")),
        other => retryable(format!("{other:?}")),
    }
}
