//! Bodies of requests: decompressed within a limit.

use std::io::Read;

use axum::http::StatusCode;
use flate2::read::MultiGzDecoder;

use super::routes::Refused;

/// Undoes snappy's block format. The length that the body declares is checked before anything is allocated.
pub(super) fn from_snappy(body: &[u8], bytes_max: usize) -> Result<Vec<u8>, Refused> {
    let invalid = |error: snap::Error| Refused {
        status: StatusCode::BAD_REQUEST,
        message: format!("snappy: corrupt input: {error}"),
    };
    let bytes = snap::raw::decompress_len(body).map_err(invalid)?;
    if bytes > bytes_max {
        return Err(Refused::too_large(bytes_max));
    }
    snap::raw::Decoder::new()
        .decompress_vec(body)
        .map_err(invalid)
}

/// Undoes snappy's format of frames, which files and the Pushgateway have.
pub(super) fn from_snappy_frames(body: &[u8], bytes_max: usize) -> Result<Vec<u8>, Refused> {
    within(snap::read::FrameDecoder::new(body), "snappy", bytes_max)
}

/// Undoes gzip.
pub(super) fn from_gzip(body: &[u8], bytes_max: usize) -> Result<Vec<u8>, Refused> {
    within(MultiGzDecoder::new(body), "gzip", bytes_max)
}

/// All that a decoder gives, unless that is too much.
fn within(decoder: impl Read, what: &str, bytes_max: usize) -> Result<Vec<u8>, Refused> {
    let mut out = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    decoder
        .take(limit.saturating_add(1))
        .read_to_end(&mut out)
        .map_err(|error| Refused {
            status: StatusCode::BAD_REQUEST,
            message: format!("{what}: {error}"),
        })?;
    match out.len() > bytes_max {
        true => Err(Refused::too_large(bytes_max)),
        false => Ok(out),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn bodies_are_decompressed_within_the_limit() {
        let text = vec![b'x'; 10_000];
        let snappy = snap::raw::Encoder::new().compress_vec(&text).unwrap();
        assert_eq!(from_snappy(&snappy, 10_000).unwrap(), text);
        let refused = from_snappy(&snappy, 9_999).unwrap_err();
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&text).unwrap();
        let gzip = gzip.finish().unwrap();
        assert_eq!(from_gzip(&gzip, 10_000).unwrap(), text);
        let refused = from_gzip(&gzip, 9_999).unwrap_err();
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[test]
    fn a_declared_length_allocates_nothing() {
        // 4 GiB, in five bytes.
        let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
        let refused = from_snappy(&bomb, 32 << 20).unwrap_err();
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert!(from_snappy(&[], 1000).is_err() || from_snappy(&[], 1000).unwrap().is_empty());
        assert!(from_snappy(&[5, 0xff, 1, 2], 1000).is_err());
        assert!(from_gzip(b"not gzip", 1000).is_err());
    }
}
