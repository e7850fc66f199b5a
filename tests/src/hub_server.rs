//! A model hub on this machine, for tests: it serves one model from memory over HTTP/1.1 as the real
//! one does, large files from a second server, and it can misbehave on demand.

mod answer;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// A model the server has.
#[derive(Clone, Debug)]
pub struct Model {
    /// `owner/name`.
    pub name: String,
    /// The commit that `main`, the tag `v1.0` and `refs/pr/1` are at.
    pub commit: String,
    /// Path and content of each file.
    pub files: BTreeMap<String, File>,
    /// Who may read it.
    pub access: Access,
}

/// Who may read a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Public,
    /// Who has this token; others are told that there is no such model.
    Private(String),
    /// Nobody so far: terms have to be accepted first.
    Gated,
    /// Nobody, without an error code.
    Forbidden,
}

/// A file of a model.
#[derive(Clone, Debug)]
pub struct File {
    /// Its bytes.
    pub content: Vec<u8>,
    /// How the hub stores it.
    pub storage: Storage,
}

/// How the hub stores and serves a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In git; served directly, under its git SHA-1.
    Git,
    /// In git; served through a redirect to another path of the same server.
    Cached,
    /// As a large file; served by the other server, under its SHA-256.
    Lfs,
}

impl Model {
    /// The files in a folder, weights as large files.
    ///
    /// # Panics
    ///
    /// If one of them cannot be read.
    #[must_use]
    pub fn of_folder(name: &str, commit: &str, folder: &Path) -> Self {
        let mut files = BTreeMap::new();
        add_files(folder, "", &mut files);
        Self { name: name.to_owned(), commit: commit.to_owned(), files, access: Access::Public }
    }
}

fn add_files(folder: &Path, prefix: &str, files: &mut BTreeMap<String, File>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry of the folder").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8");
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            add_files(&path, &format!("{name}/"), files);
            continue;
        }
        let storage = if name.ends_with(".safetensors") { Storage::Lfs } else { Storage::Git };
        let content = fs::read(&path).expect("a file that can be read");
        files.insert(name, File { content, storage });
    }
}

