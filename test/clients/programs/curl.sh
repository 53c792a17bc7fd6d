#!/bin/sh
set -eu
curl -sS --fail -H "Authorization: Bearer $OPENAI_API_KEY" -H 'Content-Type: application/json' -d '{"model":"gpt-5.6","input":"hello"}' https://api.openai.com/v1/responses
echo
curl -sS --fail --compressed -H "Authorization: Bearer $OPENAI_API_KEY" 'https://api.openai.com/v1/echo?coding=gzip'
