# SPDX-License-Identifier: MIT
# ctbpf's one Makefile: builds, tests, installs. `make help` lists what it can do; V=1 shows the commands.
# Every .c of a room belongs to that room's library: adding a file needs no change here.

VERSION := 0.1.0
PREFIX  ?= /usr/local
DESTDIR ?=
CC      := $(if $(filter default undefined,$(origin CC)),gcc,$(CC))
CLANG   ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/lib/linux-tools/*/bpftool /usr/sbin/bpftool) bpftool)
B       ?= build
SECS    ?= 60

MAKEFLAGS += --no-builtin-rules
J = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' '$(1)' '$(2)')

CFLAGS   ?= -O2 -g
WARN     := -Wall -Wextra -Werror
ALL_CFLAGS := -std=c17 -D_GNU_SOURCE -DCTBPF_VERSION='"$(VERSION)"' $(WARN) -I. -I$(B)/gen -MMD -MP $(SAN) $(CFLAGS)
BPF_CFLAGS := -O2 -g -target bpf -mcpu=v3 -D__TARGET_ARCH_x86 -Wall -Wextra -Werror -Wno-unused-parameter \
              -I. -I$(B)/gen -I/usr/include/x86_64-linux-gnu -MMD -MP
PROG_CFLAGS = -std=gnu17 -D_GNU_SOURCE -O2 -g $(WARN) -pthread -MMD -MP -MT $@ -MF $@.d

LIBS_formats := -lzstd -lz -lxxhash -ljansson -lsqlite3 -lpthread
LIBS_replay  := -ldw -lelf -lZydis -liberty
LIBS_user    := -lbpf -luring -lcap -liberty -llzma -lpcre2-8 -lmicrohttpd -lm

SRC_formats := $(wildcard formats/*.c formats/export/*.c)
SRC_replay  := $(wildcard replay/*.c replay/agents/*.c replay/steps/*.c)
SRC_user    := $(filter-out user/main.c,$(wildcard user/*.c user/attach/*.c))
# bpf/target.bpf.c and those without a licence of their own are linked into one object, record.skel.h (record_bpf),
# target first: libbpf's linker wants maps defined before they are used. Each of the others has its own skeleton.
SRC_bpf     := $(wildcard bpf/*.bpf.c)
BPF_alone   := $(filter-out bpf/target.bpf.c,$(shell grep -ls 'SEC("license")' $(SRC_bpf) /dev/null))
BPF_record  := $(filter bpf/target.bpf.c,$(SRC_bpf)) $(filter-out bpf/target.bpf.c $(BPF_alone),$(SRC_bpf))
obj = $(patsubst %.c,$(B)/%.o,$(1))

LIB_formats := $(B)/libctformat.a
LIB_replay  := $(B)/libctreplay.a
LIB_user    := $(B)/libctuser.a
GEN     := $(B)/gen/syscalls_gen.h
SKELS   := $(if $(BPF_record),$(B)/gen/record.skel.h) $(BPF_alone:bpf/%.bpf.c=$(B)/gen/%.skel.h)
# The usual build leaves the program in the top directory; one with a B of its own keeps it there.
PROG    := $(if $(filter build,$(B)),ctbpf,$(B)/ctbpf)
RUN     := $(if $(filter build,$(B)),./ctbpf,$(abspath $(B)/ctbpf))

UNIT     := $(patsubst %.c,$(B)/%,$(wildcard tests/unit/test_*.c))
PROGRAMS := $(patsubst %,$(B)/%,$(basename $(wildcard tests/programs/*.[cS] tests/programs/behave/*.c)))
FUZZERS  := $(patsubst %.c,$(B)/%,$(wildcard tests/fuzz/fuzz_*.c))
BENCH    := $(patsubst scripts/%.c,$(B)/%,$(wildcard scripts/bench/*.c)) $(B)/bench/calls-pg
MAN      := $(wildcard docs/man/*.1)
# Unit tests that need the kernel's help are not run under valgrind, which knows neither bpf() nor ptrace().
LIVE := bpf/libbpf\.h|skel\.h|sys/ptrace\.h|needs: root

.PHONY: all demo test test-unit test-e2e test-kernels test-repeat bench fuzz sanitize format install uninstall clean help \
        tests fuzzers bench-programs FORCE
.DELETE_ON_ERROR:
.PRECIOUS: $(B)/%.o $(B)/agents/%.o $(B)/agents/%.bin

all: $(PROG) ## build ./ctbpf (default); B=DIR builds elsewhere, V=1 shows commands, CC=clang works too
ifneq ($(PROG),ctbpf)
.PHONY: ctbpf
ctbpf: $(PROG)
endif

$(PROG): $(B)/user/main.o $(LIB_user) $(LIB_replay) $(LIB_formats)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS_user) $(LIBS_replay) $(LIBS_formats)

$(LIB_formats): $(call obj,$(SRC_formats))
$(LIB_replay): $(call obj,$(SRC_replay))
$(LIB_user): $(call obj,$(SRC_user))
$(B)/lib%.a:
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/%.o: %.c $(B)/flags | $(GEN)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -c -o $@ $<
$(call obj,$(SRC_user)) $(B)/user/main.o $(UNIT:=.o): | $(SKELS)

# Changes when another compiler or other flags are asked for, and only then.
$(B)/flags: FORCE
	@mkdir -p $(@D); echo '$(CC) $(SAN) $(CFLAGS) $(VERSION)' | cmp -s - $@ || echo '$(CC) $(SAN) $(CFLAGS) $(VERSION)' >$@

# --- generated -------------------------------------------------------------------------------------------
$(B)/gen_syscalls: scripts/gen_syscalls.c formats/sysrule.h formats/event.h
	$(call say,HOSTCC,$<)
	$(Q)mkdir -p $(@D) && $(CC) -std=c17 -D_GNU_SOURCE $(WARN) -O1 -I. -o $@ $<
$(GEN): formats/syscalls.def $(B)/gen_syscalls
	$(call say,GEN,$@)
	$(Q)mkdir -p $(@D) && $(B)/gen_syscalls --header $< >$@.tmp && mv $@.tmp $@

$(B)/bpf/%.bpf.o: bpf/%.bpf.c | $(GEN)
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D) && $(CLANG) $(BPF_CFLAGS) -c -o $@ $<
$(B)/bpf/record.linked.o: $(BPF_record:bpf/%.c=$(B)/bpf/%.o)
$(BPF_alone:bpf/%.bpf.c=$(B)/bpf/%.linked.o): %.linked.o: %.bpf.o
$(B)/bpf/%.linked.o:
	$(Q)$(BPFTOOL) gen object $@ $^
$(B)/gen/%.skel.h: $(B)/bpf/%.linked.o
	$(call say,SKEL,$@)
	$(Q)mkdir -p $(@D) && printf '#include "formats/%s.h"\n' probe sysrule >$@.tmp && \
	  $(BPFTOOL) gen skeleton $< name $(subst -,_,$*)_bpf >>$@.tmp && mv $@.tmp $@

# Agents run inside of a replayed process: one flat image without relocations each, kept in the program as an array.
AGENT_CFLAGS := -std=c17 -ffreestanding -nostdlib -fPIC -O2 -mgeneral-regs-only -mno-red-zone -fno-stack-protector \
                -fcf-protection=none -fno-asynchronous-unwind-tables -fno-builtin $(WARN) -I. -MMD -MP
$(B)/agents/%.o: replay/agents/blob/%.c $(B)/flags
	$(call say,AGENT,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(AGENT_CFLAGS) -c -o $@ $<
$(B)/agents/%.bin: $(B)/agents/%.o replay/agents/blob/blob.ld
	$(Q)ld -nostdlib --no-warn-rwx-segments -T replay/agents/blob/blob.ld -o $@.elf $< && ! readelf -rW $@.elf | grep R_X86 && \
	  objcopy -O binary $@.elf $@
$(B)/gen/%.h: $(B)/agents/%.bin
	$(Q)mkdir -p $(@D) && { echo 'static const unsigned char $*[] = {'; od -An -v -tx1 $< | sed 's/ \(..\)/0x\1,/g'; \
	  echo '};'; } >$@.tmp && mv $@.tmp $@
$(B)/replay/agents/python_agent.o: $(B)/gen/python_blob.h
$(B)/replay/agents/ruby_agent.o: $(B)/gen/ruby_blob.h

# --- tests -----------------------------------------------------------------------------------------------
$(UNIT): %: %.o $(LIB_user) $(LIB_replay) $(LIB_formats)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ -lcriterion $(LIBS_user) $(LIBS_replay) $(LIBS_formats)

# A target program may ask for flags in a comment among its first lines: "cflags: -m32 -static".
progflags = $(shell sed -n '1,12s|.*cflags: *\([^*]*\).*|\1|p' $<)
$(B)/tests/programs/%: tests/programs/%.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(PROG_CFLAGS) -o $@ $< $(progflags)
$(B)/tests/programs/%: tests/programs/%.S
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(PROG_CFLAGS) -o $@ $< $(progflags)
$(B)/bench/%: scripts/bench/%.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(PROG_CFLAGS) -o $@ $<
$(B)/bench/calls-pg: scripts/bench/calls.c # as uftrace needs it
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(PROG_CFLAGS) -pg -o $@ $<
$(B)/bench/stepdb: scripts/bench/stepdb.c $(LIB_formats)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -MT $@ -MF $@.d -o $@ $< $(LIB_formats) $(LIBS_formats)
# What a target needs beside formats/.
FUZZ_dap  := $(filter-out replay/dap_native%,$(wildcard replay/dap_*.c))
FUZZ_toml := user/toml.c user/call_filter.c user/call_screen.c
FUZZ_DEPS := $(SRC_formats) $(FUZZ_dap) $(FUZZ_toml) $(wildcard user/toml.h user/call_filter.h formats/*.h formats/*/*.h replay/dap*.h replay/gdb_[cp]*.[ch] tests/*/*.h)
$(B)/tests/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(FUZZ_DEPS) $(GEN)
	$(call say,FUZZCC,$<)
	$(Q)mkdir -p $(@D) && $(CLANG) $(filter-out -MMD -MP,$(ALL_CFLAGS)) -fsanitize=fuzzer,address,undefined \
	  -fno-sanitize-recover=all -o $@ $< $(SRC_formats) $(FUZZ_$*) $(LIBS_formats) -lpcre2-8 -lm
$(B)/tests/fuzz/make_seeds: tests/fuzz/make_seeds.c $(FUZZ_DEPS) $(LIB_formats)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(filter-out -MMD -MP,$(ALL_CFLAGS)) -o $@ $< $(LIB_formats) $(LIBS_formats)

tests: $(UNIT) $(PROGRAMS) ; @:
fuzzers: $(FUZZERS) $(B)/tests/fuzz/make_seeds ; @:
bench-programs: $(BENCH) ; @:

test: ## install what is missing, build, run the unit and end-to-end tests
	@scripts/setup build test
	+@B='$(B)' MAKE='$(MAKE)' tests/run
test-unit test-e2e: ## the same, but one half of the tests only
	@scripts/setup build test
	+@B='$(B)' MAKE='$(MAKE)' tests/run $(@:test-%=%)
test-repeat: ## record each of many programs N times (20) and verify each recording; ONLY='perl redis' for some
	@scripts/setup build test repeat
	+@$(MAKE) --no-print-directory $(J) all tests
	@B='$(B)' tests/repeat -n $(or $(N),20) $(ONLY)
test-kernels: ## boot Debian's stock 6.1 and 6.12 kernels under QEMU and record there
	@scripts/setup build kernels
	+@$(MAKE) --no-print-directory $(J) all bench-programs
	@B='$(B)' scripts/test-kernels
demo: ## record a loaded redis for three seconds and look at the recording
	@scripts/setup build demo
	+@$(MAKE) --no-print-directory $(J) all
	@CTBPF='$(RUN)' scripts/demo
bench: ## measure what recording costs, one table; ARGS='--quick --json FILE'
	@scripts/setup build bench
	+@$(MAKE) --no-print-directory $(J) all bench-programs
	@B='$(B)' CTBPF='$(RUN)' scripts/bench/run $(ARGS)
fuzz: ## run each fuzz target for SECS seconds (60); findings end up in build/fuzz
	@scripts/setup build fuzz
	+@$(MAKE) --no-print-directory $(J) fuzzers
	$(Q)mkdir -p $(B)/fuzz && $(B)/tests/fuzz/make_seeds $(B)/fuzz
	$(Q)set -e; for f in $(FUZZERS); do n=$${f##*/}; c=$(B)/fuzz/$$n; mkdir -p $$c; \
	  printf '  %-7s %s for %s s\n' FUZZ $$n $(SECS); \
	  $$f -max_total_time=$(SECS) -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix=$$c- \
	    $$c >$$c.log 2>&1 || { tail -n 40 $$c.log; exit 1; }; \
	  grep -a number_of_executed $$c.log; done
