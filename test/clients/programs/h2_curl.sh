#!/bin/sh
set -eu
curl -sS --fail --http2 --cacert "$H2_CA" -w ' HTTP/%{http_version}' -H "Authorization: Bearer $H2_KEY" -d hello "https://$H2_HOST/echo"
