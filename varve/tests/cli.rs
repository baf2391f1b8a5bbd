//! The built binary, as a user runs it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn varve(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_varve"));
    command.args(arguments);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("VARVE_")) {
        command.env_remove(name);
    }
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

/// A server on a port of its own that is killed with the test.
struct Server {
    child: Child,
    url: String,
    log: std::thread::JoinHandle<String>,
}

impl Server {
    fn start(storage: &Path, more: &[&str]) -> Server {
        let mut arguments = vec!["serve", "--web.listen-address=127.0.0.1:0", "--storage.url"];
        arguments.push(storage.to_str().unwrap());
        arguments.push("--storage.flush-interval=200ms");
        arguments.extend(more);
        let mut child = command(&arguments).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut seen = String::new();
        let url = loop {
            let mut line = String::new();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "not ready: {seen}");
            seen.push_str(&line);
            if let Some((_, rest)) = line.split_once("msg=ready url=") {
                break rest.split_whitespace().next().unwrap().to_owned();
            }
        };
        let log = std::thread::spawn(move || {
            std::io::Read::read_to_string(&mut log, &mut seen).unwrap();
            seen
        });
        Server { child, url, log }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Asks until the answer is what `wanted` wants.
    fn ask(&self, arguments: &[&str], wanted: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        let url = format!("--url={}", self.url);
        loop {
            let output = varve(&[arguments, &[&url]].concat());
            let text = stdout(&output);
            if output.status.success() && wanted(&text) {
                return text;
            }
            let waited = began.elapsed();
            assert!(
                waited < Duration::from_secs(60),
                "{arguments:?}: {text}{}",
                stderr(&output)
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The exit code and the log.
    fn stop(mut self) -> (i32, String) {
        self.signal("TERM");
        let code = self.child.wait().unwrap().code().expect("an exit code");
        (code, self.log.join().unwrap())
    }
}

#[test]
fn the_command_line_explains_itself() {
    let output = varve(&["version"]);
    assert_eq!(code(&output), 0);
    assert!(
        stdout(&output).starts_with("varve 0."),
        "{}",
        stdout(&output)
    );
    for wrong in [
        &["nonsense"][..],
        &["serve", "--no-such-flag"],
        &["query", "instant"],
    ] {
        assert_eq!(code(&varve(wrong)), 2, "{wrong:?}");
    }
    assert_eq!(
        code(&varve(&["query", "instant", "up", "--url=ftp://x"])),
        2
    );
    assert_eq!(code(&varve(&["serve", "--storage.url=gopher://x"])), 2);
}

#[test]
fn a_configuration_is_checked_as_promtool_does() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("good.yml");
    std::fs::write(&good, "scrape_configs:\n- job_name: a\n").unwrap();
    let bad = folder.path().join("bad.yml");
    std::fs::write(&bad, "global:\n  scrape_intervall: 15s\n").unwrap();
    let (good, bad) = (good.to_str().unwrap(), bad.to_str().unwrap());

    let output = varve(&["check", "config", good]);
    assert_eq!(code(&output), 0);
    assert_eq!(
        stdout(&output),
        format!("Checking {good}\n SUCCESS: {good} is valid prometheus config file syntax\n\n")
    );
    let output = varve(&["check", "config", good, bad]);
    assert_eq!(code(&output), 1);
    let complaint = stderr(&output);
    assert!(
        complaint.contains("FAILED") && complaint.contains("scrape_intervall"),
        "{complaint}"
    );
    assert!(
        complaint.contains(bad) && complaint.contains('2'),
        "{complaint}"
    );

    // What only the attempt to make a client shows is found too.
    let unreadable = folder.path().join("unreadable.yml");
    let job = "scrape_configs:\n- job_name: j\n  tls_config: {ca_file: /no/such/file}\n";
    std::fs::write(&unreadable, job).unwrap();
    let output = varve(&["check", "config", unreadable.to_str().unwrap()]);
    assert_eq!(code(&output), 1);
    let complaint = stderr(&output);
    assert!(
        complaint.contains("job \"j\"") && complaint.contains("/no/such/file"),
        "{complaint}"
    );

    // `serve` refuses it in the same words.
    let output = varve(&[
        "serve",
        "--config.file",
        bad,
        "--web.listen-address=127.0.0.1:0",
    ]);
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).contains("scrape_intervall"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn failures_say_what_to_do() {
    let output = varve(&["query", "instant", "up", "--url=http://127.0.0.1:1"]);
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).contains("varve serve"),
        "{}",
        stderr(&output)
    );

    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let missing = format!("--storage.url={}", missing.display());
    for command in [
        &["query", "instant", "up"][..],
        &["storage", "ls"],
        &["compact"],
    ] {
        let output = varve(&[command, &[&missing]].concat());
        assert_eq!(code(&output), 1, "{command:?}");
        assert!(
            stderr(&output).contains("varve storage init"),
            "{}",
            stderr(&output)
        );
    }

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("--web.listen-address={}", taken.local_addr().unwrap());
    let output = varve(&["serve", &address, "--storage.url=memory://"]);
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).contains("--web.listen-address"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn everything_scraped_can_be_asked_for_after_the_server_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let storage = folder.path().join("data");
    // The server scrapes itself; its port is known only when it runs, so the built-in configuration is shortened by hand.
    let server = Server::start(&storage, &["--web.enable-lifecycle"]);
    // A Node Exporter on this machine, if there is one, may be scraped first.
    server.ask(&["query", "instant", "up"], |text| {
        text.contains("job=\"varve\"")
    });
    let metrics = server.ask(
        &["query", "instant", "varve_build_info", "-o", "promql"],
        |text| text.contains("version="),
    );
    assert!(metrics.contains(" => 1 @["), "{metrics}");
    let json = server.ask(&["query", "instant", "1 + 1", "-o", "json"], |_| true);
    assert!(
        json.contains(r#""resultType":"scalar""#) && json.contains(r#","2"]"#),
        "{json}"
    );
    let url = format!("--url={}", server.url);
    let output = varve(&["query", "instant", "up{", &url]);
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).contains("parse error"),
        "{}",
        stderr(&output)
    );
    let output = varve(&[
        "query",
        "instant",
        "no_such_metric",
        "--fail-on-empty",
        &url,
    ]);
    assert_eq!(code(&output), 1);
    let output = varve(&[
        "query",
        "instant",
        "no_such_metric",
        "-o",
        "csv",
        "--stats",
        &url,
    ]);
    assert_eq!(
        (code(&output), stdout(&output).as_str()),
        (0, "time,value\n")
    );
    assert!(stderr(&output).contains("requests"), "{}", stderr(&output));

