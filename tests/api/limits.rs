//! Clients that are slow, or too many, over real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use smo::clients::{ClientError, ClientErrorKind};
use smo::config::{HttpSettings, Settings};
use smo::faults::Faults;
use smo::simulation::Operation;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::app::{LIMIT, TestApp, graph, service, world};
use crate::support::database::{TestDatabase, on_every_engine};
use crate::wait::eventually;

on_every_engine!(
    a_head_that_never_ends_and_a_connection_that_idles_are_closed,
    a_body_that_trickles_in_is_refused,
    an_answer_that_is_not_taken_ends_its_connection,
    one_connection_too_many_reaches_the_probes_only,
    one_request_too_many_is_refused_and_probes_are_answered,
    waiting_for_work_is_not_cut,
    a_shutdown_closes_idle_connections_and_answers_what_runs,
);

const SHORT: Duration = Duration::from_millis(100);

async fn start(database: &TestDatabase, change: impl FnOnce(&mut HttpSettings)) -> (TestApp, SocketAddr) {
    start_in(database, |settings| change(&mut settings.http)).await
}

async fn start_in(database: &TestDatabase, change: impl FnOnce(&mut Settings)) -> (TestApp, SocketAddr) {
    let app = TestApp::start_with(database, world(), Faults::none(), change).await;
    // Until the clusters have been listed, the server is not ready.
    eventually("the server is ready", LIMIT, async || match app.get("/readyz").await.status {
        200 => Ok(()),
        status => Err(status.to_string()),
    })
    .await;
    let address = app.listen().await;
    (app, address)
}

/// A connection of a client that does as it likes.
struct Client(TcpStream);

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// A client that has sent this.
    async fn sent(address: SocketAddr, text: &str) -> Self {
        let mut client = Self::connect(address).await;
        client.send(text).await;
        client
    }

    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Everything that comes until the server closes the connection.
    async fn read_to_end(&mut self) -> String {
        let mut bytes = Vec::new();
        // A reset ends it as well.
        drop(timeout(LIMIT, self.0.read_to_end(&mut bytes)).await.expect("the server does not close"));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The answer to what was sent, without its body.
    async fn head(&mut self) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            let byte = timeout(LIMIT, self.0.read_u8()).await.expect("the server does not answer");
            bytes.push(byte.expect("the server closes before the end of a head"));
        }
        String::from_utf8(bytes).unwrap()
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: smo\r\n\r\n")
}

async fn ask(address: SocketAddr, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: smo\r\nConnection: close\r\n\r\n");
    Client::sent(address, &request).await.read_to_end().await
}

fn assert_status(answer: &str, status: u16) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
}

fn assert_overloaded(answer: &str) {
    assert_status(answer, 503);
    for wanted in ["retry-after: 1", "application/problem+json", "urn:smo:problem:overloaded", "request_id"] {
        assert!(answer.contains(wanted), "{wanted} in {answer}");
    }
}

async fn a_head_that_never_ends_and_a_connection_that_idles_are_closed(database: TestDatabase) {
    let (app, address) = start(&database, |http| http.head_timeout = SHORT).await;
    for text in ["", "GET /healthz HTTP/1.1\r\nHost: smo\r\nX-Slow: "] {
        let mut client = Client::sent(address, text).await;
        assert_eq!(client.read_to_end().await, "", "{text:?}");
    }
    let mut idle = Client::sent(address, &get("/healthz")).await;
    assert_status(&idle.read_to_end().await, 200);
    app.shutdown().await;
}

