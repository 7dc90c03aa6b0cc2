#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The TDX module update as a kselftest: KTAP on stdout, exit 0 passed, 1 failed, 4 skipped.
#
# Nothing is changed unless TDX_YES=1, with TDX_MAPPING (mapping_file.json with the released images beside it) or
# TDX_IMAGE (one image). RIG_HW names the program, if it is not in PATH. TDX_UPDATES: how many, 1 by default.

RIG_HW=${RIG_HW:-rig-hw}
KSFT_SKIP=4

# What a command said, as diagnostic lines.
say() { sed 's/^/# /'; }

skip() {
	echo "1..0 # SKIP $1"
	exit $KSFT_SKIP
}

echo "KTAP version 1"
command -v "$RIG_HW" > /dev/null || skip "there is no program $RIG_HW"
[ "$(id -u)" = 0 ] || skip "not root"
checked=$("$RIG_HW" check) || { echo "$checked" | say; skip "this host is not ready for an update"; }
echo "$checked" | say
[ "$TDX_YES" = 1 ] || skip "TDX_YES=1 is not set: nothing is changed"

evidence=$(mktemp -d) || exit 1
trap 'rm -rf "$evidence"' EXIT
set -- --yes --out "$evidence"
[ -z "$TDX_MAPPING" ] || set -- "$@" --mapping "$TDX_MAPPING"
[ -z "$TDX_IMAGE" ] || set -- "$@" --image "$TDX_IMAGE"
"$RIG_HW" stress --updates "${TDX_UPDATES:-1}" "$@" > "$evidence/said" 2>&1
code=$?
say < "$evidence/said"
if [ ! -f "$evidence/ktap.txt" ]; then
	case $code in
	# This host does not allow it, or it would be unsafe: refused before anything was done.
	5 | 6) skip "the update was refused: $(sed -n 's/^error: //p' "$evidence/said" | head -n 1)" ;;
	esac
	echo "1..1"
	echo "not ok 1 update # exit code $code"
	exit 1
fi
# Its first line is the version, which stands above already.
tail -n +2 "$evidence/ktap.txt"
[ $code = 0 ]
