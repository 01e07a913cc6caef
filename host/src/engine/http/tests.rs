//! Names that lead where they should not, and elsewhere the second time.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::*;
use crate::clock::SystemClock;
use crate::engine::log::Log;
use crate::job::bound::Bounds;
use crate::lease::term::Until;
use crate::lease::{Lease, boot};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Of the addresses that are for documents: public, and nobody's.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));

/// Requests of a run that was granted this, while names lead there: one answer to a look-up, the last
/// one first.
fn requests(granted: &[&str], answers: Vec<Vec<IpAddr>>) -> Requests {
    under(Arc::new(Lease::unbounded()), granted, answers)
}

/// The same under a lease.
fn under(lease: Arc<Lease>, granted: &[&str], answers: Vec<Vec<IpAddr>>) -> Requests {
    let granted: Vec<HttpGrant> = granted.iter().map(|grant| grant.parse().unwrap()).collect();
    let names = Names::scripted(answers);
    let control = Arc::new(Control::under(lease, Log::new(64 * 1024, Arc::new(SystemClock))));
    let meter = Arc::new(Meter::new(Bounds::default()));
    Requests::new(&granted, meter, control, Arc::new(Net { names, ..Net::default() }))
}

/// What becomes of a request.
async fn ask(requests: &mut Requests, url: &str) -> Result<u16, String> {
    let body = Empty::<Bytes>::new().map_err(|never| match never {});
    let request = Request::get(url).body(UnsyncBoxBody::new(body)).unwrap();
    let options = RequestOptions {
        connect_timeout: Some(Duration::from_millis(300)),
        first_byte_timeout: Some(Duration::from_millis(300)),
        between_bytes_timeout: None,
    };
    let sent = requests.send_request(request, Some(options), Box::new(async { Ok(()) }));
    let sent = Box::into_pin(sent).await;
    sent.map(|(response, _)| response.status().as_u16()).map_err(|error| error.to_string())
}

fn said(requests: &Requests) -> Vec<String> {
    requests.control.log().take_rest().into_iter().map(|line| line.message).collect()
}

#[tokio::test]
async fn a_name_that_leads_inside_is_denied_unless_the_address_is_granted_too() {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let name = format!("http://evil.example.com:{port}");
    let mut denied = requests(&[&name], vec![vec![LOOPBACK]]);
    assert!(ask(&mut denied, &name).await.unwrap_err().contains("denied: "));
    assert_eq!(
        said(&denied),
        [format!(
            "denied: `evil.example.com` as 127.0.0.1, which is an inner address; it needs \
             `capabilities.http = [\"http://127.0.0.1:{port}\"]`"
        )]
    );
    let heard = tokio::time::timeout(Duration::from_millis(1), listener.accept()).await;
    assert!(heard.is_err(), "nothing reached it");

    let address = format!("http://127.0.0.1:{port}");
    let mut granted = requests(&[&name, &address], vec![vec![LOOPBACK]]);
    let (asked, heard) = tokio::join!(ask(&mut granted, &name), listener.accept());
    assert!(heard.is_ok() && asked.is_err(), "it is reached, and does not answer: {asked:?}");
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_the_second_time_is_not_asked_a_second_time() {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let name = format!("http://rebinds.example.com:{port}");
    let mut requests = requests(&[&name], vec![vec![LOOPBACK], vec![NOBODY, LOOPBACK]]);
    assert!(ask(&mut requests, &name).await.is_err());
    let left = requests.net.names.left();
    assert_eq!(left, 1, "one look-up for one request");
    let told = said(&requests);
    assert!(told[0].contains("as 127.0.0.1, which is an inner address"), "{told:?}");
    assert!(told[1].contains("failed: "), "{told:?}");
    // The next request is judged anew.
    assert!(ask(&mut requests, &name).await.unwrap_err().contains("denied: "));
    let heard = tokio::time::timeout(Duration::from_millis(1), listener.accept()).await;
    assert!(heard.is_err(), "nothing reached it");
}

#[tokio::test]
async fn a_request_is_not_sent_while_the_host_may_not_hold_the_run() {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let later = boot::now() + Duration::from_secs(3_600);
    let lease = Arc::new(Lease::new(Some(Until { rest: Duration::ZERO, stop: later })));
    let mut requests = under(Arc::clone(&lease), &[&address], Vec::new());
    let first_bytes = async || {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = [0; 3];
        let read = stream.read(&mut bytes).await.unwrap_or(0);
        bytes[..read].to_vec()
    };
    let (asked, heard) = tokio::join!(ask(&mut requests, &address), first_bytes());
    assert!(asked.is_err() && heard.is_empty(), "{asked:?} {heard:?}");
    lease.renew(Until { rest: later, stop: later });
    let (_, heard) = tokio::join!(ask(&mut requests, &address), first_bytes());
    assert_eq!(heard, b"GET");
}
