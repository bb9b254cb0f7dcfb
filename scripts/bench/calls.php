<?php
// SPDX-License-Identifier: MIT
// Benchmark target, as calls.py: calls a PHP function over and over. KIND php; what else is on was said at the start.
function bench($n) { return $n; }

function cpu_ns() {
    $used = getrusage();
    return ($used['ru_utime.tv_sec'] + $used['ru_stime.tv_sec']) * 1e9 + ($used['ru_utime.tv_usec'] + $used['ru_stime.tv_usec']) * 1e3;
}

while (($line = fgets(STDIN)) !== false) {
    [$kind, $ms] = explode(' ', $line);
    $calls = 0;
    $cpu = cpu_ns();
    $end = hrtime(true) + $ms * 1000000;
    while (hrtime(true) < $end) {
        for ($i = 0; $i < 200; $i++) bench($i);
        $calls += 200;
    }
    printf("%s %.3f %d\n", $kind, (cpu_ns() - $cpu) / max($calls, 1), $calls);
    fflush(STDOUT);
}
