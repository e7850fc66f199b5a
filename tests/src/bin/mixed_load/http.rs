//! HTTP/1.1, byte by byte: a client that can misbehave.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::awake;

/// What the server asks for.
pub(crate) const KEY: &str = "mixed-load";

/// An answer that is not there after so long, of the time in which this program ran, is lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    /// Of which each ends with a line's end; nothing of the body's length.
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
    /// Sent as chunks of so many bytes, and not with its length.
    pub(crate) chunk: Option<usize>,
}

impl Request {
    pub(crate) fn get(path: &str) -> Request {
        Request {
            method: "GET",
            path: path.to_owned(),
            headers: format!("authorization: Bearer {KEY}\r\n"),
            body: Vec::new(),
            chunk: None,
        }
    }

    pub(crate) fn post(path: &str, body: impl Into<Vec<u8>>) -> Request {
        let mut request = Request { method: "POST", body: body.into(), ..Request::get(path) };
        request.headers += "content-type: application/json\r\n";
        request
    }

    pub(crate) fn head(&self) -> Vec<u8> {
        let Request { method, path, headers, body, chunk } = self;
        let length = match chunk {
            Some(_) => "transfer-encoding: chunked\r\n".to_owned(),
            None if *method == "GET" => String::new(),
            None => format!("content-length: {}\r\n", body.len()),
        };
        format!("{method} {path} HTTP/1.1\r\nhost: here\r\n{headers}{length}\r\n").into_bytes()
    }

    /// What follows the head.
    pub(crate) fn sent_body(&self) -> Vec<u8> {
        let Some(chunk) = self.chunk else { return self.body.clone() };
        let mut bytes = Vec::with_capacity(self.body.len() + 64);
        for piece in self.body.chunks(chunk) {
            bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            bytes.extend_from_slice(piece);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        bytes
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.head(), self.sent_body()].concat()
    }
}

/// Its beginning, for who wants to send it again.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Request { method, path, headers, body, chunk } = self;
        write!(f, "{method} {path} with {headers:?}, {} bytes of body", body.len())?;
        if let Some(chunk) = chunk {
            write!(f, " in chunks of {chunk}")?;
        }
        write!(f, ": {}", beginning(body))
    }
}

pub(crate) fn beginning(bytes: &[u8]) -> String {
    const MOST: usize = 300;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MOST)]).into_owned();
    if bytes.len() > MOST { text + "…" } else { text }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Whether nothing else comes on its connection.
    pub(crate) fn is_last(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    pub(crate) fn json(&self) -> Result<Value, String> {
        if self.header("content-type") != Some("application/json") {
            return Err(format!("its content type is {:?}", self.header("content-type")));
        }
        serde_json::from_slice(&self.body).map_err(|error| format!("it is no JSON: {error}"))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {} bytes: {}", self.status, self.body.len(), beginning(&self.body))
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// The connection has ended; what came before.
    Closed(Vec<u8>, Option<ErrorKind>),
    /// Nor has it ended.
    TimedOut(Vec<u8>),
    /// What came is none.
    Malformed(String),
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoAnswer::Closed(came, error) => {
                write!(f, "closed ({error:?}) after {} bytes: {}", came.len(), beginning(came))
            }
            NoAnswer::TimedOut(came) => write!(f, "only {} bytes in time: {}", came.len(), beginning(came)),
            NoAnswer::Malformed(what) => write!(f, "no HTTP: {what}"),
        }
    }
}

/// How an answer is read that is not read at once.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) bytes: usize,
    pub(crate) pause: Duration,
}

