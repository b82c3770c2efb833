#!/bin/sh
# Makes sure of the programs that tests need and no language's own installer brings: a Java runtime
# (17 or later, for DynamoDB Local), Maven, Python's venv, a C compiler (for the race detector), Node
# and npm (for the state machine's interpreter, the independent mail service and the JavaScript client),
# curl (for the commands that `make run` prints).
# On Debian as root it installs what is missing; elsewhere it names it and fails.
set -eu

java_is_recent() {
	# `java -version` prints: openjdk version "17.0.15" ...
	major=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
	[ "${major:-0}" -ge 17 ]
}

missing=
java_is_recent 2>/dev/null || missing="$missing default-jre-headless"
command -v mvn >/dev/null || missing="$missing maven"
python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
command -v "${CC:-gcc}" >/dev/null || missing="$missing gcc libc6-dev"
command -v node >/dev/null || missing="$missing nodejs"
command -v npm >/dev/null || missing="$missing npm"
command -v curl >/dev/null || missing="$missing curl"
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
	echo "make tools: please install what is missing here (names of Debian's packages):$missing" >&2
	exit 1
fi
echo "make tools: installing$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of words
apt-get install -y -qq --no-install-recommends $missing >/dev/null
