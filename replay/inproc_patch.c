// SPDX-License-Identifier: MIT
/* Call sites of an address space: which are patched to take their answers from the table, and how that stays unseen.
 * See inproc.h for the way of a call, struct site for the two kinds of patches. */
#include <Zydis/Zydis.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "replay/inproc.h"

#define JUMP        5 /* bytes of jmp rel32 */
#define PATCH_AFTER 8 /* calls that have stopped: a patch costs about as much */
#define SLOTS       2048
#define REGION      (256u << 10)
#define GRAIN       32u /* springboards start at multiples of this */
#define GRAINS      (REGION / GRAIN)
#define SPRING_MAX  (2 * GRAIN)
#define REGIONS     16
#define INT3        0xcc
#define BEFORE      62 /* bytes of code looked at before a call */
#define NEVER       (-2)

/* A patch is a jump to a springboard, a few instructions near it that lead to the common code. Either it replaces the
 * `mov $nr,%eax` before the system call: one instruction for another, and who jumps to the system call itself still
 * finds it. Or it replaces the system call and the beginning of the next instruction, of which the springboard then has
 * a copy: the address behind the call, to which calls return and frames of signals lead, is then inside of the jump.
 * The springboard is placed so that this byte of the jump is int3. */
struct site {
	ct_u64 ip; /* behind the system call */
	ct_u64 at; /* of the patch */
	ct_u64 spring;
	ct_u64 back; /* where a call goes on; not ip if the patch covers it */
	ct_u32 index;
	bool on; /* else the original bytes are there */
	unsigned char orig[JUMP], jump[JUMP];
};
struct slot {
	ct_u64 ip;
	ct_u32 stops;
	ct_s32 site; /* index into sites, -1: not (yet), NEVER */
};
struct region {
	ct_u64 base;
	unsigned char used[GRAINS];
};

struct ct_mm {
	int refs;
	bool never; /* the program uses the addresses of ours */
	struct ct_inproc *in;
	struct site *sites;
	size_t nsites;
	size_t off; /* sites that are not on */
	struct region *regions;
	size_t nregions;
	struct slot slots[SLOTS];
	size_t nslots;
};

struct ct_mm *ct_mm_create(struct ct_inproc *in)
{
	struct ct_mm *mm = calloc(1, sizeof(*mm));

	if (!mm)
		return NULL;
	mm->refs = 1;
	mm->in = in;
	in->refs++;
	return mm;
}

struct ct_mm *ct_mm_share(struct ct_mm *mm)
{
	if (mm)
		mm->refs++;
	return mm;
}

struct ct_mm *ct_mm_fork(const struct ct_mm *mm)
{
	struct ct_mm *child = mm ? malloc(sizeof(*child)) : NULL;

	if (!child)
		return NULL;
	*child = *mm;
	child->refs = 1;
	child->in->refs++;
	child->sites = calloc(mm->nsites + 1, sizeof(*child->sites));
	child->regions = calloc(mm->nregions + 1, sizeof(*child->regions));
	if (!child->sites || !child->regions) {
		child->nsites = 0;
		ct_mm_release(child);
		return NULL;
	}
	if (mm->nsites)
		memcpy(child->sites, mm->sites, mm->nsites * sizeof(*mm->sites));
	for (size_t i = 0; i < mm->nsites; i++)
		mm->in->site_users[mm->sites[i].index]++;
	if (mm->nregions)
		memcpy(child->regions, mm->regions, mm->nregions * sizeof(*mm->regions));
	return child;
}

void ct_mm_release(struct ct_mm *mm)
{
	if (!mm || --mm->refs)
		return;
	for (size_t i = 0; i < mm->nsites; i++)
		mm->in->site_users[mm->sites[i].index]--;
	ct_inproc_release(mm->in);
	free(mm->sites);
	free(mm->regions);
	free(mm);
}

/* Open addressing; NULL if there is none and no room either. */
static struct slot *find_slot(const struct ct_mm *mm, ct_u64 ip)
{
	size_t i = (ip * 0x9e3779b97f4a7c15ull) >> 53;

	for (size_t n = 0; n < SLOTS; n++, i = (i + 1) % SLOTS)
		if (mm->slots[i].ip == ip || !mm->slots[i].ip)
			return (struct slot *)&mm->slots[i];
	return NULL;
}

