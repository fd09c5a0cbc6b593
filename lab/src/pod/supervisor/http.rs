//! One request by HTTP.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use hyper::Request;
use hyper::client::conn::http1::handshake;
use hyper::header::{HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper_util::rt::TokioIo;
use manifest::HttpGet;
use tokio::net::TcpStream;

/// Sends the request over an open connection. A status of 200 to 399 is success; redirects are not followed.
///
/// # Errors
/// No answer, or one of another status.
pub(super) async fn get(stream: TcpStream, address: SocketAddr, get: &HttpGet) -> Result<()> {
    let request = request(address, get)?;
    let (mut sender, connection) = handshake(TokioIo::new(stream))
        .await
        .context("speak HTTP")?;
    let response = sender.send_request(request);
    tokio::pin!(response);
    let response = tokio::select! {
        response = &mut response => response,
        // It may have brought the answer and ended.
        _ = connection => response.await,
    };
    let status = response.context("HTTP request")?.status();
    if (200..400).contains(&status.as_u16()) {
        return Ok(());
    }
    bail!("HTTP probe failed with statuscode: {}", status.as_u16())
}

fn request(address: SocketAddr, get: &HttpGet) -> Result<Request<String>> {
    let path = get.path.as_deref().unwrap_or("/");
    let path = match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("/{path}"),
    };
    let mut request = Request::get(&path)
        .header(HOST, address.to_string())
        .header(
            USER_AGENT,
            concat!("podwire-lab/", env!("CARGO_PKG_VERSION")),
        )
        .header("Accept", "*/*")
        .header("Connection", "close")
        .body(String::new())
        .with_context(|| format!("request of {path:?}"))?;
    for header in &get.http_headers {
        let name: HeaderName = header
            .name
            .parse()
            .with_context(|| format!("header {:?}", header.name))?;
        let value = HeaderValue::from_str(&header.value)
            .with_context(|| format!("value of header {name}"))?;
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}
