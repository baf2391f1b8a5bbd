use super::config::{refused, shown};

#[test]
fn the_configuration_is_checked_and_shown() {
    refused(
        "dns",
        &[
            (
                "{}",
                "DNS-SD config must contain at least one SRV record name",
            ),
            ("{names: [x], type: TXT}", "invalid DNS-SD records type TXT"),
            (
                "{names: [x], type: a}",
                "a port is required in DNS-SD configs for all record types except SRV",
            ),
            (
                "{names: [x], port: many}",
                "cannot unmarshal !!str `many` into int",
            ),
            ("{name: x}", "field name not found in type dns.plain"),
        ],
    );
    shown(
        "dns",
        "{names: [a, b.c]}",
        "- names:\n  - a\n  - b.c\n  refresh_interval: 30s\n  type: SRV\n  port: 0",
    );
    shown(
        "dns",
        "{names: [a], type: mx, port: 25, refresh_interval: 1m}",
        "- names:\n  - a\n  refresh_interval: 1m\n  type: mx\n  port: 25",
    );
}
