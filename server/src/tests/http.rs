//! As much HTTP as a test needs.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e} in {:?}", self.body))
    }
}

pub async fn get(address: SocketAddr, path: &str, authorization: Option<&str>) -> Answer {
    ask(address, "GET", path, authorization).await
}

pub async fn ask(address: SocketAddr, method: &str, path: &str, authorization: Option<&str>) -> Answer {
    let authorization = authorization.map_or(String::new(), |value| format!("Authorization: {value}\r\n"));
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n{authorization}Connection: close\r\n\r\n");
    raw(address, request.as_bytes()).await
}

/// The same with a body.
pub async fn send(address: SocketAddr, method: &str, path: &str, authorization: Option<&str>, body: &str) -> Answer {
    let authorization = authorization.map_or(String::new(), |value| format!("Authorization: {value}\r\n"));
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n{authorization}Connection: close\r\n");
    raw(address, format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await
}

pub async fn raw(address: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}
