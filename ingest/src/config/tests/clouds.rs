//! How requests to the receivers of three clouds prove themselves.

use super::parse;

fn refusal(fields: &str) -> String {
    let text = format!("remote_write: [{{url: 'http://x', {fields}}}]");
    let error = parse(&text).unwrap_err();
    error.message().to_owned()
}

#[test]
fn wrong_proofs_are_refused_in_prometheus_words() {
    let id = "00000000-a12b-3cd4-e56f-000000000000";
    for (fields, message) in [
        (
            "basic_auth: {username: u}, sigv4: {}".to_owned(),
            "at most one of basic_auth, authorization, oauth2, sigv4, azuread or google_iam must be configured. Currently configured: [basic_auth sigv4]",
        ),
        (
            "google_iam: {}, sigv4: {}, azuread: {sdk: {}}".to_owned(),
            "at most one of basic_auth, authorization, oauth2, sigv4, azuread or google_iam must be configured. Currently configured: [sigv4 azuread google_iam]",
        ),
        (
            "sigv4: {access_key: a}".to_owned(),
            "must provide a AWS SigV4 Access key and Secret Key if credentials are specified in the SigV4 config",
        ),
        (
            "sigv4: {external_id: a}".to_owned(),
            "external_id can only be used with role_arn",
        ),
        (
            "sigv4: {service: a}".to_owned(),
            "field service not found in type sigv4.plain",
        ),
        (
            "azuread: {}".to_owned(),
            "must provide an Azure Managed Identity, Azure Workload Identity, Azure OAuth, Azure Certificate or Azure SDK in the Azure AD config",
        ),
        (
            "azuread: {cloud: AzurePrivate, sdk: {}}".to_owned(),
            "must provide a cloud in the Azure AD config",
        ),
        (
            format!("azuread: {{managed_identity: {{client_id: {id}}}, sdk: {{}}}}"),
            "cannot provide multiple authentication methods in the Azure AD config",
        ),
        (
            "azuread: {managed_identity: {client_id: foo-foobar-bar-foo-00000000}}".to_owned(),
            "the provided Azure Managed Identity client_id is invalid",
        ),
        (
            format!("azuread: {{workload_identity: {{tenant_id: {id}}}}}"),
            "must provide an Azure Workload Identity client_id in the Azure AD config",
        ),
        (
            format!("azuread: {{workload_identity: {{client_id: {id}, tenant_id: x}}}}"),
            "the provided Azure Workload Identity tenant_id is invalid",
        ),
        (
            format!("azuread: {{oauth: {{client_id: {id}, tenant_id: t}}}}"),
            "must provide an Azure OAuth client_secret in the Azure AD config",
        ),
        (
            "azuread: {oauth: {client_id: x, client_secret: s, tenant_id: t}}".to_owned(),
            "the provided Azure OAuth client_id is invalid",
        ),
        (
            format!("azuread: {{certificate: {{client_id: {id}, tenant_id: t}}}}"),
            "must provide an Azure Certificate certificate_path in the Azure AD config",
        ),
        (
            "azuread: {sdk: {}, scope: 'a;b'}".to_owned(),
            "the provided scope contains invalid characters",
        ),
        (
            "google_iam: {file: a}".to_owned(),
            "field file not found in type googleiam.Config",
        ),
    ] {
        assert_eq!(refusal(&fields), message, "{fields}");
    }
}

#[test]
fn proofs_are_shown_without_secrets() {
    let id = "00000000-a12b-3cd4-e56f-000000000000";
    for (fields, expected) in [
        (
            "sigv4: {region: r, access_key: a, secret_key: s, role_arn: o, external_id: e, use_fips_sts_endpoint: true, service_name: n}".to_owned(),
            "  sigv4:\n    region: r\n    access_key: a\n    secret_key: <secret>\n    role_arn: o\n    external_id: e\n    use_fips_sts_endpoint: true\n    service_name: \"n\"\n".to_owned(),
        ),
        ("sigv4: {}".to_owned(), "  sigv4: {}\n".to_owned()),
        (
            format!("azuread: {{oauth: {{client_id: {id}, client_secret: s, tenant_id: t}}, scope: 'a:b'}}"),
            format!("  azuread:\n    oauth:\n      client_id: {id}\n      client_secret: <secret>\n      tenant_id: t\n    cloud: AzurePublic\n    scope: a:b\n"),
        ),
        (
            "azuread: {cloud: AzureChina, sdk: {}}".to_owned(),
            "  azuread:\n    sdk: {}\n    cloud: AzureChina\n".to_owned(),
        ),
        (
            format!("azuread: {{certificate: {{client_id: {id}, tenant_id: t, certificate_path: p, certificate_password: s, send_certificate_chain: true}}}}"),
            format!("  azuread:\n    certificate:\n      client_id: {id}\n      tenant_id: t\n      certificate_path: p\n      certificate_password: <secret>\n      send_certificate_chain: true\n    cloud: AzurePublic\n"),
        ),
        (
            "google_iam: {credentials_file: f}".to_owned(),
            "  google_iam:\n    credentials_file: f\n".to_owned(),
        ),
    ] {
        let config = parse(&format!("remote_write: [{{url: 'http://x', {fields}}}]")).unwrap();
        let yaml = config.to_yaml();
        let (_, metadata) = yaml.split_once("  metadata_config:").unwrap();
        let (_, shown) = metadata.split_once("per_send: 2000\n").unwrap();
        assert!(shown.starts_with(&expected), "{shown}");
        assert_eq!(parse(&yaml).unwrap().to_yaml(), yaml);
    }
}
