// SPDX-License-Identifier: MIT
/* Probes on instructions with unpredictable results: which files have any, and which processes they are probed in.
 * A file is disassembled once a recording; its probes are attached for each process that maps it. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "formats/sysrule.h"
#include "user/attach/insn_scan.h"
#include "user/attach/target.h"
#include "user/probes.h"
#include "user/uprobe_multi.h"
#include "record.skel.h" /* after the headers with its types */

/* Never freed or changed while the recording lasts: pointers to it may be used without the lock. */
struct ct_scanned {
	struct ct_scanned *next;
	dev_t dev;
	ino_t ino;
	struct ct_insn_probes probes;
	size_t uncertain;
	char *name;
};
struct ct_insn_link {
	struct ct_insn_link *next;
	pid_t pid;
	const struct ct_scanned *file;
	struct ct_uprobes *uprobes;
};

static struct ct_scanned *find(struct ct_probes *p, dev_t dev, ino_t ino)
{
	struct ct_scanned *s;

	pthread_mutex_lock(&p->insn_lock);
	for (s = p->scanned; s && (s->dev != dev || s->ino != ino); s = s->next)
		;
	pthread_mutex_unlock(&p->insn_lock);
	return s;
}

static bool linked(struct ct_probes *p, pid_t pid, const struct ct_scanned *s)
{
	struct ct_insn_link *l;

	pthread_mutex_lock(&p->insn_lock);
	for (l = p->links; l && (l->pid != pid || l->file != s); l = l->next)
		;
	pthread_mutex_unlock(&p->insn_lock);
	return l != NULL;
}

/* Pages with a breakpoint in them look like the process's own: snapshots undo the breakpoint. The caller has the lock.
 */
static int note_sites(struct ct_probes *p, ct_u64 dev, ct_u64 ino, const ct_u64 *offsets, size_t n)
{
	struct ct_probe_site *more = realloc(p->sites, (p->nsites + n) * sizeof(*more));

	if (!more)
		return n ? -1 : 0;
	p->sites = more;
	for (size_t i = 0; i < n; i++)
		p->sites[p->nsites++] = (struct ct_probe_site){dev, ino, offsets[i]};
	return 0;
}

int ct_probes_add_sites(struct ct_probes *p, ct_u64 st_dev, ct_u64 st_ino, const ct_u64 *offsets, size_t n)
{
	int ret;

	pthread_mutex_lock(&p->insn_lock);
	ret = note_sites(p, st_dev, st_ino, offsets, n);
	pthread_mutex_unlock(&p->insn_lock);
	return ret;
}

/* What is known about the file open at fd; looks at it if it has not been seen. NULL: no regular file. */
static struct ct_scanned *look(struct ct_probes *p, int fd, const char *name, bool *fresh)
{
	struct ct_insn_sites sites = {0};
	struct ct_scanned *s;
	struct stat st;

	*fresh = false;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return NULL;
	s = find(p, st.st_dev, st.st_ino);
	if (s)
		return s;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	s->name = strdup(name);
	*fresh = true;
	if (!ct_insn_scan(fd, name, &sites, NULL)) { /* else it is no ELF file: nothing in it is run as it stands */
		for (size_t i = 0; i < sites.n; i++)
			if (!sites.v[i].certain && sites.v[i].kind != CT_INSN_CPUID &&
			    sites.v[i].doubt != CT_DOUBT_INSIDE)
				s->uncertain++;
		if (ct_insn_probes(&sites, p->nop5_safe, &s->probes, NULL))
			memset(&s->probes, 0, sizeof(s->probes));
		s->uncertain += s->probes.skipped;
		ct_insn_sites_free(&sites);
	}
	pthread_mutex_lock(&p->insn_lock);
	if (s->probes.n)
		note_sites(p, s->dev, s->ino, s->probes.offsets, s->probes.n);
	s->next = p->scanned;
	p->scanned = s;
	pthread_mutex_unlock(&p->insn_lock);
	return s;
}

