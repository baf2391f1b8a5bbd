//! Where the API server is, and how to talk to it.

use std::path::{Path, PathBuf};

use base64::Engine as _;

use super::KubernetesConfig;
use crate::config::decode::{Fields, boolean, error_at, list, string};
use crate::config::yaml::{self, Node};
use crate::config::{
    Authorization, BasicAuth, ConfigError, HttpClientConfig, Secret, Source, TlsConfig,
};

/// Where Kubernetes puts the account of a pod.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// An API server.
#[derive(Debug)]
pub(super) struct Access {
    /// Its URL, without a slash at the end.
    pub(super) server: String,
    pub(super) http: HttpClientConfig,
    /// The namespace of this process, if it is asked for.
    pub(super) own_namespace: Option<String>,
}

impl Access {
    /// Reads whatever files a configuration refers to.
    pub(super) fn of(config: &KubernetesConfig) -> Result<Self, String> {
        if let Some(path) = &config.kubeconfig {
            return kubeconfig(path).map_err(|error| error.to_string());
        }
        let Some(server) = &config.api_server else {
            let environment = |name| std::env::var(name).unwrap_or_default();
            return in_cluster(
                &environment("KUBERNETES_SERVICE_HOST"),
                &environment("KUBERNETES_SERVICE_PORT"),
                Path::new(SERVICE_ACCOUNT),
                config.own_namespace,
            );
        };
        Ok(Self {
            server: server_url(server, "http"),
            http: config.http.clone(),
            own_namespace: None,
        })
    }
}

/// Completes a URL that may be a mere host and port.
fn server_url(server: &str, scheme: &str) -> String {
    let server = server.trim_end_matches('/');
    match server.contains("://") {
        true => server.to_owned(),
        false => format!("{scheme}://{server}"),
    }
}

fn in_cluster(
    host: &str,
    port: &str,
    account: &Path,
    own_namespace: bool,
) -> Result<Access, String> {
    if host.is_empty() || port.is_empty() {
        return Err("unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined".to_owned());
    }
    let read = |name: &str| {
        let path = account.join(name);
        std::fs::read_to_string(&path).map_err(|error| format!("open {}: {error}", path.display()))
    };
    read("token")?;
    let own_namespace = match own_namespace {
        true => Some(
            read("namespace")
                .map_err(|e| format!("could not determine the pod's namespace: {e}"))?,
        ),
        false => None,
    };
    if own_namespace.as_deref() == Some("") {
        return Err("could not read own namespace name (empty file)".to_owned());
    }
    let ca = account.join("ca.crt");
    Ok(Access {
        server: format!(
            "https://{}",
            crate::discovery::labels::host_port(host, port)
        ),
        http: HttpClientConfig {
            // The token changes, so the file is read at every request.
            authorization: Some(bearer(Source::File(account.join("token")))),
            tls: TlsConfig {
                ca: ca.exists().then_some(Source::File(ca)),
                ..TlsConfig::default()
            },
            ..HttpClientConfig::default()
        },
        own_namespace,
    })
}

fn bearer(token: Source<Secret>) -> Authorization {
    Authorization {
        kind: "Bearer".to_owned(),
        credentials: Some(token),
    }
}

/// Reads a kubeconfig file and takes its current context.
fn kubeconfig(path: &Path) -> Result<Access, ConfigError> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError::new(None, format!("open {name}: {error}")))?;
    let directory = path.parent().unwrap_or(Path::new(""));
    current_context(&text, directory).map_err(|error| error.in_file(&name))
}

fn current_context(text: &str, directory: &Path) -> Result<Access, ConfigError> {
    let root = yaml::parse(text)?;
    let mut fields = Fields::of(&root, "v1.Config")?;
    let context = fields.read("current-context", string)?.unwrap_or_default();
    let mut section = |list: &str, item: &str, name: &str| -> Result<Option<&Node>, ConfigError> {
        match fields.take(list) {
            Some(node) => named(node, item, name),
            None => Ok(None),
        }
    };
    let Some(context) = section("contexts", "context", &context)? else {
        return error_at(
            &root,
            "invalid configuration: no configuration has been provided",
        );
    };
    let mut fields = Fields::of(context, "v1.Context")?;
    let cluster = fields.read("cluster", string)?.unwrap_or_default();
    let user = fields.read("user", string)?.unwrap_or_default();
    let Some(cluster_node) = section("clusters", "cluster", &cluster)? else {
        return error_at(context, format!("cluster {cluster:?} does not exist"));
    };
    let mut http = HttpClientConfig::default();
    let server = read_cluster(cluster_node, directory, &mut http.tls)?;
    if let Some(user) = section("users", "user", &user)? {
        read_user(user, directory, &mut http)?;
    } else if !user.is_empty() {
        return error_at(context, format!("user {user:?} does not exist"));
    }
    let secure = http.tls != TlsConfig::default();
    Ok(Access {
        server: server_url(&server, if secure { "https" } else { "http" }),
        http,
        own_namespace: None,
    })
}

/// The part `item` of the entry of a list that has a name.
fn named<'a>(node: &'a Node, item: &str, name: &str) -> Result<Option<&'a Node>, ConfigError> {
    let entries = list(node, |node| {
        let mut fields = Fields::of(node, "v1.Config")?;
        let found = fields.read("name", string)?.unwrap_or_default();
        Ok((found, fields.take(item)))
    })?;
    let mut entries = entries.into_iter();
    Ok(entries.find_map(|(found, node)| node.filter(|_| found == name)))
}

