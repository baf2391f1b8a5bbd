#![allow(clippy::unwrap_used)]
//! Against a server of our own, which speaks ZooKeeper's protocol and knows the nodes that it is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

use super::*;
use crate::discovery::tests::config::{entry, refused, shown};
use crate::discovery::tests::server::{discovery, lines};

#[derive(Clone)]
struct Server {
    address: String,
    nodes: Arc<Mutex<BTreeMap<String, String>>>,
    changes: broadcast::Sender<String>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap().to_string(),
            nodes: Arc::default(),
            changes: broadcast::channel(16).0,
        };
        let accepting = server.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(accepting.clone().serve(stream));
            }
        });
        server
    }

    fn put(&self, path: &str, data: &str) {
        self.nodes
            .lock()
            .unwrap()
            .insert(path.to_owned(), data.to_owned());
    }

    /// Tells of a change.
    fn change(&self, path: &str) {
        let _ = self.changes.send(path.to_owned());
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut changes = self.changes.subscribe();
        loop {
            tokio::select! {
                length = stream.read_u32() => {
                    let Ok(length) = length else { return };
                    let mut request = vec![0; length as usize];
                    stream.read_exact(&mut request).await.unwrap();
                    let answer = self.answer(&request);
                    stream.write_u32(u32::try_from(answer.len()).unwrap()).await.unwrap();
                    stream.write_all(&answer).await.unwrap();
                }
                path = changes.recv() => {
                    let path = path.unwrap();
                    if path.is_empty() {
                        return;
                    }
                    let mut event = BytesMut::new();
                    event.put_i32(-1);
                    event.put_i64(-1);
                    event.put_i32(0);
                    event.put_i32(3);
                    event.put_i32(3);
                    event.put_i32(i32::try_from(path.len()).unwrap());
                    event.put_slice(path.as_bytes());
                    stream.write_u32(u32::try_from(event.len()).unwrap()).await.unwrap();
                    stream.write_all(&event).await.unwrap();
                }
            }
        }
    }

    fn answer(&self, mut request: &[u8]) -> BytesMut {
        let mut answer = BytesMut::new();
        let number = request.get_i32();
        if request.len() == 40 && number == 0 {
            // A session. The timeout is short, so that pings are seen.
            answer.put_i32(0);
            answer.put_i32(300);
            answer.put_i64(7);
            answer.put_i32(16);
            answer.put_bytes(0, 16);
            return answer;
        }
        let operation = request.get_i32();
        let mut header = |code| {
            answer.put_i32(number);
            answer.put_i64(1);
            answer.put_i32(code);
        };
        if operation == 11 {
            header(0);
            return answer;
        }
        let length = usize::try_from(request.get_i32()).unwrap();
        let path = String::from_utf8(request[..length].to_vec()).unwrap();
        assert_eq!(request[length..], [1], "a watch is wanted");
        let nodes = self.nodes.lock().unwrap();
        let Some(data) = nodes.get(&path) else {
            header(-101);
            return answer;
        };
        header(0);
        let texts = match operation {
            4 => vec![data.clone()],
            8 => {
                let below = nodes
                    .keys()
                    .filter_map(|node| node.strip_prefix(&format!("{path}/")));
                let children: Vec<_> = below
                    .filter(|name| !name.contains('/'))
                    .map(str::to_owned)
                    .collect();
                answer.put_i32(i32::try_from(children.len()).unwrap());
                children
            }
            other => unreachable!("{other}"),
        };
        for text in texts {
            match text.is_empty() {
                true => answer.put_i32(-1),
                false => {
                    answer.put_i32(i32::try_from(text.len()).unwrap());
                    answer.put_slice(text.as_bytes());
                }
            }
        }
        answer.put_bytes(0, 68);
        answer
    }
}

#[test]
fn the_configurations_are_checked_and_shown() {
    for kind in ["serverset", "nerve"] {
        refused(
            kind,
            &[
                (
                    "{}",
                    &format!("{kind} SD config must contain at least one Zookeeper server"),
                ),
                (
                    "{servers: [a]}",
                    &format!("{kind} SD config must contain at least one path"),
                ),
                (
                    "{servers: [a], paths: [/a, b]}",
                    &format!("{kind} SD config paths must begin with '/': b"),
                ),
            ],
        );
        shown(
            kind,
            "{servers: [a], paths: [/b]}",
            "- servers:\n  - a\n  paths:\n  - /b\n  timeout: 10s",
        );
    }
}

#[tokio::test]
async fn members_are_targets_and_changes_are_seen() {
    let server = Server::start().await;
    server.put("/s", "");
    server.put("/s/job", "not JSON");
    server.put(
        "/s/job/member_1",
        r#"{"serviceEndpoint": {"host": "h", "port": 80}, "additionalEndpoints": {"a-b": {"host": "i", "port": 81}}, "status": "ALIVE", "shard": 3}"#,
    );
    let settings = format!(
        "{{servers: ['nobody.invalid', '{}'], paths: [/s, /t]}}",
        server.address
    );
    let mut discovery = discovery(&entry("serverset", &settings));
    let groups = discovery.refresh().await.unwrap();
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].source, "/s/job/member_1");
    assert_eq!(
        lines(&groups[0].targets[0], "__meta_serverset_"),
        [
            "__address__=h:80",
            "endpoint_host=h",
            "endpoint_host_a_b=i",
            "endpoint_port=80",
            "endpoint_port_a_b=81",
            "path=/s/job/member_1",
            "shard=3",
            "status=ALIVE",
        ]
    );
    // Longer than the session lives without pings; and a change that comes when nobody is waiting.
    let second = Duration::from_secs(1);
    assert!(
        tokio::time::timeout(second, discovery.changed())
            .await
            .is_err()
    );
    server.put(
        "/s/job/member_2",
        r#"{"serviceEndpoint": {"host": "j", "port": 82}}"#,
    );
    server.change("/s/job");
    tokio::time::timeout(5 * second, discovery.changed())
        .await
        .unwrap();
    assert_eq!(discovery.refresh().await.unwrap().len(), 2);
    // The connection ends.
    server.change("");
    tokio::time::timeout(5 * second, discovery.changed())
        .await
        .unwrap();
    assert_eq!(discovery.refresh().await.unwrap().len(), 2);
}

#[tokio::test]
async fn members_of_nerve_are_targets() {
    let server = Server::start().await;
    server.put("/n", "");
    server.put("/n/one", r#"{"host": "::1", "port": 80, "name": "x"}"#);
    let settings = format!("{{servers: ['{}'], paths: [/n]}}", server.address);
    let groups = discovery(&entry("nerve", &settings))
        .refresh()
        .await
        .unwrap();
    assert_eq!(
        lines(&groups[0].targets[0], "__meta_nerve_"),
        [
            "__address__=[::1]:80",
            "endpoint_host=::1",
            "endpoint_name=x",
            "endpoint_port=80",
            "path=/n/one",
        ]
    );
    let nowhere = entry("nerve", "{servers: ['127.0.0.1:1'], paths: [/n]}");
    let error = discovery(&nowhere).refresh().await.unwrap_err().to_string();
    assert!(error.starts_with("127.0.0.1:1: "), "{error}");
}
