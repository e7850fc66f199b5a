//! Who connects, over TCP or a Unix socket, and how long a client may take.

mod impatient;

use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;
use tokio::sync::watch;

use impatient::Impatient;

/// The most bytes of a request's head, and of what is read of a body at a time.
const BUFFER: usize = 64 << 10;

/// How long the head of a connection's first request may still take when the server shuts down. hyper waits for it as long as ever.
const LAST_HEAD: Duration = Duration::from_secs(1);

/// How long to wait where the system has no room for another connection.
const OUT_OF_ROOM: Duration = Duration::from_millis(100);

/// Where a server listens.
#[derive(Debug)]
#[non_exhaustive]
pub enum Listener {
    /// At an address of the network.
    Tcp(TcpListener),
    /// At a file.
    #[cfg(unix)]
    Unix(UnixListener),
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Listener {
        Listener::Tcp(listener)
    }
}

#[cfg(unix)]
impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Listener {
        Listener::Unix(listener)
    }
}

/// What a URL of the server begins with, or the socket's file.
impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listener::Tcp(listener) => match listener.local_addr() {
                Ok(address) => write!(f, "http://{address}"),
                Err(error) => write!(f, "an address that is unknown: {error}"),
            },
            #[cfg(unix)]
            Listener::Unix(listener) => match listener.local_addr() {
                Ok(address) => match address.as_pathname() {
                    Some(path) => write!(f, "{}", path.display()),
                    None => f.write_str("a socket without a name"),
                },
                Err(error) => write!(f, "a socket whose name is unknown: {error}"),
            },
        }
    }
}

/// How long clients may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// Without a request, or until its head is there.
    pub(crate) idle: Duration,
    /// To take something of an answer.
    pub(crate) write: Duration,
    /// Until all answers are sent, at the end.
    pub(crate) shutdown: Duration,
}

/// Bytes in both directions.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Listener {
    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // An answer is one piece: there is nothing to wait for. Without it, answers are later, not wrong.
                let _ = stream.set_nodelay(true);
                Ok(Box::new(stream))
            }
            #[cfg(unix)]
            Listener::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

/// Answers who connects until `shutdown` is done. Then nobody else can connect, connections without a request are closed, those that
/// have begun to send the head of their first one soon, and the others when they have their answer, or when the time for that is over.
/// Returns whether all had it.
pub(crate) async fn serve(
    listener: Listener,
    router: Router,
    shutdown: impl Future<Output = ()>,
    timeouts: Timeouts,
) -> bool {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(timeouts.idle).max_buf_size(BUFFER);
    let connections = GracefulShutdown::new();
    let (shut_down, is_shut_down) = watch::channel(false);
    let mut shutdown = pin!(shutdown);
    loop {
        let stream = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    // Who goes away before he is let in is no reason to wait.
                    if !is_of_the_client(&error) {
                        tracing::error!("no connection can be accepted: {error}");
                        tokio::time::sleep(OUT_OF_ROOM).await;
                    }
                    continue;
                }
            },
        };
        let asked = Arc::new(AtomicBool::new(false));
        let nothing_asked = nothing_asked_in_the_end(is_shut_down.clone(), Arc::clone(&asked));
        let routes = TowerToHyperService::new(router.clone());
        let service = service_fn(move |request| {
            asked.store(true, Ordering::Relaxed);
            routes.call(request)
        });
        let stream = TokioIo::new(Impatient::new(stream, timeouts.write));
        let connection = connections.watch(http.serve_connection(stream, service));
        tokio::spawn(async move {
            tokio::select! {
                biased;
                ended = connection => if let Err(error) = ended {
                    tracing::debug!("a connection ended: {error}");
                },
                () = nothing_asked => tracing::debug!("a connection is closed whose first request has not come"),
            }
        });
    }
    // There may be no connection that listens.
    let _ = shut_down.send(true);
    drop(listener);
    tokio::time::timeout(timeouts.shutdown, connections.shutdown()).await.is_ok()
}

/// Ends if, a while after the shutdown, a connection has never had the whole head of a request. hyper closes all others itself, as soon
/// as they have their answers.
async fn nothing_asked_in_the_end(mut is_shut_down: watch::Receiver<bool>, asked: Arc<AtomicBool>) {
    let told = is_shut_down.wait_for(|&is_shut_down| is_shut_down).await.is_ok();
    if told {
        tokio::time::sleep(LAST_HEAD).await;
    }
    if !told || asked.load(Ordering::Relaxed) {
        std::future::pending().await
    }
}

fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