static const struct site *find_site(const struct ct_mm *mm, ct_u64 ip)
{
	const struct slot *slot = mm && mm->nsites ? find_slot(mm, ip) : NULL;

	return slot && slot->ip == ip && slot->site >= 0 ? &mm->sites[slot->site] : NULL;
}

int ct_mm_site(const struct ct_mm *mm, ct_u64 ip)
{
	const struct site *s = find_site(mm, ip);

	return s ? (int)s->index : -1;
}

ct_u64 ct_mm_moved(const struct ct_mm *mm, ct_u64 ip)
{
	const struct site *s = find_site(mm, ip);

	return s && s->on && s->back != ip ? s->back : 0;
}

ct_u64 ct_mm_trapped(const struct ct_mm *mm, ct_u64 ip)
{
	return ct_mm_moved(mm, ip - 1);
}

/* ---- room ---------------------------------------------------------------------------------------------------- */

/* A gap within reach of a jump, but far from everything: the kernel gave the program addresses near what it had. */
static ct_u64 find_gap(pid_t pid, ct_u64 site)
{
	static const ct_s64 distance[] = {-(1ll << 30), 1ll << 30,    -(3ll << 29), 3ll << 29,    -(1ll << 29),
					  1ll << 29,    -(1ll << 28), 1ll << 28,    -(1ll << 26), 1ll << 26};
	const ct_u64 guard = 1u << 20;
	struct ct_maps maps;
	ct_u64 found = 0;

	if (ct_maps_read(pid, &maps, NULL))
		return 0;
	for (size_t d = 0; d < sizeof(distance) / sizeof(*distance) && !found; d++) {
		ct_u64 base = (site & ~(ct_u64)0xffff) + (ct_u64)distance[d];

		if ((distance[d] < 0 && site < (ct_u64)-distance[d] + CT_INPROC_END + guard) || (base + REGION) >> 47)
			continue;
		found = base;
		for (size_t i = 0; i < maps.count; i++)
			if (maps.map[i].start < base + REGION + guard && maps.map[i].end + guard > base)
				found = 0;
	}
	ct_maps_deinit(&maps);
	return found;
}

static bool reaches(ct_u64 from, ct_u64 to, bool punned)
{
	ct_s64 rel = (ct_s64)(to - (from + JUMP));

	return (ct_s32)rel == rel && (!punned || ((rel >> 8) & 0xff) == INT3);
}

static ct_u64 take_room(struct region *r, ct_u64 at, size_t len, bool punned)
{
	const size_t grains = (len + GRAIN - 1) / GRAIN;

	for (size_t g = 2 * CT_PAGE / GRAIN; g + grains <= GRAINS; g++) { /* behind the pages of ct_mm_pages */
		size_t n = 0;

		if (!reaches(at, r->base + g * GRAIN, punned))
			continue;
		while (n < grains && !r->used[g + n])
			n++;
		if (n < grains)
			continue;
		memset(r->used + g, 1, grains);
		return r->base + g * GRAIN;
	}
	return 0;
}

static struct region *add_region(struct ct_rthread *t, struct ct_mm *mm, ct_u64 at)
{
	struct region *more;
	ct_u64 base;

	if (mm->nregions == REGIONS || !(base = find_gap(t->real, at)))
		return NULL;
	more = realloc(mm->regions, (mm->nregions + 1) * sizeof(*more));
	if (!more)
		return NULL;
	mm->regions = more;
	if (ct_replica_call(t, SYS_mmap, base, REGION, PROT_READ | PROT_WRITE | PROT_EXEC,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0) != (long)base)
		return NULL;
	more += mm->nregions++;
	memset(more, 0, sizeof(*more));
	more->base = base;
	return more;
}

static ct_u64 find_room(struct ct_rthread *t, struct ct_mm *mm, ct_u64 at, size_t len, bool punned)
{
	struct region *r;
	ct_u64 room;

	for (size_t i = 0; i < mm->nregions; i++)
		if ((room = take_room(&mm->regions[i], at, len, punned)))
			return room;
	r = add_region(t, mm, at);
	return r ? take_room(r, at, len, punned) : 0;
}

ct_u64 ct_mm_pages(struct ct_rthread *t, ct_u64 ip)
{
	struct ct_mm *mm = t->proc->mm;
	struct region *r;

	if (!mm || mm->never)
		return 0;
	for (size_t i = 0; i < mm->nregions; i++) {
		const ct_s64 rel = (ct_s64)(mm->regions[i].base - ip);

		if (rel > -(7ll << 28) && rel < 7ll << 28) /* what the moved code refers to is near ip, too */
			return mm->regions[i].base;
	}
	r = add_region(t, mm, ip);
	return r ? r->base : 0;
}

