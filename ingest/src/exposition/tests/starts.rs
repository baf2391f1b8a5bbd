//! Start timestamps of OpenMetrics.

use crate::exposition::notes::Notes;
use crate::exposition::{Format, ReadOptions, read};

const STARTS: ReadOptions = ReadOptions {
    native_histograms: false,
    classic_histograms: false,
    convert_classic_histograms: false,
    start_timestamps: true,
};

fn samples(body: &str, options: ReadOptions) -> Vec<String> {
    let body = format!("{body}# EOF\n");
    let mut notes = Notes::default();
    read(body.as_bytes(), Format::OpenMetrics, &options, &mut notes).unwrap();
    notes.lines.retain(|line| line.starts_with("__name__"));
    notes.lines
}

#[test]
fn a_created_line_says_since_when() {
    let body = "# TYPE c counter\nc_total 1 # {a=\"b\"} 2\nc_created 1.5\nc_total{x=\"1\"} 2\nc_created{x=\"1\"} 2.5\n";
    assert_eq!(
        samples(body, STARTS),
        [
            r#"__name__=c_total 1.0 since 1500 # [("a", "b")] 2 None"#,
            r#"__name__=c_total,x=1 2.0 since 2500"#,
        ]
    );
    // Without the option it is a series like others.
    let plain = samples(body, ReadOptions::default());
    assert_eq!(plain.len(), 4);
    assert_eq!(plain[1], "__name__=c_created 1.5");
}

#[test]
fn all_series_of_a_metric_have_its_start() {
    let body = "# TYPE s summary\ns{quantile=\"0.5\",x=\"1\"} 1\ns_count{x=\"1\"} 1\ns_created{x=\"1\"} 3\ns_sum{x=\"1\"} 2\n\
                # TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_created 4\nh_count 1\n";
    let lines = samples(body, STARTS);
    assert_eq!(lines.len(), 7);
    let (summary, histogram) = lines.split_at(3);
    assert!(summary.iter().all(|line| line.ends_with("since 3000")));
    assert!(histogram.iter().all(|line| line.ends_with("since 4000")));
    let names = "# TYPE \"q.r\" counter\n{\"q.r_total\",a=\"b\"} 1\n{\"q.r_created\",a=\"b\"} 9\n";
    assert_eq!(
        samples(names, STARTS),
        ["__name__=q.r_total,a=b 1.0 since 9000"]
    );
}

#[test]
fn what_is_not_its_own_says_nothing() {
    for (body, expected) in [
        // Other labels, and another family's name.
        (
            "# TYPE c counter\nc_total{x=\"1\"} 1\nc_created{x=\"2\"} 5\n",
            "__name__=c_total,x=1 1.0",
        ),
        (
            "# TYPE c counter\nc_total 1\nd_created 5\n",
            "__name__=c_total 1.0",
        ),
        // Behind metadata, or behind the end.
        (
            "# TYPE c counter\nc_total 1\n# TYPE c counter\nc_created 5\n",
            "__name__=c_total 1.0",
        ),
        ("# TYPE c counter\nc_total 1\n", "__name__=c_total 1.0"),
        // A name that is shorter than its family's.
        (
            "# TYPE counter counter\nc 1\ncounter_created 5\n",
            "__name__=c 1.0",
        ),
    ] {
        assert_eq!(samples(body, STARTS), [expected], "{body}");
    }
    // A gauge has no start, and its series may be called as they like.
    assert_eq!(
        samples("# TYPE g gauge\ng 1\ng_created 2\n", STARTS),
        ["__name__=g 1.0", "__name__=g_created 2.0"]
    );
    // A start ends with the next series that has none.
    let body = "# TYPE c counter\nc_created 5\nc_total 1\nc_total{x=\"1\"} 1\nc_total 1\n";
    let lines = samples(body, STARTS);
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| !line.contains("since")));
    // One that was found ahead stays known behind its line.
    let body = "# TYPE c counter\nc_total 1\nc_created 5\nc_total 2\n";
    let lines = samples(body, STARTS);
    assert!(lines.iter().all(|line| line.ends_with("since 5000")));
}

#[test]
fn converted_histograms_have_starts_too() {
    let options = ReadOptions {
        convert_classic_histograms: true,
        ..STARTS
    };
    let body = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_created 4\nh_count 1\n# TYPE c counter\nc_total 1\nc_created 5\n";
    assert_eq!(
        samples(body, options),
        [
            "__name__=h schema -53 count 1 Unknown [1.0] since 4000",
            "__name__=c_total 1.0 since 5000",
        ]
    );
}

#[test]
fn many_series_without_a_start_are_read_in_one_go() {
    // Looking ahead anew for each would take 10^10 steps.
    let mut body = String::from("# TYPE c counter\n");
    for i in 0..100_000 {
        body.push_str(&format!("c_total{{i=\"{i}\"}} 1\n"));
    }
    body.push_str("c_created{i=\"99999\"} 7\n");
    let lines = samples(&body, STARTS);
    assert_eq!(lines.len(), 100_000);
    let started = lines.iter().filter(|line| line.ends_with("since 7000"));
    assert_eq!(started.count(), 1);
}

#[test]
fn an_expected_series_is_recognized() {
    let body = b"# TYPE c counter\nc_total 1\nc_created 5\n# EOF\n";
    let mut notes = Notes {
        expected: b"c_total".to_vec(),
        ..Notes::default()
    };
    read(body, Format::OpenMetrics, &STARTS, &mut notes).unwrap();
    assert_eq!(
        notes.lines,
        ["type c counter", "__name__=c_total 1.0 since 5000 expected"]
    );
}
