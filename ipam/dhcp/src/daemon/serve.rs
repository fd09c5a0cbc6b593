//! Connections: HTTP CONNECT, then calls of Go's net/rpc.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::{
    listener::Listener,
    registry::{Refusal, Registry},
};
use crate::gob::{Kind, Reader, Value, Writer};
use crate::rpc::{self, Arguments, CONNECTED, Method};

/// Where no descriptor is left, one may be given back.
const PAUSE: Duration = Duration::from_millis(100);
/// What a client says before its first call is shorter.
const LONGEST_HEAD: usize = 4096;
/// Go's answer to another request.
const NO_CONNECT: &str = "HTTP/1.0 405 Method Not Allowed\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\r\n405 must CONNECT\n";

/// Serves everybody who connects, without end.
pub(super) async fn serve(listener: &Listener, registry: &Rc<Registry>) {
    loop {
        match listener.accept().await {
            Ok(stream) => {
                let registry = Rc::clone(registry);
                spawn_local(async move {
                    if let Err(error) = talk(stream, &registry).await {
                        tracing::warn!(%error, "a connection ends");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn talk(mut stream: UnixStream, registry: &Rc<Registry>) -> io::Result<()> {
    let mut waiting = Vec::new();
    let Some(head) = read_head(&mut stream, &mut waiting).await? else {
        return Ok(());
    };
    if !head.starts_with("CONNECT ") {
        return stream.write_all(NO_CONNECT.as_bytes()).await;
    }
    let answer = format!("HTTP/1.0 {CONNECTED}\n\n");
    stream.write_all(answer.as_bytes()).await?;
    let mut calls = Calls {
        stream,
        waiting,
        reader: Reader::default(),
        writer: Writer::default(),
    };
    while calls.serve_one(registry).await? {}
    Ok(())
}

/// The request up to its empty line; what follows stays in `waiting`. `None`: it ends before.
async fn read_head(stream: &mut UnixStream, waiting: &mut Vec<u8>) -> io::Result<Option<String>> {
    loop {
        let ends = ["\n\n", "\n\r\n"].map(|end| {
            let mut windows = waiting.windows(end.len());
            windows
                .position(|bytes| bytes == end.as_bytes())
                .map(|at| at + end.len())
        });
        if let Some(end) = ends.into_iter().flatten().min() {
            let head: Vec<u8> = waiting.drain(..end).collect();
            return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
        }
        if waiting.len() > LONGEST_HEAD || stream.read_buf(waiting).await? == 0 {
            return Ok(None);
        }
    }
}

struct Calls {
    stream: UnixStream,
    waiting: Vec<u8>,
    reader: Reader,
    writer: Writer,
}

impl Calls {
    /// One call and its answer; false when there are no more.
    async fn serve_one(&mut self, registry: &Rc<Registry>) -> io::Result<bool> {
        let Some(header) = self.next().await? else {
            return Ok(false);
        };
        let Some(arguments) = self.next().await? else {
            return Ok(false);
        };
        let method = header.text("ServiceMethod");
        let outcome = match Method::named(&method) {
            Some(method) => work(registry, method, &Arguments::from_value(&arguments))
                .await
                .map_err(|refusal| refusal.to_string()),
            None => Err(format!("{} method {method}", rpc::UNKNOWN_CALL)),
        };
        let (error, (kind, result)) = match outcome {
            Ok(result) => (String::new(), result),
            Err(error) => (error, nothing()),
        };
        let header = rpc::response(&header, &error);
        let mut bytes = self.writer.value(rpc::RESPONSE, &header);
        bytes.extend(self.writer.value(kind, &result));
        self.stream.write_all(&bytes).await?;
        Ok(true)
    }

    async fn next(&mut self) -> io::Result<Option<Value>> {
        loop {
            let value = self.reader.next(&mut self.waiting);
            if let Some(value) = value.map_err(io::Error::other)? {
                return Ok(Some(value));
            }
            if self.stream.read_buf(&mut self.waiting).await? == 0 {
                return Ok(None);
            }
        }
    }
}

async fn work(
    registry: &Rc<Registry>,
    method: Method,
    arguments: &Arguments,
) -> Result<(Kind, Value), Refusal> {
    let lease = match method {
        Method::Allocate => registry.allocate(arguments).await?,
        Method::Check => registry.check(arguments).await?,
        Method::Release => return registry.release(arguments).await.map(|()| nothing()),
        Method::Collect => return registry.collect(arguments).await.map(|()| nothing()),
    };
    Ok((rpc::result::RESULT, rpc::result::to_value(&lease)))
}

fn nothing() -> (Kind, Value) {
    (rpc::NOTHING, Value::Struct(Default::default()))
}
