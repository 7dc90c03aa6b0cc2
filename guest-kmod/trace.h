/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tracepoints of an update: a step is seen, a step is acknowledged, a SEAMCALL. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM tdx_update

#if !defined(RIG_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define RIG_TRACE_H

#include <linux/tracepoint.h>

TRACE_EVENT(tdx_update_step,
	TP_PROTO(int step, bool lead),
	TP_ARGS(step, lead),
	TP_STRUCT__entry(
		__field(int, step)
		__field(bool, lead)
	),
	TP_fast_assign(
		__entry->step = step;
		__entry->lead = lead;
	),
	TP_printk("step=%d lead=%d", __entry->step, __entry->lead)
);

TRACE_EVENT(tdx_update_ack,
	TP_PROTO(int step, int result),
	TP_ARGS(step, result),
	TP_STRUCT__entry(
		__field(int, step)
		__field(int, result)
	),
	TP_fast_assign(
		__entry->step = step;
		__entry->result = result;
	),
	TP_printk("step=%d result=%d", __entry->step, __entry->result)
);

TRACE_EVENT(tdx_update_seamcall,
	TP_PROTO(u64 leaf, u64 status),
	TP_ARGS(leaf, status),
	TP_STRUCT__entry(
		__field(u64, leaf)
		__field(u64, status)
	),
	TP_fast_assign(
		__entry->leaf = leaf;
		__entry->status = status;
	),
	TP_printk("leaf=0x%llx status=0x%llx", __entry->leaf, __entry->status)
);

#endif /* RIG_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
