#!/bin/sh
# Checks the programs that no other step installs.
#
#   system.sh need TOOL...   makes sure of these: go, python, java, maven, compiler, and what the acceptance
#                            tests drive: chromium, git, fcgiwrap, sshd, docker-registry, skopeo
#   system.sh has node       succeeds if the machine's Node is recent enough; installs nothing
#
# `need` names everything that is missing or too old in one message. On Debian as root it then installs
# Debian's packages, and says so first; SYSTEM_INSTALL=no refuses that. Otherwise it fails.
set -eu

module=${0%/*}/../..

# wanted TOOL prints the oldest version that is good enough.
wanted() {
	case $1 in
	go)
		while read -r word value; do
			[ "$word" != go ] || echo "$value"
		done <"$module/go.mod"
		;;
	python) echo 3.11 ;;  # networkx, which cfn-lint uses
	java) echo 17 ;;      # DynamoDB Local
	maven) echo 3.6.3 ;;  # its dependency plugin
	node) echo 20.19 ;;   # yargs, which aws-ses-v2-local uses
	esac
}

# found TOOL prints the version that is here, or nothing.
found() {
	case $1 in
	go)
		# An older go command can fetch the version in go.mod, unless GOTOOLCHAIN or the network forbids it.
		here=$(cd / && GOTOOLCHAIN=local && export GOTOOLCHAIN && say ' go' go version)
		if [ -n "$here" ] && ! reaches "$here" "$(wanted go)"; then
			fetched=$(cd "$module" && say ' go' go version)
			here=${fetched:-$here}
		fi
		echo "$here"
		;;
	python) say 'Python ' python3 --version ;;
	java) say ' version "' java -version ;;
	maven) say 'Apache Maven ' mvn --version ;;
	node) say v node --version ;;
	esac
}

# say TEXT COMMAND... runs the command and prints the number that follows TEXT in its output.
say() {
	text=$1
	shift
	output=$("$@" 2>&1) || return 0
	case $output in
	*"$text"*)
		output=${output#*"$text"}
		echo "${output%%[!0-9.]*}"
		;;
	esac
}

# reaches VERSION WANTED compares number by number: 20.9.0 does not reach 20.19.
reaches() {
	have=$1. want=$2.
	while [ -n "$want" ]; do
		a=${have%%.*} b=${want%%.*}
		[ "${a:-0}" -eq "$b" ] || {
			[ "${a:-0}" -gt "$b" ]
			return
		}
		have=${have#*.} want=${want#*.}
	done
}

# check TOOL NAME PACKAGE... adds the tool to the faults if it is missing or too old.
check() {
	tool=$1 name=$2
	shift 2
	version=$(found "$tool")
	if [ -z "$version" ]; then
		fault "$name $(wanted "$tool") or later: not found" "$@"
	elif ! reaches "$version" "$(wanted "$tool")"; then
		fault "$name $(wanted "$tool") or later: found $version" "$@"
	fi
}

# present COMMAND PACKAGE... adds the command to the faults if it is missing. Any version serves.
present() {
	PATH=$PATH:/usr/sbin command -v "$1" >/dev/null && return
	command=$1
	shift
	fault "$command: not found" "$@"
}

# serves COMMAND PACKAGE UNIT... is present for a package that brings services, which the tests do not need.
serves() {
	before=$packages
	present "$1" "$2"
	shift 2
	[ "$packages" = "$before" ] || units="$units $*"
}

faults='' packages='' elsewhere='' units=''
fault() {
	faults="$faults  $1
"
	shift
	[ $# -gt 0 ] || elsewhere=yes
	packages="$packages${*:+ $*}"
}

if [ "$*" = "has node" ]; then
	command -v npm >/dev/null && reaches "$(found node)" "$(wanted node)"
	exit
fi

[ "${1-}" = need ] || {
	echo "usage: $0 need TOOL... | has node" >&2
	exit 2
}
shift
for tool; do
	case $tool in
	go) check go Go ;; # Debian's is too old, so none is installed
	python)
		check python Python python3 python3-venv
		case $faults in
		*Python*) ;;
		*) python3 -c 'import ensurepip, venv' 2>/dev/null || fault "Python's venv: not found" python3-venv ;;
		esac
		;;
	java) check java Java default-jre-headless ;;
	maven) check maven Maven maven ;;
	compiler)
		# The header shows that the C library's files are there as well.
		cc=${CC:-$(go env CC 2>/dev/null || echo gcc)}
		# shellcheck disable=SC2086 # CC may hold arguments
		echo '#include <stdlib.h>' | $cc -E -x c - >/dev/null 2>&1 ||
			fault "a C compiler with its library ($cc), for the race detector: not found" gcc libc6-dev
		;;
	chromium) present chromium chromium ;;
	git) present git git ;;
	fcgiwrap) serves fcgiwrap fcgiwrap fcgiwrap.socket fcgiwrap.service ;; # runs git http-backend behind nginx
	sshd)
		serves sshd openssh-server ssh.service ssh.socket
		present ssh openssh-client
		;;
	docker-registry) serves docker-registry docker-registry docker-registry.service ;;
	skopeo) present skopeo skopeo ;;
	*)
		echo "$0: unknown tool: $tool" >&2
		exit 2
		;;
	esac
done
[ -n "$faults" ] || exit 0

printf 'make: these are missing or too old on this machine:\n%s' "$faults" >&2
[ -z "$elsewhere" ] || echo "make: Go is at https://go.dev/doc/install" >&2
apt=
command -v apt-get >/dev/null && apt=yes
if [ -n "$elsewhere" ] || [ -z "$apt" ] || [ "$(id -u)" -ne 0 ] || [ "${SYSTEM_INSTALL:-yes}" = no ]; then
	[ -z "$apt" ] || [ -z "$packages" ] || echo "make: on Debian: apt-get install --no-install-recommends$packages" >&2
	exit 1
fi
echo "make: installing system-wide with apt-get:$packages" >&2
echo "make: (set SYSTEM_INSTALL=no to refuse that)" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
if [ -n "$units" ]; then
	echo "make: these services are not started, now or at boot:$units" >&2
	# Debian asks this file whether a package may start its services (invoke-rc.d(8)). 101 forbids it.
	policy=${POLICY_RC_D:-/usr/sbin/policy-rc.d}
	if [ ! -e "$policy" ]; then # else the machine has a policy of its own
		trap 'rm -f "$policy"' EXIT
		trap 'exit 1' HUP INT TERM
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
	fi
fi
# shellcheck disable=SC2086 # a list of words
apt-get install -y -qq --no-install-recommends $packages >/dev/null
if [ -n "$units" ]; then
	for unit in $units; do # a version of Debian may not have all of them
		! command -v systemctl >/dev/null || systemctl -q disable --now "$unit" 2>/dev/null || :
	done
fi
# What Debian has can be too old as well, or come later on PATH.
export SYSTEM_INSTALL=no
"$0" need "$@"
