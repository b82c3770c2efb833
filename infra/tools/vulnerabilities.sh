#!/bin/sh
# Runs govulncheck ($1) over the module. Its database is not reachable from every machine; then this
# says so and passes, because a check that nobody can run offline would be switched off altogether.
set -u

output=$("$1" ./... 2>&1)
status=$?
case $status in
0) ;;
3) # the code calls something with a known vulnerability
	printf '%s\n' "$output"
	exit 3
	;;
*)
	case $output in
	*"fetching vulnerabilities"*)
		echo "NOT CHECKED: known vulnerabilities, because govulncheck cannot reach its database" >&2
		;;
	*)
		printf '%s\n' "$output" >&2
		exit "$status"
		;;
	esac
	;;
esac
