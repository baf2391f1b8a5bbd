//! What a target exposes: rendered once, with places where the numbers of the moment go.
//!
//! Every number is a function of its target, its series and the second, so that a million series need no memory. Of ten series four stay as
//! they are, as most of an idle program's do, four are counters that rise, one is a gauge of whole numbers and one of decimals.
//! A number has the same width at all times, so that nothing around it moves.

use std::fmt::Write as _;
use std::str::FromStr;

/// Series of a family.
const FAMILY_SERIES: u32 = 40;

/// How targets answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Protobuf,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "protobuf" => Ok(Self::Protobuf),
            _ => Err(format!("there is no format {text:?}")),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Constant,
    Counter,
    Gauge,
    Decimal,
}

impl Kind {
    fn of(series: u32) -> Self {
        match series % 10 {
            0..=3 => Self::Constant,
            4..=7 => Self::Counter,
            8 => Self::Gauge,
            _ => Self::Decimal,
        }
    }
}

/// Where a number goes.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: usize,
    series: u32,
    kind: Kind,
    /// Digits; of decimals those behind the point.
    width: u32,
}

/// The exposition that all targets share but for its numbers.
#[derive(Debug)]
pub(super) struct Exposition {
    format: Format,
    template: Vec<u8>,
    places: Vec<Place>,
}

/// Bits that have nothing to do with those of any other arguments (splitmix64).
fn mix(a: u64, b: u64) -> u64 {
    let mut bits = a.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(b);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A whole number of `place.width` digits.
fn number(place: &Place, target: u32, second: u64) -> u64 {
    let first = 10_u64.pow(place.width - 1);
    let seed = mix(u64::from(target), u64::from(place.series));
    let grown = match place.kind {
        Kind::Constant => 0,
        // Busy counters and slow ones; none runs over within hours.
        Kind::Counter => second * (1 + seed % (first / 10_000).max(2)),
        Kind::Gauge | Kind::Decimal => mix(seed, second) % (first / 4).max(2),
    };
    first + (seed / 7 + grown) % (9 * first)
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number as u8) | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A field of bytes in a message of protobuf.
fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push((number << 3) | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The labels of a series; long enough to be like others.
fn labels(series: u32) -> [(&'static str, String); 3] {
    let methods = ["GET", "POST", "PUT", "DELETE"];
    let method = methods[series as usize % methods.len()];
    [
        ("code", format!("{}", 200 + 100 * (series % 3))),
        (
            "handler",
            format!("/api/v1/resource/{:05}", series % FAMILY_SERIES),
        ),
        ("method", method.to_owned()),
    ]
}

/// The families: each with its name, its type and its series. Families hold series of one kind, as far as there are enough.
fn families(series: u32) -> impl Iterator<Item = (String, Kind, std::ops::Range<u32>)> {
    (0..series.div_ceil(FAMILY_SERIES)).map(move |family| {
        let range = family * FAMILY_SERIES..series.min((family + 1) * FAMILY_SERIES);
        let kind = Kind::of(family % 10);
        let suffix = match kind {
            Kind::Constant | Kind::Counter => "requests_total",
            Kind::Gauge => "queue_length",
            Kind::Decimal => "latency_seconds",
        };
        (format!("load_{family:03}_{suffix}"), kind, range)
    })
}

impl Exposition {
    pub(super) fn new(series: u32, format: Format) -> Self {
        let mut exposition = Self {
            format,
            template: Vec::new(),
            places: Vec::new(),
        };
        for (name, kind, range) in families(series) {
            // A target of few series has all kinds in its one family.
            let few = series < 10 * FAMILY_SERIES;
            let places = range.map(|series| Place {
                at: 0,
                series,
                kind: if few { Kind::of(series) } else { kind },
                width: 3 + series % 7,
            });
            let counter = matches!(kind, Kind::Constant | Kind::Counter);
            match format {
                Format::Text => exposition.text_family(&name, counter, places),
                Format::Protobuf => exposition.protobuf_family(&name, counter, places),
            }
        }
        exposition
    }

    fn text_family(&mut self, name: &str, counter: bool, places: impl Iterator<Item = Place>) {
        let mut text = String::new();
        let kind = if counter { "counter" } else { "gauge" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {name} What the load of a test counts.");
        let _ = writeln!(text, "# TYPE {name} {kind}");
        self.template.extend_from_slice(text.as_bytes());
        for mut place in places {
            let [a, b, c] = labels(place.series).map(|(name, value)| format!("{name}=\"{value}\""));
            let before = format!("{name}{{{a},{b},{c}}} ");
            self.template.extend_from_slice(before.as_bytes());
            if place.kind == Kind::Decimal {
                self.template.extend_from_slice(b"0.");
            }
            place.at = self.template.len();
            let end = place.at + place.width as usize;
            self.template.resize(end, b'0');
            self.template.push(b'\n');
            self.places.push(place);
        }
    }

    fn protobuf_family(&mut self, name: &str, counter: bool, places: impl Iterator<Item = Place>) {
        let mut family = Vec::new();
        field(&mut family, 1, name.as_bytes());
        field(&mut family, 2, b"What the load of a test counts.");
        family.extend_from_slice(&[3 << 3, u8::from(!counter)]);
        let mut found = Vec::new();
        for mut place in places {
            let mut metric = Vec::new();
            for (name, value) in labels(place.series) {
                let mut pair = Vec::new();
                field(&mut pair, 1, name.as_bytes());
                field(&mut pair, 2, value.as_bytes());
                field(&mut metric, 1, &pair);
            }
            let mut value = vec![(1 << 3) | 1];
            value.extend_from_slice(&[0; 8]);
            field(&mut metric, if counter { 3 } else { 2 }, &value);
            field(&mut family, 4, &metric);
            place.at = family.len() - 8;
            found.push(place);
        }
        varint(&mut self.template, family.len() as u64);
        let start = self.template.len();
        self.template.extend_from_slice(&family);
        self.places.extend(found.into_iter().map(|place| Place {
            at: start + place.at,
            ..place
        }));
    }

    /// The size of a body.
    pub(super) fn bytes(&self) -> usize {
        self.template.len()
    }

    pub(super) fn content_type(&self) -> &'static str {
        match self.format {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// What a target exposes at a second.
    pub(super) fn render(&self, target: u32, second: u64) -> Vec<u8> {
        let mut body = self.template.clone();
        for place in &self.places {
            let mut number = number(place, target, second);
            let (start, width) = (place.at, place.width as usize);
            if self.format == Format::Protobuf {
                let scale = match place.kind {
                    Kind::Decimal => 10_f64.powi(place.width as i32),
                    _ => 1.0,
                };
                let bytes = (number as f64 / scale).to_le_bytes();
                body[start..start + 8].copy_from_slice(&bytes);
                continue;
            }
            for digit in body[start..start + width].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        body
    }
}