# One test at a time: Criterion leaks a worker of its own when it runs several, which would count as ours.
sanitize: ## unit tests under address and undefined-behaviour sanitizers, then under valgrind
	@scripts/setup build test
	+@CRITERION_JOBS=1 UBSAN_OPTIONS=print_stacktrace=1 B='$(B)/asan' MAKE='$(MAKE)' tests/run unit \
	  SAN='-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer'
	+@B='$(B)' MAKE='$(MAKE)' WRAP='$(VALGRIND)' SKIP_IF='$(LIVE)' tests/run unit
# What tests run by way of popen(3) are other people's programs.
VALGRIND := valgrind -q --trace-children=yes --trace-children-skip=/bin/sh --error-exitcode=9 --leak-check=full \
            --show-leak-kinds=definite --errors-for-leak-kinds=definite
format: ## clang-format all C sources in place
	$(Q)clang-format -i $(wildcard ctbpf.h bpf/*.[ch] formats/*.[ch] formats/*/*.[ch] replay/*.[ch] replay/*/*.[ch] \
	  replay/*/*/*.[ch] user/*.[ch] user/*/*.[ch] scripts/*.c scripts/bench/*.c tests/*/*.[ch] tests/sdk/*/*.c tests/programs/behave/*.[ch])

# --- installing ------------------------------------------------------------------------------------------
install: $(PROG) ## into DESTDIR/PREFIX: program, header, man pages, licence
	install -Dm755 $(PROG) '$(DESTDIR)$(PREFIX)/bin/ctbpf'
	install -Dm644 ctbpf.h '$(DESTDIR)$(PREFIX)/include/ctbpf.h'
	install -d '$(DESTDIR)$(PREFIX)/share/man/man1' '$(DESTDIR)$(PREFIX)/share/doc/ctbpf'
	install -m644 $(MAN) '$(DESTDIR)$(PREFIX)/share/man/man1'
	install -d '$(DESTDIR)$(PREFIX)/lib/systemd/system' '$(DESTDIR)$(PREFIX)/share/doc/ctbpf/systemd'
	sed 's|/usr/local/bin|$(PREFIX)/bin|' docs/systemd/ctbpf.service >'$(DESTDIR)$(PREFIX)/lib/systemd/system/ctbpf.service'
	install -m644 docs/systemd/daemon.conf '$(DESTDIR)$(PREFIX)/share/doc/ctbpf/systemd'
	install -m644 LICENSE README.md $(wildcard docs/*.md) '$(DESTDIR)$(PREFIX)/share/doc/ctbpf'
	install -Dm644 docs/vscode/package.json '$(DESTDIR)$(PREFIX)/share/doc/ctbpf/vscode/package.json'
uninstall: ## what install put there
	rm -f '$(DESTDIR)$(PREFIX)/bin/ctbpf' '$(DESTDIR)$(PREFIX)/include/ctbpf.h' \
	  '$(DESTDIR)$(PREFIX)/lib/systemd/system/ctbpf.service' $(MAN:docs/man/%='$(DESTDIR)$(PREFIX)/share/man/man1/%')
	rm -rf '$(DESTDIR)$(PREFIX)/share/doc/ctbpf'
clean: ## everything built
	$(Q)rm -rf $(B) $(PROG)
help: ## this list
	@sed -n 's/^\([a-z][a-z0-9 -]*\):[^#]*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
	  while IFS='|' read -r t d; do printf '  %-20s %s\n' "$$t" "$$d"; done

-include $(shell [ -d $(B) ] && find $(B) -type f -name '*.d' -not -path '$(B)/asan/*')
