//! Names and values of the labels that discoveries make.

/// A part of a label name: whatever is not a letter, a digit or an underscore becomes an underscore, character by character.
pub(crate) fn sanitized(name: &str) -> String {
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let chars = name.chars();
    chars.map(|c| if valid(c) { c } else { '_' }).collect()
}

/// `host:port`, with brackets around a host that has colons in it.
pub(crate) fn host_port(host: &str, port: impl std::fmt::Display) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_have_only_what_they_may() {
        assert_eq!(sanitized("com.docker/é-1_A"), "com_docker___1_A");
        assert_eq!(host_port("a.b", 80), "a.b:80");
        assert_eq!(host_port("fe80::1", 80), "[fe80::1]:80");
        assert_eq!(host_port("", 0), ":0");
    }
}
