#!/bin/sh
# Builds build/local and shows each second how far it is: with nothing compiled yet that takes a minute,
# on a busy machine several. `go run` would not do, because it calls an ending by Ctrl-C a failure.
set -eu

echo 'building build/local…' >&2
{
	(while sleep 1; do echo tick; done) &
	if go build -v -buildvcs=false -o build/local ./infra/local/run 2>&1; then echo built; else echo failed; fi
	kill $!
} | {
	seconds=0 packages=0 package='looking at what has changed'
	while IFS= read -r line; do
		case $line in
		tick)
			seconds=$((seconds + 1))
			if [ -t 2 ]; then
				printf '\r\033[K%s s  %.70s' $seconds "$package" >&2
			elif [ $((seconds % 10)) = 0 ]; then
				echo "$seconds s  $package" >&2
			fi
			;;
		built) break ;;
		failed) exit 1 ;;
		*[:\ ]*) echo "$line" >&2 ;; # a fault, or a module that is fetched
		*) packages=$((packages + 1)) package="package $packages: $line" ;;
		esac
	done
	if [ -t 2 ] && [ $seconds -gt 0 ]; then printf '\r\033[K' >&2; fi
}