pub(crate) struct Connection {
    stream: TcpStream,
    /// What has come and is no answer yet.
    came: Vec<u8>,
    used: Instant,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Connection { stream, came: Vec::new(), used: Instant::now() })
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.used = Instant::now();
        self.stream.write_all(bytes)
    }

    /// How long ago something was sent.
    pub(crate) fn idle(&self) -> Duration {
        self.used.elapsed()
    }

    pub(crate) fn end_of_requests(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// What is there although nothing was asked: bytes, or the end.
    pub(crate) fn unexpected(&mut self) -> Option<String> {
        if !self.came.is_empty() {
            return Some(format!(
                "{} bytes more than the answer: {}",
                self.came.len(),
                beginning(&self.came)
            ));
        }
        self.stream.set_nonblocking(true).ok()?;
        let found = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).ok()?;
        match found {
            Ok(0) => Some("the connection has been closed without notice".to_owned()),
            Ok(_) => Some("something came that nobody has asked for".to_owned()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => Some(format!("the connection has ended without notice: {error}")),
        }
    }

    /// Whether something has come, or the connection has ended.
    pub(crate) fn has_news(&mut self) -> bool {
        self.unexpected().is_some()
    }

    /// What else comes until the end.
    pub(crate) fn rest(&mut self, patience: Duration) -> NoAnswer {
        let end = awake::time() + patience;
        loop {
            if let Err(end) = self.read(1 << 16, end) {
                return end;
            }
        }
    }

    /// Waits until something of the answer is there, no more than so many bytes.
    pub(crate) fn read_some(&mut self, bytes: usize) -> Result<(), NoAnswer> {
        let end = awake::time() + PATIENCE;
        while self.came.is_empty() {
            self.read(bytes, end)?;
        }
        Ok(())
    }

    pub(crate) fn answer(&mut self) -> Result<Answer, NoAnswer> {
        self.answer_at(Pace { bytes: 1 << 16, pause: Duration::ZERO })
    }

    /// The next answer; an interim one is passed over.
    pub(crate) fn answer_at(&mut self, pace: Pace) -> Result<Answer, NoAnswer> {
        let end = awake::time() + PATIENCE;
        loop {
            let head = self.head(pace, end)?;
            let length = match head.header("content-length") {
                Some(length) => length.parse().map_err(|_| NoAnswer::Malformed("its length".to_owned()))?,
                None if (100..200).contains(&head.status) => continue,
                None => return Err(NoAnswer::Malformed(format!("{} without a length", head.status))),
            };
            while self.came.len() < length {
                self.read_at(pace, end)?;
            }
            let rest = self.came.split_off(length);
            let body = std::mem::replace(&mut self.came, rest);
            return Ok(Answer { body, ..head });
        }
    }

    fn head(&mut self, pace: Pace, end: Duration) -> Result<Answer, NoAnswer> {
        let length = loop {
            match self.came.windows(4).position(|found| found == b"\r\n\r\n") {
                Some(length) => break length,
                None => self.read_at(pace, end)?,
            }
        };
        let head: Vec<u8> = self.came.drain(..length + 4).collect();
        let malformed = || NoAnswer::Malformed(beginning(&head));
        let text = std::str::from_utf8(&head[..length]).map_err(|_| malformed())?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok());
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_ascii_lowercase(), value.to_owned()))
        });
        let headers = headers.collect::<Option<_>>().ok_or_else(malformed)?;
        Ok(Answer { status: status.ok_or_else(malformed)?, headers, body: Vec::new() })
    }

    fn read_at(&mut self, pace: Pace, end: Duration) -> Result<(), NoAnswer> {
        self.read(pace.bytes, end)?;
        if !pace.pause.is_zero() {
            std::thread::sleep(pace.pause);
        }
        Ok(())
    }

    fn read(&mut self, most: usize, end: Duration) -> Result<(), NoAnswer> {
        // Between looks at the clock.
        const SLICE: Duration = Duration::from_millis(500);
        if awake::time() > end {
            return Err(NoAnswer::TimedOut(std::mem::take(&mut self.came)));
        }
        let before = self.came.len();
        self.came.resize(before + most, 0);
        let read = self
            .stream
            .set_read_timeout(Some(SLICE))
            .and_then(|()| self.stream.read(&mut self.came[before..]));
        self.came.truncate(before + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => Err(NoAnswer::Closed(std::mem::take(&mut self.came), None)),
            Ok(_) => Ok(()),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(()),
                kind => Err(NoAnswer::Closed(std::mem::take(&mut self.came), Some(kind))),
            },
        }
    }
}
