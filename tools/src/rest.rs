//! One plain HTTP request to the server's own REST, with the token of its state folder.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};

use crate::exit::{Exit, Failure};

/// How long connecting and answering may each take: it is the same machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the server may take to change something: it gives itself 30 s.
const PATIENCE_FOR_CHANGES: Duration = Duration::from_secs(40);

/// The most bytes of an answer we take: a million leases as JSON, with room.
const ANSWER_MAX: usize = 512 << 20;

/// Where a server's REST is, and what opens it.
#[derive(Clone, Debug)]
pub struct Rest {
    authority: String,
    token: Option<String>,
    token_path: PathBuf,
}

impl Rest {
    /// The REST at `url` (`http://host:port`, path ignored), with the token read from `token_path`.
    ///
    /// # Errors
    /// If the address is not plain HTTP, or the file is there and cannot be read.
    pub fn new(url: &str, token_path: &Path) -> Result<Self, Failure> {
        let token = match std::fs::read_to_string(token_path) {
            Ok(text) if text.trim().bytes().all(|byte| byte.is_ascii_graphic()) => Some(text.trim().to_owned()),
            Ok(_) => return Err(no_token(token_path)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(unreadable(token_path, &e)),
        };
        Ok(Self { authority: authority(url)?, token, token_path: token_path.to_owned() })
    }

    /// The REST at `address`, with `token`.
    #[must_use]
    pub fn at(address: SocketAddr, token: String) -> Self {
        Self { authority: address.to_string(), token: Some(token), token_path: PathBuf::new() }
    }

    /// Where it is, for messages.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.authority)
    }

    /// The JSON at `path`.
    ///
    /// # Errors
    /// If no server answers, it does not take the token, or the answer is not what was asked for.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    /// What the server answers to `method` at `path` with `body`.
    ///
    /// # Errors
    /// As [`Rest::get`]; and if the server refuses, with its words.
    pub async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, Failure> {
        let bytes = self.fetch(method, path, body).await?;
        serde_json::from_slice(&bytes).map_err(|e| {
            Failure::new(format!("{}{path} did not answer in the form this version knows", self.url()))
                .because_of(&e)
                .remedy("use the `leasehold` of the server's own version")
        })
    }

    /// The same as bytes, whatever they are.
    ///
    /// # Errors
    /// As [`Rest::ask`].
    pub async fn bytes(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, Failure> {
        self.fetch(method, path, body).await
    }

    async fn fetch(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, Failure> {
        let patience = if method == Method::GET { PATIENCE * 2 } else { PATIENCE_FOR_CHANGES };
        let (status, body) = timeout(patience, self.exchange(method, path, body))
            .await
            .unwrap_or_else(|_| Err(self.unreachable(&"it took the connection and did not answer")))?;
        match status {
            StatusCode::OK => Ok(body),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(self.refused(status)),
            other => Err(match said(&body) {
                Some(message) => Failure::new("the server refuses").because(message),
                None => Failure::new(format!("{}{path} answered {other}", self.url()))
                    .because(String::from_utf8_lossy(&body).trim()),
            }),
        }
    }

    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes), Failure> {
        let stream = timeout(PATIENCE, TcpStream::connect(&self.authority))
            .await
            .map_err(|_| self.unreachable(&"the connection was not taken in time"))?
            .map_err(|e| self.unreachable(&e))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| self.unreachable(&e))?;
        let driver = tokio::spawn(connection);
        let answer = sender.send_request(self.request(method, path, body)?).await.map_err(|e| self.unreachable(&e))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
        driver.abort();
        Ok((status, body.map_err(|e| self.unreachable(&e))?.to_bytes()))
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, &self.authority);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        request.body(Full::new(body)).map_err(|e| Failure::new(format!("cannot ask for {path}")).because_of(&e))
    }

    fn unreachable(&self, why: &dyn std::fmt::Display) -> Failure {
        Failure::new(format!("no leasehold server answers at {}", self.url()))
            .because(why)
            .exit(Exit::UNREACHABLE)
            .remedy("start one: leasehold serve")
            .remedy("or say where it is: --url http://127.0.0.1:PORT (its banner tells the address of its REST)")
    }

    fn refused(&self, status: StatusCode) -> Failure {
        let path = self.token_path.display();
        let failure = Failure::new(format!("{} does not let us in ({status})", self.url())).exit(Exit::FAILURE);
        let failure = match self.token {
            None => failure.because(format!("there is no token at {path}")),
            Some(_) => failure.because(format!("the token in {path} is not that server's")),
        };
        failure
            .remedy("name the server's state folder (its banner tells it): --data-dir DIR")
            .remedy("or its token: --token-file DIR/rest.token")
    }
}

/// The message of an error as our server words it.
fn said(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body["error"]["message"].as_str().map(str::to_owned)
}

/// `value`, of an answer, as what it should be.
///
/// # Errors
/// If the server is of another make.
pub fn read<T: DeserializeOwned>(value: &Value) -> Result<T, Failure> {
    T::deserialize(value).map_err(|e| {
        Failure::new("the server did not answer in the form this version knows")
            .because_of(&e)
            .remedy("print it as it is, with --json")
            .remedy("or use the `leasehold` of the server's own version")
    })
}

fn authority(url: &str) -> Result<String, Failure> {
    let refused = |why: &str| {
        Failure::usage(format!("{url:?} is not the address of a server's REST"))
            .because(why)
            .remedy("write it as http://127.0.0.1:5097")
    };
    if url.starts_with("https://") {
        return Err(refused("this version speaks plain HTTP, on the server's own machine"));
    }
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(authority.to_owned()),
        _ => Err(refused("it has no host or no port")),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let failure = Failure::new(format!("cannot read the token in {}", path.display())).because_of(error);
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            failure.remedy("run this as the user the server runs as: only that user may read its token")
        }
        _ => failure,
    }
}

fn no_token(path: &Path) -> Failure {
    Failure::new(format!("{} holds no token", path.display()))
        .because("a token is one word")
        .remedy("name the file the server made: --token-file DIR/rest.token, in its state folder DIR")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_holds_no_token_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "# a key file\npublisher = acme\n").unwrap();
        assert!(Rest::new("http://127.0.0.1:1", file.path()).is_err());
        std::fs::write(file.path(), "0123456789abcdef\n").unwrap();
        assert!(Rest::new("http://127.0.0.1:1", file.path()).is_ok());
    }

    #[test]
    fn an_address_is_plain_http_with_host_and_port() {
        assert_eq!(authority("http://127.0.0.1:5097/api").unwrap(), "127.0.0.1:5097");
        assert_eq!(authority("localhost:80").unwrap(), "localhost:80");
        assert_eq!(authority("http://[::1]:5097").unwrap(), "[::1]:5097");
        for bad in ["https://127.0.0.1:5097", "http://127.0.0.1", "http://:5097", "", "http://a:b"] {
            assert!(authority(bad).is_err(), "{bad:?}");
        }
    }
}
