//! etcd, and its JSON gateway spoken over one connection: a process for each put would be measured too.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};

use super::{Process, wait_for};
use crate::bench::world;

pub(super) const ADDRESS: &str = "127.0.0.1:2379";
const PREFIX: &str = "/coreos.com/network";
/// etcd's default limit for one transaction.
const PUTS_PER_REQUEST: usize = 128;
const PATIENCE: Duration = Duration::from_secs(10);

/// Starts etcd with a data directory of its own, which is empty; returns when it answers.
pub(super) fn start(name: &str) -> Result<Process> {
    let url = format!("http://{ADDRESS}");
    let log = fs::File::create(format!("/run/bench/etcd-{name}.log"))?;
    let data = format!("/run/bench/etcd-{name}");
    if fs::exists(&data)? {
        fs::remove_dir_all(&data)?;
    }
    let etcd = world::command("etcd")
        .args(["--data-dir", &data])
        .args([
            "--listen-client-urls",
            &url,
            "--advertise-client-urls",
            &url,
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .context("run etcd (package etcd-server)")?;
    let etcd = Process(etcd);
    let answers = || Gateway::connect()?.request("GET", "/health", "");
    wait_for("etcd to answer", || {
        Ok(answers().is_ok_and(|text| text.contains("true")))
    })?;
    Ok(etcd)
}

/// A connection to the gateway.
pub(super) struct Gateway {
    stream: BufReader<TcpStream>,
}

impl Gateway {
    pub(super) fn connect() -> Result<Self> {
        let stream = TcpStream::connect(ADDRESS)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let stream = BufReader::new(stream);
        Ok(Self { stream })
    }

    /// Writes names and values, many at a time.
    pub(super) fn fill(&mut self, values: &[(String, Value)]) -> Result<()> {
        for chunk in values.chunks(PUTS_PER_REQUEST) {
            let puts = chunk
                .iter()
                .map(|(name, value)| json!({ "requestPut": pair(name, value) }));
            let body = json!({ "success": puts.collect::<Vec<_>>() });
            self.request("POST", "/v3/kv/txn", &body.to_string())?;
        }
        Ok(())
    }

    /// Writes one value; returns when etcd has answered.
    pub(super) fn put(&mut self, name: &str, value: &Value) -> Result<()> {
        let body = pair(name, value).to_string();
        self.request("POST", "/v3/kv/put", &body).map(drop)
    }

    /// Removes one value; returns when etcd has answered.
    pub(super) fn delete(&mut self, name: &str) -> Result<()> {
        let body = json!({ "key": key(name) }).to_string();
        self.request("POST", "/v3/kv/deleterange", &body).map(drop)
    }

    /// One request of HTTP/1.1; the answer's body.
    fn request(&mut self, method: &str, path: &str, body: &str) -> Result<String> {
        let length = body.len();
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: etcd\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.stream.get_mut().write_all(text.as_bytes())?;
        let status = self.line()?;
        let mut length = None;
        loop {
            let header = self.line()?.to_ascii_lowercase();
            match header.split_once(": ") {
                Some(("content-length", text)) => length = Some(text.parse()?),
                Some(_) => {}
                None => break,
            }
        }
        let body = match length {
            Some(length) => self.bytes(length)?,
            None => self.chunks()?,
        };
        let body = String::from_utf8(body)?;
        ensure!(status.contains(" 200 "), "etcd says {status}: {body}");
        Ok(body)
    }

    /// A body in chunks (RFC 9112, 7.1).
    fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let length = usize::from_str_radix(&self.line()?, 16)?;
            body.extend(self.bytes(length)?);
            self.line()?;
            if length == 0 {
                return Ok(body);
            }
        }
    }

    fn bytes(&mut self, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            bail!("etcd closed the connection");
        }
        Ok(line.trim_end().to_owned())
    }
}

fn pair(name: &str, value: &Value) -> Value {
    json!({ "key": key(name), "value": BASE64.encode(value.to_string()) })
}

fn key(name: &str) -> String {
    BASE64.encode(format!("{PREFIX}/{name}"))
}
