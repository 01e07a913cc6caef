//! `wasi:config`: the job's settings, and the secrets that it was granted.
//!
//! A secret comes before a setting of the same name.

use crate::engine::bindings::wasi::config::store;
use crate::engine::guest::Guest;
use crate::run::usage::Effect;

impl store::Host for Guest {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, store::Error>> {
        self.gate(Effect::Config)?;
        let secret = self.secrets.get(&key).map(str::to_owned);
        Ok(Ok(secret.or_else(|| self.config.get(&key).cloned())))
    }

    fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, store::Error>> {
        self.gate(Effect::Config)?;
        let mut all = (*self.config).clone();
        let secrets = self.secrets.iter();
        all.extend(secrets.map(|(name, value)| (name.to_owned(), value.to_owned())));
        Ok(Ok(all.into_iter().collect()))
    }
}
