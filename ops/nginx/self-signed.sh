#!/bin/sh
# Makes a self-signed certificate (tls.crt, tls.key) in the given folder, unless it holds one.
# TLS_NAME: the host name it is for, besides localhost. Owner: the user nginx runs as.
set -eu
folder=$1
owner=101:101
cd "$folder"
if [ -s tls.crt ] && [ -s tls.key ]; then
  echo "Keeping the certificate in $folder."
  exit 0
fi
openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 825 \
  -subj "/CN=$TLS_NAME" -addext "subjectAltName=DNS:$TLS_NAME,DNS:localhost,IP:127.0.0.1" \
  -keyout tls.key.new -out tls.crt.new
chmod 400 tls.key.new
chown "$owner" tls.key.new tls.crt.new
# Renamed last: a run that is cut short leaves no half of a pair behind.
mv tls.crt.new tls.crt
mv tls.key.new tls.key
echo "Made a self-signed certificate for $TLS_NAME in $folder."
