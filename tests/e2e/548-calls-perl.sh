#!/bin/bash
# SPDX-License-Identifier: MIT
# Calls of a running Perl are exactly those the program makes: names, files, lines; methods, closures, AUTOLOAD, goto &sub,
# exceptions, last out of a sub, DESTROY, tie, overload, sort; afterwards its code is what it was.
# timeout: 120
# shellcheck source-path=SCRIPTDIR source=540-common.sh disable=SC2154,SC2016
source "$(dirname "$0")/540-common.sh"
PERL=${PERL:-/usr/bin/perl}
need "$PERL"

mkdir "$T/größe"
cat >"$T/größe/shop.pl" <<'PL'
use strict; use warnings; no warnings 'exiting'; use utf8;
package Order;
use overload '""' => sub { text(@_) }, '+' => 'plus';
our $AUTOLOAD;
sub new {
    my ($class, $n) = @_;
    return bless {n => $n}, $class;
}
sub total { main::leaf($_[1]) }
sub text {
    "order"
}
sub plus {
    5
}
sub AUTOLOAD {
    main::leaf(1);
    goto &main::target;
}
sub DESTROY {
    main::leaf($_[0]{n});
}
package Tied;
sub TIESCALAR {
    bless []
}
sub FETCH {
    main::leaf(1)
}
package main;
sub leaf {
    my ($n) = @_;
    return $n + 1;
}
sub target {
    leaf(2);
}
sub fails {
    for my $i (1) {
        die "no\n";
    }
}
sub ensures {
    my $guard = Order->new(3);
    fails();
}
sub größe {
    1
}
sub leaves {
    for (1) { last OUTER }
}
sub early {
    for my $i (1 .. 3) { if ($i == 2) { return leaf($i) } }
}
my $value = 0;
sub left :lvalue {
    $value
}
sub block(&) {
    $_[0]->(3)
}
sub compares {
    $a <=> $b
}
sub scope {
    my $o = Order->new(7);
    return 1;
}
sub recursive {
    my ($n) = @_;
    return $n ? recursive($n - 1) + 1 : 0;
}
sub signalled {
    leaf(0);
}
sub request {
    my ($n) = @_;
    leaf($n);
    eval { fails(); 1 } or leaf($n);
    eval { ensures() };
    my $o = Order->new($n);
    $o->total($n);
    my $text = "$o";
    my $sum = $o + 1;
    $o->missing(1);
    undef $o;
    größe();
    OUTER: for (1) { leaves() }
    my @list = early();
    left() = 4;
    block { leaf($_[0]) };
    my @sorted = sort compares 3, 1;
    @sorted = sort { leaf($a) <=> leaf($b) } 2, 1;
    @list = map { leaf($_) } 1, 2;
    scope();
    tie my $tied, 'Tied';
    my $got = $tied;
    eval 'leaf(8)';
    my $closure = sub { leaf($n) };
    $closure->();
    &$closure;
    { local $SIG{__DIE__} = \&signalled; eval { die "x" }; }
    { local $SIG{USR1} = \&signalled; kill USR1 => $$; }
    no strict 'refs';
    &{"le" . "af"}(1);
    leaf($n);
    recursive($n % 5);
    recursive(90) if $n % 20 == 0;
}
$| = 1;
print "ready\n";
for (my $n = 0; ; $n++) {
    request($n);
    select undef, undef, undef, 0.01 if $n % 20 == 0;
}
PL
cat >"$T/check.py" <<'PY'
import collections, sys
import shop_calls

LEAF = "leaf"
def with_leaf(name, depth=2):
    yield depth, name
    yield depth + 1, LEAF

def request(n):
    yield 1, "request"
    yield 2, LEAF
    yield 2, "fails"
    yield 2, LEAF
    yield 2, "ensures"
    yield 3, "Order::new"
    yield 3, "fails"
    # Its variables end when the exception has taken it away.
    yield from with_leaf("Order::DESTROY")
    yield 2, "Order::new"
    yield from with_leaf("Order::total")
    yield 2, "Order::__ANON__"
    yield 3, "Order::text"
    yield 2, "Order::plus"
    yield from with_leaf("Order::AUTOLOAD")
    yield from with_leaf("target")
    yield from with_leaf("Order::DESTROY")
    yield 2, "größe"
    yield 2, "leaves"
    yield from with_leaf("early")
    yield 2, "left"
    yield 2, "block"
    yield from with_leaf("__ANON__", 3)
    for i in range(4):
        yield 2, LEAF
    yield 2, "scope"
    yield 3, "Order::new"
    yield from with_leaf("Order::DESTROY", 3)
    yield 2, "Tied::TIESCALAR"
    yield from with_leaf("Tied::FETCH")
    yield 2, LEAF
    yield from with_leaf("__ANON__")
    yield from with_leaf("__ANON__")
    yield from with_leaf("signalled")
    yield from with_leaf("signalled")
    yield 2, LEAF
    yield 2, LEAF
    for deep in [n % 5] + ([90] if n % 20 == 0 else []):
        for i in range(deep + 1):
            yield 2 + i, "recursive"

cycle = [list(request(n)) for n in range(20)]
path = sys.argv[2]
source = open(path).read().splitlines()
functions, threads = shop_calls.read(sys.argv[1])
names = collections.Counter(f["name"] for f in functions.values())
assert names.pop("main::__ANON__") == 2, names
assert set(names.values()) == {1}, names
for f in functions.values():
    assert f["language"] == "perl", f
    assert f["file"] == path, f
    # The line is that of the first statement.
    if "__ANON__" in f["name"]:
        assert "sub {" in source[f["line"] - 1] or "{ leaf(" in source[f["line"] - 1], f
    else:
        name = "sub " + f["name"].split("::")[-1]
        assert name in source[f["line"] - 1] or name in source[f["line"] - 2], f
for events in threads.values():
    for e in events:
        e["name"] = e["name"].removeprefix("main::")
shop_calls.one_thread(threads, cycle, "fails", "ensures", 2)
PY

step "a known sequence, from its middle on"
known_sequence perl "Perl 5.36" "$T/größe/shop.pl" "$PERL"
