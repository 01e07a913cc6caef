//! The one integration binary: everything through real components, the real binary, real sockets.

#[cfg(test)]
mod access;
#[cfg(test)]
mod api;
#[cfg(test)]
mod architecture;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod clock;
#[cfg(test)]
mod config_reload;
#[cfg(test)]
mod control;
#[cfg(test)]
mod crowd;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod endurance;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod files;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod fleet_quotas;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod http;
#[cfg(test)]
mod include;
#[cfg(test)]
mod kinds;
#[cfg(test)]
mod lease;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod plan;
#[cfg(test)]
mod quotas;
#[cfg(test)]
mod redis;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod security;
#[cfg(test)]
mod simulate;
#[cfg(test)]
mod sockets;
#[cfg(test)]
mod state;
#[cfg(test)]
mod store;
#[cfg(test)]
mod support;
#[cfg(test)]
mod swaps;
#[cfg(test)]
mod tenant_quotas;
#[cfg(test)]
mod tenants;
#[cfg(test)]
mod tenants_rest;
#[cfg(test)]
mod upload;
#[cfg(test)]
mod usage;
#[cfg(test)]
mod versions;
