//! A local folder.

use std::path::Path;

use super::Finding;

/// Less than this is worth a warning: a day of a small installation.
const FREE_BYTES_LOW: u64 = 1 << 30;
/// Less than this will not last.
const FREE_BYTES_MIN: u64 = 64 << 20;

pub(super) fn create(folder: &Path) -> Finding {
    const NAME: &str = "create folder";
    let existed = folder.is_dir();
    match crate::store::create_local_folder(folder) {
        Ok(()) if existed => Finding::ok(NAME, format!("{} was there already", folder.display())),
        Ok(()) => Finding::ok(NAME, format!("{} was created", folder.display())),
        Err(error) => Finding::error(NAME, error.to_string()),
    }
}

pub(super) fn check(folder: &Path) -> Vec<Finding> {
    const NAME: &str = "folder";
    match std::fs::metadata(folder) {
        Ok(found) if found.is_dir() => {
            let place = Finding::ok(NAME, format!("{} exists", folder.display()));
            vec![place, free_space(folder)]
        }
        Ok(_) => vec![Finding::error(
            NAME,
            format!("{} is not a folder", folder.display()),
        )],
        Err(error) => vec![Finding::error(
            NAME,
            format!(
                "{}: {error}: create it with `varve storage init`",
                folder.display()
            ),
        )],
    }
}

fn free_space(folder: &Path) -> Finding {
    const NAME: &str = "free space";
    let free_bytes = match rustix::fs::statvfs(folder) {
        Ok(stat) => stat.f_bavail.saturating_mul(stat.f_frsize),
        Err(error) => {
            return Finding::warn(
                NAME,
                format!("{} cannot be asked: {error}", folder.display()),
            );
        }
    };
    let detail = format!(
        "{} are free on the disk of {}",
        size(free_bytes),
        folder.display()
    );
    match free_bytes {
        0..FREE_BYTES_MIN => Finding::error(NAME, format!("only {detail}")),
        FREE_BYTES_MIN..FREE_BYTES_LOW => Finding::warn(NAME, format!("only {detail}")),
        _ => Finding::ok(NAME, detail),
    }
}

fn size(bytes: u64) -> String {
    let mib = bytes as f64 / (1_u64 << 20) as f64;
    if mib < 1_024.0 {
        format!("{mib:.0} MiB")
    } else {
        format!("{:.1} GiB", mib / 1_024.0)
    }
}