/* ---- patching ------------------------------------------------------------------------------------------------ */

/* Whether reading the code from each of these places leads to code[to], if it leads to code[at] at all. */
static bool all_lead_to(const ZydisDecoder *dec, const unsigned char *code, unsigned from, unsigned to, unsigned at)
{
	ZydisDecodedInstruction insn;

	for (unsigned i = 0; i < ZYDIS_MAX_INSTRUCTION_LENGTH; i++) {
		unsigned p = from + i;

		while (p < at && p != to &&
		       ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(dec, NULL, code + p, at - p, &insn)))
			p += insn.length;
		if (p == at)
			return false;
	}
	return true;
}

/* Whether `mov $nr,%eax` is what stands before the system call at code[at]. An instruction begins in each stretch of 15
 * bytes: if all ways of reading from one such stretch agree, the true one is among them. Near the call a constant may
 * leave two ways open (ba 04 00 00 00 b8 ...); from farther away they have met. */
static bool mov_before(const ZydisDecoder *dec, const unsigned char *code, unsigned at, ct_s32 nr)
{
	ct_s32 imm;

	memcpy(&imm, code + at - 4, 4);
	if (code[at - JUMP] != 0xb8 || imm != nr)
		return false;
	for (unsigned back = JUMP + ZYDIS_MAX_INSTRUCTION_LENGTH; back <= at; back += 14)
		if (all_lead_to(dec, code, at - back, at - JUMP, at))
			return true;
	return false;
}

/* What the recorder puts behind the vDSO: mov $nr,%eax; syscall; ret. Reached by jumps only, zero bytes before it. */
static bool is_thunk(const struct ct_replica *p, const unsigned char *code, unsigned at, ct_u64 ip, ct_s32 nr)
{
	ct_s32 imm;

	memcpy(&imm, code + at - 4, 4);
	return ip > p->vdso && ip < p->vdso_end && code[at - JUMP] == 0xb8 && imm == nr && code[at + 2] == 0xc3 &&
	       (code[at - JUMP - 1] & 0xf0) != 0x40;
}

/* Length of the instruction behind the call if it can be moved and covers the rest of the jump, else 0. */
static unsigned movable(const ZydisDecoder *dec, const unsigned char *code)
{
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction insn;

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(dec, code, ZYDIS_MAX_INSTRUCTION_LENGTH, &insn, ops)) ||
	    insn.length < JUMP - 2 || (insn.attributes & ZYDIS_ATTRIB_IS_RELATIVE))
		return 0;
	/* It must not fault, for its signal would tell where it is. The stack is there. */
	for (unsigned i = 0; i < insn.operand_count; i++)
		if (ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY && ops[i].mem.type == ZYDIS_MEMOP_TYPE_MEM &&
		    ops[i].mem.base != ZYDIS_REGISTER_RSP)
			return 0;
	switch (insn.meta.category) { /* what decides where to go on, and what is waited for by its address */
	case ZYDIS_CATEGORY_RDRAND:
	case ZYDIS_CATEGORY_RDSEED:
	case ZYDIS_CATEGORY_STRINGOP:
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_COND_BR:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
	case ZYDIS_CATEGORY_SYSTEM:
	case ZYDIS_CATEGORY_INTERRUPT: return 0;
	default: return insn.length;
	}
}

/* Code that the program cannot change without a call that is seen. */
static bool steady(pid_t pid, ct_u64 addr, size_t len)
{
	struct ct_maps maps;
	const struct ct_map *m;
	bool ret;

	if (ct_maps_read(pid, &maps, NULL))
		return false;
	m = ct_maps_find(&maps, addr);
	ret = m && addr + len <= m->end && !m->shared && m->prot == (PROT_READ | PROT_EXEC);
	ct_maps_deinit(&maps);
	return ret;
}

static bool overlaps(ct_u64 a, ct_u64 alen, ct_u64 b, ct_u64 blen)
{
	return a < b + blen && b < a + alen;
}

static void put32(unsigned char *p, ct_u32 v)
{
	memcpy(p, &v, 4);
}

static bool turn_on(struct ct_replica *p, struct site *s)
{
	return ct_mem_write(p->memfd, s->at, s->jump, JUMP);
}

