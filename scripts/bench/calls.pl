# SPDX-License-Identifier: MIT
# Benchmark target, as calls.py: calls a sub over and over. KIND perl; whether with a debugger was said at the start.
use strict;
use warnings;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC CLOCK_PROCESS_CPUTIME_ID);

sub bench {
    return $_[0];
}

$| = 1;
while (my $line = <STDIN>) {
    my ($kind, $ms) = split ' ', $line;
    my ($calls, $cpu) = (0, clock_gettime(CLOCK_PROCESS_CPUTIME_ID));
    my $end = clock_gettime(CLOCK_MONOTONIC) + $ms / 1000;
    while (clock_gettime(CLOCK_MONOTONIC) < $end) {
        for my $i (1 .. 200) {
            bench($i);
        }
        $calls += 200;
    }
    $cpu = clock_gettime(CLOCK_PROCESS_CPUTIME_ID) - $cpu;
    printf "%s %.3f %d\n", $kind, $cpu * 1e9 / ($calls || 1), $calls;
}
