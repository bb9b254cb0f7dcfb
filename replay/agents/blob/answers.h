/* SPDX-License-Identifier: MIT
 * Part of agents: which event of the recording comes next, while a replica answers its system calls by itself. Included
 * by an agent's one file, which has H, rd, rd32, buffer, put and done. */
#ifndef CT_BLOB_ANSWERS_H
#define CT_BLOB_ANSWERS_H

/* System calls that the replica answered by itself since it was told of them last. The address of the next answer is
 * followed by that of the end; an answer has its index in its second half word. */
static void answered(void)
{
	const ct_u64 at = H.answers ? rd(H.answers) : 0, end = at ? rd(H.answers + 8) : 0;
	ct_u64 *p;

	if ((at == H.answer && buffer()->batch == H.batch) || end == H.no_answers)
		return; /* else the tracer tells of each event */
	H.answer = at;
	H.batch = buffer()->batch;
	p = put();
	p[0] = CT_PYR(CT_PYR_ANSWER, at == end, 2);
	p[1] = at == end ? 0 : rd32(at + 4);
	done(p + 2);
}

#endif
