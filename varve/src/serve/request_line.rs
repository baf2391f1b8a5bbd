//! Lenient request lines.
//!
//! `curl 'http://…/api/v1/query?query=up{job="node"}'` sends quotes as they are. Go's server takes them, hyper refuses the
//! request before anybody sees it. So the few bytes that hyper does not take and Go does are escaped on their way in.
//!
//! Only request lines are touched. To know where the next one begins, the length of each body must be known: after a
//! request whose length is not a plain `Content-Length`, the rest of the connection passes as it is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Read at once from a connection; escaped, it may be three times as long.
const READ_BYTES: usize = 8 << 10;
/// Enough of a header line to recognise those that say how long a body is.
const HEADER_BYTES_MAX: usize = 64;

/// A listener whose connections have lenient request lines.
#[derive(Debug)]
pub(super) struct Lenient<L>(pub(super) L);

impl<L: Listener> Listener for Lenient<L> {
    type Io = Connection<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (io, address) = self.0.accept().await;
        let connection = Connection {
            io,
            escaper: Escaper::default(),
            waiting: Vec::new(),
            taken: 0,
        };
        (connection, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// A connection on which request lines are escaped as they are read.
#[derive(Debug)]
pub(super) struct Connection<I> {
    io: I,
    escaper: Escaper,
    /// Escaped bytes that did not fit into the reader's buffer yet.
    waiting: Vec<u8>,
    /// How many of them the reader has.
    taken: usize,
}

impl<I: AsyncRead + Unpin> AsyncRead for Connection<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.taken == this.waiting.len() {
            this.waiting.clear();
            this.taken = 0;
            if this.escaper.passes(buffer.remaining()) {
                let before = buffer.filled().len();
                ready!(Pin::new(&mut this.io).poll_read(context, buffer))?;
                this.escaper.passed(buffer.filled().len() - before);
                return Poll::Ready(Ok(()));
            }
            let mut bytes = [0; READ_BYTES];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.io).poll_read(context, &mut read))?;
            this.escaper.push(read.filled(), &mut this.waiting);
        }
        let waiting = this.waiting.get(this.taken..).unwrap_or_default();
        let fits = waiting.get(..buffer.remaining()).unwrap_or(waiting);
        buffer.put_slice(fits);
        this.taken += fits.len();
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Connection<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

/// Where in the stream of requests we are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    RequestLine,
    Headers,
    /// So many bytes of the body are left.
    Body(u64),
    /// Nothing is touched any more.
    Unknown,
}

#[derive(Debug, Default)]
struct Escaper {
    place: Place,
    /// The beginning of the header line that is being read.
    header: Vec<u8>,
    /// The body's length, as far as the headers have said.
    body_bytes: Option<u64>,
    /// Whether the body's length cannot be known.
    unknown: bool,
}

impl Escaper {
    /// Whether the next bytes, however many of these there are, are of no interest: the bulk of a large body.
    fn passes(&self, bytes: usize) -> bool {
        match self.place {
            Place::RequestLine | Place::Headers => false,
            Place::Body(left) => left > bytes as u64,
            Place::Unknown => true,
        }
    }

    /// Takes note of bytes that [`Escaper::passes`] was true for.
    fn passed(&mut self, bytes: usize) {
        if let Place::Body(left) = &mut self.place {
            *left -= bytes as u64;
        }
    }

