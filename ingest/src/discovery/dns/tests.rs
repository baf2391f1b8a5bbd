//! Against a small name server in the test.
#![allow(clippy::unwrap_used)]

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr as _;
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, NS, SRV, TXT};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

use super::*;
use crate::discovery::tests::server::lines;

fn name(text: &str) -> Name {
    Name::from_str(text).unwrap()
}

/// What the server knows.
fn records(asked: &Name, kind: RecordType) -> Result<Vec<RData>, ResponseCode> {
    let host = |i: u8| RData::A(A(Ipv4Addr::new(10, 0, 0, i)));
    Ok(match (asked.to_ascii().as_str(), kind) {
        ("_web._tcp.org.", RecordType::SRV) => vec![
            RData::SRV(SRV::new(1, 1, 8080, name("a.org."))),
            RData::SRV(SRV::new(1, 1, 9090, name("b.org."))),
            RData::TXT(TXT::new(vec!["x".to_owned()])),
        ],
        ("host.corp.org.", RecordType::A) => {
            vec![RData::CNAME(CNAME(name("real.org."))), host(1), host(2)]
        }
        ("host.corp.org.", RecordType::AAAA) => {
            vec![RData::AAAA(AAAA("fd00::1".parse().unwrap()))]
        }
        ("org.", RecordType::MX) => vec![RData::MX(MX::new(10, name("mail.org.")))],
        ("org.", RecordType::NS) => vec![RData::NS(NS(name("ns1.org.")))],
        ("many.org.", RecordType::A) => (0..200).map(host).collect(),
        ("empty.org.", _) => Vec::new(),
        ("broken.org.", _) => return Err(ResponseCode::ServFail),
        _ => return Err(ResponseCode::NXDomain),
    })
}

fn answer(question: &[u8], bytes_max: usize) -> Vec<u8> {
    let question = Message::from_vec(question).unwrap();
    let query = question.queries[0].clone();
    let mut answer = Message::response(question.metadata.id, OpCode::Query);
    answer.add_query(query.clone());
    match records(query.name(), query.query_type()) {
        Ok(records) => {
            let name = query.name();
            let records = records.into_iter();
            answer.add_answers(records.map(|data| Record::from_rdata(name.clone(), 60, data)));
        }
        Err(code) => answer.metadata.response_code = code,
    }
    let bytes = answer.to_vec().unwrap();
    if bytes.len() <= bytes_max {
        return bytes;
    }
    answer.answers.clear();
    answer.metadata.truncation = true;
    answer.to_vec().unwrap()
}

/// A port that is free for both protocols: one that UDP has chosen may be somebody's for TCP.
async fn bind() -> (UdpSocket, TcpListener, SocketAddr) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = udp.local_addr().unwrap();
        if let Ok(tcp) = TcpListener::bind(address).await {
            return (udp, tcp, address);
        }
    }
}

/// Starts the server; gives its port, and the names that it was asked for.
async fn start() -> (u16, Arc<Mutex<Vec<String>>>) {
    let (udp, tcp, address) = bind().await;
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        loop {
            let (length, from) = udp.recv_from(&mut buffer).await.unwrap();
            let question = Message::from_vec(&buffer[..length]).unwrap();
            assert!(question.metadata.recursion_desired);
            log.lock()
                .unwrap()
                .push(question.queries[0].name().to_ascii());
            // First what is not an answer to this question.
            let stray = Message::response(question.metadata.id ^ 1, OpCode::Query);
            udp.send_to(&stray.to_vec().unwrap(), from).await.unwrap();
            let answer = answer(&buffer[..length], 512);
            udp.send_to(&answer, from).await.unwrap();
        }
    });
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = tcp.accept().await.unwrap();
            let length = stream.read_u16().await.unwrap();
            let mut question = vec![0; usize::from(length)];
            stream.read_exact(&mut question).await.unwrap();
            let answer = answer(&question, 65_535);
            stream.write_u16(answer.len() as u16).await.unwrap();
            stream.write_all(&answer).await.unwrap();
        }
    });
    (address.port(), asked)
}

