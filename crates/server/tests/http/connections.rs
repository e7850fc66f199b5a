//! Real sockets: clients that are slow, and the end of the server.

use std::time::Duration;

use minilm::EncodeOptions;
use minilm_server::ServerOptions;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::server::{TEXTS, expected, listening, stoppable, vectors};

/// Clients that send all of their body before they read anything, as most do, are told what is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn errors_arrive_although_the_body_is_not_wanted() {
    use std::io::{Read, Write};
    let address = listening(ServerOptions::default().api_key("secret")).await;
    let ask = move |path: &str, length: usize| {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&vec![b' '; length]).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    let statuses = tokio::task::spawn_blocking(move || {
        let tries = (0..10).map(|_| ask("/embed", 1_900_000));
        tries.chain([ask("/nothing", 1_900_000), ask("/embed", 20_000_000)]).collect::<Vec<u16>>()
    });
    let statuses = statuses.await.unwrap();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 404, 401]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_of_an_answer_and_who_asks_nothing_is_let_go() {
    let patience = Duration::from_millis(200);
    let options =
        ServerOptions::default().max_concurrent_requests(1).write_timeout(patience).idle_timeout(patience);
    let address = listening(options).await;
    let mut idle = tokio::net::TcpStream::connect(address).await.unwrap();
    assert_eq!(idle.read(&mut [0; 9]).await.unwrap(), 0);

    // Some 20 MB, more than the system keeps of what nobody reads.
    let body =
        json!({"inputs": vec!["the cat sat on the mat and the dog sat on the mat and the cat sat"; 2000]})
            .to_string();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head =
        format!("POST /embed_all HTTP/1.1\r\nhost: here\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_ne!(stream.read(&mut [0; 9]).await.unwrap(), 0);
    let other = async || {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let body = json!({"inputs": "a dog"}).to_string();
        let request = format!(
            "POST /embed HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    assert_eq!(other().await, 429);
    let started = std::time::Instant::now();
    while other().await != 200 {
        assert!(started.elapsed() < Duration::from_secs(20), "the place is not given back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(stream);
}

/// A real socket: a request in flight is answered, then the server ends, and nobody can connect.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_told_to_stop_finishes_what_it_was_asked() {
    let (address, stop, serving) = stoppable(ServerOptions::default()).await;

    let body = json!({"inputs": TEXTS}).to_string();
    let (first, rest) = body.split_at(5);
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!("POST /embed HTTP/1.1\r\nhost: here\r\ncontent-length: {}\r\n\r\n{first}", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    stop.send(()).unwrap();
    stream.write_all(rest.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    let found = vectors(&serde_json::from_str(body).unwrap());
    assert_eq!(found, expected(&EncodeOptions::default().normalize_embeddings(true)));
    serving.await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

/// Half of a head is no request: it holds up no shutdown, on a connection that is new or has been used.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_end_holds_up_no_shutdown() {
    let (address, stop, serving) = stoppable(ServerOptions::default()).await;

    let mut new = tokio::net::TcpStream::connect(address).await.unwrap();
    new.write_all(b"POST /embed HTTP/1.1\r\nhost: here\r\nconte").await.unwrap();
    let mut used = tokio::net::TcpStream::connect(address).await.unwrap();
    used.write_all(b"GET /health HTTP/1.1\r\nhost: here\r\n\r\n").await.unwrap();
    let mut answer = [0; 15];
    used.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    used.write_all(b"GET /health HT").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    stop.send(()).unwrap();
    // It ends as if nobody had been there, not after the 25 seconds that it waits for answers.
    tokio::time::timeout(Duration::from_secs(15), serving).await.unwrap().unwrap().unwrap();
    let mut rest = Vec::new();
    new.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty());
}
