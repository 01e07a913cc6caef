//! `wasi:cli/stdin`, `stdout` and `stderr`.

use wasmtime::component::Resource;
use wasmtime_wasi::cli::WasiCliView as _;
use wasmtime_wasi::p2::bindings::cli::{stderr, stdin, stdout};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

use crate::engine::guest::Guest;
use crate::job::bound::Bound;
use crate::run::usage::Effect;

impl Guest {
    /// Lets a call pass that opens a stream.
    fn pass_stdio(&mut self) -> wasmtime::Result<()> {
        self.gate(Effect::Stdio)?;
        self.meter.spend(Bound::OpenStreams, 1)?;
        Ok(())
    }
}

impl stdin::Host for Guest {
    fn get_stdin(&mut self) -> wasmtime::Result<Resource<DynInputStream>> {
        self.pass_stdio()?;
        let stream = self.cli().get_stdin()?;
        self.files.streams.insert(stream.rep());
        Ok(stream)
    }
}

impl stdout::Host for Guest {
    fn get_stdout(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        self.pass_stdio()?;
        let stream = self.cli().get_stdout()?;
        self.files.streams.insert(stream.rep());
        Ok(stream)
    }
}

impl stderr::Host for Guest {
    fn get_stderr(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        self.pass_stdio()?;
        let stream = self.cli().get_stderr()?;
        self.files.streams.insert(stream.rep());
        Ok(stream)
    }
}
