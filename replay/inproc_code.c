// SPDX-License-Identifier: MIT
/* The code that answers system calls inside the replica. It is copied to CT_INPROC_CODE there and never runs here.
 * By hand, for it must use nothing but general registers: all others belong to the program and are left as they are. */
#include "replay/inproc.h"

#define STR_(x) #x
#define STR(x)  STR_(x)

#define AT(name, offset) _Static_assert(offsetof(struct ct_inproc_ctl, name) == (offset), #name)
AT(cur, 0x00);
AT(end, 0x08);
AT(entry, 0x10);
AT(site, 0x18);
AT(sync, 0x1c);
AT(rsp, 0x20);
AT(rax, 0x28);
AT(rbx, 0x30);
AT(rcx, 0x38);
AT(rdx, 0x40);
AT(rsi, 0x48);
AT(rdi, 0x50);
AT(r8, 0x58);
AT(r9, 0x60);
AT(r10, 0x68);
AT(r11, 0x70);
AT(rflags, 0x78);
AT(back, 0x80);
AT(why, 0x88);
AT(pos, 0x90);
AT(sites, 0x1000);
_Static_assert(sizeof(struct ct_inproc_ctl) <= CT_INPROC_CTL_SIZE, "control area");
_Static_assert(CT_INPROC_CTL + CT_INPROC_CTL_SIZE <= CT_INPROC_TABLE, "layout");

#define IN(name, offset) _Static_assert(offsetof(struct ct_inproc_answer, name) == (offset), #name)
IN(size, 0);
IN(nr, 8);
IN(nin, 12);
IN(args, 16);
IN(ip, 64);
IN(sp, 72);
IN(saved, 80);
IN(ret, 88);
IN(rflags, 96);
IN(nout, 104);
IN(real, 108);
IN(call, 112);
IN(call.args, 120);
IN(call.ret, 168);
_Static_assert(CT_WHY_MISS == 1 && CT_WHY_SYNC == 2 && CT_WHY_FAILED == 3 && CT_WHY_CHECKED == 4, "why");

/* A site has stored rsp and its number and has jumped here; all else is as at the call. Absolute addresses everywhere:
 * the area is within the low 2 GB. The stack is set to right above the place of rflags, so that pushf and popf use
 * just that. */
