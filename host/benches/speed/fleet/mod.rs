//! Hosts that share a Redis server: beside others on the same server, more of them, further away, with
//! very many schedules, at rest and after a night.

pub mod bells;
pub mod far;
pub mod hosts;
pub mod idle;
pub mod restart;
pub mod rivals;
pub mod tenants;

use crate::findings::Findings;
use crate::redis::Server;

/// A server of its own; without one a section is left out.
fn server(findings: &Findings) -> Option<Server> {
    let server = Server::start();
    if let Err(error) = &server {
        findings.note(&format!(
            "left out: redis-server does not start ({error}); install it with \
             `apt-get install --no-install-recommends redis-server`"
        ));
    }
    server.ok()
}
