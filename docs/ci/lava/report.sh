#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Tells LAVA each test of a KTAP file: report.sh suite/ktap.txt, within a test of LAVA's.

awk '
/^(not )?ok / {
	passed = $1 == "ok"
	name = passed ? $3 : $4
	result = passed ? "pass" : "fail"
	if (/ # SKIP/) result = "skip"
	# The guest crashed, or the rig failed: which of them stands in the verdict.
	if (/ # ERROR/) result = "unknown"
	print name, result
}' "${1:?name a KTAP file}" | while read -r name result; do
	lava-test-case "$name" --result "$result"
done
