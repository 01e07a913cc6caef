//! Makes clients: the address, and credentials read anew each time.

use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};

use super::fault::connecting;
use super::settings::Settings;
use crate::store::Result;
use crate::store::error::StoreError;

/// Where clients come from.
#[derive(Clone)]
pub(super) struct Factory {
    settings: Settings,
}

impl Factory {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// A client for one more connection.
    ///
    /// # Errors
    ///
    /// `Denied` when the password can't be read; `Unavailable` for an address that makes no sense.
    pub(super) fn client(&self) -> Result<Client> {
        let settings = &self.settings;
        if settings.tls.is_some() {
            return Err(StoreError::Unfit(
                "this build can't speak TLS to Redis yet; use `redis://`".to_owned(),
            ));
        }
        let mut login = RedisConnectionInfo::default()
            .set_db(settings.db)
            .set_lib_name("campanile", env!("CARGO_PKG_VERSION"));
        if let Some(username) = &settings.username {
            login = login.set_username(username);
        }
        if let Some(read) = &settings.password {
            login = login.set_password(read().map_err(StoreError::Denied)?);
        }
        let addr = ConnectionAddr::Tcp(settings.host.clone(), settings.port);
        let info: ConnectionInfo = addr.into_connection_info().map_err(|e| connecting(&e))?;
        let tcp = TcpSettings::default().set_nodelay(true);
        Client::open(info.set_redis_settings(login).set_tcp_settings(tcp))
            .map_err(|error| connecting(&error))
    }
}