async fn a_body_that_trickles_in_is_refused(database: TestDatabase) {
    let (app, address) = start(&database, |http| http.body_timeout = SHORT).await;
    let head = "POST /project/p/graphs HTTP/1.1\r\nHost: smo\r\nContent-Type: text/yaml\r\nContent-Length: 1000000\r\n\r\n";
    let (mut reader, mut writer) = Client::sent(address, head).await.0.into_split();
    let trickle = async {
        while writer.write_all(b" ").await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    let mut answer = Vec::new();
    let read = async { drop(timeout(LIMIT, reader.read_to_end(&mut answer)).await.expect("no end")) };
    tokio::select! { () = read => {}, () = trickle => {} }
    let answer = String::from_utf8_lossy(&answer);
    assert_status(&answer, 408);
    assert!(answer.contains("urn:smo:problem:timeout") && answer.contains("took too long"), "{answer}");
    app.shutdown().await;
}

async fn an_answer_that_is_not_taken_ends_its_connection(database: TestDatabase) {
    let (app, address) = start(&database, |http| {
        http.body_timeout = SHORT;
        http.max_connections = 1;
    })
    .await;
    // More than the buffers of the kernel hold, asked for at once and never read.
    let mut greedy = Client::connect(address).await;
    let many = get("/openapi.json").repeat(200);
    drop(timeout(Duration::from_secs(1), greedy.0.write_all(many.as_bytes())).await);
    until_served(address).await;
    drop(greedy);
    app.shutdown().await;
}

/// Waits until the server has a place again.
async fn until_served(address: SocketAddr) {
    eventually("a place is free", LIMIT, async || {
        let answer = ask(address, "/graphs").await;
        if answer.starts_with("HTTP/1.1 200 ") { Ok(()) } else { Err(answer) }
    })
    .await;
}

async fn one_connection_too_many_reaches_the_probes_only(database: TestDatabase) {
    let (app, address) = start(&database, |http| http.max_connections = 1).await;
    let mut first = Client::sent(address, &get("/healthz")).await;
    assert_status(&first.head().await, 200);
    let mut surplus = Client::sent(address, &get("/graphs")).await;
    // It is closed although the client would keep it.
    assert_overloaded(&surplus.read_to_end().await);
    for probe in ["/healthz", "/readyz", "/metrics"] {
        assert_status(&ask(address, probe).await, 200);
    }
    drop(first);
    until_served(address).await;
    app.shutdown().await;
}

async fn one_request_too_many_is_refused_and_probes_are_answered(database: TestDatabase) {
    let (app, address) = start(&database, |http| http.max_requests = 1).await;
    // A request is handled as soon as its head is there.
    let head =
        "POST /project/p/graphs HTTP/1.1\r\nHost: smo\r\nContent-Type: text/yaml\r\nContent-Length: 9\r\n";
    let mut first = Client::sent(address, &format!("{head}Expect: 100-continue\r\n\r\n")).await;
    assert_status(&first.head().await, 100);
    assert_overloaded(&ask(address, "/graphs").await);
    for probe in ["/healthz", "/readyz", "/metrics"] {
        assert_status(&ask(address, probe).await, 200);
    }
    first.send("hdaGraph:").await;
    assert_status(&first.head().await, 400);
    // Its place is free a moment after its answer has been read.
    until_served(address).await;
    app.shutdown().await;
}

/// Neither the deadline of bodies nor that of heads counts while a request waits for its work.
async fn waiting_for_work_is_not_cut(database: TestDatabase) {
    let (app, address) = start_in(&database, |settings| {
        settings.http.head_timeout = SHORT;
        settings.http.body_timeout = SHORT;
        settings.wait = SHORT * 5;
    })
    .await;
    let down = ClientError::new("helm", ClientErrorKind::Unreachable, "connection refused");
    app.world.fail_next(Operation::ApplyRelease, down, usize::MAX);
    let body = graph("g", &[service("a", json!({}))]).to_string();
    let request = format!(
        "POST /project/demo/graphs HTTP/1.1\r\nHost: smo\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut client = Client::sent(address, &request).await;
    assert_status(&client.head().await, 202);
    app.shutdown().await;
}

async fn a_shutdown_closes_idle_connections_and_answers_what_runs(database: TestDatabase) {
    let (app, address) = start(&database, |_| {}).await;
    let mut idle = Client::sent(address, &get("/healthz")).await;
    assert_status(&idle.head().await, 200);
    let head =
        "POST /project/p/graphs HTTP/1.1\r\nHost: smo\r\nContent-Type: text/yaml\r\nContent-Length: 9\r\n";
    let mut running = Client::sent(address, &format!("{head}Expect: 100-continue\r\n\r\n")).await;
    assert_status(&running.head().await, 100);
    app.shutdown().await;
    assert!(idle.read_to_end().await.ends_with("{\"status\":\"ok\"}"));
    running.send("hdaGraph:").await;
    assert_status(&running.read_to_end().await, 400);
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}
