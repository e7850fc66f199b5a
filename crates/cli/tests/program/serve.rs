//! The server as a process: where it listens, what it is told by its environment, and how it ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use super::{Files, embed, minilm, records, refuses, stdout, tiny_bert};

/// `minilm serve --model TINY …` at a port that is free, which is killed when it is dropped.
struct Server {
    process: Child,
    /// What its log says it listens at.
    place: String,
    /// The lines of the log after that.
    log: Option<JoinHandle<String>>,
}

fn serve(arguments: &[&str]) -> Command {
    let mut command = minilm(&["serve", "--model"]);
    command.arg(tiny_bert()).args(arguments);
    // What the shell of who runs the tests may have.
    for name in ["PORT", "API_KEY", "MODEL_ID", "JSON_OUTPUT", "LOG_LEVEL", "DTYPE"] {
        command.env_remove(name);
    }
    command
}

impl Server {
    fn start(mut command: Command) -> Server {
        let mut process = command.stderr(Stdio::piped()).spawn().expect("the program starts");
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let place = loop {
            let mut line = String::new();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the server has ended");
            if let Some((_, place)) = line.split_once("listening at ") {
                break place.split(['"', '\n']).next().unwrap_or(place).to_owned();
            }
        };
        let rest = |mut log: BufReader<ChildStderr>| {
            let mut text = String::new();
            log.read_to_string(&mut text).unwrap();
            text
        };
        Server { process, place, log: Some(std::thread::spawn(move || rest(log))) }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.place.strip_prefix("http://").expect("an address")).unwrap()
    }

    #[cfg(unix)]
    fn signal(&self, name: &str) {
        let kill = Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status();
        assert!(kill.expect("kill").success());
    }

    /// Waits for its end: the exit status and the log.
    #[cfg(unix)]
    fn end(mut self) -> (Option<i32>, String) {
        let status = self.process.wait().unwrap();
        (status.code(), self.log.take().unwrap().join().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn request(path: &str, headers: &str, body: &Value) -> String {
    let body = body.to_string();
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

/// The status and the body of the one answer.
fn answer(mut stream: impl Read) -> (u16, Value) {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).expect("JSON"))
}

fn ask(mut stream: impl Read + Write, path: &str, headers: &str, body: &Value) -> (u16, Value) {
    stream.write_all(request(path, headers, body).as_bytes()).unwrap();
    answer(stream)
}

/// What `minilm embed` has for the text.
fn vector(text: &str) -> Value {
    records(&stdout(embed(&["--normalize-embeddings", text])))[0]["embedding"].clone()
}

#[test]
fn it_answers_with_the_vectors_of_embed() {
    let server = Server::start(serve(&["--port", "0", "--served-model-name", "tiny"]));
    let (status, body) = ask(server.connect(), "/embed", "", &json!({"inputs": "a cat"}));
    assert_eq!((status, &body[0]), (200, &vector("a cat")));
    let (status, body) = ask(server.connect(), "/v1/embeddings", "", &json!({"input": "a cat"}));
    assert_eq!((status, &body["data"][0]["embedding"]), (200, &vector("a cat")));
    assert_eq!(body["model"], "tiny");
}

#[test]
fn it_is_told_by_its_environment() {
    let mut command = minilm(&["serve"]);
    command
        .env("MODEL_ID", tiny_bert())
        .env("PORT", "0")
        .env("API_KEY", "secret")
        .env("MAX_CLIENT_BATCH_SIZE", "2");
    command
        .env("DTYPE", "int8")
        .env("JSON_OUTPUT", "true")
        .env("LOG_LEVEL", "debug")
        .env("AUTO_TRUNCATE", "false");
    // As in a container, where it is not asked for, and would be another address.
    command.env("HOSTNAME", "3f2a5c");
    let server = Server::start(command);
    assert!(server.place.starts_with("http://127.0.0.1:"), "{}", server.place);
    let body = json!({"inputs": ["a", "b", "c"]});
    assert_eq!(ask(server.connect(), "/embed", "", &body).0, 401);
    assert_eq!(ask(server.connect(), "/embed", "authorization: Bearer secret\r\n", &body).0, 413);
    let mut stream = server.connect();
    stream
        .write_all(
            b"GET /info HTTP/1.1\r\nhost: a\r\nconnection: close\r\nauthorization: Bearer secret\r\n\r\n",
        )
        .unwrap();
    let (_, info) = answer(stream);
    let found = [&info["model_dtype"], &info["max_client_batch_size"], &info["auto_truncate"]];
    assert_eq!(found, [&json!("int8"), &json!(2), &json!(false)]);
    #[cfg(unix)]
    {
        server.signal("TERM");
        let (status, log) = server.end();
        assert_eq!(status, Some(0), "{log}");
        let lines = records(&log);
        let refused = lines.iter().find(|line| line["status"] == 413).expect("the request of three");
        assert_eq!((&refused["path"], &refused["level"]), (&json!("/embed"), &json!("DEBUG")));
        assert!(refused["error"].as_str().unwrap().contains("3 inputs"), "{refused}");
        assert!(!log.contains("secret"));
    }
}

#[test]
fn an_address_that_is_taken_is_an_error() {
    let server = Server::start(serve(&["--port", "0"]));
    let (_, port) = server.place.rsplit_once(':').unwrap();
    refuses(serve(&["--port", port]), &[&format!("127.0.0.1:{port}: cannot be listened at: ")]);
    refuses(serve(&["--port", "0", "--hostname", "no.such.host.invalid"]), &["no.such.host.invalid:0"]);
    refuses(
        serve(&["--port", "0", "--default-prompt-name", "x"]),
        &["default_prompt_name is \"x\", expected one of"],
    );
}

#[test]
fn precisions_have_the_names_of_text_embeddings_inference_too() {
    let server = Server::start(serve(&["--port", "0", "--dtype", "float32"]));
    let mut stream = server.connect();
    stream.write_all(b"GET /info HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    assert_eq!(answer(stream).1["model_dtype"], "f32");
}

/// A request of which half is there is finished; who has asked nothing is not waited for.
#[cfg(unix)]
#[test]
fn sigterm_lets_it_finish() {
    for signal in ["TERM", "INT"] {
        let server = Server::start(serve(&["--port", "0"]));
        let (idle, mut busy) = (server.connect(), server.connect());
        let whole = request("/embed", "", &json!({"inputs": "a cat"}));
        let (first, rest) = whole.split_at(whole.len() - 5);
        busy.write_all(first.as_bytes()).unwrap();
        // Answered by the same server, so that it has read the other's part.
        assert_eq!(ask(server.connect(), "/embed", "", &json!({"inputs": "a dog"})).0, 200);
        server.signal(signal);
        let mut nothing = Vec::new();
        let mut idle = idle;
        idle.read_to_end(&mut nothing).unwrap();
        assert!(nothing.is_empty());
        busy.write_all(rest.as_bytes()).unwrap();
        let (status, body) = answer(busy);
        assert_eq!((status, &body[0]), (200, &vector("a cat")));
        let (status, log) = server.end();
        assert_eq!(status, Some(0), "{log}");
        assert!(log.contains(&format!("SIG{signal}: what has been asked is answered")), "{log}");
    }
}

#[cfg(unix)]
#[test]
fn who_never_finishes_is_waited_for_as_long_as_it_was_told() {
    let server = Server::start(serve(&["--port", "0", "--shutdown-timeout", "1"]));
    let mut stream = server.connect();
    stream.write_all(b"POST /embed HTTP/1.1\r\nhost: here\r\ncontent-length: 100\r\n\r\n{").unwrap();
    assert_eq!(ask(server.connect(), "/embed", "", &json!({"inputs": "a dog"})).0, 200);
    server.signal("TERM");
    let (status, log) = server.end();
    assert_eq!(status, Some(1), "{log}");
    assert!(log.contains("requests were not answered within 1 s of the shutdown"), "{log}");
}

#[cfg(unix)]
#[test]
fn a_unix_socket_is_taken_over_from_the_dead_alone() {
    let files = Files::new();
    let path = files.path("minilm.sock");
    let of_socket = || serve(&["--unix-socket", &path]);
    let server = Server::start(of_socket());
    assert_eq!(server.place, path);
    let stream = || UnixStream::connect(&path).unwrap();
    let (status, body) = ask(stream(), "/embed", "", &json!({"inputs": "a cat"}));
    assert_eq!((status, &body[0]), (200, &vector("a cat")));
    refuses(of_socket(), &[&path, "cannot be listened at"]);
    server.signal("KILL");
    assert_eq!(server.end().0, None);
    assert_eq!(files.names(), ["minilm.sock"]);

    let server = Server::start(of_socket());
    assert_eq!(ask(stream(), "/embed", "", &json!({"inputs": "a cat"})).0, 200);
    server.signal("TERM");
    assert_eq!(server.end().0, Some(0));
    assert!(files.names().is_empty());

    // A server that is ending leaves its successor's file alone.
    let first = Server::start(of_socket());
    let mut busy = stream();
    busy.write_all(b"POST /embed HTTP/1.1\r\nhost: here\r\ncontent-length: 100\r\n\r\n{").unwrap();
    assert_eq!(ask(stream(), "/embed", "", &json!({"inputs": "a cat"})).0, 200);
    first.signal("TERM");
    while UnixStream::connect(&path).is_ok() {}
    let mut command = of_socket();
    // What containers and platforms set is not in the way.
    command.env("PORT", "3000").args(["--unix-socket-mode", "600"]);
    let second = Server::start(command);
    drop(busy);
    assert_eq!(first.end().0, Some(0));
    assert_eq!(ask(stream(), "/embed", "", &json!({"inputs": "a cat"})).0, 200);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    second.signal("TERM");
    assert_eq!(second.end().0, Some(0));
    assert!(files.names().is_empty());

    // A file that is no socket is somebody's.
    files.write("minilm.sock", "mine");
    refuses(of_socket(), &[&path, "cannot be listened at"]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
}
