#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Runs a suite of the rig and writes tmt's custom results: one for each scenario, and "/" for the suite as a whole.
# SEAMRIG is the rig's checkout, RIG_TAG the suite, RIG_ARGUMENTS more arguments, such as --kernel /path/to/build.

# tmt passes neither HOME nor what a login shell adds to PATH.
HOME=${HOME:-$(getent passwd "$(id -u)" | cut -d : -f 6)}
export HOME
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
cd "${SEAMRIG:?name the checkout of the rig}" || exit 1
suite=$TMT_TEST_DATA/suite
# shellcheck disable=SC2086 # several words on purpose
cargo rig suite --tag "${RIG_TAG:-quick}" --out "$suite" $RIG_ARGUMENTS
code=$?
case $code in
0) whole=pass ;;
5) whole=error ;;
*) whole=fail ;;
esac

# Without ktap.txt there is no file of results, which tmt reports as an error.
[ -f "$suite/ktap.txt" ] || exit $code
awk -v suite="$suite" -v whole=$whole '
# A scenario that could not be begun has no report.
function exists(file) { if ((getline < file) < 0) return 0; close(file); return 1 }
BEGIN { print "- name: /\n  result: " whole }
/^# / {
	line = substr($0, 3)
	gsub(/["\\]/, "\\\\&", line)
	note = note (note == "" ? "" : " ") line
}
/^(not )?ok / {
	passed = $1 == "ok"
	name = passed ? $3 : $4
	result = passed ? "pass" : "fail"
	if (/ # SKIP/) result = "skip"
	if (/ # ERROR/) result = "error"
	print "- name: /" name "\n  result: " result
	if (note != "") print "  note: [\"" note "\"]"
	report = name "/report.html"
	if (exists(suite "/" report)) print "  log: [suite/" report "]"
	note = ""
}' "$suite/ktap.txt" > "$TMT_TEST_DATA/results.yaml"
exit $code
