/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What others pass before and after a SEAMCALL while tdx_update is loaded, so
 * that its engines can keep them out. With engine=stop_machine nothing is to be
 * passed, which is the point of it: preemption disabled is enough.
 */
#ifndef RIG_GATE_H
#define RIG_GATE_H

#include <linux/types.h>

/*
 * @guest: the call stands in for an entry to a guest; it comes from process
 * context with preemption enabled. Others come from any context.
 */
void tdx_update_gate_enter(bool guest);
void tdx_update_gate_leave(bool guest);

#endif /* RIG_GATE_H */