static int attach(struct ct_probes *p, pid_t pid, const struct ct_scanned *s, const char *path, struct ct_error *err)
{
	struct ct_uprobe_spec spec = {.path = path,
				      .pid = pid,
				      .offsets = s->probes.offsets,
				      .cookies = s->probes.cookies,
				      .n = s->probes.n,
				      .flags = p->uprobe_multi ? CT_UPROBE_MULTI : CT_UPROBE_PERF};
	struct ct_insn_link *l;

	if (!s->probes.n || linked(p, pid, s))
		return 0;
	l = calloc(1, sizeof(*l));
	if (!l)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	l->pid = pid;
	l->file = s;
	l->uprobes = ct_uprobes_create(bpf_program__fd(p->skel->progs.ct_insn), &spec, err);
	if (!l->uprobes) {
		free(l);
		return -1;
	}
	pthread_mutex_lock(&p->insn_lock);
	l->next = p->links;
	p->links = l;
	pthread_mutex_unlock(&p->insn_lock);
	return 0;
}

int ct_probes_scan(struct ct_probes *p, pid_t pid, const char *path, const char *name, size_t *uncertain,
		   struct ct_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct ct_scanned *s;
	bool fresh = false;

	s = fd >= 0 ? look(p, fd, name, &fresh) : NULL;
	if (fd >= 0)
		close(fd);
	*uncertain = s && fresh ? s->uncertain : 0;
	return s ? attach(p, pid, s, path, err) : 0;
}

int ct_probes_look(struct ct_probes *p, const char *path, const char *name)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct ct_scanned *s;
	bool fresh;

	s = fd >= 0 ? look(p, fd, name, &fresh) : NULL;
	if (fd >= 0)
		close(fd);
	return s && s->probes.n;
}

bool ct_probes_needs_scan(struct ct_probes *p, pid_t pid, int fd)
{
	struct ct_scanned *s;
	struct stat st;
	char magic[4];

	if (fstat(fd, &st))
		return false;
	s = find(p, st.st_dev, st.st_ino);
	if (s)
		return s->probes.n && !linked(p, pid, s);
	return pread(fd, magic, 4, 0) == 4 && !memcmp(magic, "\177ELF", 4);
}

struct ct_probe_site *ct_probes_sites(struct ct_probes *p, size_t *n)
{
	struct ct_probe_site *copy = NULL;

	pthread_mutex_lock(&p->insn_lock);
	*n = p->nsites;
	if (*n)
		copy = malloc(*n * sizeof(*copy));
	if (copy)
		memcpy(copy, p->sites, *n * sizeof(*copy));
	pthread_mutex_unlock(&p->insn_lock);
	return copy;
}

bool ct_probes_has_sites(struct ct_probes *p, ct_u64 st_dev, ct_u64 st_ino)
{
	const struct ct_scanned *s = find(p, st_dev, st_ino);

	return s && s->probes.n;
}

void ct_probes_scan_known(struct ct_probes *p, pid_t pid)
{
	struct ct_scanned *s;

	pthread_mutex_lock(&p->insn_lock);
	s = p->scanned;
	pthread_mutex_unlock(&p->insn_lock);
	for (; s; s = s->next) {
		struct stat st;

		/* By the name it had when it was seen; another file of that name now is not it. */
		if (s->probes.n && s->name && !stat(s->name, &st) && st.st_ino == s->ino && st.st_dev == s->dev)
			attach(p, pid, s, s->name, NULL);
	}
}

struct ct_insn_link *ct_probes_take(struct ct_probes *p, pid_t pid)
{
	struct ct_insn_link **at, *l, *gone = NULL;

	pthread_mutex_lock(&p->insn_lock);
	for (at = &p->links; (l = *at);) {
		if (l->pid != pid) {
			at = &l->next;
			continue;
		}
		*at = l->next;
		l->next = gone;
		gone = l;
	}
	pthread_mutex_unlock(&p->insn_lock);
	return gone;
}

void ct_probes_detach(struct ct_insn_link *links)
{
	struct ct_insn_link *l;

	while ((l = links)) {
		links = l->next;
		ct_uprobes_destroy(l->uprobes);
		free(l);
	}
}

void ct_probes_insn_deinit(struct ct_probes *p)
{
	struct ct_scanned *s;

	while (p->links)
		ct_probes_detach(ct_probes_take(p, p->links->pid));
	while ((s = p->scanned)) {
		p->scanned = s->next;
		ct_insn_probes_free(&s->probes);
		free(s->name);
		free(s);
	}
	free(p->sites);
}