impl File {
    /// The ETag without quotes.
    #[must_use]
    pub fn etag(&self) -> String {
        match self.storage {
            Storage::Lfs => hex(&Sha256::digest(&self.content)),
            Storage::Git | Storage::Cached => {
                let head = format!("blob {}\0", self.content.len());
                hex(&Sha1::new().chain_update(head).chain_update(&self.content).finalize())
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One of the two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// The hub itself.
    Hub,
    /// The storage of large files.
    Cdn,
}

/// A request that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which server got it.
    pub server: Server,
    /// `HEAD` or `GET`.
    pub method: String,
    /// The path as sent, with the query.
    pub path: String,
    /// The file it is about, if that is known.
    pub file: String,
    /// The `Range` header.
    pub range: Option<String>,
    /// The `Authorization` header.
    pub authorization: Option<String>,
}

/// A way to misbehave.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Answer with this status.
    Status(u16),
    /// Send only so many bytes of the announced body.
    Cut(usize),
    /// Send so many bytes of the body and then nothing more, with the connection open.
    Stall(usize),
    /// Send other bytes, with their own length.
    Content(Vec<u8>),
    /// Send a body that does not end, without a length.
    Endless,
    /// Send the whole file though a part was asked for.
    IgnoreRange,
    /// Answer a request for a part with 416.
    NotSatisfiable,
    /// Send another part than was asked for, one that starts here.
    OtherRange(usize),
    /// Send this header instead of the usual one of that name, or none of that name.
    Header(&'static str, Option<String>),
    /// Close the connection without an answer.
    Close,
}

struct Planned {
    method: &'static str,
    file: String,
    fault: Fault,
    times: usize,
}

#[derive(Default)]
struct State {
    model: Option<Arc<Model>>,
    requests: Vec<Request>,
    faults: Vec<Planned>,
}

struct Shared {
    state: Mutex<State>,
    stopped: AtomicBool,
    hub: SocketAddr,
    cdn: SocketAddr,
}

/// A running server; it stops when dropped.
pub struct HubServer {
    shared: Arc<Shared>,
}

impl HubServer {
    /// Starts a server with one model.
    ///
    /// # Panics
    ///
    /// If no local port can be opened.
    #[must_use]
    pub fn start(model: Model) -> Self {
        let open = || TcpListener::bind("127.0.0.1:0").expect("a local port");
        let address = |listener: &TcpListener| listener.local_addr().expect("a bound port");
        let (hub, cdn) = (open(), open());
        let shared = Arc::new(Shared {
            state: Mutex::new(State { model: Some(Arc::new(model)), ..State::default() }),
            stopped: AtomicBool::new(false),
            hub: address(&hub),
            cdn: address(&cdn),
        });
        for (listener, server) in [(hub, Server::Hub), (cdn, Server::Cdn)] {
            let shared = Arc::clone(&shared);
            thread::spawn(move || accept(&listener, server, &shared));
        }
        Self { shared }
    }

    /// The hub's address.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.shared.hub)
    }

    /// All requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// The requests for the content of `file`, from the server that has it.
    #[must_use]
    pub fn downloads_of(&self, file: &str) -> Vec<Request> {
        let mut requests = self.requests();
        let is_lfs = requests.iter().any(|request| request.server == Server::Cdn && request.file == file);
        let server = if is_lfs { Server::Cdn } else { Server::Hub };
        requests
            .retain(|request| request.method == "GET" && request.file == file && request.server == server);
        requests
    }

    /// Forgets all requests so far.
    pub fn forget_requests(&self) {
        self.state().requests.clear();
    }

    /// Misbehaves at the next `times` requests of this method for `file`.
    pub fn misbehave(&self, method: &'static str, file: &str, fault: Fault, times: usize) {
        self.state().faults.push(Planned { method, file: file.to_owned(), fault, times });
    }

    /// Behaves again.
    pub fn behave(&self) {
        self.state().faults.clear();
    }

    /// Changes the model.
    pub fn change(&self, change: impl FnOnce(&mut Model)) {
        if let Some(model) = &mut self.state().model {
            change(Arc::make_mut(model));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Drop for HubServer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        for address in [self.shared.hub, self.shared.cdn] {
            // Wakes the thread that accepts.
            drop(TcpStream::connect(address));
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// The next planned fault for a request.
    fn fault(&self, method: &str, file: &str) -> Option<Fault> {
        let mut state = self.state();
        let planned = state
            .faults
            .iter_mut()
            .find(|planned| planned.times > 0 && planned.method == method && planned.file == file)?;
        planned.times -= 1;
        Some(planned.fault.clone())
    }
}

fn accept(listener: &TcpListener, server: Server, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.is_stopped() {
            return;
        }
        let (Ok(stream), shared) = (stream, Arc::clone(shared)) else { continue };
        // A client that goes away in the middle is part of the tests.
        thread::spawn(move || drop(serve(stream, server, &shared)));
    }
}

fn serve(stream: TcpStream, server: Server, shared: &Shared) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(()) };
    let mut request = Request {
        server,
        method: method.to_owned(),
        path: path.to_owned(),
        file: String::new(),
        range: None,
        authorization: None,
    };
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':') {
            let value = Some(value.trim().to_owned());
            match name.to_ascii_lowercase().as_str() {
                "range" => request.range = value,
                "authorization" => request.authorization = value,
                _ => {}
            }
        }
    }
    let Some(model) = shared.state().model.clone() else { return Ok(()) };
    let (answer, file) = match server {
        Server::Hub => answer::of_hub(&request, &model, shared.cdn),
        Server::Cdn => answer::of_cdn(&request, &model),
    };
    request.file = file;
    shared.state().requests.push(request.clone());
    // What the storage does wrong with a large file is asked of the hub only for HEAD.
    let is_redirect = answer.status / 100 == 3;
    let fault = if is_redirect && request.method == "GET" {
        None
    } else {
        shared.fault(&request.method, &request.file)
    };
    answer::send(stream, &request, answer, fault, shared)
}
