//! Connections: how many there may be, how long they may keep the server waiting, and their end at a shutdown.
//!
//! Some connections more than allowed still reach the probes and the metrics, which are needed most just then. Only
//! HTTP/1.1 is spoken, so that a connection costs no more than one request. How long an answer takes is not limited
//! here: requests wait for their work.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::config::HttpSettings;

/// Connections beyond those allowed that are accepted at the same time; further ones wait in the kernel.
const SURPLUS: usize = 16;
/// How long a surplus connection may take for the head of its only request.
const SURPLUS_HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Marks the requests of a surplus connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surplus;

/// Serves connections until `stopping` resolves, then closes those that are idle and waits for the requests of the
/// others. Cuts all of them when it is dropped.
pub async fn serve(
    mut listener: TcpListener,
    router: Router,
    settings: HttpSettings,
    stopping: impl Future<Output = ()>,
) {
    let (places, graceful) = (Places::new(settings.max_connections), GracefulShutdown::new());
    let surplus_router = router.clone().layer(Extension(Surplus));
    let mut connections = JoinSet::new();
    let mut stopping = pin!(stopping);
    loop {
        let stream = tokio::select! {
            (stream, _) = Listener::accept(&mut listener) => stream,
            Some(_) = connections.join_next() => continue,
            () = &mut stopping => break,
        };
        let place = tokio::select! {
            place = places.take() => place,
            () = &mut stopping => break,
        };
        let router = if place.is_surplus() { &surplus_router } else { &router };
        connections.spawn(connection(stream, place, router.clone(), settings.clone(), graceful.watcher()));
    }
    drop(listener);
    graceful.shutdown().await;
}

/// What a connection holds as long as it lives.
#[derive(Debug)]
enum Place {
    /// It is one of those allowed.
    Regular { _permit: OwnedSemaphorePermit },
    /// It is one too many.
    Surplus { _permit: OwnedSemaphorePermit },
}

impl Place {
    const fn is_surplus(&self) -> bool {
        matches!(self, Self::Surplus { .. })
    }
}

/// The places for connections.
struct Places {
    regular: Arc<Semaphore>,
    surplus: Arc<Semaphore>,
}

impl Places {
    fn new(regular: usize) -> Self {
        let regular = Arc::new(Semaphore::new(regular.min(Semaphore::MAX_PERMITS)));
        Self { regular, surplus: Arc::new(Semaphore::new(SURPLUS)) }
    }

    /// A regular place if there is one, else the next that becomes free of either kind.
    async fn take(&self) -> Place {
        tokio::select! {
            biased;
            Ok(permit) = self.regular.clone().acquire_owned() => Place::Regular { _permit: permit },
            Ok(permit) = self.surplus.clone().acquire_owned() => Place::Surplus { _permit: permit },
            // Neither semaphore is ever closed.
            else => std::future::pending().await,
        }
    }
}

/// Serves one connection to its end.
async fn connection(
    stream: TcpStream,
    place: Place,
    router: Router,
    settings: HttpSettings,
    graceful: Watcher,
) {
    end_when_answers_are_not_taken(&stream, settings.body_timeout);
    let (head_timeout, keep_alive) = match place {
        Place::Regular { .. } => (settings.head_timeout, true),
        Place::Surplus { .. } => (settings.head_timeout.min(SURPLUS_HEAD_TIMEOUT), false),
    };
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(head_timeout).keep_alive(keep_alive);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = graceful.watch(connection).await {
        tracing::debug!("a connection ended: {error}");
    }
    drop(place);
}

/// Has the kernel end the connection when the client does not take the data of an answer for so long.
fn end_when_answers_are_not_taken(stream: &TcpStream, timeout: Duration) {
    let milliseconds = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = set_tcp_user_timeout(stream, milliseconds) {
        tracing::warn!("a connection has no limit for answers that are not taken: {error}");
    }
}