    /// Appends the bytes, those of request lines escaped.
    fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some((byte, rest)) = bytes.split_first() {
            match self.place {
                Place::RequestLine => self.request_line(*byte, out),
                Place::Headers => {
                    out.push(*byte);
                    self.header_byte(*byte);
                }
                Place::Body(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX);
                    let (body, next) = bytes.split_at(here.min(bytes.len()));
                    out.extend_from_slice(body);
                    self.place = match left - body.len() as u64 {
                        0 => Place::RequestLine,
                        left => Place::Body(left),
                    };
                    bytes = next;
                    continue;
                }
                Place::Unknown => {
                    out.extend_from_slice(bytes);
                    return;
                }
            }
            bytes = rest;
        }
    }

    fn request_line(&mut self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            b'"' => out.extend_from_slice(b"%22"),
            b'<' => out.extend_from_slice(b"%3C"),
            b'>' => out.extend_from_slice(b"%3E"),
            byte => out.push(byte),
        }
        // Empty lines before a request are allowed.
        if byte == b'\n' && !self.header.is_empty() {
            self.header.clear();
            self.place = Place::Headers;
        } else if !matches!(byte, b'\r' | b'\n') && self.header.is_empty() {
            self.header.push(byte);
        }
    }

    fn header_byte(&mut self, byte: u8) {
        match byte {
            b'\n' => {
                let line = std::mem::take(&mut self.header);
                match line.trim_ascii() {
                    b"" => self.end_of_headers(),
                    line => self.header_line(line),
                }
            }
            byte if self.header.len() < HEADER_BYTES_MAX => self.header.push(byte),
            _ => {}
        }
    }

    fn header_line(&mut self, line: &[u8]) {
        let mut halves = line.splitn(2, |byte| *byte == b':');
        let name = halves.next().unwrap_or_default();
        let value = halves.next().unwrap_or_default().trim_ascii();
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        if is("transfer-encoding") || is("upgrade") {
            self.unknown = true;
        } else if is("content-length") {
            let digits = value.iter().all(u8::is_ascii_digit);
            let bytes = std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse::<u64>().ok());
            self.unknown |= !digits || bytes.is_none() || self.body_bytes.is_some();
            self.body_bytes = bytes;
        }
    }

    fn end_of_headers(&mut self) {
        let body_bytes = self.body_bytes.take().unwrap_or(0);
        self.place = match (self.unknown, body_bytes) {
            (true, _) => Place::Unknown,
            (false, 0) => Place::RequestLine,
            (false, bytes) => Place::Body(bytes),
        };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::AsyncReadExt;

    use super::*;

    /// The same for every way of cutting the stream into two.
    fn escaped(stream: &str) -> String {
        let mut whole = Vec::new();
        Escaper::default().push(stream.as_bytes(), &mut whole);
        for at in 0..stream.len() {
            let (first, second) = stream.as_bytes().split_at(at);
            let (mut escaper, mut out) = (Escaper::default(), Vec::new());
            escaper.push(first, &mut out);
            escaper.push(second, &mut out);
            assert_eq!(out, whole, "cut at {at}");
        }
        String::from_utf8(whole).unwrap()
    }

    #[test]
    fn request_lines_are_escaped_and_nothing_else() {
        assert_eq!(
            escaped(concat!(
                "GET /q?a{b=\"<c>\"} HTTP/1.1\r\nX: \"<>\"\r\n\r\n",
                "\r\nPOST /q?\" HTTP/1.1\r\ncontent-LENGTH:  4 \r\n\r\n\"\n\n>",
                "GET /\" HTTP/1.1\nHost: x\n\n",
            )),
            concat!(
                "GET /q?a{b=%22%3Cc%3E%22} HTTP/1.1\r\nX: \"<>\"\r\n\r\n",
                "\r\nPOST /q?%22 HTTP/1.1\r\ncontent-LENGTH:  4 \r\n\r\n\"\n\n>",
                "GET /%22 HTTP/1.1\nHost: x\n\n",
            )
        );
    }

    #[test]
    fn nothing_is_touched_after_a_body_of_unknown_length() {
        for header in [
            "Transfer-Encoding: chunked",
            "Upgrade: websocket",
            "Content-Length: +4",
            "Content-Length: 4, 4",
            "Content-Length: 4\r\nContent-Length: 4",
            "Content-Length: 99999999999999999999999",
        ] {
            let rest = "GET /\" HTTP/1.1\r\n\r\n";
            let request = format!("POST /\" HTTP/1.1\r\n{header}\r\n\r\n{rest}");
            assert_eq!(escaped(&request), request.replacen('"', "%22", 1));
        }
    }

    #[tokio::test]
    async fn a_small_reader_gets_everything() {
        let (target, body) = ("\"".repeat(3 * READ_BYTES), ">".repeat(1000));
        let request = format!(
            "POST /{target} HTTP/1.1\r\nContent-Length: 1000\r\n\r\n{body}GET /\" HTTP/1.1\r\n\r\n"
        );
        let mut connection = Connection {
            io: request.as_bytes(),
            escaper: Escaper::default(),
            waiting: Vec::new(),
            taken: 0,
        };
        let mut read = Vec::new();
        let mut some = [0; 7];
        loop {
            match connection.read(&mut some).await.unwrap() {
                0 => break,
                count => read.extend_from_slice(&some[..count]),
            }
        }
        assert_eq!(
            String::from_utf8(read).unwrap(),
            request.replace('"', "%22")
        );
    }
}
