#![allow(clippy::unwrap_used)]
//! Against servers of our own, which answer as those of Microsoft and Google do.

use std::path::Path;
use std::process::Command;

use super::*;
use crate::discovery::tests::server::Server;
use crate::environment::Environment;

const SCOPE: &str = "https://monitor.azure.com//.default";

async fn azure(
    identity: AzureIdentity,
    environment: &[(&str, &str)],
    server: &Server,
) -> Result<String, String> {
    let environment = Environment::of(environment);
    let tokens = AzureTokens::new(identity, AzureCloud::Public, SCOPE, environment).unwrap();
    let tokens = tokens.at(&format!("http://{}", server.address));
    let header = tokens.header().await.map_err(|error| error.to_string())?;
    Ok(header.to_str().unwrap().to_owned())
}

/// The fields of the last form that a server got, each as `name=value`.
fn form(server: &Server) -> Vec<String> {
    let body = server.last().body;
    let pairs = url::form_urlencoded::parse(body.as_bytes());
    pairs
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

#[tokio::test]
async fn an_application_proves_itself_by_its_secret() {
    let server = Server::start().await;
    let path = "/t/oauth2/v2.0/token";
    server.say(
        path,
        r#"{"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": "abc"}"#,
    );
    let identity = || AzureIdentity::OAuth {
        client_id: "id".to_owned(),
        client_secret: Secret::new("s&"),
        tenant_id: "t".to_owned(),
    };
    assert_eq!(azure(identity(), &[], &server).await.unwrap(), "Bearer abc");
    assert_eq!(
        form(&server),
        [
            "client_id=id",
            "grant_type=client_credentials",
            "scope=https://monitor.azure.com//.default",
            "client_secret=s&",
        ]
    );
    server.answer(
        path,
        401,
        r#"{"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."}"#,
    );
    let error = azure(identity(), &[], &server).await.unwrap_err();
    assert!(
        error.starts_with("Failed to get access token: http://"),
        "{error}"
    );
    assert!(error.contains("AADSTS7000215"), "{error}");
    for (answer, expected) in [
        (r#"{"expires_in": 3599}"#, "access token is empty"),
        (
            r#"{"access_token": "a", "expires_on": "1"}"#,
            "access token expiry is less than the current time",
        ),
    ] {
        server.say(path, answer);
        let error = azure(identity(), &[], &server).await.unwrap_err();
        assert_eq!(error, format!("Failed to get access token: {expected}"));
    }
}

#[tokio::test]
async fn tokens_are_kept_for_half_of_their_life() {
    let server = Server::start().await;
    server.say(
        "/t/oauth2/v2.0/token",
        r#"{"expires_in": "1", "access_token": "abc"}"#,
    );
    let identity = AzureIdentity::OAuth {
        client_id: "id".to_owned(),
        client_secret: Secret::new("s"),
        tenant_id: "t".to_owned(),
    };
    let tokens = AzureTokens::new(identity, AzureCloud::Public, SCOPE, Environment::of(&[]));
    let tokens = tokens.unwrap().at(&format!("http://{}", server.address));
    for _ in 0..3 {
        tokens.header().await.unwrap();
    }
    assert_eq!(server.requests().len(), 1);
    tokio::time::sleep(Duration::from_millis(600)).await;
    tokens.header().await.unwrap();
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn the_place_of_a_process_and_the_token_of_a_pod_are_identities() {
    let server = Server::start().await;
    let metadata = "/metadata/identity/oauth2/token";
    let app = "/msi/token";
    let on = chrono::Utc::now().timestamp() + 86400;
    let answer = |token: &str| format!(r#"{{"access_token": "{token}", "expires_on": "{on}"}}"#);
    server.say(metadata, &answer("vm"));
    server.say(app, &answer("app"));
    let identity = AzureIdentity::ManagedIdentity {
        client_id: "me".to_owned(),
    };
    let found = azure(identity.clone(), &[], &server).await;
    assert_eq!(found.unwrap(), "Bearer vm");
    let request = server.last();
    assert_eq!(request.header("metadata"), "true");
    assert_eq!(
        request.path,
        "/metadata/identity/oauth2/token?resource=https%3A%2F%2Fmonitor.azure.com%2F&api-version=2018-02-01&client_id=me"
    );
    let url = format!("http://{}{app}", server.address);
    let variables = [
        ("IDENTITY_ENDPOINT", url.as_str()),
        ("IDENTITY_HEADER", "key"),
    ];
    let found = azure(identity, &variables, &server).await;
    assert_eq!(found.unwrap(), "Bearer app");
    assert_eq!(server.last().header("x-identity-header"), "key");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "of the pod\n").unwrap();
    let file = file.display().to_string();
    server.say("/t/oauth2/v2.0/token", &answer("pod"));
    let variables = [
        ("AZURE_CLIENT_ID", "c"),
        ("AZURE_TENANT_ID", "t"),
        ("AZURE_FEDERATED_TOKEN_FILE", file.as_str()),
        ("AZURE_CLIENT_SECRET", "s"),
    ];
    let sdk = AzureIdentity::Sdk {
        tenant_id: String::new(),
    };
    let found = azure(sdk.clone(), &variables[..3], &server).await;
    assert_eq!(found.unwrap(), "Bearer pod");
    assert!(form(&server).contains(&"client_assertion=of the pod".to_owned()));
    azure(sdk.clone(), &variables, &server).await.unwrap();
    assert!(form(&server).contains(&"client_secret=s".to_owned()));
    assert_eq!(
        azure(sdk, &variables[..1], &server).await.unwrap(),
        "Bearer vm"
    );
    assert!(server.last().path.ends_with("&client_id=c"));
}

/// Runs openssl; false where there is none.
fn openssl(folder: &Path, arguments: &[&str]) -> bool {
    let run = Command::new("openssl")
        .current_dir(folder)
        .args(arguments)
        .output();
    match run {
        Ok(output) => {
            assert!(output.status.success(), "{output:?}");
            true
        }
        Err(_) => {
            eprintln!("SKIPPED: openssl is not installed");
            false
        }
    }
}

/// Checks the signature of a token and gives its header and its claims.
fn verified(folder: &Path, token: &str, pss: bool) -> (Value, Value) {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let (text, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    std::fs::write(folder.join("text"), text).unwrap();
    std::fs::write(folder.join("signature"), signature).unwrap();
    let mut arguments = vec!["dgst", "-sha256"];
    if pss {
        arguments.extend(["-sigopt", "rsa_padding_mode:pss"]);
    }
    arguments.extend(["-verify", "public.pem", "-signature", "signature", "text"]);
    assert!(openssl(folder, &arguments));
    let (header, claims) = text.split_once('.').unwrap();
    let part = |part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    (part(header), part(claims))
}

fn field(server: &Server, name: &str) -> String {
    let form = form(server);
    let found = form
        .iter()
        .find_map(|pair| pair.strip_prefix(&format!("{name}=")));
    found.unwrap().to_owned()
}

#[tokio::test]
async fn assertions_are_signed_with_the_keys_of_files() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let make = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
        "-subj",
        "/CN=varve",
    ];
    if !openssl(folder, &make) {
        return;
    }
    openssl(
        folder,
        &["rsa", "-in", "key.pem", "-pubout", "-out", "public.pem"],
    );
    let server = Server::start().await;
    server.say(
        "/t/oauth2/v2.0/token",
        r#"{"access_token": "abc", "expires_in": 3599}"#,
    );
    let path = |name: &str| folder.join(name).display().to_string();
    let identity = |chain, password: Option<&str>| AzureIdentity::Certificate {
        client_id: "id".to_owned(),
        tenant_id: "t".to_owned(),
        certificate_path: path("cert.pem"),
        certificate_key_path: path("key.pem"),
        certificate_password: password.map(Secret::new),
        send_certificate_chain: chain,
    };
    azure(identity(true, None), &[], &server).await.unwrap();
    let (header, claims) = verified(folder, &field(&server, "client_assertion"), true);
    assert_eq!(header["alg"], "PS256");
    assert_eq!(header["x5t#S256"].as_str().unwrap().len(), 43);
    assert_eq!(header["x5c"].as_array().unwrap().len(), 1);
    assert_eq!(claims["iss"], "id");
    assert_eq!(
        claims["aud"],
        format!("http://{}/t/oauth2/v2.0/token", server.address)
    );
    let error = azure(identity(false, Some("x")), &[], &server)
        .await
        .unwrap_err();
    assert!(
        error.ends_with("not supported yet: files with a password"),
        "{error}"
    );

    let key = std::fs::read_to_string(folder.join("key.pem")).unwrap();
    let token_uri = format!("http://{}/google", server.address);
    let file = serde_json::json!({
        "type": "service_account", "client_email": "me@p.iam.gserviceaccount.com",
        "private_key": key, "private_key_id": "k", "token_uri": token_uri,
    });
    std::fs::write(folder.join("google.json"), file.to_string()).unwrap();
    server.say(
        "/google",
        r#"{"access_token": "ya29", "expires_in": 3599, "token_type": "Bearer"}"#,
    );
    let google = |credentials, environment: &[(&str, &str)]| {
        GoogleTokens::new(credentials, "scope", Environment::of(environment)).unwrap()
    };
    let file = path("google.json");
    let variable = [("GOOGLE_APPLICATION_CREDENTIALS", file.as_str())];
    for tokens in [
        google(GoogleCredentials::ServiceAccountFile(file.clone()), &[]),
        google(GoogleCredentials::Default, &variable),
    ] {
        assert_eq!(tokens.header().await.unwrap(), "Bearer ya29");
        let (header, claims) = verified(folder, &field(&server, "assertion"), false);
        assert_eq!(header["kid"], "k");
        assert_eq!(claims["aud"], token_uri);
        assert_eq!(claims["iss"], "me@p.iam.gserviceaccount.com");
        assert_eq!(claims["scope"], "scope");
    }
    let other = serde_json::json!({"type": "external_account"});
    std::fs::write(folder.join("google.json"), other.to_string()).unwrap();
    let error = google(GoogleCredentials::Default, &variable)
        .header()
        .await
        .unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("not supported yet: credentials of type \"external_account\""),
        "{error}"
    );
}

#[tokio::test]
async fn an_instance_of_google_has_a_token() {
    let server = Server::start().await;
    server.say(
        "/computeMetadata/v1/instance/service-accounts/default/token",
        r#"{"access_token": "vm", "expires_in": 3000, "token_type": "Bearer"}"#,
    );
    let environment = Environment::of(&[("GCE_METADATA_HOST", &server.address)]);
    let tokens = GoogleTokens::new(GoogleCredentials::Default, "a/b", environment).unwrap();
    assert_eq!(tokens.header().await.unwrap(), "Bearer vm");
    let request = server.last();
    assert_eq!(request.header("metadata-flavor"), "Google");
    assert!(
        request.path.ends_with("/token?scopes=a%2Fb"),
        "{}",
        request.path
    );
}
