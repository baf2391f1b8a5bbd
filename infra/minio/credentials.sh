#!/bin/sh
# Makes two users of MinIO that reach one bucket and nothing else: <bucket>-varve, which varve serve runs as, and
# <bucket>-reader, for DuckDB, notebooks and `varve query --storage.url`.
#
#   mc alias set store https://minio.example.com:9000 ADMIN SECRET
#   ./credentials.sh store metrics > varve.env.credentials
#
# Prints the keys of the first as lines for varve.env, and those of the second behind a comment sign. Needs mc and openssl.
set -eu

if [ $# -ne 2 ]; then
    echo "usage: $0 ALIAS BUCKET" >&2
    exit 2
fi
alias="$1"
bucket="$2"
folder=$(dirname "$0")
policy=$(mktemp)
trap 'rm -f "$policy"' EXIT
umask 077

make_user() {
    user="$bucket-$1"
    secret=$(openssl rand -hex 20)
    sed "s/:::metrics/:::$bucket/" "$folder/$2" >"$policy"
    mc admin policy create "$alias" "$user" "$policy" >&2
    mc admin user add "$alias" "$user" "$secret" >&2
    mc admin policy attach "$alias" "$user" --user "$user" >&2
}

make_user varve policy.json
printf 'AWS_ACCESS_KEY_ID=%s\nAWS_SECRET_ACCESS_KEY=%s\n' "$user" "$secret"
make_user reader policy-read.json
printf '# reader: %s %s\n' "$user" "$secret"