    let (code_of_server, log) = server.stop();
    assert_eq!(code_of_server, 0, "{log}");
    assert!(log.contains("everything scraped is stored"), "{log}");

    let storage = format!("--storage.url={}", storage.display());
    let labels = ["query", "label-values", "job", "up"];
    let output = varve(&[&labels[..], &[&storage]].concat());
    assert!(
        stdout(&output).contains("varve\n"),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
    let count = [
        "query",
        "instant",
        "count_over_time(up{job=\"varve\"}[1h])",
        "-o",
        "csv",
    ];
    let from_wal = stdout(&varve(&[&count[..], &[&storage]].concat()));

    let output = varve(&["compact", &storage]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("segments"), "{}", stdout(&output));
    let from_table = stdout(&varve(&[&count[..], &[&storage]].concat()));
    let value = |csv: &str| csv.trim_end().rsplit(',').next().map(str::to_owned);
    assert!(value(&from_wal).is_some_and(|value| value.parse::<f64>().is_ok_and(|v| v >= 1.0)));
    assert_eq!(value(&from_wal), value(&from_table));

    let output = varve(&["storage", "ls", "-o", "csv", &storage]);
    let list = stdout(&output);
    assert!(
        list.lines().any(|line| line.starts_with("samples,")),
        "{list}"
    );
    assert!(list.lines().any(|line| line.starts_with("wal,")), "{list}");
    assert_eq!(code(&varve(&["storage", "check", &storage])), 0);
}

#[test]
fn a_broken_configuration_leaves_the_old_one_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prometheus.yml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("scrape_configs:\n- job_name: first\n");
    let config = format!("--config.file={}", file.display());
    let server = Server::start(&folder.path().join("data"), &[&config]);

    write("scrape_configs: nonsense\n");
    server.signal("HUP");
    let failed = "varve_config_last_reload_successful";
    // The old configuration scrapes nothing, so the metric is read where it is served.
    let address = server
        .url
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned();
    let served = |path: &str| {
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut stream, &mut text).unwrap();
        text
    };
    let until = |wanted: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !wanted() {
            assert!(began.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    until(&|| served("/metrics").contains(&format!("{failed} 0\n")));
    assert!(served("/api/v1/status/config").contains("job_name: first"));

    write("scrape_configs:\n- job_name: second\n");
    server.signal("HUP");
    until(&|| served("/api/v1/status/config").contains("job_name: second"));
    assert!(served("/metrics").contains(&format!("{failed} 1\n")));
    let (code, log) = server.stop();
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("the old one stays"), "{log}");
}