static int patch(struct ct_rthread *t, struct ct_mm *mm, ct_u64 ip, ct_s32 nr, struct site *s)
{
	unsigned char code[BEFORE + 2 + ZYDIS_MAX_INSTRUCTION_LENGTH], spring[SPRING_MAX];
	const unsigned at = BEFORE; /* of the system call in code[] */
	unsigned n = 0, moved = 0;
	ZydisDecoder dec;
	bool before;

	ZydisDecoderInit(&dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	while (s->index < CT_INPROC_SITES && mm->in->site_users[s->index])
		s->index++;
	if (s->index == CT_INPROC_SITES || !steady(t->real, ip - 2 - at, sizeof(code)) ||
	    !ct_replica_read(t->proc, ip - 2 - at, code, sizeof(code)) || code[at] != 0x0f || code[at + 1] != 0x05)
		return -1;
	before = is_thunk(t->proc, code, at, ip, nr) || mov_before(&dec, code, at, nr);
	if (!before && !(moved = movable(&dec, code + at + 2)))
		return -1;
	s->ip = ip;
	s->at = ip - 2 - (before ? JUMP : 0);
	memcpy(s->orig, code + at - (before ? JUMP : 0), JUMP);
	for (size_t i = 0; i < mm->nsites; i++)
		if (overlaps(s->at, 2 + JUMP, mm->sites[i].at, JUMP))
			return -1;
	s->spring = find_room(t, mm, s->at, SPRING_MAX, !before);
	if (!s->spring)
		return -1;

	if (before) {
		memcpy(spring, s->orig, JUMP);
		n = JUMP;
	}
	memcpy(spring + n, (const unsigned char[]){0x48, 0x89, 0x24, 0x25}, 4); /* mov %rsp,ctl.rsp */
	put32(spring + n + 4, CT_INPROC_CTL + offsetof(struct ct_inproc_ctl, rsp));
	memcpy(spring + n + 8, (const unsigned char[]){0xc7, 0x04, 0x25}, 3); /* movl $index,ctl.site */
	put32(spring + n + 11, CT_INPROC_CTL + offsetof(struct ct_inproc_ctl, site));
	put32(spring + n + 15, s->index);
	memcpy(spring + n + 19, (const unsigned char[]){0xff, 0x24, 0x25}, 3); /* jmp *ctl.entry */
	put32(spring + n + 22, CT_INPROC_CTL + offsetof(struct ct_inproc_ctl, entry));
	n += 26;
	s->back = ip;
	if (moved) {
		ct_s64 rel;

		s->back = s->spring + n;
		memcpy(spring + n, code + at + 2, moved);
		n += moved;
		spring[n] = 0xe9;
		rel = (ct_s64)(ip + moved - (s->spring + n + JUMP));
		if ((ct_s32)rel != rel)
			return -1;
		put32(spring + n + 1, (ct_u32)rel);
		n += JUMP;
	}
	s->jump[0] = 0xe9;
	put32(s->jump + 1, (ct_u32)(s->spring - (s->at + JUMP)));
	if (!ct_mem_write(t->proc->memfd, s->spring, spring, n))
		return -1;
	mm->in->ctl->sites[s->index].ip = ip;
	mm->in->ctl->sites[s->index].back = s->back;
	if (!turn_on(t->proc, s))
		return -1;
	s->on = true;
	mm->in->site_users[s->index]++;
	return 0;
}

void ct_mm_saw_call(struct ct_rthread *t, ct_u64 ip, ct_s32 nr)
{
	struct ct_mm *mm = t->proc->mm;
	struct slot *slot = mm ? find_slot(mm, ip) : NULL;
	struct site *more;

	if (!slot || mm->never || (!slot->ip && mm->nslots > SLOTS / 2))
		return;
	if (!slot->ip) {
		*slot = (struct slot){.ip = ip, .site = -1};
		mm->nslots++;
	}
	if (slot->site != -1 || ++slot->stops < PATCH_AFTER)
		return;
	slot->site = NEVER;
	more = realloc(mm->sites, (mm->nsites + 1) * sizeof(*more));
	if (!more)
		return;
	mm->sites = more;
	memset(&more[mm->nsites], 0, sizeof(*more));
	if (!patch(t, mm, ip, nr, &more[mm->nsites]))
		slot->site = (ct_s32)mm->nsites++;
}

/* ---- staying unseen ------------------------------------------------------------------------------------------ */

/* System calls take whole pages. */
static void whole_pages(ct_u64 *addr, ct_u64 *len)
{
	const ct_u64 end = (*addr + *len + CT_PAGE - 1) & ~(ct_u64)(CT_PAGE - 1);

	*addr &= ~(ct_u64)(CT_PAGE - 1);
	*len = end - *addr;
}

bool ct_mm_touches(const struct ct_mm *mm, ct_u64 addr, ct_u64 len)
{
	whole_pages(&addr, &len);
	if (addr < CT_INPROC_END)
		return true;
	for (size_t i = 0; mm && i < mm->nsites; i++)
		if (overlaps(addr, len, mm->sites[i].at, JUMP))
			return true;
	for (size_t i = 0; mm && i < mm->nregions; i++)
		if (overlaps(addr, len, mm->regions[i].base, REGION))
			return true;
	return false;
}

/* Forgets a site. */
static void drop(struct ct_replica *p, struct ct_mm *mm, size_t i)
{
	struct slot *slot = find_slot(mm, mm->sites[i].ip);

	if (mm->sites[i].on)
		ct_mem_write(p->memfd, mm->sites[i].at, mm->sites[i].orig, JUMP);
	else
		mm->off--;
	mm->in->site_users[mm->sites[i].index]--;
	slot->site = -1;
	slot->stops = 0;
	mm->nsites--;
	if (i < mm->nsites) {
		mm->sites[i] = mm->sites[mm->nsites];
		find_slot(mm, mm->sites[i].ip)->site = (ct_s32)i;
	}
}

void ct_mm_before_change(struct ct_rthread *t, ct_u64 addr, ct_u64 len)
{
	struct ct_mm *mm = t->proc->mm;

	if (!mm)
		return;
	whole_pages(&addr, &len);
	for (size_t i = mm->nregions; i-- > 0;) {
		const ct_u64 base = mm->regions[i].base;

		if (!overlaps(addr, len, base, REGION))
			continue;
		for (size_t k = mm->nsites; k-- > 0;)
			if (overlaps(mm->sites[k].spring, 1, base, REGION))
				drop(t->proc, mm, k);
		ct_replica_call(t, SYS_munmap, base, REGION, 0, 0, 0, 0);
		mm->regions[i] = mm->regions[--mm->nregions];
	}
	mm->never |= addr < CT_INPROC_END;
	for (size_t k = mm->nsites; k-- > 0;)
		if (mm->never || overlaps(addr, len, mm->sites[k].at, JUMP))
			drop(t->proc, mm, k);
}

void ct_mm_bare(struct ct_replica *p, ct_u64 ip)
{
	struct ct_mm *mm = p->mm;

	for (size_t i = 0; mm && i < mm->nsites; i++) {
		struct site *s = &mm->sites[i];

		/* What a trampoline at ip may cover, and the patch that ip may be in. */
		if (!s->on || !overlaps(ip - 16, 64, s->at, JUMP))
			continue;
		s->on = !ct_mem_write(p->memfd, s->at, s->orig, JUMP);
		mm->off += !s->on;
	}
}

void ct_mm_retire(struct ct_replica *p)
{
	for (size_t k = p->mm ? p->mm->nsites : 0; k-- > 0;)
		drop(p, p->mm, k);
	if (p->mm)
		p->mm->never = true;
}

bool ct_mm_is_ours(const struct ct_mm *mm, ct_u64 start)
{
	if (start == CT_GADGET ||
	    (mm && (start == CT_INPROC_CODE || start == CT_INPROC_CTL || start == CT_INPROC_TABLE)))
		return true;
	for (size_t i = 0; mm && i < mm->nregions; i++)
		if (start == mm->regions[i].base)
			return true;
	return false;
}

void ct_mm_patched(struct ct_replica *p)
{
	struct ct_mm *mm = p->mm;

	for (size_t i = 0; mm && mm->off && i < mm->nsites; i++) {
		struct site *s = &mm->sites[i];

		if (s->on)
			continue;
		s->on = turn_on(p, s);
		mm->off -= s->on;
	}
}

void ct_mm_mask(const struct ct_mm *mm, ct_u64 addr, void *buf, size_t len)
{
	for (size_t i = 0; mm && i < mm->nsites; i++) {
		const struct site *s = &mm->sites[i];

		if (!s->on || !overlaps(addr, len, s->at, JUMP))
			continue;
		for (unsigned k = 0; k < JUMP; k++)
			if (s->at + k >= addr && s->at + k < addr + len)
				((unsigned char *)buf)[s->at + k - addr] = s->orig[k];
	}
}