struct Fixture {
    discovery: DnsDiscovery,
    asked: Arc<Mutex<Vec<String>>>,
    folder: tempfile::TempDir,
}

impl Fixture {
    async fn start(names: &[&str], record_type: RecordType) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config_file = folder.path().join("resolv.conf");
        // Nobody listens at the first address.
        let text = "nameserver 127.0.0.9\nnameserver 127.0.0.1\nsearch corp.org\n";
        std::fs::write(&config_file, text).unwrap();
        let (port, asked) = start().await;
        let discovery = DnsDiscovery {
            config: DnsConfig {
                names: names.iter().map(|&name| name.to_owned()).collect(),
                refresh_interval: Duration::from_secs(30),
                record_type: record_type.to_string(),
                port: 80,
            },
            record_type,
            resolver: Resolver { config_file, port },
            groups: BTreeMap::new(),
            failures: Failures::default(),
        };
        Self {
            discovery,
            asked,
            folder,
        }
    }

    async fn refresh(&mut self) -> Vec<TargetGroup> {
        self.discovery.refresh().await.unwrap()
    }
}

#[tokio::test]
async fn records_of_each_type_become_targets() {
    for (asked, kind, expected) in [
        (
            "_web._tcp.org",
            RecordType::SRV,
            vec![
                "__address__=a.org:8080",
                "name=_web._tcp.org",
                "srv_record_port=8080",
                "srv_record_target=a.org.",
                "__address__=b.org:9090",
                "name=_web._tcp.org",
                "srv_record_port=9090",
                "srv_record_target=b.org.",
            ],
        ),
        (
            "host",
            RecordType::A,
            vec![
                "__address__=10.0.0.1:80",
                "name=host",
                "__address__=10.0.0.2:80",
                "name=host",
            ],
        ),
        (
            "host",
            RecordType::AAAA,
            vec!["__address__=[fd00::1]:80", "name=host"],
        ),
        (
            "org.",
            RecordType::MX,
            vec![
                "__address__=mail.org:80",
                "mx_record_target=mail.org.",
                "name=org.",
            ],
        ),
        (
            "org.",
            RecordType::NS,
            vec![
                "__address__=ns1.org:80",
                "name=org.",
                "ns_record_target=ns1.org.",
            ],
        ),
        ("empty.org", RecordType::A, vec![]),
        ("unknown.org", RecordType::A, vec![]),
    ] {
        let mut fixture = Fixture::start(&[asked], kind).await;
        let groups = fixture.refresh().await;
        assert_eq!((groups.len(), groups[0].source.as_str()), (1, asked));
        let shown: Vec<_> = groups[0]
            .targets
            .iter()
            .flat_map(|target| lines(target, "__meta_dns_"))
            .collect();
        assert_eq!(shown, expected, "{asked} {kind}");
        assert_eq!(fixture.discovery.failures.total(), 0);
    }
}

#[tokio::test]
async fn long_answers_come_by_tcp() {
    let mut fixture = Fixture::start(&["many.org."], RecordType::A).await;
    assert_eq!(fixture.refresh().await[0].targets.len(), 200);
}

#[tokio::test]
async fn search_domains_are_tried_in_order() {
    let mut fixture = Fixture::start(&["host", "a.b"], RecordType::A).await;
    fixture.refresh().await;
    let mut asked = fixture.asked.lock().unwrap().clone();
    asked.sort();
    // The first one has no dot, so that it is not tried as it is before it is found.
    assert_eq!(asked, ["a.b.", "a.b.corp.org.", "host.corp.org."]);
}

#[tokio::test]
async fn a_name_that_cannot_be_looked_up_keeps_its_targets() {
    let mut fixture = Fixture::start(&["many.org.", "broken.org."], RecordType::A).await;
    let groups = fixture.refresh().await;
    assert_eq!(groups.len(), 1);
    assert_eq!(fixture.discovery.failures.total(), 1);
    std::fs::write(fixture.folder.path().join("resolv.conf"), "").unwrap();
    assert_eq!(fixture.refresh().await, groups);
    assert_eq!(fixture.discovery.failures.total(), 3);
}
