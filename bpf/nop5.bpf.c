// SPDX-License-Identifier: MIT OR GPL-2.0
/* Counts how often the self-test's probe was hit (user/selftest_nop5.c).
 *
 * It does nothing else: what is tested is what the kernel does around it. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__u64 hits;

SEC("uprobe")
int nop5_hit(void *ctx)
{
	__sync_fetch_and_add(&hits, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
