//! Requests and answers.

use std::io::{self, Read, Write};

use serde_json::{Value, json};

use super::state::{Fault, opaque, version};
use super::{Shared, objects};

/// A request.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `GET /api/v1/nodes/n1`
    pub line: String,
    pub content_type: String,
    pub authorization: String,
    pub body: String,
    pub at: std::time::Instant,
}

/// A request that was read, or nothing at the end of the connection.
fn read(stream: &mut impl Read) -> io::Result<Option<Seen>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("a head");
    let mut lines = head.lines();
    let first = lines.next().expect("a request line");
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let header = |name: &str| {
        let found = headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
    stream.read_exact(&mut body)?;
    Ok(Some(Seen {
        line: first.trim_end_matches(" HTTP/1.1").to_owned(),
        content_type: header("content-type"),
        authorization: header("authorization"),
        body: String::from_utf8(body).expect("text"),
        at: std::time::Instant::now(),
    }))
}

/// Serves requests until the connection ends.
pub fn serve(shared: &Shared, mut stream: impl Read + Write) {
    while let Ok(Some(request)) = read(&mut stream) {
        if one(shared, &mut stream, request).is_err() {
            return;
        }
    }
}

const ENDED: io::ErrorKind = io::ErrorKind::ConnectionAborted;

fn one(shared: &Shared, stream: &mut impl Write, request: Seen) -> io::Result<()> {
    let (fault, known) = {
        let mut state = shared.lock();
        state.seen.push(request.clone());
        if state.away {
            return Err(ENDED.into());
        }
        let met = state
            .faults
            .iter()
            .position(|(line, _)| request.line.starts_with(line.as_str()));
        let fault = met.map(|at| state.faults.remove(at).1);
        let known = state
            .token
            .as_ref()
            .is_none_or(|token| request.authorization == format!("Bearer {token}"));
        (fault, known)
    };
    match fault {
        Some(Fault::Status(code, after)) => return refuse(stream, code, after),
        Some(Fault::Cut) => return Err(ENDED.into()),
        Some(Fault::Silence(time)) => {
            std::thread::sleep(time);
            return Err(ENDED.into());
        }
        Some(Fault::Slow(time)) => std::thread::sleep(time),
        None => {}
    }
    if !known {
        return refuse(stream, 401, None);
    }
    if let Some(answered) = objects::one(shared, stream, &request) {
        return answered;
    }
    let (method, path) = request.line.split_once(' ').expect("a method");
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parts: Vec<&str> = path.trim_start_matches("/api/v1/").split('/').collect();
    match (method, &parts[..]) {
        ("GET", ["namespaces", namespace, "pods", name]) => {
            let pod = shared
                .lock()
                .pods
                .get(&format!("{namespace}/{name}"))
                .cloned();
            found(stream, pod)
        }
        ("GET", ["nodes", name]) => {
            let node = shared.lock().nodes.get(*name).cloned();
            found(stream, node)
        }
        ("GET", ["nodes"]) if value(query, "watch") == "true" => watch(shared, stream, query),
        ("GET", ["nodes"]) => list(shared, stream, query),
        ("PATCH", ["nodes", name, "status"]) => {
            assert_eq!(
                request.content_type,
                "application/strategic-merge-patch+json"
            );
            let patch: Value = serde_json::from_str(&request.body).expect("JSON");
            let node = shared.lock().patch_status(name, &patch);
            shared.changed.notify_all();
            found(stream, node)
        }
        // More than that, the role of flannel's manifest does not allow.
        _ => refuse(stream, 403, None),
    }
}

fn value<'a>(query: &'a str, key: &str) -> &'a str {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .find(|(known, _)| *known == key)
        .map_or("", |(_, value)| value)
}

pub fn found(stream: &mut impl Write, object: Option<Value>) -> io::Result<()> {
    match object {
        Some(object) => answer(stream, 200, "", &object.to_string()),
        None => refuse(stream, 404, None),
    }
}

fn status(code: u16, words: &str) -> Value {
    let reason = if code == 404 { "NotFound" } else { "" };
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": words,
        "reason": reason })
}