__asm__(".pushsection .rodata\n"
	".balign 16\n"
	".globl ct_inproc_code, ct_inproc_code_end, ct_inproc_entry, ct_inproc_stop, ct_inproc_syscall\n"
	".set CTL, " STR(
		CT_INPROC_CTL) "\n"
			       "ct_inproc_code:\n"
			       "ct_inproc_entry:\n"
			       "	mov %rax, CTL+0x28\n"
			       "	mov %rbx, CTL+0x30\n"
			       "	mov %rcx, CTL+0x38\n"
			       "	mov %rdx, CTL+0x40\n"
			       "	mov %rsi, CTL+0x48\n"
			       "	mov %rdi, CTL+0x50\n"
			       "	mov %r11, CTL+0x70\n"
			       "	mov $CTL+0x80, %esp\n"
			       "	pushfq\n"
			       "	cld\n"
			       "	mov CTL+0x00, %rbx\n"
			       "	cmp CTL+0x08, %rbx\n"
			       "	jae 90f\n"
			       /* number, arguments, place, stack */
			       "	cmp %eax, 8(%rbx)\n"
			       "	jne 90f\n"
			       "	cmp %rdi, 16(%rbx)\n"
			       "	jne 90f\n"
			       "	cmp %rsi, 24(%rbx)\n"
			       "	jne 90f\n"
			       "	cmp %rdx, 32(%rbx)\n"
			       "	jne 90f\n"
			       "	cmp %r10, 40(%rbx)\n"
			       "	jne 90f\n"
			       "	cmp %r8, 48(%rbx)\n"
			       "	jne 90f\n"
			       "	cmp %r9, 56(%rbx)\n"
			       "	jne 90f\n"
			       "	mov CTL+0x18, %ecx\n"
			       "	shl $4, %ecx\n"
			       "	mov CTL+0x1000(%rcx), %rcx\n"
			       "	cmp %rcx, 64(%rbx)\n"
			       "	jne 90f\n"
			       "	mov CTL+0x20, %rcx\n"
			       "	cmp %rcx, 72(%rbx)\n"
			       "	jne 90f\n"
			       /* CT_SAVED_HASH */
			       "	mov CTL+0x30, %rcx\n"
			       "	lea (%rcx,%rcx,2), %rcx\n"
			       "	lea (%rbp,%rbp,4), %rdx\n"
			       "	add %rdx, %rcx\n"
			       "	imul $7, %r12, %rdx\n"
			       "	add %rdx, %rcx\n"
			       "	imul $11, %r13, %rdx\n"
			       "	add %rdx, %rcx\n"
			       "	imul $13, %r14, %rdx\n"
			       "	add %rdx, %rcx\n"
			       "	imul $17, %r15, %rdx\n"
			       "	add %rdx, %rcx\n"
			       "	cmp %rcx, 80(%rbx)\n"
			       "	jne 90f\n"
			       /* rdx: the list of buffers */
			       "	lea 112(%rbx), %rdx\n"
			       "	cmpl $0, 108(%rbx)\n"
			       "	je 1f\n"
			       "	add $64, %rdx\n"
			       "1:	mov 12(%rbx), %eax\n"
			       "	test %eax, %eax\n"
			       "	jz 3f\n"
			       "2:	mov (%rdx), %rdi\n"
			       "	mov 8(%rdx), %r11\n"
			       "	lea 16(%rdx), %rsi\n"
			       "	lea 23(%rdx,%r11), %rdx\n"
			       "	and $-8, %rdx\n"
			       "	mov %r11, %rcx\n"
			       "	shr $3, %rcx\n"
			       "	cmp %eax, %eax\n" /* "equal", for a count of zero leaves the flags alone */
			       "	repe cmpsq\n"
			       "	jne 90f\n"
			       "	mov %r11, %rcx\n"
			       "	and $7, %ecx\n"
			       "	cmp %eax, %eax\n"
			       "	repe cmpsb\n"
			       "	jne 90f\n"
			       "	dec %eax\n"
			       "	jnz 2b\n"
			       "3:	movq $4, CTL+0x88\n"
			       "	cmpl $0, 108(%rbx)\n"
			       "	je 4f\n"
			       /* the call, or what stands for it, is made */
			       "	mov %rdx, CTL+0x90\n"
			       "	mov %r8, CTL+0x58\n"
			       "	mov %r9, CTL+0x60\n"
			       "	mov %r10, CTL+0x68\n"
			       "	mov 112(%rbx), %rax\n"
			       "	mov 120(%rbx), %rdi\n"
			       "	mov 128(%rbx), %rsi\n"
			       "	mov 136(%rbx), %rdx\n"
			       "	mov 144(%rbx), %r10\n"
			       "	mov 152(%rbx), %r8\n"
			       "	mov 160(%rbx), %r9\n"
			       "	syscall\n"
			       "ct_inproc_syscall:\n"
			       "	mov CTL+0x58, %r8\n"
			       "	mov CTL+0x60, %r9\n"
			       "	mov CTL+0x68, %r10\n"
			       "	mov CTL+0x90, %rdx\n"
			       "	cmp %rax, 168(%rbx)\n"
			       "	jne 92f\n"
			       "4:	mov 104(%rbx), %eax\n"
			       "	test %eax, %eax\n"
			       "	jz 6f\n"
			       "5:	mov (%rdx), %rdi\n"
			       "	mov 8(%rdx), %rcx\n"
			       "	lea 16(%rdx), %rsi\n"
			       "	lea 23(%rdx,%rcx), %rdx\n"
			       "	and $-8, %rdx\n"
			       "	rep movsb\n"
			       "	dec %eax\n"
			       "	jnz 5b\n"
			       /* registers as the kernel leaves them */
			       "6:	mov CTL+0x18, %ecx\n"
			       "	shl $4, %ecx\n"
			       "	mov CTL+0x1008(%rcx), %rcx\n"
			       "	mov %rcx, CTL+0x80\n"
			       "	mov (%rbx), %edx\n"
			       "	add %rbx, %rdx\n"
			       "	mov %rdx, CTL+0x00\n"
			       "	mov 64(%rbx), %rcx\n"
			       "	mov 96(%rbx), %r11\n"
			       "	mov 88(%rbx), %rax\n"
			       "	cmp %rdx, CTL+0x08\n"
			       "	jne 7f\n"
			       "	cmpl $0, CTL+0x1c\n"
			       "	jne 91f\n"
			       "7:	mov %r11, CTL+0x78\n"
			       "	mov CTL+0x30, %rbx\n"
			       "	mov CTL+0x40, %rdx\n"
			       "	mov CTL+0x48, %rsi\n"
			       "	mov CTL+0x50, %rdi\n"
			       "	popfq\n"
			       "	mov CTL+0x20, %rsp\n"
			       "	jmp *CTL+0x80\n"
			       "90:	movq $1, CTL+0x88\n"
			       "	jmp 99f\n"
			       "91:	movq $2, CTL+0x88\n"
			       "	jmp 99f\n"
			       "92:	movq $3, CTL+0x88\n"
			       "99:	int3\n"
			       "ct_inproc_stop:\n"
			       "	ud2\n"
			       "ct_inproc_code_end:\n"
			       ".popsection\n");
