//! Settings that keep slow and many clients from stopping the HTTP interface.

use std::time::Duration;

/// Limits of connections and requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// How long a connection may take until it has sent the head of its first or next request.
    pub head_timeout: Duration,
    /// How long the body of a request may take, and data of an answer until the client has taken it.
    pub body_timeout: Duration,
    /// Connections that are served at the same time.
    pub max_connections: usize,
    /// Requests that are handled at the same time.
    pub max_requests: usize,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            // Reverse proxies drop idle connections after 60 s; when the server is first, a request may be lost.
            head_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(60),
            max_connections: 512,
            max_requests: 256,
        }
    }
}