/// As API servers do: most answers are a `Status`, and that of priority and fairness is text.
fn refuse(stream: &mut impl Write, code: u16, after: Option<u64>) -> io::Result<()> {
    let header = after.map(|seconds| format!("Retry-After: {seconds}\r\n"));
    let body = match code {
        429 => "Too many requests, please try again later.\n".to_owned(),
        code => status(code, "the double refuses").to_string(),
    };
    answer(stream, code, &header.unwrap_or_default(), &body)
}

pub fn answer(stream: &mut impl Write, code: u16, headers: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {code} Whatever\r\nContent-Type: application/json\r\n{headers}Content-Length: {length}\r\n\r\n"
    );
    stream.write_all((head + body).as_bytes())?;
    stream.flush()
}

/// A page of the nodes as they are; the token of the next one lasts until the history is compacted.
fn list(shared: &Shared, stream: &mut impl Write, query: &str) -> io::Result<()> {
    let state = shared.lock();
    let limit = value(query, "limit").parse().unwrap_or(usize::MAX);
    let token = value(query, "continue");
    let (version, from) = match token.split_once("-") {
        Some((version, from)) => (version.parse().unwrap(), from.parse().unwrap()),
        None => (state.version, 0),
    };
    if from > 0 && version < state.compacted {
        drop(state);
        return refuse(stream, 410, None);
    }
    let mut all = state.nodes.values().skip(from);
    let items: Vec<Value> = all.by_ref().take(limit).cloned().collect();
    let next = all
        .next()
        .map(|_| format!("{version}-{}", from + items.len()));
    let body = json!({
        "kind": "NodeList", "apiVersion": "v1",
        "metadata": { "resourceVersion": opaque(version), "continue": next },
        "items": items
    });
    drop(state);
    answer(stream, 200, "", &body.to_string())
}

/// Counts the watches that are open.
struct Watching<'a>(&'a Shared);

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.0.lock().watching -= 1;
    }
}

fn watch(shared: &Shared, stream: &mut impl Write, query: &str) -> io::Result<()> {
    assert_eq!(value(query, "allowWatchBookmarks"), "true");
    assert!(
        value(query, "timeoutSeconds")
            .parse::<u64>()
            .is_ok_and(|seconds| seconds > 0)
    );
    let from = version(value(query, "resourceVersion"));
    let _watching = Watching(shared);
    let (ended, cut, gone, mut next) = {
        let mut state = shared.lock();
        state.watching += 1;
        state.opened += 1;
        let older = state.history.iter().filter(|(version, _)| *version <= from);
        let older = older.count();
        (state.ended, state.cut, from < state.compacted, older)
    };
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes())?;
    stream.flush()?;
    if gone {
        let event = json!({ "type": "ERROR", "object": status(410, "too old resource version") });
        chunk(stream, &format!("{event}\n"))?;
        return chunk(stream, "");
    }
    loop {
        let mut state = shared.lock();
        while state.history.len() == next && state.ended == ended && state.cut == cut {
            state = shared.wait(state);
        }
        let lines: String = state.history[next..]
            .iter()
            .map(|(_, line)| line.as_str())
            .collect();
        next = state.history.len();
        let (is_cut, is_ended) = (state.cut != cut, state.ended != ended);
        drop(state);
        if is_cut {
            stream.write_all(b"ffff\r\n{\"type\":\"MODI")?;
            stream.flush()?;
            return Err(ENDED.into());
        }
        if !lines.is_empty() {
            // In two parts, as the network may bring them.
            let (first, second) = lines.split_at(lines.len() / 2);
            chunk(stream, first)?;
            chunk(stream, second)?;
        }
        if is_ended {
            return chunk(stream, "");
        }
    }
}

/// The empty one is the end.
fn chunk(stream: &mut impl Write, text: &str) -> io::Result<()> {
    let length = text.len();
    stream.write_all(format!("{length:x}\r\n{text}\r\n").as_bytes())?;
    stream.flush()
}
