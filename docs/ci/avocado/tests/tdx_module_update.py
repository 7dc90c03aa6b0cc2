# SPDX-License-Identifier: MIT OR Apache-2.0
"""A scenario of the rig as a test of avocado-vt, in the layout of LKVS (KVM/qemu/tests)."""

import json
import os

from avocado.utils import process

# Exit codes of `rig run`: docs/reference/exit-codes.md.
PASSED, USAGE, RIG_ERROR, SKIPPED = 0, 2, 5, 77


def run(test, params, env):
    """
    Updates the TDX module of an emulated machine and judges the update.

    No machine of avocado-vt is used, and nothing of the host's log is read: the verdict says what was seen.

    :param test: test object
    :param params: `seamrig` is the rig's checkout, `rig_scenario` a scenario, `rig_kernel` a build tree or an image
                   (without it: the rig's own kernel)
    :param env: not used
    """
    out = os.path.join(test.debugdir, params["rig_scenario"])
    command = "cargo rig run %s --out %s" % (params["rig_scenario"], out)
    if params.get("rig_kernel"):
        command += " --kernel %s" % params["rig_kernel"]
    os.chdir(params["seamrig"])
    done = process.run(command, ignore_status=True, verbose=True)
    if done.exit_status == PASSED:
        return
    said = done.stderr_text.strip().splitlines()
    reason = said[-1] if said else "exit code %d" % done.exit_status
    verdict = os.path.join(out, "verdict.json")
    if os.path.exists(verdict):
        with open(verdict, encoding="utf-8") as file:
            reason = json.load(file).get("reason") or reason
    if done.exit_status == SKIPPED:
        test.cancel(reason)
    if done.exit_status in (USAGE, RIG_ERROR):
        test.error(reason)
    test.fail(reason)
