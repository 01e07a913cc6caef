//! The effects that nobody can be granted yet: each call fails, and names the key it would need.
//!
//! The guest gets the refusal as an error of the interface it called, with the text where the
//! interface has room for one; the same text stands in the run's log.

use std::sync::Arc;

use wasmtime_wasi_http::{Error as HttpError, RequestOptions, WasiBody, WasiHttpHooks};

use super::control::Control;
use crate::run::LogLevel;

/// What happens to HTTP requests: they are refused.
pub(super) struct NoHttp {
    pub(super) control: Arc<Control>,
}

/// What is left to do for a request that was sent.
type Sent = Box<dyn Future<Output = Result<(), HttpError>> + Send>;

fn deny(control: &Control, what: &str, key: &str) -> String {
    let message = format!(
        "denied: {what}; it needs `capabilities.{key}`, which this version can't grant yet"
    );
    control.log().remark(LogLevel::Warn, message.clone());
    message
}

impl WasiHttpHooks for NoHttp {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _sent: Box<dyn Future<Output = Result<(), HttpError>> + Send>,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Sent), HttpError>> + Send> {
        let scheme = request.uri().scheme_str().unwrap_or("https");
        let authority = request.uri().authority().map_or("", |authority| authority.as_str());
        let origin = format!("{scheme}://{authority}");
        let key = format!("http = [\"{origin}\"]");
        let message = deny(&self.control, &format!("a request to {origin}"), &key);
        Box::new(async { Err(HttpError::InternalError(Some(message))) })
    }
}
