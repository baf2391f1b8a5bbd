//! A question to a server, and its answer.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket, lookup_host};

/// How long a server may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The size of a datagram that servers are told to fit their answers into.
const DATAGRAM_BYTES: u16 = 4096;

/// Asks one server after the other until one answers that it knows the name (with its records) or that the name does not exist
/// (`None`). Whatever else a server says is as good as no answer.
pub(super) async fn lookup_from_any_server(
    name: &str,
    record_type: RecordType,
    servers: &[String],
    port: u16,
) -> Result<Option<Vec<Record>>, String> {
    let parsed = Name::from_ascii(name).map_err(|error| format!("{name}: {error}"))?;
    for server in servers {
        let asked = async {
            let address = address_of(server, port).await?;
            ask(&parsed, record_type, address).await
        };
        let answer = match asked.await {
            Ok(answer) => answer,
            Err(reason) => {
                tracing::warn!(server, name, reason, "DNS resolution failed");
                continue;
            }
        };
        match answer.metadata.response_code {
            ResponseCode::NoError => return Ok(Some(answer.answers)),
            ResponseCode::NXDomain => return Ok(None),
            code => tracing::debug!(server, name, %code, "no viable answer"),
        }
    }
    Err(format!(
        "could not resolve {name}: no servers returned a viable answer"
    ))
}

async fn address_of(server: &str, port: u16) -> Result<SocketAddr, String> {
    if let Ok(ip) = server.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, port));
    }
    // An address with a zone, which only the system can read.
    let mut found = lookup_host((server, port)).await.map_err(text)?;
    found
        .next()
        .ok_or_else(|| format!("{server} has no address"))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Asks by datagram, and again by TCP where the answer does not fit.
async fn ask(name: &Name, record_type: RecordType, server: SocketAddr) -> Result<Message, String> {
    let answer = tokio::time::timeout(TIMEOUT, ask_udp(name, record_type, server));
    let answer = answer.await.map_err(|_| "i/o timeout".to_owned())??;
    if !answer.metadata.truncation {
        return Ok(answer);
    }
    let answer = tokio::time::timeout(TIMEOUT, ask_tcp(name, record_type, server));
    let answer = answer.await.map_err(|_| "i/o timeout".to_owned())??;
    if answer.metadata.truncation {
        return Err("got truncated message on TCP (64kiB limit exceeded?)".to_owned());
    }
    Ok(answer)
}

fn question(name: &Name, record_type: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.clone(), record_type));
    message
}

async fn ask_udp(
    name: &Name,
    record_type: RecordType,
    server: SocketAddr,
) -> Result<Message, String> {
    let mut question = question(name, record_type);
    let mut edns = Edns::new();
    edns.set_max_payload(DATAGRAM_BYTES).set_version(0);
    question.set_edns(edns);
    let local: SocketAddr = match server {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(local).await.map_err(text)?;
    socket.connect(server).await.map_err(text)?;
    let bytes = question.to_vec().map_err(text)?;
    socket.send(&bytes).await.map_err(text)?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(text)?;
        let received = buffer.get(..length).unwrap_or_default();
        match Message::from_vec(received) {
            Ok(answer) if answers(&answer, &question) => return Ok(answer),
            // A late answer to another question, or somebody's guess.
            Ok(_) => {}
            Err(error) => return Err(text(error)),
        }
    }
}

async fn ask_tcp(
    name: &Name,
    record_type: RecordType,
    server: SocketAddr,
) -> Result<Message, String> {
    let question = question(name, record_type);
    let mut stream = TcpStream::connect(server).await.map_err(text)?;
    let bytes = question.to_vec().map_err(text)?;
    let length = u16::try_from(bytes.len()).map_err(text)?;
    let framed = [&length.to_be_bytes()[..], &bytes].concat();
    stream.write_all(&framed).await.map_err(text)?;
    let length = stream.read_u16().await.map_err(text)?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await.map_err(text)?;
    let answer = Message::from_vec(&bytes).map_err(text)?;
    match answers(&answer, &question) {
        true => Ok(answer),
        false => Err("the answer is to another question".to_owned()),
    }
}

fn answers(answer: &Message, question: &Message) -> bool {
    answer.metadata.id == question.metadata.id
        && answer.metadata.message_type == MessageType::Response
        && (answer.queries.is_empty() || answer.queries == question.queries)
}
