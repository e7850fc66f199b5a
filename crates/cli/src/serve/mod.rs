//! `minilm serve`: the model behind HTTP.

mod signals;
#[cfg(unix)]
mod unix_socket;

use std::io;
use std::time::Duration;

use minilm_server::{Listener, Server, ServerOptions};
use tokio::runtime::Builder;
use tracing::level_filters::LevelFilter;

use crate::arguments::{LogLevel, ServeArguments};
use crate::error::CliError;
use crate::model::load;
use signals::Signals;

/// For so many cores there is one thread that reads and writes: they compute, and it would be in their way. It takes some 50 µs
/// for a request, and a core some milliseconds for its vectors.
const CORES_A_THREAD: usize = 8;

pub(crate) fn run(arguments: &ServeArguments) -> Result<(), CliError> {
    log(arguments);
    let system = |what| move |error: io::Error| CliError::System { what, error };
    let runtime = Builder::new_multi_thread()
        .worker_threads((cores() / CORES_A_THREAD).max(1))
        .thread_name("minilm-http")
        .enable_all()
        .build()
        .map_err(system("the threads that read and write"))?;
    // First of all: a process with the number 1, as in containers, does not end by signals that it does not listen to.
    let signals = {
        let _context = runtime.enter();
        Signals::listen().map_err(system("signals"))?
    };
    let shutdown = signals.first();
    let model = load(&arguments.model, arguments.threads)?;
    let server = Server::new(model, options(arguments))?;
    let served = runtime.block_on(async {
        let (listener, _socket) = listen(arguments).await?;
        tracing::info!("listening at {listener}");
        Ok(server.serve(listener, shutdown).await?)
    });
    // What has no answer within the limit is not waited for.
    runtime.shutdown_background();
    served
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn options(arguments: &ServeArguments) -> ServerOptions {
    let mut options = ServerOptions::default()
        .max_concurrent_requests(arguments.max_concurrent_requests)
        .max_batch_tokens(arguments.max_batch_tokens)
        .max_client_batch_size(arguments.max_client_batch_size)
        .auto_truncate(arguments.auto_truncate)
        .payload_limit(arguments.payload_limit)
        .answer_limit(arguments.answer_limit)
        .read_timeout(Duration::from_secs(arguments.read_timeout))
        .write_timeout(Duration::from_secs(arguments.write_timeout))
        .shutdown_timeout(Duration::from_secs(arguments.shutdown_timeout))
        .cors_allow_origin(arguments.cors_allow_origin.iter().filter(|origin| !origin.is_empty()))
        .accept_token_ids(arguments.accept_token_ids);
    options.api_key = arguments.api_key.clone();
    options.served_model_name = arguments.served_model_name.clone();
    options.default_prompt = arguments.default_prompt.clone();
    options.default_prompt_name = arguments.default_prompt_name.clone();
    options
}

fn log(arguments: &ServeArguments) {
    let level = match arguments.log_level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr).with_ansi(false);
    match arguments.json_output {
        true => log.json().flatten_event(true).init(),
        false => log.init(),
    }
}

#[cfg(unix)]
type Cleanup = Option<unix_socket::SocketFile>;
#[cfg(not(unix))]
type Cleanup = ();

/// Where clients are waited for, and what is removed afterwards.
async fn listen(arguments: &ServeArguments) -> Result<(Listener, Cleanup), CliError> {
    let refused = |place: String| {
        move |error: io::Error| CliError::Input { place, reason: format!("cannot be listened at: {error}") }
    };
    #[cfg(unix)]
    if let Some(path) = &arguments.unix_socket {
        let socket = unix_socket::listen(path, arguments.unix_socket_mode)
            .map_err(refused(path.display().to_string()))?;
        return Ok((socket.0.into(), Some(socket.1)));
    }
    let (host, port) = (arguments.hostname.as_str(), arguments.port);
    let listener = tokio::net::TcpListener::bind((host, port)).await;
    Ok((listener.map_err(refused(format!("{host}:{port}")))?.into(), Cleanup::default()))
}
