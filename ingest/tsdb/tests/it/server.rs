//! A target for a real Prometheus, with all that a head can hold.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::{SystemTime, UNIX_EPOCH};

/// Serves until the process ends: counters, a classic histogram, series that come and go, and samples out of order.
pub(crate) fn serve() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (number, stream) in (0i64..).zip(listener.incoming().flatten()) {
            let mut stream = stream;
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let body = text(number);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(body.as_bytes());
        }
    });
    address
}

fn text(number: i64) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as i64;
    let mut text = String::new();
    text.push_str("# HELP requests Requests.\n# TYPE requests counter\n");
    let total = number % 40;
    text.push_str(&format!(
        "requests_total{{code=\"200\"}} {total} # {{trace_id=\"{number}\"}} 0.5\n"
    ));
    text.push_str("# TYPE duration_seconds histogram\n# UNIT duration_seconds seconds\n");
    for (le, times) in [("0.1", 1), ("1.0", 2), ("+Inf", 3)] {
        text.push_str(&format!(
            "duration_seconds_bucket{{le=\"{le}\"}} {}\n",
            times * total
        ));
    }
    text.push_str(&format!(
        "duration_seconds_count {}\nduration_seconds_sum {}\n",
        3 * total,
        0.7 * total as f64
    ));
    text.push_str("# TYPE late gauge\n");
    // Every third sample is older than the one before.
    let late = if number % 3 == 2 { 4_500 } else { 0 };
    let time = now - late;
    text.push_str(&format!(
        "late {number} {}.{:03}\n",
        time / 1000,
        time % 1000
    ));
    text.push_str("# TYPE flaky gauge\n");
    for series in 0..20 {
        if (number / 10 + series) % 3 != 0 {
            text.push_str(&format!("flaky{{series=\"{series}\"}} {number}\n"));
        }
    }
    text + "# EOF\n"
}
