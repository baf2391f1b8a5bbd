//! A connection to a ZooKeeper server: reading nodes and watching them.
//!
//! Client and server exchange frames, each with its length in front. A request has a number that its answer repeats; answers come in
//! the order of the requests. Events of watches come in between, with the number -1.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// The port of servers that have none in their name.
const PORT: u16 = 2181;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a frame. A node has a megabyte at most by default; a list of children may be longer.
const FRAME_BYTES_MAX: usize = 64 << 20;

const GET_DATA: i32 = 4;
const GET_CHILDREN: i32 = 8;
const PING: i32 = 11;

/// The number of events.
const EVENT: i32 = -1;

/// The number of pings and their answers.
const PING_NUMBER: i32 = -2;

const NO_NODE: i32 = -101;

/// Why a connection cannot be used any more.
#[derive(Debug, Error)]
pub(super) enum ZookeeperError {
    /// Sending or receiving failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The server does not answer.
    #[error("the server does not answer in time")]
    Timeout,
    /// The server refuses a request.
    #[error("error {code} for {path}")]
    Refused {
        /// ZooKeeper's number of the error.
        code: i32,
        /// What was asked for.
        path: String,
    },
    /// What arrived is no answer.
    #[error("{0}")]
    Malformed(&'static str),
}

type Result<T> = std::result::Result<T, ZookeeperError>;

/// A session of its own.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    received: BytesMut,
    /// What still has to be sent, if sending was given up half-way.
    unsent: BytesMut,
    number: i32,
    /// How long the server keeps the session without hearing of it.
    timeout: Duration,
    /// Whether a watch has seen a change.
    changed: bool,
}

impl Connection {
    /// Opens a session that outlives its connection for `session_timeout`, if the server agrees.
    pub(super) async fn open(server: &str, session_timeout: Duration) -> Result<Self> {
        let has_port = server.rsplit_once(':').is_some_and(|(host, port)| {
            port.parse::<u16>().is_ok() && (!host.contains(':') || host.ends_with(']'))
        });
        let address = match has_port {
            true => server.to_owned(),
            false => format!("{server}:{PORT}"),
        };
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        let stream = stream.map_err(|_| ZookeeperError::Timeout)??;
        let mut connection = Self {
            stream,
            received: BytesMut::new(),
            unsent: BytesMut::new(),
            number: 0,
            timeout: CONNECT_TIMEOUT,
            changed: false,
        };
        let millis = i32::try_from(session_timeout.as_millis()).unwrap_or(i32::MAX);
        let mut request = BytesMut::new();
        request.put_i32(0); // The version of the protocol.
        request.put_i64(0); // The last change that was seen.
        request.put_i32(millis);
        request.put_i64(0); // No session yet.
        put_bytes(&mut request, &[0; 16]); // Nor its password.
        connection.send(&request).await?;
        let mut answer = connection.frame_in_time().await?;
        get_i32(&mut answer)?;
        let agreed = get_i32(&mut answer)?;
        match u64::try_from(agreed) {
            Ok(millis) if millis > 0 => connection.timeout = Duration::from_millis(millis),
            _ => return Err(ZookeeperError::Malformed("the server gives no session")),
        }
        Ok(connection)
    }

    /// Forgets the changes so far: everything will be read now.
    pub(super) fn begin(&mut self) {
        self.changed = false;
    }

    /// The data of a node, which is watched from now on; `None` if there is no such node.
    pub(super) async fn data(&mut self, path: &str) -> Result<Option<Bytes>> {
        let Some(mut answer) = self.ask(GET_DATA, path).await? else {
            return Ok(None);
        };
        get_bytes(&mut answer).map(Some)
    }

    /// The names of the nodes below one, whose list is watched from now on; none if there is no such node.
    pub(super) async fn children(&mut self, path: &str) -> Result<Vec<String>> {
        let Some(mut answer) = self.ask(GET_CHILDREN, path).await? else {
            return Ok(Vec::new());
        };
        let count = get_i32(&mut answer)?;
        let mut children = Vec::new();
        for _ in 0..count {
            let name = get_bytes(&mut answer)?;
            children.push(String::from_utf8_lossy(&name).into_owned());
        }
        Ok(children)
    }

