//! Makes clients: the address, and credentials read anew each time.

use redis::io::tcp::TcpSettings;
use std::time::Duration;

use redis::{
    Client, Cmd, Connection, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    RedisConnectionInfo, TlsCertificates,
};

use super::fault::connecting;
use super::settings::Settings;
use crate::config::secret::SecretRef;
use crate::config::store::RedisAddress;
use crate::store::Result;
use crate::store::error::StoreError;

/// Where clients come from.
#[derive(Clone)]
pub(super) struct Factory {
    address: RedisAddress,
    name: String,
}

impl Factory {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { address: settings.address.clone(), name: settings.name.clone() }
    }

    /// What each new connection begins with: who it is, for those who look at the server. One that
    /// does not allow it does without.
    pub(super) fn introduction(&self) -> Cmd {
        let mut name = redis::cmd("CLIENT");
        name.arg("SETNAME").arg(&self.name);
        name
    }

    /// Connects, for callers that wait.
    ///
    /// # Errors
    ///
    /// Those of [`Factory::client`]; `Unavailable` and `Denied` when the server says so.
    pub(super) fn connection(&self, timeout: Duration) -> Result<Connection> {
        let connection = self.client()?.get_connection_with_timeout(timeout);
        let mut connection = connection.map_err(|error| connecting(&error))?;
        // A connection that is broken by then is found to be at its first use.
        let _ = self.introduction().query::<()>(&mut connection);
        Ok(connection)
    }

    /// A client for one more connection.
    ///
    /// # Errors
    ///
    /// `Denied` when the password or a certificate can't be read; `Unavailable` for an address that
    /// makes no sense.
    pub(super) fn client(&self) -> Result<Client> {
        let address = &self.address;
        let mut login = RedisConnectionInfo::default()
            .set_db(address.db)
            .set_lib_name("campanile", env!("CARGO_PKG_VERSION"));
        if let Some(username) = &address.username {
            login = login.set_username(username);
        }
        if let Some(password) = &address.password {
            login = login.set_password(read(password)?);
        }
        let (host, port) = (address.host.clone(), address.port);
        let place = match &address.tls {
            None => ConnectionAddr::Tcp(host, port),
            Some(_) => {
                // Refused when there is one already: then that one does.
                let _ = rustls::crypto::ring::default_provider().install_default();
                ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
            }
        };
        let info: ConnectionInfo = place.into_connection_info().map_err(|e| connecting(&e))?;
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = info.set_redis_settings(login).set_tcp_settings(tcp);
        let client = match address.tls.as_ref().and_then(|tls| tls.ca_file.as_ref()) {
            None => Client::open(info),
            Some(file) => {
                let root_cert = std::fs::read(file).map_err(|error| {
                    StoreError::Denied(format!("`ca_file` `{}`: {error}", file.display()))
                })?;
                let roots = TlsCertificates { client_tls: None, root_cert: Some(root_cert) };
                Client::build_with_tls(info, roots)
            }
        };
        client.map_err(|error| connecting(&error))
    }
}

/// Reads a secret where it stands. No message shows it.
fn read(secret: &SecretRef) -> Result<String> {
    let missing = |error: &dyn std::fmt::Display| {
        StoreError::Denied(format!("`password` stands in {secret}, which can't be read: {error}"))
    };
    match secret {
        SecretRef::Env(name) => std::env::var(name).map_err(|error| missing(&error)),
        SecretRef::File(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| missing(&error))?;
            Ok(text.trim_end_matches(['\r', '\n']).to_owned())
        }
    }
}
