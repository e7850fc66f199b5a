use std::path::PathBuf;

use clap::Args;
use clap::builder::{FalseyValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use minilm::Precision;

use super::ModelArguments;

const EXAMPLES: &str = "\
Examples:
  minilm serve
  minilm serve --port 8080 --hostname 0.0.0.0 --api-key SECRET
  minilm serve --model-id BAAI/bge-small-en-v1.5 --dtype int8 --json-output
  minilm serve --unix-socket /run/minilm/minilm.sock

  curl localhost:3000/embed -d '{\"inputs\": \"What is a vector?\"}' -H 'content-type: application/json'

Each option can be given as an environment variable too, under the name that text-embeddings-inference has for it: --port as PORT, \
--max-batch-tokens as MAX_BATCH_TOKENS. HOSTNAME is the exception, as containers have it without being asked: it is \
MINILM_HOSTNAME here.";

/// Names and meanings are those of text-embeddings-inference (`router/src/main.rs` there), where it has the same.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
#[command(mut_arg("name_or_path", |argument| argument.visible_alias("model-id").env("MODEL_ID")))]
#[command(mut_arg("precision", |argument| argument.visible_alias("dtype").env("DTYPE").value_parser(dtype())))]
#[command(mut_arg("revision", |argument| argument.env("REVISION")))]
#[command(mut_arg("cache_dir", |argument| argument.visible_alias("huggingface-hub-cache").env("HUGGINGFACE_HUB_CACHE")))]
pub(crate) struct ServeArguments {
    /// The port to listen at; 0 for any that is free, which the log says
    #[arg(short, long, value_name = "PORT", default_value_t = 3000, env = "PORT")]
    pub(crate) port: u16,

    /// The address to listen at: 127.0.0.1 for this machine alone, 0.0.0.0 for every IPv4 address that it has, :: for IPv6
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1", env = "MINILM_HOSTNAME")]
    pub(crate) hostname: String,

    /// Listen at a Unix socket, and not at a port; a file there that nobody listens at any more is replaced
    #[cfg(unix)]
    #[arg(long, value_name = "PATH", env = "UNIX_SOCKET")]
    pub(crate) unix_socket: Option<PathBuf>,

    /// Who may use the socket, as 660 [default: as the umask says]
    #[cfg(unix)]
    #[arg(long, value_name = "MODE", env = "UNIX_SOCKET_MODE", value_parser = mode)]
    pub(crate) unix_socket_mode: Option<u32>,

    /// The most requests that wait, are computed, or whose answers are written; others get 429, and when to try again
    #[arg(long, value_name = "N", default_value_t = 512, env = "MAX_CONCURRENT_REQUESTS")]
    pub(crate) max_concurrent_requests: usize,

    /// The most tokens that are computed in one go, where many requests wait or one has many texts. A request that comes meanwhile
    /// waits for as long as that takes
    #[arg(long, value_name = "N", default_value_t = 1024, env = "MAX_BATCH_TOKENS")]
    pub(crate) max_batch_tokens: usize,

    /// The most inputs of one request; they need not fit into a batch
    #[arg(long, value_name = "N", default_value_t = 2048, env = "MAX_CLIENT_BATCH_SIZE")]
    pub(crate) max_client_batch_size: usize,

    /// Whether inputs with more tokens than the model takes are cut, if a request does not say; else they get 422
    #[arg(
        long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, default_missing_value = "true",
        action = clap::ArgAction::Set, env = "AUTO_TRUNCATE"
    )]
    pub(crate) auto_truncate: bool,

    /// The most bytes of a request's body
    #[arg(long, value_name = "BYTES", default_value_t = 2_000_000, env = "PAYLOAD_LIMIT")]
    pub(crate) payload_limit: usize,

    /// The most bytes of numbers in an answer that has a vector for each token; as JSON it is three times as many
    #[arg(long, value_name = "BYTES", default_value_t = 32 << 20, env = "ANSWER_LIMIT")]
    pub(crate) answer_limit: usize,

    /// How long the body of a request may take to arrive, in seconds; then it gets 408
    #[arg(long, value_name = "SECONDS", default_value_t = 30, env = "READ_TIMEOUT")]
    pub(crate) read_timeout: u64,

    /// How long a client may take nothing of its answer, in seconds; then its connection is closed
    #[arg(long, value_name = "SECONDS", default_value_t = 30, env = "WRITE_TIMEOUT")]
    pub(crate) write_timeout: u64,

    /// How long to wait for what is being answered after SIGTERM or Ctrl-C, in seconds; a second signal does not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 25, env = "SHUTDOWN_TIMEOUT")]
    pub(crate) shutdown_timeout: u64,

    /// Put this before every text of a request that names no prompt, as "query: "
    #[arg(long, value_name = "PROMPT", env = "DEFAULT_PROMPT", conflicts_with = "default_prompt_name")]
    pub(crate) default_prompt: Option<String>,

    /// Put this one of the model's prompts before every text of a request that names none; `minilm info` lists them
    #[arg(long, value_name = "NAME", env = "DEFAULT_PROMPT_NAME")]
    pub(crate) default_prompt_name: Option<String>,

    /// What requests must have behind `Authorization: Bearer`. The environment variable is the better place: everybody on a
    /// machine may see command lines
    #[arg(long, value_name = "KEY", env = "API_KEY", hide_env_values = true)]
    pub(crate) api_key: Option<String>,

    /// What the model is called in answers [default: its name]
    #[arg(long, value_name = "NAME", env = "SERVED_MODEL_NAME")]
    pub(crate) served_model_name: Option<String>,

    /// An origin whose pages' scripts may ask, as https://example.org, or * for any; several by repeating it or with commas
    #[arg(long, value_name = "ORIGIN", env = "CORS_ALLOW_ORIGIN", value_delimiter = ',')]
    pub(crate) cors_allow_origin: Vec<String>,

    /// Accept lists of token ids, which must be this model's: those of another tokenizer give vectors that mean nothing. Ids are
    /// taken as they are: no prompt is put before them, and a list longer than the model takes gets 422, even where texts would
    /// be cut
    #[arg(long, env = "ACCEPT_TOKEN_IDS", value_parser = FalseyValueParser::new())]
    pub(crate) accept_token_ids: bool,

    /// Write the log as JSON, an object a line
    #[arg(long, env = "JSON_OUTPUT", value_parser = FalseyValueParser::new())]
    pub(crate) json_output: bool,

    /// What is logged: debug has every request
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "LOG_LEVEL", ignore_case = true)]
    pub(crate) log_level: LogLevel,

    /// How many threads to compute with; 0 for as many as there are cores
    #[arg(long, value_name = "N", default_value_t = 0, env = "THREADS")]
    pub(crate) threads: usize,

    #[command(flatten)]
    pub(crate) model: ModelArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// What text-embeddings-inference calls them, too.
fn dtype() -> impl TypedValueParser<Value = Precision> {
    let names = Precision::ALL.map(|precision| match precision {
        Precision::F32 => PossibleValue::new("f32").alias("float32"),
        Precision::Bf16 => PossibleValue::new("bf16").alias("bfloat16"),
        other => PossibleValue::new(other.name()),
    });
    PossibleValuesParser::new(names).try_map(|name| match &*name {
        "float32" => Ok(Precision::F32),
        "bfloat16" => Ok(Precision::Bf16),
        name => name.parse(),
    })
}

#[cfg(unix)]
fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|&mode| mode <= 0o777);
    mode.ok_or_else(|| "expected three octal digits, as 660".to_owned())
}
