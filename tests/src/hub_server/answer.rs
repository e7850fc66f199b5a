//! What the hub and its storage answer, and how it is sent.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use super::{Access, Fault, Model, Request, Shared, Storage};

/// What is to be sent.
pub(super) struct Answer {
    pub(super) status: u16,
    headers: Vec<(&'static str, String)>,
    content: Vec<u8>,
}

impl Answer {
    fn error(status: u16, code: Option<&str>, message: &str) -> Self {
        let mut headers = vec![("X-Error-Message", message.to_owned())];
        headers.extend(code.map(|code| ("X-Error-Code", code.to_owned())));
        Self { status, headers, content: message.as_bytes().to_vec() }
    }
}

pub(super) fn of_hub(request: &Request, model: &Model, cdn: SocketAddr) -> (Answer, String) {
    let path = percent_decoded(request.path.split('?').next().unwrap_or_default());
    let path = path.trim_start_matches('/');
    let rest = path.strip_prefix("api/resolve-cache/models/");
    let parts: Vec<&str> = rest.unwrap_or(path).splitn(3, '/').collect();
    let [owner, name, rest_of_path] = parts[..] else {
        return (Answer::error(404, None, "Not found"), String::new());
    };
    if model.name != format!("{owner}/{name}") {
        let status = if request.authorization.is_some() { 404 } else { 401 };
        let message = "Invalid username or password.";
        return (Answer::error(status, Some("RepoNotFound"), message), String::new());
    }
    // A revision may have slashes, so the one that fits is looked for.
    let resolve = rest_of_path.strip_prefix("resolve/").unwrap_or(rest_of_path);
    let revision = ["main", "v1.0", "refs/pr/1", &model.commit]
        .into_iter()
        .find(|revision| resolve.starts_with(&format!("{revision}/")));
    let file = revision.map_or_else(
        || resolve.split_once('/').unwrap_or_default().1,
        |revision| &resolve[revision.len() + 1..],
    );
    let with_file = |answer| (answer, file.to_owned());
    let has_token = |token: &String| request.authorization.as_deref() == Some(&format!("Bearer {token}"));
    match &model.access {
        Access::Public => {}
        Access::Private(token) if has_token(token) => {}
        Access::Private(_) => {
            return with_file(Answer::error(401, Some("RepoNotFound"), "Repository not found"));
        }
        Access::Gated => {
            let status = if request.authorization.is_some() { 403 } else { 401 };
            return with_file(Answer::error(status, Some("GatedRepo"), "Access is restricted"));
        }
        Access::Forbidden => return with_file(Answer::error(403, None, "Not from here")),
    }
    if revision.is_none() {
        return with_file(Answer::error(404, Some("RevisionNotFound"), "Invalid rev id"));
    }
    let commit = ("X-Repo-Commit", model.commit.clone());
    let Some(found) = model.files.get(file) else {
        let mut answer = Answer::error(404, Some("EntryNotFound"), "Entry not found");
        answer.headers.push(commit);
        return with_file(answer);
    };
    let etag = found.etag();
    let linked = || {
        let size = found.content.len().to_string();
        vec![commit.clone(), ("X-Linked-Etag", format!("\"{etag}\"")), ("X-Linked-Size", size)]
    };
    let answer = match found.storage {
        Storage::Lfs => {
            let location = format!("http://{cdn}/{etag}?key=secret");
            let mut headers = linked();
            headers.push(("Location", location));
            Answer { status: 302, headers, content: b"Found. Redirecting".to_vec() }
        }
        Storage::Cached if rest.is_none() => {
            let location = format!("/api/resolve-cache/models/{owner}/{name}/{}/{file}?x=y", model.commit);
            let mut headers = linked();
            headers.push(("Location", location));
            Answer { status: 307, headers, content: b"Temporary Redirect".to_vec() }
        }
        Storage::Git | Storage::Cached => Answer {
            status: 200,
            headers: vec![commit, ("ETag", format!("W/\"{etag}\""))],
            content: found.content.clone(),
        },
    };
    with_file(answer)
}

pub(super) fn of_cdn(request: &Request, model: &Model) -> (Answer, String) {
    let found = model.files.iter().find(|(_, file)| {
        file.storage == Storage::Lfs && request.path == format!("/{}?key=secret", file.etag())
    });
    match found {
        None => (Answer::error(403, None, "Access denied"), String::new()),
        Some((path, file)) => {
            let headers = vec![("ETag", "\"of-the-storage\"".to_owned())];
            (Answer { status: 200, headers, content: file.content.clone() }, path.clone())
        }
    }
}

pub(super) fn send(
    mut stream: TcpStream,
    request: &Request,
    mut answer: Answer,
    fault: Option<Fault>,
    shared: &Shared,
) -> io::Result<()> {
    match &fault {
        Some(Fault::Close) => return Ok(()),
        Some(Fault::Status(status)) => answer = Answer::error(*status, None, "As planned"),
        Some(Fault::Content(content)) => answer.content.clone_from(content),
        _ => {}
    }
    let whole = answer.content.len();
    let start = request.range.as_deref().filter(|_| answer.status == 200).and_then(range_start);
    match (start, &fault) {
        (None, _) | (_, Some(Fault::IgnoreRange)) => {}
        (Some(start), fault) => {
            let start = if let Some(Fault::OtherRange(other)) = fault { *other } else { start };
            if start >= whole || matches!(fault, Some(Fault::NotSatisfiable)) {
                answer = Answer::error(416, None, "Range not satisfiable");
                answer.headers.push(("Content-Range", format!("bytes */{whole}")));
            } else {
                answer.status = 206;
                answer.content.drain(..start);
                let range = format!("bytes {start}-{}/{whole}", whole - 1);
                answer.headers.push(("Content-Range", range));
            }
        }
    }
    let is_endless = matches!(fault, Some(Fault::Endless));
    if !is_endless {
        answer.headers.push(("Content-Length", answer.content.len().to_string()));
    }
    if let Some(Fault::Header(name, value)) = &fault {
        answer.headers.retain(|(other, _)| other != name);
        answer.headers.extend(value.clone().map(|value| (*name, value)));
    }
    let mut head = format!("HTTP/1.1 {} {}\r\n", answer.status, reason(answer.status));
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    if request.method == "HEAD" {
        return Ok(());
    }
    let sent = match fault {
        Some(Fault::Cut(length) | Fault::Stall(length)) => length.min(answer.content.len()),
        _ => answer.content.len(),
    };
    stream.write_all(&answer.content[..sent])?;
    stream.flush()?;
    while is_endless && !shared.is_stopped() {
        stream.write_all(&[0; 1024])?;
    }
    while matches!(fault, Some(Fault::Stall(_))) && !shared.is_stopped() {
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn range_start(range: &str) -> Option<usize> {
    range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        302 => "Found",
        307 => "Temporary Redirect",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Other",
    }
}

fn percent_decoded(text: &str) -> String {
    let mut decoded = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let code = tail.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(value) if byte == b'%' => {
                decoded.push(value);
                rest = &tail[2..];
            }
            _ => {
                decoded.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