    /// Waits until a watch sees a change, and keeps the session alive meanwhile. May be dropped at any time.
    pub(super) async fn changed(&mut self) -> Result<()> {
        let pause = self.timeout / 3;
        let mut silent = 0;
        while !self.changed {
            tokio::select! {
                frame = self.frame() => {
                    self.take_event(&mut frame?)?;
                    silent = 0;
                }
                () = sleep(pause) => {
                    // Pings are answered.
                    silent += 1;
                    if silent > 3 {
                        return Err(ZookeeperError::Timeout);
                    }
                    let mut ping = BytesMut::new();
                    ping.put_i32(PING_NUMBER);
                    ping.put_i32(PING);
                    self.send(&ping).await?;
                }
            }
        }
        Ok(())
    }

    /// Asks about a node; `None` if there is none.
    async fn ask(&mut self, operation: i32, path: &str) -> Result<Option<Bytes>> {
        self.number = self.number.checked_add(1).unwrap_or(1);
        let mut request = BytesMut::new();
        request.put_i32(self.number);
        request.put_i32(operation);
        put_bytes(&mut request, path.as_bytes());
        request.put_u8(1); // Watch.
        self.send(&request).await?;
        loop {
            let mut frame = self.frame_in_time().await?;
            let Some((number, code)) = self.take_event(&mut frame)? else {
                continue;
            };
            if number != self.number {
                return Err(ZookeeperError::Malformed("an answer to another question"));
            }
            return match code {
                0 => Ok(Some(frame)),
                NO_NODE => Ok(None),
                code => Err(ZookeeperError::Refused {
                    code,
                    path: path.to_owned(),
                }),
            };
        }
    }

    /// Reads what every frame begins with. Events and answers to pings are dealt with; of others the number and the error are left.
    fn take_event(&mut self, frame: &mut Bytes) -> Result<Option<(i32, i32)>> {
        let number = get_i32(frame)?;
        let position = frame.try_get_i64();
        position.map_err(|_| ZookeeperError::Malformed("a frame is too short"))?;
        let code = get_i32(frame)?;
        match number {
            EVENT => {
                self.changed = true;
                Ok(None)
            }
            PING_NUMBER => Ok(None),
            number => Ok(Some((number, code))),
        }
    }

    async fn send(&mut self, message: &[u8]) -> Result<()> {
        let length = i32::try_from(message.len());
        let length = length.map_err(|_| ZookeeperError::Malformed("a request is too long"))?;
        self.unsent.put_i32(length);
        self.unsent.put_slice(message);
        let sending = async {
            while !self.unsent.is_empty() {
                self.stream.write_buf(&mut self.unsent).await?;
            }
            Ok::<_, std::io::Error>(())
        };
        let sent = timeout(self.timeout, sending).await;
        Ok(sent.map_err(|_| ZookeeperError::Timeout)??)
    }

    async fn frame_in_time(&mut self) -> Result<Bytes> {
        let limit = self.timeout;
        let frame = timeout(limit, self.frame()).await;
        frame.map_err(|_| ZookeeperError::Timeout)?
    }

    /// The next frame. What has arrived of one is kept if this is dropped.
    async fn frame(&mut self) -> Result<Bytes> {
        loop {
            if let Some(length) = self.received.first_chunk::<4>() {
                let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(usize::MAX);
                if length > FRAME_BYTES_MAX {
                    return Err(ZookeeperError::Malformed("a frame is too long"));
                }
                if self.received.len() >= 4 + length {
                    self.received.advance(4);
                    return Ok(self.received.split_to(length).freeze());
                }
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    out.put_i32(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
    out.put_slice(bytes);
}

fn get_i32(frame: &mut Bytes) -> Result<i32> {
    let number = frame.try_get_i32();
    number.map_err(|_| ZookeeperError::Malformed("a frame is too short"))
}

/// A text or data; those that are not there have the length -1.
fn get_bytes(frame: &mut Bytes) -> Result<Bytes> {
    let length = usize::try_from(get_i32(frame)?).unwrap_or(0);
    match length <= frame.len() {
        true => Ok(frame.split_to(length)),
        false => Err(ZookeeperError::Malformed("a frame is too short")),
    }
}
