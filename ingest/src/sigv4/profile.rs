//! The files that AWS's tools share: `credentials` and `config`, INI with a section for each profile.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::SigningError;
use crate::environment::Environment;

/// The settings of a profile.
pub(super) type Profile = BTreeMap<String, String>;

/// Reads a profile out of both files, in which it need not be. `None` if neither has it.
pub(super) async fn read(
    environment: &Environment,
    name: &str,
) -> Result<Option<Profile>, SigningError> {
    let in_config = match name {
        "default" => vec!["profile default".to_owned(), name.to_owned()],
        _ => vec![format!("profile {name}")],
    };
    let mut found: Option<Profile> = None;
    // What stands in `credentials` counts before what stands in `config`.
    for (variable, file, sections) in [
        ("AWS_CONFIG_FILE", "config", in_config),
        (
            "AWS_SHARED_CREDENTIALS_FILE",
            "credentials",
            vec![name.to_owned()],
        ),
    ] {
        let Some(path) = path(environment, variable, file) else {
            continue;
        };
        let text = match tokio::fs::read_to_string(&path).await {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                let path = path.display();
                return Err(SigningError(format!("cannot read {path}: {error}")));
            }
        };
        let mut parsed = parse(&text);
        for profile in sections.iter().filter_map(|section| parsed.remove(section)) {
            found.get_or_insert_default().extend(profile);
        }
    }
    Ok(found)
}

/// The region of a profile, or, where its name is empty, of that which the environment names, or else of the default one.
pub(crate) async fn region(
    environment: &Environment,
    name: &str,
) -> Result<Option<String>, SigningError> {
    let given = Some(name.to_owned()).filter(|name| !name.is_empty());
    let name = given.or_else(|| environment.get("AWS_PROFILE"));
    let profile = read(environment, name.as_deref().unwrap_or("default")).await?;
    Ok(profile.and_then(|mut profile| profile.remove("region")))
}

fn path(environment: &Environment, variable: &str, file: &str) -> Option<PathBuf> {
    if let Some(path) = environment.get(variable) {
        return Some(path.into());
    }
    let home = environment.get("HOME")?;
    Some(PathBuf::from(home).join(".aws").join(file))
}

/// Sections by name. Indented lines belong to a setting of a kind that nobody asks for here.
fn parse(text: &str) -> BTreeMap<String, Profile> {
    let mut sections: BTreeMap<String, Profile> = BTreeMap::new();
    let mut current = None;
    for line in text.lines() {
        let nested = line.starts_with([' ', '\t']);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.split_once(']')) {
            let words: Vec<_> = name.0.split_whitespace().collect();
            current = Some(sections.entry(words.join(" ")).or_default());
        } else if let (Some(section), Some((key, value)), false) =
            (&mut current, line.split_once('='), nested)
        {
            let value = value.split(" #").next().unwrap_or_default().trim();
            section.insert(key.trim().to_lowercase(), value.to_owned());
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_profile_is_read_from_both_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let config = file(
            "config",
            "[default]\nregion = r0\n[profile  p]\nregion=r1 # here\naws_access_key_id = old\ns3 =\n  region = r2\n[q]\nregion = x\n",
        );
        let credentials = file(
            "credentials",
            "; mine\n[p]\nAWS_ACCESS_KEY_ID = a\naws_secret_access_key=s=/\n",
        );
        let environment = Environment::of(&[
            ("AWS_CONFIG_FILE", &config),
            ("AWS_SHARED_CREDENTIALS_FILE", &credentials),
        ]);
        let profile = read(&environment, "p").await.unwrap().unwrap();
        assert_eq!(profile["region"], "r1");
        assert_eq!(profile["aws_access_key_id"], "a");
        assert_eq!(profile["aws_secret_access_key"], "s=/");
        assert_eq!(read(&environment, "q").await.unwrap(), None);
        assert_eq!(region(&environment, "").await.unwrap().unwrap(), "r0");
    }
}
