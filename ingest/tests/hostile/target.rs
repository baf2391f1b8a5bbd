//! A target that answers byte by byte as told, for HTTP servers are too polite.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a target does with a connection once it has read a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Sends this and closes the connection.
    Bytes(Arc<Vec<u8>>),
    /// Sends the first part, then the second for as long as somebody takes it.
    Endless(Vec<u8>, Vec<u8>),
    /// Sends the first part, then the second now and then, again and again.
    Drip(Vec<u8>, Vec<u8>),
    /// Sends this and resets the connection.
    Reset(Vec<u8>),
    /// Says nothing and keeps the connection.
    Silence,
}

/// A head with a length, and a body.
pub(crate) fn ok(headers: &str, body: &[u8]) -> Answer {
    let length = body.len();
    sized(headers, length, body)
}

/// A body that is not as long as its head says.
pub(crate) fn sized(headers: &str, length: usize, body: &[u8]) -> Answer {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n{headers}Content-Length: {length}\r\n\r\n"
    );
    Answer::Bytes(Arc::new([head.as_bytes(), body].concat()))
}

/// The head of a body in chunks.
pub(crate) fn chunked(headers: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n{headers}Transfer-Encoding: chunked\r\n\r\n").into_bytes()
}

/// A chunk of a body in chunks.
pub(crate) fn chunk(bytes: &[u8]) -> Vec<u8> {
    let head = format!("{:x}\r\n", bytes.len());
    [head.as_bytes(), bytes, b"\r\n"].concat()
}

pub(crate) struct Target {
    pub(crate) address: String,
    answer: Arc<Mutex<Answer>>,
}

impl Target {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let answer = Arc::new(Mutex::new(Answer::Silence));
        let shared = Arc::clone(&answer);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = shared.lock().unwrap().clone();
                tokio::spawn(serve(stream, answer));
            }
        });
        Self { address, answer }
    }

    pub(crate) fn say(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }
}

/// Errors are those of a peer that had enough.
async fn serve(mut stream: TcpStream, answer: Answer) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    match answer {
        Answer::Bytes(bytes) => {
            stream.write_all(&bytes).await?;
            stream.shutdown().await
        }
        Answer::Endless(head, more) => {
            stream.write_all(&head).await?;
            loop {
                stream.write_all(&more).await?;
            }
        }
        Answer::Drip(head, more) => {
            stream.write_all(&head).await?;
            loop {
                stream.write_all(&more).await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Answer::Reset(bytes) => {
            stream.write_all(&bytes).await?;
            stream.flush().await?;
            // The peer must have read it, or it may never see it.
            tokio::time::sleep(Duration::from_millis(50)).await;
            // What was not read of the peer's resets the connection, too, so this is not the only way it happens.
            stream.set_zero_linger()
        }
        Answer::Silence => std::future::pending().await,
    }
}