fn read_cluster(node: &Node, directory: &Path, tls: &mut TlsConfig) -> Result<String, ConfigError> {
    let mut fields = Fields::of(node, "v1.Cluster")?;
    fields.refuse("proxy-url", " (in kubeconfig_file)")?;
    tls.ca = either(&mut fields, "certificate-authority", directory, |pem| pem)?;
    tls.insecure_skip_verify = fields
        .read("insecure-skip-tls-verify", boolean)?
        .unwrap_or_default();
    tls.server_name = fields.read("tls-server-name", string)?.unwrap_or_default();
    let server = fields.read("server", string)?.unwrap_or_default();
    match server.is_empty() {
        true => error_at(node, "no server found for the cluster"),
        false => Ok(server),
    }
}

fn read_user(
    node: &Node,
    directory: &Path,
    http: &mut HttpClientConfig,
) -> Result<(), ConfigError> {
    let mut fields = Fields::of(node, "v1.AuthInfo")?;
    for plugin in ["exec", "auth-provider"] {
        fields.refuse(plugin, " (in kubeconfig_file)")?;
    }
    http.tls.cert = either(&mut fields, "client-certificate", directory, |pem| pem)?;
    http.tls.key = either(&mut fields, "client-key", directory, Secret::new)?;
    let token = fields.read("token", Secret::decode)?;
    let file = file(&mut fields, "tokenFile", directory)?;
    let username = fields.read("username", string)?.unwrap_or_default();
    // A file counts before a token, because it may change.
    let token = file.map(Source::File).or(token.map(Source::Inline));
    if let Some(token) = token {
        http.authorization = Some(bearer(token));
    } else if !username.is_empty() {
        http.basic_auth = Some(BasicAuth {
            username: Some(Source::Inline(username)),
            password: fields.read("password", Secret::decode)?.map(Source::Inline),
        });
    }
    Ok(())
}

fn file(
    fields: &mut Fields<'_>,
    name: &str,
    directory: &Path,
) -> Result<Option<PathBuf>, ConfigError> {
    let node = fields.take_text(name);
    node.map(|node| string(node).map(|name| directory.join(name)))
        .transpose()
}

/// A PEM file, or its content in base64 in the field with `-data` at its end, which counts first.
fn either<T>(
    fields: &mut Fields<'_>,
    name: &str,
    directory: &Path,
    inline: impl Fn(String) -> T,
) -> Result<Option<Source<T>>, ConfigError> {
    let file = file(fields, name, directory)?;
    let Some(data) = fields.take_text(&format!("{name}-data")) else {
        return Ok(file.map(Source::File));
    };
    let decoded = base64::engine::general_purpose::STANDARD.decode(string(data)?);
    let decoded = decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok());
    match decoded {
        Some(pem) => Ok(Some(Source::Inline(inline(pem)))),
        None => error_at(data, format!("{name}-data is not text in base64")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_current_context_of_a_kubeconfig_counts() {
        let text = r#"
apiVersion: v1
kind: Config
current-context: two
contexts:
- {name: one, context: {cluster: c, user: nobody}}
- {name: two, context: {cluster: c, user: u, namespace: n}}
clusters:
- {name: c, cluster: {server: "https://h:6443/", certificate-authority-data: cGVt, tls-server-name: x}}
users:
- {name: u, user: {client-certificate: crt.pem, client-key-data: a2V5, token: t}}
"#;
        let access = current_context(text, Path::new("/k")).unwrap();
        assert_eq!(access.server, "https://h:6443");
        let tls = &access.http.tls;
        assert_eq!(tls.ca, Some(Source::Inline("pem".to_owned())));
        assert_eq!(tls.server_name, "x");
        assert_eq!(tls.cert, Some(Source::File("/k/crt.pem".into())));
        assert_eq!(tls.key, Some(Source::Inline(Secret::new("key"))));
        let authorization = access.http.authorization.unwrap();
        let token = Some(Source::Inline(Secret::new("t")));
        assert_eq!(authorization.credentials, token);
    }

    #[test]
    fn a_kubeconfig_may_be_wrong() {
        for (text, expected) in [
            (
                "{}",
                "invalid configuration: no configuration has been provided",
            ),
            (
                "{current-context: a, contexts: [{name: a, context: {cluster: c}}]}",
                "cluster \"c\" does not exist",
            ),
            (
                "{current-context: a, contexts: [{name: a, context: {cluster: c, user: u}}], clusters: [{name: c, cluster: {server: h}}]}",
                "user \"u\" does not exist",
            ),
            (
                "{current-context: a, contexts: [{name: a, context: {cluster: c, user: u}}], clusters: [{name: c, cluster: {server: h}}], users: [{name: u, user: {exec: {command: x}}}]}",
                "not supported yet: exec (in kubeconfig_file)",
            ),
        ] {
            let error = current_context(text, Path::new("")).unwrap_err();
            assert_eq!(error.message(), expected, "{text}");
        }
    }

    #[test]
    fn a_pod_has_an_account() {
        let folder = tempfile::tempdir().unwrap();
        let error = in_cluster("", "", folder.path(), false).unwrap_err();
        assert!(error.starts_with("unable to load in-cluster configuration"));
        assert!(in_cluster("10.0.0.1", "443", folder.path(), false).is_err());
        std::fs::write(folder.path().join("token"), "t").unwrap();
        let access = in_cluster("fd00::1", "443", folder.path(), false).unwrap();
        assert_eq!(access.server, "https://[fd00::1]:443");
        assert_eq!(access.http.tls.ca, None);
        let error = in_cluster("h", "443", folder.path(), true).unwrap_err();
        assert!(error.starts_with("could not determine the pod's namespace"));
        std::fs::write(folder.path().join("namespace"), "n").unwrap();
        std::fs::write(folder.path().join("ca.crt"), "").unwrap();
        let access = in_cluster("h", "443", folder.path(), true).unwrap();
        assert_eq!(access.own_namespace.as_deref(), Some("n"));
        assert!(access.http.tls.ca.is_some());
    }
}
