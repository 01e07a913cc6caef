//! A server that is 10 ms away: every byte arrives 5 ms later, in each direction, and as many of them
//! as before.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::server;
use crate::burst;
use crate::findings::{Aim, Findings, MACHINE_SLACK};
use crate::redis::{self, Server};
use crate::rig::Rig;
use crate::throughput;

/// How much longer each way is.
const EACH_WAY: Duration = Duration::from_millis(5);
/// Bytes handed on at once.
const CHUNK: usize = 64 << 10;
/// Jobs with a backlog, and fire times that each has missed.
const BACKLOG: (usize, usize) = (200, 200);
/// Runs a second.
const RATE: Aim = Aim::AtLeast(5_000.0);
/// Jobs that a host has never heard of.
const STRANGERS: usize = 1_000;
/// Seconds until they have run: no more calls than there are batches.
const MET: Aim = Aim::AtMost(1.0);

pub fn measure(rig: &Rig, findings: &mut Findings) {
    let Some(server) = server(findings) else { return };
    let far = rig.runtime.block_on(before(server.port));
    for (name, port) in [("near", server.port), ("far", far)] {
        let store = Server::store_at(rig, port, name);
        let total =
            throughput::backlog(rig, server.store(rig, name).as_ref(), BACKLOG.0, BACKLOG.1);
        let drained = rig.drain(store, total);
        if name == "near" {
            findings.figure("a server on this machine", drained.rate(), "a second");
        } else {
            let what = "a server 10 ms away, there and back";
            findings.aim(what, drained.rate(), "a second", RATE, MACHINE_SLACK);
        }
    }
    redis::add(rig, &server.store(rig, "new"), &burst::overdue(rig).0, STRANGERS);
    let drained = rig.drain(Server::store_at(rig, far, "new"), STRANGERS as u64);
    let what = "  until 1,000 jobs have run that the host did not know";
    findings.aim(what, drained.took.as_secs_f64(), "s", MET, MACHINE_SLACK);
}

/// Listens before the server, for as long as the runtime lives. Answers where.
async fn before(port: u16) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let own = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else {
                continue;
            };
            // Without it the stack waits for more to send.
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            tokio::spawn(hand_on(from_client, to_server));
            tokio::spawn(hand_on(from_server, to_client));
        }
    });
    own
}

/// Hands bytes on, each a while after it came.
async fn hand_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let (sender, mut receiver) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((due, bytes)) = receiver.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut chunk = vec![0; CHUNK];
    while let Ok(read @ 1..) = from.read(&mut chunk).await {
        let bytes = chunk.get(..read).unwrap_or_default().to_vec();
        if sender.send((Instant::now() + EACH_WAY, bytes)).is_err() {
            return;
        }
    }
}
